//! Decides who sends a request, and whether they may do what they ask: the one place where requests meet [`crate::auth`].
//! Also logging in and out, and tickets.
//!
//! INVARIANT: a session that belongs to another player answers exactly like one that does not exist.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use super::error::ApiError;
use super::origin::{self, Judgement, Reached};
use super::route::NoRoute;
use super::tickets::{Grant, TICKET_LIFE, Tickets};
use super::{Metrics, Outcome, Site, reply, terminal};
use crate::auth::cookie::{self, CookieKey, Player};
use crate::auth::desk;
use crate::auth::{self, Gate, Identity, PlayerSecret, Refusal, Shown};
use crate::auth::{Owner, PlayerId};
use crate::door::{Request, Response};
use crate::session::{self, Manager, Session, SessionId};
use crate::warn_throttled;

/// Browsers keep cookies of up to 4096 bytes, name and attributes included.
const COOKIE_TOKEN_BYTES: usize = 3800;

/// The log has no more characters of a header than this, because a stranger may have made it. A host's name has up to 253.
const SHOWN_CHARACTERS: usize = 300;

/// Everything by which the senders of requests are told apart.
pub(super) struct Guard {
    pub(super) gate: Gate,
    pub(super) tickets: Tickets,
}

/// A client that wants a new session. Who it is may be known only when the store is.
pub(super) struct Applicant {
    guard: Arc<Guard>,
    manager: Arc<Manager>,
    metrics: Arc<Metrics>,
    identity: Option<Identity>,
    cookies: Vec<String>,
    is_https: bool,
}

/// A player who gets a session.
pub(super) struct Admitted {
    pub(super) player: PlayerId,
    /// Whether the player has just come into being.
    pub(super) is_new: bool,
    /// `Set-Cookie`, if the browser is to remember who the player is.
    pub(super) cookie: Option<String>,
    /// When the player's login expires.
    pub(super) until: Option<SystemTime>,
    /// The earliest time at which the player was found not to be revoked.
    pub(super) at: SystemTime,
}

/// What allows a client to open a terminal.
pub(super) struct Entry {
    /// When it expires.
    pub(super) until: Option<SystemTime>,
    /// The player it belongs to, and when it was issued, if that is known.
    by: Option<(PlayerId, Option<SystemTime>)>,
}

impl Site {
    /// The address at which a client finds the server: it stands before a route's path in everything the client is told.
    pub(super) fn own_address(&self, request: &Request) -> String {
        self.reached(request).own() + self.prefix()
    }

    /// The path below which players find the server; mostly empty.
    pub(super) fn prefix(&self) -> &str {
        let url = self.settings.public_url.as_deref();
        url.map_or("", |url| origin::split_prefix(url).1)
    }

    /// How the client reached the server.
    pub(super) fn reached<'a>(&'a self, request: &'a Request) -> Reached<'a> {
        Reached {
            public_url: self
                .settings
                .public_url
                .as_deref()
                .map(|url| origin::split_prefix(url).0),
            is_https: request.is_https,
            host: request.header("host").unwrap_or_default(),
        }
    }

