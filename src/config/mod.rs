//! What an operator can set: environment variables, each also a flag. Read once, at the start.
//!
//! The only place that reads the environment. Each part of the server gets its own settings from here.

pub mod command;
mod explain;
pub mod fleet;
mod identity;
mod parse;
mod service;
mod values;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{CommandFactory, FromArgMatches, Parser};
use log::LevelFilter;

pub use explain::{Stop, environment, misspelled};
pub use service::Service;
pub use values::{
    Bind, BookExpiry, BooksQuota, FrameAncestors, Networks, Origins, PerSecond, RateLimit, Shells,
};

use explain::{explain, heedless_of_empty};
use parse::*;

use crate::auth;
use crate::logging::LogFormat;
use crate::redis;
use crate::session::store;
use crate::session::{self, sandbox};
use crate::terminal::budget::Paces;
use crate::terminal::hub;
use command::Command;

/// Serves a game played at a real shell prompt: one container a player, joined to the browser.
///
/// Every setting is an environment variable and a flag; the flag wins. Durations are written 30s, 15m, 2h;
/// sizes 64MiB.
// The words are the help of the command line, too.
#[allow(rustdoc::bare_urls)]
#[derive(Debug, Clone, Parser)]
#[command(name = "shellcraft", version, about, long_about, term_width = 100)]
pub struct Config {
    /// What to do in place of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Port to listen on; 0 lets the system choose.
    #[arg(long, env = "PORT", default_value = "8080", value_parser = port)]
    pub port: u16,

    /// Address to listen on, or unix:/path of a socket. Behind a proxy leave it on loopback.
    #[arg(long, env = "BIND", default_value = "127.0.0.1", value_parser = bind)]
    pub bind: Bind,

    /// The Docker Engine's socket.
    #[arg(long, env = "DOCKER_HOST", default_value = "unix:///var/run/docker.sock", value_parser = docker_host)]
    pub docker_host: String,

    /// Catalogue of shells, name=image each; the first is the default one.
    #[arg(long, env = "SHELLS", default_value = "rust=shellcraft/rust,perl=shellcraft/perl", value_parser = shells)]
    pub shells: Shells,

    /// Image of the default shell, in place of the one in the catalogue.
    #[arg(long, env = "IMAGE_NAME", value_parser = image)]
    pub image_name: Option<String>,

    /// A session ends after so long without human input.
    #[arg(long, env = "IDLE_TIMEOUT", default_value = "15m", value_parser = duration)]
    pub idle_timeout: Duration,

    /// A session ends after so long however busy it is; without it there is no such limit.
    #[arg(long, env = "MAX_LIFETIME", value_parser = duration)]
    pub max_lifetime: Option<Duration>,

    /// How often a terminal's client is pinged; three pings without an answer, and it is gone. Tests are in a hurry.
    #[arg(long, default_value = "20s", value_parser = duration, hide = true)]
    pub heartbeat: Duration,

    /// Sessions alive at once.
    #[arg(long, env = "MAX_SESSIONS", default_value = "200", value_parser = count)]
    pub max_sessions: usize,

    /// Sessions of one player alive at once.
    #[arg(long, env = "SESSIONS_PER_PLAYER", default_value = "2", value_parser = count)]
    pub sessions_per_player: usize,

    /// Sessions started from one address (an IPv6 /64 counts as one), alive at once.
    #[arg(long, env = "SESSIONS_PER_ADDRESS", default_value = "50", value_parser = count)]
    pub sessions_per_address: usize,

    /// How often one address (an IPv6 /64 counts as one), and one player, may start a session, such as 5/s, 10/m or
    /// 100/h, all of them at once if need be; off for no limit.
    #[arg(long, env = "RATE_LIMIT", default_value = "10/m", value_parser = rate_limit)]
    pub rate_limit: RateLimit,

    /// Connections at once from one address (an IPv6 /64 counts as one), terminals included.
    #[arg(long, env = "CONNECTIONS_PER_ADDRESS", default_value = "256", value_parser = count)]
    pub connections_per_address: usize,

