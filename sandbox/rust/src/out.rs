//! What the shell prints: straight to the terminal, so that Ctrl-C ends it between two blocks.

use std::io;

use crate::terminal::Terminal;

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
    terminal: Terminal,
    is_line_open: bool,
}

impl Out {
    /// Prints to that terminal until Ctrl-C is typed there.
    pub fn new(terminal: Terminal) -> Out {
        Out {
            terminal,
            is_line_open: false,
        }
    }

    /// Where the editor works while nothing is printed.
    pub fn terminal(&mut self) -> &mut Terminal {
        &mut self.terminal
    }

    /// Prints bytes as they are.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        while let Some(last) = bytes.last() {
            let opened = *last != b'\n';
            let written = self.terminal.write(bytes).map_err(Stop::TerminalGone)?;
            bytes = &bytes[written..];
            if written > 0 {
                self.is_line_open = opened || !bytes.is_empty();
            }
            self.stop_if_interrupted()?;
        }
        Ok(())
    }

    /// Prints one line.
    pub fn line(&mut self, text: &str) -> Result<(), Stop> {
        self.write(format!("{text}\n").as_bytes())
    }

    /// Fails when Ctrl-C was typed since the line began.
    pub fn check(&mut self) -> Result<(), Stop> {
        self.terminal.look();
        self.stop_if_interrupted()
    }

    fn stop_if_interrupted(&self) -> Result<(), Stop> {
        if self.terminal.is_interrupted() {
            Err(Stop::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Gets ready for a command: only a Ctrl-C behind its Enter is meant for it.
    pub fn begin_command(&mut self) {
        self.terminal.forget_interrupt();
        self.terminal.begin_command();
    }

    /// Gets ready for the prompt: forgets a Ctrl-C and starts a new line where one is open.
    pub fn rearm(&mut self) -> Result<(), Stop> {
        // The terminal has shown `^C`, so the line is open whatever we printed last.
        let was_interrupted = self.terminal.forget_interrupt();
        if was_interrupted || self.is_line_open {
            self.terminal.draw(b"\n").map_err(Stop::TerminalGone)?;
            self.is_line_open = false;
        }
        Ok(())
    }
}
