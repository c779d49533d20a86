//! Bytes to lines: no panic, no control byte in a line, and it does not matter how the bytes were cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waybill::ftp::line::LineReader;

fuzz_target!(|bytes: &[u8]| {
    let mut whole = LineReader::new();
    whole.push(bytes);
    let lines: Vec<_> = whole.by_ref().collect();
    for line in lines.iter().flatten() {
        assert!(!line.iter().any(u8::is_ascii_control));
    }
    let mut piecewise = LineReader::new();
    let mut again = Vec::new();
    for byte in bytes {
        piecewise.push(&[*byte]);
        again.extend(piecewise.by_ref());
    }
    assert_eq!(lines, again);
});
