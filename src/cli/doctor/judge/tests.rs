//! A good host, and what changes when one thing about it does.

use std::collections::BTreeMap;

use super::*;
use crate::cli::finding::Verdict;
use crate::engine::types::{Component, Empty, Image, ImageConfig};
use crate::engine::{Ping, Version};

fn good() -> Facts {
    Facts {
        settings: SettingsFacts {
            bind: "127.0.0.1".parse().expect("an address"),
            metrics_bind: None,
            public_url: Some("https://play.example.org".into()),
            has_trusted_proxies: true,
            trusts_all: None,
            admin_token: Some("0123456789abcdef0123456789abcdef".into()),
            max_sessions: 200,
            memory_bytes: 64 * MEBIBYTE,
            pids: 64,
        },
        engine: Ok(EngineFacts {
            ping: Ping {
                api_version: "1.51".into(),
                is_podman: false,
            },
            version: version(&[("runc", "1.3.3", ""), ("containerd", "1.7.29", "")]),
            info: Ok(info()),
            images: vec![ImageFacts {
                shell: "rust".into(),
                image: "shellcraft/rust".into(),
                found: Some(image()),
                loose: Ok(Vec::new()),
            }],
            clock_off_seconds: Some(0),
        }),
        socket: Some(SocketFacts {
            mode: 0o140_660,
            uid: 0,
            gid: 998,
            members: Vec::new(),
        }),
        limits: Ok(vec![Finding::ok("memory ends", "")]),
        disks: vec![DiskFacts {
            name: "the Engine",
            path: "/var/lib/docker".into(),
            bytes: (100 * GIBIBYTE, 50 * GIBIBYTE),
            files: Some((1_000_000, 900_000)),
        }],
        store: StoreFacts::Directory {
            path: "/var/lib/shellcraft".into(),
            mode: Some(0o40_700),
            written: Ok(()),
        },
        host: HostFacts {
            kernel: "6.1.0-18-amd64".into(),
            descriptors: 65_536,
            memory_bytes: 32 * GIBIBYTE,
            pid_max: Some(4_194_304),
            terminals: Some((4096, 12)),
            uid_1000: None,
            is_clock_behind: false,
            is_root: false,
        },
        aside: Vec::new(),
    }
}

fn version(components: &[(&str, &str, &str)]) -> Version {
    let component = |(name, version, package): &(&str, &str, &str)| Component {
        name: (*name).into(),
        version: (*version).into(),
        details: BTreeMap::from([("GitCommit".into(), (*package).into())]),
    };
    Version {
        version: "28.5.2".into(),
        api_version: "1.51".into(),
        min_api_version: None,
        os: "linux".into(),
        arch: "amd64".into(),
        components: components.iter().map(component).collect(),
    }
}

fn info() -> SystemInfo {
    SystemInfo {
        driver: "overlay2".into(),
        docker_root_dir: "/var/lib/docker".into(),
        cgroup_version: "2".into(),
        cgroup_driver: "systemd".into(),
        security_options: vec![
            "name=apparmor".into(),
            "name=seccomp,profile=builtin".into(),
            "name=cgroupns".into(),
        ],
        memory_limit: true,
        swap_limit: true,
        cpu_cfs_quota: true,
        pids_limit: true,
        live_restore_enabled: true,
        ..SystemInfo::default()
    }
}

/// An image that can be used.
fn image() -> Image {
    Image {
        id: "sha256:1".into(),
        repo_tags: Vec::new(),
        config: ImageConfig {
            cmd: vec!["/bin/shell".into()],
            ..ImageConfig::default()
        },
        architecture: "amd64".into(),
    }
}

/// What is found beyond a good host's, as lines.
fn news(change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = good();
    change(&mut facts);
    let findings = judge(&facts).into_iter();
    let news = findings.filter(|finding| finding.verdict != Verdict::Ok);
    news.map(|finding| finding.to_string()).collect()
}

