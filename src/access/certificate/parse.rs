//! Reads what an administrator brings: PEM or PKCS#12, keys encrypted or not. Every mistake is said in words that name
//! the way out. It is slow on purpose where a password is tried: callers keep it off the async threads.

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
/// Rounds of a password's derivation; OpenSSL writes 2,048, careful people a million.
const ROUNDS_MAX: u32 = 5_000_000;
/// Memory of a password's derivation by scrypt.
const SCRYPT_BYTES_MAX: u64 = 256 << 20;
/// Lanes of a password's derivation by scrypt.
const SCRYPT_LANES_MAX: u16 = 16;

const WRONG_PASSWORD: &str = "The password doesn't open this file";
const NO_PASSWORD: &str = "The private key is encrypted: give its password";

/// What the files hold.
#[derive(Default)]
struct Found {
    certificates: Vec<CertificateDer<'static>>,
    keys: Vec<KeyDer>,
}

/// Reads a certificate with its issuers and its key from one file, or the key from a second. Gives what to store, or why
/// not. Both files may be PEM, PKCS#12 or plain DER.
pub fn read(
    file: &[u8],
    key_file: Option<&[u8]>,
    password: Option<&Secret>,
    now: Timestamp,
) -> Result<Material, String> {
    let files: Vec<_> = std::iter::once(file).chain(key_file).collect();
    read_with(&files, password, None, now)
}

/// Like [`read`]; when the files hold no key, `own` is it: the key that stayed here when its certificate was asked for.
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
            // Parameters, revocation lists, public keys: of no use here, and no harm.
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
                // Its words speak of structures, never of contents.
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
    // The long form of a length says in how many bytes it follows; 0x80 leaves it open.
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
