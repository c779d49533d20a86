//! Each step from the connection to the file, checked by the FTP server's own functions, in its order. The first no is
//! the answer; later steps are not reached.

use std::net::IpAddr;
use std::sync::Arc;

use super::action::Action;
use super::steps::Step;
use crate::access::admission::Limits as Room;
use crate::access::guard::{Caller, Door, Known, Limits};
use crate::base::human;
use crate::base::id::SessionId;
use crate::base::path::VirtualPath;
use crate::domain::authorise::{No, Operation, authorise};
use crate::domain::connector::Connector;
use crate::domain::entrance;
use crate::domain::refusal::Rule;
use crate::domain::value::ClientCertificate;
use crate::ftp::session::StoreMode;
use crate::store::live::{LiveConnector, Snapshot};
use crate::transfer::consent::{self, Consents};
use crate::transfer::depot::{Depot, Party, TransferError};
use crate::transfer::{plan, send};
use crate::web::context::Context;

/// Who would do what.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name given as user.
    pub name: String,
    /// Their address.
    pub remote: IpAddr,
    /// Whether both connections use TLS.
    pub secure: bool,
    /// The action.
    pub action: Action,
    /// The path as typed; relative to the start folder.
    pub path: String,
}

/// The outcome of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It is passed.
    Passed,
    /// It cannot be determined from here.
    Unknown,
    /// No, by that rule; without a rule if the file or folder itself is the reason.
    Refused(Option<Rule>),
    /// An earlier step said no.
    NotReached,
}

/// One step, and its outcome.
#[derive(Clone, Debug)]
pub struct Check {
    /// Which step.
    pub step: Step,
    /// Its outcome.
    pub stand: Stand,
    /// What was found.
    pub detail: String,
}

impl Check {
    /// Passed.
    pub fn passed(step: Step, detail: impl Into<String>) -> Self {
        Self { step, stand: Stand::Passed, detail: detail.into() }
    }

    fn unknown(step: Step, detail: impl Into<String>) -> Self {
        Self { step, stand: Stand::Unknown, detail: detail.into() }
    }

    /// No, by that rule.
    pub fn no(step: Step, no: No) -> Self {
        Self { step, stand: Stand::Refused(Some(no.rule)), detail: no.detail }
    }

    /// Not reached.
    pub const fn not_reached(step: Step) -> Self {
        Self { step, stand: Stand::NotReached, detail: String::new() }
    }

    /// Whether it is the one that says no.
    pub const fn is_no(&self) -> bool {
        matches!(self.stand, Stand::Refused(_))
    }
}

/// The outcomes of steps that one function judges together: its no belongs to the step that can say so, and those
/// before it are passed.
fn judge(checks: &mut Vec<Check>, steps: &[Step], judged: Result<(), &TransferError>) -> Result<(), Check> {
    let (rule, detail) = match judged {
        Ok(()) => {
            checks.extend(steps.iter().map(|step| Check::passed(*step, "")));
            return Ok(());
        }
        Err(TransferError::Refused(no)) => (Some(no.rule), no.detail.clone()),
        // The file or folder itself: no rule.
        Err(error) => (None, error.to_string()),
    };
    for step in steps {
        let says = rule.is_none_or(|rule| step.rules().contains(&rule));
        if says || Some(step) == steps.last() {
            return Err(Check { step: *step, stand: Stand::Refused(rule), detail });
        }
        checks.push(Check::passed(*step, ""));
    }
    Ok(())
}

/// All steps of a case: with their outcome up to the one that says no, the rest not reached.
pub async fn checks(context: &Context, case: &Case) -> Vec<Check> {
    let snapshot = context.state.live.snapshot();
    let mut checks = Vec::new();
    if let Err(no) = walk(context, case, &snapshot, &mut checks).await {
        checks.push(no);
    }
    let rest = Step::of(case.action).into_iter().skip(checks.len()).map(Check::not_reached);
    checks.extend(rest);
    debug_assert!(checks.iter().map(|check| check.step).eq(Step::of(case.action)), "walked as the list says");
    checks
}

async fn walk(context: &Context, case: &Case, snapshot: &Arc<Snapshot>, checks: &mut Vec<Check>) -> Result<(), Check> {
    let live = sign_in(context, case, snapshot, checks)?;
    if case.action == Action::SignIn {
        return Ok(());
    }
    command(context, case, (snapshot, &live), checks).await?;
    if case.action.moves_data() {
        checks.push(Check::unknown(Step::DataConnection, "the client’s network is not tried here"));
        let tls = if case.secure {
            Check::unknown(Step::DataTls, "the client’s own TLS is not tried here")
        } else {
            Check::passed(Step::DataTls, "not wanted: it comes in clear")
        };
        checks.push(tls);
        checks.push(Check::unknown(Step::Bytes, "largest file, quota and disk reserve are looked at on the way"));
    }
    if case.action.stores() {
        checks.push(Check::unknown(Step::Placed, "the name is judged once more when the file is whole"));
    }
    Ok(())
}

