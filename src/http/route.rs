//! The route table: what a method and a path mean. Pure.

use crate::auth::PlayerId;
use crate::session::{QueueTicket, SessionId};

/// Everything that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `GET /`
    Landing,
    /// `GET /healthz`
    Health,
    /// `GET /readyz`
    Ready,
    /// `GET /metrics`
    Metrics,
    /// `GET /openapi.json`
    OpenApi,
    /// `GET /fleet`
    Fleet,
    /// `GET /sessions`
    ListSessions,
    /// `DELETE /sessions`
    DestroySessions,
    /// `POST /session`
    CreateSession,
    /// `GET /queue/{ticket}`
    Queue(QueueTicket),
    /// `DELETE /session/{id}`
    DestroySession(SessionId),
    /// `GET /session/{id}/status`
    Status(SessionId),
    /// `GET /session/{id}/connect`
    Connect(SessionId),
    /// `GET /session/{id}/ws`
    Terminal(SessionId),
    /// `POST /session/{id}/ticket`
    CreateTicket(SessionId),
    /// `POST /login`
    Login,
    /// `POST /logout`
    Logout,
    /// `GET /admin`
    Admin,
    /// `POST /admin/login`
    AdminLogin,
    /// `POST /admin/logout`
    AdminLogout,
    /// `GET /admin/health`
    AdminHealth,
    /// `POST /admin/notice`
    AdminNotice,
    /// `POST /admin/drain`
    AdminDrain,
    /// `GET /admin/revoked`
    Revoked,
    /// `PUT /admin/revoked/{player}`
    Revoke(PlayerId),
    /// `DELETE /admin/revoked/{player}`
    Restore(PlayerId),
    /// `DELETE /admin/drain`
    UndoDrain,
    /// `GET /admin/books`
    AdminBooks,
    /// `DELETE /admin/books`
    ExpireBooks,
    /// `GET /admin/books/{player}`
    AdminBook(PlayerId),
    /// `PUT /admin/books/{player}`
    PutAdminBook(PlayerId),
    /// `POST /session/{id}/watch`
    CreateWatchLink(SessionId),
    /// `DELETE /session/{id}/watch`
    RevokeWatchLinks(SessionId),
    /// `POST /session/{id}/recording`
    StartRecording(SessionId),
    /// `GET /session/{id}/recording`
    Recording(SessionId),
    /// `DELETE /session/{id}/recording`
    DropRecording(SessionId),
    /// `GET /session/{id}/spellbook`
    Spellbook(SessionId),
    /// `PUT /session/{id}/spellbook`
    PutSpellbook(SessionId),
    /// `POST /recovery-code`
    RecoveryCode,
    /// `POST /recover`
    Recover,
    /// `GET /spellbook`
    BookVersions,
    /// `PUT /spellbook`
    UploadBook,
    /// `GET /spellbook/{sha256}`
    BookVersion(String),
    /// `POST /spellbook/{sha256}`
    RestoreVersion(String),
    /// `GET /watch/{secret}`
    Watch(String),
    /// `GET /watch/{secret}/ws`
    WatchTerminal(String),
    /// `GET /assets/{name}`
    Asset(String),
}

/// Why a request leads to no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoute {
    /// No route has that path.
    NotFound,
    /// It looks like a session's path, but no session can have that id.
    NoSuchSession,
    /// It looks like a place in the queue, but no request can have that ticket.
    NoSuchTicket,
    /// The path is known, and can be asked for with these methods.
    MethodNotAllowed(&'static str),
}

