//! Parses a terminal's output as xterm.js does: it decodes UTF-8 and drops what is invalid, then runs the states of a
//! VT500 (from Paul Williams's diagram) over characters, not bytes.
//!
//! ```text
//!            ESC            [                     final
//!  ground ────────▶ escape ───▶ control sequence ────────▶ ground
//!                     │ ] P X ^ _
//!                     └───────────▶ a string ── BEL, ST ──▶ ground
//! ```
//!
//! What has arrived of an incomplete sequence is kept as text, so that another terminal can be given it.

pub(super) use super::act::{Act, Name};
use super::params::Params;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    Escape,
    EscapeBetween,
    CsiEntry,
    CsiParam,
    CsiBetween,
    CsiIgnore,
    /// SOS, PM and APC, which are ignored.
    Ignored,
    Osc,
    DcsEntry,
    DcsParam,
    DcsBetween,
    DcsIgnore,
    Dcs,
}

/// The most that is kept of a sequence. A longer one is cut: no program needs one as long.
pub(super) const MAX_SEQUENCE_BYTES: usize = 4 * 1024;
/// Room that is kept for the next sequence.
const KEPT_BYTES: usize = 64;

/// The parser. Holds a character or a sequence that is not complete.
pub(super) struct Parser {
    state: State,
    /// The bytes of a character that is not complete.
    utf8: [u8; 4],
    utf8_len: usize,
    params: Params,
    prefix: u8,
    /// The intermediate byte; `many` if there was more than one.
    between: u8,
    many: bool,
    /// What has arrived of the sequence, without control characters, which have acted already.
    kept: String,
    /// How many bytes have arrived since the sequence or the character began; none if some of them have acted already.
    taken: Option<usize>,
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            state: State::Ground,
            utf8: [0; 4],
            utf8_len: 0,
            params: Params::default(),
            prefix: 0,
            between: 0,
            many: false,
            kept: String::new(),
            taken: Some(0),
        }
    }
}

impl Parser {
    /// Takes in output, which may end anywhere.
    pub(super) fn advance(&mut self, output: &[u8], terminal: &mut impl Act) {
        let mut rest = output;
        while let Some((byte, after)) = rest.split_first() {
            if self.state == State::Ground && self.utf8_len == 0 {
                let plain = rest.iter().position(|byte| !is_plain(*byte));
                let (text, behind) = rest.split_at(plain.unwrap_or(rest.len()));
                if !text.is_empty() {
                    terminal.print_ascii(text);
                    rest = behind;
                    continue;
                }
            }
            rest = after;
            if let Some(taken) = &mut self.taken {
                *taken += 1;
            }
            self.byte(*byte, terminal);
            if self.is_between() {
                self.taken = Some(0);
            }
        }
    }

    /// Whether no character and no sequence is open.
    pub(super) fn is_between(&self) -> bool {
        self.state == State::Ground && self.utf8_len == 0
    }

    /// How many bytes ago the incomplete character or sequence began. None when these bytes cannot be passed again,
    /// because some of them have acted already, or because the sequence is too long to wait for its end.
    pub(super) fn open_bytes(&self) -> Option<usize> {
        let is_short = |taken: &usize| *taken < MAX_SEQUENCE_BYTES;
        self.taken.filter(is_short)
    }

    /// Forgets the incomplete character or sequence, which the caller passes again.
    pub(super) fn forget_open(&mut self) {
        *self = Parser::default();
    }

    /// What has arrived of an incomplete sequence, and the bytes of an incomplete character.
    pub(super) fn open(&self) -> (&str, &[u8]) {
        let sequence = match self.state {
            State::Ground => "",
            _ => &self.kept,
        };
        (sequence, self.utf8.get(..self.utf8_len).unwrap_or_default())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.kept.capacity()
    }

    /// Decodes UTF-8. As in xterm.js, what is not valid is left out, and U+FEFF too.
    fn byte(&mut self, byte: u8, terminal: &mut impl Act) {
        if self.utf8_len > 0 {
            if byte & 0xc0 != 0x80 {
                self.utf8_len = 0;
                self.byte(byte, terminal);
                return;
            }
            if let Some(place) = self.utf8.get_mut(self.utf8_len) {
                *place = byte;
                self.utf8_len += 1;
            }
            let lead = self.utf8[0];
            let whole = if lead < 0xe0 {
                2
            } else if lead < 0xf0 {
                3
            } else {
                4
            };
            if self.utf8_len < whole {
                return;
            }
            self.utf8_len = 0;
            let text = self.utf8.get(..whole).map(str::from_utf8);
            let c = text.and_then(|text| text.ok()?.chars().next());
            if let Some(c) = c.filter(|c| *c != '\u{feff}') {
                self.char(c, terminal);
            }
            return;
        }
        match byte {
            0..0x80 => self.char(char::from(byte), terminal),
            0xc0..0xf8 => {
                self.utf8[0] = byte;
                self.utf8_len = 1;
            }
            _ => {}
        }
    }

