//! Each step from the door to the file, asked by the functions that the FTP server asks itself, in its order. The first no is
//! the answer; what comes after it is not reached.

use std::net::IpAddr;
use std::sync::Arc;

use crate::access::admission::Limits as Room;
use crate::access::guard::{Caller, Door, Known, Limits};
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

/// What the partner's client would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `USER` and `PASS` alone.
    SignIn,
    /// `RETR`.
    Retrieve,
    /// `STOR`.
    Store,
    /// `APPE`.
    Append,
    /// Whatever is judged by permission and name alone.
    Other(Operation),
}

impl Action {
    /// Every action: the command, and it in words.
    pub const ALL: [(&'static str, &'static str, Self); 12] = [
        ("STOR", "Upload (STOR)", Self::Store),
        ("RETR", "Download (RETR)", Self::Retrieve),
        ("", "Sign in only", Self::SignIn),
        ("LIST", "List (LIST, MLSD)", Self::Other(Operation::List)),
        ("APPE", "Append (APPE)", Self::Append),
        ("DELE", "Delete (DELE)", Self::Other(Operation::Delete)),
        ("RNFR", "Rename from (RNFR)", Self::Other(Operation::RenameFrom)),
        ("RNTO", "Rename to (RNTO)", Self::Other(Operation::RenameTo)),
        ("MKD", "Make folder (MKD)", Self::Other(Operation::MakeFolder)),
        ("RMD", "Remove folder (RMD)", Self::Other(Operation::RemoveFolder)),
        ("CWD", "Change folder (CWD)", Self::Other(Operation::Enter)),
        ("SIZE", "Look (SIZE, MDTM, MLST)", Self::Other(Operation::Look)),
    ];

    /// The action of a command, without regard to case.
    pub fn of(command: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(own, _, _)| own.eq_ignore_ascii_case(command));
        found.map(|(_, _, action)| *action)
    }

    /// Whether it opens a data connection.
    const fn moves_data(self) -> bool {
        matches!(self, Self::Retrieve | Self::Store | Self::Append | Self::Other(Operation::List))
    }
}

/// Who would do what.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name given as user.
    pub name: String,
    /// From where.
    pub remote: IpAddr,
    /// Whether both connections are by TLS.
    pub secure: bool,
    /// What.
    pub action: Action,
    /// Where, as typed; relative to the start folder.
    pub path: String,
}

/// How a step ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It is passed.
    Passed,
    /// It cannot be known from here.
    Unknown,
    /// No, by that rule; no rule where the file or folder itself is the reason.
    Refused(Option<Rule>),
}

/// One step.
#[derive(Clone, Debug)]
pub struct Check {
    /// What is asked.
    pub words: &'static str,
    /// How it ends.
    pub stand: Stand,
    /// What was found.
    pub detail: String,
}

impl Check {
    fn passed(words: &'static str, detail: impl Into<String>) -> Self {
        Self { words, stand: Stand::Passed, detail: detail.into() }
    }

    fn unknown(words: &'static str, detail: impl Into<String>) -> Self {
        Self { words, stand: Stand::Unknown, detail: detail.into() }
    }

    fn no(words: &'static str, no: No) -> Self {
        Self { words, stand: Stand::Refused(Some(no.rule)), detail: no.detail }
    }
}

/// The steps up to the one that says no, or all of them.
pub async fn checks(context: &Context, case: &Case) -> Vec<Check> {
    let snapshot = context.state.live.snapshot();
    let mut checks = Vec::new();
    let live = match sign_in(context, case, &snapshot, &mut checks) {
        Ok(live) => live,
        Err(no) => {
            checks.push(no);
            return checks;
        }
    };
    if case.action == Action::SignIn {
        return checks;
    }
    let last = command(context, case, (&snapshot, &live), &mut checks).await;
    checks.push(last.unwrap_or_else(|no| no));
    checks
}

