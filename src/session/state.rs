//! The life of a session, drawn and enforced.
//!
//! ```text
//!             prepared               claimed
//!   creating ─────────▶ prewarmed ──────────┐
//!      │  │   ready                         ▼        shell ended
//!      │  └────────────────────────────▶ running ────────────────▶ stopped ──┐ save
//!      │ failed                             │ end wanted                     ▼
//!      ▼                                    └───────────▶ ending ────────▶ saving ─▶ removed
//!   removed                                                  shell ended
//!
//!   from prewarmed to saving:  container gone ─▶ missing      server leaves ─▶ kept
//! ```
//!
//! Pure: one function from a state and an event to the next state. A prewarmed session can end in the same ways as a
//! running one.

use serde::Serialize;

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Its container is being made.
    Creating,
    /// Its shell runs, and waits for a player.
    Prewarmed,
    /// Its shell runs.
    Running,
    /// The end was decided; its container is being killed.
    Ending,
    /// Its shell has ended; the container still exists.
    Stopped,
    /// Its container is dead; what must be kept of it is being saved.
    Saving,
    /// Its container was removed by this server.
    Removed,
    /// Its container is gone, and this server did not remove it.
    Missing,
    /// The server stops, and leaves its container to the next server.
    Kept,
}

/// What happens to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The container runs and is attached.
    Ready,
    /// The container runs and is attached, and no player has asked for it yet.
    Prepared,
    /// A player gets it.
    Claimed,
    /// The container could not be made.
    Failed,
    /// The session is to end: the player, an operator, the reaper or the end of the server wants it.
    EndWanted,
    /// The container's first process has ended.
    ShellEnded,
    /// The server is about to read from the dead container what must be kept.
    SaveBegan,
    /// The container was removed.
    Removed,
    /// The Engine no longer knows the container.
    ContainerGone,
    /// The server ends, and leaves the container alone from now on.
    ServerLeaves,
}

/// An event that can't happen in a state: a fault in our own code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session that is {state:?} can't meet {event:?}")]
pub struct Illegal {
    /// The state that the session was in.
    pub state: State,
    /// The event that was reported.
    pub event: Event,
}

impl State {
    /// The state that `event` leads to.
    ///
    /// # Errors
    /// [`Illegal`]; the state then stays as it was.
    pub fn next(self, event: Event) -> Result<State, Illegal> {
        use Event::{
            Claimed, ContainerGone, EndWanted, Failed, Prepared, Ready, Removed, SaveBegan,
            ServerLeaves, ShellEnded,
        };
        use State::{Creating, Ending, Kept, Missing, Prewarmed, Running, Saving, Stopped};
        match (self, event) {
            (Creating, Ready) | (Prewarmed, Claimed) => Ok(Running),
            (Creating, Prepared) => Ok(Prewarmed),
            (Creating, Failed) => Ok(State::Removed),
            (Running | Prewarmed, EndWanted) => Ok(Ending),
            (Running | Prewarmed, ShellEnded) => Ok(Stopped),
            // Wanting an end twice, or when it has come already, is no fault: several threads may want it at the same
            // time.
            (Ending | Stopped | Saving, EndWanted) => Ok(self),
            (Ending, ShellEnded) | (Stopped, SaveBegan) => Ok(Saving),
            // A save that failed is tried again.
            (Saving, SaveBegan) => Ok(Saving),
            (Saving, Removed) => Ok(State::Removed),
            (Running | Prewarmed | Ending | Stopped | Saving, ContainerGone) => Ok(Missing),
            (Running | Prewarmed | Ending | Stopped | Saving, ServerLeaves) => Ok(Kept),
            (state, event) => Err(Illegal { state, event }),
        }
    }

    /// All states, for metrics.
    pub const ALL: [State; 9] = [
        State::Creating,
        State::Prewarmed,
        State::Running,
        State::Ending,
        State::Stopped,
        State::Saving,
        State::Removed,
        State::Missing,
        State::Kept,
    ];

    /// The state's word, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Creating => "creating",
            State::Prewarmed => "prewarmed",
            State::Running => "running",
            State::Ending => "ending",
            State::Stopped => "stopped",
            State::Saving => "saving",
            State::Removed => "removed",
            State::Missing => "missing",
            State::Kept => "kept",
        }
    }

    /// The status that clients are told.
    pub fn status(self) -> Status {
        match self {
            State::Creating | State::Prewarmed | State::Running | State::Kept => Status::Running,
            State::Ending | State::Stopped | State::Saving | State::Removed => Status::Stopped,
            State::Missing => Status::Missing,
        }
    }

    /// Whether nothing more will happen to the session in this server.
    pub fn is_over(self) -> bool {
        matches!(self, State::Removed | State::Missing | State::Kept)
    }
}