/// Every route, as a method and the pattern of its path: for what is true of all routes.
pub const TABLE: [(&str, &str); 47] = [
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/fleet"),
    ("GET", "/sessions"),
    ("DELETE", "/sessions"),
    ("POST", "/session"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/admin"),
    ("POST", "/admin/login"),
    ("POST", "/admin/logout"),
    ("GET", "/admin/health"),
    ("POST", "/admin/notice"),
    ("POST", "/admin/drain"),
    ("GET", "/admin/revoked"),
    ("PUT", "/admin/revoked/{player}"),
    ("DELETE", "/admin/revoked/{player}"),
    ("DELETE", "/admin/drain"),
    ("GET", "/admin/books"),
    ("DELETE", "/admin/books"),
    ("GET", "/admin/books/{player}"),
    ("PUT", "/admin/books/{player}"),
    ("GET", "/queue/{ticket}"),
    ("DELETE", "/session/{id}"),
    ("GET", "/session/{id}/status"),
    ("GET", "/session/{id}/connect"),
    ("GET", "/session/{id}/ws"),
    ("POST", "/session/{id}/ticket"),
    ("POST", "/session/{id}/watch"),
    ("DELETE", "/session/{id}/watch"),
    ("POST", "/session/{id}/recording"),
    ("GET", "/session/{id}/recording"),
    ("DELETE", "/session/{id}/recording"),
    ("GET", "/session/{id}/spellbook"),
    ("PUT", "/session/{id}/spellbook"),
    ("POST", "/recovery-code"),
    ("POST", "/recover"),
    ("GET", "/spellbook"),
    ("PUT", "/spellbook"),
    ("GET", "/spellbook/{sha256}"),
    ("POST", "/spellbook/{sha256}"),
    ("GET", "/watch/{secret}"),
    ("GET", "/watch/{secret}/ws"),
    ("GET", "/assets/{name}"),
];

const GET: &str = "GET, HEAD";
const LOGIN: &str = "PUT, DELETE";
const LIST: &str = "GET, HEAD, DELETE";
const ORDER: &str = "POST, DELETE";
const BOOK: &str = "GET, HEAD, PUT";
const RECORDING: &str = "GET, HEAD, POST, DELETE";
const VERSION: &str = "GET, HEAD, POST";

/// Finds the route of a request. HEAD is GET without the body.
///
/// # Errors
/// [`NoRoute`].
pub fn find(method: &str, path: &str) -> Result<Route, NoRoute> {
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let (allowed, route) = match segments[..] {
        [""] => (GET, Route::Landing),
        ["healthz"] => (GET, Route::Health),
        ["readyz"] => (GET, Route::Ready),
        ["metrics"] => (GET, Route::Metrics),
        ["openapi.json"] => (GET, Route::OpenApi),
        ["fleet"] => (GET, Route::Fleet),
        ["sessions"] if method == "DELETE" => (LIST, Route::DestroySessions),
        ["sessions"] => (LIST, Route::ListSessions),
        ["session"] => ("POST", Route::CreateSession),
        ["login"] => ("POST", Route::Login),
        ["logout"] => ("POST", Route::Logout),
        ["admin"] => (GET, Route::Admin),
        ["admin", "login"] => ("POST", Route::AdminLogin),
        ["admin", "logout"] => ("POST", Route::AdminLogout),
        ["admin", "health"] => (GET, Route::AdminHealth),
        ["admin", "notice"] => ("POST", Route::AdminNotice),
        ["admin", "revoked"] => (GET, Route::Revoked),
        ["admin", "revoked", name] if method == "DELETE" => (LOGIN, Route::Restore(player(name)?)),
        ["admin", "revoked", name] => (LOGIN, Route::Revoke(player(name)?)),
        ["admin", "drain"] if method == "DELETE" => (ORDER, Route::UndoDrain),
        ["admin", "drain"] => (ORDER, Route::AdminDrain),
        ["admin", "books"] if method == "DELETE" => (LIST, Route::ExpireBooks),
        ["admin", "books"] => (LIST, Route::AdminBooks),
        ["admin", "books", name] if method == "PUT" => (BOOK, Route::PutAdminBook(player(name)?)),
        ["admin", "books", name] => (BOOK, Route::AdminBook(player(name)?)),
        ["queue", ticket] => (GET, Route::Queue(queue_ticket(ticket)?)),
        ["session", id] => ("DELETE", Route::DestroySession(session(id)?)),
        ["session", id, "status"] => (GET, Route::Status(session(id)?)),
        ["session", id, "connect"] => (GET, Route::Connect(session(id)?)),
        ["session", id, "ws"] => ("GET", Route::Terminal(session(id)?)),
        ["session", id, "ticket"] => ("POST", Route::CreateTicket(session(id)?)),
        ["session", id, "watch"] if method == "DELETE" => {
            (ORDER, Route::RevokeWatchLinks(session(id)?))
        }
        ["session", id, "watch"] => (ORDER, Route::CreateWatchLink(session(id)?)),
        ["session", id, "recording"] => (RECORDING, recording(method, session(id)?)),
        ["session", id, "spellbook"] if method == "PUT" => {
            (BOOK, Route::PutSpellbook(session(id)?))
        }
        ["session", id, "spellbook"] => (BOOK, Route::Spellbook(session(id)?)),
        ["recovery-code"] => ("POST", Route::RecoveryCode),
        ["recover"] => ("POST", Route::Recover),
        ["spellbook"] if method == "PUT" => (BOOK, Route::UploadBook),
        ["spellbook"] => (BOOK, Route::BookVersions),
        ["spellbook", name] if method == "POST" => {
            (VERSION, Route::RestoreVersion(name.to_owned()))
        }
        ["spellbook", name] => (VERSION, Route::BookVersion(name.to_owned())),
        ["watch", secret] => (GET, Route::Watch(secret.to_owned())),
        ["watch", secret, "ws"] => ("GET", Route::WatchTerminal(secret.to_owned())),
        ["assets", name] => (GET, Route::Asset(name.to_owned())),
        _ => return Err(NoRoute::NotFound),
    };
    let is_allowed = allowed.split(", ").any(|allowed| allowed == method);
    if is_allowed {
        Ok(route)
    } else {
        Err(NoRoute::MethodNotAllowed(allowed))
    }
}

/// The path as the table has it: without the prefix that players see, which a proxy may have passed on or cut off.
pub fn below<'a>(prefix: &str, path: &'a str) -> &'a str {
    match path.strip_prefix(prefix) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// Whether a path's first segment is also the first segment of a route.
