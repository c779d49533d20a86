//! Client certificates: requested in the handshake, never demanded there, judged when the client signs in (PRODUCT
//! section 4). Always: whoever presents one has its key, and no handshake fails for lack of one.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

use super::check::{self, Facts};
use super::parse;
use super::provider::provider;
use crate::base::clock::Timestamp;
use crate::domain::setting::Value;
use crate::domain::value::CertificateMatch;
use crate::store::authority::StoredAuthority;

/// An authority of client certificates, ready to judge.
#[derive(Clone, Debug)]
pub struct Authority {
    /// As stored.
    pub stored: StoredAuthority,
    /// The contents of its first certificate.
    pub facts: Facts,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authority {
    pub(super) fn open(stored: StoredAuthority) -> Result<Self, String> {
        let chain = check::chain_of(&stored.pem)?;
        let facts = Facts::of(&chain)?;
        let mut roots = RootCertStore::empty();
        for certificate in chain {
            roots.add(certificate).map_err(|error| format!("It can't be trusted as an authority: {error}"))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider()))
            .build()
            .map_err(|error| format!("It can't be trusted as an authority: {error}"))?;
        Ok(Self { stored, facts, verifier })
    }

    /// Whether it issued `chain`, for clients and valid now.
    fn issued(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), String> {
        let (leaf, issuers) = chain.split_first().ok_or(NONE)?;
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        match self.verifier.verify_client_cert(leaf, issuers, at) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{} doesn't vouch for it: {error}", self.stored.name)),
        }
    }
}

const NONE: &str = "the client presented no certificate";

