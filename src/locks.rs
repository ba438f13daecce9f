//! The server's locks: those of `parking_lot`, each with a rank, so that no two threads ever wait for each other.
//!
//! This module has no thread of its own; every thread of the server takes its locks here. A thread takes a lock only while
//! all that it holds are of lower ranks ([`rank`]), and it waits on a [`Condvar`] only with that condition's own lock. In
//! debug builds, which all tests run, a thread that does otherwise panics there and then, and not only when it meets the
//! other thread that does the same the other way round. In release builds nothing is noted and nothing is checked: the
//! locks are as large and as fast as `parking_lot`'s.
//!
//! ```text
//! Mutex<T, rank::Pool>::lock ──▶ check ──▶ parking_lot's lock ──▶ noted as held ──▶ Guard, which forgets it when dropped
//! ```

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use parking_lot::WaitTimeoutResult;

use held::Held;
use rank::{Level, Rank};

pub mod rank {
    //! The ranks, as marker types.

    /// What gives a lock its rank.
    pub trait Rank {
        /// Its place among all ranks.
        const LEVEL: Level;
    }

    macro_rules! ranks {
        ($($(#[$doc:meta])+ $name:ident,)+) => {
            /// A rank as a value. A lock of a lesser one is taken first.
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
            pub enum Level {
                $($(#[$doc])+ $name,)+
            }

            impl Level {
                /// All of them, the one that is taken first first.
                pub const ALL: &'static [Level] = &[$(Level::$name,)+];
            }

            $(
                $(#[$doc])+
                #[derive(Debug)]
                pub struct $name;

                impl Rank for $name {
                    const LEVEL: Level = Level::$name;
                }
            )+
        };
    }

    ranks! {
        /// Held while all gauges are set, which are read from everything.
        Scrape,
        /// A turn that is held over calls.
        Turn,
        /// Held while a terminal is drawn, the wait for its past included.
        Picture,
        /// The session map.
        SessionMap,
        /// The sessions that wait for a player.
        Pool,
        /// A terminal's way in. A page that joins holds it while it waits for the terminal's past.
        TerminalInput,
        /// The socket of a viewer's writer that rests.
        ParkedWriter,
        /// A terminal's output and viewers.
        TerminalState,
        /// A part of a directory of records and books.
        Stripe,
        /// A lock under which no other is taken, except one of [`Log`]. All locks that name no rank have this one.
        Leaf,
        /// What a log line takes, which may be written under any lock.
        Log,
    }

    impl Level {
        /// Whether a thread may wait on a condition while it holds such a lock besides the condition's own. INVARIANT: no
        /// thread needs such a lock before it wakes the one that waits.
        #[cfg(debug_assertions)]
        pub(super) fn may_be_held_over_waits(self) -> bool {
            matches!(self, Level::Picture | Level::TerminalInput)
        }
    }
}

/// A lock that one thread has at a time.
#[derive(Debug)]
pub struct Mutex<T, R = rank::Leaf> {
    lock: parking_lot::Mutex<T>,
    rank: PhantomData<R>,
}

impl<T, R: Rank> Mutex<T, R> {
    /// A lock that guards `value`.
    pub const fn new(value: T) -> Self {
        Self {
            lock: parking_lot::Mutex::new(value),
            rank: PhantomData,
        }
    }

    /// Takes the lock when no other thread has it any more.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        held::check_order(R::LEVEL);
        Guard::new(self.lock.lock(), R::LEVEL)
    }

    /// Takes the lock, unless another thread has it. Allowed in any order, because it never waits.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let guard = self.lock.try_lock()?;
        Some(Guard::new(guard, R::LEVEL))
    }

    /// Takes the lock, unless another thread still has it after `wait`.
    #[track_caller]
    pub fn try_lock_for(&self, wait: Duration) -> Option<MutexGuard<'_, T>> {
        held::check_order(R::LEVEL);
        let guard = self.lock.try_lock_for(wait)?;
        Some(Guard::new(guard, R::LEVEL))
    }

    /// Whether a thread has it at this moment.
    pub fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    /// What it guards, for one to whom it belongs alone.
    pub fn get_mut(&mut self) -> &mut T {
        self.lock.get_mut()
    }
}

impl<T: Default, R: Rank> Default for Mutex<T, R> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// A lock that one thread has at a time to change what it guards, or several have to read that. No thread has it twice,
/// not even to read: between the two a thread that wants to change something may have come, for which the second waits.
#[derive(Debug)]
pub struct RwLock<T, R = rank::Leaf> {
    lock: parking_lot::RwLock<T>,
    rank: PhantomData<R>,
}

impl<T, R: Rank> RwLock<T, R> {
    /// A lock that guards `value`.
    pub const fn new(value: T) -> Self {
        Self {
            lock: parking_lot::RwLock::new(value),
            rank: PhantomData,
        }
    }

    /// Takes the lock to read, when no other thread changes anything.
    #[track_caller]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        held::check_order(R::LEVEL);
        Guard::new(self.lock.read(), R::LEVEL)
    }

    /// Takes the lock to change what it guards, when no other thread has it any more.
    #[track_caller]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        held::check_order(R::LEVEL);
        Guard::new(self.lock.write(), R::LEVEL)
    }
}

