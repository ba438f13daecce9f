//! `shellcraft sessions|fleet|watch|end|notice|drain`: an operator's orders to a server that runs, over its own HTTP API.
//!
//! No threads; every call has a deadline. Exit status 0: done; 1: the server said no, or nothing; 2: the order itself
//! makes no sense.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Request;

use crate::config::command::Target;
use crate::config::{Bind, Config};
use crate::engine;
use crate::logging::escape;
use crate::session::SessionId;

/// Ending a game waits for the Engine, as long as the server does and a little more.
pub(super) const DEADLINE: Duration = Duration::from_secs(25);
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Columns of the table: title, field, and how a number is shown.
const COLUMNS: [(&str, &str); 12] = [
    ("SESSION", "session_id"),
    // The session's name in the server's log.
    ("LOG", "log_name"),
    ("SHELL", "shell"),
    ("STATE", "state"),
    ("AGE", "age_seconds"),
    ("IDLE", "idle_seconds"),
    ("MEMORY", "memory_bytes"),
    ("CPU", "cpus"),
    ("IN", "bytes_in"),
    ("OUT", "bytes_out"),
    ("VIEWERS", "viewers"),
    ("PEER", "peer"),
];

/// Columns of the fleet's table.
const FLEET_COLUMNS: [(&str, &str); 10] = [
    ("INSTANCE", "name"),
    ("NUMBER", "number"),
    ("EPOCH", "epoch"),
    ("STATE", "state"),
    ("VERSION", "version"),
    ("ENGINE", "engine_up"),
    ("GAMES", "playing"),
    ("ROOM", "room"),
    ("OTHER SETTINGS", "settings_differ"),
    ("PEER", "peer_url"),
];

/// Why an order was not carried out; one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("there is no ADMIN_TOKEN: set it to the token that the server was started with")]
    NoToken,
    #[error("{0} is no address of a server; it looks like http://127.0.0.1:8080")]
    BadServer(String),
    #[error("{0}")]
    BadOrder(String),
    #[error(
        "{server} does not answer: {cause}. Does the server run there? --server URL names another one"
    )]
    NoServer { server: String, cause: String },
    #[error("the server does not take this ADMIN_TOKEN")]
    WrongToken,
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// 2 for what the operator wrote, 1 for what the server did.
    fn status(&self) -> u8 {
        match self {
            Error::NoToken | Error::BadServer(_) | Error::BadOrder(_) => 2,
            Error::NoServer { .. } | Error::WrongToken | Error::Refused(_) => 1,
        }
    }
}

/// `shellcraft sessions`
pub fn sessions(target: &Target, config: &Config) -> ExitCode {
    let answer = ask(target, config, "GET", "/sessions", None);
    finish(target, answer, |answer| {
        table(&answer["sessions"], &COLUMNS, "No games.\n")
    })
}

/// `shellcraft fleet`
pub fn fleet(target: &Target, config: &Config) -> ExitCode {
    let answer = ask(target, config, "GET", "/fleet", None);
    finish(target, answer, |answer| {
        table(&answer["instances"], &FLEET_COLUMNS, "No servers yet.\n")
    })
}

/// `shellcraft watch ID`. The address is opened in a browser and not shown here: what a game prints could do anything to
/// an operator's terminal.
pub fn watch(id: SessionId, target: &Target, config: &Config) -> ExitCode {
    let path = format!("/session/{}/watch", id.to_text());
    let answer = ask(target, config, "POST", &path, None);
    finish(target, answer, |answer| {
        let url = answer["watch_url"].as_str().unwrap_or_default();
        format!("{}\n", escape::for_text(url))
    })
}

/// `shellcraft end ID`
pub fn end(id: SessionId, target: &Target, config: &Config) -> ExitCode {
    let path = format!("/session/{}", id.to_text());
    let answer = ask(target, config, "DELETE", &path, None);
    let answer = answer.map(|_| json!({"session_id": id, "ended": true}));
    finish(target, answer, |_| format!("{} has ended.\n", id.to_text()))
}

/// `shellcraft end --all`
pub fn end_all(target: &Target, config: &Config) -> ExitCode {
    let answer = ask(target, config, "DELETE", "/sessions", None);
    finish(target, answer, |answer| {
        let (ended, ending) = (&answer["ended"], &answer["ending"]);
        match ending.as_u64() {
            Some(1..) => format!("{ended} games have ended, {ending} are about to.\n"),
            _ => format!("{ended} games have ended.\n"),
        }
    })
}

/// `shellcraft notice ID TEXT`
pub fn notice(
    words: &[String],
    is_for_all: bool,
    is_urgent: bool,
    target: &Target,
    config: &Config,
) -> ExitCode {
    let answer = addressee(words, is_for_all).and_then(|(id, text)| {
        let level = if is_urgent { "warning" } else { "info" };
        let body = json!({"session_id": id, "level": level, "text": text});
        ask(target, config, "POST", "/admin/notice", Some(&body))
    });
    finish(target, answer, |answer| {
        format!("Shown in {} games.\n", answer["sessions"])
    })
}

