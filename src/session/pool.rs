//! Containers made ahead: started and attached, they wait for their player.
//!
//! Threads: a few makers (`pool-0` …), each making one container at a time while the pool lacks some; how many of
//! them may be at the Engine together with players is for [`super::calls`] to say. What is lacking, and what is
//! too much, is decided by a pure function, [`wanted`].

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::info;
use parking_lot::{Condvar, Mutex};

use super::session::Session;
use super::state::{Reason, State};
use super::{Error, Manager, Shell};
use crate::warn_seldom;

/// More than may be at the Engine at once: while one writes its record, another has its turn there.
const MAKERS: usize = 6;
/// One that has waited so long is replaced: what its image was then may not be what it is now.
pub const MEMBER_LIFE: Duration = Duration::from_secs(6 * 3600);
/// After a failure, doubled with each further one of the same shell.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(30);
/// Without a failure for so long after the last wait, the next one is a first one.
const CALM: Duration = Duration::from_secs(60);
/// One whose program ends by itself before it is so old has failed: a shell waits for its player for ever.
const SHORT_LIFE: Duration = Duration::from_secs(10);
/// So much of the host's memory the pool never touches.
const RESERVE_BYTES: u64 = 256 * 1024 * 1024;
/// What a waiting container costs the host: its shell, its shim, what the Engine keeps of it (13 MiB resident on
/// Engine 20.10), rounded up.
const MEMBER_BYTES: u64 = 16 * 1024 * 1024;
/// How often makers without work look at the host's memory again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How many containers of each shell should wait, on a host with so much memory available.
pub fn wanted(
    pool_size: usize,
    shells: usize,
    waiting: usize,
    available_bytes: Option<u64>,
) -> usize {
    let Some(available) = available_bytes else {
        return pool_size;
    };
    // What the pool has already is not available any more.
    let room = available.saturating_sub(RESERVE_BYTES) / MEMBER_BYTES;
    let short_of_memory = available < RESERVE_BYTES;
    let in_all = if short_of_memory {
        0
    } else {
        waiting.saturating_add(usize::try_from(room).unwrap_or(usize::MAX))
    };
    pool_size.min(in_all / shells.max(1))
}

/// The waiting sessions of a server.
#[derive(Default)]
pub(super) struct Pool {
    /// Guards the lists. Held for moves only; may be taken while `sessions` is held, never the other way round.
    state: Mutex<PoolState>,
    changed: Condvar,
}

#[derive(Default)]
struct PoolState {
    waiting: HashMap<String, VecDeque<Arc<Session>>>,
    /// How many are being made, by shell.
    making: HashMap<String, usize>,
    /// How many should wait, by the last look at the host's memory.
    wanted: usize,
    /// Of shells that have failed, by name.
    backoffs: HashMap<String, Backoff>,
}

/// How long no more of a shell are made after failures: one that can't be started keeps neither the Engine busy nor the
/// others waiting.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// How long it is still to wait; none when it need not.
    fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.not_before?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Notes a failure. Returns for how long nothing is to be made; none where that was settled already, by one of
    /// several that were under way at once.
    fn fail(&mut self, now: Instant) -> Option<Duration> {
        if self.left(now).is_some() {
            return None;
        }
        if self.not_before.is_some_and(|at| now >= at + CALM) {
            self.failures = 0;
        }
        let wait = RETRY_FIRST * 2_u32.saturating_pow(self.failures.min(10));
        let wait = wait.min(RETRY_LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + wait);
        Some(wait)
    }
}

impl PoolState {
    fn fail(&mut self, shell: &str, now: Instant) -> Option<Duration> {
        self.backoffs.entry(shell.to_owned()).or_default().fail(now)
    }

    fn has_to_wait(&self, shell: &str, now: Instant) -> bool {
        let backoff = self.backoffs.get(shell);
        backoff.is_some_and(|backoff| backoff.left(now).is_some())
    }
}

/// Whether a member's program has ended by itself, and much too soon. One that was killed may have gone with its Engine,
/// which says nothing of the shell.
fn has_ended_early(session: &Session) -> bool {
    let is_by_itself = matches!(
        session.snapshot().reason,
        Some(Reason::Exited | Reason::OutOfMemory)
    );
    let end = session.snapshot().over_at.unwrap_or_else(Instant::now);
    is_by_itself && end.saturating_duration_since(session.made) < SHORT_LIFE
}

impl Pool {
    /// One that waits, the oldest first. It is the taker's from now on.
    pub(super) fn take(&self, shell: &str) -> Option<Arc<Session>> {
        let mut state = self.state.lock();
        let taken = loop {
            let next = state.waiting.get_mut(shell)?.pop_front()?;
            if next.snapshot().state == State::Prewarmed {
                break next;
            }
        };
        drop(state);
        self.changed.notify_all();
        Some(taken)
    }

