//! What the Engine says of a session's container, and what there is in the two images.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tar::EntryType;

use crate::docker::{self, container_of, inspect};
use crate::games::site;

#[test]
fn every_container_has_every_limit() {
    let site = site(&[]);
    for shell in ["rust", "perl", "busybox"] {
        let game = site.create(shell);
        let inspection = inspect(&container_of(&game));
        let mebibyte = 1 << 20;
        for (pointer, expected) in [
            ("/HostConfig/NetworkMode", json!("none")),
            ("/HostConfig/CapDrop", json!(["ALL"])),
            ("/HostConfig/CapAdd", Value::Null),
            ("/HostConfig/Privileged", json!(false)),
            ("/HostConfig/SecurityOpt", json!(["no-new-privileges"])),
            ("/HostConfig/ReadonlyRootfs", json!(true)),
            ("/HostConfig/Memory", json!(64 * mebibyte)),
            ("/HostConfig/MemorySwap", json!(64 * mebibyte)),
            ("/HostConfig/CpuQuota", json!(5_000)),
            ("/HostConfig/CpuPeriod", json!(10_000)),
            ("/HostConfig/MaskedPaths/0", json!("/dev/pts/ptmx")),
            ("/HostConfig/PidsLimit", json!(64)),
            ("/HostConfig/OomKillDisable", json!(false)),
            ("/HostConfig/ShmSize", json!(mebibyte)),
            ("/HostConfig/IpcMode", json!("private")),
            ("/HostConfig/PidMode", json!("")),
            ("/HostConfig/UTSMode", json!("")),
            ("/HostConfig/UsernsMode", json!("")),
            ("/HostConfig/Binds", Value::Null),
            ("/HostConfig/Devices", Value::Null),
            ("/HostConfig/DeviceRequests", Value::Null),
            ("/HostConfig/VolumesFrom", Value::Null),
            ("/HostConfig/PortBindings", Value::Null),
            ("/HostConfig/PublishAllPorts", json!(false)),
            ("/HostConfig/LogConfig/Type", json!("none")),
            ("/HostConfig/RestartPolicy/Name", json!("")),
            ("/HostConfig/Init", json!(true)),
            ("/Config/User", json!("1000:1000")),
            ("/Config/Tty", json!(true)),
            ("/Config/OpenStdin", json!(true)),
            ("/Config/StdinOnce", json!(false)),
            ("/Config/Labels/shellcraft.instance", json!(site.instance)),
            ("/Config/Labels/shellcraft.session", json!(game.id)),
            ("/Config/Labels/shellcraft.shell", json!(shell)),
            ("/Mounts/0/Destination", json!("/home")),
            ("/Mounts/0/Type", json!("volume")),
            ("/Mounts/1", Value::Null),
            ("/LogPath", json!("")),
        ] {
            let found = inspection.pointer(pointer).unwrap_or(&Value::Null);
            // An Engine says "none" for a list in more than one way.
            let is_none =
                |value: &Value| *value == json!([]) || *value == json!({}) || value.is_null();
            assert!(
                *found == expected || is_none(found) && is_none(&expected),
                "{shell} {pointer} is {found}, not {expected}"
            );
        }
        let tmp = &inspection["HostConfig"]["Tmpfs"]["/tmp"];
        for option in ["noexec", "nosuid", "nodev", "size=16m"] {
            let options = tmp.as_str().expect("/tmp is in memory").split(',');
            assert!(
                options.into_iter().any(|one| one == option),
                "{shell}: {tmp}"
            );
        }
        let ulimits = inspection["HostConfig"]["Ulimits"]
            .as_array()
            .expect("ulimits");
        let ulimits: BTreeMap<_, _> = ulimits
            .iter()
            .map(|one| {
                (
                    one["Name"].as_str(),
                    (one["Soft"].as_u64(), one["Hard"].as_u64()),
                )
            })
            .collect();
        for (name, value) in [("nofile", 64), ("core", 0), ("fsize", mebibyte)] {
            assert_eq!(
                ulimits[&Some(name)],
                (Some(value), Some(value)),
                "{shell}: {name}"
            );
        }
    }
}

