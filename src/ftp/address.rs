//! Converts PORT and EPRT arguments to addresses, and addresses to the 227 and 229 replies (RFC 959 section 4.1.2, RFC
//! 2428). The engine decides whether an address may be used.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use super::reply::{Code, Reply};

/// Reads `h1,h2,h3,h4,p1,p2`.
pub fn parse_port(text: &str) -> Result<SocketAddr, Reply> {
    let mut numbers = [0_u8; 6];
    let mut parts = text.trim().split(',');
    for number in &mut numbers {
        *number = parts.next().and_then(|part| decimal(part.trim())).ok_or_else(port_usage)?;
    }
    let [a, b, c, d, high, low] = numbers;
    let port = u16::from_be_bytes([high, low]);
    if parts.next().is_some() || port == 0 {
        return Err(port_usage());
    }
    Ok(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port))
}

/// Reads `|1|132.235.1.2|6275|` or `|2|1080::8:800:200C:417A|5282|`; the bar may be any printable character.
pub fn parse_eprt(text: &str) -> Result<SocketAddr, Reply> {
    let usage = || Reply::new(Code::ArgumentError, "EPRT takes |1|address|port| or |2|address|port|.");
    let text = text.trim();
    let bar = text.chars().next().filter(char::is_ascii_graphic).ok_or_else(usage)?;
    let mut parts = text[1..].split(bar);
    let (Some(family), Some(host), Some(port), Some(""), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(usage());
    };
    let family: u32 = decimal(family).ok_or_else(usage)?;
    if family != 1 && family != 2 {
        return Err(family_not_supported());
    }
    let host: IpAddr = host.parse().map_err(|_| usage())?;
    let port = decimal(port).filter(|port| *port != 0).ok_or_else(usage)?;
    if host.is_ipv4() == (family == 1) { Ok(SocketAddr::new(host, port)) } else { Err(usage()) }
}

/// 522 with the supported families (RFC 2428 section 2).
pub fn family_not_supported() -> Reply {
    Reply::new(Code::NetworkNotSupported, "Network protocol not supported, use (1,2)")
}

/// The 227 reply; it cannot carry an IPv6 address.
pub fn passive(at: SocketAddr) -> Reply {
    match at.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let numbers = port_argument(SocketAddrV4::new(ip, at.port()));
            Reply::new(Code::Passive, format!("Entering Passive Mode ({numbers})."))
        }
        IpAddr::V6(_) => Reply::new(Code::NotImplemented, "PASV is for IPv4 only; use EPSV."),
    }
}

/// The 229 reply.
pub fn extended_passive(port: u16) -> Reply {
    Reply::new(Code::ExtendedPassive, format!("Entering Extended Passive Mode (|||{port}|)"))
}

/// `h1,h2,h3,h4,p1,p2`, the form of `PORT` and 227.
pub fn port_argument(at: SocketAddrV4) -> String {
    let [a, b, c, d] = at.ip().octets();
    let [high, low] = at.port().to_be_bytes();
    format!("{a},{b},{c},{d},{high},{low}")
}

/// `|1|132.235.1.2|6275|`, the form of `EPRT`.
pub fn eprt_argument(at: SocketAddr) -> String {
    let family = if at.is_ipv4() { 1 } else { 2 };
    format!("|{family}|{}|{}|", at.ip(), at.port())
}

fn port_usage() -> Reply {
    Reply::new(Code::ArgumentError, "PORT takes six numbers: h1,h2,h3,h4,p1,p2.")
}

/// Digits only: no sign, no blank.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(result: Result<SocketAddr, Reply>) -> u16 {
        result.unwrap_err().code().number()
    }

    #[test]
    fn port_takes_six_numbers() {
        assert_eq!(parse_port("192,0,2,7,195,80").unwrap().to_string(), "192.0.2.7:50000");
        assert_eq!(parse_port(" 192, 0, 2, 7, 195, 80 ").unwrap().to_string(), "192.0.2.7:50000");
        for bad in ["", "1,2,3,4,5", "1,2,3,4,5,6,7", "1,2,3,4,0,0", "256,2,3,4,5,6", "+1,2,3,4,5,6", "a,b,c,d,e,f"] {
            assert_eq!(code(parse_port(bad)), 501, "{bad}");
        }
    }

    #[test]
    fn eprt_takes_any_bar_and_names_the_families_it_knows() {
        assert_eq!(parse_eprt("|1|192.0.2.7|50000|").unwrap().to_string(), "192.0.2.7:50000");
        assert_eq!(parse_eprt("!2!2001:db8::7!50000!").unwrap().to_string(), "[2001:db8::7]:50000");
        assert_eq!(code(parse_eprt("|3|192.0.2.7|50000|")), 522);
        for bad in ["", "|", "|1|192.0.2.7|50000", "|2|192.0.2.7|50000|", "|1|::1|50000|", "|1|192.0.2.7|0|", "é1é"] {
            assert_eq!(code(parse_eprt(bad)), 501, "{bad}");
        }
    }

    #[test]
    fn passive_replies_have_the_form_every_client_looks_for() {
        assert_eq!(
            passive("192.0.2.7:50000".parse().unwrap()).summary(),
            "227 Entering Passive Mode (192,0,2,7,195,80)."
        );
        assert_eq!(passive("[::ffff:192.0.2.7]:50000".parse().unwrap()).code(), Code::Passive);
        assert_eq!(passive("[2001:db8::7]:50000".parse().unwrap()).code(), Code::NotImplemented);
        assert_eq!(extended_passive(50_000).summary(), "229 Entering Extended Passive Mode (|||50000|)");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(v4 in any::<[u8; 4]>(), v6 in any::<[u8; 16]>(), port in 1_u16..) {
            let at = SocketAddrV4::new(v4.into(), port);
            prop_assert_eq!(parse_port(&port_argument(at)).unwrap(), SocketAddr::V4(at));
            for host in [IpAddr::from(v4), IpAddr::from(v6)] {
                let at = SocketAddr::new(host, port);
                prop_assert_eq!(parse_eprt(&eprt_argument(at)).unwrap(), at);
            }
        }

        #[test]
        fn any_text_is_an_address_or_a_reply(text in ".{0,60}", like in "[|,!0-9a-f:.]{0,40}") {
            for text in [text, like] {
                let _ = (parse_port(&text), parse_eprt(&text));
            }
        }
    }
}
