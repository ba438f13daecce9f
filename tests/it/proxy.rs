//! Behind a real nginx, with the very configuration that the README gives.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fake_engine::FakeEngine;

use crate::containers::own_address;
use crate::door::house::{connect_from, exchange, open_behind, quick};
use crate::openapi::installed;
use crate::site::{Site, wait_for};

/// Debian has it where only root's PATH leads.
const NGINX: &str = "/usr/sbin/nginx";
const HAPROXY: &str = "/usr/sbin/haproxy";

/// What the README leaves to nginx's defaults, kept to the test's own directory and to one process.
const FRAME: &str = "daemon off; master_process off; pid nginx.pid; events {} \
    http { access_log off; keepalive_timeout 0; client_body_temp_path body; proxy_temp_path proxy; \
    fastcgi_temp_path fastcgi; scgi_temp_path scgi; uwsgi_temp_path uwsgi;\n";

/// A running nginx, killed when it goes out of scope.
pub struct Nginx {
    child: Child,
    pub address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Nginx {
    /// Starts one in front of `upstream`.
    pub fn start(upstream: SocketAddr) -> Nginx {
        let address = own_address();
        let directory = tempfile::tempdir().expect("a directory");
        Nginx::start_with(&readme_server(address, upstream), address, directory)
    }

    /// Starts one with these servers in its configuration, which is put into `directory`.
    pub fn start_with(servers: &str, address: SocketAddr, directory: tempfile::TempDir) -> Nginx {
        let config = format!("{FRAME}{servers}}}\n");
        fs::write(directory.path().join("nginx.conf"), config).expect("written");
        let child = Command::new(NGINX)
            .arg("-p")
            .arg(directory.path())
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{NGINX}: {error}; install the package nginx-light"));
        let mut nginx = Nginx {
            child,
            address,
            _directory: directory,
        };
        wait_for("nginx to listen", || {
            nginx.check_lives();
            TcpStream::connect(address).is_ok()
        });
        nginx
    }

    fn check_lives(&mut self) {
        if self.child.try_wait().expect("our child").is_some() {
            let mut told = String::new();
            let mut stderr = self.child.stderr.take().expect("piped");
            stderr.read_to_string(&mut told).expect("UTF-8");
            panic!("nginx ended: {told}");
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running Caddy, killed when it goes out of scope.
pub struct Caddy {
    child: Child,
    directory: tempfile::TempDir,
}

impl Caddy {
    /// Starts one with that Caddyfile, beside what else is in `directory`; it must listen at `address`.
    pub fn start_with(config: &str, address: SocketAddr, directory: tempfile::TempDir) -> Caddy {
        fs::write(directory.path().join("Caddyfile"), config).expect("written");
        // Not a pipe: nobody would read it while Caddy runs.
        let log = fs::File::create(directory.path().join("caddy.log")).expect("a file");
        let child = Command::new("caddy")
            .args(["run", "--adapter", "caddyfile", "--config", "Caddyfile"])
            .current_dir(directory.path())
            .env("HOME", directory.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("caddy: {error}; install the package caddy"));
        let mut caddy = Caddy { child, directory };
        wait_for("Caddy to listen", || {
            let ended = caddy.child.try_wait().expect("our child");
            assert!(ended.is_none(), "caddy: {ended:?}");
            TcpStream::connect(address).is_ok()
        });
        caddy
    }
}

impl Drop for Caddy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let told = fs::read_to_string(self.directory.path().join("caddy.log"));
            eprintln!("Caddy said: {}", told.unwrap_or_default());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running HAProxy, killed when it goes out of scope.
pub struct Haproxy {
    child: Child,
    _directory: tempfile::TempDir,
}

impl Haproxy {
    /// Starts one with that configuration, beside what else is in `directory`; it must listen at `address`.
    pub fn start_with(config: &str, address: SocketAddr, directory: tempfile::TempDir) -> Haproxy {
        let path = directory.path().join("haproxy.cfg");
        fs::write(&path, config).expect("written");
        let child = Command::new(HAPROXY)
            .arg("-db")
            .arg("-f")
            .arg(&path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{HAPROXY}: {error}; install the package haproxy"));
        let mut haproxy = Haproxy {
            child,
            _directory: directory,
        };
        wait_for("HAProxy to listen", || {
            let ended = haproxy.child.try_wait().expect("our child");
            assert!(ended.is_none(), "haproxy: {ended:?}");
            TcpStream::connect(address).is_ok()
        });
        haproxy
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running Traefik, killed when it goes out of scope.
pub struct Traefik {
    child: Child,
    _directory: tempfile::TempDir,
}

impl Traefik {
    /// Starts one that has these routes, beside what else is in `directory`, and listens at `address`.
    pub fn start_with(routes: &str, address: SocketAddr, directory: tempfile::TempDir) -> Traefik {
        let settings = format!(
            "entryPoints: {{ websecure: {{ address: \"{address}\" }} }}
providers: {{ file: {{ filename: traefik.yml }} }}
global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
"
        );
        for (name, text) in [("traefik.yml", routes), ("static.yml", &settings)] {
            fs::write(directory.path().join(name), text).expect("written");
        }
        let child = Command::new(installed("traefik"))
            .arg("--configFile=static.yml")
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut traefik = Traefik {
            child,
            _directory: directory,
        };
        wait_for("Traefik to listen", || {
            let ended = traefik.child.try_wait().expect("our child");
            assert!(ended.is_none(), "traefik: {ended:?}");
            TcpStream::connect(address).is_ok()
        });
        traefik
    }
}

impl Drop for Traefik {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The README's configuration, without the TLS, which needs a certificate.
fn readme_server(address: SocketAddr, upstream: SocketAddr) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).expect("a README");
    let (_, rest) = readme.split_once("```nginx\n").expect("a configuration");
    let (mut config, _) = rest.split_once("```").expect("its end");
    let mut changed = String::new();
    for (readme_says, here) in [
        ("listen 443 ssl;", format!("listen {address};")),
        ("http://127.0.0.1:8080;", format!("http://{upstream};")),
        ("$scheme;", "https;".to_owned()),
    ] {
        let (before, after) = config.split_once(readme_says).expect(readme_says);
        changed += before;
        changed += &here;
        config = after;
    }
    changed + config
}

/// A server whose helpers all go through nginx.
fn site_behind_nginx(engine: &FakeEngine) -> (Site, Nginx) {
    let mut site = Site::start(&engine.docker_host(), &["--trusted-proxies", "127.0.0.1"]);
    let nginx = Nginx::start(site.address);
    site.go_through(nginx.address);
    (site, nginx)
}

#[test]
fn a_game_from_start_to_end() {
    let engine = FakeEngine::start();
    let (site, _nginx) = site_behind_nginx(&engine);
    assert_eq!(site.get("/healthz").text(), "ok");
    let game = site.create("rust");
    let body = site.get(&game.path("/status")).json();
    let ip = site.address.ip();
    assert_eq!(body["ws_url"], format!("wss://{ip}/session/{}/ws", game.id));
    let mut player = site.page(&game, None);
    player.note("hello");
    player.type_in("echo through nginx\r");
    player.expect("through nginx\r\n");
    let mut second = site.raw(&game);
    assert_eq!(player.close_code(), 4000);
    second.type_in("echo again\r");
    second.expect("again\r\n");
    assert_eq!(site.delete(&game.path("")).status, 204);
    assert_eq!(second.close_code(), 4002);
    assert!(engine.containers().is_empty());
    assert_eq!(site.get(&game.path("/status")).code(), "session_not_found");
}

#[test]
fn answers_arrive_as_they_are() {
    let engine = FakeEngine::start();
    let (site, _nginx) = site_behind_nginx(&engine);
    let gzip = [("Accept-Encoding", "gzip")];
    let packed = site.request("GET", "/assets/terminal.js", &gzip, b"");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let length = packed.header("content-length").map(str::to_owned);
    assert_eq!(length, Some(packed.body.len().to_string()));
    let head = site.request("HEAD", "/assets/terminal.js", &gzip, b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), length.as_deref());
    let tag = packed.header("etag").expect("a tag");
    let both = [("Accept-Encoding", "gzip"), ("If-None-Match", tag)];
    assert_eq!(
        site.request("GET", "/assets/terminal.js", &both, b"")
            .status,
        304
    );
    // Refused before it is read: nginx must get to the answer all the same.
    let long = vec![b'x'; 1 << 20];
    let refused = site.request("POST", "/session", &[], &long);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "body_too_large")
    );
}

#[test]
fn the_page_s_origin_is_the_public_one() {
    let engine = FakeEngine::start();
    let (site, _nginx) = site_behind_nginx(&engine);
    let game = site.create("rust");
    let ws = game.path("/ws");
    let own = format!("https://{}", site.address.ip());
    assert!(site.open(&ws, &[("Origin", &own)]).is_ok());
    for foreign in ["https://evil.example", "http://127.0.0.1"] {
        let refused = site.open(&ws, &[("Origin", foreign)]);
        assert_eq!(refused.err(), Some(403), "{foreign}");
    }
}

/// Who the door takes a client from 127.0.0.9 for that claims to be 6.6.6.6.
#[track_caller]
fn check_peer(trusted_proxies: &[&str], expected: &str) {
    let house = open_behind(quick(), trusted_proxies);
    let nginx = Nginx::start(house.address);
    let client = connect_from("127.0.0.9", nginx.address);
    let request = "GET /show HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    let answer = exchange(client, request);
    assert!(answer.contains(&format!("\n{expected} ")), "{answer}");
}

#[test]
fn a_trusted_nginx_tells_whose_request_it_is() {
    check_peer(&["127.0.0.1/32"], "peer=127.0.0.9 https=true");
}

#[test]
fn an_nginx_nobody_trusts_is_the_client() {
    check_peer(&[], "peer=127.0.0.1 https=false");
}
