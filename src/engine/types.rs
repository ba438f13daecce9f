//! The parts of the Docker Engine's API that this client uses, as Rust types: what is sent with `create`, what comes
//! back.
//!
//! Only fields that are set or read are here; serde skips the rest of the Engine's answers. Names are the Engine's own
//! (<https://docs.docker.com/reference/api/engine/>), in Rust's spelling.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A container's id as the Engine gave it (64 hexadecimal digits), or its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(pub String);

impl fmt::Display for ContainerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Twelve digits are what `docker ps` shows, so that is what an operator will search for.
        out.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// A terminal's size in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns, from the left.
    pub cols: u16,
    /// Rows, from the top.
    pub rows: u16,
}

/// The body of `ContainerCreate` (`POST /containers/create`).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateContainer {
    /// The image's name, which must be on the Engine already.
    pub image: String,
    /// `uid:gid` of the first process.
    pub user: String,
    /// The container's host name.
    pub hostname: String,
    /// `NAME=value` lines.
    pub env: Vec<String>,
    /// A terminal for the first process; the attach stream is raw bytes then.
    pub tty: bool,
    /// Keep standard input open while no client is attached.
    pub open_stdin: bool,
    /// Close standard input when the first attacher leaves.
    pub stdin_once: bool,
    /// Attach standard input.
    pub attach_stdin: bool,
    /// Attach standard output.
    pub attach_stdout: bool,
    /// Attach standard error.
    pub attach_stderr: bool,
    /// By these the server finds its containers again.
    pub labels: BTreeMap<String, String>,
    /// Paths that get an anonymous volume each; the values are empty objects.
    pub volumes: BTreeMap<String, Empty>,
    /// What the Engine runs in it again and again; [`Healthcheck::none`] switches the image's own off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// What the container may use of its host.
    pub host_config: HostConfig,
}

/// What the Engine runs in a container to see how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// The kind, then the command.
    pub test: Vec<String>,
}

impl Healthcheck {
    /// No check, whatever the image says.
    pub fn none() -> Healthcheck {
        Healthcheck {
            test: vec!["NONE".into()],
        }
    }
}

/// The Engine's `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// The `HostConfig` of `ContainerCreate`: limits and isolation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostConfig {
    /// `none` for no network at all.
    pub network_mode: String,
    /// Capabilities taken away.
    pub cap_drop: Vec<String>,
    /// Such as `no-new-privileges`.
    pub security_opt: Vec<String>,
    /// The image's file system can't be written to.
    pub readonly_rootfs: bool,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of memory and swap together.
    pub memory_swap: u64,
    /// In how many microseconds a container may use its quota.
    pub cpu_period: u64,
    /// Microseconds of processor time in each period.
    pub cpu_quota: u64,
    /// Processes and threads at the same time, counted by the cgroup.
    pub pids_limit: u32,
    /// Limits of each process.
    pub ulimits: Vec<Ulimit>,
    /// Paths kept in memory, with their mount options.
    pub tmpfs: BTreeMap<String, String>,
    /// Where output is logged on the host.
    pub log_config: LogConfig,
    /// A small first process that reaps zombies.
    pub init: bool,
    /// Private IPC objects, so that no other container shares `/dev/shm`.
    pub ipc_mode: String,
    /// Bytes of `/dev/shm`.
    pub shm_size: u64,
    /// Paths hidden behind something empty. DOCKER: they take the place of the Engine's own list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masked_paths: Vec<String>,
    /// The OCI runtime; the Engine's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// `[rows, cols]` of the terminal at start. DOCKER: ignored below API 1.42.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<[u16; 2]>,
}

/// One limit of `setrlimit(2)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ulimit {
    /// Such as `nofile`.
    pub name: String,
    /// What a process starts with.
    pub soft: u64,
    /// The value above which the process can't raise it.
    pub hard: u64,
}

/// Where the Engine logs a container's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogConfig {
    /// The log driver; `none` keeps nothing.
    #[serde(rename = "Type")]
    pub driver: String,
}

