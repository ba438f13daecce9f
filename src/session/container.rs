//! Makes a session's container: created, filled with the book, attached and started, or removed again.
//!
//! Runs on the thread that creates the session.

use log::warn;

use super::session::Session;
use super::spellbook::archive;
use super::{Error, Manager, Shell, sandbox};
use crate::auth;
use crate::engine::{self, Attach, ContainerId};
use crate::terminal::hub::FIRST_SIZE;

impl Manager {
    /// What a shell's containers are made from now, as one word. A container with another word is stale.
    pub(super) fn policy(&self, shell: &str) -> String {
        let image = self
            .settings
            .shells
            .iter()
            .find(|known| known.name == shell)
            .map_or("", |shell| shell.image.as_str());
        let body = sandbox::container(
            uuid::Uuid::nil(),
            &self.settings.instance,
            shell,
            image,
            &self.settings.limits,
        );
        let mut text = serde_json::to_string(&body).unwrap_or_default();
        text += self.images.sources(image);
        auth::digest(&text).chars().take(16).collect()
    }

    /// Creates, fills, attaches and starts the container; removes it again when any of these steps fails.
    pub(super) fn make_container(
        &self,
        session: &Session,
        shell: &Shell,
        book: &[u8],
    ) -> Result<(ContainerId, Attach), Error> {
        if self.is_stopping() {
            return Err(Error::Stopping);
        }
        let (container, image_id) = self.create_container(session, shell)?;
        session.set_container(container.clone());
        let attach = self
            .check_home(shell, image_id.as_deref(), &container)
            .and_then(|()| self.fill_and_start(shell, &container, book))
            .inspect_err(|_| self.discard(&container))?;
        Ok((container, attach))
    }

    /// Creates the container from exactly the image that was judged: the image's name may mean another image by now.
    /// Returns the image's id, if it is known.
    fn create_container(
        &self,
        session: &Session,
        shell: &Shell,
    ) -> Result<(ContainerId, Option<String>), Error> {
        let settings = &self.settings;
        let name = sandbox::container_name(session.id.0);
        let create = |image_id: Option<&str>| {
            let image = image_id.unwrap_or(&shell.image);
            let body = sandbox::container(
                session.id.0,
                &settings.instance,
                &shell.name,
                image,
                &settings.limits,
            );
            self.engine.create(&name, &body)
        };
        let mut image_id = self.check_image(shell)?;
        let mut created = create(image_id.as_deref());
        if created.as_ref().is_err_and(engine::Error::is_not_found) {
            // The image was built anew since, and the old one removed. It is tried only once more: an Engine may answer so
            // for each image.
            self.forget_look(shell);
            image_id = self.check_image(shell)?;
            created = create(image_id.as_deref());
        }
        match created {
            Ok(container) => {
                if let Some(id) = &image_id {
                    session.set_image(id.clone());
                }
                Ok((container, image_id))
            }
            Err(error) if error.is_not_found() => Err(self.no_image(&shell.image)),
            Err(error) => Err(self.blame(shell, error)),
        }
    }

    fn fill_and_start(
        &self,
        shell: &Shell,
        container: &ContainerId,
        book: &[u8],
    ) -> Result<Attach, Error> {
        let book = archive::pack(book)?;
        // INVARIANT: before the start. `/home` belongs to root, so the player could never create the file, and nothing
        // else can ever be created beside it.
        self.engine.put_archive(container, sandbox::HOME, &book)?;
        // INVARIANT: before the start; otherwise the first output is lost.
        let attach = self.engine.attach(container)?;
        self.engine
            .start(container)
            .map_err(|error| self.blame(shell, error))?;
        // DOCKER: a TTY starts at 0×0 below API 1.42. The shells ask again on SIGWINCH.
        if let Err(error) = self.engine.resize(container, FIRST_SIZE) {
            warn!("container={container} {error}");
            // The container was not started, and its terminal would be silent for ever.
            if self.engine.inspect(container)?.state.status == "created" {
                return Err(engine::Error::Garbled {
                    call: engine::operation::CONTAINER_START,
                    what: "it was said to be started, and is not".into(),
                }
                .into());
            }
        }
        Ok(attach)
    }

    /// Removes a container that no session needs. If that fails, the sweep finds the container.
    pub(super) fn discard(&self, container: &ContainerId) {
        if let Err(error) = self.engine.remove(container) {
            warn!("container={container} left for the sweep: {error}");
        }
    }
}
