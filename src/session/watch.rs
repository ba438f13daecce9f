//! Links with which others may watch a player's terminal. They are read-only, can be revoked, and expire.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::ids::HomeNumber;
use super::{Error, Manager, SessionId};
use crate::auth;
use crate::locks::RwLock;
use crate::terminal::frame::Notice;

/// How long a link can be used to join. A spectator who has joined may stay.
pub const WATCH_LINK_LIFE: Duration = Duration::from_secs(4 * 3600);
/// The most links of one session at a time; the oldest give way.
const LINKS_PER_SESSION: usize = 8;

/// All links of this server, by their secret.
#[derive(Default)]
pub(super) struct WatchLinks {
    /// Guards nothing else, and is held for look-ups and changes only.
    links: RwLock<HashMap<String, Link>>,
}

#[derive(Clone, Copy)]
struct Link {
    session: SessionId,
    /// Whether an operator made it; the player is told of that.
    is_operator_s: bool,
    expires: Instant,
}

impl WatchLinks {
    fn add(
        &self,
        session: SessionId,
        home: Option<HomeNumber>,
        is_operator_s: bool,
        now: Instant,
    ) -> String {
        // The number is no secret: it stands in the session's id too.
        let home = home.map_or_else(String::new, HomeNumber::digits);
        let secret = home + &auth::new_token();
        let mut links = self.links.write();
        links.retain(|_, link| link.expires > now);
        let mut own: Vec<_> = links
            .iter()
            .filter(|(_, link)| link.session == session)
            .collect();
        own.sort_by_key(|(_, link)| link.expires);
        let over = (own.len() + 1).saturating_sub(LINKS_PER_SESSION);
        let oldest: Vec<String> = own[..over]
            .iter()
            .map(|(secret, _)| (*secret).clone())
            .collect();
        for secret in oldest {
            links.remove(&secret);
        }
        links.insert(
            secret.clone(),
            Link {
                session,
                is_operator_s,
                expires: now + WATCH_LINK_LIFE,
            },
        );
        secret
    }

    fn find(&self, secret: &str, now: Instant) -> Option<Link> {
        // A map's look-up does not take constant time, but what it compares is the secret's hash under a random key.
        self.links
            .read()
            .get(secret)
            .filter(|link| link.expires > now)
            .copied()
    }

    /// Forgets a session's links.
    pub(super) fn revoke(&self, session: SessionId) {
        self.links.write().retain(|_, link| link.session != session);
    }
}

/// The number of the instance that has made a link. Only a server in a fleet may ask: other links begin with anything.
pub fn home_of(secret: &str) -> Option<HomeNumber> {
    let digits = secret.get(..HomeNumber::DIGITS)?;
    HomeNumber::new(u16::from_str_radix(digits, 16).ok()?)
}

impl Manager {
    /// A new link's secret for a session that runs.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Over`].
    pub fn watch_link(&self, id: SessionId, is_operator_s: bool) -> Result<String, Error> {
        let session = self.get(id)?;
        if session.snapshot().state.is_over() {
            return Err(Error::Over);
        }
        let now = Instant::now();
        Ok(self.watch_links.add(id, self.home(), is_operator_s, now))
    }

    /// Revokes all links of a session and sends its spectators away (1008).
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn revoke_watch_links(&self, id: SessionId) -> Result<(), Error> {
        let session = self.get(id)?;
        self.watch_links.revoke(id);
        session.hub.dismiss_spectators();
        Ok(())
    }

    /// The session that a link is for.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a link that never was, was revoked or has expired.
    pub fn watched(&self, secret: &str) -> Result<SessionId, Error> {
        self.watch_links
            .find(secret, Instant::now())
            .map(|link| link.session)
            .ok_or(Error::NotFound)
    }

    /// Notes that a spectator has joined by this link. If an operator made the link, the player is told.
    pub fn note_watcher(&self, secret: &str) {
        let link = self.watch_links.find(secret, Instant::now());
        let link = link.filter(|link| link.is_operator_s);
        if let Some(session) = link.and_then(|link| self.get(link.session).ok()) {
            session.hub.notify(&Notice::operator_watches());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_expire_and_can_be_revoked() {
        let (links, now) = (WatchLinks::default(), Instant::now());
        let (one, two) = (SessionId::random(), SessionId::random());
        let (first, second) = (
            links.add(one, None, true, now),
            links.add(two, None, false, now),
        );
        let session = |link: Option<Link>| link.map(|link| link.session);
        assert_eq!(session(links.find(&first, now)), Some(one));
        assert!(links.find(&first, now + WATCH_LINK_LIFE).is_none());
        assert!(links.find("", now).is_none());
        links.revoke(one);
        assert_eq!(
            (
                session(links.find(&first, now)),
                session(links.find(&second, now))
            ),
            (None, Some(two))
        );
    }

    #[test]
    fn a_link_says_where_its_session_is() {
        let (links, now) = (WatchLinks::default(), Instant::now());
        for number in [1, 0xabc, HomeNumber::MOST] {
            let home = HomeNumber::new(number);
            let secret = links.add(SessionId::random(), home, false, now);
            assert_eq!(home_of(&secret), home);
        }
        for text in ["", "ab", "xyz", "000", "äöü"] {
            assert_eq!(home_of(text), None, "{text}");
        }
    }

    #[test]
    fn the_oldest_link_gives_way() {
        let (links, now, id) = (WatchLinks::default(), Instant::now(), SessionId::random());
        let secrets: Vec<_> = (0..10)
            .map(|n| links.add(id, None, false, now + Duration::from_secs(n)))
            .collect();
        let alive = secrets
            .iter()
            .map(|secret| links.find(secret, now).is_some());
        assert_eq!(
            alive.collect::<Vec<_>>(),
            [[false; 2].as_slice(), &[true; 8]].concat()
        );
    }
}