    fn char(&mut self, c: char, terminal: &mut impl Act) {
        // These characters have the same effect in any state.
        match c {
            '\x1b' => {
                self.end_string(c, terminal);
                self.begin(State::Escape, c);
                return;
            }
            '\x18' | '\x1a' => {
                self.end_string(c, terminal);
                terminal.control(c as u8);
                self.end();
                return;
            }
            '\u{9c}' => {
                self.end_string(c, terminal);
                self.end();
                return;
            }
            '\u{80}'..='\u{9f}' => {
                self.c1(c, terminal);
                return;
            }
            _ => {}
        }
        match self.state {
            State::Ground => match c {
                '\0'..' ' => terminal.control(c as u8),
                '\x7f' => {}
                _ => terminal.print(c),
            },
            State::Osc => match c {
                '\x07' => {
                    self.end_string(c, terminal);
                    self.end();
                }
                '\0'..' ' => {}
                _ => self.keep(c),
            },
            State::Dcs => match c {
                '\x7f' => {}
                _ => self.keep(c),
            },
            State::Ignored => self.keep_short(c),
            State::DcsEntry | State::DcsParam | State::DcsBetween | State::DcsIgnore => {
                self.dcs(c);
            }
            _ => self.sequence_char(c, terminal),
        }
    }

    /// Takes a character in one of the states in which control characters act immediately.
    fn sequence_char(&mut self, c: char, terminal: &mut impl Act) {
        match c {
            '\0'..' ' => {
                terminal.control(c as u8);
                self.taken = None;
                return;
            }
            '\x7f' => return,
            '\u{a0}'.. => {
                match self.state {
                    State::CsiIgnore => {}
                    _ => self.end(),
                }
                return;
            }
            _ => {}
        }
        self.keep(c);
        let byte = c as u8;
        match self.state {
            State::Escape => match byte {
                b'[' => self.clear(State::CsiEntry),
                b']' => self.state = State::Osc,
                b'P' => self.clear(State::DcsEntry),
                b'X' | b'^' | b'_' => self.state = State::Ignored,
                0x20..0x30 => {
                    self.add_between(byte);
                    self.state = State::EscapeBetween;
                }
                _ => self.end_escape(byte, terminal),
            },
            State::EscapeBetween => match byte {
                0x20..0x30 => self.add_between(byte),
                _ => self.end_escape(byte, terminal),
            },
            State::CsiEntry => match byte {
                b'<'..=b'?' => {
                    self.prefix = byte;
                    self.state = State::CsiParam;
                }
                _ => {
                    self.state = State::CsiParam;
                    self.csi(byte, terminal);
                }
            },
            State::CsiParam | State::CsiBetween => self.csi(byte, terminal),
            _ => {
                if byte >= 0x40 {
                    self.end();
                }
            }
        }
    }

    fn csi(&mut self, byte: u8, terminal: &mut impl Act) {
        match byte {
            b'0'..=b';' if self.state == State::CsiParam => self.params.add(byte),
            0x30..0x40 => self.state = State::CsiIgnore,
            0x20..0x30 => {
                self.add_between(byte);
                self.state = State::CsiBetween;
            }
            _ => {
                if !self.many {
                    let name = Name {
                        prefix: self.prefix,
                        between: self.between,
                        last: byte,
                    };
                    terminal.sequence(name, &self.params);
                } else {
                    terminal.string_end();
                }
                self.end();
            }
        }
    }

    fn dcs(&mut self, c: char) {
        if c < ' ' || c == '\x7f' {
            return;
        }
        self.keep(c);
        let next = match (self.state, c) {
            (State::DcsIgnore, _) => State::DcsIgnore,
            (_, '\u{a0}'..) => {
                self.end();
                return;
            }
            (_, '@'..='~') => State::Dcs,
            (_, ' '..='/') => State::DcsBetween,
            (State::DcsBetween, _) => State::DcsIgnore,
            (_, '0'..=';') => State::DcsParam,
            (State::DcsEntry, _) => State::DcsParam,
            _ => State::DcsIgnore,
        };
        self.state = next;
    }

