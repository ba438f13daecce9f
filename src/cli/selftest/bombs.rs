//! Lets one session use up what it can, and measures what its neighbour notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::ground::{ATTACKER, Error, Ground};
use super::inmate::{Inmate, Read};
use crate::cli::attack::{Bomb, LIT, Order};
use crate::cli::finding::{EchoNote, Finding, Verdict};

/// A bomb has gone off when it says so; a container with half a processor may be slow.
const FUSE: Duration = Duration::from_secs(60);
/// How long an attacker may take from its first byte to the end of its first sentence.
const FIRST_WORDS: Duration = Duration::from_secs(5);
/// Keys for one measurement: the 99th percentile is the third slowest.
const SAMPLES: usize = 300;
/// A bomb is watched for this long at least.
const WATCH: Duration = Duration::from_secs(2);
/// How many times slower a neighbour may be.
const RATIO: f64 = 3.0;
/// No player feels less, so a ratio of smaller numbers says nothing.
const UNFELT_MS: f64 = 5.0;
/// How often a bomb is tried: other work on this machine may spoil a measurement, but hardly three.
const ATTEMPTS: u32 = 3;
/// An operator who ends a session must not have to wait longer.
const END: Duration = Duration::from_secs(10);
/// A session's output takes at most its scrollback, its screen and a little; `SCROLLBACK` may be larger.
const SCREENS_BYTES: usize = 8 << 20;

/// How many sizes a terminal is given, and how many of them in one piece: between two pieces its output is read.
const SIZES: u32 = 1_000_000;
const SIZES_AT_ONCE: u32 = 10_000;

/// What came of one bomb.
struct Blast {
    note: String,
    verdict: Verdict,
    quiet: f64,
    beside: f64,
    end: Duration,
    /// What else went wrong.
    complaint: Option<String>,
}

/// Sets the bomb off in a session of its own, up to three times if the neighbour is slow.
pub fn run(ground: &Ground, neighbour: &mut Inmate, bomb: Bomb) -> Result<Finding, Error> {
    let mut attempt = 1;
    loop {
        let blast = set_off(ground, neighbour, bomb, attempt)?;
        let finding = judge(bomb, &blast);
        if !is_slow(blast.quiet, blast.beside) || attempt == ATTEMPTS {
            return Ok(finding);
        }
        attempt += 1;
    }
}

fn set_off(
    ground: &Ground,
    neighbour: &mut Inmate,
    bomb: Bomb,
    attempt: u32,
) -> Result<Blast, Error> {
    let player = format!("{}-{attempt}", bomb.name());
    let mut attacker = ready_attacker(ground, &player)?;
    let quiet = measure(neighbour, Duration::ZERO);
    let quiet = quiet.ok_or_else(|| Error::Deaf("the neighbour's".into()))?;
    attacker.type_in(format!("{}\n", Order::Bomb(bomb, ground.terms)).as_bytes());
    let mut told = Told::default();
    told.wait(&mut attacker, bomb, Instant::now() + FUSE);

    let is_over = AtomicBool::new(false);
    let mut sizes = if bomb == Bomb::Sizes { SIZES } else { 0 };
    let (beside, complaint) = thread::scope(|scope| {
        let watch = || {
            while !is_over.load(Ordering::Relaxed) || sizes > 0 {
                let piece = sizes.min(SIZES_AT_ONCE);
                attacker.storm(piece);
                sizes -= piece;
                told.read(
                    &mut attacker,
                    bomb,
                    Instant::now() + Duration::from_millis(50),
                );
            }
        };
        let watcher = thread::Builder::new()
            .name("watcher".into())
            .spawn_scoped(scope, watch);
        let beside = measure(neighbour, WATCH);
        let complaint = newcomer(ground, bomb, attempt);
        is_over.store(true, Ordering::Relaxed);
        watcher.map(|_| (beside, complaint))
    })?;
    let memory = attacker.memory_bytes();
    let most = ground.manager.settings().terminal.scrollback_bytes + SCREENS_BYTES;
    let poured = attacker.output_bytes() >> 20;
    let end = attacker.destroy()?;
    let quiet = quiet_again(neighbour, quiet, beside);
    if matches!(bomb, Bomb::Output | Bomb::Escapes) {
        told.note = format!("{poured} MiB poured, {} KiB of them kept", memory >> 10);
    }
    if bomb == Bomb::Sizes {
        told.note = format!("{SIZES} sizes of its terminal");
    }
    let complaint = match (beside, complaint) {
        (None, _) => Some("the neighbour does not answer any more".into()),
        _ if memory > most => Some(format!(
            "it takes {} MiB of the server's memory",
            memory >> 20
        )),
        (_, complaint) => complaint,
    };
    Ok(Blast {
        note: told.note,
        verdict: told.verdict.unwrap_or(Verdict::Fail),
        quiet,
        beside: beside.unwrap_or_default(),
        end,
        complaint,
    })
}

/// If the neighbour was slow, measures it again without the bomb: other work may have begun meanwhile, and then the
/// neighbour is still slow.
fn quiet_again(neighbour: &mut Inmate, quiet: f64, beside: Option<f64>) -> f64 {
    match beside {
        Some(beside) if is_slow(quiet, beside) => {
            let again = measure(neighbour, Duration::ZERO);
            quiet.max(again.unwrap_or_default())
        }
        _ => quiet,
    }
}

/// An attacker that waits for orders.
pub fn ready_attacker(ground: &Ground, player: &str) -> Result<Inmate, Error> {
    let mut attacker = Inmate::enter(&ground.manager, ATTACKER, player)?;
    // An attacker first says that it is ready; a program that says something else is no attacker.
    attacker.read(Instant::now() + FUSE);
    match attacker.finding(Instant::now() + FIRST_WORDS) {
        Some(_) => Ok(attacker),
        None => Err(Error::Mute(attacker.words())),
    }
}

