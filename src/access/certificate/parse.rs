//! Reads what an administrator uploads: PEM or PKCS#12, keys encrypted or not. Every mistake is explained with its
//! remedy. It is deliberately slow when trying a password: callers keep it off the async threads.

use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error as Pkcs12Error;
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::pbes2::Kdf;
use rustls::pki_types::CertificateDer;

use super::check::{self, Material};
use super::keystore::KeyDer;
use super::pem;
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;

/// Bytes of one file.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Certificates in one file.
const CERTIFICATES_MAX: usize = 200;
/// Private keys in one file.
const KEYS_MAX: usize = 20;
/// Rounds of a password derivation; OpenSSL writes 2,048, careful people a million.
const ROUNDS_MAX: u32 = 5_000_000;
/// Memory of a password derivation by scrypt.
const SCRYPT_BYTES_MAX: u64 = 256 << 20;
/// Lanes of a password derivation by scrypt.
const SCRYPT_LANES_MAX: u16 = 16;

const WRONG_PASSWORD: &str = "The password doesn't open this file";
const NO_PASSWORD: &str = "The private key is encrypted: give its password";

/// The contents of the files.
#[derive(Default)]
struct Found {
    certificates: Vec<CertificateDer<'static>>,
    keys: Vec<KeyDer>,
}

/// Reads a certificate with its issuers and its key from one file, or the key from a second. Returns what to store, or
/// why not. Both files may be PEM, PKCS#12 or plain DER.
pub fn read(
    file: &[u8],
    key_file: Option<&[u8]>,
    password: Option<&Secret>,
    now: Timestamp,
) -> Result<Material, String> {
    let files: Vec<_> = std::iter::once(file).chain(key_file).collect();
    read_with(&files, password, None, now)
}

/// Like [`read`], with `own` as the key if the files contain none: the key that stayed here when its certificate was
/// requested.
pub fn read_with(
    files: &[&[u8]],
    password: Option<&Secret>,
    own: Option<KeyDer>,
    now: Timestamp,
) -> Result<Material, String> {
    let mut found = Found::default();
    for file in files {
        found.take(file, password)?;
    }
    if found.keys.is_empty() {
        found.keys.extend(own);
    }
    if found.certificates.is_empty() {
        let why = if found.keys.is_empty() { "" } else { ": it holds a private key only" };
        return Err(format!(
            "No certificate found{why}. A file of PEM (-----BEGIN CERTIFICATE-----) or PKCS#12 is needed"
        ));
    }
    if found.keys.is_empty() {
        return Err("No private key found. Give the file of the key as well: servers need both".to_owned());
    }
    check::assemble(found.certificates, &found.keys, now)
}

/// Reads the certificates of one file without secrets.
pub(super) fn certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Found::default();
    found.take(file, None)?;
    if found.certificates.is_empty() {
        return Err("No certificate found. A file of PEM (-----BEGIN CERTIFICATE-----) or DER is needed".to_owned());
    }
    Ok(found.certificates)
}

impl Found {
    fn take(&mut self, file: &[u8], password: Option<&Secret>) -> Result<(), String> {
        if file.len() > FILE_BYTES_MAX {
            return Err("The file has more than 1 MiB: it holds more than a certificate".to_owned());
        }
        if pem::is_pem(file) {
            for block in pem::blocks(file)? {
                self.take_block(&block, password)?;
            }
        } else if is_pkcs12(file) {
            self.take_pkcs12(file, password)?;
        } else {
            self.take_der(file, password)?;
        }
        if self.certificates.len() > CERTIFICATES_MAX || self.keys.len() > KEYS_MAX {
            return Err(format!(
                "The file holds more than {CERTIFICATES_MAX} certificates or {KEYS_MAX} keys: bring only one \
                 certificate, its issuers and its key"
            ));
        }
        Ok(())
    }

