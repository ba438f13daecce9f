//! The sweeper thread (`sweeper`) removes containers of this instance that belong to no session, because a crash or an
//! outage has left them behind.
//!
//! A few workers share what it finds, for as long as that takes, so that a removal that hangs holds up only one of them. A
//! container that can't be removed is set aside and the others go on ([`super::quarantine`]).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{info, warn};

use super::metrics::Work;
use super::quarantine::Kind;
use super::sandbox::{INSTANCE_LABEL, SESSION_LABEL};
use super::{Error, Manager};
use crate::engine::ContainerId;
use crate::engine::types::ContainerSummary;
use crate::threads;

/// How often the Engine is asked for containers that belong to no session. A list takes 22 ms at 200 containers.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// The pause between two sweeps while something is left, or the Engine is away.
const SWEEP_RETRY: Duration = Duration::from_secs(2);
/// DOCKER: the Engine finishes what a client has asked it for even when the client has died since, so after a start
/// containers that no server waits for may still appear.
const LAST_LIFE_ECHO: Duration = Duration::from_secs(20);
/// So many that three removals that hang hold up no other.
const WORKERS: usize = 4;

/// The result of a sweep.
#[derive(Debug, Default, Clone, Copy)]
struct Swept {
    removed: usize,
    left: usize,
}

/// Starts the thread, which begins when the last life's sessions are taken over. It returns when the manager stops.
pub(super) fn spawn(manager: Arc<Manager>) -> io::Result<JoinHandle<()>> {
    threads::spawn(threads::Kind::Sweeper, move || {
        if !manager.wait_for_settling() {
            return;
        }
        let settled = Instant::now();
        loop {
            let pause = match sweep(&manager, &|| manager.is_stopping()) {
                Ok(swept) if swept.left == 0 && settled.elapsed() >= LAST_LIFE_ECHO => SWEEP_EVERY,
                Ok(_) => SWEEP_RETRY,
                Err(error) => {
                    manager.metrics.reaper.count_failure(Work::Sweep);
                    crate::warn_throttled!("sweep: {error}");
                    SWEEP_RETRY
                }
            };
            if manager.has_stopped_within(pause) {
                return;
            }
        }
    })
}

/// The sweep at the end of a drain, when no session is left: what is still there belongs to no session.
pub(super) fn last_sweep(manager: &Manager, deadline: Instant) {
    if let Err(error) = sweep(manager, &|| Instant::now() >= deadline) {
        warn!("the last sweep: {error}");
    }
}

fn sweep(manager: &Manager, is_over: &(dyn Fn() -> bool + Sync)) -> Result<Swept, Error> {
    let containers = manager
        .engine
        .list(&[(INSTANCE_LABEL, &manager.settings.instance)])?;
    // INVARIANT: a session enters the map before its container is created, so a container that is listed and not in the
    // map belongs to no session.
    let is_lost = |container: &&ContainerSummary| {
        !manager.is_ours_alive(session_of(container), &container.id)
    };
    let lost: Vec<_> = containers.iter().filter(is_lost).collect();
    let (next, removed, left) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let work = || {
        while let Some(container) = lost.get(next.fetch_add(1, Ordering::SeqCst))
            && !is_over()
        {
            match remove_lost(manager, container) {
                Ok(true) => removed.fetch_add(1, Ordering::SeqCst),
                Ok(false) => 0,
                Err(_) => left.fetch_add(1, Ordering::SeqCst),
            };
        }
    };
    thread::scope(|scope| {
        for index in 1..WORKERS.min(lost.len()) {
            // Without this thread the others do its work.
            let _ = threads::spawn_scoped(scope, threads::Kind::Sweeper, index, work);
        }
        work();
    });
    let swept = Swept {
        removed: removed.into_inner(),
        left: left.into_inner(),
    };
    if swept.removed > 0 {
        info!(
            "sweep: {} containers without a session removed",
            swept.removed
        );
    }
    Ok(swept)
}

fn session_of(container: &ContainerSummary) -> &str {
    let label = container.labels.get(SESSION_LABEL);
    label.map_or("", String::as_str)
}

/// The container is still there, and is tried again later.
struct Stays;

/// Saves the book of a container that belongs to no session, and removes the container. Returns whether there was anything
/// to do.
fn remove_lost(manager: &Manager, container: &ContainerSummary) -> Result<bool, Stays> {
    let (session_id, name) = (session_of(container), container.id.to_string());
    if manager.is_aside_for(Kind::Container, &name).is_some() {
        return Err(Stays);
    }
    let aside = |error: &Error| {
        manager.metrics.reaper.count_failure(Work::Sweep);
        manager.set_aside(Kind::Container, &name, error);
        Stays
    };
    // The list may be old, so the map is asked again.
    if manager.is_ours_alive(session_id, &container.id)
        || !is_still_there(manager, &container.id).map_err(|error| aside(&error))?
    {
        return Ok(false);
    }
    manager.metrics.reaper.leftovers_found.inc();
    // INVARIANT: first its book, then the container.
    manager
        .keep_lost_book(session_id, &container.id)
        .map_err(|error| aside(&error))?;
    if manager.remove_container(&container.id).is_err() {
        manager.metrics.reaper.count_failure(Work::Sweep);
        return Err(Stays);
    }
    forget_dead(manager, session_id);
    manager.metrics.reaper.leftovers_removed.inc();
    Ok(true)
}

/// Whether the Engine has the container even now. The list may be old: a session that ended since has removed its
/// container itself. INVARIANT: asked after [`Manager::is_ours_alive`], because a session is over only when its container
/// is removed.
fn is_still_there(manager: &Manager, container: &ContainerId) -> Result<bool, Error> {
    match manager.engine.inspect(container) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Has the store forget the record of a session that could not be ended as it should: the record may still be there.
fn forget_dead(manager: &Manager, session_id: &str) {
    let Ok(id) = session_id.parse() else { return };
    let session = manager.get(id).ok();
    let is_alive = session
        .as_ref()
        .is_some_and(|session| !session.snapshot().state.is_over());
    if !is_alive {
        manager.forget_record(id, session.as_ref().and_then(|session| session.player()));
    }
}

impl Manager {
    /// Whether a labelled container belongs to a session that this server knows and that is not over.
    pub(super) fn is_ours_alive(&self, session_id: &str, container: &ContainerId) -> bool {
        let session = session_id.parse().ok().and_then(|id| self.get(id).ok());
        session.is_some_and(|session| {
            // While the container is being created, the session does not know its id.
            let is_its = session.container().is_none_or(|its| its == container);
            is_its && !session.snapshot().state.is_over()
        })
    }

    /// Removes a container when it has its turn. A container that could not be removed before waits among others like it,
    /// and keeps no other call waiting.
    ///
    /// # Errors
    /// The time for which it is left alone now.
    pub(super) fn remove_container(&self, container: &ContainerId) -> Result<(), Duration> {
        let name = container.to_string();
        let calls = match self.quarantine.has_failed(Kind::Container, &name) {
            true => &self.slow_calls,
            false => &self.calls,
        };
        match calls.run("", || self.engine.remove(container)) {
            Ok(()) => {
                self.mend(Kind::Container, &name);
                Ok(())
            }
            Err(error) => Err(self.set_aside(Kind::Container, &name, &error)),
        }
    }

    /// Waits until the last life's sessions are taken over. Returns whether the server goes on.
    pub(super) fn wait_for_settling(&self) -> bool {
        self.settled
            .wait_unless(|| self.has_stopped_within(Duration::ZERO))
    }
}
