//! Who waits in the line, and what the line tells of them: tickets, positions, and why there is no turn.
//!
//! Data only.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use uuid::Uuid;

/// A UUIDv4 that a client made up, and with which it asks for its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueTicket(Uuid);

/// Not a UUIDv4 in its usual form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUIDv4")]
pub struct NotATicket;

impl FromStr for QueueTicket {
    type Err = NotATicket;

    fn from_str(text: &str) -> Result<Self, NotATicket> {
        let uuid = Uuid::try_parse(text).map_err(|_| NotATicket)?;
        let is_usual = uuid.get_version_num() == 4 && uuid.to_string() == text;
        is_usual.then_some(Self(uuid)).ok_or(NotATicket)
    }
}

impl fmt::Display for QueueTicket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A client that wants a session, as far as the queue needs to know it.
#[derive(Clone, Copy)]
pub struct Newcomer<'a> {
    /// The shell that it wants; empty where the call is about no shell.
    pub shell: &'a str,
    /// The address it comes from, or the IPv6 /64; none for a client that no limit of addresses is meant for.
    pub household: Option<IpAddr>,
    /// Whether the player has just come into being, for this game.
    pub is_new_player: bool,
    /// The ticket with which it asks for its place, if it does.
    pub ticket: Option<QueueTicket>,
    /// Whether it no longer wants the session. Asked about once a second while it waits.
    pub has_left: &'a dyn Fn() -> bool,
}

impl Newcomer<'_> {
    /// A newcomer with no particulars that waits to the end.
    pub const PATIENT: Newcomer<'static> = Newcomer {
        shell: "",
        household: None,
        is_new_player: false,
        ticket: None,
        has_left: &|| false,
    };
}

/// The position of a newcomer in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuePosition {
    /// Its place; the next one's is 1.
    pub place: usize,
    /// How many newcomers wait altogether.
    pub waiting: usize,
    /// How long it will probably wait.
    pub estimate: Duration,
}

/// What the line knows about a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The line does not know it: its request is not in line yet, has been answered, or was never made.
    Unknown,
    /// Its newcomer waits for its turn.
    Waiting(QueuePosition),
    /// Its turn has come, and its container is being started.
    Starting,
}

/// Why a newcomer gets no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTurn {
    /// The most newcomers of its household that may wait do so already.
    HouseholdFull {
        /// How many of the household wait.
        waiting: usize,
        /// When those who wait now will have had their turns.
        retry_after: Duration,
    },
    /// The most newcomers that may wait do so already.
    Full {
        /// How many wait.
        waiting: usize,
        /// When those who wait now will have had their turns.
        retry_after: Duration,
    },
    /// Its turn did not come in time.
    TooLate {
        /// How long it has waited.
        waited: Duration,
        /// When those who still wait will have had their turns.
        retry_after: Duration,
    },
    /// It has left.
    Left {
        /// How long it has waited.
        waited: Duration,
    },
}

/// Why a newcomer can't join the line: the number given already wait, or are about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// That many of its household.
    OfHousehold(usize),
    /// That many newcomers altogether.
    OfAll(usize),
}
