//! Checks that a player can reach nothing over a network.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};
use std::time::Duration;

use rustix::net::{AddressFamily, Protocol, RawProtocol, SocketFlags, SocketType, ipproto};

use super::Terms;
use crate::cli::finding::Finding;

/// How long a connection is tried. Without a route the answer comes immediately.
const PATIENCE: Duration = Duration::from_millis(500);
/// The address at which clouds answer questions about the machine, credentials included.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// `AF_VSOCK`, for which rustix has no name.
const VSOCK: u16 = 40;

/// Tries it all.
pub(super) fn look(terms: &Terms, report: &mut dyn FnMut(&Finding)) {
    report(&interfaces());
    report(&connections(terms));
    report(&names());
    report(&abstract_socket(terms));
    report(&privileged_sockets());
    report(&vsock());
}

fn interfaces() -> Finding {
    let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let names = text
        .lines()
        .skip(2)
        .filter_map(|line| line.split(':').next());
    // Some kernels put tunnels, which are down, into every network namespace.
    let idle = [
        "lo", "tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6tnl0",
        "ip6gre0",
    ];
    let others: Vec<&str> = names
        .map(str::trim)
        .filter(|name| !idle.contains(name))
        .collect();
    match others.is_empty() {
        true => Finding::ok("network interfaces", "only its own loopback"),
        false => Finding::fail("network interfaces", others.join(", ")),
    }
}

fn connections(terms: &Terms) -> Finding {
    let name = "connections";
    let port = terms.host_port;
    let targets = [
        // The host, where it usually is: its loopback, Docker's and Podman's bridges, slirp's and libvirt's hosts.
        (Ipv4Addr::LOCALHOST, port),
        (Ipv4Addr::new(172, 17, 0, 1), port),
        (Ipv4Addr::new(10, 88, 0, 1), port),
        (Ipv4Addr::new(10, 0, 2, 2), port),
        (Ipv4Addr::new(192, 168, 122, 1), port),
        (METADATA, 80),
        (Ipv4Addr::new(1, 1, 1, 1), 53),
    ];
    for target in targets.map(SocketAddr::from) {
        if TcpStream::connect_timeout(&target, PATIENCE).is_ok() {
            return Finding::fail(name, format!("{target} answers"));
        }
        let sent = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
            .and_then(|socket| socket.send_to(b"?", target));
        if !target.ip().is_loopback() && sent.is_ok() {
            return Finding::fail(name, format!("datagrams leave for {target}"));
        }
    }
    Finding::ok(name, "host, metadata address, internet: no route")
}

fn names() -> Finding {
    match ("example.org", 80).to_socket_addrs() {
        Err(_) => Finding::ok("DNS", "no answer"),
        Ok(_) => Finding::fail("DNS", "example.org has an address"),
    }
}

/// Abstract sockets have no path: only a network namespace of the container's own keeps the host's away.
fn abstract_socket(terms: &Terms) -> Finding {
    let reached = UnixAddr::from_abstract_name(terms.socket_name())
        .and_then(|address| UnixStream::connect_addr(&address));
    match reached {
        Err(_) => Finding::ok("abstract sockets", "the host's are out of reach"),
        Ok(_) => Finding::fail("abstract sockets", "the host's can be reached"),
    }
}

fn can_make(family: AddressFamily, kind: SocketType, protocol: Option<Protocol>) -> bool {
    rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol).is_ok()
}

fn privileged_sockets() -> Finding {
    let name = "raw and packet sockets";
    let raw = RawProtocol::new(255).map(Protocol::from_raw);
    let made = [
        can_make(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)),
        can_make(AddressFamily::INET, SocketType::RAW, raw),
        can_make(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6)),
        can_make(AddressFamily::PACKET, SocketType::RAW, None),
        can_make(AddressFamily::PACKET, SocketType::DGRAM, None),
    ];
    match made.contains(&true) {
        false => Finding::ok(name, "refused"),
        true => Finding::fail(name, "can be made"),
    }
}

/// A network namespace does not hold back VM sockets, which lead to the hypervisor's host.
fn vsock() -> Finding {
    match can_make(AddressFamily::from_raw(VSOCK), SocketType::STREAM, None) {
        false => Finding::ok("VM sockets", "refused"),
        true => Finding::warn(
            "VM sockets",
            "AF_VSOCK can be used: on a virtual machine they lead to its host's services. Newer Engines refuse them",
        ),
    }
}
