//! The directory store where disks and people do their worst.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use shellcraft::session::SessionId;
use shellcraft::session::store::dir::Directory;
use shellcraft::session::store::{BOOK_VERSIONS, Choice, Error, SessionStore, open};
use tempfile::TempDir;

use crate::site::wait_for;
use crate::store_promises::{INSTANCE, player, record, shelf, tend};

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[track_caller]
fn store(path: &Path) -> Directory {
    Directory::open(path, INSTANCE).expect("open")
}

#[track_caller]
fn load(store: &Directory) -> Option<Vec<u8>> {
    let book = store.load_book(&player("anna")).expect("load");
    book.map(|book| book.bytes)
}

/// The whole versions of anna's book, newest last.
fn versions(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path.join("books/anna")).expect("books");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let is_version = |path: &PathBuf| path.extension().is_some_and(|last| last == "book");
    let mut versions: Vec<_> = paths.filter(is_version).collect();
    versions.sort();
    versions
}

fn entries(path: &Path) -> usize {
    fs::read_dir(path).expect("a directory").count()
}

/// A file system of its own, gone at the end.
pub struct Tmpfs {
    path: PathBuf,
    /// Removed after the unmount, if it is ours.
    place: Option<TempDir>,
}

impl Tmpfs {
    fn new(size: &str) -> Tmpfs {
        let place = directory();
        let mut tmpfs = Tmpfs::over(place.path(), size);
        tmpfs.place = Some(place);
        tmpfs
    }

