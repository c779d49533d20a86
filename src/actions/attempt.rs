//! One attempt to deliver something: what a target is given, and what came of it.

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
    /// Not now: it is tried again.
    Retry,
    /// The target wants no more of it.
    Stopped,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How it ended.
    pub outcome: Outcome,
    /// What the other side said, at most [`ANSWER_BYTES`] of it, or why it was not reached, in words.
    pub answer: String,
}

impl Attempt {
    /// An attempt that ended so; of a long answer the beginning is kept.
    pub fn new(outcome: Outcome, answer: impl Into<String>) -> Self {
        let mut answer = answer.into();
        answer.truncate(answer.floor_char_boundary(ANSWER_BYTES));
        Self { outcome, answer }
    }

    /// It is tried again, for this reason.
    pub fn retry(why: impl Into<String>) -> Self {
        Self::new(Outcome::Retry, why)
    }
}

/// What a target is given. The bytes of its file are opened by the receipt's id (`transfer::held`).
#[derive(Clone, Debug)]
pub struct Shipment {
    /// What happened.
    pub event: Event,
    /// The file it is about.
    pub receipt: Option<Receipt>,
    /// 1 is the first; it goes on counting when a delivery is begun anew.
    pub attempt: u32,
    /// When this attempt begins.
    pub at: Timestamp,
}
