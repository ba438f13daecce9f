//! What stands in the path of a call: ids, names, filters. Plain functions, no I/O.

use super::call::encode;
use super::error::Error;
use super::types::ContainerId;

type Result<T> = std::result::Result<T, Error>;

/// A container's id as part of a path. A text that can't be one is refused without asking the Engine: it would make
/// another path.
pub(super) fn segment<'a>(call: &'static str, id: &'a ContainerId) -> Result<&'a str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let name = &id.0;
    if name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.bytes().all(is_plain) {
        return Ok(name);
    }
    Err(Error::Refused {
        call,
        status: 404,
        message: "not asked: that is no container's id or name".into(),
    })
}

/// Whether an image could have this name, which becomes part of a path.
pub(super) fn is_image_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-:@".contains(&byte);
    name.split('/').all(|part| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric()) && part.bytes().all(is_plain)
    })
}

pub(super) fn archive_target(call: &'static str, id: &ContainerId, path: &str) -> Result<String> {
    Ok(format!(
        "/containers/{}/archive?path={}",
        segment(call, id)?,
        encode(path)
    ))
}

/// The Engine's filter: JSON, a list of what is wanted for each kind of filter.
pub(super) fn label_filter(labels: &[(&str, &str)], kind: Option<&str>) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    match kind {
        Some(kind) => serde_json::json!({ "label": labels, "type": [kind] }).to_string(),
        None => serde_json::json!({ "label": labels }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_can_not_leave_their_place_in_the_path() {
        let check = |id: &str, is_fine: bool| {
            assert_eq!(
                segment("Test", &ContainerId(id.into())).is_ok(),
                is_fine,
                "{id}"
            );
        };
        check("9f86d081884c7d659a2feaa0c55ad015", true);
        check("shellcraft-3e6e_a.b", true);
        for id in [
            "", ".", "..", "a/b", "a?x=1", "a#b", "a%2fb", "a b", "ä", "a\r\nb",
        ] {
            check(id, false);
        }
    }

    #[test]
    fn image_names_can_not_leave_their_place_in_the_path() {
        for name in [
            "busybox",
            "shellcraft/rust:latest",
            "host.example:5000/a/b@sha256:00",
        ] {
            assert!(is_image_name(name), "{name}");
        }
        for name in ["", "/", "a//b", "../x", "a/..", "a?b", "a b", "a%2f"] {
            assert!(!is_image_name(name), "{name}");
        }
    }

    #[test]
    fn filters_are_the_engine_s_json() {
        assert_eq!(
            label_filter(&[("a", "b"), ("c", "d")], None),
            r#"{"label":["a=b","c=d"]}"#
        );
        assert_eq!(
            label_filter(&[], Some("container")),
            r#"{"label":[],"type":["container"]}"#
        );
    }
}
