//! What a person is told who has set something that can't be: one line with the variable, the value and what is allowed.

use std::ffi::OsString;

use clap::CommandFactory;
use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Config, identity};
use crate::redis;

/// What the command line asked for, when it is not a server.
#[derive(Debug)]
pub enum Stop {
    /// Print this to standard output and leave with 0: help or version.
    Print(String),
    /// Print this line to standard error and leave with 2.
    Refuse(String),
}

/// clap's words for a person: one line with the variable, the value and what is allowed.
pub(super) fn explain(error: &clap::Error) -> Stop {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            return Stop::Print(error.to_string());
        }
        _ => {}
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg);
    let line = match (error.kind(), flag, text(ContextKind::InvalidValue)) {
        (ErrorKind::ValueValidation, Some(flag), Some(value)) => {
            let cause = std::error::Error::source(error)
                .map_or(String::new(), |cause| format!(": {cause}"));
            let flag = flag.split(' ').next().unwrap_or_default();
            let value = match flag {
                secret if identity::SECRET_FLAGS.contains(&secret) => "(hidden)".to_owned(),
                "--redis-url" | "--jwt-jwks-url" => format!("{:?}", redis::without_secret(&value)),
                _ => format!("{value:?}"),
            };
            format!("{} ({flag}) can't be {value}{cause}", variable(flag))
        }
        _ => {
            let first = error.to_string();
            let first = first
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            format!("{first}; --help lists what can be set")
        }
    };
    Stop::Refuse(line)
}

/// An empty variable is one that is not set: that is how a file of settings, or compose, says so.
pub(super) fn heedless_of_empty(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| {
        let value = argument.get_env().and_then(std::env::var_os);
        match value {
            Some(value) if value.is_empty() => {
                argument.env(Resettable::<clap::builder::OsStr>::Reset)
            }
            _ => argument,
        }
    });
    command.mut_subcommands(heedless_of_empty)
}

/// The names of all variables there are.
pub fn environment() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name)
}

/// Variables that are no settings and look as if they were meant to be, and which each is like.
pub fn misspelled(names: impl IntoIterator<Item = OsString>) -> Vec<(String, String)> {
    let command = Config::command();
    let settings = command
        .get_arguments()
        .filter_map(|setting| setting.get_env()?.to_str());
    let settings: Vec<&str> = settings.collect();
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    let meant = names.filter_map(|name| {
        if settings.contains(&name.as_str()) {
            return None;
        }
        let bare = name.strip_prefix("SHELLCRAFT_").unwrap_or(&name);
        let is_like = |setting: &&&str| {
            // Short names are like each other by chance.
            let most = setting.len() / 7;
            // It takes as long as both are together; no name is much longer.
            let may_be =
                most > 0 && setting.len().abs_diff(bare.len()) <= most * char::MAX_LEN_UTF8;
            **setting == bare || (may_be && strsim::osa_distance(setting, bare) <= most)
        };
        let setting = settings.iter().find(is_like)?.to_string();
        Some((name, setting))
    });
    meant.collect()
}

/// The environment variable of a flag: they differ in spelling only.
fn variable(flag: &str) -> String {
    flag.trim_start_matches('-')
        .replace('-', "_")
        .to_uppercase()
}
