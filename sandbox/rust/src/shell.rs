//! Runs lines: the commands, casting, statuses. `sandbox/GAME.md` is what they keep to.
//!
//! One thread. Knows nothing of how lines are edited, so that it can be fed from anywhere.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use crate::book::{Book, Error, Trouble};
use crate::files;
use crate::out::{Out, Stop};
use crate::spell::{self, Values};
use crate::terminal::Terminal;

/// Every command, sorted: what Tab offers.
pub const COMMANDS: [&str; 14] = [
    "cast", "cat", "cd", "chant", "clear", "echo", "exit", "forget", "help", "history", "learn",
    "ls", "pwd", "spells",
];

/// The newest lines that are kept; older ones are dropped.
pub const HISTORY_MAX_LINES: usize = 500;

const HELP: &str = include_str!("../../text/help.txt");
const WELCOME: &str = include_str!("../../text/welcome.txt");
const CAST_DEPTH_MAX: usize = 16;
/// The terminal takes bigger blocks than lines: `chant` writes at least this much at once.
const CHANT_BLOCK_BYTES: usize = 8 * 1024;

const OK: u8 = 0;
const FAILED: u8 = 1;
const MISUSED: u8 = 2;
const UNKNOWN: u8 = 127;
const INTERRUPTED: u8 = 130;

/// What a command comes to: its status, or the end of the whole line.
type Outcome = Result<u8, Stop>;

/// The state of one game.
#[derive(Debug)]
pub struct Shell {
    out: Out,
    /// Shared with the editor's Tab, which looks into it while the shell waits for a line. Never borrowed for
    /// longer than a statement.
    book: Rc<RefCell<Book>>,
    history: VecDeque<String>,
    forgotten_lines: usize,
    status: u8,
}

impl Shell {
    /// A game that prints to `out` and keeps its spells in `book`.
    pub fn new(out: Out, book: Rc<RefCell<Book>>) -> Shell {
        Shell {
            out,
            book,
            history: VecDeque::new(),
            forgotten_lines: 0,
            status: OK,
        }
    }

    /// Prints the banner and how the spellbook fares.
    pub fn welcome(&mut self) -> Result<(), Stop> {
        self.out.write(WELCOME.as_bytes())?;
        let known = self.book.borrow().spells().len();
        match known {
            0 => {}
            1 => self.out.line("(your spellbook holds 1 spell)")?,
            n => self
                .out
                .line(&format!("(your spellbook holds {n} spells)"))?,
        }
        self.tell_trouble()
    }

    /// Reads the book anew if it was replaced, without a word unless something is wrong with it.
    fn refresh(&mut self) -> Result<(), Stop> {
        self.book.borrow_mut().refresh();
        self.tell_trouble()
    }

    /// Says what is wrong with the book, once for each book.
    fn tell_trouble(&mut self) -> Result<(), Stop> {
        let Some(Trouble { skipped, is_kept }) = self.book.borrow_mut().take_trouble() else {
            return Ok(());
        };
        match skipped {
            0 => {}
            1 => self
                .out
                .line("(1 line of the spellbook could not be read and was left out)")?,
            n => self.out.line(&format!(
                "({n} lines of the spellbook could not be read and were left out)"
            ))?,
        }
        if !is_kept {
            self.out
                .line("(there is no spellbook to write in: spells last only until you leave)")?;
        }
        Ok(())
    }

    /// Gets ready for the next prompt.
    pub fn rearm(&mut self) -> Result<(), Stop> {
        self.out.rearm()
    }

    /// Whether Ctrl-C ended the last line.
    pub fn is_interrupted(&mut self) -> bool {
        self.out.terminal().is_interrupted()
    }

    /// Where the editor asks for the next line.
    pub fn terminal(&mut self) -> &mut Terminal {
        self.out.terminal()
    }

    /// Says that the bytes typed were no UTF-8.
    pub fn refuse_bytes(&mut self) -> Result<(), Stop> {
        self.status = MISUSED;
        self.out.line("that was not UTF-8; the line is dropped")
    }

    /// Runs one line as it was typed. Returns the line when it went into the history.
    pub fn run_line(&mut self, typed: &str) -> Result<Option<String>, Stop> {
        if typed.len() > spell::LINE_MAX_BYTES {
            self.status = MISUSED;
            let limit = spell::LINE_MAX_BYTES;
            self.out
                .line(&format!("that line is too long ({limit} bytes at most)"))?;
            return Ok(None);
        }
        self.out.begin_command();
        let line = spell::clean(typed);
        let remembered = self.remember(&line);
        match self.run(&line, &[], 0) {
            Err(Stop::Interrupted) => self.status = INTERRUPTED,
            Err(Stop::Abandoned) => self.status = FAILED,
            other => other?,
        }
        Ok(remembered.then_some(line))
    }

