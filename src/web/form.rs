//! Forms of settings: they keep what was typed and every mistake at once. One field is shown by its setting's control;
//! a password that was typed never comes back.

use super::csrf::Posted;
use super::layout::{Look, SectionSpec, look};
use super::view::Choice;
use crate::base::human;
use crate::domain::setting::{Control, Mistake, Reach, Setting, Texts};
use crate::store::setting::Stored;

/// Choices up to this number are cards; more are a list.
const CARDS_MAX: usize = 3;
/// The field that says whether a connector has its own filter.
pub const OWN: &str = "allowed_files_filter_own";
/// The text of a value that follows the profile.
pub const AS_PROFILE: &str = "as_profile";

/// How a field is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One line.
    Line,
    /// Several lines.
    Area,
    /// A number with the words behind it.
    Number,
    /// On or off.
    Check,
    /// Radio cards.
    Cards,
    /// A list.
    List,
    /// Checkboxes.
    Group,
    /// Follows the profile, or has its own line.
    OwnLine,
}

/// One setting on a page.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its key; also name and id of the control.
    pub key: &'static str,
    /// Its name.
    pub label: &'static str,
    /// What it does.
    pub hint: &'static str,
    /// What is typed.
    pub value: String,
    /// How it is shown.
    pub kind: Kind,
    /// Width and face.
    pub look: Look,
    /// Its choices, if it has.
    pub choices: Vec<Choice>,
    /// What is wrong; empty: nothing.
    pub mistake: String,
    /// What is seldom meant; empty: nothing.
    pub warning: String,
    /// What the value comes to, behind or below the control.
    pub note: String,
    /// The engine does not follow it yet.
    pub not_yet: bool,
}

impl Field {
    /// The field of a setting with what is typed in it.
    pub fn new(setting: &Setting, value: &str) -> Self {
        let (kind, choices) = shown(setting, value);
        Self {
            key: setting.key,
            label: setting.label,
            hint: setting.hint,
            value: value.to_owned(),
            kind,
            look: look(setting.key),
            choices,
            mistake: String::new(),
            warning: String::new(),
            note: note(setting, value),
            not_yet: setting.reach == Reach::NotYet,
        }
    }

    /// Ids that describe the control.
    pub fn described_by(&self) -> String {
        let key = self.key;
        let mut ids = vec![format!("{key}-hint")];
        if !self.mistake.is_empty() {
            ids.push(format!("{key}-mistake"));
        }
        if !self.warning.is_empty() {
            ids.push(format!("{key}-warning"));
        }
        ids.join(" ")
    }

    /// Whether it is checked, for [`Kind::Check`].
    pub fn is_on(&self) -> bool {
        self.value == "on"
    }

    /// Whether a connector follows the profile, for [`Kind::OwnLine`].
    pub fn is_as_profile(&self) -> bool {
        self.value.is_empty() || self.value == AS_PROFILE
    }

    /// A connector's own line, for [`Kind::OwnLine`].
    pub fn own(&self) -> &str {
        if self.is_as_profile() { "" } else { &self.value }
    }

    /// Whether it is this key's: for what a page adds to one field.
    pub fn is(&self, key: &str) -> bool {
        self.key == key
    }
}

fn shown(setting: &Setting, value: &str) -> (Kind, Vec<Choice>) {
    let split = |words: &'static str, text: &'static str, chosen: bool| {
        let (head, small) = words.split_once(": ").unwrap_or((words, ""));
        let mut small = small.to_owned();
        if let Some(first) = small.get(..1) {
            small.replace_range(..1, &first.to_uppercase());
        }
        Choice { value: text.to_owned(), words: head.to_owned(), small, chosen }
    };
    match setting.control {
        Control::Line if setting.key == "allowed_files_filter" && setting.default == AS_PROFILE => {
            (Kind::OwnLine, Vec::new())
        }
        Control::Line | Control::Password => (Kind::Line, Vec::new()),
        Control::Area => (Kind::Area, Vec::new()),
        Control::Number(_) => (Kind::Number, Vec::new()),
        Control::Check => (Kind::Check, Vec::new()),
        Control::Choice(all) if all.len() <= CARDS_MAX => {
            (Kind::Cards, all.iter().map(|(text, words)| split(words, text, *text == value)).collect())
        }
        Control::Choice(all) => {
            (Kind::List, all.iter().map(|(text, words)| Choice::new(*text, *words, *text == value)).collect())
        }
        Control::Choices(all) => {
            let chosen: Vec<&str> = value.split(',').map(str::trim).collect();
            (Kind::Group, all.iter().map(|(text, words)| split(words, text, chosen.contains(text))).collect())
        }
    }
}

