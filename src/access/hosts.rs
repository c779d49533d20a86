//! The addresses of a host, from this machine's resolver.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long a lookup may take. One unresponsive name server costs 5 s, and so may the next.
pub const WITHIN: Duration = Duration::from_secs(8);

/// The addresses of a host, each once, in the order to try them; at least one.
///
/// # Errors
/// In words, why there is none.
pub async fn look_up(host: &str, within: Duration) -> Result<Vec<IpAddr>, String> {
    answer(host, within, tokio::net::lookup_host((host, 0))).await
}

async fn answer(
    host: &str,
    within: Duration,
    asking: impl Future<Output = io::Result<impl Iterator<Item = SocketAddr>>>,
) -> Result<Vec<IpAddr>, String> {
    let Ok(found) = tokio::time::timeout(within, asking).await else {
        return Err(format!("No answer came about {host} within {} s", within.as_secs_f32()));
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for ip in found.into_iter().flatten().map(|address| address.ip()) {
        if !addresses.contains(&ip) {
            addresses.push(ip);
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
        let nothing = async || Err::<std::vec::IntoIter<SocketAddr>, _>(io::ErrorKind::NotFound.into());
        let said = answer("a.example", WITHIN, nothing()).await.unwrap_err();
        assert_eq!(said, "No address was found for a.example");
        let never = std::future::pending::<io::Result<std::vec::IntoIter<SocketAddr>>>();
        let said = answer("a.example", Duration::from_millis(500), never).await.unwrap_err();
        assert_eq!(said, "No answer came about a.example within 0.5 s");
        let twice = async || Ok(vec!["192.0.2.7:0".parse::<SocketAddr>().unwrap(); 2].into_iter());
        assert_eq!(answer("a.example", WITHIN, twice()).await.unwrap().len(), 1);
    }
}
