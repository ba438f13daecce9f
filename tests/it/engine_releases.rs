//! Each release of Docker's Engine from 20.10 to 29, by its answers (`tests/fake-engine/answers`): it keeps the whole engine
//! contract, it is spoken to in the right version, and a game is played on it.

use fake_engine::{FakeEngine, Options, releases};
use shellcraft::engine::Engine;

use crate::promises::{self, with_all_promises};
use crate::site::{Site, wait_for};

const IMAGE: &str = "shellcraft-test/busybox";
/// The newest version that the server speaks.
const OURS: u16 = 51;

/// A promise and its name.
type Promise = (&'static str, fn(&Engine, &str));

macro_rules! table {
    ($($promise:ident,)*) => {
        &[$((stringify!($promise), promises::$promise),)*]
    };
}
const PROMISES: &[Promise] = with_all_promises!(table);

#[test]
fn every_release_keeps_the_contract() {
    for release in releases() {
        for (name, promise) in PROMISES {
            // The name of what fails is in the output then.
            println!("{release}: {name}");
            let fake = FakeEngine::start_with(Options::of_release(release));
            promise(
                &Engine::new(&fake.docker_host()).expect("a Unix socket"),
                IMAGE,
            );
        }
    }
}

#[test]
fn every_release_is_spoken_to_in_its_version_or_in_ours() {
    let minor = |version: &str| version.strip_prefix("1.").and_then(|it| it.parse().ok());
    let mut newest: Vec<u16> = Vec::new();
    for release in releases() {
        let fake = FakeEngine::start_with(Options::of_release(release));
        let engine = Engine::new(&fake.docker_host()).expect("a Unix socket");
        let theirs = engine.version().expect(release).api_version;
        let theirs = minor(&theirs).expect("1.N");
        newest.push(theirs);
        engine.images().expect(release);
        let spoken = format!("1.{}", theirs.min(OURS));
        assert_eq!(fake.versions_spoken(), [spoken], "{release}");
    }
    assert_eq!(newest, [41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 54]);
}

#[test]
fn a_game_is_played_on_every_release() {
    for release in releases() {
        println!("{release}");
        let fake = FakeEngine::start_with(Options::of_release(release));
        let site = Site::start(&fake.docker_host(), &["--pool-size", "1"]);
        wait_for("the server to be ready", || {
            site.get("/readyz").status == 200
        });
        let game = site.create("rust");
        let mut page = site.page(&game, None);
        page.resize(97, 31);
        page.type_in("echo on this release\r");
        page.expect("on this release\r\n");
        page.type_in("exit 3\r");
        let exit = page.note("exit");
        assert_eq!(
            (&exit["code"], &exit["reason"]),
            (&3.into(), &"exited".into()),
            "{release}"
        );
        assert_eq!(page.close_code(), 1000);
        let status = site.get(&game.path("/status")).json();
        assert_eq!(status["status"], "stopped", "{release}: {status}");
        assert_eq!(site.stop(), 0, "{release}: what could not be removed");
    }
}
