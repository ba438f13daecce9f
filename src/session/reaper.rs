//! The reaper thread (`reaper`): ends idle and old sessions, forgets those that are long over, removes
//! containers of this instance that no session has, joins threads that are done.
//!
//! What is due is decided by a pure function, [`judge`]; the thread only asks it and acts.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{info, warn};

use super::sandbox::{INSTANCE_LABEL, SESSION_LABEL};
use super::state::{Reason, State};
use super::{Manager, Session};
use crate::engine;
use crate::terminal::frame::Notice;

/// The player is told when so much idle time is left.
const WARN_BEFORE: Duration = Duration::from_secs(60);
/// A session that is over can be asked about for so long.
const REMEMBER: Duration = Duration::from_secs(10 * 60);
/// How often the Engine is asked for containers that no session has. A list takes 22 ms at 200 containers.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Between two tries of a sweep while the Engine is away.
const SWEEP_RETRY: Duration = Duration::from_secs(2);
const LONGEST_TICK: Duration = Duration::from_secs(5);

/// What the rules need to know of a session.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Where it is in its life.
    pub state: State,
    /// Since the last human input, or the start.
    pub idle: Duration,
    /// Since the start.
    pub age: Duration,
    /// Since it was over.
    pub over: Option<Duration>,
}

/// How long sessions live.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Without human input.
    pub idle_timeout: Duration,
    /// In all.
    pub max_lifetime: Option<Duration>,
}

/// What is to be done with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// Tell the player that so much time is left.
    Warn(Duration),
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
    let left = life_left.map_or(idle_left, |life_left| life_left.min(idle_left));
    // With a short limit the last minute would be all of it.
    let warn_before = WARN_BEFORE.min(rules.idle_timeout / 4);
    if left <= warn_before {
        Verdict::Warn(left)
    } else {
        Verdict::Keep
    }
}

/// Starts the thread. It returns when the manager stops.
pub(super) fn spawn(manager: Arc<Manager>) -> io::Result<JoinHandle<()>> {
    // Never later than a tenth of the limit, so that tests with short limits see what operators see.
    let tick = (manager.settings.idle_timeout / 10).clamp(Duration::from_millis(20), LONGEST_TICK);
    thread::Builder::new().name("reaper".into()).spawn(move || {
        let mut next_sweep = Instant::now();
        loop {
            pass(&manager, Instant::now());
            manager.join_finished_threads();
            if Instant::now() >= next_sweep {
                next_sweep = Instant::now() + sweep(&manager);
            }
            if manager.has_stopped_within(tick) {
                return;
            }
        }
    })
}

fn pass(manager: &Manager, now: Instant) {
    let rules = Rules {
        idle_timeout: manager.settings.idle_timeout,
        max_lifetime: manager.settings.max_lifetime,
    };
    for session in manager.list() {
        match judge(view(&session, now), rules) {
            Verdict::Keep => session
                .was_warned
                .store(false, std::sync::atomic::Ordering::Relaxed),
            Verdict::Warn(left) => {
                if session.take_warning() {
                    let seconds = left.as_secs().max(1);
                    session.hub.notify(&Notice::idle_warning(seconds));
                }
            }
            Verdict::End(reason) => {
                info!("session={} reaped reason={}", session.id, reason.as_str());
                // Illegal only when it has just ended by itself.
                let _ = session.order_end(reason);
            }
            Verdict::Forget => {
                manager.sessions.write().remove(&session.id);
            }
        }
        if manager.wanted_size(&session).is_some() && session.snapshot().state == State::Running {
            manager.queue_resize(&session);
        }
    }
}

fn view(session: &Session, now: Instant) -> View {
    let life = session.snapshot();
    View {
        state: life.state,
        idle: now.saturating_duration_since(session.hub.last_input()),
        age: now.saturating_duration_since(session.started),
        over: life.over_at.map(|at| now.saturating_duration_since(at)),
    }
}

/// Removes containers of this instance that no session has: what a crash or an outage left behind. Returns
/// when to come again.
fn sweep(manager: &Manager) -> Duration {
    match try_sweep(manager) {
        Ok(0) => SWEEP_EVERY,
        Ok(removed) => {
            info!("sweep: {removed} containers without a session removed");
            SWEEP_EVERY
        }
        Err(error) => {
            warn!("sweep: {error}");
            SWEEP_RETRY
        }
    }
}

fn try_sweep(manager: &Manager) -> Result<usize, engine::Error> {
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
        if manager.is_ours_alive(session_id) || manager.is_stopping() {
            continue;
        }
        manager.calls.run(|| manager.engine.remove(&container.id))?;
        manager.metrics.leftovers_removed.inc();
        removed += 1;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Idle, age and time since the end in minutes, against 15 minutes idle and 60 minutes in all.
    #[track_caller]
    fn check(state: State, idle: f32, age: f32, over: Option<f32>, expected: Verdict) {
        let minutes = |count: f32| MINUTE.mul_f32(count);
        let rules = Rules {
            idle_timeout: MINUTE * 15,
            max_lifetime: Some(MINUTE * 60),
        };
        let view = View {
            state,
            idle: minutes(idle),
            age: minutes(age),
            over: over.map(minutes),
        };
        assert_eq!(judge(view, rules), expected);
    }

    #[test]
    fn idle_and_lifetime() {
        use Verdict::{End, Keep, Warn};
        check(State::Running, 0.0, 0.0, None, Keep);
        check(State::Running, 13.9, 20.0, None, Keep);
        check(State::Running, 14.5, 20.0, None, Warn(MINUTE / 2));
        check(State::Running, 15.0, 20.0, None, End(Reason::Idle));
        check(State::Running, 1000.0, 20.0, None, End(Reason::Idle));
        check(State::Running, 0.0, 59.5, None, Warn(MINUTE / 2));
        check(State::Running, 0.0, 60.0, None, End(Reason::MaxLifetime));
        check(State::Running, 15.0, 60.0, None, End(Reason::MaxLifetime));
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
    fn a_short_limit_warns_late() {
        let rules = Rules {
            idle_timeout: Duration::from_secs(8),
            max_lifetime: None,
        };
        let view = |idle| View {
            state: State::Running,
            idle: Duration::from_secs(idle),
            age: MINUTE,
            over: None,
        };
        assert_eq!(judge(view(5), rules), Verdict::Keep);
        assert_eq!(judge(view(6), rules), Verdict::Warn(Duration::from_secs(2)));
    }
}
