//! Character sets that take the place of ASCII: line drawing, and letters of some nations.

/// A character set, by the character that ends the sequence which names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Charset(u8);

impl Charset {
    pub(super) const ASCII: Charset = Charset(b'B');

    /// The one of this name, if there is one.
    pub(super) fn named(name: u8) -> Option<Charset> {
        let is_known = name == Charset::ASCII.0 || set(name).is_some();
        is_known.then_some(Charset(name))
    }

    pub(super) fn name(self) -> u8 {
        self.0
    }

    /// What a byte of ASCII stands for.
    pub(super) fn translate(self, byte: u8) -> char {
        let found = set(self.0).and_then(|(from, to)| {
            let at = from.bytes().position(|other| other == byte)?;
            to.chars().nth(at)
        });
        found.unwrap_or(char::from(byte))
    }
}

impl Default for Charset {
    fn default() -> Self {
        Charset::ASCII
    }
}

/// The bytes that have another meaning in this set, and the characters that they stand for.
fn set(name: u8) -> Option<(&'static str, &'static str)> {
    Some(match name {
        b'0' => (
            "`abcdefghijklmnopqrstuvwxyz{|}~",
            "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·",
        ),
        b'4' => ("#@[\\]{|}~", "£¾i½|¨f¼´"),
        b'5' | b'C' => ("[\\]^`{|}~", "ÄÖÅÜéäöåü"),
        b'6' | b'E' => ("@[\\]^`{|}~", "ÄÆØÅÜäæøåü"),
        b'7' | b'H' => ("@[\\]^`{|}~", "ÉÄÖÅÜéäöåü"),
        b'=' => ("#@[\\]^_`{|}~", "ùàéçêîèôäöüû"),
        b'A' => ("#", "£"),
        b'K' => ("@[\\]{|}~", "§ÄÖÜäöüß"),
        b'Q' => ("@[\\]^`{|}~", "àâçêîôéùèû"),
        b'R' => ("#@[\\]{|}~", "£à°ç§éùè¨"),
        b'Y' => ("#@[\\]`{|}~", "£§°çéùàòèì"),
        b'Z' => ("#@[\\]{|}", "£§¡Ñ¿°ñç"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_translate_what_they_change() {
        let check = |name: u8, text: &str, expected: &str| {
            let set = Charset::named(name).expect("known");
            let shown: String = text.bytes().map(|byte| set.translate(byte)).collect();
            assert_eq!(shown, expected);
        };
        check(b'0', "lqk~A", "┌─┐·A");
        check(b'A', "#1", "£1");
        check(b'K', "{|}~", "äöüß");
        check(b'B', "#q~", "#q~");
        assert_eq!(Charset::named(b'<'), None);
        for name in 0x30..0x7f {
            let (from, to) = set(name).unwrap_or_default();
            assert_eq!(from.len(), to.chars().count());
        }
    }
}
