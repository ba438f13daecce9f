//! The resizer thread (`resizer`): brings each terminal's newest size to the Engine.
//!
//! A page may report a million sizes a second; a session is on the list once, and what is sent is the size
//! that is newest then. One thread for all: a resize takes a third of a millisecond (Engine 20.10).

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, select};
use log::debug;

use super::{Manager, SessionId};
use crate::engine::Size;

/// Starts the thread. It returns when the manager stops.
pub(super) fn spawn(
    manager: Arc<Manager>,
    list: Receiver<SessionId>,
) -> io::Result<JoinHandle<()>> {
    let stopped = manager.stopped.clone();
    thread::Builder::new()
        .name("resizer".into())
        .spawn(move || {
            loop {
                select! {
                    recv(list) -> id => match id {
                        Ok(id) => resize(&manager, id),
                        Err(_) => return,
                    },
                    recv(stopped) -> _ => return,
                }
            }
        })
}

fn resize(manager: &Manager, id: SessionId) {
    let Ok(session) = manager.get(id) else { return };
    // INVARIANT: before the size is read, so that a newer one queues the session again.
    session.is_resize_queued.store(false, Ordering::SeqCst);
    let (Some(size), Some(container)) = (manager.wanted_size(&session), session.container()) else {
        return;
    };
    if session.wants_redraw.swap(false, Ordering::SeqCst) {
        // The program draws anew only for a size that is another one; the right one follows at once.
        let other = Size {
            rows: size.rows.saturating_sub(1).max(1),
            ..size
        };
        if let Err(error) = manager.engine.resize(container, other) {
            debug!("session={id} {error}");
        }
    }
    match manager.engine.resize(container, size) {
        Ok(()) => *session.applied_size.lock() = Some(size),
        // The container has just ended, or the Engine is away; the reaper queues it again if it matters.
        Err(error) => debug!("session={id} {error}"),
    }
}
