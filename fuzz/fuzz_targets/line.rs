//! Bytes to lines: no panic, no control byte in a line, and it does not matter how the bytes were cut.
#![no_main]

#[path = "../bodies.rs"]
#[expect(dead_code, reason = "the other targets use the rest")]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::line(bytes));
