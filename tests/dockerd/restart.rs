//! The Engine itself ends and comes back while players play: on a Docker daemon of the test's own, so that nobody
//! else's is touched.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use shellcraft::engine::Engine;
use tempfile::TempDir;

use crate::busybox;
use crate::containers::PATIENCE;
use crate::site::{Player, Site, wait_for};

/// A Docker daemon with an empty store, ended together with all that it started when it goes out of scope.
pub struct Daemon {
    dir: TempDir,
    flags: Vec<String>,
    /// Runs the containers. A process of its own, as distributions start it, so that it outlives the daemon.
    containerd: Child,
    dockerd: Child,
}

impl Daemon {
    /// Starts one, and loads the image that is played in.
    pub fn start(flags: &[&str]) -> Daemon {
        let daemon = Daemon::start_empty(flags);
        busybox::image(&daemon.engine());
        daemon
    }

    /// Starts one that has no images.
    pub fn start_empty(flags: &[&str]) -> Daemon {
        let dir = TempDir::with_prefix("shellcraft-dockerd-").expect("a directory");
        let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let containerd = spawn_containerd(&dir);
        let dockerd = spawn_dockerd(&dir, &flags);
        let mut daemon = Daemon {
            dir,
            flags,
            containerd,
            dockerd,
        };
        daemon.wait_until_up();
        daemon
    }

    pub fn docker_host(&self) -> String {
        format!("unix://{}", at(&self.dir, "docker.sock"))
    }

    pub fn engine(&self) -> Engine {
        Engine::new(&self.docker_host()).expect("a socket's path")
    }

