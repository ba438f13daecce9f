//! The server's threads: what each kind is called, how large its stack is, how it is started, and how it is joined.
//!
//! This module has no thread of its own. The [crate's documentation](crate#threads) has the table of all kinds, with
//! what each blocks on and what joins it. In the server's code only this file starts threads, so that none is without a
//! name; the code that starts a thread keeps its handle and joins it.

use std::fmt::Display;
use std::io;
use std::thread::{self, JoinHandle, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// The bytes of a thread's name that Linux shows (`TASK_COMM_LEN` less the NUL, prctl(2) `PR_SET_NAME`).
const NAME_BYTES: usize = 15;
/// How often a join with a deadline checks whether threads have ended: std has no such join.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A kind of thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Accepts connections; one for each door.
    DoorAccept,
    /// Reads one connection: its requests, and its WebSocket once it is one.
    DoorConn,
    /// tiny_http's own threads, which it starts without a name: they get the name of the thread that starts them.
    TinyHttp,
    /// Runs the handlers of requests that tiny_http has read.
    Http,
    /// Writes to one WebSocket.
    ViewerWriter,
    /// Accompanies one session from its start to its removal.
    Session,
    /// Ends sessions that are idle or too old.
    Reaper,
    /// Removes containers without a session.
    Sweeper,
    /// Reads spellbooks out of running containers and saves them.
    Saver,
    /// Tells containers of a new size.
    Resizer,
    /// Counts the kept spellbooks, and lets them expire.
    Librarian,
    /// Decides how many containers are made ahead.
    PoolReview,
    /// Makes containers ahead.
    Pool,
    /// Keeps one image at the Engine.
    Image,
    /// Notices containers that were frozen from outside.
    Frozen,
    /// Asks the Engine what a container uses.
    Stats,
    /// Carries out an operator's order to drain.
    Drain,
    /// Says in a fleet that this instance lives, and notices those that do not.
    FleetBeat,
    /// Hears in a fleet when there is something to look at.
    FleetEars,
    /// Says when games can be started.
    Ready,
    /// Tells systemd that the server lives.
    Watchdog,
}

impl Kind {
    /// All kinds, in the order of the table.
    pub const ALL: [Kind; 21] = [
        Kind::DoorAccept,
        Kind::DoorConn,
        Kind::TinyHttp,
        Kind::Http,
        Kind::ViewerWriter,
        Kind::Session,
        Kind::Reaper,
        Kind::Sweeper,
        Kind::Saver,
        Kind::Resizer,
        Kind::Librarian,
        Kind::PoolReview,
        Kind::Pool,
        Kind::Image,
        Kind::Frozen,
        Kind::Stats,
        Kind::Drain,
        Kind::FleetBeat,
        Kind::FleetEars,
        Kind::Ready,
        Kind::Watchdog,
    ];

    /// The kind's name; a thread that is one of many has `-` and its own name behind it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::DoorAccept => "door-accept",
            Kind::DoorConn => "door-conn",
            Kind::TinyHttp => "tiny-http",
            Kind::Http => "http",
            Kind::ViewerWriter => "w",
            Kind::Session => "s",
            Kind::Reaper => "reaper",
            Kind::Sweeper => "sweeper",
            Kind::Saver => "saver",
            Kind::Resizer => "resizer",
            Kind::Librarian => "librarian",
            Kind::PoolReview => "pool-review",
            Kind::Pool => "pool",
            Kind::Image => "image",
            Kind::Frozen => "frozen",
            Kind::Stats => "stats",
            Kind::Drain => "drain",
            Kind::FleetBeat => "fleet-beat",
            Kind::FleetEars => "fleet-ears",
            Kind::Ready => "ready",
            Kind::Watchdog => "watchdog",
        }
    }

    /// The kind of a thread with this name.
    pub fn of(name: &str) -> Option<Kind> {
        let is_its = |kind: &Kind| {
            let own = name.strip_prefix(kind.name());
            own.is_some_and(|own| own.is_empty() || own.starts_with('-'))
        };
        // The longest name that fits: `pool-review` is no `pool`.
        Kind::ALL
            .into_iter()
            .filter(is_its)
            .max_by_key(|kind| kind.name().len())
    }

    /// Whether a panic of this kind is caught where it happens, and counted for its kind.
    pub const fn counts_its_panics(self) -> bool {
        matches!(
            self,
            Kind::DoorConn | Kind::Http | Kind::ViewerWriter | Kind::Session
        )
    }

    /// The stack's bytes, for kinds of which there are as many as players: the usual 2 MiB are address space only, but
    /// thousands of them meet limits on it. `tests/dockerd/crowd.rs` shows how much each uses.
    const fn stack_bytes(self) -> Option<usize> {
        match self {
            // The deepest call of these threads is one to the Engine. The pump's buffer is on the heap.
            Kind::DoorConn | Kind::Session => Some(256 * 1024),
            Kind::ViewerWriter => Some(128 * 1024),
            _ => None,
        }
    }

    /// The name of one of many threads, as far as Linux shows it.
    pub fn name_of(self, own: impl Display) -> String {
        let name = format!("{}-{own}", self.name());
        name.chars().take(NAME_BYTES).collect()
    }

    fn builder(self, name: String) -> thread::Builder {
        let builder = thread::Builder::new().name(name);
        match self.stack_bytes() {
            Some(bytes) => builder.stack_size(bytes),
            None => builder,
        }
    }
}

