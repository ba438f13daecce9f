//! What a page tells its player in a sentence: warnings, trouble, an operator's words. Part of the wire language of
//! [`super::frame`].
//!
//! Data only.

use std::time::Duration;

use serde::Serialize;

/// How urgent a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nice to know.
    Info,
    /// The player should do something.
    Warning,
    /// Something the page asked for was refused.
    Error,
}

/// What a notice is about, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The session ends soon unless the player types.
    IdleWarning,
    /// The session ends soon, even if the player types.
    LifetimeWarning,
    /// The Engine does not answer, so the terminal stands still.
    EngineAway,
    /// The terminal goes on.
    EngineBack,
    /// Keys were lost.
    NotDelivered,
    /// The recording has reached its limit.
    RecordingFull,
    /// The spellbook is not kept: there is no room.
    NoRoomForBook,
    /// Two games of the player have changed the same spell.
    BooksDiffer,
    /// A size was refused.
    BadSize,
    /// An operator's message.
    Operator,
    /// An operator looks on.
    OperatorWatches,
    /// The server is about to end this and all other games.
    Drain,
    /// The drain was called off: the games go on.
    DrainUndone,
    /// The container was frozen from outside.
    Paused,
    /// The container was thawed.
    Resumed,
}

/// A sentence for a viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// What it is about.
    pub kind: Kind,
    /// How urgent it is.
    pub level: Level,
    /// The sentence.
    pub text: String,
    /// Seconds until the session ends, if this is a warning of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_in: Option<u64>,
}

impl Notice {
    /// The session ends in `seconds`, because no key was typed for long.
    pub fn idle_warning(seconds: u64) -> Self {
        let text = format!("This game ends in {seconds} s unless you press a key.");
        Self {
            ends_in: Some(seconds),
            ..Self::new(Kind::IdleWarning, Level::Warning, text)
        }
    }

    /// In `seconds` the session will have reached the longest lifetime.
    pub fn lifetime_warning(seconds: u64) -> Self {
        let text = format!(
            "This game ends in {seconds} s: it has lasted as long as a game may. Your spellbook is kept."
        );
        Self {
            ends_in: Some(seconds),
            ..Self::new(Kind::LifetimeWarning, Level::Warning, text)
        }
    }

    /// An operator's own words.
    pub fn operator(level: Level, text: &str) -> Self {
        Self::new(Kind::Operator, level, text)
    }

    /// An operator has sat down among the spectators.
    pub fn operator_watches() -> Self {
        let text = "An operator of this server is watching your game.";
        Self::new(Kind::OperatorWatches, Level::Info, text)
    }

    /// All games end in a moment.
    pub fn drain() -> Self {
        let text =
            "The server is being shut down: this game ends in a moment. Your spellbook is kept.";
        Self::new(Kind::Drain, Level::Warning, text)
    }

    /// All games end after `wait`.
    pub fn drain_in(wait: Duration) -> Self {
        let seconds = wait.as_secs().max(1);
        let text = match seconds {
            ..120 => format!("{seconds} s"),
            _ => format!("{} minutes", seconds / 60),
        };
        let text = format!(
            "The server is shut down in {text}: this game ends then. Your spellbook is kept."
        );
        Self {
            ends_in: Some(seconds),
            ..Self::new(Kind::Drain, Level::Warning, text)
        }
    }

    /// The drain that [`Notice::drain_in`] announced does not happen.
    pub fn drain_undone() -> Self {
        let text = "The server is not shut down after all: this game goes on.";
        Self::new(Kind::DrainUndone, Level::Info, text)
    }

    /// The attach broke and can't be made again yet.
    pub fn engine_away() -> Self {
        let text = "The game's engine does not answer; waiting for it.";
        Self::new(Kind::EngineAway, Level::Warning, text)
    }

    /// There is an attach again.
    pub fn engine_back() -> Self {
        let text = "The game's engine answers again.";
        Self::new(Kind::EngineBack, Level::Info, text)
    }

    /// The container was frozen from outside.
    pub fn paused() -> Self {
        let text = "Whoever runs this server has paused your game; it goes on when they let it.";
        Self::new(Kind::Paused, Level::Warning, text)
    }

    /// The container was thawed.
    pub fn resumed() -> Self {
        Self::new(Kind::Resumed, Level::Info, "Your game goes on.")
    }

    /// Keys that were typed while there was no attach were lost.
    pub fn not_delivered() -> Self {
        let text = "The game does not answer; what you typed was not delivered.";
        Self::new(Kind::NotDelivered, Level::Error, text)
    }

    /// Keys were lost because the game did not read, and as many as may wait were already waiting.
    pub fn not_read() -> Self {
        let text = "The game does not read its keys; what you typed last was not delivered.";
        Self::new(Kind::NotDelivered, Level::Error, text)
    }

    /// The recording is as long as it may be.
    pub fn recording_full() -> Self {
        let text = "The recording is full; it has ended.";
        Self::new(Kind::RecordingFull, Level::Warning, text)
    }

    /// Two games of the player have changed the same spell, or books that can't be joined.
    pub fn books_differ() -> Self {
        let text = "Another game of yours has changed the same in your spellbook: what this game has written counts now, \
                    and the other book is kept beside it, on the start page.";
        Self::new(Kind::BooksDiffer, Level::Warning, text)
    }

    /// The server keeps no more spellbooks of new players.
    pub fn no_room_for_book() -> Self {
        let text = "The server has no room for new players' spellbooks: yours is gone when this game ends.";
        Self::new(Kind::NoRoomForBook, Level::Warning, text)
    }

    pub(super) fn new(kind: Kind, level: Level, text: impl Into<String>) -> Self {
        Self {
            kind,
            level,
            text: text.into(),
            ends_in: None,
        }
    }
}
