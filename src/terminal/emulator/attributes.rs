//! How a cell looks, in four bytes.
//!
//! What programs use almost always (the colours of the palette, bold, underlined and the like) fits into those bytes;
//! all other looks are kept once each in a table, and the bytes say where. A screen in true colours has a few hundred
//! looks.

use super::table::Table;

/// A colour as a program names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Color {
    /// The terminal's default colour.
    #[default]
    Default,
    /// One of 16 with a number of its own in SGR (30 to 37, 90 to 97).
    Basic(u8),
    /// One of the palette's 256.
    Indexed(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

pub(super) const BOLD: u16 = 1;
pub(super) const DIM: u16 = 1 << 1;
pub(super) const ITALIC: u16 = 1 << 2;
pub(super) const BLINK: u16 = 1 << 3;
pub(super) const INVERSE: u16 = 1 << 4;
pub(super) const HIDDEN: u16 = 1 << 5;
pub(super) const STRIKE: u16 = 1 << 6;
pub(super) const OVERLINE: u16 = 1 << 7;
pub(super) const PROTECTED: u16 = 1 << 8;
/// Underlined, in any style.
pub(super) const UNDERLINE: u16 = 1 << 9;
/// The underline's style, its colour and the link apply; without this flag cells ignore them.
pub(super) const EXTENDED: u16 = 1 << 10;

/// How the characters look that are printed next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Pen {
    pub fg: Color,
    pub bg: Color,
    pub flags: u16,
    /// 0 for none, then single, double, curly, dotted, dashed.
    pub underline: u8,
    pub underline_color: Color,
    /// Number of the link in [`super::links`]; 0 for none.
    pub link: u16,
}

impl Pen {
    /// The pen that gives the look of the cells that this pen erases.
    pub(super) fn eraser(&self) -> Pen {
        Pen {
            bg: self.bg,
            ..Pen::default()
        }
    }

    /// Sets [`EXTENDED`] or clears it, as xterm.js does whenever a style or a link changes.
    pub(super) fn update_extended(&mut self) {
        self.set(EXTENDED, self.underline != 0 || self.link != 0);
    }

    /// Whether the flags are those that the underline and the link imply. After the cursor was restored they may be
    /// others.
    pub(super) fn is_natural(&self) -> bool {
        let is_underlined = self.underline != 0;
        self.has(UNDERLINE) == is_underlined
            && self.has(EXTENDED) == (is_underlined || self.link != 0)
    }

    /// Whether [`UNDERLINE`] and [`EXTENDED`] are the same in both pens.
    pub(super) fn is_like(&self, other: &Pen) -> bool {
        let both = UNDERLINE | EXTENDED;
        self.flags & both == other.flags & both
    }

    pub(super) fn set(&mut self, flag: u16, is_on: bool) {
        match is_on {
            true => self.flags |= flag,
            false => self.flags &= !flag,
        }
    }

    pub(super) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// This pen without what a cell does not keep of it.
    pub(super) fn kept(mut self) -> Pen {
        if !self.has(EXTENDED) {
            (self.underline, self.underline_color, self.link) = (0, Color::Default, 0);
        }
        self
    }
}

/// A look in four bytes. The default one is 0.
pub(super) type Look = u32;

/// Set in a look that is in the table; the low bits are its number there.
const IN_TABLE: Look = 1 << 31;
/// The most looks in a table. When it is full, true colours become the nearest ones of the palette, and links and the
/// colours of underlines are left out.
const MAX_LOOKS: usize = 16 * 1024;

/// Up to this many looks, the table is not searched for looks that are no longer needed.
const FEW_LOOKS: usize = 1024;

/// All looks of one terminal that do not fit into four bytes.
pub(super) struct Looks {
    table: Table<Pen>,
    /// Once the table has this many looks, it is time for [`Looks::keep`].
    due: usize,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            table: Table::default(),
            due: FEW_LOOKS,
        }
    }
}

impl Looks {
    /// The look of what this pen writes. None when it is time for [`Looks::keep`].
    pub(super) fn find_or_add(&mut self, pen: &Pen) -> Option<Look> {
        self.find_or_add_below(pen, self.due)
    }

    /// Like [`Looks::find_or_add`], even when it is time for [`Looks::keep`]. None when the table is full.
    pub(super) fn find_or_add_at_last(&mut self, pen: &Pen) -> Option<Look> {
        self.find_or_add_below(pen, MAX_LOOKS)
    }

    fn find_or_add_below(&mut self, pen: &Pen, limit: usize) -> Option<Look> {
        let pen = pen.kept();
        packed(&pen).or_else(|| {
            let place = self.table.find_or_add(&pen, limit)?;
            Some(IN_TABLE | place as Look)
        })
    }

    /// The pen that this look stands for.
    pub(super) fn pen(&self, look: Look) -> Pen {
        match look & IN_TABLE {
            0 => unpacked(look),
            _ => self.table.get(place(look)).copied().unwrap_or_default(),
        }
    }

    /// The nearest pen that needs no place in the table.
    pub(super) fn pen_of_palette(&self, look: Look) -> Pen {
        match look & IN_TABLE {
            0 => unpacked(look),
            _ => unpacked(nearest(&self.pen(look))),
        }
    }

    /// Forgets all looks but these.
    pub(super) fn keep(&mut self, looks: impl Iterator<Item = Look>) {
        let in_table = looks.filter(|look| look & IN_TABLE != 0);
        self.table.keep(in_table.map(place));
        self.due = (2 * self.table.len()).clamp(FEW_LOOKS, MAX_LOOKS);
    }

