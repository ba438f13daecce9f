//! The fast ring: everything but Docker itself, which a fake Engine stands in for.

// Each ring uses its own part of what both stand on.
#[allow(dead_code)]
#[path = "../support/binary.rs"]
mod binary;
#[path = "../support/containers.rs"]
mod containers;
#[path = "../support/openapi.rs"]
mod openapi_check;
#[path = "../support/images.rs"]
mod packed;
#[path = "../support/probes.rs"]
mod probes;
#[path = "../support/promises.rs"]
mod promises;
#[path = "../support/redis_server.rs"]
mod redis_server;
#[allow(dead_code)]
#[path = "../support/site.rs"]
mod site;
#[path = "../support/store_promises.rs"]
mod store_promises;

mod admin;
mod architecture;
mod attacks;
mod books;
mod browser_security;
mod clients;
mod clocks;
mod corpora;
mod deploy;
mod doctor;
mod door;
mod emulator;
mod engine_contract;
mod engine_releases;
mod engine_trouble;
mod guides;
mod heartbeat;
mod heartbeat_flood;
mod http_api;
mod identity;
mod images;
mod install;
mod jwt;
mod limits;
mod logs;
mod metrics;
mod modules;
mod openapi;
mod outages;
mod panics;
mod persistence;
mod pressure;
mod process;
mod proxy;
mod quarantine;
mod queue;
mod random_lives;
mod readme;
mod restore;
mod sessions;
mod shells;
mod sockets;
mod spells;
mod store_contract;
mod store_dir;
mod store_redis;
mod terminal;
mod upgrade;
