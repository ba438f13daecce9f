//! The reaper thread (`reaper`) does all periodic work: at first it takes over what the last life of the server
//! left; then it ends idle and old sessions, has changed books saved, forgets sessions that are long over, removes
//! containers of this instance that no session has, joins threads that are done, and forgets who has started no game
//! lately.
//!
//! What is due is decided by a pure function, [`judge`]; the thread only asks it and acts.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{info, warn};

use super::sandbox::{INSTANCE_LABEL, SESSION_LABEL};
use super::state::{Reason, State};
use super::{Error, Manager, Session, revoked};
use crate::engine::ContainerId;
use crate::terminal::frame::Notice;

/// The player is told when so much idle time is left.
const WARN_BEFORE: Duration = Duration::from_secs(60);
/// Recordings of ended sessions, all together: sixteen of the longest.
const RECORDINGS_BYTES: usize = 2 * 1024 * 1024;
/// A session that is over can be asked about for so long.
const REMEMBER: Duration = Duration::from_secs(10 * 60);
/// The longest pause between two tries to save a book, unless the interval itself is longer.
const LONGEST_SAVE_PAUSE: Duration = Duration::from_secs(60);
/// Beyond so many the pause would not fit.
const MOST_DOUBLINGS: u32 = 16;
/// How often the Engine is asked for containers that no session has. A list takes 22 ms at 200 containers.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Between two tries of a sweep while the Engine is away.
const SWEEP_RETRY: Duration = Duration::from_secs(2);
/// DOCKER: the Engine finishes what it was asked for by a client that has died since, so after a start containers
/// that nobody waits for may still appear.
const LAST_LIFE_ECHO: Duration = Duration::from_secs(20);
/// Between two tries to take over the last life's sessions.
const SETTLE_RETRY: Duration = Duration::from_millis(500);
const LONGEST_TICK: Duration = Duration::from_secs(5);

/// What the rules need to know of a session.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Where it is in its life.
    pub state: State,
    /// Since the last human input, or since the game was ready.
    pub idle: Duration,
    /// Since the game was ready.
    pub age: Duration,
    /// Since it was over.
    pub over: Option<Duration>,
    /// Since its book was looked at last; none if never.
    pub book_checked: Option<Duration>,
    /// Tries to save its book that failed, one after the other.
    pub book_failures: u32,
}

/// How long sessions live.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Without human input.
    pub idle_timeout: Duration,
    /// In all.
    pub max_lifetime: Option<Duration>,
    /// Between two looks at a book.
    pub save_interval: Duration,
}

/// What is to be done with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// Tell the player that so much time is left before the session ends for that reason.
    Warn(Reason, Duration),
    /// End it.
    End(Reason),
    /// Drop its record.
    Forget,
}

/// Decides what is due.
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
    // With a short limit the last minute would be all of it.
    let is_soon = |left: Duration, limit: Duration| left <= WARN_BEFORE.min(limit / 4);
    let old_age = life_left
        .zip(rules.max_lifetime)
        .filter(|&(left, most)| is_soon(left, most))
        .map(|(left, _)| (left, Reason::MaxLifetime));
    let idle = Some((idle_left, Reason::Idle)).filter(|_| is_soon(idle_left, rules.idle_timeout));
    // The one that comes first; of two at once the one that no key puts off.
    let first = old_age
        .into_iter()
        .chain(idle)
        .min_by_key(|&(left, _)| left);
    first.map_or(Verdict::Keep, |(left, reason)| Verdict::Warn(reason, left))
}

/// Whether the session's book may have changed since it was looked at, and that was long enough ago. Without human input
/// nothing changes in a game shell; what a program of its own writes is saved at the end. What failed is tried again by
/// the clock, after a pause that doubles.
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
    // Never later than a tenth of the limit, so that tests with short limits see what operators see.
    let tick = (manager.settings.idle_timeout / 10)
        .min(manager.settings.save_interval / 2)
        .clamp(Duration::from_millis(20), LONGEST_TICK);
    thread::Builder::new().name("reaper".into()).spawn(move || {
        if !settle(&manager) {
            return;
        }
        let settled = Instant::now();
        let mut next_sweep = settled;
        let mut revoked_pace = revoked::Pace::new(settled);
        loop {
            pass(&manager, Instant::now());
            manager.join_finished_threads();
            manager.forget_stale_records();
            manager.learn_revoked_at(&mut revoked_pace);
            manager.rates.sweep();
            manager.note_history(Instant::now());
            manager.stored.sweep(Instant::now());
            if Instant::now() >= next_sweep {
                let pause = if settled.elapsed() < LAST_LIFE_ECHO {
                    SWEEP_RETRY
                } else {
                    SWEEP_EVERY
                };
                next_sweep = Instant::now() + sweep(&manager).min(pause);
            }
            if manager.has_stopped_within(tick) {
                return;
            }
        }
    })
}

