//! In the place of a spellbook there is something else, put there from outside, for a player can't: the session ends
//! as any other, nothing that is no book is saved, and the version of before stays.

use std::fs::File;
use std::io::Write;

use shellcraft::engine::ContainerId;
use tar::{Builder, EntryType, Header};

use crate::busybox;
use crate::chaos_arena::{Arena, files};
use crate::dice::Dice;
use crate::docker::{self, container_of, inspect};
use crate::site::{Game, Reply, cookie_of, wait_for};

const SHELLS: &str = "busybox=shellcraft-test/busybox";
const BOOK: &str = "spellbook.dat";
const OTHER: &[u8] = b"what lies under another name\n";
const TERABYTE: u64 = 1 << 40;
const MEBIBYTE: usize = 1 << 20;

/// A tar of one entry with the book's name.
fn entry(kind: EntryType, shape: impl FnOnce(&mut Header)) -> Vec<u8> {
    archive(|builder| {
        let mut header = header(kind, 0);
        shape(&mut header);
        builder.append_data(&mut header, BOOK, &b""[..])
    })
}

fn archive(fill: impl FnOnce(&mut Builder<Vec<u8>>) -> std::io::Result<()>) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    fill(&mut builder).expect("memory");
    builder.into_inner().expect("memory")
}

fn header(kind: EntryType, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_uid(1000);
    header.set_gid(1000);
    header
}

/// What is planted, and what becomes of the book: none if the one of before is to stay.
type Plant = (&'static str, Vec<u8>, Option<Vec<u8>>);

fn plants() -> Vec<Plant> {
    let link = |to: &'static str| {
        archive(|builder| builder.append_link(&mut header(EntryType::Symlink, 0), BOOK, to))
    };
    let device = |kind, minor| {
        entry(kind, |header| {
            header.set_device_major(1).expect("it fits");
            header.set_device_minor(minor).expect("it fits");
        })
    };
    // A file with two names is a file: the Engine does not tell them apart, and its bytes are what the player sees.
    let hard_link = archive(|builder| {
        builder.append_data(&mut header(EntryType::Regular, OTHER.len()), "other", OTHER)?;
        builder.append_link(&mut header(EntryType::Link, 0), BOOK, "other")
    });
    let mut dice = Dice(7);
    let noise: Vec<u8> = (0..MEBIBYTE).map(|_| dice.below(256) as u8).collect();
    let file = |bytes: &[u8]| {
        archive(|builder| {
            builder.append_data(&mut header(EntryType::Regular, bytes.len()), BOOK, bytes)
        })
    };
    let too_long = [noise.as_slice(), b"!"].concat();
    vec![
        ("link to a file of the host", link("/etc/hostname"), None),
        ("link to itself", link(BOOK), None),
        ("hard link", hard_link, Some(OTHER.to_vec())),
        (
            "directory",
            entry(EntryType::Directory, |header| header.set_mode(0o755)),
            None,
        ),
        ("FIFO", entry(EntryType::Fifo, |_| {}), None),
        ("/dev/zero", device(EntryType::Char, 5), None),
        ("a disk", device(EntryType::Block, 0), None),
        ("a byte too many", file(&too_long), None),
        ("random bytes", file(&noise), Some(noise)),
    ]
}

struct Planter<'a> {
    arena: &'a Arena,
    cookie: String,
}

impl Planter<'_> {
    #[track_caller]
    fn request(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let headers = [("Cookie", self.cookie.as_str())];
        self.arena.client().request(method, path, &headers, body)
    }

    #[track_caller]
    fn create(&self) -> Game {
        let reply = self.request("POST", "/session", b"");
        assert_eq!(reply.status, 201, "{reply:?}");
        Game::of(&reply)
    }

    /// Plants, ends the session in one of its ways, and looks what the next one has.
    #[track_caller]
    fn check(&self, name: &str, leaves: bool, plant: impl FnOnce(&str), expected: Option<&[u8]>) {
        let before = format!("before the {name}\n").into_bytes();
        let game = self.create();
        let container = container_of(&game);
        let mut page = self.arena.client().page(&game, None);
        page.expect("$ ");
        let put = self.request("PUT", &game.path("/spellbook"), &before);
        assert_eq!(put.status, 204, "{name}: {put:?}");
        plant(&container);

        let book = self.request("GET", &game.path("/spellbook"), b"");
        match expected {
            None => assert_eq!(
                (book.status, &*book.code()),
                (409, "no_spellbook"),
                "{name}"
            ),
            Some(bytes) => assert!(book.status == 200 && book.body == bytes, "{name}"),
        }
        if leaves {
            page.type_in("exit\r");
            assert_eq!(page.close_code(), 1000, "{name}");
        } else {
            let ended = self.request("DELETE", &game.path(""), b"");
            assert_eq!(ended.status, 204, "{name}");
            assert_eq!(page.close_code(), 4002, "{name}");
        }
        wait_for("the container to be removed", || {
            let containers = self.arena.containers();
            containers.iter().all(|id| id.0 != container)
        });

        let game = self.create();
        let book = self.request("GET", &game.path("/spellbook"), b"");
        let expected = expected.unwrap_or(&before);
        assert!(
            book.status == 200 && book.body == expected,
            "{name}: {} bytes became {}",
            expected.len(),
            book.body.len()
        );
        let books = files(&self.arena.data_dir().join("books"));
        let mut versions = books
            .iter()
            .map(|path| std::fs::read(path).expect("a file"));
        assert!(
            versions.any(|version| version == before),
            "{name}: a version of before stays"
        );
        let ended = self.request("DELETE", &game.path(""), b"");
        assert_eq!(ended.status, 204, "{name}");
    }
}

#[test]
fn what_is_no_spellbook_is_not_saved() {
    let engine = docker::engine();
    busybox::image(&engine);
    let flags = [
        "--shells",
        SHELLS,
        "--pool-size",
        "1",
        "--save-interval",
        "1s",
    ];
    let arena = Arena::open(&docker::host(), &flags);
    arena.wait_until_ready();
    let planter = |number: usize| Planter {
        arena: &arena,
        cookie: cookie_of(&format!("{number:064x}")),
    };
    for (number, (name, tar, expected)) in plants().into_iter().enumerate() {
        let plant = |container: &str| {
            let container = ContainerId(container.to_owned());
            let planted = engine.put_archive(&container, "/home", &tar);
            planted.unwrap_or_else(|error| panic!("{name}: {error}"));
        };
        // Half of them are left by their players, the others are destroyed.
        let leaves = number % 2 == 0;
        planter(number).check(name, leaves, plant, expected.as_deref());
    }
    planter(100).check("terabyte of nothing", false, plant_a_terabyte, None);
    arena.close();
}

/// By the volume's own place, for the Engine would write all of it.
fn plant_a_terabyte(container: &str) {
    let inspection = inspect(container);
    let volume = inspection["Mounts"][0]["Source"]
        .as_str()
        .expect("a volume");
    let mut book = File::create(format!("{volume}/{BOOK}")).expect("the volume is here");
    book.write_all(b"begins like a book\n").expect("room");
    book.set_len(TERABYTE).expect("a file system with holes");
}
