//! Addresses, networks and host names.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::{list, typed};
use crate::domain::setting::{Input, Value};

/// Items in one list of networks or names.
const LIST_ITEMS_MAX: usize = 1_000;

/// The local address a listener binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(IpAddr);

impl ListenAddress {
    /// The address.
    pub const fn ip(self) -> IpAddr {
        self.0
    }
}

impl Value for ListenAddress {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
        bare.parse().map(Self).map_err(|_| {
            format!("{} isn't an IPv4 or IPv6 address; :: is every address, 127.0.0.1 this host alone", typed(text))
        })
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// A list of addresses and ranges; empty means *none* or *any*, as its setting says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether `address` is in one of them. An IPv4 address equals its IPv6 form, and is in no IPv6 range: `::/0` is
    /// every IPv6 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.0.iter()
    }
}

/// One address or range; the IPv6 form of IPv4 becomes IPv4.
fn network(item: &str) -> Option<IpNet> {
    let net = match item.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => item.parse::<IpNet>().ok()?,
    };
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(bits) = v6.prefix_len().checked_sub(96)
    {
        return Ipv4Net::new(v4, bits).ok().map(|net| IpNet::V4(net.trunc()));
    }
    Some(net.trunc())
}

/// A range as an administrator writes it: a single address without its prefix length.
fn network_text(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

impl Value for Networks {
    const INPUT: Input = Input::Area;

    fn parse(text: &str) -> Result<Self, String> {
        let mut networks = Vec::new();
        for (place, item) in list(text) {
            let net = network(item).ok_or_else(|| {
                let what = if item.contains('/') { "range" } else { "address or range" };
                format!(
                    "{place}{} isn't {} {what}, such as 198.51.100.7 or 198.51.100.0/28",
                    typed(item),
                    article(what)
                )
            })?;
            if !networks.contains(&net) {
                networks.push(net);
            }
            if networks.len() > LIST_ITEMS_MAX {
                return Err(format!("{} is one too many; {LIST_ITEMS_MAX} ranges fit in this list", typed(item)));
            }
        }
        Ok(Self(networks))
    }

    fn text(&self) -> String {
        self.0.iter().map(network_text).collect::<Vec<_>>().join(",")
    }
}

/// `a` or `an`, to fit the word that follows.
fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// Whether `name` is a valid DNS host name; digits and dots alone are a mistyped address.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253
        && name.split('.').all(label)
        && !name.rsplit('.').next().is_none_or(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An IPv4 address, or a name that resolves to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostOrAddress {
    /// The address.
    Address(Ipv4Addr),
    /// The name, in lower case.
    Host(String),
}

impl std::fmt::Display for HostOrAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Host(host) => f.write_str(host),
        }
    }
}

impl Value for HostOrAddress {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        if let Ok(address) = trimmed.parse() {
            return Ok(Self::Address(address));
        }
        if trimmed.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_ok() {
            return Err(format!("{} is IPv6; an IPv4 address or a host name goes here", typed(text)));
        }
        let name = trimmed.strip_suffix('.').unwrap_or(trimmed).to_ascii_lowercase();
        if is_host_name(&name) {
            Ok(Self::Host(name))
        } else {
            Err(format!(
                "{} isn't an IPv4 address or host name, such as 203.0.113.80 or files.example.com",
                typed(text)
            ))
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Host(name) => name.clone(),
        }
    }
}

/// Which address clients of a network are told instead of the usual one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressExceptions(Vec<(IpNet, Ipv4Addr)>);

