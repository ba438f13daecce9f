//! What the system knows of this process, under the names that all Prometheus clients use: `process_…`.
//!
//! Read from procfs at each scrape. Not by the `prometheus` crate's own collector: that brings a second, older rustix,
//! and counts processor time in whole seconds.

use std::fs;

use prometheus::{Counter, Gauge, IntGauge, Registry};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// The process's own metrics.
pub struct Process {
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    virtual_bytes: IntGauge,
    threads: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    start_time: Gauge,
}

/// What `/proc/self/stat` tells (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: i64,
    start_ticks: u64,
    virtual_bytes: i64,
    resident_pages: i64,
}

impl Process {
    /// Registers them; `registry` must not add a prefix.
    ///
    /// # Errors
    /// Only for a name that is forbidden or taken, which a test would show.
    pub fn new(registry: &Registry) -> prometheus::Result<Process> {
        let process = Process {
            cpu_seconds: Counter::new(
                "process_cpu_seconds_total",
                "Processor time spent, user and system.",
            )?,
            resident_bytes: IntGauge::new("process_resident_memory_bytes", "Resident memory.")?,
            virtual_bytes: IntGauge::new("process_virtual_memory_bytes", "Virtual memory.")?,
            threads: IntGauge::new("process_threads", "Threads.")?,
            open_fds: IntGauge::new("process_open_fds", "Open file descriptors.")?,
            max_fds: IntGauge::new("process_max_fds", "File descriptors that may be open.")?,
            start_time: Gauge::new(
                "process_start_time_seconds",
                "When the process was started, in seconds since 1970.",
            )?,
        };
        registry.register(Box::new(process.cpu_seconds.clone()))?;
        registry.register(Box::new(process.start_time.clone()))?;
        for gauge in [
            &process.resident_bytes,
            &process.virtual_bytes,
            &process.threads,
            &process.open_fds,
            &process.max_fds,
        ] {
            registry.register(Box::new(gauge.clone()))?;
        }
        Ok(process)
    }

    /// Reads all values again. What the system does not tell stays as it was.
    pub fn look(&self) {
        let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        if let Some(stat) = parse_stat(&text) {
            let ticks = clock_ticks_per_second() as f64;
            let spent = stat.cpu_ticks as f64 / ticks - self.cpu_seconds.get();
            self.cpu_seconds.inc_by(spent.max(0.0));
            self.resident_bytes
                .set(stat.resident_pages.saturating_mul(page_size() as i64));
            self.virtual_bytes.set(stat.virtual_bytes);
            self.threads.set(stat.threads);
            let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
            if let Some(boot) = parse_boot(&boot) {
                self.start_time
                    .set(boot as f64 + stat.start_ticks as f64 / ticks);
            }
        }
        if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
            // One of them is this directory's.
            let open = descriptors.count().saturating_sub(1);
            self.open_fds.set(i64::try_from(open).unwrap_or(i64::MAX));
        }
        let most = getrlimit(Resource::Nofile).current;
        let most = most.and_then(|most| i64::try_from(most).ok());
        self.max_fds.set(most.unwrap_or(i64::MAX));
    }
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The second field, the command's name in parentheses, may hold anything; the last parenthesis ends it.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The manual counts the fields from 1, and the first two are not in `rest`.
    let field = |number: usize| fields.get(number - 3).copied();
    let user: u64 = field(14)?.parse().ok()?;
    let system: u64 = field(15)?.parse().ok()?;
    Some(Stat {
        cpu_ticks: user + system,
        threads: field(20)?.parse().ok()?,
        start_ticks: field(22)?.parse().ok()?,
        virtual_bytes: field(23)?.parse().ok()?,
        resident_pages: field(24)?.parse().ok()?,
    })
}

/// When the system was started, in seconds since 1970 (proc_stat(5)).
fn parse_boot(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_confuses_nobody() {
        let text = "4711 (a) b ( c) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0 17 0 99 1000 42 0";
        let expected = Stat {
            cpu_ticks: 42,
            threads: 17,
            start_ticks: 99,
            virtual_bytes: 1000,
            resident_pages: 42,
        };
        assert_eq!(parse_stat(text), Some(expected));
        assert_eq!(parse_stat("4711 (a) S 1"), None);
        assert_eq!(parse_boot("cpu 1\nbtime 1700000000\n"), Some(1_700_000_000));
    }

    #[test]
    fn this_process_is_found() {
        let registry = Registry::new();
        let process = Process::new(&registry).expect("valid names");
        process.look();
        assert!(process.resident_bytes.get() > 1 << 20 && process.threads.get() > 0);
        assert!(process.open_fds.get() > 2 && process.max_fds.get() >= process.open_fds.get());
        assert!(process.start_time.get() > 1.0e9);
    }
}
