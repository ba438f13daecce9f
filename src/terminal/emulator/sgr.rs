//! SGR: how the characters look that are printed next.

use super::attributes::{
    BLINK, BOLD, Color, DIM, HIDDEN, INVERSE, ITALIC, OVERLINE, Pen, STRIKE, UNDERLINE,
};
use super::params::Params;
use super::terminal::State;

impl State {
    pub(super) fn set_attributes(&mut self, params: &Params) {
        let mut at = 0;
        while at < params.len() {
            at += self.pen.apply(params, at);
        }
        self.pen_changed();
    }
}

impl Pen {
    /// Applies one number, with those behind it that belong to it; returns how many numbers that were.
    fn apply(&mut self, params: &Params, at: usize) -> usize {
        let number = params.get(at);
        match number {
            0 => self.reset(),
            1 => self.set(BOLD, true),
            2 => self.set(DIM, true),
            3 => self.set(ITALIC, true),
            4 => {
                let style = params.subs(at).first().copied().unwrap_or(1);
                self.underline_in(u8::try_from(style).unwrap_or(1));
            }
            5 | 6 => self.set(BLINK, true),
            7 => self.set(INVERSE, true),
            8 => self.set(HIDDEN, true),
            9 => self.set(STRIKE, true),
            21 => self.underline_in(2),
            22 => self.set(BOLD | DIM, false),
            23 => self.set(ITALIC, false),
            24 => self.underline_in(0),
            25 => self.set(BLINK, false),
            27 => self.set(INVERSE, false),
            28 => self.set(HIDDEN, false),
            29 => self.set(STRIKE, false),
            30..=37 => self.fg = Color::Basic(number as u8 - 30),
            39 => self.fg = Color::Default,
            40..=47 => self.bg = Color::Basic(number as u8 - 40),
            49 => self.bg = Color::Default,
            53 => self.set(OVERLINE, true),
            55 => self.set(OVERLINE, false),
            // xterm.js makes the underline white.
            59 => {
                self.underline_color = Color::Rgb(255, 255, 255);
                self.update_extended();
            }
            90..=97 => self.fg = Color::Basic(number as u8 - 90 + 8),
            100..=107 => self.bg = Color::Basic(number as u8 - 100 + 8),
            38 | 48 | 58 => return self.apply_color(params, at),
            _ => {}
        }
        1
    }

    /// Resets the pen, all but its link.
    fn reset(&mut self) {
        *self = Pen {
            link: self.link,
            ..Pen::default()
        };
        self.update_extended();
    }

    fn underline_in(&mut self, style: u8) {
        self.underline = if style > 5 { 1 } else { style };
        self.set(UNDERLINE, self.underline != 0);
        self.update_extended();
    }

