//! See `tests/support/probes.rs`.
#![no_main]

#[allow(dead_code)]
#[path = "../../support/probes.rs"]
mod probes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| probes::emulator(bytes));
