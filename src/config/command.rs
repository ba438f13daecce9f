//! What the program can do besides serving, as its command line says it. [`crate::cli`] does it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::session::SessionId;

/// What to do in place of serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List the games on a running server.
    Sessions(Target),
    /// List the servers of a running server's fleet.
    Fleet(Target),
    /// Print an address at which a browser can watch a game; its player is told.
    Watch {
        /// The session's id.
        id: SessionId,
        /// Which server.
        #[command(flatten)]
        target: Target,
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
        target: Target,
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
        target: Target,
    },
    /// Players' spellbooks on a running server.
    #[command(subcommand)]
    Books(Books),
    /// Players' logins on a running server.
    #[command(subcommand)]
    Logins(Logins),
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
        target: Target,
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

/// Which server, and how to tell what it said.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The server's address, or unix:/path; http://METRICS_BIND or http://BIND:PORT without it.
    #[arg(long, env = "SHELLCRAFT_URL", value_name = "URL")]
    pub server: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What to do with players' spellbooks.
#[derive(Debug, Clone, Subcommand)]
pub enum Books {
    /// List the players who have a spellbook.
    List(Target),
    /// Write a player's spellbook, as it was saved last, to a file.
    Export {
        /// The player's name, as the list has it.
        player: String,
        /// The file; standard output without it.
        file: Option<PathBuf>,
        /// Which server.
        #[command(flatten)]
        target: Target,
    },
    /// Remove the spellbooks of players without a login that were neither saved nor loaded for so long.
    Expire {
        /// For how long, such as 90d, at least an hour.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        older_than: Duration,
        /// Only tell how many those are.
        #[arg(long)]
        dry_run: bool,
        /// Which server.
        #[command(flatten)]
        target: Target,
    },
    /// Make a file a player's spellbook, unless they play.
    Import {
        /// The player's name, as the list has it.
        player: String,
        /// The file; - for standard input.
        file: PathBuf,
        /// Which server.
        #[command(flatten)]
        target: Target,
    },
}

/// What to do with players' logins.
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
    pub player: Option<String>,
    /// The `sub` of the player's tokens.
    #[arg(long)]
    pub subject: Option<String>,
}
