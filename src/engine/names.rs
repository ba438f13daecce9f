//! How names, filters and a few odd answers are written in the Engine's API: plain functions, no I/O.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::call::{encode, parse, words};
use super::error::{Error, HostError};
use super::types::{ContainerId, PathStat};

type Result<T> = std::result::Result<T, Error>;

/// The path in `unix:///path`.
pub fn socket_path(docker_host: &str) -> std::result::Result<PathBuf, HostError> {
    /// `sockaddr_un` has 108 bytes, one of them for the end.
    const LONGEST_PATH: usize = 107;
    match docker_host.strip_prefix("unix://") {
        Some(path) if !Path::new(path).is_absolute() || path.contains('\0') => {
            Err(HostError::NotAbsolute(docker_host.to_owned()))
        }
        Some(path) if path.len() > LONGEST_PATH => Err(HostError::TooLong(docker_host.to_owned())),
        Some(path) => Ok(PathBuf::from(path)),
        None => Err(HostError::NotUnix(docker_host.to_owned())),
    }
}

/// A container's id as part of a path. Whatever could not be one is not asked for: it would be another path.
pub fn segment<'a>(call: &'static str, id: &'a ContainerId) -> Result<&'a str> {
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
pub fn is_image_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-:@".contains(&byte);
    name.split('/').all(|part| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric()) && part.bytes().all(is_plain)
    })
}

pub fn archive_target(call: &'static str, id: &ContainerId, path: &str) -> Result<String> {
    Ok(format!(
        "/containers/{}/archive?path={}",
        segment(call, id)?,
        encode(path)
    ))
}

/// The Engine's filter: JSON, a list of what is wanted for each kind of filter.
pub fn label_filter(labels: &[(&str, &str)], kind: Option<&str>) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    match kind {
        Some(kind) => serde_json::json!({ "label": labels, "type": [kind] }).to_string(),
        None => serde_json::json!({ "label": labels }).to_string(),
    }
}

/// Reads the header of `ContainerArchiveInfo`: JSON in base64.
pub fn path_stat(call: &'static str, header: &str) -> Result<PathStat> {
    let json = BASE64.decode(header).map_err(|error| Error::Garbled {
        call,
        what: format!("path stat: {error}"),
    })?;
    parse(call, &json)
}

/// DOCKER: the status is sent before the archive is read, so a failure comes as JSON in a 200.
pub fn load_outcome(call: &'static str, answer: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        error_detail: Option<Detail>,
        // DOCKER: deprecated since API 1.48, to be left out one day.
        error: Option<String>,
    }
    #[derive(Deserialize)]
    struct Detail {
        message: String,
    }
    let failure = answer.split(|byte| *byte == b'\n').find_map(|line| {
        let failure: Failure = serde_json::from_slice(line).ok()?;
        let detail = failure.error_detail.map(|detail| detail.message);
        detail.or(failure.error)
    });
    match failure {
        Some(error) => Err(Error::Refused {
            call,
            status: 500,
            message: words(error.as_bytes()),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unix_sockets_are_spoken_to() {
        let check = |host: &str, expected: &str| {
            let shown = match socket_path(host) {
                Ok(path) => path.display().to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(shown, expected);
        };
        check("unix:///var/run/docker.sock", "/var/run/docker.sock");
        let advice = "write it as unix:///var/run/docker.sock";
        check(
            "tcp://10.0.0.1:2375",
            &format!("tcp://10.0.0.1:2375: only a Unix socket will do, {advice}"),
        );
        check(
            "/var/run/docker.sock",
            &format!("/var/run/docker.sock: only a Unix socket will do, {advice}"),
        );
        check(
            "unix://docker.sock",
            &format!("unix://docker.sock: the socket's path must be absolute, {advice}"),
        );
        let long = format!("unix:///{}", "x".repeat(107));
        check(
            &long,
            &format!("{long}: the socket's path is longer than the 107 bytes the system allows"),
        );
    }

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

    #[test]
    fn a_path_stat_is_json_in_base64() {
        // Seen from Docker 20.10 for a busybox binary.
        let header = "eyJuYW1lIjoiYnVzeWJveCIsInNpemUiOjE5ODIyNTYsIm1vZGUiOjQ5MywibXRpbWUiOiIyMDI2LTExLTIz\
                      VDE4OjI0OjE3WiIsImxpbmtUYXJnZXQiOiIifQ==";
        let stat = path_stat("Test", header).expect("a stat");
        assert_eq!(
            (stat.name.as_str(), stat.size, stat.mode),
            ("busybox", 1_982_256, 0o755)
        );
        assert!(stat.is_file());
        assert!(path_stat("Test", "").is_err() && path_stat("Test", "%%%").is_err());
    }

    #[test]
    fn a_failed_load_is_found_in_a_successful_answer() {
        let load = |answer: &str| {
            load_outcome("ImageLoad", answer.as_bytes()).map_err(|error| error.to_string())
        };
        assert_eq!(load("{\"stream\":\"Loaded image: x\\n\"}\n"), Ok(()));
        assert_eq!(
            load("{\"errorDetail\":{\"message\":\"bad tar\"},\"error\":\"bad tar\"}\n"),
            Err("ImageLoad: the Engine answered 500: bad tar".into())
        );
    }
}
