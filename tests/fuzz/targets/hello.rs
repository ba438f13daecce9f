//! See `tests/support/src/probes.rs`.
#![no_main]

use test_support::probes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| probes::hello(bytes));
