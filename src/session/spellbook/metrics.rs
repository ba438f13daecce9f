//! The metrics of spellbooks: the result of looking at each, and what all of them take.

use prometheus::{IntCounter, IntGauge};

use super::slot::Kept;
use crate::metrics::{self, Counters, Label, Registry, whole};
use crate::session::store::Shelf;

/// The metrics of all spellbooks.
#[derive(Debug)]
pub struct Metrics {
    /// Spellbooks looked at, by result.
    pub(in crate::session) saves: Counters<Outcome>,
    /// Sessions whose book is not safe yet. Set at a scrape.
    pub unsafe_books: IntGauge,
    /// Players whose book is kept.
    pub players: IntGauge,
    /// Bytes that all books take.
    pub bytes: IntGauge,
    /// Bytes that all books may take.
    pub quota_bytes: IntGauge,
    /// Players whose book has expired.
    pub expired: IntCounter,
}

impl Metrics {
    /// Registers all metrics, at zero, on a registry.
    ///
    /// # Errors
    /// Only when a name is forbidden or taken, which a test would show.
    pub fn register(registry: &Registry) -> metrics::Result<Metrics> {
        Ok(Metrics {
            saves: registry.counters_by(
                "spellbook_saves_total",
                "Spellbooks looked at, by what came of it: saved, unchanged, not_a_book, no_room, later, failed.",
                "outcome",
                &Outcome::ALL,
            )?,
            unsafe_books: registry.gauge(
                "spellbooks_unsafe",
                "Sessions that have ended, or whose last save failed, and whose spellbook is not safe yet.",
            )?,
            players: registry.gauge(
                "spellbook_players",
                "Players of whom a spellbook is kept; counted twice an hour.",
            )?,
            bytes: registry.gauge(
                "spellbooks_stored_bytes",
                "What all spellbooks take, their versions in whole blocks of 4 KiB; counted twice an hour.",
            )?,
            quota_bytes: registry.gauge(
                "spellbooks_quota_bytes",
                "What all spellbooks may take (BOOKS_QUOTA); 0 for any number.",
            )?,
            expired: registry.counter(
                "spellbooks_expired_total",
                "Players without a login whose spellbook went because nobody had used it for BOOK_EXPIRY.",
            )?,
        })
    }

    /// Counts a look at a spellbook.
    pub(in crate::session) fn count_save(&self, outcome: impl Into<Outcome>) {
        self.saves.of(outcome.into()).inc();
    }

    /// Notes what all spellbooks take.
    pub fn note_shelf(&self, shelf: &Shelf) {
        self.players.set(whole(shelf.players));
        self.bytes.set(whole(shelf.bytes));
    }
}

/// The result of looking at a spellbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Outcome {
    /// The look succeeded.
    Kept(Kept),
    /// The Engine or the store failed.
    Failed,
}

impl Outcome {
    /// All outcomes.
    const ALL: [Outcome; 6] = [
        Outcome::Kept(Kept::Saved),
        Outcome::Kept(Kept::Unchanged),
        Outcome::Kept(Kept::NotABook),
        Outcome::Kept(Kept::NoRoom),
        Outcome::Kept(Kept::Later),
        Outcome::Failed,
    ];
}

impl From<Kept> for Outcome {
    fn from(kept: Kept) -> Self {
        Outcome::Kept(kept)
    }
}

impl Label for Outcome {
    fn label(self) -> &'static str {
        match self {
            Outcome::Kept(Kept::Saved) => "saved",
            Outcome::Kept(Kept::Unchanged) => "unchanged",
            Outcome::Kept(Kept::NotABook) => "not_a_book",
            Outcome::Kept(Kept::NoRoom) => "no_room",
            Outcome::Kept(Kept::Later) => "later",
            Outcome::Failed => "failed",
        }
    }
}
