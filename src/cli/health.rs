//! `shellcraft health`: whether a server is ready for players, for health checks where there is no shell and no curl.
//!
//! No threads; the one call has a deadline. Asks what strangers may ask, so it needs no token.

use std::time::Duration;

use serde_json::Value;

use super::remote::{Server, public_address};
use crate::config::Config;
use crate::logging::escape;

/// A server that needs longer for this is not well.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asks the server's `/readyz` and prints what it said. True when it is ready.
pub fn run(server: Option<&str>, config: &Config) -> bool {
    let server = match server {
        Some(url) => Server::named(url),
        // Not METRICS_BIND: the question is whether players are served.
        None => public_address(config),
    };
    match ask(&server) {
        Ok(()) => {
            super::say(&format!("{server} is ready.\n"));
            true
        }
        Err(cause) => {
            eprintln!("shellcraft: {server} is not ready: {cause}");
            false
        }
    }
}

fn ask(server: &Server) -> Result<(), String> {
    let away = |cause: ureq::Error| cause.to_string();
    let mut response = server
        .agent(DEADLINE)
        .get(server.url("/readyz"))
        .call()
        .map_err(away)?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().map_err(away)?;
    verdict(status, &text)
}

/// What an answer means.
fn verdict(status: u16, body: &str) -> Result<(), String> {
    if status == 200 {
        return Ok(());
    }
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    Err(match answer["error"]["message"].as_str() {
        // Nothing of it reaches the terminal as an escape sequence.
        Some(message) => escape::for_text(message),
        None => format!("it answers {status}, which no ShellCraft server would here"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, expected: &str) {
        assert_eq!(format!("{:?}", verdict(status, body)), expected);
    }

    #[test]
    fn only_200_is_ready() {
        check(200, "ok", "Ok(())");
        let away =
            r#"{"error": {"code": "store_unavailable", "message": "The store does not answer."}}"#;
        check(503, away, "Err(\"The store does not answer.\")");
        let loading = r#"{"error": {"message": "A shell's image is loaded.\u001b[2J"}}"#;
        check(
            503,
            loading,
            r#"Err("A shell's image is loaded.\\u{1b}[2J")"#,
        );
        for (status, body) in [(302, ""), (404, "<html>"), (503, "{\"error\": 1}")] {
            let expected =
                format!("Err(\"it answers {status}, which no ShellCraft server would here\")");
            check(status, body, &expected);
        }
    }

    #[test]
    fn nobody_there_is_not_ready() {
        // A port that was free a moment ago, on which no server listens.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        for nobody in [&format!("http://{address}"), "no address", "unix:/nowhere"] {
            assert!(ask(&Server::named(nobody)).is_err(), "{nobody}");
        }
    }
}
