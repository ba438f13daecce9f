//! Who the player is, and what that forbids.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use dangerous_calls::{DEBATED, FORBIDDEN, Group, Outcome};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{PROGRAM, Terms};
use crate::cli::finding::{Finding, Verdict};

/// `ESRCH`: no such process.
const NO_PROCESS: i32 = 3;

/// Tries it all.
pub(super) fn look(terms: &Terms, report: &mut dyn FnMut(&Finding)) {
    status(report);
    report(&setuid());
    for group in FORBIDDEN {
        report(&refused(group, Verdict::Fail));
    }
    for group in DEBATED {
        report(&refused(group, Verdict::Warn));
    }
    report(&devices());
    report(&neighbours(terms));
    report(&environment());
}

/// What the kernel says that this process may do.
pub(super) fn status(report: &mut dyn FnMut(&Finding)) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for finding in judge_status(&status) {
        report(&finding);
    }
}

/// Compares `/proc/self/status` with what it tells of a process without any right.
fn judge_status(status: &str) -> Vec<Finding> {
    let fields: BTreeMap<&str, String> = status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    let check = |name: &str, wanted: &[(&str, &[&str])]| {
        let is_wrong = |(field, values): &&(&str, &[&str])| {
            !fields
                .get(field)
                .is_some_and(|value| values.contains(&value.as_str()))
        };
        match wanted.iter().find(is_wrong) {
            None => Finding::ok(name, format!("{} {}", wanted[0].0, wanted[0].1[0])),
            Some((field, _)) => {
                let value = fields.get(field).map_or("missing", String::as_str);
                Finding::fail(name, format!("{field} is {value}"))
            }
        }
    };
    let none: &[&str] = &["0000000000000000"];
    vec![
        check(
            "capabilities",
            &[
                ("CapBnd", none),
                ("CapInh", none),
                ("CapPrm", none),
                ("CapEff", none),
                ("CapAmb", none),
            ],
        ),
        check(
            "user",
            &[
                ("Uid", &["1000 1000 1000 1000"]),
                ("Gid", &["1000 1000 1000 1000"]),
                // Some Engines name the primary group again, some name none.
                ("Groups", &["1000", ""]),
            ],
        ),
        check("new privileges", &[("NoNewPrivs", &["1"])]),
        check("seccomp filter", &[("Seccomp", &["2"])]),
    ]
}

/// Checks that this program, which is root's and has the set-user-id bit, does not run as root.
fn setuid() -> Finding {
    let name = "setuid programs";
    let is_setuid = fs::metadata(PROGRAM)
        .is_ok_and(|meta| meta.uid() == 0 && meta.permissions().mode() & 0o4000 != 0);
    match (is_setuid, rustix::process::geteuid().as_raw()) {
        (false, _) => Finding::warn(name, "the image has lost its set-user-id bit, so not tried"),
        (true, 1000) => Finding::ok(name, "gain nothing"),
        (true, uid) => Finding::fail(name, format!("run as user {uid}")),
    }
}

fn refused(group: &Group, otherwise: Verdict) -> Finding {
    let is_allowed = |call: &&dangerous_calls::Call| call.attempt() == Outcome::Allowed;
    let allowed: Vec<_> = group.calls.iter().filter(is_allowed).collect();
    if allowed.is_empty() {
        return Finding::ok(group.name, "refused");
    }
    let names: Vec<_> = allowed.iter().map(|call| call.name).collect();
    let note = format!(
        "the seccomp profile lets {} through; update the Engine, whose newer default profile may not \
         (Podman: name a stricter one as seccomp_profile in containers.conf)",
        names.join(", ")
    );
    Finding::new(group.name, otherwise, note)
}

fn devices() -> Finding {
    let name = "devices";
    let made = mknodat(
        CWD,
        "/tmp/disk",
        FileType::BlockDevice,
        Mode::RUSR,
        rustix::fs::makedev(8, 0),
    );
    if made.is_ok() {
        return Finding::fail(name, "a block device could be made");
    }
    let strange: Vec<String> = fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            use std::os::unix::fs::FileTypeExt;
            entry.file_type().is_ok_and(|kind| kind.is_block_device())
        })
        .map(|entry| entry.path().display().to_string())
        .chain(
            [
                "/dev/mem",
                "/dev/kmsg",
                "/dev/kvm",
                "/dev/fuse",
                "/dev/vsock",
                "/dev/net/tun",
            ]
            .iter()
            .filter(|path| fs::metadata(path).is_ok())
            .map(ToString::to_string),
        )
        .collect();
    if strange.is_empty() {
        Finding::ok(name, "none of the host's, and none can be made")
    } else {
        Finding::fail(name, format!("{} are there", strange.join(", ")))
    }
}

/// Checks that other users' processes can be neither seen nor traced.
fn neighbours(terms: &Terms) -> Finding {
    let name = "other processes";
    if let Ok(command) = fs::read_to_string(format!("/proc/{}/cmdline", terms.host_pid))
        && command.contains("selftest")
    {
        return Finding::fail(name, "the host's can be seen");
    }
    // In the container another process may have this number, and that may be traced.
    let is_ours = fs::metadata(format!("/proc/{}", terms.host_pid)).is_ok();
    match dangerous_calls::trace(terms.host_pid) {
        _ if is_ours => Finding::ok(name, "not seen"),
        Err(NO_PROCESS) => Finding::ok(name, "neither seen nor traced (ptrace)"),
        Err(1 | 38) => Finding::ok(name, "not seen; ptrace is refused"),
        outcome => Finding::fail(
            name,
            format!("a host's process answers ptrace: {outcome:?}"),
        ),
    }
}

/// Checks that the environment has nothing that the server knows and the player must not.
fn environment() -> Finding {
    let name = "environment";
    let known = [
        "COLORTERM",
        "HOME",
        "HOSTNAME",
        "LANG",
        "PATH",
        "TERM",
        "container",
    ];
    let text = fs::read("/proc/self/environ").unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let strange: Vec<&str> = text
        .split('\0')
        .filter_map(|pair| pair.split('=').next())
        .filter(|name| !name.is_empty() && !known.contains(name))
        .collect();
    if strange.is_empty() {
        Finding::ok(name, "nothing of the server's")
    } else {
        Finding::fail(name, format!("{} come from outside", strange.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: &str, expected: [Verdict; 4]) {
        let verdicts: Vec<_> = judge_status(status)
            .iter()
            .map(|found| found.verdict)
            .collect();
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn a_process_without_rights_is_told_from_others() {
        const CAGED: &str = "Uid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nGroups:\t1000 \n\
            CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
            CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        use Verdict::{Fail, Ok};
        check(CAGED, [Ok; 4]);
        check(
            &CAGED.replace("CapBnd:\t0", "CapBnd:\t8"),
            [Fail, Ok, Ok, Ok],
        );
        check(&CAGED.replace("Uid:\t1000", "Uid:\t0"), [Ok, Fail, Ok, Ok]);
        check(
            &CAGED.replace("Groups:\t1000", "Groups:\t0"),
            [Ok, Fail, Ok, Ok],
        );
        check(
            &CAGED.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            [Ok, Ok, Fail, Ok],
        );
        check(
            &CAGED.replace("Seccomp:\t2", "Seccomp:\t0"),
            [Ok, Ok, Ok, Fail],
        );
        check("", [Fail; 4]);
    }
}