/// What the attacker has said about its bomb.
#[derive(Default)]
struct Told {
    note: String,
    verdict: Option<Verdict>,
}

impl Told {
    /// Waits until the attacker has said something about its bomb.
    fn wait(&mut self, attacker: &mut Inmate, bomb: Bomb, due: Instant) {
        self.note = "it never went off".into();
        while self.verdict.is_none() && Instant::now() < due {
            if self.read(attacker, bomb, due) == Read::Ended {
                return;
            }
        }
    }

    fn read(&mut self, attacker: &mut Inmate, bomb: Bomb, due: Instant) -> Read {
        let read = attacker.read(due);
        if read == Read::Ended {
            // A bomb's session may end; the pause keeps the watcher from spinning.
            thread::park_timeout(Duration::from_millis(50));
        }
        while let Some(finding) = super::inmate::take_finding(&mut attacker.seen) {
            // The worst verdict counts, and of several the last; that one more bomb is lit is no news.
            let is_news = self
                .verdict
                .is_none_or(|verdict| finding.verdict >= verdict)
                && (self.verdict.is_none() || finding.note != LIT);
            if finding.name == bomb.name() && is_news {
                self.verdict = Some(finding.verdict);
                self.note = finding.note;
            }
        }
        read
    }
}

/// Checks that a newcomer still gets a terminal while terminals are used up.
fn newcomer(ground: &Ground, bomb: Bomb, attempt: u32) -> Option<String> {
    if bomb != Bomb::Terminals {
        return None;
    }
    let shell = ground.shells().next()?.name.clone();
    let entered = Inmate::enter(&ground.manager, &shell, &format!("newcomer-{attempt}"));
    match entered.and_then(Inmate::destroy) {
        Ok(_) => None,
        Err(error) => Some(format!(
            "nobody else can start a game ({error}): set sysctl kernel.pty.max=1048576"
        )),
    }
}

/// Types and measures, for `at_least` or longer; returns the 99th percentile in milliseconds, none when an echo does
/// not come.
pub fn measure(neighbour: &mut Inmate, at_least: Duration) -> Option<f64> {
    let began = Instant::now();
    let mut times = Vec::new();
    while times.len() < SAMPLES || began.elapsed() < at_least {
        // Typed and taken back, so that the line stays short.
        let key = if times.len() % 2 == 0 { b'x' } else { 0x7f };
        times.push(neighbour.echo(key)?.as_secs_f64() * 1e3);
        if times.len() >= SAMPLES / 4 && began.elapsed() > WATCH * 5 {
            break;
        }
    }
    Some(percentile_99(times))
}

fn percentile_99(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let index = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(index).copied().unwrap_or_default()
}

fn is_slow(quiet: f64, beside: f64) -> bool {
    beside > UNFELT_MS && beside > quiet * RATIO
}

fn judge(bomb: Bomb, blast: &Blast) -> Finding {
    let ratio = if blast.quiet > 0.0 {
        blast.beside / blast.quiet
    } else {
        1.0
    };
    let mut note = format!(
        "{}; neighbour's echo {ratio:.1}x ({:.2} → {:.2} ms, p99); gone in {:.1} s",
        blast.note,
        blast.quiet,
        blast.beside,
        blast.end.as_secs_f64()
    );
    let mut verdict = blast.verdict;
    if let Some(complaint) = &blast.complaint {
        (verdict, note) = (Verdict::Fail, format!("{complaint}; {note}"));
    }
    if blast.end > END {
        verdict = Verdict::Fail;
    }
    let is_contained = verdict != Verdict::Fail;
    if is_slow(blast.quiet, blast.beside) {
        verdict = Verdict::Fail;
    }
    Finding {
        echo: Some(EchoNote {
            quiet_p99_ms: blast.quiet,
            beside_p99_ms: blast.beside,
            is_contained,
        }),
        ..Finding::new(bomb.name(), verdict, note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile() {
        assert_eq!(percentile_99((1..=100).map(f64::from).collect()), 99.0);
        assert_eq!(percentile_99((1..=300).map(f64::from).collect()), 297.0);
        assert_eq!(percentile_99(vec![7.0]), 7.0);
        assert_eq!(percentile_99(Vec::new()), 0.0);
    }

    #[test]
    fn what_nobody_feels_is_not_slow() {
        for (quiet, beside, expected) in [
            (0.5, 1.4, false),
            (0.5, 4.9, false),
            (0.5, 5.1, true),
            (2.0, 5.9, false),
            (2.0, 6.1, true),
        ] {
            assert_eq!(is_slow(quiet, beside), expected, "{quiet} {beside}");
        }
    }

    #[test]
    fn a_blast_is_judged() {
        let blast = |quiet, beside, seconds, complaint: Option<&str>| Blast {
            note: "killed".into(),
            verdict: Verdict::Ok,
            quiet,
            beside,
            end: Duration::from_secs(seconds),
            complaint: complaint.map(str::to_owned),
        };
        let check = |blast: Blast, verdict| assert_eq!(judge(Bomb::Heap, &blast).verdict, verdict);
        check(blast(1.0, 1.1, 1, None), Verdict::Ok);
        check(blast(1.0, 9.0, 1, None), Verdict::Fail);
        check(blast(1.0, 1.1, 11, None), Verdict::Fail);
        check(blast(1.0, 1.1, 1, Some("nobody")), Verdict::Fail);
        let note = judge(Bomb::Heap, &blast(1.0, 1.1, 1, None)).note;
        assert_eq!(
            note,
            "killed; neighbour's echo 1.1x (1.00 → 1.10 ms, p99); gone in 1.0 s"
        );
    }
}
