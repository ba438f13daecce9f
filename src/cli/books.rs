//! `shellcraft books list|export|import|expire`: players' spellbooks in the store of a server that runs, over its own HTTP API.
//!
//! No threads. Exit statuses as in [`super::remote`].

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::remote::{DEADLINE, Error, ask, ask_within, exchange, finish, table};
use crate::auth::PlayerId;
use crate::config::Config;
use crate::config::command::{Books, Target};
use crate::session::sandbox::BOOK_LIMIT_BYTES;

/// Long, because the server looks at every player's books.
const EXPIRE_DEADLINE: Duration = Duration::from_secs(3600);
/// Columns of the list: title, field.
const COLUMNS: [(&str, &str); 3] = [
    ("PLAYER", "player"),
    ("BYTES", "bytes"),
    ("SAVED", "saved_at"),
];

/// Runs the command.
pub fn run(books: &Books, config: &Config) -> ExitCode {
    match books {
        Books::List(target) => finish(target, list(target, config), |answer| {
            table(&answer["books"], &COLUMNS, "No spellbooks.\n")
        }),
        Books::Export {
            player,
            file,
            target,
        } => {
            let answer = export(player, file.as_deref(), target, config);
            // What goes to standard output is the book and nothing else.
            let is_told = file.is_some();
            match answer {
                Ok(_) if !is_told => ExitCode::SUCCESS,
                answer => finish(target, answer, |answer| {
                    format!("{} bytes written.\n", answer["bytes"])
                }),
            }
        }
        Books::Expire {
            older_than,
            dry_run,
            target,
        } => {
            let seconds = older_than.as_secs();
            let path = format!("/admin/books?unused_seconds={seconds}&dry_run={dry_run}");
            let answer = ask_within(EXPIRE_DEADLINE, target, config, "DELETE", &path, None);
            finish(target, answer, |answer| {
                let done = if *dry_run { "would be" } else { "are" };
                format!(
                    "The spellbooks of {} players {done} removed.\n",
                    answer["expired"]
                )
            })
        }
        Books::Import {
            player,
            file,
            target,
        } => {
            let answer = import(player, file, target, config);
            finish(target, answer, |answer| {
                format!("{} bytes saved.\n", answer["bytes"])
            })
        }
    }
}

/// All pages of the list as one.
fn list(target: &Target, config: &Config) -> Result<Value, Error> {
    let (mut all, mut path) = (Vec::new(), "/admin/books".to_owned());
    loop {
        let mut page = ask(target, config, "GET", &path, None)?;
        if let Value::Array(books) = page["books"].take() {
            all.extend(books);
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/admin/books?after={next}"),
            None => return Ok(json!({"books": all})),
        }
    }
}

fn export(
    player: &str,
    file: Option<&Path>,
    target: &Target,
    config: &Config,
) -> Result<Value, Error> {
    let book = exchange(
        DEADLINE,
        target,
        config,
        "GET",
        &path(player)?,
        "application/json",
        b"",
    )?;
    let written = match file {
        Some(file) => fs::write(file, &book),
        None => io::stdout().write_all(&book),
    };
    written.map_err(|cause| Error::Refused(format!("the book could not be written: {cause}")))?;
    Ok(json!({"player": player, "bytes": book.len()}))
}

fn import(player: &str, file: &Path, target: &Target, config: &Config) -> Result<Value, Error> {
    let path = path(player)?;
    let mut book = Vec::new();
    // One byte more than allowed is read: if there is one, the server tells that the book is too big.
    let most = BOOK_LIMIT_BYTES + 1;
    let read = match file.as_os_str() == "-" {
        true => io::stdin().lock().take(most).read_to_end(&mut book),
        false => File::open(file).and_then(|file| file.take(most).read_to_end(&mut book)),
    };
    read.map_err(|cause| Error::BadOrder(format!("{} can't be read: {cause}", file.display())))?;
    exchange(
        DEADLINE,
        target,
        config,
        "PUT",
        &path,
        "application/octet-stream",
        &book,
    )?;
    Ok(json!({"player": player, "bytes": book.len()}))
}

fn path(player: &str) -> Result<String, Error> {
    match PlayerId::try_from(player.to_owned()) {
        Ok(player) => Ok(format!("/admin/books/{player}")),
        Err(cause) => Err(Error::BadOrder(cause.to_string())),
    }
}