/// Whether a client's certificate, the first in the chain, is the `wanted` one; if not, why, in words for the
/// administrator. Dates count for a pinned one too: its owner decides how long it is valid.
pub(super) fn judge(
    chain: &[CertificateDer<'_>],
    wanted: &CertificateMatch,
    authorities: &[Arc<Authority>],
    now: Timestamp,
) -> Result<(), String> {
    let leaf = chain.first().ok_or(NONE)?;
    let shown = CertificateMatch::Sha256(Sha256::digest(leaf).into());
    let facts = Facts::of(chain).map_err(|error| format!("the client presented {}: {error}", shown.text()))?;
    let presented = format!("the client presented {}, {}", facts.subject, shown.text());
    match wanted {
        CertificateMatch::Sha256(_) if *wanted != shown => return Err(presented),
        CertificateMatch::Sha256(_) => {}
        CertificateMatch::Subject { ca, subject } => {
            let found = authorities.iter().find(|one| one.stored.name.key() == ca.to_lowercase());
            let authority = found.ok_or_else(|| format!("there is no authority {ca} any more"))?;
            authority.issued(chain, now).map_err(|why| format!("{presented}; {why}"))?;
            if !is_subject(&check::subject_parts(leaf)?, subject) {
                return Err(presented);
            }
        }
    }
    if facts.is_valid(now) { Ok(()) } else { Err(format!("{presented}; it {}", facts.expiry(now))) }
}

/// Whether `typed` names the whole subject, in the order of the certificate or reversed (RFC 4514); blanks around `,`
/// and `=` mean nothing.
fn is_subject(parts: &[String], typed: &str) -> bool {
    let plain = |text: &str| {
        let tight =
            |text: &str, mark: char| text.split(mark).map(str::trim).collect::<Vec<_>>().join(&mark.to_string());
        tight(&tight(text, ','), '=')
    };
    let typed = plain(typed);
    let backwards: Vec<_> = parts.iter().rev().map(String::as_str).collect();
    plain(&parts.join(",")) == typed || plain(&backwards.join(",")) == typed
}

/// Reads the certificates of an authority: PEM or DER, no key.
pub fn read_authority(file: &[u8]) -> Result<String, String> {
    let chain = parse::certificates(file)?;
    if !check::are_authorities(&chain)? {
        return Err(
            "It isn't an authority's certificate: it says that it issues none. Bring the one of whoever issued \
                    the partner's, or match the partner's own by sha256:…"
                .to_owned(),
        );
    }
    Ok(check::chain_pem(&chain))
}

/// Requests a certificate from every client and accepts any whose key signs: the login decides whose it is.
#[derive(Debug)]
struct Asking(CryptoProvider);

/// The verifier for a server's configuration.
pub fn asking() -> Arc<dyn ClientCertVerifier> {
    Arc::new(Asking(provider()))
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
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::certificate::fixtures::{KINDS, Workshop, now};
    use crate::domain::value::CertificateName;

    fn authority(work: &Workshop, name: &str, file: &str) -> Arc<Authority> {
        let pem = read_authority(&work.file(file)).unwrap();
        let name = CertificateName::parse(name).unwrap();
        let stored = StoredAuthority { name, pem, sha256: String::new(), added_at: now() };
        Arc::new(Authority::open(stored).unwrap())
    }

    fn chain(work: &Workshop, files: &[&str]) -> Vec<CertificateDer<'static>> {
        files.iter().flat_map(|file| parse::certificates(&work.file(file)).unwrap()).collect()
    }

    fn wanted(text: &str) -> CertificateMatch {
        CertificateMatch::parse(text).unwrap()
    }

    #[test]
    fn a_pinned_certificate_is_that_one_while_it_is_valid() {
        let work = Workshop::new();
        work.self_signed("a", "person", KINDS[0].0);
        work.self_signed("b", "person", KINDS[0].0);
        let (one, two) = (chain(&work, &["a.pem"]), chain(&work, &["b.pem"]));
        let pin = CertificateMatch::Sha256(Sha256::digest(&one[0]).into());
        assert_eq!(judge(&one, &pin, &[], now()), Ok(()));
        let other = judge(&two, &pin, &[], now()).unwrap_err();
        assert!(other.contains("the client presented") && other.contains("sha256:"), "{other}");
        assert_eq!(judge(&[], &pin, &[], now()), Err(NONE.to_owned()));
        let later = now().plus(std::time::Duration::from_hours(24 * 365 * 50));
        assert!(judge(&one, &pin, &[], later).unwrap_err().contains("expired on"));
    }

    #[test]
    fn an_authority_vouches_for_one_subject() {
        let work = Workshop::with_chain();
        work.issue("acme", "person", "inter");
        let presented = chain(&work, &["acme.pem", "inter.pem"]);
        let known = [authority(&work, "Partners", "root.pem")];
        let subject = check::subject_parts(&presented[0]).unwrap().join(", ");
        assert_eq!(judge(&presented, &wanted(&format!("ca:partners subject:{subject}")), &known, now()), Ok(()));
        for (text, words) in [
            ("ca:Partners subject:CN=somebody else", "the client presented"),
            (&*format!("ca:Others subject:{subject}"), "there is no authority Others"),
        ] {
            let why = judge(&presented, &wanted(text), &known, now()).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        // Anyone can make a certificate with the same subject, but nobody vouches for it.
        let stranger = Workshop::with_chain();
        stranger.issue("acme", "person", "inter");
        let forged = chain(&stranger, &["acme.pem", "inter.pem"]);
        let why = judge(&forged, &wanted(&format!("ca:Partners subject:{subject}")), &known, now()).unwrap_err();
        assert!(why.contains("Partners doesn't vouch for it"), "{why}");
        // A server's certificate is not valid for clients.
        let server = chain(&work, &["leaf.pem", "inter.pem"]);
        assert!(judge(&server, &wanted("ca:Partners subject:CN=leaf"), &known, now()).is_err());
        assert!(read_authority(&work.file("leaf.pem")).unwrap_err().contains("isn't an authority"));
    }

    #[test]
    fn a_subject_is_named_whole_in_either_order() {
        let parts = ["C=DE".to_owned(), "O=Acme, Inc".to_owned(), "CN=edi".to_owned()];
        for typed in ["C=DE, O=Acme, Inc, CN=edi", "CN = edi,O=Acme,Inc,C = DE"] {
            assert!(is_subject(&parts, typed), "{typed}");
        }
        for typed in ["CN=edi", "C=DE, O=Acme, Inc, CN=edit", "C=DE, CN=edi, O=Acme, Inc", ""] {
            assert!(!is_subject(&parts, typed), "{typed}");
        }
    }
}
