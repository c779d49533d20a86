//! Forms of settings: typed text is kept, every mistake is shown at once, passwords never come back.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::StatusCode;

use super::csrf::Posted;
use crate::domain::setting::{Input, Mistake, Setting, Texts};

/// One choice of a control.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The stored value.
    pub value: Cow<'static, str>,
    /// What people read.
    pub label: Cow<'static, str>,
    /// Smaller text below that; may be empty.
    pub more: &'static str,
    /// Whether it is chosen.
    pub chosen: bool,
}

/// The kind of a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One line.
    Line,
    /// Several lines.
    Area,
    /// A number with its unit.
    Number,
    /// On or off.
    Check,
    /// One of a few.
    Choice,
    /// Any of a few.
    Choices,
    /// A line of its own, or the profile's value.
    Own,
    /// Certificates of the store: the first, and further ones.
    Certificates,
}

/// Choices shown side by side, each with its words; more of them collapse into one line.
const OPEN_MAX: usize = 3;
/// Characters of a choice that fit into such a line on a phone.
const LINE_CHARS_MAX: usize = 40;

/// A field, ready to be shown.
#[derive(Clone, Debug)]
pub struct Field {
    /// The setting's key: the control's name and id.
    pub key: &'static str,
    /// Its name.
    pub label: &'static str,
    /// What it does.
    pub hint: &'static str,
    /// Its present effect; empty if there is nothing to add.
    pub note: String,
    /// What is wrong with the typed value; empty if nothing is.
    pub error: String,
    /// Its value.
    pub value: String,
    /// The control.
    pub kind: Kind,
    /// The unit behind a number.
    pub unit: &'static str,
    /// The choices of a choice.
    pub choices: Vec<Choice>,
}

impl Field {
    /// The ids of the texts that describe the control: hint, error and note, if present.
    pub fn described_by(&self) -> String {
        let hint = (!self.hint.is_empty()).then(|| format!("{}-h", self.key));
        let error = (!self.error.is_empty()).then(|| format!("{}-e", self.key));
        let note = (!self.note.is_empty()).then(|| format!("{}-n", self.key));
        [hint, error, note].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Whether it has its own value, where it could follow the profile's.
    pub fn is_own(&self) -> bool {
        self.value != AS_PROFILE
    }

    /// Whether its choices are shown side by side.
    pub fn stands_open(&self) -> bool {
        let chars = |choice: &Choice| choice.label.chars().count() + choice.more.chars().count();
        self.choices.len() <= OPEN_MAX || self.choices.iter().any(|choice| chars(choice) > LINE_CHARS_MAX)
    }

    /// Whether it is checked.
    pub fn is_on(&self) -> bool {
        self.value == "on"
    }
}

/// How the fields of a section stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Folded as long as nothing in it is set or wrong: few need it.
    Folded,
    /// Checks, two in each row of a table.
    Pairs,
    /// One below the other.
    Plain,
}

/// Settings that stand together on a page.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    title: &'static str,
    text: &'static str,
    keys: &'static [&'static str],
    look: Look,
}

impl Section {
    /// The settings of these keys, beneath a title.
    pub const fn new(title: &'static str, keys: &'static [&'static str]) -> Self {
        Self { title, text: "", keys, look: Look::Plain }
    }

    /// The same with words below the title.
    pub const fn saying(self, text: &'static str) -> Self {
        Self { text, ..self }
    }

    /// The same with another look.
    pub const fn looking(self, look: Look) -> Self {
        Self { look, ..self }
    }

    /// The keys of all these.
    pub fn keys(sections: &[Self]) -> Vec<&'static str> {
        sections.iter().flat_map(|section| section.keys).copied().collect()
    }
}

/// A section, ready to be shown.
#[derive(Clone, Debug)]
pub struct SectionView {
    /// Its title.
    pub title: &'static str,
    /// What stands below that; may be empty.
    pub text: &'static str,
    /// How it stands.
    pub look: Look,
    /// Whether something in it is set or wrong.
    pub is_used: bool,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// A form of settings.
#[derive(Clone, Debug, Default)]
pub struct SettingForm {
    /// The value of each field.
    pub texts: Texts,
    /// What is wrong, by key.
    pub mistakes: BTreeMap<String, String>,
}

impl SettingForm {
    /// A form showing stored values.
    pub fn showing(texts: Texts) -> Self {
        Self { texts, mistakes: BTreeMap::new() }
    }

