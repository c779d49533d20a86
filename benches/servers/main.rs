//! Waybill beside the servers it takes the place of, in one run on one machine:
//!
//!     cargo bench --bench servers
//!     cargo bench --bench servers -- --rounds 5 --case upload --server waybill,pure-ftpd
//!     cargo bench --bench servers -- --quick
//!
//! It fetches the others from Debian (as root), starts each on a free loopback port with its files on a memory file
//! system (`--disk`: in the build folder), runs every case with every server in turn, some rounds, and prints one table
//! of medians and ratios. Waybill keeps all its promises meanwhile: digest, sync and record are on.
//! `--sessions` says by how many sessions at once small files are moved (4), `--large-mib` how large the large file is (512),
//! `--receipts` how many receipts Waybill has already (0).
//! `--held` says how many idle sessions are held at once (500); each needs a file handle here and one there.
//! unFTP takes part only when it is asked for (`--server waybill,unftp`): cargo builds it first, which takes minutes.
//! `--case` and `--server` take several words with commas between them; a case is run when its name has one of them.

mod cases;
mod client;
mod rivals;
mod server;
mod table;
mod usage;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use cases::{Case, Scale};
use client::Speech;
use rustls::crypto::CryptoProvider;
use server::{Ground, Server};
use table::Results;

/// Bytes that a measurement of large files moves, unless a single one is larger.
const LARGE_BYTES_MOVED: u64 = 4 << 30;
/// Times that a file is moved at most, however small it is.
const LARGE_REPEATS_MAX: u64 = 4096;
/// Small files of a measurement, and the least that each session moves.
const PIECES: usize = 4000;
const PIECES_A_SESSION_MIN: usize = 10;

/// What was asked for.
struct Arguments {
    rounds: usize,
    cases: Vec<String>,
    servers: Vec<String>,
    quick: bool,
    disk: bool,
    sessions: usize,
    large_mib: u64,
    receipts: u64,
    held: usize,
}

impl Arguments {
    fn read() -> io::Result<Self> {
        let (cases, servers) = (Vec::new(), Vec::new());
        let mut arguments = Self {
            rounds: 3,
            cases,
            servers,
            quick: false,
            disk: false,
            sessions: 4,
            large_mib: 512,
            receipts: 0,
            held: 500,
        };
        let words = |value: String| value.to_lowercase().split(',').map(str::to_owned).collect();
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or_else(|| io::Error::other(format!("{argument} needs a value")));
            match argument.as_str() {
                "--rounds" => arguments.rounds = value()?.parse().map_err(io::Error::other)?,
                "--case" => arguments.cases = words(value()?),
                "--server" => arguments.servers = words(value()?),
                "--sessions" => arguments.sessions = value()?.parse().map_err(io::Error::other)?,
                "--large-mib" => arguments.large_mib = value()?.parse().map_err(io::Error::other)?,
                "--receipts" => arguments.receipts = value()?.parse().map_err(io::Error::other)?,
                "--held" => arguments.held = value()?.parse().map_err(io::Error::other)?,
                "--quick" => arguments.quick = true,
                "--disk" => arguments.disk = true,
                // What cargo itself adds.
                "--bench" => {}
                other => return Err(io::Error::other(format!("{other}: see the head of benches/servers/main.rs"))),
            }
        }
        Ok(arguments)
    }

    fn wants(&self, name: &str) -> bool {
        self.servers.is_empty() || self.servers.contains(&name.to_lowercase())
    }

    fn asks(&self, case: &str) -> bool {
        let case = case.to_lowercase();
        self.cases.is_empty() || self.cases.iter().any(|part| case.contains(part))
    }

    fn scale(&self) -> Scale {
        let (sessions, held) = (self.sessions.max(1), self.held.max(1));
        if self.quick {
            Scale { large_bytes: 64 << 20, repeats: 4, pieces: 200, sessions, held: held.min(50), names: 10_000 }
        } else {
            let large_bytes = self.large_mib.max(1) << 20;
            let repeats = (LARGE_BYTES_MOVED / large_bytes).clamp(1, LARGE_REPEATS_MAX);
            let pieces = PIECES.max(sessions * PIECES_A_SESSION_MIN);
            Scale { large_bytes, repeats, pieces, sessions, held, names: 100_000 }
        }
    }
}

