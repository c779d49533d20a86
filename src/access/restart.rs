//! How a page asks the appliance to stop and begin anew, as after a backup was put back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Transfers may go on for so long; what they bring would be on record nowhere.
const DRAINED_WITHIN: Duration = Duration::from_secs(10);

/// Asks for it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Restart {
    wanted: Arc<AtomicBool>,
    drain: CancellationToken,
    now: CancellationToken,
}

impl Restart {
    /// By what stops the appliance: no new sessions, and at once.
    pub fn new(drain: CancellationToken, now: CancellationToken) -> Self {
        Self { wanted: Arc::default(), drain, now }
    }

    /// Stops the appliance soon, to begin anew.
    pub fn ask(&self) {
        self.wanted.store(true, Ordering::SeqCst);
        let (drain, now) = (self.drain.clone(), self.now.clone());
        tokio::spawn(async move {
            drain.cancel();
            tokio::time::sleep(DRAINED_WITHIN).await;
            now.cancel();
        });
    }

    /// Whether it was asked for.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }
}