impl<T: Default, R: Rank> Default for RwLock<T, R> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// A lock that this thread has, and what it guards. Dropping it gives the lock back.
#[must_use = "the lock is given back immediately when this is not kept"]
#[clippy::has_significant_drop]
pub struct Guard<G> {
    guard: G,
    held: Held,
}

/// What [`Mutex::lock`] gives.
pub type MutexGuard<'a, T> = Guard<parking_lot::MutexGuard<'a, T>>;
/// What [`RwLock::read`] gives.
pub type RwLockReadGuard<'a, T> = Guard<parking_lot::RwLockReadGuard<'a, T>>;
/// What [`RwLock::write`] gives.
pub type RwLockWriteGuard<'a, T> = Guard<parking_lot::RwLockWriteGuard<'a, T>>;

impl<G> Guard<G> {
    fn new(guard: G, level: Level) -> Self {
        Self {
            guard,
            held: Held::note(level),
        }
    }

    /// The guard within, for a wait, which gives the lock back meanwhile.
    #[track_caller]
    fn before_wait(&mut self) -> &mut G {
        self.held.check_wait();
        &mut self.guard
    }
}

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

/// A condition to wait for. Its lock is given back meanwhile, and no other may be held, for which the thread that is to
/// wake this one might wait.
#[derive(Debug, Default)]
pub struct Condvar(parking_lot::Condvar);

impl Condvar {
    /// A condition on which no thread waits yet.
    pub const fn new() -> Condvar {
        Condvar(parking_lot::Condvar::new())
    }

    /// Wakes one thread that waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all threads that wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits to be woken.
    #[track_caller]
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.0.wait(guard.before_wait());
    }

    /// Waits to be woken, for `most` at most.
    #[track_caller]
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, most: Duration) -> WaitTimeoutResult {
        self.0.wait_for(guard.before_wait(), most)
    }

    /// Waits to be woken, until `deadline` at most.
    #[track_caller]
    pub fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        self.0.wait_until(guard.before_wait(), deadline)
    }

    /// Waits while `condition` holds.
    #[track_caller]
    pub fn wait_while<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        condition: impl FnMut(&mut T) -> bool,
    ) {
        self.0.wait_while(guard.before_wait(), condition);
    }

    /// Waits while `condition` holds, until `deadline` at most.
    #[track_caller]
    pub fn wait_while_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        condition: impl FnMut(&mut T) -> bool,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        self.0
            .wait_while_until(guard.before_wait(), condition, deadline)
    }
}

/// Which locks this thread holds.
#[cfg(debug_assertions)]
mod held {
    use std::cell::RefCell;
    use std::thread;

    use super::rank::Level;

    thread_local! {
        /// The locks, in the order in which they were taken; each with a number that no other of them has.
        static HELD: RefCell<Vec<(u64, Level)>> = const { RefCell::new(Vec::new()) };
    }

    /// Looks at the list, which must not be asked for again meanwhile. A thread whose last values are being dropped has
    /// none any more, and is not checked.
    fn with_held<T: Default>(act: impl FnOnce(&mut Vec<(u64, Level)>) -> T) -> T {
        HELD.try_with(|held| act(&mut held.borrow_mut()))
            .unwrap_or_default()
    }

    /// One lock that this thread holds, until it is dropped.
    pub(super) struct Held(u64);

    impl Held {
        pub(super) fn note(level: Level) -> Held {
            Held(with_held(|held| {
                let number = held.last().map_or(0, |(last, _)| last + 1);
                held.push((number, level));
                number
            }))
        }

