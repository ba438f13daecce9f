//! The forms of answers: JSON, a text, a file, nothing. Pure.

use std::borrow::Cow;
use std::time::SystemTime;

use super::Outcome;
use super::error::ApiError;
use crate::door::Response;

/// The result of a handler.
pub(super) type Handled = Result<Outcome, ApiError>;

pub(super) fn now(response: Response) -> Handled {
    Ok(Outcome::Now(response))
}

/// A file that is only for the player. No browser may take it for a page.
pub(super) fn download(content_type: &str, file: &str, body: Vec<u8>) -> Response {
    let disposition = format!("attachment; filename=\"{file}\"");
    let headers = vec![
        ("Content-Type", content_type.to_owned()),
        ("Content-Disposition", disposition),
        ("Cache-Control", "no-store".to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
    ];
    Response {
        status: 200,
        headers,
        body: Cow::Owned(body),
    }
}

pub(super) fn no_content() -> Response {
    Response {
        status: 204,
        headers: vec![("Cache-Control", "no-store".into())],
        body: Cow::Borrowed(b""),
    }
}

pub(super) fn timestamp(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

pub(super) fn text(text: &'static str) -> Response {
    let headers = vec![
        ("Content-Type", "text/plain; charset=utf-8".into()),
        ("Cache-Control", "no-store".into()),
    ];
    Response {
        status: 200,
        headers,
        body: Cow::Borrowed(text.as_bytes()),
    }
}

pub(super) fn json_response(status: u16, body: &serde_json::Value) -> Response {
    let headers = vec![
        ("Content-Type", "application/json".into()),
        ("Cache-Control", "no-store".into()),
    ];
    Response {
        status,
        headers,
        body: Cow::Owned(body.to_string().into_bytes()),
    }
}
