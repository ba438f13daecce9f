//! Sessions: one player, one container, one terminal each; from creation to removal.
//!
//! ```text
//!   http ──▶ Manager ── SessionMap ───▶ Session ── Hub ──▶ viewers
//!               │                          ▲
//!               ├─ create, start ──────────┤ session's thread (supervisor): pump, exit, removal
//!               ├─ reaper thread ──────────┤ which sessions are idle or over
//!               ├─ sweeper thread ─────────┤ containers that belong to no session
//!               ├─ frozen thread ──────────┤ containers that were paused
//!               ├─ resizer threads ────────┤ the newest size of each terminal, to the Engine
//!               ├─ saver threads ──────────┤ books that have changed, to the store
//!               ├─ pool threads ───────────┘ containers for players who are still to come
//!               ├─ drain thread: waits for the end that an operator has ordered
//!               ├─ librarian thread: counts all books together, and deletes those that expire
//!               └─ image threads: load the sandbox images in this binary into the Engine
//! ```
//!
//! * [`map`]: the sessions by their ids. * [`create`]: a session's beginning. * [`room`]: whether there may be one more.
//! * [`container`]: how its container is made. * [`state`]: its life, pure.
//! * [`supervisor`]: the session's thread. * [`recover`]: what happens when that thread panics.
//! * [`reaper`]: the decisions, pure, and the thread that acts. * [`worklist`]: sessions that wait for a saver or a resizer.
//! * [`shutdown`]: the end of the process, as sessions see it.
//! * [`spellbook`]: players' books, between containers and the store.
//! * [`adopt`]: takes over what the server's last life left. * [`settled`]: whether that is done. * [`pool`]: containers
//!   made ahead.
//! * [`admission`]: the line for the Engine, and how long it takes. * [`rates`]: how often a player or an address may
//!   start a game.
//! * [`bundle`], [`images`]: the sandbox images in this binary, and how the Engine gets them.
//! * [`shells`]: which shells can be started. * [`health`], [`readiness`]: whether a game can be started.
//! * [`quarantine`]: sets aside what fails. * [`fitness`]: what an image must be like. * [`sweep`]: removes what belongs
//!   to no session.
//! * [`frozen`]: containers that are paused. * [`fleet`]: what changes where this server is one of several.
//! * [`watch`]: links for spectators. * [`sandbox`]: what a container may do.
//! * [`stats`]: what containers use, while an operator looks. * [`history`]: the last hour. * [`drain`]: the end as an
//!   operator orders it.
//! * [`metrics`]: what is counted. * [`revoked`]: players whose logins an operator has ended. * [`store`]: what outlives
//!   the process.
//!
//! This module knows nothing of HTTP servers and WebSockets.

pub mod admission;
pub mod adopt;
mod asked;
pub mod bundle;
mod container;
mod create;
mod drain;
pub mod error;
pub mod fitness;
mod fleet;
mod frozen;
mod health;
mod history;
pub mod ids;
pub mod images;
mod map;
pub mod metrics;
pub mod pool;
pub mod quarantine;
pub mod rates;
mod readiness;
pub mod reaper;
mod recover;
mod resizer;
mod revoked;
mod room;
pub mod sandbox;
#[allow(clippy::module_inception)] // The module's one word, as everywhere else.
mod session;
mod settings;
mod settled;
pub mod shells;
mod shutdown;
pub mod spellbook;
pub mod state;
mod stats;
pub mod store;
mod supervisor;
mod sweep;
pub mod watch;
mod worklist;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use admission::calls::{Newcomer, QueuePosition, QueueTicket, Standing};
pub use create::NewSession;
pub use drain::LONGEST_DRAIN;
pub use error::Error;
pub use history::{SAMPLE_EVERY, Sample};
pub use ids::{HomeNumber, NotAHome, NotAnId, SessionId};
pub use metrics::Metrics;
pub use readiness::{NotOpen, NotReady};
pub use session::{Session, Snapshot};
pub use settings::{Settings, Shell};
pub use shutdown::{Grace, ShutdownMode};
pub use state::{Reason, State, Status};
pub use watch::WATCH_LINK_LIFE;

