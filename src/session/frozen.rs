//! The thread (`frozen`) that is told by the Engine when one of this server's containers is frozen (`docker pause`) or
//! thawed: its player reads why nothing moves, and the pool gives the container to no player.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use log::{debug, info};

use super::sandbox::{INSTANCE_LABEL, SESSION_LABEL};
use super::{Manager, Session};
use crate::engine;
use crate::engine::types::Event;
use crate::terminal::frame::Notice;
use crate::threads;

/// The pause between two tries to subscribe, while the Engine is away.
const RETRY: Duration = Duration::from_secs(2);
/// PODMAN: its service does not end while it sends events, and accepts keys that go nowhere meanwhile (4.3.1). So its
/// containers are looked at now and then instead.
const PODMAN_EVERY: Duration = Duration::from_secs(10);

/// Starts the thread. It returns when the manager stops.
pub(super) fn spawn(manager: Arc<Manager>) -> io::Result<JoinHandle<()>> {
    threads::spawn(threads::Kind::Frozen, move || {
        if !manager.wait_for_settling() {
            return;
        }
        loop {
            let listened = match manager.engine.is_podman() {
                Ok(true) => look(&manager).map(|()| PODMAN_EVERY),
                Ok(false) => listen(&manager).map(|()| RETRY),
                Err(error) => Err(error),
            };
            let pause = listened.unwrap_or_else(|error| {
                debug!("containers that are frozen are noticed later: {error}");
                RETRY
            });
            if manager.has_stopped_within(pause) {
                return;
            }
        }
    })
}

/// Listens to events until the Engine ends them, or the manager does.
fn listen(manager: &Manager) -> Result<(), engine::Error> {
    let events = manager.engine.events(&ours(manager))?;
    *manager.events_closer.lock() = Some(events.closer());
    // INVARIANT: this is checked after the closer is there for `stop` to take: one of the two then sees the other.
    if manager.is_stopping() {
        return Ok(());
    }
    // INVARIANT: after the events have begun; otherwise what happens in between is missed.
    look(manager)?;
    for event in events {
        hear(manager, &event?);
    }
    Ok(())
}

fn ours(manager: &Manager) -> [(&str, &str); 1] {
    [(INSTANCE_LABEL, manager.settings.instance.as_str())]
}

fn look(manager: &Manager) -> Result<(), engine::Error> {
    for container in manager.engine.list(&ours(manager))? {
        if let Some(id) = container.labels.get(SESSION_LABEL) {
            note(manager, id, &container.id, container.state == "paused");
        }
    }
    Ok(())
}

fn hear(manager: &Manager, event: &Event) {
    let is_paused = match event.action.as_str() {
        "pause" => true,
        "unpause" => false,
        _ => return,
    };
    if let Some(id) = event.actor.attributes.get(SESSION_LABEL) {
        note(manager, id, &event.actor.id, is_paused);
    }
}

fn note(manager: &Manager, id: &str, container: &engine::ContainerId, is_paused: bool) {
    let session = id.parse().ok().and_then(|id| manager.get(id).ok());
    let Some(session) = session.filter(|session| session.container() == Some(container)) else {
        return;
    };
    if session.note_paused(is_paused) {
        let word = if is_paused { "frozen" } else { "thawed" };
        info!("session={} somebody has {word} its container", session.id);
        session.hub.notify(&notice(is_paused));
    }
}

fn notice(is_paused: bool) -> Notice {
    match is_paused {
        true => Notice::paused(),
        false => Notice::resumed(),
    }
}

/// Tells a viewer that joins a frozen game that it is frozen.
pub(super) fn tell_newcomer(session: &Session) {
    if session.is_paused() {
        session.hub.notify(&Notice::paused());
    }
}
