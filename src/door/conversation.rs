//! One stranger's connection from accept to end, on its own thread: it hears a request, asks the service, and answers
//! or hands the connection on; and it hears the next request if a browser asks for that.

use std::net::{IpAddr, TcpStream};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::Shared;
use super::arrivals::{Arrivals, Relayed};
use super::backend::{Facts, panic_message};
use super::connection::Connection;
use super::forward::{Heard, ask};
use super::head::{Trouble, read_body, read_chunks, read_head};
use super::message::{RequestId, Response};
use super::parse::{BodyPlan, Head};
use super::print::Form;
use super::proxy::{client_address, is_https, is_trusted, plain};
use super::rejection::Rejection;
use super::service::{Answer, HandOff};
use super::slots::ConnectionSlots;
use super::stats::{Gauge, count};
use super::wire::{Cut, send_all, wait};
use super::write::Manner;
use crate::logging::names;
use crate::warn_throttled;

/// Who is at the other end, and how to speak to them.
struct Client<'a> {
    shared: &'a Shared,
    stream: TcpStream,
    /// The socket's peer, until the request has told whom a trusted proxy speaks for.
    peer: IpAddr,
    id: RequestId,
    manner: Manner,
}

/// Serves one connection to its end. Never panics.
pub(super) fn run(
    shared: &Shared,
    stream: TcpStream,
    peer: IpAddr,
    accepted: Instant,
    place: &mut ConnectionSlots,
) {
    // Terminals want it, others don't mind. It fails only on a Unix socket, which has no such delay, and on a socket
    // that is dead already.
    let _ = stream.set_nodelay(true);
    let manner = Manner {
        form: Form::default(),
        headers: Vec::new(),
        pace: shared.limits.write_pace,
        closing: Arc::clone(&shared.closing),
    };
    let client = Client {
        shared,
        stream,
        peer,
        id: RequestId::new(),
        manner,
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| client.converse(accepted, place))) {
        count(&shared.stats.panics);
        let told = names::without_secrets(panic_message(&*panic));
        log::error!("the connection of {peer} panicked: {told}");
    }
}

