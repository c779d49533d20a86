//! Texts: labels, the welcome message, folders, aliases, the encoding of names.

use encoding_rs::Encoding;

use super::typed;
use crate::base::path::{Name, VirtualPath};
use crate::domain::setting::{Input, Value};

/// Characters of a [`Label`].
const LABEL_CHARS_MAX: usize = 200;
/// Characters of a [`Welcome`].
const WELCOME_CHARS_MAX: usize = 2_000;
/// Bytes of a [`FolderText`].
const FOLDER_BYTES_MAX: usize = 1_024;

/// Free text on one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Label {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.chars().any(char::is_control) {
            return Err(format!("{} has a control character; write it on one line", typed(text)));
        }
        let chars = text.chars().count();
        if chars > LABEL_CHARS_MAX {
            return Err(format!("{} has {chars} characters; {LABEL_CHARS_MAX} fit here", typed(text)));
        }
        Ok(Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The greeting before sign-in; several lines, each a line of the 220 reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Welcome(String);

impl Welcome {
    /// Its lines, none of which can hold a line end.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.lines()
    }
}

impl Value for Welcome {
    const INPUT: Input = Input::Area;

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.replace("\r\n", "\n");
        let text = text.trim_end();
        if let Some(bad) = text.chars().find(|c| c.is_control() && *c != '\n') {
            return Err(format!(
                "{} has the control character U+{:04X}; only letters, signs and line ends can be shown",
                typed(text),
                u32::from(bad)
            ));
        }
        let chars = text.chars().count();
        if chars > WELCOME_CHARS_MAX {
            return Err(format!("{} has {chars} characters; {WELCOME_CHARS_MAX} fit here", typed(text)));
        }
        Ok(Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// A folder of this host: absolute, or relative to a folder that its setting names. Empty is that setting's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderText(String);

impl FolderText {
    /// The path, without doubled or trailing slashes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one folder is, contains or lies in the other; both absolute or both relative to the same folder.
    pub fn overlap(one: &str, other: &str) -> bool {
        let inside = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        inside(one, other) || inside(other, one)
    }
}

impl Value for FolderText {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let wrong = |why: &str| Err(format!("{} {why}", typed(text)));
        if trimmed.is_empty() {
            return Ok(Self::default());
        }
        if trimmed.chars().any(char::is_control) {
            return wrong("has a control character; write a path, such as partners or /srv/partners");
        }
        if trimmed.len() > FOLDER_BYTES_MAX {
            return wrong(&format!("has {} bytes; {FOLDER_BYTES_MAX} fit here", trimmed.len()));
        }
        if trimmed.starts_with('~') {
            return wrong("begins with ~, which nobody expands here; write the whole path");
        }
        let names: Vec<_> = trimmed.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
        if names.contains(&"..") {
            return wrong("goes up with ..; write the path of the folder itself");
        }
        if names.iter().any(|name| name.eq_ignore_ascii_case(".waybill")) {
            return wrong("holds .waybill, which is the name of Waybill's own folders; choose another");
        }
        if names.iter().any(|name| name.trim() != *name) {
            return wrong("has a name with a blank at its end; write it without");
        }
        if names.is_empty() {
            return wrong("is no folder below another; name one, such as partners or /srv/partners");
        }
        Ok(Self(format!("{}{}", if trimmed.starts_with('/') { "/" } else { "" }, names.join("/"))))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// Where a login lands: `/`, `/Send`, `/Receive` or a folder below these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartFolder(VirtualPath);

impl StartFolder {
    /// The folder as the client sees it.
    pub const fn path(&self) -> &VirtualPath {
        &self.0
    }
}

impl Value for StartFolder {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let path = VirtualPath::root().resolve(text.trim()).map_err(|why| format!("{} {why}", typed(text)))?;
        if path.names().iter().any(|name| name.as_str().trim() != name.as_str()) {
            return Err(format!("{} has a name with a blank at its end; write it without", typed(text)));
        }
        let Some((top, below)) = path.names().split_first() else {
            return Ok(Self::default());
        };
        let folder = ["Send", "Receive"].into_iter().find(|folder| folder.eq_ignore_ascii_case(top.as_str()));
        let folder = folder
            .and_then(|folder| Name::parse(folder).ok())
            .ok_or_else(|| format!("{} isn't /, /Send, /Receive or a folder below these", typed(text)))?;
        Ok(Self(std::iter::once(folder).chain(below.iter().cloned()).collect()))
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Another name under which a partner finds Send or Receive; may be none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alias(Option<Name>);

impl Alias {
    /// Whether `name` means this alias, in any case.
    pub fn matches(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|alias| alias.as_str().to_lowercase() == name.to_lowercase())
    }

    /// The alias, if there is one.
    pub const fn name(&self) -> Option<&Name> {
        self.0.as_ref()
    }
}

impl Value for Alias {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(Self(None));
        }
        if trimmed.contains(['/', '\\']) {
            return Err(format!("{} holds a slash; an alias is one name, such as inbox", typed(text)));
        }
        if ["send", "receive", ".waybill"].contains(&trimmed.to_lowercase().as_str()) {
            return Err(format!("{} is the real name of a folder; choose another, such as inbox", typed(text)));
        }
        match Name::parse(trimmed) {
            Ok(name) => Ok(Self(Some(name))),
            Err(why) => Err(format!("{} {why}; an alias is one name, such as inbox", typed(text))),
        }
    }

    fn text(&self) -> String {
        self.0.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

/// The encoding of names in a partner's client; one in which ASCII stays ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodingName {
    encoding: &'static Encoding,
    label: String,
}

impl EncodingName {
    /// Its name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.label
    }

    /// The encoding.
    pub const fn encoding(&self) -> &'static Encoding {
        self.encoding
    }

