//! The client's name for a file: an absolute path of checked names, without dots.
//! It never touches a disk; the workspace turns it into an open handle.

use std::fmt;

/// Bytes in one name; what common file systems can store.
pub const NAME_BYTES_MAX: usize = 255;
/// Names in one path.
pub const DEPTH_MAX: usize = 32;
/// Bytes in one path.
pub const PATH_BYTES_MAX: usize = 2_048;

/// Why a name or a path cannot be used. Each reads as the end of a sentence that begins with the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// NUL, a control character, or a slash within a name.
    #[error("has a control character")]
    ControlCharacter,
    /// An empty name.
    #[error("is empty")]
    Empty,
    /// More than [`DEPTH_MAX`] names.
    #[error("lies too deep (32 folders at most)")]
    TooDeep,
    /// More than [`NAME_BYTES_MAX`] or [`PATH_BYTES_MAX`] bytes.
    #[error("is too long (255 bytes a name, 2048 in all)")]
    TooLong,
    /// `.` or `..` as a name.
    #[error("is not a name")]
    Dots,
}

/// One name within a folder: never empty, no dots-only name, no slash, no control character, 255 bytes at most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks a name.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text == "." || text == ".." {
            return Err(PathError::Dots);
        }
        if text.contains('/') || text.chars().any(char::is_control) {
            return Err(PathError::ControlCharacter);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        Ok(Self(text.to_owned()))
    }

    /// A name written in this program, known to be valid.
    pub(crate) fn fixed(text: &'static str) -> Self {
        debug_assert!(Self::parse(text).is_ok(), "{text}");
        Self(text.to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An absolute path as the client sees it; the root has no names.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualPath {
    names: Vec<Name>,
}

impl VirtualPath {
    /// `/`.
    pub const fn root() -> Self {
        Self { names: Vec::new() }
    }

    /// Resolves `text` relative to `self` as a client means it: `/` starts at the root, `..` goes up and stops there,
    /// `.` and doubled slashes mean nothing.
    pub fn resolve(&self, text: &str) -> Result<Self, PathError> {
        let mut names = if text.starts_with('/') { Vec::new() } else { self.names.clone() };
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    names.pop();
                }
                name => names.push(Name::parse(name)?),
            }
            if names.len() > DEPTH_MAX {
                return Err(PathError::TooDeep);
            }
        }
        let path = Self { names };
        if path.to_string().len() > PATH_BYTES_MAX { Err(PathError::TooLong) } else { Ok(path) }
    }

    /// The folder above; the root is its own.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self { names: self.names[..self.names.len().saturating_sub(1)].to_vec() }
    }

    /// The last name; the root has none.
    pub fn name(&self) -> Option<&Name> {
        self.names.last()
    }

    /// This folder's child `name`.
    #[must_use]
    pub fn child(&self, name: Name) -> Self {
        let mut names = self.names.clone();
        names.push(name);
        Self { names }
    }

    /// The names from the root down.
    pub fn names(&self) -> &[Name] {
        &self.names
    }
}

impl FromIterator<Name> for VirtualPath {
    /// From the root down.
    fn from_iter<I: IntoIterator<Item = Name>>(names: I) -> Self {
        Self { names: names.into_iter().collect() }
    }
}

impl fmt::Display for VirtualPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names.is_empty() {
            return f.write_str("/");
        }
        self.names.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dots_stop_at_the_root() {
        let here = VirtualPath::root().resolve("Receive/in").unwrap();
        assert_eq!(here.resolve("../../../../etc").unwrap().to_string(), "/etc");
        assert_eq!(here.resolve("./a//b/.").unwrap().to_string(), "/Receive/in/a/b");
        assert_eq!(here.resolve("/").unwrap(), VirtualPath::root());
        assert_eq!(here.resolve("a\tb"), Err(PathError::ControlCharacter));
        assert_eq!(here.resolve(&"x".repeat(256)), Err(PathError::TooLong));
        assert_eq!(here.resolve(&"x/".repeat(40)), Err(PathError::TooDeep));
    }

    proptest! {
        #[test]
        fn a_path_never_holds_dots_or_slashes_and_reads_back(text in "\\PC{0,80}") {
            if let Ok(path) = VirtualPath::root().resolve(&text) {
                for name in path.names() {
                    prop_assert!(!name.as_str().contains('/') && name.as_str() != ".." && name.as_str() != ".");
                }
                prop_assert_eq!(VirtualPath::root().resolve(&path.to_string()).unwrap(), path);
            }
        }
    }
}