impl Client<'_> {
    fn converse(mut self, accepted: Instant, place: &mut ConnectionSlots) {
        let mut began = accepted;
        if let Arrivals::Peers(greeter) = &self.shared.arrivals {
            if !greeter.greet(&self.stream, self.shared.closing.as_fd()) {
                return;
            }
            began = Instant::now();
        }
        loop {
            let (heard, facts) = match self.hear(began, place) {
                Ok(heard) => heard,
                Err(Trouble::Refused(refusal)) => return self.refuse(refusal),
                Err(Trouble::Over) => return,
            };
            match ask(self.shared, &heard, facts) {
                Ok(Answer::Response(response)) => {
                    self.manner.form.stays_open = self.time_to_stay(&heard);
                    if !self.answer(response) || !self.awaits_more() {
                        return;
                    }
                }
                Ok(Answer::HandOff(hand_off)) => return self.hand_on(hand_off, heard),
                Err(refusal) => return self.refuse(refusal),
            }
            began = Instant::now();
            self.id = RequestId::new();
        }
    }

    /// How long the connection stays open for another request, if it does. It stays only if nothing can be misread: the
    /// request ends at a length that it told, and nothing has come behind it.
    fn time_to_stay(&self, heard: &Heard) -> Option<Duration> {
        let shared = self.shared;
        let head = &heard.head;
        let is_clean = matches!(head.body, BodyPlan::Read(_)) && heard.leftover.is_empty();
        // The next request that a proxy brings may be another client's.
        let is_a_proxy_s = head.forwarded.is_any || is_trusted(self.peer, &shared.trusted_proxies);
        let stays = head.asks_to_stay
            && is_clean
            && !is_a_proxy_s
            && !shared.closing.is_raised()
            && shared.connections.has_plenty(self.peer);
        stays.then_some(shared.limits.idle)
    }

    /// Whether another request comes before the client leaves, the time is up, or the door closes.
    fn awaits_more(&self) -> bool {
        let Some(idle) = self.manner.form.stays_open else {
            return false;
        };
        let (until, closing) = (Instant::now() + idle, &*self.shared.closing);
        wait(&self.stream, PollFlags::IN, until, Some(closing)).is_ok()
    }

    /// Reads the request, all of it unless its body is too long for that. A client that sends slowly holds nothing but
    /// this thread and a place, which counts as its own as soon as the head has told whose request it is.
    fn hear(
        &mut self,
        accepted: Instant,
        place: &mut ConnectionSlots,
    ) -> Result<(Heard, Facts), Trouble> {
        let (limits, closing) = (&self.shared.limits, &*self.shared.closing);
        let head_by = accepted + limits.head_deadline;
        let (mut head, leftover) = read_head(&self.stream, limits, head_by, closing)?;
        let started = Instant::now();
        let facts = if self.shared.arrivals.are_peers() {
            let relayed = head
                .relayed
                .ok_or(Rejection::Bad("A peer says whose request it is."))?;
            self.id = relayed.id;
            self.facts_of_relayed(relayed, &head, started)
        } else {
            self.facts(&head, started)
        };
        self.peer = facts.peer;
        self.manner.form = head.form();
        self.manner.headers = self.shared.server.headers_for(head.header("origin"));
        place
            .charge_to(self.peer)
            .map_err(|no_slot| Trouble::Refused(no_slot.into()))?;
        let stream = &self.stream;
        let body_by = started + limits.body_deadline;
        let has_body = !matches!(head.body, BodyPlan::Leave(_) | BodyPlan::Read(0));
        // A client that sends the body already does not wait for this.
        if head.expects_continue && has_body && leftover.is_empty() {
            let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
            send_all(stream, go_on, body_by, Some(closing))?;
        }
        let (body, leftover) = match head.body {
            BodyPlan::Leave(_) => (Vec::new(), leftover),
            BodyPlan::Read(length) => read_body(stream, leftover, length, body_by, closing)?,
            BodyPlan::ReadChunks => {
                let most = limits.body_bytes;
                let (body, leftover) = read_chunks(stream, leftover, most, body_by, closing)?;
                head.tell_length(body.len());
                (body, leftover)
            }
        };
        let heard = Heard {
            head,
            body,
            leftover,
        };
        Ok((heard, facts))
    }

    fn facts(&self, head: &Head, started: Instant) -> Facts {
        let trusted = &self.shared.trusted_proxies;
        if head.forwarded.is_any && self.peer.is_loopback() && !is_trusted(self.peer, trusted) {
            warn_throttled!(
                "a proxy at {} is not in TRUSTED_PROXIES: all its clients are one to us, with one address's limits",
                self.peer
            );
        }
        Facts {
            id: self.id,
            peer: client_address(self.peer, &head.forwarded.hops, trusted),
            is_https: is_https(self.peer, &head.forwarded, trusted),
            is_forwarded: head.forwarded.is_any,
            is_websocket_upgrade: head.is_websocket_upgrade,
            body_left: head.body_left(),
            started,
        }
    }

    /// A peer is believed what it says of its client.
    fn facts_of_relayed(&self, relayed: Relayed, head: &Head, started: Instant) -> Facts {
        Facts {
            id: relayed.id,
            peer: plain(relayed.peer),
            is_https: relayed.is_https,
            is_forwarded: relayed.is_forwarded,
            is_websocket_upgrade: head.is_websocket_upgrade,
            body_left: head.body_left(),
            started,
        }
    }

    fn hand_on(mut self, hand_off: HandOff, heard: Heard) {
        let shared = self.shared;
        self.manner.form.stays_open = None;
        // A connection that is handed on while the door closes would outlive the parts that could end it.
        if shared.closing.is_raised() {
            return self.refuse(Rejection::Busy);
        }
        // Takes back the timeout with which earlier answers were written. It fails only on a Unix socket, which has no
        // such timeout, and on a socket that is dead already.
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&self.stream, 0);
        count(&shared.stats.handed_off);
        let _open = Gauge::raise(&shared.stats.handed_off_open);
        hand_off(Connection {
            stream: self.stream,
            leftover: heard.leftover,
            peer: self.peer,
            expects_continue: heard.head.expects_continue,
            manner: self.manner,
        });
    }

    /// Writes the answer. Returns whether the client has got it, as far as one can know.
    fn answer(&self, response: Response) -> bool {
        let written = self.manner.write(&self.stream, response, self.id);
        let is_written = written.is_ok();
        if let Err(cut) = written {
            if matches!(cut, Cut::TimedOut) {
                count(&self.shared.stats.client_timeouts);
            }
            let Client { peer, id, .. } = self;
            log::debug!("door: the answer to {peer} was cut off: {cut:?} request={id}");
        }
        is_written
    }

    /// Tells the client why its request is refused. This is logged at `debug`, because strangers must not be able to
    /// fill the disk.
    fn refuse(mut self, refusal: Rejection) {
        self.manner.form.stays_open = None;
        let stats = &self.shared.stats;
        count(refusal.counter(stats));
        let (peer, id) = (self.peer, self.id);
        let (status, code) = (refusal.status(), refusal.code());
        log::debug!("door: refused peer={peer} status={status} code={code} request={id}");
        self.answer(refusal.response());
    }
}
