//! What the other side of a connector authenticates with, or verifies ours with: written like a setting, but not one.

use super::ConnectorSettings;
use crate::base::secret::Secret;
use crate::domain::administrator::check_password;
use crate::domain::setting::{Mistake, Texts, Value};
use crate::domain::value::{ConnectorType, CredentialKind};

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
    for other in CredentialKind::ALL {
        if own != Some(other) && values.contains_key(other.name()) {
            return Err(no_such_credential(kind, other));
        }
    }
    let Some(key) = own.map(CredentialKind::name) else { return Ok(None) };
    let Some(typed) = values.remove(key).map(Secret::new) else { return Ok(None) };
    check_credential(kind, &typed, owner).map_err(|words| Mistake::new(key, words))?;
    Ok(Some(typed))
}

/// Whether a new password or secret is strong enough.
///
/// # Errors
/// Why not.
pub fn check_credential(kind: ConnectorType, typed: &Secret, owner: &str) -> Result<(), String> {
    let is_secret = kind.credential() == Some(CredentialKind::Secret);
    let named = |words: String| if is_secret { words.replacen("Password", "Secret", 1) } else { words };
    check_password(typed.reveal(), owner).map_err(named)
}

/// Why a connector of this type has no `other` one.
pub fn no_such_credential(kind: ConnectorType, other: CredentialKind) -> Mistake {
    let key = other.name();
    let words = match kind.credential().map(CredentialKind::name) {
        Some(own) => format!("{} has a {own}, no {key}; write {own}=…", kind.one().replacen('a', "A", 1)),
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
            (ConnectorType::FtpServer, "secret", "An FTP Server has a password, no secret"),
            (ConnectorType::Webhook, "secret", "Secret needs at least 12 characters"),
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
