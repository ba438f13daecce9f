//! The fast ring: everything but Docker itself, which a fake Engine stands in for.

#[path = "../support/ground.rs"]
mod ground;
#[path = "../support/promises.rs"]
mod promises;

mod door;
mod engine_contract;
mod engine_trouble;
