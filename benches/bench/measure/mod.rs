//! The measurements, a file each. All take their contenders in turn, in short slices, so that whatever
//! else the machine does meets all of them.

pub mod alive;
pub mod bombs;
pub mod connect;
pub mod crowd;
pub mod echo;
pub mod emulator;
pub mod flood;
pub mod interrupt;
pub mod nasty;
pub mod refill;
pub mod spectators;

use std::time::Duration;

use crate::stand::Contender;
use crate::terminal::settle;

/// A terminal that said nothing for so long has nothing more to say.
const QUIET: Duration = Duration::from_millis(60);
/// The same, right after the start of a container.
const QUIET_AT_START: Duration = Duration::from_millis(500);

/// Waits until all prompts are drawn.
fn settle_all(contenders: &mut [Contender], quiet: Duration) -> std::io::Result<()> {
    for contender in contenders {
        settle(&mut *contender.terminal, quiet)?;
    }
    Ok(())
}

/// Reads what came to those whose turn it was not: pings, which have to be answered.
fn attend(contenders: &mut [Contender]) -> std::io::Result<()> {
    settle_all(contenders, Duration::ZERO)
}

/// The contenders' indices, beginning with another one each turn.
fn in_turn(count: usize, turn: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |step| (turn + step) % count)
}
