//! What an operator can set: environment variables, each also a flag. Read once, at the start.
//!
//! The only place that reads the environment. Each part of the server gets its own settings from here.

mod identity;
mod service;

use std::ffi::OsString;
use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{BoolishValueParser, Resettable};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};
use ipnet::{IpNet, Ipv4Net};
use log::LevelFilter;

pub use service::Service;

use crate::auth;
use crate::cli::Command;
use crate::http::origin::{canonical, split_prefix};
use crate::http::route;
use crate::session::rates::Rate;
use crate::session::store::{self, redis};
use crate::session::{self, Shell, sandbox};
use crate::terminal::budget::Paces;
use crate::terminal::hub;

/// Serves a game played at a real shell prompt: one container a player, joined to the browser.
///
/// Every setting is an environment variable and a flag; the flag wins. Durations are written 30s, 15m, 2h;
/// sizes 64MiB.
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
    pub input_rate: Pace,

    /// Messages a second that one terminal takes from its client; off for no limit.
    #[arg(long, env = "MESSAGE_RATE", default_value = "5000", value_parser = message_rate)]
    pub message_rate: Pace,

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

    /// Directory for the private socket of this process.
    #[arg(long, env = "RUNTIME_DIR", default_value = "/tmp", value_parser = directory)]
    pub runtime_dir: PathBuf,
}

/// Where to listen, the port apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// At an address.
    Ip(IpAddr),
    /// At a Unix socket of this path.
    Unix(PathBuf),
}

impl Service {
    /// Reads the environment of this process.
    pub fn read() -> Service {
        Service::of(|name| std::env::var(name).ok(), std::process::id())
    }
}

/// The catalogue; never empty, and no name twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shells(pub Vec<Shell>);

/// Networks with their prefix lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks(pub Vec<IpNet>);

/// Origins as browsers send them (RFC 6454 §6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(pub Vec<String>);

/// Sites whose pages may show ours in a frame, as a Content-Security-Policy has them (CSP Level 3 §6.4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameAncestors(pub String);

/// What all spellbooks may take, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BooksQuota(pub Option<u64>);

/// How long spellbooks of players without a login stay unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookExpiry(pub Option<Duration>);

/// How often sessions may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit(pub Option<Rate>);

/// How much a second; none for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace(pub Option<u32>);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

/// What the command line asked for, when it is not a server.
#[derive(Debug)]
pub enum Stop {
    /// Print this to standard output and leave with 0: help or version.
    Print(String),
    /// Print this line to standard error and leave with 2.
    Refuse(String),
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
        config.admin_token = config
            .identities
            .admin_token(config.admin_token.take())
            .map_err(Stop::Refuse)?;
        config.auth_settings = config
            .identities
            .settings(config.admin_token.clone())
            .map_err(Stop::Refuse)?;
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
            limits: sandbox::Limits {
                memory_bytes: self.memory_limit,
                nano_cpus: (self.cpu_limit * 1e9) as u64,
                pids: self.pids_limit,
                runtime: self.runtime.clone(),
            },
            terminal: hub::Limits {
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

/// clap's words for a person: one line with the variable, the value and what is allowed.
fn explain(error: &clap::Error) -> Stop {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            return Stop::Print(error.to_string());
        }
        _ => {}
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg);
    let line = match (error.kind(), flag, text(ContextKind::InvalidValue)) {
        (ErrorKind::ValueValidation, Some(flag), Some(value)) => {
            let cause = std::error::Error::source(error)
                .map_or(String::new(), |cause| format!(": {cause}"));
            let flag = flag.split(' ').next().unwrap_or_default();
            let value = match flag {
                secret if identity::SECRET_FLAGS.contains(&secret) => "(hidden)".to_owned(),
                "--redis-url" | "--jwt-jwks-url" => format!("{:?}", redis::without_secret(&value)),
                _ => format!("{value:?}"),
            };
            format!("{} ({flag}) can't be {value}{cause}", variable(flag))
        }
        _ => {
            let first = error.to_string();
            let first = first
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            format!("{first}; --help lists what can be set")
        }
    };
    Stop::Refuse(line)
}

