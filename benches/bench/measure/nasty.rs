//! What others feel of the output that is dearest to follow: terminals of the greatest size that are cleared and filled
//! without end, each by a container of its own with the usual share of the processor, while one player types and an operator
//! asks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::crowd::{Crowd, join};
use crate::report::{Row, Target, percentile};
use crate::stand::{BUSYBOX, Outcome, Server, Shell};
use crate::terminal::{Socket, Terminal};

/// Between the keys of the one.
const PACE: Duration = Duration::from_millis(20);
/// How many do it.
const FLOODS: usize = 4;
const COLS: u16 = 1000;
const ROWS: u16 = 100;
/// Clears the screen and fills it, for ever.
const FILL: &[u8] = b"while :; do printf '\\033[2J\\033[H%0100000d' 0; done\r";
/// How often each route is asked in a round.
const ASKS: usize = 50;

/// How often, and for how long somebody types in each of the rounds.
pub struct Plan {
    pub rounds: usize,
    pub typing: Duration,
}

/// Says that it is over, by an error too.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// On a server of its own, which is stopped at the end.
pub fn run(server: Server, shell: Shell, plan: &Plan) -> Outcome<Vec<Row>> {
    let row = |what: &str, targets: &[Target]| {
        Row::new(
            format!("{what} beside {FLOODS} full-screen floods"),
            "ms",
            targets,
        )
    };
    let mut echo = row("echo p99", &[Target::RatioAtMost(3.0)]);
    let mut status = row("GET status p99", &[Target::AtMost(50.0)]);
    let mut metrics = row("GET /metrics p99", &[Target::AtMost(50.0)]);
    let (game, terminal) = join(&server, shell)?;
    let mut one = Crowd::new(vec![Box::new(terminal)])?;
    let path = format!("/session/{}/status", game.id);
    let mut round = |who: &str| -> Outcome<()> {
        echo.add(who, percentile(&one.type_for(plan.typing, PACE)?, 99.0));
        for (row, path) in [(&mut status, path.as_str()), (&mut metrics, "/metrics")] {
            let mut times = Vec::new();
            for _ in 0..ASKS {
                let began = Instant::now();
                server.get(path)?;
                times.push(began.elapsed().as_secs_f64() * 1e3);
            }
            row.add(who, percentile(&times, 99.0));
        }
        Ok(())
    };
    for _ in 0..plan.rounds {
        round("alone")?;
    }
    let mut floods = Vec::new();
    for _ in 0..FLOODS {
        let game = server.create(BUSYBOX.name)?;
        let mut socket = Socket::open(server.address, &game.id, true)?;
        socket.resize(COLS, ROWS)?;
        socket.type_in(FILL)?;
        floods.push((game, socket));
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = OnDrop(&is_over);
        for (_, socket) in &mut floods {
            // Ends with the server at the latest.
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    if socket.read(&mut |_| {}).is_err() {
                        return;
                    }
                }
            });
        }
        for _ in 0..plan.rounds {
            round("beside")?;
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    // They end with the server.
    for (game, _) in floods {
        std::mem::forget(game);
    }
    std::mem::forget(game);
    drop(one);
    drop(server);
    Ok(vec![echo, status, metrics])
}
