//! The slow ring: what only a real Docker Engine can prove.
//!
//! * the engine contract: what the fake Engine promises, held against a real one;
//! * [`games`]: both shells played to the end through HTTP and WebSocket;
//! * [`keys`]: every key of every terminal, pastes, and what is typed while a command runs, in both shells;
//! * [`sandbox`]: attacks from inside a session; [`image`]: what Engine and images say of it;
//! * [`selftest`]: the same from a program of our own, with bombs beside a neighbour; the doctor;
//! * [`bytes`]: any byte through a terminal; [`resume`]: pages that are cut off;
//! * [`crowd`]: fifty at once, and nothing left; [`life`]: how sessions end; [`restart`]: the Engine itself ends;
//! * [`dist`]: the one binary of `make dist` by itself; [`compose`]: in a container, beside Redis; [`systemd`]: as a service; [`upgrade`]: replaced;
//! * [`quarantine`]: images and containers that are not as they should be;
//! * [`podman`]: rootless Podman in the Engine's place;
//! * [`chaos`]: servers, Engines and Redis killed at any moment; [`chaos_calls`]: calls that fail, hang and lie;
//!   [`chaos_disk`]: no room to save; [`chaos_planted`]: what is no spellbook.
//!
//! The images `shellcraft/rust` and `shellcraft/perl` must be there (`sandbox/build`), and target/dist/shellcraft (`make dist`);
//! images that only tests need are made here.

mod attacker;
mod console;
mod dice;
mod docker;
mod game;

mod bytes;
mod chaos;
mod chaos_arena;
mod chaos_calls;
mod chaos_disk;
mod chaos_planted;
mod chaos_player;
mod compose;
mod credentials;
mod crowd;
mod dist;
mod games;
mod image;
mod keys;
mod life;
mod podman;
mod quarantine;
mod restart;
mod resume;
mod saboteur;
mod sandbox;
mod selftest;
mod systemd;
mod upgrade;

use shellcraft::engine::Engine;

use test_support::promises::with_all_promises;
use test_support::{binary, busybox, containers, promises, redis_server, site};

/// Lets one promise run against the Engine of this machine.
fn keep(promise: fn(&Engine, &str)) {
    let engine = docker::engine();
    promise(&engine, busybox::image(&engine));
}

macro_rules! tests {
    ($($promise:ident,)*) => {
        $(#[test] fn $promise() { keep(promises::$promise); })*
    };
}
with_all_promises!(tests);
