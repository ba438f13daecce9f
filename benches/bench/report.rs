//! Figures, their medians over rounds, and whether they meet their targets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::stand::Outcome;

/// What a figure has to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// As a multiple of the bare attach's.
    RatioAtMost(f64),
    RatioAtLeast(f64),
    /// In the figure's own unit.
    AtMost(f64),
}

/// One figure of all contenders, a value a round. The first contender is what the others are compared with.
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    pub targets: Vec<Target>,
    /// In the order in which contenders appeared.
    pub contenders: Vec<(String, Vec<f64>)>,
}

impl Row {
    pub fn new(name: impl Into<String>, unit: &'static str, targets: &[Target]) -> Row {
        Row {
            name: name.into(),
            unit,
            targets: targets.to_vec(),
            contenders: Vec::new(),
        }
    }

    /// Notes a round's value.
    pub fn add(&mut self, contender: &str, value: f64) {
        match self
            .contenders
            .iter_mut()
            .find(|(name, _)| name == contender)
        {
            Some((_, values)) => values.push(value),
            None => self.contenders.push((contender.to_owned(), vec![value])),
        }
    }

    /// A row with one value of the server alone.
    pub fn single(
        name: impl Into<String>,
        unit: &'static str,
        value: f64,
        targets: &[Target],
    ) -> Row {
        let mut row = Row::new(name, unit, targets);
        row.add("server", value);
        row
    }

    /// The median over rounds of a contender's ratio to the first one in the same round.
    fn ratio(&self, contender: usize) -> Option<f64> {
        if contender == 0 {
            return None;
        }
        let (base, values) = (&self.contenders[0].1, &self.contenders[contender].1);
        let ratios: Vec<f64> = base
            .iter()
            .zip(values)
            .map(|(base, value)| value / base)
            .collect();
        (!ratios.is_empty()).then(|| percentile(&ratios, 50.0))
    }

    fn is_met(&self, contender: usize, target: Target) -> Option<bool> {
        let value = percentile(&self.contenders[contender].1, 50.0);
        match target {
            Target::RatioAtMost(limit) => self.ratio(contender).map(|ratio| ratio <= limit),
            Target::RatioAtLeast(limit) => self.ratio(contender).map(|ratio| ratio >= limit),
            Target::AtMost(limit) => Some(value <= limit),
        }
    }

    /// Whether a contender is one of the server's: the bare attach has no target.
    fn is_ours(&self, contender: usize) -> bool {
        !matches!(
            self.contenders[contender].0.as_str(),
            "bare" | "alone" | "again" | "relay"
        )
    }

    fn line(&self) -> String {
        let mut line = format!("{:<36}{:<6}", self.name, self.unit);
        for contender in 0..self.contenders.len() {
            let (name, values) = &self.contenders[contender];
            let value = number(percentile(values, 50.0));
            let ratio = self.ratio(contender);
            let ratio = ratio.map_or(String::new(), |ratio| format!(" {ratio:.2}×"));
            line += &format!("{:<20} ", format!("{name} {value}{ratio}"));
        }
        line += &self.verdicts().join(", ");
        line
    }

    fn verdicts(&self) -> Vec<String> {
        let verdict = |target: &Target| {
            let met: Vec<bool> = (0..self.contenders.len())
                .filter(|contender| self.is_ours(*contender))
                .filter_map(|contender| self.is_met(contender, *target))
                .collect();
            let word = match (met.contains(&true), met.contains(&false)) {
                (_, false) => "met",
                (true, true) => "partly missed",
                (false, true) => "MISSED",
            };
            match target {
                Target::RatioAtMost(limit) => format!("≤ {limit}× {word}"),
                Target::RatioAtLeast(limit) => format!("≥ {limit}× {word}"),
                Target::AtMost(limit) => format!("≤ {limit} {} {word}", self.unit),
            }
        };
        self.targets.iter().map(verdict).collect()
    }

    fn json(&self) -> Value {
        let contenders: BTreeMap<&str, Value> = (0..self.contenders.len())
            .map(|contender| {
                let (name, values) = &self.contenders[contender];
                let value = json!({
                    "median": percentile(values, 50.0),
                    "ratio": self.ratio(contender),
                    "rounds": values,
                });
                (name.as_str(), value)
            })
            .collect();
        json!({
            "name": self.name,
            "unit": self.unit,
            "contenders": contenders,
            "targets": self.verdicts(),
        })
    }
}

/// Prints one row, as soon as it is known.
pub fn print(rows: &[Row]) {
    for row in rows {
        println!("{}", row.line());
    }
}

/// Writes all rows.
pub fn save(rows: &[Row], rounds: usize, path: &Path) -> Outcome<()> {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let report = json!({
        "rounds": rounds,
        "machine": { "cpus": cpus, "load_afterwards": load.trim() },
        "figures": rows.iter().map(Row::json).collect::<Vec<_>>(),
    });
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    Ok(())
}

/// The value below which `percent` of them lie (nearest rank).
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
