//! The page's files, built by npm and embedded in the binary.

use std::borrow::Cow;

use rust_embed::{EmbeddedFile, RustEmbed};

use super::error::ApiError;
use super::route::NoRoute;
use super::server::Response;

// `allow_missing`: the crate can be checked and tested without npm; `is_complete` tells at the start.
#[derive(RustEmbed)]
#[folder = "static/dist"]
#[allow_missing = true]
struct Dist;

/// Whether the page was built before the binary was.
pub fn is_complete() -> bool {
    ["landing.js", "terminal.js", "style.css"]
        .iter()
        .all(|name| Dist::get(name).is_some())
}

/// What stands in the addresses of files: the version, and a hash of their content, so that a browser may
/// keep a file for good and still gets the new one after an upgrade.
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

/// Answers `GET /assets/{name}`. `query` is `v=` and the version in our own pages.
pub fn serve(
    name: &str,
    query: Option<&str>,
    if_none_match: Option<&str>,
    version: &str,
) -> Result<Response, ApiError> {
    let EmbeddedFile { data, metadata } = Dist::get(name).ok_or(NoRoute::NotFound)?;
    let etag = format!("\"{}\"", hex(&metadata.sha256_hash()[..8]));
    let is_versioned = query.and_then(|query| query.strip_prefix("v=")) == Some(version);
    let cache = if is_versioned {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let mut headers = vec![
        ("Cache-Control", cache.to_owned()),
        ("ETag", etag.clone()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
        ("Cross-Origin-Resource-Policy", "same-origin".to_owned()),
    ];
    if if_none_match.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == etag)) {
        return Ok(Response {
            status: 304,
            headers,
            body: Cow::Borrowed(b""),
        });
    }
    headers.push(("Content-Type", media_type(name).to_owned()));
    Ok(Response {
        status: 200,
        headers,
        body: data,
    })
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
        ] {
            assert_eq!(
                serve(name, None, None, "1").expect_err("not ours").status,
                404,
                "{name}"
            );
        }
    }
}
