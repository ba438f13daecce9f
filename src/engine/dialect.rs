//! Which version of the API to speak, and how Podman's Engine differs.

use std::fmt;

use super::error::Error;

/// The oldest version that this client speaks: Docker 20.10's and Podman 4's. Older Engines may silently skip a
/// hardening option of `ContainerCreate` that they don't know, so they are refused.
pub(super) const OLDEST: ApiVersion = ApiVersion {
    major: 1,
    minor: 41,
};

/// The newest version that this client speaks: Docker 28.3's. Docker 29 refuses below 1.44 and takes this one.
pub(super) const NEWEST: ApiVersion = ApiVersion {
    major: 1,
    minor: 51,
};

/// DOCKER: `HostConfig.ConsoleSize` is ignored below this version.
const CONSOLE_SIZE_SINCE: ApiVersion = ApiVersion {
    major: 1,
    minor: 42,
};

/// A version of the Engine's API, such as 1.41.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ApiVersion {
    /// Has always been 1.
    pub major: u16,
    /// Counts up; 1.9 is older than 1.10.
    pub minor: u16,
}

impl ApiVersion {
    /// Reads `1.41`.
    pub(super) fn parse(text: &str) -> Option<ApiVersion> {
        let (major, minor) = text.trim().split_once('.')?;
        Some(ApiVersion {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

/// How an unfinished file, of which only a part was unpacked from an archive, differs from a whole one in `GET
/// …/archive`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// It belongs to root. DOCKER: root writes an archive's file, which gets its owner when all of it is there (seen on
    /// 20.10, with archives cut at every place). So it is with `userns-remap` too, where a whole file's owner is given
    /// as the host knows it, such as 101000 (seen).
    IsRoots,
    /// Its mode is 0600. PODMAN: it unpacks in the same way, but its answer says that every file belongs to the
    /// container's user. What can be seen is the mode, which becomes the archive's last (seen on 4.3.1, with archives
    /// cut at many places).
    IsPrivate,
}

/// How to speak to the Engine at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    /// The version in every path.
    pub version: ApiVersion,
    /// Whether it is Podman's imitation of Docker.
    pub is_podman: bool,
}

impl Dialect {
    /// The value of attach's `detachKeys` that no key press can match, already percent-encoded.
    ///
    /// DOCKER: an empty value means Ctrl-P Ctrl-Q, and a lone Ctrl-P is held back then. None of these bytes is ever
    /// part of UTF-8, and no paste has all of them in this order. With the first one alone as the value, a binary file
    /// that is pasted would end the attach, and what was typed behind it would be lost. With all of them, an FF at the
    /// end of what was typed waits for the next key. Podman refuses such bytes, and takes the empty value literally.
    pub(super) fn detach_keys(&self) -> &'static str {
        if self.is_podman {
            ""
        } else {
            "%FF,%C1,%FE,%F5,%FF,%C0,%FD,%F9"
        }
    }

    /// How an unfinished file differs from a whole one.
    pub(super) fn unfinished(&self) -> Unfinished {
        match self.is_podman {
            true => Unfinished::IsPrivate,
            false => Unfinished::IsRoots,
        }
    }

    /// Whether `HostConfig.ConsoleSize` gives the terminal its size before the first byte is drawn.
    pub(super) fn has_console_size(&self) -> bool {
        !self.is_podman && self.version >= CONSOLE_SIZE_SINCE
    }
}

/// The newest version both sides speak. `oldest` is the Engine's own oldest, where it tells.
pub(super) fn choose(newest: ApiVersion, oldest: Option<ApiVersion>) -> Result<ApiVersion, Error> {
    let ours = newest.min(NEWEST);
    if ours < OLDEST || oldest.is_some_and(|oldest| ours < oldest) {
        return Err(Error::NoCommonVersion {
            theirs: match oldest {
                Some(oldest) => format!("{oldest} to {newest}"),
                None => format!("up to {newest}"),
            },
            ours: format!("{OLDEST} to {NEWEST}"),
        });
    }
    Ok(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(newest: &str, oldest: &str, expected: &str) {
        let newest = ApiVersion::parse(newest).expect("a version");
        let chosen = match choose(newest, ApiVersion::parse(oldest)) {
            Ok(version) => version.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(chosen, expected);
    }

    #[test]
    fn the_newest_common_version_is_spoken() {
        check("1.41", "1.12", "1.41");
        check("1.41", "", "1.41");
        check("1.47", "1.24", "1.47");
        check("1.52", "1.44", "1.51");
        check("2.0", "1.44", "1.51");
    }

    #[test]
    fn an_engine_too_old_or_too_new_is_refused_with_both_ranges() {
        check(
            "1.40",
            "1.12",
            "the Engine speaks API 1.12 to 1.40, we speak 1.41 to 1.51: \
             install a newer Engine or a newer shellcraft",
        );
        check(
            "1.60",
            "1.52",
            "the Engine speaks API 1.52 to 1.60, we speak 1.41 to 1.51: \
             install a newer Engine or a newer shellcraft",
        );
    }

    #[test]
    fn versions_are_numbers_and_not_fractions() {
        let parse = |text| ApiVersion::parse(text).expect("a version");
        assert!(parse("1.9") < parse("1.10"));
        for nonsense in ["", "1", "1.", "1.x", "-1.4", "1.41.2", "1.99999"] {
            assert_eq!(ApiVersion::parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_detach_keys_are_disarmed_in_each_engine_s_way() {
        let docker = Dialect {
            version: OLDEST,
            is_podman: false,
        };
        let podman = Dialect {
            version: NEWEST,
            is_podman: true,
        };
        assert_eq!(podman.detach_keys(), "");
        assert!(docker.detach_keys().starts_with("%FF,"));
        assert!(!docker.has_console_size() && !podman.has_console_size());
        assert!(
            Dialect {
                version: NEWEST,
                ..docker
            }
            .has_console_size()
        );
    }
}
