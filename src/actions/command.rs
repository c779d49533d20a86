//! A Command connector: a program is run for each file, until it exits with status 0. It works on a copy of the file,
//! in a scratch folder that is removed when it ends.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::attempt::{ANSWER_BYTES, Attempt, Outcome};
use super::program::{self, End, Run};
use super::stray;
use crate::access::programs::Programs;
use crate::base::clock::Timestamp;
use crate::base::fault::{self, Point};
use crate::base::id::EventId;
use crate::base::path::Name;
use crate::domain::command::{Arguments, ProgramName};
use crate::domain::scheme::Facts;
use crate::domain::value::ZoneName;
use crate::store::event::Event;
use crate::store::receipt::Receipt;
use crate::workspace::copies;
use crate::workspace::download::Source;

/// Where scratch folders are, beneath the data folder.
const SCRATCH: &str = "scratch";

/// Runs programs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Commands {
    programs: Programs,
    scratch: Arc<Path>,
}

/// A program with its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    /// Which.
    pub program: &'a ProgramName,
    /// Its arguments.
    pub arguments: &'a Arguments,
    /// The time zone of dates in them.
    pub zone: &'a ZoneName,
    /// How long it may run.
    pub within: Duration,
}

/// The file that a program is run for.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The connector's id.
    pub connector: &'a str,
    /// The partner's name for the file.
    pub name: &'a str,
    /// Its path; the last name is the copy's.
    pub path: &'a str,
    /// Identifies it.
    pub message_id: &'a str,
    /// When it came, or was collected.
    pub at: Timestamp,
    /// Lower-case hex; empty if unknown.
    pub sha256: &'a str,
    /// The partner's address.
    pub remote: &'a str,
    /// Header names and values.
    pub headers: &'a [(String, String)],
}

impl<'a> Given<'a> {
    /// A received file.
    pub fn of_receipt(receipt: &'a Receipt) -> Option<Self> {
        Some(Self {
            connector: &receipt.connector,
            name: &receipt.name,
            path: &receipt.stored_path,
            message_id: receipt.id.as_str(),
            at: receipt.completed_at,
            sha256: &receipt.sha256,
            remote: &receipt.remote_address,
            headers: &receipt.headers,
        })
    }

    /// The file that an event concerns, if any.
    pub fn of_event(event: &'a Event) -> Option<Self> {
        let path = event.file.as_ref()?.path.as_str();
        Some(Self {
            connector: &event.connector,
            name: path.rsplit('/').next().unwrap_or_default(),
            path,
            message_id: event.id.as_str(),
            at: event.at,
            sha256: "",
            remote: &event.remote,
            headers: &[],
        })
    }
}

impl Commands {
    /// Runs programs of that folder; ends runs and removes scratch folders that a crash left in `data`.
    pub fn open(programs: Programs, data: &Path) -> io::Result<Self> {
        // Runs are identified by its real path, whatever path Waybill was given.
        let scratch = data.canonicalize()?.join(SCRATCH);
        // A run cut off by a crash goes on: it is ended before its file is given to another.
        let left = stray::end_left(&scratch);
        if left > 0 {
            tracing::warn!(processes = left, "Ended what programs of an earlier run had left behind");
        }
        match std::fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self { programs, scratch: scratch.into() })
    }

    /// One attempt. `run_id` is new for each; `file` contains the bytes of the receipt's file. The program ends when
    /// nobody waits for this any longer.
    pub async fn run(
        &self,
        command: &Command<'_>,
        given: &Given<'_>,
        run_id: &EventId,
        file: Option<Source>,
    ) -> Attempt {
        let prepared = self.prepare(command, given, run_id, file);
        let (one, warnings) = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return Attempt::retry(why),
        };
        let ended = async {
            let (wanted, _wants) = io::pipe()?;
            tokio::task::spawn_blocking(move || one.run(&wanted)).await.map_err(io::Error::other)?
        };
        match ended.await {
            Ok(ended) => attempt(&ended, &warnings, command.within),
            Err(error) => Attempt::retry(format!("{} could not be run: {error}", command.program.as_str())),
        }
    }

    fn prepare(
        &self,
        command: &Command<'_>,
        given: &Given<'_>,
        run_id: &EventId,
        file: Option<Source>,
    ) -> Result<(OneRun, Vec<String>), String> {
        let program = self.programs.find(command.program)?;
        let folder = self.scratch.join(run_id.as_str());
        let last = given.path.rsplit('/').next().unwrap_or_default();
        let name = Name::parse(last).map_err(|error| format!("{last:?} {error}"))?;
        let filename = Name::parse(given.name).unwrap_or_else(|_| name.clone());
        let path = folder.join(name.as_str());
        let facts = Facts {
            connector_id: given.connector,
            filename: &filename,
            message_id: given.message_id,
            at: given.at,
            zone: command.zone,
            sha256: given.sha256,
            seq: 0,
            remote_ip: given.remote.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            guid: run_id.as_str(),
            headers: given.headers,
        };
        let (arguments, warnings) = command.arguments.expand(&facts, &path.to_string_lossy());
        let copy = match (command.arguments.name_the_path(), file) {
            (false, _) => None,
            (true, Some(file)) => Some((path, file)),
            (true, None) => return Err("The bytes of the file are not there any more".to_owned()),
        };
        Ok((OneRun { program, arguments, folder, copy, within: command.within }, warnings))
    }
}

