//! One run of a program: in a process group of its own, for a limited time, keeping the beginning of its output.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::stray;

/// How long a program may run.
pub const WITHIN: Duration = Duration::from_mins(1);
/// The only variable in a program's environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes read at a time.
const STEP_BYTES: usize = 8 * 1024;
/// Bytes that a pipe may still contain when the program has ended.
const LEFT_BYTES_MAX: usize = 1024 * 1024;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited with that status.
    Exited(i32),
    /// A signal killed it.
    Signalled(i32),
    /// It was still running when its time was up.
    TooLong,
    /// It was still running when nobody waited for it any longer.
    Unwanted,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// How.
    pub end: End,
    /// The beginning of what it wrote to standard output and standard error.
    pub output: Vec<u8>,
}

/// Runs `program` in `folder` for at most `within`; keeps `kept_bytes` of its output. It has no standard input, and
/// only `PATH` in its environment. Everything it leaves running ends with it, in its process group or not. Blocks. It
/// is wanted as long as the other end of `wanted` is open.
pub fn run(
    program: &Path,
    arguments: &[String],
    folder: &Path,
    (within, kept_bytes): (Duration, usize),
    wanted: &io::PipeReader,
) -> io::Result<Run> {
    let (reader, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    let mark = stray::mark(folder);
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{PATH}:{mark}"))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    let mut child = stray::spawn(&mut command, &mark)?;
    // Otherwise the pipe's other end, held here, would keep it open.
    drop(command);
    let group = Pid::from_child(&child);
    let mut heard = Heard { reader: Some(reader), output: Vec::new(), kept_bytes };
    let followed = follow(group, &mut heard, Instant::now() + within, wanted);
    // Its number is not reused before it is waited for: the group is still this one's.
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait();
    stray::end(&mark);
    let status = status?;
    heard.rest();
    let end = match (followed?, status.code()) {
        (Followed::TooLong, _) => End::TooLong,
        (Followed::Unwanted, _) => End::Unwanted,
        (Followed::Ended, Some(code)) => End::Exited(code),
        (Followed::Ended, None) => End::Signalled(status.signal().unwrap_or_default()),
    };
    Ok(Run { end, output: heard.output })
}

enum Followed {
    Ended,
    TooLong,
    Unwanted,
}

/// Reads its output until it ends, its time is up, or nobody wants it any longer.
fn follow(child: Pid, heard: &mut Heard, until: Instant, wanted: &io::PipeReader) -> io::Result<Followed> {
    let ended = pidfd_open(child, PidfdFlags::empty())?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Followed::TooLong);
        }
        let mut watched = vec![PollFd::new(&ended, PollFlags::IN), PollFd::new(wanted, PollFlags::IN)];
        watched.extend(heard.reader.as_ref().map(|reader| PollFd::new(reader, PollFlags::IN)));
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut watched, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let (has_ended, is_unwanted) = (is_ready(&watched[0]), is_ready(&watched[1]));
        let has_said = watched.get(2).is_some_and(is_ready);
        if has_ended {
            return Ok(Followed::Ended);
        }
        if is_unwanted {
            return Ok(Followed::Unwanted);
        }
        if has_said {
            heard.step();
        }
    }
}

fn is_ready(watched: &PollFd<'_>) -> bool {
    !watched.revents().is_empty()
}

/// A program's output.
struct Heard {
    /// Until both outputs are closed.
    reader: Option<io::PipeReader>,
    output: Vec<u8>,
    kept_bytes: usize,
}

