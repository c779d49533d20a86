//! How many threads can really run at once: limits on computing threads derive from it.

/// The cores of this machine, or as many as a container or CPU affinity allows; 1 if the system does not say.
pub fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
