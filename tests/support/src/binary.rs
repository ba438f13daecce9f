//! The server as a process of its own: what only a real one can show (signals, limits, its own threads).

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::containers::PATIENCE;
use crate::site::{Client, unlimited};

/// The path of the server's binary, which Cargo builds beside the tests that run.
pub fn server_binary() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| {
        let test = std::env::current_exe().expect("this program");
        let profile = test
            .parent()
            .and_then(Path::parent)
            .expect("target/debug/deps");
        let binary = profile.join("shellcraft");
        binary.into_os_string().into_string().expect("UTF-8")
    });
    &PATH
}

/// A running server; killed when it goes out of scope.
pub struct Process {
    child: Child,
    client: Client,
    _data: tempfile::TempDir,
}

impl Deref for Process {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Process {
    /// Starts a server on a port of its own, and waits until it is ready.
    pub fn start(docker_host: &str, instance: &str, flags: &[&str]) -> Process {
        Process::start_after("", docker_host, instance, flags)
    }

    /// The same, with its log in a file.
    pub fn start_logged(log: &Path, docker_host: &str, instance: &str, flags: &[&str]) -> Process {
        let log = File::create(log).expect("a file");
        Process::start_with(
            "",
            server_binary(),
            log.into(),
            docker_host,
            instance,
            flags,
        )
    }

    /// The same of another version's binary.
    pub fn start_program(
        program: &str,
        docker_host: &str,
        instance: &str,
        flags: &[&str],
    ) -> Process {
        Process::start_with("", program, Stdio::null(), docker_host, instance, flags)
    }

    /// The same, after these shell commands.
    pub fn start_after(before: &str, docker_host: &str, instance: &str, flags: &[&str]) -> Process {
        Process::start_with(
            before,
            server_binary(),
            Stdio::null(),
            docker_host,
            instance,
            flags,
        )
    }

    fn start_with(
        before: &str,
        program: &str,
        log: Stdio,
        docker_host: &str,
        instance: &str,
        flags: &[&str],
    ) -> Process {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{before} exec \"$0\" \"$@\""))
            .arg(program)
            .args(flags);
        command.args(["--port", "0", "--docker-host", docker_host]);
        command.args(["--instance", instance]);
        // Unless the test has one of its own.
        let data = tempfile::tempdir().expect("a directory");
        if !flags.contains(&"--data-dir") {
            command.arg("--data-dir").arg(data.path());
        }
        if !flags.contains(&"--pool-size") {
            command.args(["--pool-size", "0"]);
        }
        command.args(unlimited(flags));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it prints its address");
        let address = line
            .trim()
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .and_then(|text| text.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
        Process {
            child,
            client: Client::at(address),
            _data: data,
        }
    }

    /// The status of a request, or none when the connection broke.
    pub fn status(&self, method: &str, path: &str) -> Option<u16> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        String::from_utf8_lossy(&answer)
            .split(' ')
            .nth(1)?
            .parse()
            .ok()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .expect("kill runs")
                .success()
        );
    }

    /// Waits for its end; none when a signal killed it.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("our child").code()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has in memory of its own.
    pub fn anonymous_kib(&self) -> u64 {
        anonymous_kib(self.pid())
    }

    /// Waits for its end; none when a signal killed it. One that does not end tells which threads it has left.
    #[track_caller]
    pub fn exit_code_in_time(&mut self) -> Option<i32> {
        let due = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("our child").is_none() {
            let pid = self.pid();
            assert!(
                Instant::now() < due,
                "the server does not end: {}",
                threads(pid)
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
        self.exit_code()
    }
}

/// The names of a process's threads, and where in the kernel each of them is.
fn threads(pid: u32) -> String {
    let told = tasks(pid).map(|task| format!("{} ({})", task("comm"), task("syscall")));
    told.collect::<Vec<_>>().join(", ")
}

/// The names of a process's threads.
pub fn thread_names(pid: u32) -> Vec<String> {
    tasks(pid)
        .map(|task| task("comm"))
        .filter(|name| !name.is_empty())
        .collect()
}

/// What proc(5) has of each thread; of one that has just ended, empty texts.
fn tasks(pid: u32) -> impl Iterator<Item = impl Fn(&str) -> String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("procfs");
    tasks.flatten().map(|task| {
        move |name: &str| {
            let text = std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
            text.trim().to_owned()
        }
    })
}

/// What a process has in memory of its own (`RssAnon` of proc(5)): not the pages of its binary, which the system takes
/// and gives back as it likes.
#[track_caller]
pub fn anonymous_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("procfs");
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    number.expect("a number of kB")
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
