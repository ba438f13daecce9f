//! The session's thread: it owns the container from its attach to its removal.
//!
//! The thread runs the hub's pump. When the pump ends it finds out why. When the shell has ended, it tells the pages and
//! removes the container. When an end was ordered, it kills and removes. When only the attach broke, it attaches again, as
//! often as it takes: a player's game is not given up because the Engine restarts. When the server stops, it leaves the
//! container to the next server. Nothing is removed before its spellbook is safe, or it is certain that there is none to
//! save or no room for it. After a panic the thread begins again
//! wherever it was ([`super::recover`]), so each part may find its work half done. A container for which the Engine does
//! not do what it is asked is set aside and tried again ([`super::quarantine`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::{debug, info, warn};

use super::quarantine::Kind;
use super::session::Session;
use super::spellbook::metrics::Outcome;
use super::state::{Event, Illegal, Reason, State};
use super::{Error, Manager};
use crate::engine::Attach;
use crate::engine::{self, ContainerId};
use crate::terminal::Close;
use crate::terminal::hub::ExitNote;

/// DOCKER: the attach ends up to 15 ms before the exit code is known (seen on 20.10); more under load.
const EXIT_CODE_WAIT: Duration = Duration::from_secs(2);
/// How long a container that seems to run may still be about to end, before the thread attaches again.
const LAST_BREATH: Duration = Duration::from_millis(250);

/// What happened to the container when its attach ended.
enum Fate {
    /// Its first process has ended.
    Ended { reason: Reason, code: i64 },
    /// The Engine no longer knows it.
    Gone,
    /// It runs; only the attach broke, and here is a new one.
    Attached(Attach),
    /// The server stops; the container stays for the next start.
    Left,
}

/// Runs a session from its first attach to its end.
pub(super) fn run(
    manager: &Manager,
    session: &Arc<Session>,
    container: &ContainerId,
    first: Option<Attach>,
) {
    // A session that is taken over is not expected to end at this moment.
    let mut is_taken_over = first.is_none();
    let mut next = first;
    let outcome = loop {
        if let Some(attach) = next.take() {
            pump(manager, session, attach);
        }
        match find_out(manager, session, container, is_taken_over) {
            Fate::Attached(again) => {
                let is_first = std::mem::take(&mut is_taken_over);
                // INVARIANT: before it is clear: once all are clear, the pool makes what it lacks.
                // A session whose thread had panicked may still wait there, or may have been handed to a player.
                let is_nobodys = session.owner().is_none();
                if is_first && is_nobodys && session.snapshot().state == State::Prewarmed {
                    manager.pool.give(session);
                }
                session.set_unclear(false);
                if !is_first {
                    info!(
                        "session={} container={container} attached again",
                        session.id
                    );
                    // An Engine that was killed may have been about to put a book in.
                    manager.queue_save(session);
                }
                next = Some(again);
            }
            Fate::Ended { reason, code } => break end(manager, session, container, reason, code),
            Fate::Gone => break vanish(manager, session),
            Fate::Left => {
                session.hub.close(Close::GoingAway);
                manager.leave(session);
                return;
            }
        }
    };
    if let Err(illegal) = outcome {
        // This is a fault in the server; the sweep removes what is left.
        warn!("session={} container={container} {illegal}", session.id);
    }
    session.hub.retire();
    let life = session.snapshot();
    let reason = life.reason.unwrap_or(Reason::Vanished);
    manager.metrics.lives.ended.of(reason).inc();
    info!(
        "session={} container={container} ended reason={} exit_code={} after={}s output_bytes={}",
        session.id,
        reason.as_str(),
        life.exit_code.map_or("-".into(), |code| code.to_string()),
        session.since().elapsed().as_secs(),
        session.hub.output_bytes(),
    );
}

fn pump(manager: &Manager, session: &Session, mut attach: Attach) {
    session.hub.connect_input(attach.input);
    if session.wants_redraw.load(Ordering::SeqCst) && manager.wanted_size(session).is_some() {
        manager.queue_resize(session);
    }
    let state = session.snapshot().state;
    if !matches!(state, State::Running | State::Prewarmed) || manager.is_leaving() {
        // The end was ordered before there was anything to hang up.
        session.hub.hang_up();
    }
    if let Err(cause) = session.hub.pump(&mut attach.output) {
        debug!("session={} attach broke: {cause}", session.id);
    }
    session.hub.disconnect_input();
}

/// Asks the Engine why the attach ended, until it answers.
fn find_out(
    manager: &Manager,
    session: &Session,
    container: &ContainerId,
    is_taken_over: bool,
) -> Fate {
    let name = container.to_string();
    loop {
        let is_ending = session.snapshot().state == State::Ending;
        if !is_ending && manager.is_leaving() {
            return Fate::Left;
        }
        let asked = if is_ending {
            manager
                .engine
                .kill(container)
                .and_then(|()| exit_of(manager, container, EXIT_CODE_WAIT))
        } else if is_taken_over {
            manager
                .adoptions
                .run(&session.shell, || take_over(manager, container))
        } else {
            look(manager, container)
        };
        match asked {
            Ok(fate) => {
                manager.mend(Kind::Container, &name);
                return fate;
            }
            Err(error) if error.is_not_found() => {
                manager.mend(Kind::Container, &name);
                return Fate::Gone;
            }
            Err(error) => {
                session.hub.engine_away();
                let wait = manager.set_aside(Kind::Container, &name, &error);
                if manager.is_grace_over_within(wait) {
                    return Fate::Left;
                }
            }
        }
    }
}