/// From the connection to the end of the login.
fn sign_in(
    context: &Context,
    case: &Case,
    snapshot: &Snapshot,
    checks: &mut Vec<Check>,
) -> Result<Arc<LiveConnector>, Check> {
    let (state, profile) = (&context.state, &snapshot.profile);
    let words = "Room for a session";
    let room = state.admission.has_room(case.remote, &Room::of(profile));
    room.map_err(|rule| Check::no(words, No::new(rule, "as many are connected as may be")))?;
    checks.push(Check::passed(words, ""));

    let words = "Encryption of the sign-in";
    let named = snapshot.connector(&case.name).map(|live| &live.connector);
    entrance::may_name(profile, named, (case.remote, case.secure)).map_err(|no| Check::no(words, no))?;
    checks.push(Check::passed(words, if case.secure { "by TLS" } else { "clear text is taken here" }));

    let found = snapshot.partner(&case.name);
    let known = if found.is_some() { Known::Yes } else { Known::No };
    let key = case.name.to_ascii_lowercase();
    let caller = Caller { door: Door::Ftp, name: &key, known, address: case.remote };
    let limits = Limits::of(profile, case.remote);
    let words = "Address";
    if let Some(Err(no)) = found.map(|live| entrance::may_come_from(&live.connector, case.remote)) {
        return Err(Check::no(words, no));
    }
    if let Some(until) = state.gate.blocked(&caller, limits.as_ref()) {
        return Err(Check::no(words, No::new(Rule::AddressBlocked, format!("blocked until {until}"))));
    }
    checks.push(Check::passed(words, format!("{} may come in", case.remote)));

    let words = "User";
    let live = found.ok_or_else(|| Check::no(words, No::new(Rule::UnknownUser, "there is no such name")))?;
    checks.push(Check::passed(words, live.connector.id.to_string()));
    checks.push(proof(&live.connector));

    let words = "Enabled and valid now";
    entrance::may_sign_in(&live.connector, context.now()).map_err(|no| Check::no(words, no))?;
    checks.push(Check::passed(words, ""));

    let words = "Sessions of this connector";
    let (now, most) = (state.admission.of_connector(live.connector.id.key()), live.connector.sessions_max(profile));
    let count = format!("{now} of at most {most}");
    if now >= most {
        return Err(Check::no(words, No::new(Rule::TooManyForConnector, count)));
    }
    checks.push(Check::passed(words, count));
    Ok(Arc::clone(live))
}

/// By what the partner would prove who it is: nobody here knows whether it can.
fn proof(connector: &Connector) -> Check {
    let by = match connector.settings.client_certificate {
        ClientCertificate::None => "the right password is taken for granted",
        ClientCertificate::OrPassword => "the right password or client certificate is taken for granted",
        ClientCertificate::AndPassword => "the right password and client certificate are taken for granted",
        ClientCertificate::Only => "the right client certificate is taken for granted; a password never signs in",
    };
    Check::unknown("Proof of who it is", by)
}

/// The command, once signed in.
async fn command(
    context: &Context,
    case: &Case,
    (snapshot, live): (&Arc<Snapshot>, &Arc<LiveConnector>),
    checks: &mut Vec<Check>,
) -> Result<Check, Check> {
    let (profile, connector) = (&snapshot.profile, &live.connector);
    if case.action.moves_data() {
        let words = "Encryption of the data";
        if !case.secure && !entrance::may_move_in_clear(profile, Some(connector), case.remote) {
            return Err(Check::no(words, No::new(Rule::TlsRequiredData, "the data connection is in clear")));
        }
        checks.push(Check::passed(words, if case.secure { "by TLS" } else { "clear text is taken here" }));
    }
    let words = "Path";
    let path = connector.settings.start_folder.path().resolve(&case.path);
    let path = path.map_err(|error| Check::no(words, No::new(Rule::NameNotStorable, error.to_string())))?;
    checks.push(Check::passed(words, path.to_string()));

    let words = "Permission and name";
    let operation = match case.action {
        Action::Store => Operation::Store,
        Action::Append => Operation::Append,
        Action::Other(operation) => operation,
        Action::Retrieve | Action::SignIn => Operation::Retrieve,
    };
    authorise(profile, connector, operation, &path).map_err(|no| Check::no(words, no))?;
    checks.push(Check::passed(words, ""));

    let party = Party {
        snapshot: Arc::clone(snapshot),
        connector: Arc::clone(live),
        session: SessionId::new(&context.state.ids),
        remote: case.remote,
        tls: String::new(),
    };
    on_disk(context, case.action, &party, &path).await
}

/// What lies there, and whether there is room.
async fn on_disk(context: &Context, action: Action, party: &Party, path: &VirtualPath) -> Result<Check, Check> {
    // Whoever is asked before a file is sent is not asked here: nobody fetches it.
    let depot = &Depot { consents: Consents::default(), ..context.state.depot.clone() };
    let (words, looked) = match action {
        Action::Store => ("Name, quota and room", plan::plan(depot, party, path, StoreMode::Replace).await.map(drop)),
        Action::Append => ("Name, quota and room", plan::plan(depot, party, path, StoreMode::Append).await.map(drop)),
        Action::Retrieve => {
            let found = send::prepare(depot, party, path, (0, None, false)).await;
            if found.as_ref().is_ok_and(|file| consent::is_wanted(party, path, file.size_bytes())) {
                let words = "an action is asked when it is really fetched, and may hold it back";
                return Ok(Check::unknown("The file", words));
            }
            ("The file", found.map(drop))
        }
        Action::SignIn | Action::Other(_) => {
            return Ok(Check::unknown("What lies there", "not looked at for this command"));
        }
    };
    match looked {
        Ok(()) => Ok(Check::passed(words, "")),
        Err(TransferError::Refused(no)) => Err(Check::no(words, no)),
        Err(error) => Err(Check { words, stand: Stand::Refused(None), detail: error.to_string() }),
    }
}
