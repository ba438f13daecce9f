//! What a host is like, as far as it matters to a server. Gathered by [`super::gather`], judged by [`super::judge`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::cli::finding::Finding;
use crate::engine::types::{Image, SystemInfo};
use crate::engine::{Ping, Version};

/// Everything. A text in place of a value says why there is none.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What the operator has set.
    pub settings: SettingsFacts,
    /// The Engine, if it answers.
    pub engine: Result<EngineFacts, String>,
    /// The Engine's socket, if there is one.
    pub socket: Option<SocketFacts>,
    /// What the attacker in a container found out about its limits.
    pub limits: Result<Vec<Finding>, String>,
    /// File systems that may become full.
    pub disks: Vec<DiskFacts>,
    /// Where records and spellbooks are kept.
    pub store: StoreFacts,
    /// The machine itself.
    pub host: HostFacts,
    /// What the server has set aside, if it runs and the operator's token is known.
    pub aside: Vec<AsideFacts>,
}

/// One thing that a running server has set aside.
#[derive(Debug, Clone)]
pub struct AsideFacts {
    /// Such as `container`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why it was set aside.
    pub cause: String,
}

/// What the operator has set.
#[derive(Debug, Clone)]
pub struct SettingsFacts {
    /// `BIND`.
    pub bind: IpAddr,
    /// `METRICS_BIND`.
    pub metrics_bind: Option<IpAddr>,
    /// `PUBLIC_URL`.
    pub public_url: Option<String>,
    /// Whether `TRUSTED_PROXIES` names a proxy.
    pub has_trusted_proxies: bool,
    /// A network in `TRUSTED_PROXIES` that contains every address, if there is one.
    pub trusts_all: Option<String>,
    /// `ADMIN_TOKEN`.
    pub admin_token: Option<String>,
    /// `MAX_SESSIONS`.
    pub max_sessions: u64,
    /// `MEMORY_LIMIT`.
    pub memory_bytes: u64,
    /// `PIDS_LIMIT`.
    pub pids: u64,
}

/// An Engine that answers.
#[derive(Debug, Clone)]
pub struct EngineFacts {
    /// Its answer to a ping.
    pub ping: Ping,
    /// What it is made of.
    pub version: Version,
    /// What it tells about itself; a text where it tells nothing.
    pub info: Result<SystemInfo, String>,
    /// The catalogue's shells and their images.
    pub images: Vec<ImageFacts>,
    /// By how many seconds its clock differs from this host's, where it tells.
    pub clock_off_seconds: Option<u64>,
}

/// A shell's image.
#[derive(Debug, Clone)]
pub struct ImageFacts {
    /// The shell's name in the catalogue.
    pub shell: String,
    /// The image's name.
    pub image: String,
    /// What the Engine tells of it, if it has it.
    pub found: Option<Image>,
    /// What a player could write to below `/home` beside the book, or why that is not known; empty where there is no
    /// image to look into.
    pub loose: Result<Vec<String>, String>,
}

/// The Engine's socket.
#[derive(Debug, Clone)]
pub struct SocketFacts {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The users in that group, without the one that this process runs as.
    pub members: Vec<String>,
}

/// One file system.
#[derive(Debug, Clone)]
pub struct DiskFacts {
    /// What it is for.
    pub name: &'static str,
    /// A directory on it.
    pub path: PathBuf,
    /// Bytes, and how many of them are free.
    pub bytes: (u64, u64),
    /// Files that there may be, and how many more; none on file systems that do not count them.
    pub files: Option<(u64, u64)>,
}

/// Where records and spellbooks are kept.
#[derive(Debug, Clone)]
pub enum StoreFacts {
    /// In `DATA_DIR`.
    Directory {
        /// `DATA_DIR`.
        path: PathBuf,
        /// Its permission bits; none where there is no such directory yet.
        mode: Option<u32>,
        /// Whether a file can be written there and read again; otherwise why not.
        written: Result<(), String>,
    },
    /// In Redis: its settings, or why they are not known.
    Redis {
        /// Without the password.
        url: String,
        /// Whether it answers.
        answers: Result<(), String>,
        /// Some of what `CONFIG GET` tells; less where that is forbidden.
        settings: BTreeMap<String, String>,
    },
}

/// The machine.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// Such as `6.1.0-18-amd64`.
    pub kernel: String,
    /// How many files this process may open.
    pub descriptors: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// `kernel.pid_max`.
    pub pid_max: Option<u64>,
    /// `kernel.pty.max`, pseudo-terminals of all containers together, and how many there are.
    pub terminals: Option<(u64, u64)>,
    /// The name of the user who has the players' uid on this host.
    pub uid_1000: Option<String>,
    /// Whether the clock is before the day this program was built.
    pub is_clock_behind: bool,
    /// Whether this process is root.
    pub is_root: bool,
}
