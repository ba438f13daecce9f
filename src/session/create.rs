//! Makes a session: a place in the map first, then its container, then its thread.
//!
//! A player's session is claimed from the pool where one waits there; otherwise it is made from scratch. Either way its
//! record is stored before the player hears of it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use log::info;

use super::admission::calls::Newcomer;
use super::admission::line::InTurn;
use super::ids::SessionId;
use super::pool::Hope;
use super::quarantine::Kind;
use super::room::{check_line, those_playing};
use super::session::Session;
use super::state::{Event, Reason, State};
use super::store::{FORMAT, Phase, Record};
use super::{Error, Manager, Shell, recover};
use crate::auth::{self, Owner, PlayerId};
use crate::engine::{Attach, ContainerId};
use crate::logging;
use crate::terminal::Hub;
use crate::threads;
use crate::warn_throttled;

/// How long a player's new game waits for the book of the game before it.
const LAST_SAVE_WAIT: Duration = Duration::from_secs(5);

/// What a newcomer is given.
enum Allocation<'a> {
    /// It has a prewarmed session.
    Taken(Arc<Session>),
    /// It has a place in the map and one in line. The place in the map makes sure that a limit holds however many
    /// newcomers come at the same time.
    Reserved(Arc<Session>, Hope<'a>),
}

/// A session that was just made, for its owner.
pub struct NewSession {
    /// The session.
    pub session: Arc<Session>,
    /// The owner's secret. No one but the owner keeps it.
    pub token: String,
}

impl Manager {
    /// Makes a session of the shell called `shell`, or of the default one, with `player`'s spellbook in it. A prewarmed
    /// session takes milliseconds. Otherwise the call blocks for about as long as a container's start takes, and longer
    /// when others are being made.
    ///
    /// # Errors
    /// Any [`Error`] but `NotFound` and `StillEnding`. Nothing is left behind then.
    pub fn new_session(
        self: &Arc<Self>,
        newcomer: Newcomer<'_>,
        shell: Option<&str>,
        player: &PlayerId,
    ) -> Result<NewSession, Error> {
        let shell = self.shell(shell)?.clone();
        if self.is_draining() {
            return Err(Error::Stopping);
        }
        self.wait_until_settled()?;
        if let Some(household) = newcomer.household {
            let known = (!newcomer.is_new_player).then_some(player);
            self.check_rate(household, known)?;
            self.check_stored(household)?;
        }
        self.wait_for_image(&shell)?;
        let began = Instant::now();
        let token = auth::new_token();
        let owner = Owner {
            token_hash: auth::digest(&token),
            player: player.clone(),
            household: newcomer.household,
        };
        self.save_others(player);
        self.wait_for_last_saves(player)?;
        // A store that does not answer is known before a container is taken for this player.
        let book = self.book_of(player)?;
        self.use_aside(player);
        let newcomer = Newcomer {
            shell: &shell.name,
            ..newcomer
        };
        let (session, origin) = self.claim_or_make(newcomer, &shell, &owner, book)?;
        self.metrics.lives.count_created(&shell.name);
        info!(
            "session={} shell={} {origin} in {:?}",
            session.id,
            shell.name,
            began.elapsed()
        );
        Ok(NewSession { session, token })
    }

    /// Waits until the books of this player's games that are just ending are safe. Otherwise a player who leaves one game
    /// and immediately starts the next would begin with an older book. A container that fails is not waited for any
    /// longer.
    fn wait_for_last_saves(&self, player: &PlayerId) -> Result<(), Error> {
        let deadline = Instant::now() + LAST_SAVE_WAIT;
        for session in self.list() {
            let is_theirs = session.owner().is_some_and(|owner| owner.player == *player);
            if is_theirs && !session.wait_for_last_save(deadline) {
                // The error names what is to blame: the Engine or the store.
                self.engine.ping()?;
                self.store.check()?;
                let container = session.container().map(ToString::to_string);
                let has_failed = |name: String| self.quarantine.has_failed(Kind::Container, &name);
                if container.is_some_and(has_failed) {
                    // Its book is joined with the new game's as soon as it can be read.
                    warn_throttled!("session={} its player begins without its book", session.id);
                    continue;
                }
                return Err(Error::StillEnding(LAST_SAVE_WAIT));
            }
        }
        Ok(())
    }

    fn shell(&self, name: Option<&str>) -> Result<&Shell, Error> {
        let shells = &self.settings.shells;
        let found = match name {
            None => shells.first(),
            Some(name) => shells.iter().find(|shell| shell.name == name),
        };
        found.ok_or_else(|| Error::UnknownShell(name.unwrap_or_default().to_owned()))
    }

