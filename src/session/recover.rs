//! What happens when a session's thread panics: its container is taken over again, as after a restart of the server.
//!
//! ```text
//!              panic                 a moment later
//!   supervisor::run ───────▶ let go of it ───────────────▶ supervisor::run, which finds out how the container is
//!                      the 2nd time in a row: and the terminal starts anew
//!                      the 7th time in a row: and the session is ended
//! ```
//!
//! Nothing but a panic is lost at first: session, pages and scrollback are the same. A panic that comes again may come
//! from what the terminal keeps, so that is dropped next. A thread that panics each time would go on for ever: its
//! session is ended like others are, its book saved before its container goes. Whatever panics even then is tried
//! again, seldom, until the server stops; and then the next start takes the container over.

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

/// The panic with which a session is given up: seven seconds after the first, with the pauses between them.
const MOST_IN_A_ROW: u32 = 7;
/// A thread that has run for so long panics for the first time again.
const CALM: Duration = Duration::from_secs(60);
/// Between a panic and the next try: short at first, for most come once.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(60);

/// What is done about a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// Go on with everything as it is.
    GoOn,
    /// Go on with nothing but the container.
    StartAnew,
    /// Save the book, remove the container.
    GiveUp,
}

/// What is due after so many panics in a row, and after how long.
fn remedy(in_a_row: u32) -> (Remedy, Duration) {
    let remedy = match in_a_row {
        0..=1 => Remedy::GoOn,
        2..MOST_IN_A_ROW => Remedy::StartAnew,
        MOST_IN_A_ROW.. => Remedy::GiveUp,
    };
    // The end is another thing than what panicked so far, so it is tried soon.
    let before = if in_a_row < MOST_IN_A_ROW {
        1
    } else {
        MOST_IN_A_ROW
    };
    let doublings = in_a_row.saturating_sub(before).min(16);
    let pause = (PAUSE_FIRST * (1 << doublings)).min(PAUSE_LONGEST);
    (remedy, pause)
}

/// Runs a session from its first attach to its end, whatever panics.
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
        // Where this panics too, the next try finds what it finds.
        let _ = catch_unwind(AssertUnwindSafe(|| apply(remedy, session)));
        if !may_go_on(manager, pause) {
            let _ = catch_unwind(AssertUnwindSafe(|| session.hub.close(Close::GoingAway)));
            // Illegal only when it was over already.
            let _ = session.step(Event::ServerLeaves);
            return;
        }
    }
}

/// Lets go of the container, and does what the remedy is.
fn apply(remedy: Remedy, session: &Session) {
    // INVARIANT: immediately: an attach that nobody reads holds the program, and takes keys whose echo nobody sees.
    session.hub.hang_up();
    session.hub.disconnect_input();
    let state = session.snapshot().state;
    if !matches!(state, State::Running | State::Prewarmed) {
        return;
    }
    // Nobody knows whether its shell still runs.
    session.set_unclear(true);
    match remedy {
        Remedy::GoOn => {}
        Remedy::StartAnew => {
            session.hub.start_anew();
            // Whoever comes back is told, until there is an attach again.
            session.hub.engine_away();
            *session.applied_size.lock() = None;
            session.wants_redraw.store(true, Ordering::SeqCst);
        }
        // Illegal only when it has just ended by itself.
        Remedy::GiveUp => drop(session.order_end(Reason::InternalError)),
    }
}

/// Waits for the next try. Returns whether there is to be one: not when the grace of the server's end is over.
fn may_go_on(manager: &Manager, pause: Duration) -> bool {
    if manager.is_stopping() {
        return !manager.is_abandoned_within(pause);
    }
    // Cut short by the server's end: then the next try leaves the container or ends it.
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
