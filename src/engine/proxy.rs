//! The PROXY protocol, versions 1 and 2 (proxy-protocol.txt of HAProxy): a balancer names its client before the first
//! byte of FTP or TLS. It is read only from the addresses that the profile names; a header from anybody else is treated
//! like any other garbage.
//! Always: not one byte after the header is consumed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A header must arrive within this time.
const HEADER_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of a complete header of version 1 (section 2.1).
const V1_BYTES_MAX: usize = 107;
/// Bytes after the fixed part of version 2: addresses and a balancer's other data.
const V2_BYTES_MAX: usize = 4_096;
const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Why there is no usable header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProxyError {
    /// The connection ended before its first byte: a balancer's health check.
    #[error("the connection ended before a PROXY header")]
    Gone,
    /// It did not arrive completely in time.
    #[error("a PROXY header did not come whole in time")]
    Late,
    /// It is not a header.
    #[error("there is no PROXY header that can be read: {0}")]
    Malformed(&'static str),
}

/// Reads the header; returns the address of the client, or `None` if the balancer speaks for itself.
pub(super) async fn read(stream: &mut TcpStream) -> Result<Option<IpAddr>, ProxyError> {
    read_within(stream, HEADER_WITHIN).await
}

async fn read_within(stream: &mut TcpStream, within: Duration) -> Result<Option<IpAddr>, ProxyError> {
    tokio::time::timeout(within, read_whole(stream)).await.map_err(|_| ProxyError::Late)?
}

async fn read_whole(stream: &mut TcpStream) -> Result<Option<IpAddr>, ProxyError> {
    let mut start = [0; V2_SIGNATURE.len()];
    if stream.read(&mut start[..1]).await.map_err(|_| ProxyError::Gone)? == 0 {
        return Err(ProxyError::Gone);
    }
    // Version 1 is shorter than the signature of version 2 only if it is malformed.
    stream.read_exact(&mut start[1..]).await.map_err(|_| ProxyError::Late)?;
    if start == V2_SIGNATURE {
        let mut fixed = [0; 4];
        stream.read_exact(&mut fixed).await.map_err(|_| ProxyError::Late)?;
        let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if length > V2_BYTES_MAX {
            return Err(ProxyError::Malformed("it is too long"));
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.map_err(|_| ProxyError::Late)?;
        return v2([fixed[0], fixed[1]], &body);
    }
    if !start.starts_with(b"PROXY ") {
        return Err(ProxyError::Malformed("it begins like none"));
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= V1_BYTES_MAX {
            return Err(ProxyError::Malformed("its line has no end"));
        }
        // Byte by byte: what follows the line belongs to FTP.
        line.push(stream.read_u8().await.map_err(|_| ProxyError::Late)?);
    }
    v1(&line)
}

/// Section 2.1: `PROXY TCP4 source destination port port`.
fn v1(line: &[u8]) -> Result<Option<IpAddr>, ProxyError> {
    let malformed = ProxyError::Malformed("its line is not one of version 1");
    let line = std::str::from_utf8(line).ok().and_then(|line| line.strip_suffix("\r\n")).ok_or(malformed)?;
    let parts: Vec<&str> = line.split(' ').collect();
    let &[_, family, source, destination, from_port, to_port] = parts.as_slice() else {
        return if parts.get(1) == Some(&"UNKNOWN") { Ok(None) } else { Err(malformed) };
    };
    let port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok();
    if !(port(from_port) && port(to_port)) {
        return Err(malformed);
    }
    match family {
        "UNKNOWN" => Ok(None),
        "TCP4" => match (source.parse::<Ipv4Addr>(), destination.parse::<Ipv4Addr>()) {
            (Ok(source), Ok(_)) => Ok(Some(source.into())),
            _ => Err(malformed),
        },
        "TCP6" => match (source.parse::<Ipv6Addr>(), destination.parse::<Ipv6Addr>()) {
            (Ok(source), Ok(_)) => Ok(Some(IpAddr::V6(source).to_canonical())),
            _ => Err(malformed),
        },
        _ => Err(malformed),
    }
}

/// Section 2.2: version and command, family and protocol, then addresses; the rest is skipped.
fn v2([version, family]: [u8; 2], body: &[u8]) -> Result<Option<IpAddr>, ProxyError> {
    match (version, family) {
        // LOCAL, or without an address: the balancer itself, whatever else it says.
        (0x20, _) | (0x21, 0x00) => Ok(None),
        (0x21, 0x11) => match body.first_chunk::<12>() {
            Some(&[a, b, c, d, ..]) => Ok(Some(Ipv4Addr::new(a, b, c, d).into())),
            None => Err(ProxyError::Malformed("its addresses are cut")),
        },
        (0x21, 0x21) => match body.first_chunk::<36>().and_then(|body| body.first_chunk::<16>()) {
            Some(source) => Ok(Some(IpAddr::V6(Ipv6Addr::from(*source)).to_canonical())),
            None => Err(ProxyError::Malformed("its addresses are cut")),
        },
        (0x21, _) => Err(ProxyError::Malformed("it is not of TCP")),
        _ => Err(ProxyError::Malformed("its version or command is unknown")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    fn body(source: &[u8], destination: &[u8], more: &[u8]) -> Vec<u8> {
        [source, destination, &[0x30, 0x39, 0, 21], more].concat()
    }

    #[test]
    fn both_versions_tell_the_client() {
        let client = |text: &str| Ok(Some(text.parse::<IpAddr>().unwrap()));
        assert_eq!(v1(b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 21\r\n"), client("203.0.113.7"));
        assert_eq!(v1(b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 21\r\n"), client("2001:db8::7"));
        assert_eq!(v1(b"PROXY TCP6 ::ffff:203.0.113.7 ::1 56324 21\r\n"), client("203.0.113.7"));
        assert_eq!(v1(b"PROXY UNKNOWN\r\n"), Ok(None));
        assert_eq!(v1(b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"), Ok(None));
        assert_eq!(v2([0x21, 0x11], &body(&[203, 0, 113, 7], &[192, 0, 2, 1], b"tlv")), client("203.0.113.7"));
        let v6: Ipv6Addr = "2001:db8::7".parse().unwrap();
        assert_eq!(v2([0x21, 0x21], &body(&v6.octets(), &v6.octets(), b"")), client("2001:db8::7"));
        assert_eq!(v2([0x20, 0x00], b""), Ok(None));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for line in [
            "PROXY\r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP4 203.0.113.7 192.0.2.1 56324\r\n",
            "PROXY TCP4 203.0.113.7 192.0.2.1 56324 65536\r\n",
            "PROXY TCP4 203.0.113.7 192.0.2.1 +1 21\r\n",
            "PROXY TCP4 2001:db8::7 2001:db8::1 1 21\r\n",
            "PROXY TCP6 203.0.113.7 192.0.2.1 1 21\r\n",
            "PROXY TCP4  203.0.113.7 192.0.2.1 1 21\r\n",
            "PROXY UDP4 203.0.113.7 192.0.2.1 1 21\r\n",
        ] {
            assert!(v1(line.as_bytes()).is_err(), "{line}");
        }
        for (kind, body) in [([0x21, 0x11], &[0; 11][..]), ([0x21, 0x21], &[0; 35]), ([0x21, 0x12], &[0; 12])] {
            assert!(v2(kind, body).is_err(), "{kind:?}");
        }
        assert!(v2([0x11, 0x11], &[0; 12]).is_err() && v2([0x22, 0x11], &[0; 12]).is_err());
    }

    #[tokio::test]
    async fn nothing_behind_the_header_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let v2 = [&V2_SIGNATURE[..], &[0x21, 0x11, 0, 12], &body(&[203, 0, 113, 7], &[192, 0, 2, 1], b"")].concat();
        for header in [&b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 21\r\n"[..], &v2] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            client.write_all(&[header, b"USER acme\r\n"].concat()).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_eq!(read(&mut stream).await, Ok(Some("203.0.113.7".parse().unwrap())));
            let mut rest = [0; 11];
            stream.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"USER acme\r\n");
        }
    }

    #[tokio::test]
    async fn a_header_that_does_not_come_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        client.write_all(b"PROXY TCP4 203").await.unwrap();
        assert_eq!(read_within(&mut stream, Duration::from_millis(20)).await, Err(ProxyError::Late));
        drop(client);
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(client);
        assert_eq!(read(&mut stream).await, Err(ProxyError::Gone));
    }
}
