//! The text that is edited: characters, words, what was cut out, and the way back.
//!
//! Decisions only, no I/O. Each change says whether it did anything.

use std::collections::VecDeque;

use crate::screen::columns;

/// What an edited text may have: several full lines of a paste.
pub const TEXT_MAX_BYTES: usize = 16 * 1024;
const UNDO_MAX: usize = 100;
const KILLS_MAX: usize = 10;
/// As many single characters are taken back together.
const UNDO_MAX_TYPED: usize = 20;

/// What the last change was, for what goes on from it.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Last {
    #[default]
    Other,
    /// So many single characters in a row.
    Typed(usize),
    Killed,
    /// So many bytes were put in.
    Yanked(usize),
}

/// What was cut out, newest last. It outlives the line.
#[derive(Debug, Default)]
pub struct Kills(VecDeque<String>);

/// A text and the place in it.
#[derive(Debug, Default)]
pub struct Line {
    text: String,
    at: usize,
    last: Last,
    undo: VecDeque<(String, usize)>,
}

impl Line {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the cursor is, in bytes.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Puts another text in its place, the cursor at its end.
    pub fn set(&mut self, text: &str) {
        self.text = text.into();
        self.at = self.text.len();
        self.last = Last::Other;
        self.undo.clear();
    }

    /// Puts the cursor elsewhere.
    pub fn go(&mut self, at: usize) {
        self.at = at;
        self.last = Last::Other;
    }

    /// A key came that changes nothing here.
    pub fn rest(&mut self) {
        self.last = Last::Other;
    }

    fn note(&mut self) {
        if self.undo.len() >= UNDO_MAX {
            self.undo.pop_front();
        }
        self.undo.push_back((self.text.clone(), self.at));
    }

    /// Puts in one character; false when there is no room.
    pub fn type_in(&mut self, c: char) -> bool {
        if self.text.len() + c.len_utf8() > TEXT_MAX_BYTES {
            return false;
        }
        let typed = match self.last {
            Last::Typed(typed) if typed < UNDO_MAX_TYPED => typed,
            _ => {
                self.note();
                0
            }
        };
        self.text.insert(self.at, c);
        self.at += c.len_utf8();
        self.last = Last::Typed(typed + 1);
        true
    }

    /// Puts in a whole text or nothing.
    pub fn insert(&mut self, text: &str) -> bool {
        if self.text.len() + text.len() > TEXT_MAX_BYTES {
            return false;
        }
        self.note();
        self.text.insert_str(self.at, text);
        self.at += text.len();
        self.last = Last::Other;
        true
    }

    /// Takes out what is between here and there.
    pub fn delete_to(&mut self, there: usize) -> bool {
        let (from, to) = (self.at.min(there), self.at.max(there));
        if from == to {
            return false;
        }
        self.note();
        self.text.drain(from..to);
        self.go(from);
        true
    }

    /// Cuts out what is between here and there. What is cut out in a row stays together.
    pub fn kill_to(&mut self, there: usize, kills: &mut Kills) -> bool {
        let (from, to) = (self.at.min(there), self.at.max(there));
        let goes_on = self.last == Last::Killed;
        let cut = self.text[from..to].to_owned();
        let is_backward = there < self.at;
        if !self.delete_to(there) {
            return false;
        }
        match kills.0.back_mut().filter(|_| goes_on) {
            Some(last) if is_backward => last.insert_str(0, &cut),
            Some(last) => last.push_str(&cut),
            None => kills.0.push_back(cut),
        }
        if kills.0.len() > KILLS_MAX {
            kills.0.pop_front();
        }
        self.last = Last::Killed;
        true
    }

    /// Puts in what was cut out last.
    pub fn yank(&mut self, kills: &Kills) -> bool {
        let Some(text) = kills.0.back() else {
            return false;
        };
        let is_done = self.insert(text);
        self.last = Last::Yanked(text.len());
        is_done
    }

    /// Puts what was cut out before in its place.
    pub fn yank_older(&mut self, kills: &mut Kills) -> bool {
        let Last::Yanked(bytes) = self.last else {
            return false;
        };
        kills.0.rotate_right(1);
        self.delete_to(self.at - bytes);
        self.yank(kills)
    }

    /// Exchanges the characters before and at the cursor.
    pub fn transpose(&mut self) -> bool {
        let to = self.next(self.at);
        let middle = self.previous(to);
        let from = self.previous(middle);
        if self.at == 0 || from == middle {
            return false;
        }
        self.note();
        let moved: String = self.text.drain(from..middle).collect();
        self.text.insert_str(to - moved.len(), &moved);
        self.go(to);
        true
    }

