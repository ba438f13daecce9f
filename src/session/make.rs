//! Makes a session: a place in the map first, then its container, then its thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Instant;

use log::{error, info, warn};

use super::calls::Newcomer;
use super::session::{Session, SessionId};
use super::state::Event;
use super::{Error, Manager, Shell, live, sandbox, spellbook};
use crate::auth;
use crate::engine::Attach;
use crate::engine::ContainerId;
use crate::terminal::hub::FIRST_SIZE;
use crate::terminal::{Close, Hub};

/// The pump's buffer is on the heap; the deepest call is one to the Engine.
const STACK_BYTES: usize = 256 * 1024;
/// What a new spellbook holds: nothing, the shell writes its own head.
const EMPTY_BOOK: &[u8] = b"";

impl Manager {
    /// Makes a session of the shell called `shell`, or of the default one. Blocks for about as long as a
    /// container's start takes, longer when others are being made.
    ///
    /// # Errors
    /// Any [`Error`] but `NotFound` and `StillEnding`; nothing is left behind then.
    pub fn new_session(self: &Arc<Self>, shell: Option<&str>) -> Result<Arc<Session>, Error> {
        self.new_session_for(Newcomer::PATIENT, shell)
    }

    /// The same, for somebody who may ask for their place in the queue, and may leave it.
    ///
    /// # Errors
    /// As [`Manager::new_session`].
    pub fn new_session_for(
        self: &Arc<Self>,
        newcomer: Newcomer<'_>,
        shell: Option<&str>,
    ) -> Result<Arc<Session>, Error> {
        let shell = self.shell(shell)?.clone();
        let session = self.reserve(&shell)?;
        let began = Instant::now();
        match self.make(newcomer, &session, &shell) {
            Ok(()) => {
                self.metrics
                    .sessions_created
                    .with_label_values(&[&shell.name])
                    .inc();
                info!(
                    "session={} shell={} started in {:?}",
                    session.id,
                    shell.name,
                    began.elapsed()
                );
                Ok(session)
            }
            Err(error) => {
                warn!(
                    "session={} shell={} could not be made: {error}",
                    session.id, shell.name
                );
                self.metrics.sessions_failed.inc();
                self.sessions.write().remove(&session.id);
                // Nobody can hold it yet; this only closes its books.
                let _ = session.step(Event::Failed);
                Err(error)
            }
        }
    }

    fn shell(&self, name: Option<&str>) -> Result<&Shell, Error> {
        let shells = &self.settings.shells;
        let found = match name {
            None => shells.first(),
            Some(name) => shells.iter().find(|shell| shell.name == name),
        };
        found.ok_or_else(|| Error::UnknownShell(name.unwrap_or_default().to_owned()))
    }

    /// Takes a place in the map, so that a limit is a limit however many come at once.
    fn reserve(self: &Arc<Self>, shell: &Shell) -> Result<Arc<Session>, Error> {
        let id = SessionId::random();
        let manager: Weak<Manager> = Arc::downgrade(self);
        let on_resize = move || {
            if let Some(manager) = manager.upgrade()
                && let Ok(session) = manager.get(id)
            {
                manager.queue_resize(&session);
            }
        };
        let hub = Arc::new(Hub::new(self.settings.terminal, Instant::now(), on_resize));
        let session = Arc::new(Session::new(id, &shell.name, auth::new_token(), hub));
        let mut sessions = self.sessions.write();
        if self.is_stopping() {
            return Err(Error::Stopping);
        }
        let alive = sessions
            .values()
            .filter(|session| !session.snapshot().state.is_over())
            .count();
        if alive >= self.settings.max_sessions {
            return Err(Error::Full {
                limit: self.settings.max_sessions,
            });
        }
        sessions.insert(id, Arc::clone(&session));
        Ok(session)
    }

    fn make(
        self: &Arc<Self>,
        newcomer: Newcomer<'_>,
        session: &Arc<Session>,
        shell: &Shell,
    ) -> Result<(), Error> {
        let (container, attach) = self.in_turn(newcomer, || self.make_container(session, shell))?;
        let thread = self
            .spawn_session(session, &container, attach)
            .inspect_err(|_| self.discard(&container))?;
        self.threads.lock().push(thread);
        if self.is_stopping() {
            // `drain` may have passed while we were creating. Already ordered is fine too.
            let _ = session.order_end(super::Reason::ServerStopped);
        }
        Ok(())
    }

    /// Creates, fills, attaches and starts the container; removes it again when any of that fails.
    fn make_container(
        &self,
        session: &Session,
        shell: &Shell,
    ) -> Result<(ContainerId, Attach), Error> {
        if self.is_stopping() {
            return Err(Error::Stopping);
        }
        let settings = &self.settings;
        let body = sandbox::container(
            session.id.0,
            &settings.instance,
            &shell.name,
            &shell.image,
            &settings.limits,
        );
        let container = match self
            .engine
            .create(&sandbox::container_name(session.id.0), &body)
        {
            Ok(container) => container,
            Err(error) if error.is_not_found() => return Err(Error::NoImage(shell.image.clone())),
            Err(error) => return Err(error.into()),
        };
        session.set_container(container.clone());
        let attach = self
            .fill_and_start(&container)
            .inspect_err(|_| self.discard(&container))?;
        Ok((container, attach))
    }

    fn fill_and_start(&self, container: &ContainerId) -> Result<Attach, Error> {
        let book = spellbook::pack(EMPTY_BOOK)?;
        // INVARIANT: before the start. `/home` is root's, so the player could never create the file, and
        // nothing else can ever be created beside it.
        self.engine.put_archive(container, sandbox::HOME, &book)?;
        // INVARIANT: before the start, or the first output is lost.
        let attach = self.engine.attach(container)?;
        self.engine.start(container)?;
        // DOCKER: a TTY starts at 0×0 below API 1.42. The shells ask again on SIGWINCH.
        if let Err(error) = self.engine.resize(container, FIRST_SIZE) {
            warn!("container={container} {error}");
        }
        Ok(attach)
    }

    /// Removes a container that no session needs. What the Engine keeps all the same, the sweep finds.
    fn discard(&self, container: &ContainerId) {
        if let Err(error) = self.engine.remove(container) {
            warn!("container={container} left for the sweep: {error}");
        }
    }

    fn spawn_session(
        self: &Arc<Self>,
        session: &Arc<Session>,
        container: &ContainerId,
        attach: Attach,
    ) -> Result<thread::JoinHandle<()>, Error> {
        session.step(Event::Ready)?;
        let (manager, session, container) =
            (Arc::clone(self), Arc::clone(session), container.clone());
        // 15 bytes are what Linux shows of a thread's name.
        let name = format!("s-{}", session.id).chars().take(15).collect();
        let body = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                live::run(&manager, &session, &container, attach)
            }));
            if outcome.is_err() {
                error!(
                    "session={} container={container} its thread panicked; the sweep removes it",
                    session.id
                );
                manager.metrics.panics.with_label_values(&["session"]).inc();
                session.hub.close(Close::EngineFailed);
                let _ = session.step(Event::ContainerGone);
            }
        };
        Ok(thread::Builder::new()
            .name(name)
            .stack_size(STACK_BYTES)
            .spawn(body)?)
    }

    /// Whether a labelled container is one that we know and take care of.
    pub(super) fn is_ours_alive(&self, session_id: &str) -> bool {
        let Ok(id) = session_id.parse::<SessionId>() else {
            return false;
        };
        self.get(id)
            .is_ok_and(|session| !session.snapshot().state.is_over())
    }
}
