//! Decides who sends a request, and whether they may do what they ask: the one place where requests meet [`crate::auth`].
//! It runs in the thread that answers the request.
//!
//! INVARIANT: a session that belongs to another player answers exactly like one that does not exist.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Site;
use super::cookies::{cookie_key, cookies};
use super::error::ApiError;
use super::origin::{self, Judgement};
use super::tickets::{Grant, Tickets};
use crate::auth::cookie::{self, CookieKey};
use crate::auth::desk;
use crate::auth::{Gate, Identity, Owner, PlayerId, Refusal, Shown};
use crate::door::Request;
use crate::session::{self, Session, SessionId};
use crate::warn_throttled;

/// The log has no more characters of a header than this, because a stranger may have made it. A host's name has up to 253.
const SHOWN_CHARACTERS: usize = 300;

/// Everything by which the senders of requests are told apart.
pub(super) struct Guard {
    pub(super) gate: Gate,
    pub(super) tickets: Tickets,
}

/// What allows a client to open a terminal.
pub(super) struct Entry {
    /// When it expires.
    until: Option<SystemTime>,
    /// The player it belongs to, and when it was issued, if that is known.
    by: Option<(PlayerId, Option<SystemTime>)>,
}

impl Site {
    /// Checks the origin of a request that changes something, or that opens a WebSocket.
    pub(super) fn check_origin(&self, request: &Request) -> Result<(), ApiError> {
        let (reached, origin) = (self.reached(request), request.header("origin"));
        let site = request.header("sec-fetch-site");
        let judgement = origin::judge(origin, site, reached, &self.settings.allowed_origins);
        if judgement == Judgement::Allowed {
            return Ok(());
        }
        self.metrics.count_refusal(Refusal::ForeignOrigin);
        let own = shown(&reached.own());
        // Most often this is not an attack, but a missing setting.
        if judgement == Judgement::UnknownName {
            warn_throttled!(
                "refused a page at {own}: if that is this server's address, set PUBLIC_URL to it"
            );
            return Err(ApiError::unknown_name());
        }
        let page = shown(origin.unwrap_or("another site"));
        warn_throttled!(
            "refused a page of {page}, which came to {own}: {}",
            reached.advice(origin)
        );
        Err(ApiError::foreign_origin())
    }

    /// The sender of the request, unless their login is revoked. In a server without logins, a session of a player who is
    /// revoked belongs to no one; see `owned`.
    pub(super) fn identity(&self, request: &Request) -> Result<Identity, ApiError> {
        let identity = self.shown_identity(request)?;
        if self.guard.gate.wants_tokens() {
            self.check_standing(&identity)?;
        }
        Ok(identity)
    }

    /// The player that the request comes from. In a server without logins, a player who is revoked counts as no one.
    pub(super) fn visitor(&self, request: &Request) -> Result<Option<PlayerId>, ApiError> {
        let identity = self.identity(request)?;
        match identity.player {
            Some(player) if self.manager.is_revoked(&player, identity.issued)? => Ok(None),
            player => Ok(player),
        }
    }

    /// Whether the request shows a player. This is for pages, which are never refused: what is wrong with the credentials
    /// is told by the calls that the pages make.
    pub(super) fn is_known(&self, request: &Request) -> bool {
        let Ok(key) = self.cookie_key() else {
            return false;
        };
        let shown = self.identify(request, key);
        shown.is_ok_and(|identity| identity.player.is_some())
    }

    /// The sender of the request by the credentials that it shows, revoked or not.
    pub(super) fn shown_identity(&self, request: &Request) -> Result<Identity, ApiError> {
        let key = self.cookie_key()?;
        self.identify(request, key)
            .map_err(|refusal| self.refuse(refusal))
    }

    /// The key of players' cookies. None if players log in.
    fn cookie_key(&self) -> Result<Option<&CookieKey>, session::Error> {
        match self.guard.gate.wants_tokens() {
            true => Ok(None),
            false => cookie_key(&self.guard.gate, &self.manager).map(Some),
        }
    }

