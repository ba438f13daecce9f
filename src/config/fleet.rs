//! The settings of a server that is one of several behind one address, and what of them fits together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::Config;
use super::parse::{Parsed, duration, socket_address};
use crate::auth::{self, Mode};
use crate::fleet::hello::NAME_MOST_BYTES;
use crate::fleet::lease::{SHORTEST_LEASE, Times};
use crate::fleet::record::is_reserved;
use crate::fleet::secret::FleetSecret;
use crate::fleet::table::DIGEST_KIND;

/// The network of carriers' own addresses (RFC 6598), which no one reaches from outside.
const CARRIERS: (Ipv4Addr, u32) = (Ipv4Addr::new(100, 64, 0, 0), 10);

/// How many hexadecimal digits of the settings' digest are told: enough to tell a few dozen servers' settings apart.
const DIGEST_DIGITS: usize = 16;

/// A server that is one of several.
// The words are the help of the command line, too.
#[allow(rustdoc::bare_urls)]
#[derive(Debug, Clone, Args)]
pub struct Peers {
    /// Private address and port on which the other servers of a fleet reach this one, such as 10.0.0.5:7070; turns the
    /// fleet on. Needs REDIS_URL, the same for all, and FLEET_SECRET_FILE.
    #[arg(long, env = "PEER_BIND", value_parser = socket_address)]
    pub peer_bind: Option<SocketAddr>,

    /// How the others reach that address, where they don't under PEER_BIND itself, such as http://host-5.internal:7070.
    #[arg(long, env = "PEER_URL", value_parser = peer_url)]
    pub peer_url: Option<String>,

    /// File with the secret that all servers of a fleet share: a line of at least 32 characters, and while it changes a
    /// second one. Only its owner may be able to open it.
    #[arg(long, env = "FLEET_SECRET_FILE", value_name = "FILE")]
    pub fleet_secret_file: Option<PathBuf>,

    /// Allows a PEER_BIND that strangers may reach. What players type goes over that wire unencrypted.
    #[arg(long, env = "PEER_INSECURE", value_parser = BoolishValueParser::new())]
    pub peer_insecure: bool,

    /// How long a server may be silent before the others take it for dead, from 3s on; the same for all.
    #[arg(long, env = "LEASE", default_value = "10s", value_parser = lease)]
    pub lease: Duration,

    /// How long a server that was stopped may be away before the others take it for dead; the same for all.
    #[arg(long, env = "AWAY", default_value = "60s", value_parser = duration)]
    pub away: Duration,
}

/// What a server in a fleet needs to know.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// Where the others reach it.
    pub bind: SocketAddr,
    /// How they reach it, as `host:port`, if not at that address.
    pub address: Option<String>,
    /// What all of them know.
    pub secret: FleetSecret,
    /// The fleet's times.
    pub times: Times,
    /// A digest of the settings that should be the same on all of them.
    pub digest: String,
}

impl Peers {
    /// What the server needs of all this; nothing without `PEER_BIND`.
    ///
    /// # Errors
    /// A line for the operator.
    pub(super) fn settings(&self, has_redis: bool, instance: &str) -> Parsed<Option<Fleet>> {
        let Some(bind) = self.peer_bind else {
            let unused = [
                ("PEER_URL", self.peer_url.is_some()),
                ("FLEET_SECRET_FILE", self.fleet_secret_file.is_some()),
            ];
            return match unused.into_iter().find(|(_, is_set)| *is_set) {
                Some((name, _)) => Err(format!("{name} says nothing without PEER_BIND")),
                None => Ok(None),
            };
        };
        if !has_redis {
            return Err("PEER_BIND needs REDIS_URL: a fleet's servers share one Redis".into());
        }
        let Some(path) = &self.fleet_secret_file else {
            return Err("PEER_BIND needs FLEET_SECRET_FILE: a file with what openssl rand -hex 32 prints, the same on all hosts".into());
        };
        if !is_private(bind.ip()) && !self.peer_insecure {
            return Err(format!(
                "PEER_BIND is {bind}, which strangers may reach: take a private address, or set PEER_INSECURE=true"
            ));
        }
        if bind.ip().is_unspecified() && self.peer_url.is_none() {
            return Err(format!(
                "PEER_BIND is {bind}, which is every address of this host: say in PEER_URL how the others reach it"
            ));
        }
        if self.away < self.lease {
            return Err("AWAY can't be shorter than LEASE".into());
        }
        if is_reserved(instance) || instance.len() > NAME_MOST_BYTES {
            return Err(format!(
                "INSTANCE can't be {instance:?} in a fleet: that name is taken for keys in Redis, or too long"
            ));
        }
        Ok(Some(Fleet {
            bind,
            address: self.peer_url.clone(),
            secret: FleetSecret::read(path).map_err(|error| error.to_string())?,
            times: Times {
                lease: self.lease,
                away: self.away,
            },
            digest: String::new(),
        }))
    }
}

