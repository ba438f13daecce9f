//! Answers as tiny_http prints them, with what it leaves out or lets through.

use std::borrow::Cow;
use std::io::Cursor;

use tiny_http::{HTTPVersion, Header, StatusCode};

use super::{RequestId, Response};

type TinyResponse = tiny_http::Response<Cursor<Cow<'static, [u8]>>>;

/// An answer as bytes for the wire, for those who hold a stranger's socket themselves.
pub(crate) fn print(response: Response, id: RequestId) -> Vec<u8> {
    let mut printed = Vec::with_capacity(512 + response.body.len());
    // A `Vec` takes every write, so there is no error to report.
    let _ = to_tiny(response, id).raw_print(&mut printed, HTTPVersion(1, 1), &[], false, None);
    if let Some(head) = say_close(&printed) {
        printed = head;
    }
    printed
}

/// The same bytes with `Connection: close` after the status line, which tiny_http never says; `None` while the
/// status line is not complete.
pub(crate) fn say_close(answer: &[u8]) -> Option<Vec<u8>> {
    const CLOSE: &[u8] = b"Connection: close\r\n";
    let end = answer.windows(2).position(|pair| pair == b"\r\n")? + 2;
    Some([&answer[..end], CLOSE, &answer[end..]].concat())
}

/// Our answer as tiny_http's, with the headers every answer carries.
pub(super) fn to_tiny(response: Response, id: RequestId) -> TinyResponse {
    let length = response.body.len();
    let id = id.to_string();
    let own = [("Server", "shellcraft"), ("X-Request-Id", id.as_str())];
    let given = response
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    let headers = given
        .chain(own)
        .filter_map(|(name, value)| header(name, value))
        .collect();
    tiny_http::Response::new(
        StatusCode(response.status),
        headers,
        Cursor::new(response.body),
        Some(length),
        None,
    )
    // The length is always known, so there is nothing to gain from chunks.
    .with_chunked_threshold(usize::MAX)
}

/// tiny_http would print line breaks in a value as they are and so let it write headers of its own.
fn header(name: &str, value: &str) -> Option<Header> {
    let is_clean = value
        .bytes()
        .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    let header = Header::from_bytes(name, value).ok().filter(|_| is_clean);
    if header.is_none() {
        log::error!("an answer's header {name} was left out: its value is not printable ASCII");
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_break_out() {
        let response = Response {
            status: 302,
            headers: vec![
                ("Location", "/a\r\nSet-Cookie: b".to_owned()),
                ("X-Fine", "c".to_owned()),
            ],
            body: Cow::Borrowed(b""),
        };
        let printed = String::from_utf8(print(response, RequestId::new())).unwrap();
        assert!(
            !printed.contains("Set-Cookie") && printed.contains("X-Fine: c\r\n"),
            "{printed}"
        );
    }

    #[test]
    fn close_is_said_once_the_status_line_is_there() {
        assert_eq!(say_close(b"HTTP/1.1 200 O"), None);
        assert_eq!(say_close(b"HTTP/1.1 200 OK\r"), None);
        assert_eq!(
            say_close(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n").as_deref(),
            Some(b"HTTP/1.1 200 OK\r\nConnection: close\r\nA: b\r\n\r\n".as_slice())
        );
    }

    #[test]
    fn a_long_body_has_a_length() {
        let response = Response {
            status: 200,
            headers: vec![],
            body: Cow::Owned(vec![b'x'; 1 << 20]),
        };
        let printed = print(response, RequestId::new());
        let head = String::from_utf8_lossy(&printed[..300]);
        assert!(
            head.contains("Content-Length: 1048576\r\n") && !head.contains("chunked"),
            "{head}"
        );
    }
}
