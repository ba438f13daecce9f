//! Where chaos happens: one server after the other under one instance's name, with what outlives them all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shellcraft::engine::{ContainerId, Engine};
use shellcraft::session::sandbox::INSTANCE_LABEL;
use tempfile::TempDir;

use crate::binary::Process;
use crate::containers::unique;
use crate::site::{ADMIN_TOKEN, COOKIE_KEY, Client, wait_for};

/// Longer than a drain of a few sessions takes on a machine that is busy with other tests.
const GRACE: &str = "60s";

/// One instance: its name, its data, and the server that runs.
pub struct Arena {
    pub instance: String,
    docker_host: String,
    flags: Vec<String>,
    /// Has the data and, beside it, the log.
    folder: TempDir,
    /// None between a death and the next start.
    server: Mutex<Option<Process>>,
    /// Where the newest server is.
    client: Mutex<Client>,
    /// Grows with each disaster; players look whether they survived it.
    pub disaster: AtomicU64,
    pub is_over: AtomicBool,
    /// Volumes that containers of ours were seen with.
    volumes: Mutex<BTreeSet<String>>,
}

impl Arena {
    /// Starts the first server.
    pub fn open(docker_host: &str, flags: &[&str]) -> Arena {
        Arena::open_in(TempDir::new().expect("a directory"), docker_host, flags)
    }

    /// The same with the data in `data`, below this folder.
    pub fn open_in(folder: TempDir, docker_host: &str, flags: &[&str]) -> Arena {
        let instance = unique();
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let server = launch(docker_host, &instance, &flags, folder.path());
        Arena {
            instance,
            docker_host: docker_host.to_owned(),
            flags,
            folder,
            client: Mutex::new(Client::at(server.address)),
            server: Mutex::new(Some(server)),
            disaster: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            volumes: Mutex::default(),
        }
    }

    /// Speaks to the newest server.
    pub fn client(&self) -> Client {
        self.client.lock().expect("no panic").clone()
    }

    /// Kills the server and starts the next.
    pub fn kill_server(&self) {
        self.note_volumes();
        // Dropping it is `kill -9`.
        drop(self.server.lock().expect("no panic").take());
        self.start_server();
    }

    fn start_server(&self) {
        let server = launch(
            &self.docker_host,
            &self.instance,
            &self.flags,
            self.folder.path(),
        );
        *self.client.lock().expect("no panic") = Client::at(server.address);
        *self.server.lock().expect("no panic") = Some(server);
    }

    pub fn engine(&self) -> Engine {
        Engine::new(&self.docker_host).expect("a socket's path")
    }

    /// Containers of this instance.
    pub fn containers(&self) -> Vec<ContainerId> {
        let list = self.engine().list(&[(INSTANCE_LABEL, &self.instance)]);
        let list = list.expect("the Engine answers");
        list.into_iter().map(|container| container.id).collect()
    }

    fn note_volumes(&self) {
        let Ok(list) = self.engine().list(&[(INSTANCE_LABEL, &self.instance)]) else {
            return;
        };
        let ids = list.iter().map(|container| container.id.to_string());
        let format = "{{range .Mounts}}{{.Name}} {{end}}";
        let mut command = Command::new("docker");
        command.args(["--host", &self.docker_host, "inspect", "--format", format]);
        // Some of them may be gone by now.
        let output = command.args(ids).output().expect("docker.io is installed");
        let names = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut volumes = self.volumes.lock().expect("no panic");
        volumes.extend(names.split_whitespace().map(str::to_owned));
    }

    /// Ends the last server in the way that saves and removes everything, and looks whether it did.
    #[track_caller]
    pub fn close(&self) {
        self.note_volumes();
        let mut server = self.server.lock().expect("no panic").take().expect("runs");
        server.signal("INT");
        assert_eq!(server.exit_code(), Some(0));
        assert_eq!(self.containers(), [], "containers of {}", self.instance);
        let mut command = Command::new("docker");
        let command = command.args(["--host", &self.docker_host, "volume", "ls", "-q"]);
        let there = command.output().expect("docker.io is installed").stdout;
        let there = String::from_utf8_lossy(&there).into_owned();
        let there: BTreeSet<_> = there.lines().map(str::to_owned).collect();
        let volumes = self.volumes.lock().expect("no panic");
        let left: Vec<_> = volumes.intersection(&there).collect();
        assert!(left.is_empty(), "volumes: {left:?}");
        for folder in ["sessions", "tmp"] {
            let left = files(&self.data_dir().join(folder));
            assert!(left.is_empty(), "{folder}: {left:?}");
        }
        let books = files(&self.data_dir().join("books"));
        let broken = books
            .iter()
            .find(|path| path.extension().is_none_or(|kind| kind != "book"));
        assert_eq!(broken, None, "whole versions only");
    }

    /// Waits until the server says that it is ready.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        wait_for("the server to be ready", || {
            let reply = self.client().try_request("GET", "/readyz", &[], b"");
            reply.is_some_and(|reply| reply.status == 200)
        });
    }

    /// Sessions that the server knows, as the operator sees them.
    pub fn sessions(&self) -> String {
        let operator = [("Authorization", &*format!("Bearer {ADMIN_TOKEN}"))];
        let reply = self
            .client()
            .try_request("GET", "/sessions", &operator, b"");
        reply.map_or_else(String::new, |reply| reply.text())
    }

    /// The last lines that servers of this instance have logged.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(200)..].join("\n")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn disasters(&self) -> u64 {
        self.disaster.load(Ordering::SeqCst)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // What a test that failed has left.
        drop(self.server.lock().map(|mut server| server.take()));
        let label = [(INSTANCE_LABEL, self.instance.as_str())];
        for container in self.engine().list(&label).unwrap_or_default() {
            let _ = self.engine().remove(&container.id);
        }
    }
}

fn launch(docker_host: &str, instance: &str, flags: &[String], folder: &Path) -> Process {
    let folder = folder.to_str().expect("a path in UTF-8");
    let data_dir = &*format!("{folder}/data");
    let before = format!("exec 2>>{folder}/log;");
    let own = [
        "--data-dir",
        data_dir,
        "--admin-token",
        ADMIN_TOKEN,
        "--cookie-key",
        COOKIE_KEY,
        "--shutdown-grace",
        GRACE,
        "--trusted-proxies",
        "127.0.0.1",
    ];
    let all: Vec<&str> = own
        .into_iter()
        .chain(flags.iter().map(String::as_str))
        .collect();
    Process::start_after(&before, docker_host, instance, &all)
}

/// All files below a directory.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            paths.extend(files(&entry.path()));
        } else {
            paths.push(entry.path());
        }
    }
    paths
}

/// Lets time pass, so that disasters come at moments that nobody can know. No condition hangs on it.
pub fn let_pass(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}