/// `shellcraft drain`
pub fn drain(after: Option<Duration>, target: &Target, config: &Config) -> ExitCode {
    let body = after.map(|after| json!({"after_seconds": after.as_secs()}));
    let answer = ask(target, config, "POST", "/admin/drain", body.as_ref());
    finish(target, answer, |answer| {
        let (games, when) = (&answer["sessions"], &answer["ends_in_seconds"]);
        let when = when.as_u64().map(|left| format!(" in {left} s"));
        let when = when.unwrap_or_default();
        format!("{games} games are being saved and removed; the server ends{when}.\n")
    })
}

/// `shellcraft drain --undo`
pub fn undo_drain(target: &Target, config: &Config) -> ExitCode {
    let answer = ask(target, config, "DELETE", "/admin/drain", None);
    finish(target, answer, |answer| {
        format!("The server goes on, with {} games.\n", answer["sessions"])
    })
}

/// For whom a notice is, and what it says.
fn addressee(words: &[String], is_for_all: bool) -> Result<(Option<SessionId>, String), Error> {
    if is_for_all {
        return Ok((None, words.join(" ")));
    }
    let (first, text) = words.split_first().unwrap_or((&words[0], &[]));
    let id = first.parse().map_err(|_| {
        Error::BadOrder(format!(
            "{first:?} is no session's id; use --all to tell everybody"
        ))
    })?;
    if text.is_empty() {
        return Err(Error::BadOrder("say what the notice is to say".into()));
    }
    Ok((Some(id), text.join(" ")))
}

pub(super) fn finish(
    target: &Target,
    answer: Result<Value, Error>,
    show: impl Fn(&Value) -> String,
) -> ExitCode {
    match answer {
        Ok(answer) if target.json => super::say(&format!("{answer}\n")),
        Ok(answer) => super::say(&show(&answer)),
        Err(error) => {
            eprintln!("shellcraft: {error}");
            return ExitCode::from(error.status());
        }
    }
    ExitCode::SUCCESS
}

