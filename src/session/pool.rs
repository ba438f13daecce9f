//! Containers made ahead: started and attached, they wait for their player.
//!
//! Threads: a few makers (`pool-0` …), each of which makes one container at a time while the pool lacks some. How many of
//! them may be at the Engine together with players is decided by [`super::admission::calls`]. What is lacking, and what is
//! too much, is decided by a pure function, [`wanted`]. One more thread, `pool-review`, looks at the waiting containers,
//! whether there is a pool or not: it ends those that are too many, have ended, are frozen, or are of an image that was
//! built anew since.
//!
//! Pool and line are one queue: a newcomer who finds no container waiting stands in line with a [`Hope`]. The next
//! container that is made ahead goes to the first newcomer who hopes for that shell, however many come after.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use log::info;

use super::quarantine::Kind;
use super::session::Session;
use super::state::Reason;
use super::{Error, Manager, Shell};
use crate::locks::{Condvar, Mutex, rank};
use crate::threads;

/// More makers than may be at the Engine at the same time: while one writes its record, another has its turn there.
const MAKERS: usize = 6;
/// A container that has waited this long is replaced: its image may not be the same by now.
pub const MEMBER_LIFE: Duration = Duration::from_secs(6 * 3600);
/// A container whose program ends by itself before this age has failed: a shell waits for its player for ever.
const SHORT_LIFE: Duration = Duration::from_secs(10);
/// The host's memory that the pool always leaves free.
const RESERVE_BYTES: u64 = 256 * 1024 * 1024;
/// What a waiting container costs the host: its shell, its shim, and what the Engine keeps for it (13 MiB resident on
/// Engine 20.10), rounded up.
const MEMBER_BYTES: u64 = 16 * 1024 * 1024;
/// How often makers without work look again.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often images and the host's memory are looked at. In between, players may get containers of an older image.
const REVIEW_EVERY: Duration = Duration::from_secs(2);

/// How many containers of each shell should wait on a host with `available` bytes of memory available.
pub fn wanted(
    pool_size: usize,
    shells: usize,
    waiting: usize,
    available_bytes: Option<u64>,
) -> usize {
    let Some(available) = available_bytes else {
        return pool_size;
    };
    // The memory that the pool's containers take already is no longer available.
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
    state: Mutex<PoolState, rank::Pool>,
    changed: Condvar,
}

#[derive(Default)]
struct PoolState {
    waiting: HashMap<String, VecDeque<Arc<Session>>>,
    /// How many are being made, by shell.
    making: HashMap<String, usize>,
    /// How many of each shell should wait, by the last look at the host's memory.
    wanted: usize,
    /// The newcomers that wait for a container, by shell, the first of them first.
    hopes: HashMap<String, VecDeque<Hopeful>>,
    last_number: u64,
}

/// A newcomer who found no container waiting.
struct Hopeful {
    number: u64,
    /// Where the newcomer is handed a session. Has room for one.
    hand: Sender<Arc<Session>>,
}

/// A place among those who wait for a shell's next container; given up when it is dropped.
pub(super) struct Hope<'a> {
    pool: &'a Pool,
    shell: String,
    number: u64,
    /// The session that it is handed.
    pub(super) handed: Receiver<Arc<Session>>,
    /// Keeps `handed` from being disconnected.
    _hand: Sender<Arc<Session>>,
}

impl Hope<'_> {
    /// Stops waiting. Returns the session that it was handed meanwhile, if any.
    pub(super) fn give_up(&self) -> Option<Arc<Session>> {
        self.pool.withdraw(&self.shell, self.number);
        self.handed.try_recv().ok()
    }
}

impl Drop for Hope<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.give_up() {
            self.pool.give_back(session);
        }
    }
}

/// Whether a waiting container's program has ended by itself, and much too soon. A program that was killed may have gone
/// down with its Engine, which says nothing about the shell.
fn has_ended_early(session: &Session) -> bool {
    let is_by_itself = matches!(
        session.snapshot().reason,
        Some(Reason::Exited | Reason::OutOfMemory)
    );
    let end = session.snapshot().over_at.unwrap_or_else(Instant::now);
    is_by_itself && end.saturating_duration_since(session.made) < SHORT_LIFE
}

