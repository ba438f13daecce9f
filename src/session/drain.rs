//! Notices from the operator, and the end that an operator orders: newcomers are turned away, the pages told, and a
//! moment later all games are saved and removed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Error, Farewell, Manager, SessionId};
use crate::terminal::frame::{Level, Notice};

/// How long pages show that the end is near before it comes.
const DRAIN_NOTICE: Duration = Duration::from_secs(2);

impl Manager {
    /// Whether newcomers are turned away, because the server ends or is about to.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst) || self.is_stopping()
    }

    /// Says what ends the process once [`Manager::drain`] was asked for. Without it the server stays, drained.
    pub fn on_drained(&self, end: impl Fn() + Send + Sync + 'static) {
        // Said once, by `main`.
        let _ = self.on_drained.set(Box::new(end));
    }

    /// Turns newcomers away, tells every page, and after a moment ends all games and the process. Blocks for that
    /// moment. Returns how many games that were; none if it was ordered already.
    pub fn drain(&self) -> usize {
        if self.is_draining.swap(true, Ordering::SeqCst) {
            return 0;
        }
        let games = self.notify(None, &Notice::drain()).unwrap_or(0);
        if games > 0 && self.has_stopped_within(DRAIN_NOTICE) {
            // Somebody else ends the process, and decides what becomes of the games.
            return games;
        }
        match self.on_drained.get() {
            Some(end) => end(),
            None => self.begin_stop(Farewell::Drain),
        }
        games
    }

    /// Says something on one game's pages, or on all. Returns on how many games'.
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

    /// The same with an operator's own words.
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