pub(super) fn ask(
    target: &Target,
    config: &Config,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Error> {
    ask_within(DEADLINE, target, config, method, path, body)
}

/// Like [`ask`], with a deadline of its own.
pub(super) fn ask_within(
    deadline: Duration,
    target: &Target,
    config: &Config,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Error> {
    let body = body.map_or(String::new(), Value::to_string);
    let answer = exchange(
        deadline,
        target,
        config,
        method,
        path,
        "application/json",
        body.as_bytes(),
    )?;
    Ok(serde_json::from_slice(&answer).unwrap_or_default())
}

/// Sends a body of any kind, and returns the answer's body.
pub(super) fn exchange(
    deadline: Duration,
    target: &Target,
    config: &Config,
    method: &str,
    path: &str,
    content_type: &str,
    body: &[u8],
) -> Result<Vec<u8>, Error> {
    let token = config.admin_token.as_deref().ok_or(Error::NoToken)?;
    let server = match &target.server {
        Some(url) => Server::named(url),
        None => own_address(config),
    };
    let request = Request::builder()
        .method(method)
        .uri(server.url(path))
        .header("Authorization", format!("Bearer {token}"))
        .header("Content-Type", content_type)
        .body(body)
        .map_err(|_| Error::BadServer(server.to_string()))?;
    let away = |cause: ureq::Error| Error::NoServer {
        server: server.to_string(),
        cause: cause.to_string(),
    };
    let mut response = server.agent(deadline).run(request).map_err(away)?;
    let status = response.status().as_u16();
    let answer = response.body_mut().read_to_vec().map_err(away)?;
    if matches!(status, 200..=299) {
        return Ok(answer);
    }
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    match status {
        401 => Err(Error::WrongToken),
        _ => Err(Error::Refused(match answer["error"]["message"].as_str() {
            Some(message) => escape::for_text(message),
            None => format!("{server} answers {status}, which no ShellCraft server would here"),
        })),
    }
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Server {
    /// The start of its addresses, without a slash at the end.
    Url(String),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Server::Url(url) => out.write_str(url),
            Server::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

impl Server {
    /// As an operator writes it: an address, or `unix:` and a path.
    pub(super) fn named(text: &str) -> Server {
        match text.strip_prefix("unix:") {
            Some(path) => Server::Unix(path.into()),
            None => Server::Url(text.trim_end_matches('/').to_owned()),
        }
    }

    fn at(address: SocketAddr) -> Server {
        Server::Url(format!("http://{}", reachable(address)))
    }

    /// The address of a route.
    pub(super) fn url(&self, path: &str) -> String {
        match self {
            Server::Url(url) => format!("{url}{path}"),
            // The name is for the Host header only.
            Server::Unix(_) => format!("http://localhost{path}"),
        }
    }

    /// A client of this server that gives up after `deadline`.
    pub(super) fn agent(&self, deadline: Duration) -> Agent {
        let config = Agent::config_builder()
            .timeout_global(Some(deadline))
            .timeout_connect(Some(CONNECT_DEADLINE))
            .http_status_as_error(false)
            // The token goes where the operator said and nowhere else: not through the environment's HTTP_PROXY either.
            .proxy(None)
            .max_redirects(0)
            .build();
        match self {
            Server::Url(_) => Agent::new_with_config(config),
            Server::Unix(path) => engine::agent_at(config, path, CONNECT_DEADLINE),
        }
    }
}

/// Where a server with these settings takes orders from its own host.
fn own_address(config: &Config) -> Server {
    match config.metrics_bind {
        Some(address) => Server::at(address),
        None => public_address(config),
    }
}

/// Where players of a server with these settings are served, as its own host reaches it.
pub(super) fn public_address(config: &Config) -> Server {
    match &config.bind {
        Bind::Ip(ip) => Server::at(SocketAddr::new(*ip, config.port)),
        Bind::Unix(path) => Server::Unix(path.clone()),
    }
}

/// Where a server that listens at this address is reached from its own host.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        });
    }
    address
}

/// A list for people, with these columns; `none` where it is empty.
pub(super) fn table(list: &Value, columns: &[(&str, &str)], none: &str) -> String {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    if list.is_empty() {
        return none.into();
    }
    let titles = columns.iter().map(|(title, _)| (*title).to_owned());
    let mut rows: Vec<Vec<String>> = vec![titles.collect()];
    rows.extend(list.iter().map(|one| {
        let cells = columns.iter();
        cells.map(|(_, field)| cell(field, &one[*field])).collect()
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
    rows.iter().fold(String::new(), |mut text, row| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        // Writing to a text never fails.
        let _ = writeln!(text, "{}", line.trim_end());
        text
    })
}

fn cell(field: &str, value: &Value) -> String {
    match (field, value.as_f64(), value.as_str()) {
        ("age_seconds" | "idle_seconds", Some(seconds), _) => {
            humantime::format_duration(Duration::from_secs(seconds as u64)).to_string()
        }
        ("cpus", Some(cpus), _) => format!("{:.0}%", cpus * 100.0),
        (_, Some(bytes), _) if field.contains("bytes") && bytes >= 1024.0 * 1024.0 => {
            format!("{:.1}MiB", bytes / (1024.0 * 1024.0))
        }
        (_, Some(number), _) => number.to_string(),
        ("engine_up", ..) if value.is_boolean() => word(value, "up", "away"),
        (_, _, None) if value.is_boolean() => word(value, "yes", "no"),
        // Nothing of it reaches the terminal as an escape sequence.
        (_, _, Some(text)) => escape::for_text(text),
        _ => "-".into(),
    }
}

fn word(value: &Value, yes: &str, no: &str) -> String {
    let word = if *value == true { yes } else { no };
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_a_table() {
        let instances = json!([{
            "name": "a", "number": 1, "epoch": 7, "state": "up", "version": "1", "engine_up": true,
            "playing": 3, "room": 4, "settings_differ": false, "peer_url": "http://10.0.0.1:7070",
        }, {
            "name": "b", "number": 2, "epoch": 8, "state": "away", "version": "1", "engine_up": false,
            "playing": 0, "room": 7, "settings_differ": true, "peer_url": "http://10.0.0.2:7070",
        }]);
        assert_eq!(
            table(&instances, &FLEET_COLUMNS, ""),
            "INSTANCE  NUMBER  EPOCH  STATE  VERSION  ENGINE  GAMES  ROOM  OTHER SETTINGS  PEER\n\
             a         1       7      up     1        up      3      4     no              http://10.0.0.1:7070\n\
             b         2       8      away   1        away    0      7     yes             http://10.0.0.2:7070\n"
        );
    }

    #[test]
    fn sessions_are_a_table() {
        let sessions = json!([{
            "session_id": "f47ac10b", "log_name": "8f400c25", "shell": "ru\u{1b}st",
            "state": "running", "age_seconds": 61, "idle_seconds": 0, "memory_bytes": 3_145_728, "cpus": 0.5, "bytes_in": 5, "bytes_out": 7,
            "viewers": 1, "peer": null,
        }]);
        assert_eq!(
            table(&sessions, &COLUMNS, ""),
            "SESSION   LOG       SHELL       STATE    AGE    IDLE  MEMORY  CPU  IN  OUT  VIEWERS  PEER\n\
             f47ac10b  8f400c25  ru\\u{1b}st  running  1m 1s  0s    3.0MiB  50%  5   7    1        -\n"
        );
        assert_eq!(table(&json!([]), &COLUMNS, "No games.\n"), "No games.\n");
    }

    #[test]
    fn a_server_on_all_addresses_is_reached_on_loopback() {
        for (listens, reached) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            let listens = listens.parse().expect("an address");
            assert_eq!(reachable(listens).to_string(), reached);
        }
    }

    #[test]
    fn a_notice_is_for_one_or_for_all() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let id = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
        let one = addressee(&words(&format!("{id} two words")), false).expect("an order");
        assert_eq!(one, (id.parse().ok(), "two words".to_owned()));
        let all = addressee(&words("two words"), true).expect("an order");
        assert_eq!(all, (None, "two words".to_owned()));
        for bad in [id, "hello all"] {
            let error = addressee(&words(bad), false).expect_err("no order");
            assert_eq!(error.status(), 2, "{bad}");
        }
    }
}
