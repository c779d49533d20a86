//! Lets a page ask the appliance to stop and begin anew, as after a backup was put back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Transfers may go on for this long; what they bring would not be recorded anywhere.
const DRAINED_WITHIN: Duration = Duration::from_secs(10);

/// Asks for that; cheap to clone.
#[derive(Clone, Debug)]
pub struct Restart {
    wanted: Arc<AtomicBool>,
    drain: CancellationToken,
    now: CancellationToken,
}

impl Restart {
    /// With the tokens that stop the appliance: without new sessions, and at once.
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