    fn remember(&mut self, line: &str) -> bool {
        let is_new = !line.trim_matches([' ', '\t']).is_empty()
            && self.history.back().is_none_or(|last| last != line);
        if is_new {
            self.history.push_back(line.into());
        }
        if self.history.len() > HISTORY_MAX_LINES {
            self.history.pop_front();
            self.forgotten_lines += 1;
        }
        is_new
    }

    /// Runs a line's commands; `self.status` is the last one's.
    fn run(&mut self, line: &str, args: &[String], depth: usize) -> Result<(), Stop> {
        let commands = match spell::parse(line) {
            Ok(commands) => commands,
            Err(error) => {
                self.status = MISUSED;
                return self.out.line(&format!("not understood: {error}"));
            }
        };
        for command in commands {
            self.out.check()?;
            self.refresh()?;
            let Ok(words) = spell::fill_in(
                &command,
                Values {
                    args,
                    status: self.status,
                },
            ) else {
                self.out
                    .line("too long once its $ are filled in (64 KiB at most)")?;
                return Err(Stop::Abandoned);
            };
            if let [name, args @ ..] = &words[..] {
                self.status = self.command(name, args, depth)?;
            }
        }
        Ok(())
    }

    fn command(&mut self, name: &str, args: &[String], depth: usize) -> Outcome {
        match name {
            "ls" => self.ls(args),
            "cat" => self.cat(args),
            "cd" => self.cd(args),
            "pwd" => self.say(&files::here(), OK),
            "echo" => self.say(&args.join(" "), OK),
            "chant" => self.chant(args),
            "clear" => self.out.write(b"\x1b[H\x1b[2J\x1b[3J").map(|()| OK),
            "history" => self.print_history(),
            "help" => self.help(args),
            "exit" => self.exit(args),
            "learn" => self.learn(args),
            "cast" => self.cast(args, depth),
            "spells" => self.print_spells(),
            "forget" => self.forget(args),
            _ if self.book.borrow().spells().contains_key(name) => self.say(
                &format!("{name}: no such command, but a spell (try: cast {name})"),
                UNKNOWN,
            ),
            _ => self.say(&format!("{name}: no such command (try: help)"), UNKNOWN),
        }
    }

    /// Prints a line and comes to `status`.
    fn say(&mut self, text: &str, status: u8) -> Outcome {
        self.out.line(text)?;
        Ok(status)
    }

    fn complain(&mut self, command: &str, path: &str, error: &io::Error) -> Outcome {
        self.say(
            &format!("{command}: {path}: {}", files::trouble(error)),
            FAILED,
        )
    }

    fn ls(&mut self, args: &[String]) -> Outcome {
        let here = [".".to_owned()];
        let paths = if args.is_empty() { &here } else { args };
        let mut status = OK;
        for path in paths {
            if let Err(error) = files::list(&mut self.out, path, paths.len() > 1)? {
                status = self.complain("ls", path, &error)?;
            }
        }
        Ok(status)
    }

    fn cat(&mut self, args: &[String]) -> Outcome {
        if args.is_empty() {
            return self.say("cat: say which file", MISUSED);
        }
        let mut status = OK;
        for path in args {
            if let Err(error) = files::print(&mut self.out, path)? {
                status = self.complain("cat", path, &error)?;
            }
        }
        Ok(status)
    }

    fn cd(&mut self, args: &[String]) -> Outcome {
        let path = args.first().map_or(files::HOME, String::as_str);
        match files::enter(path) {
            Ok(()) => Ok(OK),
            Err(error) => self.complain("cd", path, &error),
        }
    }

    fn chant(&mut self, args: &[String]) -> Outcome {
        let times = args
            .first()
            .and_then(|word| word.strip_prefix('-'))
            .and_then(count);
        let words = if times.is_some() { &args[1..] } else { args };
        let line = if words.is_empty() {
            "om\n".into()
        } else {
            words.join(" ") + "\n"
        };
        let per_block = CHANT_BLOCK_BYTES.div_ceil(line.len());
        let block = line.repeat(per_block);
        let Some(mut left) = times else {
            loop {
                self.out.write(block.as_bytes())?;
            }
        };
        while left > 0 {
            let now = left.min(per_block);
            self.out.write(&block.as_bytes()[..now * line.len()])?;
            left -= now;
        }
        Ok(OK)
    }

    fn print_history(&mut self) -> Outcome {
        let first = self.forgotten_lines + 1;
        let page: String = self
            .history
            .iter()
            .zip(first..)
            .map(|(line, number)| format!("{number:5}  {line}\n"))
            .collect();
        self.out.write(page.as_bytes())?;
        Ok(OK)
    }

