//! Which address we are to the client, and which pages may act on us. Pure.

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

/// The same for WebSockets.
pub fn websocket(own: &str) -> String {
    // `http` becomes `ws` and `https` becomes `wss`.
    own.replacen("http", "ws", 1)
}

/// Whether a page of `origin` may act on us. Only browsers send an origin, and they never lie about it; so
/// a request without one is no page's.
pub fn is_allowed(origin: Option<&str>, own: &str, allowed: &[String]) -> bool {
    let Some(origin) = origin else { return true };
    origin.eq_ignore_ascii_case(own)
        || allowed
            .iter()
            .any(|allowed| origin.eq_ignore_ascii_case(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(is_allowed(origin, own, &allowed), expected, "{origin:?}");
        }
    }
}
