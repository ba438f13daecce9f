//! The directory of tiny_http's private socket, and the removal of those that killed processes have left.
//!
//! Each directory holds a file that its owner keeps locked. A lock ends with its process, however that ends, so a
//! directory whose lock is free is dead; that also holds between containers, where process ids say nothing.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use rustix::process::geteuid;
use uuid::Uuid;

use super::Error;

const PREFIX: &str = "shellcraft-";
/// Few, because a Unix socket's path must be short; enough that no name is drawn twice.
const NAME_DIGITS: usize = 12;
const LOCK: &str = "lock";
/// How often a new directory is tried: another process that starts may take it for a dead one before it is locked, but
/// hardly twice.
const ATTEMPTS: u32 = 5;

/// A directory that no other user can look into; removed when dropped.
#[derive(Debug)]
pub(super) struct PrivateDirectory {
    path: PathBuf,
    // Stays open, because the lock is on it.
    _lock: File,
}

impl PrivateDirectory {
    /// Makes one in `parent`, and removes the dead ones there.
    pub(super) fn new(parent: &Path) -> Result<PrivateDirectory, Error> {
        remove_dead(parent);
        let mut path = new_path(parent);
        for _ in 0..ATTEMPTS {
            match make_locked(&path) {
                Ok(Some(lock)) => return Ok(PrivateDirectory { path, _lock: lock }),
                Ok(None) => path = new_path(parent),
                Err(cause) => return Err(Error::PrivateDir { path, cause }),
            }
        }
        let cause = io::Error::other("it is removed again and again");
        Err(Error::PrivateDir { path, cause })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            log::warn!("{} could not be removed: {error}", self.path.display());
        }
    }
}

fn new_path(parent: &Path) -> PathBuf {
    let name = Uuid::new_v4().simple().to_string();
    parent.join(format!("{PREFIX}{}", &name[..NAME_DIGITS]))
}

/// Makes a directory and locks it; `None` when another process took it for a dead one before that, and is removing it.
fn make_locked(path: &Path) -> io::Result<Option<File>> {
    // `create` fails if the name exists already.
    DirBuilder::new().mode(0o700).create(path)?;
    let lock_path = path.join(LOCK);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let lock = match open(&lock_path, flags, Mode::RUSR | Mode::WUSR) {
        Err(Errno::NOENT) => return Ok(None),
        opened => File::from(opened?),
    };
    if !take(&lock)? {
        return Ok(None); // It is being removed at this moment.
    }
    // INVARIANT: the lock counts only if it is on the file that others will find there.
    match fs::metadata(&lock_path) {
        Ok(found) => Ok((found.ino() == lock.metadata()?.ino()).then_some(lock)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the lock; false when another process lives that has it.
fn take(lock: &File) -> io::Result<bool> {
    match flock(lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        taken => Ok(taken.map(|()| true)?),
    }
}

fn remove_dead(parent: &Path) {
    // An error here shows again when this process makes its own directory.
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_named_so = entry.file_name().to_str().is_some_and(is_our_name);
        if !is_named_so {
            continue;
        }
        let path = entry.path();
        match remove_if_dead(&path) {
            Ok(true) => log::info!("removed {}, left by a killed process", path.display()),
            Ok(false) => {}
            // It is gone meanwhile, or no server's.
            Err(error) => log::debug!("{} stays: {error}", path.display()),
        }
    }
}

fn is_our_name(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|digits| {
        digits.len() == NAME_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

/// Removes a directory that is a server's of this user, and whose owner is gone.
fn remove_if_dead(path: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    let is_ours =
        found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o7777 == 0o700;
    if !is_ours {
        return Ok(false);
    }
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match open(path.join(LOCK), flags, Mode::empty()) {
        // The owner was killed before it had a lock, or is about to make one, and will then make another directory. A
        // directory with something else in it is no server's, and `remove_dir` leaves it.
        Err(Errno::NOENT) => Ok(fs::remove_dir(path).is_ok()),
        opened => {
            let lock = File::from(opened?);
            if !take(&lock)? {
                return Ok(false);
            }
            fs::remove_dir_all(path)?;
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn make(parent: &Path, name: &str, mode: u32, files: &[&str]) -> PathBuf {
        let path = parent.join(name);
        DirBuilder::new().create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        for file in files {
            fs::write(path.join(file), "").unwrap();
        }
        path
    }

    #[test]
    fn the_dead_are_removed_and_the_living_stay() {
        let parent = tempfile::tempdir().unwrap();
        let living = PrivateDirectory::new(parent.path()).unwrap();
        let dead = make(
            parent.path(),
            "shellcraft-0123456789ab",
            0o700,
            &[LOCK, "http-1.sock"],
        );
        let barely_born = make(parent.path(), "shellcraft-ba9876543210", 0o700, &[]);
        let own = PrivateDirectory::new(parent.path()).unwrap();
        assert!(!dead.exists() && !barely_born.exists());
        assert!(living.path().exists() && own.path().exists());
        drop((living, own));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_not_ours_stays() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path();
        let kept = [
            make(parent, "shellcraft-test-1", 0o700, &[LOCK]),
            make(parent, "shellcraft-0123456789abc", 0o700, &[LOCK]),
            make(parent, "shellcraft-0123456789xx", 0o700, &[LOCK]),
            make(parent, "shellcraft-000000000001", 0o755, &[LOCK]),
            make(parent, "shellcraft-000000000002", 0o700, &["a file"]),
            make(parent, "other-0123456789ab", 0o700, &[LOCK]),
        ];
        fs::write(parent.join("shellcraft-000000000003"), "a file").unwrap();
        symlink(&kept[0], parent.join("shellcraft-000000000004")).unwrap();
        drop(PrivateDirectory::new(parent).unwrap());
        assert_eq!(fs::read_dir(parent).unwrap().count(), kept.len() + 2);
    }

    #[test]
    fn a_directory_lives_as_long_as_its_lock() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("made");
        let lock = make_locked(&path).unwrap().unwrap();
        assert!(!remove_if_dead(&path).unwrap());
        drop(lock);
        let tidying = File::open(path.join(LOCK)).unwrap();
        assert!(take(&tidying).unwrap());
        assert!(!remove_if_dead(&path).unwrap(), "somebody else is at it");
        drop(tidying);
        assert!(remove_if_dead(&path).unwrap());
    }
}
