//! One stranger's connection from accept to end, on its own thread: read, vet, queue, ask, answer or hand on.

use std::io;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::Shared;
use super::head::{Trouble, read_body, read_head};
use super::proxy::{client_address, is_https};
use super::refusal::Refusal;
use super::relay::{Relayed, relay};
use super::rewrite::rewrite;
use super::signal::Signal;
use super::stats::{Gauge, count};
use super::vet::BodyPlan;
use super::wire::{Cut, receive, send_all};
use crate::http::server::{Facts, HandOff, RequestId, Response, panic_message, print};

/// How long and how much we read of what nobody wants, so that the answer arrives: closing a socket with unread
/// bytes makes the kernel send a reset, which overtakes the answer. A proxy in front may have megabytes under way.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 * 1024 * 1024;
/// What a hand-off that answers and ends may take for it.
const RESPOND_DEADLINE: Duration = Duration::from_secs(10);

/// A stranger's connection as a hand-off gets it: blocking, no timeouts set, `TCP_NODELAY` on.
#[derive(Debug)]
pub struct Connection {
    /// The socket itself. Nobody else holds it.
    pub stream: TcpStream,
    /// Bytes that came behind the request and are already read: the start of the body or of the first frames.
    pub leftover: Vec<u8>,
    /// The client's address, as told by trusted proxies.
    pub peer: IpAddr,
    /// The client waits for `100 Continue` before it sends the body announced by `Body::TooLong`.
    pub expects_continue: bool,
}