/// What a number comes to.
fn note(setting: &Setting, value: &str) -> String {
    let Control::Number(unit) = setting.control else { return String::new() };
    match value.trim().parse::<u64>() {
        Ok(seconds) if unit == "seconds" && seconds >= 60 => {
            format!("seconds, {}", human::duration(std::time::Duration::from_secs(seconds)))
        }
        _ => unit.to_owned(),
    }
}

/// A part of a form.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its id.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// A sentence below it; empty for none.
    pub intro: &'static str,
    /// Its fields.
    pub fields: Vec<Field>,
    /// Shown folded, because few need it.
    pub folded: bool,
}

impl Section {
    /// Whether a folded section must be open: a mistake within must be seen.
    pub fn is_open(&self) -> bool {
        self.fields.iter().any(|field| !field.mistake.is_empty())
    }

    /// Whether it is that part.
    pub fn is(&self, id: &str) -> bool {
        self.id == id
    }
}

/// A line of the summary above a form that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The control's id; empty when it is not on this page.
    pub id: String,
    /// What is wrong.
    pub text: String,
}

/// A value that somebody else saved in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The setting's name.
    pub label: &'static str,
    /// What this reader typed.
    pub yours: String,
    /// What is stored.
    pub theirs: String,
}

/// What somebody else saved in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Who.
    pub who: String,
    /// When.
    pub when: String,
    /// Each value that differs.
    pub clashes: Vec<Clash>,
}

/// A form with what is typed in it.
#[derive(Clone, Debug)]
pub struct FormState {
    /// Its parts.
    pub sections: Vec<Section>,
    /// The version that the reader saw.
    pub version: i64,
    /// Every mistake.
    pub problems: Vec<Problem>,
    /// What somebody else saved in between.
    pub stale: Option<Stale>,
    /// Values that came back unsaved.
    pub dirty: usize,
}

impl FormState {
    /// The form of `layout` with `texts` in it; what is missing there has its default.
    pub fn new(layout: &[SectionSpec], settings: &[Setting], texts: &Texts, version: i64) -> Self {
        let field = |key: &&str| {
            let setting = settings.iter().find(|setting| setting.key == *key)?;
            Some(Field::new(setting, texts.get(*key).map_or(setting.default, String::as_str)))
        };
        let section = |spec: &SectionSpec| Section {
            id: spec.id,
            title: spec.title,
            intro: spec.intro,
            fields: spec.keys.iter().filter_map(field).collect(),
            folded: spec.folded,
        };
        let sections = layout.iter().map(section).collect();
        Self { sections, version, problems: Vec::new(), stale: None, dirty: 0 }
    }

    /// The field of that key.
    pub fn field_mut(&mut self, key: &str) -> Option<&mut Field> {
        self.sections.iter_mut().flat_map(|section| &mut section.fields).find(|field| field.key == key)
    }

    /// Shows what is seldom meant.
    pub fn warn(&mut self, warnings: Vec<Mistake>) {
        for warning in warnings {
            if let Some(field) = self.field_mut(&warning.key) {
                field.warning = warning.message;
            }
        }
    }

    /// Shows what is wrong, all of it.
    pub fn refuse(&mut self, mistakes: Vec<Mistake>, settings: &[Setting]) {
        for Mistake { key, message } in mistakes {
            let label = settings.iter().find(|setting| setting.key == key).map_or("", |setting| setting.label);
            let separator = if label.is_empty() { "" } else { ": " };
            let text = format!("{label}{separator}{message}");
            let id = match self.field_mut(&key) {
                Some(field) => {
                    field.mistake = message;
                    control_id(field)
                }
                None if key == "password" || key == "id" => key,
                None => String::new(),
            };
            self.problems.push(Problem { id, text });
        }
    }

    /// Counts what differs from what is stored: it came back unsaved.
    pub fn count_dirty(&mut self, stored: &Texts, settings: &[Setting]) {
        let differs = |field: &&Field| value_of(stored, settings, field.key) != field.value;
        self.dirty = self.sections.iter().flat_map(|section| &section.fields).filter(differs).count().max(1);
    }

    /// Shows what somebody else saved in between; saving again takes the reader's values.
    pub fn meet(&mut self, stored: &Stored, settings: &[Setting], when: String) {
        let clash = |field: &Field| {
            let theirs = value_of(&stored.texts, settings, field.key);
            (theirs != field.value).then(|| Clash {
                label: field.label,
                yours: field.value.clone(),
                theirs: theirs.to_owned(),
            })
        };
        let clashes = self.sections.iter().flat_map(|section| &section.fields).filter_map(clash).collect();
        self.stale = Some(Stale { who: stored.changed_by.clone(), when, clashes });
        self.version = stored.version;
    }

