//! Why a session could not be had, or something not be done with one or with a book, for two readers: `Display` is for the operator, `player_message` for a stranger.

use std::io;
use std::time::Duration;

use super::ids::SessionId;
use super::state::Illegal;
use super::store;
use crate::engine;

/// What can go wrong with sessions.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No shell of that name is in the catalogue.
    #[error("no shell {0:?} in the catalogue")]
    UnknownShell(String),
    /// No session of that id is known.
    #[error("no such session")]
    NotFound,
    /// The session is over.
    #[error("the session is over")]
    Over,
    /// As many spectators watch as are allowed.
    #[error("too many spectators")]
    TooManySpectators,
    /// As many sessions run as are allowed.
    #[error("{limit} sessions run, as many as MAX_SESSIONS allows")]
    Full {
        /// `MAX_SESSIONS`.
        limit: usize,
        /// When the first of them ends by itself, if nobody types in it.
        retry_after: Duration,
    },
    /// The player has as many sessions as one player may have.
    #[error("the player has {limit} sessions, as many as SESSIONS_PER_PLAYER allows")]
    TooManySessions {
        /// `SESSIONS_PER_PLAYER`.
        limit: usize,
        /// The player's sessions, the oldest first.
        sessions: Vec<SessionId>,
        /// When the first of them ends by itself, if nobody types in it.
        retry_after: Duration,
    },
    /// The address has as many sessions as one address may have.
    #[error("the address has {limit} sessions, as many as SESSIONS_PER_ADDRESS allows")]
    AddressFull {
        /// `SESSIONS_PER_ADDRESS`.
        limit: usize,
        /// When the first of them ends by itself, if nobody types in it.
        retry_after: Duration,
    },
    /// As many requests as are allowed read and write the session's spellbook already.
    #[error("too many requests for one spellbook at once")]
    BookBusy,
    /// The address, or the player, has started too many sessions lately.
    #[error("too many sessions were started from one address or by one player")]
    RateLimited {
        /// When one more may be started.
        retry_after: Duration,
    },
    /// The address has put too much into the store lately.
    #[error("too much was put into the store from one address")]
    StoredTooMuch {
        /// When it may put more there.
        retry_after: Duration,
    },
    /// The turn at the Engine did not come in time.
    #[error("the Engine did not get to it within {waited:?}: too many containers are being made")]
    Busy {
        /// How long we waited.
        waited: Duration,
        /// When the queue should be through.
        retry_after: Duration,
    },
    /// As many newcomers wait for the Engine as are allowed.
    #[error("{waiting} wait for the Engine already, which is the limit")]
    QueueFull {
        /// How many wait.
        waiting: usize,
        /// When the queue should be through.
        retry_after: Duration,
    },
    /// As many newcomers from one address wait for the Engine as are allowed.
    #[error("{waiting} from one address wait for the Engine already, which is the limit")]
    QueueAddressFull {
        /// How many from that address wait.
        waiting: usize,
        /// When the queue should be through.
        retry_after: Duration,
    },
    /// The client that wanted the session hung up while it waited for the Engine.
    #[error("the client hung up after {waited:?} in the queue")]
    Left {
        /// How long we waited.
        waited: Duration,
    },
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The shell's image is not on the Engine.
    #[error(
        "image {0:?} is not on the Engine, and this binary does not bring it: load it, or run `make images`"
    )]
    NoImage(String),
    /// The shell's image is in this binary, and not on the Engine yet.
    #[error("image {0:?} is not on the Engine yet")]
    ImageNotLoaded(String),
    /// The shell can't be started for any player: its image or `RUNTIME` is at fault, not the Engine.
    #[error("shell {shell} can't be started: {cause}")]
    ShellBroken {
        /// Its name in the catalogue.
        shell: String,
        /// What the Engine says, or what is wrong with the image.
        cause: String,
    },
    /// The Engine failed us.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The system has no thread or descriptor left.
    #[error("out of threads or descriptors: {0}")]
    System(#[from] io::Error),
    /// A fault in our own code, which was stopped.
    #[error(transparent)]
    State(#[from] Illegal),
    /// The store failed us.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What lies in the spellbook's place is not a file, or is too big.
    #[error("there is no spellbook to read: {0}")]
    NotABook(String),
    /// What was uploaded is not a spellbook of any kind that the game's shells could read.
    #[error("what was uploaded is not text, and so no spellbook")]
    NotText,
    /// The Engine or the server ended while a spellbook was being put into the container, and only a part of it is there.
    #[error("the spellbook is in the container in part only")]
    BookInPart,
    /// The player has a running game, whose book would be saved over the new one.
    #[error("the player has a game that runs")]
    Playing,
    /// There is no drain that could be undone.
    #[error("no drain is pending")]
    NoDrain,
    /// The sessions of the server's last life have not been taken over yet.
    #[error("the sessions of before the start are not taken over yet")]
    Starting,
    /// The end was ordered, and has not come yet.
    #[error("the session was ordered to end, and has not within {0:?}")]
    StillEnding(Duration),
}

impl Error {
    /// What a stranger may read: one sentence that says what to do, and nothing about the host or the Engine.
    pub fn player_message(&self) -> String {
        match self {
            Error::UnknownShell(_) => "There is no such shell; choose one that the start page offers.".into(),
            Error::NotFound => "There is no such session; start a new game.".into(),
            Error::Over => "This session is over; start a new game.".into(),
            Error::TooManySpectators => "Too many are watching this game already; try again later.".into(),
            Error::TooManySessions { .. } => "You have as many games as a player may have; go on with one of them, or end one.".into(),
            Error::AddressFull { .. } => "As many games run from your address as may; end one of them, or try again in a little while.".into(),
            Error::BookBusy => "Your spellbook is being read or written already; try again in a moment.".into(),
            Error::RateLimited { .. } => "Too many games were started by you, or from your address; try again in a little while.".into(),
            Error::StoredTooMuch { .. } => "Too many large spellbooks were saved from your address; try again in a little while.".into(),
            Error::Full { .. } => "All places are taken; try again in a little while.".into(),
            Error::Busy { .. } | Error::QueueFull { .. } => "Too many games are being started right now; try again in a little while.".into(),
            Error::QueueAddressFull { .. } => "As many games are being started from your address as may at once; try again in a little while.".into(),
            Error::Left { .. } => "The connection was closed before the game was started.".into(),
            Error::Stopping => "The server is restarting; try again in a moment.".into(),
            Error::NoImage(_) => "This shell is not installed on the server; choose another one or tell its operator.".into(),
            Error::ImageNotLoaded(_) => "This shell is being installed on the server; try again in a moment.".into(),
            Error::ShellBroken { .. } => "This shell can't be started on the server; choose another one or tell its operator.".into(),
            Error::Engine(_) => "The server's container engine does not answer; try again in a little while.".into(),
            Error::System(_) => "The server is out of resources; try again in a little while.".into(),
            Error::State(_) => "Something went wrong on the server; try again.".into(),
            Error::Store(store::Error::NoRoom { .. }) => "The server has no room for new players' spellbooks; download yours to keep it, or tell the server's operator.".into(),
            Error::Store(store::Error::TooBig) => "A spellbook has at most 1 MiB.".into(),
            Error::Store(error @ store::Error::TooManyRevoked) => format!("{error}."),
            Error::Store(_) => "The server can't reach what it keeps; try again in a little while.".into(),
            Error::BookInPart => "Your spellbook is being put back in its place; try again in a moment.".into(),
            Error::NotABook(_) => "There is no spellbook in this game.".into(),
            Error::NotText => "That is no spellbook: a spellbook is text, in UTF-8. Nothing was changed.".into(),
            Error::Playing => "A game with this spellbook runs; end it first.".into(),
            Error::NoDrain => "There is no drain that could be undone.".into(),
            Error::Starting => "The server is starting; try again in a moment.".into(),
            Error::StillEnding(_) => "The session is being ended, which takes longer than usual.".into(),
        }
    }
}
