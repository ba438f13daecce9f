//! Operating system commands (OSC): titles, links and colours.

use super::links::Link;
use super::palette::{self, Palette};
use super::parser::MAX_SEQUENCE_BYTES;
use super::terminal::State;

impl State {
    pub(super) fn do_command(&mut self, number: u32, text: &str) {
        match number {
            0 | 2 => self.set_title(text),
            4 => self.set_colors(text),
            8 => self.set_link(text),
            10..=12 => self.set_special(number as usize - 10, text),
            104 => self.palette.restore_colors(text),
            110..=112 => {
                if let Some(color) = self.palette.special.get_mut(number as usize - 110) {
                    *color = None;
                }
            }
            // Tests need output that makes the emulator panic: no other output does.
            #[cfg(test)]
            77_777 => panic!("on purpose"),
            _ => {}
        }
    }

    /// `text` has numbers and colours in turn; a `?` in a colour's place asks for that colour.
    fn set_colors(&mut self, text: &str) {
        let mut parts = text.split(';');
        while let (Some(number), Some(color)) = (parts.next(), parts.next()) {
            let Ok(number) = number.parse() else { continue };
            if color == "?" {
                self.answer_color(number);
            } else if let Some(color) = palette::parse(color) {
                self.palette.colors.insert(number, color);
            }
        }
    }

    /// `text` has colours for the text, the background and the cursor, in this order from the `first` on; a `?` in a
    /// colour's place asks for that colour.
    fn set_special(&mut self, first: usize, text: &str) {
        for (at, color) in (first..self.palette.special.len()).zip(text.split(';')) {
            if color == "?" {
                self.answer_special(at);
            } else if let Some(color) = palette::parse(color)
                && let Some(place) = self.palette.special.get_mut(at)
            {
                *place = Some(color);
            }
        }
    }

    /// `params;uri` begins a link, without a URI it ends.
    fn set_link(&mut self, text: &str) {
        let Some((params, uri)) = text.split_once(';') else {
            return;
        };
        let params = params.trim();
        if uri.is_empty() {
            if params.is_empty() {
                self.pen.link = 0;
                self.pen.update_extended();
                self.pen_changed();
            }
            return;
        }
        let id = params
            .split(':')
            .find_map(|param| param.strip_prefix("id="));
        let link = Link {
            id: id.unwrap_or_default().to_owned(),
            uri: uri.to_owned(),
        };
        // A link as long as this may have been cut.
        let is_whole = text.len() < MAX_SEQUENCE_BYTES - 8;
        self.pen.link = match is_whole {
            true => self.link_number(&link),
            false => 0,
        };
        self.pen.update_extended();
        self.pen_changed();
    }

    fn link_number(&mut self, link: &Link) -> u16 {
        if let Some(number) = self.links.find_or_add(link) {
            return number;
        }
        self.tidy();
        self.links.find_or_add(link).unwrap_or(0)
    }
}

impl Palette {
    fn restore_colors(&mut self, text: &str) {
        if text.is_empty() {
            self.colors.clear();
        }
        for number in text.split(';').filter_map(|number| number.parse().ok()) {
            self.colors.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::terminal::Terminal;

    fn after(output: &str) -> Terminal {
        let mut terminal = Terminal::new(10, 4);
        terminal.process(output.as_bytes());
        terminal
    }

    #[test]
    fn titles_have_many_ends() {
        for output in [
            "\x1b]2;title\x07",
            "\x1b]0;title\x1b\\",
            "\x1b]2;title\u{9c}",
            "\u{9d}2;title\x07",
            "\x1b]2;ti\ntle\x07",
            "\x1b]2;title\x1b[m",
        ] {
            assert_eq!(after(output).state.title, "title", "{output:?}");
        }
        for output in ["\x1b]2;x\x18", "\x1b]1;x\x07", "\x1b]x;2\x07", "\x1b]2;x"] {
            assert_eq!(after(output).state.title, "", "{output:?}");
        }
        let long = after(&format!("\x1b]2;{}\x07", "x".repeat(100_000)));
        assert!(long.state.title.len() <= 256 && long.memory_bytes() < 32 << 10);
    }

    #[test]
    fn links_begin_and_end() {
        let link = |output: &str| {
            let state = after(output).state;
            let link = state.links.get(state.pen.link);
            link.map(|link| (link.id.clone(), link.uri.clone()))
        };
        let a = |id: &str| Some((id.to_owned(), "http://a/".to_owned()));
        assert_eq!(link("\x1b]8;;http://a/\x07x"), a(""));
        assert_eq!(link("\x1b]8;x=1:id=7;http://a/\x07x"), a("7"));
        assert_eq!(link("\x1b]8;;http://a/\x07x\x1b]8;;\x07"), None);
        assert_eq!(link("\x1b]8;http://a/\x07x"), None);
        let long = format!("\x1b]8;;http://{}\x07", "a".repeat(5000));
        assert_eq!(link(&long), None);
    }

    #[test]
    fn colours_are_set_and_restored() {
        let palette = |output: &str| {
            let palette = after(output).state.palette;
            let colors: Vec<_> = palette.colors.into_iter().collect();
            (colors, palette.special)
        };
        let red = [255, 0, 0];
        let set = "\x1b]4;1;#ff0000;300;#000000;2;rgb:00/ff/00\x07";
        assert_eq!(palette(set).0, [(1, red), (2, [0, 255, 0])]);
        assert_eq!(palette(&format!("{set}\x1b]104;2\x07")).0, [(1, red)]);
        assert_eq!(palette(&format!("{set}\x1b]104\x07")).0, []);
        assert_eq!(palette("\x1b]4;1;?\x07").0, []);
        let special = "\x1b]10;#ff0000;?;#ff0000\x07\x1b]11;#ff0000\x07";
        assert_eq!(palette(special).1, [Some(red); 3]);
        assert_eq!(palette(&format!("{special}\x1b]111\x07")).1[1], None);
    }
}
