//! Which shells can be started: what the Engine tells of their images, and what came of the last tries.
//!
//! No threads: whoever wants to know has the images looked at, every few seconds at most; whoever makes a container
//! notes what came of it. What an image must be like is decided by a pure function, [`judge`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use log::{info, warn};
use parking_lot::Mutex;

use super::asked::Asked;
use super::{Error, Manager, Shell, sandbox};
use crate::engine;
use crate::engine::types::ImageConfig;

/// An image is looked at so often, however many want to know.
const LOOK_FOR: Duration = Duration::from_secs(5);
/// A try that failed counts for so long. The pool tries again every half minute; without a pool a player may, and finds
/// out whether it has been mended.
const FAULT_LIFE: Duration = Duration::from_secs(60);

/// Why containers of such an image can't be players', if so, in words for the operator.
pub fn judge(image: &ImageConfig) -> Option<String> {
    if image.cmd.is_empty() && image.entrypoint.is_empty() {
        return Some("it has no CMD, so there is nothing to run: give it one".into());
    }
    // DOCKER: each of them becomes a directory on the host's disk that no limit holds.
    let is_home = |path: &str| path.trim_end_matches('/') == sandbox::HOME;
    let volume = image.volumes.keys().find(|path| !is_home(path))?;
    Some(format!(
        "it has VOLUME {volume}, which players could fill the host's disk with: build it without"
    ))
}

/// What is known of the catalogue's shells.
pub(super) struct Shells {
    /// Why the images of some can't be used, by the shell's name.
    images: Asked<BTreeMap<String, Unfit>>,
    /// What went wrong with some lately, by the shell's name. Held for moves only.
    faults: Mutex<BTreeMap<String, Fault>>,
}

/// Why an image can't be used.
#[derive(Clone)]
struct Unfit {
    cause: String,
    /// Whether there was none when it was looked for.
    is_missing: bool,
}

/// What went wrong with a shell.
struct Fault {
    at: Instant,
    cause: String,
    /// Whether it was started, and ended: then a start proves nothing.
    is_after_start: bool,
}

impl Default for Shells {
    fn default() -> Shells {
        Shells {
            images: Asked::new(LOOK_FOR),
            faults: Mutex::default(),
        }
    }
}

impl Shells {
    /// Notes what went wrong. Returns whether that is news.
    fn note_fault(&self, shell: &str, fault: Fault) -> bool {
        let mut faults = self.faults.lock();
        faults.insert(shell.to_owned(), fault).is_none()
    }

    /// Notes that a shell was started. Returns whether that is news.
    fn note_start(&self, shell: &str) -> bool {
        let mut faults = self.faults.lock();
        let is_mended = faults.get(shell).is_some_and(|fault| !fault.is_after_start);
        is_mended && faults.remove(shell).is_some()
    }

    fn recent_faults(&self, now: Instant) -> BTreeMap<String, String> {
        let mut faults = self.faults.lock();
        faults.retain(|_, fault| now.saturating_duration_since(fault.at) < FAULT_LIFE);
        let faults = faults.iter();
        faults
            .map(|(shell, fault)| (shell.clone(), fault.cause.clone()))
            .collect()
    }
}

impl Manager {
    /// Why some shells can't be started, by name and for the log: empty when all can, as far as is known. A few seconds
    /// old at most. May ask the Engine.
    pub fn broken_shells(&self) -> BTreeMap<String, String> {
        let mut broken = self.shells.recent_faults(Instant::now());
        let images = self.unfit_images().into_iter();
        broken.extend(images.map(|(shell, unfit)| (shell, unfit.cause)));
        broken
    }

    /// The names of shells that could not be started a moment ago. Never asks the Engine: for pages, which wait for nobody.
    pub fn shells_known_broken(&self) -> BTreeSet<String> {
        let images = self.shells.images.last(FAULT_LIFE).unwrap_or_default();
        let faults = self.shells.recent_faults(Instant::now());
        images.into_keys().chain(faults.into_keys()).collect()
    }

    fn unfit_images(&self) -> BTreeMap<String, Unfit> {
        self.shells.images.ask(|| {
            let mut unfit = BTreeMap::new();
            for Shell { name, image } in &self.settings.shells {
                if self.images.lacks(image) {
                    // It is being loaded, which others tell.
                    continue;
                }
                let (cause, is_missing) = match self.engine.image(image) {
                    Ok(Some(found)) => (judge(&found.config), false),
                    Ok(None) => (Some("it is not on the Engine: load it".to_owned()), true),
                    // The Engine's own trouble, which others tell.
                    Err(_) => (None, false),
                };
                if let Some(cause) = cause {
                    let cause = format!("its image {image}: {cause}");
                    unfit.insert(name.clone(), Unfit { cause, is_missing });
                }
            }
            unfit
        })
    }

