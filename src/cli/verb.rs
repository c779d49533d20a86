//! Runs one verb: opens the data folder, does it, and reports. The exit status is 0 if it was done, 1 if it failed (the
//! reason is on standard error, in the words of the form), 2 for bad usage.

use std::io::{BufRead, ErrorKind, Write};
use std::path::Path;

use super::arguments::{GroupVerb, Verb};
use super::{admin, automation, backup, certificate, connector, events, flow, health, import, receipts, settings};
use crate::access::certificate::OpenError;
use crate::access::password::HashError;
use crate::access::programs::Programs;
use crate::access::secrets::Secrets;
use crate::base::clock::Clock;
use crate::base::id::IdSource;
use crate::store::setting::{Change, SaveError};
use crate::store::{Db, StoreError, programs};

/// The name under which changes are made.
pub(super) const COMMAND_LINE: &str = "command line";

/// Exit status: done.
const DONE: i32 = 0;
/// Exit status: failed.
const FAILED: i32 = 1;
/// Exit status: bad usage.
const BAD_USAGE: i32 = 2;

/// The environment of a verb.
pub(super) struct Desk<'a> {
    pub db: Db,
    pub data: &'a Path,
    /// The folder of programs for Commands, if it was given.
    pub commands: Option<&'a Path>,
    pub clock: Clock,
    pub ids: IdSource,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard input, for passwords.
    pub input: &'a mut dyn BufRead,
}

impl Desk<'_> {
    /// Who makes the changes here.
    pub(super) fn change(&self) -> Change<'_> {
        Change { who: COMMAND_LINE, remote: "", at: self.clock.now(), ids: &self.ids }
    }

    /// Secrets that must be readable.
    pub(super) async fn secrets(&self) -> Result<Secrets, Failure> {
        Secrets::open(self.db.clone(), self.data).await.map_err(|error| Failure::Failed(error.to_string()))
    }

    /// The programs for Commands: from the given folder, or that of the last start.
    pub(super) async fn programs(&self) -> Result<Programs, Failure> {
        let of_last_start = programs::folder(&self.db).await?;
        match self.commands.or(of_last_start.as_deref()) {
            Some(folder) => Programs::open(folder).map_err(Failure::Failed),
            None => Ok(Programs::default()),
        }
    }
}

/// Why a verb fails.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request contradicts itself.
    Usage(String),
    /// It failed for this reason.
    Failed(String),
    /// The output could not be written.
    Output(std::io::Error),
}

impl From<SaveError> for Failure {
    fn from(error: SaveError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<HashError> for Failure {
    fn from(error: HashError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

/// Where a verb finds things.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The data folder.
    pub data: &'a Path,
    /// The folder of programs for Commands, if it was given.
    pub commands: Option<&'a Path>,
}

/// Does `verb` with this process's standard streams; returns the exit status.
pub fn run(verb: &Verb, places: Places<'_>) -> i32 {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut input = std::io::stdin().lock();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(Failure::Failed(format!("could not start: {error}"))), &mut std::io::stderr()),
    };
    let result = runtime.block_on(run_on(verb, places, &mut out, &mut input));
    let result = result.and_then(|()| out.flush().map_err(Failure::from));
    end(result, &mut std::io::stderr())
}

/// Does `verb` with the given streams.
pub(super) async fn run_on(
    verb: &Verb,
    Places { data, commands }: Places<'_>,
    out: &mut dyn Write,
    input: &mut dyn BufRead,
) -> Result<(), Failure> {
    let clock = Clock::System;
    if let Verb::Restore { file, .. } = verb {
        return backup::restore((data, file), &clock, out, input).await;
    }
    let db = Db::open(data).await?;
    let mut desk = Desk { db, data, commands, ids: IdSource::random(clock.clone()), clock, out, input };
    let result = dispatch(verb, &mut desk).await;
    desk.db.close().await;
    result
}

async fn dispatch(verb: &Verb, desk: &mut Desk<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Health => health::run(desk).await,
        Verb::Settings(GroupVerb::Show { json }) => settings::show_appliance(desk, *json).await,
        Verb::Settings(GroupVerb::Set { pairs }) => settings::set_appliance(desk, pairs).await,
        Verb::Profile(GroupVerb::Show { json }) => settings::show_profile(desk, *json).await,
        Verb::Profile(GroupVerb::Set { pairs }) => settings::set_profile(desk, pairs).await,
        Verb::Connector(verb) => connector::run(desk, verb).await,
        Verb::Flow(verb) => flow::run(desk, verb).await,
        Verb::Action(verb) => automation::actions(desk, verb).await,
        Verb::EventTarget(verb) => automation::event_targets(desk, verb).await,
        Verb::Receipts(verb) => receipts::run(desk, verb).await,
        Verb::Events(verb) => events::run(desk, verb).await,
        Verb::Admin(verb) => admin::run(desk, verb).await,
        Verb::Certificate(verb) => certificate::run(desk, verb).await,
        Verb::Export => import::export(desk).await,
        Verb::Import(verb) => import::run(desk, verb).await,
        Verb::Backup(verb) => backup::run(desk, verb).await,
        // Handled before the data folder is opened.
        Verb::Restore { .. } => Ok(()),
    }
}

fn end(result: Result<(), Failure>, err: &mut dyn Write) -> i32 {
    // Nothing can be done about a closed standard error.
    match result {
        Ok(()) => DONE,
        // The reader has seen enough, as with `head`.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => DONE,
        Err(Failure::Output(error)) => {
            let _ = writeln!(err, "could not write the output: {error}");
            FAILED
        }
        Err(Failure::Failed(words)) => {
            let _ = writeln!(err, "{words}");
            FAILED
        }
        Err(Failure::Usage(words)) => {
            let _ = writeln!(err, "error: {words}\n\nFor more information, try '--help'.");
            BAD_USAGE
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::{Invocation, parse_from};

    /// Runs a command line in `data`; returns its output, or why it failed.
    pub(in crate::cli) async fn say(data: &Path, line: &[&str], input: &str) -> Result<String, Failure> {
        let arguments = std::iter::once("waybill").chain(line.iter().copied()).map(std::ffi::OsString::from);
        let Invocation::Verb { verb, commands, .. } = parse_from(arguments).unwrap() else { panic!("{line:?} serves") };
        let mut out = Vec::new();
        run_on(&verb, Places { data, commands: commands.as_deref() }, &mut out, &mut input.as_bytes()).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    /// Why a command line failed.
    pub(in crate::cli) async fn refused(data: &Path, line: &[&str]) -> String {
        match say(data, line, "").await {
            Err(Failure::Failed(words) | Failure::Usage(words)) => words,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn the_exit_status_says_how_it_ended() {
        let status = |result| end(result, &mut std::io::sink());
        assert_eq!(status(Ok(())), 0);
        assert_eq!(status(Err(Failure::Failed("no".to_owned()))), 1);
        assert_eq!(status(Err(Failure::Usage("no".to_owned()))), 2);
        assert_eq!(status(Err(Failure::Output(ErrorKind::BrokenPipe.into()))), 0);
        assert_eq!(status(Err(Failure::Output(ErrorKind::StorageFull.into()))), 1);
    }

    #[tokio::test]
    async fn any_verb_makes_the_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("new/data");
        assert_eq!(say(&data, &["connector", "list", "--json"], "").await.unwrap(), "");
        assert!(data.join("waybill.db").is_file());
    }
}
