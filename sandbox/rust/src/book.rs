//! The spellbook: spells in memory, and the one file that keeps them.
//!
//! A line a change, each with a check, the last one counts. The file cannot be replaced (its directory is not
//! ours), so tidying up happens inside it, in an order in which a cut at any byte loses nothing: `sandbox/GAME.md`
//! tells how. It can be replaced from outside, by root: then it is read anew. Runs in the shell's one thread;
//! knows nothing of commands or terminals.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::spell;

/// DOCKER: the container's `fsize` limit; a write beyond it fails with EFBIG.
const FILE_MAX_BYTES: usize = 1024 * 1024;
/// The live lines fill half the file at most, so that a copy of them always fits behind them.
const LIVE_MAX_BYTES: usize = FILE_MAX_BYTES / 2;

/// The spells by name, sorted by bytes.
pub type Spells = BTreeMap<String, String>;

/// Why a change was not kept.
#[derive(Debug)]
pub enum Error {
    /// The live lines would take more than half of the file. Nothing was changed.
    Full,
    /// The change holds in memory, but did not reach the file.
    NotWritten,
}

/// What tells one state of a file from another, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len_bytes: u64,
    modified: (i64, i64),
    /// Moves with owner and mode too, and nobody can set it back.
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Stamp {
        Stamp {
            device: found.dev(),
            inode: found.ino(),
            len_bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// The player's spells and where they are kept.
#[derive(Debug)]
pub struct Book {
    path: PathBuf,
    /// The file as it was read or written last.
    stamp: Option<Stamp>,
    spells: Spells,
    /// `None` when there is no file to write: spells last until the shell ends.
    file: Option<File>,
    len_bytes: usize,
    /// Whether the file ends in a line that was cut short.
    is_torn: bool,
    skipped: usize,
    is_told: bool,
}

/// What is wrong with a book.
#[derive(Debug)]
pub struct Trouble {
    /// How many lines of the file could not be read.
    pub skipped: usize,
    /// Whether spells outlive the shell all the same.
    pub is_kept: bool,
}

impl Book {
    /// Opens the file, which is never created, and reads it. Lines that cannot be read are counted and tidied away.
    pub fn open(path: &Path) -> Book {
        // O_NONBLOCK: should the path be a pipe, opening and reading it must not hang.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let open = |write| {
            OpenOptions::new()
                .read(true)
                .write(write)
                .custom_flags(flags)
                .open(path)
        };
        let is_plain = |file: &File| file.metadata().is_ok_and(|found| found.is_file());
        let writable = open(true).ok().filter(is_plain);
        let readable = match &writable {
            Some(file) => file.try_clone().ok(),
            None => open(false).ok().filter(is_plain),
        };
        // Before it is read: what changes meanwhile is read again. Where nothing can be opened, only the path can tell.
        let stamp = readable
            .as_ref()
            .map_or_else(|| path.metadata(), File::metadata);
        let mut content = Vec::new();
        if let Some(file) = readable {
            // An error in the middle leaves what was read until then.
            let _ = file.take(FILE_MAX_BYTES as u64).read_to_end(&mut content);
        }
        let stamp = stamp.ok().map(|found| Stamp::of(&found));
        Book::new(path, stamp, writable, &content)
    }

    fn new(path: &Path, stamp: Option<Stamp>, file: Option<File>, content: &[u8]) -> Book {
        let (spells, skipped) = read(content);
        let is_torn = content.last().is_some_and(|&last| last != b'\n');
        let mut book = Book {
            path: path.into(),
            stamp,
            spells,
            file,
            len_bytes: content.len(),
            is_torn,
            skipped,
            is_told: false,
        };
        let image = image(&book.spells);
        if skipped > 0 && book.fits(1 + image.len()) {
            // Failing here is no loss: the lines are left out again the next time.
            let _ = book.tidy(&image);
            book.note_stamp();
        }
        book
    }

    /// Reads the book anew if another one lies at its path by now. Returns whether one does.
    pub fn refresh(&mut self) -> bool {
        let found = self.path.metadata().ok().map(|found| Stamp::of(&found));
        if found == self.stamp {
            return false;
        }
        *self = Book::open(&self.path);
        true
    }

    /// All spells.
    pub fn spells(&self) -> &Spells {
        &self.spells
    }

    /// What is wrong with the book, the first time it is asked for.
    pub fn take_trouble(&mut self) -> Option<Trouble> {
        let trouble = Trouble {
            skipped: self.skipped,
            is_kept: self.file.is_some(),
        };
        let is_news = !std::mem::replace(&mut self.is_told, true);
        (is_news && (trouble.skipped > 0 || !trouble.is_kept)).then_some(trouble)
    }

    /// Writes a spell. Returns whether the name was known before.
    pub fn learn(&mut self, name: &str, body: &str) -> Result<bool, Error> {
        let change = learn_line(name, body);
        let live = live_bytes(&self.spells);
        let old = self
            .spells
            .get(name)
            .map_or(0, |body| learn_line(name, body).len());
        let new_live = live - old + change.len();
        // A book from elsewhere may be too full already; making it smaller is always right.
        if new_live > LIVE_MAX_BYTES && new_live > live {
            return Err(Error::Full);
        }
        let was_known = self.spells.insert(name.into(), body.into()).is_some();
        self.keep(&change)?;
        Ok(was_known)
    }

    /// Strikes a spell out. Returns whether there was one.
    pub fn forget(&mut self, name: &str) -> Result<bool, Error> {
        if self.spells.remove(name).is_none() {
            return Ok(false);
        }
        self.keep(&check_line(&format!("forget {name}")))?;
        Ok(true)
    }

    /// Appends a change that is already made in memory, or tidies up, which keeps it too.
    fn keep(&mut self, change: &str) -> Result<(), Error> {
        let kept = self.write_down(change);
        self.note_stamp();
        kept
    }

    /// After a failure too: what is only in memory must not look like a book from outside.
    fn note_stamp(&mut self) {
        let found = self.file.as_ref().and_then(|file| file.metadata().ok());
        if let Some(found) = found {
            self.stamp = Some(Stamp::of(&found));
        }
    }

    fn write_down(&mut self, change: &str) -> Result<(), Error> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let change = if self.is_torn {
            format!("\n{change}")
        } else {
            change.into()
        };
        // INVARIANT: after the append there is still room to tidy up.
        if !self.fits(change.len() + live_bytes(&self.spells)) {
            return self
                .tidy(&image(&self.spells))
                .map_err(|_| Error::NotWritten);
        }
        let written = file
            .write_all_at(change.as_bytes(), self.len_bytes as u64)
            .and_then(|()| file.sync_data());
        if written.is_err() {
            // Half a line is skipped when the book is read, but costs room.
            let _ = file.set_len(self.len_bytes as u64);
            return Err(Error::NotWritten);
        }
        self.len_bytes += change.len();
        self.is_torn = false;
        Ok(())
    }

    fn fits(&self, more_bytes: usize) -> bool {
        self.len_bytes + more_bytes <= FILE_MAX_BYTES
    }

    /// Makes the file hold `image` and nothing else. The order of the steps is what makes a cut harmless.
    fn tidy(&mut self, image: &str) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let copy = format!("{}{image}", if self.is_torn { "\n" } else { "" });
        if self.len_bytes + copy.len() <= FILE_MAX_BYTES {
            file.write_all_at(copy.as_bytes(), self.len_bytes as u64)?;
            file.sync_data()?;
        }
        file.write_all_at(image.as_bytes(), 0)?;
        file.sync_data()?;
        file.set_len(image.len() as u64)?;
        self.len_bytes = image.len();
        self.is_torn = false;
        Ok(())
    }
}

