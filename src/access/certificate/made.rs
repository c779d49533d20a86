//! Makes self-signed certificates, and requests for others to sign. ECDSA P-256: every client of the last fifteen years
//! supports it.

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

/// A request for a certificate, and the key that stays here.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the authority gets, as DER.
    pub der: Vec<u8>,
    /// The key that the answer will match.
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
    Ok(Request { der: request.der().to_vec(), key: KeyDer::new(pair.serialize_der()) })
}

/// Makes the request, as PEM, for a certificate of an existing key.
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

/// A host name or address in the form for certificates.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::access::certificate::fixtures::{Workshop, now};
    use crate::access::certificate::read;

    fn hosts(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_self_signed_certificate_is_valid_for_a_year_and_openssl_takes_it() {
        let at = now();
        let made =
            self_signed(&hosts(&["Ftp.Example.com.", "*.example.org", "192.0.2.7", "[2001:db8::7]"]), at).unwrap();
        assert_eq!(made.facts.names, ["ftp.example.com", "*.example.org", "192.0.2.7", "2001:db8::7"]);
        assert_eq!((made.facts.subject.as_str(), made.facts.key_kind.as_str()), ("CN=ftp.example.com", "ECDSA P-256"));
        assert!(made.facts.not_before < at && (364..=365).contains(&made.facts.days_left(at)));
        assert!(made.facts.self_signed && made.facts.chain_complete);
        let work = Workshop::new();
        std::fs::write(work.path("a.pem"), made.chain_pem()).unwrap();
        work.openssl("verify -CAfile a.pem -purpose sslserver -verify_hostname ftp.example.com a.pem");
        // A leap day has no anniversary.
        let leap = Timestamp::parse_rfc3339("2028-02-29T12:00:00Z").unwrap();
        let made = self_signed(&hosts(&["a"]), leap).unwrap();
        assert_eq!(made.facts.not_after.to_string(), "2029-02-28T00:00:00.000000Z");
        assert_ne!(self_signed(&hosts(&["a"]), leap).unwrap().facts.sha256, made.facts.sha256);
    }

    #[test]
    fn a_request_is_answered_with_a_certificate_that_fits_its_key() {
        let work = Workshop::with_chain();
        let request = csr(&hosts(&["ftp.example.com"])).unwrap();
        std::fs::write(work.path("r.csr"), &request.der).unwrap();
        work.openssl("req -in r.csr -inform DER -noout -verify");
        work.openssl(
            "x509 -req -in r.csr -inform DER -CA inter.pem -CAkey inter.key -CAcreateserial -copy_extensions copy -out r.pem",
        );
        let material = read(&work.file("r.pem"), Some(request.key.reveal()), None, now()).unwrap();
        assert_eq!(material.facts.names, ["ftp.example.com"]);
        assert!(!format!("{request:?}").contains(&format!("{:?}", request.key.reveal())));
    }

    #[test]
    fn hosts_that_cannot_be_are_refused() {
        for wrong in
            ["", "a b", "a..b", "*", "*.", "a.*.b", "-.\u{e9}", "http://a", "a:1", &"x".repeat(64), &"a.".repeat(128)]
        {
            assert!(self_signed(&hosts(&[wrong]), now()).is_err(), "{wrong}");
        }
        assert!(self_signed(&[], now()).unwrap_err().contains("at least one"));
        assert!(self_signed(&hosts(&["m\u{fc}nchen.example"]), now()).unwrap_err().contains("xn--"));
        let many: Vec<_> = (0..=HOSTS_MAX).map(|n| format!("h{n}.example")).collect();
        assert!(csr(&many).unwrap_err().contains("at most 100"));
        assert!(self_signed(&many[1..], now().plus(Duration::from_hours(1))).is_ok());
        let long = ["x".repeat(60).as_str(), "example"].join(".");
        assert_eq!(self_signed(&[long], now()).unwrap().facts.subject, "");
    }
}
