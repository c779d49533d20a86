//! PEM (RFC 7468): labelled blocks of base64 with anything between them, as written by OpenSSL. It knows nothing of
//! certificates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// Characters of base64 on a line.
const LINE_CHARS: usize = 64;

/// One block. Its bytes may be a key: they are wiped when dropped.
pub(super) struct Block {
    /// `CERTIFICATE`, `PRIVATE KEY` and so on.
    pub label: String,
    /// Whether a header marks it as encrypted in OpenSSL's old way (RFC 1421).
    pub old_encryption: bool,
    /// The decoded base64.
    pub der: Zeroizing<Vec<u8>>,
}

/// Whether `text` contains a block.
pub(super) fn is_pem(text: &[u8]) -> bool {
    text.windows(BEGIN.len()).any(|part| part == BEGIN.as_bytes())
}

/// Reads every block of `text`.
pub(super) fn blocks(text: &[u8]) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut lines = text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    while let Some(line) = lines.next() {
        let Some(label) = label(line, BEGIN) else { continue };
        let mut base64 = Zeroizing::new(Vec::with_capacity(text.len()));
        let mut old_encryption = false;
        loop {
            let line = lines.next().ok_or_else(|| format!("The block {label} has no end: the file was cut"))?;
            match self::label(line, END) {
                Some(end) if end == label => break,
                Some(end) => return Err(format!("The block {label} ends as {end}: the file is damaged")),
                // A header; only keys encrypted in the old way have any.
                None if line.contains(&b':') => old_encryption |= line.ends_with(b"ENCRYPTED"),
                None => base64.extend_from_slice(line),
            }
        }
        let damaged = |_| format!("The block {label} is damaged: it isn't base64");
        let der = if old_encryption { Vec::new() } else { STANDARD.decode(base64.as_slice()).map_err(damaged)? };
        blocks.push(Block { label, old_encryption, der: Zeroizing::new(der) });
    }
    Ok(blocks)
}

/// The label of a line that begins or ends a block.
fn label(line: &[u8], mark: &str) -> Option<String> {
    let label = line.strip_prefix(mark.as_bytes())?.strip_suffix(DASHES.as_bytes())?;
    let plain = label.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ');
    plain.then(|| String::from_utf8_lossy(label).into_owned())
}

/// One block as text. Never for a private key.
pub(super) fn write(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("{BEGIN}{label}{DASHES}\n");
    for line in base64.as_bytes().chunks(LINE_CHARS) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + END + label + DASHES + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn damage_is_told() {
        let said = |text: &str| blocks(text.as_bytes()).map(|blocks| blocks.len()).unwrap_err();
        assert!(said("-----BEGIN CERTIFICATE-----\nAAAA\n").contains("has no end"));
        assert!(said("-----BEGIN CERTIFICATE-----\nAA!A\n-----END CERTIFICATE-----").contains("isn't base64"));
        assert!(said("-----BEGIN CERTIFICATE-----\nAAAA\n-----END PRIVATE KEY-----").contains("ends as PRIVATE KEY"));
        assert!(!is_pem(b"-----BEGIN"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(der in prop::collection::vec(any::<u8>(), 0..200), crlf: bool) {
            let text = format!("Bag Attributes\n  x: y\n{}{}", write("CERTIFICATE", &der), write("X", &der));
            let text = if crlf { text.replace('\n', "\r\n") } else { text };
            let read = blocks(text.as_bytes()).unwrap();
            prop_assert_eq!(read.len(), 2);
            prop_assert!(read.iter().all(|block| *block.der == der && !block.old_encryption));
            prop_assert_eq!(&read[0].label, "CERTIFICATE");
        }
    }
}
