//! Lines to commands to steps: no panic, one answer each, no control character in a reply.
#![no_main]

#[path = "../bodies.rs"]
#[expect(dead_code, reason = "the other targets use the rest")]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::command(bytes));