pub fn begins_like_one(path: &str) -> bool {
    let first = |path: &str| path.split('/').nth(1).map(str::to_owned);
    TABLE
        .iter()
        .any(|(_, pattern)| first(pattern) == first(path))
}

fn session(id: &str) -> Result<SessionId, NoRoute> {
    id.parse().map_err(|_| NoRoute::NoSuchSession)
}

fn player(name: &str) -> Result<PlayerId, NoRoute> {
    PlayerId::try_from(name.to_owned()).map_err(|_| NoRoute::NotFound)
}

fn queue_ticket(ticket: &str) -> Result<QueueTicket, NoRoute> {
    ticket.parse().map_err(|_| NoRoute::NoSuchTicket)
}

fn recording(method: &str, id: SessionId) -> Route {
    match method {
        "POST" => Route::StartRecording(id),
        "DELETE" => Route::DropRecording(id),
        _ => Route::Recording(id),
    }
}

impl Route {
    /// Whether the route is for operators only. Such a route does not exist at a public address when there is a private
    /// one.
    pub fn is_operator_s(&self) -> bool {
        matches!(
            self,
            Route::Metrics
                | Route::Fleet
                | Route::ListSessions
                | Route::DestroySessions
                | Route::Admin
                | Route::AdminLogin
                | Route::AdminLogout
                | Route::AdminHealth
                | Route::AdminNotice
                | Route::AdminDrain
                | Route::Revoked
                | Route::Revoke(_)
                | Route::Restore(_)
                | Route::UndoDrain
                | Route::AdminBooks
                | Route::ExpireBooks
                | Route::AdminBook(_)
                | Route::PutAdminBook(_)
        )
    }