    /// The field of a setting.
    pub fn field(&self, setting: &'static Setting) -> Field {
        let value = self.texts.get(setting.key).map_or(setting.default, String::as_str);
        let chosen = |text: &str| value.split(',').any(|one| one.trim() == text);
        let of = |choices: &'static [(&'static str, &'static str)]| {
            let choice = |(value, words): &(&'static str, &'static str)| {
                let (label, more) = words.split_once(": ").unwrap_or((words, ""));
                Choice { value: (*value).into(), label: label.into(), more, chosen: chosen(value) }
            };
            choices.iter().map(choice).collect()
        };
        let (kind, unit, choices) = match setting.input {
            Input::Line => (Kind::Line, "", Vec::new()),
            Input::Area => (Kind::Area, "", Vec::new()),
            Input::Number(unit) => (Kind::Number, unit, Vec::new()),
            Input::Check => (Kind::Check, "", Vec::new()),
            Input::Choice(choices) => (Kind::Choice, "", of(choices)),
            Input::Choices(choices) => (Kind::Choices, "", of(choices)),
        };
        Field {
            key: setting.key,
            label: setting.label,
            hint: setting.hint,
            note: String::new(),
            error: self.mistakes.get(setting.key).cloned().unwrap_or_default(),
            value: value.to_owned(),
            kind,
            unit,
            choices,
        }
    }

    /// The fields of these keys, in this order.
    pub fn fields(&self, table: &'static [Setting], keys: &[&str]) -> Vec<Field> {
        keys.iter()
            .filter_map(|key| table.iter().find(|setting| setting.key == *key))
            .map(|setting| self.field(setting))
            .collect()
    }

    /// These sections with their fields.
    pub fn sections(&self, table: &'static [Setting], sections: &[Section]) -> Vec<SectionView> {
        let is_set = |field: &Field| table.iter().any(|one| one.key == field.key && one.default != field.value);
        let view = |&Section { title, text, keys, look }: &Section| {
            let fields = self.fields(table, keys);
            let is_used = fields.iter().any(|field| is_set(field) || !field.error.is_empty());
            SectionView { title, text, look, is_used, fields }
        };
        sections.iter().map(view).collect()
    }

    /// Notes mistakes: the form is shown again with them.
    pub fn refuse(&mut self, mistakes: Vec<Mistake>) {
        for mistake in mistakes {
            self.mistakes.entry(mistake.key).or_insert(mistake.message);
        }
    }

    /// Shows these values where the form has none.
    pub fn fill(&mut self, texts: &Texts) {
        for (key, text) in texts {
            self.texts.entry(key.clone()).or_insert_with(|| text.clone());
        }
    }

    /// Every mistake with the name of its field, in the order of the table; then those without a field.
    pub fn summary(&self, table: &'static [Setting]) -> Vec<Problem> {
        let known = table.iter().filter_map(|setting| {
            let message = self.mistakes.get(setting.key)?;
            Some(Problem { key: setting.key.to_owned(), text: format!("{}: {message}", setting.label) })
        });
        let other = self
            .mistakes
            .iter()
            .filter(|(key, _)| !table.iter().any(|setting| setting.key == key.as_str()))
            .map(|(key, message)| Problem { key: key.clone(), text: message.clone() });
        known.chain(other).collect()
    }
}

/// One line of the summary.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The control it leads to.
    pub key: String,
    /// What is wrong.
    pub text: String,
}

impl Problem {
    /// A problem of one control.
    pub fn new(key: &str, text: impl Into<String>) -> Self {
        Self { key: key.to_owned(), text: text.into() }
    }

    /// What is wrong with the control `key`; empty if nothing is.
    pub fn text_of<'a>(problems: &'a [Self], key: &str) -> &'a str {
        problems.iter().find(|problem| problem.key == key).map_or("", |problem| problem.text.as_str())
    }

    /// Title and status of a page, which tell whether its form was refused.
    pub fn title(problems: &[Self], title: &str) -> (String, StatusCode) {
        if problems.is_empty() {
            (title.to_owned(), StatusCode::OK)
        } else {
            (format!("Error: {title}"), StatusCode::UNPROCESSABLE_ENTITY)
        }
    }
}

impl From<Mistake> for Problem {
    fn from(mistake: Mistake) -> Self {
        Self { key: mistake.key, text: mistake.message }
    }
}

/// Warnings with the names of their fields.
pub fn warnings(warnings: Vec<Mistake>, table: &'static [Setting]) -> Vec<Problem> {
    let named = |warning: Mistake| {
        let setting = table.iter().find(|setting| setting.key == warning.key);
        let label = setting.map_or(warning.key.as_str(), |setting| setting.label);
        Problem { text: format!("{label}: {}", warning.message), key: warning.key }
    };
    warnings.into_iter().map(named).collect()
}