    /// Takes a C1 control character, in any state.
    fn c1(&mut self, c: char, terminal: &mut impl Act) {
        match c {
            '\u{90}' | '\u{98}' | '\u{9b}' | '\u{9d}'..='\u{9f}' => {
                let state = match c {
                    '\u{90}' => State::DcsEntry,
                    '\u{9b}' => State::CsiEntry,
                    '\u{9d}' => State::Osc,
                    _ => State::Ignored,
                };
                self.begin(state, c);
            }
            _ => {
                terminal.control(c as u8);
                self.end();
            }
        }
    }

    fn end_escape(&mut self, last: u8, terminal: &mut impl Act) {
        let between: &[u8] = match (self.between, self.many) {
            (0, _) => &[],
            (_, true) => &[0, 0],
            (byte, false) => &[byte],
        };
        terminal.escape(between, last);
        self.end();
    }

    /// Ends the open string, if there is one. Its text counts unless CAN or SUB has broken it off.
    fn end_string(&mut self, c: char, terminal: &mut impl Act) {
        let is_whole = !matches!(c, '\x18' | '\x1a');
        match self.state {
            State::Osc => {
                if is_whole && let Some((number, text)) = command(&self.kept) {
                    terminal.command(number, text);
                }
                terminal.string_end();
            }
            State::Dcs => {
                if is_whole {
                    terminal.request(body(&self.kept, "\x1bP", '\u{90}'));
                }
                terminal.string_end();
            }
            _ => {}
        }
    }

    fn begin(&mut self, state: State, c: char) {
        self.kept.clear();
        self.kept.push(c);
        self.taken = Some(c.len_utf8());
        self.clear(state);
    }

    fn clear(&mut self, state: State) {
        self.state = state;
        self.params.clear();
        (self.prefix, self.between, self.many) = (0, 0, false);
    }

    fn add_between(&mut self, byte: u8) {
        self.many = self.between != 0;
        self.between = byte;
    }

    fn end(&mut self) {
        self.state = State::Ground;
        self.kept.clear();
        self.kept.shrink_to(KEPT_BYTES);
    }

    fn keep(&mut self, c: char) {
        if self.kept.len() < MAX_SEQUENCE_BYTES {
            self.kept.push(c);
        }
    }

    /// Of a string that is ignored only the beginning is needed.
    fn keep_short(&mut self, c: char) {
        if self.kept.len() < 4 && !c.is_control() {
            self.kept.push(c);
        }
    }
}

/// The number and the text of an OSC, from its text with the introducer.
fn command(kept: &str) -> Option<(u32, &str)> {
    let body = body(kept, "\x1b]", '\u{9d}');
    let (number, text) = body.split_once(';').unwrap_or((body, ""));
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| number.parse().ok())??;
    Some((number, text))
}

