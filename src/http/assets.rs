//! The page's files, built by npm and embedded in the binary; all but the shortest as `.gz`.

use std::borrow::Cow;

use rust_embed::RustEmbed;

use super::error::ApiError;
use super::route::NoRoute;
use crate::door::Response;
use crate::texts;

// `allow_missing`: the crate can be checked and tested without npm; `is_complete` tells at the start whether files are
// missing.
#[derive(RustEmbed)]
#[folder = "static/dist"]
#[allow_missing = true]
struct Dist;

/// The ending of a packed file's name.
const PACKED: &str = ".gz";

/// Whether the page was built before the binary was.
pub fn is_complete() -> bool {
    [
        "landing.js",
        "early.js",
        "terminal.js",
        "search.js",
        "webgl.js",
        "admin.js",
        "style.css",
    ]
    .iter()
    .all(|name| Dist::get(name).is_some() || Dist::get(&format!("{name}{PACKED}")).is_some())
}

/// The part of the files' addresses that changes with them: the version, and a hash of their content. A browser may
/// therefore keep a file for good, and still gets the new one after an upgrade.
pub fn version() -> String {
    let sum = Dist::iter()
        .filter_map(|name| Dist::get(&name))
        .fold([0u8; 4], |mut sum, file| {
            for (index, byte) in file.metadata.sha256_hash().iter().enumerate() {
                sum[index % 4] ^= byte.rotate_left(index as u32);
            }
            sum
        });
    format!(
        "{}-{:08x}",
        env!("CARGO_PKG_VERSION"),
        u32::from_be_bytes(sum)
    )
}

/// Answers `GET /assets/{name}`. `query` is `v=` and the version in the server's own pages; `header` returns the request's
/// headers.
pub fn serve<'a>(
    name: &str,
    query: Option<&str>,
    header: impl Fn(&str) -> Option<&'a str>,
    version: &str,
) -> Result<Response, ApiError> {
    // Packed files have no addresses of their own: the address of the plain file serves them.
    if name.ends_with(PACKED) {
        return Err(NoRoute::NotFound.into());
    }
    let plain = Dist::get(name);
    let packed = Dist::get(&format!("{name}{PACKED}"));
    let Some(original) = plain.as_ref().or(packed.as_ref()) else {
        return Err(NoRoute::NotFound.into());
    };
    let mut headers = vec![
        ("X-Content-Type-Options", "nosniff".to_owned()),
        ("Cross-Origin-Resource-Policy", "same-origin".to_owned()),
    ];
    if packed.is_some() {
        headers.push(("Vary", "Accept-Encoding".to_owned()));
    }
    let is_packed = packed.is_some() && header("accept-encoding").is_some_and(allows_gzip);
    let tagged = packed.as_ref().filter(|_| is_packed).unwrap_or(original);
    // The unpacked content has a tag of its own, as RFC 9110 8.8.3.3 demands.
    let mark = if is_packed || plain.is_some() {
        ""
    } else {
        "-u"
    };
    let etag = format!("\"{}{mark}\"", hex(&tagged.metadata.sha256_hash()[..8]));
    let is_versioned = query.and_then(|query| query.strip_prefix("v=")) == Some(version);
    let cache = if is_versioned {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    headers.push(("Cache-Control", cache.to_owned()));
    headers.push(("ETag", etag.clone()));
    if header("if-none-match").is_some_and(|tags| names(tags, &etag)) {
        return Ok(Response {
            status: 304,
            headers,
            body: Cow::Borrowed(b""),
        });
    }
    if is_packed {
        headers.push(("Content-Encoding", "gzip".to_owned()));
    }
    headers.push(("Content-Type", media_type(name).to_owned()));
    let data = match (plain, packed) {
        (_, Some(packed)) if is_packed => packed.data,
        (Some(plain), _) => plain.data,
        (None, packed) => Cow::Owned(
            packed
                .and_then(|file| texts::gunzip(&file.data))
                .ok_or_else(|| {
                    ApiError::new(500, "internal_error", "This file can't be unpacked.")
                })?,
        ),
    };
    Ok(Response {
        status: 200,
        headers,
        body: data,
    })
}

/// Whether `If-None-Match` names the tag. Proxies that change an answer mark its tag as weak.
fn names(tags: &str, etag: &str) -> bool {
    tags.split(',')
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*")
}

fn allows_gzip(accept_encoding: &str) -> bool {
    allows(accept_encoding, &["gzip", "x-gzip"])
}

/// Whether `Accept-Encoding` allows a coding with one of these names: by the name if it is there, otherwise by `*` (RFC
/// 9110 12.5.3).
pub(super) fn allows(accept_encoding: &str, names: &[&str]) -> bool {
    let weight_of = |wanted: &[&str]| {
        accept_encoding.split(',').find_map(|item| {
            let (coding, weight) = item.split_once(';').unwrap_or((item, "q=1"));
            let coding = coding.trim().to_ascii_lowercase();
            let weight = weight.trim().to_ascii_lowercase();
            // A weight that is not a number counts as 0, because it is not known what it means.
            let weight = weight.strip_prefix("q=")?.trim().parse().unwrap_or(0.0);
            wanted.contains(&coding.as_str()).then_some(weight)
        })
    };
    weight_of(names)
        .or_else(|| weight_of(&["*"]))
        .is_some_and(|weight: f32| weight > 0.0)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_served() {
        for name in [
            "",
            "..",
            "../package.json",
            "%2e%2e",
            "/etc/passwd",
            "nothing.js",
            "terminal.js.gz",
        ] {
            assert_eq!(
                serve(name, None, |_| None, "1")
                    .expect_err("not ours")
                    .status,
                404,
                "{name}"
            );
        }
    }

    #[test]
    fn who_can_unpack() {
        for (accept_encoding, allowed) in [
            ("gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("br, GZIP;Q=0.5", true),
            ("x-gzip", true),
            ("*", true),
            ("*;q=0, gzip", true),
            ("", false),
            ("identity", false),
            ("br", false),
            ("gzip;q=0", false),
            ("gzip; q=0.000, br", false),
            ("*, gzip;q=0", false),
            ("*;q=0", false),
            ("gzip;q=much", false),
            ("gzipped", false),
        ] {
            assert_eq!(allows_gzip(accept_encoding), allowed, "{accept_encoding:?}");
        }
    }

    #[test]
    fn tags_are_compared_weakly() {
        assert!(names("\"b\", W/\"a\"", "\"a\"") && names("*", "\"a\""));
        assert!(!names("\"b\", a", "\"a\""));
    }
}
