//! Puts one whole request to the service by way of tiny_http, and fetches the answer that was left for it.

use std::time::Instant;

use super::Shared;
use super::backend::Facts;
use super::parse::Head;
use super::rejection::Rejection;
use super::rewrite::rewrite;
use super::service::Answer;
use super::wire::{Cut, receive, send_all};

/// A request, as much of it as the door reads.
pub(super) struct Heard {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
    /// What came behind the body, or the start of a body that was left in the socket.
    pub(super) leftover: Vec<u8>,
}

/// Waits for a turn, then for the service. The answer does not pass through tiny_http, so only the connection's own
/// thread waits for a client that takes it slowly.
pub(super) fn ask(shared: &Shared, heard: &Heard, facts: Facts) -> Result<Answer, Rejection> {
    let limits = &shared.limits;
    let queue_by = Instant::now() + limits.queue_deadline;
    let place = shared
        .in_flight
        .take_by(Some(facts.peer), queue_by)
        .map_err(|_| Rejection::Busy)?;
    let ticket = shared.server.issue(facts);
    let mut request = rewrite(&heard.head, &ticket.to_text());
    request.extend_from_slice(&heard.body);
    let backend = shared.server.connect().map_err(|error| {
        if shared.unreachable.is_due(Instant::now()) {
            log::error!("requests are lost, tiny_http can't be reached: {error}");
        }
        Rejection::Lost
    })?;
    let answer_by = Instant::now() + limits.answer_deadline;
    // The wait is not cut when the door closes: the service is at work, and its answer is what the close waits for. The
    // connection ends without a byte; a byte would be tiny_http's own answer, which no client is to see.
    let ended = send_all(&backend, &request, answer_by, None)
        .and_then(|()| receive(&backend, &mut [0], answer_by, None));
    drop((backend, place));
    ticket.take_answer().ok_or(match ended {
        Err(Cut::TimedOut) => Rejection::NoAnswer,
        _ => Rejection::Lost,
    })
}
