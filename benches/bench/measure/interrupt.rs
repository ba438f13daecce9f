//! Ctrl-C under an endless `yes`: from sending it to seeing `^C`, and to the prompt.
//!
//! Once with a client that reads as fast as it can, and once with one that takes so much a second as a page
//! draws: then whatever is buffered on the way stands between the key and its answer.

use std::thread;
use std::time::{Duration, Instant};

use super::flood::LINE;
use super::{QUIET, QUIET_AT_START, attend, in_turn, settle_all};
use crate::report::{Row, Target, percentile};
use crate::stand::{Contender, Outcome};
use crate::terminal::{Seek, Terminal, settle};

/// How long `yes` has been running when it is interrupted: buffers are full by then.
const RUN_UP: Duration = Duration::from_millis(400);
/// What xterm.js draws a second, about.
const PAGE_RATE: f64 = 8.0 * 1024.0 * 1024.0;

/// Who reads.
#[derive(Clone, Copy, PartialEq)]
pub enum Reader {
    /// As fast as it can.
    Greedy,
    /// As fast as a page draws.
    Page,
}

/// `each` interrupts for each contender in each round; the rows have each round's median.
pub fn run(
    contenders: &mut [Contender],
    rounds: usize,
    each: usize,
    reader: Reader,
) -> Outcome<Vec<Row>> {
    settle_all(contenders, QUIET_AT_START)?;
    let mut rows = match reader {
        Reader::Greedy => [
            Row::new(
                "Ctrl-C to ^C",
                "ms",
                &[Target::RatioAtMost(1.5), Target::AtMost(5.0)],
            ),
            Row::new("Ctrl-C to the prompt", "ms", &[]),
        ],
        Reader::Page => [
            Row::new("Ctrl-C to ^C, 8 MiB/s drawn", "ms", &[]),
            Row::new("Ctrl-C to the prompt, 8 MiB/s drawn", "ms", &[]),
        ],
    };
    for round in 0..rounds {
        let mut times = vec![(Vec::new(), Vec::new()); contenders.len()];
        for step in 0..each {
            for at in in_turn(contenders.len(), round + step) {
                let (echo, prompt) = interrupt(&mut *contenders[at].terminal, reader)?;
                times[at].0.push(echo.as_secs_f64() * 1e3);
                times[at].1.push(prompt.as_secs_f64() * 1e3);
            }
            attend(contenders)?;
        }
        for (contender, (echoes, prompts)) in contenders.iter().zip(times) {
            rows[0].add(&contender.name, percentile(&echoes, 50.0));
            rows[1].add(&contender.name, percentile(&prompts, 50.0));
        }
    }
    Ok(rows.into())
}

fn interrupt(terminal: &mut dyn Terminal, reader: Reader) -> Outcome<(Duration, Duration)> {
    terminal.type_in(format!("busybox yes {LINE}\r").as_bytes())?;
    let began = Instant::now();
    let mut pace = Pace::new(reader);
    while began.elapsed() < RUN_UP {
        terminal.read(&mut |output| pace.count(output.len()))?;
        pace.wait();
    }
    let sent = Instant::now();
    terminal.type_in(b"\x03")?;
    let (mut echo, mut prompt) = (Seek::new(b"^C"), Seek::new(b"$ "));
    let mut echoed = None;
    while !prompt.is_found {
        terminal.read(&mut |output| {
            pace.count(output.len());
            echo.look(output);
            prompt.look(output);
        })?;
        if echo.is_found && echoed.is_none() {
            echoed = Some(sent.elapsed());
        }
        if !prompt.is_found {
            pace.wait();
        }
    }
    let prompted = sent.elapsed();
    settle(terminal, QUIET)?;
    // Some shells say nothing of ^C.
    Ok((echoed.unwrap_or(prompted), prompted))
}

/// Holds a reader back.
struct Pace {
    reader: Reader,
    due: Instant,
    count: usize,
}

impl Pace {
    fn new(reader: Reader) -> Pace {
        Pace {
            reader,
            due: Instant::now(),
            count: 0,
        }
    }

    fn count(&mut self, count: usize) {
        self.count += count;
    }

    /// Waits for as long as what came takes to be drawn.
    fn wait(&mut self) {
        let count = std::mem::take(&mut self.count);
        if self.reader == Reader::Greedy {
            return;
        }
        let now = Instant::now();
        self.due = self.due.max(now) + Duration::from_secs_f64(count as f64 / PAGE_RATE);
        thread::sleep(self.due.saturating_duration_since(now));
    }
}
