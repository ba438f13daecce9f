//! `shellcraft install`: puts the service's files in their places: this binary, the systemd units, and the settings
//! with a new, secret token for the operator. User and folders are made by systemd, from the unit.
//!
//! What is there and differs has been edited, or is of another version: it is kept, and named. Only the binary is replaced,
//! by a rename: the server that runs keeps its own. No threads.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::files;
use crate::auth::secret;

const BINARY: &str = "usr/local/bin/shellcraft";
const SETTINGS: &str = "etc/shellcraft.env";
/// The group that may speak to the Engine; the unit names it.
const GROUP: &str = "docker";

/// A file to be there.
struct Item {
    /// Below the root.
    path: &'static str,
    mode: u32,
    content: Vec<u8>,
    on_difference: OnDifference,
}

/// What becomes of a file that is there with another content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnDifference {
    Keep,
    Replace,
}

/// What is done about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileAction {
    Write,
    Replace,
    /// It is as it would be written.
    Leave,
    /// It is another one, and may have been edited.
    Keep,
}

/// Installs the files, or with `is_dry` says what it would do. The status is for the shell.
pub fn run(root: &Path, is_dry: bool) -> bool {
    if !is_dry && root == Path::new("/") && !rustix::process::geteuid().is_root() {
        eprintln!(
            "shellcraft: only root may install; `shellcraft install --dry-run` says what it would do"
        );
        return false;
    }
    let items = match items() {
        Ok(items) => items,
        Err(cause) => {
            eprintln!("shellcraft: can't read this program: {cause}");
            return false;
        }
    };
    for item in &items {
        let target = root.join(item.path);
        let done = step(&target, item).and_then(|step| {
            if !is_dry {
                step.take(&target, item)?;
            }
            Ok(step)
        });
        match done {
            Ok(step) => print(&format_args!("{}", step.told(&target, item, is_dry))),
            Err(cause) => {
                eprintln!("shellcraft: can't install {}: {cause}", target.display());
                return false;
            }
        }
    }
    if !has_group(root) {
        print(&format_args!(
            "there is no group {GROUP}, which the service needs: install an Engine, such as Debian's docker.io"
        ));
    }
    print(&"then: systemctl daemon-reload && systemctl enable --now shellcraft");
    true
}

fn items() -> io::Result<Vec<Item>> {
    let unit = |path, name| Item {
        path,
        mode: 0o644,
        content: files::text_of(name).unwrap_or_default(),
        on_difference: OnDifference::Keep,
    };
    Ok(vec![
        Item {
            path: BINARY,
            mode: 0o755,
            content: fs::read("/proc/self/exe")?,
            on_difference: OnDifference::Replace,
        },
        unit(
            "etc/systemd/system/shellcraft.service",
            "shellcraft.service",
        ),
        unit("etc/systemd/system/shellcraft.socket", "shellcraft.socket"),
        Item {
            path: SETTINGS,
            // The token in it is root's; systemd reads it as root.
            mode: 0o600,
            content: settings(&files::text_of("shellcraft.env").unwrap_or_default()),
            on_difference: OnDifference::Keep,
        },
    ])
}

/// All settings, commented out, but for a new token.
fn settings(template: &[u8]) -> Vec<u8> {
    let template = String::from_utf8_lossy(template);
    let token = format!("\nADMIN_TOKEN={}\n", secret::new_token());
    template
        .replacen("\n#ADMIN_TOKEN=\n", &token, 1)
        .into_bytes()
}

/// What is to be done, going by what is there.
fn step(target: &Path, item: &Item) -> io::Result<FileAction> {
    let there = match content(target) {
        Ok(there) => there,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(FileAction::Write),
        // A user who is not root asks what would be done.
        Err(cause)
            if cause.kind() == ErrorKind::PermissionDenied
                && item.on_difference == OnDifference::Keep =>
        {
            return Ok(FileAction::Keep);
        }
        Err(cause) => return Err(cause),
    };
    Ok(match item.on_difference {
        _ if there == item.content => FileAction::Leave,
        OnDifference::Replace => FileAction::Replace,
        OnDifference::Keep => FileAction::Keep,
    })
}

/// What is in a regular file. Anything else is an error, because a pipe or a device may have no end.
fn content(target: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(target)?.is_file() {
        return Err(io::Error::other("something else than a file is there"));
    }
    fs::read(target)
}

impl FileAction {
    fn take(self, target: &Path, item: &Item) -> io::Result<()> {
        match self {
            FileAction::Write | FileAction::Replace => write(target, item),
            FileAction::Leave | FileAction::Keep => Ok(()),
        }
    }

    /// A line for the operator.
    fn told(self, target: &Path, item: &Item, is_dry: bool) -> String {
        let would = if is_dry { "would " } else { "" };
        let (word, note) = match self {
            FileAction::Write if item.path == SETTINGS => (
                "write",
                ", readable by root only, with a new ADMIN_TOKEN in it",
            ),
            FileAction::Write => ("write", ""),
            FileAction::Replace => ("replace", ""),
            FileAction::Leave => ("leave", ", which is the same"),
            FileAction::Keep if item.path == SETTINGS && is_open(target) => {
                ("keep", ", which others than root may read: chmod 600")
            }
            FileAction::Keep if item.path == SETTINGS => ("keep", ""),
            FileAction::Keep => (
                "keep",
                ", which is another one than `shellcraft files` prints",
            ),
        };
        format!("{would}{word} {}{note}", target.display())
    }
}

/// Whether others than the owner may do something with it.
fn is_open(target: &Path) -> bool {
    fs::metadata(target).is_ok_and(|about| about.mode() & 0o077 != 0)
}

/// Writes the file whole or not at all, and what it replaces stays whole meanwhile.
fn write(target: &Path, item: &Item) -> io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mut new = PathBuf::from(target).into_os_string();
    new.push(".new");
    // An earlier try may have left this file, or another user may have put a link there.
    match fs::remove_file(&new) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create_new(true)
        .mode(item.mode)
        .open(&new)?;
    let done = fill(file, item).and_then(|()| fs::rename(&new, target));
    // A full disk is not to be left fuller.
    done.inspect_err(|_| drop(fs::remove_file(&new)))
}

fn fill(mut file: File, item: &Item) -> io::Result<()> {
    // Sets the mode, whatever the umask is.
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(item.mode))?;
    file.write_all(&item.content)?;
    file.sync_all()
}

/// Whether the system knows the group. A list that can't be read has no groups.
fn has_group(root: &Path) -> bool {
    let groups = fs::read_to_string(root.join("etc/group"));
    groups.is_ok_and(|groups| {
        groups
            .lines()
            .any(|line| line.split(':').next() == Some(GROUP))
    })
}

fn print(line: &dyn Display) {
    super::say(&format!("{line}\n"));
}
