//! Plays `tests/transcripts/*.txt` against the pure session: no network, no sleep. Their form is told in
//! `tests/transcripts/README.md`. Also: the table in `docs/SPECIFICATIONS.md` names each transcript and nothing else,
//! and the seeds of `fuzz/` go through the functions that are fuzzed.

#![expect(clippy::unwrap_used, reason = "a transcript that cannot be read stops the test")]

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "transcripts/unescape.rs"]
mod unescape;

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use proptest::prelude::*;
use unescape::unescape;
use waybill::base::clock::Timestamp;
use waybill::base::path::VirtualPath;
use waybill::ftp::command::Command;
use waybill::ftp::encoding::Encoding;
use waybill::ftp::line::LineReader;
use waybill::ftp::listing::{Entry, Format, Kind, Rights, Unique, parse_time_value, time_value};
use waybill::ftp::reply::{Code, Reply};
use waybill::ftp::session::{Ask, Listing, Outcome, Policy, Session, Step, StoreMode, Transfer};

/// When a transcript's entries are looked at.
const NOW: &str = "20261201000000";

/// Codes that a transcript's `! refused` may use.
const CODES: [Code; 17] = [
    Code::ClosingControl,
    Code::NoDataConnection,
    Code::TransferAborted,
    Code::SecurityUnavailable,
    Code::FileBusy,
    Code::ActionAborted,
    Code::NoSpace,
    Code::ArgumentError,
    Code::NetworkNotSupported,
    Code::NotLoggedIn,
    Code::ParameterNotImplemented,
    Code::PolicyDenied,
    Code::ProtectionNotSupported,
    Code::FileUnavailable,
    Code::QuotaExceeded,
    Code::NameRefused,
    Code::InvalidRestart,
];

/// A session and the little of an engine that answers for it.
struct Player {
    session: Session,
    policy: Policy,
    reader: LineReader,
    waiting: VecDeque<Command>,
    aborting: bool,
    closed: bool,
    said: Vec<String>,
}

impl Player {
    fn new() -> Self {
        Self {
            session: Session::new(),
            policy: Policy { tls_offered: true, active_mode: false, mode_z: false, data_tls_required: false },
            reader: LineReader::new(),
            waiting: VecDeque::new(),
            aborting: false,
            closed: false,
            said: Vec::new(),
        }
    }