/// One thing changes, and one line says so.
#[track_caller]
fn check(change: impl FnOnce(&mut Facts), start: &str, advice: &str) {
    let news = news(change);
    assert_eq!(news.len(), 1, "{news:?}");
    assert!(news[0].starts_with(start), "{news:?}");
    assert!(news[0].contains(advice), "{news:?}");
}

fn engine(facts: &mut Facts) -> &mut EngineFacts {
    facts.engine.as_mut().expect("it answers")
}

fn told(facts: &mut Facts) -> &mut SystemInfo {
    engine(facts).info.as_mut().expect("it tells")
}

#[test]
fn a_good_host_is_well() {
    assert_eq!(news(|_| {}), [] as [String; 0]);
}

#[test]
fn the_engine() {
    let away = |facts: &mut Facts| {
        facts.engine = Err("no such file".into());
        facts.limits = Err("no such file".into());
    };
    check(away, "FAIL  Engine: no such file", "DOCKER_HOST");
    check(
        |facts| engine(facts).version = version(&[("runc", "1.1.11", "")]),
        "FAIL  runc",
        "CVE-2024-21626",
    );
    let podman_s = ("OCI Runtime (runc)", "runc version 1.1.11\ncommit: 1", "");
    check(
        |facts| engine(facts).version = version(&[podman_s]),
        "FAIL  runc",
        "1.1.11 lets containers out (CVE-2024-21626",
    );
    check(
        |facts| engine(facts).clock_off_seconds = Some(90),
        "warn  clock",
        "NTP",
    );
    check(
        |facts| engine(facts).info = Err("404".into()),
        "warn  Engine's settings",
        "404",
    );
}

#[test]
fn images() {
    let shell_s = |change: fn(&mut ImageFacts)| {
        move |facts: &mut Facts| {
            change(&mut engine(facts).images[0]);
        }
    };
    let start = "FAIL  image of shell rust";
    check(shell_s(|facts| facts.found = None), start, "load it");
    check(
        shell_s(|facts| {
            facts
                .found
                .iter_mut()
                .for_each(|image| image.config.cmd.clear())
        }),
        start,
        "no CMD",
    );
    let volume = |facts: &mut ImageFacts| {
        if let Some(image) = &mut facts.found {
            image.config.volumes = [("/work".to_owned(), Empty {})].into();
        }
    };
    check(shell_s(volume), start, "VOLUME /work");
    check(
        shell_s(|facts| facts.loose = Ok(vec!["/home/player".into()])),
        start,
        "/home/player",
    );
    check(
        shell_s(|facts| facts.loose = Err("Unknown runtime".into())),
        start,
        "Unknown runtime",
    );
    check(
        shell_s(|facts| {
            facts
                .found
                .iter_mut()
                .for_each(|image| image.architecture = "arm64".into())
        }),
        "warn  image of shell rust",
        "arm64",
    );
}

#[test]
fn what_the_server_has_set_aside() {
    let aside = |facts: &mut Facts| {
        facts.aside = vec![AsideFacts {
            kind: "container".into(),
            name: "0123456789ab".into(),
            cause: "device busy".into(),
        }];
    };
    check(aside, "warn  container 0123456789ab", "device busy");
}

#[test]
fn what_the_engine_tells() {
    check(
        |facts| told(facts).pids_limit = false,
        "FAIL  cgroups",
        "processes",
    );
    check(
        |facts| told(facts).cgroup_driver = "none".into(),
        "FAIL  cgroups",
        "delegate",
    );
    check(
        |facts| {
            told(facts).rootless = true;
            told(facts).cgroup_version = "1".into();
        },
        "FAIL  cgroups",
        "Podman limits neither memory nor processor time nor processes",
    );
    check(
        |facts| told(facts).swap_limit = false,
        "warn  cgroups",
        "swapaccount",
    );
    check(
        |facts| told(facts).live_restore_enabled = false,
        "warn  live-restore",
        "daemon.json",
    );
    check(
        |facts| told(facts).driver = "vfs".into(),
        "warn  storage driver",
        "overlay2",
    );
    check(
        |facts| told(facts).warnings = vec!["WARNING: odd".into()],
        "warn  Engine's own warning: odd",
        "",
    );
    let options = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let unconfined = options(&["name=apparmor", "name=seccomp,profile=unconfined"]);
    check(
        |facts| told(facts).security_options = unconfined,
        "FAIL  seccomp",
        "daemon.json",
    );
    let own = options(&["name=apparmor", "name=seccomp,profile=/etc/mine.json"]);
    check(
        |facts| told(facts).security_options = own,
        "warn  seccomp",
        "of your own",
    );
    check(
        |facts| told(facts).security_options = options(&["name=apparmor"]),
        "FAIL  seccomp",
        "CONFIG_SECCOMP",
    );
    let bare = options(&["name=seccomp,profile=default"]);
    check(
        |facts| told(facts).security_options = bare,
        "warn  AppArmor or SELinux",
        "switch it on",
    );
}