use crate::auth::CookieKey;
use crate::auth::PlayerId;
use crate::engine::{Engine, EventsCloser};
use crate::locks::{Mutex, RwLock};
use crate::terminal::Close;
use crate::terminal::hub::Arrival;
use crate::terminal::typists::Typists;
use crate::terminal::viewer_handle::{NoViewer, ViewerHandle};
use admission::calls::Calls;
use admission::line;
use bundle::Bundled;
use drain::Drain;
use health::Health;
use images::Images;
use map::SessionMap;
use pool::Pool;
use quarantine::Quarantine;
use rates::Rates;
use revoked::Revoked;
use settled::Settled;
use shells::Shells;
use shutdown::Shutdown;
use spellbook::ledger::Ledger;
use spellbook::{requests, saver, shelf};
use store::{Holder, SessionStore};
use watch::WatchLinks;
use worklist::WorkList;

/// How many create, start and remove calls run at the same time; see [`admission::calls`].
const ENGINE_CALLS_AT_ONCE: usize = 4;
/// How many calls run at the same time for containers that could not be removed before.
const SLOW_CALLS_AT_ONCE: usize = 2;
/// How many containers of the last life are attached to at the same time. An attach is quick; the number leaves room for
/// some that hang.
const ADOPTIONS_AT_ONCE: usize = 16;
/// How long a newcomer waits until the last life's sessions are taken over.
const SETTLE_WAIT: Duration = Duration::from_secs(5);
/// How long `destroy` waits for the removal that it ordered.
const DESTROY_WAIT: Duration = Duration::from_secs(15);

/// All sessions of this server.
pub struct Manager {
    engine: Engine,
    store: Arc<dyn SessionStore>,
    settings: Settings,
    metrics: Metrics,
    typists: Arc<Typists>,
    sessions: SessionMap,
    /// The sessions' threads, joined by the reaper and by `stop`. Never held together with the session map.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The manager's other threads.
    workers: Mutex<Vec<JoinHandle<()>>>,
    watch_links: WatchLinks,
    revoked: Revoked,
    calls: Calls,
    /// Calls for containers that could not be removed before, so that they keep no other call waiting.
    slow_calls: Calls,
    /// Calls that attach to containers of the last life.
    adoptions: Calls,
    quarantine: Quarantine,
    /// Ends the stream of events. Held for moves only.
    events_closer: Mutex<Option<EventsCloser>>,
    /// Requests that read and write books. What the server saves by itself does not wait here.
    book_calls: Calls,
    images: Images,
    pool: Pool,
    rates: Rates,
    /// How much each household has written into the store.
    stored: Ledger,
    /// Sessions whose terminal may have another size than the container was told.
    resizes: WorkList,
    /// Sessions whose book may have changed.
    saves: WorkList,
    health: Health,
    shells: Shells,
    /// Whether the last life's sessions are taken over. Its waiters are woken when the server stops, too.
    settled: Settled,
    /// This server's number in its fleet; zero without one.
    home: AtomicU16,
    /// The lives of the fleet's servers that were buried.
    buried: RwLock<Vec<Holder>>,
    /// Whether the store is to be asked for all games whether they go on here, because this life of the server is another one
    /// now.
    has_rejoined: AtomicBool,
    /// The key of players' cookies; the store hands it over before the last life's sessions are taken over.
    cookie_key: OnceLock<CookieKey>,
    /// Records of sessions that are over and that the store has not forgotten yet, with their players. Never held together
    /// with the session map.
    stale_records: Mutex<BTreeMap<SessionId, Option<PlayerId>>>,
    drain: Drain,
    usage: stats::Usage,
    history: history::History,
    shutdown: Shutdown,
}

