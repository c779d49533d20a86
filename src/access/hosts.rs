//! The addresses of a host, as this machine's resolver tells them.

use std::net::IpAddr;
use std::time::Duration;

/// How long a host name is looked up. One name server that does not answer costs 5 s, and the next may.
pub const WITHIN: Duration = Duration::from_secs(8);

/// The addresses of a host, each once, in the order in which they should be tried; at least one.
///
/// # Errors
/// In words, why there is none.
pub async fn look_up(host: &str, within: Duration) -> Result<Vec<IpAddr>, String> {
    let found = match tokio::time::timeout(within, tokio::net::lookup_host((host, 0))).await {
        Ok(found) => found.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>()),
        Err(_) => return Err(format!("No answer came about {host} within {} s", within.as_secs_f32())),
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.unwrap_or_default() {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(format!("No address was found for {host}")) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_has_addresses_or_a_reason_for_none() {
        assert_eq!(look_up("192.0.2.7", WITHIN).await.unwrap(), [IpAddr::from([192, 0, 2, 7])]);
        assert!(look_up("localhost", WITHIN).await.unwrap().iter().all(IpAddr::is_loopback));
        assert_eq!(look_up("nowhere.invalid", WITHIN).await.unwrap_err(), "No address was found for nowhere.invalid");
        let late = look_up("nowhere.invalid", Duration::ZERO).await.unwrap_err();
        assert_eq!(late, "No answer came about nowhere.invalid within 0 s");
    }
}
