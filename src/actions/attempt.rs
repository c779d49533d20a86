//! One attempt to deliver something: what a target gets, and the outcome.

use crate::base::clock::Timestamp;
use crate::store::event::Event;
use crate::store::receipt::Receipt;

/// Bytes of an answer that are kept.
pub const ANSWER_BYTES: usize = 4_096;

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target has it.
    Delivered,
    /// Not now: it is retried.
    Retry,
    /// The target declines it for good.
    Stopped,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How it ended.
    pub outcome: Outcome,
    /// The other side's answer, at most [`ANSWER_BYTES`] of it, or in words why it was not reached.
    pub answer: String,
}

impl Attempt {
    /// An attempt with that outcome; the beginning of a long answer is kept.
    pub fn new(outcome: Outcome, answer: impl Into<String>) -> Self {
        let mut answer = answer.into();
        answer.truncate(answer.floor_char_boundary(ANSWER_BYTES));
        Self { outcome, answer }
    }

    /// It is retried, for this reason.
    pub fn retry(why: impl Into<String>) -> Self {
        Self::new(Outcome::Retry, why)
    }
}

/// What a target gets. The bytes of its file are opened by the receipt's id (`transfer::held`).
#[derive(Clone, Debug)]
pub struct Shipment {
    /// What happened.
    pub event: Event,
    /// The file it concerns.
    pub receipt: Option<Receipt>,
    /// 1 is the first; counting continues when a delivery is begun anew.
    pub attempt: u32,
    /// When this attempt begins.
    pub at: Timestamp,
}
