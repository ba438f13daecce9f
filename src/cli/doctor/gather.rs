//! Looks at the host and at the Engine. What can't be looked at is noted as such.

use std::error::Error;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, getrlimit};
use serde_json::Value;
use uuid::Uuid;

use super::facts::{
    AsideFacts, DiskFacts, EngineFacts, Facts, HostFacts, ImageFacts, SettingsFacts, SocketFacts,
    StoreFacts,
};
use crate::cli::attack::Order;
use crate::cli::finding::Finding;
use crate::cli::remote;
use crate::cli::selftest::bombs::ready_attacker;
use crate::cli::selftest::{self, ground};
use crate::config::command::Target;
use crate::config::{Bind, Config};
use crate::engine::Engine;
use crate::redis;
use crate::session::sandbox::{self, PLAYER_UID};
use crate::session::store;
use crate::session::{Shell, fitness};

/// How long the server may take to answer. It does so immediately, unless its Engine hangs.
const ASK: Duration = Duration::from_secs(10);
/// The attacker runs into its limits within a second or two.
const LIMITS: Duration = Duration::from_secs(60);

/// Looks at everything.
pub fn gather(config: &Config) -> Facts {
    let engine = Engine::new(&config.docker_host).map_err(|error| error.to_string());
    let socket = engine
        .as_ref()
        .ok()
        .and_then(|engine| socket(engine.socket()));
    let engine =
        engine.and_then(|engine| engine_facts(&engine, config).map_err(|error| error.to_string()));
    let limits = match &engine {
        Ok(_) => limits(config).map_err(|error| error.to_string()),
        Err(cause) => Err(cause.clone()),
    };
    let info = engine
        .as_ref()
        .ok()
        .and_then(|engine| engine.info.as_ref().ok());
    let root = info.map(|info| PathBuf::from(&info.docker_root_dir));
    let data = match config.store_choice() {
        store::Choice::Directory(path) => Some(path),
        store::Choice::Redis(_) => None,
    };
    let disks = [("the Engine", root), ("DATA_DIR", data)];
    Facts {
        settings: settings(config),
        socket,
        limits,
        disks: disks
            .into_iter()
            .filter_map(|(name, path)| disk(name, &path?))
            .collect(),
        store: store_facts(config),
        host: host(),
        aside: aside(config),
        engine,
    }
}

/// Asks the server itself. One that does not run, or does not take the operator's token, has nothing to tell.
fn aside(config: &Config) -> Vec<AsideFacts> {
    let target = Target {
        server: None,
        json: true,
    };
    let health = remote::ask_within(ASK, &target, config, "GET", "/admin/health", None);
    let health = health.unwrap_or_default();
    let list = health["quarantine"].as_array();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tell = |one: &Value| AsideFacts {
        kind: text(&one["kind"]),
        name: text(&one["name"]),
        cause: text(&one["cause"]),
    };
    list.into_iter().flatten().map(tell).collect()
}

fn settings(config: &Config) -> SettingsFacts {
    let settings = config.session_settings(config.port);
    SettingsFacts {
        bind: match config.bind {
            Bind::Ip(ip) => ip,
            // It can't be reached from outside of this host.
            Bind::Unix(_) => Ipv4Addr::LOCALHOST.into(),
        },
        metrics_bind: config.metrics_bind.map(|address| address.ip()),
        public_url: config.public_url.clone(),
        has_trusted_proxies: !config.trusted_proxies.0.is_empty(),
        trusts_all: {
            let mut networks = config.trusted_proxies.0.iter();
            let all = networks.find(|network| network.prefix_len() == 0);
            all.map(ToString::to_string)
        },
        admin_token: config.admin_token.clone(),
        max_sessions: settings.max_sessions as u64,
        memory_bytes: settings.limits.memory_bytes,
        pids: settings.limits.pids.into(),
    }
}

