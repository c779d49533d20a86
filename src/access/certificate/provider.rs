//! The cryptography under TLS: key exchange and signatures from aws-lc-rs, record ciphers from ring.
//!
//! Both implement the same suites. ring's AES-GCM encrypts and decrypts 1.6 to 1.8 times as fast here
//! (docs/PERFORMANCE.md); aws-lc-rs has the post-quantum key exchange (X25519MLKEM768).

use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};

/// The provider of every TLS configuration, also where Waybill is the client.
pub fn provider() -> CryptoProvider {
    CryptoProvider { cipher_suites: ring::ALL_CIPHER_SUITES.to_vec(), ..aws_lc_rs::default_provider() }
}

/// Asks for a first random number: aws-lc gathers entropy from the processor's timing then, which takes 20 to 40 ms.
pub fn gather_entropy() {
    // Whoever needs one asks again, and hears of the error.
    let _ = aws_lc_rs::default_provider().secure_random.fill(&mut [0]);
}
