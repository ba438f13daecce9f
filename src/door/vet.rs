//! Reads a request head the one way it can be meant, or refuses it. Pure functions: bytes in, [`Head`] out.
//!
//! Wherever two HTTP readers could disagree (two lengths, a length and an encoding, folded lines) the answer is
//! 400: the reader behind us is known to disagree with everybody (a bad length makes it take the body for a
//! second request).

use httparse::{EMPTY_HEADER, Error, Header, Status};

use super::limits::Limits;
use super::proxy::Forwarded;
use super::refusal::Refusal;

/// More header lines than any browser behind any proxy sends.
const MOST_HEADERS: usize = 64;
/// 18 digits always fit into a `u64`; longer ones are nobody's honest length.
const MOST_LENGTH_DIGITS: usize = 18;

/// A vetted head. What is in here is safe to print as a request again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    /// Starts with `/`, or is `*`.
    pub(super) target: String,
    /// The 0 or 1 of HTTP/1.0 and 1.1.
    pub(super) minor: u8,
    /// The headers to pass on: lower-case names, nothing about this connection or its framing.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: BodyPlan,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    pub(super) is_websocket_upgrade: bool,
    pub(super) forwarded: Forwarded,
}

/// What to do about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyPlan {
    /// Read so many bytes (0: there is none) before the service is asked.
    Read(usize),
    /// Leave that many in the socket; the service decides.
    Leave(u64),
}

/// Where the head in `received` ends, looking only at what follows `seen` bytes already searched.
pub(super) fn find_end(received: &[u8], seen: usize) -> Option<usize> {
    // The blank line may have begun in the three bytes before: `\r\n\r` + `\n`.
    let from = seen.saturating_sub(3);
    let new = &received[from..];
    for (index, _) in new.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        match new[index + 1..] {
            [b'\n', ..] => return Some(from + index + 2),
            [b'\r', b'\n', ..] => return Some(from + index + 3),
            _ => {}
        }
    }
    None
}

/// Vets a complete head, blank line included.
pub(super) fn vet(head: &[u8], limits: &Limits) -> Result<Head, Refusal> {
    if !head.is_ascii() {
        return Err(Refusal::Bad(
            "The request's head has bytes that are not ASCII.",
        ));
    }
    let mut lines = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut lines);
    match request.parse(head) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Refusal::Bad("The request's head is not complete.")),
        Err(Error::TooManyHeaders) => return Err(Refusal::HeadTooLong),
        Err(Error::Version) if names_other_version(head) => return Err(Refusal::Version),
        Err(_) => return Err(Refusal::Bad("This is no HTTP request.")),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Refusal::Bad("This is no HTTP request."));
    };
    if !target.starts_with('/') && target != "*" {
        return Err(Refusal::Bad(
            "The request's target must start with a slash.",
        ));
    }
    let lines = Lines(request.headers);
    lines.check_host(minor)?;
    let declared = lines.declared_length(minor)?;
    let is_websocket_upgrade = lines.is_websocket_upgrade(method, minor);
    if is_websocket_upgrade && declared.unwrap_or(0) > 0 {
        return Err(Refusal::Bad("A WebSocket handshake has no body."));
    }
    let expects_continue = lines.expects_continue(minor)?;
    let body = plan(declared.unwrap_or(0), limits)?;
    Ok(Head {
        method: method.to_owned(),
        target: target.to_owned(),
        minor,
        headers: lines.to_pass_on(declared.filter(|_| matches!(body, BodyPlan::Read(_)))),
        body,
        expects_continue,
        is_websocket_upgrade,
        forwarded: lines.forwarded(),
    })
}

/// Whether the request line ends in an HTTP version that is none of ours, as HTTP/2's preface does.
fn names_other_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let last = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let is_ours = last.starts_with(b"HTTP/1.0") || last.starts_with(b"HTTP/1.1");
    matches!(last, [b'H', b'T', b'T', b'P', b'/', digit, ..] if digit.is_ascii_digit() && !is_ours)
}

