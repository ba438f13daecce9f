//! What it costs to follow a terminal's output, by what it consists of, and the memory of the screens. Neither the Engine nor
//! the server takes part.

use std::hint::black_box;
use std::time::{Duration, Instant};

use shellcraft::engine::Size;
use shellcraft::terminal::Metrics;
use shellcraft::terminal::emulator::Emulator;

use crate::procfs::Memory;
use crate::report::{Row, Target};
use crate::stand::Outcome;

const USUAL: Size = Size { cols: 80, rows: 24 };
/// The largest that the server allows, in cells; as wide as it may be, and as high.
const LARGEST: [Size; 2] = [
    Size {
        cols: 1000,
        rows: 100,
    },
    Size {
        cols: 100,
        rows: 1000,
    },
];
const CLEARED: [Size; 4] = [
    USUAL,
    Size {
        cols: 200,
        rows: 60,
    },
    Size {
        cols: 1000,
        rows: 100,
    },
    Size {
        cols: 1000,
        rows: 1000,
    },
];
/// How many of the largest terminals there are at once.
const MANY: usize = 200;

const PLAIN: &[u8] = b"The quick brown fox jumps over the lazy dog, again and again.\r\n";
const COLOURS: &[u8] =
    b"\x1b[31mred\x1b[0m and \x1b[1;42mgreen\x1b[0m and \x1b[38;5;200mpink\x1b[m\r\n";
/// What a program can write to make much of few bytes. Each is tried on a screen full of text.
const DEAR: [&str; 18] = [
    "\x1b[2J",
    "\x1b[?2J",
    "\x1b[J",
    "\x1b#8",
    "\x1b[99999L",
    "\x1b[H\x1b[L",
    "\x1b[99999S",
    "\x1b[T",
    "\x1b[99999b",
    "\x1b[99999999b",
    "\x1b[99999@",
    "\x1b[H\x1b['}",
    "\x1b[ @",
    "\x1b[99999I",
    "\x1b[3J",
    "\x1b[?1049h\x1b[?1049l",
    "\x1bc",
    "\x1b[2;99r\x1b[99H\n\n\n",
];

/// All of it, so often.
pub fn run(rounds: usize) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, piece, target) in [
        ("plain text", PLAIN, &[Target::AtMost(10.0)][..]),
        ("colours", COLOURS, &[]),
        ("redraws", b"\x1b[12;40H\x1b[K~ text \x1b[7m-\x1b[m", &[]),
        ("UTF-8", "žluťoučký kůň – 日本語\r\n".as_bytes(), &[]),
    ] {
        let mut row = Row::new(format!("emulator: {name}"), "ns/byte", target);
        let output = piece.repeat((4 << 20) / piece.len());
        for _ in 0..rounds {
            let mut emulator = emulator(USUAL);
            let took = time(|| emulator.process(black_box(&output)));
            row.add("server", took.as_nanos() as f64 / output.len() as f64);
        }
        rows.push(row);
    }
    for size in CLEARED {
        let name = format!("emulator: a clear, {}×{}", size.cols, size.rows);
        let mut row = Row::new(name, "µs", &[]);
        let clears = b"x\x1b[2J".repeat(1000);
        for _ in 0..rounds {
            let mut emulator = full(size);
            let took = time(|| emulator.process(black_box(&clears)));
            row.add("server", took.as_secs_f64() * 1e6 / 1000.0);
        }
        rows.push(row);
    }
    rows.push(dearest(rounds));
    rows.push(Row::single(
        "emulator: both screens, 80×24",
        "KiB",
        both_screens(USUAL).memory_bytes() as f64 / 1024.0,
        &[Target::AtMost(64.0)],
    ));
    rows.push(many()?);
    Ok(rows)
}

/// The dearest single sequence on the largest terminals.
fn dearest(rounds: usize) -> Row {
    let name = "emulator: dearest of all sequences";
    let mut row = Row::new(name, "ms", &[Target::AtMost(10.0)]);
    for _ in 0..rounds {
        let of = |size: Size| {
            DEAR.map(|sequence| {
                let mut emulator = full(size);
                time(|| emulator.process(black_box(sequence.as_bytes())))
            })
        };
        let times = LARGEST.iter().flat_map(|size| of(*size));
        row.add(
            "server",
            times.max().unwrap_or_default().as_secs_f64() * 1e3,
        );
    }
    row
}

/// The largest terminals, full of text in colours, as the system counts their memory.
fn many() -> Outcome<Row> {
    let pid = std::process::id();
    let before = Memory::of(pid)?.rss;
    let all: Vec<Emulator> = (0..MANY).map(|_| full(LARGEST[0])).collect();
    let grown = Memory::of(pid)?.rss.saturating_sub(before);
    black_box(&all);
    Ok(Row::single(
        format!("emulator: {MANY} at 1000×100, full"),
        "MiB",
        grown as f64 / 1024.0,
        &[Target::AtMost(400.0)],
    ))
}

fn emulator(size: Size) -> Emulator {
    Emulator::new(size, &Metrics::default().emulator_panics)
}

/// One whose screen is full of text in colours.
fn full(size: Size) -> Emulator {
    let mut emulator = emulator(size);
    fill(&mut emulator, size);
    emulator
}

fn both_screens(size: Size) -> Emulator {
    let mut emulator = full(size);
    emulator.process(b"\x1b[?1049h");
    fill(&mut emulator, size);
    emulator
}

fn fill(emulator: &mut Emulator, size: Size) {
    let cells = usize::from(size.cols) * usize::from(size.rows);
    for cell in 0..cells {
        let text = format!("\x1b[38;5;{}mx", cell % 256);
        emulator.process(text.as_bytes());
    }
}

fn time(act: impl FnOnce()) -> Duration {
    let began = Instant::now();
    act();
    began.elapsed()
}
