//! Decides which address the server has for a client, and which pages may act on the server. Pure.

use std::borrow::Cow;
use std::net::IpAddr;

/// How a client reached the server.
#[derive(Debug, Clone, Copy)]
pub struct Reached<'a> {
    /// The address that players use, without a path, if the operator has set it.
    pub public_url: Option<&'a str>,
    /// Whether the client's own connection is HTTPS, as far as the server knows.
    pub is_https: bool,
    /// The `Host` header.
    pub host: &'a str,
}

/// Whether a page may act on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The page is the server's own or one of those named; or the request comes from no page.
    Allowed,
    /// The page belongs to another site.
    Foreign,
    /// The page says that it is the server's own, under a name that is not known to be the server's. Anyone who owns a
    /// name can point it here (DNS rebinding), and a browser on this machine or its network then takes that page and this
    /// server for one site.
    UnknownName,
}

impl Reached<'_> {
    /// Whether the client used a name that can only be the server's.
    pub fn is_by_our_name(&self) -> bool {
        is_our_name(self.host, self.public_url)
    }

    /// The scheme and host by which the client reached the server, such as `http://127.0.0.1:8080`.
    pub fn own(&self) -> String {
        match self.public_url {
            Some(url) => canonical(url).into_owned(),
            None => {
                let scheme = if self.is_https { "https" } else { "http" };
                canonical(&format!("{scheme}://{}", self.host)).into_owned()
            }
        }
    }

    /// The settings that would let a page of `origin` in that was refused; for the operator.
    pub fn advice(&self, origin: Option<&str>) -> Cow<'static, str> {
        let Some(origin) = origin else {
            return "it hides its origin, and no setting lets it in".into();
        };
        let elsewhere = "if it is a site of yours, name it in ALLOWED_ORIGINS";
        let host = |origin: &str| {
            let rest = origin.split_once("://").map(|(_, rest)| rest.to_owned());
            rest.unwrap_or_default()
        };
        // The scheme is compared apart: the default port depends on the scheme that the page has.
        let of_page = canonical(origin);
        let scheme = of_page.split_once("://").map_or("", |(scheme, _)| scheme);
        let is_our_host = host(&of_page) == host(&canonical(&format!("{scheme}://{}", self.host)));
        match self.public_url {
            Some(url) => format!(
                "if it is this server's own page, PUBLIC_URL={url} is not the address that players use; {elsewhere}"
            )
            .into(),
            None if is_our_host && scheme == "https" => {
                "if a proxy with TLS is in front, set PUBLIC_URL to this origin, and TRUSTED_PROXIES to the proxy's address \
                 with X-Forwarded-Proto sent by it"
                    .into()
            }
            None => format!(
                "if it is this server's own page, and a proxy changes Host, set PUBLIC_URL to this origin; {elsewhere}"
            )
            .into(),
        }
    }
}

/// An origin in the one spelling in which origins are compared: in lower case, and without the default port of its scheme,
/// as browsers write it (RFC 6454 §6.2).
pub fn canonical(origin: &str) -> Cow<'_, str> {
    let lower = match origin.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(origin.to_ascii_lowercase()),
        false => Cow::Borrowed(origin),
    };
    let port = match lower.split_once("://") {
        Some(("http", _)) => ":80",
        Some(("https", _)) => ":443",
        _ => return lower,
    };
    match lower.strip_suffix(port) {
        Some(bare) => Cow::Owned(bare.to_owned()),
        None => lower,
    }
}

/// Whether pages of this origin are among those that the operator allows to act on the server.
pub fn is_listed(origin: &str, allowed: &[String]) -> bool {
    let origin = canonical(origin);
    allowed.iter().any(|allowed| origin == canonical(allowed))
}

/// Whether a `Host` header names this machine in a way that only this machine is named: by an address, as `localhost` (RFC
/// 6761 §6.3), or as the public address does. Any other name may be a stranger's.
fn is_our_name(host: &str, public_url: Option<&str>) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_public = public_url.is_some_and(|url| {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        canonical(url) == canonical(&format!("{scheme}://{host}"))
    });
    let name = name.to_ascii_lowercase();
    let is_loopback = name == "localhost" || name.ends_with(".localhost");
    is_public || is_loopback || address.parse::<IpAddr>().is_ok()
}

