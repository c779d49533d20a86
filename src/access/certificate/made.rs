//! Makes certificates that sign themselves, and requests for others to sign. ECDSA P-256: every client of the last
//! fifteen years knows it.

use std::net::IpAddr;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::pki_types::PrivateKeyDer;

use super::check::{Facts, Material};
use super::keystore::KeyDer;
use crate::base::clock::Timestamp;

/// Hosts of one certificate.
const HOSTS_MAX: usize = 100;
/// Characters of a host name (RFC 1035), and of a common name (X.520).
const HOST_CHARS_MAX: usize = 253;
const COMMON_NAME_CHARS_MAX: usize = 64;
const LABEL_CHARS_MAX: usize = 63;

/// A request for a certificate, with the key that stays here.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the authority gets.
    pub pem: String,
    /// What the answer will fit.
    pub key: KeyDer,
}

/// Makes a certificate for `hosts` (names and addresses), valid from yesterday for a year from `now`.
pub fn self_signed(hosts: &[String], now: Timestamp) -> Result<Material, String> {
    let mut params = params(hosts)?;
    let today = now.calendar().to_zoned(TimeZone::UTC).date();
    // A day earlier: a client's clock may be slow.
    let (year, month, day) = parts(today.saturating_sub(1.day()))?;
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = parts(today.saturating_add(1.year()))?;
    params.not_after = rcgen::date_time_ymd(year, month, day);
    let pair = KeyPair::generate().map_err(failed)?;
    let chain = vec![params.self_signed(&pair).map_err(failed)?.into()];
    let facts = Facts::of(&chain)?;
    Ok(Material { chain, key: KeyDer::new(pair.serialize_der()), facts, warnings: Vec::new() })
}

/// Makes a key for `hosts` and the request for its certificate.
pub fn csr(hosts: &[String]) -> Result<Request, String> {
    let pair = KeyPair::generate().map_err(failed)?;
    let request = params(hosts)?.serialize_request(&pair).map_err(failed)?;
    Ok(Request { pem: request.pem().map_err(failed)?, key: KeyDer::new(pair.serialize_der()) })
}

/// Makes the request for a certificate of a key that is here already. Gives it as PEM.
pub(super) fn csr_of(hosts: &[String], key: &KeyDer) -> Result<String, String> {
    let der = PrivateKeyDer::try_from(key.reveal()).map_err(failed)?;
    let pair = KeyPair::try_from(&der).map_err(failed)?;
    params(hosts)?.serialize_request(&pair).map_err(failed)?.pem().map_err(failed)
}

fn params(hosts: &[String]) -> Result<CertificateParams, String> {
    let mut names: Vec<String> = Vec::new();
    for host in hosts {
        let host = check_host(host)?;
        if !names.contains(&host) {
            names.push(host);
        }
    }
    let first = names.first().ok_or("A certificate is for at least one host name or address")?.clone();
    if names.len() > HOSTS_MAX {
        return Err(format!("A certificate is for at most {HOSTS_MAX} hosts"));
    }
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    if first.len() <= COMMON_NAME_CHARS_MAX {
        params.distinguished_name.push(DnType::CommonName, first);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// A host name or address as certificates have it.
pub(super) fn check_host(typed: &str) -> Result<String, String> {
    let host = typed.trim().trim_end_matches('.').to_ascii_lowercase();
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.len() <= LABEL_CHARS_MAX && label.bytes().all(plain)
    };
    let labels = host.strip_prefix("*.").unwrap_or(&host);
    if host.len() <= HOST_CHARS_MAX && labels.split('.').all(label) {
        Ok(host)
    } else if host.is_ascii() {
        Err(format!("{typed} isn't a host name or address: type ftp.example.com, *.example.com or 192.0.2.7"))
    } else {
        Err(format!("{typed} isn't a host name of plain letters: type its form that begins with xn--"))
    }
}

fn parts(date: Date) -> Result<(i32, u8, u8), String> {
    let part = |number: i8| u8::try_from(number).map_err(failed);
    Ok((date.year().into(), part(date.month())?, part(date.day())?))
}

fn failed(error: impl std::fmt::Display) -> String {
    format!("The certificate could not be made: {error}")
}