    /// For how long no more of a shell are made, by shell; only those that have to wait.
    pub(super) fn backoffs(&self, now: Instant) -> HashMap<String, Duration> {
        let state = self.state.lock();
        let backoffs = state.backoffs.iter();
        backoffs
            .filter_map(|(shell, backoff)| Some((shell.clone(), backoff.left(now)?)))
            .collect()
    }

    /// No more of this shell are made for a while.
    fn fail(&self, shell: &str, now: Instant) -> Option<Duration> {
        self.state.lock().fail(shell, now)
    }

    /// Adds one that waits.
    pub(super) fn give(&self, session: &Arc<Session>) {
        let mut state = self.state.lock();
        let waiting = state.waiting.entry(session.shell.clone()).or_default();
        waiting.push_back(Arc::clone(session));
    }

    /// Makes the makers look again.
    pub(super) fn wake(&self) {
        self.changed.notify_all();
    }

    /// How many wait, by shell; one that has ended does not wait.
    pub(super) fn counts(&self) -> HashMap<String, usize> {
        let waits = |session: &&Arc<Session>| session.snapshot().state == State::Prewarmed;
        let state = self.state.lock();
        state
            .waiting
            .iter()
            .map(|(shell, waiting)| (shell.clone(), waiting.iter().filter(waits).count()))
            .collect()
    }

    /// Those of which there are too many now, or that have ended or grown old: no longer in the pool.
    fn cull(&self, wanted: usize, now: Instant) -> Vec<Arc<Session>> {
        let mut state = self.state.lock();
        state.wanted = wanted;
        let mut culled = Vec::new();
        for waiting in state.waiting.values_mut() {
            waiting.retain(|session| {
                let is_fresh = session.snapshot().state == State::Prewarmed
                    && now.saturating_duration_since(session.made) < MEMBER_LIFE;
                if !is_fresh {
                    culled.push(Arc::clone(session));
                }
                is_fresh
            });
            while waiting.len() > wanted {
                culled.extend(waiting.pop_front());
            }
        }
        culled
    }

    /// A shell of which one more is to be made, by the caller.
    fn next_job(&self, shells: &[Shell], now: Instant) -> Option<Shell> {
        let mut state = self.state.lock();
        let wanted = state.wanted;
        let has = |state: &PoolState, shell: &Shell| {
            state.waiting.get(&shell.name).map_or(0, VecDeque::len)
                + state.making.get(&shell.name).copied().unwrap_or(0)
        };
        // The one of which there are fewest.
        let mut may_be_made: Vec<_> = shells.iter().collect();
        may_be_made.retain(|shell| !state.has_to_wait(&shell.name, now));
        let shell = may_be_made
            .into_iter()
            .min_by_key(|shell| has(&state, shell))?;
        if has(&state, shell) >= wanted {
            return None;
        }
        *state.making.entry(shell.name.clone()).or_default() += 1;
        Some(shell.clone())
    }

    fn job_done(&self, shell: &Shell, made: Result<Arc<Session>, Error>, now: Instant) {
        let mut state = self.state.lock();
        if let Some(making) = state.making.get_mut(&shell.name) {
            *making = making.saturating_sub(1);
        }
        match made {
            Ok(session) => {
                state
                    .waiting
                    .entry(shell.name.clone())
                    .or_default()
                    .push_back(session);
            }
            // Nothing is wrong with the shell.
            Err(Error::Stopping) => {}
            Err(error) => {
                let wait = state.fail(&shell.name, now);
                drop(state);
                if let Some(wait) = wait {
                    let shell = &shell.name;
                    warn_seldom!("the pool makes no more of shell {shell} for {wait:?}: {error}");
                }
            }
        }
    }

    /// Waits for something to change.
    fn rest(&self) {
        let mut state = self.state.lock();
        let now = Instant::now();
        let waits = state
            .backoffs
            .values()
            .filter_map(|backoff| backoff.left(now));
        let until = now + waits.min().map_or(LOOK_EVERY, |wait| wait.min(LOOK_EVERY));
        self.changed.wait_until(&mut state, until);
    }
}

impl Manager {
    /// How many containers wait for a player, by shell.
    pub fn pool_counts(&self) -> HashMap<String, usize> {
        self.pool.counts()
    }

    /// For how long no more containers of a shell are made ahead, after failures; only of those that have to wait.
    pub fn pool_backoffs(&self) -> HashMap<String, Duration> {
        self.pool.backoffs(Instant::now())
    }

