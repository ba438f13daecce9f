//! A key's echo: from sending it to seeing it.

use std::thread;
use std::time::{Duration, Instant};

use super::{QUIET, QUIET_AT_START, attend, in_turn, settle_all};
use crate::report::{Row, Target, percentile};
use crate::stand::{Contender, Outcome};
use crate::terminal::{read_until, settle};

/// Capitals stand in no prompt of ours, so whatever else an editor redraws, the new key is told apart.
const KEYS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const CLEAR_LINE: &[u8] = b"\x15";

/// How long, and at what.
pub struct Plan<'a> {
    /// Beginning of the rows' names.
    pub name: &'a str,
    /// Typed before, such as `cat`.
    pub first: &'a [u8],
    pub rounds: usize,
    /// Of [`KEYS`], for each contender in each round.
    pub slices: usize,
    /// Between two keys: a person's fingers let every thread and processor on the way fall asleep.
    pub gap: Duration,
    /// Whether the figures have targets.
    pub is_judged: bool,
}

/// p50, p90 and p99 of each round.
pub fn run(contenders: &mut [Contender], plan: &Plan) -> Outcome<Vec<Row>> {
    settle_all(contenders, QUIET_AT_START)?;
    for contender in &mut *contenders {
        contender.terminal.type_in(plan.first)?;
    }
    settle_all(contenders, QUIET)?;
    let (p50, p99) = if plan.is_judged {
        (
            &[Target::RatioAtMost(1.15)][..],
            &[Target::RatioAtMost(1.5)][..],
        )
    } else {
        (&[][..], &[][..])
    };
    let mut rows = [(50.0, p50), (90.0, &[]), (99.0, p99)].map(|(percent, targets)| {
        (
            percent,
            Row::new(format!("{}, p{percent}", plan.name), "µs", targets),
        )
    });
    for round in 0..plan.rounds {
        let mut echoes = vec![Vec::new(); contenders.len()];
        for slice in 0..plan.slices {
            for at in in_turn(contenders.len(), round + slice) {
                type_slice(&mut contenders[at], plan.gap, &mut echoes[at])?;
            }
            attend(contenders)?;
        }
        for (contender, echoes) in contenders.iter().zip(&echoes) {
            for (percent, row) in &mut rows {
                row.add(&contender.name, percentile(echoes, *percent));
            }
        }
    }
    Ok(rows.map(|(_, row)| row).into())
}

fn type_slice(contender: &mut Contender, gap: Duration, echoes: &mut Vec<f64>) -> Outcome<()> {
    let terminal = &mut *contender.terminal;
    for key in KEYS {
        let key = std::slice::from_ref(key);
        thread::sleep(gap);
        let sent = Instant::now();
        terminal.type_in(key)?;
        read_until(terminal, key)?;
        echoes.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    terminal.type_in(CLEAR_LINE)?;
    settle(terminal, QUIET)?;
    Ok(())
}
