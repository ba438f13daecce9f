//! Known ways out of a container, by the version of the program that has them.
//!
//! Distributions fix old versions without a new number. What Debian has fixed is known here, if the Engine tells the
//! package's version; of other distributions' builds nothing is said for certain.

use crate::cli::finding::Finding;

/// A version as runc and containerd number theirs: 1.0.0-rc95, 1.1.12. A release is above its candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u16,
    minor: u16,
    patch: u16,
    candidate: u16,
}

impl Version {
    /// The largest candidate's number stands for the release itself.
    const RELEASE: u16 = u16::MAX;

    const fn release(major: u16, minor: u16, patch: u16) -> Version {
        Version {
            major,
            minor,
            patch,
            candidate: Self::RELEASE,
        }
    }

    const fn candidate(major: u16, minor: u16, patch: u16, candidate: u16) -> Version {
        Version {
            major,
            minor,
            patch,
            candidate,
        }
    }

    /// Reads the upstream part of a version, whatever a distribution has put behind it: `1.0.0~rc93+ds1`, `v1.7.2`.
    pub fn parse(text: &str) -> Option<Version> {
        let text = text.trim().trim_start_matches('v');
        let end = text.find(['-', '~', '+']).unwrap_or(text.len());
        let (numbers, rest) = text.split_at(end);
        let mut numbers = numbers.split('.').map(str::parse::<u16>);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        let patch = match numbers.next() {
            Some(patch) => patch.ok()?,
            None => 0,
        };
        let rest = rest.trim_start_matches(['-', '~']);
        let candidate = rest
            .strip_prefix("rc")
            .map(|rest| rest.trim_start_matches('.'));
        let digits = |text: &str| {
            text.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
        };
        let candidate = match candidate {
            Some(rest) => digits(rest).parse().ok()?,
            None => Self::RELEASE,
        };
        Some(Version::candidate(major, minor, patch, candidate))
    }
}

/// A way out, and the versions in which it is closed, one for each line of versions.
struct Escape {
    name: &'static str,
    fixed: &'static [Version],
    /// Debian's packages in which it is closed although their upstream version has it: the beginning of the package's
    /// version, and the least number behind that.
    debian: &'static [(&'static str, u16)],
}

const RUNC: &[Escape] = &[
    Escape {
        name: "CVE-2019-5736",
        fixed: &[Version::candidate(1, 0, 0, 7)],
        debian: &[],
    },
    Escape {
        name: "CVE-2021-30465",
        fixed: &[Version::candidate(1, 0, 0, 95)],
        debian: &[("1.0.0~rc93+ds1-5+deb11u", 1)],
    },
    Escape {
        name: "CVE-2022-29162",
        fixed: &[Version::release(1, 1, 2)],
        debian: &[],
    },
    Escape {
        name: "CVE-2024-21626",
        fixed: &[Version::release(1, 1, 12)],
        debian: &[("1.0.0~rc93+ds1-5+deb11u", 3), ("1.1.5+ds1-1+deb12u", 1)],
    },
    Escape {
        name: "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881",
        fixed: &[
            Version::release(1, 2, 8),
            Version::release(1, 3, 3),
            Version::candidate(1, 4, 0, 3),
        ],
        debian: &[],
    },
];

const CONTAINERD: &[Escape] = &[Escape {
    name: "CVE-2020-15257",
    fixed: &[Version::release(1, 3, 9), Version::release(1, 4, 3)],
    debian: &[],
}];

impl Escape {
    fn is_open_in(&self, version: Version) -> bool {
        let of_its_line =
            |fixed: &&Version| (fixed.major, fixed.minor) == (version.major, version.minor);
        match (self.fixed.iter().find(of_its_line), self.fixed.iter().max()) {
            (Some(fixed), _) | (None, Some(fixed)) => version < *fixed,
            (None, None) => false,
        }
    }

    fn is_mended_in(&self, package: &str) -> bool {
        self.debian.iter().any(|(start, least)| {
            let update = package
                .strip_prefix(start)
                .and_then(|rest| rest.parse::<u16>().ok());
            update.is_some_and(|update| update >= *least)
        })
    }
}

