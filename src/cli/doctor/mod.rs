//! `shellcraft doctor`: what on this host is missing or unsafe, a line each.
//!
//! ```text
//!   gather ──▶ Facts ──▶ judge ──▶ findings
//! ```
//!
//! [`gather`] looks: at the Engine, at files, and from inside of a container that is made as a session's is. [`judge`]
//! and [`escapes`] decide, and touch nothing. No server need run; one that does is asked, with the
//! operator's token, what it has set aside.

pub mod escapes;
pub mod facts;
pub mod gather;
pub mod judge;

use super::finding::Report;
use crate::config::Config;

/// Looks, prints, and returns whether nothing is wrong.
pub fn run(config: &Config, is_json: bool) -> bool {
    let mut report = Report::new(is_json);
    report.extend(judge::judge(&gather::gather(config)));
    report.close()
}
