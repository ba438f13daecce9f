//! What the kernel says that a player may use, and whether it enforces that.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Order, Terms, ending, itself};
use crate::cli::finding::Finding;
use crate::session::sandbox::BOOK_LIMIT_BYTES;

/// Reads cgroup and process limits.
pub(super) fn look(terms: &Terms, report: &mut dyn FnMut(&Finding)) {
    let read = |path: &str| fs::read_to_string(format!("/sys/fs/cgroup/{path}")).ok();
    for finding in judge_cgroup(terms, &read) {
        report(&finding);
    }
    report(&rlimits());
}

/// What the cgroup's files say. `read` gives the text of one of them, if it is there.
fn judge_cgroup(terms: &Terms, read: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let number = |paths: &[&str]| {
        let text = paths.iter().find_map(|path| read(path))?;
        Some(text.trim().to_owned())
    };
    let judge = |name: &str, found: Option<String>, wanted: u64, unit: u64, word: &str| match found
    {
        None => Finding::warn(name, "this container does not see its own limit"),
        Some(text) => match text.parse::<u64>() {
            Ok(limit) if limit <= wanted => Finding::ok(name, format!("{}{word}", limit / unit)),
            _ => Finding::fail(
                name,
                format!("is {text}, not {wanted}: the kernel's cgroup controller is not in use"),
            ),
        },
    };
    let memory = number(&["memory.max", "memory/memory.limit_in_bytes"]);
    // Version 2 counts swap by itself, version 1 together with memory.
    let swap = match read("memory.swap.max") {
        Some(text) => text
            .trim()
            .parse()
            .map(|swap: u64| (swap + terms.memory).to_string())
            .ok()
            .or(Some(text)),
        None => number(&["memory/memory.memsw.limit_in_bytes"]),
    };
    let mut findings = vec![
        judge("memory limit", memory, terms.memory, 1 << 20, " MiB"),
        match swap {
            // Kernels without swap accounting have no file for it.
            None => Finding::warn(
                "swap limit",
                "the kernel does not count swap (boot with swapaccount=1), or has none",
            ),
            swap => judge(
                "swap limit",
                swap,
                terms.memory,
                1 << 20,
                " MiB with memory",
            ),
        },
        judge(
            "processes limit",
            number(&["pids.max", "pids/pids.max"]),
            terms.pids,
            1,
            "",
        ),
    ];
    let quota = read("cpu.max").or_else(|| {
        let quota = read("cpu/cpu.cfs_quota_us")?;
        Some(format!(
            "{} {}",
            quota.trim(),
            read("cpu/cpu.cfs_period_us")?
        ))
    });
    findings.push(match quota {
        None => Finding::warn(
            "processor limit",
            "this container does not see its own limit",
        ),
        Some(text) => match billionths(&text) {
            Some(cpus) if cpus <= terms.cpus + terms.cpus / 100 => {
                Finding::ok("processor limit", format!("{:.2}", cpus as f64 / 1e9))
            }
            _ => Finding::fail(
                "processor limit",
                format!("is {:?}, so there is none", text.trim()),
            ),
        },
    });
    findings
}

/// Quota and period as billionths of a processor; none without a quota.
fn billionths(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace().map(str::parse::<u64>);
    let (quota, period) = (words.next()?.ok()?, words.next()?.ok()?);
    quota.checked_mul(1_000_000_000)?.checked_div(period)
}

/// Checks that the limits of each process are there and can't be raised.
fn rlimits() -> Finding {
    let name = "limits of a process";
    for (resource, word, most) in [
        (Resource::Nofile, "open files", 64),
        (Resource::Core, "core dumps", 0),
        (Resource::Fsize, "a file's size", BOOK_LIMIT_BYTES),
    ] {
        let limit = getrlimit(resource);
        if limit.maximum.is_none_or(|hard| hard > most) {
            return Finding::fail(name, format!("{word}: {:?}", limit.maximum));
        }
        let more = Some(most + 1);
        let raised = setrlimit(
            resource,
            Rlimit {
                current: more,
                maximum: more,
            },
        );
        if raised.is_ok() {
            return Finding::fail(name, format!("{word} could be raised"));
        }
    }
    Finding::ok(
        name,
        "64 files, no core dumps, 1 MiB a file; can't be raised",
    )
}

/// Runs into the limits.
pub(super) fn enforced(terms: &Terms, report: &mut dyn FnMut(&Finding)) {
    let threads = many_threads(terms.pids * 2 + 64);
    report(&if threads < terms.pids {
        Finding::ok(
            "processes end",
            format!("{threads} threads more, then no more"),
        )
    } else {
        Finding::fail(
            "processes end",
            format!("{threads} threads, where {} may be", terms.pids),
        )
    });
    let ended = ending(&itself(&Order::Eat(terms.memory * 2).to_string()).status());
    report(&if ended == "killed" {
        Finding::ok("memory ends", "who takes more is killed")
    } else {
        Finding::fail("memory ends", format!("twice the limit was taken: {ended}"))
    });
}

/// Makes threads until there are `most` or no more can be had; returns how many.
fn many_threads(most: u64) -> u64 {
    let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
    let mut threads = Vec::new();
    while (threads.len() as u64) < most {
        let stopped = stopped.clone();
        let body = move || {
            // Until there are enough.
            let _ = stopped.recv_timeout(Duration::from_secs(60));
        };
        let builder = thread::Builder::new()
            .name("many".into())
            .stack_size(16 << 10);
        match builder.spawn(body) {
            Ok(thread) => threads.push(thread),
            Err(_) => break,
        }
    }
    drop(stop);
    let count = threads.len() as u64;
    for thread in threads {
        // They only wait.
        let _ = thread.join();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::finding::Verdict::{self, Fail, Ok, Warn};

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: [Verdict; 4]) {
        let terms = Terms {
            pids: 64,
            memory: 64 << 20,
            cpus: 500_000_000,
            ..Terms::default()
        };
        let read = |path: &str| {
            let (_, text) = files.iter().find(|(known, _)| *known == path)?;
            Some(format!("{text}\n"))
        };
        let found = judge_cgroup(&terms, &read);
        let verdicts: Vec<_> = found.iter().map(|found| found.verdict).collect();
        assert_eq!(verdicts, expected, "{found:?}");
    }

    #[test]
    fn both_versions_of_cgroups_are_read() {
        check(
            &[
                ("memory.max", "67108864"),
                ("memory.swap.max", "0"),
                ("pids.max", "64"),
                ("cpu.max", "50000 100000"),
            ],
            [Ok; 4],
        );
        check(
            &[
                ("memory/memory.limit_in_bytes", "67108864"),
                ("memory/memory.memsw.limit_in_bytes", "67108864"),
                ("pids/pids.max", "64"),
                ("cpu/cpu.cfs_quota_us", "50000"),
                ("cpu/cpu.cfs_period_us", "100000"),
            ],
            [Ok; 4],
        );
    }

    #[test]
    fn what_is_not_limited_is_told() {
        check(
            &[
                ("memory.max", "max"),
                ("memory.swap.max", "max"),
                ("pids.max", "max"),
                ("cpu.max", "max 100000"),
            ],
            [Fail; 4],
        );
        check(
            &[
                ("memory/memory.limit_in_bytes", "9223372036854771712"),
                ("pids/pids.max", "65"),
                ("cpu/cpu.cfs_quota_us", "-1"),
                ("cpu/cpu.cfs_period_us", "100000"),
            ],
            [Fail, Warn, Fail, Fail],
        );
        check(&[], [Warn; 4]);
    }
}
