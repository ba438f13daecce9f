//! The player's terminal: what is typed, what is shown, and its modes.
//!
//! Somebody always reads what is typed, also while a command runs and while nobody takes its output: a terminal whose
//! queue is full would never get to the Ctrl-C behind it. So Ctrl-C is a byte here and never a signal, and its place among
//! the others is known. What is typed ahead waits for the next prompt.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::termios::{
    self, InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex,
};
use signal_hook::consts::SIGWINCH;
use signal_hook::low_level::pipe;

/// What is typed ahead beyond this is dropped.
const AHEAD_MAX_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 4096;
const CTRL_C: u8 = 3;

/// What the editor waits for.
#[derive(Debug, PartialEq)]
pub enum Input {
    /// A byte was typed.
    Byte(u8),
    /// The terminal may have another size.
    Resized,
    /// Nothing more comes.
    End,
}

/// What the keys are for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Prompt,
    Command,
}

/// A terminal, or the two ends of pipes.
#[derive(Debug)]
pub struct Terminal {
    input: OwnedFd,
    output: OwnedFd,
    /// A byte comes with each SIGWINCH.
    resized: UnixStream,
    is_terminal: bool,
    phase: Phase,
    ahead: VecDeque<u8>,
    is_interrupted: bool,
    has_dropped: bool,
    has_ended: bool,
}

