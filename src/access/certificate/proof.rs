//! Whether a client has the key of the certificate that it presents. No handshake fails because that cannot be told
//! (PRODUCT section 4): such a certificate counts as not presented, and its partner hears of it when it signs in.

use std::sync::{Arc, Mutex};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::asn1_rs::{FromDer, Sequence};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::check;
use super::provider::provider;
use crate::base::lock::lock;

/// What a client showed of itself in its handshake.
#[derive(Clone, Debug, Default)]
pub enum Shown {
    /// No certificate, or none was asked for.
    #[default]
    Nothing,
    /// Its certificate, followed by its issuers as they came; the key of the first signed this handshake.
    Proven(Vec<CertificateDer<'static>>),
    /// One that counts for nothing, since nobody here can tell whether the client has its key: which, and why, in words
    /// for the administrator.
    Unproven(String),
}

/// Requests a certificate from the client of one handshake, and remembers whether its key signed: the login decides
/// whose it is.
#[derive(Debug)]
pub struct Asking {
    provider: CryptoProvider,
    seen: Mutex<Option<Result<CertificateDer<'static>, String>>>,
}

/// The verifier for the handshakes of one session.
pub fn asking() -> Arc<Asking> {
    Arc::new(Asking { provider: provider(), seen: Mutex::default() })
}

/// The version of TLS whose rules a signature follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Tls12,
    Tls13,
}

/// A signature that proves nothing.
enum Doubt {
    /// It cannot be checked here: why.
    Unchecked(String),
    /// Another key made it.
    Wrong(Error),
}

