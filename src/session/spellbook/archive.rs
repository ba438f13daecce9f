//! The player's spellbook as the Engine's archive calls carry it: a tar with one regular file.
//!
//! No I/O. The player decides what lies at that path in a container, so reading trusts nothing.

use std::io::{self, Read};
use std::time::SystemTime;

use crate::engine::Unfinished;
use crate::session::sandbox::{BOOK_LIMIT_BYTES, PLAYER_GID, PLAYER_UID};

/// The spellbook's file name under `/home`.
pub const FILE: &str = "spellbook.dat";

/// A tar's unit, and its header's size (POSIX.1-2017, pax, "ustar Interchange Format").
const BLOCK_BYTES: usize = 512;

/// The modification time of a book in which no one has written since it came from the store.
const UNTOUCHED: u64 = 0;

/// The owner of a file while the Engine writes it.
const ROOT: u64 = 0;

/// The mode of a file while Podman writes it.
const PRIVATE: u32 = 0o600;

/// The mode of a whole book.
const MODE: u32 = 0o644;

/// A book as it was found in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// Whether anyone has written in it since it was put there from the store.
    pub is_touched: bool,
}

/// Why there is no book in an archive.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The Engine or the server was cut short while it put the book there.
    #[error("{FILE} was put there in part only")]
    InPart,
    /// The archive ends before the book does, or is not an archive. That says nothing about the book: the Engine makes
    /// archives, not the player.
    #[error("the archive of {FILE} is cut short or spoiled")]
    Spoiled,
    /// What was found is not a book.
    #[error("{FILE} is {0}")]
    NotABook(&'static str),
}

/// An error that comes from reading the archive.
impl From<io::Error> for Unreadable {
    fn from(_: io::Error) -> Unreadable {
        Unreadable::Spoiled
    }
}

/// A tar that puts `book`, which the store has, into `/home`. The player owns the book; the directory stays root's.
///
/// # Errors
/// None for a book within its limit: writing goes to memory.
pub fn pack(book: &[u8]) -> io::Result<Vec<u8>> {
    pack_at(book, UNTOUCHED)
}

/// A tar like that of [`pack`] for a book that the store does not have yet.
///
/// # Errors
/// As [`pack`].
pub fn pack_new(book: &[u8]) -> io::Result<Vec<u8>> {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    pack_at(book, now.as_secs().max(UNTOUCHED + 1))
}

fn pack_at(book: &[u8], mtime: u64) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(book.len() as u64);
    header.set_mode(MODE);
    header.set_uid(PLAYER_UID);
    header.set_gid(PLAYER_GID);
    header.set_mtime(mtime);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, FILE, book)?;
    builder.into_inner()
}

