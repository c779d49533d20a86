//! A form of settings not saved yet: what was typed, what is wrong with it, and who saved in between. Every page of
//! settings shows and saves through it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::context::Context;
use super::csrf::Posted;
use super::error::WebError;
use super::form::{Problem, SettingForm, posted_texts};
use super::origin::{self, Origin};
use super::shell::html;
use crate::access::usable::{self, Passphrase};
use crate::domain::setting::{Mistake, Setting, Texts};
use crate::store::profile;
use crate::store::setting::{SaveError, Stored};

/// A value that somebody else changed meanwhile.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// The field's key.
    pub key: &'static str,
    /// The field's name.
    pub label: &'static str,
    /// What was typed here.
    pub typed: String,
    /// What is stored now.
    pub stored: String,
}

/// What a page shows of a draft besides its fields.
#[derive(Clone, Debug)]
pub struct DraftView {
    /// What the form was made from; empty if nothing is stored yet.
    pub made_from: String,
    /// Every mistake, for the summary above the form.
    pub problems: Vec<Problem>,
    /// What somebody else saved meanwhile, if it differs from what was typed.
    pub conflicts: Vec<Conflict>,
    /// Who saved meanwhile; empty if nobody did.
    pub conflict_by: String,
}

impl DraftView {
    /// Whether the typed values are still to be saved.
    pub fn is_unsaved(&self) -> bool {
        !self.problems.is_empty() || !self.conflict_by.is_empty()
    }
}

/// A form and its state.
#[derive(Clone, Debug)]
pub struct Draft {
    table: &'static [Setting],
    /// The fields.
    pub form: SettingForm,
    /// The settings that the form was made from; `None` accepts whatever is stored.
    pub origin: Option<Origin>,
    /// What somebody else saved meanwhile, if it differs from what was typed.
    pub conflicts: Vec<Conflict>,
    /// Who saved meanwhile; empty if nobody did.
    pub conflict_by: String,
    /// Whether its subject no longer exists: what was typed adds a new one.
    pub is_gone: bool,
}

impl Draft {
    /// Shows the stored settings.
    pub fn stored(stored: Stored, table: &'static [Setting]) -> Self {
        let origin = Origin::of(stored.version, &stored.texts, table);
        Self::new(stored.texts, Some(origin), table)
    }

    /// One of several, such as an SLA, as stored; or a new one.
    pub fn one(stored: Option<(&Texts, i64)>, table: &'static [Setting]) -> Self {
        let origin = stored.map(|(texts, version)| Origin::of(version, texts, table));
        Self::new(stored.map(|(texts, _)| texts.clone()).unwrap_or_default(), origin, table)
    }

    /// What was typed, or, if the reader chose between that and what somebody else had saved meanwhile, the choice.
    pub fn typed(posted: &Posted, table: &'static [Setting]) -> Self {
        let mut texts = posted_texts(posted, table);
        for (key, text) in &mut texts {
            if posted.text(&format!("pick.{key}")) == "stored" {
                *text = posted.text(&format!("stored.{key}")).replace("\r\n", "\n");
            }
        }
        Self::new(texts, Origin::parse(posted.text(origin::FIELD)), table)
    }

    fn new(texts: Texts, origin: Option<Origin>, table: &'static [Setting]) -> Self {
        let form = SettingForm::showing(texts);
        Self { table, form, origin, conflicts: Vec::new(), conflict_by: String::new(), is_gone: false }
    }

    /// Saves it as settings of the appliance.
    pub async fn save_appliance(&mut self, context: &Context) -> Result<bool, WebError> {
        self.save_appliance_with(context, Passphrase::Stored).await
    }

    /// The same, of a form in which the passphrase of backups may be typed.
    pub async fn save_appliance_with(&mut self, context: &Context, passphrase: Passphrase) -> Result<bool, WebError> {
        let (db, texts, version) = (&context.state.db, &self.form.texts, self.version());
        if let Err(error) = usable::appliance(db, texts, passphrase).await {
            return self.settle(Err(error));
        }
        let saved = context.changing(async |change| profile::save_appliance(db, texts, version, change).await).await;
        self.settle(saved)
    }

