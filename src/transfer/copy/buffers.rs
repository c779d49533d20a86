//! Buffers that transfers share.

use std::sync::{Arc, Mutex};

use crate::base::lock::lock;

/// Bytes moved at a time: a piece, after which other tasks have their turn.
pub const BUFFER_BYTES: usize = 512 * 1024;
/// Buffers kept for the next transfer.
const BUFFERS_KEPT: usize = 64;

/// Buffers shared by transfers, so that none is held while idle.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    free: Arc<Mutex<Vec<Box<[u8]>>>>,
}

impl Buffers {
    /// A buffer of [`BUFFER_BYTES`].
    pub fn take(&self) -> Box<[u8]> {
        let kept = lock(&self.free).pop();
        kept.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())
    }

    /// Gives it back.
    pub fn put(&self, buffer: Box<[u8]>) {
        let mut free = lock(&self.free);
        if free.len() < BUFFERS_KEPT {
            free.push(buffer);
        }
    }
}
