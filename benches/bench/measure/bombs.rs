//! What a neighbour feels of each of the self-test's bombs, one after the other: `shellcraft selftest` sets them off in
//! sessions with the usual limits, and measures.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::report::{Row, Target};
use crate::stand::Outcome;

/// Runs the whole of it so often. Quiet is what it calls quiet: the slower of before and after.
pub fn run(server: &Path, docker_host: &str, rounds: usize) -> Outcome<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..rounds {
        // Not our environment: what an operator has set must not change the figures.
        let output = Command::new(server)
            .env_clear()
            .args(["selftest", "--json", "--docker-host", docker_host])
            .stderr(Stdio::inherit())
            .output()?;
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let findings = report["findings"].as_array().ok_or("no findings")?;
        for finding in findings {
            let (Some(bomb), Some(quiet), Some(beside)) = (
                finding["name"].as_str(),
                finding["echo"]["quiet_p99_ms"].as_f64(),
                finding["echo"]["beside_p99_ms"].as_f64(),
            ) else {
                continue;
            };
            let name = format!("echo p99 beside {bomb}");
            let at = rows.iter().position(|row| row.name == name);
            let at = at.unwrap_or_else(|| {
                rows.push(Row::new(name, "ms", &[Target::RatioAtMost(3.0)]));
                rows.len() - 1
            });
            rows[at].add("alone", quiet);
            rows[at].add("beside", beside);
        }
    }
    Ok(rows)
}
