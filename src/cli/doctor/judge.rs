//! What the facts mean. Pure: facts in, findings out, each with one sentence on what to do.

use super::escapes;
use super::facts::{
    AsideFacts, DiskFacts, EngineFacts, Facts, HostFacts, ImageFacts, SettingsFacts, SocketFacts,
    StoreFacts,
};
use crate::cli::finding::Finding;
use crate::engine::types::{Component, SystemInfo};
use crate::session::fitness;
use crate::session::sandbox::PLAYER_UID;

const MEBIBYTE: u64 = 1 << 20;
const GIBIBYTE: u64 = 1 << 30;
/// Files that a session with a player and a spectator needs: the page's, the spectator's, and the container's socket.
const FILES_PER_SESSION: u64 = 4;
/// Files for everything else.
const FILES_BESIDE: u64 = 256;
/// The oldest kernel that gets security fixes (5.10, until the end of 2026).
const OLDEST_KERNEL: (u16, u16) = (5, 10);

/// Judges all of it.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &facts.engine {
        Ok(engine) => findings.extend(judge_engine(engine)),
        Err(cause) => findings.push(Finding::fail(
            "Engine",
            format!("{cause}; start it, or set DOCKER_HOST"),
        )),
    }
    findings.extend(facts.socket.as_ref().map(judge_socket));
    match &facts.limits {
        Ok(limits) => findings.extend(limits.iter().cloned()),
        Err(cause) if facts.engine.is_ok() => findings.push(Finding::fail(
            "limits",
            format!("no container could be started to look at them: {cause}"),
        )),
        Err(_) => {}
    }
    findings.extend(facts.disks.iter().flat_map(judge_disk));
    findings.extend(judge_store(&facts.store));
    findings.extend(judge_host(&facts.host, &facts.settings));
    findings.push(judge_address(&facts.settings));
    findings.extend(judge_private_address(&facts.settings));
    findings.push(judge_token(facts.settings.admin_token.as_deref()));
    findings.extend(facts.aside.iter().map(judge_aside));
    findings
}

fn judge_aside(aside: &AsideFacts) -> Finding {
    let AsideFacts { kind, name, cause } = aside;
    let note =
        format!("the server has set it aside, and tries it again from time to time: {cause}");
    Finding::warn(format!("{kind} {name}"), note)
}

fn judge_engine(engine: &EngineFacts) -> Vec<Finding> {
    let name = if engine.ping.is_podman {
        "Podman"
    } else {
        "Engine"
    };
    let version = &engine.version;
    let mut findings = vec![Finding::ok(
        name,
        format!(
            "{}, API {}, {}",
            version.version, version.api_version, version.arch
        ),
    )];
    for component in &version.components {
        let (name, version, package) = program_of(component);
        if ["runc", "containerd", "crun"].contains(&name) {
            findings.push(escapes::judge(name, version, package));
        }
    }
    match &engine.info {
        Ok(info) => findings.extend(judge_info(info, engine.ping.is_podman)),
        Err(cause) => findings.push(Finding::warn("Engine's settings", cause.clone())),
    }
    for facts in &engine.images {
        findings.push(judge_image(facts, &version.arch));
    }
    if let Some(seconds) = engine.clock_off_seconds.filter(|seconds| *seconds > 5) {
        let note = format!("the Engine's and ours differ by {seconds} s: keep both with NTP");
        findings.push(Finding::warn("clock", note));
    }
    findings
}

