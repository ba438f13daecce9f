//! Reads what a stranger sends, up to fixed sizes and absolute deadlines.

use std::net::TcpStream;
use std::time::Instant;

use super::chunks::Chunks;
use super::limits::Limits;
use super::parse::{Head, find_end, parse};
use super::rejection::Rejection;
use super::stop_event::StopEvent;
use super::wire::{Cut, receive};

/// Big enough for most heads in one read, small enough for the stack.
const CHUNK_BYTES: usize = 4096;

/// Why a connection gets no answer of the service.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It gets the door's own answer.
    Refused(Rejection),
    /// It ends without an answer: nothing was asked, the client is gone, or the door closes.
    Over,
}

impl From<Rejection> for Trouble {
    fn from(refusal: Rejection) -> Trouble {
        Trouble::Refused(refusal)
    }
}

impl From<Cut> for Trouble {
    fn from(cut: Cut) -> Trouble {
        match cut {
            Cut::TimedOut => Trouble::Refused(Rejection::TooSlow),
            Cut::Closing | Cut::Gone(_) => Trouble::Over,
        }
    }
}

/// Reads and vets one head. Returns it with the bytes that came behind it.
pub(super) fn read_head(
    stream: &TcpStream,
    limits: &Limits,
    deadline: Instant,
    closing: &StopEvent,
) -> Result<(Head, Vec<u8>), Trouble> {
    // Nothing is allocated for a connection that never says anything.
    let mut received = Vec::new();
    let mut skipped = 0;
    loop {
        let seen = received.len();
        let got = match read_more(stream, &mut received, deadline, closing) {
            // Browsers open connections ahead of need; a 408 without a request confuses some of them.
            Err(Cut::TimedOut) if received.is_empty() => return Err(Trouble::Over),
            got => got?,
        };
        if got == 0 {
            return Err(Trouble::Over);
        }
        skipped += skip_empty_lines(&mut received);
        if received
            .first()
            .is_some_and(|first| !first.is_ascii_uppercase())
        {
            // TLS, HTTP/2 without its preface, noise: no need to wait for a blank line that won't come.
            return Err(Rejection::Bad("This is no HTTP request.").into());
        }
        let end = find_end(&received, seen);
        if end.unwrap_or(received.len()) + skipped > limits.head_bytes {
            return Err(Rejection::HeadTooLong.into());
        }
        if let Some(end) = end {
            let leftover = received.split_off(end);
            return Ok((parse(&received, limits)?, leftover));
        }
    }
}

/// Reads until there are `length` bytes of a body. Returns it with the bytes that came behind it.
pub(super) fn read_body(
    stream: &TcpStream,
    mut received: Vec<u8>,
    length: usize,
    deadline: Instant,
    closing: &StopEvent,
) -> Result<(Vec<u8>, Vec<u8>), Trouble> {
    while received.len() < length {
        if read_more(stream, &mut received, deadline, closing)? == 0 {
            return Err(Rejection::Bad("The body is shorter than its Content-Length.").into());
        }
    }
    let leftover = received.split_off(length);
    Ok((received, leftover))
}

/// Reads a body in chunks, of at most `most` bytes. Returns it with the bytes that came behind it.
pub(super) fn read_chunks(
    stream: &TcpStream,
    mut received: Vec<u8>,
    most: usize,
    deadline: Instant,
    closing: &StopEvent,
) -> Result<(Vec<u8>, Vec<u8>), Trouble> {
    let mut chunks = Chunks::new(most);
    while !chunks.take(&mut received)? {
        if read_more(stream, &mut received, deadline, closing)? == 0 {
            return Err(Rejection::Bad("The body ends before its last chunk.").into());
        }
    }
    Ok((chunks.into_body(), received))
}

fn read_more(
    stream: &TcpStream,
    received: &mut Vec<u8>,
    deadline: Instant,
    closing: &StopEvent,
) -> Result<usize, Cut> {
    let mut chunk = [0; CHUNK_BYTES];
    let got = receive(stream, &mut chunk, deadline, Some(closing))?;
    received.extend_from_slice(&chunk[..got]);
    Ok(got)
}

/// Drops line ends before the request line, as RFC 9112 2.2 asks; returns how many bytes.
fn skip_empty_lines(received: &mut Vec<u8>) -> usize {
    let empty = received
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    received.drain(..empty);
    empty
}
