//! How a transfer is broken off early, and what is recorded of it then (PRODUCT 5.3).

use tokio_util::sync::CancellationToken;

use crate::domain::receipt::Ending;

/// What breaks one transfer off. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Abort {
    asked: CancellationToken,
    ended: CancellationToken,
    gone: CancellationToken,
}

impl Abort {
    /// For a session whose client is gone once `gone` is cancelled.
    pub fn of(gone: CancellationToken) -> Self {
        Self { gone, ..Self::default() }
    }

    /// The client sent ABOR.
    pub fn ask(&self) {
        self.asked.cancel();
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
        if self.asked.is_cancelled() {
            return Some(Ending::Aborted);
        }
        (self.ended.is_cancelled() || self.gone.is_cancelled()).then_some(Ending::Cut)
    }

    /// Waits until it is broken off; returns how it has ended.
    pub async fn broken(&self) -> Ending {
        tokio::select! {
            biased;
            () = self.asked.cancelled() => Ending::Aborted,
            () = self.ended.cancelled() => Ending::Cut,
            () = self.gone.cancelled() => Ending::Cut,
        }
    }
}