/// What `ContainerInspect` (`GET /containers/{id}/json`) tells.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspection {
    /// The full id.
    pub id: ContainerId,
    /// The name, with the Engine's leading slash.
    pub name: String,
    /// What it is doing.
    pub state: ContainerState,
    /// What it was created with.
    pub config: InspectedConfig,
    /// What of the host it was given.
    #[serde(default)]
    pub host_config: InspectedHost,
}

/// The `HostConfig` of `ContainerInspect`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedHost {
    /// Where its output is logged.
    #[serde(default)]
    pub log_config: InspectedLog,
}

/// The `LogConfig` in it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct InspectedLog {
    /// The driver: `none` for nowhere, and empty where the Engine does not tell.
    #[serde(default, rename = "Type")]
    pub driver: String,
}

/// The `Config` of `ContainerInspect`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedConfig {
    /// Whether the attach stream is raw (a TTY) or framed.
    pub tty: bool,
    /// Its labels.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
}

/// The `State` of `ContainerInspect`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerState {
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub status: String,
    /// Whether its first process runs.
    pub running: bool,
    /// The first process's exit code, once it has one.
    pub exit_code: i64,
    /// Whether the kernel killed it for its memory.
    #[serde(rename = "OOMKilled", default)]
    pub oom_killed: bool,
}

/// One row of `ContainerList` (`GET /containers/json`).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerSummary {
    /// The full id.
    pub id: ContainerId,
    /// Names, each with the Engine's leading slash.
    #[serde(default, deserialize_with = "null_is_default")]
    pub names: Vec<String>,
    /// As in [`ContainerState::status`].
    pub state: String,
    /// The image's id; PODMAN: without `sha256:`.
    #[serde(rename = "ImageID", default)]
    pub image_id: String,
    /// Its labels.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// Seconds since 1970 at its creation.
    pub created: i64,
}

/// One row of `ImageList` (`GET /images/json`).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageSummary {
    /// `sha256:` and the digest.
    pub id: String,
    /// `name:tag`, none for an untagged image.
    #[serde(default, deserialize_with = "null_is_default")]
    pub repo_tags: Vec<String>,
    /// Bytes.
    pub size: i64,
}

/// What `ImageInspect` (`GET /images/{name}/json`) tells.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    /// `sha256:` and the digest.
    pub id: String,
    /// `name:tag`, none for an untagged image.
    #[serde(default, deserialize_with = "null_is_default")]
    pub repo_tags: Vec<String>,
    /// What it was built with.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: ImageConfig,
    /// The processor that it is for, as the Engine calls it, such as `amd64`.
    #[serde(default)]
    pub architecture: String,
}

/// The `Config` of `ImageInspect`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageConfig {
    /// Its labels.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// What a container of it runs, or what `entrypoint` is given.
    #[serde(default, deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    /// What a container of it runs, if that is set.
    #[serde(default, deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    /// Paths of which each container gets an anonymous volume; the values are empty objects.
    #[serde(default, deserialize_with = "null_is_default")]
    pub volumes: BTreeMap<String, Empty>,
}

/// One line of `SystemEvents` (`GET /events`) about a container.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// What happened: `die`, `oom`, `destroy`… DOCKER: Podman says `died` and `remove`; the client makes it
    /// `die` and `destroy`.
    #[serde(rename = "Action")]
    pub action: String,
    /// The container it happened to.
    #[serde(rename = "Actor")]
    pub actor: Actor,
}

/// The container that an event is about.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Actor {
    /// The container's full id.
    #[serde(rename = "ID")]
    pub id: ContainerId,
    /// Its labels and more, such as `exitCode`.
    #[serde(rename = "Attributes", default, deserialize_with = "null_is_default")]
    pub attributes: BTreeMap<String, String>,
}

/// What `SystemPing` (`GET /_ping`) tells, in its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// The newest API version the Engine speaks, such as `1.41`.
    pub api_version: String,
    /// Whether it is Podman's imitation of Docker.
    pub is_podman: bool,
}