/// The book in a tar from `GET …/archive`; `unfinished` says what unfinished files of that Engine look like.
///
/// # Errors
/// [`Unreadable::NotABook`] when the first entry is anything but a regular file of that name and at most 1 MiB;
/// [`Unreadable::InPart`] for an unfinished book, [`Unreadable::Spoiled`] for anything that is not a whole archive.
pub fn unpack(archive: &[u8], unfinished: Unfinished) -> Result<Found, Unreadable> {
    if archive.len() < BLOCK_BYTES {
        return Err(Unreadable::Spoiled);
    }
    let mut archive = tar::Archive::new(archive);
    let entry = archive.entries()?.next().ok_or(Unreadable::Spoiled)??;
    if entry.header().entry_type() != tar::EntryType::Regular {
        return Err(Unreadable::NotABook("no regular file"));
    }
    if entry.path_bytes().as_ref() != FILE.as_bytes() {
        return Err(Unreadable::NotABook("under another name"));
    }
    if entry.size() > BOOK_LIMIT_BYTES {
        return Err(Unreadable::NotABook("too big"));
    }
    let is_in_part = match unfinished {
        // A player can't give it back to root.
        Unfinished::IsRoots => entry.header().uid()? == ROOT,
        // A player who has a `chmod` can do this to a whole book, and harms only their own book.
        Unfinished::IsPrivate => entry.header().mode()? & 0o777 == PRIVATE,
    };
    if is_in_part {
        return Err(Unreadable::InPart);
    }
    let size = entry.size();
    let is_touched = entry.header().mtime()? != UNTOUCHED;
    let mut book = Vec::new();
    entry.take(BOOK_LIMIT_BYTES).read_to_end(&mut book)?;
    if book.len() as u64 != size {
        Err(Unreadable::Spoiled)
    } else {
        Ok(Found {
            bytes: book,
            is_touched,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_with(kind: tar::EntryType, name: &str, size: u64, content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_path(name).expect("a short name");
        header.set_size(size);
        header.set_uid(PLAYER_UID);
        header.set_cksum();
        let mut archive = header.as_bytes().to_vec();
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
        archive
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        for book in [&b""[..], b"hi\techo hello $1\n", &[0xff; 1024 * 1024]] {
            for unfinished in [Unfinished::IsRoots, Unfinished::IsPrivate] {
                let archive = pack(book).expect("memory");
                let found = unpack(&archive, unfinished).expect("our own");
                assert_eq!((found.bytes.as_slice(), found.is_touched), (book, false));
                let archive = pack_new(book).expect("memory");
                let found = unpack(&archive, unfinished).expect("our own");
                assert_eq!((found.bytes.as_slice(), found.is_touched), (book, true));
            }
        }
    }

    #[test]
    fn belongs_to_the_player() {
        let archive = pack(b"x").expect("memory");
        let mut archive = tar::Archive::new(&archive[..]);
        let entry = archive
            .entries()
            .expect("entries")
            .next()
            .expect("one")
            .expect("whole");
        let header = entry.header();
        assert_eq!(
            (header.uid().ok(), header.gid().ok(), header.mode().ok()),
            (Some(1000), Some(1000), Some(0o644))
        );
    }

    #[test]
    fn anything_else_is_refused() {
        let (regular, one) = (tar::EntryType::Regular, 1024 * 1024 + 1);
        for (case, archive) in [
            ("symlink", tar_with(tar::EntryType::Symlink, FILE, 0, b"")),
            ("hard link", tar_with(tar::EntryType::Link, FILE, 0, b"")),
            (
                "directory",
                tar_with(tar::EntryType::Directory, FILE, 0, b""),
            ),
            ("FIFO", tar_with(tar::EntryType::Fifo, FILE, 0, b"")),
            ("device", tar_with(tar::EntryType::Char, FILE, 0, b"")),
            ("other name", tar_with(regular, "other", 1, b"x")),
            ("upwards", tar_with(regular, "up/spellbook.dat", 1, b"x")),
            ("too big", tar_with(regular, FILE, one, b"x")),
        ] {
            let unpacked = unpack(&archive, Unfinished::IsRoots);
            assert!(
                matches!(unpacked, Err(Unreadable::NotABook(_))),
                "{case}: {unpacked:?}"
            );
        }
    }

    /// A spoiled archive says nothing about the book, which is asked for again.
    #[test]
    fn a_spoiled_archive_is_no_verdict() {
        let whole = pack(&[b'x'; 5000]).expect("memory");
        let mut spoiled: Vec<_> = [0, 100, 512, 600, 5000]
            .map(|length| whole[..length].to_vec())
            .into();
        spoiled.push(vec![0x55; 4096]);
        spoiled.push(vec![0; 1024]);
        spoiled.push([b"200\r\n", &whole[..]].concat());
        let mut one_bit = whole.clone();
        one_bit[130] ^= 1;
        spoiled.push(one_bit);
        for archive in spoiled {
            let unpacked = unpack(&archive, Unfinished::IsRoots);
            assert!(
                matches!(unpacked, Err(Unreadable::Spoiled)),
                "{archive:?}: {unpacked:?}"
            );
        }
    }

    /// Checks whether a book with that owner and mode counts as there in part, on Docker and on Podman.
    #[track_caller]
    fn check(uid: u64, mode: u32, expected: (bool, bool)) {
        let mut archive = pack(b"x").expect("memory");
        let mut header = tar::Header::from_byte_slice(&archive[..512]).clone();
        header.set_uid(uid);
        header.set_mode(mode);
        header.set_cksum();
        archive[..512].copy_from_slice(header.as_bytes());
        let is_in_part =
            |unfinished| matches!(unpack(&archive, unfinished), Err(Unreadable::InPart));
        let found = (
            is_in_part(Unfinished::IsRoots),
            is_in_part(Unfinished::IsPrivate),
        );
        assert_eq!(found, expected, "{uid} {mode:o}");
    }

    #[test]
    fn each_engine_s_unfinished_file_is_there_in_part() {
        check(PLAYER_UID, MODE, (false, false));
        check(ROOT, MODE, (true, false));
        // The player of an Engine with `userns-remap`.
        check(100_000 + PLAYER_UID, MODE, (false, false));
        check(PLAYER_UID, PRIVATE, (false, true));
    }
}
