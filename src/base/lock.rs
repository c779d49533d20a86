//! Locks mutexes: a panic in one session must not take the others down, and what the mutexes here guard is bookkeeping
//! that is still usable after one.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks it, even if a thread panicked while holding it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
