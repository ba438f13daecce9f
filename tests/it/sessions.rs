//! Sessions under load and trouble: the map, limits, leftovers, outages, the reaper.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fake_engine::FakeEngine;
use shellcraft::auth::PlayerSecret;
use shellcraft::engine::{ContainerId, Engine};
use shellcraft::session::{Error, Manager, Newcomer, Session, SessionId};
use shellcraft::terminal::Role;
use shellcraft::terminal::hub::Arrival;

use crate::containers::{PATIENCE, body, unique};
use crate::site::{Site, wait_for};

const PLAYER: Arrival = Arrival {
    role: Role::Player,
    is_acking: false,
    from: None,
    wants_screen: false,
    page: None,
};

/// A session without going through HTTP.
pub fn new_session(manager: &Arc<Manager>, shell: Option<&str>) -> Result<Arc<Session>, Error> {
    let player = PlayerSecret::random().id();
    manager
        .new_session(Newcomer::PATIENT, shell, &player)
        .map(|new| new.session)
}

/// 16 threads make, look at, sit down at and destroy sessions, their own and each other's.
#[test]
fn sixteen_threads_hammer_the_map() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--max-sessions", "40"]);
    let manager: &Arc<Manager> = site.app().manager();
    thread::scope(|scope| {
        for worker in 0..16 {
            scope.spawn(move || {
                for round in 0..25 {
                    let session =
                        match new_session(manager, Some(["rust", "perl"][(worker + round) % 2])) {
                            Ok(session) => session,
                            Err(Error::Full { .. }) => continue,
                            Err(error) => panic!("{error}"),
                        };
                    // Unless another thread has destroyed it already.
                    if let Ok(found) = manager.get(session.id) {
                        assert_eq!(found.id, session.id);
                    }
                    match manager.join_terminal(session.id, PLAYER) {
                        Ok(handle) => drop(handle),
                        Err(error) => {
                            assert!(matches!(error, Error::NotFound | Error::Over), "{error}")
                        }
                    }
                    let listed = manager.list();
                    assert!(listed.iter().filter(|one| one.id == session.id).count() <= 1);
                    // Somebody else's, which may be gone already.
                    if let Some(other) = listed.get(round % listed.len().max(1)) {
                        let _ = manager.destroy(other.id);
                    }
                    match manager.destroy(session.id) {
                        Ok(()) | Err(Error::NotFound) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    assert!(manager.list().is_empty(), "{}", manager.list().len());
    assert!(engine.containers().is_empty());
    let (created, removed) = (
        engine.calls("ContainerCreate"),
        engine.calls("ContainerDelete"),
    );
    assert_eq!(created, removed, "each container is removed once");
    assert_eq!(site.stop(), 0);
}

/// An operator sees it in the list already.
#[test]
fn a_session_that_is_being_made_is_destroyed_when_it_is_made() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let manager: &Arc<Manager> = site.app().manager();
    engine.hold_answers("ContainerStart");
    thread::scope(|scope| {
        let player = scope.spawn(|| new_session(manager, None).map(|session| session.id));
        wait_for("the container's start", || {
            engine.calls("ContainerStart") == 1
        });
        let id = manager.list().first().expect("a session").id;
        let operator = scope.spawn(move || manager.destroy(id));
        assert!(!operator.is_finished());
        engine.release("ContainerStart");
        operator.join().expect("no panic").expect("destroyed");
        let made = player.join().expect("no panic");
        assert!(matches!(made, Ok(made) if made == id) || made.is_err());
    });
    assert!(manager.list().is_empty() && engine.containers().is_empty());
    assert_eq!(site.stop(), 0);
}

#[test]
fn a_session_is_destroyed_once_however_many_ask() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let session = new_session(site.app().manager(), None).expect("a session");
    let destroyed = thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| site.app().manager().destroy(session.id)))
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().expect("no panic").ok())
            .count()
    });
    assert_eq!(destroyed, 1);
    assert_eq!(engine.calls("ContainerDelete"), 1);
}

#[test]
fn the_limit_is_a_limit_however_many_come_at_once() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--max-sessions", "5"]);
    let replies: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| site.post("/session", "")))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(made, 5);
    for refused in replies.iter().filter(|reply| reply.status != 201) {
        assert_eq!((refused.status, refused.code().as_str()), (503, "full"));
        assert!(refused.header("retry-after").is_some());
    }
    assert_eq!(engine.containers().len(), 5);
}

