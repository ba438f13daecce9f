//! What the program does besides serving: `shellcraft sessions|watch|end|notice|drain`, `health`, `doctor` and `selftest`.
//!
//! * [`remote`], [`books`], [`logins`]: the operator's orders to a server that runs. * [`health`]: whether it is ready.
//!
//! * [`doctor`]: what on this host is missing or unsafe. * [`selftest`]: real sessions, attacked from inside.
//! * [`attack`]: the attacker itself, which runs in containers of the two. * [`finding`]: how they all report.
//!
//! * [`files`]: what an operator needs beside the binary. * [`install`]: puts it in its places.
//!
//! Each is a list of findings and an exit status. No threads but those that a command says it has.

pub mod attack;
pub mod books;
pub mod doctor;
pub mod files;
pub mod finding;
pub mod health;
pub mod install;
pub mod logins;
pub mod remote;
pub mod selftest;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use crate::config::Config;
use crate::session::SessionId;

/// What to do in place of serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List the games on a running server.
    Sessions(remote::Target),
    /// Print an address at which a browser can watch a game; its player is told.
    Watch {
        /// The session's id.
        id: SessionId,
        /// Which server.
        #[command(flatten)]
        target: remote::Target,
    },
    /// End a game on a running server; its spellbook is kept.
    End {
        /// The session's id.
        #[arg(required_unless_present = "all")]
        id: Option<SessionId>,
        /// End all games.
        #[arg(long, conflicts_with = "id")]
        all: bool,
        /// Which server.
        #[command(flatten)]
        target: remote::Target,
    },
    /// Show a sentence on a game's pages.
    Notice {
        /// The session's id, followed by the sentence; with --all only the sentence.
        #[arg(required = true, num_args = 1.., value_name = "[ID] TEXT")]
        words: Vec<String>,
        /// On every game's pages.
        #[arg(long)]
        all: bool,
        /// Make it a warning.
        #[arg(long)]
        urgent: bool,
        /// Which server.
        #[command(flatten)]
        target: remote::Target,
    },
    /// Players' spellbooks on a running server.
    #[command(subcommand)]
    Books(books::Books),
    /// Players' logins on a running server.
    #[command(subcommand)]
    Logins(logins::Logins),
    /// Turn newcomers away, tell every page, save and remove all games, and end the server.
    Drain {
        /// Do so in so long, such as 10m, at most a day; until then only newcomers are turned away.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        after: Option<Duration>,
        /// Take an order with --after back, and let newcomers in again.
        #[arg(long, conflicts_with = "after")]
        undo: bool,
        /// Which server.
        #[command(flatten)]
        target: remote::Target,
    },
    /// Ask a running server whether it is ready for players; the exit status tells.
    Health {
        /// The server's address; http://BIND:PORT without it.
        #[arg(long, env = "SHELLCRAFT_URL", value_name = "URL")]
        server: Option<String>,
    },
    /// List the files for operators, or print one: systemd unit, proxies' configurations, dashboards.
    Files {
        /// The file to print.
        name: Option<String>,
    },
    /// Put binary, systemd units and settings in their places; a file that is there stays as it is.
    Install {
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
        /// Below another folder.
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
    },
    /// Tell what on this host is missing or unsafe.
    Doctor {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Start real sessions on the Engine and attack them from inside; takes a minute or two.
    Selftest {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
        /// Only attacks whose name has this in it: look, fork-bomb, memory-bomb…
        #[arg(long)]
        only: Option<String>,
    },
}

/// Writes to standard output. Whoever has read enough may have closed it: that is no reason to end, nor to fail.
pub fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Does it. The status is 0 when all went well, 1 when not, 2 for an order that makes no sense.
pub fn run(command: &Command, config: &Config) -> ExitCode {
    let is_well = match command {
        Command::Sessions(target) => return remote::sessions(target, config),
        Command::Watch { id, target } => return remote::watch(*id, target, config),
        Command::End { id, target, .. } => {
            return match id {
                Some(id) => remote::end(*id, target, config),
                None => remote::end_all(target, config),
            };
        }
        Command::Notice {
            words,
            all,
            urgent,
            target,
        } => return remote::notice(words, *all, *urgent, target, config),
        Command::Books(books) => return books::run(books, config),
        Command::Logins(logins) => return logins::run(logins, config),
        Command::Drain {
            undo: true, target, ..
        } => return remote::undo_drain(target, config),
        Command::Drain { after, target, .. } => return remote::drain(*after, target, config),
        Command::Health { server } => health::run(server.as_deref(), config),
        Command::Files { name } => files::run(name.as_deref()),
        Command::Install { dry_run, root } => install::run(root, *dry_run),
        Command::Doctor { json } => doctor::run(config, *json),
        Command::Selftest { json, only } => selftest::run(config, *json, only.as_deref()),
    };
    match is_well {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