    /// Bytes a second that one terminal takes from its client; above that it is not read for a moment. off for no
    /// limit.
    #[arg(long, env = "INPUT_RATE", default_value = "512KiB", value_parser = input_rate)]
    pub input_rate: PerSecond,

    /// Messages a second that one terminal takes from its client; off for no limit.
    #[arg(long, env = "MESSAGE_RATE", default_value = "5000", value_parser = message_rate)]
    pub message_rate: PerSecond,

    /// Containers of each shell that are started ahead and wait for a player; 0 for none.
    #[arg(long, env = "POOL_SIZE", default_value = "2", value_parser = pool_size)]
    pub pool_size: usize,

    /// A spellbook that may have changed is saved so often, and at the session's end.
    #[arg(long, env = "SAVE_INTERVAL", default_value = "60s", value_parser = duration)]
    pub save_interval: Duration,

    /// Bytes that all spellbooks may take, their old versions included; above that no new player's is kept. off for no
    /// limit.
    #[arg(long, env = "BOOKS_QUOTA", default_value = "10GiB", value_parser = books_quota)]
    pub books_quota: BooksQuota,

    /// Spellbooks of players without a login go when they were neither saved nor loaded for so long; off for never.
    #[arg(long, env = "BOOK_EXPIRY", default_value = "180d", value_parser = book_expiry)]
    pub book_expiry: BookExpiry,

    /// On a stop, save and remove all sessions, in place of leaving them to the next start.
    #[arg(long, env = "DRAIN", value_parser = BoolishValueParser::new())]
    pub drain: bool,

    /// Memory of a container, without swap.
    #[arg(long, env = "MEMORY_LIMIT", default_value = "64MiB", value_parser = memory)]
    pub memory_limit: u64,

    /// Processors of a container.
    #[arg(long, env = "CPU_LIMIT", default_value = "0.5", value_parser = cpus)]
    pub cpu_limit: f64,

    /// Processes and threads of a container.
    #[arg(long, env = "PIDS_LIMIT", default_value = "64", value_parser = pids)]
    pub pids_limit: u32,

    /// OCI runtime of the containers, such as runsc; the Engine's default without it.
    #[arg(long, env = "RUNTIME", value_parser = runtime)]
    pub runtime: Option<String>,

    /// Bytes of output kept for each session, for pages that come back.
    #[arg(long, env = "SCROLLBACK", default_value = "256KiB", value_parser = scrollback)]
    pub scrollback: usize,

    /// Bytes of output that a page may have without having drawn them; then the program waits. At most half of
    /// SCROLLBACK counts.
    #[arg(long, env = "OUTPUT_WINDOW", default_value = "128KiB", value_parser = window)]
    pub output_window: usize,

    /// Name on the labels of this server's containers; two servers on one Engine need two names. The
    /// default is made of the host's name and the port.
    #[arg(long, env = "INSTANCE", value_parser = instance)]
    pub instance: Option<String>,