fn engine_facts(engine: &Engine, config: &Config) -> Result<EngineFacts, crate::engine::Error> {
    let ping = engine.ping()?;
    let version = engine.version()?;
    let mut images = Vec::new();
    for Shell { name, image } in &config.shells.0 {
        let found = engine.image(image)?;
        // An image that can't be used is not started either.
        let is_fit = found
            .as_ref()
            .is_some_and(|found| fitness::judge(&found.config).is_none());
        let loose = match is_fit {
            true => loose_places(engine, config, name, image, ping.is_podman)
                .map_err(|error| error.to_string()),
            false => Ok(Vec::new()),
        };
        images.push(ImageFacts {
            shell: name.clone(),
            image: image.clone(),
            found,
            loose,
        });
    }
    let info = engine.info().map_err(|error| error.to_string());
    let clock_off_seconds = info.as_ref().ok().and_then(|info| {
        let theirs = humantime::parse_rfc3339_weak(&info.system_time).ok()?;
        Some(apart(theirs, SystemTime::now()).as_secs())
    });
    Ok(EngineFacts {
        ping,
        version,
        info,
        images,
        clock_off_seconds,
    })
}

/// Makes a container as a session's would be, and looks at its `/home`, which is on the host's disk.
///
/// DOCKER: what the image has there is copied into the volume, with its owners, when the container is made.
fn loose_places(
    engine: &Engine,
    config: &Config,
    shell: &str,
    image: &str,
    is_podman: bool,
) -> Result<Vec<String>, Box<dyn Error>> {
    let settings = config.session_settings(config.port);
    let id = Uuid::new_v4();
    let instance = format!("doctor-{id}");
    let body = sandbox::container(id, &instance, shell, image, &settings.limits);
    let container = engine.create(&sandbox::container_name(id), &body)?;
    let archive = match is_podman {
        // PODMAN: before the first start `/home` is not as a player finds it (4.3.1): after the start it is root's.
        true => Ok(Vec::new()),
        false => engine.get_archive(&container, sandbox::HOME, fitness::HOME_LIMIT_BYTES),
    };
    engine.remove(&container)?;
    Ok(fitness::writable_in(&archive?)?)
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other)
        .unwrap_or_else(|error| error.duration())
}

fn socket(path: &str) -> Option<SocketFacts> {
    let meta = fs::metadata(path).ok()?;
    Some(SocketFacts {
        mode: meta.permissions().mode(),
        uid: meta.uid(),
        gid: meta.gid(),
        members: members_of(meta.gid()),
    })
}

/// Who is in a group, without this process's own user.
fn members_of(gid: u32) -> Vec<String> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let own = user_of(
        &read("/etc/passwd"),
        rustix::process::geteuid().as_raw().into(),
    );
    let mut members = members_in(&read("/etc/group"), gid);
    members.retain(|member| own.as_ref() != Some(member));
    members
}

/// The members of a gid in the text of `/etc/group`.
fn members_in(group: &str, gid: u32) -> Vec<String> {
    let line = group.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let theirs: u32 = fields.next()?.parse().ok()?;
        (theirs == gid).then(|| fields.next().unwrap_or_default())
    });
    let names = line.unwrap_or_default().split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Starts a container as a session's would be, and has it run into its limits.
fn limits(config: &Config) -> Result<Vec<Finding>, ground::Error> {
    let ground = ground::Ground::open(config)?;
    let asked = ready_attacker(&ground, "doctor").and_then(|mut attacker| {
        let findings = selftest::ask(&mut attacker, &Order::Limits(ground.terms), LIMITS);
        attacker.destroy()?;
        findings
    });
    let left = ground.leave();
    let findings = asked?;
    left?;
    Ok(findings)
}

/// The file system of a directory, or of what is above it where it is not there yet.
fn disk(name: &'static str, path: &Path) -> Option<DiskFacts> {
    let path = path.ancestors().find(|path| path.is_dir())?;
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(DiskFacts {
        name,
        path: path.to_owned(),
        bytes: (stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize),
        files: (stat.f_files > 0).then_some((stat.f_files, stat.f_favail)),
    })
}

