//! The fast ring: everything but Docker itself, which a fake Engine stands in for.

#[path = "../support/ground.rs"]
mod ground;
#[path = "../support/promises.rs"]
mod promises;
#[path = "../support/site.rs"]
mod site;

mod architecture;
mod door;
mod engine_contract;
mod engine_trouble;
mod process;
mod proxy;
mod rest;
mod sessions;
mod terminal;