#[test]
fn the_socket() {
    check(
        |facts| facts.socket.as_mut().expect("there").mode = 0o140_666,
        "FAIL  Engine's socket: mode 0666",
        "chmod 660",
    );
    assert_eq!(news(|facts| facts.socket = None), [] as [String; 0]);
}

#[test]
fn the_socket_s_group() {
    let socket = |facts: &mut Facts, mode| {
        let socket = facts.socket.as_mut().expect("there");
        socket.members = vec!["me".into(), "you".into()];
        socket.mode = mode;
    };
    check(
        |facts| socket(facts, 0o140_660),
        "warn  Engine's socket",
        "me, you",
    );
    assert_eq!(news(|facts| socket(facts, 0o140_600)), [] as [String; 0]);
}

#[test]
fn terminals_are_counted_for_all_containers_together() {
    check(
        |facts| facts.host.terminals = Some((256, 100)),
        "warn  pseudo-terminals",
        "kernel.pty.max=256",
    );
    assert_eq!(news(|facts| facts.host.terminals = None), [] as [String; 0]);
}

#[test]
fn a_proxy_that_is_everybody() {
    check(
        |facts| facts.settings.trusts_all = Some("0.0.0.0/0".into()),
        "FAIL  address",
        "0.0.0.0/0",
    );
}

#[test]
fn limits_come_from_inside() {
    let bad = Finding::fail("memory ends", "twice");
    check(
        |facts| facts.limits = Ok(vec![bad]),
        "FAIL  memory ends",
        "twice",
    );
    check(
        |facts| facts.limits = Err("no space".into()),
        "FAIL  limits",
        "no space",
    );
}

#[test]
fn disks() {
    check(
        |facts| facts.disks[0].bytes.1 = 100 * MEBIBYTE,
        "FAIL  disk of the Engine",
        "make room",
    );
    check(
        |facts| facts.disks[0].bytes.1 = GIBIBYTE,
        "warn  disk of the Engine",
        "make room",
    );
    check(
        |facts| facts.disks[0].bytes.1 = 4 * GIBIBYTE,
        "warn  disk of the Engine",
        "make room",
    );
    check(
        |facts| facts.disks[0].files = Some((1_000_000, 500)),
        "warn  inodes",
        "remove files",
    );
    assert_eq!(news(|facts| facts.disks[0].files = None), [] as [String; 0]);
}

#[test]
fn the_store() {
    let directory = |mode, written| StoreFacts::Directory {
        path: "/data".into(),
        mode,
        written,
    };
    let denied = Err("permission denied".to_owned());
    check(
        |facts| facts.store = directory(None, denied),
        "FAIL  DATA_DIR",
        "server's user",
    );
    check(
        |facts| facts.store = directory(Some(0o755), Ok(())),
        "warn  DATA_DIR",
        "chmod 700",
    );
    assert_eq!(
        news(|facts| facts.store = directory(None, Ok(()))),
        [] as [String; 0]
    );
}

