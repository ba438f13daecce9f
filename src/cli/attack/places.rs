//! Where a player can write, and what there is to read.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{PROGRAM, SECRET};
use crate::cli::finding::Finding;

/// Devices that keep nothing, the terminal, the small memories that every container has, and the kernel's pressure
/// files, in which every process may ask to be woken.
const HARMLESS: &[&str] = &[
    "/dev/full",
    "/dev/null",
    "/dev/random",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
    "/dev/ptmx",
    "/dev/pts/ptmx",
    "/dev/pts/0",
    "/dev/console",
    "/dev/mqueue/",
    "/dev/shm/",
    "/proc/pressure/cpu",
    "/proc/pressure/io",
    "/proc/pressure/irq",
    "/proc/pressure/memory",
];
/// What a player is meant to write to.
const MEANT: &[&str] = &["/tmp/", "/home/spellbook.dat"];
/// What must be hidden behind something empty, where this kernel has it at all.
const MASKED: &[&str] = &[
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/acpi",
    "/proc/scsi",
    "/sys/firmware",
];
/// Where Engines have their sockets.
const ENGINES: &[&str] = &[
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/user/1000/docker.sock",
    "/run/user/1000/podman/podman.sock",
];
/// `O_NONBLOCK` and `O_NOCTTY`: a pipe must not block this process, and a terminal must not become its own.
const CAREFUL: i32 =
    (rustix::fs::OFlags::NONBLOCK.bits() | rustix::fs::OFlags::NOCTTY.bits()) as i32;

/// Tries it all.
pub(super) fn look(report: &mut dyn FnMut(&Finding)) {
    let mut found = Found::default();
    found.walk(Path::new("/"));
    report(&found.judge_writable());
    let engine = ENGINES
        .iter()
        .find(|path| UnixStream::connect(path).is_ok());
    report(&found.judge_sockets(engine.copied()));
    report(&masks());
    report(&no_program_runs());
    report(&secrets());
}

#[derive(Default)]
struct Found {
    /// What could be opened for writing; directories, in which something could be made, end in a slash.
    writable: Vec<String>,
    sockets: Vec<PathBuf>,
}

impl Found {
    /// Tries to write to everything below. Mode bits prove nothing: a file that is noted was really opened for writing,
    /// and in a directory that is noted something was really made.
    fn walk(&mut self, dir: &Path) {
        let probe = dir.join(".probe");
        if fs::write(&probe, b"").is_ok() {
            // It does no harm if it stays.
            let _ = fs::remove_file(&probe);
            self.writable.push(format!("{}/", dir.display()));
        }
        let Ok(entries) = fs::read_dir(dir) else {
            return;
        };
        for entry in entries.flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else {
                continue;
            };
            if kind.is_dir() {
                if !is_process(&path) {
                    self.walk(&path);
                }
            } else if kind.is_socket() {
                self.sockets.push(path);
            } else if kind.is_file() || kind.is_char_device() || kind.is_block_device() {
                let opened = OpenOptions::new()
                    .append(true)
                    .custom_flags(CAREFUL)
                    .open(&path);
                if opened.is_ok() && !is_masked(&path) {
                    self.writable.push(path.display().to_string());
                }
            }
        }
    }

    fn judge_writable(&self) -> Finding {
        let name = "writable places";
        let is_strange = |path: &&String| {
            let path = path.as_str();
            !HARMLESS.contains(&path) && !MEANT.contains(&path) && !path.starts_with("/tmp/")
        };
        let strange: Vec<&str> = self
            .writable
            .iter()
            .filter(is_strange)
            .map(String::as_str)
            .collect();
        if strange.is_empty() {
            Finding::ok(name, "/tmp and the spellbook, of all there is")
        } else {
            let shown = strange.get(..5).unwrap_or(&strange).join(", ");
            Finding::fail(name, format!("{} more, such as {shown}", strange.len()))
        }
    }

    /// `engine` is the path of an Engine that has answered.
    fn judge_sockets(&self, engine: Option<&str>) -> Finding {
        match (engine, self.sockets.first()) {
            (Some(path), _) => Finding::fail("the Engine's socket", format!("answers at {path}")),
            (None, Some(path)) => Finding::fail(
                "the Engine's socket",
                format!("{} is in reach", path.display()),
            ),
            (None, None) => Finding::ok("the Engine's socket", "not there, and no other"),
        }
    }
}

fn is_process(path: &Path) -> bool {
    let mut parts = path.iter().skip(1);
    parts.next().is_some_and(|first| first == "proc")
        && parts
            .next()
            .is_some_and(|id| id.as_encoded_bytes().iter().all(u8::is_ascii_digit))
}

/// Whether the Engine has masked a file: it is /dev/null then, under another name.
fn is_masked(path: &Path) -> bool {
    path.starts_with("/proc")
        && fs::metadata(path).is_ok_and(|meta| meta.file_type().is_char_device())
}

fn masks() -> Finding {
    let name = "the kernel's own files";
    for path in MASKED {
        let is_bare = match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {
                fs::read_dir(path).is_ok_and(|mut dir| dir.next().is_some())
            }
            Ok(_) => fs::File::open(path)
                .is_ok_and(|mut file| matches!(file.read(&mut [0; 64]), Ok(1..))),
            Err(_) => false,
        };
        if is_bare {
            return Finding::fail(name, format!("{path} can be read"));
        }
    }
    // The walk has tried to write to all of /proc and /sys.
    Finding::ok(name, "masked")
}

/// Checks that a program that a player brings in can't be run, not even as a script.
fn no_program_runs() -> Finding {
    let name = "new programs";
    for dir in ["/tmp", "/dev/shm", "/dev/mqueue"] {
        let path = format!("{dir}/program");
        let script = format!("#!{PROGRAM} attack eat 0\n");
        let is_written = fs::write(&path, script)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .is_ok();
        let started = Command::new(&path).status();
        // It does no harm if it stays.
        let _ = fs::remove_file(&path);
        match started {
            Err(cause) if cause.kind() == ErrorKind::PermissionDenied => {}
            Err(_) if !is_written => {}
            outcome => return Finding::fail(name, format!("run from {dir}: {outcome:?}")),
        }
    }
    Finding::ok(name, "can be written, not run")
}

/// Checks that the image's file for root alone can't be read.
fn secrets() -> Finding {
    match fs::File::open(SECRET) {
        Err(cause) if cause.kind() == ErrorKind::PermissionDenied => {
            Finding::ok("root's files", "can't be read")
        }
        outcome => Finding::fail("root's files", format!("{SECRET}: {outcome:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_from_the_kernel_s_files() {
        for (path, expected) in [
            ("/proc/1", true),
            ("/proc/4711", true),
            ("/proc/sys", false),
            ("/proc", false),
            ("/sys/1", false),
        ] {
            assert_eq!(is_process(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn what_is_meant_to_be_written_to_is_no_news() {
        let mut found = Found {
            writable: vec![
                "/tmp/".into(),
                "/dev/null".into(),
                "/home/spellbook.dat".into(),
            ],
            ..Found::default()
        };
        assert!(found.judge_writable().to_string().starts_with("ok"));
        found.writable.push("/home/".into());
        assert!(found.judge_writable().to_string().starts_with("FAIL"));
        assert!(found.judge_sockets(None).to_string().starts_with("ok"));
        let answers = found.judge_sockets(Some("/run/docker.sock"));
        assert!(answers.to_string().starts_with("FAIL"));
        found.sockets.push("/run/some.sock".into());
        assert!(found.judge_sockets(None).to_string().starts_with("FAIL"));
    }
}
