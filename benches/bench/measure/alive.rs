//! One player's echo while hundreds of other games are alive on the machine: first idle, then typing as well.

use std::time::Duration;

use super::crowd::{Crowd, join};
use crate::report::{Row, Target, percentile};
use crate::stand::{Outcome, Server, Shell};

/// Between the keys of the one.
const PACE: Duration = Duration::from_millis(20);
/// Between a terminal's keys where all of them type.
const LEISURE: Duration = Duration::from_secs(1);

/// How many are alive, and for how long somebody types in each of the rounds.
pub struct Plan {
    pub sessions: usize,
    pub rounds: usize,
    pub typing: Duration,
}

/// On a server of its own.
pub fn run(server: &Server, shell: Shell, plan: &Plan) -> Outcome<Vec<Row>> {
    let name = |what: &str| format!("echo, {} sessions alive, {what}", plan.sessions);
    let mut p50 = Row::new(name("p50"), "ms", &[]);
    let mut p99 = Row::new(name("p99"), "ms", &[Target::RatioAtMost(3.0)]);
    let mut note = |who: &str, echoes: &[f64]| {
        p50.add(who, percentile(echoes, 50.0));
        p99.add(who, percentile(echoes, 99.0));
    };
    let (first, terminal) = join(server, shell)?;
    let mut games = vec![first];
    let mut one = Crowd::new(vec![Box::new(terminal)])?;
    for _ in 0..plan.rounds {
        note("alone", &one.type_for(plan.typing, PACE)?);
    }
    let mut others = Crowd::new(Vec::new())?;
    for _ in 1..plan.sessions {
        let (game, terminal) = join(server, shell)?;
        games.push(game);
        others.push(Box::new(terminal))?;
        // All answer their pings meanwhile: on a slow machine the last comes later than a terminal may be silent.
        one.rest(Duration::from_millis(1))?;
        others.rest(Duration::from_millis(1))?;
    }
    for _ in 0..plan.rounds {
        others.rest(Duration::from_millis(1))?;
        note("others idle", &one.type_for(plan.typing, PACE)?);
        note("all type", &others.type_for(plan.typing, LEISURE)?);
    }
    Ok(vec![p50, p99])
}
