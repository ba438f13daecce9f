//! Asks for a line: the prompt, and what the keys do to it. The twin of `sandbox/perl/lib/SpellShell/Editor.pm`.
//!
//! terminal ──bytes──▶ keys ──▶ line, history ──▶ screen ──▶ terminal

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;

use crate::book::Book;
use crate::keys::{Decoder, Key};
use crate::line::{Kills, Line, TEXT_MAX_BYTES};
use crate::screen::Screen;
use crate::tab::{self, Offer};
use crate::terminal::{Input, Terminal};
use crate::{files, shell};

const BELL: &str = "\x07";
const PASTES_ARE_MARKED: &str = "\x1b[?2004h";
const PASTES_ARE_TYPED: &str = "\x1b[?2004l";

/// What came of asking for a line.
#[derive(Debug, PartialEq)]
pub enum Asked {
    /// Lines: several where a paste had several.
    Text(String),
    /// Ctrl-C: the line is dropped.
    Cancelled,
    /// Bytes that are no UTF-8.
    NotUtf8,
    /// Ctrl-D on an empty line, or the end of a pipe.
    End,
    /// The terminal is gone.
    Gone,
}

/// The line editor and its history.
pub struct Editor {
    book: Rc<RefCell<Book>>,
    history: VecDeque<String>,
    kills: Kills,
}

/// One line on its way.
struct Edit<'a> {
    editor: &'a mut Editor,
    prompt: String,
    line: Line,
    decoder: Decoder,
    /// Where in the history; its length is the line that is new.
    at: usize,
    /// Lines of the history, and the new one, as they were left.
    edited: BTreeMap<usize, String>,
    search: Option<Search>,
    /// How far back Alt-. has gone, and what it has put in.
    last_word: Option<(usize, usize)>,
    is_spoiled: bool,
    /// What is to be written besides the line.
    aside: String,
}

/// Ctrl-R on its way.
struct Search {
    wanted: String,
    is_found: bool,
    /// What to go back to.
    before: (usize, String),
}

impl Editor {
    /// An editor whose Tab offers the spells of `book`.
    pub fn new(book: Rc<RefCell<Book>>) -> Editor {
        Editor {
            book,
            history: VecDeque::new(),
            kills: Kills::default(),
        }
    }

    /// Asks for one line.
    pub fn ask(&mut self, terminal: &mut Terminal) -> Asked {
        let at = self.history.len();
        let edit = Edit {
            editor: self,
            prompt: format!("✦ {} $ ", files::short_here()),
            line: Line::default(),
            decoder: Decoder::new(TEXT_MAX_BYTES),
            at,
            edited: BTreeMap::new(),
            search: None,
            last_word: None,
            is_spoiled: false,
            aside: PASTES_ARE_MARKED.into(),
        };
        terminal.begin_prompt();
        edit.run(terminal).unwrap_or(Asked::Gone)
    }

    /// Puts a line where ↑ finds it.
    pub fn remember(&mut self, line: &str) {
        if self.history.len() >= shell::HISTORY_MAX_LINES {
            self.history.pop_front();
        }
        self.history.push_back(line.into());
    }
}