/// From the connection to the end of the login.
fn sign_in(
    context: &Context,
    case: &Case,
    snapshot: &Snapshot,
    checks: &mut Vec<Check>,
) -> Result<Arc<LiveConnector>, Check> {
    let (state, profile) = (&context.state, &snapshot.profile);
    let step = Step::Connection;
    let room = state.admission.has_room(case.remote, &Room::of(profile));
    room.map_err(|rule| Check::no(step, No::new(rule, "as many are connected as may be")))?;
    checks.push(Check::passed(step, ""));
    checks.push(if case.secure {
        Check::unknown(Step::ControlTls, "the client’s own TLS is not tried here")
    } else {
        Check::passed(Step::ControlTls, "not wanted: it comes in clear")
    });

    let step = Step::SignInEncryption;
    let named = snapshot.connector(&case.name).map(|live| &live.connector);
    entrance::may_name(profile, named, (case.remote, case.secure)).map_err(|no| Check::no(step, no))?;
    checks.push(Check::passed(step, if case.secure { "by TLS" } else { "clear text is taken here" }));

    let found = snapshot.partner(&case.name);
    let known = if found.is_some() { Known::Yes } else { Known::No };
    let key = case.name.to_ascii_lowercase();
    let caller = Caller { door: Door::Ftp, name: &key, known, address: case.remote };
    let limits = Limits::of(profile, case.remote);
    let step = Step::Address;
    if let Some(Err(no)) = found.map(|live| entrance::may_come_from(&live.connector, case.remote)) {
        return Err(Check::no(step, no));
    }
    if let Some(until) = state.gate.blocked(&caller, limits.as_ref()) {
        return Err(Check::no(
            step,
            No::new(Rule::AddressBlocked, format!("blocked until {} UTC", human::moment(until))),
        ));
    }
    checks.push(Check::passed(step, format!("{} may come in", case.remote)));

    let step = Step::User;
    let live = found.ok_or_else(|| Check::no(step, No::new(Rule::UnknownUser, "there is no such name")))?;
    checks.push(Check::passed(step, live.connector.id.to_string()));
    checks.push(proof(&live.connector));

    let step = Step::Valid;
    entrance::may_sign_in(&live.connector, context.now()).map_err(|no| Check::no(step, no))?;
    checks.push(Check::passed(step, ""));

    let step = Step::Sessions;
    let (now, most) = (state.admission.of_connector(live.connector.id.key()), live.connector.sessions_max(profile));
    let count = format!("{now} of at most {most}");
    if now >= most {
        return Err(Check::no(step, No::new(Rule::TooManyForConnector, count)));
    }
    checks.push(Check::passed(step, count));
    Ok(Arc::clone(live))
}

/// How the partner would authenticate: nobody here knows whether it can.
fn proof(connector: &Connector) -> Check {
    let by = match connector.settings.client_certificate {
        ClientCertificate::None => "the right password is taken for granted",
        ClientCertificate::OrPassword => "the right password or client certificate is taken for granted",
        ClientCertificate::AndPassword => "the right password and client certificate are taken for granted",
        ClientCertificate::Only => "the right client certificate is taken for granted; a password never signs in",
    };
    Check::unknown(Step::Proof, by)
}

/// The command, once signed in, up to the data connection.
async fn command(
    context: &Context,
    case: &Case,
    (snapshot, live): (&Arc<Snapshot>, &Arc<LiveConnector>),
    checks: &mut Vec<Check>,
) -> Result<(), Check> {
    let (profile, connector) = (&snapshot.profile, &live.connector);
    if case.action.moves_data() {
        let step = Step::DataEncryption;
        if !case.secure && !entrance::may_move_in_clear(profile, Some(connector), case.remote) {
            return Err(Check::no(step, No::new(Rule::TlsRequiredData, "the data connection is in clear")));
        }
        checks.push(Check::passed(step, if case.secure { "by TLS" } else { "clear text is taken here" }));
    }
    let path = connector.settings.start_folder.path().resolve(&case.path);
    let path = path.map_err(|error| Check::no(Step::Path, No::new(Rule::NameNotStorable, error.to_string())))?;
    checks.push(Check::passed(Step::Path, path.to_string()));

    let (operation, steps) = match case.action {
        Action::Store => (Operation::Store, &[Step::Permission, Step::Name][..]),
        Action::Append => (Operation::Append, &[Step::Permission, Step::Name][..]),
        Action::Other(operation) => (operation, &[Step::PermissionAndName][..]),
        Action::Retrieve | Action::SignIn => (Operation::Retrieve, &[Step::Permission, Step::Name][..]),
    };
    let granted = authorise(profile, connector, operation, &path).map_err(TransferError::Refused);
    judge(checks, steps, granted.as_ref().map(drop))?;

    let session = SessionId::new(&context.state.ids);
    let party = Party::new(Arc::clone(snapshot), Arc::clone(live), session, case.remote, String::new());
    on_disk(context, case.action, (&party, &path), checks).await
}

/// What exists there, and whether there is room.
async fn on_disk(
    context: &Context,
    action: Action,
    (party, path): (&Party, &VirtualPath),
    checks: &mut Vec<Check>,
) -> Result<(), Check> {
    // Actions asked before a file is sent are not asked here: nobody downloads it.
    let depot = &Depot { consents: Consents::default(), ..context.state.depot.clone() };
    let mode = match action {
        Action::Store => StoreMode::Replace,
        Action::Append => StoreMode::Append,
        Action::Retrieve => {
            let found = send::prepare(depot, party, path, (0, None, false)).await;
            judge(checks, &[Step::WhatLiesThere], found.as_ref().map(drop))?;
            let is_wanted = found.is_ok_and(|file| consent::is_wanted(party, path, file.size_bytes()));
            checks.push(if is_wanted {
                Check::unknown(Step::Consent, "it is asked when the file is really fetched, and may hold it back")
            } else {
                Check::passed(Step::Consent, "none is asked")
            });
            return Ok(());
        }
        Action::SignIn | Action::Other(_) => {
            checks.push(Check::unknown(Step::WhatLiesThere, "not looked at for this command"));
            return Ok(());
        }
    };
    let planned = plan::plan(depot, party, path, mode).await;
    judge(checks, &[Step::WhatLiesThere, Step::Room], planned.as_ref().map(drop))
}