        /// Panics when this thread is about to wait with another lock than this one in hand.
        #[track_caller]
        pub(super) fn check_wait(&self) {
            let is_other = |(number, level): &&(u64, Level)| {
                *number != self.0 && !level.may_be_held_over_waits()
            };
            let (own, other) = with_held(|held| {
                let own = held.iter().find(|(number, _)| *number == self.0);
                let other = held.iter().find(is_other);
                let level = |held: Option<&(u64, Level)>| held.map(|(_, level)| *level);
                (level(own), level(other))
            });
            if let (Some(own), Some(other)) = (own, other)
                && !thread::panicking()
            {
                panic!(
                    "a thread waits on a condition of a lock of rank {own:?} while it holds one of rank {other:?}"
                );
            }
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            with_held(|held| held.retain(|(number, _)| *number != self.0));
        }
    }

    /// Panics when this thread holds a lock that is to be taken after one of this rank, or another one of this rank.
    #[track_caller]
    pub(super) fn check_order(level: Level) {
        let highest = with_held(|held| held.iter().map(|(_, level)| *level).max());
        if let Some(highest) = highest.filter(|highest| *highest >= level)
            // Two panics simultaneously would end the process.
            && !thread::panicking()
        {
            panic!(
                "a thread takes a lock of rank {level:?} while it holds one of rank {highest:?}"
            );
        }
    }
}

/// Nothing is noted in release builds.
#[cfg(not(debug_assertions))]
mod held {
    use super::rank::Level;

    pub(super) struct Held;

    impl Held {
        pub(super) fn note(_level: Level) -> Held {
            Held
        }

        pub(super) fn check_wait(&self) {}
    }

    pub(super) fn check_order(_level: Level) {}
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    type Outer = Mutex<u8, rank::SessionMap>;
    type Inner = Mutex<u8, rank::Pool>;

    const SOON: Duration = Duration::from_millis(1);

    /// Does something with two locks, the first of which is to be taken first. Checks what a debug build says to it.
    #[track_caller]
    fn check(act: impl FnOnce(&Outer, &Inner), expected: Option<&str>) {
        let (outer, inner) = (Outer::default(), Inner::default());
        let done = catch_unwind(AssertUnwindSafe(|| act(&outer, &inner)));
        let said = done.err().map(|panic| {
            let said = panic.downcast::<String>().expect("a sentence");
            (*said).clone()
        });
        let expected = expected.filter(|_| cfg!(debug_assertions));
        assert_eq!(said.as_deref(), expected);
        // Whatever was held is given back, and is not taken for held any more.
        drop(outer.lock());
        drop(inner.lock());
    }

    const WRONG_ORDER: &str =
        "a thread takes a lock of rank SessionMap while it holds one of rank Pool";
    const TWO_OUTER: &str =
        "a thread takes a lock of rank SessionMap while it holds one of rank SessionMap";
    const TWO_INNER: &str = "a thread takes a lock of rank Pool while it holds one of rank Pool";
    const WAIT_UNDER: &str = "a thread waits on a condition of a lock of rank Pool while it holds one of rank SessionMap";

    #[test]
    fn locks_are_taken_in_the_order_of_their_ranks() {
        let in_order = |outer: &Outer, inner: &Inner| {
            let mut both = (outer.lock(), inner.lock());
            *both.1 += 1;
            *both.0 = *both.1;
        };
        check(in_order, None);
        let not_in_order = |outer: &Outer, inner: &Inner| {
            let _both = (inner.lock(), outer.lock());
        };
        check(not_in_order, Some(WRONG_ORDER));
        let with_a_deadline = |outer: &Outer, inner: &Inner| {
            let _both = (inner.lock(), outer.try_lock_for(SOON));
        };
        check(with_a_deadline, Some(WRONG_ORDER));
    }

    #[test]
    fn two_of_one_rank_are_not_held_together() {
        let other = Outer::default();
        let alike = |outer: &Outer, _: &Inner| {
            let _both = (outer.lock(), other.lock());
        };
        check(alike, Some(TWO_OUTER));
        let one_after_the_other = |outer: &Outer, _: &Inner| {
            drop(outer.lock());
            drop(other.lock());
        };
        check(one_after_the_other, None);
    }

    #[test]
    fn guards_are_dropped_in_any_order() {
        let act = |outer: &Outer, inner: &Inner| {
            let first = outer.lock();
            let second = inner.lock();
            drop(first);
            let scrape = Mutex::<u8, rank::Scrape>::default();
            let leaf = Mutex::<u8>::default();
            let third = leaf.lock();
            drop(second);
            drop(third);
            drop(scrape.lock());
            let _again = (outer.lock(), inner.lock());
        };
        check(act, None);
        let other = Inner::default();
        let second_is_kept = |outer: &Outer, inner: &Inner| {
            let first = outer.lock();
            let _second = inner.lock();
            drop(first);
            drop(other.lock());
        };
        check(second_is_kept, Some(TWO_INNER));
    }

