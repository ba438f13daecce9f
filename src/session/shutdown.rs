//! The end of the process, as sessions see it: they are left to the next process, or ended and removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{info, warn};

use super::metrics::Work;
use super::session::Session;
use super::state::{Event, Reason, State};
use super::{Manager, SessionId, store};
use crate::auth::PlayerId;
use crate::locks::Mutex;
use crate::terminal::Close;
use crate::terminal::frame::Notice;
use crate::threads::join_until;

/// What happens to the sessions when the server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownMode {
    /// Their containers run on, and the next start takes them over.
    Leave,
    /// Their books are saved and their containers removed.
    Drain,
}

/// How long a stop may take.
#[derive(Debug, Clone, Copy)]
pub struct Grace {
    /// At this time, what is still being tried is given up.
    pub give_up_at: Instant,
    /// At this time the stop is over, whatever is left.
    pub end_at: Instant,
}

impl Grace {
    /// A grace period of `all` from now on. Its last second, or its second half if that is shorter, is for the threads
    /// that are given up to notice it.
    pub fn of(all: Duration) -> Self {
        let now = Instant::now();
        let last = Duration::from_secs(1).min(all / 2);
        Self {
            give_up_at: now + (all - last),
            end_at: now + all,
        }
    }
}

/// How far the end has come, and what tells the threads.
pub(super) struct Shutdown {
    is_stopping: AtomicBool,
    /// Whether the containers are left where they are.
    leaves_containers: AtomicBool,
    /// Dropped when the workers are to end.
    stopper: Mutex<Option<Sender<()>>>,
    stopped: Receiver<()>,
    /// Dropped at the end of the grace period: threads that still wait for the Engine then leave their containers.
    abandoner: Mutex<Option<Sender<()>>>,
    abandoned: Receiver<()>,
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        let (stopper, stopped) = bounded(0);
        let (abandoner, abandoned) = bounded(0);
        Shutdown {
            is_stopping: AtomicBool::new(false),
            leaves_containers: AtomicBool::new(false),
            stopper: Mutex::new(Some(stopper)),
            stopped,
            abandoner: Mutex::new(Some(abandoner)),
            abandoned,
        }
    }
}

impl Shutdown {
    /// Is disconnected when the workers are to end. Nothing is ever sent.
    pub(super) fn stopped(&self) -> &Receiver<()> {
        &self.stopped
    }

    fn begin(&self, mode: ShutdownMode) {
        self.leaves_containers
            .store(mode == ShutdownMode::Leave, Ordering::SeqCst);
        self.is_stopping.store(true, Ordering::SeqCst);
    }

    fn end_workers(&self) {
        self.stopper.lock().take();
    }

    fn abandon(&self) {
        self.abandoner.lock().take();
    }
}

impl Manager {
    /// Whether the server is stopping.
    pub fn is_stopping(&self) -> bool {
        self.shutdown.is_stopping.load(Ordering::SeqCst)
    }

    /// Waits for at most `wait`; returns true immediately when the server stops.
    pub fn has_stopped_within(&self, wait: Duration) -> bool {
        self.shutdown.stopped.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
    }

    /// Waits for at most `wait`; returns true immediately when the grace period is over.
    pub(super) fn is_grace_over_within(&self, wait: Duration) -> bool {
        self.shutdown.abandoned.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
    }

    /// Turns newcomers away from now on, and tells every page to come back later (1001).
    pub fn begin_stop(&self, mode: ShutdownMode) {
        self.shutdown.begin(mode);
        for session in self.list() {
            if !session.snapshot().state.is_over() {
                self.bid_farewell(&session);
            }
        }
    }