/// An empty variable is one that is not set: that is how a file of settings, or compose, says so.
fn heedless_of_empty(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| {
        let value = argument.get_env().and_then(std::env::var_os);
        match value {
            Some(value) if value.is_empty() => {
                argument.env(Resettable::<clap::builder::OsStr>::Reset)
            }
            _ => argument,
        }
    });
    command.mut_subcommands(heedless_of_empty)
}

/// The names of all variables there are.
pub fn environment() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name)
}

/// Variables that are no settings and look as if they were meant to be, and which each is like.
pub fn misspelled(names: impl IntoIterator<Item = OsString>) -> Vec<(String, String)> {
    let command = Config::command();
    let settings = command
        .get_arguments()
        .filter_map(|setting| setting.get_env()?.to_str());
    let settings: Vec<&str> = settings.collect();
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    let meant = names.filter_map(|name| {
        if settings.contains(&name.as_str()) {
            return None;
        }
        let bare = name.strip_prefix("SHELLCRAFT_").unwrap_or(&name);
        let is_like = |setting: &&&str| {
            // Short names are like each other by chance.
            let most = setting.len() / 7;
            // It takes as long as both are together; no name is much longer.
            let may_be =
                most > 0 && setting.len().abs_diff(bare.len()) <= most * char::MAX_LEN_UTF8;
            **setting == bare || (may_be && strsim::osa_distance(setting, bare) <= most)
        };
        let setting = settings.iter().find(is_like)?.to_string();
        Some((name, setting))
    });
    meant.collect()
}

/// The environment variable of a flag: they differ in spelling only.
fn variable(flag: &str) -> String {
    flag.trim_start_matches('-')
        .replace('-', "_")
        .to_uppercase()
}

type Parsed<T> = Result<T, String>;

fn port(text: &str) -> Parsed<u16> {
    text.parse()
        .map_err(|_| "a port is a number from 0 to 65535".into())
}

fn bind(text: &str) -> Parsed<Bind> {
    /// What fits into a socket's address (unix(7)).
    const PATH_LIMIT_BYTES: usize = 107;
    let form = "an IP address such as 127.0.0.1, 0.0.0.0 or ::1, or unix: and a path of at most 107 bytes such as \
                unix:/run/shellcraft/http.sock, is needed";
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') && path.len() <= PATH_LIMIT_BYTES => {
            Ok(Bind::Unix(path.into()))
        }
        Some(_) => Err(form.into()),
        None => text.parse().map(Bind::Ip).map_err(|_| form.into()),
    }
}

fn socket_address(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| {
        "an IP address and a port such as 127.0.0.1:9090 or [::1]:9090 is needed".into()
    })
}

