//! What is measured. Each case is one number of one server, and the CPU it spent on it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::client::{Client, Speech};
use crate::server::{PASSWORD, Server, pause};

/// What a case does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Fetches one large file, by so many sessions at once.
    Download(usize),
    /// Stores one large file, by so many sessions at once.
    Upload(usize),
    /// Fetches files of so many KiB, by so many sessions.
    SmallDownloads(usize, usize),
    /// Stores files of so many KiB, by so many sessions.
    SmallUploads(usize, usize),
    /// Logs in, by two sessions at once.
    Logins,
    /// Lists a folder by this command: so many names.
    List(&'static str, usize),
    /// PWD while another session fetches, the slowest of a hundred.
    Latency,
    /// Memory of a session that does nothing.
    Idle,
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its work.
    pub work: Work,
    /// Whether by TLS.
    pub tls: bool,
}

/// How a number is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// A rate.
    Higher,
    /// A time or an amount.
    Lower,
}

/// What came of one case with one server.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// In the case's unit.
    pub value: f64,
    /// CPU seconds a gigabyte, or milliseconds a piece; none where it means nothing.
    pub cpu: Option<f64>,
}

/// How much is moved.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Bytes of the large file.
    pub large_bytes: u64,
    /// Times it is moved in one measurement.
    pub repeats: u64,
    /// Small files, logins or listings in one measurement.
    pub pieces: usize,
    /// Sessions that move small files.
    pub sessions: usize,
    /// Sessions held idle.
    pub held: usize,
    /// Names in the large folder.
    pub names: usize,
}

impl Scale {
    /// How often each of so many sessions moves a whole large file.
    fn times(self, sessions: usize) -> u64 {
        (self.repeats / sessions as u64).max(1)
    }
}

/// KiB of small files.
const SMALL_KIB: [usize; 2] = [4, 64];
/// Small files of each size in Send.
const SMALL_FILES: usize = 1000;
/// Sessions that log in.
const LOGIN_SESSIONS: usize = 2;
/// Measurements of small uploads so far.
static RUNS: AtomicUsize = AtomicUsize::new(0);
/// Bytes in a gigabyte.
const GB: f64 = 1e9;

/// Every case, in the order of the table.
pub fn all(scale: Scale) -> Vec<Case> {
    let works = [
        Work::Download(1),
        Work::Download(4),
        Work::Upload(1),
        Work::Upload(4),
        Work::SmallUploads(SMALL_KIB[0], scale.sessions),
        Work::SmallUploads(SMALL_KIB[1], scale.sessions),
        Work::SmallDownloads(SMALL_KIB[0], scale.sessions),
        Work::SmallDownloads(SMALL_KIB[1], scale.sessions),
        Work::Logins,
        Work::Idle,
        Work::List("LIST", 1000),
        Work::List("MLSD", 1000),
        Work::List("LIST", scale.names),
        Work::Latency,
    ];
    works.into_iter().flat_map(|work| [false, true].map(|tls| Case { work, tls })).collect()
}

impl Case {
    /// Its name in the table.
    pub fn name(self) -> String {
        let speech = if self.tls { "FTPS" } else { "plain" };
        let work = match self.work {
            Work::Download(1) => "download".to_owned(),
            Work::Download(count) => format!("download, {count} sessions"),
            Work::Upload(1) => "upload".to_owned(),
            Work::Upload(count) => format!("upload, {count} sessions"),
            Work::SmallDownloads(kib, sessions) => format!("{kib} KiB downloads, {sessions} sessions"),
            Work::SmallUploads(kib, sessions) => format!("{kib} KiB uploads, {sessions} sessions"),
            Work::Logins => "logins".to_owned(),
            Work::List(verb, count) => format!("{verb} of {count}"),
            Work::Latency => "PWD during a download, p99".to_owned(),
            Work::Idle => "memory of an idle session".to_owned(),
        };
        format!("{speech} {work}")
    }

    /// Unit of the value, and of the CPU.
    pub fn units(self) -> (&'static str, &'static str) {
        match self.work {
            Work::Download(_) | Work::Upload(_) => ("GB/s", "s/GB"),
            Work::SmallDownloads(..) | Work::SmallUploads(..) | Work::Logins => ("/s", "ms"),
            Work::List(..) => ("ms", "ms"),
            Work::Latency => ("ms", ""),
            Work::Idle => ("KiB", ""),
        }
    }

