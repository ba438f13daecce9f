//! How many columns a character takes: 0, 1 or 2. Server and page must agree, or what stands behind an emoji is drawn a
//! column beside its place: the page has this very table, in static/src/page/width-table.ts.
//!
//! The widths are those of the Unicode version that `unicode-width` has. A character of width 0 joins the one before
//! it. No other sequence of characters is treated as one: programs count columns with `wcwidth`, character by
//! character, and a terminal must count as they do. So U+FE0F makes no character wider, and a family of emoji takes the
//! columns of its members.

use unicode_width::UnicodeWidthChar;

/// The columns that a printable character takes.
pub(super) fn width(c: char) -> u8 {
    // No character below U+0300 joins another: a soft hyphen (U+00AD) is shown.
    if c < '\u{300}' {
        return 1;
    }
    match c.width() {
        Some(0) => 0,
        None | Some(1) => 1,
        Some(_) => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn widths_are_those_that_programs_count() {
        for (c, expected) in [
            ('a', 1),
            ('\u{ad}', 1),
            ('\u{300}', 0),
            ('\u{36f}', 0),
            ('\u{370}', 1),
            ('\u{200b}', 0),
            ('\u{1160}', 0),
            ('\u{2764}', 1),
            ('\u{fe0f}', 0),
            ('\u{4e16}', 2),
            ('\u{1f1e6}', 1),
            ('\u{1f3fb}', 2),
            ('\u{1f600}', 2),
            ('\u{1fae8}', 2),
            ('\u{17d8}', 2),
            ('\u{10ffff}', 1),
        ] {
            assert_eq!(width(c), expected, "{c:?}");
        }
    }

    /// The ranges of the characters with this width: for each, in base 36, how many others lie before it, and how many
    /// more than one it has, if any.
    fn ranges(wanted: u8) -> String {
        let mut text = String::new();
        let mut end = 0;
        let mut codes = (0x300..=0x10_ffff).peekable();
        let is_wanted = |code: &u32| char::from_u32(*code).is_some_and(|c| width(c) == wanted);
        while let Some(first) = codes.find(is_wanted) {
            let mut last = first;
            while let Some(next) = codes.next_if(is_wanted) {
                last = next;
            }
            let space = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{space}{}", base_36(first - end));
            if last > first {
                let _ = write!(text, ".{}", base_36(last - first));
            }
            end = last + 1;
        }
        text
    }

    fn base_36(number: u32) -> String {
        let digit = char::from_digit(number % 36, 36).expect("a digit");
        match number / 36 {
            0 => digit.to_string(),
            rest => format!("{}{digit}", base_36(rest)),
        }
    }

    #[test]
    fn the_page_has_the_same_table() {
        let mut table = String::from(
            "/**\n * Which characters take no column and which take two: the server's table, checked by src/terminal/emulator/width.rs.\n \
             * For each range, in base 36, how many others lie before it, and after a dot how many more than one it has.\n */\n",
        );
        for (name, wanted) in [("NONE", 0), ("TWO", 2)] {
            let _ = write!(table, "export const {name} =\n  \"{}\";\n", ranges(wanted));
        }
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = fs::read_to_string(top.join("static/src/page/width-table.ts"));
        if page.is_ok_and(|page| page == table) {
            return;
        }
        let right = top.join("target/width-table.ts");
        fs::write(&right, table).expect("the right table");
        panic!(
            "static/src/page/width-table.ts is not the server's table; the right one is in {right:?}"
        );
    }
}
