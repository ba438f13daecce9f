//! The parking place between a stranger's connection and the router thread that answers it.
//!
//! ```text
//! connection thread          tiny_http's private socket          router thread
//!  issue(facts) ──▶ ticket ──── x-gate-ticket: … ────▶ redeem ──▶ facts
//!  take_answer ◀─────────────── end without a byte ◀── leave(answer)
//! ```
//!
//! So an answer never passes through tiny_http: a client that takes it slowly keeps no router thread waiting.
//!
//! A ticket is random, is used once, and is known only to this process. So it stands for facts that HTTP headers must
//! not be believed about (whose request this is), and keeps other local users out of tiny_http.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use crate::door::message::RequestId;
use crate::door::service::Answer;
use crate::locks::Mutex;

/// What the door knows about a request that its headers do not say.
#[derive(Debug)]
pub(in crate::door) struct Facts {
    pub(in crate::door) id: RequestId,
    pub(in crate::door) peer: IpAddr,
    pub(in crate::door) is_https: bool,
    pub(in crate::door) is_forwarded: bool,
    pub(in crate::door) is_websocket_upgrade: bool,
    /// The declared length of a body that was left in the socket.
    pub(in crate::door) body_left: Option<u64>,
    pub(in crate::door) started: Instant,
}

/// All tickets out at the moment: as many as there are requests in flight.
#[derive(Default)]
pub(in crate::door) struct Tickets(Mutex<HashMap<Uuid, Entry>>);

enum Entry {
    Issued(Facts),
    Redeemed,
    Answered(Answer),
}

/// The connection thread's half. Dropping it ends the request's claim on that connection.
pub(in crate::door) struct Ticket {
    tickets: Arc<Tickets>,
    key: Uuid,
}

impl Tickets {
    pub(in crate::door) fn issue(self: &Arc<Tickets>, facts: Facts) -> Ticket {
        let key = Uuid::new_v4();
        self.0.lock().insert(key, Entry::Issued(facts));
        Ticket {
            tickets: Arc::clone(self),
            key,
        }
    }

    /// The facts behind a ticket, once; `None` for one that was never issued, is used or given up.
    pub(super) fn redeem(&self, text: &str) -> Option<(Uuid, Facts)> {
        let key = Uuid::try_parse(text).ok()?;
        let mut entries = self.0.lock();
        let entry = entries
            .get_mut(&key)
            .filter(|entry| matches!(entry, Entry::Issued(_)))?;
        match std::mem::replace(entry, Entry::Redeemed) {
            Entry::Issued(facts) => Some((key, facts)),
            _ => None,
        }
    }

    /// Leaves the answer for the connection thread. If that has given up meanwhile, the answer is dropped.
    pub(super) fn leave(&self, key: Uuid, answer: Answer) {
        let mut entries = self.0.lock();
        // A hand-off's drop may end a whole session, so it must not happen under the lock.
        let unwanted = match entries.get_mut(&key) {
            Some(entry) => {
                *entry = Entry::Answered(answer);
                None
            }
            None => Some(answer),
        };
        drop(entries);
        drop(unwanted);
    }
}

impl Ticket {
    pub(in crate::door) fn to_text(&self) -> String {
        self.key.simple().to_string()
    }

    /// The answer left for this connection, if any.
    pub(in crate::door) fn take_answer(self) -> Option<Answer> {
        match self.give_up() {
            Some(Entry::Answered(answer)) => Some(answer),
            _ => None,
        }
    }

    fn give_up(&self) -> Option<Entry> {
        self.tickets.0.lock().remove(&self.key)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let entry = self.give_up();
        // The lock is released: see `leave`.
        drop(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued() -> (Arc<Tickets>, Ticket) {
        let tickets = Arc::<Tickets>::default();
        let facts = Facts {
            id: RequestId::new(),
            peer: IpAddr::from([127, 0, 0, 1]),
            is_https: false,
            is_forwarded: false,
            is_websocket_upgrade: false,
            body_left: None,
            started: Instant::now(),
        };
        let ticket = tickets.issue(facts);
        (tickets, ticket)
    }

    #[test]
    fn a_ticket_is_good_once() {
        let (tickets, ticket) = issued();
        assert!(tickets.redeem(&ticket.to_text()).is_some());
        assert!(tickets.redeem(&ticket.to_text()).is_none());
    }

    #[test]
    fn no_other_ticket_is_good() {
        let (tickets, _ticket) = issued();
        assert!(tickets.redeem("").is_none());
        assert!(tickets.redeem(&Uuid::new_v4().to_string()).is_none());
    }

    #[test]
    fn an_answer_reaches_its_connection() {
        let (tickets, ticket) = issued();
        let (key, _) = tickets.redeem(&ticket.to_text()).unwrap();
        tickets.leave(key, Answer::HandOff(Box::new(|_| {})));
        assert!(matches!(ticket.take_answer(), Some(Answer::HandOff(_))));
        assert!(tickets.0.lock().is_empty());
    }

    #[test]
    fn an_answer_nobody_waits_for_is_dropped() {
        let (tickets, ticket) = issued();
        let (key, _) = tickets.redeem(&ticket.to_text()).unwrap();
        drop(ticket);
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let answer = Answer::HandOff(Box::new(move |_| drop(inside)));
        tickets.leave(key, answer);
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(tickets.0.lock().is_empty());
    }
}
