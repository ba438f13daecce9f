//! How many heavy Engine calls run at the same time, and who is next.
//!
//! DOCKER: starts contend. On 2 cores the Engine makes 3.4 starts a second one at a time, 5.3 with four at the same time,
//! and 5.7 with sixteen, where each then takes 2.2 s (20.10). So a few calls go in and the rest wait here, first come,
//! first served.
//!
//! ```text
//!   newcomers (bounded) ─┐
//!   removals …           ┴▶ one line ─▶ at most `at_once` turns ─▶ Engine
//! ```
//!
//! A turn that takes far too long, because its container's call hangs, is set aside: it runs on, and the next one goes in
//! beside it. Where all running turns are slow and belong to other shells, one more may begin immediately, so that a shell
//! whose starts hang does not keep the others waiting. A newcomer no longer waits for its turn when another thread hands
//! it what it waits for.
//!
//! Each caller waits on its own thread, at a channel of its own; the caller whose turn ends hands its turn to the first in
//! line. How long that takes is estimated by [`crate::session::admission::estimate`].

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::locks::Mutex;
use crate::session::admission::estimate::{Load, RecentTurns, retry_after};
pub use crate::session::admission::newcomer::{
    Newcomer, NoPlace, NoTurn, NotATicket, QueuePosition, QueueTicket, Standing,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, never, select};

/// How often a waiting newcomer is asked whether it still waits.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A turn that runs this long no longer holds the others up. Under load a start takes 2 s.
const STUCK_AFTER: Duration = Duration::from_secs(20);
/// Where all turns have run this long, a shell that has no turn gets one beside them. Longer than a start under load.
const SLOW_AFTER: Duration = Duration::from_secs(3);
/// The most turns that are set aside as stuck at a time: each is a connection to the Engine.
const STUCK_MOST: usize = 8;

/// A bounded number of turns, and the line for them.
pub struct Calls {
    at_once: usize,
    waiting_max: usize,
    waiting_per_household: usize,
    /// The calls that run and the callers that wait. Held for look-ups and changes only: never across a call or a send.
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    running: Vec<Running>,
    waiting: VecDeque<Waiting>,
    recent: RecentTurns,
    last_number: u64,
}

struct Running {
    number: u64,
    shell: String,
    since: Instant,
    is_newcomer: bool,
    ticket: Option<QueueTicket>,
}

struct Waiting {
    number: u64,
    shell: String,
    is_newcomer: bool,
    household: Option<IpAddr>,
    ticket: Option<QueueTicket>,
    admit: Sender<()>,
}

impl Calls {
    /// Lets `at_once` calls run at a time, while at most `waiting_max` newcomers wait, and at most `waiting_per_household`
    /// of one household.
    pub fn new(at_once: usize, waiting_max: usize, waiting_per_household: usize) -> Self {
        Self {
            at_once,
            waiting_max,
            waiting_per_household,
            line: Mutex::default(),
        }
    }

