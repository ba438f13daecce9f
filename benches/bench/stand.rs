//! What is measured: bare containers and servers on one Engine, removed when they go out of scope.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use shellcraft::engine::{Attach, ContainerId, Engine};
use shellcraft::session::sandbox;
use shellcraft::session::spellbook::archive;
use tempfile::TempDir;
use uuid::Uuid;

use crate::terminal::{self, Bare, Relayed, Socket, Terminal};

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The shell's name on the bare containers' labels, by which those of a run that was cut short are found.
const BARE_SHELL: &str = "bench";
/// Two processors: with the default half of one it is the container that would be measured.
const CPUS: &str = "2";
/// The server's own default, for containers that are to be held.
const USUAL_CPUS: &str = "0.5";

/// An image and the name it has in the servers' catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Shell {
    pub name: &'static str,
    pub image: &'static str,
}

pub const RUST: Shell = Shell {
    name: "rust",
    image: "shellcraft/rust",
};
pub const PERL: Shell = Shell {
    name: "perl",
    image: "shellcraft/perl",
};
pub const BUSYBOX: Shell = Shell {
    name: "busybox",
    image: "shellcraft-test/busybox",
};

/// One side of a comparison.
pub struct Contender {
    /// `bare`, `again`, `relay`, `raw`, `v1`.
    pub name: String,
    pub terminal: Box<dyn Terminal>,
    /// The server between, if there is one.
    pub pid: Option<u32>,
    /// Keeps the container alive. Dropped after the terminal.
    _game: Box<dyn std::any::Any>,
}

impl Contender {
    /// `game` keeps its container alive.
    pub fn new(
        name: impl Into<String>,
        terminal: Box<dyn Terminal>,
        pid: Option<u32>,
        game: Box<dyn std::any::Any>,
    ) -> Contender {
        Contender {
            name: name.into(),
            terminal,
            pid,
            _game: game,
        }
    }
}

/// An Engine, and the servers on it.
pub struct Stand {
    pub engine: Engine,
    pub docker_host: String,
    /// With a prefix for its contenders' names: empty for the one that this is about.
    pub servers: Vec<(String, Server)>,
}

impl Stand {
    /// Starts a server for each binary on the Engine at `docker_host`.
    pub fn new(docker_host: &str, binaries: &[(String, &Path)]) -> Outcome<Stand> {
        let engine = Engine::new(docker_host)?;
        remove_leftovers(&engine)?;
        let start = |(prefix, path): &(String, &Path)| {
            Ok((prefix.clone(), Server::start(path, docker_host)?))
        };
        let servers = binaries.iter().map(start).collect::<Outcome<Vec<_>>>()?;
        Ok(Stand {
            engine,
            docker_host: docker_host.to_owned(),
            servers,
        })
    }

    /// The bare attach twice, the second time for the noise, then the least that a bridge can be, then each
    /// server raw and `shellcraft.v1`.
    pub fn line_up(&self, shell: Shell) -> Outcome<Vec<Contender>> {
        let mut contenders = Vec::new();
        for name in ["bare", "again"] {
            let (container, terminal) = self.bare(shell)?;
            let container = Box::new(container);
            contenders.push(Contender::new(name, Box::new(terminal), None, container));
        }
        let (container, attach) = self.attached(shell)?;
        let terminal = Box::new(relay(attach)?);
        contenders.push(Contender::new("relay", terminal, None, Box::new(container)));
        for (prefix, server) in &self.servers {
            for (kind, is_v1) in [("raw", false), ("v1", true)] {
                let game = server.create(shell.name)?;
                let terminal = Socket::open(server.address, &game.id, is_v1)?;
                contenders.push(Contender::new(
                    format!("{prefix}{kind}"),
                    Box::new(terminal),
                    Some(server.pid()),
                    Box::new(game),
                ));
            }
        }
        Ok(contenders)
    }

