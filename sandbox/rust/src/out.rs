//! What the shell prints: straight to the terminal, so that Ctrl-C ends it between two blocks.
//!
//! DOCKER: when Ctrl-C is typed the kernel throws away what the terminal still holds and wakes a blocked write,
//! so even output that nobody reads ends at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

/// Why the line that is being run goes no further.
#[derive(Debug)]
pub enum Stop {
    /// Ctrl-C.
    Interrupted,
    /// A limit was hit, and has been told.
    Abandoned,
    /// The player leaves, with this status.
    Exit(u8),
    /// The terminal is gone.
    TerminalGone(io::Error),
}

/// The terminal's output side.
#[derive(Debug)]
pub struct Out {
    interrupted: Arc<AtomicBool>,
    is_line_open: bool,
}

impl Out {
    /// Prints to standard output until `interrupted` is set.
    pub fn new(interrupted: Arc<AtomicBool>) -> Out {
        Out {
            interrupted,
            is_line_open: false,
        }
    }

    /// Prints bytes as they are.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        while let Some(last) = bytes.last() {
            self.check()?;
            let opened = *last != b'\n';
            match rustix::io::write(rustix::stdio::stdout(), bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => continue,
                Err(error) => return Err(Stop::TerminalGone(error.into())),
            }
            self.is_line_open = opened || !bytes.is_empty();
        }
        Ok(())
    }

    /// Prints one line.
    pub fn line(&mut self, text: &str) -> Result<(), Stop> {
        self.write(format!("{text}\n").as_bytes())
    }

    /// Fails when Ctrl-C was typed since the line began.
    pub fn check(&self) -> Result<(), Stop> {
        if self.interrupted.load(Ordering::Relaxed) {
            Err(Stop::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Forgets a Ctrl-C that came too late for the command it was meant for.
    pub fn forget_interrupt(&mut self) {
        self.interrupted.store(false, Ordering::Relaxed);
    }

    /// Gets ready for the prompt: forgets a Ctrl-C and starts a new line where one is open.
    pub fn rearm(&mut self) -> Result<(), Stop> {
        // The terminal has shown `^C`, so the line is open whatever we printed last.
        let was_interrupted = self.interrupted.swap(false, Ordering::Relaxed);
        if was_interrupted || self.is_line_open {
            self.write(b"\n")?;
        }
        Ok(())
    }
}
