//! The signals that stop the appliance: SIGTERM or SIGINT in order; a second one at once.

use tokio::signal::unix::{SignalKind, signal};

use crate::engine::Stop;

/// Waits for the signals and passes them on.
pub(super) async fn follow_signals(stop: Stop) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("Could not listen for signals: stop the process with SIGKILL");
        return;
    };
    for token in [&stop.drain, &stop.now] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("Asked to stop");
        token.cancel();
    }
}
