//! Gives the Engine the images that this binary contains, so that no operator has to.
//!
//! One thread, `image-0` …, for each such image that the catalogue names: loading one may take minutes. At the start, and
//! whenever a container could not be made because its image was gone, the thread looks at the Engine and loads the image
//! if it is missing or is of another build. An image that fails is set aside ([`super::quarantine`]). Until the image is
//! there, games of its shell are refused and the server is not ready. A pure function, [`judge`], decides what to do; an
//! image without our label is an operator's own and is never touched.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use log::{info, warn};

use super::bundle::{Bundled, SOURCES};
use super::quarantine::Kind;
use super::{Error, Manager, Shell};
use crate::engine;
use crate::locks::{Condvar, Mutex};
use crate::threads;

/// How long a newcomer waits for an image: loading takes about a second.
const NEWCOMER_WAIT: Duration = Duration::from_secs(2);

/// How the image on the Engine compares with the one in this binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one in this binary.
    Current,
    /// There is no image of this name.
    Absent,
    /// Another build of ours has the name.
    Outdated,
    /// An image that is not ours has the name.
    Foreign,
}

/// What the labels of the image on the Engine, if there is one, mean for the image in this binary.
pub fn judge(labels: Option<&BTreeMap<String, String>>, sources: &str) -> Verdict {
    match labels.map(|labels| labels.get(SOURCES)) {
        None => Verdict::Absent,
        Some(None) => Verdict::Foreign,
        Some(Some(theirs)) if theirs == sources => Verdict::Current,
        Some(Some(_)) => Verdict::Outdated,
    }
}

/// The images that are in this binary and that the catalogue names.
pub(super) struct Images {
    bundle: Vec<Bundled>,
    /// The images that are not known to be on the Engine, and why the last try failed, if it did. Held for moves only.
    missing: Mutex<BTreeMap<String, Option<String>>>,
    changed: Condvar,
    /// Wakes the threads, in the order of the bundle. One place each is enough.
    alarms: Vec<(Sender<()>, Receiver<()>)>,
}

impl Images {
    /// Makes the table. Nothing is known about the Engine yet, so all images count as missing.
    pub(super) fn new(bundle: Vec<Bundled>, shells: &[Shell]) -> Images {
        let is_named = |bundled: &Bundled| {
            let mut images = shells.iter().map(|shell| shell.image.as_str());
            images.any(|image| untagged(image) == bundled.image)
        };
        let bundle: Vec<_> = bundle.into_iter().filter(is_named).collect();
        let missing = bundle.iter().map(|bundled| (bundled.image.clone(), None));
        Images {
            alarms: bundle.iter().map(|_| bounded(1)).collect(),
            missing: Mutex::new(missing.collect()),
            changed: Condvar::new(),
            bundle,
        }
    }

    /// What an image of this binary was made from; empty for other images.
    pub(super) fn sources(&self, image: &str) -> &str {
        let mut bundle = self.bundle.iter();
        let found = bundle.find(|bundled| bundled.image == untagged(image));
        found.map_or("", |bundled| &bundled.sources)
    }

    /// Whether there is no point in trying to make a container of this image.
    pub(super) fn lacks(&self, image: &str) -> bool {
        self.missing.lock().contains_key(untagged(image))
    }

    /// Notes that a container could not be made because its image was missing. Returns whether this binary has the image.
    pub(super) fn note_missing(&self, image: &str) -> bool {
        let image = untagged(image);
        let mut bundle = self.bundle.iter().zip(&self.alarms);
        let Some((_, (alarm, _))) = bundle.find(|(bundled, _)| bundled.image == image) else {
            return false;
        };
        self.missing.lock().entry(image.to_owned()).or_default();
        // The channel is full when the thread has been woken already.
        let _ = alarm.try_send(());
        true
    }

    fn wait_for(&self, image: &str, deadline: Instant) -> bool {
        let mut missing = self.missing.lock();
        let image = untagged(image);
        self.changed.wait_while_until(
            &mut missing,
            |missing| missing.contains_key(image),
            deadline,
        );
        !missing.contains_key(image)
    }

    fn note_outcome(&self, image: &str, outcome: Result<(), String>) {
        let mut missing = self.missing.lock();
        match outcome {
            Ok(()) => missing.remove(image),
            Err(cause) => missing.insert(image.to_owned(), Some(cause)),
        };
        drop(missing);
        self.changed.notify_all();
    }
}

impl Manager {
    /// Whether all images that this binary brings are on the Engine.
    ///
    /// # Errors
    /// Says which image is missing, and why, for the log.
    pub fn images_health(&self) -> Result<(), String> {
        match self.images.missing.lock().first_key_value() {
            None => Ok(()),
            Some((image, None)) => Err(format!("image {image:?} is being loaded")),
            Some((image, Some(cause))) => Err(format!("image {image:?} is not loaded: {cause}")),
        }
    }

