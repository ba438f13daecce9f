//! Asks for a line: the prompt, the keys, Tab. Everything about rustyline lives here.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{History, MemHistory};
use rustyline::validate::Validator;
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Config, Context, Editor as Rustyline, Event,
    EventContext, EventHandler, Helper, KeyEvent, RepeatCount,
};

use crate::book::Book;
use crate::{files, shell};

/// What came of asking for a line.
#[derive(Debug)]
pub enum Asked {
    /// A line was typed.
    Line(String),
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
    rustyline: Rustyline<Tab, MemHistory>,
    is_cancelled: Arc<AtomicBool>,
}

impl Editor {
    /// Prepares the editor; the terminal is not touched yet. Tab offers the spells of `book`.
    pub fn new(book: Rc<RefCell<Book>>) -> rustyline::Result<Editor> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(shell::HISTORY_MAX_LINES)?
            .bracketed_paste(false)
            .build();
        let history = MemHistory::with_config(&config);
        let mut rustyline = Rustyline::with_history(config, history)?;
        rustyline.set_helper(Some(Tab { book }));
        let is_cancelled = Arc::new(AtomicBool::new(false));
        // rustyline's own Ctrl-C is an error, and errors throw away what was typed ahead.
        let cancel = Cancel(Arc::clone(&is_cancelled));
        rustyline.bind_sequence(
            KeyEvent::ctrl('c'),
            EventHandler::Conditional(Box::new(cancel)),
        );
        // There is no shell behind this one to which a suspended game could return.
        rustyline.bind_sequence(KeyEvent::ctrl('z'), Cmd::Noop);
        rustyline.bind_sequence(KeyEvent::ctrl('\\'), Cmd::Noop);
        Ok(Editor {
            rustyline,
            is_cancelled,
        })
    }

    /// Asks for one line.
    pub fn ask(&mut self) -> Asked {
        let place = files::short_here();
        let prompt = (
            format!("✦ {place} $ "),
            format!("\x1b[35m✦\x1b[0m {place} $ "),
        );
        let answer = self.rustyline.readline(&prompt);
        let is_cancelled = self.is_cancelled.swap(false, Ordering::Relaxed);
        match answer {
            Ok(_) if is_cancelled => Asked::Cancelled,
            Ok(line) => Asked::Line(line),
            Err(ReadlineError::Interrupted) => Asked::Cancelled,
            Err(ReadlineError::Eof) => Asked::End,
            Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                Asked::NotUtf8
            }
            // The size changed while an escape sequence was being read: ask again.
            Err(ReadlineError::Signal(_)) => Asked::Cancelled,
            Err(_) => Asked::Gone,
        }
    }

    /// Puts a line where ↑ finds it.
    pub fn remember(&mut self, line: &str) {
        // The history is in memory, so nothing can go wrong that the player should hear of.
        let _ = self.rustyline.history_mut().add(line);
    }
}

/// Ctrl-C at the prompt: accept the line, but note that it is to be dropped.
struct Cancel(Arc<AtomicBool>);

impl ConditionalEventHandler for Cancel {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext) -> Option<Cmd> {
        self.0.store(true, Ordering::Relaxed);
        Some(Cmd::AcceptLine)
    }
}

/// What Tab offers.
struct Tab {
    book: Rc<RefCell<Book>>,
}

impl Tab {
    /// As they are now: the book may have been replaced while the prompt waited.
    fn spells(&self) -> Vec<String> {
        let mut book = self.book.borrow_mut();
        book.refresh();
        book.spells().keys().cloned().collect()
    }
}

impl Completer for Tab {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let (start, mut found) = offers(line.get(..pos).unwrap_or(line), &self.spells());
        if let [only] = &mut found[..]
            && !only.ends_with('/')
        {
            only.push(' ');
        }
        Ok((start, found))
    }
}

impl Hinter for Tab {
    type Hint = String;
}
impl Highlighter for Tab {}
impl Validator for Tab {}
impl Helper for Tab {}

/// Where the word before the cursor starts, and what it may become.
fn offers(before: &str, spells: &[String]) -> (usize, Vec<String>) {
    const BREAKS: [char; 3] = [' ', '\t', ';'];
    let start = before.rfind(BREAKS).map_or(0, |at| at + 1);
    let (earlier, begun) = before.split_at(start);
    let command = earlier
        .rsplit(';')
        .next()
        .unwrap_or("")
        .split_ascii_whitespace()
        .next();
    let fitting = |names: &mut dyn Iterator<Item = &str>| {
        names
            .filter(|name| name.starts_with(begun))
            .map(str::to_owned)
            .collect()
    };
    let found = match command {
        None | Some("help") => fitting(&mut shell::COMMANDS.into_iter()),
        Some("cast" | "forget") => fitting(&mut spells.iter().map(String::as_str)),
        Some(_) => files::complete(begun),
    };
    (start, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &str, expected: (usize, &[&str])) {
        let spells = ["greet".to_owned(), "light".to_owned()];
        let (start, found) = offers(before, &spells);
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!((start, &found[..]), expected, "for {before:?}");
    }

    #[test]
    fn tab_completes_by_place() {
        check("c", (0, &["cast", "cat", "cd", "chant", "clear"]));
        check("pwd;sp", (4, &["spells"]));
        check("help le", (5, &["learn"]));
        check("cast g", (5, &["greet"]));
        check("forget ", (7, &["greet", "light"]));
        check("cat /pro", (4, &["/proc/"]));
        check("cat é", (4, &[]));
    }
}
