//! Long, fast copies on threads of their own. One that keeps a core busy would make the sessions beside it wait: the
//! runtime's few threads would be busy with it whenever a command comes. Such a thread is a patient one: where there are
//! not cores enough, the system runs whoever answers a command first.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::socket::Waiting;
use crate::base::cores;

/// Bytes of one piece: between two of them a copy may get a thread of its own, or give it back.
pub const PIECE_BYTES: u64 = 8 * 1024 * 1024;
/// A piece that took no longer is a fast one: 100 MB/s and more.
const FAST_WITHIN: Duration = Duration::from_millis(80);
/// Copies with a thread of their own: one for every two cores. More threads than cores would only take turns; further
/// copies run among the sessions.
static THREADS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(cores::count().div_ceil(2)));

/// Niceness of such a thread (setpriority(2), 0 to 19): whoever wakes beside it is run at once. It has the core all the
/// same as long as nobody else wants it.
const NICENESS: i32 = 10;

/// How fast one copy has been of late.
#[derive(Debug)]
pub struct Pace {
    since: Instant,
    fast: bool,
}

impl Pace {
    /// Of a copy that begins: it may be small.
    pub fn begin() -> Self {
        Self { since: Instant::now(), fast: false }
    }

    /// A whole piece was moved.
    pub fn piece(&mut self) {
        let now = Instant::now();
        self.fast = now.duration_since(self.since) <= FAST_WITHIN;
        self.since = now;
    }

    /// A thread for the next piece, while the copy is fast and one is free.
    pub fn thread(&self) -> Option<Thread> {
        let runtime = Handle::try_current().ok().filter(|_| self.fast)?;
        // With a single thread there is none to hand the sessions to.
        let others = runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
        let permit = THREADS.try_acquire().ok().filter(|_| others)?;
        Some(Thread { runtime, _permit: permit })
    }
}

/// A thread that one copy has for itself.
#[derive(Debug)]
pub struct Thread {
    runtime: Handle,
    _permit: SemaphorePermit<'static>,
}

impl Thread {
    /// Who waits for the sockets of a copy that has this.
    pub fn waiting(thread: Option<&Self>) -> Waiting {
        if thread.is_some() { Waiting::OnThread } else { Waiting::ByRuntime }
    }

    /// Runs a piece, on the thread if there is one, else as part of its task.
    pub async fn run<T: Send>(thread: Option<Self>, piece: impl Future<Output = T> + Send) -> T {
        match thread {
            Some(thread) => tokio::task::block_in_place(|| thread.hand(piece)),
            None => piece.await,
        }
    }

    /// A thread for each piece: without privileges none can get back the niceness it has taken on.
    fn hand<T: Send>(&self, piece: impl Future<Output = T> + Send) -> T {
        let mut waiting = Some(piece);
        let handed = std::thread::scope(|scope| {
            let here = std::thread::Builder::new().name("bulk".to_owned());
            let copying = here.spawn_scoped(scope, || {
                // Where it cannot be had, sessions wait longer, and nothing else.
                let _ = rustix::process::setpriority_process(None, NICENESS);
                waiting.take().map(|piece| self.runtime.block_on(piece))
            });
            copying.ok()?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        match (handed, waiting) {
            (Some(done), _) => done,
            // The system has no thread to give: by this one.
            (None, Some(piece)) => self.runtime.block_on(piece),
            (None, None) => unreachable!("a piece is run or still here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of this thread.
    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_fast_copy_leaves_its_thread_to_the_others() {
        let mut pace = Pace::begin();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        pace.piece();
        assert!(pace.fast);
        // The copy blocks its thread until another task of the only worker has run.
        let copying = tokio::spawn(async move {
            let thread = pace.thread();
            assert_eq!(Thread::waiting(thread.as_ref()), Waiting::OnThread);
            let piece = async move {
                let (told, heard) = std::sync::mpsc::channel();
                drop(sender.send(told));
                (heard.recv_timeout(Duration::from_secs(10)), niceness())
            };
            (Thread::run(thread, piece).await, niceness())
        });
        let other = tokio::spawn(async move { receiver.await.map(|told| told.send(7)) });
        let ((heard, patient), after) = copying.await.unwrap();
        assert_eq!(heard, Ok(7));
        assert_eq!((patient, after), (niceness().max(NICENESS), niceness()), "and no other thread is a patient one");
        other.await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_slow_copy_stays_and_so_does_one_where_there_are_no_other_threads() {
        let here = std::thread::current().id();
        let mut pace = Pace { since: Instant::now().checked_sub(FAST_WITHIN * 2).unwrap(), fast: true };
        assert_eq!(Thread::run(pace.thread(), async { std::thread::current().id() }).await, here);
        pace.piece();
        assert!(!pace.fast);
    }
}
