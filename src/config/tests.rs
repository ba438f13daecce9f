//! What settings come to, and what is said of bad ones.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use ipnet::IpNet;

use super::*;
use crate::session::rates::Rate;

fn read(arguments: &[&str]) -> Result<Config, Stop> {
    let all = ["shellcraft"].iter().chain(arguments).map(OsString::from);
    Config::read(all)
}

#[test]
fn mapped_addresses_are_those_of_ipv4() {
    for (text, expected) in [
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("fd00::/8", "fd00::/8"),
        ("::/0", "::/0"),
    ] {
        let Networks(found) = networks(text).expect("a network");
        assert_eq!(
            found,
            [expected.parse::<IpNet>().expect("a network")],
            "{text}"
        );
    }
}

#[test]
fn the_defaults_are_the_contract_s() {
    let config = read(&[]).expect("no bad value");
    assert_eq!(
        (config.port, &config.bind),
        (8080, &Bind::Ip(Ipv4Addr::LOCALHOST.into()))
    );
    assert_eq!(config.docker_host, "unix:///var/run/docker.sock");
    assert_eq!(config.idle_timeout, Duration::from_secs(900));
    assert_eq!(config.shutdown_grace, Duration::from_secs(10));
    let settings = config.session_settings(8080);
    assert_eq!(settings.limits.memory_bytes, 64 << 20);
    assert_eq!(
        (settings.limits.nano_cpus, settings.limits.pids),
        (500_000_000, 64)
    );
    assert_eq!(settings.shells[0].name, "rust");
    assert!(settings.terminal.window_bytes + 32 * 1024 <= settings.terminal.scrollback_bytes);
}

#[test]
fn credentials_are_for_what_is_not_set() {
    let folder = tempfile::tempdir().expect("a directory");
    for name in ["ADMIN_TOKEN", "COOKIE_KEY", "REDIS_URL"] {
        std::fs::write(folder.path().join(name), "x").expect("written");
    }
    let token = "a-token-of-some-length";
    let mut config = read(&["--admin-token", token]).expect("valid");
    config.redis_url_file = Some("/elsewhere".into());
    config.take_credentials(folder.path());
    let files = &config.identities;
    assert_eq!(files.admin_token_file, None);
    assert_eq!(
        files.cookie_key_file,
        Some(folder.path().join("COOKIE_KEY"))
    );
    assert_eq!(files.jwt_secret_file, None);
    assert_eq!(config.redis_url_file, Some("/elsewhere".into()));
}

#[test]
fn bind_is_an_address_or_a_path() {
    let bind = |text: &str| read(&["--bind", text]).map(|config| config.bind).ok();
    assert_eq!(bind("::1"), Some(Bind::Ip(Ipv6Addr::LOCALHOST.into())));
    let path = "/run/shellcraft/http.sock";
    assert_eq!(bind(&format!("unix:{path}")), Some(Bind::Unix(path.into())));
    let long = format!("unix:/{}", "x".repeat(107));
    for nonsense in [
        "localhost",
        "unix:",
        "unix:http.sock",
        "/run/http.sock",
        &long,
    ] {
        assert_eq!(bind(nonsense), None, "{nonsense}");
    }
    assert!(bind(&long[..long.len() - 1]).is_some());
}

#[test]
fn image_name_replaces_the_default_shell_s_image() {
    let config = read(&["--image-name", "mine:1"]).expect("valid");
    assert_eq!(config.shells.0[0].image, "mine:1");
    assert_eq!(config.shells.0[1].image, "shellcraft/perl");
}

