//! How fast a lot of output comes through.

use std::thread;
use std::time::{Duration, Instant};

use super::{QUIET, QUIET_AT_START, attend, in_turn, settle_all};
use crate::procfs::Usage;
use crate::report::{Row, Target};
use crate::stand::{Contender, Outcome};
use crate::terminal::{read_until, settle};

/// Without the marker's first letter, and of the length of a line as people have them.
pub const LINE: &str = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopq";
const MARKER: &[u8] = b"DONE";
/// A server holds a flood back while others type at its other terminals, and counts them for ten seconds: only what comes
/// later shows how fast it can be.
const OTHERS_FORGOTTEN: Duration = Duration::from_millis(10_100);

/// `bytes` of output for each contender in each round, at busybox's prompt.
pub fn run(contenders: &mut [Contender], rounds: usize, bytes: usize) -> Outcome<Vec<Row>> {
    settle_all(contenders, QUIET_AT_START)?;
    // The marker must not stand in the command, which is echoed.
    let command = format!("busybox yes {LINE} | busybox head -c {bytes}; echo DO\"\"NE\r");
    let mut rows = vec![
        Row::new("flood", "MiB/s", &[Target::RatioAtLeast(0.95)]),
        Row::new("server's processor time, flood", "ms/MiB", &[]),
        Row::new("server's wake-ups, flood", "1/MiB", &[]),
    ];
    for round in 0..rounds {
        let mut rates = vec![0.0; contenders.len()];
        for at in in_turn(contenders.len(), round) {
            let pid = contenders[at].pid;
            if pid.is_some() {
                thread::sleep(OTHERS_FORGOTTEN);
                attend(contenders)?;
            }
            let terminal = &mut *contenders[at].terminal;
            let before = pid.map(Usage::of).transpose()?;
            let began = Instant::now();
            terminal.type_in(command.as_bytes())?;
            let count = read_until(terminal, MARKER)?;
            let mebibytes = count as f64 / f64::from(1 << 20);
            rates[at] = mebibytes / began.elapsed().as_secs_f64();
            if let Some((pid, before)) = pid.zip(before) {
                let used = Usage::of(pid)? - before;
                let name = &contenders[at].name;
                rows[1].add(name, used.cpu.as_secs_f64() * 1e3 / mebibytes);
                rows[2].add(name, used.wakeups as f64 / mebibytes);
            }
            settle(terminal, QUIET)?;
            attend(contenders)?;
        }
        for (contender, rate) in contenders.iter().zip(rates) {
            rows[0].add(&contender.name, rate);
        }
    }
    Ok(rows)
}
