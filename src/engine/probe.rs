//! How the Engine's answers are read, for tests that make up answers by the million. Pure.

use serde::de::DeserializeOwned;

use super::answer::{load_outcome, path_stat};
use super::attach::head_length;
use super::call::{engine_message, parse};
use super::events::read_line;
use super::types::{ContainerSummary, ImageSummary, Inspection, Version};

/// The call's name in errors.
const CALL: &str = "Probe";

/// Reads `answer` as everything that an Engine may say, and tells what it could be.
pub fn readings(answer: &[u8]) -> Vec<&'static str> {
    let header = std::str::from_utf8(answer);
    let attempts = [
        ("inspection", is::<Inspection>(answer)),
        ("containers", is::<Vec<ContainerSummary>>(answer)),
        ("images", is::<Vec<ImageSummary>>(answer)),
        ("version", is::<Version>(answer)),
        ("event", read_line(answer).is_ok()),
        ("load", load_outcome(CALL, answer).is_ok()),
        ("attach", matches!(head_length(answer), Ok(Some(_)))),
        (
            "stat",
            header.is_ok_and(|text| path_stat(CALL, text).is_ok()),
        ),
    ];
    attempts
        .into_iter()
        .filter_map(|(name, fits)| fits.then_some(name))
        .collect()
}

/// The message in an error answer, as it reaches the log.
pub fn message(answer: &[u8]) -> String {
    engine_message(answer)
}

/// How long the head of an attach's answer is, once it is whole and an HTTP head at all.
pub fn attach_head(answer: &[u8]) -> Option<usize> {
    head_length(answer).ok().flatten()
}

fn is<T: DeserializeOwned>(answer: &[u8]) -> bool {
    parse::<T>(CALL, answer).is_ok()
}
