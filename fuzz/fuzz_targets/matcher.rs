//! Wildcards: no panic, no pattern that takes long. The first line is the pattern, the rest the name.
#![no_main]

#[path = "../bodies.rs"]
#[expect(dead_code, reason = "the other targets use the rest")]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::matcher(bytes));
