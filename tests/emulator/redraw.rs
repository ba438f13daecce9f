//! What the server's terminal emulator would have a page draw, for `tests/emulator`: one process, many cases.
//!
//! Each line of the input is a case: `{"cols":80,"rows":24,"steps":["<base64 of output>",[100,30],…]}`, where a pair is a new
//! size. The answer is a line with `redraw` and `answers`, what the server would answer to all of it, in base64, and the
//! `bytes` of memory that the terminal takes.

use std::io::{self, BufRead, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::Deserialize;
use shellcraft::engine::Size;
use shellcraft::terminal::Metrics;
use shellcraft::terminal::emulator::Emulator;

#[derive(Deserialize)]
struct Case {
    cols: u16,
    rows: u16,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Step {
    Output(String),
    Resize(u16, u16),
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let panics = Metrics::default().emulator_panics;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let case: Case = serde_json::from_str(&line?)?;
        let (cols, rows) = (case.cols, case.rows);
        let mut emulator = Emulator::new(Size { cols, rows }, &panics);
        let mut answers = String::new();
        for step in case.steps {
            match step {
                Step::Output(text) => answers += &emulator.answers_to(&BASE64.decode(text)?),
                Step::Resize(cols, rows) => emulator.resize(Size { cols, rows }),
            }
        }
        let mut redraw = emulator.redraw().into_bytes();
        redraw.extend_from_slice(emulator.open_char());
        let answer = serde_json::json!({
            "redraw": BASE64.encode(redraw),
            "answers": BASE64.encode(answers),
            "bytes": emulator.memory_bytes(),
            "panics": panics.get(),
        });
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