/// Each bad value: the line names the variable, the value and what is allowed.
#[test]
fn a_bad_value_is_named() {
    for (flag, value, variable, allowed) in [
        ("--port", "http", "PORT", "from 0 to 65535"),
        ("--port", "65536", "PORT", "from 0 to 65535"),
        ("--bind", "localhost", "BIND", "IP address"),
        (
            "--docker-host",
            "tcp://1.2.3.4:2375",
            "DOCKER_HOST",
            "unix://",
        ),
        ("--shells", "rust", "SHELLS", "name=image"),
        ("--shells", "a=b,a=c", "SHELLS", "twice"),
        ("--shells", "a b=c", "SHELLS", "letters"),
        ("--image-name", "a b", "IMAGE_NAME", "image's name"),
        ("--idle-timeout", "15", "IDLE_TIMEOUT", "such as 30s"),
        ("--idle-timeout", "0s", "IDLE_TIMEOUT", "above zero"),
        ("--max-sessions", "0", "MAX_SESSIONS", "from 1 to 100000"),
        ("--books-quota", "1KiB", "BOOKS_QUOTA", "from 1MiB"),
        ("--books-quota", "many", "BOOKS_QUOTA", "such as 10GiB"),
        ("--book-expiry", "1s", "BOOK_EXPIRY", "from 1h"),
        ("--book-expiry", "never", "BOOK_EXPIRY", "or off"),
        (
            "--sessions-per-player",
            "0",
            "SESSIONS_PER_PLAYER",
            "from 1",
        ),
        (
            "--sessions-per-address",
            "0",
            "SESSIONS_PER_ADDRESS",
            "from 1",
        ),
        ("--rate-limit", "10", "RATE_LIMIT", "10/m"),
        ("--rate-limit", "0/m", "RATE_LIMIT", "10/m"),
        ("--rate-limit", "10/d", "RATE_LIMIT", "or off"),
        (
            "--connections-per-address",
            "none",
            "CONNECTIONS_PER_ADDRESS",
            "from 1",
        ),
        ("--input-rate", "1B", "INPUT_RATE", "such as 512KiB"),
        ("--message-rate", "0", "MESSAGE_RATE", "from 10"),
        ("--memory-limit", "64MB", "MEMORY_LIMIT", "such as 64MiB"),
        ("--memory-limit", "1KiB", "MEMORY_LIMIT", "from 6MiB"),
        (
            "--memory-limit",
            "99999999999999999999GiB",
            "MEMORY_LIMIT",
            "from 6MiB",
        ),
        ("--cpu-limit", "NaN", "CPU_LIMIT", "from 0.01 to 1024"),
        ("--pids-limit", "1", "PIDS_LIMIT", "from 4 to 32768"),
        ("--scrollback", "1KiB", "SCROLLBACK", "from 64KiB"),
        (
            "--trusted-proxies",
            "proxy",
            "TRUSTED_PROXIES",
            "10.0.0.0/8",
        ),
        (
            "--allowed-origins",
            "example.org",
            "ALLOWED_ORIGINS",
            "https://",
        ),
        (
            "--public-url",
            "https://a/b?c",
            "PUBLIC_URL",
            "scheme and host",
        ),
        (
            "--public-url",
            "https://a//",
            "PUBLIC_URL",
            "shell/, of letters",
        ),
        ("--public-url", "https://a/b/../c", "PUBLIC_URL", "letters"),
        ("--public-url", "https://a/b%20c/", "PUBLIC_URL", "letters"),
        ("--public-url", "https://a/b.c/", "PUBLIC_URL", "letters"),
        (
            "--public-url",
            "https://a/session/",
            "PUBLIC_URL",
            "own paths",
        ),
        (
            "--frame-ancestors",
            "none,self",
            "FRAME_ANCESTORS",
            "https://school.example.org",
        ),
        ("--frame-ancestors", "*", "FRAME_ANCESTORS", "none, or"),
        (
            "--frame-ancestors",
            "https://a;script-src *",
            "FRAME_ANCESTORS",
            "self",
        ),
        ("--metrics-bind", "9090", "METRICS_BIND", "127.0.0.1:9090"),
        ("--log-level", "loud", "LOG_LEVEL", "debug"),
        ("--log-level", "trace", "LOG_LEVEL", "debug"),
        ("--log-format", "xml", "LOG_FORMAT", "text and json"),
        (
            "--runtime-dir",
            "/nonexistent",
            "RUNTIME_DIR",
            "existing directory",
        ),
        ("--data-dir", "/etc/passwd", "DATA_DIR", "a directory"),
        ("--data-dir", "", "DATA_DIR", "a directory"),
        (
            "--redis-url",
            "localhost:6379",
            "REDIS_URL",
            "redis://user:password@host:6379/0",
        ),
    ] {
        let Err(Stop::Refuse(line)) = read(&[flag, value]) else {
            panic!("{flag} {value} was taken")
        };
        for part in [variable, flag, value, allowed] {
            assert!(line.contains(part), "{part:?} is not in {line:?}");
        }
        assert!(!line.contains('\n'), "{line:?}");
    }
}

