//! What must hold of any bytes whatever: `tests/fuzz` makes them up, `tests/it` goes through those that were kept.

use std::ffi::OsString;
use std::io::{Cursor, Read, Write};
use std::net::Shutdown;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::time::UNIX_EPOCH;

use shellcraft::auth;
use shellcraft::auth::PlayerId;
use shellcraft::config::{Config, Stop};
use shellcraft::door;
use shellcraft::engine::{self, Size, Unfinished};
use shellcraft::fleet::hello::Introduction;
use shellcraft::fleet::secret::FleetSecret;
use shellcraft::session::sandbox::BOOK_LIMIT_BYTES;
use shellcraft::session::spellbook::archive;
use shellcraft::session::store::FORMAT;
use shellcraft::session::store::record::{self, Unreadable};
use shellcraft::terminal::Metrics;
use shellcraft::terminal::emulator::{Emulator, is_asking};
use shellcraft::terminal::frame::{self, FromPage};
use shellcraft::terminal::split::MAX_MESSAGE_BYTES;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// Takes one input and must survive it.
type Probe = fn(&[u8]);

/// All probes, each under the name of its corpus.
pub const ALL: [(&str, Probe); 10] = [
    ("head", head),
    ("hello", hello),
    ("frames", frames),
    ("control", control_message),
    ("jwt", jwt),
    ("record", record),
    ("book", book),
    ("config", config),
    ("engine", engine),
    ("emulator", emulator),
];

/// A head is refused, or passed on as one request with nothing of its framing that two readers could read in two ways.
pub fn head(bytes: &[u8]) {
    const TICKET: &str = "the-ticket";
    let Some(Ok(printed)) = door::probe::reprint(bytes, TICKET) else {
        return;
    };
    let text = String::from_utf8(printed).expect("ASCII is printed");
    let head = text.strip_suffix("\r\n\r\n").expect("the head ends");
    let lines: Vec<&str> = head.split("\r\n").collect();
    for line in &lines {
        assert!(
            !line.is_empty() && !line.contains(['\r', '\n', '\0']),
            "{line:?} splits in {text:?}"
        );
    }
    let mut room = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut room);
    let parsed = request.parse(text.as_bytes());
    assert_eq!(
        parsed,
        Ok(httparse::Status::Complete(text.len())),
        "{text:?}"
    );
    assert_eq!(request.headers.len(), lines.len() - 1, "{text:?}");
    let values = |name: &str| -> Vec<&[u8]> {
        let named = request.headers.iter().filter(|header| header.name == name);
        named.map(|header| header.value).collect()
    };
    assert_eq!(values("x-gate-ticket"), [TICKET.as_bytes()], "{text:?}");
    assert_eq!(values("connection"), [b"close"], "{text:?}");
    assert!(values("transfer-encoding").is_empty(), "{text:?}");
    assert!(
        values("te").is_empty() && values("upgrade").is_empty(),
        "{text:?}"
    );
    assert!(values("host").len() <= 1, "{text:?}");
    let lengths = values("content-length");
    assert!(lengths.len() <= 1, "{text:?}");
    for length in lengths {
        assert!(length.iter().all(u8::is_ascii_digit), "{text:?}");
    }
}

/// More than a whole hello, and no more than a socket takes while no one reads it.
const HELLO_BYTES: usize = 4096;

/// No end of a connection that does not know the secret is taken for a front or for a home.
pub fn hello(bytes: &[u8]) {
    let secret = FleetSecret::of_text(b"a secret of a probe, as long as one must be");
    let us = Introduction {
        name: "us",
        secret: &secret.expect("long enough"),
        stop: None,
    };
    let sent = &bytes[..bytes.len().min(HELLO_BYTES)];
    let with_them = || {
        let (ours, mut theirs) = UnixStream::pair().expect("sockets");
        theirs.write_all(sent).expect("it fits");
        theirs.shutdown(Shutdown::Write).expect("open");
        (ours, theirs)
    };
    let (ours, _theirs) = with_them();
    let heard = us.hear_front(&ours);
    assert!(heard.is_err(), "{heard:?}");
    let (ours, _theirs) = with_them();
    assert!(us.convince_home(&ours, "them").is_err());
}

/// Whatever a client sends as frames, no message is above its limit, and a size in it is one that a terminal can have.
pub fn frames(bytes: &[u8]) {
    let config = WebSocketConfig::default()
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let wire = Wire(Cursor::new(bytes.to_vec()));
    let mut socket = WebSocket::from_raw_socket(wire, Role::Server, Some(config));
    while let Ok(message) = socket.read() {
        assert!(message.len() <= MAX_MESSAGE_BYTES);
        if let Message::Text(text) = message {
            control(&text);
        }
    }
}

/// A control message by itself: masks keep a fuzzer from writing JSON in frames.
pub fn control_message(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        control(text);
    }
}

