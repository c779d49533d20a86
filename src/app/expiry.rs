//! Certificates that expire soon are told of, each nearness once.

use std::time::Duration;

use crate::access::certificate::Certificates;

/// How often it is looked for; the nearest warning comes three days before the end.
const EVERY: Duration = Duration::from_hours(1);

/// Looks for it, for ever.
pub(super) async fn run(certificates: Certificates) {
    loop {
        if let Err(error) = certificates.tell_expiring().await {
            tracing::error!(%error, "Could not record which certificates expire; it is tried again");
        }
        tokio::time::sleep(EVERY).await;
    }
}
