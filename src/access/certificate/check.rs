//! Reads a certificate, and checks whether it can be presented: key and certificate match, the chain is in order, dates
//! and names are right. It only looks at texts; it cannot know whom clients trust.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo};

use super::keystore::KeyDer;
use super::pem;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::setting::Value;
use crate::domain::value::CertificateMatch;

/// The most issuers followed above a certificate.
const ISSUERS_MAX: usize = 10;
/// Bits of the weakest RSA key that clients accept.
const RSA_BITS_MIN: usize = 2_048;
/// Bits of the longest RSA key whose signatures are checked.
const RSA_BITS_MAX: usize = 8_192;
/// Extensions that the verifier knows, by their numbers: key usage, alternative names, basic constraints, name
/// constraints, CRL distribution points, extended key usage (RFC 5280 section 4.2.1).
const KNOWN_EXTENSIONS: [&str; 6] = ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.37"];
const DAY_US: i64 = 86_400 * 1_000_000;
/// Kinds of keys that are used here.
pub(super) const KINDS: &str = "ECDSA (P-256, P-384), RSA of 2048 bits or more, and Ed25519";

/// A checked certificate with issuers and key, ready to be stored.
#[derive(Clone, Debug)]
pub struct Material {
    /// The certificate first, each followed by its issuer.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: KeyDer,
    /// Its facts, as pages show them.
    pub facts: Facts,
    /// Problems for some clients: sentences for the administrator.
    pub warnings: Vec<String>,
}

impl Material {
    /// The certificates as PEM; never the key.
    pub fn chain_pem(&self) -> String {
        chain_pem(&self.chain)
    }
}

/// Certificates as PEM.
pub(super) fn chain_pem(chain: &[CertificateDer<'_>]) -> String {
    chain.iter().map(|certificate| pem::write("CERTIFICATE", certificate)).collect()
}

/// The contents of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whom it is for.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Hosts and addresses it is for, in lower case.
    pub names: Vec<String>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// `ECDSA P-256`, `RSA 2048`.
    pub key_kind: String,
    /// SHA-256 of its DER form: `AB:CD:…`.
    pub sha256: String,
    /// Whether it is self-signed.
    pub self_signed: bool,
    /// Whether its issuer comes with it, or it needs none.
    pub chain_complete: bool,
}

impl Facts {
    /// Reads the first certificate of `chain`.
    pub fn of(chain: &[CertificateDer<'_>]) -> Result<Self, String> {
        let leaf = parsed(chain.first().ok_or("There is no certificate")?)?;
        let self_signed = leaf.subject().as_raw() == leaf.issuer().as_raw();
        Ok(Self {
            subject: printable(&leaf.subject().to_string()),
            issuer: printable(&leaf.issuer().to_string()),
            names: names(&leaf),
            not_before: moment(leaf.validity().not_before.timestamp()),
            not_after: moment(leaf.validity().not_after.timestamp()),
            key_kind: key_kind(&leaf),
            sha256: fingerprint(&chain[0]),
            self_signed,
            chain_complete: self_signed || chain.len() > 1,
        })
    }

    /// Whole days until it expires; negative once it has.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.not_after.us() - now.us()).div_euclid(DAY_US)
    }

    /// Whether it is valid at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// `expires on 3 March 2027 (97 days)`, `expired on 3 March 2026`.
    pub fn expiry(&self, now: Timestamp) -> String {
        let date = date(self.not_after);
        match u64::try_from(self.days_left(now)) {
            Ok(days) => format!("expires on {date} ({})", human::count(days, "day", "days")),
            Err(_) => format!("expired on {date}"),
        }
    }
}

/// Puts the certificate that matches one of `keys` first, its issuers after it, and checks everything.
pub(super) fn assemble(
    mut certificates: Vec<CertificateDer<'static>>,
    keys: &[KeyDer],
    now: Timestamp,
) -> Result<Material, String> {
    let mut seen = std::collections::HashSet::new();
    certificates.retain(|certificate| seen.insert(certificate.to_vec()));
    let all: Vec<X509Certificate<'_>> = certificates.iter().map(|der| parsed(der)).collect::<Result<_, _>>()?;
    let (leaf, key) = fitting(&all, keys)?;
    let order = chain_from(leaf, &all);
    let chain: Vec<_> = order.iter().map(|place| certificates[*place].clone()).collect();
    let facts = Facts::of(&chain)?;
    if facts.not_after < now {
        return Err(format!("The certificate {} expired on {}", facts.subject, date(facts.not_after)));
    }
    let mut warnings = warnings(&all[leaf], &facts, now);
    for place in &order[1..] {
        let until = moment(all[*place].validity().not_after.timestamp());
        if until < now {
            let issuer = printable(&all[*place].subject().to_string());
            warnings
                .push(format!("The issuer's certificate {issuer} expired on {}: clients may refuse it", date(until)));
        }
    }
    if let Some(others) = u64::try_from(all.len() - order.len()).ok().filter(|others| *others > 0) {
        let what = human::count(others, "certificate", "certificates");
        warnings.push(format!("{what} of the file left out: not among the issuers of {}", facts.subject));
    }
    Ok(Material { chain, key: key.clone(), facts, warnings })
}

