//! A directory that is held open, and files in it that are read whole, written whole or not at all.
//!
//! INVARIANT: every name is looked up in the open directory and no link is followed, so nothing planted below
//! `DATA_DIR` leads out of it; what is not a regular file is never opened, since a FIFO or a device might block.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    self, AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Timespec, Timestamps, UTIME_NOW,
    fchmod, flock, fstat, fstatvfs, futimens, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::super::{Disk, Error};

/// How many names are tried for a file that is set aside, since files of the same name may have been set aside before.
const ASIDE_ATTEMPTS: u32 = 100;

/// What is at a name.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A file: its bytes, and when it was written.
    Whole(Vec<u8>, SystemTime),
    /// Something that can't be read as one.
    Odd(String),
}

/// What a file that was written survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    /// The loss of power, too: it is on the disk when the write returns.
    Always,
    /// The end of this process, however it comes.
    WhileTheHostRuns,
}

/// A file that this process has locked, until this value is dropped.
#[derive(Debug)]
pub(super) struct Lock(OwnedFd);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that is just being started has a copy of the descriptor until
        // it runs its program.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// A directory that is held open.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    /// What it is for, in words for the operator.
    role: &'static str,
}

impl Folder {
    /// Opens `DATA_DIR`, which may be a link; makes it when there is none.
    pub(super) fn root(path: &Path) -> Result<Folder, Error> {
        use std::os::unix::fs::DirBuilderExt;
        let fault = |error: io::Error| {
            Error::Unavailable(format!(
                "DATA_DIR {} can't be opened: {error}",
                path.display()
            ))
        };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(fault)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = fs::open(path, flags, Mode::empty()).map_err(|errno| fault(errno.into()))?;
        let role = "DATA_DIR";
        Ok(Folder { fd, role })
    }

