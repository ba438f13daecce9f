//! One session: who it is, where it is in its life, and its terminal.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::ids::SessionId;
use super::spellbook::slot::BookSlot;
use super::state::{Event, Illegal, Reason, State};
use super::worklist::IsListed;
use crate::auth;
use crate::auth::{Owner, PlayerId};
use crate::engine::{ContainerId, Size};
use crate::locks::{Condvar, Mutex};
use crate::terminal::{Close, Hub};

/// One player's game.
pub struct Session {
    /// Its id, fixed at creation.
    pub id: SessionId,
    /// The shell's name in the catalogue.
    pub shell: String,
    /// Its terminal.
    pub hub: Arc<Hub>,
    /// When it was made, or taken over by this life of the server.
    pub made: Instant,
    /// When its player's game was ready. Neither its idle time nor its age runs before that.
    begun: OnceLock<Begun>,
    owner: OnceLock<Owner>,
    container: OnceLock<ContainerId>,
    /// The id of the image that it was made from, if that is known.
    image: OnceLock<String>,
    /// Whether its container was paused.
    is_paused: AtomicBool,
    /// What is known about its spellbook, and which thread has its turn with it.
    pub(super) book: BookSlot,
    /// Guards where the session is in its life. Held for moments, never across an Engine call.
    life: Mutex<Life>,
    /// Notified of every step.
    stepped: Condvar,
    /// Whether the resizer has it on its list.
    pub(super) is_resize_queued: IsListed,
    /// The size the container has. Guards nothing else.
    pub(super) applied_size: Mutex<Option<Size>>,
    /// The ending that the player was last warned about. Guards nothing else.
    warned_of: Mutex<Option<Reason>>,
    /// Whether the saver has it on its list.
    pub(super) is_save_queued: IsListed,
    /// Whether the shell should draw its line again when the page's size is known, because the screen was lost.
    pub(super) wants_redraw: AtomicBool,
    /// The address its player last came from. Guards nothing else.
    peer: Mutex<Option<IpAddr>>,
    /// When the turn came to give the session to a player.
    turn: OnceLock<Instant>,
}

/// When a player's game was ready.
#[derive(Debug, Clone, Copy)]
struct Begun {
    /// As wall-clock time, for people and for the next life of the server.
    created_at: SystemTime,
    /// As monotonic time, for durations.
    since: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Life {
    state: State,
    reason: Option<Reason>,
    exit_code: Option<i64>,
    over_at: Option<Instant>,
    /// Whether the store has the book as the container has left it.
    is_book_safe: bool,
    /// Whether it was taken over and it is not yet known if its shell still runs.
    is_unclear: bool,
}

/// A session's life as it was at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// The state it is in.
    pub state: State,
    /// Why it ended or is about to end.
    pub reason: Option<Reason>,
    /// The shell's exit code, once it has one.
    pub exit_code: Option<i64>,
    /// When it was over.
    pub over_at: Option<Instant>,
}

impl Session {
    /// A session in state `creating`.
    pub(super) fn new(id: SessionId, shell: &str, hub: Arc<Hub>) -> Self {
        Self {
            id,
            shell: shell.to_owned(),
            hub,
            made: Instant::now(),
            begun: OnceLock::new(),
            owner: OnceLock::new(),
            container: OnceLock::new(),
            image: OnceLock::new(),
            is_paused: AtomicBool::new(false),
            book: BookSlot::default(),
            life: Mutex::new(Life {
                state: State::Creating,
                reason: None,
                exit_code: None,
                over_at: None,
                is_book_safe: false,
                is_unclear: false,
            }),
            stepped: Condvar::new(),
            is_resize_queued: IsListed::default(),
            applied_size: Mutex::new(None),
            warned_of: Mutex::new(None),
            is_save_queued: IsListed::default(),
            wants_redraw: AtomicBool::new(false),
            peer: Mutex::new(None),
            turn: OnceLock::new(),
        }
    }

    /// When its player's turn came: when it was taken from the pool for the player, or began to be made.
    pub fn turn(&self) -> Option<Instant> {
        self.turn.get().copied()
    }

    /// Notes that the session belongs to a player from now on, whoever that is.
    pub(super) fn note_turn(&self) {
        // A session that is put back and taken again keeps its first time. No player waits for it then.
        let _ = self.turn.set(Instant::now());
    }

    /// Whether its turn has come to have its container made.
    pub(super) fn has_turn(&self) -> bool {
        self.turn.get().is_some()
    }

