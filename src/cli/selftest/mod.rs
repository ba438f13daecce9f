//! `shellcraft selftest`: real sessions on the operator's Engine, attacked from inside.
//!
//! ```text
//!   Manager (as the server's) ──▶ each shell of the catalogue: starts, answers, ends
//!                             ──▶ attacker: what must be refused     ([`crate::cli::attack`])
//!                             ──▶ attacker: bombs ─┐
//!                             ──▶ neighbour ◀──────┴─ its echo, measured     ([`bombs`])
//! ```
//!
//! No server need run, and none that runs is touched: containers carry an instance's name of their own, and nothing is
//! stored. Threads: the manager's, and one that watches the attacker's terminal.

pub mod bombs;
pub mod ground;
pub mod image;
pub mod inmate;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::attack::{BOMBS, Order};
use super::doctor::judge::judge_cgroups;
use super::finding::{Finding, Report, Verdict};
use crate::config::Config;
use crate::session::Shell;
use bombs::{measure, ready_attacker};
use ground::{Error, Ground};
use inmate::Inmate;

/// How long a shell's first output may take.
const FIRST_WORDS: Duration = Duration::from_secs(30);
/// How long the attacker may take to look into every corner, with half a processor.
const LOOK: Duration = Duration::from_secs(120);

/// Runs the self-test, prints what it finds, and returns whether nothing has failed. `only` picks attacks by a part of
/// their names.
pub fn run(config: &Config, is_json: bool, only: Option<&str>) -> bool {
    let mut report = Report::new(is_json);
    let ground = match Ground::open(config) {
        Ok(ground) => ground,
        Err(error) => {
            report.add(Finding::fail("preparation", error.to_string()));
            return report.close();
        }
    };
    let interrupted = Arc::<AtomicBool>::default();
    for signal in [SIGINT, SIGTERM] {
        // If this fails, an interrupt leaves containers behind, and does no other harm.
        let _ = signal_hook::flag::register(signal, Arc::clone(&interrupted));
    }
    if let Err(error) = play(&ground, &mut report, only, &interrupted) {
        report.add(Finding::fail("self-test", error.to_string()));
    }
    report.add(match ground.leave() {
        Ok(0) => Finding::ok("afterwards", "no container is left"),
        Ok(count) => Finding::fail(
            "afterwards",
            format!("{count} containers had to be removed"),
        ),
        Err(error) => Finding::fail("afterwards", error.to_string()),
    });
    report.close()
}

fn play(
    ground: &Ground,
    report: &mut Report,
    only: Option<&str>,
    interrupted: &AtomicBool,
) -> Result<(), Error> {
    let is_wanted = |name: &str| only.is_none_or(|part| name.contains(part));
    let cgroups = judge_cgroups(&ground.engine.info()?);
    if cgroups.verdict == Verdict::Fail {
        // This is said first, because it explains why bombs do harm.
        report.add(cgroups);
    }
    let shells: Vec<Shell> = ground.shells().cloned().collect();
    let mut neighbour = None;
    for shell in &shells {
        match try_shell(ground, shell) {
            Ok((finding, inmate)) => {
                report.add(finding);
                match neighbour {
                    None => neighbour = Some(inmate),
                    Some(_) => drop(inmate.destroy()?),
                }
            }
            Err(error) => report.add(Finding::fail(
                format!("shell {}", shell.name),
                error.to_string(),
            )),
        }
    }
    if is_wanted("look") {
        report.extend(look(ground)?);
    }
    let Some(mut neighbour) = neighbour else {
        report.add(Finding::fail(
            "bombs",
            "no shell of SHELLS works, so nobody can notice them",
        ));
        return Ok(());
    };
    for (bomb, _) in BOMBS.iter().filter(|(_, name)| is_wanted(name)) {
        if interrupted.load(Ordering::Relaxed) {
            report.add(Finding::fail("self-test", "interrupted"));
            return Ok(());
        }
        report.add(bombs::run(ground, &mut neighbour, *bomb)?);
    }
    report.add(match measure(&mut neighbour, Duration::ZERO) {
        Some(p99) => Finding::ok(
            "neighbour",
            format!("has lived through it all; echo {p99:.2} ms (p99)"),
        ),
        None => Finding::fail("neighbour", "does not answer any more"),
    });
    neighbour.destroy()?;
    Ok(())
}

/// Starts a shell and types at it.
fn try_shell(ground: &Ground, shell: &Shell) -> Result<(Finding, Inmate), Error> {
    let began = Instant::now();
    let mut inmate = Inmate::enter(
        &ground.manager,
        &shell.name,
        &format!("player-{}", shell.name.replace('_', "-")),
    )?;
    if !inmate.wait_for_prompt(FIRST_WORDS) {
        return Err(Error::Mute("no prompt came".into()));
    }
    let started = began.elapsed();
    let echo = inmate
        .echo(b'x')
        .ok_or_else(|| Error::Deaf(shell.name.clone()))?;
    inmate
        .echo(0x7f)
        .ok_or_else(|| Error::Deaf(shell.name.clone()))?;
    let note = format!(
        "prompt after {:.2} s, a key's echo after {:.2} ms",
        started.as_secs_f64(),
        echo.as_secs_f64() * 1e3
    );
    Ok((Finding::ok(format!("shell {}", shell.name), note), inmate))
}

/// Tries from inside everything that does no harm.
fn look(ground: &Ground) -> Result<Vec<Finding>, Error> {
    let mut attacker = ready_attacker(ground, "looker")?;
    let order = Order::Look(ground.terms);
    let mut findings = ask(&mut attacker, &order, LOOK)?;
    if ground.service.accept().is_ok() {
        findings.push(Finding::fail(
            "connections",
            "a service of this host was reached",
        ));
    }
    if let Some(container) = attacker.container() {
        let log = ground.engine.inspect(container)?.host_config.log_config;
        findings.push(judge_log(&log.driver));
    }
    attacker.destroy()?;
    Ok(findings)
}

/// Output that the Engine keeps would fill the host's disk; `output-flood` has enough of it.
fn judge_log(driver: &str) -> Finding {
    let name = "log on the host";
    match driver {
        "none" => Finding::ok(name, "none: output is kept nowhere but in the server"),
        "" => Finding::warn(name, "the Engine does not tell where output goes"),
        driver => Finding::fail(
            name,
            format!("the Engine writes output with its driver {driver}, which can fill a disk"),
        ),
    }
}

/// Gives an order and collects what is found until it is carried out.
pub fn ask(attacker: &mut Inmate, order: &Order, limit: Duration) -> Result<Vec<Finding>, Error> {
    attacker.type_in(format!("{order}\n").as_bytes());
    let due = Instant::now() + limit;
    let mut findings = Vec::new();
    while let Some(finding) = attacker.finding(due) {
        if finding.name != order.name() {
            findings.push(finding);
        } else if finding.note == "done" {
            return Ok(findings);
        } else {
            return Err(Error::Mute(format!("{}: {}", finding.name, finding.note)));
        }
    }
    Err(Error::Mute(format!(
        "{} findings, and then none",
        findings.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_on_the_host_is_a_way_to_fill_it() {
        for (driver, expected) in [
            ("none", Verdict::Ok),
            ("", Verdict::Warn),
            ("json-file", Verdict::Fail),
            ("local", Verdict::Fail),
        ] {
            assert_eq!(judge_log(driver).verdict, expected, "{driver}");
        }
    }
}
