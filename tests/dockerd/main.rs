//! The slow ring: what only a real Docker Engine can prove.

#[path = "../support/ground.rs"]
mod ground;
#[path = "../support/promises.rs"]
mod promises;

mod busybox;

use shellcraft::engine::Engine;

use promises::with_all_promises;

/// Lets one promise run against the Engine of this machine.
fn keep(promise: fn(&Engine, &str)) {
    let docker_host = std::env::var("DOCKER_HOST");
    let docker_host = docker_host
        .as_deref()
        .unwrap_or("unix:///var/run/docker.sock");
    let engine = Engine::new(docker_host).expect("DOCKER_HOST");
    promise(&engine, busybox::image(&engine));
}

macro_rules! tests {
    ($($promise:ident,)*) => {
        $(#[test] fn $promise() { keep(promises::$promise); })*
    };
}
with_all_promises!(tests);
