//! `shellcraft install` below a folder of the test's own: what it writes, what it keeps, and what it only says.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::binary::server_binary;

const PROGRAM: &str = "usr/local/bin/shellcraft";
const UNIT: &str = "etc/systemd/system/shellcraft.service";
const SOCKET: &str = "etc/systemd/system/shellcraft.socket";
const SETTINGS: &str = "etc/shellcraft.env";

/// A host that has nothing.
struct Host(TempDir);

impl Host {
    fn new() -> Host {
        Host(tempfile::tempdir().expect("a directory"))
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    /// Installs, and returns what was said.
    #[track_caller]
    fn install(&self, flags: &[&str]) -> String {
        let mut command = Command::new("sh");
        // However little others may read of what is made here.
        command
            .args([
                "-c",
                "umask 077; exec \"$0\" install --root \"$@\"",
                server_binary(),
            ])
            .arg(self.root());
        let output = command.args(flags).output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{errors}");
        // Without the folder's name.
        text.replace(&format!("{}/", self.root().display()), "/")
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).expect("it is there")
    }

    fn mode(&self, path: &str) -> u32 {
        let about = fs::metadata(self.root().join(path)).expect("it is there");
        about.permissions().mode() & 0o7777
    }
}

fn template(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/deploy");
    fs::read_to_string(folder.join(name)).expect("it is there")
}

/// The operator's token in the settings.
fn token(settings: &str) -> &str {
    let mut lines = settings.lines();
    lines
        .find_map(|line| line.strip_prefix("ADMIN_TOKEN="))
        .expect("a token")
}

#[test]
fn all_of_it_is_put_in_its_place() {
    let host = Host::new();
    let told = host.install(&[]);
    for path in [PROGRAM, UNIT, SOCKET, SETTINGS] {
        assert!(told.contains(&format!("write /{path}")), "{told}");
    }
    assert!(told.contains("no group docker"), "{told}");
    let program = fs::read(host.root().join(PROGRAM)).expect("it is there");
    assert!(program == fs::read(server_binary()).expect("it runs"));
    assert_eq!(host.text(UNIT), template("shellcraft.service"));
    assert_eq!(host.text(SOCKET), template("shellcraft.socket"));
    let modes = [PROGRAM, UNIT, SOCKET, SETTINGS].map(|path| host.mode(path));
    assert_eq!(modes, [0o755, 0o644, 0o644, 0o600]);

    // All settings are there, and one has a value.
    let settings = host.text(SETTINGS);
    let token = token(&settings);
    assert_eq!(token.len(), 64, "{token}");
    let emptied = settings.replace(&format!("\nADMIN_TOKEN={token}\n"), "\n#ADMIN_TOKEN=\n");
    assert_eq!(emptied, template("shellcraft.env"));
    assert!(!told.contains(token), "the token is in nobody's log");

    let other = Host::new();
    other.install(&[]);
    assert_ne!(self::token(&other.text(SETTINGS)), token);
}

#[test]
fn what_is_there_is_kept_and_said() {
    let host = Host::new();
    host.install(&[]);
    let (settings, unit) = (host.text(SETTINGS), host.text(UNIT));

    let told = host.install(&[]);
    assert!(told.contains(&format!("leave /{PROGRAM}")), "{told}");
    assert!(told.contains(&format!("leave /{UNIT}")), "{told}");
    assert!(told.contains(&format!("keep /{SETTINGS}")), "{told}");
    assert!(!told.contains("write"), "{told}");
    assert_eq!(host.text(SETTINGS), settings);

    // An operator's own, and a program of another version.
    let edited = unit.replace("TimeoutStopSec=20", "TimeoutStopSec=40");
    assert_ne!(edited, unit);
    fs::write(host.root().join(UNIT), &edited).expect("written");
    fs::write(host.root().join(PROGRAM), "the last version").expect("written");
    fs::create_dir_all(host.root().join("etc")).expect("it is there");
    fs::write(host.root().join("etc/group"), "root:x:0:\ndocker:x:999:\n").expect("written");
    let told = host.install(&[]);
    assert!(
        told.contains(&format!("keep /{UNIT}, which is another one")),
        "{told}"
    );
    assert!(told.contains(&format!("replace /{PROGRAM}")), "{told}");
    assert!(!told.contains("no group"), "{told}");
    assert_eq!(host.text(UNIT), edited);
    assert_eq!(host.mode(PROGRAM), 0o755);
    let names = fs::read_dir(host.root().join("usr/local/bin")).expect("a folder");
    assert_eq!(names.count(), 1, "nothing is left over");
}

#[test]
fn a_dry_run_writes_nothing() {
    let host = Host::new();
    let told = host.install(&["--dry-run"]);
    for path in [PROGRAM, UNIT, SOCKET, SETTINGS] {
        assert!(told.contains(&format!("would write /{path}")), "{told}");
    }
    let entries = fs::read_dir(host.root()).expect("a folder");
    assert_eq!(entries.count(), 0);
}

/// What lies where the next file is prepared is not written through.
#[test]
fn a_link_leads_nowhere() {
    let host = Host::new();
    let elsewhere = host.root().join("elsewhere");
    fs::write(&elsewhere, "somebody's").expect("written");
    fs::create_dir_all(host.root().join("etc")).expect("made");
    symlink(&elsewhere, host.root().join("etc/shellcraft.env.new")).expect("a link");
    host.install(&[]);
    assert_eq!(
        fs::read_to_string(&elsewhere).expect("it is there"),
        "somebody's"
    );
    assert_eq!(host.mode(SETTINGS), 0o600);
}

/// Who is not root is told so, and nothing is tried.
#[test]
fn a_user_may_only_ask() {
    let host = Host::new();
    // The binary may lie where only root looks.
    let program = host.root().join("shellcraft");
    fs::copy(server_binary(), &program).expect("copied");
    fs::set_permissions(host.root(), fs::Permissions::from_mode(0o755)).expect("ours");
    let install = |flags: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(&program).arg("install").args(flags);
        command.output().expect("setpriv is there")
    };
    let output = install(&[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("only root"), "{errors}");
    let output = install(&["--dry-run"]);
    assert!(output.status.success(), "{output:?}");
}

/// A disk that is full, which a limit stands for, has no half of a file on it afterwards.
#[test]
fn what_can_t_be_written_whole_is_not_there() {
    let host = Host::new();
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" install --root \"$1\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", limited, server_binary()])
        .arg(host.root());
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("can't install"), "{errors}");
    let names = fs::read_dir(host.root().join("usr/local/bin")).expect("a folder");
    assert_eq!(names.count(), 0, "nothing is left over");
}

#[test]
fn settings_that_others_may_read_are_told_of() {
    let host = Host::new();
    assert!(!host.install(&[]).contains("chmod"));
    let settings = host.root().join(SETTINGS);
    fs::set_permissions(&settings, fs::Permissions::from_mode(0o644)).expect("ours");
    let told = host.install(&[]);
    assert!(told.contains("chmod 600"), "{told}");
    assert_eq!(host.mode(SETTINGS), 0o644, "it is the operator's");
}

/// A pipe would never be read to its end.
#[test]
fn what_is_no_file_is_refused() {
    let host = Host::new();
    fs::create_dir_all(host.root().join("etc")).expect("made");
    let pipe = host.root().join(SETTINGS);
    let made = Command::new("mkfifo").arg(pipe).status();
    assert!(made.expect("it runs").success());
    let mut command = Command::new("timeout");
    command.args(["60", server_binary(), "install", "--root"]);
    let output = command.arg(host.root()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("shellcraft.env: "), "{errors}");
}