    fn note_early_end(&self, session: &Session) {
        let exit_code = session.snapshot().exit_code.unwrap_or_default();
        self.note_short_life(&session.shell, exit_code);
        if let Some(wait) = self.pool.fail(&session.shell, Instant::now()) {
            let shell = &session.shell;
            warn_seldom!(
                "the pool makes no more of shell {shell} for {wait:?}: its program ends at once"
            );
        }
    }

    /// The shells whose images are there, as far as we know.
    fn makeable(&self) -> Vec<Shell> {
        let shells = self.settings.shells.iter();
        let has_image = |shell: &&Shell| !self.images.lacks(&shell.image);
        shells.filter(has_image).cloned().collect()
    }

    /// Looks at the host's memory, and ends what the pool no longer needs.
    fn review_pool(&self) {
        let waiting = self.pool.counts().values().sum();
        let wanted = wanted(
            self.settings.pool_size,
            self.settings.shells.len(),
            waiting,
            available_bytes(),
        );
        for session in self.pool.cull(wanted, Instant::now()) {
            if has_ended_early(&session) {
                self.note_early_end(&session);
                continue;
            }
            // Illegal only when it has ended by itself.
            if session.order_end(Reason::NotNeeded).is_ok() {
                info!("session={} leaves the pool", session.id);
            }
        }
    }
}

/// Memory that can be had without swapping (`MemAvailable` of proc(5)), if the system tells.
fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Starts the makers; none when there is no pool. They return when the manager stops.
pub(super) fn spawn(manager: &Arc<Manager>) -> io::Result<Vec<JoinHandle<()>>> {
    if manager.settings.pool_size == 0 {
        return Ok(Vec::new());
    }
    (0..MAKERS)
        .map(|index| {
            let manager = Arc::clone(manager);
            thread::Builder::new()
                .name(format!("pool-{index}"))
                .spawn(move || make_ahead(&manager, index == 0))
        })
        .collect()
}

fn make_ahead(manager: &Arc<Manager>, reviews: bool) {
    while !manager.is_stopping() {
        if reviews && manager.is_settled() {
            manager.review_pool();
        }
        let job = if manager.is_settled() && !manager.is_draining() {
            manager.pool.next_job(&manager.makeable(), Instant::now())
        } else {
            None
        };
        match job {
            Some(shell) => {
                let made = manager.prewarm(&shell);
                manager.pool.job_done(&shell, made, Instant::now());
            }
            None => manager.pool.rest(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn the_pool_shrinks_with_the_host_s_memory() {
        for (size, shells, waiting, available, expected) in [
            (4, 2, 0, Some(8192 * MIB), 4),
            (4, 2, 8, Some(8192 * MIB), 4),
            (4, 2, 0, None, 4),
            (4, 2, 0, Some(300 * MIB), 1),
            (4, 2, 2, Some(300 * MIB), 2),
            (4, 2, 8, Some(100 * MIB), 0),
            (0, 2, 0, Some(8192 * MIB), 0),
            (4, 0, 0, Some(8192 * MIB), 4),
        ] {
            assert_eq!(
                wanted(size, shells, waiting, available),
                expected,
                "{size} {shells} {waiting} {available:?}"
            );
        }
    }

    #[test]
    fn failures_are_waited_for_twice_as_long_each_time() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        assert_eq!(backoff.left(now), None);
        for half_seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = Duration::from_millis(500) * half_seconds;
            assert_eq!(backoff.fail(now), Some(wait));
            assert_eq!(backoff.fail(now), None, "one of several at once");
            assert_eq!(backoff.left(now), Some(wait));
            now += wait;
            assert_eq!(backoff.left(now), None);
        }
        now += CALM;
        assert_eq!(backoff.fail(now), Some(RETRY_FIRST));
    }

    #[test]
    fn a_shell_that_fails_leaves_the_others_alone() {
        let (pool, now) = (Pool::default(), Instant::now());
        pool.state.lock().wanted = 2;
        let shell = |name: &str| Shell {
            name: name.to_owned(),
            image: String::new(),
        };
        let shells = [shell("bad"), shell("good")];
        pool.fail("bad", now);
        let job = |now| pool.next_job(&shells, now).map(|shell| shell.name);
        assert_eq!(job(now).as_deref(), Some("good"));
        assert_eq!(job(now).as_deref(), Some("good"));
        assert_eq!(job(now), None);
        assert_eq!(job(now + RETRY_FIRST).as_deref(), Some("bad"));
        let waits = pool.backoffs(now);
        assert_eq!((waits.len(), waits["bad"]), (1, RETRY_FIRST));
    }

    #[test]
    fn this_host_tells_its_memory() {
        assert!(available_bytes().is_some_and(|bytes| bytes > MIB));
    }
}
