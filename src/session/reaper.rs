//! The reaper thread (`reaper`) does all periodic work. First it takes over what the server's last life left. Then it ends
//! idle and old sessions, has changed books saved, forgets sessions that are long over, joins threads that are done, and
//! forgets addresses and players that have started no game lately.
//!
//! A pure function, [`judge`], decides what is due; the thread only asks it and acts.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log::info;

use super::metrics::Work;
use super::state::{Reason, State};
use super::{Manager, Session, revoked};
use crate::terminal::frame::Notice;
use crate::threads;
use crate::warn_throttled;

/// The player is warned when this much idle time is left.
const WARN_BEFORE: Duration = Duration::from_secs(60);
/// The memory for the recordings of ended sessions, all together: sixteen of the longest.
const RECORDINGS_BYTES: usize = 2 * 1024 * 1024;
/// How long a session that is over can still be asked about.
const REMEMBER: Duration = Duration::from_secs(10 * 60);
/// The longest pause between two tries to save a book, unless the interval itself is longer.
const LONGEST_SAVE_PAUSE: Duration = Duration::from_secs(60);
/// With more doublings than this the pause would overflow.
const MOST_DOUBLINGS: u32 = 16;
/// How often the server looks whether it has joined its fleet.
const JOIN_LOOK: Duration = Duration::from_millis(20);
/// The pause between two tries to take over the last life's sessions.
const SETTLE_RETRY: Duration = Duration::from_millis(500);
const LONGEST_TICK: Duration = Duration::from_secs(5);

/// What the rules need to know about a session.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// The state it is in.
    pub state: State,
    /// The time since the last human input, or since the game was ready.
    pub idle: Duration,
    /// The time since the game was ready.
    pub age: Duration,
    /// The time since it was over, if it is.
    pub over: Option<Duration>,
    /// The time since its book was looked at last; none if it never was.
    pub book_checked: Option<Duration>,
    /// How many tries to save its book have failed in a row.
    pub book_failures: u32,
}

/// How long sessions live.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// A session ends after this long without human input.
    pub idle_timeout: Duration,
    /// The longest lifetime of a session.
    pub max_lifetime: Option<Duration>,
    /// The time between two looks at a book.
    pub save_interval: Duration,
}

/// What is to be done about a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Do nothing.
    Keep,
    /// Warn the player that the session ends for this reason in this time.
    Warn(Reason, Duration),
    /// End it.
    End(Reason),
    /// Drop its record.
    Forget,
}

/// Decides what is due for a session.
pub fn judge(view: View, rules: Rules) -> Verdict {
    if let Some(over) = view.over {
        return if over >= REMEMBER {
            Verdict::Forget
        } else {
            Verdict::Keep
        };
    }
    if view.state != State::Running {
        return Verdict::Keep;
    }
    let life_left = rules.max_lifetime.map(|most| most.saturating_sub(view.age));
    let idle_left = rules.idle_timeout.saturating_sub(view.idle);
    if life_left == Some(Duration::ZERO) {
        return Verdict::End(Reason::MaxLifetime);
    }
    if idle_left.is_zero() {
        return Verdict::End(Reason::Idle);
    }
    // With a short limit the last minute would otherwise be all of it.
    let is_soon = |left: Duration, limit: Duration| left <= WARN_BEFORE.min(limit / 4);
    let old_age = life_left
        .zip(rules.max_lifetime)
        .filter(|&(left, most)| is_soon(left, most))
        .map(|(left, _)| (left, Reason::MaxLifetime));
    let idle = Some((idle_left, Reason::Idle)).filter(|_| is_soon(idle_left, rules.idle_timeout));
    // The ending that comes first counts; of two at the same time, the one that no key puts off.
    let first = old_age
        .into_iter()
        .chain(idle)
        .min_by_key(|&(left, _)| left);
    first.map_or(Verdict::Keep, |(left, reason)| Verdict::Warn(reason, left))
}

/// Whether the session's book may have changed since it was looked at, and that look was long enough ago. Without human
/// input nothing changes in a game shell; what a program of the player's writes is saved at the end. A save that failed is
/// tried again by the clock, after a pause that doubles.
pub fn is_save_due(view: View, rules: Rules) -> bool {
    let checked = view.book_checked.unwrap_or(view.age);
    let doublings = view.book_failures.saturating_sub(1).min(MOST_DOUBLINGS);
    let pause = (rules.save_interval * (1 << doublings))
        .min(LONGEST_SAVE_PAUSE)
        .max(rules.save_interval);
    let may_have_changed = view.idle <= checked || view.book_failures > 0;
    view.state == State::Running && checked >= pause && may_have_changed
}