impl AddressExceptions {
    /// The address for a client at `client`: that of the narrowest matching network.
    pub fn address_for(&self, client: IpAddr) -> Option<Ipv4Addr> {
        let client = client.to_canonical();
        let fits = self.0.iter().filter(|(network, _)| network.contains(&client));
        fits.max_by_key(|(network, _)| network.prefix_len()).map(|(_, address)| *address)
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Value for AddressExceptions {
    const INPUT: Input = Input::Area;

    fn parse(text: &str) -> Result<Self, String> {
        let mut exceptions: Vec<(IpNet, Ipv4Addr)> = Vec::new();
        for (place, item) in list(text) {
            let right = "network=IPv4 address, such as 10.0.0.0/8=10.0.4.12";
            let wrong = || format!("{place}{} isn't {right}", typed(item));
            let (net, address) = item.split_once('=').ok_or_else(wrong)?;
            let net = network(net.trim()).ok_or_else(wrong)?;
            let address = address.trim().parse().map_err(|_| wrong())?;
            if exceptions.iter().any(|(known, _)| *known == net) {
                return Err(format!("{place}{} is a second address for the same network; keep one", typed(item)));
            }
            if exceptions.len() == LIST_ITEMS_MAX {
                return Err(format!("{} is one too many; {LIST_ITEMS_MAX} exceptions fit in this list", typed(item)));
            }
            exceptions.push((net, address));
        }
        Ok(Self(exceptions))
    }

    fn text(&self) -> String {
        let item = |(net, address): &(IpNet, Ipv4Addr)| format!("{}={address}", network_text(net));
        self.0.iter().map(item).collect::<Vec<_>>().join(",")
    }
}

/// Names and addresses that something answers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNames(Vec<String>);

impl HostNames {
    /// Whether `name` (without a port) is one of them; no regard to case.
    pub fn contains(&self, name: &str) -> bool {
        host(name).is_some_and(|name| self.0.contains(&name))
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them, in lower case.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// One host name or address, normalised for comparison.
fn host(item: &str) -> Option<String> {
    let bare = item.trim().trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    let name = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
    is_host_name(&name).then_some(name)
}

impl Value for HostNames {
    const INPUT: Input = Input::Area;

    fn parse(text: &str) -> Result<Self, String> {
        let mut names = Vec::new();
        for (place, item) in list(text) {
            let name = host(item).ok_or_else(|| {
                format!(
                    "{place}{} isn't a host name or address, such as files.example.com; no port, no https://",
                    typed(item)
                )
            })?;
            if !names.contains(&name) {
                names.push(name);
            }
            if names.len() > LIST_ITEMS_MAX {
                return Err(format!("{} is one too many; {LIST_ITEMS_MAX} names fit in this list", typed(item)));
            }
        }
        Ok(Self(names))
    }

    fn text(&self) -> String {
        self.0.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_listen_address_is_an_address() {
        assert_eq!(ListenAddress::parse("[::]").map(|address| address.text()), Ok("::".to_owned()));
        assert_eq!(ListenAddress::parse("0.0.0.0").map(ListenAddress::ip), Ok(ip("0.0.0.0")));
        assert!(ListenAddress::parse("localhost").unwrap_err().starts_with("localhost isn't an IPv4 or IPv6 address"));
    }

    #[test]
    fn networks_take_addresses_ranges_commas_and_lines() {
        let networks = Networks::parse("10.0.0.1/8, 2001:db8::/32\r\n198.51.100.7\n::ffff:192.0.2.0/120").unwrap();
        assert_eq!(networks.text(), "10.0.0.0/8,2001:db8::/32,198.51.100.7,192.0.2.0/24");
        for inside in ["10.255.0.1", "::ffff:10.0.0.9", "2001:db8::1", "198.51.100.7", "192.0.2.200"] {
            assert!(networks.contains(ip(inside)), "{inside}");
        }
        assert!(!Networks::parse("::/0").unwrap().contains(ip("10.0.0.1")));
        for outside in ["11.0.0.1", "198.51.100.8", "::1", "::ffff:11.0.0.1"] {
            assert!(!networks.contains(ip(outside)), "{outside}");
        }
        assert!(Networks::parse(" \n").unwrap().is_empty());
    }

    #[test]
    fn a_wrong_network_is_named_with_its_line() {
        let said = Networks::parse("10.0.0.0/8\n10.0.0.0/40").unwrap_err();
        assert_eq!(said, "line 2: 10.0.0.0/40 isn't a range, such as 198.51.100.7 or 198.51.100.0/28");
        let said = Networks::parse("office").unwrap_err();
        assert_eq!(said, "office isn't an address or range, such as 198.51.100.7 or 198.51.100.0/28");
        let many: String =
            (0..=LIST_ITEMS_MAX).fold(String::new(), |all, n| format!("{all},10.1.{}.{}", n / 256, n % 256));
        assert!(Networks::parse(&many).unwrap_err().contains("one too many"));
    }

    #[test]
    fn a_passive_address_is_ipv4_or_a_name() {
        let text = |typed| HostOrAddress::parse(typed).map(|host| host.text());
        assert_eq!(text("203.0.113.80"), Ok("203.0.113.80".to_owned()));
        assert_eq!(text("Files.Example.COM."), Ok("files.example.com".to_owned()));
        assert_eq!(text("localhost"), Ok("localhost".to_owned()));
        assert_eq!(text("::1"), Err("::1 is IPv6; an IPv4 address or a host name goes here".to_owned()));
        for wrong in ["999.1.1.1", "a..b", "-a.com", "a_b", "a b", "", "https://x", &"a".repeat(64)] {
            assert!(text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_narrowest_exception_counts() {
        let exceptions = AddressExceptions::parse("10.0.0.0/8 = 10.0.0.1, 10.1.0.0/16=10.1.0.1").unwrap();
        assert_eq!(exceptions.address_for(ip("10.1.2.3")), Some(Ipv4Addr::new(10, 1, 0, 1)));
        assert_eq!(exceptions.address_for(ip("::ffff:10.2.2.3")), Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(exceptions.address_for(ip("192.0.2.1")), None);
        assert_eq!(AddressExceptions::parse(&exceptions.text()), Ok(exceptions));
        for wrong in ["10.0.0.0/8", "10.0.0.0/8=::1", "x=10.0.0.1", "10.0.0.0/8=1.1.1.1,10.0.0.0/8=2.2.2.2"] {
            assert!(AddressExceptions::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn host_names_are_compared_without_regard_to_case() {
        let names = HostNames::parse("Files.example.com\n[::1], 127.0.0.1").unwrap();
        assert_eq!(names.text(), "files.example.com,::1,127.0.0.1");
        assert!(names.contains("FILES.EXAMPLE.COM.") && names.contains("[::1]") && !names.contains("example.com"));
        assert!(HostNames::parse("https://x").unwrap_err().contains("no https://"));
    }

    proptest! {
        #[test]
        fn networks_read_back_and_hold_their_own_address(address in any::<IpAddr>(), bits in 0..=128_u8) {
            let address = address.to_canonical();
            let max = if address.is_ipv4() { 32 } else { 128 };
            let networks = Networks::parse(&format!("{address}/{}", bits.min(max))).unwrap();
            prop_assert!(networks.contains(address));
            prop_assert_eq!(Networks::parse(&networks.text()), Ok(networks));
        }

        #[test]
        fn any_text_is_a_list_or_is_refused(text in "[0-9a-f:./=,\n -]{0,60}") {
            if let Ok(networks) = Networks::parse(&text) {
                prop_assert_eq!(Networks::parse(&networks.text()), Ok(networks));
            }
            let _ = (AddressExceptions::parse(&text), HostNames::parse(&text), HostOrAddress::parse(&text));
        }
    }
}