    #[track_caller]
    fn wait_until_up(&mut self) {
        let due = Instant::now() + PATIENCE;
        while self.engine().ping().is_err() {
            let ended = self.dockerd.try_wait().expect("our child");
            if ended.is_some() || Instant::now() > due {
                let log = std::fs::read_to_string(at(&self.dir, "log")).unwrap_or_default();
                let last = log.get(log.len().saturating_sub(2000)..);
                panic!("dockerd does not start: {}", last.unwrap_or(&log));
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Ends it by a signal's name, and waits for that.
    #[track_caller]
    pub fn end(&mut self, signal: &str) {
        assert!(kill(signal, self.dockerd.id()), "it runs");
        self.dockerd.wait().expect("our child");
    }

    /// Starts it again, after [`Daemon::end`].
    #[track_caller]
    pub fn start_again(&mut self) {
        self.dockerd = spawn_dockerd(&self.dir, &self.flags);
        self.wait_until_up();
    }

    /// The containers' shims, whose command lines name our containerd's socket.
    fn shims(&self) -> Vec<u32> {
        let name = at(&self.dir, "containerd.sock");
        let processes = std::fs::read_dir("/proc").expect("procfs");
        let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        ids.filter(|id| {
            std::fs::read_to_string(format!("/proc/{id}/cmdline"))
                .is_ok_and(|line| line.contains("shim") && line.contains(&name))
        })
        .collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Without containers it leaves nothing mounted and nothing running. It may have ended already.
        for container in self.engine().list(&[]).unwrap_or_default() {
            let _ = self.engine().remove(&container.id);
        }
        for child in [&mut self.dockerd, &mut self.containerd] {
            if child.try_wait().is_ok_and(|ended| ended.is_none()) {
                kill("TERM", child.id());
                let _ = child.wait();
            }
        }
        // What a test that failed has left.
        for shim in self.shims() {
            kill("KILL", shim);
        }
        let _ = Command::new("sh")
            .arg("-c")
            .arg("cut -d ' ' -f 2 /proc/mounts | grep \"^$0/\" | sort -r | xargs -r umount --lazy")
            .arg(self.dir.path())
            .status();
    }
}

fn at(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).display().to_string()
}

fn spawn_containerd(dir: &TempDir) -> Child {
    // Its part for Kubernetes would open a port.
    let config = "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n";
    std::fs::write(at(dir, "containerd.toml"), config).expect("a file");
    let mut command = Command::new("containerd");
    command
        .args(["--config", &at(dir, "containerd.toml")])
        .args(["--root", &at(dir, "containerd")])
        .args(["--state", &at(dir, "containerd-state")])
        .args(["--address", &at(dir, "containerd.sock")]);
    let child = logging(dir, command)
        .spawn()
        .expect("containerd is installed");
    wait_for("containerd's socket", || {
        std::fs::exists(at(dir, "containerd.sock")).is_ok_and(|exists| exists)
    });
    child
}

fn spawn_dockerd(dir: &TempDir, flags: &[String]) -> Child {
    // The machine's own configuration is not for this one.
    std::fs::write(at(dir, "dockerd.json"), "{}").expect("a file");
    // DOCKER: --bridge=none deletes the link docker0, which is the machine's own Engine's: so in a network of its own.
    let mut command = Command::new("unshare");
    command
        .args(["--net", "dockerd"])
        .args(["--config-file", &at(dir, "dockerd.json")])
        .args(["--data-root", &at(dir, "data")])
        .args(["--exec-root", &at(dir, "exec")])
        .args(["--pidfile", &at(dir, "pid")])
        .args(["--containerd", &at(dir, "containerd.sock")])
        .args(["--host", &format!("unix://{}", at(dir, "docker.sock"))])
        .args(["--bridge=none", "--iptables=false", "--ip-forward=false"])
        .args(flags);
    logging(dir, command)
        .spawn()
        .expect("docker.io is installed")
}

/// The command, writing to the daemon's log.
fn logging(dir: &TempDir, mut command: Command) -> Command {
    let mut log = File::options();
    let log = log.create(true).append(true).open(at(dir, "log"));
    let log = log.expect("a file");
    let also = log.try_clone().expect("a descriptor");
    command.stdin(Stdio::null()).stdout(log).stderr(also);
    command
}

/// Sends a signal by its name; whether there was a process to take it.
fn kill(signal: &str, pid: u32) -> bool {
    let mut command = Command::new("kill");
    let command = command.args(["-s", signal, &pid.to_string()]);
    command
        .stderr(Stdio::null())
        .status()
        .expect("kill runs")
        .success()
}

/// Types until an answer comes: what is typed while the Engine is away is lost, and said to be.
#[track_caller]
pub fn plays_again(page: &mut Player) {
    let due = Instant::now() + PATIENCE;
    while crate::site::find(&page.seen, b"back again\r\n").is_none() {
        assert!(Instant::now() < due, "{:?} {:?}", page.closed, page.notes);
        page.type_in("echo ba''ck again\r");
        let soon = Instant::now() + Duration::from_millis(500);
        while Instant::now() < soon && page.read(soon) {}
    }
}

fn is_ready(site: &Site) -> bool {
    site.get("/readyz").status == 200
}

const SHELLS: &str = "busybox=shellcraft-test/busybox";

/// Containers that outlive their Engine are played on in.
#[test]
fn a_game_goes_on_when_the_engine_comes_back() {
    let mut daemon = Daemon::start(&["--live-restore"]);
    let site = Site::start(&daemon.docker_host(), &["--shells", SHELLS]);
    let game = site.create("busybox");
    let mut page = site.page(&game, None);
    page.expect("$ ");
    page.type_in("remember=me; echo no''ted\r");
    page.expect("noted\r\n");

    for signal in ["TERM", "KILL"] {
        daemon.end(signal);
        let notice = page.note("notice");
        assert_eq!(notice["level"], "warning", "{notice}");
        wait_for("the server to see it", || !is_ready(&site));
        let refused = site.post("/session", "");
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.header("retry-after").is_some());
        assert_eq!(site.get("/healthz").status, 200);
        assert_eq!(site.get(&game.path("/status")).json()["status"], "running");

        daemon.start_again();
        wait_for("the server to be ready again", || is_ready(&site));
        page.seen.clear();
        plays_again(&mut page);
        page.type_in("echo it is $remember\r");
        page.expect("it is me\r\n");
        page.notes.clear();
    }
    // New games start too, and both can be ended.
    let second = site.create("busybox");
    site.page(&second, None).expect("$ ");
    for game in [&game, &second] {
        assert_eq!(site.delete(&game.path("")).status, 204);
    }
    assert_eq!(daemon.engine().list(&[]).expect("a list"), []);
    assert_eq!(site.stop(), 0);
}

/// Without live-restore an Engine takes its containers along. The player is told, and nothing is left over.
#[test]
fn a_game_that_the_engine_took_along_is_told_and_cleaned_up() {
    let mut daemon = Daemon::start(&[]);
    let site = Site::start(&daemon.docker_host(), &["--shells", SHELLS]);
    for signal in ["TERM", "KILL"] {
        let game = site.create("busybox");
        let mut page = site.page(&game, None);
        page.expect("$ ");
        daemon.end(signal);
        assert_eq!(site.get("/healthz").status, 200);
        daemon.start_again();
        wait_for("the server to be ready again", || is_ready(&site));

        // Told either by an exit or, when the container is gone altogether, by the close alone.
        let code = page.close_code();
        let exit: Vec<&Value> = page
            .notes
            .iter()
            .filter(|note| note["type"] == "exit")
            .collect();
        let told = site.get(&game.path("/status")).json();
        assert!(
            code == 1000 && exit.len() == 1 && told["status"] == "stopped"
                || code == 1011 && told["status"] == "missing",
            "{signal}: {code} {exit:?} {told}"
        );
        wait_for("the container to be removed", || {
            daemon.engine().list(&[]).is_ok_and(|list| list.is_empty())
        });
        let game = site.create("busybox");
        let mut page = site.page(&game, None);
        page.expect("$ ");
        plays_again(&mut page);
        assert_eq!(site.delete(&game.path("")).status, 204);
    }
    assert_eq!(site.stop(), 0);
}

/// A server that starts before its Engine says so, and serves once that is there.
#[test]
fn an_engine_that_comes_late_is_waited_for() {
    let mut daemon = Daemon::start(&[]);
    daemon.end("TERM");
    let site = Site::start(&daemon.docker_host(), &["--shells", SHELLS]);
    assert_eq!(site.get("/readyz").status, 503);
    let refused = site.post("/session", "");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "engine_unavailable")
    );
    daemon.start_again();
    wait_for("the server to be ready", || is_ready(&site));
    let game = site.create("busybox");
    site.page(&game, None).expect("$ ");
}
