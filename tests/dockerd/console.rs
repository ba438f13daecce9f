//! Plays a transcript ([`crate::game`]) at a terminal, whatever it hangs on.

use std::io::Write;
use std::time::Instant;

use shellcraft::engine::{ContainerId, Engine, Size};
use shellcraft::session::sandbox;
use shellcraft::session::spellbook::archive;
use tungstenite::Message;

use crate::containers::{PATIENCE, Terminal};
use crate::game::{Step, plain};
use crate::site::Player;

/// A terminal that a transcript can be played at.
pub trait Console {
    /// Types.
    fn keys(&mut self, keys: &[u8]);
    /// Changes the terminal's size.
    fn size(&mut self, cols: u16, rows: u16);
    /// Puts an archive into `/home`.
    fn home(&mut self, _archive: &[u8]) {
        panic!("this console has only a terminal");
    }
    /// Waits for more output until `due`; none at the end of the terminal.
    fn more(&mut self, due: Instant) -> Option<Vec<u8>>;
}

impl Console for Player {
    fn keys(&mut self, keys: &[u8]) {
        self.send(Message::binary(keys.to_vec()));
    }

    fn size(&mut self, cols: u16, rows: u16) {
        self.resize(cols.into(), rows.into());
    }

    fn more(&mut self, due: Instant) -> Option<Vec<u8>> {
        let goes_on = self.read(due);
        let output = std::mem::take(&mut self.seen);
        (goes_on || !output.is_empty()).then_some(output)
    }
}

/// A container's terminal without a server between.
pub struct Bare {
    pub engine: Engine,
    pub container: ContainerId,
    pub terminal: Terminal,
}

impl Console for Bare {
    fn keys(&mut self, keys: &[u8]) {
        let input = &mut self.terminal.attach.input;
        input.write_all(keys).expect("the container takes input");
    }

    fn size(&mut self, cols: u16, rows: u16) {
        let size = Size { cols, rows };
        self.engine.resize(&self.container, size).expect("resize");
    }

    fn home(&mut self, archive: &[u8]) {
        let put = self
            .engine
            .put_archive(&self.container, sandbox::HOME, archive);
        put.expect("put");
    }

    fn more(&mut self, due: Instant) -> Option<Vec<u8>> {
        let goes_on = self.terminal.read(due);
        let output = std::mem::take(&mut self.terminal.seen);
        (goes_on || !output.is_empty()).then_some(output)
    }
}

/// A transcript on its way: what has come and was not looked for yet.
#[derive(Default)]
pub struct Play {
    /// Output that may end within an escape sequence or a character.
    raw: Vec<u8>,
    text: String,
}

impl Play {
    /// Plays these steps; each must come true within [`PATIENCE`]. Returns the status of an end among them.
    #[track_caller]
    pub fn steps(&mut self, console: &mut impl Console, steps: &[Step]) -> Option<u8> {
        for step in steps {
            match *step {
                Step::Type(keys) => console.keys(keys.as_bytes()),
                Step::Bytes(keys) => console.keys(keys),
                Step::Resize(cols, rows) => console.size(cols, rows),
                Step::Book(book) => console.home(&archive::pack(book).expect("memory")),
                Step::SealedBook => console.home(&sealed_book()),
                Step::See(text) => self.see(console, text),
                Step::Ends(status) => {
                    self.end(console);
                    return Some(status);
                }
            }
        }
        None
    }

    /// Waits for a text and forgets everything up to its end.
    #[track_caller]
    pub fn see(&mut self, console: &mut impl Console, text: &str) {
        let due = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.text.find(text) {
                self.text.drain(..at + text.len());
                return;
            }
            let shown = self.text.get(self.text.len().saturating_sub(2000)..);
            let shown = shown.unwrap_or(&self.text);
            assert!(
                Instant::now() < due,
                "waited in vain for {text:?}: {shown:?}, and whatever this begins: {:?}",
                String::from_utf8_lossy(&self.raw)
            );
            let Some(output) = console.more(due) else {
                panic!("ended before {text:?}: {shown:?}");
            };
            self.take(&output);
        }
    }

    /// Waits for the next line, and takes it.
    #[track_caller]
    pub fn line(&mut self, console: &mut impl Console) -> String {
        let due = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.text.find('\n') {
                return self.text.drain(..=at).collect();
            }
            assert!(Instant::now() < due, "no line comes: {:?}", self.text);
            let output = console.more(due).expect("it goes on");
            self.take(&output);
        }
    }

    #[track_caller]
    fn end(&mut self, console: &mut impl Console) {
        let due = Instant::now() + PATIENCE;
        while console.more(due).is_some() {
            assert!(Instant::now() < due, "it does not end");
        }
    }

    fn take(&mut self, output: &[u8]) {
        self.raw.extend_from_slice(output);
        if is_complete(&self.raw) {
            self.text += &plain(&self.raw);
            self.raw.clear();
        }
    }
}

/// A book that the player may neither read nor write.
fn sealed_book() -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(1);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive
        .append_data(&mut header, archive::FILE, &b"x"[..])
        .and_then(|()| archive.into_inner())
        .expect("memory")
}

/// Whether output ends neither within an escape sequence nor within a character.
fn is_complete(output: &[u8]) -> bool {
    let is_cut = str::from_utf8(output).is_err_and(|error| error.error_len().is_none());
    // Whatever was begun swallows the X.
    !is_cut && plain(&[output, b"X"].concat()) == plain(output) + "X"
}

#[test]
fn cut_output_is_kept_until_it_is_whole() {
    for (output, expected) in [
        (&b"plain"[..], true),
        (b"\x1b[35m", true),
        (b"\x1b[3", false),
        (b"\x1b", false),
        (b"\x1b]0;title", false),
        (b"\xe2\x9c", false),
        (b"\xe2\x9c\xa6", true),
        (b"\xff", true),
    ] {
        assert_eq!(is_complete(output), expected, "{output:?}");
    }
}