impl Manager {
    /// Starts all threads that are not one session's. Does not talk to the Engine yet, which may be unreachable.
    ///
    /// # Errors
    /// [`std::io::Error`] when the system gives no thread.
    pub fn start(
        engine: Engine,
        store: Arc<dyn SessionStore>,
        settings: Settings,
        bundle: Vec<Bundled>,
        metrics: Metrics,
    ) -> std::io::Result<Arc<Manager>> {
        // A session is on the list at most once, and still counts for a while after it is over.
        let most = settings.max_sessions.saturating_mul(2).max(16);
        let (usage, usage_list) = stats::Usage::new();
        let manager = Arc::new(Manager {
            engine,
            store,
            typists: Arc::default(),
            pool: Pool::default(),
            images: Images::new(bundle, &settings.shells),
            shells: Shells::new(&settings.shells),
            rates: Rates::new(settings.rate),
            stored: Ledger::default(),
            settings,
            metrics,
            sessions: SessionMap::default(),
            threads: Mutex::default(),
            workers: Mutex::default(),
            watch_links: WatchLinks::default(),
            revoked: Revoked::default(),
            calls: Calls::new(
                ENGINE_CALLS_AT_ONCE,
                line::WAITING_MAX,
                line::WAITING_PER_HOUSEHOLD,
            ),
            slow_calls: Calls::new(SLOW_CALLS_AT_ONCE, 0, 0),
            adoptions: Calls::new(ADOPTIONS_AT_ONCE, 0, 0),
            quarantine: Quarantine::default(),
            events_closer: Mutex::default(),
            book_calls: Calls::new(
                requests::REQUESTS_AT_ONCE,
                requests::REQUESTS_WAITING,
                requests::REQUESTS_WAITING_PER_HOUSEHOLD,
            ),
            resizes: WorkList::new(most),
            saves: WorkList::new(most),
            health: Health::default(),
            settled: Settled::default(),
            home: AtomicU16::new(0),
            buried: RwLock::default(),
            has_rejoined: AtomicBool::new(false),
            cookie_key: OnceLock::new(),
            stale_records: Mutex::default(),
            drain: Drain::default(),
            usage,
            history: history::History::default(),
            shutdown: Shutdown::default(),
        });
        let mut workers = vec![
            reaper::spawn(Arc::clone(&manager))?,
            sweep::spawn(Arc::clone(&manager))?,
            frozen::spawn(Arc::clone(&manager))?,
            stats::spawn(Arc::clone(&manager), usage_list)?,
            shelf::spawn(Arc::clone(&manager))?,
            drain::spawn(Arc::clone(&manager))?,
        ];
        workers.extend(resizer::spawn(&manager)?);
        workers.extend(saver::spawn(&manager)?);
        workers.extend(images::spawn(&manager)?);
        workers.extend(pool::spawn(&manager)?);
        *manager.workers.lock() = workers;
        Ok(manager)
    }

