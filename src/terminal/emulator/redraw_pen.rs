//! The sequences that give a terminal another pen than the one that it has.

use super::attributes::{
    BLINK, BOLD, Color, DIM, EXTENDED, HIDDEN, INVERSE, ITALIC, OVERLINE, PROTECTED, Pen, STRIKE,
    UNDERLINE,
};
use super::drawing::Drawing;

/// Flags, with the numbers of SGR that set them and that clear them.
const FLAGS: [(u16, u8, u8); 8] = [
    (BOLD, 1, 22),
    (DIM, 2, 22),
    (ITALIC, 3, 23),
    (BLINK, 5, 25),
    (INVERSE, 7, 27),
    (HIDDEN, 8, 28),
    (STRIKE, 9, 29),
    (OVERLINE, 53, 55),
];
const NO_LINK: &str = "\x1b]8;;\x07";

impl Drawing<'_> {
    /// Sets the pen for what is printed from here on.
    pub(super) fn pen(&mut self, pen: &Pen) {
        if self.pen == Some(*pen) {
            return;
        }
        if pen.is_natural() {
            self.link(pen.link);
            self.sgr(pen);
        } else {
            self.flags(pen);
            self.push("\x1b7");
            self.has_saved = true;
            self.extension(pen);
            self.push("\x1b8");
            if !pen.has(EXTENDED) {
                self.push(NO_LINK);
            }
        }
        self.pen = Some(*pen);
    }

    /// Like [`Drawing::pen`], but without saving a cursor. A pen that can't be set without that is replaced by a
    /// similar one.
    pub(super) fn pen_without_saving(&mut self, pen: &Pen) {
        let mut pen = *pen;
        if self.pen != Some(pen) && !pen.is_natural() {
            pen.underline = match pen.has(UNDERLINE) {
                true => pen.underline.max(1),
                false => 0,
            };
            pen.update_extended();
        }
        self.pen(&pen);
    }

    /// Sets a pen with the flags of this one, for a cursor that is saved. The underline's style and the link may be
    /// others.
    pub(super) fn flags(&mut self, pen: &Pen) {
        let is_underlined = pen.has(UNDERLINE);
        let natural = Pen {
            underline: u8::from(is_underlined),
            underline_color: Color::Default,
            link: 0,
            ..*pen
        };
        match pen.has(EXTENDED) && !is_underlined {
            // Any link sets the flag.
            true => self.push("\x1b]8;;x\x07"),
            false => self.push(NO_LINK),
        }
        self.sgr(&natural);
        self.pen = None;
    }

    /// Sets the terminal's pen by restoring the saved cursor, whose pen has the same flags for the underline and the
    /// link. The cursor moves to where it was saved.
    pub(super) fn pen_by_restoring(&mut self, pen: &Pen, saved: &Pen) {
        self.extension(pen);
        self.push("\x1b8");
        let mut has = Pen {
            underline: pen.underline,
            underline_color: pen.underline_color,
            link: pen.link,
            ..*saved
        };
        let dim = BOLD | DIM;
        if has.flags & dim & !pen.flags != 0 {
            self.push("\x1b[22m");
            has.set(dim, false);
        }
        for (flag, on, off) in FLAGS {
            if pen.has(flag) != has.has(flag) {
                let number = if pen.has(flag) { on } else { off };
                self.push(&format!("\x1b[{number}m"));
            }
        }
        if pen.has(PROTECTED) != has.has(PROTECTED) {
            self.protect(pen.has(PROTECTED));
        }
        let fg = color(pen.fg, 30, 38).unwrap_or("39".to_owned());
        let bg = color(pen.bg, 40, 48).unwrap_or("49".to_owned());
        self.push(&format!("\x1b[{fg};{bg}m"));
        self.pen = Some(*pen);
    }

    /// Sets the style and the colour of the underline, and the link.
    fn extension(&mut self, pen: &Pen) {
        self.pen = None;
        self.link(pen.link);
        let color = color(pen.underline_color, 0, 58);
        let color = color.map_or(String::new(), |color| format!(";{color}"));
        match pen.underline {
            0 => self.push(&format!("\x1b[0{color}m")),
            style => self.push(&format!("\x1b[0;4:{style}{color}m")),
        }
    }

    fn link(&mut self, number: u16) {
        if self.pen.is_some_and(|pen| pen.link == number) {
            return;
        }
        let text = self
            .state
            .links
            .get(number)
            .map_or(NO_LINK.to_owned(), |link| {
                let id = match link.id.is_empty() {
                    true => String::new(),
                    false => format!("id={}", link.id),
                };
                format!("\x1b]8;{id};{}\x07", link.uri)
            });
        match self.link_bytes_left.checked_sub(text.len()) {
            Some(left) => {
                self.link_bytes_left = left;
                self.push(&text);
            }
            None => self.push(NO_LINK),
        }
    }

    fn sgr(&mut self, pen: &Pen) {
        let mut numbers = Vec::new();
        for (flag, on, _) in FLAGS {
            if pen.has(flag) {
                numbers.push(on.to_string());
            }
        }
        match pen.underline {
            0 => {}
            1 => numbers.push("4".to_owned()),
            style => numbers.push(format!("4:{style}")),
        }
        numbers.extend(color(pen.fg, 30, 38));
        numbers.extend(color(pen.bg, 40, 48));
        numbers.extend(color(pen.underline_color, 0, 58));
        match numbers.is_empty() {
            true => self.push("\x1b[m"),
            false => self.push(&format!("\x1b[0;{}m", numbers.join(";"))),
        }
        if pen.has(PROTECTED) {
            self.protect(true);
        }
    }

    fn protect(&mut self, is_on: bool) {
        self.push(&format!("\x1b[{}\"q", u8::from(is_on)));
    }
}

/// The numbers of SGR for a colour; none for the terminal's default.
fn color(color: Color, first: u8, extended: u8) -> Option<String> {
    Some(match color {
        Color::Default => return None,
        Color::Basic(number @ 0..8) => format!("{}", first + number),
        Color::Basic(number) => format!("{}", first + 60 + (number & 7)),
        Color::Indexed(number) => format!("{extended};5;{number}"),
        Color::Rgb(r, g, b) => format!("{extended};2;{r};{g};{b}"),
    })
}