    /// How its value is to be read.
    pub fn better(self) -> Better {
        match self.work {
            Work::List(..) | Work::Latency | Work::Idle => Better::Lower,
            _ => Better::Higher,
        }
    }

    /// Measures one server.
    pub fn measure(self, server: &Server, speech: &Speech, scale: Scale) -> io::Result<Measured> {
        match self.work {
            Work::Download(sessions) => {
                let large = scale.large_bytes;
                moved(server, speech, (sessions, large, scale.times(sessions)), move |client, _| {
                    let count = client.fetch("RETR /Send/large.bin")?;
                    if count == large {
                        Ok(())
                    } else {
                        Err(io::Error::other(format!("{count} of {large} bytes came")))
                    }
                })
            }
            Work::Upload(sessions) => {
                // All of them together are as large as a single one: a virtual machine whose host takes back what it has not
                // used of late pays for each page beyond that, and a server that writes aside first uses twice as many.
                let (size, times) = (scale.large_bytes / sessions as u64, scale.times(sessions) * sessions as u64);
                let measured = moved(server, speech, (sessions, size, times), move |client, session| {
                    client.store(&format!("/Receive/large-{session}.bin"), size)
                });
                for session in 0..sessions {
                    let _ = fs::remove_file(server.home.join(format!("Receive/large-{session}.bin")));
                }
                measured
            }
            Work::SmallUploads(kib, _) => {
                // A partner sends new files; the same names again would be a replacing of each one before.
                let run = RUNS.fetch_add(1, Ordering::Relaxed);
                pieces(server, speech, scale, |client, (session, n)| {
                    client.store(&format!("/Receive/small-{run}-{session}-{n}.bin"), kib as u64 * 1024)
                })
            }
            Work::SmallDownloads(kib, _) => pieces(server, speech, scale, |client, (_, n)| {
                client.fetch(&format!("RETR /Send/of-{kib}-kib-{}.bin", n % SMALL_FILES)).map(drop)
            }),
            Work::Logins => logins(server, speech, scale),
            Work::List(verb, names) => list(server, speech, (verb, names), scale),
            Work::Latency => latency(server, speech),
            Work::Idle => idle(server, speech, scale.held),
        }
    }
}

/// Puts what is fetched and listed into Send.
pub fn prepare(server: &Server, large: &Path, scale: Scale) -> io::Result<()> {
    let send = server.home.join("Send");
    fs::create_dir_all(&send)?;
    fs::hard_link(large, send.join("large.bin"))?;
    for kib in SMALL_KIB {
        let small = vec![b's'; kib * 1024];
        for n in 0..SMALL_FILES {
            fs::write(send.join(format!("of-{kib}-kib-{n}.bin")), &small)?;
        }
    }
    for names in [1000, scale.names] {
        let folder = send.join(format!("of-{names}"));
        fs::create_dir(&folder)?;
        for n in 0..names {
            fs::write(folder.join(format!("invoice-{n:06}.edi")), b"")?;
        }
    }
    Ok(())
}

fn log_in(server: &Server, speech: &Speech) -> io::Result<Client> {
    Client::log_in(server.address, speech, server.user, PASSWORD)
}

/// Does the same with several sessions at once; gives wall time and CPU.
fn together<F>(server: &Server, speech: &Speech, sessions: usize, work: F) -> io::Result<(f64, f64)>
where
    F: Fn(&mut Client, usize) -> io::Result<()> + Sync,
{
    let clients = (0..sessions).map(|_| log_in(server, speech)).collect::<io::Result<Vec<_>>>()?;
    let ready = Barrier::new(sessions + 1);
    std::thread::scope(|scope| {
        let start = |(session, mut client): (usize, Client)| {
            let (ready, work) = (&ready, &work);
            scope.spawn(move || {
                ready.wait();
                work(&mut client, session).map(|()| client)
            })
        };
        let threads: Vec<_> = clients.into_iter().enumerate().map(start).collect();
        let before = server.tree().usage();
        ready.wait();
        let begun = Instant::now();
        let mut ended = Vec::new();
        for thread in threads {
            ended.push(thread.join().map_err(|_| io::Error::other("a client panicked"))??);
        }
        let wall = begun.elapsed().as_secs_f64();
        let cpu = server.tree().usage().cpu_s - before.cpu_s;
        for client in &mut ended {
            client.command("QUIT", "221")?;
        }
        Ok((wall, cpu))
    })
}

