//! Trouble on demand, by operation: what a test wants to go wrong, and how often each operation was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What the tests have ordered.
#[derive(Default)]
pub struct Trouble {
    script: Mutex<Script>,
    changed: Condvar,
}

#[derive(Default)]
pub struct Script {
    pub refused: BTreeMap<String, (u16, String)>,
    pub garbled: BTreeMap<String, Vec<u8>>,
    pub delayed: BTreeMap<String, Duration>,
    pub hung: BTreeSet<String>,
    pub unanswered: BTreeSet<String>,
    /// Done, and told only when the test says so.
    pub held_back: BTreeSet<String>,
    pub cut_attach_after: Option<usize>,
    pub tear_archives_after: Option<usize>,
    calls: BTreeMap<String, usize>,
    /// How many answers are held back now.
    holding: BTreeMap<String, usize>,
    is_over: bool,
}

/// What becomes of a call.
pub enum Verdict {
    Go,
    Refuse(u16, String),
    Garble(Vec<u8>),
    /// The Engine is shutting down.
    Drop,
}

impl Trouble {
    /// Changes what is ordered, and lets whoever waits look again.
    pub fn order(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Counts a call, holds it as long as it shall hang, and says what becomes of it.
    pub fn judge(&self, op: &str) -> Verdict {
        let mut script = self.lock();
        *script.calls.entry(op.to_owned()).or_default() += 1;
        self.changed.notify_all();
        let due = Instant::now() + script.delayed.get(op).copied().unwrap_or_default();
        loop {
            let left = due.saturating_duration_since(Instant::now());
            script = match (script.is_over, script.hung.contains(op), left.is_zero()) {
                (true, _, _) => return Verdict::Drop,
                (_, true, _) => self
                    .changed
                    .wait(script)
                    .unwrap_or_else(|poison| poison.into_inner()),
                (_, _, false) => self.wait(script, left),
                _ => break,
            };
        }
        if let Some(raw) = script.garbled.get(op) {
            return Verdict::Garble(raw.clone());
        }
        match script.refused.get(op) {
            Some((status, message)) => Verdict::Refuse(*status, message.clone()),
            None => Verdict::Go,
        }
    }

    pub fn calls(&self, op: &str) -> usize {
        self.lock().calls.get(op).copied().unwrap_or_default()
    }

    /// Waits until `op` was asked for `count` times in all.
    pub fn await_calls(&self, op: &str, count: usize, limit: Duration) -> bool {
        let due = Instant::now() + limit;
        let mut script = self.lock();
        while script.calls.get(op).copied().unwrap_or_default() < count {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            script = self.wait(script, left);
        }
        true
    }

    /// Waits as long as answers to `op` are held back.
    pub fn hold_back(&self, op: &str) {
        let mut script = self.lock();
        if !script.held_back.contains(op) {
            return;
        }
        *script.holding.entry(op.to_owned()).or_default() += 1;
        self.changed.notify_all();
        while script.held_back.contains(op) && !script.is_over {
            script = self
                .changed
                .wait(script)
                .unwrap_or_else(|poison| poison.into_inner());
        }
        *script.holding.entry(op.to_owned()).or_default() -= 1;
    }

    /// Waits until an answer to `op` is held back.
    pub fn await_held_back(&self, op: &str, limit: Duration) -> bool {
        let due = Instant::now() + limit;
        let mut script = self.lock();
        while script.holding.get(op).copied().unwrap_or_default() == 0 {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            script = self.wait(script, left);
        }
        true
    }

    /// Whether what is done for `op` is not told.
    pub fn is_unanswered(&self, op: &str) -> bool {
        self.lock().unanswered.contains(op)
    }

    pub fn cut_attach_after(&self) -> Option<usize> {
        self.lock().cut_attach_after
    }

    pub fn tear_archives_after(&self) -> Option<usize> {
        self.lock().tear_archives_after
    }

    pub fn end(&self) {
        self.order(|script| script.is_over = true);
    }

    fn wait<'a>(
        &'a self,
        script: MutexGuard<'a, Script>,
        left: Duration,
    ) -> MutexGuard<'a, Script> {
        let result = self.changed.wait_timeout(script, left);
        result.unwrap_or_else(|poison| poison.into_inner()).0
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }
}