/// Turns a list of certificates' names into a choice: the first chosen one, then further ones.
pub fn choose_certificates(field: &mut Field, there: &[String]) {
    let chosen: Vec<String> =
        field.value.split([',', '\n']).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let is_chosen = |name: &str| chosen.iter().any(|one| one.to_lowercase() == name.to_lowercase());
    let others = there.iter().filter(|name| !is_chosen(name));
    let choice = |name: &String| Choice {
        value: name.clone().into(),
        label: name.clone().into(),
        more: "",
        chosen: is_chosen(name),
    };
    field.choices = chosen.iter().chain(others).map(choice).collect();
    field.kind = Kind::Certificates;
}

/// The prefix for the key of a [`Kind::Own`]: names the choice between the profile's value and its own.
const FROM: &str = "from.";
/// The text by which a setting follows the profile's value.
const AS_PROFILE: &str = "as_profile";

fn from(posted: &Posted, key: &str) -> String {
    posted.text(&format!("{FROM}{key}")).to_owned()
}

/// Whether a setting that may follow the profile's was given its own value.
pub fn own_is_chosen(posted: &Posted, key: &str) -> bool {
    from(posted, key) == "own"
}

/// The values of those settings that the form had controls for. An unticked box sends nothing: the form names its
/// fields in `fields`, to distinguish "off" from "not on this page".
pub fn posted_texts(posted: &Posted, table: &'static [Setting]) -> Texts {
    let on_page: Vec<&str> = posted.text("fields").split(',').collect();
    let mut texts = Texts::new();
    for setting in table.iter().filter(|setting| on_page.contains(&setting.key)) {
        let value = match setting.input {
            Input::Check => if posted.get(setting.key).is_some() { "on" } else { "off" }.to_owned(),
            // The text in the field for its own value is not meant.
            _ if from(posted, setting.key) == AS_PROFILE => AS_PROFILE.to_owned(),
            Input::Choices(_) => posted.all(setting.key).collect::<Vec<_>>().join(","),
            Input::Area => posted.text(setting.key).replace("\r\n", "\n").trim_end().to_owned(),
            // Several controls may form one list.
            _ => {
                let typed: Vec<_> = posted.all(setting.key).filter(|text| !text.is_empty()).collect();
                typed.join(",")
            }
        };
        texts.insert(setting.key.to_owned(), value);
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api_token::TokenSettings;
    use crate::domain::connector::ConnectorSettings;
    use crate::domain::profile::Profile;

    #[test]
    fn an_unticked_box_is_off_and_a_field_of_another_page_stays_away() {
        let posted =
            Posted::of(&[("fields", "active_mode,port,tls_protocols"), ("port", "21"), ("tls_protocols", "1.3")]);
        let texts = posted_texts(&posted, Profile::SETTINGS);
        assert_eq!(texts.get("active_mode").map(String::as_str), Some("off"));
        assert_eq!(texts.get("port").map(String::as_str), Some("21"));
        assert_eq!(texts.get("tls_protocols").map(String::as_str), Some("1.3"));
        assert_eq!(texts.len(), 3);
    }

    #[test]
    fn choices_stand_side_by_side_where_they_are_few_or_a_line_would_cut_them_off() {
        let open = |table: &'static [Setting], key| SettingForm::default().fields(table, &[key])[0].stands_open();
        assert!(open(TokenSettings::SETTINGS, "scope") && open(ConnectorSettings::SETTINGS, "require_tls"));
        assert!(open(Profile::SETTINGS, "tls_session_reuse") && !open(Profile::SETTINGS, "log_level"));
        assert!(!["sent_folder_scheme", "client_certificate"].iter().any(|key| open(ConnectorSettings::SETTINGS, key)));
    }

    #[test]
    fn an_own_value_counts_where_it_is_chosen() {
        let filter = |from: &str| {
            let key = "allowed_files_filter";
            let posted = Posted::of(&[("fields", key), ("from.allowed_files_filter", from), (key, "*.edi")]);
            let texts = posted_texts(&posted, ConnectorSettings::SETTINGS);
            (texts[key].clone(), own_is_chosen(&posted, key))
        };
        assert_eq!(filter("as_profile"), ("as_profile".to_owned(), false));
        assert_eq!(filter("own"), ("*.edi".to_owned(), true));
        // A form without the choice is one line, as in the API.
        assert_eq!(filter(""), ("*.edi".to_owned(), false));
    }
}