    /// Runs one of the server's own calls when it is its turn: a call about containers of `shell`, or about any container
    /// where `shell` is empty.
    pub fn run<T>(&self, shell: &str, call: impl FnOnce() -> T) -> T {
        let (number, admitted) = {
            let mut line = self.line.lock();
            line.enter(self.at_once, shell, None, Instant::now())
        };
        if let Some(admitted) = admitted {
            // Disconnected only if the line itself is gone, and it is borrowed.
            while admitted.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                self.admit(Instant::now());
            }
        }
        let _turn = Permit {
            calls: self,
            number,
            waited: Duration::ZERO,
        };
        call()
    }

    /// Waits for a newcomer's turn, until `deadline`. The turn ends when the returned value is dropped.
    ///
    /// # Errors
    /// [`NoTurn`].
    pub fn turn(&self, newcomer: Newcomer<'_>, deadline: Instant) -> Result<Permit<'_>, NoTurn> {
        match self.turn_or(newcomer, deadline, &never::<Infallible>())? {
            Served::Turn(turn) => Ok(turn),
            Served::Handed(nothing) => match nothing {},
        }
    }

    /// Waits for a newcomer's turn, or for what another thread hands it in place of one, until `deadline`. The turn ends
    /// when the returned value is dropped.
    ///
    /// # Errors
    /// [`NoTurn`].
    pub fn turn_or<T>(
        &self,
        newcomer: Newcomer<'_>,
        deadline: Instant,
        handed: &Receiver<T>,
    ) -> Result<Served<'_, T>, NoTurn> {
        let began = Instant::now();
        let (number, admitted) = {
            let mut line = self.line.lock();
            self.check_room(&line, newcomer, began)?;
            line.enter(self.at_once, newcomer.shell, Some(newcomer), began)
        };
        if let Some(admitted) = admitted {
            let waiting = (number, &admitted, handed);
            if let Some(handed) = self.wait(newcomer, waiting, (began, deadline))? {
                return Ok(Served::Handed(handed));
            }
        }
        Ok(Served::Turn(Permit {
            calls: self,
            number,
            waited: began.elapsed(),
        }))
    }

    /// Checks that one more newcomer may wait, if it must.
    fn check_room(&self, line: &Line, newcomer: Newcomer<'_>, now: Instant) -> Result<(), NoTurn> {
        if line.has_room_for(newcomer.shell, self.at_once, now) {
            return Ok(());
        }
        let wait = || retry_after(line.estimate(self.at_once, line.waiting.len(), now));
        let waiting = line.newcomers();
        if waiting >= self.waiting_max {
            return Err(NoTurn::Full {
                waiting,
                retry_after: wait(),
            });
        }
        let waiting = line.household(newcomer.household);
        if waiting >= self.waiting_per_household {
            return Err(NoTurn::HouseholdFull {
                waiting,
                retry_after: wait(),
            });
        }
        Ok(())
    }

    /// Waits. Returns what the newcomer was handed, or nothing when its turn has come.
    fn wait<T>(
        &self,
        newcomer: Newcomer<'_>,
        (number, admitted, handed): (u64, &Receiver<()>, &Receiver<T>),
        (began, deadline): (Instant, Instant),
    ) -> Result<Option<T>, NoTurn> {
        loop {
            let look = LOOK_EVERY.min(deadline.saturating_duration_since(Instant::now()));
            select! {
                recv(admitted) -> _ => return Ok(None),
                // INVARIANT: the caller of `wait` keeps the sender; if `handed` were disconnected, this loop would spin.
                recv(handed) -> gift => if let Ok(gift) = gift {
                    self.leave(number, admitted);
                    return Ok(Some(gift));
                },
                default(look) => self.admit(Instant::now()),
            }
            let (now, has_left) = (Instant::now(), (newcomer.has_left)());
            if !has_left && now < deadline {
                continue;
            }
            let mut line = self.line.lock();
            let Some(index) = line.waiting.iter().position(|each| each.number == number) else {
                // The turn has come just now; the message that says so is on its way.
                drop(line);
                let _ = admitted.recv();
                return Ok(None);
            };
            line.waiting.remove(index);
            let waited = now.saturating_duration_since(began);
            if has_left {
                return Err(NoTurn::Left { waited });
            }
            let estimate = line.estimate(self.at_once, line.waiting.len(), now);
            return Err(NoTurn::TooLate {
                waited,
                retry_after: retry_after(estimate),
            });
        }
    }

    /// What a newcomer is told that can't even join the line.
    pub fn no_turn(&self, no_place: NoPlace) -> NoTurn {
        let (line, now) = (self.line.lock(), Instant::now());
        let retry_after = retry_after(line.estimate(self.at_once, line.waiting.len(), now));
        drop(line);
        match no_place {
            NoPlace::OfHousehold(waiting) => NoTurn::HouseholdFull {
                waiting,
                retry_after,
            },
            NoPlace::OfAll(waiting) => NoTurn::Full {
                waiting,
                retry_after,
            },
        }
    }

    /// How many newcomers wait.
    pub fn waiting(&self) -> usize {
        self.line.lock().newcomers()
    }

    /// Where the newcomer with this ticket stands.
    pub fn standing(&self, ticket: QueueTicket, now: Instant) -> Standing {
        let line = self.line.lock();
        let mut waiting = line.waiting.iter();
        let Some(index) = waiting.position(|each| each.ticket == Some(ticket)) else {
            let mut running = line.running.iter();
            return match running.any(|each| each.ticket == Some(ticket)) {
                true => Standing::Starting,
                false => Standing::Unknown,
            };
        };
        let ahead = line.waiting.iter().take(index);
        Standing::Waiting(QueuePosition {
            place: ahead.filter(|each| each.is_newcomer).count() + 1,
            waiting: line.newcomers(),
            estimate: line.estimate(self.at_once, index + 1, now),
        })
    }

    /// Leaves the line without a turn. If the turn has come meanwhile, it goes to the next one.
    fn leave(&self, number: u64, admitted: &Receiver<()>) {
        let mut line = self.line.lock();
        let index = line.waiting.iter().position(|each| each.number == number);
        let is_waiting = index.and_then(|index| line.waiting.remove(index)).is_some();
        drop(line);
        if !is_waiting {
            // The message that says its turn has come is on its way.
            let _ = admitted.recv();
            self.end(number);
        }
    }

    /// Ends a turn and hands it to the first in line.
    fn end(&self, number: u64) {
        let now = Instant::now();
        let mut line = self.line.lock();
        if let Some(index) = line.running.iter().position(|each| each.number == number) {
            let ended = line.running.swap_remove(index);
            if ended.is_newcomer {
                line.recent
                    .note(now, now.saturating_duration_since(ended.since));
            }
        }
        drop(line);
        self.admit(now);
    }

    /// Lets in those who are next, while there is room.
    fn admit(&self, now: Instant) {
        let mut admitted = Vec::new();
        let mut line = self.line.lock();
        while let Some(next) = line.next(self.at_once, now) {
            line.running.push(Running {
                number: next.number,
                shell: next.shell.clone(),
                since: now,
                is_newcomer: next.is_newcomer,
                ticket: next.ticket,
            });
            admitted.push(next);
        }
        drop(line);
        for next in admitted {
            // INVARIANT: it is no longer in the line, so it waits for this message however late it is. The channel has
            // room for the message.
            let _ = next.admit.send(());
        }
    }
}

