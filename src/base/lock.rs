//! How a mutex is locked: a panic in one session must not take the others with it, and what mutexes guard here is
//! bookkeeping that is still usable after one.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks it, whoever panicked with it locked.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