    /// The session that the route is about.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Route::DestroySession(id)
            | Route::Status(id)
            | Route::Connect(id)
            | Route::CreateTicket(id)
            | Route::Terminal(id)
            | Route::CreateWatchLink(id)
            | Route::RevokeWatchLinks(id)
            | Route::StartRecording(id)
            | Route::Recording(id)
            | Route::DropRecording(id)
            | Route::Spellbook(id)
            | Route::PutSpellbook(id) => Some(*id),
            _ => None,
        }
    }

    /// The path's pattern, for metrics: it never contains anything that a stranger made up.
    pub fn pattern(&self) -> &'static str {
        match self {
            Route::Landing => "/",
            Route::Health => "/healthz",
            Route::Ready => "/readyz",
            Route::Metrics => "/metrics",
            Route::OpenApi => "/openapi.json",
            Route::Fleet => "/fleet",
            Route::ListSessions | Route::DestroySessions => "/sessions",
            Route::CreateSession => "/session",
            Route::Queue(_) => "/queue/{ticket}",
            Route::DestroySession(_) => "/session/{id}",
            Route::Status(_) => "/session/{id}/status",
            Route::Connect(_) => "/session/{id}/connect",
            Route::Terminal(_) => "/session/{id}/ws",
            Route::CreateTicket(_) => "/session/{id}/ticket",
            Route::Admin => "/admin",
            Route::AdminLogin => "/admin/login",
            Route::AdminLogout => "/admin/logout",
            Route::AdminHealth => "/admin/health",
            Route::AdminNotice => "/admin/notice",
            Route::Revoked => "/admin/revoked",
            Route::Revoke(_) | Route::Restore(_) => "/admin/revoked/{player}",
            Route::AdminDrain | Route::UndoDrain => "/admin/drain",
            Route::AdminBooks | Route::ExpireBooks => "/admin/books",
            Route::AdminBook(_) | Route::PutAdminBook(_) => "/admin/books/{player}",
            Route::Login => "/login",
            Route::Logout => "/logout",
            Route::CreateWatchLink(_) | Route::RevokeWatchLinks(_) => "/session/{id}/watch",
            Route::StartRecording(_) | Route::Recording(_) | Route::DropRecording(_) => {
                "/session/{id}/recording"
            }
            Route::Spellbook(_) | Route::PutSpellbook(_) => "/session/{id}/spellbook",
            Route::RecoveryCode => "/recovery-code",
            Route::Recover => "/recover",
            Route::BookVersions | Route::UploadBook => "/spellbook",
            Route::BookVersion(_) | Route::RestoreVersion(_) => "/spellbook/{sha256}",
            Route::Watch(_) => "/watch/{secret}",
            Route::WatchTerminal(_) => "/watch/{secret}/ws",
            Route::Asset(_) => "/assets/{name}",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "f47ac10b-58cc-4372-a567-0e02b2c3d479";

    #[track_caller]
    fn check(request: &str, expected: &str) {
        let (method, path) = request.split_once(' ').expect("METHOD path");
        // A session's id is printed as its short name.
        let printed = expected
            .replace("SessionId(ID)", "SessionId(8f400c25)")
            .replace("ID", ID);
        assert_eq!(
            format!("{:?}", find(method, &path.replace("ID", ID))),
            printed
        );
    }

    #[test]
    fn known_routes() {
        check("GET /", "Ok(Landing)");
        check("HEAD /healthz", "Ok(Health)");
        check("POST /session", "Ok(CreateSession)");
        check("GET /queue/ID", "Ok(Queue(QueueTicket(ID)))");
        check("DELETE /session/ID", "Ok(DestroySession(SessionId(ID)))");
        check("GET /session/ID/status", "Ok(Status(SessionId(ID)))");
        check(
            "POST /session/ID/watch",
            "Ok(CreateWatchLink(SessionId(ID)))",
        );
        check(
            "DELETE /session/ID/watch",
            "Ok(RevokeWatchLinks(SessionId(ID)))",
        );
        check(
            "POST /session/ID/recording",
            "Ok(StartRecording(SessionId(ID)))",
        );
        check("GET /session/ID/recording", "Ok(Recording(SessionId(ID)))");
        check("POST /admin/drain", "Ok(AdminDrain)");
        check("DELETE /admin/drain", "Ok(UndoDrain)");
        check("GET /admin/books", "Ok(AdminBooks)");
        check(
            "PUT /admin/books/anon-1",
            "Ok(PutAdminBook(PlayerId(\"anon-1\")))",
        );
        check("GET /admin/books/..", "Err(NotFound)");
        check(
            "DELETE /admin/revoked/jwt-1",
            "Ok(Restore(PlayerId(\"jwt-1\")))",
        );
        check(
            "GET /admin/revoked/jwt-1",
            "Err(MethodNotAllowed(\"PUT, DELETE\"))",
        );
        check("GET /watch/abc/ws", "Ok(WatchTerminal(\"abc\"))");
        check("GET /fleet", "Ok(Fleet)");
        check("GET /assets/style.css", "Ok(Asset(\"style.css\"))");
    }

    #[test]
    fn below_a_prefix_and_without_it() {
        for (prefix, path, expected) in [
            ("", "/", "/"),
            ("", "/session", "/session"),
            ("", "*", "*"),
            ("/a", "/a", "/"),
            ("/a", "/a/", "/"),
            ("/a", "/a/session", "/session"),
            ("/a", "/session", "/session"),
            ("/a", "/ab/session", "/ab/session"),
            ("/a", "/A/session", "/A/session"),
            ("/a", "/a/a/session", "/a/session"),
            ("/a/b", "/a/session", "/a/session"),
            ("/a/b", "/a/b/session", "/session"),
            ("/a", "*", "*"),
        ] {
            assert_eq!(below(prefix, path), expected, "{path} below {prefix}");
        }
        assert!(begins_like_one("/session") && begins_like_one("/admin/x"));
        assert!(!begins_like_one("/shell") && !begins_like_one("/a/session"));
    }

    #[test]
    fn known_paths_with_other_methods() {
        check("POST /healthz", "Err(MethodNotAllowed(\"GET, HEAD\"))");
        check("GET /session", "Err(MethodNotAllowed(\"POST\"))");
        check(
            "GET /session/ID/watch",
            "Err(MethodNotAllowed(\"POST, DELETE\"))",
        );
        check(
            "PUT /session/ID/recording",
            "Err(MethodNotAllowed(\"GET, HEAD, POST, DELETE\"))",
        );
        check("POST /fleet", "Err(MethodNotAllowed(\"GET, HEAD\"))");
        check("get /", "Err(MethodNotAllowed(\"GET, HEAD\"))");
        check("GET /session/ID", "Err(MethodNotAllowed(\"DELETE\"))");
        check("HEAD /session/ID/ws", "Err(MethodNotAllowed(\"GET\"))");
    }

    #[test]
    fn everything_else() {
        for path in [
            "/x",
            "//",
            "/healthz/",
            "/session/ID/status/",
            "/session/ID/x",
            "/assets/a/b",
            "/assets",
            "*",
        ] {
            check(&format!("GET {path}"), "Err(NotFound)");
        }
        for id in [
            "1",
            "",
            "..",
            "%2e%2e",
            "F47AC10B-58CC-4372-A567-0E02B2C3D479",
        ] {
            check(&format!("GET /session/{id}/status"), "Err(NoSuchSession)");
            check(&format!("GET /queue/{id}"), "Err(NoSuchTicket)");
        }
    }

    /// A number for each route. A developer who adds a route must give it a number here, and then a line in the table.
    fn number(route: &Route) -> usize {
        match route {
            Route::Landing => 0,
            Route::Health => 1,
            Route::Ready => 2,
            Route::Metrics => 3,
            Route::ListSessions => 4,
            Route::CreateSession => 5,
            Route::Queue(_) => 6,
            Route::DestroySession(_) => 7,
            Route::Status(_) => 8,
            Route::Connect(_) => 9,
            Route::Terminal(_) => 10,
            Route::CreateTicket(_) => 11,
            Route::Login => 12,
            Route::Logout => 13,
            Route::CreateWatchLink(_) => 14,
            Route::RevokeWatchLinks(_) => 15,
            Route::StartRecording(_) => 16,
            Route::Recording(_) => 17,
            Route::DropRecording(_) => 18,
            Route::Spellbook(_) => 19,
            Route::PutSpellbook(_) => 20,
            Route::Watch(_) => 21,
            Route::WatchTerminal(_) => 22,
            Route::Asset(_) => 23,
            Route::OpenApi => 24,
            Route::Admin => 25,
            Route::AdminLogin => 26,
            Route::AdminLogout => 27,
            Route::AdminHealth => 28,
            Route::AdminNotice => 29,
            Route::AdminDrain => 30,
            Route::AdminBooks => 31,
            Route::AdminBook(_) => 32,
            Route::PutAdminBook(_) => 33,
            Route::Revoked => 37,
            Route::Revoke(_) => 38,
            Route::Restore(_) => 39,
            Route::UndoDrain => 34,
            Route::DestroySessions => 35,
            Route::ExpireBooks => 36,
            Route::BookVersions => 40,
            Route::BookVersion(_) => 41,
            Route::RestoreVersion(_) => 42,
            Route::UploadBook => 43,
            Route::RecoveryCode => 44,
            Route::Recover => 45,
            Route::Fleet => 46,
        }
    }

    #[test]
    fn the_table_has_every_route() {
        let mut found = std::collections::BTreeSet::new();
        for (method, pattern) in TABLE {
            let path = pattern
                .replace("{id}", ID)
                .replace("{ticket}", ID)
                .replace(['{', '}'], "");
            let route = find(method, &path).expect("a route");
            assert_eq!(route.pattern(), pattern);
            found.insert(number(&route));
        }
        assert_eq!(found, (0..47).collect());
    }
}