    fn identify(&self, request: &Request, key: Option<&CookieKey>) -> Result<Identity, Refusal> {
        let cookies: Vec<&str> = cookies(request).collect();
        let shown = Shown {
            authorization: request.header("authorization"),
            cookies: &cookies,
            is_https: self.is_https(request),
        };
        self.guard.gate.identify(shown, key)
    }

    /// Checks that the sender's credential is not revoked.
    fn check_standing(&self, identity: &Identity) -> Result<(), ApiError> {
        match &identity.player {
            Some(player) => self.check_not_revoked(player, identity.issued),
            None => Ok(()),
        }
    }

    /// Checks that a credential of this player that was issued at that moment is not revoked.
    pub(super) fn check_not_revoked(
        &self,
        player: &PlayerId,
        issued: Option<SystemTime>,
    ) -> Result<(), ApiError> {
        match self.manager.is_revoked(player, issued)? {
            true => Err(self.refuse(Refusal::Revoked)),
            false => Ok(()),
        }
    }

    /// Counts a refusal, and returns the error for it.
    pub(super) fn refuse(&self, refusal: Refusal) -> ApiError {
        self.metrics.count_refusal(refusal);
        refusal.into()
    }

    /// The session, for its owner and for operators.
    pub(super) fn owned_session(
        &self,
        id: SessionId,
        request: &Request,
    ) -> Result<Arc<Session>, ApiError> {
        self.owned(id, request).map(|(session, _)| session)
    }

    /// The session, for its owner and for operators, and who asks for it.
    pub(super) fn owned(
        &self,
        id: SessionId,
        request: &Request,
    ) -> Result<(Arc<Session>, Identity), ApiError> {
        let identity = self.identity(request)?;
        let found = match self.manager.get(id) {
            Ok(session) => Some(session),
            Err(session::Error::NotFound) => None,
            // A session that is not known yet is not an unknown one: a page that is told so comes back.
            Err(error) => return Err(error.into()),
        };
        // This is asked for a session that does not exist too, so that the answer takes as long.
        let owner = found.as_ref().and_then(|session| session.owner());
        let owner = match owner {
            Some(owner) if self.is_nobody_s(owner)? => None,
            owner => owner,
        };
        let may_have = identity.may_have(owner);
        match found {
            Some(session) if may_have => Ok((session, identity)),
            Some(_) => Err(self.refuse(Refusal::NotOwner)),
            None => Err(session::Error::NotFound.into()),
        }
    }

    /// Whether the session's player is revoked and, in a server without logins, can't be recognised again.
    fn is_nobody_s(&self, owner: &Owner) -> Result<bool, session::Error> {
        match self.guard.gate.wants_tokens() {
            true => Ok(false),
            false => self.manager.is_revoked(&owner.player, None),
        }
    }

    /// The session, for a request that changes something and comes from its owner.
    pub(super) fn own_session(
        &self,
        id: SessionId,
        request: &Request,
    ) -> Result<Arc<Session>, ApiError> {
        self.check_origin(request)?;
        self.owned_session(id, request)
    }

    /// Checks that the request, which changes something, comes from the session's owner or an operator. Returns whether it
    /// comes from an operator who is not the owner.
    pub(super) fn own_session_or_operator(
        &self,
        id: SessionId,
        request: &Request,
    ) -> Result<bool, ApiError> {
        self.check_origin(request)?;
        if self.is_at_desk(request) {
            self.manager.get(id)?;
            return Ok(true);
        }
        let (session, identity) = self.owned(id, request)?;
        Ok(!identity.owns(session.owner()))
    }

    /// Whether an operator has logged in at `/admin` in this browser. If there is an `Authorization` header, it alone
    /// counts.
    pub(super) fn is_at_desk(&self, request: &Request) -> bool {
        let cookies: Vec<&str> = cookies(request).collect();
        let name = desk::cookie_name(self.guard.gate.names(), self.is_https(request));
        let mut logins = cookie::values(&cookies, &name)
            .filter_map(|value| self.desk.find(value, Instant::now()));
        request.header("authorization").is_none()
            && logins.any(|login| match &login.player {
                Some(player) => {
                    let is_revoked = self.manager.is_revoked(player, Some(login.began));
                    is_revoked.is_ok_and(|is_revoked| !is_revoked)
                }
                None => true,
            })
    }