fn plan(declared: u64, limits: &Limits) -> Result<BodyPlan, Refusal> {
    match usize::try_from(declared) {
        Ok(length) if length <= limits.body_bytes => Ok(BodyPlan::Read(length)),
        _ if declared <= limits.upload_bytes => Ok(BodyPlan::Leave(declared)),
        _ => Err(Refusal::BodyTooLong),
    }
}

/// The header lines as they came, with the questions we ask about them.
struct Lines<'a>(&'a [Header<'a>]);

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
    fn only(&self, name: &'a str, message: &'static str) -> Result<Option<&'a str>, Refusal> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (only, None) => Ok(only),
            _ => Err(Refusal::Bad(message)),
        }
    }

    /// Whether a comma-separated list in any line of that name has that word.
    fn has_token(&self, name: &'a str, token: &str) -> bool {
        self.all(name)
            .flat_map(tokens)
            .any(|found| found.eq_ignore_ascii_case(token))
    }

    fn check_host(&self, minor: u8) -> Result<(), Refusal> {
        match self.only("host", "Send one Host header, not several.")? {
            None if minor == 0 => Ok(()),
            None => Err(Refusal::Bad("HTTP/1.1 needs a Host header.")),
            Some(host) if is_host(host) => Ok(()),
            Some(_) => Err(Refusal::Bad("The Host header is no host name.")),
        }
    }

    /// The length the client declared for its body, if any.
    fn declared_length(&self, minor: u8) -> Result<Option<u64>, Refusal> {
        let length = self.only("content-length", "Send one Content-Length, not several.")?;
        if self.all("transfer-encoding").next().is_some() {
            return Err(match (length, minor) {
                (None, 1) => Refusal::LengthRequired,
                (None, _) => Refusal::Bad("HTTP/1.0 has no Transfer-Encoding."),
                (Some(_), _) => Refusal::Bad("Send Content-Length or Transfer-Encoding, not both."),
            });
        }
        length.map(parse_length).transpose()
    }

    fn expects_continue(&self, minor: u8) -> Result<bool, Refusal> {
        if minor == 0 {
            // A 1.0 client can't mean it: RFC 9110 says to ignore it.
            return Ok(false);
        }
        let mut expects = false;
        for expectation in self.all("expect") {
            if !expectation.eq_ignore_ascii_case("100-continue") {
                return Err(Refusal::ExpectationFailed);
            }
            expects = true;
        }
        Ok(expects)
    }

    fn is_websocket_upgrade(&self, method: &str, minor: u8) -> bool {
        method == "GET"
            && minor == 1
            && self.has_token("connection", "upgrade")
            && self.has_token("upgrade", "websocket")
    }

    fn forwarded(&self) -> Forwarded {
        Forwarded {
            hops: self.all("x-forwarded-for").map(str::to_owned).collect(),
            proto: self.all("x-forwarded-proto").last().map(str::to_owned),
        }
    }

    /// What the service may see. Everything about this connection, its framing and our own marks goes.
    fn to_pass_on(&self, length: Option<u64>) -> Vec<(String, String)> {
        let named: Vec<&str> = self.all("connection").flat_map(tokens).collect();
        let mut kept: Vec<(String, String)> = self
            .0
            .iter()
            .map(|line| (line.name.to_ascii_lowercase(), value(line).to_owned()))
            .filter(|(name, _)| !is_ours(name))
            // A client may drop its own headers this way, but not the one the service builds addresses from.
            .filter(|(name, _)| {
                name == "host" || !named.iter().any(|named| named.eq_ignore_ascii_case(name))
            })
            .collect();
        // Printed from the number, so `007` is passed on as it was understood.
        kept.extend(length.map(|length| ("content-length".to_owned(), length.to_string())));
        kept
    }
}

/// Headers that never pass: about the connection (RFC 9110 7.6.1), about framing, told by proxies, or our own.
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
    DROPPED.contains(&name) || name.starts_with("x-forwarded-") || name.starts_with("x-gate-")
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

fn parse_length(digits: &str) -> Result<u64, Refusal> {
    const BAD: Refusal = Refusal::Bad("Content-Length must be a plain number.");
    // `parse` alone takes `+5`.
    if digits.len() > MOST_LENGTH_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BAD);
    }
    digits.parse().map_err(|_| BAD)
}

