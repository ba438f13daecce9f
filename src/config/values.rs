//! What settings can be, where a number or a text would not say it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::session::Shell;
use crate::session::rates::Rate;

/// Where to listen, the port apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// At an address.
    Ip(IpAddr),
    /// At a Unix socket of this path.
    Unix(PathBuf),
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
pub struct PerSecond(pub Option<u32>);