#[test]
fn limits_and_none() {
    let config = read(&["--rate-limit", "3/h"]).expect("valid");
    let count = NonZeroU32::new(3).expect("above zero");
    let per = Duration::from_secs(3600);
    assert_eq!(config.rate_limit, RateLimit(Some(Rate { count, per })));
    assert_eq!(config.paces().bytes, Some(512 << 10));
    let off = [
        "--rate-limit",
        "off",
        "--input-rate",
        "off",
        "--message-rate",
        "off",
    ];
    let config = read(&off).expect("valid");
    assert_eq!(config.session_settings(1).rate, None);
    let paces = config.paces();
    assert_eq!((paces.bytes, paces.messages), (None, None));
}

#[test]
fn a_bad_secret_is_not_printed() {
    let Err(Stop::Refuse(line)) = read(&["--admin-token", "short"]) else {
        panic!("taken")
    };
    assert!(
        line.contains("ADMIN_TOKEN") && !line.contains("short"),
        "{line}"
    );
    for url in ["rediss://me:short@db:1", "unix:///run/r?db=x&pass=short"] {
        let Err(Stop::Refuse(line)) = read(&["--redis-url", url]) else {
            panic!("taken")
        };
        assert!(
            line.contains("REDIS_URL") && !line.contains("short"),
            "{line}"
        );
    }
}

#[test]
fn the_store_is_a_directory_or_redis() {
    let config = read(&["--data-dir", "/data"]).expect("valid");
    let directory = store::Choice::Directory("/data".into());
    assert_eq!(config.store_choice(), directory);
    let url = "redis://:short@db";
    let config = read(&["--data-dir", "/data", "--redis-url", url]).expect("valid");
    let expected = url.parse().expect("valid");
    assert_eq!(config.store_choice(), store::Choice::Redis(expected));
    assert!(!format!("{config:?}").contains("short"));
}

#[test]
fn the_data_s_place_when_nobody_has_said() {
    let check = |is_root, variables: &[(&str, &str)], expected: &str| {
        let found = data_dir_of(is_root, |name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some(value.into())
        });
        assert_eq!(found, PathBuf::from(expected), "{variables:?}");
    };
    let home = ("HOME", "/home/me");
    let state = ("XDG_STATE_HOME", "/state");
    check(true, &[home, state], "/var/lib/shellcraft");
    check(false, &[home, state], "/state/shellcraft");
    check(false, &[home], "/home/me/.local/state/shellcraft");
    check(
        false,
        &[home, ("XDG_STATE_HOME", "state")],
        "/home/me/.local/state/shellcraft",
    );
    check(false, &[], "/var/lib/shellcraft");
    let systemd = ("STATE_DIRECTORY", "/var/lib/one:/var/lib/two");
    check(false, &[home, state, systemd], "/var/lib/one");
    check(true, &[systemd], "/var/lib/one");
    check(true, &[("STATE_DIRECTORY", "")], "/var/lib/shellcraft");
}

#[test]
fn help_version_and_unknown_flags() {
    let Err(Stop::Print(help)) = read(&["--help"]) else {
        panic!("no help")
    };
    for variable in ["PORT", "DOCKER_HOST", "IDLE_TIMEOUT", "SHUTDOWN_GRACE"] {
        assert!(
            help.contains(&format!("[env: {variable}=")),
            "{variable} is not in {help}"
        );
    }
    let Err(Stop::Print(version)) = read(&["--version"]) else {
        panic!("no version")
    };
    assert!(version.starts_with("shellcraft 0."), "{version}");
    let Err(Stop::Refuse(line)) = read(&["--prot", "1"]) else {
        panic!("taken")
    };
    assert!(line.contains("--prot"), "{line}");
}