    /// The player who owns it; none while it is prewarmed.
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.get()
    }

    /// The player, once it has an owner.
    pub(super) fn player(&self) -> Option<&PlayerId> {
        self.owner().map(|owner| &owner.player)
    }

    /// Whether `token` is its owner's secret.
    pub fn is_owned_by(&self, token: &str) -> bool {
        self.owner()
            .is_some_and(|owner| auth::is_same_secret(&auth::digest(token), &owner.token_hash))
    }

    /// Since when it has its player, or since when it exists if it has none.
    pub fn since(&self) -> Instant {
        self.begun.get().map_or(self.made, |begun| begun.since)
    }

    /// When its player's game was ready, as wall-clock time for people; nothing before that.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.begun.get().map(|begun| begun.created_at)
    }

    /// How old the game is. A game that is not ready yet does not age: its player may stand in line, or wait for the
    /// Engine.
    pub fn age(&self, now: Instant) -> Duration {
        if self.is_awaited() {
            return Duration::ZERO;
        }
        now.saturating_duration_since(self.since())
    }

    /// For how long no one has typed. The time in which its player still waits for it does not count either.
    pub fn idle(&self, now: Instant) -> Duration {
        if self.is_awaited() {
            return Duration::ZERO;
        }
        now.saturating_duration_since(self.hub.last_input())
    }

    /// Whether it has a player who does not have it yet.
    fn is_awaited(&self) -> bool {
        self.owner().is_some() && self.begun.get().is_none()
    }

    /// Notes that the game is ready: its player's time runs from now on.
    pub(super) fn start_clocks(&self, created_at: SystemTime) {
        let since = Instant::now();
        // INVARIANT: the idle time comes first. A session that waited in the pool was idle all the while, and would be
        // ended for that.
        self.hub.touch(since);
        // Only the first call counts, and there is only one.
        let _ = self.begun.set(Begun { created_at, since });
    }

    /// Notes that a game goes on after a restart of the server, as old as it was.
    pub(super) fn go_on_since(&self, created_at: SystemTime) {
        // A clock that was set back makes it younger; it never causes a panic.
        let age = created_at.elapsed().unwrap_or_default();
        let now = Instant::now();
        let since = now.checked_sub(age).unwrap_or(now);
        let _ = self.begun.set(Begun { created_at, since });
    }

    pub(super) fn set_owner(&self, owner: Owner) {
        // INVARIANT: called once, by the one thread that creates, claims or adopts the session.
        let _ = self.owner.set(owner);
    }

    /// Notes the address that its player comes from.
    pub fn note_peer(&self, peer: IpAddr) {
        *self.peer.lock() = Some(peer);
    }

    /// The address its player last came from, if one has.
    pub fn peer(&self) -> Option<IpAddr> {
        *self.peer.lock()
    }

    /// Its container, once there is one.
    pub fn container(&self) -> Option<&ContainerId> {
        self.container.get()
    }

    pub(super) fn set_container(&self, id: ContainerId) {
        // INVARIANT: called once, by the thread that creates the session.
        let _ = self.container.set(id);
    }

    /// The id of the image that it was made from, if that is known.
    pub(super) fn image(&self) -> Option<&str> {
        self.image.get().map(String::as_str)
    }

    pub(super) fn set_image(&self, id: String) {
        // INVARIANT: called once, by the thread that creates or adopts the session.
        let _ = self.image.set(id);
    }

    /// Whether its container was paused.
    pub(super) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::SeqCst)
    }

    /// Notes whether its container is paused. Returns whether that has changed.
    pub(super) fn note_paused(&self, is_paused: bool) -> bool {
        self.is_paused.swap(is_paused, Ordering::SeqCst) != is_paused
    }

    /// Whether it waits for a player, and runs.
    pub(super) fn may_be_claimed(&self) -> bool {
        self.snapshot().state == State::Prewarmed && !self.is_paused()
    }

    /// Where it is in its life now.
    pub fn snapshot(&self) -> Snapshot {
        let Life {
            state,
            reason,
            exit_code,
            over_at,
            ..
        } = *self.life.lock();
        Snapshot {
            state,
            reason,
            exit_code,
            over_at,
        }
    }

    /// Moves on in its life, as `event` says.
    pub(super) fn step(&self, event: Event) -> Result<State, Illegal> {
        self.step_with(event, |_| {})
    }

    /// Moves on because the shell ended. A reason that was decided earlier stays.
    pub(super) fn step_ended(
        &self,
        reason: Reason,
        exit_code: Option<i64>,
    ) -> Result<State, Illegal> {
        self.step_with(Event::ShellEnded, |life| {
            life.exit_code = exit_code;
            life.reason.get_or_insert(reason);
        })
    }

    fn step_with(&self, event: Event, also: impl FnOnce(&mut Life)) -> Result<State, Illegal> {
        let mut life = self.life.lock();
        let state = life.state.next(event)?;
        life.state = state;
        also(&mut life);
        if event == Event::ContainerGone {
            life.reason.get_or_insert(Reason::Vanished);
        }
        if state.is_over() {
            life.over_at.get_or_insert_with(Instant::now);
        }
        self.stepped.notify_all();
        Ok(state)
    }

    /// Orders the end. The session's thread, woken by the end of its attach, does all the rest. This call is therefore
    /// quick and needs no Engine. Several threads may make it at the same time: the first reason counts.
    pub fn order_end(&self, reason: Reason) -> Result<(), Illegal> {
        self.step_with(Event::EndWanted, |life| {
            if life.state == State::Ending {
                life.reason.get_or_insert(reason);
            }
        })?;
        self.hub.close(close_for(reason));
        self.hub.hang_up();
        Ok(())
    }

    /// Waits until it is over, until `deadline` at most. Returns whether it is.
    pub fn wait_until_over(&self, deadline: Instant) -> bool {
        self.wait_until(State::is_over, deadline)
    }

    /// Waits until it is no longer being made, until `deadline` at most. Returns whether it is so.
    pub(super) fn wait_until_made(&self, deadline: Instant) -> bool {
        self.wait_until(|state| state != State::Creating, deadline)
    }

    fn wait_until(&self, is_it: impl Fn(State) -> bool, deadline: Instant) -> bool {
        let mut life = self.life.lock();
        while !is_it(life.state) {
            if self.stepped.wait_until(&mut life, deadline).timed_out() {
                return is_it(life.state);
            }
        }
        true
    }

    /// Notes that the store has the book as the container has left it.
    pub(super) fn note_book_safe(&self) {
        self.life.lock().is_book_safe = true;
        self.stepped.notify_all();
    }

    /// Whether the store has the book as the container has left it.
    pub(super) fn is_book_safe(&self) -> bool {
        self.life.lock().is_book_safe
    }

    /// Notes whether it is still unknown if the shell runs.
    pub(super) fn set_unclear(&self, is_unclear: bool) {
        self.life.lock().is_unclear = is_unclear;
        self.stepped.notify_all();
    }

    /// Waits until `deadline` until it is known whether the shell runs. Returns whether it is known.
    pub(super) fn wait_until_clear(&self, deadline: Instant) -> bool {
        let is_unclear = |life: &mut Life| life.is_unclear && !life.state.is_over();
        let mut life = self.life.lock();
        self.stepped
            .wait_while_until(&mut life, is_unclear, deadline);
        !is_unclear(&mut life)
    }

    /// Waits until `deadline` for the save of a book that is due because the session ends. Returns whether none is due any
    /// more.
    pub(super) fn wait_for_last_save(&self, deadline: Instant) -> bool {
        let is_due = |life: &mut Life| {
            let is_ending = matches!(life.state, State::Ending | State::Stopped | State::Saving);
            !life.state.is_over() && (is_ending && !life.is_book_safe || life.is_unclear)
        };
        let mut life = self.life.lock();
        self.stepped.wait_while_until(&mut life, is_due, deadline);
        !is_due(&mut life)
    }

    /// Notes which ending its player is warned about, if any. Returns whether that has changed.
    pub(super) fn is_news(&self, warning: Option<Reason>) -> bool {
        std::mem::replace(&mut *self.warned_of.lock(), warning) != warning
    }
}

/// What the pages are told when a session is ended for `reason`.
fn close_for(reason: Reason) -> Close {
    match reason {
        Reason::Idle => Close::Idle,
        Reason::ServerStopped => Close::GoingAway,
        Reason::Destroyed | Reason::MaxLifetime | Reason::NotNeeded => Close::Destroyed,
        Reason::Vanished | Reason::InternalError => Close::EngineFailed,
        Reason::Moved => Close::Moved,
        Reason::Exited | Reason::Killed | Reason::OutOfMemory => Close::ShellEnded,
    }
}