/// The states that clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// There is a shell to play in.
    Running,
    /// The shell has ended.
    Stopped,
    /// The container vanished.
    Missing,
}

/// Why a session ended: a word in the API, the metrics and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The player left the shell.
    Exited,
    /// The shell was killed.
    Killed,
    /// The shell used more memory than it may.
    OutOfMemory,
    /// No one typed for too long.
    Idle,
    /// It lived as long as a session may.
    MaxLifetime,
    /// A client or an operator asked for it to be destroyed.
    Destroyed,
    /// The server ended.
    ServerStopped,
    /// The container vanished from the Engine.
    Vanished,
    /// It waited for a player, and was not needed any more.
    NotNeeded,
    /// Its thread panicked again and again.
    InternalError,
    /// Its player goes on with another game, on another server of the fleet.
    Moved,
}

impl Reason {
    /// All reasons, for metrics.
    pub const ALL: [Reason; 11] = [
        Reason::Exited,
        Reason::Killed,
        Reason::OutOfMemory,
        Reason::Idle,
        Reason::MaxLifetime,
        Reason::Destroyed,
        Reason::ServerStopped,
        Reason::Vanished,
        Reason::NotNeeded,
        Reason::InternalError,
        Reason::Moved,
    ];

    /// The reason's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Exited => "exited",
            Reason::Killed => "killed",
            Reason::OutOfMemory => "out_of_memory",
            Reason::Idle => "idle",
            Reason::MaxLifetime => "max_lifetime",
            Reason::Destroyed => "destroyed",
            Reason::ServerStopped => "server_stopped",
            Reason::Vanished => "vanished",
            Reason::NotNeeded => "not_needed",
            Reason::InternalError => "internal_error",
            Reason::Moved => "moved",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 9] = [
        State::Creating,
        State::Prewarmed,
        State::Kept,
        State::Running,
        State::Ending,
        State::Stopped,
        State::Saving,
        State::Removed,
        State::Missing,
    ];
    const EVENTS: [Event; 10] = [
        Event::Prepared,
        Event::Claimed,
        Event::ServerLeaves,
        Event::Ready,
        Event::Failed,
        Event::EndWanted,
        Event::ShellEnded,
        Event::SaveBegan,
        Event::Removed,
        Event::ContainerGone,
    ];

    #[track_caller]
    fn check(events: &[Event], expected: State) {
        let end = events
            .iter()
            .try_fold(State::Creating, |state, event| state.next(*event));
        assert_eq!(end, Ok(expected), "{events:?}");
    }

    #[test]
    fn the_usual_lives() {
        use Event::*;
        check(&[Ready, ShellEnded, SaveBegan, Removed], State::Removed);
        check(
            &[Ready, EndWanted, ShellEnded, SaveBegan, Removed],
            State::Removed,
        );
        check(
            &[
                Ready, EndWanted, EndWanted, ShellEnded, SaveBegan, SaveBegan, Removed,
            ],
            State::Removed,
        );
        check(
            &[Ready, ShellEnded, EndWanted, SaveBegan, EndWanted, Removed],
            State::Removed,
        );
        check(&[Failed], State::Removed);
        check(&[Ready, ContainerGone], State::Missing);
        check(
            &[Prepared, Claimed, EndWanted, ShellEnded, SaveBegan, Removed],
            State::Removed,
        );
        check(
            &[Prepared, EndWanted, ShellEnded, SaveBegan, Removed],
            State::Removed,
        );
        check(&[Ready, ServerLeaves], State::Kept);
        check(
            &[Ready, EndWanted, ShellEnded, SaveBegan, ServerLeaves],
            State::Kept,
        );
    }

    #[test]
    fn what_is_over_stays_over() {
        for state in STATES.into_iter().filter(|state| state.is_over()) {
            for event in EVENTS {
                assert_eq!(state.next(event), Err(Illegal { state, event }));
            }
        }
    }

    /// The removal of a container always passes through `Saving`, unless the container never came to be.
    #[test]
    fn nothing_is_removed_unsaved() {
        for state in STATES {
            for event in EVENTS {
                if state.next(event) == Ok(State::Removed) {
                    assert!(
                        matches!(state, State::Saving | State::Creating),
                        "{state:?} {event:?}"
                    );
                }
            }
        }
    }
}
