//! Which shells can be started: what the Engine says about their images, and how the last tries ended.
//!
//! No threads of its own: the thread that wants to know has an image looked at, at most every few seconds; the thread that
//! makes a container notes the result. [`super::fitness`] decides what an image must be like, once for each image, by its
//! id: the name may mean another image tomorrow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use log::info;

use super::asked::Asked;
use super::quarantine::{Kind, tell};
use super::{Error, Manager, Session, Shell, fitness, sandbox};
use crate::engine;
use crate::engine::ContainerId;
use crate::locks::Mutex;

/// An image is looked at at most once in this time, however many threads want to know.
const LOOK_FOR: Duration = Duration::from_secs(2);
/// How long a result counts where the caller may not wait for a look.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// The most images for which it is remembered what is in their `/home`. Beyond that, they are looked into again.
const HOMES_MOST: usize = 64;

/// What is known about the catalogue's shells.
pub(super) struct Shells {
    /// The shells' images, by the shell's name. Each has its own answer, so that an image that can't be looked at hides no
    /// other.
    images: BTreeMap<String, Asked<Look>>,
    /// Why the content of an image's `/home` forbids using it, if it does, by the image's id. Held for moves only.
    homes: Mutex<BTreeMap<String, Option<String>>>,
}

/// An image as it was when it was looked at.
#[derive(Debug, Clone, Default)]
struct Look {
    /// Its id; none if the Engine did not tell.
    id: Option<String>,
    /// Why it can't be used; none if it can.
    unfit: Option<String>,
    /// Whether there was no image.
    is_missing: bool,
}

impl Shells {
    /// Makes a table in which nothing is known yet.
    pub(super) fn new(shells: &[Shell]) -> Shells {
        let ask = |shell: &Shell| (shell.name.clone(), Asked::new(LOOK_FOR));
        Shells {
            images: shells.iter().map(ask).collect(),
            homes: Mutex::default(),
        }
    }

    fn home(&self, image_id: &str) -> Option<Option<String>> {
        self.homes.lock().get(image_id).cloned()
    }

    fn note_home(&self, image_id: &str, cause: Option<String>) {
        let mut homes = self.homes.lock();
        if homes.len() >= HOMES_MOST {
            homes.clear();
        }
        homes.insert(image_id.to_owned(), cause);
    }
}

impl Manager {
    /// Why some shells can't be started, by name and for the log; empty when all can, as far as is known. A few seconds
    /// old at most. May ask the Engine.
    pub fn broken_shells(&self) -> BTreeMap<String, String> {
        let mut broken = self.shells_that_failed();
        for shell in &self.settings.shells {
            if let Some(cause) = self.look(shell).unfit {
                broken.insert(shell.name.clone(), of_image(shell, &cause));
            }
        }
        broken
    }

    /// The names of shells that could not be started a moment ago. Never asks the Engine: this is for pages, which must
    /// not wait.
    pub fn shells_known_broken(&self) -> BTreeSet<String> {
        let mut broken: BTreeSet<_> = self.shells_that_failed().into_keys().collect();
        for (shell, asked) in &self.shells.images {
            if asked
                .last(KNOWN_FOR)
                .is_some_and(|look| look.unfit.is_some())
            {
                broken.insert(shell.clone());
            }
        }
        broken
    }

    fn shells_that_failed(&self) -> BTreeMap<String, String> {
        let all = self.quarantine.list(Instant::now()).into_iter();
        all.filter(|aside| aside.kind == Kind::Shell)
            .map(|aside| (aside.name, aside.cause))
            .collect()
    }

    /// Looks at all images that were not looked at a moment ago.
    pub(super) fn look_at_images(&self) {
        for shell in &self.settings.shells {
            self.look(shell);
        }
    }

    fn look(&self, shell: &Shell) -> Look {
        match self.shells.images.get(&shell.name) {
            Some(asked) => asked.ask(|| self.look_at(shell)),
            // There is an entry for each shell of the catalogue.
            None => Look::default(),
        }
    }

    /// Has the image looked at again when it is wanted next.
    pub(super) fn forget_look(&self, shell: &Shell) {
        if let Some(asked) = self.shells.images.get(&shell.name) {
            asked.forget();
        }
    }

    fn look_at(&self, Shell { image, .. }: &Shell) -> Look {
        if self.images.lacks(image) || self.is_aside_for(Kind::Image, image).is_some() {
            // It is being loaded, or does not answer, which other checks report.
            return Look::default();
        }
        match self.engine.image(image) {
            Ok(found) => {
                self.mend(Kind::Image, image);
                let Some(found) = found else {
                    return Look {
                        unfit: Some("it is not on the Engine: load it".to_owned()),
                        is_missing: true,
                        id: None,
                    };
                };
                let id = bare(&found.id).to_owned();
                let home = || self.shells.home(&id).flatten();
                Look {
                    unfit: fitness::judge(&found.config).or_else(home),
                    is_missing: false,
                    id: Some(id),
                }
            }
            Err(error) => {
                // An Engine that is away is reported by another check.
                let is_its_own = matches!(
                    error,
                    engine::Error::TimedOut { .. } | engine::Error::Refused { .. }
                );
                if is_its_own {
                    self.set_aside(Kind::Image, image, &error);
                }
                Look::default()
            }
        }
    }

