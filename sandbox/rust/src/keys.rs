//! Makes keys of bytes: UTF-8, control characters, and escape sequences in all their spellings.
//!
//! The state between two bytes and nothing else; no I/O, no clock: an escape sequence may come in pieces. The twin of
//! `sandbox/perl/lib/SpellShell/Keys.pm`, and `tests/dockerd/keys.rs` holds both against one table.

/// The longest sequence that any terminal sends is far below this; what is longer is left out.
const SEQUENCE_MAX_BYTES: usize = 64;
const PASTE_END: &[u8] = b"\x1b[201~";

/// What was pressed.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    /// A character to insert.
    Char(char),
    /// A control character, by its letter: `Ctrl('a')`.
    Ctrl(char),
    /// A character with Alt, or behind an ESC.
    Alt(char),
    Up,
    Down,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Delete,
    Backspace,
    AltBackspace,
    Tab,
    Enter,
    /// A whole paste, its newlines `\n`.
    Paste(Vec<u8>),
    /// A paste that no line has room for.
    PasteTooLong,
    /// A byte that is no UTF-8.
    NotUtf8,
}

/// Where in a key the bytes are.
#[derive(Debug, Default)]
enum State {
    #[default]
    Ground,
    /// Behind an ESC.
    Escape,
    /// Within `ESC [ …` or `ESC O …`.
    Sequence,
    /// Behind `ESC [ [`: a key of the Linux console.
    Console,
    Paste,
}

/// What was begun.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    bytes: Vec<u8>,
    has_alt: bool,
    is_quoted: bool,
    /// A byte that ended the one before it, which was cut off, and begins the next key.
    again: Option<u8>,
    paste_max: usize,
}

impl Decoder {
    /// A decoder for pastes of at most `paste_max` bytes.
    pub fn new(paste_max: usize) -> Decoder {
        Decoder {
            paste_max,
            ..Decoder::default()
        }
    }

    /// The next character is itself, whatever it is.
    pub fn quote(&mut self) {
        self.is_quoted = true;
    }

    /// The key that the last byte makes besides the one that it has ended, if it does so. To be asked behind each key.
    pub fn again(&mut self) -> Option<Key> {
        let byte = self.again.take()?;
        self.push(byte)
    }

    /// Takes a byte; a key when it was the last one of it.
    pub fn push(&mut self, byte: u8) -> Option<Key> {
        match self.state {
            State::Ground => self.ground(byte),
            State::Escape => self.escape(byte),
            State::Sequence => self.sequence(byte),
            State::Console => {
                self.reset();
                None
            }
            State::Paste => self.paste(byte),
        }
    }

    fn reset(&mut self) {
        self.state = State::Ground;
        self.bytes.clear();
        self.has_alt = false;
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        if byte >= 0x80 {
            return self.utf8(byte);
        }
        if !self.bytes.is_empty() {
            // The bytes before were the beginning of a character.
            self.bytes.clear();
            self.again = Some(byte);
            return Some(Key::NotUtf8);
        }
        if std::mem::take(&mut self.is_quoted) {
            return Some(Key::Char(byte.into()));
        }
        if byte == 0x1b {
            self.state = State::Escape;
            return None;
        }
        Some(plain(byte))
    }

