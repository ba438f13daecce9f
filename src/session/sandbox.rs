//! What a session's container may do: the whole policy, in one place.
//!
//! Every limit is on by default for every container. In the words of `CONTRACT.md`: no network, no capability, no new
//! privileges, non-root, read-only root, bounded memory, processor, processes, files and disk.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::engine::types::{CreateContainer, Empty, Healthcheck, HostConfig, LogConfig, Ulimit};
use crate::terminal::hub::FIRST_SIZE;

/// The label that names the instance a container belongs to. A container without this server's value is never touched.
pub const INSTANCE_LABEL: &str = "shellcraft.instance";
/// The label that holds the session's id.
pub const SESSION_LABEL: &str = "shellcraft.session";
/// The label that holds the shell's name.
pub const SHELL_LABEL: &str = "shellcraft.shell";

/// The player's user id inside the container.
pub const PLAYER_UID: u64 = 1000;
/// The player's group id inside the container.
pub const PLAYER_GID: u64 = 1000;
/// The directory of the one writable file that lasts.
pub const HOME: &str = "/home";
/// The most bytes that a player can leave on the host's disk.
pub const BOOK_LIMIT_BYTES: u64 = 1024 * 1024;

/// DOCKER: runc gives the mount the mode of the image's own `/tmp`, whatever is asked for; so it belongs to the player.
const TMP_OPTIONS: &str = "rw,noexec,nosuid,nodev,size=16m,mode=1777,uid=1000,gid=1000";
/// DOCKER: without a limit of its own `/dev/shm` is 64 MiB, all of the player's memory.
const SHM_BYTES: u64 = 1024 * 1024;

/// The limits that an operator sets for each container.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerLimits {
    /// Bytes of memory, without any swap.
    pub memory_bytes: u64,
    /// Billionths of a processor.
    pub nano_cpus: u64,
    /// How many processes and threads.
    pub pids: u32,
    /// The OCI runtime, such as `runsc`; none for the Engine's default.
    pub runtime: Option<String>,
}

/// The name of a session's container.
pub fn container_name(session_id: Uuid) -> String {
    format!("shellcraft-{session_id}")
}

/// The definition of one session's container.
pub fn container(
    session_id: Uuid,
    instance: &str,
    shell: &str,
    image: &str,
    limits: &ContainerLimits,
) -> CreateContainer {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    CreateContainer {
        image: image.to_owned(),
        user: format!("{PLAYER_UID}:{PLAYER_GID}"),
        hostname: "shellcraft".into(),
        env: vec![
            "TERM=xterm-256color".into(),
            // It tells programs that they may use 24-bit colours, which terminfo does not tell.
            "COLORTERM=truecolor".into(),
            "LANG=C.UTF-8".into(),
            "HOME=/home".into(),
        ],
        tty: true,
        open_stdin: true,
        // The attach may break and come back; the shell must not see an end of input then.
        stdin_once: false,
        attach_stdin: true,
        attach_stdout: true,
        attach_stderr: true,
        labels: BTreeMap::from([
            label(INSTANCE_LABEL, instance),
            label(SESSION_LABEL, &session_id.to_string()),
            label(SHELL_LABEL, shell),
        ]),
        volumes: BTreeMap::from([(HOME.to_owned(), Empty {})]),
        // A health check that the image defines would run beside the shell, over and over.
        healthcheck: Some(Healthcheck::none()),
        host_config: host_config(limits),
    }
}

fn host_config(limits: &ContainerLimits) -> HostConfig {
    let ulimit = |name: &str, value: u64| Ulimit {
        name: name.into(),
        soft: value,
        hard: value,
    };
    let cpu_period = cpu_period(limits.nano_cpus);
    HostConfig {
        network_mode: "none".into(),
        cap_drop: vec!["ALL".into()],
        security_opt: vec!["no-new-privileges".into()],
        readonly_rootfs: true,
        memory: limits.memory_bytes,
        memory_swap: limits.memory_bytes,
        cpu_period,
        cpu_quota: limits.nano_cpus.saturating_mul(cpu_period) / 1_000_000_000,
        pids_limit: limits.pids,
        // No `nproc`: the kernel counts it per uid over all containers, so one player could starve the others.
        ulimits: vec![
            ulimit("nofile", 64),
            ulimit("core", 0),
            ulimit("fsize", BOOK_LIMIT_BYTES),
        ],
        tmpfs: BTreeMap::from([("/tmp".to_owned(), TMP_OPTIONS.to_owned())]),
        // DOCKER: json-file grows without limit; the server keeps the scrollback itself.
        log_config: LogConfig {
            driver: "none".into(),
        },
        init: true,
        ipc_mode: "private".into(),
        shm_size: SHM_BYTES,
        masked_paths: masked_paths(),
        runtime: limits.runtime.clone(),
        console_size: Some([FIRST_SIZE.rows, FIRST_SIZE.cols]),
    }
}

/// DOCKER: the Engine turns `NanoCpus` into a quota for 100 ms. A player with many threads uses it up in one burst on all
/// processors, during which neighbours wait. With a period of 10 ms, bursts are a tenth as long: a neighbour's echo beside
/// 32 busy threads took 4.5 ms instead of 8.5 (p99, 2 cores). Quotas below 1 ms are refused, so small shares need a longer
/// period.
fn cpu_period(nano_cpus: u64) -> u64 {
    const LEAST_QUOTA: u64 = 1_000;
    let needed = (LEAST_QUOTA * 1_000_000_000).div_ceil(nano_cpus.max(1));
    needed.clamp(10_000, 100_000)
}

/// The paths that a player must not see or use. DOCKER: this list replaces the Engine's, so it has everything that is on
/// any Engine's list up to version 29; paths that a kernel does not have are skipped.
fn masked_paths() -> Vec<String> {
    let paths = [
        // A program that opens this makes a pseudo-terminal. The kernel counts those of all containers together
        // (`kernel.pty.max` 4096), so 64 processes with 60 each would leave none for any player's next game.
        "/dev/pts/ptmx",
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ];
    let throttle = (0..64).map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle"));
    paths
        .map(String::from)
        .into_iter()
        .chain(throttle)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(nano_cpus: u64, expected: (u64, u64)) {
        let limits = ContainerLimits {
            memory_bytes: 64 << 20,
            nano_cpus,
            pids: 64,
            runtime: None,
        };
        let config = host_config(&limits);
        assert_eq!((config.cpu_quota, config.cpu_period), expected);
    }

    #[test]
    fn processor_time_comes_in_small_pieces() {
        check(500_000_000, (5_000, 10_000));
        check(2_000_000_000, (20_000, 10_000));
        check(100_000_000, (1_000, 10_000));
        check(50_000_000, (1_000, 20_000));
        // The smallest CPU_LIMIT that is allowed.
        check(10_000_000, (1_000, 100_000));
    }

    #[test]
    fn what_all_containers_share_is_hidden() {
        let masked = masked_paths();
        for path in ["/dev/pts/ptmx", "/proc/kcore", "/sys/firmware"] {
            assert!(masked.iter().any(|known| known == path), "{path}");
        }
    }
}