    /// Takes one line of a transcript that is input; what comes of it is in `said`.
    fn play(&mut self, line: &str) {
        assert!(!self.closed, "the connection is closed before {line:?}");
        let (mark, text) = line.split_once(' ').unwrap_or((line, ""));
        match mark {
            "=" => self.policy = policy(text),
            // For the player over real sockets.
            "~" => {}
            "C:" => self.hear(&[unescape(text), b"\r\n".to_vec()].concat()),
            "c:" => self.hear(&unescape(text)),
            "!" if text == "secured" => self.session.secured(false),
            "!" if text == "secured implicit" => self.session.secured(true),
            "!" => {
                let step = self.session.outcome(outcome(text));
                self.take(step);
                self.go_on();
            }
            other => panic!("a transcript has no lines that begin with {other:?}"),
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
        while let Some(line) = self.reader.next() {
            let step = match line.map(|bytes| self.session.decode(&bytes)) {
                Ok(Some(text)) => self.session.command(Command::read(&text), &self.policy),
                Ok(None) => {
                    let reply = self.session.undecodable();
                    self.session.invalid(reply)
                }
                Err(error) => self.session.invalid(error.reply()),
            };
            self.take(step);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Send(reply) | Step::Forbid(_, reply) => self.say(&reply),
            Step::Close(reply) => {
                self.say(&reply);
                self.said.push("> close".to_owned());
                self.closed = true;
            }
            Step::Ask(ask) => self.said.push(format!("> {}", asked(&ask))),
            Step::Abort => {
                self.said.push("> abort".to_owned());
                self.aborting = true;
            }
            Step::Wait(command) => {
                self.said.push(format!("> wait {}", command.name()).trim_end().to_owned());
                self.waiting.push_back(*command);
            }
            Step::Status => {
                let transfer = (!self.session.is_idle()).then_some("12,345 bytes so far");
                self.say(&self.session.status(transfer));
            }
        }
    }

    /// What an engine does after an outcome: ABOR's own reply, then the commands that waited.
    fn go_on(&mut self) {
        if self.aborting && self.session.is_idle() {
            self.aborting = false;
            let reply = self.session.aborted();
            self.say(&reply);
        }
        while self.session.is_idle() && !self.closed {
            let Some(command) = self.waiting.pop_front() else { return };
            let step = self.session.command(command, &self.policy);
            self.take(step);
        }
    }

    fn say(&mut self, reply: &Reply) {
        let bytes = reply.to_wire(|text| self.session.encoding().encode(text));
        let text = String::from_utf8(bytes).unwrap_or_else(|error| escape(error.as_bytes()));
        self.said.extend(text.trim_end_matches("\r\n").split("\r\n").map(|line| format!("S: {line}")));
    }
}

fn policy(text: &str) -> Policy {
    let has = |word: &str| text.split(' ').any(|one| one == word);
    Policy {
        tls_offered: has("tls"),
        active_mode: has("active"),
        mode_z: has("mode-z"),
        data_tls_required: has("data-tls"),
    }
}

/// An [`Ask`] in the words of a transcript.
fn asked(ask: &Ask) -> String {
    match ask {
        Ask::Name(name) => format!("name {name}"),
        Ask::Login { name, password } => format!("login {name} with {:?}", password.reveal()),
        Ask::Logout => "logout".to_owned(),
        Ask::Host(name) => format!("host {name}"),
        Ask::StartTls => "start-tls".to_owned(),
        Ask::Passive { family, extended } => {
            format!(
                "passive{}{}",
                if *extended { " extended" } else { "" },
                family.map_or(String::new(), |f| format!(" {f:?}"))
            )
        }
        Ask::Active(at) => format!("active {at}"),
        Ask::Enter(path) => format!("enter {path}"),
        Ask::Transfer(transfer) => moved(transfer),
        Ask::Stat(listing) => format!("stat {}", listed(listing)),
        Ask::Mlst(path) => format!("mlst {path}"),
        Ask::Size { path, ascii } => format!("size {path}{}", text_mark(*ascii)),
        Ask::Modified(path) => format!("modified {path}"),
        Ask::ModifiedOrTouch { whole, path, to } => {
            let whole = whole.as_ref().map_or("nothing".to_owned(), ToString::to_string);
            format!("modified {whole} or touch {path} to {}", time_value(*to))
        }
        Ask::Touch { path, to } => format!("touch {path} to {}", time_value(*to)),
        Ask::Digest { path, algorithm, range: (start, end) } => {
            format!("digest {path} {} from {start}{}", algorithm.name(), upto(*end))
        }
        Ask::Available(path) => format!("available {path}"),
        Ask::Delete(path) => format!("delete {path}"),
        Ask::MakeFolder(path) => format!("make-folder {path}"),
        Ask::RemoveFolder(path) => format!("remove-folder {path}"),
        Ask::RenameFrom(path) => format!("rename-from {path}"),
        Ask::Rename { from, to } => format!("rename {from} to {to}"),
        Ask::ClientName(name) => format!("client-name {name}"),
        Ask::Receipt(path) => format!("receipt {path}"),
        Ask::Unsupported(reply) => format!("unsupported {}", reply.summary()),
    }
}

fn moved(transfer: &Transfer) -> String {
    match transfer {
        Transfer::Retrieve { path, offset, end, ascii } => {
            format!("retrieve {path} from {offset}{}{}", upto(*end), text_mark(*ascii))
        }
        Transfer::Store { path, mode, ascii } => {
            let mode = match mode {
                StoreMode::Replace => "replace".to_owned(),
                StoreMode::From(offset) => format!("from {offset}"),
                StoreMode::Append => "append".to_owned(),
                StoreMode::Unique => "unique".to_owned(),
            };
            format!("store {path} {mode}{}", text_mark(*ascii))
        }
        Transfer::List(listing) => format!("list {}", listed(listing)),
    }
}

fn listed(listing: &Listing) -> String {
    let Listing { path, pattern, format, all, recursive, facts, written } = listing;
    let mut out = format!("{path}");
    if let Some(pattern) = pattern {
        out = format!("{out} matching {pattern}");
    }
    out += match format {
        Format::List => " as lines",
        Format::Names => " as names",
        Format::Machine => " as facts",
    };
    if *format == Format::Machine {
        out = format!("{out} {facts}");
    }
    if *format == Format::Names && !written.is_empty() {
        out = format!("{out} within {written}");
    }
    out + if *all { " with dots" } else { "" } + if *recursive { " and below" } else { "" }
}

fn upto(end: Option<u64>) -> String {
    end.map_or(String::new(), |end| format!(" to {end}"))
}

fn text_mark(ascii: bool) -> &'static str {
    if ascii { " as text" } else { "" }
}

