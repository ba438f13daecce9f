//! The heartbeat, in real time: quiet terminals behind proxies stay, clients that are gone are dropped. The
//! minute that each of these takes is spent waiting, next to the others.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use fake_engine::FakeEngine;

use crate::containers::own_address;
use crate::proxy::{Caddy, Nginx};
use crate::site::Site;

/// Longer than nginx's default `proxy_read_timeout` of 60 s.
const QUIET: Duration = Duration::from_secs(70);

/// All three at once, since each is mostly waiting.
#[test]
fn quiet_terminals_stay_and_silent_clients_go() {
    std::thread::scope(|scope| {
        scope.spawn(nginx_with_its_defaults_cuts_nothing);
        scope.spawn(caddy_with_its_defaults_cuts_nothing);
        scope.spawn(a_client_that_never_answers_is_dropped_after_a_minute);
    });
}

/// A page that types nothing for longer than a proxy's patience still plays.
#[track_caller]
fn stays_behind(proxy: SocketAddr, mut site: Site) {
    site.go_through(proxy);
    let game = site.create("rust");
    let mut page = site.page(&game, None);
    page.expect("$ ");
    let until = Instant::now() + QUIET;
    while Instant::now() < until {
        // Reading answers the server's pings, as a browser does; nothing else is sent.
        assert!(page.read(until), "closed with {:?}", page.closed);
    }
    page.type_in("echo still here\n");
    page.expect("\r\nstill here\r\n");
}

fn nginx_with_its_defaults_cuts_nothing() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--trusted-proxies", "127.0.0.1"]);
    let nginx = Nginx::start(site.address);
    stays_behind(nginx.address, site);
}

fn caddy_with_its_defaults_cuts_nothing() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--trusted-proxies", "127.0.0.1"]);
    let (address, upstream) = (own_address(), site.address);
    let config = format!(
        "{{\n admin off\n auto_https off\n}}\nhttp://{address} {{\n reverse_proxy {upstream}\n}}\n"
    );
    let directory = tempfile::tempdir().expect("a directory");
    let _caddy = Caddy::start_with(&config, address, directory);
    stays_behind(address, site);
}

/// A raw WebSocket on a plain socket, which answers nothing by itself.
fn silent_client(site: &Site, path: &str) -> TcpStream {
    let mut stream = site.connect();
    let authorization = site.authorization(path, &[]).expect("our own session");
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: {authorization}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream
}

/// Reads to the end and says when that came. It must come.
fn end_of(mut stream: TcpStream) -> Duration {
    let began = Instant::now();
    stream.set_read_timeout(Some(QUIET * 4)).expect("a timeout");
    let mut sink = [0; 65536];
    loop {
        match stream.read(&mut sink) {
            Ok(0) => return began.elapsed(),
            Ok(_) => {}
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "it is never dropped");
                return began.elapsed();
            }
        }
    }
}

/// Three pings without an answer, and the client counts as gone; whether its terminal is quiet or floods.
fn a_client_that_never_answers_is_dropped_after_a_minute() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let (quiet, flooding) = (site.create("rust"), site.create("rust"));
    let mut typist = site.raw(&flooding);
    typist.expect("$ ");
    typist.type_in("yes\n");
    typist.expect("y\r\ny\r\n");
    let ended: Vec<Duration> = std::thread::scope(|scope| {
        let clients = [&quiet, &flooding].map(|game| {
            let stream = silent_client(&site, &game.path("/ws"));
            scope.spawn(move || end_of(stream))
        });
        clients
            .into_iter()
            .map(|client| client.join().expect("no panic"))
            .collect()
    });
    for after in ended {
        assert!(after.as_secs() >= 58, "dropped after {after:?} already");
    }
    // The sessions themselves live on.
    for game in [quiet, flooding] {
        assert_eq!(site.get(&game.path("/status")).json()["status"], "running");
    }
}
