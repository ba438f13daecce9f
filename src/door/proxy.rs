//! Whose request it is: the socket's peer's, or that of the client which the peer names, if the peer is a trusted
//! proxy. Pure functions.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// What proxies on the way say about a request, as the headers stood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Forwarded {
    /// The values of all `X-Forwarded-For` headers, in order.
    pub(super) hops: Vec<String>,
    /// The value of the last `X-Forwarded-Proto` header.
    pub(super) proto: Option<String>,
    /// Whether there is any header that only proxies add.
    pub(super) is_any: bool,
}

/// Whether `address` is that of a trusted proxy.
pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// The client's address: going back from the socket's peer, the first one that is no trusted proxy.
///
/// Each proxy appends the address that it got the request from, so the list is believed from its right end, and only as
/// far as the proxy that wrote an entry is trusted; everything left of that may be the client's invention.
pub(super) fn client_address(socket_peer: IpAddr, hops: &[String], trusted: &[IpNet]) -> IpAddr {
    let mut client = socket_peer;
    for hop in hops.iter().rev().flat_map(|value| value.rsplit(',')) {
        if !is_trusted(client, trusted) {
            break;
        }
        // An entry that is no address ends the walk: the trusted proxy that wrote it is the best that is known.
        let Some(address) = parse_hop(hop.trim()) else {
            break;
        };
        client = address;
    }
    client
}

/// Whether the client's own connection was HTTPS, as told by a trusted peer. The server itself speaks no TLS.
pub(super) fn is_https(socket_peer: IpAddr, forwarded: &Forwarded, trusted: &[IpNet]) -> bool {
    // Of several values the last is the socket peer's.
    let told = forwarded
        .proto
        .as_deref()
        .and_then(|proto| proto.rsplit(',').next());
    // Traefik says `wss` of an upgrade that came by HTTPS.
    let is_tls = |proto: &str| {
        ["https", "wss"]
            .iter()
            .any(|tls| proto.eq_ignore_ascii_case(tls))
    };
    is_trusted(socket_peer, trusted) && told.is_some_and(|proto| is_tls(proto.trim()))
}

/// An address with or without a port or brackets, as various proxies write it.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(hop);
    let address = bare
        .parse()
        .ok()
        .or_else(|| hop.parse::<SocketAddr>().ok().map(|hop| hop.ip()))?;
    Some(plain(address))
}

/// An IPv4 address that came mapped into IPv6 as itself, so that both spellings are one client.
pub(super) fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// What a per-address limit counts: an IPv4 address, or an IPv6 /64, which is what one household gets.
pub fn household(address: IpAddr) -> IpAddr {
    match plain(address) {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted() -> Vec<IpNet> {
        ["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"]
            .map(|network| network.parse().unwrap())
            .to_vec()
    }

    #[track_caller]
    fn check(peer: &str, hops: &[&str], client: &str) {
        let hops: Vec<String> = hops.iter().map(|hop| hop.to_string()).collect();
        assert_eq!(
            client_address(peer.parse().unwrap(), &hops, &trusted()).to_string(),
            client
        );
    }

    #[test]
    fn a_stranger_is_not_believed() {
        check("203.0.113.9", &["10.1.1.1, 127.0.0.1"], "203.0.113.9");
    }

    #[test]
    fn a_proxy_is_believed() {
        check("127.0.0.1", &["203.0.113.9"], "203.0.113.9");
    }

    #[test]
    fn a_proxy_that_says_nothing_is_the_client() {
        check("127.0.0.1", &[], "127.0.0.1");
    }

    #[test]
    fn what_the_client_claimed_stays_left() {
        check(
            "127.0.0.1",
            &["198.51.100.7, 203.0.113.9, 10.2.2.2"],
            "203.0.113.9",
        );
    }

    #[test]
    fn headers_count_as_one_list() {
        check(
            "127.0.0.1",
            &["198.51.100.7", "203.0.113.9", "10.2.2.2"],
            "203.0.113.9",
        );
    }

    #[test]
    fn a_chain_of_proxies_only() {
        check("127.0.0.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3");
    }

    #[test]
    fn garbage_ends_the_walk() {
        check("127.0.0.1", &["203.0.113.9, unknown, 10.2.2.2"], "10.2.2.2");
    }

    #[test]
    fn ports_and_brackets() {
        check("127.0.0.1", &["203.0.113.9:4711"], "203.0.113.9");
        check("127.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1");
        check("127.0.0.1", &["[2001:db8::1]"], "2001:db8::1");
        check("127.0.0.1", &["2001:db8::1"], "2001:db8::1");
    }

    #[test]
    fn mapped_addresses_are_plain() {
        check("fd00::1", &["::ffff:203.0.113.9"], "203.0.113.9");
    }

    #[track_caller]
    fn check_https(peer: &str, proto: Option<&str>, expected: bool) {
        let forwarded = Forwarded {
            hops: vec![],
            proto: proto.map(str::to_owned),
            is_any: true,
        };
        assert_eq!(
            is_https(peer.parse().unwrap(), &forwarded, &trusted()),
            expected
        );
    }

    #[test]
    fn https_only_from_a_trusted_peer() {
        check_https("127.0.0.1", Some("https"), true);
        check_https("127.0.0.1", Some("http, HTTPS"), true);
        check_https("127.0.0.1", Some("https, http"), false);
        check_https("127.0.0.1", Some("http"), false);
        check_https("127.0.0.1", Some("wss"), true);
        check_https("127.0.0.1", Some("https, WSS"), true);
        check_https("127.0.0.1", Some("ws"), false);
        check_https("127.0.0.1", Some("wss, ws"), false);
        check_https("203.0.113.9", Some("wss"), false);
        check_https("127.0.0.1", None, false);
        check_https("203.0.113.9", Some("https"), false);
    }

    #[track_caller]
    fn check_household(address: &str, expected: &str) {
        assert_eq!(household(address.parse().unwrap()).to_string(), expected);
    }

    #[test]
    fn households() {
        check_household("203.0.113.9", "203.0.113.9");
        check_household("::ffff:203.0.113.9", "203.0.113.9");
        check_household("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
    }
}