/// Finds out why the attach has ended of a container whose end was not ordered.
fn look(manager: &Manager, container: &ContainerId) -> Result<Fate, engine::Error> {
    if !manager.engine.inspect(container)?.state.running {
        return exit_of(manager, container, EXIT_CODE_WAIT);
    }
    match exit_of(manager, container, LAST_BREATH) {
        Err(engine::Error::TimedOut { .. }) => {}
        other => return other,
    }
    match attach_running(manager, container)? {
        Some(attach) => Ok(Fate::Attached(attach)),
        None => exit_of(manager, container, EXIT_CODE_WAIT),
    }
}

/// Attaches to a container of the server's last life, or finds out why that is not possible.
fn take_over(manager: &Manager, container: &ContainerId) -> Result<Fate, engine::Error> {
    match attach_running(manager, container)? {
        Some(attach) => Ok(Fate::Attached(attach)),
        None => exit_of(manager, container, EXIT_CODE_WAIT),
    }
}

/// Attaches to a container, unless it has ended.
fn attach_running(
    manager: &Manager,
    container: &ContainerId,
) -> Result<Option<Attach>, engine::Error> {
    let is_running = || Ok(manager.engine.inspect(container)?.state.running);
    // PODMAN: attach to a container that has ended prepares it for another start, and its exit code is forgotten.
    if !is_running()? {
        return Ok(None);
    }
    let attach = manager.engine.attach(container)?;
    // DOCKER: attach to a container that has ended answers 101 too and says nothing: look again.
    Ok(is_running()?.then_some(attach))
}

fn exit_of(
    manager: &Manager,
    container: &ContainerId,
    wait: Duration,
) -> Result<Fate, engine::Error> {
    let code = manager.engine.wait(container, wait)?;
    let state = manager.engine.inspect(container)?.state;
    if state.status == "removing" {
        // DOCKER: a removal by force kills first. Someone else removes it: this server has not begun to.
        return Ok(Fate::Gone);
    }
    let reason = match (state.oom_killed, code) {
        // DOCKER: `OOMKilled` says that something in the container was killed for memory at some time, not that it was the
        // shell.
        (true, 137) => Reason::OutOfMemory,
        (false, 137) => Reason::Killed,
        _ => Reason::Exited,
    };
    Ok(Fate::Ended { reason, code })
}

/// Does what is due when the shell has ended: tells the pages, then removes the container.
fn end(
    manager: &Manager,
    session: &Session,
    container: &ContainerId,
    reason: Reason,
    code: i64,
) -> Result<(), Illegal> {
    let state = match session.snapshot().state {
        // An earlier try has come this far, and panicked.
        state @ (State::Stopped | State::Saving) => state,
        _ => session.step_ended(reason, Some(code))?,
    };
    if state == State::Stopped {
        session.hub.finish(ExitNote {
            code: Some(code),
            reason: reason.as_str().into(),
        });
        session.step(Event::SaveBegan)?;
    }
    let is_safe = save(manager, session, container);
    if is_safe {
        session.note_book_safe();
    }
    if is_safe && remove(manager, session, container) {
        // INVARIANT: first the container, then its record: a container without a record would be taken for a stranger's.
        manager.forget_record(session.id, session.player());
        session.step(Event::Removed)?;
    } else {
        session.step(Event::ServerLeaves)?;
    }
    Ok(())
}

fn vanish(manager: &Manager, session: &Session) -> Result<(), Illegal> {
    if session.is_book_safe() && session.snapshot().state == State::Saving {
        // An earlier try has come this far, and panicked: it was this server that removed the container.
        manager.forget_record(session.id, session.player());
        session.step(Event::Removed)?;
        return Ok(());
    }
    session.step(Event::ContainerGone)?;
    session.hub.close(Close::EngineFailed);
    manager.forget_record(session.id, session.player());
    Ok(())
}

/// Saves the spellbook, however long the Engine and the store need. Returns whether it is safe.
fn save(manager: &Manager, session: &Session, container: &ContainerId) -> bool {
    let Some(owner) = session.owner() else {
        // No one has played in it.
        return true;
    };
    if session.book.lock().is_final {
        return true;
    }
    let name = container.to_string();
    loop {
        let kept = manager
            .engine
            .probe()
            .map_err(Error::from)
            .and_then(|()| manager.keep_book(session, container, &owner.player));
        match kept {
            Ok(kept) => {
                manager.mend(Kind::Container, &name);
                session.book.lock().is_final = true;
                manager.metrics.books.count_save(kept);
                return true;
            }
            // The container took its book with it; what was saved before stays.
            Err(Error::Engine(error)) if error.is_not_found() => return true,
            Err(error) => {
                manager.metrics.books.count_save(Outcome::Failed);
                let cause = format!("it stays until its book is safe: {error}");
                let wait = manager.set_aside(Kind::Container, &name, &cause);
                if manager.is_grace_over_within(wait) {
                    let id = session.id;
                    warn!(
                        "session={id} its book is not saved: its container is left to the next start: {error}"
                    );
                    return false;
                }
            }
        }
    }
}

/// Removes the container, however long the Engine needs. Returns whether it is gone.
fn remove(manager: &Manager, session: &Session, container: &ContainerId) -> bool {
    loop {
        match manager.remove_container(container) {
            Ok(()) => return true,
            Err(wait) if manager.is_grace_over_within(wait) => {
                warn!("session={} its container is left", session.id);
                return false;
            }
            Err(_) => {}
        }
    }
}
