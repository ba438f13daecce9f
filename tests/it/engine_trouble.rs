//! What becomes of calls when the Engine misbehaves, which a real one does not do on demand.

use std::time::{Duration, Instant};

use fake_engine::{FakeEngine, Options};
use shellcraft::engine::{ContainerId, Engine, Error};

use crate::containers::{Guinea, PATIENCE};

const IMAGE: &str = "shellcraft-test/busybox";

fn start() -> (FakeEngine, Engine) {
    let fake = FakeEngine::start();
    let engine = Engine::new(&fake.docker_host()).expect("a Unix socket");
    (fake, engine)
}

fn speaking(newest: &str, oldest: &str) -> Options {
    Options {
        api_version: newest.into(),
        min_api_version: oldest.into(),
        ..Options::default()
    }
}

#[test]
fn an_engine_that_is_away_is_an_outage_and_comes_back() {
    let (fake, engine) = start();
    engine.images().expect("there");
    fake.stop_listening();
    let error = engine.images().expect_err("away");
    assert!(
        error.is_outage() && matches!(error, Error::Unreachable { .. }),
        "{error}"
    );
    assert!(error.to_string().contains(engine.socket()), "{error}");
    for error in [
        engine.attach(&ContainerId("x".into())).err(),
        engine.events(&[]).err(),
    ] {
        assert!(
            matches!(error, Some(Error::Unreachable { .. })),
            "{error:?}"
        );
    }
    fake.start_listening();
    engine.images().expect("back");
}

#[test]
fn connections_that_died_in_the_pool_are_not_used() {
    let (fake, engine) = start();
    engine.images().expect("there");
    fake.stop_listening();
    fake.start_listening();
    engine.images().expect("on a new connection");
}

#[test]
fn each_engine_is_spoken_to_in_its_version() {
    for (newest, oldest, has_console_size) in [
        ("1.41", "1.12", false),
        ("1.42", "1.24", true),
        ("1.52", "1.44", true),
    ] {
        let fake = FakeEngine::start_with(speaking(newest, oldest));
        let engine = Engine::new(&fake.docker_host()).expect("a Unix socket");
        engine.images().expect(newest);
        assert_eq!(
            engine.has_console_size().expect(newest),
            has_console_size,
            "{newest}"
        );
    }
    for (newest, oldest) in [("1.40", "1.12"), ("1.99", "1.90")] {
        let fake = FakeEngine::start_with(speaking(newest, oldest));
        let engine = Engine::new(&fake.docker_host()).expect("a Unix socket");
        let error = engine.images().expect_err(newest);
        assert!(matches!(error, Error::NoCommonVersion { .. }), "{error}");
    }
}

#[test]
fn an_upgraded_engine_is_spoken_to_in_its_new_version() {
    let (fake, engine) = start();
    engine.images().expect("1.41");
    fake.upgrade(speaking("1.52", "1.44"));
    engine
        .images()
        .expect("1.51, without having seen it go away");
    fake.upgrade(Options::default());
    drop(engine.events(&[]).expect("and back, on a stream"));
}

#[test]
fn a_container_is_sized_at_its_start_where_the_engine_can() {
    let fake = FakeEngine::start_with(speaking("1.44", "1.24"));
    let engine = Engine::new(&fake.docker_host()).expect("a Unix socket");
    let mut body = crate::containers::body(IMAGE, "");
    body.host_config.console_size = Some([31, 97]);
    let id = engine.create("sized", &body).expect("create");
    assert_eq!(fake.container(&id.0).expect("there").size, (97, 31));
}

#[test]
fn a_silent_engine_is_given_up_in_time() {
    let (fake, engine) = start();
    fake.hang("SystemPing");
    // It says nothing until it is released, and the answer to that is here before.
    let error = engine.ping().expect_err("silence");
    let soon = Duration::from_secs(5);
    assert!(
        error.is_outage() && matches!(error, Error::TimedOut { after, .. } if after < soon),
        "{error}"
    );
    fake.release("SystemPing");
    engine.ping().expect("it speaks again");
}