    fn utf8(&mut self, byte: u8) -> Option<Key> {
        self.bytes.push(byte);
        match str::from_utf8(&self.bytes) {
            Ok(text) => {
                let key = text.chars().next().map(Key::Char);
                self.reset();
                self.is_quoted = false;
                key
            }
            Err(error) if error.error_len().is_none() => None,
            Err(_) => {
                self.again = Some(byte).filter(|_| self.bytes.len() > 1);
                self.reset();
                Some(Key::NotUtf8)
            }
        }
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            // ESC ESC [ C is Alt and the arrow to some.
            0x1b => {
                self.has_alt = true;
                None
            }
            b'[' | b'O' => {
                self.state = State::Sequence;
                self.bytes.push(byte);
                None
            }
            0x7f | 0x08 => {
                self.reset();
                Some(Key::AltBackspace)
            }
            0..b' ' => {
                self.reset();
                Some(plain(byte))
            }
            b' '..0x7f => {
                self.reset();
                Some(Key::Alt(byte.to_ascii_lowercase().into()))
            }
            _ => {
                self.reset();
                self.utf8(byte)
            }
        }
    }

    fn sequence(&mut self, byte: u8) -> Option<Key> {
        if byte < b' ' {
            // No sequence has one: it was cut off, and this is the next key.
            self.reset();
            return self.ground(byte);
        }
        self.bytes.push(byte);
        let is_csi = self.bytes[0] == b'[';
        if is_csi && self.bytes == *b"[[" {
            self.state = State::Console;
            return None;
        }
        let is_final = match byte {
            // rxvt: with Shift.
            b'$' => self.bytes[1..].iter().any(u8::is_ascii_digit) && self.bytes[1] != b'?',
            b' '..=b'?' => false,
            _ => true,
        };
        if !is_final {
            if self.bytes.len() > SEQUENCE_MAX_BYTES {
                self.reset();
            }
            return None;
        }
        let key = key_of(&self.bytes, self.has_alt);
        self.reset();
        if key == Some(Key::Paste(Vec::new())) {
            self.state = State::Paste;
            return None;
        }
        key
    }

    fn paste(&mut self, byte: u8) -> Option<Key> {
        // Should its end be lost, the player is not.
        if byte == 3 {
            self.reset();
            return Some(Key::Ctrl('c'));
        }
        self.bytes.push(byte);
        let limit = self.paste_max + PASTE_END.len();
        if !self.bytes.ends_with(PASTE_END) {
            // Its end is still to be found.
            if self.bytes.len() > 2 * limit {
                self.bytes.drain(limit..self.bytes.len() - PASTE_END.len());
            }
            return None;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        self.reset();
        if bytes.len() > limit {
            return Some(Key::PasteTooLong);
        }
        bytes.truncate(bytes.len() - PASTE_END.len());
        Some(Key::Paste(newlines(&bytes)))
    }
}

/// A byte below 0x80 by itself.
fn plain(byte: u8) -> Key {
    match byte {
        b'\t' => Key::Tab,
        b'\r' | b'\n' => Key::Enter,
        0x7f | 0x08 => Key::Backspace,
        0..b' ' => Key::Ctrl((byte | 0x40).to_ascii_lowercase().into()),
        _ => Key::Char(byte.into()),
    }
}

/// What a whole sequence without its ESC means; most mean nothing here.
fn key_of(bytes: &[u8], has_alt: bool) -> Option<Key> {
    let (last, middle) = bytes.split_last()?;
    let middle = str::from_utf8(middle.get(1..)?).ok()?;
    let mut numbers = middle.split(';').map(|number| number.parse::<u8>().ok());
    let (number, second) = (numbers.next().flatten(), numbers.next().flatten());
    // Some write ESC [ 5 C for ESC [ 1 ; 5 C.
    let modifiers = second.or(number.filter(|_| last.is_ascii_alphabetic()));
    let modifiers = modifiers.unwrap_or(1).saturating_sub(1);
    // Alt is 2, Ctrl is 4, and rxvt writes Ctrl in small letters behind an O, Shift behind a [.
    let is_rxvt_control = bytes[0] == b'O' && last.is_ascii_lowercase();
    let by_word = has_alt || modifiers & 6 != 0 || is_rxvt_control;
    let is_shifted = bytes[0] == b'[' && middle.is_empty() && last.is_ascii_lowercase();
    match (last, number) {
        (b'~', Some(200)) => Some(Key::Paste(Vec::new())),
        (b'~' | b'$' | b'^' | b'@', Some(1 | 7)) => Some(Key::Home),
        (b'~' | b'$' | b'^' | b'@', Some(4 | 8)) => Some(Key::End),
        (b'~', Some(3)) if by_word => Some(Key::Alt('d')),
        (b'~' | b'$', Some(3)) => Some(Key::Delete),
        (b'^' | b'@', Some(3)) => Some(Key::Alt('d')),
        (b'H', _) => Some(Key::Home),
        (b'F', _) => Some(Key::End),
        (b'A', _) if modifiers == 0 && !has_alt => Some(Key::Up),
        (b'B', _) if modifiers == 0 && !has_alt => Some(Key::Down),
        (b'C', _) if by_word => Some(Key::WordRight),
        (b'D', _) if by_word => Some(Key::WordLeft),
        (b'C', _) => Some(Key::Right),
        (b'D', _) => Some(Key::Left),
        (b'c', _) if is_shifted => Some(Key::Right),
        (b'd', _) if is_shifted => Some(Key::Left),
        (b'c', None) if is_rxvt_control => Some(Key::WordRight),
        (b'd', None) if is_rxvt_control => Some(Key::WordLeft),
        (b'M', None) if bytes[0] == b'O' => Some(Key::Enter),
        _ => None,
    }
}