impl Line {
    /// Begins a turn, or joins the line. In the line, the number comes with the channel to wait at.
    fn enter(
        &mut self,
        at_once: usize,
        shell: &str,
        newcomer: Option<Newcomer<'_>>,
        now: Instant,
    ) -> (u64, Option<Receiver<()>>) {
        self.last_number += 1;
        let number = self.last_number;
        let is_newcomer = newcomer.is_some();
        let ticket = newcomer.and_then(|newcomer| newcomer.ticket);
        let is_passed =
            |each: &Waiting| each.shell == shell || self.has_room_for(&each.shell, at_once, now);
        if self.has_room_for(shell, at_once, now) && !self.waiting.iter().any(is_passed) {
            self.running.push(Running {
                number,
                shell: shell.to_owned(),
                since: now,
                is_newcomer,
                ticket,
            });
            return (number, None);
        }
        let (admit, admitted) = bounded(1);
        self.waiting.push_back(Waiting {
            number,
            shell: shell.to_owned(),
            is_newcomer,
            household: newcomer.and_then(|newcomer| newcomer.household),
            ticket,
            admit,
        });
        (number, Some(admitted))
    }

    /// Whether one more turn may begin. Turns that take far too long are not counted, up to [`STUCK_MOST`] of them.
    fn has_room(&self, at_once: usize, now: Instant) -> bool {
        let is_stuck = |each: &&Running| now.saturating_duration_since(each.since) >= STUCK_AFTER;
        let stuck = self.running.iter().filter(is_stuck).count();
        self.running.len() - stuck.min(STUCK_MOST) < at_once
    }

    /// Whether one more turn may begin for `shell`. It may go in beside slow turns of other shells.
    fn has_room_for(&self, shell: &str, at_once: usize, now: Instant) -> bool {
        let is_slow = |each: &Running| now.saturating_duration_since(each.since) >= SLOW_AFTER;
        let is_no_hindrance = |each: &Running| each.shell != shell && is_slow(each);
        self.has_room(at_once, now) || self.running.iter().all(is_no_hindrance)
    }

