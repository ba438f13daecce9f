//! Which address we are to the client, and which pages may act on us. Pure.

use std::net::IpAddr;

/// The scheme and host that the client reached us by, such as `http://127.0.0.1:8080`.
pub fn own(public_url: Option<&str>, is_https: bool, host: &str) -> String {
    match public_url {
        Some(url) => url.to_owned(),
        None => format!(
            "{}://{}",
            if is_https { "https" } else { "http" },
            host.to_ascii_lowercase()
        ),
    }
}

/// Whether a `Host` header names this machine as only itself does: by an address, as `localhost`, or as the public address
/// does. Any other name may be a stranger's.
pub fn is_our_name(host: &str, public_url: Option<&str>) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_public = public_url
        .and_then(|url| url.split_once("://"))
        .is_some_and(|(_, public)| public.eq_ignore_ascii_case(host));
    is_public || address.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

/// The same for WebSockets.
pub fn websocket(own: &str) -> String {
    // `http` becomes `ws` and `https` becomes `wss`.
    own.replacen("http", "ws", 1)
}

/// Whether a page of `origin` may act on us. Only browsers send an origin, and they never lie about it; so
/// a request without one is no page's. `site` is what newer browsers say beside it (`Sec-Fetch-Site`): a request that
/// comes from elsewhere and hides where is refused.
pub fn is_allowed(origin: Option<&str>, site: Option<&str>, own: &str, allowed: &[String]) -> bool {
    let Some(origin) = origin else {
        return matches!(site, None | Some("same-origin" | "none"));
    };
    origin.eq_ignore_ascii_case(own)
        || allowed
            .iter()
            .any(|allowed| origin.eq_ignore_ascii_case(allowed))
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
            "play.example.org",
        ] {
            assert!(is_our_name(host, public), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil",
        ] {
            assert!(!is_our_name(host, public), "{host}");
        }
    }

    #[test]
    fn our_address_is_the_client_s_or_the_public_one() {
        assert_eq!(own(None, false, "LOCALHOST:8080"), "http://localhost:8080");
        assert_eq!(own(None, true, "play.example"), "https://play.example");
        assert_eq!(
            own(Some("https://play.example"), false, "127.0.0.1"),
            "https://play.example"
        );
        assert_eq!(websocket("https://http.example"), "wss://http.example");
        assert_eq!(websocket("http://[::1]:80"), "ws://[::1]:80");
    }

    #[test]
    fn only_our_own_pages_and_those_named() {
        let own = "http://play.example:8080";
        let allowed = ["https://school.example".to_owned()];
        for (origin, expected) in [
            (None, true),
            (Some("http://play.example:8080"), true),
            (Some("HTTP://PLAY.EXAMPLE:8080"), true),
            (Some("https://school.example"), true),
            (Some("https://play.example:8080"), false),
            (Some("http://play.example"), false),
            (Some("http://play.example:8080.evil.example"), false),
            (Some("http://evil.example"), false),
            (Some("https://school.example.evil.example"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            assert_eq!(
                is_allowed(origin, None, own, &allowed),
                expected,
                "{origin:?}"
            );
        }
    }
}
