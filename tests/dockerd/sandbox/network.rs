//! Whom a player can reach: nobody.

use std::net::TcpListener;

use crate::attacker::Attacker;
use crate::docker::{container_of, docker};
use crate::games::site;
use crate::site::wait_for;

use super::perl;

#[test]
fn there_is_no_network() {
    let site = site(&[]);
    let mut attacker = Attacker::enter(&site);
    let devices = attacker
        .run("tail -n +3 /proc/net/dev | cut -d: -f1")
        .output;
    let devices: Vec<_> = devices.split_whitespace().collect();
    assert!(
        devices.iter().all(|name| *name == "lo"),
        "only the container's own loopback: {devices:?}"
    );
    let routes = attacker.run("tail -n +2 /proc/net/route").output;
    assert_eq!(routes, "");

    // A service of the host on all its addresses, which are what a player would look for first.
    let service = TcpListener::bind("0.0.0.0:0").expect("a port");
    service.set_nonblocking(true).expect("possible");
    let port = service.local_addr().expect("an address").port();
    let bridge = "{{range .IPAM.Config}}{{.Gateway}}{{end}}";
    let bridge = docker(&["network", "inspect", "bridge", "--format", bridge]);
    let host = attacker.run("hostname -i").output.trim().to_owned();
    for target in ["127.0.0.1", "172.17.0.1", &bridge, &host, "1.1.1.1"] {
        if target.parse::<std::net::IpAddr>().is_err() {
            // The Engine has no bridge, or the container no address.
            continue;
        }
        attacker.fails(&[(&format!("nc -w 2 {target} {port} < /dev/null"), "")]);
        attacker.fails(&[(&format!("wget -T 2 -O - http://{target}:{port}/"), "")]);
    }
    let accepted = service.accept().map(|(_, peer)| peer);
    assert!(accepted.is_err(), "the host was reached: {accepted:?}");
    attacker.fails(&[
        ("ping -c 1 -W 1 1.1.1.1", ""),
        ("nc -w 2 169.254.169.254 80 < /dev/null", ""),
        ("nslookup example.org", ""),
        ("wget -T 2 -O - http://example.org/", ""),
        ("ifconfig lo 10.0.0.1", ""),
        ("ip link add evil type dummy", ""),
    ]);
}

/// Abstract sockets have no path: only a network namespace of one's own keeps them away. Desktops have several.
#[test]
#[cfg(target_os = "linux")]
fn the_host_s_abstract_sockets_are_out_of_reach() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    let site = site(&[]);
    let name = format!("shellcraft-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a short name");
    let _service = UnixListener::bind_addr(&address).expect("it is free");
    assert!(UnixStream::connect_addr(&address).is_ok());
    let container = container_of(&site.create("perl"));
    let program = format!(
        "socket(S, 1, 1, 0) or die; print connect(S, pack('Sa*', 1, qq(\\0{name}))) ? 'in' : $!"
    );
    assert_eq!(perl(&container, &program), "Connection refused");
}

#[test]
fn neighbours_are_not_seen() {
    let site = site(&[]);
    let mut one = Attacker::enter(&site);
    let mut other = Attacker::enter(&site);
    other.run("(sleep 4711 > /dev/null 2>&1 &)");
    // It is the shell for a moment, and `sleep` after that.
    wait_for("the process to show", || {
        other.run("ps").output.contains("4711")
    });
    let processes = one.run("ps").output;
    assert!(!processes.contains("4711"), "{processes}");
    other.run("echo mine > /tmp/note; echo mine > /home/spellbook.dat; echo mine > /dev/shm/note");
    one.fails(&[
        ("cat /tmp/note", "No such file"),
        ("cat /dev/shm/note", "No such file"),
        ("grep mine /home/spellbook.dat", ""),
    ]);
}
