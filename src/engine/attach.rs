//! Takes a whole connection to the Engine for one container's terminal.
//!
//! The call begins as HTTP and is no HTTP any more after the answer's head: what follows are the terminal's
//! bytes, both ways, raw for a container with a TTY. No HTTP client hands that connection out, so the few
//! lines of HTTP are spoken here.

use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use log::debug;

use super::call::{CONNECT_LIMIT, ERROR_ANSWER, engine_message};
use super::error::Error;
use super::operation;
use super::transport::connect;

const CALL: &str = operation::CONTAINER_ATTACH;

/// The Engine answers an attach within milliseconds; on a host that starts many containers, within seconds.
const DEADLINE: Duration = Duration::from_secs(10);

/// The Engine's heads are under 1 KiB.
const HEAD_LIMIT: usize = 16 << 10;

/// A container's terminal, both ways, until the container or either side ends it.
///
/// Dropping both ends closes the connection. To wake a blocked reader before that, shut it down:
/// [`Attach::close`], or `shutdown(Shutdown::Both)` on any clone of `input`.
#[derive(Debug)]
pub struct Attach {
    /// What the terminal shows. EOF means the container ended, or the Engine did.
    pub output: AttachReader,
    /// What is typed. DOCKER: never shut down only this direction: with a TTY that ends the whole attach.
    pub input: UnixStream,
}

impl Attach {
    /// Ends both directions, which also wakes a thread that reads or writes.
    pub fn close(&self) {
        // It fails when the connection has ended, which is what was wanted.
        let _ = self.input.shutdown(Shutdown::Both);
    }
}

/// The reading end of an [`Attach`]. Reads block without a deadline: a terminal may be silent for hours.
#[derive(Debug)]
pub struct AttachReader {
    /// Output that came in one piece with the answer's head.
    early: Cursor<Vec<u8>>,
    stream: UnixStream,
}

impl Read for AttachReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.early.read(buffer)? {
            0 => self.stream.read(buffer),
            amount => Ok(amount),
        }
    }
}

/// Attaches by `POST`ing `target`, and returns once the Engine has agreed.
pub(super) fn open(socket: &Path, target: &str) -> Result<Attach, Error> {
    let deadline = Instant::now() + DEADLINE;
    let mut stream = connect(socket, CONNECT_LIMIT).map_err(|cause| match cause.kind() {
        ErrorKind::WouldBlock => Error::TimedOut {
            call: CALL,
            after: CONNECT_LIMIT,
        },
        _ => Error::Unreachable {
            call: CALL,
            socket: socket.display().to_string(),
            cause,
        },
    })?;
    // DOCKER: without `Upgrade` the answer is 200 instead of 101; Podman insists on the upgrade.
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    );
    stream.set_write_timeout(Some(DEADLINE)).map_err(broken)?;
    stream.write_all(head.as_bytes()).map_err(broken)?;
    let (status, early) = read_answer(&mut stream, deadline)?;
    debug!("engine call={CALL} POST {target}: {status}");

    stream.set_read_timeout(None).map_err(broken)?;
    stream.set_write_timeout(None).map_err(broken)?;
    let input = stream.try_clone().map_err(broken)?;
    Ok(Attach {
        output: AttachReader {
            early: Cursor::new(early),
            stream,
        },
        input,
    })
}