impl PoolState {
    /// Hands a session to the first newcomer who hopes for it; otherwise lets it wait.
    fn add(&mut self, session: Arc<Session>, is_first: bool) {
        let mut session = session;
        let hopes = self.hopes.get_mut(&session.shell);
        if let Some(hopes) = hopes {
            while let Some(first) = hopes.pop_front() {
                session.note_turn();
                // This fails only for a newcomer who has given up, and is about to say so.
                match first.hand.try_send(session) {
                    Ok(()) => return,
                    Err(refused) => session = refused.into_inner(),
                }
            }
        }
        let waiting = self.waiting.entry(session.shell.clone()).or_default();
        match is_first {
            true => waiting.push_front(session),
            false => waiting.push_back(session),
        }
    }
}

impl Pool {
    /// Takes a waiting session, the oldest first, unless newcomers hope for one. It belongs to the caller from now on.
    pub(super) fn take(&self, shell: &str) -> Option<Arc<Session>> {
        let mut state = self.state.lock();
        if state
            .hopes
            .get(shell)
            .is_some_and(|hopes| !hopes.is_empty())
        {
            return None;
        }
        let waiting = state.waiting.get_mut(shell)?;
        let index = waiting
            .iter()
            .position(|session| session.may_be_claimed())?;
        let taken = waiting.remove(index);
        if let Some(taken) = &taken {
            taken.note_turn();
        }
        drop(state);
        self.changed.notify_all();
        taken
    }

    /// Joins the line for the next session of that shell.
    pub(super) fn hope_for(&self, shell: &str) -> Hope<'_> {
        let (hand, handed) = bounded(1);
        let mut state = self.state.lock();
        state.last_number += 1;
        let number = state.last_number;
        let hopes = state.hopes.entry(shell.to_owned()).or_default();
        let hopeful = Hopeful {
            number,
            hand: hand.clone(),
        };
        hopes.push_back(hopeful);
        Hope {
            pool: self,
            shell: shell.to_owned(),
            number,
            handed,
            _hand: hand,
        }
    }

    fn withdraw(&self, shell: &str, number: u64) {
        if let Some(hopes) = self.state.lock().hopes.get_mut(shell) {
            hopes.retain(|hopeful| hopeful.number != number);
        }
    }

    /// Adds a waiting session, unless it is there already.
    pub(super) fn give(&self, session: &Arc<Session>) {
        let mut state = self.state.lock();
        let mut waiting = state.waiting.values().flatten();
        if waiting.all(|other| other.id != session.id) {
            state.add(Arc::clone(session), false);
        }
    }

    /// Puts back a session that was handed to a newcomer who has left.
    pub(super) fn give_back(&self, session: Arc<Session>) {
        self.state.lock().add(session, true);
    }

    /// Makes the makers look again.
    pub(super) fn wake(&self) {
        self.changed.notify_all();
    }

    /// How many wait, by shell. A session that has ended or is frozen does not count.
    pub(super) fn counts(&self) -> HashMap<String, usize> {
        let waits = |session: &&Arc<Session>| session.may_be_claimed();
        let state = self.state.lock();
        state
            .waiting
            .iter()
            .map(|(shell, waiting)| (shell.clone(), waiting.iter().filter(waits).count()))
            .collect()
    }

    /// Takes out of the pool, and returns, the sessions that are too many now or are not fit for a player.
    fn cull(&self, wanted: usize, is_fit: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let mut state = self.state.lock();
        let is_news = std::mem::replace(&mut state.wanted, wanted) != wanted;
        let mut culled = Vec::new();
        for waiting in state.waiting.values_mut() {
            waiting.retain(|session| {
                let is_fit = is_fit(session);
                if !is_fit {
                    culled.push(Arc::clone(session));
                }
                is_fit
            });
            while waiting.len() > wanted {
                culled.extend(waiting.pop_front());
            }
        }
        drop(state);
        if is_news || !culled.is_empty() {
            self.changed.notify_all();
        }
        culled
    }

    /// The shell of which the caller is to make one more container, if any.
    fn next_job(&self, shells: &[Shell], may_be_made: impl Fn(&Shell) -> bool) -> Option<Shell> {
        let mut state = self.state.lock();
        let wanted = state.wanted;
        let has = |state: &PoolState, shell: &Shell| {
            state.waiting.get(&shell.name).map_or(0, VecDeque::len)
                + state.making.get(&shell.name).copied().unwrap_or(0)
        };
        // The shell of which there are fewest.
        let shells = shells.iter().filter(|shell| may_be_made(shell));
        let shell = shells.min_by_key(|shell| has(&state, shell))?;
        if has(&state, shell) >= wanted {
            return None;
        }
        *state.making.entry(shell.name.clone()).or_default() += 1;
        Some(shell.clone())
    }

    /// Notes the result of a job.
    fn job_done(&self, shell: &Shell, made: Option<Arc<Session>>) {
        let mut state = self.state.lock();
        if let Some(making) = state.making.get_mut(&shell.name) {
            *making = making.saturating_sub(1);
        }
        if let Some(session) = made {
            state.add(session, false);
        }
    }

    /// Waits for something to change, for at most `most`.
    fn rest(&self, most: Duration) {
        let mut state = self.state.lock();
        self.changed.wait_for(&mut state, most);
    }
}

