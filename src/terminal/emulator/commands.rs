//! OSC: titles, links and colours.

use super::links::Link;
use super::palette::{self, Palette};
use super::parser::MAX_SEQUENCE_BYTES;
use super::terminal::State;

impl State {
    pub(super) fn do_command(&mut self, number: u32, text: &str) {
        match number {
            0 | 2 => self.set_title(text),
            4 => self.palette.set_colors(text),
            8 => self.set_link(text),
            10..=12 => self.palette.set_special(number as usize - 10, text),
            104 => self.palette.restore_colors(text),
            110..=112 => {
                if let Some(color) = self.palette.special.get_mut(number as usize - 110) {
                    *color = None;
                }
            }
            // No other output does that.
            #[cfg(test)]
            77_777 => panic!("on purpose"),
            _ => {}
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
        // Such a long one may have been cut.
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
        if self.tidy() {
            return self.links.find_or_add(link).unwrap_or(0);
        }
        0
    }
}

impl Palette {
    /// Numbers and colours in turn.
    fn set_colors(&mut self, text: &str) {
        let mut parts = text.split(';');
        while let (Some(number), Some(color)) = (parts.next(), parts.next()) {
            if let (Ok(number), Some(color)) = (number.parse(), palette::parse(color)) {
                self.colors.insert(number, color);
            }
        }
    }

    fn restore_colors(&mut self, text: &str) {
        if text.is_empty() {
            self.colors.clear();
        }
        for number in text.split(';').filter_map(|number| number.parse().ok()) {
            self.colors.remove(&number);
        }
    }

    /// Colours for the text and what follows it in the list.
    fn set_special(&mut self, first: usize, text: &str) {
        let places = self.special.iter_mut().skip(first);
        for (place, color) in places.zip(text.split(';')) {
            if let Some(color) = palette::parse(color) {
                *place = Some(color);
            }
        }
    }
}
