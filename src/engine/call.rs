//! One ordinary call to the Engine: a request out, a whole answer back, within a deadline.
//!
//! What every call has in common lives here: deadlines, limits on what is read, and how a failure becomes an
//! [`Error`]. Which calls there are is [`client`](super::client)'s business.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::debug;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{self, Method, StatusCode};
use ureq::{Agent, AsSendBody};

use super::error::Error;
use super::transport::{ConnectFailed, NoResolver, UnixConnector};

/// Opening a Unix socket takes microseconds; a full queue means the Engine is stuck.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Enough for any answer about one thing: `ContainerInspect` is about 10 KiB.
pub(super) const SMALL_ANSWER: usize = 1 << 20;

/// Enough for a list of thousands: a row of `ContainerList` is about 1 KiB.
pub(super) const LONG_ANSWER: usize = 32 << 20;

/// How much of an error answer is read. A message is a sentence; runc's may be a paragraph.
pub(super) const ERROR_ANSWER: usize = 16 << 10;

/// How much of the Engine's own words ends up in an [`Error`], in characters.
const WORDS: usize = 500;

/// Connections kept open between calls: a few sessions are started, ended and inspected at the same time.
const IDLE_CONNECTIONS: usize = 8;

/// What is left as it is in a query's value.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'/');

/// A call to make.
pub(super) struct Request<'a> {
    /// The API operation, for errors and the log.
    pub call: &'static str,
    /// The HTTP method.
    pub method: Method,
    /// Path and query, without the version.
    pub target: String,
    /// What is sent along.
    pub body: Body<'a>,
    /// From the first byte out to the last byte in.
    pub deadline: Duration,
}

/// What is sent along with a call.
pub(super) enum Body<'a> {
    /// Nothing.
    Empty,
    /// A JSON document.
    Json(Vec<u8>),
    /// A whole tar archive.
    Tar(&'a [u8]),
    /// A tar archive of unknown length, which can be sent only once.
    TarStream(&'a mut dyn Read),
}

/// The Engine's connections.
pub(super) struct Wire {
    agent: Agent,
    socket: PathBuf,
}

impl Wire {
    /// Gets ready to speak to the socket at `socket`, without opening it.
    pub(super) fn new(socket: &Path) -> Wire {
        Wire {
            agent: agent(socket),
            socket: socket.to_owned(),
        }
    }

    /// The socket's path.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Makes the call under `prefix` (`/v1.41`, or nothing). An error status is an [`Error::Refused`].
    pub(super) fn send(&self, prefix: &str, request: &mut Request<'_>) -> Result<Answer, Error> {
        let began = Instant::now();
        let uri = format!("http://docker{prefix}{}", request.target);
        let builder = http::Request::builder().method(&request.method).uri(uri);
        // DOCKER: a body without a type may be taken for a form, and is then gone before it is unpacked.
        let tar = "application/x-tar";
        let deadline = request.deadline;
        let result = match &mut request.body {
            // DOCKER: `ContainerStart` refuses a body of unknown length, even an empty one, and that is what
            // ureq makes of a POST with no body at all.
            Body::Empty if request.method == Method::POST => {
                self.run(builder, None, [].as_slice(), deadline)
            }
            Body::Empty => self.run(builder, None, (), deadline),
            Body::Json(json) => self.run(builder, Some("application/json"), &*json, deadline),
            Body::Tar(bytes) => self.run(builder, Some(tar), *bytes, deadline),
            Body::TarStream(reader) => self.run(
                builder,
                Some(tar),
                ureq::SendBody::from_reader(reader),
                deadline,
            ),
        };
        let Request {
            call,
            method,
            target,
            ..
        } = request;
        let response = result.map_err(|error| self.failed(call, deadline, error));
        let outcome = match &response {
            Ok(response) => response.status().as_u16().to_string(),
            Err(error) => error.to_string(),
        };
        debug!(
            "engine call={call} {method} {target} took={:?}: {outcome}",
            began.elapsed()
        );
        self.judge(call, deadline, response?)
    }

    fn run(
        &self,
        builder: http::request::Builder,
        content_type: Option<&str>,
        body: impl AsSendBody,
        deadline: Duration,
    ) -> Result<http::Response<ureq::Body>, ureq::Error> {
        let builder = match content_type {
            Some(value) => builder.header("Content-Type", value),
            None => builder,
        };
        let request = builder.body(body).map_err(ureq::Error::Http)?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(deadline))
            .build();
        self.agent.run(request)
    }

    fn judge(
        &self,
        call: &'static str,
        deadline: Duration,
        response: http::Response<ureq::Body>,
    ) -> Result<Answer, Error> {
        let status = response.status();
        let answer = Answer {
            call,
            deadline,
            socket: self.socket.clone(),
            response,
        };
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        if status.is_client_error() || status.is_server_error() {
            return Err(Error::Refused {
                call,
                status: status.as_u16(),
                message: answer.into_message(),
            });
        }
        Err(Error::Garbled {
            call,
            what: format!("status {status}"),
        })
    }

    fn failed(&self, call: &'static str, deadline: Duration, error: ureq::Error) -> Error {
        explain(call, &self.socket, deadline, error)
    }
}

