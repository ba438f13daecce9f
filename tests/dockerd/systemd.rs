//! `templates/deploy/shellcraft.service` under a real systemd, installed as the README says: it starts, is restarted under
//! a game, killed, stopped and misconfigured. And what systemd's own tools say of it.
//!
//! The systemd is process 1 of a machine that `systemd/machine` makes of namespaces; only root can.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::containers::{own_address, unique};
use crate::dist;
use crate::docker;
use crate::site::{ADMIN_TOKEN, Client, Game, Player, wait_for};

const UNIT: &str = include_str!("../../templates/deploy/shellcraft.service");
/// Ten times the exposure that `systemd-analyze security` may find, and that the README tells.
const EXPOSURE: &str = "11";
/// What the machine starts with, and what that needs: no more of the distribution's units than a log.
const UNITS: [&str; 11] = [
    "basic.target",
    "final.target",
    "multi-user.target",
    "network.target",
    "shutdown.target",
    "sockets.target",
    "sysinit.target",
    "systemd-journald-dev-log.socket",
    "systemd-journald.service",
    "systemd-journald.socket",
    "umount.target",
];

/// A machine with a systemd of its own; all of it is gone when it goes out of scope.
pub struct Machine {
    folder: TempDir,
    /// The process that the machine ends with.
    outside: Child,
    /// Its process 1, by the number that it has here.
    init: String,
    cgroup: PathBuf,
    pub instance: String,
    pub address: SocketAddr,
}