    /// A container exactly as sessions have it, with nobody between.
    pub fn bare(&self, shell: Shell) -> Outcome<(BareContainer, Bare)> {
        let (container, attach) = self.attached(shell)?;
        Ok((container, Bare::new(attach)?))
    }

    fn attached(&self, shell: Shell) -> Outcome<(BareContainer, Attach)> {
        let limits = sandbox::ContainerLimits {
            memory_bytes: 64 << 20,
            nano_cpus: 2_000_000_000,
            pids: 64,
            runtime: None,
        };
        let id = Uuid::new_v4();
        let body = sandbox::container(id, &instance(), BARE_SHELL, shell.image, &limits);
        let container = BareContainer {
            engine: self.engine.clone(),
            id: self.engine.create(&sandbox::container_name(id), &body)?,
        };
        self.engine
            .put_archive(&container.id, sandbox::HOME, &archive::pack(b"")?)?;
        let attach = self.engine.attach(&container.id)?;
        self.engine.start(&container.id)?;
        Ok((container, attach))
    }
}

/// The name on the labels of this run's containers.
fn instance() -> String {
    format!("bench-{}", std::process::id())
}

/// Removes what runs left behind that have ended. Others may be running.
fn remove_leftovers(engine: &Engine) -> Outcome<()> {
    for container in engine.list(&[(sandbox::SHELL_LABEL, BARE_SHELL)])? {
        let owner = container.labels.get(sandbox::INSTANCE_LABEL);
        let pid = owner.and_then(|owner| owner.strip_prefix("bench-"));
        if !pid.is_some_and(|pid| Path::new("/proc").join(pid).exists()) {
            engine.remove(&container.id)?;
        }
    }
    Ok(())
}

/// The least that a bridge can be: two threads that copy between a TCP connection and an attach. What it
/// takes more than the attach are two wake-ups and TCP; no server can do with less.
fn relay(attach: Attach) -> Outcome<Relayed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (mut shown, _) = listener.accept()?;
    shown.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let mut keys = shown.try_clone()?;
    let Attach {
        mut output,
        mut input,
    } = attach;
    // They end with the container and with the client.
    thread::spawn(move || copy(&mut keys, &mut input));
    thread::spawn(move || copy(&mut output, &mut shown));
    Ok(Relayed::new(client)?)
}

fn copy(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// A container without a session.
pub struct BareContainer {
    engine: Engine,
    id: ContainerId,
}

impl Drop for BareContainer {
    fn drop(&mut self) {
        if let Err(error) = self.engine.remove(&self.id) {
            eprintln!("bench: {error}");
        }
    }
}

/// The server as a process of its own.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    data: Arc<TempDir>,
}

impl Server {
    pub fn start(binary: &Path, docker_host: &str) -> Outcome<Server> {
        let data = Arc::new(tempfile::tempdir()?);
        Server::start_with(binary, docker_host, data, &["--pool-size", "0"])
    }

    /// One whose containers have no more than operators give them.
    pub fn start_usual(binary: &Path, docker_host: &str) -> Outcome<Server> {
        let data = Arc::new(tempfile::tempdir()?);
        let flags = ["--pool-size", "0", "--cpu-limit", USUAL_CPUS];
        Server::start_with(binary, docker_host, data, &flags)
    }

