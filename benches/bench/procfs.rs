//! What a process uses, as `/proc` tells.

use std::fs;
use std::io;
use std::ops::Sub;
use std::time::Duration;

/// Processor time and wake-ups so far, over all threads that live.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub cpu: Duration,
    /// How often a thread went to sleep by itself, which is how often one was woken.
    pub wakeups: u64,
    pub threads: usize,
}

impl Usage {
    pub fn of(pid: u32) -> io::Result<Usage> {
        let mut usage = Usage::default();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            // A thread may end while we look.
            let (Ok(schedstat), Ok(status)) = (
                fs::read_to_string(task.join("schedstat")),
                fs::read_to_string(task.join("status")),
            ) else {
                continue;
            };
            let nanoseconds = schedstat.split(' ').next().and_then(|cpu| cpu.parse().ok());
            usage.cpu += Duration::from_nanos(nanoseconds.unwrap_or_default());
            usage.wakeups += field(&status, "voluntary_ctxt_switches:");
            usage.threads += 1;
        }
        Ok(usage)
    }
}

impl Sub for Usage {
    type Output = Usage;

    fn sub(self, earlier: Usage) -> Usage {
        Usage {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            wakeups: self.wakeups.saturating_sub(earlier.wakeups),
            threads: self.threads,
        }
    }
}

/// Memory of a process in KiB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub rss: u64,
    pub pss: u64,
}

impl Memory {
    pub fn of(pid: u32) -> io::Result<Memory> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        Ok(Memory {
            rss: field(&text, "Rss:"),
            pss: field(&text, "Pss:"),
        })
    }
}

fn field(text: &str, name: &str) -> u64 {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name));
    value
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}
