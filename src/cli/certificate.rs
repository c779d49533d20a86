//! `certificate`: list, add, self-signed, roll-back, remove.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

use super::arguments::CertificateVerb;
use super::connector::read_password;
use super::output;
use super::verb::{Desk, Failure};
use crate::access::certificate::{self, Certificates, FILE_BYTES_MAX, Held, Material};
use crate::base::clock::Timestamp;
use crate::store::certificate::Origin;

pub(super) async fn run(desk: &mut Desk<'_>, verb: &CertificateVerb) -> Result<(), Failure> {
    let certificates = Certificates::open(desk.db.clone(), desk.data, desk.clock.clone(), desk.ids.clone()).await?;
    match verb {
        CertificateVerb::List { json } => list(desk, &certificates, *json),
        CertificateVerb::Add { name, file, key, password_stdin, replace } => {
            let material = read(desk, file, key.as_ref(), *password_stdin)?;
            put(desk, &certificates, name, (&material, Origin::Uploaded), *replace).await
        }
        CertificateVerb::SelfSigned { name, hosts, replace } => {
            let material = certificate::self_signed(hosts, desk.clock.now()).map_err(Failure::Failed)?;
            put(desk, &certificates, name, (&material, Origin::SelfSigned), *replace).await
        }
        CertificateVerb::RollBack { name } => {
            certificates.roll_back(name, &desk.change()).await?;
            let facts = certificates.find(name).and_then(|held| held.facts.clone().ok());
            let which = facts.map(|facts| format!(" It {}.", facts.expiry(desk.clock.now()))).unwrap_or_default();
            Ok(writeln!(desk.out, "Certificate {} is rolled back.{which}", name.trim())?)
        }
        CertificateVerb::Remove { name } => {
            certificates.remove(name, &desk.change()).await?;
            Ok(writeln!(desk.out, "Removed certificate {} and its key.", name.trim())?)
        }
    }
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    origin: &'a str,
    presented: bool,
    key: &'a str,
    names: &'a [String],
    subject: &'a str,
    issuer: &'a str,
    not_before: String,
    not_after: String,
    days_left: i64,
    sha256: &'a str,
    self_signed: bool,
    chain_complete: bool,
    added_at: String,
    roll_back_until: Option<String>,
    problem: Option<&'a str>,
}

fn list(desk: &mut Desk<'_>, certificates: &Certificates, json: bool) -> Result<(), Failure> {
    let now = desk.clock.now();
    let served = certificates.served();
    let presented = |held: &Held| served.fingerprints().any(|(name, _)| name == held.stored.name.as_str());
    let all = certificates.list();
    if json {
        let rows = all.iter().filter_map(|held| row(held, presented(held), now));
        return Ok(rows.into_iter().try_for_each(|row| output::json_line(desk.out, &row))?);
    }
    let rows: Vec<_> = all
        .iter()
        .map(|held| {
            let presented = if presented(held) { "yes" } else { "no" };
            let (kind, names, expiry) = match (&held.facts, held.problem()) {
                (Ok(facts), None) => (facts.key_kind.clone(), facts.names.join(","), facts.expiry(now)),
                (_, problem) => (String::new(), String::new(), problem.unwrap_or_default().to_owned()),
            };
            let name = held.stored.name.as_str();
            let sha256 = held.stored.contents.sha256.as_str();
            [name, presented, &kind, &names, &expiry, sha256].map(output::printable)
        })
        .collect();
    Ok(output::columns(desk.out, ["NAME", "PRESENTED", "KEY", "NAMES", "EXPIRY", "SHA-256"], &rows)?)
}

/// `None` for one that cannot be read at all; it is told at start and in the plain list.
fn row(held: &Held, presented: bool, now: Timestamp) -> Option<Row<'_>> {
    let (stored, facts) = (&held.stored, held.facts.as_ref().ok()?);
    Some(Row {
        name: stored.name.as_str(),
        origin: stored.contents.origin.name(),
        presented,
        key: &facts.key_kind,
        names: &facts.names,
        subject: &facts.subject,
        issuer: &facts.issuer,
        not_before: facts.not_before.to_string(),
        not_after: facts.not_after.to_string(),
        days_left: facts.days_left(now),
        sha256: &facts.sha256,
        self_signed: facts.self_signed,
        chain_complete: facts.chain_complete,
        added_at: stored.made_at.to_string(),
        roll_back_until: stored.roll_back_until(now).map(|until| until.to_string()),
        problem: held.problem(),
    })
}

fn read(desk: &mut Desk<'_>, file: &Path, key: Option<&PathBuf>, password_stdin: bool) -> Result<Material, Failure> {
    let password = if password_stdin { Some(read_password(desk.input)?) } else { None };
    let key = key.map(|key| read_file(key)).transpose()?;
    let file = read_file(file)?;
    let key = key.as_ref().map(|key| key.as_slice());
    certificate::read(&file, key, password.as_ref(), desk.clock.now()).map_err(Failure::Failed)
}

/// Reads a file that may hold a key: no more than a certificate needs, wiped when dropped.
fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error| Failure::Failed(format!("could not read {}: {error}", path.display()));
    let mut bytes = Zeroizing::new(Vec::new());
    let file = std::fs::File::open(path).map_err(failed)?;
    // One byte more than a file may have, so that it is refused in words.
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

async fn put(
    desk: &mut Desk<'_>,
    certificates: &Certificates,
    name: &str,
    (material, origin): (&Material, Origin),
    replace: bool,
) -> Result<(), Failure> {
    let change = desk.change();
    let done = if replace {
        certificates.replace(name, material, origin, &change).await?;
        "Replaced"
    } else {
        certificates.add(name, material, origin, &change).await?;
        "Added"
    };
    let (name, facts) = (name.trim(), &material.facts);
    let names = if facts.names.is_empty() { output::printable(&facts.subject) } else { facts.names.join(", ") };
    writeln!(desk.out, "{done} certificate {name}: {}, {names}, {}.", facts.key_kind, facts.expiry(desk.clock.now()))?;
    writeln!(desk.out, "SHA-256 {}", facts.sha256)?;
    for warning in &material.warnings {
        writeln!(desk.out, "Mind: {}.", output::printable(warning))?;
    }
    if replace {
        writeln!(desk.out, "The one before is kept for 7 days: waybill certificate roll-back {name}")?;
    }
    if !certificates.served().fingerprints().any(|(_, sha256)| sha256 == facts.sha256) {
        writeln!(desk.out, "It is not presented yet: waybill profile set certificates={name}")?;
    }
    Ok(())
}