#[test]
fn a_late_answer_is_waited_for() {
    let (fake, engine) = start();
    fake.delay("ImageList", Duration::from_millis(200));
    let began = Instant::now();
    engine.images().expect("late");
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_refusal_carries_the_engine_s_words_tamed() {
    let (fake, engine) = start();
    fake.refuse("ContainerCreate", 500, "no space left\r\n\x1b[2Jon device");
    let error = engine
        .create("x", &crate::containers::body(IMAGE, ""))
        .expect_err("refused");
    assert!(error.is_outage());
    assert_eq!(
        error.to_string(),
        "ContainerCreate: the Engine answered 500: no space left   [2Jon device"
    );
    fake.refuse(
        "ContainerDelete",
        409,
        "removal of container x is already in progress",
    );
    engine
        .remove(&ContainerId("nobody".into()))
        .expect("somebody removes it");
    fake.refuse("ContainerDelete", 500, "device busy");
    assert!(engine.remove(&ContainerId("nobody".into())).is_err());
    fake.refuse("ContainerAttach", 500, "no");
    assert!(
        engine
            .attach(&ContainerId("x".into()))
            .expect_err("refused")
            .is_outage()
    );
    fake.refuse("SystemEvents", 500, "not now");
    let error = engine.events(&[]).err().expect("refused");
    assert_eq!(
        error.to_string(),
        "SystemEvents: the Engine answered 500: not now"
    );
}

#[test]
fn nonsense_is_an_error_and_nothing_worse() {
    let (fake, engine) = start();
    let json = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let answers = [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[".to_owned(),
        "HTTP/1.1 301 Moved\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n".to_owned(),
        json("<html>"),
        json("{\"Id\": 7}"),
        json(&"[".repeat(100_000)),
        String::new(),
    ];
    for answer in answers {
        fake.garble("ImageList", answer.as_bytes());
        let error = engine.images().expect_err(&answer);
        assert!(
            matches!(error, Error::Garbled { .. } | Error::Broken { .. }),
            "{error}"
        );
        assert!(error.to_string().len() < 1000, "{error}");
    }
    fake.release("ImageList");
    engine.images().expect("sense again");
}

#[test]
fn an_attach_can_be_cut_anywhere() {
    let (fake, engine) = start();
    fake.cut_attach_after(Some(1000));
    let (guinea, mut terminal) = Guinea::at_prompt(&engine, IMAGE);
    terminal.type_in("seq 20000\n");
    assert_eq!(terminal.expect_end().len(), 1000 - "$ ".len());
    fake.cut_attach_after(None);
    let mut again = guinea.attach();
    again.type_in("echo still here\n");
    again.expect("\r\nstill here\r\n");
}

#[test]
fn events_end_with_the_engine() {
    let (fake, engine) = start();
    let mut events = engine.events(&[]).expect("events");
    fake.stop_listening();
    let error = events
        .next()
        .expect("the end is told")
        .expect_err("it broke");
    assert!(error.is_outage(), "{error}");
    assert!(events.next().is_none());
}

#[test]
fn an_attacher_that_does_not_read_stalls_the_shell_and_loses_nothing() {
    let (_fake, engine) = start();
    let (guinea, mut terminal) = Guinea::at_prompt(&engine, IMAGE);
    terminal.type_in("seq 200000\nexit 5\n");
    // 1.4 MB do not fit into a socket, so the shell can't get to its exit.
    let error = engine
        .wait(&guinea.id, Duration::from_millis(300))
        .expect_err("stalled");
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    terminal.expect("\r\n200000\r\n");
    terminal.expect_end();
    assert_eq!(engine.wait(&guinea.id, PATIENCE).expect("wait"), 5);
}

#[test]
fn a_stalled_container_can_be_killed() {
    let (_fake, engine) = start();
    let (guinea, mut terminal) = Guinea::at_prompt(&engine, IMAGE);
    terminal.type_in("yes\n");
    terminal.expect("y\r\n");
    engine.kill(&guinea.id).expect("kill");
    assert_eq!(engine.wait(&guinea.id, PATIENCE).expect("wait"), 137);
}

#[test]
fn the_fake_holds_a_hundred_and_lets_go_of_all() {
    let (fake, engine) = start();
    let mut games = Vec::new();
    for _ in 0..100 {
        games.push(Guinea::at_prompt(&engine, IMAGE));
    }
    for (_, terminal) in &mut games {
        terminal.type_in("echo hello\n");
        terminal.expect("\r\nhello\r\n");
    }
    assert!(
        fake.containers()
            .iter()
            .all(|container| container.attached == 1)
    );
    drop(games);
    assert!(fake.containers().is_empty());
}