    /// Whether names need no conversion.
    pub fn is_utf8(&self) -> bool {
        self.encoding == encoding_rs::UTF_8
    }
}

impl Value for EncodingName {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let right = "utf-8, windows-1252, iso-8859-2, shift_jis or gb18030";
        let encoding = Encoding::for_label(text.trim().as_bytes())
            .ok_or_else(|| format!("{} isn't an encoding that is known here, such as {right}", typed(text)))?;
        if !encoding.is_ascii_compatible() {
            return Err(format!("{} can't be used on a control connection; choose one such as {right}", typed(text)));
        }
        Ok(Self { encoding, label: encoding.name().to_ascii_lowercase() })
    }

    fn text(&self) -> String {
        self.label.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_label_is_one_line() {
        assert_eq!(Label::parse(" Acme, orders ").map(|label| label.text()), Ok("Acme, orders".to_owned()));
        assert!(Label::parse("a\nb").unwrap_err().contains("on one line"));
        assert!(Label::parse(&"ä".repeat(200)).is_ok() && Label::parse(&"ä".repeat(201)).is_err());
    }

    #[test]
    fn a_welcome_cannot_smuggle_replies() {
        let welcome = Welcome::parse("Hello\r\n230 Signed in\r\n\n").unwrap();
        assert_eq!(welcome.lines().collect::<Vec<_>>(), ["Hello", "230 Signed in"]);
        assert!(Welcome::parse("a\r230 b").unwrap_err().contains("U+000D"));
        assert!(Welcome::parse("a\u{1b}[31m").is_err() && Welcome::parse("a\u{85}b").is_err());
        assert!(Welcome::parse(&"x".repeat(2_000)).is_ok() && Welcome::parse(&"x".repeat(2_001)).is_err());
    }

    #[test]
    fn a_folder_stays_below_where_it_begins() {
        let text = |typed| FolderText::parse(typed).map(|folder| folder.text());
        assert_eq!(text(" partners//a a/./b/ "), Ok("partners/a a/b".to_owned()));
        assert_eq!(text("/srv//x/"), Ok("/srv/x".to_owned()));
        assert_eq!(text(""), Ok(String::new()));
        for wrong in
            ["../x", "a/../b", "/", ".", "./", "~/x", "a\0b", "a/.Waybill/b", "a /b", "a/ /", &"x".repeat(1_025)]
        {
            assert!(text(wrong).is_err(), "{wrong}");
        }
        assert!(FolderText::parse("/a").is_ok());
    }

    #[test]
    fn folders_overlap_by_whole_names() {
        assert!(FolderText::overlap("a/b", "a") && FolderText::overlap("a", "a/b") && FolderText::overlap("a", "a"));
        assert!(!FolderText::overlap("a", "ab") && !FolderText::overlap("a/Send", "a/Receive"));
    }

    #[test]
    fn a_login_lands_in_the_root_or_one_of_the_two_folders() {
        let text = |typed| StartFolder::parse(typed).map(|folder| folder.text());
        assert_eq!(text(""), Ok("/".to_owned()));
        assert_eq!(text("receive/in"), Ok("/Receive/in".to_owned()));
        assert!(text("/Send/a /").unwrap_err().contains("a blank at its end"));
        assert_eq!(text("/SEND/"), Ok("/Send".to_owned()));
        assert_eq!(text("/etc"), Err("/etc isn't /, /Send, /Receive or a folder below these".to_owned()));
    }

    #[test]
    fn an_alias_is_one_name_and_no_real_one() {
        let alias = Alias::parse("Inbox").unwrap();
        assert!(alias.matches("INBOX") && !alias.matches("in") && !Alias::default().matches(""));
        for wrong in ["a/b", "SEND", "receive", "..", ".waybill", "a\tb"] {
            assert!(Alias::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_encoding_keeps_ascii() {
        let text = |typed| EncodingName::parse(typed).map(|encoding| encoding.text());
        assert_eq!(text("UTF8"), Ok("utf-8".to_owned()));
        assert_eq!(text("latin1"), Ok("windows-1252".to_owned()));
        assert!(text("klingon").unwrap_err().starts_with("klingon isn't an encoding"));
        assert!(text("utf-16le").unwrap_err().contains("control connection"));
        assert!(EncodingName::parse("utf-8").unwrap().is_utf8());
    }

    proptest! {
        #[test]
        fn what_is_taken_reads_back(text in "[a-zA-Z./~ \\\\\n\r\t\u{0}\u{e4}-]{0,40}") {
            macro_rules! reads_back { ($($type:ty),+) => {$(
                if let Ok(value) = <$type>::parse(&text) {
                    prop_assert_eq!(<$type>::parse(&value.text()), Ok(value));
                }
            )+}; }
            reads_back!(Label, Welcome, FolderText, StartFolder, Alias);
            if let Ok(folder) = FolderText::parse(&text) {
                prop_assert!(folder.as_str().split('/').all(|name| name != ".."));
            }
        }
    }
}