    /// Gives the owner a prewarmed session, or the next one that is made ahead, or one made for this newcomer: whichever
    /// is there first once all who came before have theirs.
    fn claim_or_make(
        self: &Arc<Self>,
        newcomer: Newcomer<'_>,
        shell: &Shell,
        owner: &Owner,
        mut book: Vec<u8>,
    ) -> Result<(Arc<Session>, &'static str), Error> {
        loop {
            let prewarmed = match self.take_or_reserve(shell, owner)? {
                Allocation::Taken(prewarmed) => prewarmed,
                Allocation::Reserved(session, hope) => {
                    let made = self.open_game(session.id, owner, &mut book).and_then(|()| {
                        self.make_or_receive(newcomer, &session, (shell, hope), &book)
                    });
                    match made.inspect_err(|error| self.unmake(&session, error))? {
                        None => return Ok((session, "made")),
                        Some(handed) => self.take_place_of(&session, handed, owner)?,
                    }
                }
            };
            if self.settle_claim(&prewarmed, owner, &mut book)? {
                return Ok((prewarmed, "claimed"));
            }
        }
    }

    /// Prepares a prewarmed session for the owner that it has now. Returns false when the session has ended meanwhile.
    fn settle_claim(
        &self,
        session: &Session,
        owner: &Owner,
        book: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        let Some(container) = session.container() else {
            return Ok(false);
        };
        if session.step(Event::Claimed).is_err() {
            // It ended while it waited; its thread does the rest.
            return Ok(false);
        }
        let created_at = SystemTime::now();
        // INVARIANT: stored before the book is put in, because otherwise another player could be given it after a crash;
        // and before the answer goes out.
        let claimed = self
            .open_game(session.id, owner, book)
            .and_then(|()| self.note_claim(session.id, owner, created_at))
            .and_then(|()| match book.as_slice() {
                b"" => {
                    self.note_book(session, b"");
                    Ok(())
                }
                book => {
                    self.put_book(session, container, book)?;
                    self.keep_base(session);
                    Ok(())
                }
            });
        if let Err(error) = claimed {
            warn_throttled!("session={} could not be claimed: {error}", session.id);
            // INVARIANT: no one has played in it. Saved late, its copy of the book would overwrite a newer one.
            session.book.lock().is_final = true;
            let _ = session.order_end(Reason::Destroyed);
            return Err(error);
        }
        session.start_clocks(created_at);
        self.bid_farewell_if_stopping(session);
        Ok(true)
    }

    fn note_claim(
        &self,
        id: SessionId,
        owner: &Owner,
        created_at: SystemTime,
    ) -> Result<(), Error> {
        // INVARIANT: the record names the book that the container has now, an empty one. After a crash before the player's
        // own book is put in, what the player learns there is carried into their book, and not taken for all that they
        // know.
        let name = auth::digest_bytes(b"");
        self.store.update(id, &mut |record| {
            record.book = Some(name.clone());
            record.phase = Phase::Claimed;
            record.player = Some(owner.player.clone());
            record.token_hash = Some(owner.token_hash.clone());
            record.created_at_ms = milliseconds(created_at);
        })?;
        Ok(())
    }