#[test]
fn redis() {
    let redis = |answers: Result<(), &str>, settings: &[(&str, &str)]| StoreFacts::Redis {
        url: "redis://db".into(),
        answers: answers.map_err(str::to_owned),
        settings: settings
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
    };
    let safe = ("appendonly", "yes");
    assert_eq!(
        news(|facts| facts.store = redis(Ok(()), &[safe])),
        [] as [String; 0]
    );
    check(
        |facts| facts.store = redis(Err("refused"), &[]),
        "FAIL  Redis: redis://db",
        "refused",
    );
    check(
        |facts| facts.store = redis(Ok(()), &[("appendonly", "no")]),
        "FAIL  Redis appendonly",
        "yes",
    );
    check(
        |facts| facts.store = redis(Ok(()), &[]),
        "warn  Redis appendonly",
        "CONFIG GET",
    );
    let slow = [safe, ("appendfsync", "everysec")];
    check(
        |facts| facts.store = redis(Ok(()), &slow),
        "warn  Redis appendfsync",
        "always",
    );
    let greedy = [safe, ("maxmemory-policy", "allkeys-lru")];
    check(
        |facts| facts.store = redis(Ok(()), &greedy),
        "FAIL  Redis maxmemory-policy",
        "noeviction",
    );
}

#[test]
fn the_host() {
    check(
        |facts| facts.host.kernel = "4.19.0-6".into(),
        "warn  kernel",
        "update",
    );
    check(
        |facts| facts.host.kernel = "strange".into(),
        "warn  kernel",
        "strange",
    );
    check(
        |facts| facts.host.descriptors = 1024,
        "warn  open files: 1024",
        "LimitNOFILE=1056",
    );
    check(
        |facts| facts.host.memory_bytes = 4 * GIBIBYTE,
        "warn  memory",
        "MAX_SESSIONS",
    );
    check(
        |facts| facts.host.pid_max = Some(4096),
        "warn  processes",
        "raise it",
    );
    check(
        |facts| facts.host.uid_1000 = Some("me".into()),
        "warn  players' uid",
        "me",
    );
    check(
        |facts| facts.host.is_clock_behind = true,
        "FAIL  clock",
        "NTP",
    );
    check(
        |facts| facts.host.is_root = true,
        "warn  user",
        "of its own",
    );
}

#[test]
fn the_address() {
    let address = |bind: &str, url: Option<&str>, has_trusted_proxies: bool| {
        let bind = bind.parse().expect("an address");
        let url = url.map(str::to_owned);
        move |facts: &mut Facts| {
            facts.settings.bind = bind;
            facts.settings.public_url = url;
            facts.settings.has_trusted_proxies = has_trusted_proxies;
        }
    };
    let https = Some("https://play.example.org");
    check(
        address("0.0.0.0", None, false),
        "warn  address",
        "without TLS",
    );
    check(
        address("0.0.0.0", Some("http://play"), true),
        "warn  address",
        "without TLS",
    );
    check(
        address("::", https, true),
        "warn  address",
        "BIND to loopback",
    );
    check(
        address("127.0.0.1", https, false),
        "warn  address",
        "TRUSTED_PROXIES",
    );
    check(
        address("127.0.0.1", None, true),
        "warn  address",
        "not https",
    );
    assert_eq!(news(address("::1", None, false)), [] as [String; 0]);
}

#[test]
fn the_private_address() {
    let private = |address: &str| {
        let address = Some(address.parse().expect("an address"));
        move |facts: &mut Facts| facts.settings.metrics_bind = address
    };
    check(private("0.0.0.0"), "warn  private address", "without TLS");
    assert_eq!(news(private("::1")), [] as [String; 0]);
}

#[test]
fn the_token() {
    let token = |token: &str| {
        let token = Some(token.to_owned());
        move |facts: &mut Facts| facts.settings.admin_token = token
    };
    check(
        token("only-16-letters!"),
        "warn  ADMIN_TOKEN",
        "openssl rand",
    );
    check(token(&"ab".repeat(20)), "warn  ADMIN_TOKEN", "openssl rand");
    assert_eq!(
        news(|facts| facts.settings.admin_token = None),
        [] as [String; 0]
    );
    assert!(!news(token("only-16-letters!"))[0].contains("only-16"));
}
