//! What happens when a session's thread panics: its container is taken over again, as after a restart of the server.
//!
//! ```text
//!              panic                 a moment later
//!   supervisor::run ───────▶ let go of it ───────────────▶ supervisor::run, which finds out how the container is
//!                      the 2nd time in a row: and the terminal starts anew
//!                      the 7th time in a row: and the session is ended
//! ```
//!
//! At first a panic loses nothing else: session, pages and scrollback stay the same. A panic that comes again may come
//! from what the terminal keeps, so that is dropped next. A thread that panics each time would go on for ever: its session
//! is ended as others are, and its book is saved before its container is removed. A session that panics even then is tried
//! again, rarely, until the server stops; the next start then takes the container over.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use log::error;

use super::session::Session;
use super::state::{Event, Reason, State};
use super::{Manager, supervisor};
use crate::engine::{Attach, ContainerId};
use crate::terminal::Close;

/// The panic at which a session is given up: seven seconds after the first, with the pauses between them.
const MOST_IN_A_ROW: u32 = 7;
/// A thread that has run for this long counts its next panic as the first one.
const CALM: Duration = Duration::from_secs(60);
/// The pause between a panic and the next try: short at first, because most panics come only once.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(60);

/// What is done after a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// Go on, with everything as it is.
    GoOn,
    /// Go on, with nothing but the container.
    StartAnew,
    /// Save the book and remove the container.
    GiveUp,
}

/// What is due after `in_a_row` panics in a row, and the pause before it.
fn remedy(in_a_row: u32) -> (Remedy, Duration) {
    let remedy = match in_a_row {
        0..=1 => Remedy::GoOn,
        2..MOST_IN_A_ROW => Remedy::StartAnew,
        MOST_IN_A_ROW.. => Remedy::GiveUp,
    };
    // Ending a session runs other code than what has panicked so far, so it is tried soon.
    let before = if in_a_row < MOST_IN_A_ROW {
        1
    } else {
        MOST_IN_A_ROW
    };
    let doublings = in_a_row.saturating_sub(before).min(16);
    let pause = (PAUSE_FIRST * (1 << doublings)).min(PAUSE_LONGEST);
    (remedy, pause)
}

/// Runs a session from its first attach to its end, even when its code panics.
pub(super) fn run(
    manager: &Manager,
    session: &Arc<Session>,
    container: &ContainerId,
    first: Option<Attach>,
) {
    let mut first = first;
    let mut in_a_row = 0;
    loop {
        let began = Instant::now();
        let life = || supervisor::run(manager, session, container, first.take());
        if catch_unwind(AssertUnwindSafe(life)).is_ok() {
            return;
        }
        manager.metrics.lives.panics.inc();
        if session.snapshot().state.is_over() {
            return;
        }
        in_a_row = if began.elapsed() < CALM {
            in_a_row + 1
        } else {
            1
        };
        let (remedy, pause) = remedy(in_a_row);
        error!(
            "session={} container={container} its thread panicked, {in_a_row} times in a row: {} in {pause:?}",
            session.id,
            match remedy {
                Remedy::GoOn => "the container is taken over again",
                Remedy::StartAnew => "the container is taken over again with an empty terminal",
                Remedy::GiveUp => "the session is ended",
            }
        );
        // If this panics too, the next try starts from what it finds.
        let _ = catch_unwind(AssertUnwindSafe(|| apply(remedy, session)));
        if !may_go_on(manager, pause) {
            let _ = catch_unwind(AssertUnwindSafe(|| session.hub.close(Close::GoingAway)));
            // Illegal only when it was over already.
            let _ = session.step(Event::ServerLeaves);
            return;
        }
    }
}

/// Lets go of the container, and applies the remedy.
fn apply(remedy: Remedy, session: &Session) {
    // INVARIANT: done immediately: an attach that no thread reads holds the program up, and accepts keys whose echo no
    // page shows.
    session.hub.hang_up();
    session.hub.disconnect_input();
    let state = session.snapshot().state;
    if !matches!(state, State::Running | State::Prewarmed) {
        return;
    }
    // It is not known whether its shell still runs.
    session.set_unclear(true);
    match remedy {
        Remedy::GoOn => {}
        Remedy::StartAnew => {
            session.hub.start_anew();
            // A page that comes back is told, until there is an attach again.
            session.hub.engine_away();
            *session.applied_size.lock() = None;
            session.wants_redraw.store(true, Ordering::SeqCst);
        }
        // Illegal only when it has just ended by itself.
        Remedy::GiveUp => drop(session.order_end(Reason::InternalError)),
    }
}

/// Waits for the next try. Returns whether there is to be one: there is none when the grace period of the server's end is
/// over.
fn may_go_on(manager: &Manager, pause: Duration) -> bool {
    if manager.is_stopping() {
        return !manager.is_grace_over_within(pause);
    }
    // The server's end cuts this wait short: the next try then leaves the container or ends it.
    manager.has_stopped_within(pause);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(in_a_row: u32, expected: Remedy, pause_ms: u64) {
        assert_eq!(
            remedy(in_a_row),
            (expected, Duration::from_millis(pause_ms)),
            "{in_a_row} in a row"
        );
    }

    #[test]
    fn a_panic_that_comes_again_costs_more() {
        check(1, Remedy::GoOn, 100);
        check(2, Remedy::StartAnew, 200);
        check(6, Remedy::StartAnew, 3200);
        check(7, Remedy::GiveUp, 100);
        check(8, Remedy::GiveUp, 200);
        check(17, Remedy::GiveUp, 60_000);
        check(u32::MAX, Remedy::GiveUp, 60_000);
    }
}