fn control(text: &str) {
    match frame::parse(text) {
        Ok(FromPage::Resize(size)) => {
            assert!(frame::is_size(size), "{size:?}");
        }
        Ok(_) => {}
        Err(refused) => assert!(!refused.to_string().contains(char::is_control)),
    }
}

/// No token that nobody has signed is taken; claims name a player whose name can be a file's; sets of keys and files
/// with keys are understood or not.
pub fn jwt(bytes: &[u8]) {
    if let Some(Ok(bearer)) = auth::probe::claims(bytes) {
        let name = bearer.player.to_string();
        assert!(PlayerId::try_from(name.clone()).is_ok(), "{name:?}");
        assert!(bearer.until >= UNIX_EPOCH);
    }
    auth::probe::is_public_key(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let taken = auth::probe::token(text).expect("the probe's secret is long enough");
    assert!(taken.is_err(), "{taken:?} for {text:?}");
    auth::probe::keys(text);
}

/// A session's record is one that this server can go on from, and is written as it was read; or it is none.
pub fn record(bytes: &[u8]) {
    let record = match record::decode(bytes) {
        Ok(record) => record,
        Err(Unreadable::Newer { found, .. }) => return assert!(found > FORMAT),
        Err(Unreadable::Broken(why)) => return assert!(!why.is_empty()),
    };
    assert_eq!(record.format, FORMAT);
    if let Some(screen) = &record.screen {
        let (cols, rows) = (screen.cols, screen.rows);
        assert!(frame::is_size(Size { cols, rows }), "{cols} by {rows}");
    }
    // With the spaces that we put in it may be too big.
    if let Ok((kept, written)) = record::encode(record) {
        assert_eq!(record::decode(&written), Ok(kept));
    }
}

/// Reads what the client has sent, and writes nowhere.
struct Wire(Cursor<Vec<u8>>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An archive from a container holds a book within its limit, which is packed and read again as it was, or none.
pub fn book(bytes: &[u8]) {
    let Ok(found) = archive::unpack(bytes, Unfinished::IsRoots) else {
        return;
    };
    assert!(found.bytes.len() as u64 <= BOOK_LIMIT_BYTES);
    let packed = archive::pack(&found.bytes).expect("memory");
    let again = archive::unpack(&packed, Unfinished::IsRoots).expect("our own");
    assert!(again.bytes == found.bytes && !again.is_touched);
}

/// Flags, one a line, are taken, or refused in one line that can be printed.
pub fn config(bytes: &[u8]) {
    let flags = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    // The system passes no argument with a zero in it.
    let flags = flags.filter(|flag| !flag.contains(&0));
    let arguments = [OsString::from("shellcraft")]
        .into_iter()
        .chain(flags.map(OsString::from_vec));
    match Config::read(arguments) {
        Ok(config) => {
            assert!(!config.instance_name(8080).is_empty());
            config.session_settings(8080);
            config.store_choice();
        }
        Err(Stop::Refuse(line)) => {
            assert!(!line.is_empty() && !line.contains('\n'), "{line:?}");
        }
        Err(_) => {}
    }
}

/// The Engine's answers are understood or not; what of them reaches the log is one short line.
pub fn engine(bytes: &[u8]) {
    engine::probe::readings(bytes);
    let message = engine::probe::message(bytes);
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(message.chars().count() <= 1000, "{message:?}");
    if let Some(length) = engine::probe::attach_head(bytes) {
        assert!(length <= bytes.len());
    }
}

/// Begins a new size in an input of [`emulator`]; no character has this byte in it.
pub const RESIZE: u8 = 0xf8;
/// No terminal of up to 256 by 256 cells takes more.
const EMULATOR_BYTES: usize = 5 << 20;

/// Output of any kind is drawn without a panic and in bounded memory, whatever size the terminal has: [`RESIZE`] and two bytes
/// give it another one. What redraws it is drawn, too.
pub fn emulator(bytes: &[u8]) {
    let panics = Metrics::default().emulator_panics;
    let mut size = Size { cols: 80, rows: 24 };
    let mut emulator = Emulator::new(size, &panics);
    let mut seen = Vec::new();
    for (number, piece) in bytes.split(|byte| *byte == RESIZE).enumerate() {
        let mut output = piece;
        if let (1.., [cols, rows, rest @ ..]) = (number, piece) {
            size = Size {
                cols: 1 + u16::from(*cols),
                rows: 1 + u16::from(*rows),
            };
            emulator.resize(size);
            output = rest;
        }
        let answers = emulator.answers_to(output);
        assert!(answers.is_empty() || is_asking(&seen, output));
        seen.extend_from_slice(output);
    }
    assert_eq!(panics.get(), 0, "the emulator panicked");
    assert!(emulator.memory_bytes() < EMULATOR_BYTES);
    let redraw = emulator.redraw();
    let mut restored = Emulator::new(size, &panics);
    restored.process(redraw.as_bytes());
    assert!(!restored.redraw().is_empty());
    assert_eq!(panics.get(), 0, "the emulator panicked at its own redraw");
}
