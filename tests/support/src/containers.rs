//! What the engine contract's promises stand on: throw-away containers and a terminal to look at.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use shellcraft::engine::types::{CreateContainer, Empty, HostConfig, LogConfig};
use shellcraft::engine::{Attach, ContainerId, Engine};
use uuid::Uuid;

/// How long anything may take to show. Generous: it is only waited out when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A label that all containers of the suite carry, so that leftovers can be found.
pub const LABEL: &str = "shellcraft.test";

/// A container that is removed when it goes out of scope.
pub struct Guinea {
    /// The Engine that it is on.
    pub engine: Engine,
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
}

impl Guinea {
    /// Creates a container; it does not run yet.
    pub fn create(engine: &Engine, image: &str) -> Guinea {
        Guinea::create_labelled(engine, image, &unique())
    }

    /// Creates a container whose label is `owner`.
    pub fn create_labelled(engine: &Engine, image: &str, owner: &str) -> Guinea {
        let name = unique();
        let id = engine.create(&name, &body(image, owner)).expect("create");
        Guinea {
            engine: engine.clone(),
            id,
            name,
        }
    }

    /// Creates a container, attaches, starts it and waits for its prompt.
    pub fn at_prompt(engine: &Engine, image: &str) -> (Guinea, Terminal) {
        let guinea = Guinea::create(engine, image);
        let mut terminal = guinea.attach();
        engine.start(&guinea.id).expect("start");
        terminal.expect("$ ");
        (guinea, terminal)
    }

    /// Attaches.
    pub fn attach(&self) -> Terminal {
        Terminal {
            attach: self.engine.attach(&self.id).expect("attach"),
            seen: Vec::new(),
        }
    }
}

impl Drop for Guinea {
    fn drop(&mut self) {
        // A test that failed because the Engine is away must not fail twice.
        let _ = self.engine.remove(&self.id);
    }
}

/// A name that nothing else has: no other test, and nothing that a killed run has left, whatever its process's number was.
pub fn unique() -> String {
    format!("shellcraft-test-{}", Uuid::new_v4().simple())
}

/// An address for a server of another program, which must be told one. No port is asked for and let go again, for
/// somebody could take it meanwhile: this is a loopback address that only this test of this process uses, with a port
/// below those that systems give out by themselves (ip(7): from 32768). The port is another one each time, too: Caddy
/// listens at all addresses.
pub fn own_address() -> SocketAddr {
    static COUNTER: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let last = COUNTER.fetch_add(1, Ordering::Relaxed);
    let port = 10_240 + (u32::from(low) * 83 + u32::from(last)) % 22_000;
    SocketAddr::from(([127, high | 128, low, last], port as u16))
}

/// A container as sessions have it, as far as every Engine can.
pub fn body(image: &str, owner: &str) -> CreateContainer {
    CreateContainer {
        image: image.into(),
        user: "1000:1000".into(),
        hostname: "test".into(),
        env: vec!["HOME=/tmp".into(), "TERM=dumb".into()],
        tty: true,
        open_stdin: true,
        stdin_once: false,
        attach_stdin: true,
        attach_stdout: true,
        attach_stderr: true,
        labels: BTreeMap::from([(LABEL.into(), owner.into())]),
        volumes: BTreeMap::from([("/home".into(), Empty {})]),
        healthcheck: None,
        host_config: HostConfig {
            network_mode: "none".into(),
            cap_drop: vec!["ALL".into()],
            security_opt: vec!["no-new-privileges".into()],
            readonly_rootfs: true,
            memory: 64 << 20,
            memory_swap: 64 << 20,
            cpu_period: 100_000,
            cpu_quota: 50_000,
            pids_limit: 64,
            ulimits: Vec::new(),
            tmpfs: BTreeMap::from([("/tmp".into(), "size=16m".into())]),
            log_config: LogConfig {
                driver: "none".into(),
            },
            init: true,
            masked_paths: Vec::new(),
            ipc_mode: "private".into(),
            shm_size: 1 << 20,
            runtime: None,
            console_size: None,
        },
    }
}

/// An attach with a memory.
pub struct Terminal {
    /// The connection to the terminal.
    pub attach: Attach,
    /// Output that came and was not expected yet.
    pub seen: Vec<u8>,
}

impl Terminal {
    /// Types.
    pub fn type_in(&mut self, keys: &str) {
        self.attach
            .input
            .write_all(keys.as_bytes())
            .expect("the container takes input");
    }

    /// Waits until `text` shows, and forgets everything up to its end.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> Vec<u8> {
        let due = Instant::now() + PATIENCE;
        loop {
            let found = self
                .seen
                .windows(text.len())
                .position(|window| window == text.as_bytes());
            if let Some(at) = found {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            assert!(
                self.read(due),
                "the terminal ended before {text:?}: {}",
                self.shown()
            );
        }
    }

    /// Waits for the end and returns what came before it.
    #[track_caller]
    pub fn expect_end(&mut self) -> Vec<u8> {
        let due = Instant::now() + PATIENCE;
        while self.read(due) {}
        std::mem::take(&mut self.seen)
    }

    /// Reads once; whether there was something.
    #[track_caller]
    pub fn read(&mut self, due: Instant) -> bool {
        let left = due.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "nothing more came: {}", self.shown());
        // Both ends are one socket, so this is the reader's timeout too.
        self.attach
            .input
            .set_read_timeout(Some(left))
            .expect("a timeout");
        let mut chunk = [0; 8 << 10];
        match self.attach.output.read(&mut chunk) {
            Ok(amount) => {
                self.seen.extend_from_slice(&chunk[..amount]);
                amount > 0
            }
            Err(cause)
                if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                true
            }
            Err(cause) => panic!("the terminal broke: {cause}"),
        }
    }

    fn shown(&self) -> String {
        format!("{:?}", String::from_utf8_lossy(&self.seen))
    }
}

/// A tar archive of one file, owned by the player.
pub fn archive(name: &str, data: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    header.set_uid(1000);
    header.set_gid(1000);
    let mut archive = tar::Builder::new(Vec::new());
    archive
        .append_data(&mut header, name, data)
        .expect("memory");
    archive.into_inner().expect("memory")
}

/// Name, owner and content of the one file in an archive.
pub fn unpack(archive: &[u8]) -> (String, u64, Vec<u8>) {
    let mut archive = tar::Archive::new(archive);
    let mut entry = archive
        .entries()
        .expect("a tar")
        .next()
        .expect("an entry")
        .expect("a tar");
    let name = entry.path().expect("a path").display().to_string();
    let owner = entry.header().uid().expect("an owner");
    let mut data = Vec::new();
    entry.read_to_end(&mut data).expect("memory");
    (name, owner, data)
}