fn judge_image(facts: &ImageFacts, arch: &str) -> Finding {
    let ImageFacts {
        shell,
        image,
        found,
        loose,
    } = facts;
    let name = format!("image of shell {shell}");
    let Some(found) = found else {
        let note = format!("{image} is not there: load it, or change SHELLS");
        return Finding::fail(name, note);
    };
    if let Some(cause) = fitness::judge(&found.config) {
        return Finding::fail(name, format!("{image}: {cause}"));
    }
    match loose {
        Err(cause) => {
            let note = format!("{image}: no container can be made of it ({cause})");
            return Finding::fail(name, note);
        }
        Ok(loose) => {
            if let Some(cause) = fitness::judge_home(loose) {
                return Finding::fail(name, format!("{image}: {cause}"));
            }
        }
    }
    let theirs = &found.architecture;
    if !theirs.is_empty() && !arch.is_empty() && theirs != arch {
        let note = format!(
            "{image} is for {theirs} and the Engine's host is {arch}: build it for that, or it is slow if it runs at all"
        );
        return Finding::warn(name, note);
    }
    Finding::ok(name, image.clone())
}

fn judge_info(info: &SystemInfo, is_podman: bool) -> Vec<Finding> {
    let option = |wanted: &str| {
        let mut options = info.security_options.iter();
        options.find(|option| option.trim_start_matches("name=").starts_with(wanted))
    };
    let mut findings = vec![judge_cgroups(info)];
    findings.push(match option("seccomp") {
        None => Finding::fail("seccomp", "the Engine has no filter of system calls: use a kernel with CONFIG_SECCOMP"),
        Some(text) if text.contains("unconfined") => {
            Finding::fail("seccomp", "the Engine's default profile is switched off: remove `seccomp-profile` from daemon.json")
        }
        Some(text) if text.contains("profile=") && !text.contains("default") && !text.contains("builtin") => Finding::warn(
            "seccomp",
            format!("a profile of your own ({text}): look that it refuses what the Engine's does"),
        ),
        Some(_) => Finding::ok("seccomp", "the Engine's default profile"),
    });
    findings.push(match option("apparmor").or_else(|| option("selinux")) {
        Some(text) => Finding::ok(
            "AppArmor or SELinux",
            text.trim_start_matches("name=").to_owned(),
        ),
        None => Finding::warn(
            "AppArmor or SELinux",
            "neither is in use: one more wall between containers and host, if you switch it on",
        ),
    });
    let podman_s = "rootless".to_owned();
    let podman_s = info.rootless.then_some(&podman_s);
    findings.push(match option("rootless").or_else(|| option("userns")).or(podman_s) {
        Some(text) => Finding::ok("user namespaces", text.trim_start_matches("name=").to_owned()),
        None => Finding::ok(
            "user namespaces",
            "not in use; a rootless Engine or `userns-remap` would make even root in a container nobody on the host",
        ),
    });
    findings.push(match info.live_restore_enabled {
        true => Finding::ok("live-restore", "games outlive the Engine's restart"),
        // PODMAN: each container has a process of its own that looks after it.
        false if is_podman => Finding::ok("live-restore", "containers need no Engine to run"),
        false => Finding::warn(
            "live-restore",
            "a restart of the Engine ends all games: set \"live-restore\": true in daemon.json",
        ),
    });
    findings.push(match info.driver.as_str() {
        "vfs" => Finding::warn(
            "storage driver",
            "vfs copies the whole image for each game: use overlay2",
        ),
        "aufs" | "devicemapper" => Finding::warn(
            "storage driver",
            format!("{} is obsolete: use overlay2", info.driver),
        ),
        driver => Finding::ok("storage driver", driver),
    });
    let serious = |line: &&String| !line.to_lowercase().contains("bridge-nf-call");
    for line in info.warnings.iter().filter(serious) {
        findings.push(Finding::warn(
            "Engine's own warning",
            line.trim_start_matches("WARNING: "),
        ));
    }
    findings
}

/// A component's name, version and package. PODMAN: a runtime is called `OCI Runtime (runc)`, its version is what it
/// prints of itself, and its package is `runc_1.1.5+ds1-1+deb12u1_amd64`.
fn program_of(component: &Component) -> (&str, &str, &str) {
    let detail = |name: &str| component.details.get(name).map_or("", String::as_str);
    let runtime = component.name.strip_prefix("OCI Runtime (");
    let Some(name) = runtime.and_then(|rest| rest.strip_suffix(')')) else {
        return (&component.name, &component.version, detail("GitCommit"));
    };
    let line = component.version.lines().next().unwrap_or_default();
    let version = line.rsplit(' ').next().unwrap_or_default();
    let package = detail("Package").split('_').nth(1).unwrap_or_default();
    (name, version, package)
}