impl Machine {
    /// Boots one.
    #[track_caller]
    pub fn boot() -> Machine {
        let folder = TempDir::with_prefix("shellcraft-machine-").expect("a directory");
        let socket = docker::host();
        let socket = socket.strip_prefix("unix://").expect("a Unix socket");
        furnish(folder.path(), Path::new(socket));
        let instance = unique();
        let cgroup = cgroup2().join(&instance);
        fs::create_dir(&cgroup).expect("root may make cgroups");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dockerd/systemd/machine");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", script]);
        command
            .args([folder.path(), &cgroup, Path::new(socket), &dist::binary()])
            .stdin(Stdio::null());
        let mut machine = Machine {
            outside: command.spawn().expect("util-linux is installed"),
            folder,
            init: String::new(),
            cgroup,
            instance,
            address: own_address(),
        };
        wait_for("the machine's process 1", || {
            let pid = fs::read_to_string(machine.folder.path().join("pid")).unwrap_or_default();
            machine.init = pid.trim().to_owned();
            pid.ends_with('\n')
        });
        wait_for("systemd to have booted", || {
            machine.try_run("systemctl is-system-running").stdout == b"running\n"
        });
        machine
    }

    /// Runs shell commands in the machine.
    fn try_run(&self, commands: &str) -> Output {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init, "--mount", "--uts", "--ipc"])
            .args(["--cgroup", "--pid", "--root", "--wd"])
            .args(["sh", "-ec", commands])
            .env("SYSTEMD_UNIT_PATH", "/etc/systemd/system");
        command.output().expect("util-linux is installed")
    }

    /// The same; they must succeed. Returns what they printed.
    #[track_caller]
    pub fn run(&self, commands: &str) -> String {
        let output = self.try_run(commands);
        assert!(
            output.status.success(),
            "{commands}: {}{}",
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// What the service has logged, and systemd of it.
    pub fn log(&self) -> String {
        let journal = self.try_run("journalctl --no-pager --lines 50");
        let console = fs::read_to_string(self.folder.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&journal.stdout).into_owned() + &console
    }

    /// One of the service's properties.
    #[track_caller]
    pub fn show(&self, property: &str) -> String {
        self.run(&format!("systemctl show --value -p {property} shellcraft"))
    }

    /// Puts a setting at the end of /etc/shellcraft.env, where it wins.
    pub fn set(&self, setting: &str) {
        self.run(&format!("echo '{setting}' >>/etc/shellcraft.env"));
    }

    pub fn client(&self) -> Client {
        Client::at(self.address)
    }

    #[track_caller]
    pub fn wait_until_ready(&self) {
        wait_for("the server to be ready", || {
            let reply = self.client().try_request("GET", "/readyz", &[], b"");
            reply.is_some_and(|reply| reply.status == 200)
        });
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        // The whole of it: its process 1 ends with this one, and with that all others there, and their mounts.
        let _ = self.outside.kill();
        let _ = self.outside.wait();
        for container in docker::containers(&self.instance) {
            docker::try_docker(&["rm", "-fv", &container]);
        }
        wait_for("the machine's cgroups to be empty", || {
            remove_cgroups(&self.cgroup).is_ok()
        });
    }
}

/// Writes what the machine has as /etc.
fn furnish(folder: &Path, socket: &Path) {
    let units = folder.join("etc/systemd/system");
    let wanted = units.join("sysinit.target.wants");
    for directory in [&wanted, &folder.join("root")] {
        fs::create_dir_all(directory).expect("a directory");
    }
    for unit in UNITS {
        let from = Path::new("/lib/systemd/system").join(unit);
        fs::copy(from, units.join(unit)).expect("the package systemd is installed");
        if unit.starts_with("systemd-journald") {
            let link = std::os::unix::fs::symlink(units_path(unit), wanted.join(unit));
            link.expect("a link");
        }
    }
    std::os::unix::fs::symlink("multi-user.target", units.join("default.target")).expect("a link");
    let group = socket.metadata().expect("the Engine's socket").gid();
    let group = format!("root:x:0:\ndocker:x:{group}:\nnogroup:x:65534:\n");
    for (name, text) in [
        (
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
        ),
        ("etc/group", &group),
        ("etc/machine-id", "5e11c4af75e11c4af75e11c4af75e11c\n"),
        ("console", ""),
    ] {
        fs::write(folder.join(name), text).expect("a file");
    }
}

fn units_path(unit: &str) -> PathBuf {
    Path::new("/etc/systemd/system").join(unit)
}

/// Where cgroups of the second kind are mounted: beside those of the first, or alone.
fn cgroup2() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("procfs");
    let mut mounts = mounts.lines().map(|line| line.split(' '));
    let found = mounts.find_map(|mut words| {
        let (_, place, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    });
    found.expect("cgroup2 is mounted")
}

/// Removes a cgroup with all below it; fails while there are processes in one.
fn remove_cgroups(cgroup: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_cgroups(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup)
}

/// As the README says. Settings come before the first start: with the defaults it would take over another server's games.
pub const INSTALL: &str = "shellcraft install";

/// The server's process has no right but to speak to the Engine.
#[track_caller]
pub fn check_confined(machine: &Machine) {
    let status = machine.run(&format!("cat /proc/{}/status", machine.show("MainPID")));
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:\t"));
    let user: u32 = user
        .and_then(|ids| ids.split('\t').next()?.parse().ok())
        .expect("a number");
    assert!((61_184..65_520).contains(&user), "a dynamic user: {user}");
    docker::check_powerless(&status);
    let state = machine.run("stat -L -c '%a %u' /var/lib/shellcraft/ /run/shellcraft/");
    assert_eq!(state, format!("700 {user}\n700 {user}"));
}

#[test]
fn the_service_under_a_real_systemd() {
    assert_eq!(
        Command::new(dist::binary())
            .args(["files", "shellcraft.service"])
            .output()
            .expect("it runs")
            .stdout,
        UNIT.as_bytes(),
        "target/dist/shellcraft is old: run `make dist`"
    );
    let machine = Machine::boot();
    machine.run(INSTALL);
    machine.set(&format!("BIND={}", machine.address.ip()));
    machine.set(&format!("PORT={}", machine.address.port()));
    machine.set(&format!("INSTANCE={}", machine.instance));
    machine.set(&format!("ADMIN_TOKEN={ADMIN_TOKEN}"));
    machine.set("POOL_SIZE=0");
    machine.run(
        "mkdir /etc/systemd/system/shellcraft.service.d
        printf '[Service]\\nWatchdogSec=5\\n' >/etc/systemd/system/shellcraft.service.d/test.conf
        systemctl daemon-reload; systemctl enable --now shellcraft",
    );
    machine.wait_until_ready();
    assert_eq!(machine.show("ActiveState"), "active");
    check_confined(&machine);

    let client = machine.client();
    let game = client.create("rust");
    let mut page = client.page(&game, None);
    page.expect(" ~ ");
    page.type_in("learn mark echo I was $1\r");
    page.expect("learned mark");

    machine.run("systemctl restart shellcraft");
    assert_eq!(page.close_code(), 1001);
    machine.wait_until_ready();
    let mut page = client.page(&game, Some(page.offset));
    page.type_in("cast mark here\r");
    page.expect("I was here");

    machine.run("systemctl kill --kill-who main -s KILL shellcraft");
    assert_eq!(page.close_code(), 1006);
    machine.wait_until_ready();
    assert_eq!(machine.show("NRestarts"), "1");
    // One that hangs is killed too, by systemd, which hears nothing of it.
    let page = check_watchdog(&machine, &game, page.offset);
    let mut page = client.page(&game, Some(page.offset));
    page.type_in("cast mark there\r");
    page.expect("I was there");

    machine.run("systemctl stop shellcraft");
    let ended = machine.run("systemctl show -p Result,ExecMainStatus,ActiveState shellcraft");
    assert_eq!(
        ended,
        "Result=success\nExecMainStatus=0\nActiveState=inactive"
    );

    machine.run("cp /etc/shellcraft.env /etc/good.env");
    machine.set("IDLE_TIMEOUT=soon");
    machine.try_run("systemctl start shellcraft");
    wait_for("the service to fail", || {
        machine.show("ActiveState") == "failed"
    });
    let ended = machine.run("systemctl show -p Result,ExecMainStatus,NRestarts shellcraft");
    assert_eq!(ended, "Result=exit-code\nNRestarts=0\nExecMainStatus=2");
    let log = machine.log();
    assert!(
        log.contains("IDLE_TIMEOUT (--idle-timeout) can't be \"soon\""),
        "{log}"
    );

    machine.run("mv /etc/good.env /etc/shellcraft.env");
    check_activation(&machine);
    machine.run("systemctl start shellcraft");
    machine.wait_until_ready();
    let mut page = client.page(&game, Some(page.offset));
    page.type_in("cast mark everywhere\r");
    page.expect("I was everywhere");
    // For good: what has ended by itself is not started again.
    machine.run(&format!(
        "BIND={} PORT={} ADMIN_TOKEN={ADMIN_TOKEN} shellcraft drain",
        machine.address.ip(),
        machine.address.port()
    ));
    wait_for("the service to end", || {
        machine.show("ActiveState") == "inactive"
    });
    assert_eq!(machine.show("Result"), "success");
    assert_eq!(docker::containers(&machine.instance), [] as [String; 0]);
}

/// Stops the server's process in the middle of a game; the next one goes on with it. Returns the page.
#[track_caller]
fn check_watchdog(machine: &Machine, game: &Game, offset: u64) -> Player {
    let mut page = machine.client().page(game, Some(offset));
    page.type_in("echo before it hangs\r");
    page.expect("before it hangs\r\n");
    machine.run("systemctl kill --kill-who main -s STOP shellcraft");
    wait_for("systemd to start it again", || {
        machine.show("NRestarts") == "2"
    });
    machine.wait_until_ready();
    page
}

/// Opens the socket that systemd keeps for the service at an address of its own, and restarts the server behind it: whoever
/// comes meanwhile waits.
#[track_caller]
fn check_activation(machine: &Machine) {
    let address = own_address();
    machine.run(&format!(
        "systemctl stop shellcraft
        sed -i 's/^ListenStream=.*/ListenStream={address}/' /etc/systemd/system/shellcraft.socket
        systemctl daemon-reload
        systemctl start shellcraft.socket"
    ));
    // The first who comes starts it.
    let client = Client::at(address);
    assert_eq!(client.get("/healthz").text(), "ok");
    machine.run("systemctl stop shellcraft; systemctl is-active shellcraft.socket");
    let waiting = std::thread::scope(|scope| {
        let asks = (0..4).map(|_| scope.spawn(|| client.get("/healthz").text()));
        let asks: Vec<_> = asks.collect();
        machine.run("systemctl restart shellcraft");
        asks.into_iter()
            .map(|ask| ask.join().expect("an answer"))
            .collect::<Vec<_>>()
    });
    assert_eq!(waiting, ["ok"; 4]);
    machine.run("systemctl stop shellcraft.socket shellcraft");
}

/// Runs `systemd-analyze` on the unit; it must find nothing. Returns what it printed.
#[track_caller]
fn analyze(words: &[&str]) -> String {
    let folder = TempDir::new().expect("a directory");
    let unit = folder.path().join("shellcraft.service");
    let installed = "/usr/local/bin/shellcraft";
    assert!(UNIT.contains(installed));
    fs::write(
        &unit,
        UNIT.replace(installed, crate::binary::server_binary()),
    )
    .expect("a file");
    let mut command = Command::new("systemd-analyze");
    let output = command.args(words).arg(unit).output();
    let output = output.expect("the package systemd is installed");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{words:?}: {text}");
    text
}

#[test]
fn systemd_finds_no_fault_in_the_unit() {
    let text = analyze(&["verify", "--man=no"]);
    assert!(!text.contains("shellcraft"), "{text}");
}

#[test]
fn the_unit_is_exposed_no_more_than_the_readme_says() {
    let threshold = format!("--threshold={EXPOSURE}");
    let text = analyze(&["security", "--offline=true", "--no-pager", &threshold]);
    assert!(
        text.contains("Overall exposure level for shellcraft.service"),
        "{text}"
    );
}