fn docker_host(text: &str) -> Parsed<String> {
    crate::engine::Engine::new(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

fn shells(text: &str) -> Parsed<Shells> {
    let form = "name=image pairs with commas between are needed, such as rust=shellcraft/rust";
    let mut shells: Vec<Shell> = Vec::new();
    for pair in text.split(',') {
        let (name, image_name) = pair.trim().split_once('=').ok_or(form)?;
        let is_name = |name: &str| {
            !name.is_empty()
                && name.len() <= 32
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if !is_name(name) {
            return Err(format!(
                "the name {name:?} may have letters, digits, - and _ only, 32 at most; {form}"
            ));
        }
        if shells.iter().any(|shell| shell.name == name) {
            return Err(format!("{name:?} is in it twice; {form}"));
        }
        shells.push(Shell {
            name: name.to_owned(),
            image: image(image_name)?,
        });
    }
    Ok(Shells(shells))
}

fn image(text: &str) -> Parsed<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    if text.is_empty() || text.len() > 255 || !text.bytes().all(allowed) {
        return Err("an image's name such as shellcraft/rust:latest is needed".into());
    }
    Ok(text.to_owned())
}

fn duration(text: &str) -> Parsed<Duration> {
    let form = "a duration above zero is needed, such as 30s, 15m or 2h";
    let duration = humantime::parse_duration(text).map_err(|_| form)?;
    // A year is more than anybody means, and keeps all sums of durations within range.
    if duration.is_zero() || duration > Duration::from_secs(366 * 24 * 3600) {
        return Err(form.into());
    }
    Ok(duration)
}

fn count(text: &str) -> Parsed<usize> {
    in_range(text, 1, 100_000, "a number")
}

fn rate_limit(text: &str) -> Parsed<RateLimit> {
    let form = "a number of sessions in a second, a minute or an hour such as 5/s, 10/m or 100/h is needed, or off";
    if text == "off" {
        return Ok(RateLimit(None));
    }
    let (count, unit) = text.split_once('/').ok_or(form)?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(form.into()),
    };
    let count: NonZeroU32 = count.trim().parse().map_err(|_| form)?;
    // More than a million a second is no limit, and would be too short a time to count.
    if count.get() > 1_000_000 {
        return Err(form.into());
    }
    let per = Duration::from_secs(seconds);
    Ok(RateLimit(Some(Rate { count, per })))
}

fn books_quota(text: &str) -> Parsed<BooksQuota> {
    let form = "a size from 1MiB to 1024TiB is needed, such as 10GiB, or off";
    if text == "off" {
        return Ok(BooksQuota(None));
    }
    size(text, 1 << 20, 1 << 50, form).map(Some).map(BooksQuota)
}

fn book_expiry(text: &str) -> Parsed<BookExpiry> {
    if text == "off" {
        return Ok(BookExpiry(None));
    }
    let form = "a duration from 1h to 100years is needed, such as 180d, or off";
    let range = Duration::from_secs(3600)..=Duration::from_secs(101 * 366 * 24 * 3600);
    let duration = humantime::parse_duration(text).map_err(|_| form)?;
    let expiry = Some(duration).filter(|duration| range.contains(duration));
    expiry.ok_or_else(|| form.into()).map(Some).map(BookExpiry)
}

fn input_rate(text: &str) -> Parsed<Pace> {
    let form = "a size from 1KiB to 1GiB is needed, such as 512KiB, or off";
    if text == "off" {
        return Ok(Pace(None));
    }
    let bytes = size(text, 1 << 10, 1 << 30, form)?;
    Ok(Pace(u32::try_from(bytes).ok()))
}

fn message_rate(text: &str) -> Parsed<Pace> {
    if text == "off" {
        return Ok(Pace(None));
    }
    in_range(text, 10, 1_000_000, "off or a number")
        .map(Some)
        .map(Pace)
}

fn pool_size(text: &str) -> Parsed<usize> {
    in_range(text, 0, 1000, "a number")
}

fn pids(text: &str) -> Parsed<u32> {
    in_range(text, 4, 32_768, "a number")
}

fn in_range<T: std::str::FromStr + PartialOrd + Display>(
    text: &str,
    least: T,
    most: T,
    what: &str,
) -> Parsed<T> {
    let value = text
        .parse()
        .ok()
        .filter(|value| (&least..=&most).contains(&value));
    value.ok_or_else(|| format!("{what} from {least} to {most} is needed"))
}

fn cpus(text: &str) -> Parsed<f64> {
    in_range(text, 0.01, 1024.0, "a number of processors")
}

fn size(text: &str, least: u64, most: u64, allowed: &str) -> Parsed<u64> {
    let split = text
        .find(|digit: char| !digit.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit: Option<u64> = match unit.trim() {
        "" | "B" => Some(1),
        "KiB" => Some(1024),
        "MiB" => Some(1024 * 1024),
        "GiB" => Some(1024 * 1024 * 1024),
        "TiB" => Some(1024 * 1024 * 1024 * 1024),
        _ => None,
    };
    let bytes = digits
        .parse::<u64>()
        .ok()
        .zip(unit)
        .and_then(|(count, unit)| count.checked_mul(unit));
    bytes
        .filter(|bytes| (least..=most).contains(bytes))
        .ok_or_else(|| allowed.to_owned())
}

fn memory(text: &str) -> Parsed<u64> {
    // DOCKER: below 6 MiB the Engine refuses a container.
    size(
        text,
        6 << 20,
        1 << 40,
        "a size from 6MiB to 1024GiB is needed, such as 64MiB",
    )
}

fn scrollback(text: &str) -> Parsed<usize> {
    let bytes = size(
        text,
        64 << 10,
        64 << 20,
        "a size from 64KiB to 64MiB is needed, such as 256KiB",
    )?;
    usize::try_from(bytes).map_err(|_| "more than this machine can address".into())
}

/// xterm.js draws 5 to 35 MB/s and feels sluggish with more than 500 KB waiting; at the default of 128 KiB a Ctrl-C
/// is answered within some 10 ms of drawing.
fn window(text: &str) -> Parsed<usize> {
    let bytes = size(
        text,
        16 << 10,
        32 << 20,
        "a size from 16KiB to 32MiB is needed, such as 128KiB",
    )?;
    usize::try_from(bytes).map_err(|_| "more than this machine can address".into())
}

fn runtime(text: &str) -> Parsed<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if text.is_empty() || !text.bytes().all(allowed) {
        return Err(
            "the name of an OCI runtime that the Engine knows is needed, such as runsc".into(),
        );
    }
    Ok(text.to_owned())
}

fn instance(text: &str) -> Parsed<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    if text.is_empty() || text.len() > 63 || !text.bytes().all(allowed) {
        return Err("a name of letters, digits and . _ - : is needed, 63 at most".into());
    }
    Ok(text.to_owned())
}

