//! The header lines of one request and what they say, for [`parse`](super::parse). Where lines contradict each other
//! or say what only some readers would accept, the answer is a refusal.

use httparse::Header;

use super::arrivals::Relayed;
use super::proxy::Forwarded;
use super::rejection::Rejection;

/// 18 digits always fit into a `u64`; no honest client sends a longer number.
const MOST_LENGTH_DIGITS: usize = 18;

/// How a body is told apart from what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its length, if it has a body.
    Length(Option<u64>),
    /// By its last chunk (RFC 9112 7.1).
    Chunks,
}

/// The header lines as they came, with the questions that the door asks about them.
pub(super) struct Lines<'a>(pub(super) &'a [Header<'a>]);

impl<'a> Lines<'a> {
    /// The values of all lines of that name, in order.
    fn all(&self, name: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        let lines = self.0;
        lines
            .iter()
            .filter(move |line| line.name.eq_ignore_ascii_case(name))
            .map(value)
    }

    /// The only value of that name; more than one is refused with `message`.
    fn only(&self, name: &'a str, message: &'static str) -> Result<Option<&'a str>, Rejection> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (only, None) => Ok(only),
            _ => Err(Rejection::Bad(message)),
        }
    }

    /// Whether a comma-separated list in any line of that name has that word.
    fn has_token(&self, name: &'a str, token: &str) -> bool {
        self.all(name)
            .flat_map(tokens)
            .any(|found| found.eq_ignore_ascii_case(token))
    }

    pub(super) fn check_host(&self, minor: u8) -> Result<(), Rejection> {
        match self.only("host", "Send one Host header, not several.")? {
            None if minor == 0 => Ok(()),
            None => Err(Rejection::Bad("HTTP/1.1 needs a Host header.")),
            Some(host) if is_host(host) => Ok(()),
            Some(_) => Err(Rejection::Bad("The Host header is no host name.")),
        }
    }

    /// How the body is framed (RFC 9112 6.3).
    pub(super) fn framing(&self, minor: u8) -> Result<Framing, Rejection> {
        let length = self.only("content-length", "Send one Content-Length, not several.")?;
        if self.all("transfer-encoding").next().is_none() {
            return Ok(Framing::Length(length.map(parse_length).transpose()?));
        }
        if minor == 0 {
            return Err(Rejection::Bad("HTTP/1.0 has no Transfer-Encoding."));
        }
        if length.is_some() {
            return Err(Rejection::Bad(
                "Send Content-Length or Transfer-Encoding, not both.",
            ));
        }
        let codings: Vec<_> = self.all("transfer-encoding").flat_map(tokens).collect();
        let is_chunked = |coding: &&str| coding.eq_ignore_ascii_case("chunked");
        match codings.iter().position(is_chunked) {
            Some(0) if codings.len() == 1 => Ok(Framing::Chunks),
            // Chunked is the last coding, as it must be; the door can't undo those before it.
            Some(index) if index + 1 == codings.len() => Err(Rejection::UnknownEncoding),
            _ => Err(Rejection::Bad(
                "The last Transfer-Encoding must be chunked, and none before it.",
            )),
        }
    }

    pub(super) fn expects_continue(&self, minor: u8) -> Result<bool, Rejection> {
        if minor == 0 {
            // A 1.0 client can't mean it: RFC 9110 says to ignore it.
            return Ok(false);
        }
        let mut expects = false;
        for expectation in self.all("expect") {
            if !expectation.eq_ignore_ascii_case("100-continue") {
                return Err(Rejection::ExpectationFailed);
            }
            expects = true;
        }
        Ok(expects)
    }

    pub(super) fn is_websocket_upgrade(&self, method: &str, minor: u8) -> bool {
        method == "GET"
            && minor == 1
            && self.has_token("connection", "upgrade")
            && self.has_token("upgrade", "websocket")
    }

    /// Whether the client asks for a connection that stays open. HTTP/1.1 alone does not count, other than in RFC 9112
    /// 9.3: a client that does not ask is told that the connection closes, which no client has trouble with.
    pub(super) fn asks_to_stay(&self, minor: u8) -> bool {
        minor == 1
            && self.has_token("connection", "keep-alive")
            && !self.has_token("connection", "close")
    }

    /// What a peer says of the client whose request it relays. Strangers may say it too.
    pub(super) fn relayed(&self) -> Option<Relayed> {
        Relayed::read(|name| self.only(name, "").ok().flatten())
    }

    pub(super) fn forwarded(&self) -> Forwarded {
        Forwarded {
            hops: self.all("x-forwarded-for").map(str::to_owned).collect(),
            proto: self.all("x-forwarded-proto").last().map(str::to_owned),
            is_any: self.0.iter().any(|line| is_a_proxy_s(line.name)),
        }
    }

    /// The headers that the service may see: without those about this connection and its framing, and without the
    /// door's own.
    pub(super) fn to_pass_on(&self, length: Option<u64>) -> Vec<(String, String)> {
        let named: Vec<&str> = self.all("connection").flat_map(tokens).collect();
        let mut kept: Vec<(String, String)> = self
            .0
            .iter()
            .map(|line| (line.name.to_ascii_lowercase(), value(line).to_owned()))
            .filter(|(name, _)| !is_ours(name))
            // A client may drop its own headers by naming them in `Connection`, but not the one that the service builds
            // addresses from.
            .filter(|(name, _)| {
                name == "host" || !named.iter().any(|named| named.eq_ignore_ascii_case(name))
            })
            .collect();
        // Printed from the number, so `007` is passed on as it was understood.
        kept.extend(length.map(|length| ("content-length".to_owned(), length.to_string())));
        kept
    }
}

/// Headers that never pass: about the connection (RFC 9110 7.6.1), about framing, told by proxies, or the server's own.
fn is_ours(name: &str) -> bool {
    const DROPPED: [&str; 13] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        // tiny_http sorts its values with a comparison that panics, and buffers whole answers because of it.
        "te",
        "trailer",
        "transfer-encoding",
        "content-length",
        "upgrade",
        "http2-settings",
        "expect",
        "forwarded",
        "x-real-ip",
        "x-request-id",
    ];
    const PREFIXES: [&str; 3] = ["x-forwarded-", "x-gate-", "x-fleet-"];
    DROPPED.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Headers that only proxies add.
fn is_a_proxy_s(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("x-forwarded-") || ["forwarded", "via", "x-real-ip"].contains(&&*name)
}

/// The value without the blanks around it. The head is ASCII, so it always is text.
fn value<'a>(line: &Header<'a>) -> &'a str {
    std::str::from_utf8(line.value)
        .unwrap_or_default()
        .trim_matches([' ', '\t'])
}

fn tokens(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn parse_length(digits: &str) -> Result<u64, Rejection> {
    const BAD: Rejection = Rejection::Bad("Content-Length must be a plain number.");
    // `parse` alone takes `+5`.
    if digits.len() > MOST_LENGTH_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BAD);
    }
    digits.parse().map_err(|_| BAD)
}

/// A host name or address with an optional port: the characters only, since nothing is looked up by it.
pub(super) fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}
