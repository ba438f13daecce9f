//! A session as its player sees it: made as the server makes it, with keys going in and output coming out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::PlayerId;
use crate::cli::attack::RECORD;
use crate::cli::finding::Finding;
use crate::engine::{ContainerId, Size};
use crate::session::{Error, Manager, Newcomer, Session};
use crate::terminal::Role;
use crate::terminal::hub::{Arrival, Next};
use crate::terminal::viewer_handle::ViewerHandle;

/// The most output that is kept to look for something in it.
const KEPT_BYTES: usize = 64 << 10;
/// An echo that takes longer counts as missing.
const LOST: Duration = Duration::from_secs(10);
/// How long the rest of a key's echo is waited for, which is also the pause between two keys.
const PAUSE: Duration = Duration::from_millis(4);

/// What came of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// There was more.
    Output,
    /// The terminal has ended.
    Ended,
    /// Nothing came in time.
    Late,
}

/// A session and its player.
pub struct Inmate {
    manager: Arc<Manager>,
    session: Arc<Session>,
    handle: ViewerHandle,
    /// What came and was not looked at yet.
    pub seen: Vec<u8>,
}

impl Inmate {
    /// Starts a session of that shell. `player` is the name of a player with a spellbook of its own.
    pub fn enter(manager: &Arc<Manager>, shell: &str, player: &str) -> Result<Inmate, Error> {
        let player = PlayerId::try_from(player.to_owned()).map_err(|_| Error::NotFound)?;
        let made = manager.new_session(Newcomer::PATIENT, Some(shell), &player)?;
        let arrival = Arrival {
            role: Role::Player,
            is_acking: false,
            from: None,
            wants_screen: false,
            page: None,
        };
        let handle = manager.join_terminal(made.session.id, arrival)?;
        Ok(Inmate {
            manager: Arc::clone(manager),
            session: made.session,
            handle,
            seen: Vec::new(),
        })
    }

    /// Types keys.
    pub fn type_in(&self, keys: &[u8]) {
        // If a dead session does not take the keys, their missing echo shows that.
        let _ = self.handle.type_in(keys, Instant::now());
    }

    /// Sends `count` sizes of its terminal as fast as it can, as a page may whose window is dragged.
    pub fn storm(&self, count: u32) {
        for step in 0..count {
            let (cols, rows) = (20 + (step % 180) as u16, 10 + (step % 50) as u16);
            self.handle.resize(Size { cols, rows });
        }
    }

    /// Reads what has come, or waits for it until `due`.
    pub fn read(&mut self, due: Instant) -> Read {
        let mut frame = Vec::new();
        loop {
            match self.handle.next(&mut frame) {
                Next::Output { .. } => {
                    self.seen.extend_from_slice(payload(&frame));
                    let excess = self.seen.len().saturating_sub(KEPT_BYTES);
                    self.seen.drain(..excess);
                    return Read::Output;
                }
                Next::Exit(_) | Next::Close(_) => return Read::Ended,
                // Woken: look again.
                Next::Wait if self.handle.rest().wait_until(due) || Instant::now() < due => {}
                Next::Wait => return Read::Late,
                _ => {}
            }
        }
    }

    /// Waits for output of any kind, and for the end of it.
    pub fn wait_for_prompt(&mut self, limit: Duration) -> bool {
        let due = Instant::now() + limit;
        let has_come = self.read(due) == Read::Output;
        while has_come && self.read(Instant::now() + PAUSE * 25) == Read::Output {
            if Instant::now() >= due {
                break;
            }
        }
        has_come
    }

    /// The next finding that an attacker reports, if one comes until `due`.
    pub fn finding(&mut self, due: Instant) -> Option<Finding> {
        loop {
            if let Some(finding) = take_finding(&mut self.seen) {
                return Some(finding);
            }
            if self.read(due) != Read::Output {
                return None;
            }
        }
    }

    /// Types a key and measures how long its echo takes; none if it does not come.
    pub fn echo(&mut self, key: u8) -> Option<Duration> {
        // Output that is still under way is no echo of this key.
        let began = Instant::now();
        while self.read(Instant::now() + PAUSE) == Read::Output {
            if began.elapsed() > LOST {
                return None;
            }
        }
        self.seen.clear();
        let began = Instant::now();
        self.type_in(&[key]);
        match self.read(began + LOST) {
            Read::Output => Some(began.elapsed()),
            Read::Ended | Read::Late => None,
        }
    }

    /// The end of the output, for a message to a person.
    pub fn words(&self) -> String {
        let from = self.seen.len().saturating_sub(200);
        let text = String::from_utf8_lossy(&self.seen[from..]).into_owned();
        text.trim().to_owned()
    }

    /// The session's container.
    pub fn container(&self) -> Option<&ContainerId> {
        self.session.container()
    }

    /// Memory of this process that the session's output takes.
    pub fn memory_bytes(&self) -> usize {
        self.handle.hub().memory_bytes()
    }

    /// Bytes of output so far.
    pub fn output_bytes(&self) -> u64 {
        self.handle.hub().output_bytes()
    }

    /// Ends the session as an operator would. Returns how long that took.
    pub fn destroy(self) -> Result<Duration, Error> {
        let began = Instant::now();
        match self.manager.destroy(self.session.id) {
            // It may have ended by itself.
            Ok(()) | Err(Error::NotFound) => Ok(began.elapsed()),
            Err(error) => Err(error),
        }
    }
}

/// What a server's unmasked frame carries (RFC 6455 §5.2).
fn payload(frame: &[u8]) -> &[u8] {
    let header = match frame.get(1) {
        Some(127) => 10,
        Some(126) => 4,
        _ => 2,
    };
    frame.get(header..).unwrap_or_default()
}

/// Takes the first whole finding out of the output, with all that was before it.
pub fn take_finding(seen: &mut Vec<u8>) -> Option<Finding> {
    loop {
        let start = seen.iter().position(|byte| *byte == RECORD as u8)?;
        let end = start + seen[start..].iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&seen[start + 1..end]).into_owned();
        seen.drain(..=end);
        // A record that another process has written into is lost.
        if let Ok(finding) = serde_json::from_str(line.trim()) {
            return Some(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_found_among_noise() {
        let record = |name: &str| {
            format!("{RECORD}{{\"name\":\"{name}\",\"verdict\":\"ok\",\"note\":\"\"}}\r\n")
        };
        let text = format!(
            "look 1 2\r\nnoise{}\x1ebroken\r\n{}\x1e{{\"na",
            record("one"),
            record("two")
        );
        let mut seen = text.into_bytes();
        assert_eq!(take_finding(&mut seen), Some(Finding::ok("one", "")));
        assert_eq!(take_finding(&mut seen), Some(Finding::ok("two", "")));
        assert_eq!(take_finding(&mut seen), None);
        assert_eq!(seen, b"\x1e{\"na");
    }

    #[test]
    fn frames_are_opened() {
        for size in [1, 125, 126, 65_535, 65_536] {
            let mut frame = Vec::new();
            crate::terminal::split::binary_header(size, &mut frame);
            frame.resize(frame.len() + size, b'x');
            assert_eq!(payload(&frame).len(), size);
        }
    }
}
