//! What the door and a service say to each other: a whole request, and an answer. No I/O; uses no other module.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use uuid::Uuid;

/// A request's number, as `X-Request-Id` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(Uuid);

impl RequestId {
    /// A new, random one.
    #[allow(clippy::new_without_default)] // A default that differs each time would surprise.
    pub fn new() -> RequestId {
        RequestId(Uuid::new_v4())
    }

    /// The number in a text that another server has printed.
    pub(super) fn parse(text: &str) -> Option<RequestId> {
        Uuid::try_parse(text).ok().map(RequestId)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A whole, vetted request. Not `Debug`: its headers hold tokens, which must not get into a log.
pub struct Request {
    /// Its number; the answer carries it.
    pub id: RequestId,
    /// As sent: methods are case-sensitive.
    pub method: String,
    /// The target's path as sent, not decoded, without the query. Starts with `/`, or is `*`.
    pub path: String,
    /// What stood behind the first `?`.
    pub query: Option<String>,
    /// Lower-case names, in order, without those about the connection.
    pub headers: Vec<(String, String)>,
    /// The body, unless it is too long to be read beforehand.
    pub body: Body,
    /// The client's address, as told by trusted proxies.
    pub peer: IpAddr,
    /// Whether a trusted proxy says that the client came by HTTPS.
    pub is_https: bool,
    /// Whether anything in it says that it came through a proxy, trusted or not.
    pub is_forwarded: bool,
    /// A GET that asks to become a WebSocket. Its `Sec-WebSocket-*` headers are not checked yet.
    pub is_websocket_upgrade: bool,
    /// When the head was complete.
    pub started: Instant,
}

impl Request {
    /// Whether it comes from this machine itself, and not through a proxy on it, as far as one can tell.
    pub fn is_local(&self) -> bool {
        self.peer.is_loopback() && !self.is_forwarded
    }

    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A request's body.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// All of it; empty when there is none.
    Whole(Vec<u8>),
    /// This many bytes are declared and still in the socket. Only a hand-off can read them.
    TooLong(u64),
}

/// An answer. `Content-Length`, `Date`, `Connection` and `X-Request-Id` are added by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status, 200 to 599.
    pub status: u16,
    /// Further headers. One whose value is not printable ASCII is left out.
    pub headers: Vec<(&'static str, String)>,
    /// The body; for HEAD only its length is told, and with 204 and 304 there is none.
    pub body: Cow<'static, [u8]>,
}

impl Response {
    /// An error as every route tells it: `{"error": {"code", "message"}}`.
    pub fn error(status: u16, code: &str, message: &str) -> Response {
        let body = serde_json::json!({"error": {"code": code, "message": message}});
        Response {
            status,
            headers: vec![("Content-Type", "application/json".to_owned())],
            body: Cow::Owned(body.to_string().into_bytes()),
        }
    }
}
