//! Random numbers from a seed that is printed, so that a failure can be repeated.

/// Sets the seed of a run: the number that an earlier run printed.
const SEED_VARIABLE: &str = "WAYBILL_TEST_SEED";

/// `SplitMix64`: small, good enough to shuffle tests.
pub(crate) struct Random(u64);

impl Random {
    /// A source that prints its seed.
    pub(crate) fn seeded() -> Self {
        let given = std::env::var(SEED_VARIABLE).ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(rand::random);
        println!("{SEED_VARIABLE}={seed}");
        Self(seed)
    }

    /// A source of its own for a task.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// `length` bytes that no other call gives.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}