    /// The settings that the manager was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A session by its id. A session that is over is found too, for as long as it is remembered.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, id: SessionId) -> Result<Arc<Session>, Error> {
        self.sessions.get(id).ok_or_else(|| {
            // It may be a session that is still to be taken over.
            if self.is_settled() {
                Error::NotFound
            } else {
                Error::Starting
            }
        })
    }

    /// All sessions that are remembered, the oldest first.
    pub fn list(&self) -> Vec<Arc<Session>> {
        let mut sessions = self.sessions.all();
        // Each session is asked only once: its time may begin meanwhile, and then the order would contradict itself.
        sessions.sort_by_cached_key(|session| session.since());
        sessions
    }

    /// Adds a viewer to the session's terminal.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Over`], [`Error::TooManySpectators`].
    pub fn join_terminal(&self, id: SessionId, arrival: Arrival) -> Result<ViewerHandle, Error> {
        let session = self.get(id)?;
        let handle = session.hub.join(arrival).map_err(|no_seat| match no_seat {
            NoViewer::Closed(Close::GoingAway) => Error::Stopping,
            NoViewer::Closed(_) => Error::Over,
            NoViewer::Full => Error::TooManySpectators,
        })?;
        frozen::tell_newcomer(&session);
        Ok(handle)
    }

    /// Ends a session: its pages are closed, its container is removed, it is forgotten. Blocks until that has happened,
    /// for at most 15 s; the ordered end is carried out even when the call returns earlier.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::StillEnding`] when the Engine takes too long.
    pub fn destroy(&self, id: SessionId) -> Result<(), Error> {
        let session = self.get(id)?;
        let deadline = Instant::now() + DESTROY_WAIT;
        // An operator sees a session in the list while it is still being made.
        session.wait_until_made(deadline);
        if let Err(illegal) = session.order_end(Reason::Destroyed) {
            // It may have ended by itself a moment ago, which is what was asked for.
            if !session.snapshot().state.is_over() {
                return Err(illegal.into());
            }
        }
        if !session.wait_until_over(deadline) {
            return Err(Error::StillEnding(DESTROY_WAIT));
        }
        if session.snapshot().state == State::Kept {
            // The server stops, and leaves the session to its next life, which the client can ask again.
            return Err(Error::Stopping);
        }
        // When two callers destroy a session at the same time, only one of them has destroyed it.
        self.sessions.remove(id).map(drop).ok_or(Error::NotFound)
    }

    /// Ends all games that run, as [`Manager::destroy`] ends one. Returns how many have ended in time, and how many are
    /// still to end.
    pub fn destroy_all(&self) -> (usize, usize) {
        let sessions = self.sessions.all().into_iter();
        let ordered: Vec<_> = sessions
            .filter(|session| session.owner().is_some())
            // Illegal for a session that is over, and for one that is still being made.
            .filter(|session| session.order_end(Reason::Destroyed).is_ok())
            .collect();
        let deadline = Instant::now() + DESTROY_WAIT;
        let ended = ordered.iter().filter(|session| {
            // An operator may ask again to end a session that a stop has left to the next life.
            let is_over =
                session.wait_until_over(deadline) && session.snapshot().state != State::Kept;
            if is_over {
                self.sessions.remove(session.id);
            }
            is_over
        });
        let ended = ended.count();
        (ended, ordered.len() - ended)
    }

    /// When the session ends if no one types any more.
    pub fn expires_in(&self, session: &Session, now: Instant) -> Duration {
        let idle_left = self.settings.idle_timeout.saturating_sub(session.idle(now));
        let life_left = self
            .settings
            .max_lifetime
            .map(|life| life.saturating_sub(session.age(now)));
        life_left.map_or(idle_left, |life_left| life_left.min(idle_left))
    }

    /// The disk on which the store keeps things, if it keeps them on a disk and can tell.
    pub fn disk(&self) -> Option<store::Disk> {
        self.store.disk().ok().flatten()
    }

    /// The key of players' cookies, once the store has handed it over.
    ///
    /// # Errors
    /// [`Error::Starting`].
    pub fn cookie_key(&self) -> Result<&CookieKey, Error> {
        self.cookie_key.get().ok_or(Error::Starting)
    }

    /// Whether this player is known, which means: has a session or a book.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn knows(&self, player: &PlayerId) -> Result<bool, Error> {
        let has_session = self.sessions_of(player).next().is_some();
        Ok(has_session || self.store.load_book(player)?.is_some())
    }

    /// All sessions of a player that are remembered.
    pub fn sessions_of(&self, player: &PlayerId) -> impl Iterator<Item = Arc<Session>> {
        let is_theirs = move |session: &Arc<Session>| {
            session.owner().is_some_and(|owner| owner.player == *player)
        };
        self.list().into_iter().filter(is_theirs)
    }

    /// Whether the sessions of the server's last life are taken over.
    pub fn is_settled(&self) -> bool {
        self.settled.is_settled()
    }

    /// Waits until the sessions of the server's last life are taken over, for at most a few seconds.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Store`] when that is why it takes longer; otherwise [`Error::Starting`].
    pub fn wait_until_settled(&self) -> Result<(), Error> {
        if self.settled.wait_until(Instant::now() + SETTLE_WAIT) {
            return Ok(());
        }
        // The error names what is to blame: the Engine or the store.
        self.engine.ping()?;
        self.store.check()?;
        Err(Error::Starting)
    }

    /// How many sessions are not over.
    pub fn count_alive(&self) -> usize {
        self.sessions
            .count(|session| !session.snapshot().state.is_over())
    }
}
