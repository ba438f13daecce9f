//! Headers that every answer has, whatever made it, the door's refusals included: what a browser must not do with it.
//! Pure.

use super::server::Response;

/// For what is no page: nothing in it may run, be loaded or framed, should a browser ever show it as one.
const NOT_A_PAGE: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// What pages here have no use for, and what therefore nobody can make them use.
const PERMISSIONS: &str = "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), display-capture=(), \
     encrypted-media=(), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), \
     publickey-credentials-get=(), screen-wake-lock=(), serial=(), usb=(), xr-spatial-tracking=()";
/// A year. Without `includeSubDomains`: neighbouring names are not ours to decide about.
const TLS_ONLY: &str = "max-age=31536000";

/// Adds what is missing. A handler that has its own idea of one of these keeps it.
pub(super) fn harden(response: &mut Response) {
    let mut add = |name: &'static str, value: &str| {
        let has_it = |(known, _): &(&str, String)| known.eq_ignore_ascii_case(name);
        if !response.headers.iter().any(has_it) {
            response.headers.push((name, value.to_owned()));
        }
    };
    add("X-Content-Type-Options", "nosniff");
    add("Content-Security-Policy", NOT_A_PAGE);
    add("Referrer-Policy", "no-referrer");
    add("Cross-Origin-Opener-Policy", "same-origin");
    add("Cross-Origin-Resource-Policy", "same-origin");
    add("Permissions-Policy", PERMISSIONS);
    // What may be kept says so itself.
    add("Cache-Control", "no-store");
}

/// Tells browsers that came by HTTPS never to come otherwise.
pub(super) fn keep_to_tls(response: &mut Response, is_https: bool) {
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
