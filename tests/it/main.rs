//! Integration tests: the real binary on a data folder of its own, reached over real sockets. They never share a
//! server, and wait for states instead of sleeping.

mod ftp;
mod journeys;
mod kit;
