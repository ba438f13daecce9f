//! Small images to play with, made from Debian's `busybox-static` without any registry.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Mutex;

use shellcraft::engine::Engine;
use tar::EntryType;

const IMAGE: &str = "shellcraft-test/busybox";
const HOSTILE: &str = "shellcraft-test/hostile";
const LOOSE: &str = "shellcraft-test/loose";

/// The label that says what an image was made of, so that an old one is replaced.
const MADE_OF: &str = "shellcraft.test.made-of";

/// What the promises type.
const COMMANDS: [&str; 6] = ["sh", "ls", "cat", "seq", "stty", "yes"];

/// The name of an image with a shell; makes it if it is not there yet.
pub fn image(engine: &Engine) -> &'static str {
    made(engine, IMAGE, &root(&[]))
}

/// The name of an image that makes attacks easier than ours do: all of busybox, a program that becomes root
/// (`/bin/su`), a file that only root may read, directories that anybody may write to.
pub fn hostile(engine: &Engine) -> &'static str {
    let busybox = busybox();
    let extras = [
        ("etc/", EntryType::Directory, 0o777, &b""[..]),
        ("data/", EntryType::Directory, 0o777, b""),
        ("etc/shadow", EntryType::Regular, 0o600, b"root's secret\n"),
        ("bin/su", EntryType::Regular, 0o4755, &busybox),
    ];
    made(engine, HOSTILE, &root(&extras))
}

/// The name of an image that has a directory of the player's in `/home`.
pub fn loose(engine: &Engine) -> &'static str {
    let extras = [("home/player/", EntryType::Directory, 0o777, &b""[..])];
    made(engine, LOOSE, &root(&extras))
}

fn made(engine: &Engine, name: &'static str, root: &[u8]) -> &'static str {
    // Tests run in parallel, and each image is made once.
    static MAKING: Mutex<()> = Mutex::new(());
    let _guard = MAKING.lock();
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    let hash = format!("{:x}", hasher.finish());
    let label = format!("{{{{index .Config.Labels {MADE_OF:?}}}}}");
    if tell(engine, name, &label) != hash {
        let before = tell(engine, name, "{{.Id}}");
        import(engine.socket(), name, &hash, root).expect("import");
        if !before.is_empty() {
            // Fails while somebody plays in it.
            let _ = docker(engine, &["rmi", &before]);
        }
    }
    name
}

fn busybox() -> Vec<u8> {
    std::fs::read("/bin/busybox").expect("/bin/busybox: install busybox-static")
}

/// An image's files as a tar archive.
fn root(extras: &[(&str, EntryType, u32, &[u8])]) -> Vec<u8> {
    let busybox = busybox();
    let mut archive = tar::Builder::new(Vec::new());
    let usual = [
        ("bin/", EntryType::Directory, 0o755, &b""[..]),
        ("home/", EntryType::Directory, 0o755, b""),
        // As every image has it. DOCKER: before runc 1.1.8 the tmpfs takes its mode from here.
        ("tmp/", EntryType::Directory, 0o1777, b""),
        ("bin/busybox", EntryType::Regular, 0o755, &busybox),
    ];
    for (name, kind, mode, content) in usual.iter().chain(extras) {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        archive
            .append_data(&mut header, name, *content)
            .expect("memory");
    }
    for command in COMMANDS {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        archive
            .append_link(&mut header, format!("bin/{command}"), "busybox")
            .expect("memory");
    }
    archive.into_inner().expect("memory")
}

/// What the Engine tells of an image, in a Go template's words; nothing if there is no such image.
fn tell(engine: &Engine, name: &str, format: &str) -> String {
    docker(engine, &["image", "inspect", "--format", format, name])
}

/// Runs `docker` for that Engine, which may be another than the machine's own.
fn docker(engine: &Engine, arguments: &[&str]) -> String {
    let host = format!("unix://{}", engine.socket());
    let mut command = Command::new("docker");
    let output = command.args(["--host", &host]).args(arguments).output();
    let output = output.expect("docker.io is installed");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What `docker import` does. The server itself never imports, so its client can't.
fn import(socket: &str, name: &str, hash: &str, root: &[u8]) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    // CMD ["/bin/sh"] and LABEL made-of=hash
    let changes =
        format!("changes=CMD%20%5B%22%2Fbin%2Fsh%22%5D&changes=LABEL%20{MADE_OF}%3D{hash}");
    write!(
        stream,
        "POST /images/create?fromSrc=-&repo={name}&tag=latest&{changes} HTTP/1.1\r\nHost: docker\r\n\
         Connection: close\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
        root.len()
    )?;
    stream.write_all(root)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.starts_with("HTTP/1.1 200") && answer.contains("sha256:") {
        true => Ok(()),
        false => Err(io::Error::other(answer)),
    }
}
