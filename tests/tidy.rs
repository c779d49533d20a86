//! House rules as tests: they read the text of the project. Each failure says file, line and rule.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use regex::Regex;
use waybill::domain::event::EventKind;

/// Modules by floor: each uses modules of lower floors only, never its neighbours nor anything above.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["ftp", "domain"],
    &["store", "workspace"],
    &["transfer", "access"],
    &["engine", "web", "actions", "cli"],
    &["app"],
];

/// Lines of one Rust file, its tests included: longer ones are split by topic.
const FILE_LINES_MAX: usize = 700;

/// Words that `docs/LEXICON.md` keeps out of type names, because another word means the same.
const NOT_WORDS: &[&str] = &[
    "Account",
    "Appender",
    "Archive",
    "Batch",
    "Bookmark",
    "Cache",
    "Cert",
    "Channel",
    "Customer",
    "Daemon",
    "Deny",
    "Device",
    "Dump",
    "Expectation",
    "Hidden",
    "Home",
    "Hook",
    "Inbox",
    "Invisible",
    "Link",
    "Message",
    "Notification",
    "Operator",
    "Option",
    "Outbox",
    "Period",
    "Permission",
    "Property",
    "Push",
    "Recover",
    "Reject",
    "Selection",
    "Simulation",
    "Subscriber",
    "Task",
    "Trigger",
    "User",
    "Validation",
    "Zombie",
];

/// Endings that say nothing about a type.
const EMPTY_ENDINGS: &[&str] = &["Manager", "Helper", "Util", "Utils", "Info", "Data"];

/// Where the project's own texts are.
const TEXT_FOLDERS: &[&str] = &["src", "tests", "migrations", "templates", "static", "docs", "benches", "fuzz"];
const TEXT_ENDINGS: &[&str] =
    &["rs", "sql", "html", "css", "js", "md", "py", "sh", "toml", "txt", "yaml", "yml", "Dockerfile", "run"];

/// A text file of the project, by its path beneath the project's folder.
struct Text {
    path: PathBuf,
    text: String,
}

impl Text {
    fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|ending| ending == "rs")
    }

    /// `path:line: words` for every line that `breaks` finds fault with.
    fn complaints(&self, breaks: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let say = |(index, words): (usize, String)| format!("{}:{}: {words}", self.path.display(), index + 1);
        self.text.lines().enumerate().filter_map(|(index, line)| Some((index, breaks(line)?))).map(say).collect()
    }
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn texts() -> Vec<Text> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut folders: Vec<PathBuf> = TEXT_FOLDERS.iter().map(|name| project().join(name)).collect();
    paths.extend(files_of(project()).into_iter().filter(|path| path.is_file()));
    while let Some(folder) = folders.pop() {
        for path in files_of(&folder) {
            match path.is_dir() {
                true if path.ends_with("target") => {}
                true => folders.push(path),
                false => paths.push(path),
            }
        }
    }
    let is_text = |path: &PathBuf| {
        let ending = path.extension().or(path.file_name()).and_then(|name| name.to_str()).unwrap_or_default();
        TEXT_ENDINGS.contains(&ending)
    };
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Text { path: path.strip_prefix(project()).unwrap_or(&path).to_owned(), text }
    };
    let mut texts: Vec<_> = paths.into_iter().filter(is_text).map(read).collect();
    texts.sort_by(|a, b| a.path.cmp(&b.path));
    texts
}

/// What is in a folder; nothing when it does not exist.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn rust() -> Vec<Text> {
    texts().into_iter().filter(Text::is_rust).collect()
}

fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The module of `src/` that a file belongs to; `main.rs` and `lib.rs` belong to none.
fn module_of(path: &Path) -> Option<String> {
    let below = path.strip_prefix("src").ok()?;
    let first = below.components().next()?.as_os_str().to_str()?;
    (!matches!(first, "lib.rs" | "main.rs")).then(|| first.trim_end_matches(".rs").to_owned())
}

#[test]
fn modules_use_lower_floors_only() {
    let used = Regex::new(r"\bcrate::([a-z_]+)").unwrap();
    let mut complaints = Vec::new();
    for text in rust() {
        let Some(module) = module_of(&text.path) else { continue };
        let Some(floor) = floor_of(&module) else {
            complaints.push(format!("{}: {module} stands on no floor", text.path.display()));
            continue;
        };
        complaints.extend(text.complaints(|line| {
            let line = line.split("//").next().unwrap_or_default();
            let above = |other: &str| other != module && floor_of(other).is_some_and(|other| other >= floor);
            let found = used.captures_iter(line).map(|found| found[1].to_owned()).find(|other| above(other))?;
            Some(format!("{module} uses {found}"))
        }));
    }
    none(&complaints);
}

#[test]
fn nothing_hides_what_a_file_uses() {
    let hiding = [concat!("crate::", "{"), concat!("super::", "super")];
    let find = |line: &str| hiding.iter().find(|text| line.contains(*text)).map(|text| format!("no {text}"));
    none(&rust().iter().flat_map(|text| text.complaints(find)).collect::<Vec<_>>());
}

#[test]
fn floors_are_drawn_in_the_architecture_text() {
    let drawn = std::fs::read_to_string(project().join("docs/ARCHITECTURE.md")).unwrap();
    let mut missing = Vec::new();
    for (number, floor) in FLOORS.iter().enumerate() {
        let there: Vec<_> =
            floor.iter().filter(|module| project().join("src").join(module).is_dir()).copied().collect();
        let line = format!("floor {number}  {}", there.join("  "));
        if !there.is_empty() && !drawn.lines().any(|drawn| drawn.trim().starts_with(&line)) {
            missing.push(format!("docs/ARCHITECTURE.md lacks: {line}"));
        }
    }
    none(&missing);
}