impl Connection {
    /// Answers and closes, gently: what the client still sends is read and thrown away for a moment.
    pub fn respond(self, id: RequestId, response: Response) -> io::Result<()> {
        let sent = send_all(
            &self.stream,
            &print(response, id),
            Instant::now() + RESPOND_DEADLINE,
            None,
        );
        linger(&self.stream, None);
        match sent {
            Ok(()) => Ok(()),
            Err(Cut::Gone(error)) => Err(error),
            Err(Cut::TimedOut | Cut::Closing) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// What became of the request.
enum Outcome {
    Answered,
    /// The answer was cut off; there is nothing left to say to this client.
    CutOff,
    HandedOff(HandOff, Rest),
}

/// What a hand-off gets beside the socket.
struct Rest {
    leftover: Vec<u8>,
    peer: IpAddr,
    expects_continue: bool,
}

/// Serves one connection to its end. Never panics.
pub(super) fn run(shared: &Shared, stream: TcpStream, socket_peer: IpAddr, accepted: Instant) {
    let conversed = catch_unwind(AssertUnwindSafe(|| {
        converse(shared, stream, socket_peer, accepted)
    }));
    if let Err(panic) = conversed {
        count(&shared.stats.panics);
        log::error!(
            "the connection of {socket_peer} panicked: {}",
            panic_message(&*panic)
        );
    }
}

fn converse(shared: &Shared, stream: TcpStream, socket_peer: IpAddr, accepted: Instant) {
    // Terminals want it, others don't mind. It fails only on a socket that is dead already.
    let _ = stream.set_nodelay(true);
    let id = RequestId::new();
    match ask(shared, &stream, socket_peer, accepted, id) {
        Ok(Outcome::Answered) => linger(&stream, Some(&shared.closing)),
        Ok(Outcome::HandedOff(hand_off, rest)) => {
            count(&shared.stats.handed_off);
            let _open = Gauge::raise(&shared.stats.handed_off_open);
            let Rest {
                leftover,
                peer,
                expects_continue,
            } = rest;
            hand_off(Connection {
                stream,
                leftover,
                peer,
                expects_continue,
            });
        }
        Err(Trouble::Refused(refusal)) => refuse(shared, &stream, socket_peer, refusal, id),
        Ok(Outcome::CutOff) | Err(Trouble::Over) => {}
    }
}

/// From the first byte to an outcome.
fn ask(
    shared: &Shared,
    stream: &TcpStream,
    socket_peer: IpAddr,
    accepted: Instant,
    id: RequestId,
) -> Result<Outcome, Trouble> {
    let (limits, closing) = (&shared.limits, &shared.closing);
    let (head, leftover) = read_head(stream, limits, accepted + limits.head_deadline, closing)?;
    let started = Instant::now();
    let body_by = started + limits.body_deadline;
    let (body, leftover, body_left) = match head.body {
        BodyPlan::Leave(length) => (Vec::new(), leftover, Some(length)),
        BodyPlan::Read(length) => {
            // Whoever sends the body anyway is not waiting for our word.
            if head.expects_continue && length > 0 && leftover.is_empty() {
                send_all(
                    stream,
                    b"HTTP/1.1 100 Continue\r\n\r\n",
                    body_by,
                    Some(closing),
                )?;
            }
            let (body, leftover) = read_body(stream, leftover, length, body_by, closing)?;
            (body, leftover, None)
        }
    };
    let peer = client_address(socket_peer, &head.forwarded.hops, &shared.trusted_proxies);
    let facts = Facts {
        id,
        peer,
        is_https: is_https(socket_peer, &head.forwarded, &shared.trusted_proxies),
        is_websocket_upgrade: head.is_websocket_upgrade,
        body_left,
        started,
    };
    // Only now: a slow sender holds no place in tiny_http.
    let queue_by = Instant::now() + limits.queue_deadline;
    let place = shared
        .in_flight
        .take_by(Some(peer), queue_by)
        .ok_or(Refusal::Busy)?;
    let ticket = shared.server.issue(facts);
    let mut request = rewrite(&head, &ticket.to_text());
    request.extend_from_slice(&body);
    let backend = shared.server.connect().map_err(|error| {
        if shared.unreachable.is_due(Instant::now()) {
            log::error!("requests are lost, tiny_http can't be reached: {error}");
        }
        Refusal::Lost
    })?;
    let relayed = relay(&backend, stream, &request, limits, closing);
    drop((backend, place));
    if let (Relayed::Nothing, Some(hand_off)) = (&relayed, ticket.take_hand_off()) {
        let rest = Rest {
            leftover,
            peer,
            expects_continue: head.expects_continue,
        };
        return unless_closing(hand_off, rest, closing);
    }
    if let Relayed::Cut(cut) = relayed {
        note_cut(shared, peer, &cut);
        return Ok(Outcome::CutOff);
    }
    relayed
        .refusal()
        .map_or(Ok(Outcome::Answered), |refusal| Err(refusal.into()))
}

/// A hand-off that comes when the door closes would outlive those who could end it.
fn unless_closing(hand_off: HandOff, rest: Rest, closing: &Signal) -> Result<Outcome, Trouble> {
    if closing.is_raised() {
        Err(Refusal::Busy.into())
    } else {
        Ok(Outcome::HandedOff(hand_off, rest))
    }
}

fn note_cut(shared: &Shared, peer: IpAddr, cut: &Cut) {
    if matches!(cut, Cut::TimedOut) {
        count(&shared.stats.client_timeouts);
    }
    log::debug!("door: the answer to {peer} was cut off: {cut:?}");
}

/// Tells the client why not. At `debug`: strangers must not be able to fill the disk.
fn refuse(shared: &Shared, stream: &TcpStream, peer: IpAddr, refusal: Refusal, id: RequestId) {
    let stats = &shared.stats;
    count(match refusal {
        Refusal::TooSlow => &stats.client_timeouts,
        Refusal::Busy => &stats.refused_busy,
        Refusal::TooMany => &stats.refused_connections,
        Refusal::Lost => &stats.lost_requests,
        Refusal::NoAnswer => &stats.answer_timeouts,
        _ => &stats.bad_requests,
    });
    log::debug!(
        "door: refused peer={peer} status={} code={} request={id}",
        refusal.status(),
        refusal.code()
    );
    let answer = refusal.to_bytes(id);
    let deadline = Instant::now() + shared.limits.write_deadline;
    if send_all(stream, &answer, deadline, Some(&shared.closing)).is_ok() {
        linger(stream, Some(&shared.closing));
    }
}

/// Says that nothing more comes, then waits a moment for the client to have read it.
fn linger(stream: &TcpStream, closing: Option<&Signal>) {
    if stream.shutdown(Shutdown::Write).is_err() {
        return; // The client is gone already.
    }
    let deadline = Instant::now() + LINGER;
    let mut left = LINGER_BYTES;
    let mut chunk = [0; 4096];
    while left > 0 {
        match receive(stream, &mut chunk, deadline, closing) {
            Ok(0) | Err(_) => return,
            Ok(got) => left = left.saturating_sub(got),
        }
    }
}
