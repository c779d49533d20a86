//! How a transfer is broken off early, and what is recorded of it then (PRODUCT 5.3).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use crate::domain::receipt::Ending;

/// What breaks one transfer off. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Abort {
    asked: Arc<AtomicBool>,
    ended: CancellationToken,
    gone: CancellationToken,
}

impl Abort {
    /// For a session whose client is gone once `gone` is cancelled.
    pub fn of(gone: CancellationToken) -> Self {
        Self { asked: Arc::default(), ended: CancellationToken::new(), gone }
    }

    /// The client sent ABOR.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.ended.cancel();
    }

    /// This side ends the session.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// The same for work that no longer needs its client.
    #[must_use]
    pub fn surviving(&self) -> Self {
        Self { gone: CancellationToken::new(), ..self.clone() }
    }

    /// How it has ended, if it was broken off.
    pub fn ending(&self) -> Option<Ending> {
        (self.ended.is_cancelled() || self.gone.is_cancelled()).then(|| self.how())
    }

    /// Waits until it is broken off; returns how it has ended.
    pub async fn broken(&self) -> Ending {
        tokio::select! {
            biased;
            () = self.ended.cancelled() => {}
            () = self.gone.cancelled() => {}
        }
        self.how()
    }

    /// Does `work`, unless it is broken off before that is done. What is done at once costs no registration.
    pub async fn before<T>(&self, work: impl Future<Output = T>) -> Result<T, Ending> {
        if let Some(ending) = self.ending() {
            return Err(ending);
        }
        tokio::select! {
            biased;
            done = work => Ok(done),
            ending = self.broken() => Err(ending),
        }
    }

    fn how(&self) -> Ending {
        if self.asked.load(Ordering::Acquire) { Ending::Aborted } else { Ending::Cut }
    }
}