    /// Whether players reach the server by HTTPS.
    pub(super) fn is_https(&self, request: &Request) -> bool {
        self.reached(request).own().starts_with("https:")
    }

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
    fn shown_identity(&self, request: &Request) -> Result<Identity, ApiError> {
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
    fn check_not_revoked(
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
    fn refuse(&self, refusal: Refusal) -> ApiError {
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

    fn owned(
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

    /// The client that asks for a session.
    pub(super) fn applicant(&self, request: &Request) -> Result<Applicant, ApiError> {
        let identity = match self.guard.gate.wants_tokens() {
            // It may not be known yet whether the login is revoked.
            true => Some(self.shown_identity(request)?),
            false => None,
        };
        Ok(Applicant {
            guard: Arc::clone(&self.guard),
            manager: Arc::clone(&self.manager),
            metrics: Arc::clone(&self.metrics),
            identity,
            cookies: cookies(request).map(str::to_owned).collect(),
            is_https: self.is_https(request),
        })
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

    /// `POST /session/{id}/ticket`
    pub(super) fn create_ticket(
        &self,
        id: SessionId,
        request: &Request,
    ) -> Result<Outcome, ApiError> {
        self.check_origin(request)?;
        let asked = SystemTime::now();
        let (session, identity) = self.owned(id, request)?;
        if session.snapshot().state.is_over() {
            return Err(session::Error::Over.into());
        }
        let until = identity.until;
        let ticket = self.guard.ticket(id, until, asked);
        let body = json!({
            "ticket": ticket,
            "ws_url": with_ticket(&terminal::address(&self.own_address(request), id), &ticket),
            "expires_at": reply::timestamp(SystemTime::now() + TICKET_LIFE),
        });
        Ok(Outcome::Now(reply::json_response(201, &body)))
    }

    /// `POST /login`: turns a token in a header into one in a cookie, which pages and their WebSockets send by themselves.
    pub(super) fn login(&self, request: &Request) -> Result<Outcome, ApiError> {
        self.check_origin(request)?;
        let gate = &self.guard.gate;
        let cookie = gate.token_cookie().ok_or(NoRoute::NotFound)?;
        let token = request.header("authorization").and_then(auth::bearer);
        let token = token.ok_or_else(|| self.refuse(Refusal::NothingShown))?;
        let bearer = gate.verify(token).map_err(|refusal| self.refuse(refusal))?;
        self.check_not_revoked(&bearer.player, bearer.issued)?;
        if token.len() > COOKIE_TOKEN_BYTES {
            let message = "This token is too long for a cookie; send it as Authorization: Bearer.";
            return Err(ApiError::new(400, "token_too_long", message));
        }
        let left = bearer.until.duration_since(SystemTime::now());
        let seconds = left.map_or(0, |left| left.as_secs());
        let is_https = self.is_https(request);
        let mut response = reply::no_content();
        let set = cookie::set_value(cookie, token, seconds, is_https);
        response.headers.push(("Set-Cookie", set));
        Ok(Outcome::Now(response))
    }

    /// `POST /logout`: the browser forgets who the player is, and the player's terminals are closed. Games go on, and end
    /// as others do.
    pub(super) fn logout(&self, request: &Request) -> Result<Outcome, ApiError> {
        self.check_origin(request)?;
        // A client that is not recognised, or no longer recognised, has nothing to close.
        if let Ok(identity) = self.identity(request) {
            for session in self.manager.list() {
                if identity.owns(session.owner()) {
                    self.guard.tickets.revoke(session.id);
                    session.hub.log_out();
                }
            }
        }
        let is_https = self.is_https(request);
        let mut response: Response = reply::no_content();
        for name in self.guard.gate.cookie_names(is_https) {
            let clear = cookie::clear(&name, is_https);
            response.headers.push(("Set-Cookie", clear));
        }
        Ok(Outcome::Now(response))
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

impl Applicant {
    /// Counts a refusal, and returns the error for it.
    fn refuse(&self, refusal: Refusal) -> ApiError {
        self.metrics.count_refusal(refusal);
        refusal.into()
    }

    /// Decides which player the session will belong to. Blocks for a while when the server has just started.
    ///
    /// # Errors
    /// When it is not known yet who players are, or when their login is revoked.
    pub(super) fn admit(&self) -> Result<Admitted, ApiError> {
        self.manager.wait_until_settled()?;
        let at = SystemTime::now();
        if let Some(identity) = &self.identity {
            if let Some(player) = &identity.player
                && self.manager.is_revoked(player, identity.issued)?
            {
                return Err(self.refuse(Refusal::Revoked));
            }
            let player = identity.player.clone();
            return Ok(Admitted {
                player: player.unwrap_or_else(PlayerId::operator),
                is_new: false,
                cookie: None,
                until: identity.until,
                at,
            });
        }
        let key = cookie_key(&self.guard.gate, &self.manager)?;
        let cookies: Vec<&str> = self.cookies.iter().map(String::as_str).collect();
        let names = self.guard.gate.names();
        let known = match cookie::player(&cookies, names, self.is_https, key) {
            Player::Known(player) => Some(player),
            Player::OfOld(player) if self.manager.knows(&player.id())? => Some(player),
            Player::Nobody => None,
            // The value that was shown is never used: someone else may know it.
            Player::NotOurs | Player::OfOld(_) => {
                self.metrics.count_refusal(Refusal::BadCookie);
                None
            }
        };
        // Without logins a revoked player can't log in again, and becomes a new player.
        let known = match known {
            Some(player) if self.manager.is_revoked(&player.id(), None)? => {
                self.metrics.count_refusal(Refusal::Revoked);
                None
            }
            known => known,
        };
        let is_new = known.is_none();
        let secret = known.unwrap_or_else(PlayerSecret::random);
        Ok(Admitted {
            player: secret.id(),
            is_new,
            cookie: Some(cookie::set(&secret, key, names, self.is_https)),
            until: None,
            at,
        })
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
}

/// As much of a header as the log needs, in quotes.
fn shown(header: &str) -> String {
    let text: String = header.chars().take(SHOWN_CHARACTERS).collect();
    format!("{text:?}")
}

/// The WebSocket's address with a ticket in it.
pub(super) fn with_ticket(ws_url: &str, ticket: &str) -> String {
    format!("{ws_url}?ticket={ticket}")
}

pub(super) fn cookie_key<'a>(
    gate: &'a Gate,
    manager: &'a Manager,
) -> Result<&'a CookieKey, session::Error> {
    match gate.cookie_key() {
        Some(key) => Ok(key),
        None => manager.cookie_key(),
    }
}

pub(super) fn cookies(request: &Request) -> impl Iterator<Item = &str> {
    let headers = request.headers.iter();
    let cookies = headers.filter(|(name, _)| name == "cookie");
    cookies.map(|(_, value)| value.as_str())
}

/// The moment at which a login expires, on the monotonic clock by which threads wait.
pub(super) fn deadline(until: Option<SystemTime>) -> Option<Instant> {
    let left = until?.duration_since(SystemTime::now());
    Instant::now().checked_add(left.unwrap_or(Duration::ZERO))
}