    /// INVARIANT: before its container is created. One with a volume of its own would be on the host's disk then.
    pub(super) fn check_image(&self, shell: &Shell) -> Result<(), Error> {
        match self.unfit_images().remove(&shell.name) {
            // The Engine tells: it may have come since.
            Some(unfit) if !unfit.is_missing => Err(broken(shell, unfit.cause)),
            _ => Ok(()),
        }
    }

    /// What a refused call for a container of this shell means: an Engine that will not take it, however often it is
    /// asked, is well, and the shell is not.
    pub(super) fn blame(&self, shell: &Shell, error: engine::Error) -> Error {
        match error.is_final() {
            true => broken(shell, error.to_string()),
            false => error.into(),
        }
    }

    /// Notes what came of making a container of this shell.
    pub(super) fn note_outcome(&self, shell: &str, outcome: Result<(), &Error>) {
        match outcome {
            Ok(()) => {
                if self.shells.note_start(shell) {
                    info!("shell={shell} can be started again");
                }
            }
            Err(Error::ShellBroken { cause, .. }) => self.note_fault(shell, cause.clone(), false),
            // Not the shell's fault.
            Err(_) => {}
        }
    }

    /// Notes that a program ended by itself before anybody could have used it.
    pub(super) fn note_short_life(&self, shell: &str, exit_code: i64) {
        let cause = format!("its program ends at once (exit code {exit_code})");
        self.note_fault(shell, cause, true);
    }

    fn note_fault(&self, shell: &str, cause: String, is_after_start: bool) {
        let told = format!("shell={shell} can't be started: {cause}");
        let fault = Fault {
            at: Instant::now(),
            cause,
            is_after_start,
        };
        if self.shells.note_fault(shell, fault) {
            warn!("{told}");
        }
    }
}

fn broken(shell: &Shell, cause: String) -> Error {
    Error::ShellBroken {
        shell: shell.name.clone(),
        cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::types::Empty;

    #[track_caller]
    fn check(cmd: &[&str], entrypoint: &[&str], volumes: &[&str], expected: Option<&str>) {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let volumes = volumes.iter().map(|path| ((*path).to_owned(), Empty {}));
        let image = ImageConfig {
            cmd: texts(cmd),
            entrypoint: texts(entrypoint),
            volumes: volumes.collect(),
            ..ImageConfig::default()
        };
        let cause = judge(&image);
        match expected {
            None => assert_eq!(cause, None),
            Some(part) => {
                let cause = cause.unwrap_or_default();
                assert!(cause.contains(part), "{part} is not in {cause:?}");
            }
        }
    }

    #[test]
    fn an_image_has_a_program_and_no_volumes() {
        check(&["sh"], &[], &[], None);
        check(&[], &["sh"], &[], None);
        check(&["sh"], &[], &["/home"], None);
        check(&["sh"], &[], &["/home/"], None);
        check(&[], &[], &[], Some("no CMD"));
        check(&["sh"], &[], &["/work"], Some("VOLUME /work"));
        check(
            &["sh"],
            &[],
            &["/home", "/home/player"],
            Some("VOLUME /home/player"),
        );
    }

    #[test]
    fn a_fault_counts_until_the_next_start_or_for_a_minute() {
        let (shells, now) = (Shells::default(), Instant::now());
        let fault = |cause: &str, is_after_start| Fault {
            at: now,
            cause: cause.to_owned(),
            is_after_start,
        };
        assert!(shells.note_fault("a", fault("no such runtime", false)));
        assert!(!shells.note_fault("a", fault("still not", false)));
        assert!(shells.note_fault("b", fault("ends at once", true)));
        assert_eq!(shells.recent_faults(now)["a"], "still not");
        assert!(shells.note_start("a"));
        assert!(!shells.note_start("a"));
        assert!(!shells.note_start("b"), "it starts, and ends");
        assert_eq!(shells.recent_faults(now).len(), 1);
        assert!(shells.recent_faults(now + FAULT_LIFE).is_empty());
    }
}