    /// Addresses or networks of proxies whose X-Forwarded-For is believed, with commas.
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "", hide_default_value = true, value_parser = networks)]
    pub trusted_proxies: Networks,

    /// The server's address as players see it, such as https://play.example.org, or https://play.example.org/shell/ below a
    /// path. Needed wherever that is a name other than localhost: any other could be a stranger's.
    #[arg(long, env = "PUBLIC_URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// Origins besides our own whose pages may start games, read answers and open terminals, with commas.
    #[arg(long, env = "ALLOWED_ORIGINS", default_value = "", hide_default_value = true, value_parser = origins)]
    pub allowed_origins: Origins,

    /// Sites whose pages may show ours in a frame: none, or self for our own and origins such as https://school.example.org,
    /// with commas.
    #[arg(long, env = "FRAME_ANCESTORS", default_value = "none", value_parser = frame_ancestors)]
    pub frame_ancestors: FrameAncestors,

    /// Token that makes an operator, at least 16 characters; without it operator routes are closed.
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true, value_parser = admin_token)]
    pub admin_token: Option<String>,

    /// Who players are.
    #[command(flatten)]
    pub identities: identity::Identities,

    /// What `identities` comes down to.
    #[arg(skip)]
    pub auth_settings: auth::Settings,

    /// A second, private address for the operator, such as 127.0.0.1:9090: metrics and operator routes move there, and
    /// PORT answers 404 for them. Port 0 lets the system choose.
    #[arg(long, env = "METRICS_BIND", value_parser = socket_address)]
    pub metrics_bind: Option<SocketAddr>,

    /// How much is logged: off, error, warn, info or debug.
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_parser = log_level)]
    pub log_level: LevelFilter,

    /// How log lines look: text or json.
    #[arg(long, env = "LOG_FORMAT", default_value = "text", value_parser = log_format)]
    pub log_format: LogFormat,

    /// How long a stop may take: pages are told, containers removed, threads joined.
    #[arg(long, env = "SHUTDOWN_GRACE", default_value = "10s", value_parser = duration)]
    pub shutdown_grace: Duration,

    /// Directory for what outlives the process: sessions and spellbooks. Made when there is none; for one server
    /// at a time.
    #[arg(long, env = "DATA_DIR", default_value_os_t = data_dir_of(rustix::process::geteuid().is_root(), |name| std::env::var_os(name)), value_parser = data_dir)]
    pub data_dir: PathBuf,

    /// Redis server that keeps sessions and spellbooks in place of DATA_DIR, such as
    /// redis://user:password@localhost:6379/0 or unix:///run/redis/redis.sock?db=0.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_parser = redis_url)]
    pub redis_url: Option<redis::Url>,

    /// File with that address, in place of REDIS_URL.
    #[arg(long, env = "REDIS_URL_FILE", value_name = "FILE")]
    pub redis_url_file: Option<PathBuf>,

    /// The servers beside this one.
    #[command(flatten)]
    pub peers: fleet::Peers,

    /// What `peers` comes down to.
    #[arg(skip)]
    pub fleet: Option<fleet::Fleet>,

    /// Directory for the private socket of this process.
    #[arg(long, env = "RUNTIME_DIR", default_value = "/tmp", value_parser = directory)]
    pub runtime_dir: PathBuf,
}

impl Service {
    /// Reads the environment of this process.
    pub fn read() -> Service {
        Service::of(|name| std::env::var(name).ok(), std::process::id())
    }
}

