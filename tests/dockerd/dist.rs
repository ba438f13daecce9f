//! `make dist`'s binary by itself: one static file that brings everything, on an Engine that has nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
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
fn the_binary_is_one_static_file_of_at_most_8_mb() {
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

/// A line's value in Cargo.lock, behind the name of its crate.
fn locked_version(name: &str) -> String {
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
    let lock = fs::read_to_string(lock).expect("a lock file");
    let (_, rest) = lock
        .split_once(&format!("name = \"{name}\"\nversion = \""))
        .expect("a crate of ours");
    let (version, _) = rest.split_once('"').expect("its end");
    version.to_owned()
}

#[test]
fn the_list_of_what_is_in_it_is_whole_and_has_no_tools() {
    let list = fs::read(binary().with_file_name("shellcraft.cdx.json")).expect("a list");
    let list: Value = serde_json::from_slice(&list).expect("JSON");
    assert_eq!(list["bomFormat"], "CycloneDX");
    let components = list["components"].as_array().expect("a list");
    let version = |name: &str| {
        let found = components.iter().find(|one| one["name"] == name);
        found.map(|one| one["version"].as_str().expect("a version").to_owned())
    };
    for name in ["rustls", "tungstenite", "ureq", "webpki-roots"] {
        assert_eq!(version(name), Some(locked_version(name)), "{name}");
    }
    assert!(version("@xterm/xterm").is_some(), "of the page");
    // What tests, macros and the page's build need is not delivered.
    for name in ["proptest", "criterion", "thiserror-impl", "esbuild"] {
        assert_eq!(version(name), None, "{name}");
    }
    let from_registries = components.iter().filter(|one| !one["purl"].is_null());
    for one in from_registries {
        assert!(one["hashes"][0]["content"].is_string(), "{one}");
    }
}

#[test]
fn the_sums_are_those_of_the_files() {
    let output = Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(binary().parent().expect("a folder"))
        .output()
        .expect("coreutils are installed");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    assert_eq!(told, "shellcraft: OK\nshellcraft.cdx.json: OK\n");
}

/// What would make builds in two folders two binaries.
#[test]
fn the_binary_names_no_folder_that_it_was_built_in() {
    let file = fs::read(binary()).expect("it can be read");
    for folder in [env!("CARGO_MANIFEST_DIR"), "/.cargo/registry"] {
        let folder = folder.as_bytes();
        let found = file.windows(folder.len()).position(|part| part == folder);
        let around = found.map(|at| String::from_utf8_lossy(&file[at..file.len().min(at + 120)]));
        assert_eq!(around, None);
    }
    // As a sign that there are paths at all.
    assert!(file.windows(7).any(|part| part == b"/crates"));
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