    /// Applies 38, 48 or 58: a kind of colour and its parts, which follow `;` or `:`. With `:` a colour space stands in
    /// between, which is ignored. Returns how many parameters that took; those behind `:` do not count.
    fn apply_color(&mut self, params: &Params, start: usize) -> usize {
        // What the colour is for, its kind, its colour space, its parts.
        let mut found = [0i32; 6];
        let mut next = 0;
        let mut taken = 0;
        // With `;` the parts follow the kind directly.
        let mut has_kind = false;
        let mut put = |next: &mut usize, value: i32, skips_space: bool| {
            if *next == 2 && skips_space {
                *next = 3;
            }
            if let Some(place) = found.get_mut(*next) {
                *place = value.max(0);
            }
            *next += 1;
            found[1]
        };
        while start + taken < params.len() && next < 6 {
            let at = start + taken;
            let mut kind = put(&mut next, params.get(at), has_kind);
            taken += 1;
            let subs = params.subs(at);
            for sub in subs {
                kind = put(&mut next, *sub, kind == 5);
            }
            let is_whole = (kind == 5 && next > 3) || (kind == 2 && next > 5);
            if !subs.is_empty() || is_whole {
                break;
            }
            has_kind = kind != 0;
        }
        let part = |at: usize| found.get(at).map_or(0, |part| *part as u8);
        let color = match found[1] {
            2 => Color::Rgb(part(3), part(4), part(5)),
            5 => Color::Indexed(part(3)),
            _ => return taken,
        };
        match found[0] {
            38 => self.fg = color,
            48 => self.bg = color,
            _ => self.underline_color = color,
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::{EXTENDED, PROTECTED};
    use super::super::terminal::Terminal;
    use super::*;

    fn pen(numbers: &str) -> Pen {
        let mut terminal = Terminal::new(10, 4);
        terminal.process(format!("\x1b[{numbers}m").as_bytes());
        terminal.state.pen
    }

    #[track_caller]
    fn check_flags(numbers: &str, expected: u16) {
        assert_eq!(pen(numbers).flags, expected, "{numbers}");
    }

    #[test]
    fn flags_come_and_go() {
        let underlined = UNDERLINE | EXTENDED;
        check_flags("1;2;3", BOLD | DIM | ITALIC);
        check_flags("5;7;8;9;53", BLINK | INVERSE | HIDDEN | STRIKE | OVERLINE);
        check_flags("1;2;22", 0);
        check_flags("3;23;5;25;7;27;8;28;9;29;53;55", 0);
        check_flags("4", underlined);
        check_flags("4;24", 0);
        check_flags("4:0", 0);
        check_flags("21", underlined);
        check_flags("1;4;9;0", 0);
        check_flags("1;", 0);
        check_flags("", 0);
    }

    #[test]
    fn underlines_have_styles_and_colours() {
        for (numbers, style) in [
            ("4", 1),
            ("4:3", 3),
            ("4:5", 5),
            ("4:9", 1),
            ("21", 2),
            ("4:", 1),
        ] {
            assert_eq!(pen(numbers).underline, style, "{numbers}");
        }
        assert_eq!(pen("58;5;9").underline_color, Color::Indexed(9));
        assert_eq!(pen("58:2::1:2:3").underline_color, Color::Rgb(1, 2, 3));
        assert_eq!(pen("58;5;9;0").underline_color, Color::Default);
    }

    #[test]
    fn colours_are_written_in_many_ways() {
        let rgb = Color::Rgb(1, 2, 3);
        for (numbers, fg) in [
            ("31", Color::Basic(1)),
            ("97", Color::Basic(15)),
            ("31;39", Color::Default),
            ("38;5;200", Color::Indexed(200)),
            ("38:5:200", Color::Indexed(200)),
            ("38;5:200", Color::Indexed(200)),
            ("38;2;1;2;3", rgb),
            ("38:2::1:2:3", rgb),
            ("38;2;1:2:3", rgb),
            // Without a colour space what stands in its place is lost.
            ("38:2:1:2:3", Color::Rgb(2, 3, 0)),
            ("38;2;1", Color::Rgb(1, 0, 0)),
            ("38;5", Color::Indexed(0)),
            ("38", Color::Default),
            ("38;9;1;2;3", Color::Default),
        ] {
            assert_eq!(pen(numbers).fg, fg, "{numbers}");
            let as_bg = numbers.replacen("38", "48", 1).replacen("31", "41", 1);
            let as_bg = as_bg.replacen("97", "107", 1).replacen("39", "49", 1);
            assert_eq!(pen(&as_bg).bg, fg, "{as_bg}");
        }
        check_flags("38;5;1;1", BOLD);
        check_flags("38;2;4;5;7;1", BOLD);
    }

    #[test]
    fn a_reset_keeps_the_link_and_ends_protection() {
        let mut terminal = Terminal::new(10, 4);
        terminal.process(b"\x1b]8;;http://a/\x07\x1b[1\"q\x1b[1;4m");
        assert!(terminal.state.pen.has(PROTECTED));
        terminal.process(b"\x1b[m");
        let pen = terminal.state.pen;
        assert!(pen.link != 0 && pen.flags == EXTENDED, "{pen:?}");
    }
}
