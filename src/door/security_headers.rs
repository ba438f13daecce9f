//! Headers that every answer has, the door's own included: they tell a browser what it must not do with the answer.
//! Pure.

use super::message::Response;

/// For an answer that is no page: nothing in it may run, be loaded or framed, should a browser ever show it as a page.
const NOT_A_PAGE: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// What the pages have no use for, and what injected code therefore can't use in them either.
const PERMISSIONS: &str = "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), display-capture=(), \
     encrypted-media=(), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), \
     publickey-credentials-get=(), screen-wake-lock=(), serial=(), usb=(), xr-spatial-tracking=()";
/// A year. Without `includeSubDomains`: neighbouring names are not ours to decide about.
const TLS_ONLY: &str = "max-age=31536000";

/// Adds those that are missing. A header that a handler has set stays as it is.
pub(super) fn harden(response: &mut Response) {
    for (name, value) in [
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", NOT_A_PAGE),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Permissions-Policy", PERMISSIONS),
        // An answer that may be kept has a header of its own that says so.
        ("Cache-Control", "no-store"),
    ] {
        add(response, name, value);
    }
    if let Some(options) = frame_options(response) {
        add(response, "X-Frame-Options", options);
    }
}

fn add(response: &mut Response, name: &'static str, value: &str) {
    let has_it = |(known, _): &(&str, String)| known.eq_ignore_ascii_case(name);
    if !response.headers.iter().any(has_it) {
        response.headers.push((name, value.to_owned()));
    }
}

/// The `X-Frame-Options` (RFC 7034) that say the same as the policy's `frame-ancestors`, for browsers that do not know
/// the latter. There are none for a list of origins: browsers that know `frame-ancestors` ignore this header (CSP Level
/// 3 §6.4.2.2), and the others must not refuse what is allowed.
fn frame_options(response: &Response) -> Option<&'static str> {
    let is_policy = |(name, _): &&(&str, String)| *name == "Content-Security-Policy";
    let (_, policy) = response.headers.iter().find(is_policy)?;
    let (_, ancestors) = policy.split_once("frame-ancestors ")?;
    match ancestors.split(';').next()?.trim() {
        "'none'" => Some("DENY"),
        "'self'" => Some("SAMEORIGIN"),
        _ => None,
    }
}

/// Tells browsers that came by HTTPS never to come by plain HTTP.
pub fn keep_to_tls(response: &mut Response, is_https: bool) {
    if is_https {
        let header = ("Strict-Transport-Security", TLS_ONLY.to_owned());
        response.headers.push(header);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays() {
        let mut response = Response::error(404, "not_found", "Nothing.");
        let own = ("cache-control", "no-cache".to_owned());
        response.headers.push(own.clone());
        harden(&mut response);
        assert!(response.headers.contains(&own));
        let count = |wanted: &str| {
            let names = response.headers.iter().map(|(name, _)| name);
            names
                .filter(|name| name.eq_ignore_ascii_case(wanted))
                .count()
        };
        assert_eq!(count("cache-control"), 1);
        assert_eq!(count("content-security-policy"), 1);
    }
}
