//! Passes one request to tiny_http and its answer back, until the end of the private connection.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::limits::Limits;
use super::refusal::Refusal;
use super::signal::Signal;
use super::wire::{Cut, receive, send_all};
use crate::http::server::say_close;

/// One read of an answer; on the heap, since stacks are small.
const CHUNK_BYTES: usize = 32 * 1024;

/// How a relayed request ended.
#[derive(Debug)]
pub(super) enum Relayed {
    /// The client has its answer.
    Answered,
    /// No byte came: there is a hand-off, or tiny_http has lost the request.
    Nothing,
    /// The service took too long.
    NoAnswer,
    /// The client did not take the answer in time, or left, or the answer broke off.
    Cut(Cut),
}

/// Sends `request` and relays the answer.
pub(super) fn relay(
    backend: &UnixStream,
    client: &TcpStream,
    request: &[u8],
    limits: &Limits,
    closing: &Signal,
) -> Relayed {
    let answer_by = Instant::now() + limits.answer_deadline;
    // A write error is judged by what can be read: nothing.
    if send_all(backend, request, answer_by, None).is_err() {
        return Relayed::Nothing;
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut start = Vec::new();
    let start = loop {
        // Not cut when the door closes: the service is at work, and its answer is what the close waits for.
        match receive(backend, &mut chunk, answer_by, None) {
            Ok(0) | Err(Cut::Gone(_)) => return Relayed::Nothing,
            Err(_) => return Relayed::NoAnswer,
            Ok(got) => start.extend_from_slice(&chunk[..got]),
        }
        if let Some(start) = say_close(&start) {
            break start;
        }
    };
    match pass_on(
        backend,
        client,
        start,
        &mut chunk,
        Instant::now() + limits.write_deadline,
        closing,
    ) {
        Ok(()) => Relayed::Answered,
        Err(cut) => Relayed::Cut(cut),
    }
}

fn pass_on(
    backend: &UnixStream,
    client: &TcpStream,
    start: Vec<u8>,
    chunk: &mut [u8],
    deadline: Instant,
    closing: &Signal,
) -> Result<(), Cut> {
    send_all(client, &start, deadline, Some(closing))?;
    loop {
        match receive(backend, chunk, deadline, None)? {
            0 => return Ok(()),
            got => send_all(client, &chunk[..got], deadline, Some(closing))?,
        }
    }
}

impl Relayed {
    /// What the client is told where there is no answer and no hand-off.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Relayed::Nothing => Some(Refusal::Lost),
            Relayed::NoAnswer => Some(Refusal::NoAnswer),
            Relayed::Answered | Relayed::Cut(_) => None,
        }
    }
}
