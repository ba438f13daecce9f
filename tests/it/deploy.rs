//! The files for operators, `templates/deploy`, as they are: nginx, Caddy, HAProxy and Traefik are started with them, names, ports
//! and certificates apart, and a player comes through TLS.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use fake_engine::FakeEngine;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

use crate::containers::PATIENCE;
use crate::containers::own_address;
use crate::door::house::{open_behind, quick};
use crate::proxy::{Caddy, Haproxy, Nginx, Traefik};
use crate::site::{Site, wait_for};

/// The name in all of these files.
const NAME: &str = "play.example.org";

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn deployed(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/deploy");
    fs::read_to_string(folder.join(name)).expect("it is there")
}

/// The same, changed as it says itself for a server below a path.
fn deployed_below(name: &str) -> String {
    let text = deployed(name);
    let (before, rest) = text
        .split_once("this in place of the next line:\n")
        .expect("it says how");
    let mut instead = String::new();
    let mut lines = rest.split_inclusive('\n');
    // What stands behind the comments is the line that they replace.
    for line in lines.by_ref() {
        let Some((space, line)) = line.split_once('#').filter(|(it, _)| it.trim().is_empty())
        else {
            break;
        };
        instead += space;
        instead += line;
    }
    let after: String = lines.collect();
    format!("{before}\n{instead}{after}")
}

/// Puts something of the test's own in the place of each of these; they must be there.
fn with(mut text: String, swaps: &[(&str, &str)]) -> String {
    for (theirs, ours) in swaps {
        assert!(text.contains(theirs), "no {theirs:?} in:\n{text}");
        text = text.replace(theirs, ours);
    }
    text
}

/// A directory with `cert.pem` and `key.pem` for the name.
fn certificate() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let subject = format!("/CN={NAME}");
    let names = format!("subjectAltName=DNS:{NAME}");
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-days", "2", "-subj", &subject, "-addext", &names])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(directory.path())
        .output()
        .unwrap_or_else(|error| panic!("openssl: {error}; install the package openssl"));
    assert!(output.status.success(), "{output:?}");
    directory
}

/// A client that trusts that certificate only.
fn tls_config(directory: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(directory.join("cert.pem")).expect("PEM");
    roots.add(certificate).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// A proxy in front of a server, and a way in.
struct Front<P> {
    tls: Arc<ClientConfig>,
    address: SocketAddr,
    _proxy: P,
}

impl<P> Front<P> {
    fn connect(&self) -> Tls {
        let name = ServerName::try_from(NAME).expect("a name");
        let client = ClientConnection::new(Arc::clone(&self.tls), name).expect("a client");
        let stream = TcpStream::connect(self.address).expect("the proxy listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        StreamOwned::new(client, stream)
    }

    /// Whether an answer comes that is not the proxy's own for whom it does not know.
    fn has_routes(&self) -> bool {
        let mut stream = self.connect();
        let asked = write!(
            stream,
            "GET /shell/healthz HTTP/1.0\r\nHost: {NAME}\r\n\r\n"
        );
        if asked.and_then(|()| stream.flush()).is_err() {
            return false;
        }
        let mut answer = Vec::new();
        // Closed without TLS's farewell, as may be.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).contains("X-Request-Id")
    }

    /// Sends a request and reads the head and body of its answer.
    fn exchange(&self, request: &str, headers: &str, body: &str) -> (String, String) {
        let mut stream = self.connect();
        let sent = write!(
            stream,
            "{request} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if let Err(error) = sent.and_then(|()| stream.flush()) {
            // A proxy that has answered need not take the rest of the body: it closes, and its answer lies here.
            let closed = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
            assert!(closed.contains(&error.kind()), "sent: {error}");
        }
        let answer = read_to_end(&mut stream);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), body.to_owned())
    }
}

/// All that the peer says until it closes, with or without TLS's own farewell. Sends nothing: what could not be sent
/// before would stop the reading.
fn read_to_end(Tls { conn, sock }: &mut Tls) -> Vec<u8> {
    let mut answer = Vec::new();
    loop {
        let _ = conn.reader().read_to_end(&mut answer);
        if !matches!(conn.read_tls(sock), Ok(1..)) {
            return answer;
        }
        conn.process_new_packets().expect("TLS");
    }
}

fn nginx(upstream: SocketAddr) -> Front<Nginx> {
    nginx_with(&deployed("nginx.conf"), upstream)
}

