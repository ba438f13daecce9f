//! The attacker: what `shellcraft selftest` and `shellcraft doctor` run inside of a session's container.
//!
//! ```text
//!  selftest ──"look …\n"──▶ terminal ──▶ attack (waits for orders) ──▶ attack look …     a process for each order
//!           ◀──RS {…} \n── terminal ◀───────────────────────────────── findings
//! ```
//!
//! The container's image holds this very program, so `shellcraft attack` is its shell. It does what it can to get out,
//! to look around and to use up what is there, and reports what came of it, a JSON object on each line. Outside of a
//! sandbox it does nothing: see [`is_sandbox`]. One thread, and those that bombs are made of.

mod bombs;
mod limits;
mod network;
mod order;
mod places;
mod rights;

use std::io::{self, BufRead, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};

use super::finding::Finding;
pub use order::{BOMBS, Bomb, Order, Terms};

/// What comes before each finding, as in RFC 7464: no other output has it at the start of a line.
pub const RECORD: char = '\x1e';
/// What the attacker says first.
pub const READY: &str = "the attacker is ready";
/// The file that tells a container of the attacker's image from a host.
pub const MARK: &str = "/shellcraft-attacker";
/// A file in its image that only root may read.
pub const SECRET: &str = "/etc/shadow";
/// What a bomb says when it has just been lit.
pub const LIT: &str = "goes off";
/// The program in its image.
pub const PROGRAM: &str = "/shellcraft";

/// Runs the attacker with the arguments after `attack`: none to wait for orders, otherwise one order.
pub fn main(arguments: &[String]) -> ExitCode {
    if !is_sandbox() {
        eprintln!("shellcraft: `attack` runs in a container of `shellcraft selftest` only");
        return ExitCode::from(2);
    }
    match arguments {
        [] => wait_for_orders(),
        words => match Order::parse(&words.join(" ")) {
            Some(order) => obey(&order),
            None => return ExitCode::from(2),
        },
    }
    ExitCode::SUCCESS
}

/// Whether this process is in a container that was made for it. On a host the bombs would do real harm.
fn is_sandbox() -> bool {
    std::fs::metadata(MARK).is_ok() && !rustix::process::geteuid().is_root()
}

/// Each order is carried out by a process of its own, which may be killed; this one stays small and alive.
fn wait_for_orders() {
    report(&Finding::ok(READY, ""));
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let Some(order) = Order::parse(&line) else {
            report(&Finding::fail("order", format!("not understood: {line:?}")));
            continue;
        };
        loop {
            let ended = itself(&order.to_string()).status();
            report(&Finding::ok(order.name(), ending(&ended)));
            // A bomb goes off again and again until the self-test ends the session.
            if !matches!(order, Order::Bomb(..)) {
                break;
            }
        }
    }
}

/// How a process has ended, in a person's words.
fn ending(status: &io::Result<ExitStatus>) -> String {
    match status {
        Err(cause) => format!("not started: {cause}"),
        Ok(status) => match (status.code(), status.signal()) {
            (Some(0), _) => "done".into(),
            (Some(code), _) => format!("ended with {code}"),
            (None, Some(9)) => "killed".into(),
            (None, signal) => format!("ended by signal {}", signal.unwrap_or_default()),
        },
    }
}

fn obey(order: &Order) {
    match order {
        Order::Look(terms) => {
            rights::look(terms, &mut report);
            limits::look(terms, &mut report);
            network::look(terms, &mut report);
            places::look(&mut report);
        }
        Order::Limits(terms) => {
            rights::status(&mut report);
            limits::look(terms, &mut report);
            limits::enforced(terms, &mut report);
        }
        Order::Bomb(bomb, terms) => bombs::go_off(*bomb, terms),
        Order::Eat(bytes) => bombs::eat(*bytes),
        Order::Daemon(generation) => bombs::daemon(*generation),
    }
}

/// This program again, with another order.
fn itself(order: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("attack").args(order.split(' '));
    command
}

/// Writes a finding to the terminal, where the self-test reads it.
fn report(finding: &Finding) {
    let text = serde_json::to_string(finding).unwrap_or_default();
    // The line before may be another process's, and unfinished.
    let line = format!("\n{RECORD}{text}\n");
    let mut out = io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}
