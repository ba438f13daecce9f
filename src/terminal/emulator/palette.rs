//! Colours that a program has given other values (OSC 4, 10, 11, 12).

use std::collections::BTreeMap;

/// A colour's red, green and blue.
pub(super) type Rgb = [u8; 3];

/// The colours that a program has changed.
#[derive(Debug, Default)]
pub(super) struct Palette {
    /// By number in the palette.
    pub colors: BTreeMap<u8, Rgb>,
    /// The text's, the background's and the cursor's: OSC 10, 11, 12.
    pub special: [Option<Rgb>; 3],
}

/// Reads a colour as X11 writes it: `rgb:RR/GG/BB` with one to four digits each, or `#RRGGBB` likewise.
pub(super) fn parse(text: &str) -> Option<Rgb> {
    let text = text.to_ascii_lowercase();
    let mut parts = [""; 3];
    if let Some(rgb) = text.strip_prefix("rgb:") {
        let mut split = rgb.split('/');
        for part in &mut parts {
            *part = split.next()?;
        }
        if split.next().is_some() || parts.iter().any(|part| part.len() != parts[0].len()) {
            return None;
        }
        let all = parts.map(|part| scaled(part, true));
        return Some([all[0]?, all[1]?, all[2]?]);
    }
    let digits = text.strip_prefix('#')?;
    let len = digits.len() / 3;
    if digits.len() % 3 != 0 || !digits.is_ascii() {
        return None;
    }
    let part = |at: usize| scaled(digits.get(at * len..(at + 1) * len)?, false);
    Some([part(0)?, part(1)?, part(2)?])
}

/// One to four digits as a byte. Behind `rgb:` they are a fraction of the greatest value; behind `#` they are the first
/// ones of four digits.
fn scaled(digits: &str, is_fraction: bool) -> Option<u8> {
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || !(1..=4).contains(&digits.len()) {
        return None;
    }
    let bits = 4 * digits.len();
    let value = u32::from_str_radix(digits, 16).ok()?;
    let most = (1 << bits) - 1;
    let scaled = match (is_fraction, bits) {
        (true, _) => (value * 255 * 2 + most) / (2 * most),
        (false, 4) => value << 4,
        (false, _) => value >> (bits - 8),
    };
    u8::try_from(scaled).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_in_both_ways() {
        for (text, expected) in [
            ("rgb:ff/00/80", Some([255, 0, 128])),
            ("rgb:f/0/8", Some([255, 0, 136])),
            ("rgb:ffff/0000/8080", Some([255, 0, 128])),
            ("RGB:FF/00/80", Some([255, 0, 128])),
            ("#ff0080", Some([255, 0, 128])),
            ("#f08", Some([240, 0, 128])),
            ("#ffff00008080", Some([255, 0, 128])),
            ("rgb:ff/0/80", None),
            ("rgb:ff/00", None),
            ("#ff00", None),
            ("#", None),
            ("#ééé", None),
            ("red", None),
            ("?", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
