//! Lets the pages of `ALLOWED_ORIGINS` read the server's answers (CORS: Fetch standard, §3.3). Pure.
//!
//! A browser lets a page send much to another origin, but read nothing of the answer unless the answer allows it. Nothing
//! here keeps a request out: that is the task of [`super::origin::judge`].

use std::borrow::Cow;

use super::origin;
use super::route::{self, NoRoute, Route};
use crate::door::{Request, Response};

/// All methods that any path has.
const ALL_METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
/// The headers that such a page may send in addition to those that every page may.
const REQUEST_HEADERS: &str = "Authorization, Content-Type, X-Queue-Ticket";
/// The headers that it may read in addition to those that every page may.
const ANSWER_HEADERS: &str = "Location, Retry-After, X-Request-Id";
/// How many seconds a browser may go on without asking again; Chromium allows two hours at most.
const MAX_AGE: &str = "600";

/// The headers that every answer to a request with that `Origin` carries, whichever code gives the answer.
pub(super) fn headers(page: Option<&str>, allowed: &[String]) -> Vec<(&'static str, String)> {
    if allowed.is_empty() {
        return Vec::new();
    }
    // This keeps caches from giving one origin's answer to another origin, or to a request without one.
    let mut headers = vec![("Vary", "Origin".to_owned())];
    if let Some(page) = page.filter(|page| origin::is_listed(page, allowed)) {
        // The origin is repeated as it was sent: browsers compare it letter by letter, and accept no `*` where there are
        // credentials.
        headers.push(("Access-Control-Allow-Origin", page.to_owned()));
        headers.push(("Access-Control-Allow-Credentials", "true".to_owned()));
        headers.push(("Access-Control-Expose-Headers", ANSWER_HEADERS.to_owned()));
    }
    headers
}

/// The answer to a browser that asks beforehand what such a page may send to an existing path.
pub(super) fn preflight(request: &Request, allowed: &[String]) -> Option<Response> {
    let page = request.header("origin")?;
    request.header("access-control-request-method")?;
    if request.method != "OPTIONS" || !origin::is_listed(page, allowed) {
        return None;
    }
    let Err(NoRoute::MethodNotAllowed(methods)) = route::find("OPTIONS", &request.path) else {
        return None;
    };
    let headers = vec![
        ("Access-Control-Allow-Methods", methods.to_owned()),
        ("Access-Control-Allow-Headers", REQUEST_HEADERS.to_owned()),
        ("Access-Control-Max-Age", MAX_AGE.to_owned()),
    ];
    Some(Response {
        status: 204,
        headers,
        body: Cow::Borrowed(b""),
    })
}

/// The answer to a client that asks which methods an existing path, or the server, has (RFC 9110 9.3.7), as health checks
/// do.
pub(super) fn options(request: &Request, found: &Result<Route, NoRoute>) -> Option<Response> {
    if request.method != "OPTIONS" {
        return None;
    }
    let methods = match found {
        Err(NoRoute::MethodNotAllowed(methods)) => methods,
        _ if request.path == "*" => ALL_METHODS,
        _ => return None,
    };
    Some(Response {
        status: 204,
        headers: vec![("Allow", methods.to_owned())],
        body: Cow::Borrowed(b""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_comes_back_as_it_was_sent_or_not_at_all() {
        let allowed = ["https://school.example".to_owned()];
        let told = |page: Option<&str>| {
            let headers = headers(page, &allowed);
            assert_eq!(headers[0], ("Vary", "Origin".to_owned()));
            headers.get(1).map(|(_, value)| value.clone())
        };
        for page in ["https://school.example", "https://School.example:443"] {
            assert_eq!(told(Some(page)).as_deref(), Some(page));
        }
        for page in [
            None,
            Some("null"),
            Some("*"),
            Some("http://school.example"),
            Some("https://evil.example"),
        ] {
            assert_eq!(told(page), None, "{page:?}");
        }
        assert_eq!(headers(Some("https://school.example"), &[]), []);
    }
}