    /// One in a directory of somebody else's.
    pub fn over(path: &Path, size: &str) -> Tmpfs {
        mount(&["-t", "tmpfs", "-o", size, "tmpfs"], path);
        Tmpfs {
            path: path.to_owned(),
            place: None,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Another test that starts a program at this moment has our open files too, for as long as that takes.
pub fn remount(how: &str, path: &Path) {
    wait_for("the disk to be remounted", || {
        let status = Command::new("mount").args(["-o", how]).arg(path).status();
        status.expect("mount runs").success()
    });
}

#[track_caller]
fn mount(arguments: &[&str], path: &Path) {
    let status = Command::new("mount").args(arguments).arg(path).status();
    let is_mounted = status.expect("mount runs").success();
    assert!(is_mounted, "mount {arguments:?}: root is needed");
}

#[track_caller]
fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, Error>, words: &[&str]) {
    let Err(Error::Unavailable(text)) = result else {
        panic!("{result:?}")
    };
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

#[test]
fn nobody_else_can_look_into_it() {
    let parent = directory();
    let path = parent.path().join("made/on/the/way");
    let store = store(&path);
    store.insert(&record(INSTANCE)).expect("insert");
    store.save_book(&player("anna"), b"spells").expect("save");
    let mut folders = vec![path];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o7777;
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in fs::read_dir(folder).expect("a directory") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files += 1;
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
    assert_eq!(files, 4, "a lock, a key, a record and a book");
}

#[test]
fn folders_that_were_open_to_others_are_closed() {
    let place = directory();
    let books = place.path().join("books");
    fs::create_dir(&books).expect("a directory");
    fs::set_permissions(&books, fs::Permissions::from_mode(0o755)).expect("root may");
    let _store = store(place.path());
    let mode = fs::metadata(&books).expect("it is there").mode();
    assert_eq!(mode & 0o7777, 0o700);
}

#[test]
fn a_person_can_read_it() {
    let place = directory();
    let store = store(place.path());
    let kept = record(INSTANCE);
    store.insert(&kept).expect("insert");
    store.save_book(&player("anna"), b"spells").expect("save");
    let id = kept.session_id;
    let json = fs::read_to_string(place.path().join(format!("sessions/{}.json", id.to_text())));
    let json = json.expect("a record");
    assert!(json.contains("\n  \"shell\": \"rust\",\n"), "{json}");
    let book = versions(place.path()).pop().expect("a version");
    assert_eq!(fs::read(&book).expect("a book"), b"spells");
    let printed = Command::new("sha256sum").arg(&book).output();
    let printed = printed.expect("sha256sum runs").stdout;
    let checksum = String::from_utf8_lossy(&printed)[..64].to_owned();
    assert!(book.display().to_string().contains(&checksum));
}

#[test]
fn one_server_at_a_time() {
    let place = directory();
    let first = store(place.path());
    let second = open(
        &Choice::Directory(place.path().into()),
        "another",
        None,
        None,
    );
    let Err(Error::Locked(text)) = second.map(|_| ()) else {
        panic!("it was opened twice")
    };
    assert!(text.contains(&place.path().display().to_string()), "{text}");
    drop(first);
    drop(store(place.path()));
}

/// Whatever is left of the newest version, the one before it is loaded, and the next save is a version again.
#[test]
fn a_torn_version_is_never_taken_for_whole() {
    let newest: Vec<u8> = (0..10_000u32).map(|number| number as u8).collect();
    let whole = newest.len();
    for length in [
        0,
        1,
        2,
        511,
        512,
        4095,
        4096,
        4097,
        whole / 2,
        whole - 1,
        whole,
        whole + 1,
    ] {
        let place = directory();
        let opened = store(place.path());
        for book in [&b"older"[..], &newest] {
            opened.save_book(&player("anna"), book).expect("save");
        }
        drop(opened);
        let path = versions(place.path()).pop().expect("a version");
        let file = fs::OpenOptions::new().write(true).open(&path);
        file.and_then(|file| file.set_len(length as u64))
            .expect("torn");
        let opened = store(place.path());
        let expected = if length == whole {
            &newest[..]
        } else {
            b"older"
        };
        assert_eq!(load(&opened).as_deref(), Some(expected), "{length}");
        assert_eq!(path.exists(), length == whole, "{length}");
        opened.save_book(&player("anna"), &newest).expect("save");
        assert_eq!(load(&opened).as_deref(), Some(&newest[..]), "{length}");
        assert_eq!(versions(place.path()).len(), 2, "{length}");
    }
}

#[test]
fn a_changed_byte_is_noticed_and_so_it_goes_back_version_by_version() {
    let place = directory();
    let store = store(place.path());
    for number in 0..BOOK_VERSIONS {
        store
            .save_book(&player("anna"), &[number as u8; 100])
            .expect("save");
    }
    for number in (0..BOOK_VERSIONS).rev() {
        assert_eq!(load(&store), Some(vec![number as u8; 100]));
        let path = versions(place.path()).pop().expect("a version");
        fs::write(path, [number as u8 + 1; 100]).expect("changed");
    }
    assert_eq!(load(&store), None);
    assert_eq!(entries(&place.path().join("books/anna")), BOOK_VERSIONS);
}

#[test]
fn what_a_crash_left_is_removed() {
    let place = directory();
    drop(store(place.path()));
    let leftover = place.path().join("tmp/7");
    fs::write(&leftover, "half of someth").expect("a file");
    let opened = store(place.path());
    assert!(!leftover.exists());
    opened.insert(&record(INSTANCE)).expect("insert");
    opened.check().expect("check");
    assert_eq!(entries(&place.path().join("tmp")), 0);
}

#[test]
fn other_files_are_left_alone() {
    let place = directory();
    drop(store(place.path()));
    let sessions = place.path().join("sessions");
    for name in [
        "README",
        "x.json",
        ".json",
        "6F2C7F0E-7D4B-4C3A-9D0B-3F7E0B1C2D3E.json",
    ] {
        fs::write(sessions.join(name), "{").expect("a file");
    }
    assert_eq!(store(place.path()).list().expect("list"), []);
    assert_eq!(entries(&sessions), 4);
}

/// What is planted at a record's place neither blocks nor leads elsewhere.
#[test]
fn links_fifos_and_devices_are_set_aside() {
    let place = directory();
    let elsewhere = directory();
    let opened = store(place.path());
    let kept = record(INSTANCE);
    opened.insert(&kept).expect("insert");
    let sessions = place.path().join("sessions");
    let at = || sessions.join(format!("{}.json", SessionId::random().to_text()));
    // A good record, but not here.
    let foreign = record(INSTANCE);
    let outside = elsewhere
        .path()
        .join(format!("{}.json", foreign.session_id.to_text()));
    fs::write(&outside, serde_json::to_vec(&foreign).expect("JSON")).expect("a file");
    let outside_name = outside.file_name().expect("a name").to_owned();
    symlink(&outside, sessions.join(outside_name)).expect("a link");
    symlink("/dev/zero", at()).expect("a link");
    symlink(at(), at()).expect("a link to nothing");
    fs::create_dir(at()).expect("a directory");
    for kind in [&["p"][..], &["c", "1", "5"]] {
        let status = Command::new("mknod").arg(at()).args(kind).status();
        assert!(status.expect("mknod runs").success(), "root is needed");
    }
    assert_eq!(opened.list().expect("list"), [kept]);
    let names = fs::read_dir(&sessions).expect("a directory");
    let broken = names.filter(|name| {
        let name = name.as_ref().expect("readable").file_name();
        name.to_string_lossy().ends_with(".broken")
    });
    assert_eq!(broken.count(), 6);
    assert!(outside.exists());
}

#[test]
fn a_link_in_place_of_a_folder_is_not_followed() {
    for name in ["sessions", "books", "tmp", "lock"] {
        let place = directory();
        let elsewhere = directory();
        let target = elsewhere.path().join("target");
        if name == "lock" {
            fs::write(&target, "").expect("a file");
        } else {
            fs::create_dir(&target).expect("a directory");
        }
        symlink(&target, place.path().join(name)).expect("a link");
        let opened = Directory::open(place.path(), INSTANCE);
        assert_unavailable(opened.map(|_| ()), &["DATA_DIR"]);
    }
    let place = directory();
    let elsewhere = directory();
    let opened = store(place.path());
    symlink(elsewhere.path(), place.path().join("books/anna")).expect("a link");
    let words = ["DATA_DIR/books", "no link"];
    assert_unavailable(opened.save_book(&player("anna"), b"spells"), &words);
    assert_unavailable(opened.load_book(&player("anna")), &words);
    assert_eq!(entries(elsewhere.path()), 0);
}

#[test]
fn links_and_fifos_among_the_books_are_no_versions() {
    let place = directory();
    let elsewhere = directory();
    let store = store(place.path());
    store.save_book(&player("anna"), b"older").expect("save");
    store.save_book(&player("anna"), b"newer").expect("save");
    let newest = versions(place.path()).pop().expect("a version");
    let outside = elsewhere.path().join("book");
    fs::rename(&newest, &outside).expect("moved");
    symlink(&outside, &newest).expect("a link");
    assert_eq!(load(&store), Some(b"older".to_vec()));
    let status = Command::new("mkfifo").arg(&newest).status();
    assert!(status.expect("mkfifo runs").success());
    assert_eq!(load(&store), Some(b"older".to_vec()));
    assert_eq!(fs::read(outside).expect("a book"), b"newer");
}

#[test]
fn data_dir_itself_may_be_a_link() {
    let place = directory();
    let link = place.path().join("link");
    fs::create_dir(place.path().join("target")).expect("a directory");
    symlink("target", &link).expect("a link");
    store(&link).insert(&record(INSTANCE)).expect("insert");
    assert!(place.path().join("target/sessions").is_dir());
}

#[test]
fn a_full_disk_is_told_and_harms_nothing() {
    let disk = Tmpfs::new("size=4m");
    let store = store(disk.path());
    let kept = record(INSTANCE);
    store.insert(&kept).expect("insert");
    store.save_book(&player("anna"), b"spells").expect("save");
    store.check().expect("there is room");
    let ballast = disk.path().join("ballast");
    // Room for a block, but not for a book.
    fs::write(&ballast, vec![1; (5 << 20) / 2]).expect("room for that");
    assert_unavailable(store.check(), &["DATA_DIR has", "bytes left"]);
    // No room at all.
    let filled = fs::write(&ballast, vec![1; 4 << 20]);
    assert!(filled.is_err(), "the disk is bigger than that");
    assert_unavailable(store.check(), &["DATA_DIR/tmp", "No space left"]);
    let words = ["DATA_DIR/sessions can't be written", "No space left"];
    assert_unavailable(store.insert(&record(INSTANCE)), &words);
    let update = store.update(kept.session_id, &mut |record| {
        record.shell = "x".repeat(9000)
    });
    assert_unavailable(update, &words);
    let words = ["DATA_DIR/books can't be written", "No space left"];
    assert_unavailable(store.save_book(&player("anna"), b"more"), &words);
    assert_eq!(store.list().expect("list"), std::slice::from_ref(&kept));
    assert_eq!(load(&store), Some(b"spells".to_vec()));
    assert_eq!(entries(&disk.path().join("tmp")), 0);
    // And with room again it goes on by itself. Emptied before it is removed: a child that another test starts at this moment
    // may still hold the file, and with it the room.
    fs::write(&ballast, b"").expect("emptied");
    fs::remove_file(&ballast).expect("removed");
    store.check().expect("there is room");
    store.insert(&record(INSTANCE)).expect("insert");
    store.save_book(&player("anna"), b"more").expect("save");
    assert_eq!(load(&store), Some(b"more".to_vec()));
}

#[test]
fn a_disk_that_becomes_read_only_is_told_and_can_be_read() {
    let disk = Tmpfs::new("size=8m");
    let store = store(disk.path());
    let kept = record(INSTANCE);
    store.insert(&kept).expect("insert");
    store.save_book(&player("anna"), b"spells").expect("save");
    remount("remount,ro", disk.path());
    assert_unavailable(store.check(), &["DATA_DIR/tmp", "Read-only file system"]);
    let words = ["DATA_DIR/sessions", "Read-only file system"];
    assert_unavailable(store.insert(&record(INSTANCE)), &words);
    assert_unavailable(store.update(kept.session_id, &mut |_| {}), &words);
    assert_unavailable(store.remove(kept.session_id), &words);
    let words = ["DATA_DIR/books", "Read-only file system"];
    assert_unavailable(store.save_book(&player("anna"), b"more"), &words);
    assert_unavailable(store.save_book(&player("ben"), b"more"), &words);
    assert_eq!(load(&store), Some(b"spells".to_vec()));
    assert_eq!(store.list().expect("list"), std::slice::from_ref(&kept));
    remount("remount,rw", disk.path());
    store.check().expect("it can be written again");
    store.update(kept.session_id, &mut |_| {}).expect("update");
}

#[test]
fn a_place_that_can_t_be_had_is_told() {
    let place = directory();
    let file = place.path().join("file");
    fs::write(&file, "").expect("a file");
    let opened = Directory::open(&file.join("below"), INSTANCE);
    assert_unavailable(opened.map(|_| ()), &["DATA_DIR", "Not a directory"]);
    let disk = Tmpfs::new("size=1m");
    remount("remount,ro", disk.path());
    let opened = Directory::open(disk.path(), INSTANCE);
    assert_unavailable(opened.map(|_| ()), &["DATA_DIR", "Read-only file system"]);
}

/// What an operator, a backup or a damaged disk leaves among the books keeps no other from being counted or from expiring.
#[test]
fn odd_things_among_the_books_hold_up_nobody() {
    let place = directory();
    let books = place.path().join("books");
    let store = store(place.path());
    for name in ["anna", "anon-odd", "anon-old"] {
        store.save_book(&player(name), b"spells").expect("save");
    }
    fs::write(books.join("anon-file"), b"notes").expect("a file");
    symlink("/", books.join("anon-link")).expect("a link");
    fs::create_dir(books.join("lost+found")).expect("a directory");
    fs::create_dir(books.join("anon-odd/directory")).expect("a directory");
    fs::create_dir(books.join("anna/directory")).expect("a directory");
    for name in ["anna", "anon-odd", "anon-old"] {
        let folder = fs::File::open(books.join(name)).expect("a directory");
        let long_ago = SystemTime::now() - Duration::from_secs(1_000_000);
        folder.set_modified(long_ago).expect("ours");
    }
    let tended = tend(&store, Some(Duration::from_secs(500_000)), &[]);
    // The odd one can't be removed, and the link was not followed.
    assert_eq!(tended, shelf(1, 1, 1));
    assert!(!books.join("anon-old").exists() && books.join("anon-odd").exists());
    assert!(Path::new("/etc").exists() && books.join("anon-file").exists());
    assert_eq!(load(&store).as_deref(), Some(&b"spells"[..]));
}