/// Judges a program by its version, and by its package's version where the Engine tells that as its commit.
pub fn judge(program: &str, version: &str, package: &str) -> Finding {
    let known = match program {
        "runc" => RUNC,
        "containerd" => CONTAINERD,
        _ => {
            return Finding::ok(
                program,
                format!("{version}; its ways out, if any, are not known here"),
            );
        }
    };
    let Some(number) = Version::parse(version) else {
        return Finding::warn(
            program,
            format!(
                "says of itself {version:?}, which is no version: look whether it is up to date"
            ),
        );
    };
    let open: Vec<&str> = known
        .iter()
        .filter(|escape| escape.is_open_in(number) && !escape.is_mended_in(package))
        .map(|escape| escape.name)
        .collect();
    // DOCKER: upstream's builds have a commit in the place of the package's version.
    let shown = if is_distribution_s(package) {
        package
    } else {
        version
    };
    if open.is_empty() {
        return Finding::ok(program, format!("{shown}; no known way out"));
    }
    let open = open.join(", ");
    if is_distribution_s(version) || is_distribution_s(package) {
        let note = format!(
            "{shown} may be open to {open}, unless your distribution has mended that without a new version: \
             see its security tracker, and update"
        );
        return Finding::warn(program, note);
    }
    Finding::fail(
        program,
        format!("{shown} lets containers out ({open}): update it"),
    )
}

/// Whether a distribution has built this version, and so may have fixed it.
fn is_distribution_s(version: &str) -> bool {
    [
        "+ds", "~ds", "+deb", "+dfsg", "ubuntu", ".el", ".fc", ".amzn", "alpine", "suse",
    ]
    .iter()
    .any(|sign| version.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered() {
        let all = [
            "1.0.0-rc6",
            "1.0.0~rc93+ds1",
            "1.0.0-rc95",
            "1.0.0",
            "1.1.5+ds1",
            "v1.1.12",
            "1.2.8-0ubuntu1",
            "1.4.0-rc.3",
            "1.4.0",
        ];
        let versions: Vec<_> = all
            .iter()
            .map(|text| Version::parse(text).expect(text))
            .collect();
        assert!(
            versions.is_sorted_by(|one, other| one < other),
            "{versions:?}"
        );
        assert_eq!(Version::parse("1.0-rc6"), Version::parse("1.0.0-rc6"));
        for nonsense in ["", "unknown", "1", "a.b.c", "1.99999999.0"] {
            assert_eq!(Version::parse(nonsense), None, "{nonsense}");
        }
    }

    #[track_caller]
    fn check(version: &str, package: &str, verdict: &str, mentioned: &str) {
        let line = judge("runc", version, package).to_string();
        assert!(line.starts_with(verdict), "{line}");
        assert!(line.contains(mentioned), "{line}");
    }

    #[test]
    fn runc_s_known_ways_out() {
        check(
            "1.0.0-rc6",
            "",
            "FAIL",
            "CVE-2019-5736, CVE-2021-30465, CVE-2022-29162, CVE-2024-21626, CVE-2025-31133",
        );
        check("1.0.0-rc94", "", "FAIL", "(CVE-2021-30465");
        check(
            "1.1.1",
            "v1.1.1-0-g52de29d7",
            "FAIL",
            "1.1.1 lets containers out (CVE-2022-29162",
        );
        check("1.1.11", "", "FAIL", "(CVE-2024-21626");
        check("1.1.12", "v1.1.12-0-g51d5e94", "FAIL", "(CVE-2025-31133");
        check("1.2.7", "", "FAIL", "(CVE-2025-31133");
        check("1.2.8", "", "ok", "no known way out");
        check("1.3.2", "", "FAIL", "CVE-2025-52881");
        check("1.3.3", "", "ok", "");
        check("1.4.0-rc.2", "", "FAIL", "CVE-2025-52565");
        check("1.4.0-rc.3", "", "ok", "");
        check("1.5.0", "", "ok", "");
        check("who knows", "", "warn", "no version");
    }

    #[test]
    fn what_debian_has_mended_is_not_held_against_it() {
        let ours = "1.1.5+ds1-1+deb12u1";
        check("1.1.5+ds1", ours, "warn", "may be open to CVE-2025-31133");
        assert!(
            !judge("runc", "1.1.5+ds1", ours)
                .note
                .contains("CVE-2024-21626")
        );
        check(
            "1.1.5+ds1",
            "1.1.5+ds1-1+b1",
            "warn",
            "CVE-2024-21626, CVE-2025-31133",
        );
        check("1.1.12-0ubuntu3", "", "warn", "unless your distribution");
    }

    #[test]
    fn other_programs() {
        let line = judge("containerd", "1.6.20~ds1", "1.6.20~ds1-1+deb12u3").to_string();
        assert_eq!(
            line,
            "ok    containerd: 1.6.20~ds1-1+deb12u3; no known way out"
        );
        assert!(
            judge("containerd", "1.4.2", "")
                .to_string()
                .starts_with("FAIL")
        );
        assert!(judge("crun", "1.8", "").to_string().starts_with("ok"));
    }
}
