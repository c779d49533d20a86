//! What a copy of a connector has of it: its settings but those that are the partner's own, its SLAs, its actions, and where
//! its files are passed along to. What others pass along to it is theirs, and a new partner is not to find it in its Send
//! unasked.

use crate::base::id::EventId;
use crate::domain::action::ActionSettings;
use crate::domain::connector::ConnectorId;
use crate::domain::setting::Texts;
use crate::domain::sla::SlaSettings;
use crate::store::setting::SaveError;
use crate::store::{action, arrow, sla};
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::pages::automation::{check_kinds, kind};

/// Takes out of the settings what no other connector may have; says what is missed.
pub(super) fn take_own(values: &mut Texts) -> Vec<String> {
    // Two connectors never share a folder.
    for key in ["input_folder", "output_folder", "folder"] {
        values.remove(key);
    }
    // Whoever holds the model's certificate would sign in as the copy.
    values.remove("client_certificate");
    let missed = values.remove("client_certificate_match").is_some_and(|text| !text.is_empty());
    if missed { vec!["the client certificate".to_owned()] } else { Vec::new() }
}

/// Copies what is beside the settings; says what was not copied, and why.
pub(super) async fn copy(context: &Context, model: &ConnectorId, to: &ConnectorId) -> Result<Vec<String>, WebError> {
    let mut copying = Copying { context, model, to, left_out: Vec::new() };
    copying.slas().await?;
    copying.actions().await?;
    copying.arrows().await?;
    context.state.live.refresh().await?;
    Ok(copying.left_out)
}

struct Copying<'a> {
    context: &'a Context,
    model: &'a ConnectorId,
    to: &'a ConnectorId,
    /// In words.
    left_out: Vec<String>,
}

impl Copying<'_> {
    async fn slas(&mut self) -> Result<(), WebError> {
        let db = &self.context.state.db;
        for one in sla::of_connector(db, self.model.key()).await? {
            let Ok((settings, _)) = SlaSettings::parse(&one.texts) else {
                self.left_out.push("an SLA that this version cannot read".to_owned());
                continue;
            };
            let id = EventId::new(&self.context.state.ids).to_string();
            let put = self.context.changing(async |change| sla::put(db, &id, self.to, &one.texts, change).await);
            self.keep(put.await, &settings.in_words())?;
        }
        Ok(())
    }

    /// They sign with the same secrets: their receivers are the same.
    async fn actions(&mut self) -> Result<(), WebError> {
        let keeper = self.context.state.keeper();
        for one in action::of_connector(&self.context.state.db, self.model.key()).await? {
            let words = ActionSettings::parse(&one.texts).map(|settings| settings.in_words()).unwrap_or_default();
            if check_kinds(self.context, &[kind(&one.texts)]).is_err() {
                self.left_out.push(format!("{words} (only an admin adds what runs a program)"));
                continue;
            }
            let put = self.context.changing(async |change| keeper.copy_action(&one, self.to, change).await);
            self.keep(put.await, &words)?;
        }
        Ok(())
    }

    async fn arrows(&mut self) -> Result<(), WebError> {
        let db = &self.context.state.db;
        let map = arrow::map(db).await?;
        let mut own: Vec<_> = map.from(self.model.key()).collect();
        // An error arrow needs another arrow that can fail.
        own.sort_by_key(|arrow| arrow.on_error);
        for one in own {
            let words = format!("passing along to {}", map.written(&one.to));
            let wanted = (self.to.as_str(), one.to.as_str());
            let put = self.context.changing(async |change| arrow::connect(db, wanted, one.on_error, change).await);
            self.keep(put.await, &words)?;
        }
        for one in map.arrows.iter().filter(|arrow| arrow.to == self.model.key()) {
            self.left_out.push(format!("what {} passes along to {}", map.written(&one.from), self.model));
        }
        Ok(())
    }

    /// What could not be saved is left out.
    fn keep(&mut self, put: Result<(), SaveError>, words: &str) -> Result<(), WebError> {
        match put {
            Ok(()) => Ok(()),
            Err(SaveError::Mistakes(mistakes)) => {
                let why: Vec<_> = mistakes.into_iter().map(|mistake| mistake.message).collect();
                self.left_out.push(format!("{words} ({})", why.join("; ")));
                Ok(())
            }
            Err(error) => Err(WebError::internal(error)),
        }
    }
}