#[test]
fn the_container_is_as_the_contract_says() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--runtime", "runsc"]);
    let game = site.create("rust");
    let container = &engine.containers()[0];
    let (create, host) = (&container.create_body, &container.create_body["HostConfig"]);
    for (value, expected) in [
        (&create["User"], "\"1000:1000\""),
        (&create["Tty"], "true"),
        (&create["StdinOnce"], "false"),
        (&create["Volumes"], "{\"/home\":{}}"),
        (&host["NetworkMode"], "\"none\""),
        (&host["CapDrop"], "[\"ALL\"]"),
        (&host["SecurityOpt"], "[\"no-new-privileges\"]"),
        (&host["ReadonlyRootfs"], "true"),
        (&host["Memory"], "67108864"),
        (&host["MemorySwap"], "67108864"),
        (&host["CpuQuota"], "5000"),
        (&host["CpuPeriod"], "10000"),
        (&host["PidsLimit"], "64"),
        (&host["LogConfig"], "{\"Type\":\"none\"}"),
        (
            &host["Tmpfs"]["/tmp"],
            "\"rw,noexec,nosuid,nodev,size=16m,mode=1777,uid=1000,gid=1000\"",
        ),
        (&host["Runtime"], "\"runsc\""),
    ] {
        assert_eq!(value.to_string(), expected);
    }
    let labels = &container.labels;
    assert_eq!(labels.get("shellcraft.instance"), Some(&site.instance));
    assert_eq!(labels.get("shellcraft.session"), Some(&game.id));
    let book = engine
        .read_file(&container.id, "/home/spellbook.dat")
        .expect("the book is there from the start");
    assert_eq!(book, (Vec::new(), 1000));
}

/// The Engine is away at the start: the server starts, says so, and recovers.
#[test]
fn an_engine_that_comes_later() {
    let engine = FakeEngine::start();
    engine.stop_listening();
    let site = Site::start(&engine.docker_host(), &[]);
    assert_eq!(site.get("/healthz").status, 200);
    let ready = site.get("/readyz");
    assert_eq!(
        (ready.status, ready.code().as_str()),
        (503, "engine_unavailable")
    );
    // It has not looked yet which games its last life has left.
    let balancer = site.get("/readyz?for=balancer");
    assert_eq!(
        (balancer.status, balancer.code().as_str()),
        (503, "starting")
    );
    let refused = site.post("/session", "");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "engine_unavailable")
    );
    assert!(refused.header("retry-after").is_some());
    assert!(
        !refused
            .text()
            .contains(engine.socket().to_str().expect("UTF-8")),
        "no path of the host"
    );
    engine.start_listening();
    wait_for("the server to be ready", || {
        site.get("/readyz").status == 200
    });
    assert_eq!(site.post("/session", "").status, 201);
}

/// Whatever step of the creation fails, the player is told and nothing is left.
#[test]
fn a_creation_that_fails_leaves_nothing() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    for op in [
        "ContainerCreate",
        "PutContainerArchive",
        "ContainerAttach",
        "ContainerStart",
    ] {
        engine.refuse(op, 500, "/var/lib/docker: no space left on device");
        let reply = site.post("/session", "");
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (503, "engine_unavailable"),
            "{op}"
        );
        assert!(!reply.text().contains("/var/lib"), "{}", reply.text());
        engine.release(op);
        assert!(engine.containers().is_empty(), "{op}");
        assert!(site.app().manager().list().is_empty(), "{op}");
    }
    assert_eq!(site.post("/session", "").status, 201);
}

#[test]
fn a_missing_image_is_named_to_the_operator_only() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--shells", "ghost=secret/ghost"]);
    let reply = site.post("/session", "");
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (503, "shell_not_installed")
    );
    assert!(!reply.text().contains("secret/ghost"), "{}", reply.text());
}

