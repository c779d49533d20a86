//! Long, fast copies on threads of their own. A copy that keeps a core busy would make the sessions beside it wait,
//! because it occupies one of the runtime's few threads whenever a command comes. These threads are nice ones: if there
//! are not enough cores, the system first runs whoever answers a command.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::socket::Waiting;
use crate::base::cores;

/// Bytes of one piece: between pieces a copy may get a thread of its own, or give it back.
pub const PIECE_BYTES: u64 = 8 * 1024 * 1024;
/// A piece that took no longer is fast: 100 MB/s and more.
const FAST_WITHIN: Duration = Duration::from_millis(80);
/// Copies with a thread of their own: one for every two cores. More threads than cores would only take turns; further
/// copies run among the sessions.
static THREADS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(cores::count().div_ceil(2)));

/// Niceness of such a thread (setpriority(2), 0 to 19): whatever wakes beside it runs at once. It still has the core as
/// long as nobody else wants it.
const NICENESS: i32 = 10;

/// The recent speed of one copy.
#[derive(Debug)]
pub struct Pace {
    since: Instant,
    fast: bool,
}

impl Pace {
    /// For a copy that begins: it may be small.
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
        // With a single thread there is no other for the sessions.
        let others = runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
        let permit = THREADS.try_acquire().ok().filter(|_| others)?;
        Some(Thread { runtime, _permit: permit })
    }
}

/// A thread for one copy alone.
#[derive(Debug)]
pub struct Thread {
    runtime: Handle,
    _permit: SemaphorePermit<'static>,
}

impl Thread {
    /// Who waits for the sockets of a copy with this thread.
    pub fn waiting(thread: Option<&Self>) -> Waiting {
        if thread.is_some() { Waiting::OnThread } else { Waiting::ByRuntime }
    }

    /// Runs a piece, on the thread if there is one, otherwise within its task.
    pub async fn run<T: Send>(thread: Option<Self>, piece: impl Future<Output = T> + Send) -> T {
        match thread {
            Some(thread) => tokio::task::block_in_place(|| thread.hand(piece)),
            None => piece.await,
        }
    }

    /// A new thread for each piece: without privileges a thread cannot undo its niceness.
    fn hand<T: Send>(&self, piece: impl Future<Output = T> + Send) -> T {
        let mut waiting = Some(piece);
        let handed = std::thread::scope(|scope| {
            let here = std::thread::Builder::new().name("bulk".to_owned());
            let copying = here.spawn_scoped(scope, || {
                // If this fails, sessions only wait longer.
                let _ = rustix::process::setpriority_process(None, NICENESS);
                waiting.take().map(|piece| self.runtime.block_on(piece))
            });
            copying.ok()?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        match (handed, waiting) {
            (Some(done), _) => done,
            // The system has no thread to give: use this one.
            (None, Some(piece)) => self.runtime.block_on(piece),
            (None, None) => unreachable!("a piece is run or still here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The niceness of this thread.
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
