//! Wildcards: no panic, no pattern that takes long. The first line is the pattern, the rest the name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waybill::ftp::listing::{has_wildcard, matches};

fuzz_target!(|text: &str| {
    let (pattern, name) = text.split_once('\n').unwrap_or((text, ""));
    let found = matches(pattern, name);
    if !has_wildcard(pattern) {
        assert_eq!(found, pattern == name);
    }
});