/// An address, cut where its path begins. The path may be empty.
pub fn split_prefix(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    let path = url[host..].find('/').map_or(url.len(), |path| host + path);
    url.split_at(path)
}

/// The same address for WebSockets.
pub fn websocket(own: &str) -> String {
    // `http` becomes `ws` and `https` becomes `wss`.
    own.replacen("http", "ws", 1)
}

/// Decides whether a page of `origin` may act on the server. Only browsers send an origin, and they never lie about it; so
/// a request without an origin does not come from a page. `site` is what newer browsers send in addition
/// (`Sec-Fetch-Site`): a request that comes from another site and hides which one is refused.
pub fn judge(
    origin: Option<&str>,
    site: Option<&str>,
    reached: Reached<'_>,
    allowed: &[String],
) -> Judgement {
    let says_it_is_ours = match (origin.map(canonical), site) {
        (Some(origin), _) if is_listed(&origin, allowed) => return Judgement::Allowed,
        (None, None | Some("none")) => return Judgement::Allowed,
        (Some(origin), _) => origin == reached.own(),
        (None, Some(site)) => site == "same-origin",
    };
    // When the origin is compared with the public address, nothing that the client said is trusted.
    let is_known = reached.public_url.is_some() || reached.is_by_our_name();
    match (says_it_is_ours, is_known) {
        (true, true) => Judgement::Allowed,
        (true, false) => Judgement::UnknownName,
        (false, _) => Judgement::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        let public = Some("https://play.example.org");
        for host in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]:9090",
            "[::1]",
            "LocalHost:1",
            "game.localhost",
            "play.example.org",
            "Play.Example.org:443",
        ] {
            assert!(is_our_name(host, public), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "play.example.org:80",
            "127.0.0.1.evil.example",
            "localhost.evil",
            "evillocalhost",
            "evil.example:127.0.0.1",
        ] {
            assert!(!is_our_name(host, public), "{host}");
        }
        assert!(is_our_name("a", Some("https://a:443")));
    }

    #[test]
    fn an_address_and_the_path_in_it() {
        for (url, origin, prefix) in [
            ("https://a", "https://a", ""),
            ("https://a:1/b/c", "https://a:1", "/b/c"),
            ("https://[::1]/b", "https://[::1]", "/b"),
            ("a/b", "a", "/b"),
            ("", "", ""),
        ] {
            assert_eq!(split_prefix(url), (origin, prefix));
        }
    }

    fn reached<'a>(public_url: Option<&'a str>, is_https: bool, host: &'a str) -> Reached<'a> {
        Reached {
            public_url,
            is_https,
            host,
        }
    }

    #[test]
    fn our_address_is_the_client_s_or_the_public_one() {
        let check = |public_url, is_https, host, expected: &str| {
            assert_eq!(reached(public_url, is_https, host).own(), expected);
        };
        check(None, false, "LOCALHOST:8080", "http://localhost:8080");
        check(None, true, "play.example", "https://play.example");
        check(None, true, "play.example:443", "https://play.example");
        check(None, true, "play.example:80", "https://play.example:80");
        check(None, false, "play.example:80", "http://play.example");
        check(None, false, "[::1]:80", "http://[::1]");
        check(None, false, "[::80]", "http://[::80]");
        let public = Some("https://Play.example:443");
        check(public, false, "127.0.0.1", "https://play.example");
        assert_eq!(websocket("https://http.example"), "wss://http.example");
        assert_eq!(websocket("http://[::1]:80"), "ws://[::1]:80");
    }

    #[track_caller]
    fn check(reached: Reached<'_>, allowed: &[&str], origin: Option<&str>, expected: bool) {
        let allowed: Vec<String> = allowed.iter().map(|text| text.to_string()).collect();
        let found = judge(origin, None, reached, &allowed);
        let expected = match expected {
            true => Judgement::Allowed,
            false => Judgement::Foreign,
        };
        assert_eq!(found, expected, "{origin:?} at {reached:?}");
    }

    #[test]
    fn only_our_own_pages_and_those_named() {
        let own = reached(None, false, "127.0.0.1:8080");
        let allowed = ["https://school.example"];
        for (origin, expected) in [
            (None, true),
            (Some("http://127.0.0.1:8080"), true),
            (Some("HTTP://127.0.0.1:8080"), true),
            (Some("https://school.example"), true),
            (Some("https://school.example:443"), true),
            (Some("https://school.example:80"), false),
            (Some("https://127.0.0.1:8080"), false),
            (Some("http://127.0.0.1"), false),
            (Some("http://127.0.0.1:8080.evil.example"), false),
            (Some("http://evil.example"), false),
            (Some("https://school.example.evil.example"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            check(own, &allowed, origin, expected);
        }
    }

    #[test]
    fn a_default_port_is_none() {
        let bare = Some("https://play.example");
        check(
            reached(None, true, "127.0.0.1:443"),
            &[],
            Some("https://127.0.0.1"),
            true,
        );
        check(
            reached(None, false, "127.0.0.1:80"),
            &[],
            Some("http://127.0.0.1"),
            true,
        );
        check(
            reached(None, true, "127.0.0.1:80"),
            &[],
            Some("https://127.0.0.1"),
            false,
        );
        for public in [
            "https://play.example:443",
            "https://play.example",
            "https://PLAY.example",
        ] {
            let public = reached(Some(public), false, "127.0.0.1:8080");
            check(public, &[], bare, true);
            check(public, &[], Some("https://play.example:8443"), false);
            check(public, &[], Some("http://play.example:443"), false);
        }
        let own = reached(None, false, "localhost");
        check(own, &["https://Play.example:443"], bare, true);
        check(
            own,
            &["http://play.example:80"],
            Some("http://play.example"),
            true,
        );
        check(
            own,
            &["http://play.example:443"],
            Some("http://play.example"),
            false,
        );
    }

    #[test]
    fn without_a_public_address_a_name_is_nobody_s() {
        use Judgement::{Allowed, Foreign, UnknownName};
        let named = reached(None, false, "evil.example:8080");
        let (own, other) = (
            Some("http://evil.example:8080"),
            Some("http://other.example"),
        );
        let allowed = ["http://evil.example:8080".to_owned()];
        for (origin, site, expected) in [
            (own, None, UnknownName),
            (own, Some("same-origin"), UnknownName),
            (None, Some("same-origin"), UnknownName),
            (other, None, Foreign),
            (None, Some("cross-site"), Foreign),
            (None, Some("none"), Allowed),
            (None, None, Allowed),
        ] {
            let found = judge(origin, site, named, &[]);
            assert_eq!(found, expected, "{origin:?} {site:?}");
        }
        assert_eq!(judge(own, None, named, &allowed), Allowed);
        let public = reached(own, false, "evil.example:8080");
        assert_eq!(judge(own, None, public, &[]), Allowed);
        // A proxy may use any name for the server, if the operator has set the public address.
        let renamed = reached(own, false, "backend:1");
        assert_eq!(judge(own, None, renamed, &[]), Allowed);
        assert_eq!(judge(Some("http://backend:1"), None, renamed, &[]), Foreign);
    }

    #[test]
    fn who_is_refused_in_error_is_told_what_to_set() {
        let check = |reached: Reached<'_>, origin, expected: &[&str], not: &[&str]| {
            let advice = reached.advice(origin);
            for setting in expected {
                assert!(advice.contains(setting), "{setting} is not in {advice:?}");
            }
            for setting in not {
                assert!(!advice.contains(setting), "{setting} is in {advice:?}");
            }
        };
        let (tls, elsewhere) = (Some("https://play.example"), Some("https://school.example"));
        let allow = "ALLOWED_ORIGINS";
        // A proxy with TLS that the server does not know of, whether or not it sends the port.
        for host in ["play.example", "play.example:443"] {
            let reached = reached(None, false, host);
            check(reached, tls, &["PUBLIC_URL", "TRUSTED_PROXIES"], &[allow]);
            check(
                reached,
                elsewhere,
                &["PUBLIC_URL", allow],
                &["TRUSTED_PROXIES"],
            );
        }
        let public = reached(Some("https://old.example"), true, "play.example");
        check(
            public,
            tls,
            &["PUBLIC_URL=https://old.example", allow],
            &["TRUSTED"],
        );
        check(public, None, &["no setting"], &["PUBLIC_URL", allow]);
    }
}
