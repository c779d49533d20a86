//! The programs that Command connectors may run: files directly in one folder, which is given only at start.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Access;

use crate::domain::action::ActionSettings;
use crate::domain::command::ProgramName;
use crate::domain::connector::ConnectorSettings;
use crate::domain::setting::{Mistake, Texts, Value, merged};
use crate::domain::value::{ActionKind, ConnectorType};

/// The most names offered or reported.
const NAMES_MAX: usize = 200;
/// World-writable.
const BY_EVERYBODY: u32 = 0o002;
/// How to enable Commands.
const NONE: &str = "There are no Commands here: start Waybill with --commands DIR (or WAYBILL_COMMANDS=DIR), the folder \
                    of the programs that it may run";

/// The folder of programs, or none; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Programs(Option<Arc<Path>>);

impl Programs {
    /// Opens the folder; the error is a sentence.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let shown = folder.display();
        let found = folder.canonicalize().map_err(|error| format!("--commands {shown}: {error}"))?;
        let metadata = found.metadata().map_err(|error| format!("--commands {shown}: {error}"))?;
        if !metadata.is_dir() {
            return Err(format!("--commands {shown} is no folder; name the folder that holds the programs"));
        }
        if metadata.permissions().mode() & BY_EVERYBODY != 0 {
            return Err(format!(
                "--commands {shown} can be written to by everybody; take that away: chmod o-w {shown}"
            ));
        }
        Ok(Self(Some(found.into())))
    }

    /// The folder, absolute and without links.
    pub fn folder(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// The programs that can be run, by name.
    pub fn names(&self) -> Vec<String> {
        let Some(folder) = self.folder() else { return Vec::new() };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let name = |entry: std::fs::DirEntry| ProgramName::parse(entry.file_name().to_str()?).ok();
        let mut names: Vec<_> = entries.filter_map(name).filter(|name| self.find(name).is_ok()).collect();
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.iter().take(NAMES_MAX).map(Value::text).collect()
    }

    /// The path of a program; the error says why it cannot be run.
    pub fn find(&self, name: &ProgramName) -> Result<PathBuf, String> {
        let folder = self.folder().ok_or_else(|| NONE.to_owned())?;
        let (name, shown) = (name.as_str(), folder.display());
        let path = folder.join(name).canonicalize().map_err(|_| format!("There is no program {name} in {shown}"))?;
        if path.parent() != Some(folder) {
            return Err(format!("{name} is a link that leads out of {shown}; put the program itself there"));
        }
        let metadata = path.metadata().map_err(|error| format!("{name}: {error}"))?;
        if !metadata.is_file() {
            return Err(format!("{name} in {shown} is no file"));
        }
        if metadata.permissions().mode() & BY_EVERYBODY != 0 {
            return Err(format!("{name} can be written to by everybody; take that away: chmod o-w {name}"));
        }
        if rustix::fs::access(&path, Access::EXEC_OK).is_err() || metadata.permissions().mode() & 0o111 == 0 {
            return Err(format!("{name} cannot be executed; allow it: chmod +x {name}"));
        }
        Ok(path)
    }

    /// What is wrong with an action, as far as programs go.
    fn check_action(&self, settings: &ActionSettings) -> Option<Mistake> {
        let program = settings.program.as_ref().filter(|_| settings.kind == ActionKind::Command)?;
        let key = if self.folder().is_none() { "kind" } else { "program" };
        self.check_program(program).err().map(|why| Mistake::new(key, why))
    }

    /// What is wrong with the program of an action, where it is not `stored` so already: one whose program is gone can
    /// still be disabled.
    pub fn check_action_texts(&self, stored: &Texts, values: &Texts) -> Vec<Mistake> {
        let read = |texts| ActionSettings::parse(texts).ok().map(|settings| (settings.kind, settings.program));
        if read(stored) == read(values) {
            return Vec::new();
        }
        ActionSettings::parse(values).ok().and_then(|settings| self.check_action(&settings)).into_iter().collect()
    }

    /// Mistakes in new `values` over the `stored` ones of a connector, as far as programs go. Unchanged values pass: a
    /// Command whose program is gone can still be disabled.
    pub fn check(&self, stored: &Texts, values: &Texts) -> Vec<Mistake> {
        if ["type", "program"].iter().all(|key| values.get(*key).is_none_or(|value| stored.get(*key) == Some(value))) {
            return Vec::new();
        }
        let Ok(settings) = ConnectorSettings::parse(&merged(stored, values)) else { return Vec::new() };
        if settings.r#type != ConnectorType::Command {
            return Vec::new();
        }
        if self.folder().is_none() {
            return vec![Mistake::new("type", NONE)];
        }
        let Some(program) = settings.program else { return Vec::new() };
        self.check_program(&program).err().map(|why| Mistake::new("program", why)).into_iter().collect()
    }

    /// Why a program cannot be run, and which can.
    fn check_program(&self, program: &ProgramName) -> Result<(), String> {
        let Err(why) = self.find(program) else { return Ok(()) };
        Err(match self.names() {
            _ if self.folder().is_none() => why,
            names if names.is_empty() => format!("{why}; nothing can be run there yet"),
            names => format!("{why}; there are {}", names.join(", ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn put(path: &Path, mode: u32) {
        std::fs::write(path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_program_is_an_executable_file_directly_in_the_folder() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("programs");
        std::fs::create_dir(&folder).unwrap();
        put(&folder.join("import"), 0o755);
        put(&folder.join("text"), 0o644);
        put(&folder.join("open"), 0o757);
        put(&top.path().join("outside"), 0o755);
        std::fs::create_dir(folder.join("sub")).unwrap();
        symlink("../outside", folder.join("leads-out")).unwrap();
        symlink("import", folder.join("also")).unwrap();
        let programs = Programs::open(&folder).unwrap();
        assert_eq!(programs.names(), ["also", "import"]);
        for (name, words) in [
            ("text", "chmod +x text"),
            ("open", "chmod o-w open"),
            ("leads-out", "leads out of"),
            ("sub", "is no file"),
            ("gone", "There is no program gone in"),
        ] {
            let said = programs.find(&ProgramName::parse(name).unwrap()).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
        let texts = |program: &str| -> Texts {
            [("type".to_owned(), "command".to_owned()), ("program".to_owned(), program.to_owned())].into()
        };
        let none = Texts::new();
        assert_eq!(programs.check(&none, &texts("import")), []);
        assert_eq!(programs.check(&none, &none), []);
        assert_eq!(programs.check(&texts("gone"), &texts("gone")), []);
        let said = programs.check(&none, &texts("gone"))[0].to_string();
        assert!(said.starts_with("program: There is no program gone") && said.ends_with("there are also, import"));
        let said = Programs::default().check(&none, &texts("import"))[0].to_string();
        assert!(said.starts_with("type: There are no Commands here: start Waybill with --commands DIR"), "{said}");
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(Programs::open(&folder).unwrap_err().contains("chmod o-w"));
        assert!(Programs::open(&top.path().join("outside")).unwrap_err().contains("is no folder"));
    }
}
