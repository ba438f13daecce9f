//! Answers that are no plain JSON. Plain functions, no I/O.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::call::{engine_message, parse};
use super::error::Error;
use super::types::PathStat;

type Result<T> = std::result::Result<T, Error>;

/// Reads the header of `ContainerArchiveInfo`: JSON in base64.
pub(super) fn path_stat(call: &'static str, header: &str) -> Result<PathStat> {
    let json = BASE64.decode(header).map_err(|error| Error::Garbled {
        call,
        what: format!("path stat: {error}"),
    })?;
    parse(call, &json)
}

/// DOCKER: the status is sent before the archive is read, so a failure comes as JSON in a 200.
pub(super) fn load_outcome(call: &'static str, answer: &[u8]) -> Result<()> {
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
            message: engine_message(error.as_bytes()),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
