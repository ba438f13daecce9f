//! From the text of a setting to its value. What is wrong is said as what is allowed.

use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use ipnet::{IpNet, Ipv4Net};
use log::LevelFilter;

use super::values::{
    Bind, BookExpiry, BooksQuota, FrameAncestors, Networks, Origins, PerSecond, RateLimit, Shells,
};
use crate::http::origin::{canonical, split_prefix};
use crate::http::route;
use crate::logging::LogFormat;
use crate::redis;
use crate::session::Shell;
use crate::session::rates::Rate;

pub(super) type Parsed<T> = Result<T, String>;

pub(super) fn port(text: &str) -> Parsed<u16> {
    text.parse()
        .map_err(|_| "a port is a number from 0 to 65535".into())
}

pub(super) fn bind(text: &str) -> Parsed<Bind> {
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

pub(super) fn socket_address(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| {
        "an IP address and a port such as 127.0.0.1:9090 or [::1]:9090 is needed".into()
    })
}

pub(super) fn docker_host(text: &str) -> Parsed<String> {
    crate::engine::Engine::new(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

pub(super) fn shells(text: &str) -> Parsed<Shells> {
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

pub(super) fn image(text: &str) -> Parsed<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    if text.is_empty() || text.len() > 255 || !text.bytes().all(allowed) {
        return Err("an image's name such as shellcraft/rust:latest is needed".into());
    }
    Ok(text.to_owned())
}

pub(super) fn duration(text: &str) -> Parsed<Duration> {
    let form = "a duration above zero is needed, such as 30s, 15m or 2h";
    let duration = humantime::parse_duration(text).map_err(|_| form)?;
    // A year is more than anybody means, and keeps all sums of durations within range.
    if duration.is_zero() || duration > Duration::from_secs(366 * 24 * 3600) {
        return Err(form.into());
    }
    Ok(duration)
}

pub(super) fn count(text: &str) -> Parsed<usize> {
    in_range(text, 1, 100_000, "a number")
}

pub(super) fn rate_limit(text: &str) -> Parsed<RateLimit> {
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

pub(super) fn books_quota(text: &str) -> Parsed<BooksQuota> {
    let form = "a size from 1MiB to 1024TiB is needed, such as 10GiB, or off";
    if text == "off" {
        return Ok(BooksQuota(None));
    }
    size(text, 1 << 20, 1 << 50, form).map(Some).map(BooksQuota)
}

pub(super) fn book_expiry(text: &str) -> Parsed<BookExpiry> {
    if text == "off" {
        return Ok(BookExpiry(None));
    }
    let form = "a duration from 1h to 100years is needed, such as 180d, or off";
    let range = Duration::from_secs(3600)..=Duration::from_secs(101 * 366 * 24 * 3600);
    let duration = humantime::parse_duration(text).map_err(|_| form)?;
    let expiry = Some(duration).filter(|duration| range.contains(duration));
    expiry.ok_or_else(|| form.into()).map(Some).map(BookExpiry)
}

pub(super) fn input_rate(text: &str) -> Parsed<PerSecond> {
    let form = "a size from 1KiB to 1GiB is needed, such as 512KiB, or off";
    if text == "off" {
        return Ok(PerSecond(None));
    }
    let bytes = size(text, 1 << 10, 1 << 30, form)?;
    Ok(PerSecond(u32::try_from(bytes).ok()))
}

pub(super) fn message_rate(text: &str) -> Parsed<PerSecond> {
    if text == "off" {
        return Ok(PerSecond(None));
    }
    in_range(text, 10, 1_000_000, "off or a number")
        .map(Some)
        .map(PerSecond)
}

pub(super) fn pool_size(text: &str) -> Parsed<usize> {
    in_range(text, 0, 1000, "a number")
}

pub(super) fn pids(text: &str) -> Parsed<u32> {
    in_range(text, 4, 32_768, "a number")
}

pub(super) fn in_range<T: std::str::FromStr + PartialOrd + Display>(
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

pub(super) fn cpus(text: &str) -> Parsed<f64> {
    in_range(text, 0.01, 1024.0, "a number of processors")
}

pub(super) fn size(text: &str, least: u64, most: u64, allowed: &str) -> Parsed<u64> {
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

pub(super) fn memory(text: &str) -> Parsed<u64> {
    // DOCKER: below 6 MiB the Engine refuses a container.
    size(
        text,
        6 << 20,
        1 << 40,
        "a size from 6MiB to 1024GiB is needed, such as 64MiB",
    )
}

pub(super) fn scrollback(text: &str) -> Parsed<usize> {
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
pub(super) fn window(text: &str) -> Parsed<usize> {
    let bytes = size(
        text,
        16 << 10,
        32 << 20,
        "a size from 16KiB to 32MiB is needed, such as 128KiB",
    )?;
    usize::try_from(bytes).map_err(|_| "more than this machine can address".into())
}

pub(super) fn runtime(text: &str) -> Parsed<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if text.is_empty() || !text.bytes().all(allowed) {
        return Err(
            "the name of an OCI runtime that the Engine knows is needed, such as runsc".into(),
        );
    }
    Ok(text.to_owned())
}

pub(super) fn instance(text: &str) -> Parsed<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    if text.is_empty() || text.len() > 63 || !text.bytes().all(allowed) {
        return Err("a name of letters, digits and . _ - : is needed, 63 at most".into());
    }
    Ok(text.to_owned())
}

pub(super) fn networks(text: &str) -> Parsed<Networks> {
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
pub(super) fn plain(network: IpNet) -> IpNet {
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

pub(super) fn origins(text: &str) -> Parsed<Origins> {
    let origins: Parsed<Vec<_>> = items(text).map(origin).collect();
    origins.map(Origins)
}

/// Items between commas; none in an empty text.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// An origin in the spelling that browsers send, whichever the operator uses.
pub(super) fn origin(text: &str) -> Parsed<String> {
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
pub(super) fn host_and_port(text: &str) -> Option<String> {
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

pub(super) fn frame_ancestors(text: &str) -> Parsed<FrameAncestors> {
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
pub(super) const LONGEST_PREFIX: usize = 64;

/// An origin and a path without a slash at its end, which may be empty.
pub(super) fn public_url(text: &str) -> Parsed<String> {
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

pub(super) fn admin_token(text: &str) -> Parsed<String> {
    if text.len() < 16 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("at least 16 printable characters without spaces are needed".into());
    }
    Ok(text.to_owned())
}

pub(super) fn log_level(text: &str) -> Parsed<LevelFilter> {
    text.parse()
        .ok()
        .filter(|level| *level != LevelFilter::Trace)
        .ok_or_else(|| "one of off, error, warn, info and debug is needed".into())
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    LogFormat::from_str(text, false).map_err(|_| "one of text and json is needed".into())
}

pub(super) fn data_dir(text: &str) -> Parsed<PathBuf> {
    let path = Path::new(text);
    // One that can't be looked at is told of when it is opened.
    if text.is_empty() || (path.exists() && !path.is_dir()) {
        return Err("a directory, or a name for a new one, is needed".into());
    }
    Ok(path.to_owned())
}

pub(super) fn redis_url(text: &str) -> Parsed<redis::Url> {
    text.parse::<redis::Url>()
        .map_err(|error| error.to_string())
}

pub(super) fn directory(text: &str) -> Parsed<PathBuf> {
    let path = PathBuf::from(text);
    if path.is_dir() {
        Ok(path)
    } else {
        Err("an existing directory is needed".into())
    }
}