/// Takes over what there is, however long the Engine and the store need. Returns whether the server goes on.
fn settle(manager: &Arc<Manager>) -> bool {
    loop {
        match manager.settle() {
            Ok(()) => return true,
            Err(error) => {
                manager.metrics.count_reaper_failure("settle");
                warn!("the sessions of before the start are not taken over yet: {error}");
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
    let metrics = &manager.metrics;
    for session in manager.list() {
        let view = view(&session, now);
        if is_save_due(view, rules) && manager.queue_save(&session) {
            metrics.reaper_saves_queued.inc();
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
                    metrics.count_reaped(reason.as_str());
                }
            }
            Verdict::Forget => {
                manager.sessions.write().remove(&session.id);
            }
        }
        if manager.wanted_size(&session).is_some() && session.snapshot().state == State::Running {
            manager.queue_resize(&session);
        }
    }
    drop_old_recordings(manager);
    metrics.count_pass();
}

/// Ended sessions are remembered for a while, and their recordings with them: of those that ended last, so much that
/// whoever starts game after game does not fill the memory.
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

/// Removes containers of this instance that no session has: what a crash or an outage left behind. Returns
/// when to come again.
fn sweep(manager: &Manager) -> Duration {
    match try_sweep(manager, || manager.is_stopping()) {
        Ok(0) => SWEEP_EVERY,
        Ok(removed) => {
            info!("sweep: {removed} containers without a session removed");
            SWEEP_EVERY
        }
        Err(error) => {
            manager.metrics.count_reaper_failure("sweep");
            warn!("sweep: {error}");
            SWEEP_RETRY
        }
    }
}

/// The sweep at the end of a drain, when no session is left: what is still there is nobody's.
pub(super) fn last_sweep(manager: &Manager, deadline: Instant) {
    if let Err(error) = try_sweep(manager, || Instant::now() >= deadline) {
        warn!("the last sweep: {error}");
    }
}

fn try_sweep(manager: &Manager, is_over: impl Fn() -> bool) -> Result<usize, Error> {
    let mut removed = 0;
    for container in manager
        .engine
        .list(&[(INSTANCE_LABEL, &manager.settings.instance)])?
    {
        let session_id = container
            .labels
            .get(SESSION_LABEL)
            .map_or("", String::as_str);
        // INVARIANT: a session enters the map before its container is created, so what is listed and not
        // in the map has no session.
        if is_over() {
            break;
        }
        if manager.is_ours_alive(session_id, &container.id)
            || !is_still_there(manager, &container.id)?
        {
            continue;
        }
        manager.metrics.leftovers_found.inc();
        // INVARIANT: first its book, then the container.
        manager.keep_lost_book(session_id, &container.id)?;
        manager.calls.run(|| manager.engine.remove(&container.id))?;
        forget_dead(manager, session_id);
        manager.metrics.leftovers_removed.inc();
        removed += 1;
    }
    Ok(removed)
}

/// Whether the Engine has the container even now. The list may be old: a session that ended since has removed its
/// container itself. INVARIANT: asked after [`Manager::is_ours_alive`], for a session is over only when its container is
/// removed.
fn is_still_there(manager: &Manager, container: &ContainerId) -> Result<bool, Error> {
    match manager.engine.inspect(container) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Where a session could not be ended as it should, its record may still be there.
fn forget_dead(manager: &Manager, session_id: &str) {
    let Ok(id) = session_id.parse() else { return };
    let is_alive = manager
        .get(id)
        .is_ok_and(|session| !session.snapshot().state.is_over());
    if !is_alive {
        manager.forget_record(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::frame::Kind;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Idle, age and time since the end in minutes, against 15 minutes idle and 60 minutes in all.
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
        // Both are near: told is the one that comes first, and of two at once the one that no key puts off.
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

    /// Only the idle warning may promise that a key helps.
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
