//! The queue for new sessions as the manager runs it: who waits for a turn at the Engine, what clients are told about it,
//! what is counted. The line itself is in [`crate::session::admission::calls`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::session::admission::calls::{Newcomer, NoTurn, QueueTicket, Served, Standing};
use crate::session::pool::Hope;
use crate::session::{Error, Manager, Session};

/// How long a newcomer waits for its turn at the Engine.
const TURN_WAIT: Duration = Duration::from_secs(30);
/// How many newcomers may wait. On a machine that starts 4 a second, the last of them gets its turn just within
/// [`TURN_WAIT`]. Each holds a connection and a thread.
pub(in crate::session) const WAITING_MAX: usize = 120;
/// How many newcomers of one household may wait: half of [`WAITING_MAX`], so that as many places are left for others. It is
/// more than may play from one address by default (50), because those may all come at the same time, as a class does.
pub(in crate::session) const WAITING_PER_HOUSEHOLD: usize = 60;

impl Manager {
    /// Runs `call`, which asks much of the Engine, when it is the newcomer's turn; does not run it when the pool hands
    /// over a session first. The pool does so only when no one before the newcomer waits for it.
    ///
    /// # Errors
    /// The error of `call`; [`Error::Busy`], [`Error::QueueFull`], [`Error::Left`], [`Error::Stopping`].
    pub(in crate::session) fn in_turn<T>(
        &self,
        newcomer: Newcomer<'_>,
        hope: Hope<'_>,
        call: impl FnOnce() -> Result<T, Error>,
    ) -> Result<InTurn<T>, Error> {
        // No newcomer need wait for a server that will start nothing any more.
        let has_left = || self.is_stopping() || (newcomer.has_left)();
        let newcomer = Newcomer {
            has_left: &has_left,
            ..newcomer
        };
        let (began, deadline) = (Instant::now(), Instant::now() + TURN_WAIT);
        let served = self.calls.turn_or(newcomer, deadline, &hope.handed);
        if served.is_ok() {
            let waited = began.elapsed().as_secs_f64();
            self.metrics.queue.wait.observe(waited);
        }
        match served {
            Ok(Served::Handed(session)) => Ok(InTurn::Handed(session)),
            // Both have come at the same time: the turn goes to the next one.
            Ok(Served::Turn(turn)) => match hope.give_up() {
                Some(session) => Ok(InTurn::Handed(session)),
                None => {
                    let made = call().map(InTurn::Made);
                    drop(turn);
                    made
                }
            },
            Err(_) if self.is_stopping() => Err(Error::Stopping),
            Err(no_turn) => Err(self.turned_away(no_turn)),
        }
    }

    /// Counts a newcomer that gets no turn, and returns what it is told.
    pub(in crate::session) fn turned_away(&self, no_turn: NoTurn) -> Error {
        self.metrics.queue.turned_away.of(no_turn.into()).inc();
        no_turn.into()
    }

    /// Where the newcomer with this ticket stands.
    pub fn queue_standing(&self, ticket: QueueTicket) -> Standing {
        self.calls.standing(ticket, Instant::now())
    }

    /// How many newcomers wait.
    pub fn queue_length(&self) -> usize {
        self.calls.waiting()
    }
}

/// How the wait ended.
pub(in crate::session) enum InTurn<T> {
    /// What the call has made.
    Made(T),
    /// What the pool had.
    Handed(Arc<Session>),
}

impl From<NoTurn> for Error {
    fn from(no_turn: NoTurn) -> Self {
        match no_turn {
            NoTurn::Full {
                waiting,
                retry_after,
            } => Error::QueueFull {
                waiting,
                retry_after,
            },
            NoTurn::HouseholdFull {
                waiting,
                retry_after,
            } => Error::QueueAddressFull {
                waiting,
                retry_after,
            },
            NoTurn::TooLate {
                waited,
                retry_after,
            } => Error::Busy {
                waited,
                retry_after,
            },
            NoTurn::Left { waited } => Error::Left { waited },
        }
    }
}
