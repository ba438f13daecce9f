//! Tickets: each opens one WebSocket, once, within half a minute. They are for clients that can send neither header nor
//! cookie, such as a plain `websocat URL`. A ticket stands in a URL, which may end up in a log, so it is worth nothing
//! afterwards.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use crate::auth::secret;
use crate::locks::Mutex;
use crate::session::SessionId;

/// How long a ticket waits to be used.
pub const TICKET_LIFE: Duration = Duration::from_secs(30);
/// The most tickets of one session at a time; the oldest give way.
const PER_SESSION: usize = 8;
/// The most tickets altogether; the oldest give way.
const IN_ALL: usize = 8192;

/// All unused tickets, by their hash: memory that leaks reveals none of them.
#[derive(Debug, Default)]
pub struct Tickets {
    /// Guards nothing else, and is held for look-ups and changes only.
    waiting: Mutex<HashMap<String, Waiting>>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    grant: Grant,
    issued: Instant,
}

/// What a ticket opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The session.
    pub session: SessionId,
    /// When the login expires of the client that got the ticket.
    pub until: Option<SystemTime>,
    /// When the client got it.
    pub issued: SystemTime,
}

impl Tickets {
    /// A new ticket. It is kept nowhere except by the client that gets it.
    pub fn issue(&self, grant: Grant, now: Instant) -> String {
        let ticket = secret::new_token();
        let mut waiting = self.waiting.lock();
        waiting.retain(|_, one| !one.is_over(now));
        let is_own = |one: &Waiting| one.grant.session == grant.session;
        if waiting.values().filter(|one| is_own(one)).count() >= PER_SESSION {
            remove_oldest(&mut waiting, is_own);
        }
        if waiting.len() >= IN_ALL {
            remove_oldest(&mut waiting, |_| true);
        }
        let issued = now;
        waiting.insert(secret::digest(&ticket), Waiting { grant, issued });
        ticket
    }

    /// What the ticket opens, if it exists and is for this session. It is used up either way.
    pub fn redeem(&self, ticket: &str, session: SessionId, now: Instant) -> Option<Grant> {
        // The look-up's time reveals at most the hash, which says nothing about a ticket.
        let found = self.waiting.lock().remove(&secret::digest(ticket))?;
        (!found.is_over(now) && found.grant.session == session).then_some(found.grant)
    }

    /// Forgets a session's tickets.
    pub fn revoke(&self, session: SessionId) {
        self.waiting
            .lock()
            .retain(|_, one| one.grant.session != session);
    }
}

impl Waiting {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.issued) >= TICKET_LIFE
    }
}

fn remove_oldest(waiting: &mut HashMap<String, Waiting>, which: impl Fn(&Waiting) -> bool) {
    let candidates = waiting.iter().filter(|(_, one)| which(one));
    let oldest = candidates.min_by_key(|(_, one)| one.issued);
    if let Some(hash) = oldest.map(|(hash, _)| hash.clone()) {
        waiting.remove(&hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        Grant {
            session: SessionId::random(),
            until: None,
            issued: SystemTime::now(),
        }
    }

    #[test]
    fn a_ticket_is_good_once_and_for_its_session() {
        let (tickets, now, mine) = (Tickets::default(), Instant::now(), grant());
        let ticket = tickets.issue(mine, now);
        assert_eq!(tickets.redeem(&ticket, mine.session, now), Some(mine));
        assert_eq!(tickets.redeem(&ticket, mine.session, now), None);
        let ticket = tickets.issue(mine, now);
        assert_eq!(tickets.redeem(&ticket, SessionId::random(), now), None);
        assert_eq!(tickets.redeem(&ticket, mine.session, now), None, "used up");
        assert_eq!(tickets.redeem("", mine.session, now), None);
    }

    #[test]
    fn a_ticket_runs_out_and_can_be_revoked() {
        let (tickets, now, mine) = (Tickets::default(), Instant::now(), grant());
        let ticket = tickets.issue(mine, now);
        assert_eq!(
            tickets.redeem(&ticket, mine.session, now + TICKET_LIFE),
            None
        );
        let ticket = tickets.issue(mine, now);
        tickets.revoke(mine.session);
        assert_eq!(tickets.redeem(&ticket, mine.session, now), None);
    }

    #[test]
    fn there_are_never_many() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let mine = grant();
        let issued: Vec<_> = (0..=PER_SESSION as u64)
            .map(|second| tickets.issue(mine, now + Duration::from_secs(second)))
            .collect();
        assert_eq!(tickets.redeem(&issued[0], mine.session, now), None);
        assert!(tickets.redeem(&issued[1], mine.session, now).is_some());
        for _ in 0..IN_ALL + 10 {
            tickets.issue(grant(), now);
        }
        assert!(tickets.waiting.lock().len() <= IN_ALL);
    }
}