    fn help(&mut self, args: &[String]) -> Outcome {
        let Some(topic) = args.first() else {
            self.out.write(HELP.as_bytes())?;
            return Ok(OK);
        };
        // Commands stand after two spaces at the start of their line.
        let is_about = |line: &&str| {
            line.strip_prefix("  ")
                .is_some_and(|line| line.split(' ').next() == Some(topic.as_str()))
        };
        let found: Vec<&str> = HELP.lines().filter(is_about).collect();
        if found.is_empty() || topic.is_empty() {
            return self.say(
                &format!("help: nothing is known about {topic} (try: help)"),
                FAILED,
            );
        }
        self.say(&found.join("\n"), OK)
    }

    fn exit(&mut self, args: &[String]) -> Outcome {
        let status = match args.first() {
            None => Some(OK),
            Some(word) => count(word).and_then(|number| u8::try_from(number).ok()),
        };
        let Some(status) = status else {
            return self.say("exit: N is a number from 0 to 255", MISUSED);
        };
        self.out.line("Farewell.")?;
        Err(Stop::Exit(status))
    }

    fn learn(&mut self, args: &[String]) -> Outcome {
        let [name, body @ ..] = args else {
            return self.say("learn: say a name and what the spell does", MISUSED);
        };
        let body = body.join(" ");
        if body.is_empty() {
            return self.say("learn: say a name and what the spell does", MISUSED);
        }
        if !spell::is_name(name) {
            let text = format!(
                "learn: {name} is no name for a spell (64 bytes at most, none of ; ' \" \\ $)"
            );
            return self.say(&text, MISUSED);
        }
        if body.len() > spell::LINE_MAX_BYTES {
            return self.say(
                "learn: that spell is too long (4096 bytes at most)",
                MISUSED,
            );
        }
        if let Err(error) = spell::parse(&body) {
            return self.say(&format!("learn: {error}"), MISUSED);
        }
        let learned = self.book.borrow_mut().learn(name, &body);
        match learned {
            Ok(true) => self.say(&format!("learned {name} anew"), OK),
            Ok(false) => self.say(&format!("learned {name}"), OK),
            Err(error) => self.not_kept("learn", &error),
        }
    }

    fn not_kept(&mut self, command: &str, error: &Error) -> Outcome {
        let why = match error {
            Error::Full => "the spellbook is full (512 KiB of spells); forget one first",
            Error::NotWritten => {
                "the spellbook could not be written; this lasts only until you leave"
            }
        };
        self.say(&format!("{command}: {why}"), FAILED)
    }

    fn cast(&mut self, args: &[String], depth: usize) -> Outcome {
        let [name, args @ ..] = args else {
            return self.say("cast: say which spell", MISUSED);
        };
        let body = self.book.borrow().spells().get(name).cloned();
        let Some(body) = body else {
            return self.say(
                &format!("cast: there is no spell called {name} (try: spells)"),
                FAILED,
            );
        };
        if depth >= CAST_DEPTH_MAX {
            self.out.line("cast: spells nest 16 deep, no deeper")?;
            return Err(Stop::Abandoned);
        }
        self.status = OK;
        self.run(&body, args, depth + 1)?;
        Ok(self.status)
    }

    fn print_spells(&mut self) -> Outcome {
        let book = self.book.borrow();
        if book.spells().is_empty() {
            drop(book);
            return self.say("no spells yet; try: learn greet echo Hello, $1!", OK);
        }
        let page: String = book
            .spells()
            .iter()
            .map(|(name, body)| format!("{name}: {body}\n"))
            .collect();
        self.out.write(page.as_bytes())?;
        Ok(OK)
    }

    fn forget(&mut self, args: &[String]) -> Outcome {
        let Some(name) = args.first() else {
            return self.say("forget: say which spell", MISUSED);
        };
        let forgotten = self.book.borrow_mut().forget(name);
        match forgotten {
            Ok(true) => self.say(&format!("forgot {name}"), OK),
            Ok(false) => self.say(
                &format!("forget: there is no spell called {name} (try: spells)"),
                FAILED,
            ),
            Err(error) => self.not_kept("forget", &error),
        }
    }
}

/// A number of one to nine digits.
fn count(word: &str) -> Option<usize> {
    let is_count = (1..=9).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    if is_count { word.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_knows_every_command() {
        for command in COMMANDS {
            let is_there = HELP.lines().any(|line| {
                line.strip_prefix("  ")
                    .and_then(|line| line.split(' ').next())
                    .is_some_and(|word| word == command)
            });
            assert!(is_there, "{command}");
        }
        assert!(COMMANDS.is_sorted());
    }

    #[test]
    fn counts() {
        assert_eq!(count("255"), Some(255));
        for word in ["", "-1", "+1", "1234567890", "1 ", "x"] {
            assert_eq!(count(word), None, "{word:?}");
        }
    }
}
