//! Time-based one-time codes (RFC 6238) for administrators, and recovery codes for those who have lost the device. The
//! usual parameters, which every authenticator app supports: SHA-1, six digits, thirty seconds, one step early or late.

use rand::RngExt as _;
use sha2::{Digest, Sha256};
use totp_rs::{Algorithm, Builder, Secret as Key, Totp};

use crate::base::clock::Timestamp;
use crate::base::hex::hex;
use crate::base::secret::Secret;

/// Bytes of a key: as many as in SHA-1 (RFC 4226 section 4, R6).
const KEY_BYTES: usize = 20;
/// How long a code is shown.
const STEP_SECONDS: u64 = 30;
/// Recovery codes made at a time.
pub const RECOVERY_CODES: usize = 10;
/// Characters of a recovery code, each one of 32: 50 bits.
const RECOVERY_CHARS: usize = 10;
/// Without letters and digits that look alike (Crockford's Base32).
const RECOVERY_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The name shown in apps.
const ISSUER: &str = "Waybill";

/// A new key, in Base32 as people type it into an app.
pub fn new_key() -> Secret {
    let bytes: [u8; KEY_BYTES] = rand::random();
    Secret::new(Key::from(bytes.to_vec()).to_base32())
}

fn totp(key: &Secret, account: &str) -> Option<Totp> {
    let key = Key::try_from_base32(key.reveal()).ok()?;
    let builder =
        Builder::new().with_algorithm(Algorithm::SHA1).with_digits(6).with_skew(1).with_step_duration(STEP_SECONDS);
    builder.with_secret(key).with_issuer(Some(ISSUER)).with_account_name(account).build().ok()
}

/// The time step of a code, if it is about now. Blanks are ignored.
pub fn step_of(key: &Secret, code: &str, now: Timestamp) -> Option<u64> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    totp(key, ISSUER)?.check(&code, seconds(now))
}

/// The time step of that moment.
pub fn step_at(now: Timestamp) -> u64 {
    seconds(now) / STEP_SECONDS
}

fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.seconds()).unwrap_or_default()
}

/// The URI from which an app reads the key. `name` is the administrator's, `host` identifies the appliance.
pub fn address(key: &Secret, name: &str, host: &str) -> Option<Secret> {
    // A colon separates issuer and account.
    let account = format!("{name}@{host}").replace(':', ".");
    totp(key, &account)?.to_url().ok().map(Secret::new)
}

/// New recovery codes, as `abcde-fghjk`.
pub fn recovery_codes() -> Vec<Secret> {
    let mut random = rand::rng();
    let mut letter = || char::from(RECOVERY_ALPHABET[random.random_range(0..RECOVERY_ALPHABET.len())]);
    let mut code = || -> Secret {
        let text: String = (0..RECOVERY_CHARS).map(|_| letter()).collect();
        Secret::new(format!("{}-{}", &text[..RECOVERY_CHARS / 2], &text[RECOVERY_CHARS / 2..]))
    };
    (0..RECOVERY_CODES).map(|_| code()).collect()
}

/// The stored form of a recovery code, however it was typed.
pub fn digest(code: &str) -> String {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    hex(&Sha256::digest(plain.as_bytes()))
}

/// Whether that may be a recovery code: it is longer than the codes of an app.
pub fn is_recovery_code(code: &str) -> bool {
    code.chars().filter(char::is_ascii_alphanumeric).count() == RECOVERY_CHARS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238 appendix B, SHA-1: the last six of the eight digits.
        let key = Secret::new(Key::from(b"12345678901234567890".to_vec()).to_base32());
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            let at = Timestamp::from_us(seconds * 1_000_000);
            let step = step_of(&key, code, at);
            assert_eq!(step, u64::try_from(seconds / 30).ok(), "{seconds}");
            assert_eq!(step, Some(step_at(at)), "{seconds}");
            let spaced = format!(" {} {} ", &code[..3], &code[3..]);
            assert_eq!(step_of(&key, &spaced, Timestamp::from_us((seconds + 29) * 1_000_000)), step, "a step late");
            assert_eq!(step_of(&key, code, Timestamp::from_us((seconds + 90) * 1_000_000)), None, "three steps late");
        }
        for wrong in ["", "28708", "2870822", "abcdef", "28708２"] {
            assert_eq!(step_of(&key, wrong, Timestamp::from_us(59_000_000)), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_app_reads_the_key_from_its_address() {
        let key = new_key();
        assert_ne!(key, new_key());
        let address = address(&key, "mi:ra", "mft.example.com").unwrap();
        let address = address.reveal();
        assert!(address.starts_with("otpauth://totp/Waybill:mi.ra"), "{address}");
        assert!(
            address.contains(&format!("secret={}", key.reveal())) && address.contains("issuer=Waybill"),
            "{address}"
        );
    }

    #[test]
    fn recovery_codes_differ_and_are_known_however_they_are_typed() {
        let codes = recovery_codes();
        let digests: std::collections::HashSet<_> = codes.iter().map(|code| digest(code.reveal())).collect();
        assert_eq!(digests.len(), RECOVERY_CODES);
        let code = codes[0].reveal();
        assert!(is_recovery_code(code) && !is_recovery_code("123456"));
        assert_eq!(digest(code), digest(&format!(" {} ", code.to_uppercase().replace('-', " "))));
    }
}