impl Heard {
    /// Reads once; discards what is too much. Returns how many bytes came.
    fn step(&mut self) -> usize {
        let mut buffer = [0; STEP_BYTES];
        let Some(reader) = &mut self.reader else { return 0 };
        match reader.read(&mut buffer) {
            Ok(0) => self.reader = None,
            Ok(count) => {
                let room = self.kept_bytes.saturating_sub(self.output.len());
                self.output.extend_from_slice(&buffer[..count.min(room)]);
                return count;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.reader = None,
        }
        0
    }

    /// Reads the rest of the pipe.
    fn rest(&mut self) {
        let mut left = LEFT_BYTES_MAX;
        while left > 0 && self.output.len() < self.kept_bytes {
            match self.step() {
                0 => return,
                count => left = left.saturating_sub(count),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);
    const KEPT: usize = 300;

    fn script(folder: &Path, text: &str) -> std::path::PathBuf {
        let path = folder.join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    fn ran(text: &str, arguments: &[&str], within: Duration) -> Run {
        let (wanted, _wants) = io::pipe().unwrap();
        ran_for(&wanted, text, arguments, within)
    }

    fn ran_for(wanted: &io::PipeReader, text: &str, arguments: &[&str], within: Duration) -> Run {
        let folder = tempfile::tempdir().unwrap();
        let arguments: Vec<_> = arguments.iter().map(|one| (*one).to_owned()).collect();
        // Another test that is starting a program may hold this one open for a moment.
        let program = script(folder.path(), text);
        for _ in 0..100 {
            match run(&program, &arguments, folder.path(), (within, KEPT), wanted) {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                other => return other.unwrap(),
            }
        }
        panic!("it cannot be started");
    }

    #[test]
    fn a_program_has_its_arguments_and_nothing_else() {
        let ended = ran("printf '%s|' \"$@\"; /usr/bin/env | sort; cat; exit 3", &["a b", "$(id)", ""], LONG);
        let text = String::from_utf8(ended.output).unwrap();
        assert_eq!(ended.end, End::Exited(3));
        let (arguments, environment) = text.split_once("||").unwrap();
        assert_eq!(arguments, "a b|$(id)");
        // A shell sets these by itself.
        let own = ["PWD=", "_=", "SHLVL=", "OLDPWD="];
        let rest: Vec<_> = environment.lines().filter(|line| !own.iter().any(|own| line.starts_with(own))).collect();
        assert!(
            rest.len() == 1 && rest[0].starts_with(&format!("PATH={PATH}:/")) && rest[0].ends_with("/.run"),
            "{rest:?}"
        );
    }

    #[test]
    fn who_leaves_the_group_is_ended_too_and_other_runs_go_on() {
        let other = std::thread::spawn(|| ran("setsid sleep 1; echo done", &[], LONG));
        let ended = ran("setsid sleep 1000 & echo $!; (setsid sh -c 'sleep 1001; true' &)", &[], LONG);
        assert_eq!(ended.end, End::Exited(0));
        gone(&ended.output);
        // One that has emptied its environment, too.
        let ended = ran("env -i setsid sleep 1000 & echo $!; sleep 0.2", &[], LONG);
        gone(&ended.output);
        // And one that has replaced it.
        let ended = ran("env -i PATH=/usr/bin:/bin setsid sleep 1000 & echo $!; sleep 0.2", &[], LONG);
        gone(&ended.output);
        let other = other.join().unwrap();
        assert_eq!((other.end, other.output), (End::Exited(0), b"done\n".to_vec()));
    }

    #[test]
    fn what_an_earlier_process_left_is_found_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path().join("scratch");
        let mut command = Command::new("/bin/sleep");
        let mark = stray::mark(&scratch.join("one"));
        command.arg("1000").env_clear().env("PATH", format!("{PATH}:{mark}"));
        let mut left = command.spawn().unwrap();
        // It starts a moment before the kernel shows its environment.
        while std::fs::read(format!("/proc/{}/environ", left.id())).unwrap().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(stray::end_left(&folder.path().join("elsewhere")), 0);
        assert_eq!(stray::end_left(&scratch), 1);
        assert_eq!(left.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn what_an_earlier_process_left_without_its_mark_is_found_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path().join("scratch");
        std::fs::create_dir_all(scratch.join("one/deep")).unwrap();
        // In a session of its own, as a child of a shell in this one's group: no other test takes either for a run's.
        let sleeping = |place: &Path| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "(cd \"$0\" && exec setsid sleep 1000) & echo $!; wait"]).arg(place);
            let mut shell = command.env_clear().env("PATH", PATH).stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            io::BufRead::read_line(&mut io::BufReader::new(shell.stdout.take().unwrap()), &mut line).unwrap();
            let pid = line.trim().to_owned();
            while std::fs::read(format!("/proc/{pid}/cmdline")).unwrap() != b"sleep\x001000\0" {
                std::thread::yield_now();
            }
            (shell, pid)
        };
        let ((mut shell, left), (mut other, beside)) = (sleeping(&scratch.join("one/deep")), sleeping(folder.path()));
        assert_eq!(stray::end_left(&scratch), 1);
        gone(left.as_bytes());
        shell.wait().unwrap();
        assert!(other.try_wait().unwrap().is_none(), "what is not in a run's folder is none of a run");
        let beside = Pid::from_raw(beside.parse().unwrap()).unwrap();
        rustix::process::kill_process(beside, Signal::KILL).unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn both_outputs_are_heard_and_only_the_beginning_is_kept() {
        let ended = ran("echo out; echo error >&2", &[], LONG);
        assert_eq!((ended.end, ended.output), (End::Exited(0), b"out\nerror\n".to_vec()));
        let ended = ran("i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done", &[], LONG);
        assert_eq!((ended.end, ended.output.len()), (End::Exited(0), KEPT));
        assert_eq!(ran("kill -9 $$", &[], LONG).end, End::Signalled(9));
    }

    #[test]
    fn what_runs_too_long_is_killed_and_whatever_it_started_with_it() {
        let ended = ran("sleep 1000 & echo $!; sleep 1000", &[], Duration::from_millis(500));
        assert_eq!(ended.end, End::TooLong);
        gone(&ended.output);
        // Processes left by a program do not outlive it, and hold up nobody.
        let ended = ran("sleep 1000 & echo $!", &[], LONG);
        assert_eq!(ended.end, End::Exited(0));
        gone(&ended.output);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_killed() {
        let (wanted, wants) = io::pipe().unwrap();
        let leaves = std::thread::spawn(move || {
            rustix::event::poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 300_000_000 })).unwrap();
            drop(wants);
        });
        let ended = ran_for(&wanted, "sleep 1000 & echo $!; sleep 1000", &[], LONG);
        assert_eq!(ended.end, End::Unwanted);
        gone(&ended.output);
        leaves.join().unwrap();
    }

    /// Killed, whether or not somebody has waited for it yet.
    fn gone(output: &[u8]) {
        let pid = String::from_utf8_lossy(output).trim().to_owned();
        for _ in 0..100_000 {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") {
                return;
            }
            std::thread::yield_now();
        }
        panic!("{pid} still runs");
    }
}
