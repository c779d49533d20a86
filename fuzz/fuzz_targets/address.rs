//! PORT and EPRT arguments: no panic, and what is read is written and read back the same.
#![no_main]

#[path = "../bodies.rs"]
#[expect(dead_code, reason = "the other targets use the rest")]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::address(bytes));
