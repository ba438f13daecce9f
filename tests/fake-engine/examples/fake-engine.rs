//! The fake Engine as a process, for tests that are not written in Rust. Prints where it is, and ends with its input.

use std::io::{self, Read};

use fake_engine::FakeEngine;

fn main() -> io::Result<()> {
    let engine = FakeEngine::start();
    println!("{}", engine.docker_host());
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}
