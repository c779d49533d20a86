//! The cryptography under TLS: key exchange and signatures of aws-lc-rs, and the record ciphers of ring.
//!
//! Both implement the same suites. ring's AES-GCM encrypts and decrypts 1.6 to 1.8 times as fast here
//! (docs/PERFORMANCE.md); aws-lc-rs has the post-quantum key exchange (X25519MLKEM768).

use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};

/// What every TLS configuration is made with, also where Waybill is the client.
pub fn provider() -> CryptoProvider {
    CryptoProvider { cipher_suites: ring::ALL_CIPHER_SUITES.to_vec(), ..aws_lc_rs::default_provider() }
}