fn networks(text: &str) -> Parsed<Networks> {
    let parse = |item: &str| {
        item.parse()
            .or_else(|_| item.parse::<IpAddr>().map(IpNet::from))
            .map(plain)
    };
    let networks: Result<Vec<_>, _> = items(text).map(parse).collect();
    networks
        .map(Networks)
        .map_err(|_| "addresses or networks such as 127.0.0.1,10.0.0.0/8 are needed".into())
}

/// A network of IPv4 addresses written as IPv6 ones (RFC 4291 §2.5.5.2) is one of IPv4, as clients' addresses are.
fn plain(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let address = match network {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped(),
        IpNet::V4(_) => None,
    };
    let bits = network.prefix_len().checked_sub(MAPPED_BITS);
    let mapped = address
        .zip(bits)
        .and_then(|(address, bits)| Ipv4Net::new(address, bits).ok());
    mapped.map_or(network, IpNet::V4)
}

fn origins(text: &str) -> Parsed<Origins> {
    let origins: Parsed<Vec<_>> = items(text).map(origin).collect();
    origins.map(Origins)
}

/// Items between commas; none in an empty text.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// An origin in the spelling that browsers send, whichever the operator uses.
fn origin(text: &str) -> Parsed<String> {
    let form = "origins such as https://play.example.org are needed, without a path";
    // Whoever copies an address out of a browser has a slash at its end.
    let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let (scheme, host) = text.split_once("://").ok_or(form)?;
    let host = host_and_port(host).ok_or(form)?;
    if !matches!(scheme, "http" | "https") {
        return Err(form.into());
    }
    Ok(canonical(&format!("{scheme}://{host}")).into_owned())
}

