//! The Rust game shell: the only program in the `rust` sandbox image.
//!
//! keys ──▶ terminal ──▶ editor ──line──▶ shell ──▶ out ──▶ terminal
//!                        ├─ keys, line     ├─ spell   the language
//!                        ├─ tab            ├─ files   ls, cat, cd
//!                        └─ screen         └─ book    /home/spellbook.dat
//!
//! One thread. It starts no program and writes no file but the spellbook. `sandbox/GAME.md` defines the game;
//! `sandbox/perl` plays the same one.

use std::cell::RefCell;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGXFSZ};
use signal_hook::flag;

mod book;
mod editor;
mod files;
mod keys;
mod line;
mod out;
mod screen;
mod shell;
mod spell;
mod tab;
mod terminal;

use book::Book;
use editor::{Asked, Editor};
use out::{Out, Stop};
use shell::Shell;
use terminal::Terminal;

const SPELLBOOK: &str = "/home/spellbook.dat";
/// The status of a program whose terminal hung up: 128 + SIGHUP.
const HUNG_UP: u8 = 129;

fn main() -> ExitCode {
    match play() {
        Ok(never) => match never {},
        Err(Stop::Exit(status)) => ExitCode::from(status),
        Err(Stop::TerminalGone(error)) => {
            // Nobody may be there to read it.
            let _ = writeln!(io::stderr(), "spellshell: the terminal is gone: {error}");
            ExitCode::from(HUNG_UP)
        }
        // Both end at the line they stopped, long before this.
        Err(Stop::Interrupted | Stop::Abandoned) => ExitCode::from(HUNG_UP),
    }
}

enum Never {}

/// Plays until the player leaves, which is a [`Stop`].
fn play() -> Result<Never, Stop> {
    set_signals().map_err(Stop::TerminalGone)?;
    let terminal = Terminal::open().map_err(Stop::TerminalGone)?;
    let book = Rc::new(RefCell::new(Book::open(Path::new(SPELLBOOK))));
    let mut editor = Editor::new(Rc::clone(&book));
    let mut shell = Shell::new(Out::new(terminal), book);
    shell.welcome()?;
    loop {
        shell.rearm()?;
        match editor.ask(shell.terminal()) {
            Asked::Text(text) => run(&mut shell, &mut editor, &text)?,
            Asked::Cancelled => {}
            Asked::NotUtf8 => shell.refuse_bytes()?,
            Asked::End => drop(shell.run_line("exit")?),
            Asked::Gone => return Err(Stop::Exit(HUNG_UP)),
        }
    }
}

/// Runs what was entered: one line, or as many as a paste had. Ctrl-C drops the rest.
fn run(shell: &mut Shell, editor: &mut Editor, text: &str) -> Result<(), Stop> {
    for line in text.split('\n') {
        shell.rearm()?;
        // It may have come between two lines, too.
        if shell.is_interrupted() {
            break;
        }
        if let Some(line) = shell.run_line(line)? {
            editor.remember(&line);
        }
        if shell.is_interrupted() {
            break;
        }
    }
    Ok(())
}

/// A request to end is followed at once, which as process 1 would not go without saying.
fn set_signals() -> io::Result<()> {
    let always = Arc::new(AtomicBool::new(true));
    flag::register_conditional_shutdown(SIGHUP, 129, Arc::clone(&always))?;
    flag::register_conditional_shutdown(SIGTERM, 143, Arc::clone(&always))?;
    // Their defaults would kill or stop the game: keys, which are none here, and a book at the size limit.
    for signal in [SIGINT, SIGQUIT, SIGTSTP, SIGXFSZ] {
        flag::register(signal, Arc::clone(&always))?;
    }
    Ok(())
}