/// A string without what introduces it: ESC and a letter, or a C1.
fn body<'a>(kept: &'a str, escape: &str, c1: char) -> &'a str {
    let body = kept.strip_prefix(escape);
    body.or_else(|| kept.strip_prefix(c1)).unwrap_or_default()
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes down as text what the parser calls.
    #[derive(Default)]
    struct Log(String);

    impl Act for Log {
        fn print_ascii(&mut self, text: &[u8]) {
            self.0 += &String::from_utf8_lossy(text);
        }

        fn print(&mut self, c: char) {
            self.0.push(c);
        }

        fn control(&mut self, code: u8) {
            self.0 += &format!("<{code:02x}>");
        }

        fn escape(&mut self, between: &[u8], last: u8) {
            let between: String = between.iter().map(|byte| char::from(*byte)).collect();
            self.0 += &format!("<ESC {between}{}>", char::from(last));
        }

        fn sequence(&mut self, name: Name, params: &Params) {
            let marks: String = [name.prefix, name.between]
                .into_iter()
                .filter(|byte| *byte != 0)
                .map(char::from)
                .collect();
            let numbers: Vec<i32> = (0..params.len()).map(|at| params.get(at)).collect();
            self.0 += &format!("<CSI {marks}{numbers:?}{}>", char::from(name.last));
        }

        fn command(&mut self, number: u32, text: &str) {
            self.0 += &format!("<OSC {number} {text}>");
        }

        fn request(&mut self, text: &str) {
            self.0 += &format!("<DCS {text}>");
        }

        fn string_end(&mut self) {}
    }

    /// However the output is cut, the same happens; and what is open at a cut can be given to another parser.
    #[track_caller]
    fn check(output: &[u8], expected: &str) {
        for cut in 0..=output.len() {
            let (before, after) = output.split_at(cut);
            let (mut log, mut parser) = (Log::default(), Parser::default());
            parser.advance(before, &mut log);
            let mut other = Parser::default();
            let (sequence, char) = parser.open();
            other.advance(sequence.as_bytes(), &mut log);
            other.advance(char, &mut log);
            other.advance(after, &mut log);
            assert_eq!(log.0, expected, "cut at {cut}");
            if let Some(open) = parser.open_bytes()
                && !parser.is_between()
            {
                let (mut again, mut log) = (Parser::default(), Log::default());
                again.advance(&before[..cut - open], &mut log);
                again.advance(&output[cut - open..], &mut log);
                assert_eq!(log.0, expected, "cut at {cut}, {open} bytes again");
            }
        }
    }

    #[test]
    fn characters() {
        check("aé世😀z".as_bytes(), "aé世😀z");
        check(b"a\x7fb\0\n", "ab<00><0a>");
        check("a\u{85}b\u{feff}c".as_bytes(), "a<85>bc");
    }

    #[test]
    fn what_is_no_utf_8_is_nothing() {
        check(b"a\xff\xfe\x80b", "ab");
        check(b"\xc3(\xe2\x82b\xf0\x9fc", "(bc");
        check(b"a\xed\xa0\x80b\xf4\x90\x80\x80c\xc0\xafd", "abcd");
        check(b"\xc3\xc3\xa9", "é");
    }

    #[test]
    fn escapes_and_sequences() {
        check(
            b"\x1b7\x1b(0\x1b#8\x1b%G",
            "<ESC 7><ESC (0><ESC #8><ESC %G>",
        );
        check(b"\x1b[m\x1b[1;22H", "<CSI [0]m><CSI [1, 22]H>");
        check(
            b"\x1b[?25l\x1b[!p\x1b[3 q",
            "<CSI ?[25]l><CSI ![0]p><CSI  [3]q>",
        );
        check("\u{9b}5A".as_bytes(), "<CSI [5]A>");
        // Malformed sequences end somewhere all the same.
        check(b"\x1b[1?2hx\x1b[1 2qy", "xy");
        check("\x1b[4世mx".as_bytes(), "mx");
        check(b"\x1b[1$ $qx", "x");
    }

    #[test]
    fn controls_within_sequences_act_at_once() {
        check(b"\x1b[3\n1m", "<0a><CSI [31]m>");
        check(b"\x1b[3\x18m\x1b[3\x1am", "<18>m<1a>m");
        check(b"\x1b[3\x1b[4m", "<CSI [4]m>");
        check(b"\x1b[3\x7f1m\x1b\x7fD", "<CSI [31]m><ESC D>");
    }

    #[test]
    fn strings_end_in_many_ways() {
        check(b"\x1b]2;a b\x07c", "<OSC 2 a b>c");
        check("\x1b]2;世\x1b\\c".as_bytes(), "<OSC 2 世><ESC \\>c");
        check("\x1b]2;a\u{9c}b".as_bytes(), "<OSC 2 a>b");
        check(b"\x1b]2;a\nb\x07c\x1b]104\x07", "<OSC 2 ab>c<OSC 104 >");
        check(b"a\x1b]x\x07b\x1b]\x07c", "abc");
        check(b"a\x1bPq#\x07\x1b\\b", "a<DCS q#\x07><ESC \\>b");
        check("\u{90}$qm\u{9c}b".as_bytes(), "<DCS $qm>b");
        check(
            "a\x1b_x\x07y\x1b\\b\x1bXz\u{9c}c\x1b^世\x1b\\".as_bytes(),
            "a<ESC \\>bc<ESC \\>",
        );
        check(b"\x1bP1;2|x\x18y", "<18>y");
    }

    #[test]
    fn what_has_no_end_takes_no_memory() {
        for start in ["\x1b]2;", "\x1bP", "\x1b[", "\x1b_", "\x1b[1:", "\x1b#"] {
            let (mut log, mut parser) = (Log::default(), Parser::default());
            parser.advance(start.as_bytes(), &mut log);
            for _ in 0..10_000 {
                parser.advance(b"1;1:1;", &mut log);
            }
            assert!(parser.memory_bytes() <= 2 * MAX_SEQUENCE_BYTES, "{start:?}");
            parser.advance(b"\x18", &mut log);
            assert!(parser.memory_bytes() <= KEPT_BYTES, "{start:?}");
        }
    }
}