/// Starts the thread. It returns when the manager stops.
pub(super) fn spawn(manager: Arc<Manager>) -> io::Result<JoinHandle<()>> {
    // The pause is never longer than a tenth of the limit, so that tests with short limits see what operators see.
    let tick = (manager.settings.idle_timeout / 10)
        .min(manager.settings.save_interval / 2)
        .clamp(Duration::from_millis(20), LONGEST_TICK);
    threads::spawn(threads::Kind::Reaper, move || {
        if !adopt_all(&manager) {
            return;
        }
        let mut next_poll = revoked::NextPoll::new(Instant::now());
        loop {
            pass(&manager, Instant::now());
            threads::join_finished(&mut manager.threads.lock());
            manager.forget_stale_records();
            manager.adopt_games_again();
            manager.learn_revoked_at(&mut next_poll);
            manager.rates.sweep();
            manager.note_history(Instant::now());
            manager.stored.sweep(Instant::now());
            if manager.has_stopped_within(tick) {
                return;
            }
        }
    })
}

/// Takes over the last life's sessions, however long the Engine and the store need. Returns whether the server goes on.
fn adopt_all(manager: &Arc<Manager>) -> bool {
    while !manager.store.has_joined() {
        if manager.has_stopped_within(JOIN_LOOK) {
            return false;
        }
    }
    loop {
        match manager.adopt_all() {
            Ok(()) => return true,
            Err(error) => {
                manager.metrics.reaper.count_failure(Work::Settle);
                warn_throttled!("the sessions of before the start are not taken over yet: {error}");
            }
        }
        if manager.has_stopped_within(SETTLE_RETRY) {
            return false;
        }
    }
}

fn pass(manager: &Manager, now: Instant) {
    let rules = Rules {
        idle_timeout: manager.settings.idle_timeout,
        max_lifetime: manager.settings.max_lifetime,
        save_interval: manager.settings.save_interval,
    };
    let metrics = &manager.metrics.reaper;
    for session in manager.list() {
        let view = view(&session, now);
        if is_save_due(view, rules) && manager.queue_save(&session) {
            metrics.saves_queued.inc();
        }
        match judge(view, rules) {
            Verdict::Keep => {
                session.is_news(None);
            }
            Verdict::Warn(reason, left) => {
                if session.is_news(Some(reason)) {
                    session.hub.notify(&warning(reason, left));
                }
            }
            Verdict::End(reason) => {
                // Illegal only when it has just ended by itself.
                if session.order_end(reason).is_ok() {
                    info!("session={} reaped reason={}", session.id, reason.as_str());
                    metrics.ended.of(reason).inc();
                }
            }
            Verdict::Forget => {
                manager.sessions.remove(session.id);
            }
        }
        if manager.wanted_size(&session).is_some() && session.snapshot().state == State::Running {
            manager.queue_resize(&session);
        }
    }
    drop_old_recordings(manager);
    metrics.count_pass();
}

/// Drops the recordings of sessions that ended longest ago. Ended sessions are remembered for a while, and their
/// recordings with them, but only up to a limit, so that a player who starts game after game does not fill the memory.
fn drop_old_recordings(manager: &Manager) {
    let mut over: Vec<_> = manager
        .list()
        .into_iter()
        .filter_map(|session| Some((session.snapshot().over_at?, session)))
        .collect();
    over.sort_by_key(|(over_at, _)| *over_at);
    let mut kept_bytes = 0;
    for (_, session) in over.iter().rev() {
        kept_bytes += session.hub.recording_bytes();
        if kept_bytes > RECORDINGS_BYTES && session.hub.drop_recording() {
            info!(
                "session={} its recording is dropped: newer ones need the room",
                session.id
            );
        }
    }
}

fn warning(reason: Reason, left: Duration) -> Notice {
    let seconds = left.as_secs().max(1);
    match reason {
        Reason::MaxLifetime => Notice::lifetime_warning(seconds),
        _ => Notice::idle_warning(seconds),
    }
}