fn main() -> io::Result<()> {
    let arguments = Arguments::read()?;
    let scale = arguments.scale();
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let place = Place::new(if arguments.disk { &target } else { Path::new("/dev/shm") })?;
    let pem = certificate(&place.0)?;
    let large = place.0.join("large.bin");
    let file = fs::File::create(&large)?;
    let block = vec![b'l'; 1 << 20];
    for _ in 0..scale.large_bytes >> 20 {
        (&file).write_all(&block)?;
    }
    let begun = Instant::now();
    let servers = start(&arguments, (&target, &place.0, &pem))?;
    println!("{} servers stand after {:.1} s.", servers.len(), begun.elapsed().as_secs_f64());
    let speech = speeches();
    for server in &servers {
        client::Client::log_in(server.address, &speech[0], server.user, server::PASSWORD)?.command("QUIT", "221")?;
        cases::prepare(server, &large, scale)?;
    }
    let cases: Vec<Case> = cases::all(scale).into_iter().filter(|case| arguments.asks(&case.name())).collect();
    let mut results = Results::new(&servers, &cases);
    for round in 0..arguments.rounds {
        for (row, case) in cases.iter().enumerate() {
            // Each round begins with another server, so that none always has the cool machine.
            for step in 0..servers.len() {
                let column = (step + round) % servers.len();
                let server = &servers[column];
                if !takes_part(server, *case) {
                    continue;
                }
                match case.measure(server, &speech[usize::from(case.tls)], scale) {
                    Ok(measured) => {
                        let (unit, _) = case.units();
                        println!("{}, {}: {:.2} {unit}", case.name(), server.name, measured.value);
                        results.add((row, column), measured);
                    }
                    Err(error) => println!("{}, {}: {error}", case.name(), server.name),
                }
            }
        }
        println!("Round {} of {} done.", round + 1, arguments.rounds);
    }
    println!("\n{}", results.markdown());
    println!("Peak memory over the whole run, all processes that live at its end:");
    for server in &servers {
        println!("- {}: {} MiB", server.name, server.tree().usage().peak_kib / 1024);
    }
    Ok(())
}

/// vsftpd's user is the anonymous one here, which says nothing about logins.
fn takes_part(server: &Server, case: Case) -> bool {
    case.work != cases::Work::Logins || server.user == server::USER
}

fn start(arguments: &Arguments, (target, place, pem): (&Path, &Path, &Path)) -> io::Result<Vec<Server>> {
    let ground = |name: &str| Ground::new(place, name, pem);
    let mut servers = Vec::new();
    if arguments.wants("waybill") {
        servers.push(server::waybill(&ground("waybill")?, arguments.receipts)?);
    }
    if ["vsftpd", "proftpd", "pure-ftpd", "pyftpdlib"].iter().any(|name| arguments.wants(name)) {
        let root = rivals::fetched(target)?;
        if arguments.wants("vsftpd") {
            servers.push(rivals::vsftpd(&root, &ground("vsftpd")?)?);
        }
        if arguments.wants("proftpd") {
            servers.push(rivals::proftpd(&root, &ground("proftpd")?)?);
        }
        if arguments.wants("pure-ftpd") {
            servers.push(rivals::pure_ftpd(&root, &ground("pure-ftpd")?)?);
        }
        if arguments.wants("pyftpdlib") {
            servers.push(rivals::pyftpdlib(&ground("pyftpdlib")?)?);
        }
    }
    // Only by its name: building it takes minutes.
    if arguments.servers.iter().any(|name| name == "unftp") {
        servers.push(rivals::unftp(target, &ground("unftp")?)?);
    }
    Ok(servers)
}

/// A folder that goes with the value.
struct Place(PathBuf);

impl Place {
    fn new(above: &Path) -> io::Result<Self> {
        let folder = above.join(format!("waybill-bench-{}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One self-signed ECDSA certificate for all but Waybill, which makes its own of the same kind.
fn certificate(place: &Path) -> io::Result<PathBuf> {
    let key = rcgen::KeyPair::generate().map_err(io::Error::other)?;
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    let path = place.join("server.pem");
    fs::write(&path, format!("{}{}", certificate.pem(), key.serialize_pem()))?;
    Ok(path)
}

/// In clear, and by TLS 1.3, or 1.2 with unFTP, without looking at the certificate. Keys are exchanged in one of the ways that each server here
/// knows one of: the others know no post-quantum ones.
fn speeches() -> [Speech; 2] {
    use rustls::crypto::aws_lc_rs::{self, kx_group};
    let provider =
        CryptoProvider { kx_groups: vec![kx_group::X25519, kx_group::SECP256R1], ..aws_lc_rs::default_provider() };
    let provider = Arc::new(provider);
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map(|builder| {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
                .with_no_client_auth()
        });
    match config {
        Ok(config) => [Speech::Plain, Speech::Tls(Arc::new(config))],
        Err(_) => unreachable!("TLS 1.3 is built in"),
    }
}

/// The servers' certificates are their own.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
