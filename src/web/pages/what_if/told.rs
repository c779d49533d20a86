//! How far a refused client got: the steps of its command, with the one that said no.

use super::Row;
use super::action::Action;
use super::checks::Check;
use super::steps::Step;
use crate::domain::authorise::No;
use crate::domain::refusal::Rule;
use crate::store::refusal::Refusal;
use crate::web::context::Context;

/// The steps of a refusal, as its page shows them.
pub struct Told {
    /// Empty if the rule is not among the command's steps.
    pub rows: Vec<Row>,
}

/// The steps of `refusal`; `opened`: a 150 had been sent, so the data connection was established.
pub fn told(context: &Context, refusal: &Refusal, opened: bool) -> Told {
    let rows = match place(&refusal.command, refusal.rule, opened) {
        None => Vec::new(),
        Some((steps, at)) => {
            let check = |(place, step)| match usize::cmp(&place, &at) {
                std::cmp::Ordering::Less => Check::passed(step, ""),
                std::cmp::Ordering::Equal => Check::no(step, No::new(refusal.rule, refusal.detail.clone())),
                std::cmp::Ordering::Greater => Check::not_reached(step),
            };
            let checks = steps.into_iter().enumerate().map(check);
            checks.map(|check| Row::of(context, &refusal.connector, check)).collect()
        }
    };
    Told { rows }
}

/// The steps of a command, and which of them said no by that rule. A client that sent any command outside the login had
/// signed in, so no step of the login is meant; a rule that ends sessions whatever they do is not a step.
fn place(command: &str, rule: Rule, opened: bool) -> Option<(Vec<Step>, usize)> {
    let action = Action::of_line(command)?;
    let steps = Step::of(action);
    let says = |step: &Step| {
        step.is_of_sign_in() == (action == Action::SignIn)
            && step.is_after_150() == opened
            && step.rules().contains(&rule)
    };
    let at = steps.iter().position(says)?;
    Some((steps, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_that_said_no_is_found_by_command_rule_and_whether_data_flowed() {
        let said = |command, rule, opened| place(command, rule, opened).map(|(steps, at)| steps[at]);
        for (command, rule, opened, step) in [
            ("", Rule::TooManySessions, false, Some(Step::Connection)),
            ("AUTH TLS", Rule::TlsHandshakeFailed, false, Some(Step::ControlTls)),
            ("USER acme", Rule::TlsRequiredLogin, false, Some(Step::SignInEncryption)),
            ("PASS ****", Rule::WrongPassword, false, Some(Step::Proof)),
            ("HASH a", Rule::NameFilter, false, Some(Step::PermissionAndName)),
            ("STOR a.zip", Rule::NameFilter, false, Some(Step::Name)),
            ("STOR a.zip", Rule::Quota, false, Some(Step::Room)),
            ("STOR a.zip", Rule::Quota, true, Some(Step::Bytes)),
            ("STOR a.zip", Rule::FileExists, false, Some(Step::WhatLiesThere)),
            ("STOR a.zip", Rule::FileExists, true, Some(Step::Placed)),
            ("RETR a.zip", Rule::BeforeSend, false, Some(Step::Consent)),
            ("LIST", Rule::TlsHandshakeFailed, true, Some(Step::DataTls)),
            ("RNTO b", Rule::OutsideFolders, false, Some(Step::PermissionAndName)),
            // Ended from outside, whatever it did.
            ("STOR a.zip", Rule::ConnectorDisabled, true, None),
            ("STOR a.zip", Rule::ConnectorDisabled, false, None),
            ("NOOP", Rule::Idle, false, None),
            ("PASS ****", Rule::Idle, false, None),
            ("TYPE E", Rule::TypeNotSupported, false, None),
        ] {
            assert_eq!(said(command, rule, opened), step, "{command} {}", rule.name());
        }
    }
}