impl Asking {
    /// What the client showed in the handshake that just ended, with the certificates that came in it.
    pub fn shown(&self, presented: Option<&[CertificateDer<'_>]>) -> Shown {
        match (lock(&self.seen).take(), presented) {
            (Some(Ok(proven)), Some(chain)) if chain.first() == Some(&proven) => {
                Shown::Proven(chain.iter().map(|one| one.clone().into_owned()).collect())
            }
            (Some(Err(why)), _) => Shown::Unproven(why),
            (Some(Ok(_)) | None, _) => Shown::Nothing,
        }
    }

    fn verify(
        &self,
        version: Version,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let seen = match prove(version, message, (cert, dss), &self.provider.signature_verification_algorithms) {
            Ok(()) => Ok(cert.clone().into_owned()),
            Err(Doubt::Unchecked(why)) => Err(format!("{}: {why}", check::described(cert))),
            Err(Doubt::Wrong(error)) => return Err(error),
        };
        *lock(&self.seen) = Some(seen);
        // Not proven is remembered, and `shown` gives no certificate then.
        Ok(HandshakeSignatureValid::assertion())
    }
}

/// Whether the key of `cert` signed `message`.
fn prove(
    version: Version,
    message: &[u8],
    (cert, dss): (&CertificateDer<'_>, &DigitallySignedStruct),
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), Doubt> {
    let verified = match version {
        Version::Tls12 => verify_tls12_signature(message, cert, dss, algorithms),
        Version::Tls13 => verify_tls13_signature(message, cert, dss, algorithms),
    };
    let Err(error) = verified else { return Ok(()) };
    let key = check::ClientKey::of(cert).map_err(Doubt::Unchecked)?;
    if let Some(weak) = key.unusable() {
        return Err(Doubt::Unchecked(weak));
    }
    // The verifier reads whole certificates: of one that it cannot read (of version 1, or with an extension it does not
    // know), the key alone is enough here.
    let verified = match (ParsedCertificate::try_from(cert), version) {
        (Ok(_), _) => Err(error),
        (Err(_), Version::Tls12) => verify_tls12_with_key(message, &key.spki, dss, algorithms),
        (Err(_), Version::Tls13) => {
            let spki = SubjectPublicKeyInfoDer::from(key.spki.raw);
            verify_tls13_signature_with_raw_key(message, &spki, dss, algorithms).map(|_| ())
        }
    };
    verified.map_err(|error| match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => Doubt::Wrong(error),
        _ => Doubt::Unchecked(format!(
            "its key ({}) signed by {:?}, which can't be checked here; there are {}",
            key.kind,
            dss.scheme,
            check::KINDS
        )),
    })
}

/// What `verify_tls12_signature` of rustls does, for a key without its certificate. In TLS 1.2 a scheme does not fix
/// the curve (RFC 8446 section 4.2.3).
fn verify_tls12_with_key(
    message: &[u8],
    spki: &SubjectPublicKeyInfo<'_>,
    dss: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), Error> {
    let kind = algorithm_of(spki).ok_or(CertificateError::BadEncoding)?;
    let possible = algorithms.mapping.iter().find(|(scheme, _)| *scheme == dss.scheme);
    let mut possible = possible.into_iter().flat_map(|(_, possible)| possible.iter());
    let algorithm = possible
        .find(|one| one.public_key_alg_id().as_ref() == kind)
        .ok_or(rustls::PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    algorithm
        .verify_signature(&spki.subject_public_key.data, message, dss.signature())
        .map_err(|_| CertificateError::BadSignature.into())
}

/// The contents of the `AlgorithmIdentifier` of a key (RFC 5280 section 4.1.1.2).
fn algorithm_of(spki: &SubjectPublicKeyInfo<'_>) -> Option<Vec<u8>> {
    let (_, whole) = Sequence::from_der(spki.raw).ok()?;
    let (_, algorithm) = Sequence::from_der(&whole.content).ok()?;
    Some(algorithm.content.into_owned())
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // None: a client that finds no hint of its own issuer would present nothing.
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(Version::Tls12, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(Version::Tls13, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::client::ResolvesClientCert;
    use rustls::pki_types::ServerName;
    use rustls::sign::{CertifiedKey, Signer, SigningKey};
    use rustls::{
        ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection, SignatureAlgorithm,
        SupportedProtocolVersion,
    };
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::access::certificate::client::judge;
    use crate::access::certificate::fixtures::{KINDS, Workshop, now};
    use crate::access::certificate::{Material, parse, self_signed};
    use crate::domain::value::CertificateMatch;

    const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];
    const P256: &str = KINDS[0].0;
    const K1: &str = "ec -pkeyopt ec_paramgen_curve:secp256k1";

    /// A client that presents a certificate and signs as it is told, whatever the server offers. Without a key it signs
    /// with bytes that mean nothing.
    #[derive(Clone, Debug)]
    struct Stubborn {
        chain: Vec<CertificateDer<'static>>,
        key: Option<Arc<dyn SigningKey>>,
        scheme: SignatureScheme,
    }

    impl ResolvesClientCert for Stubborn {
        fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            Some(Arc::new(CertifiedKey::new(self.chain.clone(), Arc::new(self.clone()))))
        }

        fn has_certs(&self) -> bool {
            true
        }
    }

    impl SigningKey for Stubborn {
        fn choose_scheme(&self, _offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
            match &self.key {
                Some(key) => key.choose_scheme(&[self.scheme]),
                None => Some(Box::new(self.clone())),
            }
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::Unknown(0xff)
        }
    }

    impl Signer for Stubborn {
        fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, Error> {
            Ok(vec![0x30; 70])
        }

        fn scheme(&self) -> SignatureScheme {
            self.scheme
        }
    }

    /// Makes `name.pem` and `name.key` with what `extensions` says; of version 1 if it says nothing.
    fn issue(work: &Workshop, name: &str, newkey: &str, extensions: &str) {
        work.openssl(&format!(
            "req -config c.cnf -newkey {newkey} -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        let extended = if extensions.is_empty() { String::new() } else { format!("-extfile {name}.ext") };
        std::fs::write(work.path(&format!("{name}.ext")), extensions).unwrap();
        work.openssl(&format!(
            "x509 -req -in {name}.csr -CA root.pem -CAkey root.key -CAcreateserial -days 100 {extended} -out {name}.pem"
        ));
    }

    /// Presents `name.pem`, and signs with the key of `signer`.
    fn client(work: &Workshop, name: &str, signer: &str, scheme: SignatureScheme) -> Stubborn {
        let key = rustls_key(&work.file(&format!("{signer}.key")));
        Stubborn { key: Some(key), ..stranger(work, name, scheme) }
    }

    /// Presents `name.pem` without its key.
    fn stranger(work: &Workshop, name: &str, scheme: SignatureScheme) -> Stubborn {
        let chain = parse::certificates(&work.file(&format!("{name}.pem"))).unwrap();
        Stubborn { chain, key: None, scheme }
    }

    fn rustls_key(pem: &[u8]) -> Arc<dyn SigningKey> {
        use rustls::pki_types::PrivateKeyDer;
        use rustls::pki_types::pem::PemObject;
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&PrivateKeyDer::from_pem_slice(pem).unwrap()).unwrap()
    }

    fn server() -> Material {
        self_signed(&["ftp.example.com".to_owned()], now()).unwrap()
    }

    /// What a server saw of the client's certificate; an error if the handshake failed.
    fn shake(server: &Material, client: &Stubborn, version: &'static SupportedProtocolVersion) -> Result<Shown, Error> {
        let (provider, asking) = (Arc::new(provider()), asking());
        let mut roots = RootCertStore::empty();
        roots.add(server.chain[0].clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(client.clone()));
        let name = ServerName::try_from("ftp.example.com").unwrap();
        let mut client = Connection::from(ClientConnection::new(Arc::new(config), name).unwrap());
        let key = check::signer(&server.key).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(Arc::<Asking>::clone(&asking))
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(CertifiedKey::new(
                server.chain.clone(),
                key,
            ))));
        let mut peer = Connection::from(ServerConnection::new(Arc::new(config)).unwrap());
        while client.is_handshaking() || peer.is_handshaking() {
            carry(&mut client, &mut peer)?;
            carry(&mut peer, &mut client)?;
        }
        Ok(asking.shown(peer.peer_certificates()))
    }

    fn carry(from: &mut Connection, to: &mut Connection) -> Result<(), Error> {
        let mut bytes = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = bytes.as_slice();
        while !bytes.is_empty() {
            to.read_tls(&mut bytes).unwrap();
            to.process_new_packets()?;
        }
        Ok(())
    }

    /// Its own certificate, and no other's.
    fn verdict(shown: &Shown, client: &Stubborn) -> Result<(), String> {
        judge(shown, &CertificateMatch::Sha256(Sha256::digest(&client.chain[0]).into()), &[], now())
    }

    fn workshop() -> Workshop {
        let work = Workshop::with_chain();
        issue(&work, "good", P256, "extendedKeyUsage=clientAuth");
        issue(&work, "first", P256, "");
        issue(&work, "first384", KINDS[1].0, "");
        issue(&work, "firstrsa", "rsa:2048", "");
        issue(&work, "critical", P256, "1.2.3.4.5=critical,ASN1:NULL");
        issue(&work, "short", "rsa:1024", "extendedKeyUsage=clientAuth");
        issue(&work, "k1", K1, "extendedKeyUsage=clientAuth");
        work
    }

    #[test]
    fn a_certificate_whose_key_signs_is_proven_even_if_the_verifier_cannot_read_the_rest() {
        use SignatureScheme as Scheme;
        let (work, server) = (workshop(), server());
        let (old, new) = (VERSIONS[0], VERSIONS[1]);
        for (name, version, scheme) in [
            ("good", old, Scheme::ECDSA_NISTP256_SHA256),
            ("good", new, Scheme::ECDSA_NISTP256_SHA256),
            ("first", old, Scheme::ECDSA_NISTP256_SHA256),
            ("first", new, Scheme::ECDSA_NISTP256_SHA256),
            ("first384", old, Scheme::ECDSA_NISTP384_SHA384),
            ("first384", new, Scheme::ECDSA_NISTP384_SHA384),
            ("firstrsa", old, Scheme::RSA_PKCS1_SHA256),
            ("firstrsa", old, Scheme::RSA_PSS_SHA256),
            ("firstrsa", new, Scheme::RSA_PSS_SHA512),
        ] {
            let client = client(&work, name, name, scheme);
            let shown = shake(&server, &client, version).unwrap_or_else(|error| panic!("{name} {scheme:?}: {error}"));
            assert!(matches!(&shown, Shown::Proven(chain) if *chain == client.chain), "{name} {scheme:?}: {shown:?}");
            assert_eq!(verdict(&shown, &client), Ok(()), "{name} {scheme:?}");
        }
        for version in VERSIONS {
            let client = client(&work, "critical", "critical", Scheme::ECDSA_NISTP256_SHA256);
            let shown = shake(&server, &client, version).unwrap();
            assert!(matches!(shown, Shown::Proven(_)), "{shown:?}");
            let why = verdict(&shown, &client).unwrap_err();
            assert!(why.contains("CN=critical") && why.contains("1.2.3.4.5"), "{why}");
        }
    }

    #[test]
    fn one_whose_signature_cannot_be_checked_fails_no_handshake_and_counts_for_nothing() {
        use SignatureScheme as Scheme;
        let (work, server) = (workshop(), server());
        for version in VERSIONS {
            for (name, scheme, words) in [
                ("short", Scheme::RSA_PSS_SHA256, "RSA 1024"),
                ("k1", Scheme::ECDSA_NISTP256_SHA256, "ECDSA on another curve"),
                ("good", Scheme::ECDSA_SHA1_Legacy, "ECDSA_SHA1_Legacy"),
                ("good", Scheme::from(0x0809), "can't be checked here"),
                ("first", Scheme::ED448, "ED448"),
                ("first", Scheme::RSA_PSS_SHA256, "RSA_PSS_SHA256"),
                ("firstrsa", Scheme::RSA_PKCS1_SHA1, "RSA_PKCS1_SHA1"),
            ] {
                let client = stranger(&work, name, scheme);
                let shown = shake(&server, &client, version).unwrap_or_else(|error| panic!("{name}: {error}"));
                let why = verdict(&shown, &client).unwrap_err();
                assert!(why.contains("did not prove") && why.contains(words), "{name}: {why}");
                assert!(why.contains(&format!("CN={name}, sha256:")), "{why}");
            }
        }
        // Nobody speaks for a certificate by bytes alone.
        let mut client = stranger(&work, "good", Scheme::ECDSA_NISTP256_SHA256);
        client.chain = vec![CertificateDer::from(vec![1, 2, 3])];
        let shown = shake(&server, &client, VERSIONS[1]).unwrap();
        assert!(verdict(&shown, &client).unwrap_err().contains("can't be read"), "{shown:?}");
    }

    #[test]
    fn who_signs_with_another_key_than_that_of_the_certificate_is_refused() {
        let (work, server) = (workshop(), server());
        for version in VERSIONS {
            for name in ["good", "first", "critical"] {
                let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
                for client in [client(&work, name, "leaf", scheme), stranger(&work, name, scheme)] {
                    let error = shake(&server, &client, version).expect_err(name);
                    assert_eq!(error, Error::InvalidCertificate(CertificateError::BadSignature), "{name}");
                }
            }
        }
    }

    #[test]
    fn what_was_proven_is_the_certificate_that_came() {
        let asking = asking();
        let (one, two) = (CertificateDer::from(vec![1]), CertificateDer::from(vec![2]));
        *lock(&asking.seen) = Some(Ok(one));
        assert!(matches!(asking.shown(Some(std::slice::from_ref(&two))), Shown::Nothing));
        assert!(matches!(asking.shown(Some(std::slice::from_ref(&two))), Shown::Nothing), "nothing was verified");
    }
}
