//! How many threads can really run at once: what limits of threads that compute are derived from.

/// Cores of this machine, or those that a container or an affinity leaves of them; 1 when the system does not say.
pub fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
