//! The answers to programs that ask their terminal something: those that the page's xterm.js gives (and the page's own
//! handlers in static/src/page/emulation.ts), with the colours of the page's theme for the night.

use std::fmt::Write;

use super::attributes::PROTECTED;
use super::palette::Rgb;
use super::params::Params;
use super::parser::Name;
use super::terminal::State;

/// The most that one call answers. Answers beyond it are left out.
const MAX_ANSWERS_BYTES: usize = 4 * 1024;

/// Text, background and cursor: as in static/src/page/themes.ts.
const SPECIAL: [Rgb; 3] = [[0xe9, 0xe1, 0xd0], [0x14, 0x10, 0x1f], [0xf2, 0xb8, 0x4b]];
/// The first 16 colours of the palette: as in static/src/page/themes.ts.
const COLORS: [Rgb; 16] = [
    [0x5c, 0x51, 0x78],
    [0xef, 0x6f, 0x6c],
    [0x8f, 0xc7, 0x76],
    [0xf2, 0xb8, 0x4b],
    [0x82, 0xa3, 0xf5],
    [0xc7, 0x92, 0xea],
    [0x6f, 0xcf, 0xc3],
    [0xd9, 0xcf, 0xbb],
    [0x8d, 0x82, 0xa8],
    [0xff, 0x9a, 0x8f],
    [0xb2, 0xe3, 0x9a],
    [0xff, 0xd6, 0x84],
    [0xab, 0xc4, 0xff],
    [0xe2, 0xb8, 0xff],
    [0x9c, 0xee, 0xe2],
    [0xff, 0xfa, 0xf0],
];

/// What DECRPM says of a mode (DEC STD 070, VT510 manual).
mod report {
    pub(super) const UNKNOWN: u8 = 0;
    pub(super) const PERMANENTLY_SET: u8 = 3;
    pub(super) const PERMANENTLY_RESET: u8 = 4;

    pub(super) fn of(is_set: bool) -> u8 {
        if is_set { 1 } else { 2 }
    }
}

impl State {
    /// Answers a control sequence, if it is a question.
    pub(super) fn answer_sequence(&mut self, name: Name, params: &Params) {
        if self.answers.is_none() {
            return;
        }
        let first = params.get(0);
        let (x, y) = (self.screen().x + 1, self.screen().y + 1);
        match (name.prefix, name.between, name.last, first) {
            (0, 0, b'c', 0) => self.answer("\x1b[?1;2c"),
            (b'>', 0, b'c', 0) => self.answer("\x1b[>0;276;0c"),
            (b'>', 0, b'q', 0) => self.answer("\x1bP>|xterm.js(6.0.0)\x1b\\"),
            (0, 0, b'n', 5) => self.answer("\x1b[0n"),
            (0, 0, b'n', 6) => self.answer(&format!("\x1b[{y};{x}R")),
            (b'?', 0, b'n', 6) => self.answer(&format!("\x1b[?{y};{x}R")),
            (0, b'$', b'p', mode) => {
                let value = self.ansi_mode(mode);
                self.answer(&format!("\x1b[{mode};{value}$y"));
            }
            (b'?', b'$', b'p', mode) => {
                let value = self.private_mode(mode);
                self.answer(&format!("\x1b[?{mode};{value}$y"));
            }
            _ => {}
        }
    }

    /// Answers a device control string, if it is a question (DECRQSS).
    pub(super) fn answer_request(&mut self, text: &str) {
        if self.answers.is_none() {
            return;
        }
        let Some(wanted) = wanted(text) else { return };
        let setting = match wanted {
            // xterm.js gives this answer whatever the pen is.
            "m" => "0m".to_owned(),
            "r" => {
                let screen = self.screen();
                format!("{};{}r", screen.top + 1, screen.bottom + 1)
            }
            // A bar, as the page has it, whatever style the program has set.
            " q" => match self.cursor_blinks() {
                true => "5 q".to_owned(),
                false => "6 q".to_owned(),
            },
            "\"q" => format!("{}\"q", u8::from(self.pen.has(PROTECTED))),
            "\"p" => "61;1\"p".to_owned(),
            _ => {
                self.answer("\x1bP0$r\x1b\\");
                return;
            }
        };
        self.answer(&format!("\x1bP1$r{setting}\x1b\\"));
    }

    /// Answers which colour has this number in the palette.
    pub(super) fn answer_color(&mut self, number: u8) {
        let own = self.palette.colors.get(&number).copied();
        let color = own.unwrap_or_else(|| color(number));
        self.answer(&format!("\x1b]4;{number};{}\x1b\\", rgb(color)));
    }

    /// Answers which colour the text, the background or the cursor has.
    pub(super) fn answer_special(&mut self, at: usize) {
        let (Some(own), Some(theme)) = (self.palette.special.get(at), SPECIAL.get(at)) else {
            return;
        };
        let color = own.unwrap_or(*theme);
        self.answer(&format!("\x1b]{};{}\x1b\\", 10 + at, rgb(color)));
    }

    fn answer(&mut self, text: &str) {
        if let Some(answers) = &mut self.answers
            && answers.len() + text.len() <= MAX_ANSWERS_BYTES
        {
            answers.push_str(text);
        }
    }

    fn cursor_blinks(&self) -> bool {
        self.modes.cursor_blinks.unwrap_or(true)
    }

