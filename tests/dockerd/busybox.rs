//! A small image to play with, made from Debian's `busybox-static` without any registry.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use shellcraft::engine::Engine;

const IMAGE: &str = "shellcraft-test/busybox";

/// What the promises type.
const COMMANDS: [&str; 6] = ["sh", "ls", "cat", "seq", "stty", "yes"];

/// The image's name; makes it if it is not there yet.
pub fn image(engine: &Engine) -> &'static str {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        if !engine.has_image(IMAGE).expect("an Engine answers") {
            let root = root().expect("/bin/busybox: install busybox-static");
            import(engine.socket(), &root).expect("import");
        }
    });
    IMAGE
}

/// The image's files as a tar archive.
fn root() -> io::Result<Vec<u8>> {
    let binary = std::fs::read("/bin/busybox")?;
    let mut archive = tar::Builder::new(Vec::new());
    for dir in ["bin/", "home/", "tmp/"] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        archive.append_data(&mut header, dir, io::empty())?;
    }
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(binary.len() as u64);
    archive.append_data(&mut header, "bin/busybox", binary.as_slice())?;
    for command in COMMANDS {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, format!("bin/{command}"), "busybox")?;
    }
    archive.into_inner()
}

/// What `docker import` does. The server itself never imports, so its client can't.
fn import(socket: &str, root: &[u8]) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    let changes = "CMD%20%5B%22%2Fbin%2Fsh%22%5D"; // CMD ["/bin/sh"]
    write!(
        stream,
        "POST /images/create?fromSrc=-&repo={IMAGE}&tag=latest&changes={changes} HTTP/1.1\r\nHost: docker\r\n\
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