#[test]
fn what_the_architecture_text_leads_to_is_there() {
    let text = std::fs::read_to_string(project().join("docs/ARCHITECTURE.md")).unwrap();
    let named = Regex::new(r"`((?:src|tests|docs|migrations|templates|static)/[^`]*)`").unwrap();
    let several = Regex::new(r"^(.*)\{(.*)\}(.*)$").unwrap();
    let paths = named.captures_iter(&text).flat_map(|found| match several.captures(&found[1]) {
        Some(parts) => parts[2].split(',').map(|one| format!("{}{one}{}", &parts[1], &parts[3])).collect(),
        None => vec![found[1].to_owned()],
    });
    let missing = paths.filter(|path| !project().join(path).exists());
    none(&missing.map(|path| format!("docs/ARCHITECTURE.md leads to {path}, which is not there")).collect::<Vec<_>>());
}

#[test]
fn files_are_short_and_open_with_what_they_are_for() {
    let mut complaints = Vec::new();
    for text in rust() {
        let (path, lines) = (text.path.display(), text.text.lines().count());
        if lines > FILE_LINES_MAX {
            complaints.push(format!("{path}: {lines} lines, at most {FILE_LINES_MAX}"));
        }
        if !text.text.starts_with("//! ") {
            complaints.push(format!("{path}:1: opens without its module text (//!)"));
        }
    }
    none(&complaints);
}

#[test]
fn nothing_is_left_undone_or_ragged() {
    let undone = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("unimplemented", "!"), concat!("to", "do!(")];
    let complain = |line: &str| {
        if line.ends_with([' ', '\t']) {
            return Some("trailing blank".to_owned());
        }
        undone.iter().find(|word| line.contains(*word)).map(|word| format!("holds {word}"))
    };
    // In a transcript a blank may be what the client sends.
    let kept = |text: &&Text| !text.path.starts_with("tests/transcripts");
    none(&texts().iter().filter(kept).flat_map(|text| text.complaints(complain)).collect::<Vec<_>>());
}

#[test]
fn times_follow_the_reader_and_say_their_other_zone() {
    // The script puts the reader's zone in place of both.
    let bare = Regex::new(r#"<time datetime="[^"]*">\{\{ [a-z_.]+\.(words|age) "#).unwrap();
    let fixed = Regex::new(r">[^<]*, UTC</th>").unwrap();
    let mut complaints = Vec::new();
    for page in texts().iter().filter(|text| text.path.starts_with("templates")) {
        let has_times = page.text.contains("<time datetime");
        complaints.extend(page.complaints(|line| {
            if has_times && fixed.is_match(line) {
                return Some("a heading says UTC of times that are shown in the reader's zone".to_owned());
            }
            bare.is_match(line).then(|| "a time without its title".to_owned())
        }));
    }
    none(&complaints);
}

#[test]
fn enter_in_a_field_saves() {
    // A browser presses a form's first button.
    let button = Regex::new(r#"enter_saves\(\)|<button [^>]*class="btn primary"|<button [^>]*name="[^"]*""#).unwrap();
    let complain = |line: &str| {
        let form = line.split_once("id=\"settings-form\"")?.1;
        let first = button.find(form)?;
        first.as_str().contains("name=").then(|| format!("Enter would press {}", first.as_str()))
    };
    let pages = texts().into_iter().filter(|text| text.path.starts_with("templates"));
    none(
        &pages
            .flat_map(|text| Text { text: text.text.replace('\n', " "), ..text }.complaints(complain))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn no_text_names_a_place_of_one_machine() {
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/home", "/")];
    let complain = |line: &str| {
        places.iter().find(|place| line.contains(*place)).map(|place| format!("names a machine's folder: {place}"))
    };
    none(&texts().iter().flat_map(|text| text.complaints(complain)).collect::<Vec<_>>());
}

#[test]
fn types_are_named_in_the_words_of_the_lexicon() {
    let defined = Regex::new(r"^\s*(?:pub(?:\([a-z: ]+\))? )?(?:struct|enum|trait|type) ([A-Z][A-Za-z0-9]*)").unwrap();
    let word = Regex::new("[A-Z][a-z0-9]*").unwrap();
    let complain = |line: &str| {
        let name = defined.captures(line)?.get(1)?.as_str();
        let not_word = word.find_iter(name).map(|found| found.as_str()).find(|found| NOT_WORDS.contains(found));
        let empty = EMPTY_ENDINGS.iter().copied().find(|ending| name.ends_with(ending));
        not_word.or(empty).map(|found| format!("{name}: not {found}, see docs/LEXICON.md"))
    };
    none(&rust().iter().flat_map(|text| text.complaints(complain)).collect::<Vec<_>>());
    let lexicon = std::fs::read_to_string(project().join("docs/LEXICON.md")).unwrap().to_lowercase();
    for word in NOT_WORDS {
        assert!(lexicon.contains(&word.to_lowercase()), "docs/LEXICON.md says nothing of {word}");
    }
}

#[test]
fn every_kind_of_event_is_documented() {
    let documented = std::fs::read_to_string(project().join("docs/EVENTS.md")).unwrap();
    let mut missing = String::new();
    for kind in EventKind::ALL {
        if !documented.contains(&format!("| `{}` |", kind.name())) {
            let _ = writeln!(missing, "docs/EVENTS.md lacks {}", kind.name());
        }
    }
    assert!(missing.is_empty(), "\n{missing}");
}