/// An [`Outcome`] from the words of a transcript.
fn outcome(text: &str) -> Outcome {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "done" => Outcome::Done,
        "refused" => Outcome::Refused(refusal(rest)),
        "closing" => Outcome::RefusedAndClose(refusal(rest)),
        "name-accepted" => Outcome::NameAccepted { encoding: encoding(Some(rest).filter(|label| !label.is_empty())) },
        "logged-in" | "logged-in-by-certificate" => {
            let (start, label) = rest.split_once(' ').map_or((rest, None), |(start, label)| (start, Some(label)));
            Outcome::LoggedIn { start: path(start), encoding: encoding(label), by_certificate: word != "logged-in" }
        }
        "entered" => Outcome::Entered(path(rest)),
        "banner" => Outcome::Banner(rest.replace(" | ", "\n")),
        "listening" => Outcome::Listening(rest.parse().unwrap()),
        "opened" => Outcome::Opened { unique: Some(rest.to_owned()).filter(|name| !name.is_empty()) },
        "transferred" => Outcome::Transferred { note: rest.to_owned() },
        "entries" => {
            let entries = rest.split("; ").filter(|one| !one.is_empty()).map(entry).collect();
            Outcome::Entries { entries, now: time(NOW), list_zone: TimeZone::UTC }
        }
        "size" => Outcome::Size(rest.parse().unwrap()),
        "modified" => Outcome::Modified(time(rest)),
        "digest" => {
            let words: Vec<_> = rest.split(' ').collect();
            let [hex, start, end] = words[..] else { panic!("! digest HEX START END") };
            Outcome::Digest { hex: hex.to_owned(), start: start.parse().unwrap(), end: end.parse().unwrap() }
        }
        "available" => Outcome::Available(rest.parse().unwrap()),
        "receipt" => Outcome::Receipt(rest.split(" | ").map(str::to_owned).collect()),
        other => panic!("there is no outcome {other:?}"),
    }
}

fn encoding(label: Option<&str>) -> Encoding {
    label.map_or_else(Encoding::default, |label| Encoding::parse(label).unwrap())
}

fn refusal(text: &str) -> Reply {
    let (number, text) = text.split_once(' ').unwrap();
    let code = CODES.into_iter().find(|code| code.number().to_string() == number);
    Reply::new(code.unwrap_or_else(|| panic!("add {number} to CODES")), text)
}

/// `file 12 20261125140352 adfrw name`.
fn entry(text: &str) -> Entry {
    let words: Vec<_> = text.splitn(5, ' ').collect();
    let [kind, size, modified, perm, name] = words[..] else { panic!("an entry is KIND SIZE TIME PERM NAME") };
    let kind = match kind {
        "file" => Kind::File,
        "folder" => Kind::Folder,
        "this" => Kind::This,
        "parent" => Kind::Parent,
        other => panic!("there is no kind {other:?}"),
    };
    let all = [
        Rights::APPEND,
        Rights::CREATE,
        Rights::DELETE,
        Rights::ENTER,
        Rights::RENAME,
        Rights::LIST,
        Rights::MAKE_FOLDER,
        Rights::PURGE,
        Rights::RETRIEVE,
        Rights::STORE,
    ];
    let chosen = all.into_iter().filter(|right| perm.contains(&right.to_string()));
    Entry {
        name: name.to_owned(),
        kind,
        size: size.parse().unwrap(),
        modified: time(modified),
        rights: chosen.fold(Rights::NONE, |sum, right| sum | right),
        unique: Unique::Part("u1".to_owned()),
    }
}

