//! Notices from the operator, and the end that an operator orders: newcomers are turned away, the pages are told, and when
//! the time has come all games are saved and removed. Until then the order can be taken back.
//!
//! One thread (`drain`) waits for the time that was ordered.

use std::io;
use std::mem;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::warn;

use super::{Error, Manager, SessionId, ShutdownMode};
use crate::locks::Mutex;
use crate::terminal::frame::{Level, Notice};
use crate::threads;

/// How long pages show that the end is near before it comes.
const DRAIN_NOTICE: Duration = Duration::from_secs(2);
/// Pages are told once more this long before an end that was ordered earlier.
const REMINDER: Duration = Duration::from_secs(60);
/// How long the thread sleeps when there is no order.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// The longest time from an order to the end.
pub const LONGEST_DRAIN: Duration = Duration::from_secs(24 * 3600);

/// What an operator has ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// The server goes on.
    #[default]
    None,
    /// The server ends at `due`; newcomers are turned away meanwhile.
    EndAt {
        due: Instant,
        /// Whether pages are still to be told once more.
        reminds: bool,
    },
    /// The server ends now, which can't be taken back.
    End,
}

/// An operator's order, and who is told of it.
pub(super) struct Drain {
    /// What an operator has ordered. Held for moves only; may be taken while the session map is held, never the other way
    /// round.
    order: Mutex<Order>,
    /// Tells the drain's thread that the order has changed.
    changed: Sender<()>,
    changes: Receiver<()>,
    /// What ends the process when the drain is complete.
    on_drained: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Default for Drain {
    fn default() -> Drain {
        let (changed, changes) = bounded(1);
        Drain {
            order: Mutex::default(),
            changed,
            changes,
            on_drained: OnceLock::new(),
        }
    }
}

/// What the thread has to do.
#[derive(Debug, PartialEq, Eq)]
enum DrainStep {
    /// Nothing is due before that time; without a time, nothing is due before another order.
    Wait(Option<Instant>),
    /// Tell the pages that the end comes in this time.
    Remind(Duration),
    End,
}

impl Order {
    /// What is due by now. The order then counts it as done.
    fn next(&mut self, now: Instant) -> DrainStep {
        match self {
            Order::None | Order::End => DrainStep::Wait(None),
            Order::EndAt { due, .. } if *due <= now => {
                *self = Order::End;
                DrainStep::End
            }
            Order::EndAt { due, reminds } => {
                let left = *due - now;
                if !*reminds {
                    DrainStep::Wait(Some(*due))
                } else if left > REMINDER {
                    DrainStep::Wait(Some(*due - REMINDER))
                } else {
                    *reminds = false;
                    DrainStep::Remind(left)
                }
            }
        }
    }
}

impl Manager {
    /// Whether newcomers are turned away, because the server ends or is about to.
    pub fn is_draining(&self) -> bool {
        *self.drain.order.lock() != Order::None || self.is_stopping()
    }

    /// How long it is until an end that was ordered and can still be taken back.
    pub fn drains_in(&self) -> Option<Duration> {
        let order = *self.drain.order.lock();
        match order {
            Order::EndAt { due, .. } => Some(due.saturating_duration_since(Instant::now())),
            Order::None | Order::End => None,
        }
    }

    /// Sets what ends the process once [`Manager::drain`] was asked for. Without it the server stays up, drained.
    pub fn on_drained(&self, end: impl Fn() + Send + Sync + 'static) {
        // It is set once, by `main`.
        let _ = self.drain.on_drained.set(Box::new(end));
    }

    /// Turns newcomers away, tells every page, and after a moment ends all games and the process. Blocks for that moment.
    /// Returns how many games there were; none if the end is under way already.
    pub fn drain(&self) -> usize {
        // INVARIANT: the lock is let go here, not at the end of the `match`: newcomers look at the order while they hold the
        // session map, which the end needs.
        let before = mem::replace(&mut *self.drain.order.lock(), Order::End);
        match before {
            Order::End => 0,
            Order::None | Order::EndAt { .. } => self.end_all(),
        }
    }

    /// Turns newcomers away, tells every page, and does after `wait`, or after [`LONGEST_DRAIN`] if that is shorter, what
    /// [`Manager::drain`] does. An earlier order no longer counts. Returns how many games there are.
    ///
    /// # Errors
    /// [`Error::Stopping`] when an end is under way already.
    pub fn drain_in(&self, wait: Duration) -> Result<usize, Error> {
        let due = Instant::now() + wait.min(LONGEST_DRAIN);
        let reminds = wait > REMINDER;
        self.change_order(Order::EndAt { due, reminds })
            .ok_or(Error::Stopping)?;
        self.notify(None, &Notice::drain_in(wait))
    }

