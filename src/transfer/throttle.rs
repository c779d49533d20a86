//! Rate limits of a connector, shared by all its sessions, separately for each direction. A changed limit applies from
//! the next bytes on.
//!
//! Always: the Stall timeout does not run while the limit holds a transfer back: that is our own slowness.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::copy::Inbound;
use crate::base::clock::{Clock, Timestamp};
use crate::base::lock::lock;
use crate::domain::authorise::No;
use crate::domain::receipt::Ending;
use crate::store::live::Live;
use crate::store::transfer::Direction;

/// Bytes moved between two checks while there is no limit.
const FREE_BYTES: u64 = 64 * 1024 * 1024;
/// A step takes at most this fraction of a second, for all sessions together.
const STEPS_PER_SECOND: u64 = 4;
const US_PER_SECOND: i128 = 1_000_000;

/// Bytes that were moved ahead of their time. Unlike tokens, a debt is counted without a rate: the current rate pays it
/// off.
#[derive(Debug, Default)]
struct Bucket {
    /// In bytes times microseconds, to avoid rounding; negative after a rest.
    debt: i128,
    at: Timestamp,
}

impl Bucket {
    /// How long to wait before the next bytes.
    fn wait(&mut self, rate: u64, now: Timestamp) -> Duration {
        let elapsed = i128::try_from(now.since(self.at).as_micros()).unwrap_or(i128::MAX / i128::from(u64::MAX));
        self.at = now;
        let step = i128::from(rate.max(1)) * US_PER_SECOND / i128::from(STEPS_PER_SECOND);
        // A rest is worth one step; a debt from a higher rate is forgiven.
        self.debt = self.debt.saturating_sub(elapsed.saturating_mul(rate.into())).clamp(-step, 2 * step);
        let us = u64::try_from(self.debt.max(0) / i128::from(rate.max(1))).unwrap_or(u64::MAX);
        Duration::from_micros(us)
    }

    fn spend(&mut self, bytes: u64) {
        self.debt = self.debt.saturating_add(i128::from(bytes) * US_PER_SECOND);
    }
}

type Shared = Arc<Mutex<Bucket>>;
type ByConnector = HashMap<(String, Direction), Weak<Mutex<Bucket>>>;

/// Every connector's limits.
#[derive(Clone, Debug)]
pub struct Throttles {
    live: Live,
    clock: Clock,
    buckets: Arc<Mutex<ByConnector>>,
}

impl Throttles {
    /// Uses the limits in force at each moment.
    pub fn new(live: Live, clock: Clock) -> Self {
        Self { live, clock, buckets: Arc::default() }
    }

    /// One transfer's share of a connector's limit.
    pub fn of(&self, connector_key: &str, direction: Direction) -> Throttle {
        let mut buckets = lock(&self.buckets);
        buckets.retain(|_, bucket| bucket.strong_count() > 0);
        let key = (connector_key.to_owned(), direction);
        let bucket = buckets.get(&key).and_then(Weak::upgrade).unwrap_or_default();
        buckets.insert(key.clone(), Arc::downgrade(&bucket));
        Throttle { throttles: self.clone(), key, bucket }
    }
}

/// One transfer under a connector's limit.
#[derive(Clone, Debug)]
pub struct Throttle {
    throttles: Throttles,
    key: (String, Direction),
    bucket: Shared,
}

impl Throttle {
    /// Bytes a second, now.
    fn rate(&self) -> Option<u64> {
        let snapshot = self.throttles.live.snapshot();
        let settings = &snapshot.connectors.get(&self.key.0)?.connector.settings;
        let limit = match self.key.1 {
            Direction::Receive => &settings.upload_bytes_per_s,
            Direction::Send => &settings.download_bytes_per_s,
        };
        limit.as_ref().map(|limit| limit.get())
    }

    /// How long to wait before the next bytes; `None`: not at all.
    fn wait(&self) -> Option<Duration> {
        let wait = lock(&self.bucket).wait(self.rate()?, self.throttles.clock.now());
        (!wait.is_zero()).then_some(wait)
    }