impl Edit<'_> {
    fn run(mut self, terminal: &mut Terminal) -> io::Result<Asked> {
        terminal.forget_resizes();
        let mut screen = Screen::new(terminal.columns());
        let asked = 'line: loop {
            // Whatever waits is taken in first, so that a long text is drawn in blocks.
            if terminal.is_idle() {
                self.draw(terminal, &mut screen)?;
            }
            match terminal.next()? {
                Input::Byte(byte) => {
                    let mut key = self.decoder.push(byte);
                    while let Some(pressed) = key {
                        if let Some(asked) = self.press(pressed, terminal, &mut screen)? {
                            break 'line asked;
                        }
                        key = self.decoder.again();
                    }
                }
                Input::Resized => {
                    let (text, at) = self.shown();
                    let drawn = screen.redraw(terminal.columns(), &text, at);
                    terminal.draw(drawn.as_bytes())?;
                }
                Input::End if terminal.is_terminal() => return Ok(Asked::Gone),
                Input::End => break Asked::End,
            }
        };
        self.search = None;
        self.line.go(self.line.text().len());
        self.draw(terminal, &mut screen)?;
        terminal.draw(format!("{PASTES_ARE_TYPED}\n").as_bytes())?;
        Ok(asked)
    }

    fn draw(&mut self, terminal: &mut Terminal, screen: &mut Screen) -> io::Result<()> {
        let (text, at) = self.shown();
        let aside = std::mem::take(&mut self.aside);
        terminal.draw((aside + &screen.show(&text, at)).as_bytes())
    }

    /// Once for all that is drawn together.
    fn ring(&mut self) {
        if !self.aside.ends_with(BELL) {
            self.aside += BELL;
        }
    }

    /// What stands there, and where in it the cursor is.
    fn shown(&self) -> (String, usize) {
        let prompt = match &self.search {
            None => self.prompt.clone(),
            Some(Search {
                wanted, is_found, ..
            }) => {
                let failed = if *is_found { "" } else { "failed " };
                format!("({failed}reverse-i-search)`{wanted}': ")
            }
        };
        let at = prompt.len() + self.line.at();
        (prompt + self.line.text(), at)
    }

    /// Does what a key does; an answer when the line is done.
    fn press(
        &mut self,
        key: Key,
        terminal: &mut Terminal,
        screen: &mut Screen,
    ) -> io::Result<Option<Asked>> {
        if self.search.is_some() && self.search_key(&key) {
            return Ok(None);
        }
        let last_word = self.last_word.take();
        match key {
            Key::Enter if self.is_spoiled => return Ok(Some(Asked::NotUtf8)),
            Key::Enter => return Ok(Some(Asked::Text(self.line.text().into()))),
            Key::Ctrl('c') => return Ok(Some(Asked::Cancelled)),
            Key::Ctrl('d') if self.line.text().is_empty() => return Ok(Some(Asked::End)),
            Key::Tab => return self.tab(terminal, screen).map(|()| None),
            Key::Ctrl('l') => {
                self.aside += "\x1b[H\x1b[2J";
                *screen = Screen::new(terminal.columns());
                self.line.rest();
            }
            Key::Alt('.' | '_') => self.put_last_word(last_word),
            key => {
                if !self.edit(key) {
                    self.ring();
                    self.line.rest();
                }
            }
        }
        Ok(None)
    }

    /// Changes the line; false when there was nothing to do.
    fn edit(&mut self, key: Key) -> bool {
        let Edit { line, editor, .. } = self;
        let kills = &mut editor.kills;
        let (at, end) = (line.at(), line.text().len());
        match key {
            Key::Char(c) => return line.type_in(c),
            Key::Paste(bytes) => return self.paste(&bytes),
            Key::PasteTooLong => return false,
            Key::NotUtf8 => {
                self.is_spoiled = true;
                return line.type_in('\u{fffd}');
            }
            Key::Left | Key::Ctrl('b') => line.go(line.previous(at)),
            Key::Right | Key::Ctrl('f') => line.go(line.next(at)),
            Key::WordLeft | Key::Alt('b') => line.go(line.word_start()),
            Key::WordRight | Key::Alt('f') => line.go(line.word_end()),
            Key::Home | Key::Ctrl('a') => line.go(0),
            Key::End | Key::Ctrl('e') => line.go(end),
            Key::Delete | Key::Ctrl('d') => return line.delete_to(line.next(at)),
            Key::Backspace => return line.delete_to(line.previous(at)),
            Key::Ctrl('k') => return line.kill_to(end, kills),
            Key::Ctrl('u') => return line.kill_to(0, kills),
            Key::Ctrl('w') => return line.kill_to(line.blank_word_start(), kills),
            Key::AltBackspace => return line.kill_to(line.word_start(), kills),
            Key::Alt('d') => return line.kill_to(line.word_end(), kills),
            Key::Ctrl('y') => return line.yank(kills),
            Key::Alt('y') => return line.yank_older(kills),
            Key::Ctrl('t') => return line.transpose(),
            Key::Ctrl('_') => return line.undo(),
            Key::Alt('u') => line.change_word(|_, c| one(c.to_uppercase(), c)),
            Key::Alt('l') => line.change_word(|_, c| one(c.to_lowercase(), c)),
            Key::Alt('c') => line.change_word(|nth, c| match nth {
                1 => one(c.to_uppercase(), c),
                _ => one(c.to_lowercase(), c),
            }),
            Key::Up | Key::Ctrl('p') => return self.recall(self.at.checked_sub(1)),
            Key::Down | Key::Ctrl('n') => return self.recall(Some(self.at + 1)),
            Key::Alt('<') => return self.recall(Some(0)),
            Key::Alt('>') => return self.recall(Some(self.editor.history.len())),
            Key::Ctrl('q' | 'v') => self.decoder.quote(),
            Key::Ctrl('r') => {
                let before = (self.at, self.line.text().to_owned());
                self.search = Some(Search {
                    wanted: String::new(),
                    is_found: true,
                    before,
                });
            }
            _ => line.rest(),
        }
        true
    }

    fn paste(&mut self, bytes: &[u8]) -> bool {
        match str::from_utf8(bytes) {
            Ok(text) => self.line.insert(text),
            Err(_) => {
                self.is_spoiled = true;
                self.line.insert(&String::from_utf8_lossy(bytes))
            }
        }
    }

    /// Shows that line of the history, or the new one behind them.
    fn recall(&mut self, at: Option<usize>) -> bool {
        let new = self.editor.history.len();
        let Some(at) = at.filter(|at| *at <= new) else {
            return false;
        };
        self.edited.insert(self.at, self.line.text().into());
        let text = self.edited.get(&at).or(self.editor.history.get(at));
        self.line.set(text.map_or("", String::as_str));
        self.at = at;
        true
    }

    /// Puts in the last word of the line before, and with each repetition that of an older one in its place.
    fn put_last_word(&mut self, last: Option<(usize, usize)>) {
        let (before, bytes) = last.unwrap_or((self.editor.history.len(), 0));
        let Some(at) = before.checked_sub(1) else {
            self.ring();
            self.last_word = last;
            return;
        };
        let word = last_word(&self.editor.history[at]).to_owned();
        self.line.delete_to(self.line.at() - bytes);
        if self.line.insert(&word) {
            self.last_word = Some((at, word.len()));
        }
    }

    /// What a key does to a search; false when it ends it and does something else.
    fn search_key(&mut self, key: &Key) -> bool {
        let Some(mut search) = self.search.take() else {
            return false;
        };
        let from = match key {
            Key::Char(c) if search.wanted.len() < 256 => {
                search.wanted.push(*c);
                self.at
            }
            Key::Char(_) => self.at,
            Key::Backspace => {
                search.wanted.pop();
                search.before.0
            }
            Key::Ctrl('r') => self.at.wrapping_sub(1),
            Key::Ctrl('g') => {
                self.at = search.before.0;
                self.line.set(&search.before.1);
                return true;
            }
            _ => return false,
        };
        let newest = self.editor.history.len();
        let found = (0..newest)
            .rev()
            .filter(|at| from < newest && *at <= from || from == newest)
            .find_map(|at| {
                let place = self.editor.history[at].rfind(&search.wanted)?;
                Some((at, place))
            })
            .filter(|_| !search.wanted.is_empty());
        search.is_found = found.is_some() || search.wanted.is_empty();
        match found {
            Some((at, place)) => {
                self.at = at;
                self.line.set(&self.editor.history[at]);
                self.line.go(place);
            }
            None if search.is_found => {}
            None => self.ring(),
        }
        self.search = Some(search);
        true
    }

    fn tab(&mut self, terminal: &mut Terminal, screen: &mut Screen) -> io::Result<()> {
        let spells: Vec<String> = {
            // As they are now: the book may have been replaced while the prompt waited.
            let mut book = self.editor.book.borrow_mut();
            book.refresh();
            book.spells().keys().cloned().collect()
        };
        let before = &self.line.text()[..self.line.at()];
        match tab::offer(before, &spells) {
            Offer::Insert(text) if self.line.insert(&text) => {}
            Offer::Insert(_) | Offer::Nothing => self.ring(),
            Offer::Names(names) => {
                let at = self.line.at();
                self.line.go(self.line.text().len());
                self.draw(terminal, screen)?;
                self.line.go(at);
                self.aside = format!("\n{}", tab::page(&names, terminal.columns()));
                *screen = Screen::new(terminal.columns());
            }
        }
        Ok(())
    }
}

/// A character that one character became, or itself: a word keeps its length.
fn one(mut changed: impl Iterator<Item = char>, c: char) -> char {
    match (changed.next(), changed.next()) {
        (Some(changed), None) => changed,
        _ => c,
    }
}

/// The last word of a line, as it was typed.
fn last_word(line: &str) -> &str {
    let line = line.trim_end_matches([' ', '\t', ';']);
    let (mut start, mut quote, mut is_escaped) = (0, None, false);
    for (at, c) in line.char_indices() {
        match (quote, c) {
            _ if is_escaped => is_escaped = false,
            (None | Some('"'), '\\') => is_escaped = true,
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ' | '\t' | ';') => start = at + 1,
            _ => {}
        }
    }
    &line[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words() {
        for (line, expected) in [
            ("echo a b", "b"),
            ("pwd", "pwd"),
            ("echo 'a b' ; ", "'a b'"),
            ("echo a\\ b", "a\\ b"),
            ("", ""),
        ] {
            assert_eq!(last_word(line), expected, "{line:?}");
        }
    }
}