/// Reads up to the end of the answer's head; returns its status and what came after it.
fn read_answer(stream: &mut UnixStream, deadline: Instant) -> Result<(u16, Vec<u8>), Error> {
    let mut received = Vec::new();
    loop {
        match parse_head(&received)? {
            Some(Head {
                status: status @ (200 | 101),
                len,
                ..
            }) => {
                return Ok((status, received.split_off(len)));
            }
            Some(head) => return Err(refusal(stream, head, received, deadline)),
            None if received.len() >= HEAD_LIMIT => return Err(garbled("an endless head")),
            None => {}
        }
        if read_more(stream, &mut received, deadline)? == 0 {
            return Err(broken(ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// The parts of an answer's head that matter.
#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    /// How many bytes the head has.
    len: usize,
    content_length: Option<usize>,
}

/// Parses an answer's head; `None` while its end has not come.
fn parse_head(received: &[u8]) -> Result<Option<Head>, Error> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut answer = httparse::Response::new(&mut headers);
    let len = match answer.parse(received) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(garbled(&error.to_string())),
    };
    let length = answer
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"));
    Ok(Some(Head {
        status: answer.code.unwrap_or_default(),
        len,
        content_length: length.and_then(|header| str::from_utf8(header.value).ok()?.parse().ok()),
    }))
}

/// How long an answer's head is; `None` while its end has not come.
pub(super) fn head_length(received: &[u8]) -> Result<Option<usize>, Error> {
    Ok(parse_head(received)?.map(|head| head.len))
}

/// What the Engine says instead of attaching. DOCKER: plain text without a length, ended by EOF, from an
/// Engine that had already taken the connection over; JSON with a length from one that had not.
fn refusal(stream: &mut UnixStream, head: Head, mut received: Vec<u8>, deadline: Instant) -> Error {
    let whole = head.len.saturating_add(
        head.content_length
            .unwrap_or(ERROR_ANSWER)
            .min(ERROR_ANSWER),
    );
    while received.len() < whole {
        // A message that breaks off is still better than none.
        if !matches!(read_more(stream, &mut received, deadline), Ok(1..)) {
            break;
        }
    }
    if head.status < 400 {
        return garbled(&format!("status {}", head.status));
    }
    Error::Refused {
        call: CALL,
        status: head.status,
        message: engine_message(received.get(head.len..).unwrap_or_default()),
    }
}

/// Appends what one read brings, at most 4 KiB; 0 is EOF.
fn read_more(
    stream: &mut UnixStream,
    received: &mut Vec<u8>,
    deadline: Instant,
) -> Result<usize, Error> {
    let mut chunk = [0; 4 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::TimedOut {
                call: CALL,
                after: DEADLINE,
            });
        }
        stream.set_read_timeout(Some(left)).map_err(broken)?;
        match stream.read(&mut chunk) {
            Ok(amount) => {
                received.extend_from_slice(chunk.get(..amount).unwrap_or_default());
                return Ok(amount);
            }
            // The loop's head decides whether it was the deadline or a signal.
            Err(cause)
                if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(cause) => return Err(broken(cause)),
        }
    }
}

fn broken(cause: io::Error) -> Error {
    match cause.kind() {
        ErrorKind::WouldBlock => Error::TimedOut {
            call: CALL,
            after: DEADLINE,
        },
        _ => Error::Broken { call: CALL, cause },
    }
}

fn garbled(what: &str) -> Error {
    Error::Garbled {
        call: CALL,
        what: engine_message(what.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks what becomes of an Engine's `answer`, after which the Engine closes the connection.
    #[track_caller]
    fn check(answer: &[u8], expected: &str) {
        let (mut ours, mut engine) = UnixStream::pair().expect("a pair");
        engine.write_all(answer).expect("room");
        engine.shutdown(Shutdown::Write).expect("open");
        let shown = match read_answer(&mut ours, Instant::now() + Duration::from_secs(5)) {
            Ok((status, early)) => format!("{status} {:?}", String::from_utf8_lossy(&early)),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn both_ways_of_agreeing_keep_the_early_output() {
        check(
            b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n$ ",
            "101 \"$ \"",
        );
        check(b"HTTP/1.1 200 OK\r\n\r\n", "200 \"\"");
    }

    #[test]
    fn refusals_come_with_and_without_a_length() {
        let expected = "ContainerAttach: the Engine answered 404: No such container: nope";
        check(
            b"HTTP/1.1 404 Not Found\r\n\r\nNo such container: nope\n",
            expected,
        );
        check(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 37\r\n\r\n{\"message\":\"No such container: nope\"}",
            expected,
        );
    }

    #[test]
    fn nonsense_is_told_apart() {
        check(
            b"SSH-2.0-OpenSSH\r\n",
            "ContainerAttach: the Engine's answer makes no sense: invalid HTTP version",
        );
        check(
            b"HTTP/1.1 302 Found\r\n\r\n",
            "ContainerAttach: the Engine's answer makes no sense: status 302",
        );
        check(
            b"HTTP/1.1 1",
            "ContainerAttach: the connection to the Engine broke: unexpected end of file",
        );
        let endless = [
            b"HTTP/1.1 200 OK\r\nA: ".as_slice(),
            &[b'x'; 2 * HEAD_LIMIT],
        ]
        .concat();
        check(
            &endless,
            "ContainerAttach: the Engine's answer makes no sense: an endless head",
        );
    }
}