    /// The identity that this token gives, if it is an operator's.
    pub(super) fn operator(&self, token: &str) -> Option<Identity> {
        let authorization = format!("Bearer {token}");
        let shown = Shown {
            authorization: Some(&authorization),
            cookies: &[],
            is_https: true,
        };
        let identity = self.guard.gate.identify(shown, None).ok()?;
        self.check_standing(&identity).ok()?;
        identity.is_operator.then_some(identity)
    }

    /// Checks that the request comes from an operator.
    pub(super) fn check_operator(&self, request: &Request) -> Result<(), ApiError> {
        let is_closed = self.settings.auth.admin_token.is_none() && !self.guard.gate.wants_tokens();
        if is_closed {
            let message = "Operator routes are closed: the server has no ADMIN_TOKEN.";
            return Err(ApiError::new(403, "operator_only", message));
        }
        if self.is_at_desk(request) {
            return Ok(());
        }
        match self.identify(request, None) {
            Ok(identity) if identity.is_operator => self.check_standing(&identity),
            Ok(identity) if identity.player.is_some() => {
                self.metrics.count_refusal(Refusal::NotOperator);
                let message = "This is for operators only.";
                Err(ApiError::new(403, "operator_only", message))
            }
            Err(refusal @ (Refusal::Expired | Refusal::KeysAway)) => Err(self.refuse(refusal)),
            _ => {
                self.metrics.count_refusal(Refusal::NotOperator);
                let message = "Send the operator's token as Authorization: Bearer.";
                Err(ApiError::unauthorized(message))
            }
        }
    }

    /// Checks that the request may open the session's terminal: by its `ticket`, if it has one, which is used up then;
    /// otherwise as the session's owner.
    pub(super) fn may_open(
        &self,
        id: SessionId,
        ticket: Option<&str>,
        request: &Request,
    ) -> Result<Entry, ApiError> {
        let Some(ticket) = ticket else {
            let (session, identity) = self.owned(id, request)?;
            let owner = session.owner().filter(|owner| identity.owns(Some(owner)));
            let player = owner.map(|owner| owner.player.clone()).or(identity.player);
            return Ok(Entry {
                until: identity.until,
                by: player.map(|player| (player, identity.issued)),
            });
        };
        let grant = self.guard.tickets.redeem(ticket, id, Instant::now());
        let grant = grant.ok_or_else(|| self.refuse(Refusal::BadTicket))?;
        let session = self.manager.get(id)?;
        let owner = session.owner();
        let entry = Entry {
            until: grant.until,
            by: owner.map(|owner| (owner.player.clone(), Some(grant.issued))),
        };
        entry.check(self)?;
        Ok(entry)
    }
}

impl Guard {
    /// A ticket for a client whose login lasts until `until`. INVARIANT: `issued` is no later than the look-up that found
    /// its player not revoked.
    pub(super) fn ticket(
        &self,
        session: SessionId,
        until: Option<SystemTime>,
        issued: SystemTime,
    ) -> String {
        let grant = Grant {
            session,
            until,
            issued,
        };
        self.tickets.issue(grant, Instant::now())
    }

    /// Whether a session's token makes its holder the owner. It does not where logins expire: the token would outlive the
    /// login.
    pub(super) fn gives_session_tokens(&self) -> bool {
        !self.gate.wants_tokens()
    }
}

impl Entry {
    /// Checks that the entry has not been revoked meanwhile, while there was no terminal yet that could have been closed.
    pub(super) fn check(&self, site: &Site) -> Result<(), ApiError> {
        match &self.by {
            Some((player, issued)) => site.check_not_revoked(player, *issued),
            None => Ok(()),
        }
    }

    /// When it expires, on the monotonic clock by which threads wait.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let left = self.until?.duration_since(SystemTime::now());
        Instant::now().checked_add(left.unwrap_or(Duration::ZERO))
    }
}

/// As much of a header as the log needs, in quotes.
fn shown(header: &str) -> String {
    let text: String = header.chars().take(SHOWN_CHARACTERS).collect();
    format!("{text:?}")
}