    /// Takes out of the line the first that may begin, if there is one.
    fn next(&mut self, at_once: usize, now: Instant) -> Option<Waiting> {
        let mut waiting = self.waiting.iter();
        let index = waiting.position(|each| self.has_room_for(&each.shell, at_once, now))?;
        self.waiting.remove(index)
    }

    fn newcomers(&self) -> usize {
        self.waiting.iter().filter(|each| each.is_newcomer).count()
    }

    /// How many newcomers of a household wait; 0 for one without a household, for whom no limit is meant.
    fn household(&self, household: Option<IpAddr>) -> usize {
        let is_theirs = |each: &&Waiting| household.is_some() && each.household == household;
        self.waiting.iter().filter(is_theirs).count()
    }

    fn estimate(&self, at_once: usize, place: usize, now: Instant) -> Duration {
        let running_since: Vec<_> = self.running.iter().map(|each| each.since).collect();
        let load = Load {
            at_once,
            running_since: &running_since,
            place,
        };
        self.recent.estimate(now, load)
    }
}

/// What a newcomer has waited for.
pub enum Served<'a, T> {
    /// Its turn has come.
    Turn(Permit<'a>),
    /// What it was handed; it needs no turn for that.
    Handed(T),
}

/// A caller's permit: its turn lasts until it is dropped, also by a panic.
pub struct Permit<'a> {
    calls: &'a Calls,
    number: u64,
    /// How long it was waited for.
    pub waited: Duration,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.calls.end(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn ticket(number: u128) -> QueueTicket {
        let uuid = uuid::Builder::from_random_bytes(number.to_be_bytes()).into_uuid();
        uuid.to_string().parse().expect("a UUIDv4")
    }

    fn with_ticket(number: u128) -> Newcomer<'static> {
        Newcomer {
            ticket: Some(ticket(number)),
            ..Newcomer::PATIENT
        }
    }

    #[track_caller]
    fn until(what: &str, condition: impl Fn() -> bool) {
        let due = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < due, "waited in vain for {what}");
            thread::yield_now();
        }
    }

    #[test]
    fn tickets_are_version_4_as_usually_written() {
        for (text, expected) in [
            ("f47ac10b-58cc-4372-a567-0e02b2c3d479", true),
            ("F47AC10B-58CC-4372-A567-0E02B2C3D479", false),
            ("f47ac10b58cc4372a5670e02b2c3d479", false),
            ("f47ac10b-58cc-1372-a567-0e02b2c3d479", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<QueueTicket>().is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn never_more_than_so_many_at_once() {
        let (calls, now, most) = (
            Calls::new(3, 16, 16),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        let busy = || {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
        };
        thread::scope(|scope| {
            for worker in 0..16 {
                let (calls, busy) = (&calls, &busy);
                scope.spawn(move || {
                    for _ in 0..50 {
                        if worker % 2 == 0 {
                            calls.run("", busy);
                        } else {
                            let turn = calls.turn(Newcomer::PATIENT, Instant::now() + PATIENCE);
                            assert!(turn.is_ok());
                            busy();
                        }
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 3);
        let line = calls.line.lock();
        assert!(line.running.is_empty() && line.waiting.is_empty());
    }

    #[test]
    fn a_panic_ends_its_turn() {
        let calls = Calls::new(1, 1, 1);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            calls.run("", || panic!("on purpose"))
        }));
        assert!(caught.is_err());
        assert!(calls.turn(Newcomer::PATIENT, Instant::now()).is_ok());
    }

    #[test]
    fn first_come_first_served() {
        let calls = Calls::new(1, 16, 16);
        let order: Mutex<_> = Mutex::new(Vec::new());
        let first = calls.turn(Newcomer::PATIENT, Instant::now());
        thread::scope(|scope| {
            for number in 0..10_usize {
                let (calls, order) = (&calls, &order);
                scope.spawn(move || {
                    let turn = calls.turn(with_ticket(number as u128), Instant::now() + PATIENCE);
                    order.lock().push(number);
                    drop(turn);
                });
                until("it to wait", || calls.waiting() == number + 1);
            }
            let place = |number| match calls.standing(ticket(number), Instant::now()) {
                Standing::Waiting(found) => Some((found.place, found.waiting)),
                _ => None,
            };
            assert_eq!(place(0), Some((1, 10)));
            assert_eq!(place(9), Some((10, 10)));
            assert_eq!(place(10), None);
            drop(first);
        });
        assert_eq!(*order.lock(), (0..10).collect::<Vec<_>>());
        let standing = calls.standing(ticket(0), Instant::now());
        assert_eq!(standing, Standing::Unknown);
    }

    #[test]
    fn a_ticket_is_known_until_its_turn_ends() {
        let calls = Calls::new(1, 16, 16);
        let standing = |number| calls.standing(ticket(number), Instant::now());
        let deadline = Instant::now() + PATIENCE;
        let first = calls.turn(with_ticket(1), deadline);
        // A newcomer that need not wait is known as well.
        assert_eq!(standing(1), Standing::Starting);
        thread::scope(|scope| {
            let second = scope.spawn(|| calls.turn(with_ticket(2), deadline));
            until("it to wait", || matches!(standing(2), Standing::Waiting(_)));
            drop(first);
            assert_eq!(standing(1), Standing::Unknown);
            let second = second.join().expect("no panic");
            assert_eq!(standing(2), Standing::Starting);
            drop(second);
            assert_eq!(standing(2), Standing::Unknown);
        });
    }

    #[test]
    fn beyond_its_length_nobody_waits() {
        let calls = Calls::new(1, 2, 2);
        let turn = calls.turn(Newcomer::PATIENT, Instant::now());
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    assert!(
                        calls
                            .turn(Newcomer::PATIENT, Instant::now() + PATIENCE)
                            .is_ok()
                    );
                });
            }
            until("two to wait", || calls.waiting() == 2);
            let refused = calls.turn(Newcomer::PATIENT, Instant::now() + PATIENCE);
            assert!(matches!(
                refused.err(),
                // The estimate is a second for each, or more: the one that runs may have had its turn for longer by now.
                Some(NoTurn::Full { waiting: 2, retry_after }) if retry_after.as_secs() >= 2
            ));
            // The server's own calls are never refused, and are not counted.
            scope.spawn(|| calls.run("", || ()));
            until("the server to wait", || {
                calls.line.lock().waiting.len() == 3
            });
            assert_eq!(calls.waiting(), 2);
            drop(turn);
        });
    }

    #[test]
    fn one_household_does_not_take_the_whole_line() {
        let calls = Calls::new(1, 16, 2);
        let of = |last: u8| Newcomer {
            household: Some(IpAddr::from([10, 0, 0, last])),
            ..Newcomer::PATIENT
        };
        let deadline = Instant::now() + PATIENCE;
        let turn = calls.turn(of(1), deadline);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| assert!(calls.turn(of(1), deadline).is_ok()));
            }
            until("two to wait", || calls.waiting() == 2);
            let refused = calls.turn(of(1), deadline).err();
            assert!(
                matches!(refused, Some(NoTurn::HouseholdFull { waiting: 2, .. })),
                "{refused:?}"
            );
            scope.spawn(|| assert!(calls.turn(of(2), deadline).is_ok()));
            until("a neighbour to wait", || calls.waiting() == 3);
            drop(turn);
        });
    }

    #[test]
    fn waits_no_longer_than_it_may() {
        let calls = Calls::new(1, 4, 4);
        let turn = calls.turn(Newcomer::PATIENT, Instant::now());
        let late = calls.turn(Newcomer::PATIENT, Instant::now());
        assert!(matches!(late.err(), Some(NoTurn::TooLate { .. })));
        assert_eq!(calls.waiting(), 0);
        drop(turn);
        assert!(calls.turn(Newcomer::PATIENT, Instant::now()).is_ok());
    }

    /// A turn that hangs does not hold up the others for ever, and a dozen of them do not let a dozen more in.
    #[test]
    fn turns_that_take_far_too_long_hold_nobody_up() {
        let (calls, began) = (Calls::new(2, 16, 16), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut line = calls.line.lock();
        let mut enter = |seconds| line.enter(2, "", None, at(seconds)).1.is_none();
        assert!(enter(0) && enter(5), "there is room for two");
        assert!(!enter(19), "both run");
        drop(line);
        let running = || calls.line.lock().running.len();
        calls.admit(at(19));
        assert_eq!(running(), 2);
        calls.admit(at(20));
        assert_eq!(running(), 3, "the first one is stuck");
        let mut line = calls.line.lock();
        for second in 0..40 {
            line.enter(2, "", None, at(100 + 20 * second));
        }
        drop(line);
        calls.admit(at(10_000));
        calls.admit(at(20_000));
        calls.admit(at(30_000));
        calls.admit(at(40_000));
        calls.admit(at(50_000));
        assert_eq!(running(), 2 + STUCK_MOST);
    }

    /// The starts of one shell hang: those of another go on, one at a time, in their order.
    #[test]
    fn a_shell_whose_turns_are_slow_holds_up_no_other() {
        let (calls, began) = (Calls::new(2, 16, 16), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let enter = |shell, seconds| {
            let mut line = calls.line.lock();
            let (number, waits) = line.enter(2, shell, None, at(seconds));
            (number, waits.is_none())
        };
        assert!(enter("bad", 0).1 && enter("bad", 0).1);
        assert!(!enter("bad", 1).1);
        let (first, has_begun) = enter("good", 2);
        assert!(!has_begun, "they may yet be quick");
        calls.admit(at(2));
        let runs = |number| {
            let line = calls.line.lock();
            line.running.iter().any(|each| each.number == number)
        };
        assert!(!runs(first));
        calls.admit(at(3));
        assert!(runs(first), "beside two that are slow");
        let (second, has_begun) = enter("good", 4);
        assert!(!has_begun, "one at a time");
        let (third, has_begun) = enter("good", 5);
        assert!(!has_begun);
        calls.end(first);
        // The clock of `end` is the real one, by which nothing is slow yet.
        calls.admit(at(5));
        assert!(runs(second) && !runs(third));
        // The next shell waits while that turn is quick, and is not passed by a later one.
        let (other, has_begun) = enter("other", 6);
        assert!(!has_begun);
        let (later, has_begun) = enter("later", 8);
        assert!(!has_begun);
        calls.admit(at(8));
        assert!(runs(other) && !runs(later));
    }

    #[test]
    fn whoever_is_handed_what_it_waits_for_needs_no_turn() {
        let calls = Calls::new(1, 16, 16);
        let deadline = Instant::now() + PATIENCE;
        let turn = calls.turn(Newcomer::PATIENT, deadline);
        let (hand, handed) = bounded(1);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| calls.turn_or(Newcomer::PATIENT, deadline, &handed));
            until("it to wait", || calls.waiting() == 1);
            hand.send("a game").expect("it waits");
            let served = waiter.join().expect("no panic").ok();
            assert!(matches!(served, Some(Served::Handed("a game"))));
        });
        assert_eq!(calls.waiting(), 0);
        drop(turn);
        // It was handed its session after its turn had come: the turn goes to the next one.
        let (line, admitted) = bounded(1);
        line.send(()).expect("room");
        let number = calls.line.lock().enter(1, "", None, Instant::now()).0;
        calls.leave(number, &admitted);
        assert!(calls.line.lock().running.is_empty());
    }

    #[test]
    fn whoever_leaves_gives_its_place_up() {
        let calls = Calls::new(1, 4, 4);
        let turn = calls.turn(Newcomer::PATIENT, Instant::now());
        let has_left = AtomicBool::new(false);
        thread::scope(|scope| {
            let leaver = scope.spawn(|| {
                let newcomer = Newcomer {
                    has_left: &|| has_left.load(Ordering::SeqCst),
                    ..Newcomer::PATIENT
                };
                calls.turn(newcomer, Instant::now() + PATIENCE).err()
            });
            until("it to wait", || calls.waiting() == 1);
            has_left.store(true, Ordering::SeqCst);
            let left = leaver.join().expect("no panic");
            assert!(matches!(left, Some(NoTurn::Left { .. })), "{left:?}");
        });
        assert_eq!(calls.waiting(), 0);
        drop(turn);
    }
}
