//! Where the Engine listens, as `DOCKER_HOST` says it.

use std::path::{Path, PathBuf};

use super::error::HostError;

/// The path in `unix:///path`.
pub(super) fn socket_path(docker_host: &str) -> Result<PathBuf, HostError> {
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
}