    /// Opens a directory in this one, which only the server's user may use; makes it when there is none.
    pub(super) fn folder(&self, name: &str, role: &'static str) -> Result<Folder, Error> {
        let is_new = match mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(self.fault("written", error)),
        };
        let found = self.existing_folder(name, role)?;
        let folder = found.ok_or_else(|| self.fault("read", Errno::NOENT))?;
        // The mode may be another one: because of the umask, or because the directory was made by hand.
        let mode = fstat(&folder.fd).map_err(|error| folder.fault("read", error))?;
        if Mode::from_raw_mode(mode.st_mode) != Mode::RWXU {
            fchmod(&folder.fd, Mode::RWXU).map_err(|error| folder.fault("closed", error))?;
        }
        if is_new {
            self.sync()?;
        }
        Ok(folder)
    }

    /// Opens a directory in this one, if it is there.
    pub(super) fn existing_folder(
        &self,
        name: &str,
        role: &'static str,
    ) -> Result<Option<Folder>, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Folder { fd, role })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(Error::Unavailable(format!(
                "{role} can't be opened (it must be a directory, and no link): {error}"
            ))),
        }
    }

    /// The names in it that are UTF-8; the store makes no others.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        let fault = |error| self.fault("listed", error);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(fault)? {
            if let Ok(name) = entry.map_err(fault)?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Whether anything is at that name.
    pub(super) fn has(&self, name: &str) -> Result<bool, Error> {
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.fault("read", error)),
        }
    }

    /// The size of a file in bytes, and when it was written; none where there is none.
    pub(super) fn size(&self, name: &str) -> Result<Option<(u64, SystemTime)>, Error> {
        let stat = match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.fault("read", error)),
            Ok(stat) => stat,
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
        let written = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let bytes = u64::try_from(stat.st_size).unwrap_or_default();
        Ok(written.map(|written| (bytes, written)))
    }

    /// Reads a file of at most `limit` bytes.
    pub(super) fn read(&self, name: &str, limit: usize) -> Result<Found, Error> {
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(error) => return self.odd_or_fault(error.into()),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                return Ok(Found::Odd("it is not a regular file".into()));
            }
            Ok(_) => {}
        }
        // NONBLOCK: a FIFO may have taken the file's place since the check above.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.fd, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(error) => return self.odd_or_fault(error.into()),
            Ok(fd) => File::from(fd),
        };
        match read_whole(&file, limit) {
            Ok(Some((bytes, modified))) => Ok(Found::Whole(bytes, modified)),
            Ok(None) => Ok(Found::Odd(format!(
                "it is not a regular file of at most {limit} bytes"
            ))),
            Err(error) => self.odd_or_fault(error),
        }
    }

    /// Says what is wrong with this one file, or returns an error when more than this file may be affected.
    fn odd_or_fault(&self, error: io::Error) -> Result<Found, Error> {
        match Errno::from_io_error(&error) {
            Some(Errno::IO | Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::NXIO) => {
                Ok(Found::Odd(error.to_string()))
            }
            _ => Err(self.fault("read", error)),
        }
    }

    /// Puts a whole file at `name`, in place of what was there. `temporary` is a name that no other call uses now.
    pub(super) fn write(
        &self,
        name: &str,
        bytes: &[u8],
        temporary_folder: &Folder,
        temporary: &str,
        lasts: Lasts,
    ) -> Result<(), Error> {
        let written = temporary_folder
            .create(temporary, bytes, lasts)
            .and_then(|()| Ok(renameat(&temporary_folder.fd, temporary, &self.fd, name)?));
        if let Err(error) = written {
            // If this fails too, the server's next start removes the temporary file.
            let _ = unlinkat(&temporary_folder.fd, temporary, AtFlags::empty());
            return Err(self.fault("written", error));
        }
        match lasts {
            Lasts::Always => self.sync(),
            Lasts::WhileTheHostRuns => Ok(()),
        }
    }

    /// Makes a new file that only the server's user may read and write.
    fn create(&self, name: &str, bytes: &[u8], lasts: Lasts) -> io::Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(bytes)?;
        match lasts {
            Lasts::Always => file.sync_all(),
            Lasts::WhileTheHostRuns => Ok(()),
        }
    }

    /// Writes a small file, and removes it.
    pub(super) fn try_out(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let written = self.create(name, bytes, Lasts::Always);
        let removed = unlinkat(&self.fd, name, AtFlags::empty());
        written.map_err(|error| self.fault("written", error))?;
        removed.map_err(|error| self.fault("written", error))
    }

    /// How much the server may still write and the size of the disk, if the file system tells.
    pub(super) fn disk(&self) -> Result<Option<Disk>, Error> {
        let found = fstatvfs(&self.fd).map_err(|error| self.fault("read", error))?;
        // Some network file systems don't tell, and report no blocks.
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok((found.f_blocks > 0).then(|| Disk {
            free_bytes: bytes(found.f_bavail),
            total_bytes: bytes(found.f_blocks),
        }))
    }

    /// When this directory last changed: a file was added, renamed or removed in it, or [`Folder::touch`] was called.
    pub(super) fn used_at(&self) -> Result<SystemTime, Error> {
        let stat = fstat(&self.fd).map_err(|error| self.fault("read", error))?;
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Makes now the time that [`Folder::used_at`] returns.
    pub(super) fn touch(&self) -> Result<(), Error> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        futimens(&self.fd, &times).map_err(|error| self.fault("written", error))
    }

    /// Removes a directory in this one, which must be empty. It is no error when there is none.
    pub(super) fn remove_folder(&self, name: &str) -> Result<(), Error> {
        match unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) => self.sync(),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.fault("written", error)),
        }
    }

    /// Removes a file. It is no error when there is none.
    pub(super) fn remove(&self, name: &str) -> Result<(), Error> {
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => self.sync(),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.fault("written", error)),
        }
    }

    /// Renames what is at `name` to a name that the store never reads, and returns the new name.
    pub(super) fn set_aside(&self, name: &str) -> Result<String, Error> {
        let mut aside = format!("{name}.broken");
        let mut count = 1;
        while count < ASIDE_ATTEMPTS && self.has(&aside)? {
            count += 1;
            aside = format!("{name}.{count}.broken");
        }
        renameat(&self.fd, name, &self.fd, &aside).map_err(|error| self.fault("written", error))?;
        self.sync()?;
        Ok(aside)
    }

    /// Locks the file `name`; none when another process has it.
    pub(super) fn lock(&self, name: &str) -> Result<Option<Lock>, Error> {
        let fault = |error| self.fault("locked", error);
        let open = |access: OFlags| {
            let flags =
                access | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)
        };
        let take = |fd: &OwnedFd| flock(fd, FlockOperation::NonBlockingLockExclusive);
        // The file is opened for reading only: one that is open for writing would keep the disk from being remounted
        // read-only.
        let mut fd = open(OFlags::RDONLY).map_err(fault)?;
        let mut taken = take(&fd);
        if taken == Err(Errno::BADF) {
            // NFS locks only what is open for writing.
            fd = open(OFlags::RDWR).map_err(fault)?;
            taken = take(&fd);
        }
        match taken {
            Ok(()) => Ok(Some(Lock(fd))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    /// Once this returns, the names in it are on the disk.
    fn sync(&self) -> Result<(), Error> {
        fs::fsync(&self.fd).map_err(|error| self.fault("written", error))
    }

    fn fault(&self, verb: &str, error: impl Into<io::Error>) -> Error {
        let error: io::Error = error.into();
        Error::Unavailable(format!("{} can't be {verb}: {error}", self.role))
    }
}

/// The bytes of a regular file and when it was written; none when it is no such file or too long.
fn read_whole(file: &File, limit: usize) -> io::Result<Option<(Vec<u8>, SystemTime)>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).map_or(u64::MAX, |limit| limit.saturating_add(1));
    file.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Ok(None);
    }
    Ok(Some((bytes, metadata.modified()?)))
}