    /// Writes the word after the cursor anew.
    pub fn change_word(&mut self, change: impl Fn(usize, char) -> char) {
        let to = self.word_end();
        self.note();
        let mut in_word = 0;
        let changed: String = self.text[self.at..to]
            .chars()
            .map(|c| {
                in_word = if c.is_alphanumeric() { in_word + 1 } else { 0 };
                change(in_word, c)
            })
            .collect();
        self.text.replace_range(self.at..to, &changed);
        self.go(self.at + changed.len());
    }

    /// Takes the last change back.
    pub fn undo(&mut self) -> bool {
        let Some((text, at)) = self.undo.pop_back() else {
            return false;
        };
        (self.text, self.at) = (text, at);
        self.last = Last::Other;
        true
    }

    /// Where the character before that place begins, with what is drawn over it.
    pub fn previous(&self, at: usize) -> usize {
        let before = self.text[..at].char_indices();
        before
            .rev()
            .find(|(_, c)| is_cell(*c))
            .map_or(0, |(at, _)| at)
    }

    /// Where the character after that place ends.
    pub fn next(&self, at: usize) -> usize {
        let mut after = self.text[at..].char_indices().skip(1);
        after
            .find(|(_, c)| is_cell(*c))
            .map_or(self.text.len(), |(more, _)| at + more)
    }

    /// The beginning of the word before the cursor.
    pub fn word_start(&self) -> usize {
        self.start_of(char::is_alphanumeric)
    }

    /// The same where only blanks part words.
    pub fn blank_word_start(&self) -> usize {
        self.start_of(|c| !c.is_whitespace())
    }

    fn start_of(&self, is_in_word: impl Fn(char) -> bool) -> usize {
        let before = self.text[..self.at].trim_end_matches(|c| !is_in_word(c));
        before.trim_end_matches(is_in_word).len()
    }

    /// The end of the word after the cursor.
    pub fn word_end(&self) -> usize {
        let after = self.text[self.at..].trim_start_matches(|c: char| !c.is_alphanumeric());
        self.text.len() - after.trim_start_matches(char::is_alphanumeric).len()
    }
}

/// Whether a character has room of its own on the screen.
fn is_cell(c: char) -> bool {
    c.is_control() || columns(c) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let mut line = Line::default();
        line.set(text);
        line
    }

    #[test]
    fn words() {
        let mut line = line("echo 'é日'  b-c");
        assert_eq!(line.word_start(), 16);
        assert_eq!(line.blank_word_start(), 14);
        line.go(4);
        assert_eq!(line.word_end(), 11);
        assert_eq!(
            (line.word_start(), line.next(4), line.previous(4)),
            (0, 5, 3)
        );
    }

    #[test]
    fn a_character_is_one_with_what_is_drawn_over_it() {
        let line = line("ae\u{301}");
        assert_eq!((line.previous(4), line.next(1)), (1, 4));
    }

    #[test]
    fn kills_in_a_row_stay_together() {
        let (mut line, mut kills) = (line("one two three"), Kills::default());
        assert!(line.kill_to(line.blank_word_start(), &mut kills));
        assert!(line.kill_to(line.blank_word_start(), &mut kills));
        assert!(line.yank(&kills) && line.text() == "one two three");
        line.rest();
        assert!(line.kill_to(0, &mut kills) && line.yank(&kills));
        assert!(line.yank_older(&mut kills) && line.text() == "two three");
        assert!(line.undo() && line.undo() && line.undo() && line.text().is_empty());
    }

    #[test]
    fn what_is_typed_is_taken_back_together() {
        let mut line = Line::default();
        for c in "some words and more".chars() {
            line.type_in(c);
        }
        assert!(line.undo() && line.text().is_empty() && !line.undo());
    }

    #[test]
    fn a_full_text_takes_nothing_more() {
        let mut line = line(&"x".repeat(TEXT_MAX_BYTES - 1));
        assert!(!line.insert("ab") && line.type_in('a') && !line.type_in('b'));
    }

    #[test]
    fn transposes() {
        let mut line = line("abc");
        assert!(line.transpose() && line.text() == "acb");
        line.go(1);
        assert!(line.transpose() && line.text() == "cab" && line.at() == 2);
        line.go(0);
        assert!(!line.transpose());
    }
}
