//! Who administers, and what each role may do.

use super::common_password;
use crate::base::words::words;

words! {
    /// What an administrator may do; each role includes the ones before it.
    pub enum Role {
        /// Sees everything but secrets.
        Viewer = "viewer";
        /// Also changes connectors and flows.
        Editor = "editor";
        /// Also changes the profile, certificates, settings and administrators.
        Admin = "admin";
    }
}

/// The shortest password accepted for a person or a connector.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// The longest password accepted; bounds the work of hashing.
pub const PASSWORD_BYTES_MAX: usize = 512;

/// Checks a new password: the error says what would be right.
pub fn check_password(password: &str, owner: &str) -> Result<(), String> {
    let chars = password.chars().count();
    if chars < PASSWORD_CHARS_MIN {
        return Err(format!("Password needs at least {PASSWORD_CHARS_MIN} characters; what you typed had {chars}"));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!(
            "Password may have at most {PASSWORD_BYTES_MAX} bytes; what you typed had {}",
            password.len()
        ));
    }
    if password.chars().any(char::is_control) {
        return Err("Password may not hold control characters, such as a line end".to_owned());
    }
    if password.eq_ignore_ascii_case(owner) {
        return Err("Password must differ from the name it belongs to".to_owned());
    }
    if common_password::is_common(password) {
        return Err("Password is one of those that are guessed first; use several words that nobody would put \
                    together, or a generated one"
            .to_owned());
    }
    Ok(())
}
