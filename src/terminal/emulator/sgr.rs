//! SGR: how what is printed next looks.

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
    /// What one number means, with those behind it that belong to it; returns how many that were.
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
            // So xterm.js has it.
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

    /// All but the link is as in the beginning.
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

    /// 38, 48 and 58: a kind of colour and what it is made of, behind `;` or `:`. Behind `:` there is a colour space in
    /// between, which counts for nothing; returns how many numbers behind `;` that took.
    fn apply_color(&mut self, params: &Params, start: usize) -> usize {
        // What it is for, its kind, its space, its parts.
        let mut found = [0i32; 6];
        let mut next = 0;
        let mut taken = 0;
        // Behind `;` the parts follow the kind.
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