impl Config {
    /// A digest of the settings that should be the same on all servers of a fleet: what players meet wherever they are
    /// served, who is let in, and the fleet's times. How large a server is, and where, is each one's own.
    pub(super) fn fleet_digest(&self) -> String {
        // Not the token's own digest: who reads Redis could guess at a weak one.
        let has_operator = self.admin_token.is_some();
        let mode = match &self.auth_settings.mode {
            Mode::Anonymous => "anonymous",
            Mode::Jwt(_) => "jwt",
        };
        let players = (
            &self.shells,
            &self.public_url,
            &self.allowed_origins,
            &self.frame_ancestors,
            mode,
            has_operator,
        );
        let limits = (
            self.idle_timeout,
            self.max_lifetime,
            self.sessions_per_player,
            self.sessions_per_address,
            self.rate_limit,
            self.connections_per_address,
            self.input_rate,
            self.message_rate,
            self.books_quota,
            self.book_expiry,
        );
        let containers = (
            self.memory_limit,
            self.cpu_limit,
            self.pids_limit,
            &self.runtime,
        );
        let times = (self.peers.lease, self.peers.away);
        let all = format!("{players:?} {limits:?} {containers:?} {times:?}");
        let digest = auth::digest(&all);
        format!("{DIGEST_KIND}-{}", &digest[..DIGEST_DIGITS])
    }
}

/// Whether only machines that the operator lets in can reach this address.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let (network, bits) = CARRIERS;
            let is_a_carrier_s = (ip.to_bits() ^ network.to_bits()) >> (32 - bits) == 0;
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || is_a_carrier_s
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

fn lease(text: &str) -> Parsed<Duration> {
    let lease = duration(text)?;
    if lease < SHORTEST_LEASE {
        return Err("at least 3s are needed".into());
    }
    Ok(lease)
}

/// `http://host:port`, of which the host and the port are kept.
fn peer_url(text: &str) -> Parsed<String> {
    let form = "an address such as http://host-5.internal:7070 is needed";
    let address = text.strip_prefix("http://").ok_or(form)?;
    let address = address.strip_suffix('/').unwrap_or(address);
    let (host, port) = address.rsplit_once(':').ok_or(form)?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    if host.is_empty() || !is_port || !host.bytes().all(is_host) {
        return Err(form.into());
    }
    Ok(address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_addresses_are_private() {
        for (ip, expected) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("192.168.0.1", true),
            ("100.64.0.1", true),
            ("100.127.255.255", true),
            ("169.254.1.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("::ffff:10.0.0.1", true),
            ("100.128.0.1", false),
            ("172.32.0.1", false),
            ("203.0.113.9", false),
            ("0.0.0.0", false),
            ("::", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_private(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[test]
    fn how_the_others_reach_a_server() {
        for (text, address) in [
            ("http://host-5.internal:7070", Some("host-5.internal:7070")),
            ("http://10.0.0.5:7070/", Some("10.0.0.5:7070")),
            ("http://[fd00::5]:7070", Some("[fd00::5]:7070")),
            ("https://host:7070", None),
            ("http://host", None),
            ("http://:7070", None),
            ("http://host:0", None),
            ("http://host:x", None),
            ("http://host:7070/path", None),
            ("http://me:secret@host:7070", None),
            ("host:7070", None),
        ] {
            assert_eq!(peer_url(text).ok().as_deref(), address, "{text}");
        }
    }
}