impl Config {
    /// Reads flags and environment.
    ///
    /// # Errors
    /// [`Stop`]: help and version as well as a bad value, which is named in one line together with the
    /// variable and what is allowed.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Config, Stop> {
        // Settings may stand before and behind a subcommand.
        let matches = heedless_of_empty(Config::command())
            .mut_args(|argument| argument.global(true))
            .try_get_matches_from(arguments)
            .map_err(|error| explain(&error))?;
        let mut config = Config::from_arg_matches(&matches).map_err(|error| explain(&error))?;
        if let (Some(image), Some(shell)) = (&config.image_name, config.shells.0.first_mut()) {
            shell.image.clone_from(image);
        }
        let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
        if let Some(directory) = directory.filter(|directory| !directory.is_empty()) {
            config.take_credentials(Path::new(&directory));
        }
        let redis_url = config.redis_url.take();
        config.redis_url = identity::redis_address(redis_url, config.redis_url_file.as_deref())
            .map_err(Stop::Refuse)?;
        config.fleet = config
            .peers
            .settings(
                config.redis_url.is_some(),
                &config.instance_name(config.port),
            )
            .map_err(Stop::Refuse)?;
        config.admin_token = config
            .identities
            .admin_token(config.admin_token.take())
            .map_err(Stop::Refuse)?;
        config.auth_settings = config
            .identities
            .settings(config.admin_token.clone())
            .map_err(Stop::Refuse)?;
        let digest = config.fleet_digest();
        if let Some(fleet) = &mut config.fleet {
            fleet.digest = digest;
        }
        Ok(config)
    }

    /// Takes what systemd keeps for us in files (systemd.exec(5), `LoadCredential=`), each by the name of the setting that
    /// it is for, as far as that is not set otherwise.
    fn take_credentials(&mut self, directory: &Path) {
        let own = &mut self.identities;
        for (name, is_set, file) in [
            (
                "ADMIN_TOKEN",
                self.admin_token.is_some(),
                &mut own.admin_token_file,
            ),
            (
                "COOKIE_KEY",
                own.cookie_key.is_some(),
                &mut own.cookie_key_file,
            ),
            (
                "JWT_SECRET",
                own.jwt_secret.is_some(),
                &mut own.jwt_secret_file,
            ),
            (
                "JWT_JWKS_URL",
                own.jwt_jwks_url.is_some(),
                &mut own.jwt_jwks_url_file,
            ),
            (
                "REDIS_URL",
                self.redis_url.is_some(),
                &mut self.redis_url_file,
            ),
            (
                "FLEET_SECRET",
                self.peers.peer_bind.is_none(),
                &mut self.peers.fleet_secret_file,
            ),
        ] {
            let path = directory.join(name);
            if !is_set && file.is_none() && path.is_file() {
                *file = Some(path);
            }
        }
    }

    /// The name on this server's labels. `port` is the one that is really listened on.
    pub fn instance_name(&self, port: u16) -> String {
        self.instance
            .clone()
            .unwrap_or_else(|| default_instance(port))
    }

    /// What the sessions need. `port` is the one that is really listened on.
    pub fn session_settings(&self, port: u16) -> session::Settings {
        session::Settings {
            instance: self.instance_name(port),
            shells: self.shells.0.clone(),
            limits: sandbox::ContainerLimits {
                memory_bytes: self.memory_limit,
                nano_cpus: (self.cpu_limit * 1e9) as u64,
                pids: self.pids_limit,
                runtime: self.runtime.clone(),
            },
            terminal: hub::BufferLimits {
                scrollback_bytes: self.scrollback,
                // The scrollback must hold what the page has not drawn, and what is read meanwhile.
                window_bytes: self.output_window.min(self.scrollback / 2),
            },
            idle_timeout: self.idle_timeout,
            max_lifetime: self.max_lifetime,
            max_sessions: self.max_sessions,
            sessions_per_player: self.sessions_per_player,
            sessions_per_address: self.sessions_per_address,
            rate: self.rate_limit.0,
            save_interval: self.save_interval,
            book_expiry: self.book_expiry.0,
            pool_size: self.pool_size,
        }
    }

    /// How much a terminal's client may send.
    pub fn paces(&self) -> Paces {
        Paces {
            bytes: self.input_rate.0,
            messages: self.message_rate.0,
            patience: Paces::PATIENCE,
        }
    }

    /// Where sessions and spellbooks are kept.
    pub fn store_choice(&self) -> store::Choice {
        match &self.redis_url {
            Some(url) => store::Choice::Redis(url.clone()),
            None => store::Choice::Directory(self.data_dir.clone()),
        }
    }
}

/// Where what lasts is kept, when nobody has said: where systemd says, else where the user's programs keep theirs.
fn data_dir_of(is_root: bool, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let path = |name| {
        let path = variable(name).map(PathBuf::from);
        // The XDG specification has relative ones ignored.
        path.filter(|path| path.is_absolute())
    };
    // systemd gives several with colons between; the first is the state's own.
    let of_systemd = variable("STATE_DIRECTORY").and_then(|list| {
        let first = list.to_str()?.split(':').next()?.to_owned();
        Some(PathBuf::from(first)).filter(|path| path.is_absolute())
    });
    let of_the_user = || {
        let home = || Some(path("HOME")?.join(".local/state"));
        Some(path("XDG_STATE_HOME").or_else(home)?.join("shellcraft"))
    };
    of_systemd
        .or_else(|| if is_root { None } else { of_the_user() })
        .unwrap_or_else(|| "/var/lib/shellcraft".into())
}

fn default_instance(port: u16) -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    format!("{host}:{port}")
}

#[cfg(test)]
mod tests;
