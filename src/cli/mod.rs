//! What the program does besides serving: `shellcraft sessions|fleet|watch|end|notice|drain`, `books`, `logins`, `health`,
//! `files`, `install`, `doctor` and `selftest`.
//!
//! * [`remote`], [`books`], [`logins`]: the operator's orders to a server that runs. * [`health`]: whether it is ready.
//!
//! * [`doctor`]: what on this host is missing or unsafe. * [`selftest`]: real sessions, attacked from inside.
//! * [`attack`]: the attacker itself, which runs in containers of the two. * [`finding`]: how they all report.
//!
//! * [`files`]: what an operator needs beside the binary. * [`install`]: puts it in its places.
//!
//! [`doctor`] and [`selftest`] print a list of findings; each command ends with an exit status. No threads but those
//! that a command says it has.

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
use std::process::ExitCode;

use crate::config::Config;
use crate::config::command::Command;

/// Writes to standard output. A reader that has read enough may have closed it, which is no reason to end or to fail.
pub fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Runs a command. The status is 0 when all went well, 1 when not, 2 for an order that makes no sense.
pub fn run(command: &Command, config: &Config) -> ExitCode {
    let is_well = match command {
        Command::Sessions(target) => return remote::sessions(target, config),
        Command::Fleet(target) => return remote::fleet(target, config),
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
