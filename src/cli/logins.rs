//! `shellcraft logins revoke|restore|revoked`: whose logins count on a server that runs, over its own HTTP API.
//!
//! No threads. Exit statuses as in [`super::remote`].

use std::process::ExitCode;

use serde_json::{Value, json};

use super::remote::{Error, ask, finish, table};
use crate::auth::PlayerId;
use crate::config::Config;
use crate::config::command::{Logins, Who};

/// Columns of the list: title, field.
const COLUMNS: [(&str, &str); 2] = [("PLAYER", "player"), ("REVOKED", "revoked_at")];

/// Runs the command.
pub fn run(logins: &Logins, config: &Config) -> ExitCode {
    match logins {
        Logins::Revoke { who, target } => {
            let answer = who
                .path()
                .and_then(|path| ask(target, config, "PUT", &path, None));
            finish(target, answer, |answer| {
                format!(
                    "Revoked; {} games go on without their player.\n",
                    answer["sessions"]
                )
            })
        }
        Logins::Restore { who, target } => {
            let answer = who
                .path()
                .and_then(|path| ask(target, config, "DELETE", &path, None));
            let answer = answer.map(|_| json!({"restored": true}));
            finish(target, answer, |_| "Restored.\n".to_owned())
        }
        Logins::Revoked(target) => {
            let answer: Result<Value, Error> = ask(target, config, "GET", "/admin/revoked", None);
            finish(target, answer, |answer| {
                table(&answer["revoked"], &COLUMNS, "Nobody is revoked.\n")
            })
        }
    }
}

impl Who {
    fn path(&self) -> Result<String, Error> {
        let player = match (&self.player, &self.subject) {
            (_, Some(subject)) => PlayerId::of_subject(subject),
            (player, None) => PlayerId::try_from(player.clone().unwrap_or_default())
                .map_err(|cause| Error::BadOrder(cause.to_string()))?,
        };
        Ok(format!("/admin/revoked/{player}"))
    }
}