fn view(session: &Session, now: Instant) -> View {
    let life = session.snapshot();
    let (checked, failures) = {
        let notes = session.book.lock();
        (notes.checked, notes.failures)
    };
    View {
        state: life.state,
        idle: session.idle(now),
        age: session.age(now),
        over: life.over_at.map(|at| now.saturating_duration_since(at)),
        book_checked: checked.map(|at| now.saturating_duration_since(at)),
        book_failures: failures,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::frame::Kind;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Checks the verdict for idle time, age and time since the end in minutes, with limits of 15 minutes idle and 60
    /// minutes of age.
    #[track_caller]
    fn check(state: State, idle: f32, age: f32, over: Option<f32>, expected: Verdict) {
        let minutes = |count: f32| MINUTE.mul_f32(count);
        let rules = Rules {
            idle_timeout: MINUTE * 15,
            max_lifetime: Some(MINUTE * 60),
            save_interval: MINUTE,
        };
        let view = View {
            state,
            idle: minutes(idle),
            age: minutes(age),
            over: over.map(minutes),
            book_checked: None,
            book_failures: 0,
        };
        assert_eq!(judge(view, rules), expected);
    }

    #[test]
    fn idle_and_lifetime() {
        use Reason::{Idle, MaxLifetime};
        use Verdict::{End, Keep, Warn};
        check(State::Running, 0.0, 0.0, None, Keep);
        check(State::Running, 13.9, 20.0, None, Keep);
        check(State::Running, 14.5, 20.0, None, Warn(Idle, MINUTE / 2));
        check(State::Running, 15.0, 20.0, None, End(Reason::Idle));
        check(State::Running, 1000.0, 20.0, None, End(Reason::Idle));
        check(
            State::Running,
            0.0,
            59.5,
            None,
            Warn(MaxLifetime, MINUTE / 2),
        );
        check(State::Running, 0.0, 60.0, None, End(Reason::MaxLifetime));
        check(State::Running, 15.0, 60.0, None, End(Reason::MaxLifetime));
        // Both endings are near: the player is told of the one that comes first, and of two at the same time, the one that
        // no key puts off.
        check(State::Running, 14.75, 59.5, None, Warn(Idle, MINUTE / 4));
        check(
            State::Running,
            14.25,
            59.5,
            None,
            Warn(MaxLifetime, MINUTE / 2),
        );
        check(
            State::Running,
            14.5,
            59.5,
            None,
            Warn(MaxLifetime, MINUTE / 2),
        );
    }

    #[test]
    fn only_running_sessions_are_ended() {
        for state in [
            State::Creating,
            State::Ending,
            State::Stopped,
            State::Saving,
        ] {
            check(state, 100.0, 100.0, None, Verdict::Keep);
        }
    }

    #[test]
    fn what_is_over_is_forgotten_after_a_while() {
        check(State::Removed, 100.0, 100.0, Some(9.9), Verdict::Keep);
        check(State::Removed, 100.0, 100.0, Some(10.0), Verdict::Forget);
        check(State::Missing, 0.0, 0.0, Some(10.0), Verdict::Forget);
    }

    #[test]
    fn books_are_looked_at_after_input_and_not_too_often() {
        let rules = Rules {
            idle_timeout: MINUTE * 15,
            max_lifetime: None,
            save_interval: MINUTE,
        };
        let due_after = |state, idle: u64, age: u64, checked: Option<u64>, failures| {
            let view = View {
                state,
                idle: Duration::from_secs(idle),
                age: Duration::from_secs(age),
                over: None,
                book_checked: checked.map(Duration::from_secs),
                book_failures: failures,
            };
            is_save_due(view, rules)
        };
        let due = |state, idle, age, checked| due_after(state, idle, age, checked, 0);
        assert!(due(State::Running, 10, 70, None));
        assert!(!due(State::Running, 10, 50, None), "too soon");
        assert!(due(State::Running, 10, 500, Some(60)));
        assert!(!due(State::Running, 10, 500, Some(59)), "too soon");
        assert!(
            !due(State::Running, 90, 500, Some(80)),
            "nothing typed since"
        );
        assert!(!due(State::Ending, 10, 500, Some(80)));
        assert!(!due(State::Prewarmed, 10, 500, None));
        assert!(
            due_after(State::Running, 500, 500, Some(60), 1),
            "retried though nobody types"
        );
        assert!(
            !due_after(State::Running, 500, 500, Some(59), 1),
            "too soon"
        );
        assert!(
            due_after(State::Running, 500, 500, Some(60), u32::MAX),
            "never given up"
        );
        let rules = Rules {
            save_interval: Duration::from_secs(5),
            ..rules
        };
        let due_after = |checked: u64, failures| {
            let view = View {
                state: State::Running,
                idle: MINUTE,
                age: MINUTE,
                over: None,
                book_checked: Some(Duration::from_secs(checked)),
                book_failures: failures,
            };
            is_save_due(view, rules)
        };
        for (failures, pause) in [(1, 5), (2, 10), (3, 20), (5, 60), (99, 60)] {
            assert!(
                due_after(pause, failures) && !due_after(pause - 1, failures),
                "{failures}"
            );
        }
    }

    #[test]
    fn a_short_limit_warns_late() {
        let rules = Rules {
            idle_timeout: Duration::from_secs(8),
            max_lifetime: None,
            save_interval: MINUTE,
        };
        let view = |idle| View {
            state: State::Running,
            idle: Duration::from_secs(idle),
            age: MINUTE,
            over: None,
            book_checked: None,
            book_failures: 0,
        };
        assert_eq!(judge(view(5), rules), Verdict::Keep);
        assert_eq!(
            judge(view(6), rules),
            Verdict::Warn(Reason::Idle, Duration::from_secs(2))
        );
    }

    /// Only the idle warning may promise that pressing a key helps.
    #[test]
    fn each_end_has_a_warning_of_its_own() {
        let idle = warning(Reason::Idle, MINUTE);
        assert_eq!((idle.kind, idle.ends_in), (Kind::IdleWarning, Some(60)));
        assert!(idle.text.contains("key"), "{idle:?}");
        let old_age = warning(Reason::MaxLifetime, Duration::from_millis(300));
        assert_eq!(
            (old_age.kind, old_age.ends_in),
            (Kind::LifetimeWarning, Some(1))
        );
        assert!(!old_age.text.contains("key"), "{old_age:?}");
    }
}