    /// Lets all sessions go and joins all threads, within the grace period. Returns how many threads were left behind; the
    /// next start takes over or removes their containers.
    pub fn stop(&self, mode: ShutdownMode, grace: Grace) -> usize {
        let deadline = grace.give_up_at;
        self.begin_stop(mode);
        self.shutdown.end_workers();
        // Threads that wait for the takeover look whether it still comes.
        self.settled.wake();
        let events = self.events_closer.lock().take();
        if let Some(events) = events {
            events.close();
        }
        self.pool.wake();
        let mut left = Vec::new();
        // A maker that was at work may have started one more session's thread.
        while left.is_empty() {
            let mut threads: Vec<_> = self.threads.lock().drain(..).collect();
            threads.extend(self.workers.lock().drain(..));
            if threads.is_empty() {
                if mode == ShutdownMode::Drain && Instant::now() < deadline {
                    super::sweep::last_sweep(self, deadline);
                }
                return 0;
            }
            left = join_until(threads, deadline);
        }
        self.shutdown.abandon();
        join_until(left, grace.end_at).len()
    }

    /// Names in the log the sessions whose threads did not end within the grace period, such as those that still wait for
    /// an answer from the store.
    pub fn name_those_left(&self) {
        for session in self.list() {
            if !session.snapshot().state.is_over() {
                let id = session.id;
                warn!(
                    "session={id} did not end within the grace: its container is left to the next start"
                );
            }
        }
    }

    /// Ends what a stop has left behind in this process, when the operator changes their mind while it stops. Works until
    /// `deadline`; what is not done by then, the next start takes over.
    pub fn drain_left(&self, deadline: Instant) {
        for session in self.list() {
            if Instant::now() >= deadline {
                return;
            }
            if session.snapshot().state == State::Kept {
                self.finish_left(&session);
            }
        }
    }

    fn finish_left(&self, session: &Session) {
        let Some(container) = session.container() else {
            return;
        };
        let ended = self
            .engine
            .kill(container)
            .map_err(super::Error::from)
            .and_then(|()| match session.owner() {
                Some(owner) => self.keep_book(session, container, &owner.player).map(drop),
                None => Ok(()),
            })
            .and_then(|()| Ok(self.engine.remove(container)?));
        match ended {
            Ok(()) => self.forget_record(session.id, session.player()),
            Err(error) => warn!("session={} left for the next start: {error}", session.id),
        }
    }

    /// Whether sessions are left to the server's next life.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_stopping() && self.shutdown.leaves_containers.load(Ordering::SeqCst)
    }

    /// Makes one session's thread end, in the way that was chosen for the stop.
    pub(super) fn bid_farewell(&self, session: &Session) {
        if self.is_leaving() {
            session.hub.close(Close::GoingAway);
            session.hub.hang_up();
        } else {
            // Otherwise its page would wait for this server to come back.
            session.hub.notify(&Notice::drain());
            // Illegal only while it is being created: its maker sees that the server stops.
            let _ = session.order_end(Reason::ServerStopped);
        }
    }

    /// Lets go of the session's container, on the session's thread: stores what its terminal shows, and ends.
    pub(super) fn leave(&self, session: &Arc<Session>) {
        let still = session.hub.still();
        let stored = self.store.update(session.id, &mut |record| {
            record.screen = Some(super::adopt::stored_screen(&still));
        });
        if let Err(error) = stored {
            warn!("session={} its screen is not stored: {error}", session.id);
        }
        // Illegal only when it was over already.
        let _ = session.step(Event::ServerLeaves);
        info!("session={} left to the next start", session.id);
    }

    /// Makes the store forget a session and its player's game, now or when the store answers again.
    pub(super) fn forget_record(&self, id: SessionId, player: Option<&PlayerId>) {
        if let Err(error) = self.forget(id, player) {
            warn!("session={id} its record is removed later: {error}");
            self.stale_records.lock().insert(id, player.cloned());
        }
    }

    fn forget(&self, id: SessionId, player: Option<&PlayerId>) -> Result<(), store::Error> {
        if let Some(player) = player.filter(|_| self.store.is_shared()) {
            self.store.close_game(player, id)?;
        }
        self.store.remove(id)
    }

    /// Tries again what [`Manager::forget_record`] could not do before.
    pub(super) fn forget_stale_records(&self) {
        let stale = self.stale_records.lock().clone();
        for (id, player) in stale {
            if self.forget(id, player.as_ref()).is_err() {
                self.metrics.reaper.count_failure(Work::ForgetRecord);
                return;
            }
            self.stale_records.lock().remove(&id);
        }
    }
}