    /// Waits a little for the image of a shell.
    pub(super) fn wait_for_image(&self, shell: &Shell) -> Result<(), Error> {
        if self
            .images
            .wait_for(&shell.image, Instant::now() + NEWCOMER_WAIT)
        {
            return Ok(());
        }
        // When the Engine does not answer, the error says so.
        self.engine.ping()?;
        Err(Error::ImageNotLoaded(shell.image.clone()))
    }

    /// The error for a container whose image is gone.
    pub(super) fn no_image(&self, image: &str) -> Error {
        match self.images.note_missing(image) {
            true => Error::ImageNotLoaded(image.to_owned()),
            false => Error::NoImage(image.to_owned()),
        }
    }

    /// Makes sure that the Engine has this image.
    fn provide(&self, bundled: &Bundled) -> Result<(), engine::Error> {
        let Bundled {
            image,
            sources,
            archive,
        } = bundled;
        let found = self.engine.image(image)?;
        match judge(found.as_ref().map(|found| &found.config.labels), sources) {
            Verdict::Current => return Ok(()),
            Verdict::Foreign => {
                warn!(
                    "image {image:?} on the Engine is not of ShellCraft's making and stays as it is; remove it to get ours"
                );
                return Ok(());
            }
            Verdict::Absent => info!("image {image:?} is not on the Engine: loading it"),
            Verdict::Outdated => info!("image {image:?} is of another build: loading ours"),
        }
        let began = Instant::now();
        self.engine.load_images(&mut archive.tar())?;
        if self.engine.image(image)?.is_none() {
            return Err(engine::Error::Garbled {
                call: engine::operation::IMAGE_LOAD,
                what: format!("the archive in this binary has no {image}"),
            });
        }
        info!("image {image:?} loaded in {:?}", began.elapsed());
        if let Some(old) = found
            && let Err(error) = self.engine.remove_unnamed_image(&old.id)
        {
            warn!("the image that had the name {image:?} stays: {error}");
        }
        Ok(())
    }
}

/// Starts the threads, if there is anything for them to do. They return when the manager stops.
pub(super) fn spawn(manager: &Arc<Manager>) -> io::Result<Vec<JoinHandle<()>>> {
    threads::spawn_all(threads::Kind::Image, manager.images.bundle.len(), |index| {
        let manager = Arc::clone(manager);
        move || keep_image(&manager, index)
    })
}

fn keep_image(manager: &Manager, index: usize) {
    let images = &manager.images;
    let (Some(bundled), Some((_, alarm))) = (images.bundle.get(index), images.alarms.get(index))
    else {
        return;
    };
    loop {
        let mut retry = never();
        if images.lacks(&bundled.image) && !manager.is_stopping() {
            let outcome = manager.provide(bundled);
            match &outcome {
                Ok(()) => manager.mend(Kind::Image, &bundled.image),
                Err(error) => {
                    retry = after(manager.set_aside(Kind::Image, &bundled.image, error));
                }
            }
            images.note_outcome(&bundled.image, outcome.map_err(|error| error.to_string()));
            manager.pool.wake();
        }
        select! {
            recv(retry) -> _ => {}
            recv(alarm) -> _ => {}
            recv(manager.shutdown.stopped()) -> _ => return,
        }
    }
}

/// An image's name without the tag `latest`, which is meant anyway.
fn untagged(image: &str) -> &str {
    image.strip_suffix(":latest").unwrap_or(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::bundle::Archive;

    #[test]
    fn only_what_has_our_label_is_replaced() {
        let labelled = |sources: &str| BTreeMap::from([(SOURCES.to_owned(), sources.to_owned())]);
        for (labels, expected) in [
            (None, Verdict::Absent),
            (Some(BTreeMap::new()), Verdict::Foreign),
            (Some(labelled("old")), Verdict::Outdated),
            (Some(labelled("")), Verdict::Outdated),
            (Some(labelled("new")), Verdict::Current),
        ] {
            assert_eq!(judge(labels.as_ref(), "new"), expected, "{labels:?}");
        }
    }

    #[test]
    fn only_images_of_the_catalogue_are_waited_for() {
        let bundled = |image: &str| Bundled {
            image: image.to_owned(),
            sources: "1".to_owned(),
            archive: Archive::Plain(Vec::new()),
        };
        let shell = |image: &str| Shell {
            name: "x".to_owned(),
            image: image.to_owned(),
        };
        let shells = [shell("shellcraft/rust:latest"), shell("mine")];
        let images = Images::new(
            vec![bundled("shellcraft/rust"), bundled("shellcraft/perl")],
            &shells,
        );
        assert!(images.lacks("shellcraft/rust") && images.lacks("shellcraft/rust:latest"));
        assert!(!images.lacks("shellcraft/perl") && !images.lacks("mine"));
        images.note_outcome("shellcraft/rust", Ok(()));
        assert!(!images.lacks("shellcraft/rust"));
        assert!(images.note_missing("shellcraft/rust:latest") && images.lacks("shellcraft/rust"));
        assert!(!images.note_missing("mine"));
    }
}