fn store_facts(config: &Config) -> StoreFacts {
    match config.store_choice() {
        store::Choice::Redis(url) => {
            let asked = redis::safety_settings(&url);
            StoreFacts::Redis {
                url: url.to_string(),
                answers: asked.as_ref().map(|_| ()).map_err(ToString::to_string),
                settings: asked.unwrap_or_default(),
            }
        }
        store::Choice::Directory(path) => StoreFacts::Directory {
            mode: fs::metadata(&path)
                .ok()
                .map(|meta| meta.permissions().mode()),
            written: try_to_write(&path),
            path,
        },
    }
}

/// Writes a file beside the others, or beside where the directory would be made, and removes it.
fn try_to_write(path: &Path) -> Result<(), String> {
    let dir = path.ancestors().find(|path| path.is_dir()).unwrap_or(path);
    let probe = dir.join(format!(
        ".shellcraft-doctor-{}",
        rustix::process::getpid().as_raw_nonzero()
    ));
    let written = fs::write(&probe, b"doctor").and_then(|()| fs::read(&probe));
    // It may not be there.
    let _ = fs::remove_file(&probe);
    match written {
        Ok(bytes) if bytes == b"doctor" => Ok(()),
        Ok(_) => Err("what is written is not what is read".into()),
        Err(cause) => Err(cause.to_string()),
    }
}

fn host() -> HostFacts {
    let built = fs::metadata("/proc/self/exe").and_then(|meta| meta.modified());
    HostFacts {
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        descriptors: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
        memory_bytes: rustix::system::sysinfo().totalram as u64
            * u64::from(rustix::system::sysinfo().mem_unit),
        pid_max: number_in("/proc/sys/kernel/pid_max"),
        terminals: number_in("/proc/sys/kernel/pty/max").zip(number_in("/proc/sys/kernel/pty/nr")),
        uid_1000: fs::read_to_string("/etc/passwd")
            .ok()
            .and_then(|text| user_of(&text, PLAYER_UID)),
        // A day of tolerance: it may have been built in another time zone, on a machine whose time zone is wrong.
        is_clock_behind: built
            .is_ok_and(|built| SystemTime::now() + Duration::from_secs(24 * 3600) < built),
        is_root: rustix::process::geteuid().is_root(),
    }
}

/// The number that a file of procfs holds.
fn number_in(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The name of a uid in the text of `/etc/passwd`.
fn user_of(passwd: &str, uid: u64) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let theirs: u64 = fields.nth(1)?.parse().ok()?;
        (theirs == uid).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\nbroken\n";
        assert_eq!(user_of(passwd, 1000).as_deref(), Some("me"));
        assert_eq!(user_of(passwd, 1001), None);
    }

    #[test]
    fn members_are_found_by_their_group_s_number() {
        let group = "root:x:0:\ndocker:x:998:me,you\nempty:x:999:\nbroken\n";
        assert_eq!(members_in(group, 998), ["me", "you"]);
        assert_eq!(members_in(group, 999), [] as [&str; 0]);
        assert_eq!(members_in(group, 1), [] as [&str; 0]);
    }

    #[test]
    fn a_directory_is_tried_out() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(try_to_write(dir.path()), Ok(()));
        assert_eq!(try_to_write(&dir.path().join("not/yet")), Ok(()));
        assert!(fs::read_dir(dir.path()).expect("there").next().is_none());
        assert!(try_to_write(Path::new("/proc")).is_err());
    }

    #[test]
    fn file_systems_are_measured() {
        let disk = disk("this", Path::new("/tmp/not/there")).expect("a file system");
        assert!(disk.bytes.0 >= disk.bytes.1 && disk.bytes.0 > 0);
    }
}
