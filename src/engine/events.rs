//! The Engine's events: what happens to containers, as it happens.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ureq::{Agent, BodyReader};

use super::call::{self, parse};
use super::error::Error;
use super::operation;
use super::types::Event;

const CALL: &str = operation::SYSTEM_EVENTS;

/// How long the Engine may take to begin. Once it has, silence just means that nothing happens.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// An event is about 1 KiB, most of it labels.
const LINE_LIMIT: usize = 64 << 10;

/// Waits for events and hands them out one by one. After the first error, and after
/// [`EventsCloser::close`], there are no more.
pub struct Events {
    lines: BufReader<BodyReader<'static>>,
    closer: EventsCloser,
    has_ended: bool,
}

/// Ends an [`Events`] from another thread.
#[derive(Clone)]
pub struct EventsCloser {
    /// An agent of its own, so that shutting it down ends this one connection.
    agent: Agent,
    is_closed: Arc<AtomicBool>,
}

impl EventsCloser {
    /// Ends the stream: the reader wakes and sees no more events.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.agent.clone().shutdown();
    }
}

/// Asks for events and returns once the Engine has agreed to send them. `None` if it refuses: its reasons are
/// not read here, since this connection has no deadline.
pub(super) fn open(socket: &Path, target: &str) -> Result<Option<Events>, Error> {
    let agent = call::agent(socket);
    let answer = agent
        .get(format!("http://docker{target}"))
        .config()
        .timeout_send_request(Some(HEAD_DEADLINE))
        .timeout_recv_response(Some(HEAD_DEADLINE))
        .build()
        .call()
        .map_err(|error| call::explain(CALL, socket, HEAD_DEADLINE, error))?;
    if !answer.status().is_success() {
        return Ok(None);
    }
    let body = answer.into_body();
    Ok(Some(Events {
        lines: BufReader::new(body.into_with_config().limit(u64::MAX).reader()),
        closer: EventsCloser {
            agent,
            is_closed: Arc::new(AtomicBool::new(false)),
        },
        has_ended: false,
    }))
}

impl Events {
    /// A handle that ends this stream from another thread.
    pub fn closer(&self) -> EventsCloser {
        self.closer.clone()
    }

    fn read_event(&mut self) -> Result<Event, Error> {
        let mut line = Vec::new();
        let limit = u64::try_from(LINE_LIMIT).unwrap_or(u64::MAX);
        (&mut self.lines)
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(|cause| Error::Broken { call: CALL, cause })?;
        match line.last() {
            Some(b'\n') => read_line(&line),
            _ if line.len() >= LINE_LIMIT => Err(Error::Garbled {
                call: CALL,
                what: "an endless event".into(),
            }),
            _ => Err(Error::Broken {
                call: CALL,
                cause: ErrorKind::UnexpectedEof.into(),
            }),
        }
    }
}

/// One line of the stream.
pub(super) fn read_line(line: &[u8]) -> Result<Event, Error> {
    let mut event: Event = parse(CALL, line)?;
    // PODMAN: older versions say `died` here too.
    match event.action.as_str() {
        "died" => event.action = "die".into(),
        "remove" => event.action = "destroy".into(),
        _ => {}
    }
    Ok(event)
}

impl Iterator for Events {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let result = self.read_event();
        if result.is_err() {
            self.has_ended = true;
            if self.closer.is_closed.load(Ordering::Acquire) {
                return None;
            }
        }
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let shown = match read_line(line.as_bytes()) {
            Ok(event) => format!(
                "{} {} {:?}",
                event.action, event.actor.id.0, event.actor.attributes
            ),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn events_are_read_in_docker_s_and_in_podman_s_words() {
        check(
            r#"{"Action":"die","Actor":{"ID":"a1","Attributes":{"exitCode":"3"}},"time":1}"#,
            r#"die a1 {"exitCode": "3"}"#,
        );
        check(
            r#"{"Action":"died","Actor":{"ID":"a1","Attributes":null}}"#,
            "die a1 {}",
        );
        check(
            r#"{"Action":"remove","Actor":{"ID":"a1"}}"#,
            "destroy a1 {}",
        );
    }
}