fn nginx_with(file: &str, upstream: SocketAddr) -> Front<Nginx> {
    let (address, plain) = (own_address(), own_address());
    let directory = certificate();
    let tls = tls_config(directory.path());
    let config = with(
        file.to_owned(),
        &[
            (
                "listen 443 ssl http2;",
                &format!("listen {address} ssl http2;"),
            ),
            ("listen 80;", &format!("listen {plain};")),
            (
                "/etc/letsencrypt/live/play.example.org/fullchain.pem",
                "cert.pem",
            ),
            (
                "/etc/letsencrypt/live/play.example.org/privkey.pem",
                "key.pem",
            ),
            ("127.0.0.1:8080", &upstream.to_string()),
        ],
    );
    Front {
        tls,
        address,
        _proxy: Nginx::start_with(&config, address, directory),
    }
}

fn caddy(upstream: SocketAddr) -> Front<Caddy> {
    caddy_with(&deployed("Caddyfile"), upstream)
}

fn caddy_with(file: &str, upstream: SocketAddr) -> Front<Caddy> {
    let address = own_address();
    let directory = certificate();
    let tls = tls_config(directory.path());
    let site = format!(
        "https://{NAME}:{} {{\n\tbind {}\n\ttls cert.pem key.pem\n",
        address.port(),
        address.ip()
    );
    let config = with(
        file.to_owned(),
        &[
            ("play.example.org {\n", &site),
            ("127.0.0.1:8080", &upstream.to_string()),
        ],
    );
    let config = format!("{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{config}");
    Front {
        tls,
        address,
        _proxy: Caddy::start_with(&config, address, directory),
    }
}

fn haproxy(upstream: SocketAddr) -> Front<Haproxy> {
    haproxy_with(&deployed("haproxy.cfg"), upstream)
}

fn haproxy_with(file: &str, upstream: SocketAddr) -> Front<Haproxy> {
    let (address, plain) = (own_address(), own_address());
    let directory = certificate();
    let tls = tls_config(directory.path());
    let part = |name| fs::read(directory.path().join(name)).expect("it was made");
    let both = [part("cert.pem"), part("key.pem")].concat();
    let pem = directory.path().join("both.pem");
    fs::write(&pem, both).expect("written");
    let config = with(
        file.to_owned(),
        &[
            ("bind :80\n", &format!("bind {plain}\n")),
            ("bind :443", &format!("bind {address}")),
            (
                "/etc/haproxy/certs/play.example.org.pem",
                pem.to_str().expect("UTF-8"),
            ),
            ("127.0.0.1:8080", &upstream.to_string()),
        ],
    );
    Front {
        tls,
        address,
        _proxy: Haproxy::start_with(&config, address, directory),
    }
}

fn traefik(upstream: SocketAddr) -> Front<Traefik> {
    traefik_with(&deployed("traefik.yml"), upstream)
}

fn traefik_with(file: &str, upstream: SocketAddr) -> Front<Traefik> {
    let address = own_address();
    let directory = certificate();
    let tls = tls_config(directory.path());
    let routes = with(
        file.to_owned(),
        &[
            // One that is there already, in place of one that is fetched.
            ("tls:\n        certResolver: letsencrypt\n", "tls: {}\n"),
            ("127.0.0.1:8080", &upstream.to_string()),
        ],
    );
    let routes = routes
        + "tls:\n  stores:\n    default:\n      defaultCertificate: { certFile: cert.pem, keyFile: key.pem }\n";
    let front = Front {
        tls,
        address,
        _proxy: Traefik::start_with(&routes, address, directory),
    };
    // It listens before it has read them.
    wait_for("Traefik to know its routes", || front.has_routes());
    front
}

/// The part of a header's line after its name.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

/// The header that sends a cookie back.
fn as_player(set_cookie: &str) -> String {
    let (pair, _) = set_cookie.split_once(';').expect("attributes");
    format!("Cookie: {pair}\r\n")
}

/// A game from its page's cookie to its terminal, through TLS, where the server has the name for itself.
#[track_caller]
fn check_game<P>(front: impl FnOnce(SocketAddr) -> Front<P>) {
    check_game_below("", front);
}