    /// A prewarmed session that belongs to the owner from now on; otherwise a place in the map and one in line.
    fn take_or_reserve(
        self: &Arc<Self>,
        shell: &Shell,
        owner: &Owner,
    ) -> Result<Allocation<'_>, Error> {
        let session = self.empty_session(self.new_id(), &shell.name);
        let mut sessions = self.sessions.write();
        if self.is_draining() {
            return Err(Error::Stopping);
        }
        let playing = those_playing(&sessions);
        if let Err(no_room) = self.check_room(&playing, owner) {
            drop(sessions);
            return Err(self.turn_away(&no_room));
        }
        if let Some(prewarmed) = self.pool.take(&shell.name) {
            prewarmed.set_owner(owner.clone());
            return Ok(Allocation::Taken(prewarmed));
        }
        if let Err(no_place) = check_line(&playing, owner) {
            drop(sessions);
            return Err(self.turned_away(self.calls.no_turn(no_place)));
        }
        session.set_owner(owner.clone());
        sessions.insert(session.id, Arc::clone(&session));
        Ok(Allocation::Reserved(
            session,
            self.pool.hope_for(&shell.name),
        ))
    }

    /// Gives the owner the session that was handed over, in place of the one that was still to be made.
    fn take_place_of(
        &self,
        reserved: &Session,
        handed: Arc<Session>,
        owner: &Owner,
    ) -> Result<Arc<Session>, Error> {
        let mut sessions = self.sessions.write();
        sessions.remove(&reserved.id);
        let is_draining = self.is_draining();
        if !is_draining {
            handed.set_owner(owner.clone());
        }
        drop(sessions);
        // No other thread holds it yet.
        let _ = reserved.step(Event::Failed);
        if self.store.is_shared() {
            // It has no record yet, but its game is open.
            self.forget_record(reserved.id, Some(&owner.player));
        }
        if is_draining {
            self.pool.give_back(handed);
            return Err(Error::Stopping);
        }
        Ok(handed)
    }

    /// Makes a session that waits for a player.
    ///
    /// # Errors
    /// As [`Manager::new_session`].
    pub(super) fn prewarm(self: &Arc<Self>, shell: &Shell) -> Result<Arc<Session>, Error> {
        let session = self.empty_session(self.new_id(), &shell.name);
        let mut sessions = self.sessions.write();
        if self.is_draining() {
            return Err(Error::Stopping);
        }
        sessions.insert(session.id, Arc::clone(&session));
        drop(sessions);
        // No newcomer waits for it.
        let made = self
            .calls
            .run(&shell.name, || self.make_container(&session, shell, b""));
        self.finish_making(&session, shell, made, b"")
            .inspect_err(|error| self.unmake(&session, error))?;
        Ok(session)
    }

    /// Removes a session that could not be made from the map and the store.
    fn unmake(&self, session: &Session, error: &Error) {
        warn_throttled!(
            "session={} shell={} could not be made: {error}",
            session.id,
            session.shell
        );
        self.metrics.lives.failed.inc();
        self.sessions.remove(session.id);
        // No other thread holds it yet.
        let _ = session.step(Event::Failed);
        self.forget_record(session.id, session.player());
    }

    /// A new session, which is in no list yet.
    pub(super) fn empty_session(self: &Arc<Self>, id: SessionId, shell: &str) -> Arc<Session> {
        let manager: Weak<Manager> = Arc::downgrade(self);
        let on_resize = move || {
            if let Some(manager) = manager.upgrade()
                && let Ok(session) = manager.get(id)
            {
                manager.queue_resize(&session);
            }
        };
        let hub = Hub::new(self.settings.terminal, Instant::now(), on_resize);
        let hub = hub
            .metered(Arc::clone(&self.metrics.terminals))
            .among(Arc::clone(&self.typists));
        let hub = Arc::new(hub);
        Arc::new(Session::new(id, shell, hub))
    }

    /// Makes the container when it is the newcomer's turn, unless a session is handed over first.
    fn make_or_receive(
        self: &Arc<Self>,
        newcomer: Newcomer<'_>,
        session: &Arc<Session>,
        (shell, hope): (&Shell, Hope<'_>),
        book: &[u8],
    ) -> Result<Option<Arc<Session>>, Error> {
        let make = || {
            session.note_turn();
            Ok(self.make_container(session, shell, book))
        };
        match self.in_turn(newcomer, hope, make)? {
            InTurn::Handed(handed) => Ok(Some(handed)),
            InTurn::Made(made) => self
                .finish_making(session, shell, made, book)
                .map(|()| None),
        }
    }

    /// Stores and starts a session whose container was made, and notes how the making ended.
    fn finish_making(
        self: &Arc<Self>,
        session: &Arc<Session>,
        shell: &Shell,
        made: Result<(ContainerId, Attach), Error>,
        book: &[u8],
    ) -> Result<(), Error> {
        self.note_outcome(&shell.name, made.as_ref().map(drop));
        let (container, attach) = made?;
        self.note_book(session, book);
        let created_at = SystemTime::now();
        let record = self.record_of(session, &container, created_at);
        let ready = self
            .store
            .insert(&record)
            .map_err(Error::from)
            .and_then(|()| {
                let next = match session.owner() {
                    Some(_) => {
                        session.start_clocks(created_at);
                        Event::Ready
                    }
                    None => Event::Prepared,
                };
                Ok(session.step(next)?)
            })
            .and_then(|_| self.spawn_session(session, &container, Some(attach)));
        ready.inspect_err(|_| self.discard(&container))?;
        self.bid_farewell_if_stopping(session);
        Ok(())
    }

    fn record_of(
        &self,
        session: &Session,
        container: &ContainerId,
        created_at: SystemTime,
    ) -> Record {
        let owner = session.owner();
        Record {
            format: FORMAT,
            revision: 1,
            session_id: session.id,
            instance: self.settings.instance.clone(),
            shell: session.shell.clone(),
            phase: match owner {
                Some(_) => Phase::Claimed,
                None => Phase::Prewarmed,
            },
            container: container.to_string(),
            policy: self.policy(&session.shell),
            player: owner.map(|owner| owner.player.clone()),
            token_hash: owner.map(|owner| owner.token_hash.clone()),
            created_at_ms: milliseconds(created_at),
            book: owner.and(session.book.lock().base.name().map(str::to_owned)),
            screen: None,
        }
    }

    /// Starts the session's thread. Without an attach the thread begins by finding out the state of the container.
    pub(super) fn spawn_session(
        self: &Arc<Self>,
        session: &Arc<Session>,
        container: &ContainerId,
        attach: Option<Attach>,
    ) -> Result<(), Error> {
        let (manager, session, container) =
            (Arc::clone(self), Arc::clone(session), container.clone());
        let thread = threads::spawn_one(threads::Kind::Session, session.id, move || {
            let _entered = logging::enter(&[("session", &session.id)]);
            recover::run(&manager, &session, &container, attach);
        })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Says farewell to a session that was made while the server began to stop.
    pub(super) fn bid_farewell_if_stopping(&self, session: &Session) {
        if self.is_stopping() && session.snapshot().state != State::Creating {
            self.bid_farewell(session);
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn milliseconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