/// Containers that an earlier life of this instance left are removed at the start; nobody else's are.
#[test]
fn leftovers_of_this_instance_are_removed() {
    let engine = FakeEngine::start();
    let client = Engine::new(&engine.docker_host()).expect("a socket");
    let instance = unique();
    let leave = |instance: &str| -> ContainerId {
        let mut body = body("shellcraft/rust", "x");
        body.labels
            .insert("shellcraft.instance".into(), instance.into());
        body.labels
            .insert("shellcraft.session".into(), SessionId::random().to_text());
        let id = client.create(&unique(), &body).expect("created");
        client.start(&id).expect("started");
        id
    };
    let ours = [leave(&instance), leave(&instance)];
    let theirs = leave("another");
    let site = Site::start_as(&instance, &engine.docker_host(), &[]);
    wait_for("ours to be removed", || {
        ours.iter().all(|id| engine.container(&id.0).is_none())
    });
    assert!(engine.container(&theirs.0).is_some());
    // The second is counted only after the Engine has told of its removal.
    wait_for("both to be counted", || {
        site.metric("leftovers_removed_total") == 2.0
    });
}

/// The Engine's list is old news when it comes: what has ended since is no leftover, and is not removed again.
#[test]
fn the_sweep_leaves_alone_what_has_ended_meanwhile() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let container = engine.containers().remove(0).id;
    engine.hold_answers("ContainerList");
    assert!(engine.await_held_answer("ContainerList", PATIENCE));
    assert_eq!(site.delete(&game.path("")).status, 204);
    assert!(engine.container(&container).is_none());
    let passes = site.metric("reaper_passes_total");
    engine.release("ContainerList");
    wait_for("the sweep to be over", || {
        site.metric("reaper_passes_total") > passes
    });
    assert_eq!(engine.deletions().get(&container), Some(&1));
    assert_eq!(site.metric("leftovers_found_total"), 0.0);
}

/// One hanging call keeps neither health nor other sessions waiting.
#[test]
fn a_hanging_engine_does_not_hang_the_server() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let mut player = site.raw(&game);
    player.expect("$ ");
    engine.hang("ContainerCreate");
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| site.post("/session", "")))
            .collect();
        assert!(
            engine.await_calls("ContainerCreate", 5, PATIENCE),
            "four at once"
        );
        for _ in 0..20 {
            assert_eq!(site.get("/healthz").status, 200);
        }
        player.type_in("echo still here\n");
        player.expect("\r\nstill here\r\n");
        assert_eq!(
            engine.calls("ContainerCreate"),
            5,
            "not more than four at once"
        );
        engine.release("ContainerCreate");
        for thread in waiting {
            assert_eq!(thread.join().expect("no panic").status, 201);
        }
    });
}

/// The Engine fails when a session is to be removed: it is removed when it is back.
#[test]
fn a_removal_is_tried_until_it_works() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    engine.refuse("ContainerDelete", 500, "device busy");
    engine.exit(&format!("shellcraft-{}", game.id), 0);
    assert!(engine.await_calls("ContainerDelete", 3, PATIENCE));
    assert_eq!(engine.containers().len(), 1);
    engine.release("ContainerDelete");
    wait_for("the container to be removed", || {
        engine.containers().is_empty()
    });
}

#[test]
fn a_stop_while_sessions_are_being_made_leaves_nothing() {
    let engine = FakeEngine::start();
    engine.delay("ContainerStart", Duration::from_millis(150));
    let site = Site::start(&engine.docker_host(), &[]);
    let manager = Arc::clone(site.app().manager());
    let makers: Vec<_> = (0..12)
        .map(|_| {
            let manager = Arc::clone(&manager);
            thread::spawn(move || new_session(&manager, None).map(|session| session.id))
        })
        .collect();
    assert!(engine.await_calls("ContainerStart", 2, PATIENCE));
    assert_eq!(site.stop(), 0);
    for maker in makers {
        let _ = maker.join().expect("no panic");
    }
    wait_for("everything to be removed", || {
        engine.containers().is_empty()
    });
    assert!(matches!(new_session(&manager, None), Err(Error::Stopping)));
}

/// A stop is over with its grace even when the Engine hangs.
#[test]
fn a_stop_does_not_wait_for_a_hanging_engine() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--shutdown-grace", "2s"]);
    let _game = site.create("rust");
    engine.hang("ContainerKill");
    // The session's thread, which waits for the Engine still.
    assert_eq!(site.stop(), 1);
    assert_eq!(engine.calls("ContainerKill"), 1);
    engine.release("ContainerKill");
}

#[test]
fn ids_are_never_used_twice() {
    let ids: BTreeSet<_> = (0..1000).map(|_| SessionId::random()).collect();
    assert_eq!(ids.len(), 1000);
}