/// As browsers send them, or they would never be met with.
#[test]
fn origins_have_one_spelling() {
    for (text, expected) in [
        ("https://play.example/", "https://play.example"),
        ("https://play.example.", "https://play.example"),
        ("HTTPS://Play.Example.:443/", "https://play.example"),
        ("http://play.example:080", "http://play.example"),
        ("http://[0:0::1]:8080", "http://[::1]:8080"),
        ("http://10.0.0.1:443", "http://10.0.0.1:443"),
    ] {
        assert_eq!(origin(text).as_deref(), Ok(expected), "{text}");
    }
    for text in [
        "",
        "null",
        "*",
        "https://",
        "https://.",
        "https://a..b",
        "https://:443",
        "https://a:",
        "https://a:b",
        "https://a:+1",
        "https://a:65536",
        "https://[::1",
        "https://[a]",
        "https://[::1]x",
        "https://*.example",
        "https://me@a",
        "https://a/b",
        "https://a//",
        "ftp://a",
    ] {
        assert!(origin(text).is_err(), "{text}");
    }
}

#[test]
fn who_may_frame() {
    for (text, expected) in [
        ("none", "'none'"),
        ("'none'", "'none'"),
        ("", "'none'"),
        ("self", "'self'"),
        (
            "'self', https://School.example:443/",
            "'self' https://school.example",
        ),
    ] {
        let config = read(&["--frame-ancestors", text]).expect("valid");
        assert_eq!(config.frame_ancestors.0, expected, "{text}");
    }
    let config = read(&[]).expect("valid");
    assert_eq!(config.frame_ancestors.0, "'none'");
}

#[test]
fn lists() {
    let config = read(&[
        "--trusted-proxies",
        "127.0.0.1, 10.0.0.0/8",
        "--allowed-origins",
        "https://A.example,https://B.example:443,http://b.example:443",
    ])
    .expect("valid");
    assert_eq!(config.trusted_proxies.0.len(), 2);
    let origins = [
        "https://a.example",
        "https://b.example",
        "http://b.example:443",
    ];
    assert_eq!(config.allowed_origins.0, origins);
    let config = read(&["--public-url", "https://A.example:443/"]).expect("valid");
    assert_eq!(config.public_url.as_deref(), Some("https://a.example"));
    for text in [
        "https://A.example/Shell/b_1",
        "https://a.example:443/Shell/b_1/",
    ] {
        let config = read(&["--public-url", text]).expect("valid");
        let expected = Some("https://a.example/Shell/b_1");
        assert_eq!(config.public_url.as_deref(), expected);
    }
}

/// What players meet on every server of a fleet is in the digest; how large a server is, and where, is not.
#[test]
fn a_fleet_s_digest_is_of_what_should_be_the_same() {
    let digest = |arguments: &[&str]| read(arguments).expect("settings").fleet_digest();
    let plain = digest(&[]);
    assert_eq!((&plain[..2], plain.len()), ("1-", 18));
    for same in [
        ["--port", "9000"],
        ["--max-sessions", "7"],
        ["--pool-size", "0"],
        ["--instance", "other"],
        ["--log-level", "debug"],
    ] {
        assert_eq!(digest(&same), plain, "{same:?}");
    }
    for other in [
        ["--shells", "sh=shellcraft/rust"],
        ["--image-name", "other/image"],
        ["--public-url", "https://play.example.org"],
        ["--allowed-origins", "https://school.example.org"],
        ["--frame-ancestors", "self"],
        ["--admin-token", "a-token-of-some-length"],
        ["--idle-timeout", "20m"],
        ["--max-lifetime", "3h"],
        ["--sessions-per-player", "3"],
        ["--sessions-per-address", "3"],
        ["--rate-limit", "off"],
        ["--books-quota", "off"],
        ["--book-expiry", "off"],
        ["--memory-limit", "32MiB"],
        ["--cpu-limit", "0.25"],
        ["--pids-limit", "32"],
        ["--runtime", "runsc"],
        ["--lease", "5s"],
        ["--away", "70s"],
    ] {
        assert_ne!(digest(&other), plain, "{other:?}");
    }
}