/// Judges what the Engine tells about limits. An Engine may say that it enforces them and still not do so, which the
/// attacker finds out by running into them.
pub fn judge_cgroups(info: &SystemInfo) -> Finding {
    // PODMAN: says that it can limit everything, and then leaves the limits out with a warning (4.3.1).
    if info.rootless && info.cgroup_version == "1" {
        return Finding::fail(
            "cgroups",
            "rootless Podman limits neither memory nor processor time nor processes on cgroup version 1: boot with \
             version 2 (systemd.unified_cgroup_hierarchy=1) and delegate its controllers to Podman's user, or run \
             Podman as root",
        );
    }
    let kinds = [
        ("memory", info.memory_limit),
        ("processor time", info.cpu_cfs_quota),
        ("processes", info.pids_limit),
    ];
    let missing: Vec<&str> = kinds
        .iter()
        .filter(|(_, is_there)| !is_there)
        .map(|(name, _)| *name)
        .collect();
    if !missing.is_empty() || info.cgroup_driver == "none" {
        let note = format!(
            "the Engine can't limit {}: switch the controllers on (rootless: delegate them to the user's systemd)",
            missing.join(", ")
        );
        return Finding::fail("cgroups", note);
    }
    let note = format!(
        "version {}, driver {}",
        info.cgroup_version, info.cgroup_driver
    );
    match info.swap_limit {
        true => Finding::ok("cgroups", note),
        false => Finding::warn(
            "cgroups",
            format!("{note}; swap is not limited: boot with swapaccount=1, or have no swap"),
        ),
    }
}

fn judge_socket(socket: &SocketFacts) -> Finding {
    let name = "Engine's socket";
    let note = format!(
        "mode {:04o}, owner {}:{}",
        socket.mode & 0o7777,
        socket.uid,
        socket.gid
    );
    if socket.mode & 0o002 != 0 {
        let note = format!("{note}: anybody on this host is root through it; chmod 660 it");
        return Finding::fail(name, note);
    }
    if !socket.members.is_empty() && socket.mode & 0o020 != 0 {
        let note = format!(
            "{note}; its group also has {}: each of them is root on this host through it",
            socket.members.join(", ")
        );
        return Finding::warn(name, note);
    }
    Finding::ok(name, note)
}

fn judge_disk(disk: &DiskFacts) -> Vec<Finding> {
    let (bytes, free) = disk.bytes;
    let place = disk.path.display();
    let name = format!("disk of {}", disk.name);
    let note = format!(
        "{} of {} MiB free at {place}",
        free / MEBIBYTE,
        bytes / MEBIBYTE
    );
    let mut findings = vec![if free < 256 * MEBIBYTE {
        Finding::fail(name, format!("{note}: make room"))
    } else if free < 2 * GIBIBYTE || free < bytes / 20 {
        Finding::warn(name, format!("{note}: make room before it is full"))
    } else {
        Finding::ok(name, note)
    }];
    if let Some((files, free)) = disk.files
        && free < (files / 50).max(10_000)
    {
        let note = format!(
            "{free} of {files} inodes free at {place}: remove files, or images that nobody needs"
        );
        findings.push(Finding::warn(format!("inodes of {}", disk.name), note));
    }
    findings
}