    /// Whether the session waits with an image whose name means another image by now.
    pub(super) fn is_of_old_image(&self, session: &Session) -> bool {
        let asked = self.shells.images.get(&session.shell);
        let now = asked.and_then(|asked| asked.last(KNOWN_FOR)?.id);
        match (session.image(), now) {
            (Some(its), Some(now)) => its != now,
            _ => false,
        }
    }

    /// Checks the image of a shell. Returns the image's id, if the Engine tells it.
    ///
    /// INVARIANT: before the shell's container is created. The volumes of an image that has some would be on the host's
    /// disk then.
    ///
    /// # Errors
    /// [`Error::ShellBroken`].
    pub(super) fn check_image(&self, shell: &Shell) -> Result<Option<String>, Error> {
        let look = self.look(shell);
        match look.unfit {
            // A missing image is left to the Engine to report: it may have come since.
            Some(cause) if !look.is_missing => Err(broken(shell, of_image(shell, &cause))),
            _ => Ok(look.id),
        }
    }

    /// Looks into a new container's `/home`, which is on the host's disk, unless that was done for this image before.
    ///
    /// DOCKER: the content of the image's `/home` is copied into the volume, with its owners, when the container is made.
    /// INVARIANT: before the start.
    ///
    /// # Errors
    /// [`Error::ShellBroken`]; [`Error::Engine`].
    pub(super) fn check_home(
        &self,
        shell: &Shell,
        image_id: Option<&str>,
        container: &ContainerId,
    ) -> Result<(), Error> {
        let cause = match image_id.and_then(|id| self.shells.home(id)) {
            Some(known) => known,
            None => {
                let found = self.look_into_home(container)?;
                if let Some(id) = image_id {
                    self.shells.note_home(id, found.clone());
                }
                found
            }
        };
        match cause {
            Some(cause) => Err(broken(shell, of_image(shell, &cause))),
            None => Ok(()),
        }
    }

    fn look_into_home(&self, container: &ContainerId) -> Result<Option<String>, Error> {
        // PODMAN: what is there before the first start is not what a player finds (4.3.1): it belongs to root afterwards.
        if self.engine.is_podman()? {
            return Ok(None);
        }
        let limit = fitness::HOME_LIMIT_BYTES;
        let archive = match self.engine.get_archive(container, sandbox::HOME, limit) {
            Err(engine::Error::Garbled { what, .. }) => {
                return Ok(Some(format!("its /home can't be looked into: {what}")));
            }
            archive => archive?,
        };
        Ok(match fitness::writable_in(&archive) {
            Ok(loose) => fitness::judge_home(&loose),
            Err(cause) => Some(format!("its /home can't be looked into: {cause}")),
        })
    }

    /// What a refused call for a container of this shell means: when the Engine will not take the container, however often
    /// it is asked, the Engine is well and the shell is not.
    pub(super) fn blame(&self, shell: &Shell, error: engine::Error) -> Error {
        match error.is_final() {
            true => broken(shell, error.to_string()),
            false => error.into(),
        }
    }

    /// Notes the result of making a container of this shell.
    pub(super) fn note_outcome(&self, shell: &str, outcome: Result<(), &Error>) {
        match outcome {
            Ok(()) => {
                if self.quarantine.mend_by_start(Kind::Shell, shell) {
                    info!("shell={shell} can be started again");
                }
            }
            Err(Error::ShellBroken { cause, .. }) => {
                self.set_aside(Kind::Shell, shell, cause);
            }
            // The shell is not at fault.
            Err(_) => {}
        }
    }

    /// Notes that a program ended by itself before any player could have used it.
    pub(super) fn note_short_life(&self, shell: &str, exit_code: i64) {
        let cause = format!("its program ends at once (exit code {exit_code})");
        let told = cause.clone();
        let now = Instant::now();
        let sentence = self
            .quarantine
            .fail_after_start(Kind::Shell, shell, cause, now);
        tell(Kind::Shell, shell, &told, sentence);
    }
}

/// An image's id in the form that all Engines use.
pub(super) fn bare(image_id: &str) -> &str {
    image_id.strip_prefix("sha256:").unwrap_or(image_id)
}

fn of_image(shell: &Shell, cause: &str) -> String {
    format!("its image {}: {cause}", shell.image)
}

fn broken(shell: &Shell, cause: String) -> Error {
    Error::ShellBroken {
        shell: shell.name.clone(),
        cause,
    }
}
