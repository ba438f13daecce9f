//! No room left where books are kept: who plays goes on, nobody new comes in, and no container goes before its book is
//! safe.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::busybox;
use crate::chaos_arena::Arena;
use crate::docker::{self, container_of};
use crate::site::{Game, Reply, cookie_of, wait_for};

const SHELLS: &str = "busybox=shellcraft-test/busybox";
/// Room for a few books.
const DISK: &str = "size=8m";

/// A small disk in memory; unmounted when it goes out of scope.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Disk {
        std::fs::create_dir(&at).expect("a directory");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&at);
        assert!(command.status().expect("mount runs").success());
        Disk(at)
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file");
        while file.write_all(&[b'x'; 512]).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).expect("it is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let lazily = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(lazily.is_ok());
    }
}

const SECRET: &str = "d15cd15cd15cd15cd15cd15cd15cd15cd15cd15cd15cd15cd15cd15cd15cd15c";

#[track_caller]
fn request(arena: &Arena, method: &str, path: &str, body: &[u8]) -> Reply {
    let cookie = cookie_of(SECRET);
    let headers = [("Cookie", cookie.as_str())];
    arena.client().request(method, path, &headers, body)
}

#[track_caller]
fn create(arena: &Arena) -> Game {
    let reply = request(arena, "POST", "/session", b"");
    assert_eq!(reply.status, 201, "{reply:?}");
    Game::of(&reply)
}

#[track_caller]
fn assert_refused(arena: &Arena) {
    wait_for("the server not to be ready", || {
        arena.client().get("/readyz").status == 503
    });
    let refused = request(arena, "POST", "/session", b"");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "store_unavailable")
    );
    assert!(refused.header("retry-after").is_some());
}

fn is_there(arena: &Arena, container: &str) -> bool {
    let containers = arena.containers();
    containers.iter().any(|id| id.0 == container)
}

fn size(path: &Path) -> u64 {
    path.metadata().expect("a file").len()
}

#[test]
fn a_full_disk_costs_no_book() {
    busybox::image(&docker::engine());
    let folder = TempDir::new().expect("a directory");
    let disk = Disk::mount(folder.path().join("data"));
    let flags = [
        "--shells",
        SHELLS,
        "--pool-size",
        "0",
        "--save-interval",
        "1s",
    ];
    let arena = Arena::open_in(folder, &docker::host(), &flags);
    arena.wait_until_ready();
    let (mine, other) = (create(&arena), arena.client().create("busybox"));
    let container = container_of(&mine);
    let put = request(&arena, "PUT", &mine.path("/spellbook"), b"before\n");
    assert_eq!(put.status, 204, "{put:?}");

    disk.fill();
    assert!(size(&disk.filler()) > 1 << 20, "it was not full before");
    assert_refused(&arena);
    // Those who are in play on, and their books are read as ever. What can't be saved is not said to be.
    let mut page = arena.client().page(&mine, None);
    page.expect("$ ");
    page.type_in("echo pl'ay'\r");
    page.expect("play\r\n");
    let put = request(&arena, "PUT", &mine.path("/spellbook"), b"during\n");
    assert_eq!(
        (put.status, put.code().as_str()),
        (503, "store_unavailable")
    );
    let book = request(&arena, "GET", &mine.path("/spellbook"), b"");
    assert_eq!((book.status, book.text().as_str()), (200, "before\n"));
    // What the game itself writes is not lost, however long there is no room.
    page.type_in("echo during >/home/spellbook.dat; echo writ'ten'\r");
    page.expect("written\r\n");

    // The end: told at once, and the container waits.
    page.type_in("exit\r");
    assert_eq!(page.close_code(), 1000);
    wait_for("a save that fails", || {
        arena.log().contains("stays until its book is safe")
    });
    assert!(is_there(&arena, &container));
    assert_eq!(arena.containers().len(), 2, "none of those refused is left");
    // Nor does the next server give it up.
    arena.kill_server();
    wait_for("the sessions to be taken over", || {
        arena.client().get(&other.path("/status")).status == 200
    });
    assert_refused(&arena);
    let mut page = arena.client().page(&other, None);
    page.type_in("echo pl'ay'\r");
    page.expect("play\r\n");
    assert!(is_there(&arena, &container));

    disk.make_room();
    arena.wait_until_ready();
    wait_for("the container to be removed", || {
        !is_there(&arena, &container)
    });
    let again = create(&arena);
    let book = request(&arena, "GET", &again.path("/spellbook"), b"");
    assert_eq!((book.status, book.text().as_str()), (200, "during\n"));
    arena.close();
}
