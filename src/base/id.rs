//! Typed ids and their source: version 7 UUIDs as text, which sort by creation time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::Clock;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// A new id.
            pub fn new(ids: &IdSource) -> Self {
                Self(ids.next())
            }

            /// Reads what [`Self::as_str`] returned; `None` for anything that is not an id.
            pub fn parse(text: &str) -> Option<Self> {
                uuid::Uuid::try_parse(text).ok().map(|id| Self(id.to_string()))
            }

            /// The id as text, for the database and the pages.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

ids! {
    /// One row of the Receive table; also names its part while it is written.
    ReceiptId,
    /// One row of the events table.
    EventId,
    /// One control connection.
    SessionId,
    /// One upload or download, complete or not.
    TransferId,
    /// One recorded refusal.
    RefusalId,
    /// One person in the web interface.
    AdministratorId,
    /// One row of the audit.
    AuditId,
    /// One certificate in the store.
    CertificateId,
    /// One token of the API.
    TokenId,
}

/// Makes ids from a clock and a source of randomness; ids made by one source come in ascending order.
#[derive(Clone, Debug)]
pub struct IdSource {
    clock: Clock,
    /// The last id's time and counter: 48 bits of milliseconds, 12 bits of counter.
    last: Arc<AtomicU64>,
    /// `Some` makes the random part a counter, for tests that compare.
    seed: Option<Arc<AtomicU64>>,
}

impl IdSource {
    /// Ids that nobody can guess.
    pub fn random(clock: Clock) -> Self {
        Self { clock, last: Arc::default(), seed: None }
    }

    /// The same ids on each run.
    pub fn seeded(clock: Clock, seed: u64) -> Self {
        Self { clock, last: Arc::default(), seed: Some(Arc::new(AtomicU64::new(seed))) }
    }

    fn next(&self) -> String {
        let now = u64::try_from(self.clock.now().us() / 1_000).unwrap_or(0) << 12;
        let mut stamp = 0;
        let _ = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            stamp = now.max(last + 1);
            Some(stamp)
        });
        let tail: u64 = match &self.seed {
            Some(seed) => seed.fetch_add(1, Ordering::Relaxed),
            None => rand::random(),
        };
        let [.., high, low] = (stamp & 0xfff).to_be_bytes();
        let mut bytes = [0_u8; 10];
        bytes[0] = high;
        bytes[1] = low;
        bytes[2..].copy_from_slice(&tail.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(stamp >> 12, &bytes).into_uuid().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;

    #[test]
    fn ids_ascend_even_when_the_clock_stands_still() {
        let ids = IdSource::random(Clock::fixed(Timestamp::from_us(1_774_000_000_000_000)));
        let made: Vec<_> = (0..10_000).map(|_| ReceiptId::new(&ids)).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn seeded_ids_repeat() {
        let clock = Clock::fixed(Timestamp::from_us(1_774_000_000_000_000));
        let one = EventId::new(&IdSource::seeded(clock.clone(), 7));
        assert_eq!(one, EventId::new(&IdSource::seeded(clock, 7)));
        assert_eq!(EventId::parse(one.as_str()), Some(one));
        assert_eq!(EventId::parse("../../etc"), None);
    }
}
