//! Whatever a program writes, the terminal emulator draws it without a panic, and in time.
//!
//! EMULATOR_MEGABYTES of random output are tried (2); `make fuzz` tries 100.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use shellcraft::engine::Size;
use shellcraft::terminal::Metrics;
use shellcraft::terminal::emulator::Emulator;

use crate::probes::{self, RESIZE};

/// What one sequence may take of a processor. Without optimisation, as tests are built, that is ten times as long.
const DEAREST: Duration = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 10 });
/// The largest terminals that the server allows.
const LARGEST: [(u16, u16); 2] = [(1000, 100), (100, 1000)];

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

/// Half of it bytes of any value, half of it what is nearly a sequence.
fn random_output(random: &mut Random, bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 24] = [
        "\u{2764}\u{fe0f}",
        "\u{4e16}",
        "e\u{301}\u{302}",
        "\r\n",
        "\x1b[",
        "\x1b[?",
        "\x1b]8;;a",
        "\x07",
        "\x1b7",
        "\x1b8",
        "\x1b(0",
        "\x1b#8",
        "\x1bM",
        ";",
        ":",
        "99",
        "3",
        "m38;2;1;2;3",
        "h47",
        "b",
        "r",
        "L",
        "P",
        "@",
    ];
    let mut output = Vec::with_capacity(bytes + 16);
    while output.len() < bytes {
        match random.below(8) {
            0..3 => output.push(random.below(256) as u8),
            3 => output.push(b'@' + random.below(63) as u8),
            _ => output.extend_from_slice(random.pick(&WORDS).as_bytes()),
        }
        if random.below(400) == 0 {
            output.extend([RESIZE, random.below(90) as u8, random.below(40) as u8]);
        }
    }
    output
}

#[test]
fn random_output_never_panics() {
    const PIECE_BYTES: usize = 50_000;
    let megabytes = std::env::var("EMULATOR_MEGABYTES").ok();
    let megabytes: usize = megabytes.map_or(2, |text| text.parse().expect("a number"));
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..megabytes * 1_000_000 / PIECE_BYTES {
        probes::emulator(&random_output(&mut random, PIECE_BYTES));
    }
}

/// Of the processor, so it does not matter what else the machine does.
fn time_of(emulator: &mut Emulator, output: &[u8]) -> Duration {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("a time");
    let began = now();
    emulator.process(output);
    now() - began
}

/// Every sequence there is, with a large number and without, on the largest terminals full of wide characters in colours.
#[test]
fn no_sequence_is_dear() {
    let mut sequences: Vec<String> = ["", "?", " ", "'", "!", "\""]
        .iter()
        .flat_map(|between| {
            let is_prefix = *between == "?";
            (0x40..0x7fu8).flat_map(move |last| {
                let last = char::from(last);
                ["", "99999", "2147483647", "2;99"].map(|numbers| match is_prefix {
                    true => format!("\x1b[?{numbers}{last}"),
                    false => format!("\x1b[{numbers}{between}{last}"),
                })
            })
        })
        .collect();
    sequences.extend((0x30..0x7fu8).map(|last| format!("\x1b{}", char::from(last))));
    sequences.extend([4, 6, 7, 47, 1047, 1049].map(|mode| format!("\x1b[?{mode}h")));
    sequences.push("\x1b#8".to_owned());
    for (cols, rows) in LARGEST {
        let panics = Metrics::default().emulator_panics;
        let mut emulator = Emulator::new(Size { cols, rows }, &panics);
        let full =
            "\x1b[38;5;200m\u{4e16}\x1b[41mab".repeat(usize::from(cols) * usize::from(rows) / 4);
        emulator.process(full.as_bytes());
        for sequence in &sequences {
            // So that it has something to repeat.
            emulator.process(b"\x1b[?7h\x1b[Hx");
            let took = time_of(&mut emulator, sequence.as_bytes());
            assert!(took < DEAREST, "{took:?} for {sequence:?} at {cols}x{rows}");
        }
        assert_eq!(panics.get(), 0);
    }
}

#[test]
fn screens_take_little_memory() {
    let panics = Metrics::default().emulator_panics;
    let full = |(cols, rows): (u16, u16)| {
        let mut emulator = Emulator::new(Size { cols, rows }, &panics);
        let text =
            "\x1b[31ma\x1b[42mb\x1b[1mc\x1b[m ".repeat(usize::from(cols) * usize::from(rows));
        emulator.process(text.as_bytes());
        let one = emulator.memory_bytes();
        emulator.process(b"\x1b[?1049h");
        emulator.process(text.as_bytes());
        (one, emulator.memory_bytes(), emulator)
    };
    let (_, both, _) = full((80, 24));
    assert!(both <= 64 << 10, "{both}");
    for size in LARGEST {
        let (one, both, mut emulator) = full(size);
        assert!(
            one < 1 << 20 && both < 2 << 20,
            "{one} and {both} at {size:?}"
        );
        emulator.process(b"\x1b[2J\x1b[?1049l\x1b[2J\x1b[3J");
        let cleared = emulator.memory_bytes();
        assert!(cleared < 128 << 10, "{cleared} at {size:?}");
    }
}