/// Reads a book's bytes: the spells, and how many lines were left out.
fn read(content: &[u8]) -> (Spells, usize) {
    let mut spells = Spells::new();
    let mut skipped = 0;
    for line in content
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        match read_line(line) {
            Some((name, Some(body))) => drop(spells.insert(name.into(), body.into())),
            Some((name, None)) => drop(spells.remove(name)),
            None => skipped += 1,
        }
    }
    (spells, skipped)
}

/// Reads one line: a name, and the spell unless it is forgotten. `None` when anything about it is wrong.
fn read_line(line: &[u8]) -> Option<(&str, Option<&str>)> {
    let line = std::str::from_utf8(line).ok()?;
    let (check, change) = line.split_once(' ')?;
    if check != checksum(change) || spell::clean(change) != change {
        return None;
    }
    let (verb, rest) = change.split_once(' ')?;
    match verb {
        "learn" => {
            let (name, body) = rest.split_once(' ')?;
            let is_sound = !body.is_empty()
                && body.len() <= spell::LINE_MAX_BYTES
                && spell::parse(body).is_ok();
            (is_sound && spell::is_name(name)).then_some((name, Some(body)))
        }
        "forget" => spell::is_name(rest).then_some((rest, None)),
        _ => None,
    }
}

fn checksum(change: &str) -> String {
    format!("{:08x}", crc32fast::hash(change.as_bytes()))
}

