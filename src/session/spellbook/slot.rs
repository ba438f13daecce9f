//! What a session knows about its book, and which thread has its turn with it. No I/O, and no thread of its own: savers,
//! the session's own thread and those of requests take turns ([`Turn`]).

use std::time::{Duration, Instant};

use crate::auth;
use crate::locks::{Condvar, Mutex, MutexGuard};
use crate::session::Error;

/// The most requests that wait for one book. A player has no use for two.
const MOST_WAITING: usize = 4;
/// How long a request waits: longer than the Engine's deadline for the call before it.
pub(super) const TURN_WAIT: Duration = Duration::from_secs(15);
/// A base that is bigger than this is not kept in memory, because each game has one.
const BASE_LIMIT_BYTES: usize = 64 * 1024;

/// The book that a container had when its book was put there or saved last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::session) enum Base {
    /// The book is not known.
    #[default]
    Unknown,
    /// The bytes with this SHA-256, according to the server's last life, unless it died before it had put them there.
    Left(String),
    /// The bytes with this SHA-256, too many to be kept here.
    Named(String),
    /// These bytes, and their SHA-256.
    Known(Box<[u8]>, String),
}

impl Base {
    /// A base of these bytes; only their name is kept when they are too many.
    pub(in crate::session) fn of(book: &[u8]) -> Base {
        let name = auth::digest_bytes(book);
        match book.len() {
            ..=BASE_LIMIT_BYTES => Base::Known(book.into(), name),
            _ => Base::Named(name),
        }
    }

    /// The SHA-256 of the base, if it is known.
    pub(in crate::session) fn name(&self) -> Option<&str> {
        match self {
            Base::Unknown => None,
            Base::Left(name) | Base::Named(name) | Base::Known(_, name) => Some(name),
        }
    }
}

/// What is known about a session's book.
#[derive(Debug, Default)]
pub(in crate::session) struct BookNotes {
    /// Whether a thread has its turn with the book: to save it or to put another one in its place.
    pub(super) is_busy: bool,
    /// How many requests wait for their turn.
    waiting: usize,
    /// What the container had when the book was put there or saved last.
    pub(in crate::session) base: Base,
    /// Size and time of the file when it was looked at last.
    pub(super) seen: Option<(i64, String)>,
    /// When it was looked at last.
    pub(in crate::session) checked: Option<Instant>,
    /// How many tries to save it have failed since the last success.
    pub(in crate::session) failures: u32,
    /// Whether the player was told that the book is not kept, for want of room.
    pub(in crate::session) is_told_of_no_room: bool,
    /// Whether the book is safe as it was at the session's end.
    pub(in crate::session) is_final: bool,
}

/// The result of saving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Kept {
    /// The store has a new version.
    Saved,
    /// The book had not changed.
    Unchanged,
    /// There is no book that could be saved.
    NotABook,
    /// There is no room for a new player's book.
    NoRoom,
    /// Another thread has the turn; the reaper's next pass finds the book again.
    Later,
}

/// A session's book, as the session knows it.
#[derive(Default)]
pub(in crate::session) struct BookSlot {
    /// Held for moves only.
    notes: Mutex<BookNotes>,
    /// Notified when a thread has stopped saving the book, or has failed to.
    free: Condvar,
}

impl BookSlot {
    /// What is known about the book.
    pub(in crate::session) fn lock(&self) -> MutexGuard<'_, BookNotes> {
        self.notes.lock()
    }

    /// Waits while `condition` holds, until `due` at the latest. Returns whether the time was up.
    pub(super) fn wait_while_until(
        &self,
        notes: &mut MutexGuard<'_, BookNotes>,
        condition: impl FnMut(&mut BookNotes) -> bool,
        due: Instant,
    ) -> bool {
        self.free
            .wait_while_until(notes, condition, due)
            .timed_out()
    }

    /// Wakes the threads that wait, so that they look again.
    pub(super) fn notify_all(&self) {
        self.free.notify_all();
    }
}

/// One thread's turn with a session's book. INVARIANT: without turns an older copy could overtake a newer one on its way
/// to the store. It is not a lock, because it is held across calls to the Engine, which have deadlines, and to the
/// store.
pub(in crate::session) struct Turn<'a>(&'a BookSlot);

impl<'a> Turn<'a> {
    /// Takes the turn, and waits for it as long as it takes.
    pub(super) fn take(slot: &'a BookSlot) -> Turn<'a> {
        let mut notes = slot.lock();
        slot.free.wait_while(&mut notes, |notes| notes.is_busy);
        notes.is_busy = true;
        Turn(slot)
    }

    /// Takes the turn unless another thread has it. This is for the saver, for which other sessions wait.
    pub(super) fn take_if_free(slot: &'a BookSlot) -> Option<Turn<'a>> {
        let mut notes = slot.lock();
        let is_free = !std::mem::replace(&mut notes.is_busy, true);
        is_free.then(|| Turn(slot))
    }

    /// Takes the turn for a request. A few requests of one session wait for each other; more are turned away.
    pub(super) fn take_asked(slot: &'a BookSlot) -> Result<Turn<'a>, Error> {
        let due = Instant::now() + TURN_WAIT;
        let mut notes = slot.lock();
        if notes.waiting >= MOST_WAITING {
            return Err(Error::BookBusy);
        }
        notes.waiting += 1;
        let waited = slot
            .free
            .wait_while_until(&mut notes, |notes| notes.is_busy, due);
        notes.waiting -= 1;
        if waited.timed_out() {
            return Err(Error::BookBusy);
        }
        notes.is_busy = true;
        Ok(Turn(slot))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().is_busy = false;
        self.0.free.notify_all();
    }
}