fn judge_store(store: &StoreFacts) -> Vec<Finding> {
    match store {
        StoreFacts::Directory {
            path,
            mode,
            written,
        } => {
            let (name, place) = ("DATA_DIR", path.display());
            vec![match (mode, written) {
                (_, Err(cause)) => Finding::fail(
                    name,
                    format!("{place} can't be written to ({cause}): give it to the server's user"),
                ),
                (Some(mode), Ok(())) if mode & 0o077 != 0 => Finding::warn(
                    name,
                    format!(
                        "{place} has mode {:04o}, so others may look in: chmod 700 it (the server does so when it starts)",
                        mode & 0o7777
                    ),
                ),
                (Some(_), Ok(())) => Finding::ok(name, format!("{place}, for the server alone")),
                (None, Ok(())) => {
                    Finding::ok(name, format!("{place} is not there yet, and can be made"))
                }
            }]
        }
        StoreFacts::Redis {
            url,
            answers: Err(cause),
            ..
        } => {
            vec![Finding::fail(
                "Redis",
                format!("{url} does not answer ({cause}): start it, or unset REDIS_URL"),
            )]
        }
        StoreFacts::Redis { url, settings, .. } => {
            let mut findings = vec![Finding::ok("Redis", format!("{url} answers"))];
            findings.push(match settings.get("appendonly").map(String::as_str) {
                Some("yes") => Finding::ok("Redis appendonly", "yes"),
                Some(_) => Finding::fail(
                    "Redis appendonly",
                    "is off, so a restart of Redis loses spellbooks: set `appendonly yes`",
                ),
                None => Finding::warn(
                    "Redis appendonly",
                    "is not told to us (CONFIG GET): look that it is `yes`",
                ),
            });
            if let Some(policy) = settings
                .get("maxmemory-policy")
                .filter(|policy| policy.starts_with("allkeys"))
            {
                let note = format!(
                    "{policy} throws spellbooks away when memory is short: set `noeviction`"
                );
                findings.push(Finding::fail("Redis maxmemory-policy", note));
            }
            if let Some(sync) = settings.get("appendfsync").filter(|sync| *sync != "always") {
                let note = format!(
                    "{sync}: a power cut may lose the last second's books; `always` does not"
                );
                findings.push(Finding::warn("Redis appendfsync", note));
            }
            findings
        }
    }
}

fn judge_host(host: &HostFacts, settings: &SettingsFacts) -> Vec<Finding> {
    let mut findings = vec![judge_kernel(&host.kernel)];
    let wanted = settings.max_sessions * FILES_PER_SESSION + FILES_BESIDE;
    findings.push(if host.descriptors < wanted {
        let note = format!(
            "{} open files are too few for MAX_SESSIONS={}: LimitNOFILE={wanted} or more",
            host.descriptors, settings.max_sessions
        );
        Finding::warn("open files", note)
    } else {
        Finding::ok(
            "open files",
            format!(
                "{} for {} sessions",
                host.descriptors, settings.max_sessions
            ),
        )
    });
    let all = settings.max_sessions.saturating_mul(settings.memory_bytes);
    findings.push(if all > host.memory_bytes {
        let note = format!(
            "{} sessions of {} MiB would be more than this machine's {} MiB, if all were used: lower MAX_SESSIONS or MEMORY_LIMIT",
            settings.max_sessions,
            settings.memory_bytes / MEBIBYTE,
            host.memory_bytes / MEBIBYTE
        );
        Finding::warn("memory", note)
    } else {
        Finding::ok("memory", format!("{} MiB", host.memory_bytes / MEBIBYTE))
    });
    // Each container's shim has about eleven threads of its own.
    let processes = settings.max_sessions.saturating_mul(settings.pids + 12);
    if let Some(most) = host.pid_max.filter(|most| *most < processes) {
        let note = format!(
            "kernel.pid_max={most} is less than {processes}, which players may use together: raise it"
        );
        findings.push(Finding::warn("processes", note));
    }
    if let Some((most, used)) = host.terminals
        && most.saturating_sub(used) < settings.max_sessions
    {
        let note = format!(
            "{used} of kernel.pty.max={most} are in use, and each of MAX_SESSIONS={} needs one: raise it",
            settings.max_sessions
        );
        findings.push(Finding::warn("pseudo-terminals", note));
    }
    findings.push(match &host.uid_1000 {
        None => Finding::ok("players' uid", format!("{PLAYER_UID} is nobody's on this host")),
        Some(user) => Finding::warn(
            "players' uid",
            format!("{PLAYER_UID} is {user}'s here too, and the kernel counts some things per uid: give {user} another, or use userns-remap"),
        ),
    });
    findings.push(match host.is_clock_behind {
        true => Finding::fail(
            "clock",
            "it is before the day this program was made: set it, and keep it with NTP",
        ),
        false => Finding::ok("clock", "plausible"),
    });
    if host.is_root {
        findings.push(Finding::warn(
            "user",
            "this is root; the server needs nothing but the Engine's socket and DATA_DIR: give it a user of its own",
        ));
    }
    findings
}

