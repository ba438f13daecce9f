//! Reads a request head the one way it can be meant, or refuses it. Pure functions: bytes in, [`Head`] out.
//!
//! Wherever two HTTP readers could disagree (two lengths, a length and an encoding, folded lines) the answer is 400:
//! the reader behind the door, tiny_http, is known to disagree with all others (a bad length makes it take the body for
//! a second request).

use std::borrow::Cow;

use httparse::{EMPTY_HEADER, Error, Status};

use super::arrivals::Relayed;
use super::headers::{Framing, Lines, is_host};
use super::limits::Limits;
use super::print::Form;
use super::proxy::Forwarded;
use super::rejection::Rejection;

/// More header lines than any browser behind any proxy sends.
const MOST_HEADERS: usize = 64;

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
    /// The client asks by name for a connection that stays open, as browsers do.
    pub(super) asks_to_stay: bool,
    pub(super) forwarded: Forwarded,
    /// What it says of its client as only a peer may.
    pub(super) relayed: Option<Relayed>,
}

impl Head {
    /// The first header of that lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(header, _)| header == name)?;
        Some(&found.1)
    }

    /// Tells the service the length of a body that came in chunks.
    pub(super) fn tell_length(&mut self, bytes: usize) {
        let length = ("content-length".to_owned(), bytes.to_string());
        self.headers.push(length);
    }

    /// How many bytes of a body are left in the socket.
    pub(super) fn body_left(&self) -> Option<u64> {
        match self.body {
            BodyPlan::Leave(length) => Some(length),
            BodyPlan::Read(_) | BodyPlan::ReadChunks => None,
        }
    }

    /// What form the answer must have.
    pub(super) fn form(&self) -> Form {
        Form {
            minor: self.minor,
            is_head: self.method == "HEAD",
            stays_open: None,
        }
    }
}

/// What to do about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyPlan {
    /// Read this many bytes (0: there is no body) before the service is asked.
    Read(usize),
    /// Leave this many bytes in the socket; the service decides.
    Leave(u64),
    /// Read chunks until the last one, and tell the service how many bytes they came to.
    ReadChunks,
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
pub(super) fn parse(head: &[u8], limits: &Limits) -> Result<Head, Rejection> {
    let head = &*without_opaque(head)?;
    let mut lines = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut lines);
    match request.parse(head) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Rejection::Bad("The request's head is not complete.")),
        Err(Error::TooManyHeaders) => return Err(Rejection::HeadTooLong),
        Err(Error::Version) if names_other_version(head) => return Err(Rejection::Version),
        Err(_) => return Err(Rejection::Bad("This is no HTTP request.")),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Rejection::Bad("This is no HTTP request."));
    };
    let (target, host) = read_target(method, target)?;
    let lines = Lines(request.headers);
    lines.check_host(minor)?;
    let framing = lines.framing(minor)?;
    let is_websocket_upgrade = lines.is_websocket_upgrade(method, minor);
    if is_websocket_upgrade && !matches!(framing, Framing::Length(None | Some(0))) {
        return Err(Rejection::Bad("A WebSocket handshake has no body."));
    }
    let expects_continue = lines.expects_continue(minor)?;
    let (body, told_length) = match framing {
        Framing::Length(declared) => {
            let body = plan(declared.unwrap_or(0), limits)?;
            (body, declared.filter(|_| matches!(body, BodyPlan::Read(_))))
        }
        Framing::Chunks => (BodyPlan::ReadChunks, None),
    };
    let mut headers = lines.to_pass_on(told_length);
    if let Some(host) = host {
        headers.retain(|(name, _)| name != "host");
        headers.push(("host".to_owned(), host));
    }
    Ok(Head {
        method: method.to_owned(),
        target,
        minor,
        headers,
        body,
        expects_continue,
        is_websocket_upgrade,
        asks_to_stay: lines.asks_to_stay(minor),
        forwarded: lines.forwarded(),
        relayed: lines.relayed(),
    })
}

/// The head with `?` in place of each byte of a value that is not ASCII. Such bytes are opaque (RFC 9110 5.5), and
/// nothing that is read here has a use for them: a CDN's names of towns have them, and other sites' cookies.
fn without_opaque(head: &[u8]) -> Result<Cow<'_, [u8]>, Rejection> {
    if head.is_ascii() {
        return Ok(Cow::Borrowed(head));
    }
    let mut lines = head.split(|byte| *byte == b'\n');
    if !lines.next().is_some_and(<[u8]>::is_ascii) {
        return Err(Rejection::Bad(
            "The request's first line has bytes that are not ASCII.",
        ));
    }
    // In a header's name a `?` is refused like the byte in whose place it is.
    let plain = |byte: &u8| if byte.is_ascii() { *byte } else { b'?' };
    Ok(head.iter().map(plain).collect())
}

