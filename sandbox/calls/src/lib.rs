//! System calls that a sandbox must refuse, tried from inside it.
//!
//! No crate wraps them safely, because hardly anybody wants them. Here each has fixed arguments: null pointers, bad
//! descriptors, wrong magic numbers. So a kernel that lets one through answers with another error and nothing
//! happens; and no argument points at memory, so nothing of ours can be written to.

use std::io;

/// A call with its arguments. Only this crate can make one.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Its name, and what it is tried with where that matters.
    pub name: &'static str,
    number: libc::c_long,
    arguments: [libc::c_long; 5],
}

/// Calls that serve the same purpose.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The purpose.
    pub name: &'static str,
    /// The calls.
    pub calls: &'static [Call],
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// `EPERM`, `EACCES`, or `ENOSYS`: the call is not for us.
    Refused,
    /// It was carried out, or failed for its arguments only.
    Allowed,
}

impl Call {
    /// Makes the call.
    pub fn attempt(&self) -> Outcome {
        let [a, b, c, d, e] = self.arguments;
        // SAFETY: the arguments are constants of this file; none is an address that the kernel could write to, and
        // none closes or changes a descriptor, a mapping or a signal of this process.
        let answer = unsafe { libc::syscall(self.number, a, b, c, d, e) };
        let code = io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or_default();
        match (answer, code) {
            (-1, libc::EPERM | libc::EACCES | libc::ENOSYS) => Outcome::Refused,
            _ => Outcome::Allowed,
        }
    }
}

/// Asks to trace a process, which is not stopped by that. Returns the error's number when it is refused.
///
/// # Errors
/// Such as `ESRCH` for a process that can't be seen from here.
pub fn trace(pid: i32) -> Result<(), i32> {
    // SAFETY: PTRACE_SEIZE takes no address.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_ptrace,
            libc::c_long::from(libc::PTRACE_SEIZE),
            libc::c_long::from(pid),
            libc::c_long::from(0),
            libc::c_long::from(0),
        )
    };
    match answer {
        -1 => Err(io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or_default()),
        _ => Ok(()),
    }
}

const fn call(name: &'static str, number: libc::c_long, arguments: [libc::c_long; 5]) -> Call {
    Call {
        name,
        number,
        arguments,
    }
}

/// What every sandbox must refuse.
pub const FORBIDDEN: &[Group] = &[
    Group {
        name: "mounting",
        calls: &[
            call("mount", libc::SYS_mount, [0; 5]),
            call("umount2", libc::SYS_umount2, [0; 5]),
            call("pivot_root", libc::SYS_pivot_root, [0; 5]),
            call("chroot", libc::SYS_chroot, [0; 5]),
            call("fsopen", libc::SYS_fsopen, [0; 5]),
            call("open_tree, a copy", libc::SYS_open_tree, [-1, 0, 1, 0, 0]),
            call("move_mount", libc::SYS_move_mount, [-1, 0, -1, 0, 0]),
        ],
    },
    Group {
        name: "namespaces",
        calls: &[
            call(
                "unshare, users",
                libc::SYS_unshare,
                [0x1000_0000, 0, 0, 0, 0],
            ),
            call(
                "unshare, network",
                libc::SYS_unshare,
                [0x4000_0000, 0, 0, 0, 0],
            ),
            call(
                "unshare, mounts",
                libc::SYS_unshare,
                [0x0002_0000, 0, 0, 0, 0],
            ),
            call(
                "unshare, processes",
                libc::SYS_unshare,
                [0x2000_0000, 0, 0, 0, 0],
            ),
            call("setns", libc::SYS_setns, [-1, 0, 0, 0, 0]),
            call("clone3", libc::SYS_clone3, [0; 5]),
        ],
    },
    Group {
        name: "becoming root",
        calls: &[
            call("setuid", libc::SYS_setuid, [0; 5]),
            call("setgid", libc::SYS_setgid, [0; 5]),
            call("setresuid", libc::SYS_setresuid, [0; 5]),
            call("setgroups", libc::SYS_setgroups, [0; 5]),
        ],
    },
    Group {
        name: "bpf",
        calls: &[call("bpf", libc::SYS_bpf, [0; 5])],
    },
    Group {
        name: "perf_event_open",
        calls: &[call("perf_event_open", libc::SYS_perf_event_open, [0; 5])],
    },
    Group {
        name: "userfaultfd",
        calls: &[call("userfaultfd", libc::SYS_userfaultfd, [-1, 0, 0, 0, 0])],
    },
    Group {
        name: "kernel keyrings",
        calls: &[
            call("keyctl", libc::SYS_keyctl, [0, -1, 0, 0, 0]),
            call("add_key", libc::SYS_add_key, [0; 5]),
            call("request_key", libc::SYS_request_key, [0; 5]),
        ],
    },
    Group {
        name: "kernel modules",
        calls: &[
            call("init_module", libc::SYS_init_module, [0; 5]),
            call("finit_module", libc::SYS_finit_module, [-1, 0, 0, 0, 0]),
            call("delete_module", libc::SYS_delete_module, [0; 5]),
            // As many segments as no kernel takes: with none, what root has loaded would be dropped.
            call("kexec_load", libc::SYS_kexec_load, [0, 1000, 0, 0, 0]),
        ],
    },
    Group {
        name: "the host's clock, swap and power",
        calls: &[
            call("settimeofday", libc::SYS_settimeofday, [0; 5]),
            call("swapon", libc::SYS_swapon, [0; 5]),
            call("swapoff", libc::SYS_swapoff, [0; 5]),
            call("acct", libc::SYS_acct, [1, 0, 0, 0, 0]),
            call("quotactl", libc::SYS_quotactl, [0; 5]),
            call("reboot, wrong magic", libc::SYS_reboot, [0; 5]),
            call("syslog", libc::SYS_syslog, [3, 0, 0, 0, 0]),
        ],
    },
    Group {
        name: "files by handle",
        calls: &[call(
            "open_by_handle_at",
            libc::SYS_open_by_handle_at,
            [-1, 0, 0, 0, 0],
        )],
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        name: "ports of the hardware",
        calls: &[
            call("iopl", libc::SYS_iopl, [3, 0, 0, 0, 0]),
            call("ioperm", libc::SYS_ioperm, [0, 1, 1, 0, 0]),
        ],
    },
];

/// What Engines refuse in newer versions only.
pub const DEBATED: &[Group] = &[Group {
    name: "io_uring",
    calls: &[call("io_uring_setup", libc::SYS_io_uring_setup, [0; 5])],
}];

#[cfg(test)]
mod tests {
    use super::*;

    /// Where nothing is refused, nothing may happen either: the calls are made here and the process goes on.
    #[test]
    fn nobody_is_harmed() {
        let harmless = ["bpf", "perf_event_open", "userfaultfd", "io_uring_setup"];
        let calls = FORBIDDEN
            .iter()
            .chain(DEBATED)
            .flat_map(|group| group.calls);
        for call in calls.filter(|call| harmless.contains(&call.name)) {
            call.attempt();
        }
        assert_eq!(trace(-1), Err(libc::ESRCH));
    }
}