/// The newest certificate that matches one of the keys, and that key.
fn fitting<'a>(all: &[X509Certificate<'_>], keys: &'a [KeyDer]) -> Result<(usize, &'a KeyDer), String> {
    let mut found: Option<(usize, &KeyDer)> = None;
    let mut signers = 0;
    for key in keys {
        let Some(signer) = signer(key) else { continue };
        signers += 1;
        let Some(public) = signer.public_key() else { continue };
        for (place, certificate) in all.iter().enumerate() {
            let later = |(other, _): (usize, _)| expiry_of(&all[other]) < expiry_of(certificate);
            if certificate.public_key().raw == public.as_ref() && found.is_none_or(later) {
                found = Some((place, key));
            }
        }
    }
    let first = all.iter().find(|certificate| !certificate.is_ca()).or(all.first());
    let kind = first.map_or_else(String::new, key_kind);
    let subject = first.map_or_else(String::new, |first| printable(&first.subject().to_string()));
    match found {
        Some((place, _)) if rsa_bits(&all[place]).is_some_and(|bits| bits < RSA_BITS_MIN) => {
            Err(format!("The key is {kind}, which is too weak; there are {KINDS}"))
        }
        Some(found) => Ok(found),
        None if signers == 0 => {
            Err(format!("The private key can't be used (the certificate's is {kind}); there are {KINDS}"))
        }
        None => Err(format!("The private key doesn't fit the certificate {subject}: each was made for another")),
    }
}

fn expiry_of(certificate: &X509Certificate<'_>) -> i64 {
    certificate.validity().not_after.timestamp()
}

/// Indexes into `all`: `leaf`, its issuer, and so on.
fn chain_from(leaf: usize, all: &[X509Certificate<'_>]) -> Vec<usize> {
    let mut chain = vec![leaf];
    while chain.len() <= ISSUERS_MAX {
        let last = &all[chain[chain.len() - 1]];
        if last.subject().as_raw() == last.issuer().as_raw() {
            break;
        }
        let vouches = |place: &usize| {
            !chain.contains(place)
                && all[*place].subject().as_raw() == last.issuer().as_raw()
                && ids_fit(last, &all[*place])
        };
        // An authority renews its certificate under the same name and key: the one that expires later is more useful.
        let Some(issuer) = (0..all.len()).filter(vouches).max_by_key(|place| expiry_of(&all[*place])) else { break };
        chain.push(issuer);
    }
    chain
}

/// Whether the key identifiers agree, if both certificates have them: authorities use one name for several keys.
fn ids_fit(below: &X509Certificate<'_>, above: &X509Certificate<'_>) -> bool {
    let wanted = below.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    });
    let offered = above.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    });
    match (wanted, offered) {
        (Some(wanted), Some(offered)) => wanted == offered,
        _ => true,
    }
}

fn warnings(leaf: &X509Certificate<'_>, facts: &Facts, now: Timestamp) -> Vec<String> {
    let mut warnings = Vec::new();
    if facts.not_before > now {
        warnings.push(format!("It isn't valid before {}: clients refuse it until then", date(facts.not_before)));
    }
    if !facts.chain_complete {
        warnings.push(format!(
            "The certificate of its issuer, {}, doesn't come with it: clients that don't have that one refuse it",
            facts.issuer
        ));
    }
    if facts.names.is_empty() {
        warnings.push("It names no host: clients that compare names refuse it".to_owned());
    }
    let usage = leaf.extended_key_usage().ok().flatten();
    if usage.is_some_and(|usage| !usage.value.server_auth && !usage.value.any) {
        warnings.push("It isn't meant for servers (extended key usage): most clients refuse it".to_owned());
    }
    warnings
}

/// The signer for `key`; `None` if it is of a kind that TLS does not use here.
pub(in crate::access) fn signer(key: &KeyDer) -> Option<Arc<dyn SigningKey>> {
    any_supported_type(&PrivateKeyDer::try_from(key.reveal()).ok()?).ok()
}

/// The certificates of PEM text.
pub(super) fn chain_of(chain_pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let blocks = pem::blocks(chain_pem.as_bytes())?;
    Ok(blocks.into_iter().map(|block| CertificateDer::from(block.der.to_vec())).collect())
}

