//! One container that is none: a state, a terminal's input and attachers, some files.
//!
//! keys ──attach's thread──▶ input ──▶ shell's thread ──blocking writes──▶ every attacher in turn
//!
//! As on the real Engine, an attacher that does not read stalls the shell and all other attachers, and
//! output while nobody is attached is lost.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

/// A terminal's input that nobody reads does not grow beyond this; more is dropped, as by the kernel.
const INPUT_LIMIT: usize = 64 << 10;

/// How long an unseen program rests between two pieces of output.
const UNSEEN: Duration = Duration::from_millis(10);

pub struct Container {
    pub id: String,
    pub name: String,
    pub created: u64,
    pub create_body: Value,
    /// Its image's name, with a tag.
    pub image_name: String,
    /// What that meant when it was created.
    pub image_id: String,
    state: Mutex<State>,
    changed: Condvar,
}

pub struct State {
    pub phase: Phase,
    pub oom_killed: bool,
    /// Whether somebody has frozen it. Its shell runs on here; only what is told of it changes.
    pub is_paused: bool,
    /// Columns and rows.
    pub size: (u16, u16),
    pub files: BTreeMap<String, File>,
    pub attachers: Vec<Arc<Attacher>>,
    input: Vec<u8>,
    is_interrupted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Created,
    Running,
    Exited(i64),
}

#[derive(Debug, Clone)]
pub struct File {
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: u64,
    pub data: Vec<u8>,
}

/// Who sees the terminal.
pub struct Attacher {
    pub stream: Arc<UnixStream>,
    /// Bytes until the connection is cut, if it shall be.
    pub left: Mutex<Option<usize>>,
}

impl Attacher {
    /// Writes and waits until it is written; whether the attacher is still there.
    fn show(&self, mut output: &[u8]) -> bool {
        let mut left = self
            .left
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        let is_cut = left.is_some_and(|left| left <= output.len());
        if let Some(left) = &mut *left {
            output = &output[..output.len().min(*left)];
            *left -= output.len();
        }
        let is_there = (&*self.stream).write_all(output).is_ok() && !is_cut;
        if !is_there {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
        is_there
    }
}

/// What the shell finds when it asks for input.
pub enum Input {
    Keys(Vec<u8>),
    Interrupt,
    Ended,
}

impl Container {
    pub fn new(
        id: String,
        name: String,
        created: u64,
        create_body: Value,
        (image_name, image_id): (String, String),
        size: (u16, u16),
    ) -> Container {
        let state = State {
            phase: Phase::Created,
            oom_killed: false,
            is_paused: false,
            size,
            files: BTreeMap::new(),
            attachers: Vec::new(),
            input: Vec::new(),
            is_interrupted: false,
        };
        Container {
            id,
            name,
            created,
            create_body,
            image_name,
            image_id,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    pub fn labels(&self) -> BTreeMap<String, String> {
        serde_json::from_value(self.create_body["Labels"].clone()).unwrap_or_default()
    }

    /// What is typed. Ctrl-C gets through at once and takes away what was typed before it.
    pub fn type_in(&self, keys: &[u8]) {
        let mut state = self.lock();
        for key in keys {
            match key {
                3 => {
                    state.input.clear();
                    state.is_interrupted = true;
                }
                _ if state.input.len() < INPUT_LIMIT => state.input.push(*key),
                _ => {}
            }
        }
        self.changed.notify_all();
    }

    /// Waits for input.
    pub fn next_input(&self) -> Input {
        let mut state = self.lock();
        loop {
            if state.phase != Phase::Running {
                return Input::Ended;
            }
            if std::mem::take(&mut state.is_interrupted) {
                return Input::Interrupt;
            }
            if !state.input.is_empty() {
                return Input::Keys(std::mem::take(&mut state.input));
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(|poison| poison.into_inner());
        }
    }

    /// Gives back what a command left unread.
    pub fn put_back(&self, keys: &[u8]) {
        self.lock().input.splice(0..0, keys.iter().copied());
    }

    /// Whether a running command should stop: Ctrl-C, or the end of the container.
    pub fn take_interrupt(&self) -> bool {
        let mut state = self.lock();
        std::mem::take(&mut state.is_interrupted) || state.phase != Phase::Running
    }

    /// Shows output to all attachers, one after the other.
    pub fn show(&self, output: &[u8]) {
        // Not under the lock: a stuck attacher must not keep Ctrl-C and kill away.
        let attachers = self.lock().attachers.clone();
        for attacher in attachers {
            if !attacher.show(output) {
                self.detach(&attacher);
            }
        }
    }

    /// Slows a program down that nobody sees: it would run on, but need not cost a processor.
    pub fn rest_unseen(&self) {
        let state = self.lock();
        if state.attachers.is_empty() && state.phase == Phase::Running {
            let _ = self.changed.wait_timeout(state, UNSEEN);
        }
    }

    pub fn detach(&self, attacher: &Arc<Attacher>) {
        self.lock()
            .attachers
            .retain(|other| !Arc::ptr_eq(other, attacher));
    }

    /// Starts it; whether it did not run already.
    pub fn start(&self) -> bool {
        let mut state = self.lock();
        let was_running = state.phase == Phase::Running;
        state.phase = Phase::Running;
        !was_running
    }

    /// Ends it, with EOF for all attachers; whether it ran.
    pub fn end(&self, exit_code: i64) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Running {
            return false;
        }
        state.phase = Phase::Exited(exit_code);
        for attacher in state.attachers.drain(..) {
            let _ = attacher.stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
        true
    }

    /// Waits until it does not run; `None` when `is_over` became true first (see [`Container::look_again`]).
    pub fn await_end(&self, is_over: impl Fn() -> bool) -> Option<i64> {
        let mut state = self.lock();
        loop {
            match state.phase {
                Phase::Created => return Some(0),
                Phase::Exited(exit_code) => return Some(exit_code),
                Phase::Running if is_over() => return None,
                Phase::Running => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(|poison| poison.into_inner())
                }
            }
        }
    }

    /// Wakes whoever waits for this container.
    pub fn look_again(&self) {
        let _state = self.lock();
        self.changed.notify_all();
    }
}
