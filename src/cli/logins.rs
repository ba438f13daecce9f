//! `shellcraft logins revoke|restore|revoked`: whose logins count on a server that runs, over its own HTTP API.
//!
//! No threads. Exit statuses as in [`super::remote`].

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::remote::{Error, Target, ask, finish, table};
use crate::config::Config;
use crate::session::store::PlayerId;

/// Columns of the list: title, field.
const COLUMNS: [(&str, &str); 2] = [("PLAYER", "player"), ("REVOKED", "revoked_at")];

/// What to do with them.
#[derive(Debug, Clone, Subcommand)]
pub enum Logins {
    /// End a player's logins: all tokens and cookies of before count no longer, and open terminals are closed.
    Revoke {
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// Which server.
        #[command(flatten)]
        target: Target,
    },
    /// Take that back.
    Restore {
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// Which server.
        #[command(flatten)]
        target: Target,
    },
    /// List the players whose logins were revoked.
    Revoked(Target),
}

/// A player, by either of two names.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct Who {
    /// The player's name, as `shellcraft sessions --json` has it.
    player: Option<String>,
    /// The `sub` of the player's tokens.
    #[arg(long)]
    subject: Option<String>,
}

/// Does it.
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