impl Terminal {
    /// Opens the terminal of this process anew, so that what is set on it is nobody else's.
    pub fn open() -> io::Result<Terminal> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let (input, output) = match open("/dev/tty", flags, Mode::empty()) {
            Ok(tty) => (fcntl_dupfd_cloexec(&tty, 0)?, tty),
            Err(_) => (
                fcntl_dupfd_cloexec(rustix::stdio::stdin(), 0)?,
                fcntl_dupfd_cloexec(rustix::stdio::stdout(), 0)?,
            ),
        };
        Terminal::new(input, output)
    }

    fn new(input: OwnedFd, output: OwnedFd) -> io::Result<Terminal> {
        let (resized, wake) = UnixStream::pair()?;
        resized.set_nonblocking(true)?;
        pipe::register(SIGWINCH, wake)?;
        let is_terminal = termios::isatty(&input);
        let terminal = Terminal {
            input,
            output,
            resized,
            is_terminal,
            phase: Phase::Prompt,
            ahead: VecDeque::new(),
            is_interrupted: false,
            has_dropped: false,
            has_ended: false,
        };
        terminal.set_modes();
        Ok(terminal)
    }

    /// No line is put together by the kernel, no key is a signal, and Ctrl-S does not freeze the game. What is typed
    /// while a command runs is echoed, for the editor will show it only later.
    fn set_modes(&self) {
        let Ok(mut modes) = termios::tcgetattr(&self.input) else {
            return;
        };
        let never = LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
        modes.local_modes.remove(never);
        let echo = self.phase == Phase::Command;
        modes.local_modes.set(LocalModes::ECHO, echo);
        let never = InputModes::IXON | InputModes::ICRNL;
        modes.input_modes.remove(never);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        // DOCKER: a terminal that is going away: reading it will tell.
        let _ = termios::tcsetattr(&self.input, OptionalActions::Now, &modes);
    }

    /// From now on keys are the editor's.
    pub fn begin_prompt(&mut self) {
        self.phase = Phase::Prompt;
        self.set_modes();
    }

    /// From now on a command runs, and Ctrl-C ends it: also one that was typed right behind its Enter.
    pub fn begin_command(&mut self) {
        self.phase = Phase::Command;
        self.set_modes();
        let typed: Vec<u8> = self.ahead.drain(..).collect();
        self.keep(&typed);
    }

    /// Whether Ctrl-C was typed since the last [`Terminal::forget_interrupt`].
    pub fn is_interrupted(&self) -> bool {
        self.is_interrupted
    }

    /// Forgets a Ctrl-C, and says whether there was one.
    pub fn forget_interrupt(&mut self) -> bool {
        std::mem::take(&mut self.is_interrupted)
    }

    /// How many columns it has.
    pub fn columns(&self) -> usize {
        match termios::tcgetwinsize(&self.output) {
            Ok(size) if size.ws_col > 0 => size.ws_col.into(),
            _ => 80,
        }
    }

    /// Whether this is no pipe.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Whether nothing that was typed waits here.
    pub fn is_idle(&self) -> bool {
        self.ahead.is_empty()
    }

    /// Takes in what was typed meanwhile.
    pub fn look(&mut self) {
        let mut fds = [PollFd::new(&self.input, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if !self.has_ended && poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0) {
            self.take_in();
        }
    }

    /// Writes what the terminal takes, at least a byte, unless Ctrl-C comes first.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let wants_input = !self.has_ended
                && (self.phase == Phase::Command || self.ahead.len() < AHEAD_MAX_BYTES);
            let wanted = |is_wanted| {
                if is_wanted {
                    PollFlags::IN
                } else {
                    PollFlags::empty()
                }
            };
            let mut fds = [
                PollFd::new(&self.output, PollFlags::OUT),
                PollFd::new(&self.input, wanted(wants_input)),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let (output, input) = (fds[0].revents(), fds[1].revents());
            if wants_input && !input.is_empty() {
                self.take_in();
                if self.phase == Phase::Command && self.is_interrupted {
                    return Ok(0);
                }
            }
            if output.is_empty() {
                continue;
            }
            match rustix::io::write(&self.output, bytes) {
                Ok(written) => return Ok(written),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes all of it, for the editor.
    pub fn draw(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.write(bytes)?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Waits for the editor's next key.
    pub fn next(&mut self) -> io::Result<Input> {
        loop {
            if let Some(byte) = self.ahead.pop_front() {
                self.has_dropped &= !self.ahead.is_empty();
                return Ok(Input::Byte(byte));
            }
            if self.has_ended {
                return Ok(Input::End);
            }
            let mut fds = [
                PollFd::new(&self.input, PollFlags::IN),
                PollFd::new(&self.resized, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let has_input = !fds[0].revents().is_empty();
            if !fds[1].revents().is_empty() {
                self.forget_resizes();
                return Ok(Input::Resized);
            }
            if has_input {
                self.take_in();
            }
        }
    }

    /// Whatever the size is now, the editor is about to ask for it.
    pub fn forget_resizes(&mut self) {
        let mut signals = [0; 64];
        while rustix::io::read(&self.resized, &mut signals).is_ok_and(|count| count > 0) {}
    }

    /// Reads a block of what was typed.
    fn take_in(&mut self) {
        let mut block = [0; READ_BYTES];
        match rustix::io::read(self.input.as_fd(), &mut block) {
            Ok(0) => self.has_ended = true,
            Ok(count) => self.keep(&block[..count]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The terminal hung up.
            Err(_) => self.has_ended = true,
        }
    }

    /// Keeps what was typed for the next prompt. While a command runs, Ctrl-C drops what was typed before it and what
    /// the terminal still holds of the output, as the kernel would do it.
    fn keep(&mut self, mut typed: &[u8]) {
        if self.phase == Phase::Command
            && let Some(at) = typed.iter().rposition(|byte| *byte == CTRL_C)
        {
            self.is_interrupted = true;
            self.ahead.clear();
            let _ = termios::tcflush(&self.output, QueueSelector::OFlush);
            typed = &typed[at + 1..];
        }
        let room = AHEAD_MAX_BYTES.saturating_sub(self.ahead.len());
        self.ahead.extend(&typed[..typed.len().min(room)]);
        if typed.len() > room && !std::mem::replace(&mut self.has_dropped, true) {
            // Where no output is taken, nobody hears a bell either.
            let _ = rustix::io::write(&self.output, b"\x07");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal of two pipes, and their other ends.
    fn pipes() -> (Terminal, UnixStream, UnixStream) {
        let (keys, input) = UnixStream::pair().expect("sockets");
        let (screen, output) = UnixStream::pair().expect("sockets");
        output.set_nonblocking(true).expect("a socket");
        screen.set_nonblocking(true).expect("a socket");
        let terminal = Terminal::new(input.into(), output.into()).expect("a terminal");
        (terminal, keys, screen)
    }

    fn rest(terminal: &mut Terminal) -> Vec<u8> {
        std::iter::from_fn(|| match terminal.ahead.is_empty() {
            true => None,
            false => terminal.next().ok(),
        })
        .map(|input| match input {
            Input::Byte(byte) => byte,
            other => panic!("{other:?}"),
        })
        .collect()
    }

    #[test]
    fn control_c_drops_what_was_typed_before_it() {
        use std::io::Write;
        let (mut terminal, mut keys, _screen) = pipes();
        terminal.begin_command();
        keys.write_all(b"before\x03be\x03after").expect("room");
        terminal.look();
        assert!(terminal.forget_interrupt() && !terminal.is_interrupted());
        assert_eq!(rest(&mut terminal), b"after");
    }

    #[test]
    fn control_c_behind_an_enter_is_the_command_s() {
        use std::io::Write;
        let (mut terminal, mut keys, _screen) = pipes();
        terminal.begin_prompt();
        keys.write_all(b"x\r\x03y").expect("room");
        assert_eq!(terminal.next().expect("a key"), Input::Byte(b'x'));
        assert_eq!(terminal.next().expect("a key"), Input::Byte(b'\r'));
        assert!(!terminal.is_interrupted());
        terminal.begin_command();
        assert!(terminal.is_interrupted());
        assert_eq!(rest(&mut terminal), b"y");
    }

    /// Also while nobody takes the output.
    #[test]
    fn control_c_behind_a_long_paste_ends_a_blocked_write() {
        use std::io::{Read, Write};
        let (mut terminal, mut keys, mut screen) = pipes();
        terminal.begin_command();
        let typist = std::thread::spawn(move || {
            keys.write_all(&[b'x'; 3 * AHEAD_MAX_BYTES])
                .expect("it is read");
            keys.write_all(b"\x03tail").expect("it is read");
            keys
        });
        while !terminal.is_interrupted() {
            terminal.write(&[b'o'; 8192]).expect("a terminal");
        }
        drop(typist.join().expect("it types"));
        while !terminal.has_ended {
            terminal.look();
        }
        assert_eq!(rest(&mut terminal), b"tail");
        let mut shown = vec![0; 1 << 20];
        let count = screen.read(&mut shown).expect("output");
        assert!(shown[..count].contains(&b'o'));
    }

    #[test]
    fn what_is_typed_ahead_is_bounded_and_one_bell_tells() {
        use std::io::{Read, Write};
        let (mut terminal, mut keys, mut screen) = pipes();
        terminal.begin_command();
        for _ in 0..20 {
            keys.write_all(&[b'x'; READ_BYTES]).expect("room");
            terminal.look();
        }
        assert_eq!(terminal.ahead.len(), AHEAD_MAX_BYTES);
        let mut shown = [0; 64];
        assert_eq!(screen.read(&mut shown).expect("a bell"), 1);
        assert_eq!(shown[0], 7);
        assert_eq!(rest(&mut terminal).len(), AHEAD_MAX_BYTES);
    }
}
