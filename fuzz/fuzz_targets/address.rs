//! PORT and EPRT arguments: no panic, and what is read is written and read back the same.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use waybill::ftp::address::{eprt_argument, parse_eprt, parse_port, port_argument};

fuzz_target!(|text: &str| {
    if let Ok(at @ SocketAddr::V4(v4)) = parse_port(text) {
        assert_eq!(parse_port(&port_argument(v4)), Ok(at));
    }
    if let Ok(at) = parse_eprt(text) {
        assert_eq!(parse_eprt(&eprt_argument(at)), Ok(at));
    }
});