fn time(text: &str) -> Timestamp {
    parse_time_value(text).unwrap()
}

fn path(text: &str) -> VirtualPath {
    VirtualPath::root().resolve(text).unwrap()
}

fn escape(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| if byte.is_ascii() { char::from(*byte).to_string() } else { format!("\\x{byte:02x}") })
        .collect()
}

fn home(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

fn transcripts() -> Vec<PathBuf> {
    let files = fs::read_dir(home("tests/transcripts")).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|ext| ext == "txt")).collect();
    files.sort();
    files
}

/// The transcript as it would have to be: its own input and remarks, and what really came out.
fn played(text: &str) -> String {
    let mut player = Player::new();
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.starts_with("S: ") && !line.starts_with("> ")) {
        out += line;
        out.push('\n');
        if !line.is_empty() && !line.starts_with('#') {
            player.play(line);
            for said in player.said.drain(..) {
                out += &said;
                out.push('\n');
            }
        }
    }
    assert!(player.waiting.is_empty() && player.session.is_idle(), "the transcript ends in the middle");
    out
}

#[test]
fn every_transcript_plays() {
    let files = transcripts();
    assert!(!files.is_empty());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let out = played(&text);
        if out == text {
            continue;
        }
        if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
            fs::write(&file, out).unwrap();
            continue;
        }
        let (number, wanted, came) = text
            .lines()
            .chain([""])
            .zip(out.lines().chain([""]))
            .enumerate()
            .find_map(|(i, (wanted, came))| (wanted != came).then_some((i + 1, wanted, came)))
            .unwrap_or((0, "another end", ""));
        panic!("{name}:{number}\n  wanted {wanted}\n  came   {came}");
    }
}

#[test]
fn the_specification_table_and_the_transcripts_name_each_other() {
    let table = fs::read_to_string(home("docs/SPECIFICATIONS.md")).unwrap();
    let named: BTreeSet<_> = table
        .split('`')
        .filter(|word| word.strip_suffix(".txt").is_some_and(|name| !name.contains(' ')))
        .map(str::to_owned)
        .collect();
    let there: BTreeSet<_> =
        transcripts().iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(named, there);
    for line in table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| where") && !line.starts_with("| ---"))
    {
        assert!(line.contains(".txt`") || line.contains("engine"), "no transcript in: {line}");
    }
}

#[test]
fn no_reply_of_any_transcript_smuggles_a_line() {
    for file in transcripts() {
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.replace('\n', "").chars().any(char::is_control), "{}", file.display());
    }
}

/// The seeds of one fuzz target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(home("fuzz/corpus").join(target)).unwrap();
    let seeds: Vec<_> = files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds
}

/// A fuzz target's name and body.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 4] =
    [("address", bodies::address), ("command", bodies::command), ("line", bodies::line), ("matcher", bodies::matcher)];

#[test]
fn fuzz_seeds_break_nothing() {
    for (name, body) in TARGETS {
        for seed in seeds(name) {
            body(&seed);
        }
    }
}