/// The same where players come below this path.
#[track_caller]
fn check_game_below<P>(prefix: &str, front: impl FnOnce(SocketAddr) -> Front<P>) {
    let engine = FakeEngine::start();
    // As the files themselves say.
    let public = format!("https://{NAME}{prefix}/");
    let flags = ["--trusted-proxies", "127.0.0.1", "--public-url", &public];
    let site = Site::start(&engine.docker_host(), &flags);
    let front = front(site.address);

    let (head, page) = front.exchange(&format!("GET {prefix}/"), "", "");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{page}");
    let (_, script) = page.split_once("src=\"").expect("a script");
    let (script, _) = script.split_once('"').expect("its address");
    assert!(script.starts_with(&format!("{prefix}/assets/")), "{script}");
    let (head, _) = front.exchange(&format!("GET {script}"), "", "");
    assert!(head.starts_with("HTTP/1.1 200"), "{script}: {head}");

    let start = format!("POST {prefix}/session");
    let (head, body) = front.exchange(&start, "", r#"{"shell": "rust"}"#);
    assert!(head.starts_with("HTTP/1.1 201"), "{head}\n{body}");
    let cookie = header(&head, "set-cookie").expect("a cookie");
    let cookie_name = format!("__Host-shellcraft_player{}=", prefix.replace('/', "."));
    assert!(cookie.starts_with(&cookie_name), "{cookie}");
    assert!(cookie.contains("; Secure"), "{cookie}");
    let hsts = header(&head, "strict-transport-security");
    assert_eq!(hsts, Some("max-age=31536000"));
    let game: Value = serde_json::from_str(&body).expect("JSON");
    let url = game["ws_url"].as_str().expect("a URL");
    let expected = format!("wss://{NAME}{prefix}/session/");
    assert!(url.starts_with(&expected), "{url}");
    let location = header(&head, "location").expect("a place");
    let (status, _) = front.exchange(&format!("GET {location}"), &as_player(cookie), "");
    assert!(status.starts_with("HTTP/1.1 200"), "{location}: {status}");

    let mut request = url.into_client_request().expect("a URL");
    let origin = format!("https://{NAME}").parse().expect("a header");
    request.headers_mut().insert("Origin", origin);
    let (mut terminal, _) = tungstenite::client(request, front.connect()).expect("the upgrade");
    terminal
        .send(Message::binary("echo over the wire\r"))
        .expect("sent");
    let mut seen = String::new();
    while !seen.contains("over the wire\r\n") {
        if let Message::Binary(bytes) = terminal.read().expect("output") {
            seen += &String::from_utf8_lossy(&bytes);
        }
    }

    // Somebody else's page may not.
    let token = game["token"].as_str().expect("a token");
    let id = game["session_id"].as_str().expect("an id");
    let upgrade = format!(
        "Authorization: Bearer {token}\r\nOrigin: https://evil.example\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    let (head, _) = front.exchange(&format!("GET {prefix}/session/{id}/ws"), &upgrade, "");
    assert!(!head.starts_with("HTTP/1.1 101"), "{head}");
    // The operator's are not for whoever comes from outside.
    let (head, _) = front.exchange(&format!("GET {prefix}/metrics"), "", "");
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    let book = "x".repeat(1024 * 1024 + 1);
    let authorization = format!("Authorization: Bearer {token}\r\n");
    let (head, body) = front.exchange(
        &format!("PUT {prefix}/session/{id}/spellbook"),
        &authorization,
        &book,
    );
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    assert!(
        body.contains("body_too_large"),
        "in the server's words: {body}"
    );
}

#[test]
fn a_game_through_nginx() {
    check_game(nginx);
}

#[test]
fn a_game_through_caddy() {
    check_game(caddy);
}

#[test]
fn a_game_through_haproxy() {
    check_game(haproxy);
}

#[test]
fn a_game_through_traefik() {
    check_game(traefik);
}

#[test]
fn a_game_below_a_path_through_traefik() {
    let file = deployed_below("traefik.yml");
    check_game_below("/shell", |upstream| traefik_with(&file, upstream));
}

#[test]
fn a_game_below_a_path_through_nginx() {
    let file = deployed_below("nginx.conf");
    check_game_below("/shell", |upstream| nginx_with(&file, upstream));
}

#[test]
fn a_game_below_a_path_that_nginx_cuts_off() {
    let file = with(
        deployed_below("nginx.conf"),
        &[("http://127.0.0.1:8080;", "http://127.0.0.1:8080/;")],
    );
    check_game_below("/shell", |upstream| nginx_with(&file, upstream));
}

#[test]
fn a_game_below_a_path_through_caddy() {
    let file = deployed_below("Caddyfile");
    check_game_below("/shell", |upstream| caddy_with(&file, upstream));
}

#[test]
fn a_game_below_a_path_through_haproxy() {
    let file = deployed_below("haproxy.cfg");
    check_game_below("/shell", |upstream| haproxy_with(&file, upstream));
}

/// Who the server takes a client for that claims to be somebody else, and over what it came.
#[track_caller]
fn check_peer<P>(front: impl FnOnce(SocketAddr) -> Front<P>) {
    let house = open_behind(quick(), &["127.0.0.1/32"]);
    let front = front(house.address);
    let claims =
        "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: http\r\nForwarded: for=6.6.6.6\r\n";
    let (_, body) = front.exchange("GET /show", claims, "");
    assert!(body.contains("peer=127.0.0.1 https=true"), "{body}");
}

#[test]
fn nginx_believes_no_client() {
    check_peer(nginx);
}

#[test]
fn haproxy_believes_no_client() {
    check_peer(haproxy);
}

#[test]
fn caddy_believes_no_client() {
    check_peer(caddy);
}

#[test]
fn traefik_believes_no_client() {
    check_peer(traefik);
}
