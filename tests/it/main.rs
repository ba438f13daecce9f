//! The fast ring: everything but Docker itself, which a fake Engine stands in for.

// Each ring uses its own part of what both stand on.
#[allow(dead_code)]
#[path = "../support/binary.rs"]
mod binary;
#[path = "../support/ground.rs"]
mod ground;
#[path = "../support/promises.rs"]
mod promises;
#[allow(dead_code)]
#[path = "../support/site.rs"]
mod site;

mod architecture;
mod door;
mod engine_contract;
mod engine_trouble;
mod heartbeat;
mod process;
mod proxy;
mod queue;
mod rest;
mod sessions;
mod terminal;
