//! The Rust game shell: the only program in the `rust` sandbox image.
//!
//! keys ──▶ editor ──line──▶ shell ──▶ out ──▶ terminal
//!                             ├─ spell   the language
//!                             ├─ files   ls, cat, cd
//!                             └─ book    /home/spellbook.dat
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

use rustix::termios::{self, InputModes, LocalModes, OptionalActions, SpecialCodeIndex};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGXFSZ};
use signal_hook::flag;

mod book;
mod editor;
mod files;
mod out;
mod shell;
mod spell;

use book::Book;
use editor::{Asked, Editor};
use out::{Out, Stop};
use shell::Shell;

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
    let interrupted = Arc::new(AtomicBool::new(false));
    set_signals(&interrupted).map_err(Stop::TerminalGone)?;
    set_terminal();
    let book = Rc::new(RefCell::new(Book::open(Path::new(SPELLBOOK))));
    let mut editor = Editor::new(Rc::clone(&book))
        .map_err(|error| Stop::TerminalGone(io::Error::other(error)))?;
    let mut shell = Shell::new(Out::new(interrupted), book);
    shell.welcome()?;
    loop {
        shell.rearm()?;
        match editor.ask() {
            Asked::Line(line) => {
                if let Some(line) = shell.run_line(&line)? {
                    editor.remember(&line);
                }
            }
            Asked::Cancelled => {}
            Asked::NotUtf8 => shell.refuse_bytes()?,
            Asked::End => drop(shell.run_line("exit")?),
            Asked::Gone => return Err(Stop::Exit(HUNG_UP)),
        }
    }
}

/// Ctrl-C sets a flag; a request to end is followed at once, which as process 1 would not go without saying.
fn set_signals(interrupted: &Arc<AtomicBool>) -> io::Result<()> {
    let always = Arc::new(AtomicBool::new(true));
    flag::register(SIGINT, Arc::clone(interrupted))?;
    flag::register_conditional_shutdown(SIGHUP, 129, Arc::clone(&always))?;
    flag::register_conditional_shutdown(SIGTERM, 143, Arc::clone(&always))?;
    // Their defaults would kill or stop the game: Ctrl-\, Ctrl-Z, a book at the size limit.
    for signal in [SIGQUIT, SIGTSTP, SIGXFSZ] {
        flag::register(signal, Arc::clone(&always))?;
    }
    Ok(())
}

/// How the terminal is while a command runs: no line of at most 4095 bytes is put together by the kernel
/// from what is typed ahead, and Ctrl-S does not freeze the game.
fn set_terminal() {
    let input = rustix::stdio::stdin();
    let Ok(mut modes) = termios::tcgetattr(input) else {
        return;
    };
    modes.local_modes.remove(LocalModes::ICANON);
    modes
        .input_modes
        .remove(InputModes::IXON | InputModes::ICRNL);
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    // DOCKER: not a terminal, or one that is going away: the editor will find out.
    let _ = termios::tcsetattr(input, OptionalActions::Now, &modes);
}
