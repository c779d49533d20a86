//! What a Command connector runs: a program in one folder, with arguments that may contain macros. No shell reads them.

use std::fmt::Write as _;

use super::scheme::{Facts, Scheme};
use super::setting::{Input, Value};
use super::value::typed;

/// Bytes of a program's name.
const PROGRAM_BYTES_MAX: usize = 255;
/// Bytes of all arguments as they are typed.
const ARGUMENTS_BYTES_MAX: usize = 8 * 1024;
/// Arguments of one program.
const ARGUMENTS_MAX: usize = 64;
/// Stands for the path of the file.
const PATH: &str = "{path}";

/// The name of a program: a file directly in the folder given at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramName(String);

impl ProgramName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for ProgramName {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let name = text.trim();
        let wrong = |why: &str| Err(format!("{} {why}", typed(text)));
        if name.contains('/') {
            return wrong("holds a slash; write the name of a file directly in the folder of programs");
        }
        if name.is_empty() || name.starts_with('.') || name.chars().any(char::is_control) {
            return wrong("is no name of a program; write one such as import-orders");
        }
        if name.len() > PROGRAM_BYTES_MAX {
            return wrong(&format!("has {} bytes; {PROGRAM_BYTES_MAX} fit here", name.len()));
        }
        Ok(Self(name.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The arguments of a program.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    text: String,
    words: Vec<Word>,
}

/// One argument: the parts before, between and after `{path}`.
#[derive(Clone, Debug)]
struct Word(Vec<Scheme>);

impl Arguments {
    /// Whether the program gets the path of the file: then it gets a copy of it.
    pub fn name_the_path(&self) -> bool {
        self.words.iter().any(|word| word.0.len() > 1)
    }

    /// Each argument for a file at `path`, and what an administrator should know.
    pub fn expand(&self, facts: &Facts<'_>, path: &str) -> (Vec<String>, Vec<String>) {
        let mut warnings = Vec::new();
        let expanded = self.words.iter().map(|word| word.expand(facts, path, &mut warnings)).collect();
        (expanded, warnings)
    }
}

impl Word {
    fn expand(&self, facts: &Facts<'_>, path: &str, warnings: &mut Vec<String>) -> String {
        let pieces: Vec<_> = self.0.iter().map(|piece| piece.expand(facts, warnings)).collect();
        let whole = pieces.join(path);
        // A partner's file name must not become an option of the program.
        let is_chosen_elsewhere = self.0.first().is_some_and(Scheme::begins_with_macro);
        let whole = if is_chosen_elsewhere && whole.starts_with('-') { format!("./{whole}") } else { whole };
        whole.replace('\0', "\u{fffd}")
    }
}

impl PartialEq for Arguments {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Value for Arguments {
    const INPUT: Input = Input::Area;

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.replace("\r\n", "\n").trim().to_owned();
        if text.len() > ARGUMENTS_BYTES_MAX {
            return Err(format!("{} has {} bytes; {ARGUMENTS_BYTES_MAX} fit here", typed(&text), text.len()));
        }
        if let Some(bad) = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            let code = u32::from(bad);
            return Err(format!("{} has the control character U+{code:04X}; leave it out", typed(&text)));
        }
        let split = split(&text)?;
        if split.len() > ARGUMENTS_MAX {
            return Err(format!("{} has {} arguments; {ARGUMENTS_MAX} fit here", typed(&text), split.len()));
        }
        let words = split.iter().map(|word| read(word)).collect::<Result<_, _>>()?;
        Ok(Self { text, words })
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

fn read(word: &str) -> Result<Word, String> {
    let pieces = word.split(PATH).map(Scheme::pattern).collect::<Result<Vec<_>, _>>()?;
    if pieces.iter().any(Scheme::needs_seq) {
        let words = "%Seq% is a number of the Local File Scheme alone; %MessageId% tells one file from another";
        return Err(words.to_owned());
    }
    Ok(Word(pieces))
}

/// Splits at blanks and line ends; quotes keep a word together, a backslash takes the next character literally.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' | '"' => quoted(&mut rest, next, word.get_or_insert_default())?,
            '\\' => {
                let next = rest.next().ok_or("A backslash at the end holds nothing; write \\\\ for a backslash")?;
                word.get_or_insert_default().push(next);
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(rest: &mut std::str::Chars<'_>, quote: char, word: &mut String) -> Result<(), String> {
    let begins: String = rest.clone().take(20).collect();
    while let Some(next) = rest.next() {
        match next {
            end if end == quote => return Ok(()),
            '\\' if quote == '"' => match rest.next() {
                Some(kept @ ('"' | '\\')) => word.push(kept),
                Some(other) => {
                    let _ = write!(word, "\\{other}");
                }
                None => break,
            },
            other => word.push(other),
        }
    }
    Err(format!("The quote that begins with {quote}{begins} has no end; close it with {quote}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::base::path::Name;
    use crate::domain::value::ZoneName;

    fn given(arguments: &str, filename: &str) -> Vec<String> {
        let zone = ZoneName::parse("UTC").unwrap();
        let headers = [("SubFolder".to_owned(), "in/a b".to_owned())];
        let facts = Facts {
            connector_id: "ACME",
            filename: &Name::parse(filename).unwrap(),
            message_id: "id",
            at: Timestamp::parse_rfc3339("2024-01-24T08:05:06Z").unwrap(),
            zone: &zone,
            sha256: "9f2c",
            seq: 0,
            remote_ip: "192.0.2.7".parse().unwrap(),
            guid: "guid",
            headers: &headers,
        };
        Arguments::parse(arguments).unwrap().expand(&facts, "/scratch/a b").0
    }

    #[test]
    fn words_are_split_at_blanks_and_lines_and_held_together_by_quotes() {
        let given = |arguments| given(arguments, "a.edi");
        assert_eq!(given("--in  {path}\r\n--id %MessageId%"), ["--in", "/scratch/a b", "--id", "id"]);
        assert_eq!(given("'a b' \"c \\\" $HOME\" d\\ e '' x'y'z"), ["a b", "c \" $HOME", "d e", "", "xyz"]);
        assert_eq!(given("--in={path}:{path} %Header:SubFolder%"), ["--in=/scratch/a b:/scratch/a b", "in/a b"]);
        assert_eq!(given("; | $(id) `id` *"), [";", "|", "$(id)", "`id`", "*"], "nothing of a shell means anything");
        assert_eq!(given(""), [""; 0]);
    }

    #[test]
    fn what_a_partner_names_its_file_is_one_argument_and_no_option() {
        assert_eq!(given("%Filename%", "--output=x y {path}"), ["./--output=x y {path}"]);
        assert_eq!(given("--name=%Filename% {path}", "-x"), ["--name=-x", "/scratch/a b"]);
    }

    #[test]
    fn what_cannot_be_is_refused_and_says_what_would_be_right() {
        let said = |text: &str| Arguments::parse(text).unwrap_err();
        assert!(said("a 'b c").contains("close it with '"));
        assert!(said("a \"b").contains("close it with \"") && said("a\\").contains("backslash"));
        assert!(said("%Seq%").contains("%MessageId%") && said("%Filname%").contains("%Filename%"));
        assert!(said("a\u{1}").contains("U+0001") && said(&"a ".repeat(65)).contains("64 fit here"));
        assert!(said(&"a".repeat(8_193)).contains("8192 fit here"));
        for wrong in ["", ".", ".x", "a/b", "../a", "a\nb"] {
            assert!(ProgramName::parse(wrong).is_err(), "{wrong}");
        }
        let all = Arguments::parse(" --in {path}\n'%Filename% x' ").unwrap();
        assert!(all.name_the_path() && Arguments::parse(&all.text()) == Ok(all));
        assert_eq!(ProgramName::parse(" import.sh ").unwrap().as_str(), "import.sh");
    }
}