    /// A server with what an earlier one has kept, and further flags.
    pub fn start_with(
        binary: &Path,
        docker_host: &str,
        data: Arc<TempDir>,
        flags: &[&str],
    ) -> Outcome<Server> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let instance = format!("{}-{count}", instance());
        let shells: Vec<String> = [RUST, PERL, BUSYBOX]
            .iter()
            .map(|shell| format!("{}={}", shell.name, shell.image))
            .collect();
        let usual = [
            ("--instance", instance),
            ("--shells", shells.join(",")),
            ("--cpu-limit", CPUS.to_owned()),
        ];
        let usual = usual
            .iter()
            .filter(|(flag, _)| !flags.contains(flag))
            .flat_map(|(flag, value)| [*flag, value]);
        // Not our environment: what an operator has set must not change the figures.
        let mut child = Command::new(binary)
            .env_clear()
            .args(["--port", "0", "--docker-host", docker_host])
            .args(["--max-sessions", "5000"])
            // All players come from one address here. Older binaries know nothing of it.
            .envs([
                ("RATE_LIMIT", "off"),
                ("CONNECTIONS_PER_ADDRESS", "100000"),
                ("SESSIONS_PER_ADDRESS", "100000"),
            ])
            .arg("--data-dir")
            .arg(data.path())
            .args(flags)
            .args(usual)
            .args(["--idle-timeout", "2h", "--log-level", "error"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().rsplit("http://").next().unwrap_or_default();
        let address = address.trim_end_matches('/').parse();
        let address = address.map_err(|_| format!("{}: {line:?}", binary.display()))?;
        Ok(Server {
            child,
            address,
            data,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a crash would; what it has kept.
    pub fn crash(mut self) -> Outcome<Arc<TempDir>> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(Arc::clone(&self.data))
    }

    /// Waits until an answer to `GET path` contains `text`.
    pub fn await_answer(&self, path: &str, text: &str) -> Outcome<()> {
        self.await_that(path, Duration::from_millis(5), |answer| {
            answer.contains(text)
        })
        .map_err(|_| format!("{path} never said {text}").into())
    }

    /// Asks `GET path` every so often until the answer is as wished.
    pub fn await_that(
        &self,
        path: &str,
        every: Duration,
        mut is_it: impl FnMut(&str) -> bool,
    ) -> Outcome<()> {
        let due = Instant::now() + Duration::from_secs(120);
        while !request(self.address, "GET", path, "").is_ok_and(|answer| is_it(&answer)) {
            if Instant::now() > due {
                return Err(format!("{path} never said what was waited for").into());
            }
            std::thread::sleep(every);
        }
        Ok(())
    }

    /// Asks once.
    pub fn get(&self, path: &str) -> Outcome<String> {
        request(self.address, "GET", path, "")
    }

    /// Starts a game.
    pub fn create(&self, shell: &str) -> Outcome<Game> {
        let body = format!("{{\"shell\":\"{shell}\"}}");
        let answer = request(self.address, "POST", "/session", &body)?;
        let text = |name: &str| {
            let rest = answer.split(&format!("\"{name}\":\"")).nth(1)?;
            Some(rest.split('"').next()?.to_owned())
        };
        let id = text("session_id").ok_or(answer.clone())?;
        terminal::note_token(&id, &text("token").ok_or(answer.clone())?);
        Ok(Game {
            address: self.address,
            id,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            // Fails only when it has ended already.
            let _ = kill_process(pid, Signal::INT);
        }
        let due = Instant::now() + Duration::from_secs(30);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < due {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A session, destroyed when it goes out of scope.
pub struct Game {
    address: SocketAddr,
    pub id: String,
}

impl Game {
    /// Where its terminal can be watched.
    pub fn watch_path(&self) -> Outcome<String> {
        let path = format!("/session/{}/watch", self.id);
        let answer = request(self.address, "POST", &path, "")?;
        let url = answer.split("\"ws_url\":\"").nth(1);
        let url = url.and_then(|rest| rest.split('"').next());
        let path = url.and_then(|url| url.splitn(4, '/').nth(3));
        Ok(format!("/{}", path.ok_or(answer.clone())?))
    }
}

impl Drop for Game {
    fn drop(&mut self) {
        if let Err(error) = request(self.address, "DELETE", &format!("/session/{}", self.id), "") {
            eprintln!("bench: {error}");
        }
    }
}

/// One HTTP exchange; the answer with its head.
fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> Outcome<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{}Content-Length: {}\r\n\r\n{body}",
        terminal::authorization(path),
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.starts_with("HTTP/1.1 2") {
        true => Ok(answer),
        false => Err(answer.into()),
    }
}
