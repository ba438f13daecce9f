//! The resizer threads (`resizer-0` …): bring each terminal's newest size to the Engine.
//!
//! A page may report a million sizes a second. A session is on the list once, and the size that is sent is the newest at
//! that time. A resize takes a third of a millisecond (Engine 20.10), so the threads are a few only because one may hang:
//! that holds up one of them, for three seconds, and is set aside then.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use log::debug;

use super::quarantine::Kind;
use super::{Manager, Session, SessionId};
use crate::engine::{self, Size};
use crate::threads;

/// So many that three resizes which hang at the same moment hold up no other.
const THREADS: usize = 4;

/// Starts the threads. They return when the manager stops.
pub(super) fn spawn(manager: &Arc<Manager>) -> io::Result<Vec<JoinHandle<()>>> {
    threads::spawn_all(threads::Kind::Resizer, THREADS, |_| {
        let manager = Arc::clone(manager);
        move || {
            let stopped = manager.shutdown.stopped();
            manager
                .resizes
                .work_through(stopped, |id| resize(&manager, id));
        }
    })
}

impl Manager {
    /// Puts the session on the resizers' list, unless it is there already.
    pub(super) fn queue_resize(&self, session: &Session) {
        // When the list is full the reaper's next pass finds the session again.
        self.resizes.push(session.id, &session.is_resize_queued);
    }

    /// The size that the session's container should have and does not have yet, if any.
    pub(super) fn wanted_size(&self, session: &Session) -> Option<Size> {
        let wanted = session.hub.size()?;
        (*session.applied_size.lock() != Some(wanted)).then_some(wanted)
    }
}

fn resize(manager: &Manager, id: SessionId) {
    let Ok(session) = manager.get(id) else { return };
    let seen = session.hub.size();
    apply(manager, &session);
    // INVARIANT: only now, so that no two threads are at one terminal, where the older size might arrive last.
    session.is_resize_queued.take_off();
    // A newer size that came meanwhile did not queue the session.
    if session.hub.size() != seen {
        manager.queue_resize(&session);
    }
}

fn apply(manager: &Manager, session: &Session) {
    let id = session.id;
    let (Some(size), Some(container)) = (manager.wanted_size(session), session.container()) else {
        return;
    };
    let name = container.to_string();
    if manager.is_aside_for(Kind::Resize, &name).is_some() {
        // The reaper queues it again.
        return;
    }
    if session.wants_redraw.load(Ordering::SeqCst) && session.hub.input().stream().is_none() {
        // No page would show what is drawn. The thread that attaches queues it again.
        return;
    }
    if session.wants_redraw.swap(false, Ordering::SeqCst) {
        // The program draws anew only when the size changes; the right size follows immediately.
        let other = Size {
            rows: size.rows.saturating_sub(1).max(1),
            ..size
        };
        if let Err(error) = manager.engine.resize(container, other) {
            debug!("session={id} {error}");
        }
    }
    match manager.engine.resize(container, size) {
        Ok(()) => {
            *session.applied_size.lock() = Some(size);
            manager.mend(Kind::Resize, &name);
        }
        Err(error @ engine::Error::TimedOut { .. }) => {
            manager.set_aside(Kind::Resize, &name, &error);
        }
        // The container has just ended, or the Engine is away; the reaper queues it again if that matters.
        Err(error) => debug!("session={id} {error}"),
    }
}
