//! Browsers in which an operator has logged in: each has a random cookie, kept here as a hash, for eight hours. Also
//! limits how often an address may try. Everything is lost with the process, so a restart logs all operators out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use super::cookie::Names;
use super::owner::PlayerId;
use super::secret;
use crate::locks::Mutex;

/// How long a login lasts.
pub const LOGIN_LIFE: Duration = Duration::from_secs(8 * 3600);
/// The most logins at a time; the oldest give way.
const LOGINS: usize = 32;
/// How many wrong tokens an address may show within [`FORGIVEN_AFTER`].
const TRIES: u32 = 5;
/// After this long without a wrong token, an address has all its tries again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);
/// The most addresses that are remembered; beyond that, the one that failed the longest ago is forgotten.
const ADDRESSES: usize = 4096;

/// The name of the cookie. Behind TLS a browser accepts it only from exactly this host.
pub fn cookie_name(names: &Names, is_https: bool) -> String {
    names.whole(if is_https {
        "__Host-shellcraft_admin"
    } else {
        "shellcraft_admin"
    })
}

/// An operator's login.
#[derive(Debug, Clone)]
pub struct Login {
    /// The operator's player name, where operators have names.
    pub player: Option<PlayerId>,
    /// When it began.
    pub began: SystemTime,
    until: Instant,
}

/// All logins, and the failures before them.
#[derive(Default)]
pub struct Desk {
    /// The logins by the hashes of their cookies. Guards nothing else.
    logins: Mutex<HashMap<String, Login>>,
    /// The failures by address, and when the last one was. Guards nothing else.
    failures: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

impl Desk {
    /// Begins a login and returns its cookie. `began` must be no later than the look-up that found its player not revoked.
    pub fn log_in(
        &self,
        player: Option<PlayerId>,
        began: SystemTime,
        life: Duration,
        now: Instant,
    ) -> String {
        let cookie = secret::new_token();
        let mut logins = self.logins.lock();
        logins.retain(|_, login| login.until > now);
        if logins.len() >= LOGINS {
            let oldest = logins.iter().min_by_key(|(_, login)| login.until);
            let oldest = oldest.map(|(hash, _)| hash.clone());
            oldest.map(|hash| logins.remove(&hash));
        }
        let login = Login {
            player,
            began,
            until: now + life.min(LOGIN_LIFE),
        };
        logins.insert(secret::digest(&cookie), login);
        cookie
    }

    /// The login that has this cookie. It is looked up by the cookie's hash, which no client can choose.
    pub fn find(&self, cookie: &str, now: Instant) -> Option<Login> {
        let logins = self.logins.lock();
        let login = logins.get(&secret::digest(cookie))?;
        (login.until > now).then(|| login.clone())
    }

    /// Ends a login.
    pub fn log_out(&self, cookie: &str) {
        self.logins.lock().remove(&secret::digest(cookie));
    }

    /// How long an address must wait before it may try a token, if it must.
    pub fn must_wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let (count, last) = *self.failures.lock().get(&address)?;
        let left = (last + FORGIVEN_AFTER).saturating_duration_since(now);
        (count >= TRIES && !left.is_zero()).then_some(left)
    }

    /// Notes a wrong token.
    pub fn note_failure(&self, address: IpAddr, now: Instant) {
        let mut failures = self.failures.lock();
        failures.retain(|_, (_, last)| *last + FORGIVEN_AFTER > now);
        if failures.len() >= ADDRESSES {
            let oldest = failures.iter().min_by_key(|(_, (_, last))| *last);
            let oldest = oldest.map(|(address, _)| *address);
            oldest.map(|address| failures.remove(&address));
        }
        let entry = failures.entry(address).or_insert((0, now));
        *entry = (entry.0.saturating_add(1), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_end() {
        let (desk, now) = (Desk::default(), Instant::now());
        let cookie = desk.log_in(None, SystemTime::now(), LOGIN_LIFE, now);
        assert!(desk.find(&cookie, now).is_some() && desk.find("", now).is_none());
        assert!(desk.find(&cookie, now + LOGIN_LIFE).is_none());
        let short = desk.log_in(None, SystemTime::now(), Duration::from_secs(1), now);
        assert!(desk.find(&short, now + Duration::from_secs(1)).is_none());
        desk.log_out(&cookie);
        assert!(desk.find(&cookie, now).is_none());
    }

    #[test]
    fn the_oldest_login_gives_way() {
        let (desk, now) = (Desk::default(), Instant::now());
        let cookies: Vec<_> = (0..=LOGINS as u64)
            .map(|n| {
                desk.log_in(
                    None,
                    SystemTime::now(),
                    LOGIN_LIFE,
                    now + Duration::from_secs(n),
                )
            })
            .collect();
        assert!(desk.find(&cookies[0], now).is_none() && desk.find(&cookies[1], now).is_some());
    }

    #[test]
    fn whoever_guesses_waits() {
        let (desk, now) = (Desk::default(), Instant::now());
        let address = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..TRIES {
            assert_eq!(desk.must_wait(address, now), None);
            desk.note_failure(address, now);
        }
        assert_eq!(desk.must_wait(address, now), Some(FORGIVEN_AFTER));
        assert_eq!(desk.must_wait(IpAddr::from([192, 0, 2, 2]), now), None);
        assert_eq!(desk.must_wait(address, now + FORGIVEN_AFTER), None);
    }
}