impl Manager {
    /// How many containers wait for a player, by shell.
    pub fn pool_counts(&self) -> HashMap<String, usize> {
        self.pool.counts()
    }

    /// For how long no more containers of a shell are made ahead, after failures. Shells that need not wait are left out.
    pub fn pool_backoffs(&self) -> HashMap<String, Duration> {
        let shells = self.settings.shells.iter();
        shells
            .filter_map(|shell| Some((shell.name.clone(), self.pool_waits(&shell.name)?)))
            .collect()
    }

    /// How long to wait before another container of this shell is made. A shell that can't be started should neither keep
    /// the Engine busy nor keep the others waiting.
    fn pool_waits(&self, shell: &str) -> Option<Duration> {
        let kinds = [Kind::Shell, Kind::Pool].into_iter();
        kinds
            .filter_map(|kind| self.is_aside_for(kind, shell))
            .max()
    }

    /// Makes one container, and notes the result.
    fn make_one(self: &Arc<Self>, shell: &Shell) {
        let made = match self.prewarm(shell) {
            Ok(session) => {
                self.mend(Kind::Pool, &shell.name);
                Some(session)
            }
            // Either nothing is wrong with the shell, or it has been noted already.
            Err(Error::Stopping | Error::ShellBroken { .. }) => None,
            Err(error) => {
                self.set_aside(Kind::Pool, &shell.name, &error);
                None
            }
        };
        self.pool.job_done(shell, made);
    }

    /// The shells whose images are on the Engine, as far as is known.
    fn makeable(&self) -> Vec<Shell> {
        let shells = self.settings.shells.iter();
        let has_image = |shell: &&Shell| !self.images.lacks(&shell.image);
        shells.filter(has_image).cloned().collect()
    }

    /// Looks at the images and at the host's memory, and ends what the pool no longer needs.
    fn review_pool(&self) {
        self.look_at_images();
        let waiting = self.pool.counts().values().sum();
        let wanted = wanted(
            self.settings.pool_size,
            self.settings.shells.len(),
            waiting,
            available_bytes(),
        );
        let now = Instant::now();
        let is_fit = |session: &Session| {
            session.may_be_claimed()
                && now.saturating_duration_since(session.made) < MEMBER_LIFE
                && !self.is_of_old_image(session)
        };
        for session in self.pool.cull(wanted, is_fit) {
            if has_ended_early(&session) {
                let exit_code = session.snapshot().exit_code.unwrap_or_default();
                self.note_short_life(&session.shell, exit_code);
                continue;
            }
            // INVARIANT: no player's game is ended for the pool's sake.
            if session.owner().is_some() {
                continue;
            }
            // Illegal only when it has ended by itself.
            if session.order_end(Reason::NotNeeded).is_ok() {
                info!("session={} leaves the pool", session.id);
            }
        }
    }
}

