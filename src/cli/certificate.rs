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
        CertificateVerb::Authorities { json } => authorities(desk, &certificates, *json),
        CertificateVerb::AddAuthority { name, file } => {
            let facts = certificates.put_authority(name, &read_file(file)?, &desk.change()).await?;
            let (subject, expiry) = (output::printable(&facts.subject), facts.expiry(desk.clock.now()));
            writeln!(desk.out, "The authority {} is {subject}; it {expiry}.", name.trim())?;
            Ok(writeln!(desk.out, "SHA-256 {}", facts.sha256)?)
        }
        CertificateVerb::RemoveAuthority { name } => {
            certificates.remove_authority(name, &desk.change()).await?;
            Ok(writeln!(desk.out, "Removed authority {}.", name.trim())?)
        }
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

#[derive(Serialize)]
struct AuthorityRow<'a> {
    name: &'a str,
    subject: &'a str,
    not_after: String,
    days_left: i64,
    sha256: &'a str,
    added_at: String,
}

fn authorities(desk: &mut Desk<'_>, certificates: &Certificates, json: bool) -> Result<(), Failure> {
    let now = desk.clock.now();
    let all = certificates.authorities();
    if json {
        let rows = all.iter().map(|one| AuthorityRow {
            name: one.stored.name.as_str(),
            subject: &one.facts.subject,
            not_after: one.facts.not_after.to_string(),
            days_left: one.facts.days_left(now),
            sha256: &one.stored.sha256,
            added_at: one.stored.added_at.to_string(),
        });
        return Ok(rows.into_iter().try_for_each(|row| output::json_line(desk.out, &row))?);
    }
    let rows: Vec<_> = all
        .iter()
        .map(|one| {
            let (name, expiry) = (one.stored.name.as_str(), one.facts.expiry(now));
            [name, &one.facts.subject, &expiry, &one.stored.sha256].map(output::printable)
        })
        .collect();
    Ok(output::columns(desk.out, ["NAME", "SUBJECT", "END", "SHA-256"], &rows)?)
}

/// `None` for one that cannot be read at all; it is reported at start and in the plain list.
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

/// Reads a file that may contain a key: no more than a certificate needs, wiped when dropped.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::certificate::fixtures::Workshop;
    use crate::cli::verb::tests::{refused, say};

    #[tokio::test]
    async fn a_certificate_is_added_presented_replaced_rolled_back_and_removed() {
        let (folder, work) = (tempfile::tempdir().unwrap(), Workshop::with_chain());
        let data = folder.path();
        let path = |name: &str| work.path(name).to_string_lossy().into_owned();
        work.openssl("pkcs8 -topk8 -in leaf.key -out sealed.key -passout pass:sesame");
        let (chain, key) = (path("chain.pem"), path("sealed.key"));
        let add = ["certificate", "add", "partners", "--file", &chain, "--key", &key, "--password-stdin"];
        assert!(refused(data, &add[..7]).await.contains("give its password"));
        let Err(Failure::Failed(words)) = say(data, &add, "Sesame\n").await else {
            panic!("a wrong password opens it")
        };
        assert_eq!(words, "The password doesn't open this file");
        let said = say(data, &add, "sesame\n").await.unwrap();
        assert!(said.starts_with("Added certificate partners: ECDSA P-256, ftp.example.com, *.example.org"), "{said}");
        assert!(said.ends_with("It is not presented yet: waybill profile set certificates=partners\n"), "{said}");

        assert_eq!(say(data, &["profile", "set", "certificates=Partners"], "").await.unwrap(), "Saved.\n");
        let list = say(data, &["certificate", "list"], "").await.unwrap();
        let row: Vec<_> = list.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row[..4], ["partners", "yes", "ECDSA", "P-256"], "{list}");
        assert_eq!(row.last().unwrap().len(), 95, "{list}");
        assert!(refused(data, &["certificate", "remove", "partners"]).await.contains("The FTP server presents"));

        let renew =
            ["certificate", "self-signed", "partners", "--host", "a.example", "--host", "10.0.0.1", "--replace"];
        let said = say(data, &renew, "").await.unwrap();
        assert!(said.contains("certificate roll-back partners") && !said.contains("not presented"), "{said}");
        let rows = say(data, &["certificate", "list", "--json"], "").await.unwrap();
        let row: serde_json::Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
        assert_eq!((&row["name"], &row["presented"]), (&"partners".into(), &true.into()));
        assert_eq!(row["names"], serde_json::json!(["a.example", "10.0.0.1"]));
        assert!(row["roll_back_until"].is_string() && row["problem"].is_null(), "{row}");
        let back = say(data, &["certificate", "roll-back", "partners"], "").await.unwrap();
        assert!(back.starts_with("Certificate partners is rolled back. It expires on "), "{back}");

        say(data, &["profile", "set", "certificates="], "").await.unwrap();
        let removed = say(data, &["certificate", "remove", "PARTNERS"], "").await.unwrap();
        assert_eq!(removed, "Removed certificate PARTNERS and its key.\n");
        assert_eq!(
            refused(data, &["profile", "set", "certificates=partners"]).await,
            "certificates: There is no certificate partners; there are: self-signed"
        );
    }

    #[tokio::test]
    async fn warnings_and_mistakes_are_told() {
        let (folder, work) = (tempfile::tempdir().unwrap(), Workshop::with_chain());
        let data = folder.path();
        let path = |name: &str| work.path(name).to_string_lossy().into_owned();
        let (leaf, key, other) = (path("leaf.pem"), path("leaf.key"), path("inter.key"));
        let said = say(data, &["certificate", "add", "a", "--file", &leaf, "--key", &key], "").await.unwrap();
        assert!(said.contains("\nMind: The certificate of its issuer, CN=inter, doesn't come with it"), "{said}");
        let words = refused(data, &["certificate", "add", "a", "--file", &leaf, "--key", &other]).await;
        assert!(words.starts_with("The private key doesn't fit the certificate CN=leaf"), "{words}");
        let words = refused(data, &["certificate", "add", "a", "--file", &path("none.pem")]).await;
        assert!(words.starts_with("could not read "), "{words}");
        let words = refused(data, &["certificate", "self-signed", "a", "--host", "a b"]).await;
        assert!(words.starts_with("a b isn't a host name"), "{words}");
        let words = refused(data, &["certificate", "self-signed", "A", "--host", "b"]).await;
        assert!(words.contains("There is a certificate a already"), "{words}");
        let words = refused(data, &["certificate", "self-signed", "b", "--host", "b", "--replace"]).await;
        assert!(words.contains("There is no certificate b; there are: a, self-signed"), "{words}");
    }
}