    /// Records how a save ended: whether it is done, or the form is shown again with the reasons.
    pub fn settle(&mut self, saved: Result<(), SaveError>) -> Result<bool, WebError> {
        match saved {
            Ok(()) => return Ok(true),
            Err(SaveError::Mistakes(mistakes)) => self.form.refuse(mistakes),
            // Sent again, the form saves what was typed, and leaves alone what the reader left alone.
            Err(SaveError::Stale(stored)) => {
                self.follow(&stored.texts);
                self.conflicts = self.differences(&stored);
                self.origin = Some(Origin::of(stored.version, &stored.texts, self.table));
                self.conflict_by = stored.changed_by;
            }
            Err(error @ SaveError::Store(_)) => return Err(WebError::internal(error)),
        }
        Ok(false)
    }

    /// The same for one of several; returns what was saved.
    pub fn settle_one<T>(&mut self, saved: Result<T, SaveError>) -> Result<Option<T>, WebError> {
        match saved {
            Ok(saved) => return Ok(Some(saved)),
            Err(SaveError::Stale(stored)) if stored.version == 0 => {
                self.is_gone = true;
                let first = self.table.first().map_or("", |setting| setting.key);
                let words = "Somebody removed it meanwhile. Nothing was saved; saved again, this is added as a new one";
                self.form.refuse(vec![Mistake::new(first, words)]);
            }
            Err(error) => drop(self.settle(Err(error))?),
        }
        Ok(None)
    }

    /// The version of the settings that the form was made from.
    pub fn version(&self) -> Option<i64> {
        self.origin.as_ref().map(|origin| origin.version)
    }

    /// Shows the stored values wherever the reader had changed nothing.
    fn follow(&mut self, stored: &Texts) {
        let Some(origin) = &self.origin else { return };
        for (key, text) in &mut self.form.texts {
            if origin.showed(key, text)
                && let Some(now) = stored.get(key)
            {
                text.clone_from(now);
            }
        }
    }

    /// A secret that was typed or requested is not in the form that is shown again: the reader must know.
    pub fn miss_secret(&mut self, posted: &Posted) {
        let words = if posted.get("generate").is_some() {
            "No password was made: press Generate again"
        } else if posted.text("password").is_empty() {
            return;
        } else {
            "Passwords are not kept in a form that is shown again: type it once more"
        };
        self.form.refuse(vec![Mistake::new("password", words)]);
    }

    fn differences(&self, stored: &Stored) -> Vec<Conflict> {
        let differs = |setting: &Setting| {
            let typed = self.form.texts.get(setting.key)?;
            let stored = stored.texts.get(setting.key).map_or(setting.default, String::as_str);
            (typed != stored).then(|| Conflict {
                key: setting.key,
                label: setting.label,
                typed: typed.clone(),
                stored: stored.to_owned(),
            })
        };
        self.table.iter().filter_map(differs).collect()
    }

    /// What a page shows of it besides the fields.
    pub fn view(&self) -> DraftView {
        DraftView {
            made_from: self.origin.as_ref().map(ToString::to_string).unwrap_or_default(),
            problems: self.form.summary(self.table),
            conflicts: self.conflicts.clone(),
            conflict_by: self.conflict_by.clone(),
        }
    }

    /// The page's title, which tells if something is wrong.
    pub fn title(&self, title: &str) -> String {
        if self.status() == StatusCode::OK { title.to_owned() } else { format!("Error: {title}") }
    }

    fn status(&self) -> StatusCode {
        if self.is_gone || !self.conflict_by.is_empty() {
            StatusCode::CONFLICT
        } else if self.form.mistakes.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::UNPROCESSABLE_ENTITY
        }
    }

    /// The answer with that page.
    pub fn answer(&self, page: &impl askama::Template) -> Result<Response, WebError> {
        Ok((self.status(), html(page)?).into_response())
    }
}