    /// Bytes that may be moved before the next check: the more sessions share the limit, the fewer.
    pub fn step_bytes(&self) -> u64 {
        let sessions = u64::try_from(Arc::strong_count(&self.bucket)).unwrap_or(u64::MAX).max(1);
        self.rate().map_or(FREE_BYTES, |rate| (rate / STEPS_PER_SECOND / sessions).max(1))
    }

    /// Waits until bytes may be moved.
    pub async fn ready(&self) {
        while let Some(wait) = self.wait() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Bytes were moved.
    pub fn spend(&self, bytes: u64) {
        lock(&self.bucket).spend(bytes);
    }
}

/// A data connection whose bytes come no faster than the limit.
#[derive(Debug)]
pub struct Throttled<'a, S> {
    stream: &'a mut S,
    throttle: Throttle,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<'a, S> Throttled<'a, S> {
    /// Reads `stream` under that limit.
    pub fn new(stream: &'a mut S, throttle: Throttle) -> Self {
        Self { stream, throttle, waiting: None }
    }
}

impl<S: Inbound> AsyncRead for Throttled<'_, S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        ready!(me.poll_allowed(cx));
        let most = usize::try_from(me.throttle.step_bytes()).unwrap_or(usize::MAX).min(buf.remaining());
        let mut step = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(Pin::new(&mut *me.stream).poll_read(cx, &mut step))?;
        let count = step.filled().len();
        buf.advance(count);
        me.throttle.spend(count as u64);
        Poll::Ready(Ok(()))
    }
}

impl<S: Inbound> AsyncWrite for Throttled<'_, S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: Inbound> Inbound for Throttled<'_, S> {
    fn ending(&self, error: Option<&io::Error>) -> Ending {
        self.stream.ending(error)
    }

    fn is_by_tls(&self) -> bool {
        self.stream.is_by_tls()
    }

    fn ends_tolerantly(&self) -> bool {
        self.stream.ends_tolerantly()
    }

    fn refusal(&self) -> Option<No> {
        self.stream.refusal()
    }

    fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            match self.throttle.wait() {
                Some(wait) => self.waiting = Some(Box::pin(tokio::time::sleep(wait))),
                None => return Poll::Ready(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(us: i64) -> Timestamp {
        Timestamp::from_us(us)
    }

    #[test]
    fn a_debt_is_paid_off_by_the_rate_of_the_moment() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.wait(1_000, at(1_000_000)), Duration::ZERO);
        // A rest is worth a quarter of a second.
        bucket.spend(250);
        assert_eq!(bucket.wait(1_000, at(1_000_000)), Duration::ZERO);
        bucket.spend(100);
        assert_eq!(bucket.wait(1_000, at(1_000_000)), Duration::from_millis(100));
        assert_eq!(bucket.wait(1_000, at(1_050_000)), Duration::from_millis(50));
        assert_eq!(bucket.wait(10_000, at(1_050_000)), Duration::from_millis(5));
        // A lowered limit never makes anybody wait for long.
        bucket.spend(1_000_000);
        assert_eq!(bucket.wait(10, at(1_050_000)), Duration::from_millis(500));
    }

    proptest! {
        #[test]
        fn no_more_moves_than_the_rate_and_a_rest_allow(
            rate in 1_u64..10_000_000,
            sessions in 1_u64..8,
            ticks in proptest::collection::vec(0_i64..400_000, 1..60),
        ) {
            let mut bucket = Bucket::default();
            let step = (rate / STEPS_PER_SECOND / sessions).max(1);
            let (mut now, mut moved) = (0_i64, 0_u64);
            for tick in ticks {
                now += tick;
                for _ in 0..sessions {
                    let wait = bucket.wait(rate, at(now));
                    prop_assert!(wait < Duration::from_secs(1));
                    if wait.is_zero() {
                        bucket.spend(step);
                        moved += step;
                    }
                }
            }
            let allowed = i128::from(rate) * i128::from(now) / US_PER_SECOND + i128::from(rate / 4) + i128::from(step) + 1;
            prop_assert!(i128::from(moved) <= allowed, "{moved} of {allowed}");
        }
    }
}