    fn take_block(&mut self, block: &pem::Block, password: Option<&Secret>) -> Result<(), String> {
        match block.label.as_str() {
            _ if block.old_encryption => {
                return Err(
                    "The private key is encrypted in OpenSSL's old way (Proc-Type: 4,ENCRYPTED), which is weak. \
                            Convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in old.key -out new.key"
                        .to_owned(),
                );
            }
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                self.certificates.push(CertificateDer::from(block.der.to_vec()));
            }
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => self.keys.push(KeyDer::new(block.der.to_vec())),
            "ENCRYPTED PRIVATE KEY" => self.keys.push(decrypt(&block.der, password)?),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
                return Err("This is a request for a certificate: bring what the authority answered it with".to_owned());
            }
            "PKCS7" => {
                return Err("This is PKCS#7, which holds no key. Convert it: openssl pkcs7 -print_certs -in old.p7b \
                            -out new.pem"
                    .to_owned());
            }
            "OPENSSH PRIVATE KEY" => {
                return Err("This is a key of OpenSSH, which no certificate of TLS is made for".to_owned());
            }
            // Parameters, revocation lists, public keys: useless here, but harmless.
            _ => {}
        }
        Ok(())
    }

    fn take_pkcs12(&mut self, file: &[u8], password: Option<&Secret>) -> Result<(), String> {
        let archive = Pkcs12Archive::from_pkcs12(file, password.map_or("", Secret::reveal)).map_err(|error| {
            match error {
                Pkcs12Error::MacError(_)
                | Pkcs12Error::Pkcs5Error(_)
                | Pkcs12Error::UnpadError
                | Pkcs12Error::InvalidPrivateKey => match password {
                    Some(_) => WRONG_PASSWORD.to_owned(),
                    None => "This PKCS#12 file is encrypted: give its password".to_owned(),
                },
                // Its words describe structures, never contents.
                other => format!(
                    "This PKCS#12 file can't be read ({other}). Convert it: openssl pkcs12 -in old.p12 -out new.pem"
                ),
            }
        })?;
        self.certificates.extend(archive.certs.iter().map(|bag| CertificateDer::from(bag.cert.as_der().to_vec())));
        self.keys.extend(archive.keys.iter().map(|bag| KeyDer::new(bag.key.as_der().to_vec())));
        Ok(())
    }

    fn take_der(&mut self, file: &[u8], password: Option<&Secret>) -> Result<(), String> {
        if x509_parser::parse_x509_certificate(file).is_ok_and(|(rest, _)| rest.is_empty()) {
            self.certificates.push(CertificateDer::from(file.to_vec()));
        } else if check::signer(&KeyDer::new(file.to_vec())).is_some() {
            self.keys.push(KeyDer::new(file.to_vec()));
        } else if EncryptedPrivateKeyInfoRef::try_from(file).is_ok() {
            self.keys.push(decrypt(file, password)?);
        } else {
            return Err("No certificate and no key found: the file is neither PEM nor PKCS#12".to_owned());
        }
        Ok(())
    }
}

/// Whether `file` looks like PKCS#12: a sequence that begins with version 3.
fn is_pkcs12(file: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = file else { return false };
    // The long form tells in how many bytes the length follows; 0x80 leaves it open.
    let skipped = if *length < 0x80 { 0 } else { usize::from(length & 0x7f) };
    rest.get(skipped..).is_some_and(|rest| rest.starts_with(&[0x02, 0x01, 0x03]))
}