/// Starts a thread that is the only one of its kind, or that is like all others of its kind.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn<T: Send + 'static>(
    kind: Kind,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    kind.builder(kind.name().to_owned()).spawn(body)
}

/// Starts one of many threads, with the name `kind-own`.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn_one<T: Send + 'static>(
    kind: Kind,
    own: impl Display,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    kind.builder(kind.name_of(own)).spawn(body)
}

/// Starts `count` threads of a kind, numbered from 0.
///
/// # Errors
/// When the system gives no thread. Threads that were started before go on.
pub fn spawn_all<B: FnOnce() + Send + 'static>(
    kind: Kind,
    count: usize,
    mut body: impl FnMut(usize) -> B,
) -> io::Result<Vec<JoinHandle<()>>> {
    (0..count)
        .map(|index| spawn_one(kind, index, body(index)))
        .collect()
}

/// Starts one of many threads within a scope, which joins it at the scope's end.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn_scoped<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    kind: Kind,
    own: impl Display,
    body: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    kind.builder(kind.name_of(own)).spawn_scoped(scope, body)
}

/// Joins the threads that have ended and takes them out of the list. Panics were logged where they happened.
pub fn join_finished(threads: &mut Vec<JoinHandle<()>>) {
    for thread in threads.extract_if(.., |thread| thread.is_finished()) {
        let _ = thread.join(); // The join returns immediately.
    }
}

/// Joins threads that are known by other means to have ended, or to be about to. With `has_timed_out` this is not known
/// of all: those that still run are left behind, and their number is returned.
pub fn join_ended(threads: Vec<JoinHandle<()>>, has_timed_out: bool) -> usize {
    let mut left_behind = 0;
    for thread in threads {
        if has_timed_out && !thread.is_finished() {
            left_behind += 1;
        } else {
            let _ = thread.join(); // The thread's panic was logged where it happened.
        }
    }
    left_behind
}

/// Joins the threads that end before `deadline`, and returns the others. It looks again every few milliseconds, so it
/// is meant for the end of the process, or of one of its parts.
pub fn join_until(mut threads: Vec<JoinHandle<()>>, deadline: Instant) -> Vec<JoinHandle<()>> {
    loop {
        join_finished(&mut threads);
        if threads.is_empty() || Instant::now() >= deadline {
            return threads;
        }
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;

    #[test]
    fn a_name_tells_the_kind() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.name()), Some(kind));
            assert_eq!(Kind::of(&format!("{}-7", kind.name())), Some(kind));
        }
        assert_eq!(Kind::of("pool-review"), Some(Kind::PoolReview));
        assert_eq!(Kind::of("poolside"), None);
        assert_eq!(Kind::of(""), None);
    }

    #[test]
    fn a_name_is_as_long_as_linux_shows_it() {
        let name = || thread::current().name().map(str::to_owned);
        let long = spawn_one(Kind::Session, "0123456789abcdef", name).unwrap();
        assert_eq!(long.join().unwrap().as_deref(), Some("s-0123456789abc"));
        let numbered = spawn_one(Kind::Saver, 3, name).unwrap();
        assert_eq!(numbered.join().unwrap().as_deref(), Some("saver-3"));
    }

    #[test]
    fn what_has_not_ended_by_the_deadline_is_returned() {
        let (stop, stopped) = bounded::<()>(0);
        let waits = spawn(Kind::Stats, move || {
            let _ = stopped.recv();
        })
        .unwrap();
        let ends = spawn(Kind::Drain, || {}).unwrap();
        let mut left = vec![waits, ends];
        while left.len() == 2 {
            left = join_until(left, Instant::now());
        }
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].thread().name(), Some("stats"));
        drop(stop);
        let soon = Instant::now() + Duration::from_secs(60);
        assert!(join_until(left, soon).is_empty());
    }

    /// A thread that panics is joined like any other.
    #[test]
    fn a_panic_ends_with_its_thread() {
        let panics = spawn(Kind::Image, || panic!("on purpose")).unwrap();
        let soon = Instant::now() + Duration::from_secs(60);
        assert!(join_until(vec![panics], soon).is_empty());
    }
}
