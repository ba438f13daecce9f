//! A server that brings its images along, on an Engine that has them, has others, or has none.

use fake_engine::FakeEngine;
use shellcraft::engine::Engine;
use shellcraft::session::bundle::{Archive, Bundled, SOURCES};

use crate::containers::unique;
use crate::packed::bundled;
use crate::site::{Life, Site, wait_for};

const IMAGE: &str = "shellcraft-test/brought";

fn site_with(engine: &FakeEngine, images: Vec<Bundled>, flags: &[&str]) -> Site {
    let shells = format!("rust=shellcraft/rust,brought={IMAGE}");
    let flags = [flags, &["--shells", &shells]].concat();
    Site::start_bringing(images, Life::new(&unique()), &engine.docker_host(), &flags)
}

/// What the image on the Engine is made of.
fn sources_on(engine: &FakeEngine) -> Option<String> {
    let engine = Engine::new(&engine.docker_host()).expect("a socket");
    let mut image = engine.image(IMAGE).expect("it answers")?;
    image.config.labels.remove(SOURCES)
}

fn wait_until_ready(site: &Site) {
    wait_for("the server to be ready", || {
        site.get("/readyz").status == 200
    });
}

#[test]
fn an_engine_without_the_image_gets_it() {
    let engine = FakeEngine::start();
    let site = site_with(
        &engine,
        vec![bundled(IMAGE, "1", None)],
        &["--pool-size", "1"],
    );
    wait_until_ready(&site);
    assert_eq!(sources_on(&engine).as_deref(), Some("1"));
    wait_for("the pool", || {
        site.app().manager().pool_counts().get("brought") == Some(&1)
    });
    assert_eq!(site.post("/session", r#"{"shell": "brought"}"#).status, 201);
}

#[test]
fn until_it_is_there_players_and_probes_are_told() {
    let engine = FakeEngine::start();
    engine.refuse("ImageLoad", 500, "/var/lib/docker: no space left on device");
    let site = site_with(&engine, vec![bundled(IMAGE, "1", None)], &[]);
    wait_for("the sessions of before to be settled", || {
        site.post("/session", "").status == 201
    });
    for reply in [
        site.get("/readyz"),
        site.post("/session", r#"{"shell": "brought"}"#),
    ] {
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (503, "shell_not_ready")
        );
        assert!(reply.header("retry-after").is_some(), "{reply:?}");
        assert!(!reply.text().contains("/var/lib"), "{}", reply.text());
    }
    engine.release("ImageLoad");
    wait_until_ready(&site);
    assert_eq!(site.post("/session", r#"{"shell": "brought"}"#).status, 201);
}

#[test]
fn another_build_of_ours_is_replaced() {
    let engine = FakeEngine::start();
    let old = bundled(IMAGE, "1", None);
    let client = Engine::new(&engine.docker_host()).expect("a socket");
    client.load_images(&mut old.archive.tar()).expect("loaded");
    let site = site_with(&engine, vec![bundled(IMAGE, "2", None)], &[]);
    wait_until_ready(&site);
    assert_eq!(sources_on(&engine).as_deref(), Some("2"));
}

#[test]
fn the_same_build_and_an_operator_s_own_stay() {
    let engine = FakeEngine::start();
    engine.refuse("ImageLoad", 500, "nobody should ask for it");
    let client = Engine::new(&engine.docker_host()).expect("a socket");
    // The fake's own images have no label.
    let mut foreign = bundled("shellcraft/rust", "1", None);
    foreign.archive = Archive::Plain(b"never sent".into());
    let site = site_with(&engine, vec![foreign], &[]);
    // Not ready: the other shell's image is nobody's.
    wait_for("a game", || site.post("/session", "").status == 201);
    drop(site);
    engine.release("ImageLoad");
    let same = bundled(IMAGE, "1", None);
    client.load_images(&mut same.archive.tar()).expect("loaded");
    engine.refuse("ImageLoad", 500, "nobody should ask for it");
    let site = site_with(&engine, vec![same], &[]);
    wait_until_ready(&site);
    assert_eq!(site.post("/session", r#"{"shell": "brought"}"#).status, 201);
}

#[test]
fn an_image_that_was_removed_comes_back() {
    let engine = FakeEngine::start();
    let site = site_with(&engine, vec![bundled(IMAGE, "1", None)], &[]);
    wait_until_ready(&site);
    let client = Engine::new(&engine.docker_host()).expect("a socket");
    client.remove_image(IMAGE).expect("removed");
    // Whoever finds it gone may be refused; those who come after are not.
    wait_for("the image to come back", || {
        site.post("/session", r#"{"shell": "brought"}"#).status == 201
    });
    assert_eq!(sources_on(&engine).as_deref(), Some("1"));
}

#[test]
fn an_engine_that_was_away_gets_it_later() {
    let engine = FakeEngine::start();
    engine.stop_listening();
    let site = site_with(&engine, vec![bundled(IMAGE, "1", None)], &[]);
    assert_eq!(site.get("/readyz").code(), "engine_unavailable");
    engine.start_listening();
    wait_until_ready(&site);
    assert_eq!(sources_on(&engine).as_deref(), Some("1"));
}
