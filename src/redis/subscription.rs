//! A connection that only listens to one channel.

use std::time::{Duration, Instant};

use ::redis::{PubSub, RedisError};

use super::{Error, Url};

/// How long a connection, a subscription or the answer to a PING may take.
const ANSWER: Duration = Duration::from_secs(1);
/// The longest time that a read waits: so soon is a stop noticed.
const READ: Duration = Duration::from_millis(500);
/// After so long without a message a PING tells whether the connection still works.
const QUIET: Duration = Duration::from_secs(5);

/// What a listener is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It listens from here on. What was said before is lost.
    Subscribed,
    /// A message.
    Message,
    /// Nothing for a moment.
    Nothing,
}

/// Listens to a channel, in the calling thread, until `hear` answers that it should not go on.
///
/// # Errors
/// [`Error::Unavailable`] when the connection can't be made, or breaks.
pub fn listen(url: &Url, channel: &str, hear: impl FnMut(Heard) -> bool) -> Result<(), Error> {
    listen_on(url, channel, hear).map_err(|error| {
        Error::Unavailable(format!(
            "Redis at {url}: {}",
            url.conceal(&error.to_string())
        ))
    })
}

fn listen_on(
    url: &Url,
    channel: &str,
    mut hear: impl FnMut(Heard) -> bool,
) -> Result<(), RedisError> {
    let mut connection = url.client()?.get_connection_with_timeout(ANSWER)?;
    connection.set_write_timeout(Some(ANSWER))?;
    connection.set_read_timeout(Some(ANSWER))?;
    let mut ears = connection.as_pubsub();
    ears.subscribe(channel)?;
    let mut last = Instant::now();
    let mut goes_on = hear(Heard::Subscribed);
    while goes_on {
        ears.set_read_timeout(Some(READ))?;
        let heard = match ears.get_message() {
            Ok(_) => Heard::Message,
            Err(error) if error.is_timeout() => Heard::Nothing,
            Err(error) => return Err(error),
        };
        if heard == Heard::Message {
            last = Instant::now();
        } else if last.elapsed() >= QUIET {
            ping(&mut ears)?;
            last = Instant::now();
        }
        goes_on = hear(heard);
    }
    Ok(())
}

/// Messages that come before the answer are kept for the next read.
fn ping(ears: &mut PubSub<'_>) -> Result<(), RedisError> {
    ears.set_read_timeout(Some(ANSWER))?;
    ears.ping::<::redis::Value>().map(drop)
}
