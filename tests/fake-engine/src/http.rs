//! The little HTTP/1.1 a Docker Engine speaks: whole requests in, whole or chunked answers out.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// A whole request.
pub struct Request {
    pub method: String,
    /// Without the version and the query.
    pub path: String,
    /// The `1.41` of `/v1.41/…`.
    pub version: Option<String>,
    pub query: BTreeMap<String, String>,
    /// As sent: `detachKeys=%FF,…` is no UTF-8 once decoded.
    pub raw_query: String,
    pub is_upgrade: bool,
    pub is_chunked: bool,
    pub body: Vec<u8>,
}

/// A connection that may carry many requests.
pub struct Connection {
    pub stream: Arc<UnixStream>,
    /// Received and not used yet.
    received: Vec<u8>,
}

impl Connection {
    pub fn new(stream: Arc<UnixStream>) -> Connection {
        let received = Vec::new();
        Connection { stream, received }
    }

    /// The next request; `None` when the client has closed.
    pub fn read_request(&mut self) -> io::Result<Option<Request>> {
        let (mut request, len, length) = loop {
            if let Some(head) = parse_head(&self.received)? {
                break head;
            }
            if self.read_more()? == 0 {
                return Ok(None);
            }
        };
        self.received.drain(..len);
        request.body = if request.is_chunked {
            self.read_chunks()?
        } else {
            self.read_exactly(length)?
        };
        Ok(Some(request))
    }

    /// What the client sent beyond its last request, such as the first keys after an attach.
    pub fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let (at, len) = loop {
                match httparse::parse_chunk_size(&self.received).map_err(|_| bad("chunk size"))? {
                    httparse::Status::Complete((at, len)) => {
                        break (at, usize::try_from(len).map_err(io::Error::other)?);
                    }
                    httparse::Status::Partial => self.must_read_more()?,
                }
            };
            self.received.drain(..at);
            body.extend(self.read_exactly(len)?);
            self.read_exactly(2)?; // The line end after each chunk, and after the last one's (empty) trailer.
            if len == 0 {
                return Ok(body);
            }
        }
    }

    fn read_exactly(&mut self, len: usize) -> io::Result<Vec<u8>> {
        while self.received.len() < len {
            self.must_read_more()?;
        }
        Ok(self.received.drain(..len).collect())
    }

    fn must_read_more(&mut self) -> io::Result<()> {
        match self.read_more()? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn read_more(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 8 << 10];
        let amount = (&*self.stream).read(&mut chunk)?;
        self.received.extend_from_slice(&chunk[..amount]);
        Ok(amount)
    }
}

/// A request without its body, the head's length and the body's.
type Head = (Request, usize, usize);

fn parse_head(received: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(len) = parsed.parse(received).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let header = |name: &str| {
        let found = parsed
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        found
            .and_then(|header| str::from_utf8(header.value).ok())
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    let target = parsed.path.unwrap_or_default();
    let (path, raw_query) = target.split_once('?').unwrap_or((target, ""));
    let (version, path) = split_version(path);
    let length = header("content-length");
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: decode(path),
        version,
        query: raw_query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (decode(key), decode(value)))
            .collect(),
        raw_query: raw_query.to_owned(),
        is_upgrade: header("connection").contains("upgrade"),
        is_chunked: header("transfer-encoding") == "chunked",
        body: Vec::new(),
    };
    let length = if length.is_empty() {
        0
    } else {
        length.parse().map_err(io::Error::other)?
    };
    Ok(Some((request, len, length)))
}

fn split_version(path: &str) -> (Option<String>, &str) {
    let Some((version, _)) = path
        .strip_prefix("/v")
        .and_then(|rest| rest.split_once('/'))
    else {
        return (None, path);
    };
    match version.starts_with(|first: char| first.is_ascii_digit()) {
        true => (Some(version.to_owned()), &path[2 + version.len()..]),
        false => (None, path),
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn bad(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// A whole answer.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn empty(status: u16) -> Reply {
        let (headers, body) = (Vec::new(), Vec::new());
        Reply {
            status,
            headers,
            body,
        }
    }

    pub fn json(status: u16, value: &Value) -> Reply {
        Reply::empty(status)
            .with("Content-Type", "application/json")
            .with_body(value.to_string())
    }

    /// An error as the Engine words it.
    pub fn error(status: u16, message: impl Into<String>) -> Reply {
        Reply::json(status, &json!({ "message": message.into() }))
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Reply {
        self.body = body.into();
        self
    }

    pub fn write(&self, mut stream: &UnixStream, is_head: bool) -> io::Result<()> {
        let mut answer = head(self.status, &self.headers);
        if !matches!(self.status, 204 | 304) {
            answer.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        answer.push_str("\r\n");
        let mut answer = answer.into_bytes();
        if !is_head {
            answer.extend_from_slice(&self.body);
        }
        stream.write_all(&answer)
    }
}

/// Begins an answer whose end is not known yet.
pub fn begin_chunked(
    mut stream: &UnixStream,
    headers: &[(&'static str, String)],
) -> io::Result<()> {
    let head =
        head(200, headers) + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes())
}

/// Goes on with it; an empty chunk ends it.
pub fn write_chunk(mut stream: &UnixStream, chunk: &[u8]) -> io::Result<()> {
    let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
    framed.extend_from_slice(chunk);
    framed.extend_from_slice(b"\r\n");
    stream.write_all(&framed)
}

fn head(status: u16, headers: &[(&'static str, String)]) -> String {
    let reason = match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        409 => "Conflict",
        _ => "Internal Server Error",
    };
    let mut head = format!("HTTP/1.1 {status} {reason}\r\nServer: Docker/fake (linux)\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head
}