    pub(super) fn pens(&self) -> impl Iterator<Item = &Pen> {
        self.table.values()
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
    }
}

fn place(look: Look) -> usize {
    (look & !IN_TABLE) as usize
}

/// The nearest look that fits into four bytes.
pub(super) fn nearest(pen: &Pen) -> Look {
    let plain = Pen {
        fg: of_palette(pen.fg),
        bg: of_palette(pen.bg),
        underline_color: Color::Default,
        link: 0,
        ..*pen
    };
    let mut plain = plain;
    plain.underline = match plain.has(UNDERLINE) {
        true => plain.underline.max(1),
        false => 0,
    };
    plain.update_extended();
    packed(&plain).unwrap_or_default()
}

fn of_palette(color: Color) -> Color {
    match color {
        Color::Rgb(r, g, b) => {
            let step = |part: u8| ((u16::from(part) * 5 + 127) / 255) as u8;
            Color::Indexed(16 + 36 * step(r) + 6 * step(g) + step(b))
        }
        other => other,
    }
}

const COLOR_BITS: u32 = 9;
const FLAG_BITS: u32 = 9;
const INLINE_FLAGS: u16 = (1 << FLAG_BITS) - 1;

fn packed(pen: &Pen) -> Option<Look> {
    if pen.link != 0 || pen.underline_color != Color::Default {
        return None;
    }
    // Both flags follow from the style. Only a restored cursor brings others, which do not fit.
    let is_underlined = pen.underline != 0;
    if pen.has(UNDERLINE) != is_underlined || pen.has(EXTENDED) != is_underlined {
        return None;
    }
    let (fg, bg) = (packed_color(pen.fg)?, packed_color(pen.bg)?);
    let flags = u32::from(pen.flags & INLINE_FLAGS);
    let underline = u32::from(pen.underline);
    Some(
        fg | bg << COLOR_BITS
            | flags << (2 * COLOR_BITS)
            | underline << (2 * COLOR_BITS + FLAG_BITS),
    )
}

fn packed_color(color: Color) -> Option<u32> {
    match color {
        Color::Default => Some(0),
        Color::Basic(number) => Some(1 + u32::from(number & 15)),
        Color::Indexed(number) => Some(17 + u32::from(number)),
        Color::Rgb(..) => None,
    }
}

fn unpacked(look: Look) -> Pen {
    let color = |bits: u32| match bits & ((1 << COLOR_BITS) - 1) {
        0 => Color::Default,
        number @ 1..=16 => Color::Basic(number as u8 - 1),
        number => Color::Indexed((number - 17) as u8),
    };
    let underline = (look >> (2 * COLOR_BITS + FLAG_BITS)) as u8 & 7;
    let mut pen = Pen {
        fg: color(look),
        bg: color(look >> COLOR_BITS),
        flags: (look >> (2 * COLOR_BITS)) as u16 & INLINE_FLAGS,
        underline,
        ..Pen::default()
    };
    pen.set(UNDERLINE | EXTENDED, underline != 0);
    pen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pen: Pen, is_in_table: bool) {
        let mut looks = Looks::default();
        let look = looks.find_or_add(&pen).expect("room");
        assert_eq!(looks.pen(look), pen);
        assert_eq!(look & IN_TABLE != 0, is_in_table, "{pen:?}");
    }

    #[test]
    fn what_is_common_needs_no_table() {
        check(Pen::default(), false);
        let pen = Pen {
            fg: Color::Basic(15),
            bg: Color::Indexed(255),
            flags: INLINE_FLAGS | UNDERLINE | EXTENDED,
            underline: 5,
            ..Pen::default()
        };
        check(pen, false);
        check(
            Pen {
                fg: Color::Rgb(1, 2, 3),
                ..pen
            },
            true,
        );
        check(Pen { link: 3, ..pen }, true);
        check(
            Pen {
                flags: UNDERLINE,
                underline: 0,
                ..pen
            },
            true,
        );
    }

    #[test]
    fn a_full_table_is_told() {
        let mut looks = Looks::default();
        let pen = |number: usize| Pen {
            fg: Color::Rgb((number >> 8) as u8, number as u8, 0),
            ..Pen::default()
        };
        for number in 0..FEW_LOOKS {
            assert!(looks.find_or_add(&pen(number)).is_some());
        }
        assert_eq!(looks.find_or_add(&pen(FEW_LOOKS)), None, "time to look");
        for number in 0..MAX_LOOKS {
            assert!(looks.find_or_add_at_last(&pen(number)).is_some());
        }
        assert_eq!(looks.find_or_add_at_last(&pen(MAX_LOOKS)), None);
        let kept = looks.find_or_add(&pen(7)).expect("it is there");
        looks.keep([kept].into_iter());
        assert_eq!(looks.pen(kept), pen(7));
        assert!(looks.find_or_add(&pen(MAX_LOOKS)).is_some());
        assert!(looks.memory_bytes() < 1 << 20);
    }

    #[test]
    fn true_colours_have_a_nearest_one() {
        let pen = Pen {
            bg: Color::Rgb(255, 0, 0),
            flags: BOLD,
            ..Pen::default()
        };
        let near = unpacked(nearest(&pen));
        assert_eq!((near.bg, near.flags), (Color::Indexed(196), BOLD));
    }
}