fn judge_kernel(release: &str) -> Finding {
    let mut numbers = release.split(['.', '-', '+']).map(str::parse::<u16>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST_KERNEL => {
            Finding::ok("kernel", release)
        }
        (Some(Ok(_)), Some(Ok(_))) => Finding::warn(
            "kernel",
            format!(
                "{release} is too old for security fixes, unless your distribution makes them: update it"
            ),
        ),
        _ => Finding::warn(
            "kernel",
            format!("{release:?} is no version that is known here"),
        ),
    }
}

fn judge_address(settings: &SettingsFacts) -> Finding {
    let name = "address";
    let bind = settings.bind;
    let url = settings.public_url.as_deref();
    let is_secure = url.is_some_and(|url| url.starts_with("https://"));
    let place = url.unwrap_or("no PUBLIC_URL");
    if let Some(network) = &settings.trusts_all {
        let note = format!(
            "TRUSTED_PROXIES has {network}, so whoever comes may claim any address and meets no limit: name your proxy alone"
        );
        return Finding::fail(name, note);
    }
    match (bind.is_loopback(), is_secure) {
        (false, false) => Finding::warn(
            name,
            format!(
                "{bind} is open to the network without TLS ({place}): put a proxy with TLS in front, BIND to loopback, and set PUBLIC_URL=https://…"
            ),
        ),
        (false, true) => Finding::warn(
            name,
            format!(
                "{bind} answers without TLS beside the proxy at {place}: BIND to loopback, or close the port to others"
            ),
        ),
        (true, true) if !settings.has_trusted_proxies => Finding::warn(
            name,
            format!(
                "there is a proxy at {place}, and TRUSTED_PROXIES does not name it: all players would be one address"
            ),
        ),
        (true, true) => Finding::ok(name, format!("{bind}, behind {place}")),
        (true, false) if settings.has_trusted_proxies => Finding::warn(
            name,
            format!(
                "TRUSTED_PROXIES is set and PUBLIC_URL is not https ({place}): set it to what players open"
            ),
        ),
        (true, false) => Finding::ok(name, format!("{bind}, for this machine alone")),
    }
}

fn judge_private_address(settings: &SettingsFacts) -> Option<Finding> {
    let (name, bind) = ("private address", settings.metrics_bind?);
    Some(match bind.is_loopback() {
        true => Finding::ok(name, format!("{bind}, for this machine alone")),
        false => Finding::warn(
            name,
            format!(
                "{bind} shows metrics to all who reach it, without TLS: METRICS_BIND to loopback, or let your scraper alone in"
            ),
        ),
    })
}

fn judge_token(token: Option<&str>) -> Finding {
    let name = "ADMIN_TOKEN";
    let Some(token) = token else {
        return Finding::ok(name, "is not set, so operator routes are closed");
    };
    let mut letters: Vec<u8> = token.bytes().collect();
    letters.sort_unstable();
    letters.dedup();
    match token.len() >= 32 && letters.len() >= 10 {
        true => Finding::ok(name, "is long enough"),
        false => Finding::warn(
            name,
            "could be guessed: make one with `openssl rand -hex 32`",
        ),
    }
}

#[cfg(test)]
mod tests;