/// Changes to a seed: a byte put in, a byte set, a byte taken out, a piece said again.
fn changed(mut bytes: Vec<u8>, changes: &[(u8, prop::sample::Index, u8)]) -> Vec<u8> {
    for (kind, at, byte) in changes {
        let at = at.index(bytes.len() + 1);
        match kind % 4 {
            0 => bytes.insert(at, *byte),
            1 if at < bytes.len() => bytes[at] = *byte,
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ => {
                let end = bytes.len().min(at + usize::from(*byte));
                bytes.extend_from_within(at..end);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A short run of the fuzz targets on every build; cargo-fuzz takes them further.
    #[test]
    fn what_is_near_a_fuzz_seed_breaks_nothing(
        target in 0..TARGETS.len(),
        seed: prop::sample::Index,
        changes in prop::collection::vec((any::<u8>(), any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let (name, body) = TARGETS[target];
        let seeds = seeds(name);
        body(&changed(seeds[seed.index(seeds.len())].clone(), &changes));
    }
}

/// What an engine would say if all went well.
fn answer(ask: &Ask) -> Outcome {
    match ask {
        Ask::Name(_) => outcome("name-accepted"),
        Ask::Login { .. } => outcome("logged-in /"),
        Ask::Host(_) => outcome("banner Welcome."),
        Ask::Passive { .. } => outcome("listening 192.0.2.7:50000"),
        Ask::Transfer(_) => outcome("opened"),
        Ask::Stat(_) | Ask::Mlst(_) => outcome("entries file 1 20261125140352 r a"),
        Ask::Size { .. } => Outcome::Size(1),
        Ask::Modified(_) | Ask::ModifiedOrTouch { .. } => outcome("modified 20261125140352"),
        Ask::Digest { .. } => outcome("digest 00 0 1"),
        Ask::Available(_) => Outcome::Available(1),
        Ask::Receipt(_) => outcome("receipt one | two"),
        Ask::Unsupported(reply) => Outcome::Refused(reply.clone()),
        Ask::Logout
        | Ask::StartTls
        | Ask::Active(_)
        | Ask::Enter(_)
        | Ask::Touch { .. }
        | Ask::Delete(_)
        | Ask::MakeFolder(_)
        | Ask::RemoveFolder(_)
        | Ask::RenameFrom(_)
        | Ask::Rename { .. }
        | Ask::ClientName(_) => Outcome::Done,
    }
}

/// A verb and something behind it, likely enough to be right.
fn lines() -> impl Strategy<Value = String> {
    let verbs: Vec<_> = waybill::ftp::feature::FEATURES.iter().map(|feature| feature.name).collect();
    (prop::sample::select(verbs), prop_oneof!["[ -~]{0,20}", Just("a".to_owned()), Just("1".to_owned()), ".{0,20}"])
        .prop_map(|(verb, argument)| format!("{verb} {argument}"))
}

proptest! {
    /// Whatever is said in whatever order: one answer to each command, no answer without one, one line a line.
    #[test]
    fn a_session_answers_each_command_once(lines in prop::collection::vec((lines(), any::<bool>()), 0..60), login: bool) {
        let policy = policy("tls active mode-z");
        let mut session = Session::new();
        if login {
            session.command(Command::read("USER acme"), &policy);
            session.outcome(outcome("name-accepted"));
            session.command(Command::read("PASS x"), &policy);
            session.outcome(outcome("logged-in /"));
        }
        for (line, well) in lines {
            prop_assert!(session.is_idle());
            let mut step = session.command(Command::read(&line), &policy);
            if let Step::Ask(ask) = &step {
                prop_assert!(!session.is_idle());
                let transfer = matches!(ask, Ask::Transfer(_));
                let well = if well { answer(ask) } else { Outcome::Refused(Reply::new(Code::FileUnavailable, "No.")) };
                prop_assert!(matches!(session.command(Command::Quit, &policy), Step::Wait(_)));
                step = session.outcome(well);
                if transfer {
                    prop_assert!(!session.is_data_agreed());
                }
                if session.is_transferring() {
                    prop_assert!(matches!(session.command(Command::Abor, &policy), Step::Abort));
                    step = session.outcome(outcome("transferred"));
                    prop_assert_eq!(session.aborted().code(), Code::NothingToAbort);
                }
            }
            match step {
                Step::Send(reply) | Step::Forbid(_, reply) | Step::Close(reply) => {
                    prop_assert!(!reply.summary().chars().any(char::is_control), "{:?}", reply);
                }
                Step::Status => prop_assert!(!session.status(None).summary().is_empty()),
                other => prop_assert!(false, "{line}: {other:?}"),
            }
        }
    }
}
