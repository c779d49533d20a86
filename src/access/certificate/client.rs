//! Client certificates: requested in the handshake, never demanded there, judged when the client signs in (PRODUCT
//! section 4). Always: only one whose key the client has counts, and no handshake fails for lack of one.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};

use super::check::{self, Facts};
use super::parse;
use super::proof::Shown;
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

/// Whether the certificate that a client showed is the `wanted` one; if not, why, in words for the administrator. Dates
/// count for a pinned one too: its owner decides how long it is valid.
pub(super) fn judge(
    shown: &Shown,
    wanted: &CertificateMatch,
    authorities: &[Arc<Authority>],
    now: Timestamp,
) -> Result<(), String> {
    let chain = match shown {
        Shown::Nothing => return Err(NONE.to_owned()),
        Shown::Unproven(why) => return Err(format!("the client did not prove that it has the key of {why}")),
        Shown::Proven(chain) => chain,
    };
    let leaf = chain.first().ok_or(NONE)?;
    let pin = CertificateMatch::Sha256(Sha256::digest(leaf).into());
    let facts = Facts::of(chain).map_err(|error| format!("the client presented {}: {error}", pin.text()))?;
    let presented = format!("the client presented {}", check::described(leaf));
    match wanted {
        CertificateMatch::Sha256(_) if *wanted != pin => return Err(presented),
        CertificateMatch::Sha256(_) => {
            if let Some(unknown) = check::unknown_critical(leaf)? {
                return Err(format!("{presented}; it must not be taken by who doesn't know its extension {unknown}"));
            }
        }
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

    fn proven(chain: &[CertificateDer<'static>]) -> Shown {
        Shown::Proven(chain.to_vec())
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
        assert_eq!(judge(&proven(&one), &pin, &[], now()), Ok(()));
        let other = judge(&proven(&two), &pin, &[], now()).unwrap_err();
        assert!(other.contains("the client presented") && other.contains("sha256:"), "{other}");
        assert_eq!(judge(&Shown::Nothing, &pin, &[], now()), Err(NONE.to_owned()));
        let later = now().plus(std::time::Duration::from_hours(24 * 365 * 50));
        assert!(judge(&proven(&one), &pin, &[], later).unwrap_err().contains("expired on"));
    }

    #[test]
    fn an_authority_vouches_for_one_subject() {
        let work = Workshop::with_chain();
        work.issue("acme", "person", "inter");
        let presented = chain(&work, &["acme.pem", "inter.pem"]);
        let known = [authority(&work, "Partners", "root.pem")];
        let subject = check::subject_parts(&presented[0]).unwrap().join(", ");
        assert_eq!(
            judge(&proven(&presented), &wanted(&format!("ca:partners subject:{subject}")), &known, now()),
            Ok(())
        );
        for (text, words) in [
            ("ca:Partners subject:CN=somebody else", "the client presented"),
            (&*format!("ca:Others subject:{subject}"), "there is no authority Others"),
        ] {
            let why = judge(&proven(&presented), &wanted(text), &known, now()).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        // Anyone can make a certificate with the same subject, but nobody vouches for it.
        let stranger = Workshop::with_chain();
        stranger.issue("acme", "person", "inter");
        let forged = chain(&stranger, &["acme.pem", "inter.pem"]);
        let why =
            judge(&proven(&forged), &wanted(&format!("ca:Partners subject:{subject}")), &known, now()).unwrap_err();
        assert!(why.contains("Partners doesn't vouch for it"), "{why}");
        // A server's certificate is not valid for clients.
        let server = chain(&work, &["leaf.pem", "inter.pem"]);
        assert!(judge(&proven(&server), &wanted("ca:Partners subject:CN=leaf"), &known, now()).is_err());
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
