//! What a copy of a connector has of it beside the settings: its SLAs, its actions, and where its files are passed along to.
//! What others pass along to it is theirs, and a new partner is not to find it in its Send unasked.

use crate::base::id::EventId;
use crate::domain::action::ActionSettings;
use crate::domain::connector::ConnectorId;
use crate::domain::sla::SlaSettings;
use crate::store::setting::SaveError;
use crate::store::{action, arrow, sla};
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::pages::automation::{check_kinds, kind};

/// Copies them; says what was not copied, and why.
pub(super) async fn copy(context: &Context, model: &ConnectorId, to: &ConnectorId) -> Result<Vec<String>, WebError> {
    let mut left_out = Vec::new();
    slas(context, model, to, &mut left_out).await?;
    actions(context, model, to, &mut left_out).await?;
    arrows(context, model, to, &mut left_out).await?;
    context.state.live.refresh().await?;
    Ok(left_out)
}

async fn slas(
    context: &Context,
    model: &ConnectorId,
    to: &ConnectorId,
    left_out: &mut Vec<String>,
) -> Result<(), WebError> {
    let db = &context.state.db;
    for one in sla::of_connector(db, model.key()).await? {
        let Ok((settings, _)) = SlaSettings::parse(&one.texts) else {
            left_out.push("an SLA that this version cannot read".to_owned());
            continue;
        };
        let (id, words) = (EventId::new(&context.state.ids).to_string(), settings.in_words());
        let whose = (to.as_str(), to.key());
        let put = context.changing(async |change| sla::put(db, &id, whose, (&one.texts, &words), change).await);
        keep(put.await, &words, left_out)?;
    }
    Ok(())
}

/// They sign with the same secrets: their receivers are the same.
async fn actions(
    context: &Context,
    model: &ConnectorId,
    to: &ConnectorId,
    left_out: &mut Vec<String>,
) -> Result<(), WebError> {
    let keeper = context.state.keeper();
    for one in action::of_connector(&context.state.db, model.key()).await? {
        let words = ActionSettings::parse(&one.texts).map(|settings| settings.in_words()).unwrap_or_default();
        if check_kinds(context, &[kind(&one.texts)]).is_err() {
            left_out.push(format!("{words} (only an admin adds what runs a program)"));
            continue;
        }
        let put = context.changing(async |change| keeper.copy_action(&one, to, change).await);
        keep(put.await, &words, left_out)?;
    }
    Ok(())
}

async fn arrows(
    context: &Context,
    model: &ConnectorId,
    to: &ConnectorId,
    left_out: &mut Vec<String>,
) -> Result<(), WebError> {
    let db = &context.state.db;
    let map = arrow::map(db).await?;
    let mut own: Vec<_> = map.from(model.key()).collect();
    // An error arrow needs another that can fail.
    own.sort_by_key(|arrow| arrow.on_error);
    for one in own {
        let words = format!("passing along to {}", map.written(&one.to));
        let wanted = (to.as_str(), one.to.as_str());
        let put = context.changing(async |change| arrow::connect(db, wanted, one.on_error, change).await);
        keep(put.await, &words, left_out)?;
    }
    for one in map.arrows.iter().filter(|arrow| arrow.to == model.key()) {
        left_out.push(format!("what {} passes along to {model}", map.written(&one.from)));
    }
    Ok(())
}

/// What could not be kept is left out.
fn keep(put: Result<(), SaveError>, words: &str, left_out: &mut Vec<String>) -> Result<(), WebError> {
    match put {
        Ok(()) => Ok(()),
        Err(SaveError::Mistakes(mistakes)) => {
            let why: Vec<_> = mistakes.into_iter().map(|mistake| mistake.message).collect();
            left_out.push(format!("{words} ({})", why.join("; ")));
            Ok(())
        }
        Err(error) => Err(WebError::internal(error)),
    }
}