/// One run, to be done on a thread that may block.
struct OneRun {
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    /// The path at which the program finds the file, and its bytes.
    copy: Option<(PathBuf, Source)>,
    within: Duration,
}

impl OneRun {
    fn run(self, wanted: &io::PipeReader) -> io::Result<Run> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        let ended = made.and_then(|()| self.fill()).and_then(|()| {
            let limits = (self.within, ANSWER_BYTES);
            let ended = program::run(&self.program, &self.arguments, &self.folder, limits, wanted)?;
            fault::pass(Point::ProgramEnded)?;
            Ok(ended)
        });
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "Could not remove a scratch folder");
        }
        ended
    }

    /// A file for this run only: whatever the program does to it affects no other.
    fn fill(&self) -> io::Result<()> {
        let Some((path, source)) = &self.copy else { return Ok(()) };
        let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        copies::duplicate(source, to)
    }
}

/// Status 0 is delivered, anything else is retried.
fn attempt(ended: &Run, warnings: &[String], within: Duration) -> Attempt {
    let (outcome, words) = match ended.end {
        End::Exited(0) => (Outcome::Delivered, "Exit status 0".to_owned()),
        End::Exited(status) => (Outcome::Retry, format!("Exit status {status}")),
        End::Signalled(signal) => (Outcome::Retry, format!("Ended by signal {signal}")),
        End::TooLong => {
            let most = within.as_secs();
            (Outcome::Retry, format!("Still running after {most} s, so it was ended with all it had started"))
        }
        End::Unwanted => {
            (Outcome::Retry, "Ended with all it had started, since nobody waited for it any more".to_owned())
        }
    };
    let said = String::from_utf8_lossy(&ended.output).replace('\0', "\u{fffd}");
    let lines = std::iter::once(words.as_str()).chain(warnings.iter().map(String::as_str));
    let answer = lines.chain(std::iter::once(said.trim_end())).filter(|line| !line.is_empty());
    Attempt::new(outcome, answer.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::actions::program::WITHIN;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;
    use crate::domain::setting::Value;

    /// Runs a program with these lines on a file with these bytes; returns the outcome and what is left in scratch.
    async fn ran(text: &str, arguments: &str) -> (Attempt, Vec<String>) {
        let top = tempfile::tempdir().unwrap();
        let (programs, data) = (top.path().join("programs"), top.path().join("data"));
        std::fs::create_dir_all(&programs).unwrap();
        std::fs::create_dir_all(data.join("scratch/left/by a crash")).unwrap();
        let program = programs.join("import");
        std::fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let file = data.join("held");
        std::fs::write(&file, "the bytes").unwrap();
        let commands = Commands::open(Programs::open(&programs).unwrap(), &data).unwrap();
        let ids = IdSource::random(Clock::System);
        let receipt = Receipt::sample(&ids, "ACME", Timestamp::from_us(1_800_000_000_000_000));
        let (name, arguments) = (ProgramName::parse("import").unwrap(), Arguments::parse(arguments).unwrap());
        let zone = ZoneName::parse("UTC").unwrap();
        let command = Command { program: &name, arguments: &arguments, zone: &zone, within: WITHIN };
        let mut attempt = Attempt::retry("busy");
        // Another test that is starting a program may hold this one open for a moment.
        for _ in 0..100 {
            // An earlier reader, such as the program asked before this one, has left it at its end.
            let mut opened = File::open(&file).unwrap();
            io::Read::read_to_end(&mut opened, &mut Vec::new()).unwrap();
            let source = Source::shared(Arc::new(opened.into())).unwrap();
            attempt =
                commands.run(&command, &Given::of_receipt(&receipt).unwrap(), &EventId::new(&ids), Some(source)).await;
            if !attempt.answer.contains("busy") {
                break;
            }
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "the bytes", "it works on a copy");
        let left = std::fs::read_dir(data.join("scratch")).unwrap();
        (attempt, left.map(|entry| entry.unwrap().path().display().to_string()).collect())
    }

    #[tokio::test]
    async fn a_program_gets_a_copy_in_a_scratch_folder_that_goes() {
        let text = "cat \"$2\"; echo; basename \"$2\"; echo \"$3\"; [ \"$(dirname \"$2\")\" = \"$(pwd)\" ] && echo here
                    echo changed > \"$2\"; touch more";
        let (attempt, left) = ran(text, "--in {path} '%ConnectorId% %Filename%'").await;
        let answer = "Exit status 0\nthe bytes\na.edi\nACME a.edi\nhere";
        assert_eq!((attempt.outcome, attempt.answer.as_str()), (Outcome::Delivered, answer));
        assert_eq!(left, [""; 0]);
    }

    #[tokio::test]
    async fn what_fails_is_tried_again_and_says_why() {
        let (attempt, left) = ran("echo no room >&2; exit 7", "%Header:PO%").await;
        let answer = "Exit status 7\n%Header:PO% is empty: the file has no header PO\nno room";
        assert_eq!((attempt.outcome, attempt.answer.as_str()), (Outcome::Retry, answer));
        assert_eq!(left, [""; 0]);
        let (attempt, _) = ran("ls | wc -l | tr -d ' '", "").await;
        assert_eq!(attempt.answer, "Exit status 0\n0", "without the path there is no copy");
    }
}