    fn ansi_mode(&self, mode: i32) -> u8 {
        match mode {
            2 => report::PERMANENTLY_RESET,
            4 => report::of(self.modes.insert),
            12 => report::PERMANENTLY_SET,
            20 => report::of(self.modes.newline),
            _ => report::UNKNOWN,
        }
    }

    fn private_mode(&self, mode: i32) -> u8 {
        let modes = &self.modes;
        let is_set = match mode {
            1 => modes.application_cursor,
            6 => modes.origin,
            7 => modes.wraps,
            8 => return report::PERMANENTLY_SET,
            9 | 1000 | 1002 | 1003 => i32::from(modes.mouse) == mode,
            12 => self.cursor_blinks(),
            25 => !modes.is_cursor_hidden,
            45 => modes.reverse_wraps,
            47 | 1047 | 1049 => self.alternate.is_some(),
            66 => modes.application_keypad,
            67 | 1005 | 1015 => return report::PERMANENTLY_RESET,
            1004 => modes.focus,
            1006 | 1016 => i32::from(modes.mouse_encoding) == mode,
            // The cursor can be saved.
            1048 => true,
            2004 => modes.bracketed_paste,
            2026 => modes.synchronized,
            _ => return report::UNKNOWN,
        };
        report::of(is_set)
    }
}

/// Which setting a device control string asks for, if it does. Its parameters are ignored.
pub(super) fn wanted(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(|c: char| matches!(c, '0'..=';'));
    text.strip_prefix("$q")
}

/// A colour of the palette that no program has changed: the theme's, then a cube of six levels, then greys.
fn color(number: u8) -> Rgb {
    if let Some(color) = COLORS.get(usize::from(number)) {
        return *color;
    }
    let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
    match number {
        16..232 => {
            let number = number - 16;
            [number / 36, number / 6 % 6, number % 6].map(level)
        }
        _ => [8 + 10 * (number - 232); 3],
    }
}

/// A colour as X11 writes it, with four digits for each part.
fn rgb(color: Rgb) -> String {
    let mut text = String::from("rgb:");
    for (at, part) in color.into_iter().enumerate() {
        let slash = if at == 0 { "" } else { "/" };
        // Writing into a string can't fail.
        let _ = write!(text, "{slash}{part:02x}{part:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::terminal::Terminal;
    use super::*;

    #[track_caller]
    fn check(output: &str, expected: &str) {
        let mut terminal = Terminal::new(20, 5);
        let answers = terminal.answers_to(output.as_bytes());
        assert_eq!(answers, expected, "{output:?}");
        assert_eq!(terminal.answers_to(b"x"), "");
    }

    #[test]
    fn questions_are_answered() {
        check("\x1b[c\x1b[5n", "\x1b[?1;2c\x1b[0n");
        check("\x1b[2;3H\x1b[6n\x1b[?6n", "\x1b[2;3R\x1b[?2;3R");
        check("\x1b[?2004h\x1b[?2004$p", "\x1b[?2004;1$y");
        check("\x1b[2;3r\x1bP$qr\x1b\\", "\x1bP1$r2;3r\x1b\\");
        check("\x1b]11;?\x07", "\x1b]11;rgb:1414/1010/1f1f\x1b\\");
        check(
            "\x1b]4;1;#123456;1;?;17;?;300;?\x07",
            "\x1b]4;1;rgb:1212/3434/5656\x1b\\\x1b]4;17;rgb:0000/0000/5f5f\x1b\\",
        );
        check("\x1b]10;#010203;?\x07", "\x1b]11;rgb:1414/1010/1f1f\x1b\\");
        check("\x1b[>q", "\x1bP>|xterm.js(6.0.0)\x1b\\");
    }

    #[test]
    fn what_is_broken_off_or_no_question_is_not_answered() {
        for output in [
            "\x1b[1c",
            "\x1b]11;?\x18",
            "\x1bP$qr\x18",
            "\x1b]52;c;?\x07",
            "\x1b[14t",
            "\x1bP+q544e\x1b\\",
            "\x1b[0;6n",
        ] {
            check(output, "");
        }
    }

    #[test]
    fn many_questions_have_few_answers() {
        let mut terminal = Terminal::new(20, 5);
        let answers = terminal.answers_to("\x1b[c".repeat(100_000).as_bytes());
        assert!(answers.len() > MAX_ANSWERS_BYTES / 2 && answers.len() <= MAX_ANSWERS_BYTES);
    }

    /// The colours are those of the page's theme.
    #[test]
    fn colours_are_those_of_the_page_by_night() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let themes = fs::read_to_string(top.join("static/src/page/themes.ts")).expect("the themes");
        let night = themes.split("export const DAY").next().expect("the first");
        let of = |name: &str| {
            let line = night.lines().find(|line| line.trim().starts_with(name));
            let hex = line.and_then(|line| Some(line.split_once('#')?.1.get(..6)?.to_owned()));
            hex.unwrap_or_default()
        };
        let hex = |color: Rgb| color.map(|part| format!("{part:02x}")).concat();
        let special = ["foreground:", "background:", "cursor:"].map(of);
        assert_eq!(SPECIAL.map(hex), special);
        let names = [
            "black", "red", "green", "yellow", "blue", "magenta", "cyan", "white",
        ];
        for (at, name) in names.into_iter().enumerate() {
            let bright = format!("bright{}{}:", name[..1].to_uppercase(), &name[1..]);
            assert_eq!(hex(COLORS[at]), of(&format!("{name}:")));
            assert_eq!(hex(COLORS[at + 8]), of(&bright));
        }
    }
}