/// An entry of an image's root.
struct Entry {
    kind: EntryType,
    mode: u32,
    owner: u64,
    /// The first bytes, which tell a program.
    head: Vec<u8>,
}

/// The files of a game's image, without what the Engine puts into every container.
fn files_of(shell: &str) -> BTreeMap<String, Entry> {
    let container = docker::docker(&["create", "--network=none", &format!("shellcraft/{shell}")]);
    let mut export = Command::new("docker")
        .args(["--host", &docker::host(), "export", &container])
        .stdout(Stdio::piped())
        .spawn()
        .expect("docker.io is installed");
    let mut archive = tar::Archive::new(export.stdout.take().expect("piped"));
    let mut files = BTreeMap::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("a whole tar");
        let path = entry.path().expect("a path").display().to_string();
        let header = entry.header();
        let (kind, mode) = (header.entry_type(), header.mode().expect("a mode"));
        let owner = header.uid().expect("an owner");
        let mut head = Vec::new();
        entry
            .by_ref()
            .take(4)
            .read_to_end(&mut head)
            .expect("a whole tar");
        files.insert(
            path,
            Entry {
                kind,
                mode,
                owner,
                head,
            },
        );
    }
    assert!(export.wait().expect("our child").success());
    docker::docker(&["rm", "--volumes", &container]);
    for own in [
        ".dockerenv",
        "etc/hosts",
        "etc/hostname",
        "etc/resolv.conf",
        "dev/console",
    ] {
        files.remove(own);
    }
    files
}

/// Names of everything in the image that can be started as a program of its own.
fn programs(files: &BTreeMap<String, Entry>) -> Vec<&str> {
    let is_program = |entry: &Entry| {
        entry.kind == EntryType::Regular
            && entry.mode & 0o111 != 0
            && (entry.head.starts_with(b"\x7fELF") || entry.head.starts_with(b"#!"))
    };
    files
        .iter()
        .filter(|(_, entry)| is_program(entry))
        .map(|(path, _)| path.as_str())
        .collect()
}

#[test]
fn the_rust_image_holds_its_shell_and_no_other_program() {
    assert_eq!(programs(&files_of("rust")), ["spellshell"]);
}

#[test]
fn the_perl_image_holds_perl_and_no_other_program() {
    let files = files_of("perl");
    let programs = programs(&files);
    // The dynamic loader starts what it is given, which is what it is for. It is no way to another program here.
    let (loaders, others): (Vec<_>, Vec<_>) = programs
        .into_iter()
        .partition(|path| path.contains("/ld-linux"));
    assert_eq!(others, ["usr/bin/perl"]);
    assert_eq!(loaders.len(), 1, "{loaders:?}");
    for path in files.keys() {
        let is_socket = path.contains("Socket") || path.contains("IPC/") || path.ends_with("/sh");
        assert!(!is_socket, "{path}");
    }
}

#[test]
fn the_images_hold_nothing_that_is_the_player_s() {
    for shell in ["rust", "perl"] {
        let files = files_of(shell);
        for (path, entry) in &files {
            assert_eq!(entry.owner, 0, "{shell}: {path}");
            assert_eq!(entry.mode & 0o6000, 0, "{shell}: {path} changes its user");
            let is_link = entry.kind == EntryType::Symlink;
            let is_open = entry.mode & 0o022 != 0 && !is_link;
            // Memory is mounted there, and takes its mode from here.
            assert_eq!(is_open, path == "tmp/", "{shell}: {path} {:o}", entry.mode);
            let is_plain = matches!(
                entry.kind,
                EntryType::Regular | EntryType::Directory | EntryType::Symlink | EntryType::Link
            );
            assert!(is_plain, "{shell}: {path} is a {:?}", entry.kind);
        }
        assert_eq!(files["tmp/"].mode & 0o7777, 0o1777, "{shell}");
    }
}