/// Terminals send Enter where a pasted text has a newline.
fn newlines(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if at > 0 && bytes[at - 1] == b'\r' => {}
            b'\r' => text.push(b'\n'),
            byte => text.push(*byte),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &[Key]) {
        let mut decoder = Decoder::new(16);
        let mut keys = Vec::new();
        for byte in bytes {
            let mut key = decoder.push(*byte);
            while let Some(pressed) = key {
                keys.push(pressed);
                key = decoder.again();
            }
        }
        assert_eq!(keys, expected, "{:?}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn bytes_become_keys() {
        use Key::*;
        check(
            "aé日🦉".as_bytes(),
            &[Char('a'), Char('é'), Char('日'), Char('🦉')],
        );
        check(
            b"\x01\x7f\x08\t\r\n\x1f",
            &[
                Ctrl('a'),
                Backspace,
                Backspace,
                Tab,
                Enter,
                Enter,
                Ctrl('_'),
            ],
        );
        check(
            b"\x1bb\x1bF\x1b.\x1b\x7f",
            &[Alt('b'), Alt('f'), Alt('.'), AltBackspace],
        );
        check(b"\x1b\rx", &[Enter, Char('x')]);
        check(b"\x1b[A\x1bOB\x1b[C\x1bOD", &[Up, Down, Right, Left]);
        check(
            b"\x1b[1;5C\x1b[1;3D\x1b\x1b[C\x1b[5D\x1bOc\x1b[d",
            &[WordRight, WordLeft, WordRight, WordLeft, WordRight, Left],
        );
        check(
            b"\x1b[H\x1bOH\x1b[1~\x1b[7~\x1b[1;2H",
            &[Home, Home, Home, Home, Home],
        );
        check(b"\x1b[F\x1bOF\x1b[4~\x1b[8~", &[End, End, End, End]);
        check(b"\x1b[3~\x1b[3$\x1b[3;5~", &[Delete, Delete, Alt('d')]);
        check(b"\x1b[2~\x1b[5~\x1b[6;5~\x1b[15~\x1b[24;2~\x1bOP\x1bOS\x1b[[Ax\x1b[1;5P\x1b[2$\x1b[?1;2c", &[Char('x')]);
        check(b"\x1b[12\x03", &[Ctrl('c')]);
        check(
            b"a\xff\xc3x\x1b\xc3\xa9y",
            &[Char('a'), NotUtf8, NotUtf8, Char('x'), Char('é'), Char('y')],
        );
        // What is cut off takes nothing with it.
        check(b"\xc3\r", &[NotUtf8, Enter]);
        check(b"\xe2\x82\x1b[D", &[NotUtf8, Left]);
        check(
            b"\xc3\xc3\xa9\xf0\x9f\xff",
            &[NotUtf8, Char('é'), NotUtf8, NotUtf8],
        );
    }

    #[test]
    fn pastes_are_whole() {
        check(
            b"\x1b[200~a\tb\r\nc\rd\x1b[A\x1b[201~x",
            &[Key::Paste(b"a\tb\nc\nd\x1b[A".to_vec()), Key::Char('x')],
        );
        check(
            &[b"\x1b[200~", &[b'p'; 17][..], b"\x1b[201~x"].concat(),
            &[Key::PasteTooLong, Key::Char('x')],
        );
        check(
            &[b"\x1b[200~", &[b'p'; 1000][..], b"\x1b[201~x"].concat(),
            &[Key::PasteTooLong, Key::Char('x')],
        );
        check(b"\x1b[200~lost\x03x", &[Key::Ctrl('c'), Key::Char('x')]);
    }

    #[test]
    fn a_quoted_character_is_itself() {
        let mut decoder = Decoder::new(16);
        decoder.quote();
        assert_eq!(decoder.push(0x1b), Some(Key::Char('\x1b')));
        assert_eq!(decoder.push(b'\t'), Some(Key::Tab));
    }
}