fn decrypt(der: &[u8], password: Option<&Secret>) -> Result<KeyDer, String> {
    let old = || {
        "The private key is encrypted in a way that is too old or unknown. Convert it: openssl pkcs8 -topk8 -v2 \
         aes-256-cbc -in old.key -out new.key"
            .to_owned()
    };
    let sealed = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| old())?;
    let bearable = match &sealed.encryption_algorithm.pbes2().ok_or_else(old)?.kdf {
        Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count <= ROUNDS_MAX,
        Kdf::Scrypt(scrypt) => {
            let bytes = scrypt.cost_parameter.saturating_mul(u64::from(scrypt.block_size)).saturating_mul(128);
            bytes <= SCRYPT_BYTES_MAX && scrypt.parallelization <= SCRYPT_LANES_MAX
        }
        _ => return Err(old()),
    };
    if !bearable {
        return Err(
            "The private key's password would take minutes to try: encrypt the key anew with fewer rounds".to_owned()
        );
    }
    let password = password.ok_or(NO_PASSWORD)?;
    match sealed.decrypt(password.reveal()) {
        Ok(opened) => Ok(KeyDer::new(opened.as_bytes().to_vec())),
        Err(pkcs8::Error::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. } | pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. },
        )) => Err(old()),
        Err(_) => Err(WRONG_PASSWORD.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::access::certificate::fixtures::{KINDS, Workshop, now};

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    /// Why two files are refused.
    fn refused(file: &[u8], key: Option<&[u8]>, password: Option<&str>) -> String {
        read(file, key, password.map(secret).as_ref(), now()).unwrap_err()
    }

    fn chain_of(material: &Material) -> Vec<String> {
        let name = |der: &CertificateDer<'_>| {
            x509_parser::parse_x509_certificate(der).unwrap().1.subject().to_string().replace("CN=", "")
        };
        material.chain.iter().map(name).collect()
    }

    #[test]
    fn every_kind_of_key_is_read_in_every_form() {
        for (newkey, kind) in KINDS {
            let work = Workshop::new();
            work.self_signed("a", "leaf", newkey);
            work.join(&["a.pem", "a.key"], "both.pem");
            work.openssl("x509 -in a.pem -outform DER -out a.cer");
            work.openssl("pkcs8 -topk8 -nocrypt -in a.key -outform DER -out a.der");
            let one = read(&work.file("both.pem"), None, None, now()).unwrap();
            assert_eq!((one.facts.key_kind.as_str(), one.facts.self_signed), (kind, true));
            assert_eq!(one.warnings, Vec::<String>::new());
            for (file, key) in [("a.pem", "a.key"), ("a.key", "a.pem"), ("a.cer", "a.der"), ("both.pem", "a.key")] {
                let other = read(&work.file(file), Some(&work.file(key)), None, now()).unwrap();
                assert_eq!(other.facts, one.facts, "{kind} {file} {key}");
            }
        }
        let work = Workshop::new();
        for (newkey, name, command) in [(KINDS[3].0, "rsa", "rsa -traditional"), (KINDS[0].0, "ec", "ec")] {
            work.self_signed(name, "leaf", newkey);
            work.openssl(&format!("{command} -in {name}.key -out old-{name}.key"));
            let key = work.file(&format!("old-{name}.key"));
            assert!(String::from_utf8_lossy(&key).contains(&format!("{} PRIVATE", name.to_uppercase())));
            assert!(read(&work.file(&format!("{name}.pem")), Some(&key), None, now()).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_a_certificate_says_is_read() {
        let work = Workshop::with_chain();
        let found = read(&work.file("chain.pem"), Some(&work.file("leaf.key")), None, now()).unwrap();
        let facts = &found.facts;
        assert_eq!((facts.subject.as_str(), facts.issuer.as_str()), ("CN=leaf", "CN=inter"));
        assert_eq!(facts.names, ["ftp.example.com", "*.example.org", "192.0.2.7", "2001:db8::7"]);
        assert_eq!((facts.self_signed, facts.chain_complete, facts.days_left(now())), (false, true, 999));
        work.openssl("x509 -in leaf.pem -noout -fingerprint -sha256 -out sha");
        work.openssl("x509 -in leaf.pem -noout -enddate -dateopt iso_8601 -out end");
        let said = |name: &str| String::from_utf8(work.file(name)).unwrap().trim().to_owned();
        assert!(said("sha").ends_with(&format!("={}", facts.sha256)), "{}", said("sha"));
        let end = format!("{}.000000Z", said("end").replace("notAfter=", "").trim_end_matches('Z').replace(' ', "T"));
        assert_eq!(end, facts.not_after.to_string());
        assert!(found.chain_pem().starts_with("-----BEGIN CERTIFICATE-----\n"));
        assert_eq!(found.chain_pem().matches("BEGIN").count(), 2);
        assert!(!format!("{found:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_chain_is_put_in_order_and_what_lacks_is_said() {
        let work = Workshop::with_chain();
        work.self_signed("stranger", "ca", KINDS[0].0);
        let key = work.file("leaf.key");
        work.join(&["root.pem", "stranger.pem", "inter.pem", "leaf.pem", "inter.pem"], "mixed.pem");
        let mixed = read(&work.file("mixed.pem"), Some(&key), None, now()).unwrap();
        assert_eq!(chain_of(&mixed), ["leaf", "inter", "root"]);
        assert_eq!(mixed.warnings.len(), 1, "{:?}", mixed.warnings);
        assert!(mixed.warnings[0].starts_with("1 certificate of the file left out"), "{:?}", mixed.warnings);
        let alone = read(&work.file("leaf.pem"), Some(&key), None, now()).unwrap();
        assert!(!alone.facts.chain_complete && alone.warnings[0].contains("of its issuer, CN=inter,"));

        // An authority with two keys under one name: the key identifiers distinguish them.
        let inter = work.file("inter.pem");
        work.issue("inter", "ca", "root");
        std::fs::write(work.path("old.pem"), inter).unwrap();
        work.join(&["leaf.pem", "inter.pem", "old.pem"], "two.pem");
        let two = read(&work.file("two.pem"), Some(&key), None, now()).unwrap();
        work.join(&["leaf.pem", "old.pem"], "right.pem");
        let right = read(&work.file("right.pem"), Some(&key), None, now()).unwrap();
        assert_eq!(two.chain, right.chain);

        work.issue("person", "person", "root");
        let person = read(&work.file("person.pem"), Some(&work.file("person.key")), None, now()).unwrap();
        assert!(person.warnings.iter().any(|words| words.contains("names no host")));
        assert!(person.warnings.iter().any(|words| words.contains("isn't meant for servers")));
    }

    #[test]
    fn an_encrypted_key_needs_its_password() {
        let work = Workshop::new();
        work.self_signed("a", "leaf", KINDS[3].0);
        for how in ["-v2 aes-256-cbc", "-v2 aes-128-cbc -v2prf hmacWithSHA1", "-v2 des3", "-scrypt -scrypt_N 1024"] {
            work.openssl(&format!("pkcs8 -topk8 {how} -in a.key -out s.key -passout pass:sesame"));
            work.openssl("pkcs8 -in s.key -passin pass:sesame -topk8 -outform DER -out s.der -passout pass:sesame");
            for key in ["s.key", "s.der"] {
                let (pem, key) = (work.file("a.pem"), work.file(key));
                assert!(refused(&pem, Some(&key), None).contains("give its password"), "{how}");
                assert_eq!(refused(&pem, Some(&key), Some("Sesame")), WRONG_PASSWORD, "{how}");
                assert_eq!(refused(&pem, Some(&key), Some("")), WRONG_PASSWORD, "{how}");
                assert!(read(&pem, Some(&key), Some(&secret("sesame")), now()).is_ok(), "{how}");
            }
        }
        // An unneeded password is not a mistake.
        assert!(read(&work.file("a.pem"), Some(&work.file("a.key")), Some(&secret("x")), now()).is_ok());
    }

    #[test]
    fn keys_encrypted_in_old_ways_are_named_with_the_way_out() {
        let work = Workshop::new();
        work.self_signed("a", "leaf", KINDS[3].0);
        work.openssl("rsa -traditional -aes256 -in a.key -out old.key -passout pass:x");
        let words = refused(&work.file("a.pem"), Some(&work.file("old.key")), Some("x"));
        assert!(words.contains("Proc-Type: 4,ENCRYPTED") && words.contains("openssl pkcs8 -topk8"), "{words}");
        for how in ["-v1 PBE-SHA1-3DES", "-v2 aria128"] {
            work.openssl(&format!("pkcs8 -topk8 {how} -in a.key -out old.key -passout pass:x"));
            let words = refused(&work.file("a.pem"), Some(&work.file("old.key")), Some("x"));
            assert!(words.contains("too old or unknown") && words.contains("openssl pkcs8 -topk8"), "{how}: {words}");
        }
    }

    #[test]
    fn a_password_that_would_take_minutes_is_not_tried() {
        let work = Workshop::new();
        work.self_signed("a", "leaf", KINDS[0].0);
        work.openssl("pkcs8 -topk8 -iter 70000 -v2 aes-256-cbc -outform DER -in a.key -out slow.der -passout pass:x");
        let mut slow = work.file("slow.der");
        let rounds = slow.windows(5).position(|part| part == [2, 3, 0x01, 0x11, 0x70]).unwrap();
        slow[rounds + 2] = 0x7f;
        let words = refused(&work.file("a.pem"), Some(&slow), Some("x"));
        assert!(words.contains("would take minutes"), "{words}");
    }

    #[test]
    fn pkcs12_is_read_with_its_password() {
        let work = Workshop::with_chain();
        let export = "pkcs12 -export -in leaf.pem -inkey leaf.key -certfile inter.pem -out a.p12";
        let old = "-certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1";
        for how in ["", "-nomac", "-name leaf -certpbe NONE", old, "-legacy"] {
            work.openssl(&format!("{export} {how} -passout pass:sesame"));
            let file = work.file("a.p12");
            let found =
                read(&file, None, Some(&secret("sesame")), now()).unwrap_or_else(|words| panic!("{how}: {words}"));
            assert_eq!(chain_of(&found), ["leaf", "inter"], "{how}");
            assert_eq!(refused(&file, None, Some("Sesame")), WRONG_PASSWORD, "{how}");
            assert!(refused(&file, None, None).contains("give its password"), "{how}");
        }
        work.openssl(&format!("{export} -passout pass:"));
        assert!(read(&work.file("a.p12"), None, None, now()).is_ok());
        work.openssl("pkcs12 -export -in leaf.pem -nokeys -out a.p12 -passout pass:x");
        assert!(refused(&work.file("a.p12"), None, Some("x")).starts_with("No private key found"));
        assert!(read(&work.file("a.p12"), Some(&work.file("leaf.key")), Some(&secret("x")), now()).is_ok());
        let mut cut = work.file("a.p12");
        cut.truncate(cut.len() / 2);
        assert!(refused(&cut, None, Some("x")).starts_with("This PKCS#12 file can't be read"));
    }

    #[test]
    fn what_cannot_be_presented_is_refused_in_words() {
        let work = Workshop::with_chain();
        let (leaf, key) = (work.file("leaf.pem"), work.file("leaf.key"));
        for (file, key, words) in [
            (leaf.as_slice(), None, "No private key found"),
            (&key, None, "No certificate found: it holds a private key only"),
            (&leaf, Some(work.file("inter.key")), "doesn't fit the certificate CN=leaf"),
            (&work.file("leaf.csr"), None, "This is a request for a certificate"),
            (b"", None, "neither PEM nor PKCS#12"),
            (b"Hello", None, "neither PEM nor PKCS#12"),
            (&leaf[..leaf.len() / 2], None, "has no end"),
            (&vec![b'x'; FILE_BYTES_MAX + 1], None, "more than 1 MiB"),
            (&pem::write("CERTIFICATE", b"x").repeat(CERTIFICATES_MAX + 1).into_bytes(), None, "more than 200"),
            (pem::write("CERTIFICATE", b"x").as_bytes(), Some(key.clone()), "is damaged"),
            (pem::write("PKCS7", b"x").as_bytes(), None, "openssl pkcs7 -print_certs"),
            (pem::write("OPENSSH PRIVATE KEY", b"x").as_bytes(), None, "key of OpenSSH"),
        ] {
            let said = refused(file, key.as_deref(), None);
            assert!(said.contains(words), "{said}, not {words}");
        }
        for (newkey, words) in [
            ("rsa:1024", "RSA 1024"),
            ("ed448", "Ed448"),
            ("ec -pkeyopt ec_paramgen_curve:secp256k1", "ECDSA on another curve"),
        ] {
            work.self_signed("weak", "leaf", newkey);
            let said = refused(&work.file("weak.pem"), Some(&work.file("weak.key")), None);
            assert!(said.contains(words) && said.contains("there are ECDSA (P-256"), "{said}");
        }
    }

    #[test]
    fn dates_are_checked() {
        let work = Workshop::with_chain();
        let (chain, key) = (work.file("chain.pem"), work.file("leaf.key"));
        let facts = read(&chain, Some(&key), None, now()).unwrap().facts;
        let late = facts.not_after.plus(Duration::from_secs(1));
        let words = read(&chain, Some(&key), None, late).unwrap_err();
        assert_eq!(words, format!("The certificate CN=leaf expired on {}", check::date(facts.not_after)));
        assert!(read(&chain, Some(&key), None, facts.not_after).is_ok());
        let early = read(&chain, Some(&key), None, facts.not_before.minus(Duration::from_secs(1))).unwrap();
        assert!(early.warnings[0].starts_with("It isn't valid before "), "{:?}", early.warnings);
        assert_eq!(facts.expiry(late), format!("expired on {}", check::date(facts.not_after)));
        assert!(facts.expiry(facts.not_before).ends_with("(1,000 days)"), "{}", facts.expiry(facts.not_before));
        assert_eq!(check::date(Timestamp::parse_rfc3339("2026-03-03T00:00:00Z").unwrap()), "3 March 2026");
    }

    #[test]
    fn of_several_certificates_for_one_key_the_newest_is_taken() {
        let work = Workshop::with_chain();
        work.openssl("x509 -req -in leaf.csr -CA inter.pem -CAkey inter.key -CAcreateserial -days 2000 -out long.pem");
        work.join(&["leaf.pem", "long.pem", "inter.pem"], "all.pem");
        let found = read(&work.file("all.pem"), Some(&work.file("leaf.key")), None, now()).unwrap();
        assert_eq!(found.facts.days_left(now()), 1_999);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(file in prop::collection::vec(any::<u8>(), 0..300), key: Option<Vec<u8>>) {
            let _ = read(&file, key.as_deref(), Some(&secret("x")), now());
            let labelled = ["CERTIFICATE", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"];
            for label in labelled {
                prop_assert!(read(pem::write(label, &file).as_bytes(), None, None, now()).is_err());
            }
        }
    }

    #[test]
    fn a_damaged_file_never_panics() {
        let work = Workshop::with_chain();
        // Few rounds, so that a flipped bit in their number does not make them many.
        work.openssl("pkcs12 -export -in chain.pem -inkey leaf.key -out a.p12 -iter 1 -passout pass:x");
        work.openssl("pkcs8 -topk8 -iter 1 -outform DER -in leaf.key -out s.der -passout pass:x");
        work.openssl("x509 -in leaf.pem -outform DER -out leaf.der");
        let key = work.file("leaf.key");
        for (name, step) in [("a.p12", 3), ("s.der", 1), ("leaf.der", 1)] {
            let whole = work.file(name);
            for at in (0..whole.len()).step_by(step) {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << (at % 8);
                let _ = read(&damaged, Some(&key), Some(&secret("x")), now());
                let _ = read(&whole[..at], Some(&key), Some(&secret("x")), now());
            }
        }
    }
}
