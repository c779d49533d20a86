//! What the other side of a connector authenticates with, or verifies ours with: written like a setting, but not one.

use super::{ConnectorSettings, PASSWORD};
use crate::base::secret::Secret;
use crate::domain::administrator::check_password;
use crate::domain::setting::{Mistake, Texts, Value};
use crate::domain::value::ConnectorType;

/// What a Webhook connector signs with: sealed, never shown again.
const SECRET: &str = "secret";

/// The type of a connector with these settings.
pub fn type_of(texts: &Texts) -> ConnectorType {
    let default = ConnectorSettings::setting("type").map_or("", |setting| setting.default);
    let text = texts.get("type").map_or(default, String::as_str);
    ConnectorType::parse(text).unwrap_or(ConnectorType::FtpServer)
}

/// Takes the password or secret of `owner` out of `values`, if present.
///
/// # Errors
/// A connector of this type has another credential or none, or it is too weak.
pub fn take_credential(values: &mut Texts, kind: ConnectorType, owner: &str) -> Result<Option<Secret>, Mistake> {
    let own = kind.credential();
    for key in [PASSWORD.key, SECRET] {
        if own != Some(key) && values.contains_key(key) {
            return Err(no_such_credential(kind, key));
        }
    }
    let Some((key, typed)) = own.and_then(|key| Some((key, Secret::new(values.remove(key)?)))) else { return Ok(None) };
    check_password(typed.reveal(), owner).map_err(|words| Mistake::new(key, words))?;
    Ok(Some(typed))
}

/// Why a connector of this type has no `key`.
pub fn no_such_credential(kind: ConnectorType, key: &str) -> Mistake {
    let words = match kind.credential() {
        Some(own) => format!("A {} has a {own}, no {key}; write {own}=…", kind.label()),
        None => "Nobody signs in with a connector of this type; leave the password out".to_owned(),
    };
    Mistake::new(key, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_own_credential_and_takes_no_other() {
        let texts = |pairs: &[(&str, &str)]| -> Texts {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let mut values = texts(&[("password", "long enough indeed"), ("description", "x")]);
        let taken = take_credential(&mut values, ConnectorType::FtpServer, "acme").unwrap().unwrap();
        assert_eq!((taken.reveal(), values.len()), ("long enough indeed", 1));
        assert!(take_credential(&mut values, ConnectorType::FtpServer, "acme").unwrap().is_none());
        for (kind, key, words) in [
            (ConnectorType::Webhook, "password", "A Webhook has a secret"),
            (ConnectorType::FtpServer, "secret", "has a password, no secret"),
            (ConnectorType::Folder, "password", "Nobody signs in"),
            (ConnectorType::FtpServer, "password", "at least 12 characters"),
        ] {
            let mistake = take_credential(&mut texts(&[(key, "short")]), kind, "acme").unwrap_err();
            assert!(mistake.key == key && mistake.message.contains(words), "{mistake}");
        }
        assert_eq!(type_of(&texts(&[("type", "folder")])), ConnectorType::Folder);
        assert_eq!(type_of(&Texts::new()), ConnectorType::FtpServer);
    }
}
