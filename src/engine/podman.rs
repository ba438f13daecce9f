//! How Podman creates a container: the request for Docker's API, translated to Podman's own.
//!
//! PODMAN: its imitation of `ContainerCreate` takes `Ulimits` and `MaskedPaths` and silently forgets them (4.3.1), puts
//! unbounded file systems at `/run` and `/var/tmp` of a read-only container, and knows no owner of a tmpfs. Podman's
//! own call does what it is told. All other calls are Docker's. No I/O.

use serde_json::{Value, json};

use super::error::Error;
use super::types::{CreateContainer, HostConfig};

/// Where containers are created. Versioned by itself: any Podman from 4.0 on takes this.
pub(super) const CREATE: &str = "/v4.0.0/libpod/containers/create";

/// The body of a `ContainerCreateLibpod`.
pub(super) fn specification(name: &str, body: &CreateContainer) -> Value {
    let host = &body.host_config;
    let env = body.env.iter().filter_map(|line| line.split_once('='));
    let env: serde_json::Map<_, _> = env
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let volumes: Vec<_> = body
        .volumes
        .keys()
        .map(|path| json!({ "Dest": path }))
        .collect();
    json!({
        "name": name,
        "image": body.image,
        "user": body.user,
        "hostname": body.hostname,
        "env": env,
        "terminal": body.tty,
        "stdin": body.open_stdin,
        "labels": body.labels,
        "volumes": volumes,
        "healthconfig": body.healthcheck,
        "mounts": mounts(host),
        "netns": { "nsmode": host.network_mode },
        "ipcns": { "nsmode": host.ipc_mode },
        "cap_drop": host.cap_drop,
        "no_new_privileges": host.security_opt.iter().any(|option| option == "no-new-privileges"),
        "read_only_filesystem": host.readonly_rootfs,
        "resource_limits": {
            "memory": { "limit": host.memory, "swap": host.memory_swap },
            "cpu": { "period": host.cpu_period, "quota": host.cpu_quota },
            "pids": { "limit": host.pids_limit },
        },
        "r_limits": r_limits(host),
        "log_configuration": { "driver": host.log_config.driver },
        "init": host.init,
        // Otherwise a removal by force asks the shell to end, which the shell ignores, and waits for 10 s.
        "stop_timeout": 0,
        "shm_size": host.shm_size,
        // Podman hides these in addition to its own list.
        "mask": host.masked_paths,
        "oci_runtime": host.runtime.as_deref().unwrap_or_default(),
    })
}

/// PODMAN: a container whose tmpfs has an owner is refused. The mount gets the mode that is asked for, so one that all
/// users may write to needs no owner.
fn mounts(host: &HostConfig) -> Vec<Value> {
    let is_owner = |option: &&str| option.starts_with("uid=") || option.starts_with("gid=");
    let mount = |(path, options): (&String, &String)| {
        let options: Vec<_> = options
            .split(',')
            .filter(|option| !is_owner(option))
            .collect();
        json!({ "destination": path, "type": "tmpfs", "source": "tmpfs", "options": options })
    };
    host.tmpfs.iter().map(mount).collect()
}

fn r_limits(host: &HostConfig) -> Vec<Value> {
    let limits = host.ulimits.iter();
    limits
        .map(|limit| json!({ "type": limit.name, "soft": limit.soft, "hard": limit.hard }))
        .collect()
}

/// Docker's status for what Podman has no status for.
pub(super) fn explain(error: Error) -> Error {
    match error {
        Error::Refused {
            call,
            status: 500,
            message,
        } => Error::Refused {
            call,
            status: status_of(&message),
            message,
        },
        error => error,
    }
}

/// PODMAN: its own calls answer 500 whatever the cause is (4.3.1).
fn status_of(message: &str) -> u16 {
    let meant = [("image not known", 404), ("already in use", 409)];
    let found = meant.iter().find(|(words, _)| message.contains(words));
    found.map_or(500, |(_, status)| *status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::types::{Empty, Healthcheck, LogConfig, Ulimit};

    fn body() -> CreateContainer {
        CreateContainer {
            image: "game".into(),
            user: "1000:1000".into(),
            hostname: "h".into(),
            env: vec!["HOME=/home".into(), "A=b=c".into()],
            tty: true,
            open_stdin: true,
            stdin_once: false,
            attach_stdin: true,
            attach_stdout: true,
            attach_stderr: true,
            labels: [("owner".to_owned(), "me".to_owned())].into(),
            volumes: [("/home".to_owned(), Empty {})].into(),
            healthcheck: Some(Healthcheck::none()),
            host_config: HostConfig {
                network_mode: "none".into(),
                cap_drop: vec!["ALL".into()],
                security_opt: vec!["no-new-privileges".into()],
                readonly_rootfs: true,
                memory: 64,
                memory_swap: 64,
                cpu_period: 10_000,
                cpu_quota: 5_000,
                pids_limit: 7,
                ulimits: vec![Ulimit {
                    name: "fsize".into(),
                    soft: 1,
                    hard: 2,
                }],
                tmpfs: [(
                    "/tmp".to_owned(),
                    "rw,size=16m,mode=1777,uid=1000,gid=1000".to_owned(),
                )]
                .into(),
                log_config: LogConfig {
                    driver: "none".into(),
                },
                init: true,
                ipc_mode: "private".into(),
                shm_size: 1,
                masked_paths: vec!["/proc/keys".into()],
                runtime: None,
                console_size: None,
            },
        }
    }

    #[track_caller]
    fn check(pointer: &str, expected: Value) {
        let whole = specification("one", &body());
        assert_eq!(whole.pointer(pointer), Some(&expected), "{pointer}");
    }

    #[test]
    fn every_wall_is_said_in_podman_s_words() {
        check("/name", "one".into());
        check("/env", json!({ "HOME": "/home", "A": "b=c" }));
        check("/volumes", json!([{ "Dest": "/home" }]));
        check("/healthconfig", json!({ "Test": ["NONE"] }));
        check("/netns/nsmode", "none".into());
        check("/cap_drop", json!(["ALL"]));
        check("/no_new_privileges", true.into());
        check("/read_only_filesystem", true.into());
        check(
            "/resource_limits/memory",
            json!({ "limit": 64, "swap": 64 }),
        );
        check(
            "/resource_limits/cpu",
            json!({ "period": 10_000, "quota": 5_000 }),
        );
        check("/resource_limits/pids/limit", 7.into());
        check(
            "/r_limits",
            json!([{ "type": "fsize", "soft": 1, "hard": 2 }]),
        );
        check("/mask", json!(["/proc/keys"]));
        check("/mounts/0/options", json!(["rw", "size=16m", "mode=1777"]));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(status_of("nope: image not known"), 404);
        assert_eq!(
            status_of("the container name \"x\" is already in use by 1"),
            409
        );
        assert_eq!(status_of("no space left on device"), 500);
    }
}