fn check_line(change: &str) -> String {
    format!("{} {change}\n", checksum(change))
}

fn learn_line(name: &str, body: &str) -> String {
    check_line(&format!("learn {name} {body}"))
}

fn image(spells: &Spells) -> String {
    spells
        .iter()
        .map(|(name, body)| learn_line(name, body))
        .collect()
}

fn live_bytes(spells: &Spells) -> usize {
    const AROUND: usize = "01234567 learn  \n".len();
    spells
        .iter()
        .map(|(name, body)| AROUND + name.len() + body.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spells(pairs: &[(&str, &str)]) -> Spells {
        pairs
            .iter()
            .map(|&(name, body)| (name.into(), body.into()))
            .collect()
    }

    /// A history with changed, forgotten and relearned spells.
    fn old_lines() -> String {
        [
            learn_line("light", "echo The lamp is lit."),
            learn_line("gone", "echo gone"),
            learn_line("hi", "echo hello $1"),
            check_line("forget light"),
            learn_line("light", "echo lit; pwd"),
            learn_line("hi", "echo hé $1"),
            check_line("forget gone"),
        ]
        .concat()
    }

    fn live() -> Spells {
        spells(&[("hi", "echo hé $1"), ("light", "echo lit; pwd")])
    }

    fn temp_book(content: &[u8]) -> (tempfile::NamedTempFile, Book) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), content).expect("writable");
        let book = Book::open(file.path());
        (file, book)
    }

    #[test]
    fn the_last_line_counts() {
        assert_eq!(read(old_lines().as_bytes()), (live(), 0));
    }

    #[test]
    fn the_format_is_the_documented_one() {
        // The value the Perl shell must find too: CRC-32 (IEEE) of "123456789" is the catalogue's check value.
        assert_eq!(checksum("123456789"), "cbf43926");
    }

    #[test]
    fn an_append_cut_at_any_byte_costs_only_itself() {
        let old = old_lines();
        let change = learn_line("new", "echo new");
        let mut after = live();
        after.insert("new".into(), "echo new".into());
        for cut in 0..=change.len() {
            let torn = [old.as_bytes(), &change.as_bytes()[..cut]].concat();
            let (found, _) = read(&torn);
            assert!(found == live() || found == after, "cut at {cut}: {found:?}");
            // What is learned next is kept, whatever the cut left behind.
            let (file, mut book) = temp_book(&torn);
            book.learn("next", "ls").expect("kept");
            let again = Book::open(file.path());
            assert_eq!(again.spells(), book.spells(), "cut at {cut}");
            assert_eq!(again.skipped, 0, "cut at {cut}: tidied away");
        }
    }

    #[test]
    fn tidying_cut_at_any_byte_loses_nothing() {
        let old = old_lines();
        let image = image(&live());
        let whole = format!("{old}{image}");
        for cut in 0..=image.len() {
            let appending = [old.as_bytes(), &image.as_bytes()[..cut]].concat();
            assert_eq!(read(&appending).0, live(), "copy cut at {cut}");
            let overwriting = [&image.as_bytes()[..cut], &whole.as_bytes()[cut..]].concat();
            assert_eq!(read(&overwriting).0, live(), "overwriting cut at {cut}");
        }
        // Cutting the rest off is one step of the file system: it is there or it is not.
        assert_eq!(read(image.as_bytes()), (live(), 0));
    }

    #[test]
    fn garbage_is_left_out_and_never_deadly() {
        let mut content = b"\xff\xfe\0\n00000000 learn a b\nnonsense\n\n".to_vec();
        content.extend(check_line("learn bad 'open").bytes());
        content.extend(check_line("learn b\u{7}ell pwd").bytes());
        content.extend(check_line("burn x").bytes());
        content.extend(learn_line("good", "pwd").bytes());
        content.extend(b"12345678");
        assert_eq!(read(&content), (spells(&[("good", "pwd")]), 7));
        let (file, book) = temp_book(&content);
        assert_eq!(book.skipped, 7);
        assert_eq!(
            std::fs::read_to_string(file.path()).expect("readable"),
            learn_line("good", "pwd")
        );
    }

    #[test]
    fn a_full_book_refuses_and_recovers() {
        let (file, mut book) = temp_book(b"");
        let body = format!("echo {}", "x".repeat(4000));
        let mut count = 0;
        while book.learn(&format!("s{count}"), &body).is_ok() {
            count += 1;
            assert!(count < 200, "the book never fills up");
        }
        assert!(matches!(book.learn("more", &body), Err(Error::Full)));
        // Any number of changes fits: the file is tidied up on the way.
        for _ in 0..300 {
            book.forget("s0").expect("kept");
            book.learn("s0", &body).expect("kept");
        }
        let size = std::fs::metadata(file.path()).expect("there").len();
        assert!(size <= FILE_MAX_BYTES as u64, "{size}");
        assert_eq!(Book::open(file.path()).spells(), book.spells());
    }

    #[test]
    fn a_book_from_elsewhere_may_be_fuller() {
        let body = "x".repeat(4000);
        let content: String = (0..250)
            .map(|n| learn_line(&format!("s{n:03}"), &body))
            .collect();
        let (file, mut book) = temp_book(content.as_bytes());
        assert_eq!(book.spells().len(), 250);
        assert!(matches!(book.learn("more", "pwd"), Err(Error::Full)));
        assert!(book.forget("s007").expect("kept"));
        assert_eq!(Book::open(file.path()).spells(), book.spells());
    }

    /// As the Engine does it: a new file under the old name. The book's own descriptor still leads to the old one.
    fn replace(file: &tempfile::NamedTempFile, content: &str) {
        let path = file.path().with_extension("new");
        std::fs::write(&path, content).expect("writable");
        std::fs::rename(&path, file.path()).expect("the same directory");
    }

    #[test]
    fn a_replaced_book_is_read_anew_and_written_on() {
        let (file, mut book) = temp_book(learn_line("old", "pwd").as_bytes());
        assert!(!book.refresh());
        book.learn("mine", "ls").expect("kept");
        assert!(!book.refresh(), "what we wrote ourselves is no news");
        // As long as the one before, to the byte.
        replace(
            &file,
            &(learn_line("new", "pwd") + &learn_line("mint", "ls")),
        );
        assert!(book.refresh());
        assert_eq!(book.spells(), &spells(&[("mint", "ls"), ("new", "pwd")]));
        book.learn("next", "ls").expect("kept");
        assert!(!book.refresh());
        assert_eq!(Book::open(file.path()).spells(), book.spells());
    }

    #[test]
    fn a_replaced_book_that_is_damaged_is_tidied_once() {
        let (file, mut book) = temp_book(b"");
        replace(&file, &format!("nonsense\n{}", learn_line("a", "pwd")));
        assert!(book.refresh());
        assert_eq!(book.skipped, 1);
        assert!(!book.refresh());
        assert_eq!(
            std::fs::read_to_string(file.path()).expect("readable"),
            learn_line("a", "pwd")
        );
    }

    #[test]
    fn a_book_may_go_and_come_back() {
        let (file, mut book) = temp_book(learn_line("a", "pwd").as_bytes());
        std::fs::remove_file(file.path()).expect("ours");
        assert!(book.refresh());
        assert!(book.file.is_none() && book.spells().is_empty());
        book.learn("b", "pwd").expect("held in memory");
        assert!(!book.refresh());
        assert_eq!(book.spells(), &spells(&[("b", "pwd")]));
        std::fs::create_dir(file.path()).expect("free");
        assert!(book.refresh() && book.file.is_none() && !book.refresh());
        std::fs::remove_dir(file.path()).expect("ours");
        replace(&file, &learn_line("c", "pwd"));
        assert!(book.refresh() && book.file.is_some());
        assert_eq!(book.spells(), &spells(&[("c", "pwd")]));
    }

    #[test]
    fn without_a_file_spells_live_in_memory() {
        let mut book = Book::open(Path::new("/nowhere/spellbook.dat"));
        assert!(book.file.is_none());
        assert!(!book.learn("a", "pwd").expect("held in memory"));
        assert!(book.learn("a", "ls").expect("held in memory"));
        assert_eq!(book.spells(), &spells(&[("a", "ls")]));
    }
}