/// Moves files of `size` bytes, so many `times` by each session.
fn moved<F>(
    server: &Server,
    speech: &Speech,
    (sessions, size, times): (usize, u64, u64),
    work: F,
) -> io::Result<Measured>
where
    F: Fn(&mut Client, usize) -> io::Result<()> + Sync,
{
    let (wall, cpu) =
        together(server, speech, sessions, |client, session| (0..times).try_for_each(|_| work(client, session)))?;
    let gigabytes = gigabytes(size * times * sessions as u64);
    Ok(Measured { value: gigabytes / wall, cpu: Some(cpu / gigabytes) })
}

#[expect(clippy::cast_precision_loss, reason = "a few percent of a percent do not show")]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / GB
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn pieces<F>(server: &Server, speech: &Speech, scale: Scale, work: F) -> io::Result<Measured>
where
    F: Fn(&mut Client, (usize, usize)) -> io::Result<()> + Sync,
{
    let each = scale.pieces / scale.sessions;
    let (wall, cpu) = together(server, speech, scale.sessions, |client, session| {
        (0..each).try_for_each(|n| work(client, (session, n)))
    })?;
    let count = (each * scale.sessions) as f64;
    Ok(Measured { value: count / wall, cpu: Some(cpu * 1000.0 / count) })
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn logins(server: &Server, speech: &Speech, scale: Scale) -> io::Result<Measured> {
    // A returning partner: it was here a moment ago.
    log_in(server, speech)?.command("QUIT", "221")?;
    let each = scale.pieces / LOGIN_SESSIONS;
    let (wall, cpu) = together(server, speech, LOGIN_SESSIONS, |_, _| {
        for _ in 0..each {
            log_in(server, speech)?.command("QUIT", "221")?;
        }
        Ok(())
    })?;
    let count = (each * LOGIN_SESSIONS) as f64;
    Ok(Measured { value: count / wall, cpu: Some(cpu * 1000.0 / count) })
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn list(server: &Server, speech: &Speech, (verb, names): (&str, usize), scale: Scale) -> io::Result<Measured> {
    let rounds = (scale.pieces * 100 / names).clamp(2, 200);
    let folder = format!("/Send/of-{names}");
    let (wall, cpu) = together(server, speech, 1, |client, _| {
        client.command(&format!("CWD {folder}"), "250")?;
        (0..rounds).try_for_each(|_| {
            let bytes = client.fetch(verb)?;
            // `invoice-000000.edi` and its line end are 20 bytes.
            if bytes < names as u64 * 20 {
                return Err(io::Error::other(format!("{verb} of {names} names gave {bytes} bytes")));
            }
            Ok(())
        })
    })?;
    let count = rounds as f64;
    Ok(Measured { value: wall * 1000.0 / count, cpu: Some(cpu * 1000.0 / count) })
}

fn latency(server: &Server, speech: &Speech) -> io::Result<Measured> {
    let done = Arc::new(AtomicBool::new(false));
    let mut fetcher = log_in(server, speech)?;
    let mut asker = log_in(server, speech)?;
    let busy = Arc::clone(&done);
    let bulk = std::thread::spawn(move || {
        while !busy.load(Ordering::Relaxed) {
            fetcher.fetch("RETR /Send/large.bin")?;
        }
        fetcher.command("QUIT", "221")
    });
    pause(Duration::from_millis(50));
    let mut times = Vec::new();
    for _ in 0..1000 {
        let begun = Instant::now();
        asker.command("PWD", "257")?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        pause(Duration::from_micros(500));
    }
    done.store(true, Ordering::Relaxed);
    asker.command("QUIT", "221")?;
    bulk.join().map_err(|_| io::Error::other("a client panicked"))??;
    times.sort_by(f64::total_cmp);
    Ok(Measured { value: times[times.len() * 99 / 100], cpu: None })
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn idle(server: &Server, speech: &Speech, held: usize) -> io::Result<Measured> {
    // What the first sessions make once is not theirs.
    let mut first = (0..8).map(|_| log_in(server, speech)).collect::<io::Result<Vec<_>>>()?;
    let before = server.tree().usage().memory_kib;
    let mut sessions = (0..held).map(|_| log_in(server, speech)).collect::<io::Result<Vec<_>>>()?;
    pause(Duration::from_millis(500));
    let after = server.tree().usage().memory_kib;
    for client in sessions.iter_mut().chain(&mut first) {
        client.command("QUIT", "221")?;
    }
    Ok(Measured { value: after.saturating_sub(before) as f64 / held as f64, cpu: None })
}