    /// Takes the order back: newcomers are let in again, and pages are told. Returns how many games' pages were told.
    ///
    /// # Errors
    /// [`Error::NoDrain`] when there is no order, or it is being carried out.
    pub fn undo_drain(&self) -> Result<usize, Error> {
        match self.change_order(Order::None) {
            Some(Order::EndAt { .. }) => self.notify(None, &Notice::drain_undone()),
            _ => Err(Error::NoDrain),
        }
    }

    /// Replaces the order, and returns the former one. Returns none, and changes nothing, when that is being carried out.
    fn change_order(&self, new: Order) -> Option<Order> {
        let mut order = self.drain.order.lock();
        if *order == Order::End || self.is_stopping() {
            return None;
        }
        let old = mem::replace(&mut *order, new);
        drop(order);
        // The channel is full only when the thread is about to look anyway.
        let _ = self.drain.changed.try_send(());
        self.pool.wake();
        Some(old)
    }

    /// Carries out the order to end.
    fn end_all(&self) -> usize {
        let games = self.notify(None, &Notice::drain()).unwrap_or(0);
        if games > 0 && self.has_stopped_within(DRAIN_NOTICE) {
            // Another thread ends the process, and decides what happens to the games.
            return games;
        }
        match self.drain.on_drained.get() {
            Some(end) => end(),
            None => self.begin_stop(ShutdownMode::Drain),
        }
        games
    }

    /// Shows a notice on the pages of one game, or of all games. Returns on how many games' pages it is shown.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Over`].
    pub fn notify(&self, id: Option<SessionId>, notice: &Notice) -> Result<usize, Error> {
        let sessions = match id {
            Some(id) => vec![self.get(id)?],
            None => self.list(),
        };
        let alive = sessions
            .iter()
            .filter(|session| session.owner().is_some() && !session.snapshot().state.is_over());
        let told = alive.map(|session| session.hub.notify(notice)).count();
        match id {
            Some(_) if told == 0 => Err(Error::Over),
            _ => Ok(told),
        }
    }

    /// Shows an operator's own words on the pages of one game, or of all games. Returns on how many games' pages they are
    /// shown.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Over`].
    pub fn say(&self, id: Option<SessionId>, is_urgent: bool, text: &str) -> Result<usize, Error> {
        let level = if is_urgent {
            Level::Warning
        } else {
            Level::Info
        };
        self.notify(id, &Notice::operator(level, text))
    }
}

/// Starts the thread, which looks at the order again whenever it has changed. It returns when the manager stops.
pub(super) fn spawn(manager: Arc<Manager>) -> io::Result<JoinHandle<()>> {
    threads::spawn(threads::Kind::Drain, move || {
        loop {
            let now = Instant::now();
            // The lock is released before anything is done.
            let step = manager.drain.order.lock().next(now);
            let wait = match step {
                DrainStep::Wait(None) => LOOK_EVERY,
                DrainStep::Wait(Some(due)) => due.saturating_duration_since(now),
                DrainStep::Remind(left) => {
                    // All games are told, which can't fail.
                    let _ = manager.notify(None, &Notice::drain_in(left));
                    continue;
                }
                DrainStep::End => {
                    warn!("the drain that an operator has ordered begins");
                    manager.end_all();
                    continue;
                }
            };
            select! {
                recv(manager.drain.changes) -> _ => {},
                recv(manager.shutdown.stopped()) -> _ => return,
                default(wait) => {},
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_reminds_once_and_ends() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let due = at(600);
        let mut order = Order::EndAt { due, reminds: true };
        assert_eq!(order.next(now), DrainStep::Wait(Some(at(540))));
        assert_eq!(
            order.next(at(541)),
            DrainStep::Remind(Duration::from_secs(59))
        );
        assert_eq!(order.next(at(541)), DrainStep::Wait(Some(due)));
        assert_eq!(order.next(due), DrainStep::End);
        assert_eq!(
            (order, order.next(due)),
            (Order::End, DrainStep::Wait(None))
        );
        assert_eq!(Order::None.next(now), DrainStep::Wait(None));
    }
}