/// A ureq agent that speaks to the Unix socket at `socket` and to nothing else.
pub(super) fn agent(socket: &Path) -> Agent {
    let config = Agent::config_builder()
        // The environment's HTTP_PROXY is about the network, which this is not.
        .proxy(None)
        // The Engine redirects only paths that are not clean, and ours are.
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("shellcraft/", env!("CARGO_PKG_VERSION")))
        .max_idle_connections(IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .timeout_connect(Some(CONNECT_LIMIT))
        .build();
    agent_at(config, socket, CONNECT_LIMIT)
}

/// A ureq agent with this configuration that speaks to the Unix socket at `path` and to nothing else; opening it may take
/// as long as `limit`.
pub fn agent_at(config: ureq::config::Config, path: &Path, limit: Duration) -> Agent {
    let connector = UnixConnector {
        path: path.to_owned(),
        limit,
    };
    Agent::with_parts(config, connector, NoResolver)
}

/// What the Engine answered, its body still unread.
pub(super) struct Answer {
    call: &'static str,
    deadline: Duration,
    socket: PathBuf,
    response: http::Response<ureq::Body>,
}

impl Answer {
    /// The value of a header, if it is there and readable.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The body as JSON of at most `limit_bytes`.
    pub(super) fn json<T: DeserializeOwned>(self, limit_bytes: usize) -> Result<T, Error> {
        let call = self.call;
        parse(call, &self.bytes(limit_bytes)?)
    }

    /// The body, at most `limit_bytes` of it: a longer one is garbled, and no more than that is read.
    pub(super) fn bytes(mut self, limit_bytes: usize) -> Result<Vec<u8>, Error> {
        let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
        self.response
            .body_mut()
            .with_config()
            .limit(limit)
            .read_to_vec()
            .map_err(|error| explain(self.call, &self.socket, self.deadline, error))
    }

    /// What an error answer says, as far as it can be read.
    fn into_message(mut self) -> String {
        let mut text = Vec::new();
        let limit = u64::try_from(ERROR_ANSWER).unwrap_or(u64::MAX);
        // A message that breaks off is still better than none.
        let _ = self
            .response
            .body_mut()
            .as_reader()
            .take(limit)
            .read_to_end(&mut text);
        engine_message(&text)
    }
}

/// Reads the JSON of an answer.
pub(super) fn parse<T: DeserializeOwned>(call: &'static str, json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| Error::Garbled {
        call,
        what: error.to_string(),
    })
}

/// Turns an error of ureq's into an [`Error`].
pub(super) fn explain(
    call: &'static str,
    socket: &Path,
    after: Duration,
    error: ureq::Error,
) -> Error {
    match error {
        ureq::Error::Timeout(_) => Error::TimedOut { call, after },
        ureq::Error::Io(cause) => Error::Broken { call, cause },
        ureq::Error::BodyExceedsLimit(limit) => Error::Garbled {
            call,
            what: format!("more than {limit} bytes"),
        },
        ureq::Error::Other(other) => match other.downcast::<ConnectFailed>() {
            Ok(failed) => Error::Unreachable {
                call,
                socket: socket.display().to_string(),
                cause: failed.0,
            },
            Err(other) => garbled(call, &other.to_string()),
        },
        other => garbled(call, &other.to_string()),
    }
}

fn garbled(call: &'static str, what: &str) -> Error {
    Error::Garbled {
        call,
        what: engine_message(what.as_bytes()),
    }
}

/// The Engine's message from an error answer: `{"message": …}`, or plain text from attach and from old
/// Engines. Cut to a sane length and without control characters, since it goes to a log.
pub(super) fn engine_message(answer: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let text = match serde_json::from_slice::<Message>(answer) {
        Ok(parsed) => parsed.message,
        Err(_) => String::from_utf8_lossy(answer).into_owned(),
    };
    let tame = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.trim().chars().map(tame).take(WORDS).collect()
}

/// Encodes a value for a query.
pub(super) fn encode(value: &str) -> String {
    utf8_percent_encode(value, QUERY).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, expected: &str) {
        assert_eq!(engine_message(answer.as_bytes()), expected);
    }

    #[test]
    fn the_engine_s_words_are_found_and_tamed() {
        check(
            r#"{"message":"No such container: nope"}"#,
            "No such container: nope",
        );
        check("No such container: nope\n", "No such container: nope");
        check("", "");
        check("{\"message\":\"a\\u001b[31mred\\nline\"}", "a [31mred line");
        check(&"x".repeat(WORDS * 2), &"x".repeat(WORDS));
    }

    #[test]
    fn a_query_s_value_can_not_leave_its_place() {
        assert_eq!(
            encode(r#"{"label":["a=b&c"]}"#),
            "%7B%22label%22%3A%5B%22a%3Db%26c%22%5D%7D"
        );
        assert_eq!(encode("/home/spell book#1"), "/home/spell%20book%231");
    }
}
