//! Prints answers for the wire. tiny_http's own printer is not used: it never says `Connection: close`, gives a length
//! to answers that must not have one, and lets line breaks in a value through.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use tiny_http::StatusCode;

use super::message::{RequestId, Response};
use super::security_headers;

/// A request is never under way to the server for this long.
const IDLE_MARGIN_SECONDS: u64 = 5;

/// What the request asks of the answer's form. `Default` is for requests that were not understood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// The 0 or 1 of HTTP/1.0 and 1.1.
    pub(super) minor: u8,
    /// It was a HEAD: the length is told, the body is not sent.
    pub(super) is_head: bool,
    /// How long the connection waits for another request behind the answer; none for a connection that closes.
    pub(super) stays_open: Option<Duration>,
}

impl Default for Form {
    fn default() -> Form {
        Form {
            minor: 1,
            is_head: false,
            stays_open: None,
        }
    }
}

/// The answer's head, blank line included, and the body to send after it, which is not copied.
pub(super) fn print(
    mut response: Response,
    id: RequestId,
    form: Form,
) -> (Vec<u8>, Cow<'static, [u8]>) {
    security_headers::harden(&mut response);
    let Response {
        status,
        headers,
        body,
    } = response;
    let reason = StatusCode(status).default_reason_phrase();
    let mut head = format!("HTTP/1.{} {status} {reason}\r\n", form.minor);
    if let Some(idle) = form.stays_open {
        push_line(&mut head, "Connection", "keep-alive");
        // Less than the real time, so that no request is under way when the connection closes.
        let seconds = idle.as_secs().saturating_sub(IDLE_MARGIN_SECONDS).max(1);
        push_line(&mut head, "Keep-Alive", &format!("timeout={seconds}"));
    } else {
        push_line(&mut head, "Connection", "close");
    }
    push_line(
        &mut head,
        "Date",
        &httpdate::fmt_http_date(SystemTime::now()),
    );
    push_line(&mut head, "Server", "shellcraft");
    push_line(&mut head, "X-Request-Id", &id.to_string());
    for (name, value) in headers {
        push_line(&mut head, name, &value);
    }
    // RFC 9110 8.6: never with a 204; with a 304 it would be the length of what is not sent.
    let has_body = !matches!(status, 204 | 304);
    if has_body {
        push_line(&mut head, "Content-Length", &body.len().to_string());
    }
    head.push_str("\r\n");
    let is_sent = has_body && !form.is_head;
    (
        head.into_bytes(),
        if is_sent { body } else { Cow::default() },
    )
}

/// Leaves out a header whose value is not printable ASCII: a value with line breaks would write headers of its own.
fn push_line(head: &mut String, name: &str, value: &str) {
    let is_clean = |byte| byte == b'\t' || (b' '..=b'~').contains(&byte);
    if !value.bytes().all(is_clean) {
        log::error!("an answer's header {name} was left out: its value is not printable ASCII");
        return;
    }
    for part in [name, ": ", value, "\r\n"] {
        head.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(status: u16, body: &'static [u8], form: Form) -> (String, Vec<u8>) {
        let response = Response {
            status,
            headers: vec![
                ("Location", "/a\r\nSet-Cookie: b".to_owned()),
                ("X-Fine", "c".to_owned()),
            ],
            body: Cow::Borrowed(body),
        };
        let (head, body) = print(response, RequestId::new(), form);
        (String::from_utf8(head).unwrap(), body.into_owned())
    }

    #[test]
    fn a_value_cannot_break_out() {
        let (head, _) = printed(302, b"", Form::default());
        assert!(!head.contains("Set-Cookie"), "{head}");
        assert!(head.contains("\r\nX-Fine: c\r\n"), "{head}");
    }

    #[test]
    fn an_answer_is_whole() {
        let (head, body) = printed(503, b"hello", Form::default());
        assert!(
            head.starts_with("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nDate: "),
            "{head}"
        );
        assert!(head.contains("\r\nX-Request-Id: "), "{head}");
        assert!(head.ends_with("\r\nContent-Length: 5\r\n\r\n"), "{head}");
        assert_eq!(body, b"hello");
    }

    #[test]
    fn it_says_how_long_the_connection_stays() {
        let form = Form {
            stays_open: Some(Duration::from_secs(60)),
            ..Form::default()
        };
        let (head, _) = printed(200, b"hello", form);
        let stays = "\r\nConnection: keep-alive\r\nKeep-Alive: timeout=55\r\n";
        assert!(head.contains(stays), "{head}");
        assert!(!head.contains("close"), "{head}");
    }

    #[track_caller]
    fn check(status: u16, form: Form, length: Option<&str>, sent: &[u8]) {
        let (head, body) = printed(status, b"hello", form);
        let told = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        assert_eq!((told, body.as_slice()), (length, sent), "{head}");
    }

    #[test]
    fn what_is_sent_after_the_head() {
        let (old, head) = (
            Form {
                minor: 0,
                is_head: false,
                stays_open: None,
            },
            Form {
                minor: 1,
                is_head: true,
                stays_open: None,
            },
        );
        check(200, Form::default(), Some("5"), b"hello");
        check(200, old, Some("5"), b"hello");
        check(200, head, Some("5"), b"");
        check(204, Form::default(), None, b"");
        check(304, Form::default(), None, b"");
        check(304, head, None, b"");
    }
}