/// Memory that is available without swapping (`MemAvailable` of proc(5)), if the system tells.
fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Starts the threads, without makers when there is no pool. They return when the manager stops.
pub(super) fn spawn(manager: &Arc<Manager>) -> io::Result<Vec<JoinHandle<()>>> {
    let makers = match manager.settings.pool_size {
        0 => 0,
        _ => MAKERS,
    };
    let reviewer = Arc::clone(manager);
    let mut all = vec![threads::spawn(threads::Kind::PoolReview, move || {
        review(&reviewer)
    })?];
    all.extend(threads::spawn_all(threads::Kind::Pool, makers, |_| {
        let manager = Arc::clone(manager);
        move || make_ahead(&manager)
    })?);
    Ok(all)
}

fn review(manager: &Manager) {
    while !manager.is_stopping() {
        if manager.is_settled() {
            manager.review_pool();
        }
        manager.pool.rest(REVIEW_EVERY);
    }
}

fn make_ahead(manager: &Arc<Manager>) {
    while !manager.is_stopping() {
        let may_make = manager.is_settled() && !manager.is_draining();
        let is_well = |shell: &Shell| manager.pool_waits(&shell.name).is_none();
        let job = may_make.then(|| manager.pool.next_job(&manager.makeable(), is_well));
        match job.flatten() {
            Some(shell) => manager.make_one(&shell),
            None => {
                let waits = manager.pool_backoffs().into_values().min();
                manager
                    .pool
                    .rest(waits.unwrap_or(LOOK_EVERY).min(LOOK_EVERY));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::SessionId;
    use crate::session::state::Event;
    use crate::terminal::{Hub, hub};

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
    fn a_shell_that_fails_leaves_the_others_alone() {
        let pool = Pool::default();
        pool.state.lock().wanted = 2;
        let shell = |name: &str| Shell {
            name: name.to_owned(),
            image: String::new(),
        };
        let shells = [shell("bad"), shell("good")];
        let job = |is_well: bool| {
            let may_be_made = |shell: &Shell| is_well || shell.name != "bad";
            pool.next_job(&shells, may_be_made).map(|shell| shell.name)
        };
        assert_eq!(job(false).as_deref(), Some("good"));
        assert_eq!(job(false).as_deref(), Some("good"));
        assert_eq!(job(false), None);
        assert_eq!(job(true).as_deref(), Some("bad"));
    }

    fn prewarmed() -> Arc<Session> {
        let limits = hub::BufferLimits {
            scrollback_bytes: 1024,
            window_bytes: 1024,
        };
        let hub = Arc::new(Hub::new(limits, Instant::now(), || {}));
        let session = Arc::new(Session::new(SessionId::random(), "rust", hub));
        session.step(Event::Prepared).expect("legal");
        session
    }

    /// The newcomer who came first is handed what is made next, and one who comes later takes nothing that waits before
    /// that.
    #[test]
    fn what_is_made_is_the_first_one_s_who_hopes_for_it() {
        let pool = Pool::default();
        let (first, second, third) = (
            pool.hope_for("rust"),
            pool.hope_for("rust"),
            pool.hope_for("rust"),
        );
        let sessions: Vec<_> = (0..3).map(|_| prewarmed()).collect();
        pool.give(&sessions[0]);
        let id = |session: Option<Arc<Session>>| session.map(|session| session.id);
        assert!(pool.take("rust").is_none(), "others were there before");
        // It leaves without having looked: the session goes to the next one.
        drop(first);
        assert_eq!(id(second.give_up()), Some(sessions[0].id));
        pool.give(&sessions[1]);
        assert_eq!(id(third.handed.try_recv().ok()), Some(sessions[1].id));
        drop((second, third));
        pool.give(&sessions[2]);
        assert_eq!(id(pool.take("rust")), Some(sessions[2].id));
        let fourth = pool.hope_for("rust");
        pool.give(&sessions[2]);
        drop(fourth);
        assert_eq!(id(pool.take("rust")), Some(sessions[2].id), "given back");
    }

    #[test]
    fn nobody_waits_twice() {
        let pool = Pool::default();
        let session = prewarmed();
        pool.give(&session);
        pool.give(&session);
        assert!(pool.take("rust").is_some() && pool.take("rust").is_none());
    }

    #[test]
    fn this_host_tells_its_memory() {
        assert!(available_bytes().is_some_and(|bytes| bytes > MIB));
    }
}
