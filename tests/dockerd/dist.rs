//! `make dist`'s binary by itself: one static file that brings everything, on an Engine that has nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::restart::Daemon;
use crate::site::{Client, wait_for};

/// What `.ci/dist` sees to as well.
const MAX_BYTES: usize = 8 << 20;

/// The binary.
pub fn binary() -> PathBuf {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/dist/shellcraft");
    assert!(
        fs::exists(path).is_ok_and(|exists| exists),
        "{path} is missing: run `make dist`"
    );
    path.into()
}

/// A server that is killed when it goes out of scope.
struct Server {
    child: Child,
    client: Client,
}

impl Server {
    /// Starts it with these settings and no others.
    #[track_caller]
    fn start(settings: &[(&str, &str)]) -> Server {
        let mut command = Command::new(binary());
        command.env_clear().envs(settings.iter().copied());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let stdout = child.stdout.take().expect("piped");
        // A slow start has a line of its own before.
        let lines = BufReader::new(stdout).lines();
        let address = lines.map_while(Result::ok).find_map(|line| {
            let address = line.strip_prefix("ShellCraft is ready: http://")?;
            address.trim_end_matches('/').parse().ok()
        });
        Server {
            child,
            client: Client::at(address.expect("it says that it is ready, and where")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Kinds of the segments in an ELF file of 64 bits (elf(5)).
fn segments(file: &[u8]) -> Vec<u32> {
    let number = |at: usize, size: usize| {
        let bytes = file.get(at..at + size).expect("a whole file");
        let bytes = bytes.iter().rev();
        bytes.fold(0, |number, &byte| number << 8 | usize::from(byte))
    };
    assert_eq!(file.get(..5), Some(&b"\x7fELF\x02"[..]));
    let (start, size, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    let kinds = (0..count).map(|index| number(start + index * size, 4));
    kinds
        .map(|kind| u32::try_from(kind).expect("4 bytes"))
        .collect()
}

#[test]
fn the_binary_is_one_static_file_of_at_most_8_mib() {
    /// Names the loader of a program that is linked dynamically.
    const PT_INTERP: u32 = 3;
    let file = fs::read(binary()).expect("it can be read");
    assert!(file.len() <= MAX_BYTES, "{} bytes", file.len());
    let segments = segments(&file);
    assert!(
        segments.len() > 3 && !segments.contains(&PT_INTERP),
        "{segments:?}"
    );
}

#[test]
fn the_binary_alone_serves_both_shells_on_an_empty_engine() {
    let daemon = Daemon::start_empty(&[]);
    let engine = daemon.engine();
    for image in ["shellcraft/rust", "shellcraft/perl"] {
        assert_eq!(engine.has_image(image).ok(), Some(false), "{image}");
    }
    let data = TempDir::new().expect("a directory");
    let server = Server::start(&[
        ("DOCKER_HOST", &daemon.docker_host()),
        ("PORT", "0"),
        ("DATA_DIR", data.path().to_str().expect("a path in UTF-8")),
    ]);
    let client = &server.client;
    wait_for("the server to be ready", || {
        client.get("/readyz").status == 200
    });
    for shell in ["rust", "perl"] {
        let game = client.create(shell);
        let mut page = client.page(&game, None);
        page.expect(" ~ ");
        page.type_in("help\r");
        page.expect("cast");
        assert_eq!(client.delete(&game.path("")).status, 204);
    }
}