    /// What the title of the page begins with.
    pub fn title_prefix(&self) -> &'static str {
        if self.problems.is_empty() && self.stale.is_none() { "" } else { "Error: " }
    }

    /// `There is 1 problem.`
    pub fn problem_words(&self) -> String {
        match self.problems.len() {
            1 => "There is 1 problem. Nothing was saved.".to_owned(),
            n => format!("There are {n} problems. Nothing was saved."),
        }
    }
}

/// What is stored under `key`, or its default.
fn value_of<'a>(stored: &'a Texts, settings: &'a [Setting], key: &str) -> &'a str {
    let default = || settings.iter().find(|setting| setting.key == key).map_or("", |setting| setting.default);
    stored.get(key).map_or_else(default, String::as_str)
}

/// The id of the control that a link of the summary leads to.
fn control_id(field: &Field) -> String {
    match field.kind {
        Kind::Cards | Kind::Group => field
            .choices
            .first()
            .map_or_else(|| field.key.to_owned(), |choice| format!("{}-{}", field.key, choice.value)),
        _ => field.key.to_owned(),
    }
}

/// The values of a form's settings as they were typed. A checkbox that was not sent is off.
pub fn typed(layout: &[SectionSpec], settings: &[Setting], posted: &Posted) -> Texts {
    let keys = layout.iter().flat_map(|section| section.keys);
    let value = |key: &&'static str| {
        let setting = settings.iter().find(|setting| setting.key == *key)?;
        let value = match setting.control {
            Control::Check => if posted.get(key).is_some() { "on" } else { "off" }.to_owned(),
            Control::Choices(_) => posted.all(key).collect::<Vec<_>>().join(","),
            _ if setting.default == AS_PROFILE && posted.get(OWN).is_some() && *key == "allowed_files_filter" => {
                own_filter(posted)
            }
            _ => posted.get(key)?.replace("\r\n", "\n"),
        };
        Some(((*key).to_owned(), value))
    };
    keys.filter_map(value).collect()
}

/// A connector's own filter: an empty one accepts every name.
fn own_filter(posted: &Posted) -> String {
    let own = posted.text("allowed_files_filter").trim();
    match (posted.text(OWN), own) {
        ("own", "") => "*".to_owned(),
        ("own", own) => own.to_owned(),
        _ => AS_PROFILE.to_owned(),
    }
}

/// What of `typed` differs from what is stored: the rest needs no saving and no line in the audit.
pub fn changed(typed: &Texts, stored: &Texts, settings: &[Setting]) -> Texts {
    let differs = |(key, value): &(&String, &String)| value_of(stored, settings, key) != value.as_str();
    typed.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The version that the reader of a form saw.
pub fn version(posted: &Posted) -> Option<i64> {
    Some(posted.text("version").parse().unwrap_or(-1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::profile::Profile;
    use crate::web::layout::PROFILE;

    #[test]
    fn checkboxes_that_were_not_sent_are_off_and_groups_are_joined() {
        let posted = Posted::of(&[("port", "2121"), ("tls_protocols", "1.2"), ("tls_protocols", "1.3"), ("x", "y")]);
        let texts = typed(PROFILE, Profile::SETTINGS, &posted);
        assert_eq!(texts["active_mode"], "off");
        assert_eq!(texts["tls_protocols"], "1.2,1.3");
        assert_eq!(texts["port"], "2121");
        assert!(!texts.contains_key("x") && !texts.contains_key("welcome_message"));
    }

    #[test]
    fn every_mistake_stands_at_its_field_and_in_the_summary() {
        let texts = Texts::from([("port".to_owned(), "70000".to_owned())]);
        let mut form = FormState::new(PROFILE, Profile::SETTINGS, &texts, 3);
        form.refuse(vec![Mistake::new("port", "70000 is too much"), Mistake::new("other", "odd")], Profile::SETTINGS);
        assert_eq!(form.problem_words(), "There are 2 problems. Nothing was saved.");
        assert_eq!(form.problems[0], Problem { id: "port".to_owned(), text: "Port: 70000 is too much".to_owned() });
        assert_eq!(form.problems[1].id, "");
        let port = form.field_mut("port").unwrap();
        assert_eq!((port.value.as_str(), port.described_by().as_str()), ("70000", "port-hint port-mistake"));
    }
}