    #[test]
    fn a_try_waits_for_nothing_and_what_it_gets_is_held() {
        let tries = |outer: &Outer, inner: &Inner| {
            let inner = inner.lock();
            let tried = outer.try_lock().expect("it is free");
            assert!(outer.is_locked() && outer.try_lock().is_none());
            drop(inner);
            drop(tried);
            assert!(!outer.is_locked());
        };
        check(tries, None);
        let is_held = |outer: &Outer, inner: &Inner| {
            let _tried = inner.try_lock().expect("it is free");
            drop(outer.lock());
        };
        check(is_held, Some(WRONG_ORDER));
        let other = Inner::default();
        let highest_counts = |outer: &Outer, inner: &Inner| {
            let _inner = inner.lock();
            let _last = outer.try_lock();
            drop(other.lock());
        };
        check(highest_counts, Some(TWO_INNER));
        let is_given_back = |outer: &Outer, inner: &Inner| {
            drop(inner.try_lock());
            drop(outer.lock());
        };
        check(is_given_back, None);
    }

    #[test]
    fn readers_and_writers_have_ranks_too() {
        type Map = RwLock<u8, rank::SessionMap>;
        let map = Map::default();
        let after_another = |_: &Outer, inner: &Inner| {
            let _inner = inner.lock();
            drop(map.read());
        };
        check(after_another, Some(WRONG_ORDER));
        let writes_after_another = |_: &Outer, inner: &Inner| {
            let _inner = inner.lock();
            *map.write() += 1;
        };
        check(writes_after_another, Some(WRONG_ORDER));
        let reads_twice = |_: &Outer, _: &Inner| {
            let _twice = (map.read(), map.read());
        };
        check(reads_twice, Some(TWO_OUTER));
        let held_by_a_reader = |outer: &Outer, inner: &Inner| {
            drop((map.read(), inner.lock()));
            drop((map.write(), inner.lock()));
            drop(outer.lock());
        };
        check(held_by_a_reader, None);
    }

    #[test]
    fn a_wait_is_with_the_condition_s_own_lock_only() {
        let changed = Condvar::new();
        let alone = |_: &Outer, inner: &Inner| {
            let mut inner = inner.lock();
            assert!(changed.wait_for(&mut inner, SOON).timed_out());
            let waited = changed.wait_while_until(&mut inner, |_| true, Instant::now());
            assert!(waited.timed_out());
        };
        check(alone, None);
        let under = |outer: &Outer, inner: &Inner| {
            let _outer = outer.lock();
            changed.wait_for(&mut inner.lock(), SOON);
        };
        check(under, Some(WAIT_UNDER));
    }

    #[test]
    fn a_terminal_s_input_and_picture_are_held_over_waits() {
        let picture = Mutex::<u8, rank::Picture>::default();
        let input = Mutex::<u8, rank::TerminalInput>::default();
        let (state, moved) = (Mutex::<u8, rank::TerminalState>::default(), Condvar::new());
        let act = |_: &Outer, _: &Inner| {
            let _held = (picture.lock(), input.lock());
            moved.wait_for(&mut state.lock(), SOON);
        };
        check(act, None);
    }

    /// A value that takes a lock when it is dropped does so after a panic too.
    #[test]
    fn a_thread_that_panics_is_not_checked() {
        struct Takes<'a>(&'a Outer);
        impl Drop for Takes<'_> {
            fn drop(&mut self) {
                *self.0.lock() += 1;
            }
        }
        let act = |outer: &Outer, inner: &Inner| {
            let _inner = inner.lock();
            let _takes = Takes(outer);
            std::panic::panic_any("on purpose".to_owned());
        };
        let (outer, inner) = (Outer::default(), Inner::default());
        let done = catch_unwind(AssertUnwindSafe(|| act(&outer, &inner)));
        assert_eq!((done.is_err(), *outer.lock()), (true, 1));
    }

    #[test]
    fn a_lock_is_as_large_as_without_a_rank() {
        assert_eq!(size_of::<Outer>(), size_of::<parking_lot::Mutex<u8>>());
        let guards = size_of::<MutexGuard<'_, u8>>();
        let bare = size_of::<parking_lot::MutexGuard<'_, u8>>();
        assert_eq!(guards == bare, !cfg!(debug_assertions));
    }
}