/// The target in its plain form: a path with its query, or `*`. For a target in absolute form also its host, which
/// counts in place of the header's (RFC 9112 3.2.2).
fn read_target(method: &str, target: &str) -> Result<(String, Option<String>), Rejection> {
    if target.starts_with('/') || target == "*" {
        return Ok((decode_unreserved(target), None));
    }
    let (scheme, rest) = target.split_once("://").unwrap_or_default();
    if !["http", "https"].contains(&&*scheme.to_ascii_lowercase()) {
        return Err(Rejection::Bad(
            "The request's target must start with a slash.",
        ));
    }
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if !is_host(host) {
        return Err(Rejection::Bad("The request's target names no host."));
    }
    let target = match path {
        "" if method == "OPTIONS" => "*".to_owned(),
        "" => "/".to_owned(),
        path if path.starts_with('/') => decode_unreserved(path),
        query => format!("/{query}"),
    };
    Ok((target, Some(host.to_owned())))
}

/// The path without needless encoding: `%68` is `h` by another name (RFC 3986 6.2.2.2). What has a meaning of its own, such
/// as a slash, stays encoded.
fn decode_unreserved(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut parts = path.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.get(..2);
        let byte = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte));
        match byte {
            Some(byte) => {
                plain.push(char::from(byte));
                plain.push_str(&part[2..]);
            }
            None => {
                plain.push('%');
                plain.push_str(part);
            }
        }
    }
    plain + query
}

/// Whether the request line ends in an HTTP version that the door does not speak, as HTTP/2's preface does.
fn names_other_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let last = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let is_ours = last.starts_with(b"HTTP/1.0") || last.starts_with(b"HTTP/1.1");
    matches!(last, [b'H', b'T', b'T', b'P', b'/', digit, ..] if digit.is_ascii_digit() && !is_ours)
}

fn plan(declared: u64, limits: &Limits) -> Result<BodyPlan, Rejection> {
    match usize::try_from(declared) {
        Ok(length) if length <= limits.body_bytes => Ok(BodyPlan::Read(length)),
        _ if declared <= limits.upload_bytes => Ok(BodyPlan::Leave(declared)),
        _ => Err(Rejection::BodyTooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vetted(head: &str) -> Result<Head, Rejection> {
        parse(head.as_bytes(), &Limits::for_descriptors(1024))
    }

    /// A request of these lines, with a Host.
    fn with(lines: &str) -> Result<Head, Rejection> {
        vetted(&format!(
            "POST /a?b=c HTTP/1.1\r\nHost: here\r\n{lines}\r\n"
        ))
    }

    #[track_caller]
    fn check(head: &str, status: u16) {
        assert_eq!(
            vetted(head)
                .map_err(Rejection::status)
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
        check("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 200);
        check("GET http://a:1 HTTP/1.1\r\n\r\n", 400);
        check("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
        check("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400);
        check("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
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
        check_with("Transfer-Encoding: chunked\r\n", 200);
        check_with("Transfer-Encoding: gzip, chunked\r\n", 501);
        check_with("Transfer-Encoding: xchunked\r\n", 400);
        check_with("Transfer-Encoding: chunked, identity\r\n", 400);
        check_with("Transfer-Encoding: chunked, chunked\r\n", 400);
        check_with("Transfer-Encoding:\r\n", 400);
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
        check_with("\u{fc}: a\r\n", 400);
        check_with("Host: \u{fc}\r\n", 400);
        check_with("Content-Length: 5\u{fc}\r\n", 400);
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
        assert_eq!(plan((16 << 20) + 1, &limits), Err(Rejection::BodyTooLong));
    }

    #[test]
    fn targets() {
        for (method, target, plain, host) in [
            ("GET", "/a?b=%68", "/a?b=%68", "here"),
            ("GET", "/%68ealthz", "/healthz", "here"),
            ("GET", "/%2e%7E%2f%00%zz%6", "/.~%2f%00%zz%6", "here"),
            ("GET", "/%+68%2", "/%+68%2", "here"),
            ("GET", "http://there:8080/%61?b", "/a?b", "there:8080"),
            ("GET", "HTTPS://there", "/", "there"),
            ("GET", "http://there?b", "/?b", "there"),
            ("OPTIONS", "http://there", "*", "there"),
            ("OPTIONS", "*", "*", "here"),
        ] {
            let head = vetted(&format!("{method} {target} HTTP/1.1\r\nHost: here\r\n\r\n"));
            let head = head.unwrap_or_else(|refusal| panic!("{target}: {refusal:?}"));
            assert_eq!((&*head.target, head.header("host")), (plain, Some(host)));
        }
    }

    #[test]
    fn what_is_not_ascii_is_opaque() {
        check_passed(
            "Cf-Ipcity: S\u{e3}o Paulo\r\nCookie: city=S\u{e3}o; a=b\r\n",
            "cf-ipcity=S??o Paulo cookie=city=S??o; a=b",
        );
        let latin1 = b"GET / HTTP/1.1\r\nHost: a\r\nX-City: S\xe3o\r\n\r\n";
        let head = parse(latin1, &Limits::for_descriptors(1024)).unwrap();
        assert_eq!(head.header("x-city"), Some("S?o"));
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
                proto: Some("https".into()),
                is_any: true,
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
