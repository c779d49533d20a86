//! For tests: certificates, keys and files made by OpenSSL, each in a folder removed with its [`Workshop`].

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::base::clock::{Clock, Timestamp};

const CONFIGURATION: &str = "\
[req]
distinguished_name = none
[none]
[ca]
basicConstraints = critical,CA:TRUE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
subjectAltName = DNS:Ftp.Example.com,DNS:*.example.org,IP:192.0.2.7,IP:2001:db8::7
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
extendedKeyUsage = serverAuth
[person]
extendedKeyUsage = clientAuth
";

/// `-newkey` for each kind of key, and its name on pages.
pub(crate) const KINDS: [(&str, &str); 5] = [
    ("ec -pkeyopt ec_paramgen_curve:P-256", "ECDSA P-256"),
    ("ec -pkeyopt ec_paramgen_curve:P-384", "ECDSA P-384"),
    ("ec -pkeyopt ec_paramgen_curve:P-521", "ECDSA P-521"),
    ("rsa:2048", "RSA 2048"),
    ("ed25519", "Ed25519"),
];

/// A folder in which `openssl` works.
pub(crate) struct Workshop(tempfile::TempDir);

impl Workshop {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("c.cnf"), CONFIGURATION).unwrap();
        Self(folder)
    }

    /// With `leaf.pem` and `leaf.key`, issued by `inter.pem`, which `root.pem` issued; `chain.pem` contains leaf and
    /// inter.
    pub(crate) fn with_chain() -> Self {
        let workshop = Self::new();
        workshop.self_signed("root", "ca", KINDS[0].0);
        workshop.issue("inter", "ca", "root");
        workshop.issue("leaf", "leaf", "inter");
        workshop.join(&["leaf.pem", "inter.pem"], "chain.pem");
        workshop
    }

    /// Runs `openssl`; blanks separate its arguments.
    pub(crate) fn openssl(&self, line: &str) {
        let done = Command::new("openssl")
            .args(line.split_whitespace())
            .stdin(Stdio::null())
            .current_dir(self.0.path())
            .output();
        let done = done.unwrap_or_else(|error| match error.kind() {
            ErrorKind::NotFound => panic!("these tests need openssl: install it, for example apt-get install openssl"),
            _ => panic!("openssl {line}: {error}"),
        });
        assert!(done.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Makes `name.pem` and `name.key` (PKCS#8), valid for 1,000 days.
    pub(crate) fn self_signed(&self, name: &str, section: &str, newkey: &str) {
        self.openssl(&format!(
            "req -config c.cnf -x509 -extensions {section} -newkey {newkey} -nodes -keyout {name}.key -out {name}.pem \
             -subj /CN={name} -days 1000"
        ));
    }

    /// The same, issued by `issuer`.
    pub(crate) fn issue(&self, name: &str, section: &str, issuer: &str) {
        self.openssl(&format!(
            "req -config c.cnf -newkey {} -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}",
            KINDS[0].0
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -extfile c.cnf \
             -extensions {section} -days 1000 -out {name}.pem"
        ));
    }

    /// Writes several files into one.
    pub(crate) fn join(&self, names: &[&str], into: &str) {
        std::fs::write(self.path(into), names.iter().flat_map(|name| self.file(name)).collect::<Vec<_>>()).unwrap();
    }

    /// The contents of a file.
    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Where a file is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// `openssl` uses the system's clock.
pub(crate) fn now() -> Timestamp {
    Clock::System.now()
}