fn parsed<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err("A certificate in the file is damaged".to_owned()),
    }
}

/// The subject of a certificate, part by part in its order: `CN=acme`.
pub(super) fn subject_parts(der: &CertificateDer<'_>) -> Result<Vec<String>, String> {
    let certificate = parsed(der)?;
    let part = |part: &AttributeTypeAndValue<'_>| {
        let kind =
            oid2abbrev(part.attr_type(), oid_registry()).map_or_else(|_| part.attr_type().to_string(), str::to_owned);
        format!("{kind}={}", printable(part.as_str().unwrap_or_default()))
    };
    Ok(certificate.subject().iter_attributes().map(part).collect())
}

/// `CN=acme, sha256:…`; the second alone if the certificate cannot be read.
pub(super) fn described(der: &CertificateDer<'_>) -> String {
    let pin = CertificateMatch::Sha256(Sha256::digest(der).into()).text();
    match parsed(der) {
        Ok(certificate) => format!("{}, {pin}", printable(&certificate.subject().to_string())),
        Err(_) => pin,
    }
}

/// The number of an extension that is marked critical and unknown here: whoever does not know it must not take the
/// certificate (RFC 5280 section 4.2).
pub(super) fn unknown_critical(der: &CertificateDer<'_>) -> Result<Option<String>, String> {
    let certificate = parsed(der)?;
    let mut critical = certificate.iter_extensions().filter(|one| one.critical).map(|one| one.oid.to_id_string());
    Ok(critical.find(|number| !KNOWN_EXTENSIONS.contains(&number.as_str())))
}

/// The public key of a certificate that came from a client.
pub(super) struct ClientKey<'a> {
    /// As it is in the certificate.
    pub spki: SubjectPublicKeyInfo<'a>,
    /// `ECDSA P-256`, `RSA 2048`.
    pub kind: String,
    bits: Option<usize>,
}

impl<'a> ClientKey<'a> {
    /// Reads it, whatever else the certificate says.
    pub(super) fn of(der: &'a CertificateDer<'_>) -> Result<Self, String> {
        let certificate = parsed(der).map_err(|_| "the certificate can't be read".to_owned())?;
        let (kind, bits) = (key_kind(&certificate), rsa_bits(&certificate));
        Ok(Self { spki: certificate.tbs_certificate.subject_pki, kind, bits })
    }

    /// Why its signatures are not checked; `None` if its size is right.
    pub(super) fn unusable(&self) -> Option<String> {
        let size = RSA_BITS_MIN..=RSA_BITS_MAX;
        let why = || format!("its key is {}; RSA keys must have {} to {} bits", self.kind, size.start(), size.end());
        self.bits.filter(|bits| !size.contains(bits)).map(|_| why())
    }
}

/// Whether every certificate may issue others.
pub(super) fn are_authorities(chain: &[CertificateDer<'_>]) -> Result<bool, String> {
    let all: Vec<_> = chain.iter().map(|der| parsed(der)).collect::<Result<_, _>>()?;
    Ok(all.iter().all(|one| one.is_ca()))
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let found = certificate.subject_alternative_name().ok().flatten();
    let named = found.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(host) => Some(printable(host).to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => Some(Ipv4Addr::from(v4).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|v6| Ipv6Addr::from(v6).to_string()),
        },
        _ => None,
    });
    named.collect()
}

fn key_kind(certificate: &X509Certificate<'_>) -> String {
    let public = certificate.public_key();
    let curve = || public.algorithm.parameters.as_ref()?.as_oid().ok().map(|oid| oid.to_id_string());
    match (public.algorithm.algorithm.to_id_string().as_str(), curve().as_deref()) {
        ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => "ECDSA P-256".to_owned(),
        ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => "ECDSA P-384".to_owned(),
        ("1.2.840.10045.2.1", Some("1.3.132.0.35")) => "ECDSA P-521".to_owned(),
        ("1.2.840.10045.2.1", _) => "ECDSA on another curve".to_owned(),
        ("1.3.101.112", _) => "Ed25519".to_owned(),
        ("1.3.101.113", _) => "Ed448".to_owned(),
        (other, _) => rsa_bits(certificate).map_or_else(|| format!("kind {other}"), |bits| format!("RSA {bits}")),
    }
}

fn rsa_bits(certificate: &X509Certificate<'_>) -> Option<usize> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(rsa)) => Some(rsa.key_size()),
        _ => None,
    }
}

fn fingerprint(der: &[u8]) -> String {
    Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_us(seconds.saturating_mul(1_000_000))
}

/// `3 March 2026`, UTC.
pub(super) fn date(at: Timestamp) -> String {
    at.calendar().strftime("%-d %B %Y").to_string()
}

/// Names in certificates come from outside.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
