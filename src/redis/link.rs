//! Connections to Redis: a few, shared by all callers, made again when they break.
//!
//! ```text
//!   call ── a slot ──▶ its connection, or a new one ──▶ the command, once ──▶ the slot goes back
//!              ▲                    │ refused, loading
//!              └── at most CALL ────┴── a pause, twice as long each time
//! ```
//!
//! INVARIANT: a command is sent again only when Redis has certainly not run it. Whether one whose answer was lost has
//! been run is not known, so that is an error. To make that rare, a PING tells first whether the connection still
//! works: it costs little compared with a write that Redis syncs, and a restart of Redis leaves every connection
//! broken.

use std::thread;
use std::time::{Duration, Instant};

use ::redis::{Client, Cmd, Connection, ErrorKind, FromRedisValue, RedisError, Value};
use crossbeam_channel::{Receiver, Sender, bounded};
use log::{info, warn};

use super::{Error, Url};
use crate::locks::Mutex;

/// How long a call lasts at most, all its attempts and pauses together.
pub const CALL: Duration = Duration::from_secs(3);
/// How many connections there are at most. Redis runs one command at a time, so more would only wait there.
const SLOTS: usize = 8;
/// How long one of a host's addresses may take to accept a connection. What is left of [`CALL`] may go to the host's
/// other addresses.
const CONNECT: Duration = Duration::from_secs(1);
/// The pause before the second attempt, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// The error codes with which Redis says that it has not run the command, and may run it later.
const NOT_NOW: [&str; 6] = [
    "LOADING",
    "BUSY",
    "READONLY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
];

/// The error code with which a script says that it has changed nothing, because the instance's lease is no longer its own.
const FENCED: &str = "FENCED";

/// The way to one Redis server.
pub struct Link {
    url: Url,
    /// The slots that no call uses now, each with its connection, if it has one.
    free: Receiver<Option<Connection>>,
    give_back: Sender<Option<Connection>>,
    /// Whether the last call failed: the log is told of changes only. Held for a moment.
    is_away: Mutex<bool>,
}

/// A slot in use; it goes back when dropped.
struct Slot<'a> {
    link: &'a Link,
    connection: Option<Connection>,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        // The channel has room: the slot was taken from it.
        let _ = self.link.give_back.try_send(self.connection.take());
    }
}

/// Why an attempt failed.
enum Failure {
    /// Redis has not run the command.
    NotRun(RedisError),
    /// Redis may have run the command, or would refuse it again.
    Final(RedisError),
}

impl Link {
    /// Does not connect yet.
    pub fn new(url: &Url) -> Link {
        let (give_back, free) = bounded(SLOTS);
        for _ in 0..SLOTS {
            // There is room for all of them.
            let _ = give_back.try_send(None);
        }
        Link {
            url: url.clone(),
            free,
            give_back,
            is_away: Mutex::new(false),
        }
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] within [`CALL`]; [`Error::Fenced`].
    pub fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let answer = self.ask(command)?;
        T::from_redis_value(answer).map_err(|error| {
            let error = self.unavailable(&error.to_string());
            self.note(Some(&error));
            error
        })
    }

    /// Does the work of [`Link::call`], which is generic, up to the raw answer: one function for all types of answers.
    fn ask(&self, command: &Cmd) -> Result<Value, Error> {
        let deadline = Instant::now() + CALL;
        let Ok(connection) = self.free.recv_deadline(deadline) else {
            return Err(self.unavailable("all connections are busy"));
        };
        let mut slot = Slot {
            link: self,
            connection,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.attempt(&mut slot, command, deadline) {
                Ok(answer) => {
                    self.note(None);
                    return Ok(answer);
                }
                // Redis works: it is this server that may not do it.
                Err(Failure::Final(error)) if error.code() == Some(FENCED) => {
                    self.note(None);
                    return Err(Error::Fenced);
                }
                Err(Failure::Final(error)) => error,
                Err(Failure::NotRun(error)) if Instant::now() + pause >= deadline => error,
                Err(Failure::NotRun(_)) => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    continue;
                }
            };
            let error = self.unavailable(&error.to_string());
            self.note(Some(&error));
            return Err(error);
        }
    }

    /// Sends the command at most once. The slot keeps its connection only if that is still good.
    fn attempt(
        &self,
        slot: &mut Slot<'_>,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let mut connection = self.connection(slot, deadline).map_err(|error| {
            if is_passing(&error) {
                Failure::NotRun(error)
            } else {
                Failure::Final(error)
            }
        })?;
        let answered = limit(&connection, deadline)
            .map_err(Failure::NotRun)
            .and_then(|()| {
                command.query(&mut connection).map_err(|error| {
                    if error.code().is_some_and(|code| NOT_NOW.contains(&code)) {
                        Failure::NotRun(error)
                    } else {
                        Failure::Final(error)
                    }
                })
            });
        // After an error the connection is not kept: the rest of an answer might still be on its way.
        if answered.is_ok() {
            slot.connection = Some(connection);
        }
        answered
    }

    /// The slot's connection if it still works, or a new one.
    fn connection(&self, slot: &mut Slot<'_>, deadline: Instant) -> Result<Connection, RedisError> {
        if let Some(mut connection) = slot.connection.take() {
            let answered = limit(&connection, deadline)
                .and_then(|()| ::redis::cmd("PING").query::<String>(&mut connection));
            if answered.is_ok() {
                return Ok(connection);
            }
        }
        let client: Client = self.url.client()?;
        client.get_connection_with_timeout(left(deadline).min(CONNECT))
    }

    /// An error for the log, without the password.
    pub fn unavailable(&self, cause: &str) -> Error {
        let cause = self.url.conceal(cause);
        Error::Unavailable(format!("Redis at {}: {cause}", self.url))
    }

    /// Logs when Redis stops answering, and when it answers again.
    fn note(&self, error: Option<&Error>) {
        let was_away = std::mem::replace(&mut *self.is_away.lock(), error.is_some());
        match error {
            Some(error) if !was_away => warn!("{error}"),
            None if was_away => info!("Redis at {} answers again", self.url),
            _ => {}
        }
    }
}

/// Whether a connection that could not be made may succeed soon. It can't with a wrong password or database number.
fn is_passing(error: &RedisError) -> bool {
    match error.code() {
        Some(code) => NOT_NOW.contains(&code),
        None => !matches!(
            error.kind(),
            ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig
        ),
    }
}

/// The time left until the deadline, but never zero, which a socket does not take as a timeout.
fn left(deadline: Instant) -> Duration {
    deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

/// Sets how long a read or a write on the connection may last: until the deadline.
fn limit(connection: &Connection, deadline: Instant) -> Result<(), RedisError> {
    let left = Some(left(deadline));
    connection.set_read_timeout(left)?;
    connection.set_write_timeout(left)
}