/// A name or an address, and a port, if that is what it is: another one no browser ever sends.
fn host_and_port(text: &str) -> Option<String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), port),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            // It says that the name is whole (RFC 1034 §3.1), which players leave out.
            let name = name.strip_suffix('.').unwrap_or(name);
            let is_in_labels = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_in_labels);
            (
                name.split('.').all(is_label).then(|| name.to_owned())?,
                port,
            )
        }
    };
    let Some(digits) = port.strip_prefix(':') else {
        return port.is_empty().then_some(host);
    };
    // Rust's own reader takes a sign too.
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    let port: u16 = digits.parse().ok().filter(|_| is_number)?;
    Some(format!("{host}:{port}"))
}

fn frame_ancestors(text: &str) -> Parsed<FrameAncestors> {
    // Whoever knows the policy's own words may quote them.
    let bare = |item: &str| match item {
        "'none'" => "none".to_owned(),
        "'self'" => "self".to_owned(),
        item => item.to_owned(),
    };
    let items: Vec<String> = items(text).map(bare).collect();
    if items.is_empty() || items == ["none"] {
        return Ok(FrameAncestors("'none'".into()));
    }
    let source = |item: &String| match item.as_str() {
        "self" => Ok("'self'".to_owned()),
        item => origin(item),
    };
    let sources: Parsed<Vec<_>> = items.iter().map(source).collect();
    sources
        .map(|sources| FrameAncestors(sources.join(" ")))
        .map_err(|_| {
            "none, or self and origins such as https://school.example.org, with commas, are needed"
                .into()
        })
}

/// Characters that the path in PUBLIC_URL may have: it stands in every link, and in the names of cookies.
const LONGEST_PREFIX: usize = 64;

/// An origin and a path without a slash at its end, which may be empty.
fn public_url(text: &str) -> Parsed<String> {
    let form = "the scheme and host players use are needed, such as https://play.example.org, and a path if it has one, such \
                as https://play.example.org/shell/, of letters, digits, - and _";
    let (host, prefix) = split_prefix(text.strip_suffix('/').unwrap_or(text));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    // Cookies are named after it, so it has no dots; what browsers take out or encode must not be in it either.
    let is_segment = |segment: &str| !segment.is_empty() && segment.bytes().all(is_name);
    let mut segments = prefix.split('/').skip(1);
    if prefix.len() > LONGEST_PREFIX || !segments.all(is_segment) {
        return Err(form.into());
    }
    // Below it and without it the server answers alike, so that the two must not be mistaken for each other.
    if !prefix.is_empty() && route::begins_like_one(prefix) {
        return Err(format!(
            "{prefix} begins like one of the server's own paths; another one is needed, such as https://play.example.org/shell/"
        ));
    }
    origin(host)
        .map(|origin| origin + prefix)
        .map_err(|_| form.into())
}

fn admin_token(text: &str) -> Parsed<String> {
    if text.len() < 16 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("at least 16 printable characters without spaces are needed".into());
    }
    Ok(text.to_owned())
}

fn log_level(text: &str) -> Parsed<LevelFilter> {
    text.parse()
        .ok()
        .filter(|level| *level != LevelFilter::Trace)
        .ok_or_else(|| "one of off, error, warn, info and debug is needed".into())
}

fn log_format(text: &str) -> Parsed<LogFormat> {
    LogFormat::from_str(text, false).map_err(|_| "one of text and json is needed".into())
}

fn data_dir(text: &str) -> Parsed<PathBuf> {
    let path = Path::new(text);
    // One that can't be looked at is told of when it is opened.
    if text.is_empty() || (path.exists() && !path.is_dir()) {
        return Err("a directory, or a name for a new one, is needed".into());
    }
    Ok(path.to_owned())
}

fn redis_url(text: &str) -> Parsed<redis::Url> {
    text.parse::<redis::Url>()
        .map_err(|error| error.to_string())
}

fn directory(text: &str) -> Parsed<PathBuf> {
    let path = PathBuf::from(text);
    if path.is_dir() {
        Ok(path)
    } else {
        Err("an existing directory is needed".into())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

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
}
