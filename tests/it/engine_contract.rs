//! The engine contract, kept by the fake Engine.

use fake_engine::{FakeEngine, Options};
use shellcraft::engine::Engine;

use crate::promises::{self, with_all_promises};

const IMAGE: &str = "shellcraft-test/busybox";

/// Lets one promise run against a fake Engine of its own.
fn keep(options: Options, promise: fn(&Engine, &str)) {
    let fake = FakeEngine::start_with(options);
    let engine = Engine::new(&fake.docker_host()).expect("a Unix socket");
    promise(&engine, IMAGE);
}

macro_rules! tests {
    ($($promise:ident,)*) => {
        $(#[test] fn $promise() { keep(Options::default(), promises::$promise); })*
    };
}
with_all_promises!(tests);

/// Like Podman 4's imitation of Docker.
fn podman() -> Options {
    Options {
        is_podman: true,
        ..Options::default()
    }
}

#[test]
fn podman_s_detach_keys_are_disarmed_too() {
    keep(podman(), promises::control_p_arrives_at_once);
}

#[test]
fn podman_s_containers_die_too() {
    keep(podman(), promises::events_tell_of_the_end);
}
