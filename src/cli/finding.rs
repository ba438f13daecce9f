//! What a check has found: a line for a person, an object for a program.

use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

/// How good or bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// An operator should look at it.
    Warn,
    /// Players should not be let in.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen, and where something is wrong, what to do.
    pub note: String,
    /// How much slower a neighbour was while it went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<EchoNote>,
}

/// A neighbour's echo, quiet and beside a bomb.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EchoNote {
    /// 99 of 100 were faster, in milliseconds, while nothing went on.
    pub quiet_p99_ms: f64,
    /// The same beside the bomb.
    pub beside_p99_ms: f64,
    /// Whether all but the echo was as it should be.
    pub is_contained: bool,
}

impl Finding {
    /// A finding without a measurement.
    pub fn new(name: impl Into<String>, verdict: Verdict, note: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            verdict,
            note: note.into(),
            echo: None,
        }
    }

    /// All is well.
    pub fn ok(name: impl Into<String>, note: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, note)
    }

    /// An operator should look at it.
    pub fn warn(name: impl Into<String>, note: impl Into<String>) -> Self {
        Self::new(name, Verdict::Warn, note)
    }

    /// Something is wrong.
    pub fn fail(name: impl Into<String>, note: impl Into<String>) -> Self {
        Self::new(name, Verdict::Fail, note)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing from a container may move an operator's cursor.
        let note: String = self.note.chars().map(printable).collect();
        write!(out, "{:<4}  {}: {note}", self.verdict, self.name)
    }
}

fn printable(character: char) -> char {
    if character.is_control() {
        '?'
    } else {
        character
    }
}

/// Prints findings as they come, or all of them at the end.
#[derive(Debug)]
pub struct Report {
    is_json: bool,
    findings: Vec<Finding>,
}

impl Report {
    /// An empty report.
    pub fn new(is_json: bool) -> Self {
        Self {
            is_json,
            findings: Vec::new(),
        }
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        if !self.is_json {
            // A reader that has closed the output does not want it.
            let _ = writeln!(io::stdout(), "{finding}");
        }
        self.findings.push(finding);
    }

    /// Adds several.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            self.add(finding);
        }
    }

    /// The worst of all verdicts.
    pub fn worst(&self) -> Verdict {
        let verdicts = self.findings.iter().map(|finding| finding.verdict);
        verdicts.max().unwrap_or(Verdict::Ok)
    }

    /// Prints the summary, or everything. Returns whether nothing has failed.
    pub fn close(self) -> bool {
        let count = |verdict| {
            let of = |finding: &&Finding| finding.verdict == verdict;
            self.findings.iter().filter(of).count()
        };
        let (ok, warn, fail) = (
            count(Verdict::Ok),
            count(Verdict::Warn),
            count(Verdict::Fail),
        );
        let text = if self.is_json {
            let all = serde_json::json!({
                "findings": self.findings, "ok": ok, "warn": warn, "fail": fail,
            });
            serde_json::to_string_pretty(&all).unwrap_or_default()
        } else {
            format!("{ok} ok, {warn} to look at, {fail} failed")
        };
        let _ = writeln!(io::stdout(), "{text}");
        fail == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_an_object() {
        let finding = Finding::warn("disk", "2 GiB left\x1b[2J");
        assert_eq!(finding.to_string(), "warn  disk: 2 GiB left?[2J");
        let text = serde_json::to_string(&Finding::fail("disk", "full")).expect("text");
        assert_eq!(text, r#"{"name":"disk","verdict":"fail","note":"full"}"#);
        assert_eq!(
            Finding::fail("disk", "full").to_string(),
            "FAIL  disk: full"
        );
    }

    #[test]
    fn the_worst_counts() {
        let mut report = Report::new(true);
        assert_eq!(report.worst(), Verdict::Ok);
        report.add(Finding::ok("one", ""));
        report.add(Finding::warn("two", ""));
        assert_eq!(report.worst(), Verdict::Warn);
        assert!(report.close());
    }
}