/// What `SystemVersion` (`GET /version`) tells.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Version {
    /// The Engine's own version, such as `20.10.24`.
    pub version: String,
    /// The newest API version it speaks.
    pub api_version: String,
    /// The oldest API version it speaks, where it tells.
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: Option<String>,
    /// The operating system, such as `linux`.
    #[serde(default)]
    pub os: String,
    /// The processor, such as `amd64`.
    #[serde(default)]
    pub arch: String,
    /// What it is made of: the Engine itself, containerd, runc.
    #[serde(default, deserialize_with = "null_is_default")]
    pub components: Vec<Component>,
}

/// A part of an Engine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Component {
    /// Such as `runc`.
    pub name: String,
    /// Such as `1.1.12`.
    #[serde(default)]
    pub version: String,
    /// More about it. DOCKER: distributions put their package's version into `GitCommit`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub details: BTreeMap<String, String>,
}

/// What `SystemInfo` (`GET /info`) tells, as far as it is used.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SystemInfo {
    /// DOCKER: its own number, which stays the same over restarts. PODMAN: another one at each call.
    #[serde(rename = "ID")]
    pub id: String,
    /// The host's name.
    pub name: String,
    /// The storage driver, such as `overlay2`.
    pub driver: String,
    /// Where the Engine keeps everything.
    pub docker_root_dir: String,
    /// `1` or `2`.
    pub cgroup_version: String,
    /// `cgroupfs`, `systemd` or `none`.
    pub cgroup_driver: String,
    /// Such as `name=seccomp,profile=default`.
    #[serde(deserialize_with = "null_is_default")]
    pub security_options: Vec<String>,
    /// Whether memory can be limited.
    pub memory_limit: bool,
    /// Whether swap can be limited.
    pub swap_limit: bool,
    /// Whether processor time can be limited.
    pub cpu_cfs_quota: bool,
    /// Whether the number of processes can be limited.
    pub pids_limit: bool,
    /// PODMAN: whether it runs without root. Docker tells it among `security_options`.
    pub rootless: bool,
    /// Whether containers outlive the Engine's restart.
    pub live_restore_enabled: bool,
    /// The OCI runtime used where none is named.
    pub default_runtime: String,
    /// Such as `Debian GNU/Linux 12 (bookworm)`.
    pub operating_system: String,
    /// Such as `6.1.0-18-amd64`.
    pub kernel_version: String,
    /// The Engine's clock, as RFC 3339 has it.
    pub system_time: String,
    /// The Engine's own warnings to an operator.
    #[serde(deserialize_with = "null_is_default")]
    pub warnings: Vec<String>,
}

/// What lies at a path in a container, as `ContainerArchiveInfo` tells.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathStat {
    /// The last part of the path.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// DOCKER: not `stat(2)`'s mode but Go's: permissions below, its own bits for the kind above.
    pub mode: u32,
    /// When it was last written to, such as `2026-11-23T18:24:17Z`.
    #[serde(default)]
    pub mtime: String,
    /// Where a symbolic link leads, otherwise empty.
    #[serde(default)]
    pub link_target: String,
}

impl PathStat {
    /// Whether it is an ordinary file: no directory, link, device, pipe or socket.
    pub fn is_file(&self) -> bool {
        // Go's `fs.ModeType`: directory, symlink, device, named pipe, socket, character device, irregular.
        const MODE_TYPE: u32 = 1 << 31 | 1 << 27 | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;
        self.mode & MODE_TYPE == 0
    }
}

/// DOCKER: an empty map or list is `null` in many answers.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// What a container uses, from `GET /containers/{id}/stats`; podman and old kernels leave out what they don't know.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Stats {
    /// Processor time.
    #[serde(default)]
    pub cpu_stats: CpuStats,
    /// Memory.
    #[serde(default)]
    pub memory_stats: MemoryStats,
}

/// Processor time.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct CpuStats {
    /// The container's own.
    #[serde(default)]
    pub cpu_usage: CpuUsage,
}

/// A container's processor time.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct CpuUsage {
    /// Nanoseconds since its start.
    #[serde(default)]
    pub total_usage: u64,
}

/// Memory.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct MemoryStats {
    /// Bytes, page cache included.
    pub usage: Option<u64>,
}