/// A host name or address with an optional port: the characters only, since nothing is looked up by it.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vetted(head: &str) -> Result<Head, Refusal> {
        vet(head.as_bytes(), &Limits::for_descriptors(1024))
    }

    /// A request of these lines, with a Host.
    fn with(lines: &str) -> Result<Head, Refusal> {
        vetted(&format!(
            "POST /a?b=c HTTP/1.1\r\nHost: here\r\n{lines}\r\n"
        ))
    }

    #[track_caller]
    fn check(head: &str, status: u16) {
        assert_eq!(
            vetted(head)
                .map_err(Refusal::status)
                .map(|_| 200)
                .unwrap_or_else(|status| status),
            status
        );
    }

    #[track_caller]
    fn check_with(lines: &str, status: u16) {
        check(
            &format!("POST /a HTTP/1.1\r\nHost: here\r\n{lines}\r\n"),
            status,
        );
    }

    #[test]
    fn request_lines() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200);
        check("GET / HTTP/1.1\nHost: a\n\n", 200);
        check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200);
        check("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", 200);
        check("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
        check("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400);
        check("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
        check("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400);
        check("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400);
        check("GET /\r\n\r\n", 400);
        check("GET\r\n\r\n", 400);
        check("\r\n", 400);
        check("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
        check("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505);
        check("PRI * HTTP/2.0\r\n\r\n", 505);
        check("GET / SPDY/3\r\n\r\n", 400);
    }

    #[test]
    fn hosts() {
        check("GET / HTTP/1.0\r\n\r\n", 200);
        check("GET / HTTP/1.1\r\n\r\n", 400);
        check("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
        check("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400);
        check("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400);
        check("GET / HTTP/1.1\r\nHost: a\"onload\r\n\r\n", 400);
        check("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 200);
    }

    #[test]
    fn lengths() {
        check_with("Content-Length: 5\r\n", 200);
        check_with("Content-Length:5 \r\n", 200);
        check_with("Content-Length: 005\r\n", 200);
        check_with("Content-Length: +5\r\n", 400);
        check_with("Content-Length: -1\r\n", 400);
        check_with("Content-Length: abc\r\n", 400);
        check_with("Content-Length: \r\n", 400);
        check_with("Content-Length: 0x5\r\n", 400);
        check_with("Content-Length: 5, 5\r\n", 400);
        check_with("Content-Length: 5\r\nContent-Length: 5\r\n", 400);
        check_with("Content-Length: 4000000000000\r\n", 413);
        check_with("Content-Length: 999999999999999999\r\n", 413);
        check_with("Content-Length: 9223372036854775807\r\n", 400);
    }

    #[test]
    fn encodings() {
        check_with("Transfer-Encoding: chunked\r\n", 411);
        check_with("Transfer-Encoding: xchunked\r\n", 411);
        check_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400);
        check_with("Content-Length: 5\r\ntransfer-encoding: identity\r\n", 400);
        check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    }

    #[test]
    fn expectations() {
        check_with("Expect: 100-continue\r\nContent-Length: 5\r\n", 200);
        check_with("Expect: 100-Continue\r\n", 200);
        check_with("Expect: tea\r\n", 417);
        check("POST / HTTP/1.0\r\nExpect: tea\r\n\r\n", 200);
        assert!(
            with("Expect: 100-continue\r\nContent-Length: 5\r\n")
                .unwrap()
                .expects_continue
        );
        assert!(!with("Content-Length: 5\r\n").unwrap().expects_continue);
    }

    #[test]
    fn malformed_lines() {
        check_with("A : b\r\n", 400);
        check_with(" A: b\r\n", 400);
        check_with("A: b\r\n folded\r\n", 400);
        check_with("A: b\rc\r\n", 400);
        check_with("A: b\0c\r\n", 400);
        check_with("A\r\n", 400);
        check_with(": b\r\n", 400);
        check_with("A: \u{fc}\r\n", 400);
        check_with(&"A: b\r\n".repeat(64), 431);
        check_with(&"A: b\r\n".repeat(63), 200);
    }

    #[test]
    fn plans() {
        let limits = Limits::for_descriptors(1024);
        assert_eq!(plan(0, &limits), Ok(BodyPlan::Read(0)));
        assert_eq!(plan(65_536, &limits), Ok(BodyPlan::Read(65_536)));
        assert_eq!(plan(65_537, &limits), Ok(BodyPlan::Leave(65_537)));
        assert_eq!(plan(16 << 20, &limits), Ok(BodyPlan::Leave(16 << 20)));
        assert_eq!(plan((16 << 20) + 1, &limits), Err(Refusal::BodyTooLong));
    }

    #[track_caller]
    fn check_passed(lines: &str, passed: &str) {
        let head = with(lines).unwrap();
        let printed: Vec<String> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(printed.join(" "), format!("host=here {passed}").trim_end());
    }

    #[test]
    fn what_passes() {
        check_passed("Cookie: a=b\r\nX-Own: 1\r\n", "cookie=a=b x-own=1");
        check_passed(
            "Sec-WebSocket-Key: k\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
            "sec-websocket-key=k",
        );
        check_passed("X-Gate-Ticket: x\r\nx-gate-peer: y\r\n", "");
        check_passed(
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: a\r\nForwarded: b\r\nX-Real-IP: c\r\n",
            "",
        );
        check_passed(
            "TE: trailers;q=nan\r\nTrailer: a\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n",
            "",
        );
        check_passed(
            "Connection: close, X-Own\r\nConnection: x-other\r\nX-Own: 1\r\nX-Other: 2\r\nX-3: 3\r\n",
            "x-3=3",
        );
        check_passed(
            "Connection: host, content-length\r\nContent-Length: 5\r\n",
            "content-length=5",
        );
        check_passed(
            "Content-Length: 005\r\nExpect: 100-continue\r\n",
            "content-length=5",
        );
        check_passed("Content-Length: 100000\r\n", "");
    }

    #[track_caller]
    fn check_upgrade(request_line: &str, lines: &str, expected: bool) {
        let head = vetted(&format!("{request_line}\r\nHost: a\r\n{lines}\r\n")).unwrap();
        assert_eq!(head.is_websocket_upgrade, expected);
    }

    #[test]
    fn upgrades() {
        let both = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
        check_upgrade("GET / HTTP/1.1", both, true);
        check_upgrade(
            "GET / HTTP/1.1",
            "Connection: a\r\nConnection: UPGRADE\r\nUpgrade: websocket\r\n",
            true,
        );
        check_upgrade("GET / HTTP/1.0", both, false);
        check_upgrade("POST / HTTP/1.1", both, false);
        check_upgrade(
            "GET / HTTP/1.1",
            "Connection: Upgrade\r\nUpgrade: h2c\r\n",
            false,
        );
        check_upgrade(
            "GET / HTTP/1.1",
            "Connection: close\r\nUpgrade: websocket\r\n",
            false,
        );
        check_upgrade(
            "GET / HTTP/1.1",
            "Connection: xupgrade\r\nUpgrade: websocket\r\n",
            false,
        );
        check(
            &format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n{both}\r\n"),
            400,
        );
    }

    #[test]
    fn what_proxies_said_is_kept_aside() {
        let head =
            with("X-Forwarded-For: a, b\r\nX-Forwarded-For: c\r\nX-Forwarded-Proto: https\r\n")
                .unwrap();
        assert_eq!(
            head.forwarded,
            Forwarded {
                hops: vec!["a, b".into(), "c".into()],
                proto: Some("https".into())
            }
        );
    }

    #[test]
    fn the_end_is_found_wherever_the_reads_cut_it() {
        for head in [
            "GET / HTTP/1.1\r\nA: b\r\n\r\n",
            "GET / HTTP/1.1\nA: b\n\n",
            "GET / HTTP/1.1\r\nA: b\n\r\n",
        ] {
            let received = format!("{head}body\n\n");
            for cut in 0..head.len() {
                assert_eq!(
                    find_end(&received.as_bytes()[..cut], 0),
                    None,
                    "{cut} of {head:?}"
                );
                assert_eq!(
                    find_end(received.as_bytes(), cut),
                    Some(head.len()),
                    "{cut} of {head:?}"
                );
            }
        }
    }
}
