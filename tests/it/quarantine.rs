//! One bad container, image, shell or call holds nothing else up: it is set aside, named, and tried again later.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use fake_engine::FakeEngine;
use serde_json::json;
use shellcraft::engine::{ContainerId, Engine};
use shellcraft::session::SessionId;

use crate::containers::{PATIENCE, body, unique};
use crate::site::{ADMIN_TOKEN, Client, Game, Site, wait_for};

fn name(game: &Game) -> String {
    format!("shellcraft-{}", game.id)
}

/// What the operator is told of everything that is set aside: kind and name.
fn set_aside(site: &Client) -> Vec<(String, String)> {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("Authorization", bearer.as_str())];
    let health = site.request("GET", "/admin/health", &headers, b"").json();
    let list = health["quarantine"].as_array().expect("a list").clone();
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    list.iter()
        .map(|one| {
            assert!(!text(&one["cause"]).is_empty(), "{one}");
            assert!(one["failures"].as_u64() >= Some(1), "{one}");
            assert!(one["retry_in_seconds"].is_u64(), "{one}");
            (text(&one["kind"]), text(&one["name"]))
        })
        .collect()
}

fn quarantined(site: &Client, kind: &str) -> f64 {
    site.metric(&format!("quarantined{{kind=\"{kind}\"}}"))
}

/// The doctor asks the server that runs what it has set aside.
#[track_caller]
fn check_doctor(engine: &FakeEngine, site: &Client) {
    let port = site.address.port().to_string();
    let data = tempfile::tempdir().expect("a directory");
    let output = Command::new(crate::binary::server_binary())
        .args(["doctor", "--json", "--port", &port])
        .args(["--docker-host", &engine.docker_host()])
        .args(["--admin-token", ADMIN_TOKEN, "--data-dir"])
        .arg(data.path())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("the server has set it aside") && text.contains("device or resource busy"),
        "{text}"
    );
}

/// A container that an earlier life has left, and no session has.
fn leftover(engine: &FakeEngine, instance: &str) -> String {
    let client = Engine::new(&engine.docker_host()).expect("a socket");
    let mut body = body("shellcraft/rust", "x");
    let session = SessionId::random().to_text();
    body.labels
        .insert("shellcraft.instance".into(), instance.into());
    body.labels
        .insert("shellcraft.session".into(), session.clone());
    let name = format!("shellcraft-{session}");
    let id: ContainerId = client.create(&name, &body).expect("created");
    client.start(&id).expect("started");
    engine.write_file(&name, "/home/spellbook.dat", b"kept\techo\n");
    name
}

/// FAULTS D1: one of four whose attach hangs.
#[test]
fn a_container_that_can_not_be_taken_over_holds_up_no_other() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let games: Vec<_> = (0..4).map(|_| site.create("rust")).collect();
    let life = site.leave();
    let bad = format!("ContainerAttach {}", name(&games[1]));
    engine.hang(&bad);
    let site = Site::start_in(life, &engine.docker_host(), &[]);
    for (index, game) in games.iter().enumerate().filter(|(index, _)| *index != 1) {
        wait_for("a game to be known", || {
            site.get(&game.path("/status")).status == 200
        });
        let mut page = site.page(game, None);
        page.type_in(&format!("echo game {index}\n"));
        page.expect(&format!("\r\ngame {index}\r\n"));
    }
    assert_eq!(site.post("/session", "").status, 201);
    assert_eq!(site.get(&games[1].path("/status")).status, 200);
    assert_eq!(site.metric("sessions_adopted_total"), 4.0);
    wait_for("it to be named", || {
        set_aside(&site).iter().any(|(kind, _)| kind == "container")
    });
    assert_eq!(quarantined(&site, "container"), 1.0);
    engine.release(&bad);
    let mut page = site.page(&games[1], None);
    wait_for("it to be played again", || {
        page.type_in("echo healed\n");
        page.read(std::time::Instant::now());
        crate::site::find(&page.seen, b"\r\nhealed\r\n").is_some()
    });
    assert_eq!(quarantined(&site, "container"), 0.0);
}

/// FAULTS D2: one whose removal fails, and one whose removal hangs.
#[test]
fn an_orphan_that_stays_holds_up_no_other() {
    for (op, trouble) in [
        ("ContainerDelete", "refused"),
        ("ContainerDelete", "hung"),
        ("ContainerArchive", "refused"),
        ("ContainerInspect", "refused"),
    ] {
        let engine = FakeEngine::start();
        let instance = unique();
        let all: Vec<_> = (0..6).map(|_| leftover(&engine, &instance)).collect();
        // In the order in which the Engine tells them, the first is in the way of all others.
        let first = engine.containers()[0].name.clone();
        let bad = format!("{op} {first}");
        match trouble {
            "hung" => engine.hang(&bad),
            _ => engine.refuse(&bad, 500, "device or resource busy"),
        }
        let site = Site::start_as(&instance, &engine.docker_host(), &[]);
        wait_for("the others to be removed", || {
            let gone = |name: &&String| engine.container(name).is_none();
            all.iter().filter(gone).count() == 5
        });
        assert!(engine.container(&first).is_some(), "{op} {trouble}");
        if trouble == "refused" {
            wait_for("it to be named", || quarantined(&site, "container") == 1.0);
            assert_eq!(set_aside(&site).len(), 1, "{op}");
            if op == "ContainerDelete" {
                check_doctor(&engine, &site);
            }
        }
        // What has come to its end is ended meanwhile.
        let game = site.create("rust");
        assert_eq!(site.delete(&game.path("")).status, 204);
        let passes = site.metric("reaper_passes_total");
        wait_for("the reaper to go on", || {
            site.metric("reaper_passes_total") >= passes + 2.0
        });
        engine.release(&bad);
        wait_for("it to be removed as well", || {
            engine.containers().is_empty()
        });
        wait_for("it to be forgotten", || {
            quarantined(&site, "container") == 0.0
        });
    }
}

/// FAULTS D3: the terminal whose size can't be set waits alone.
#[test]
fn a_resize_that_hangs_holds_up_no_other() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let games: Vec<_> = (0..3).map(|_| site.create("rust")).collect();
    let bad = format!("ContainerResize {}", name(&games[0]));
    engine.hang(&bad);
    let before = engine.calls(&bad);
    let mut pages: Vec<_> = games.iter().map(|game| site.page(game, None)).collect();
    pages[0].resize(50, 10);
    assert!(engine.await_calls(&bad, before + 1, PATIENCE));
    for (index, page) in pages.iter_mut().enumerate().skip(1) {
        page.resize(90 + index as u32, 30);
        let wanted = (90 + index as u16, 30);
        wait_for("its size", || {
            engine
                .container(&name(&games[index]))
                .is_some_and(|found| found.size == wanted)
        });
    }
    // Nobody has waited for the one that hangs: it does even now.
    assert_eq!(engine.calls(&bad), before + 1);
    engine.release(&bad);
    wait_for("its size at last", || {
        engine
            .container(&name(&games[0]))
            .is_some_and(|found| found.size == (50, 10))
    });
}

/// FAULTS D4: a shell without an image, and one whose image can't be looked at; the other's pool fills as if it was alone.
#[test]
fn a_shell_that_can_not_be_made_slows_no_other_s_pool() {
    for (shells, bad, code) in [
        ("ghost=not/there,rust=shellcraft/rust", None, "shell_broken"),
        (
            "perl=shellcraft/perl,rust=shellcraft/rust",
            Some("ContainerCreate shellcraft/perl"),
            "",
        ),
    ] {
        let engine = FakeEngine::start();
        bad.inspect(|bad| engine.hang(bad));
        let flags = ["--pool-size", "2", "--shells", shells];
        let site = Site::start(&engine.docker_host(), &flags);
        for taken in 1..=6 {
            let body = json!({"shell": "rust"}).to_string();
            assert_eq!(site.post("/session", &body).status, 201);
            wait_for("its pool to fill again", || {
                let count = site.app().manager().pool_counts();
                count.get("rust") == Some(&2) && engine.containers().len() >= taken + 2
            });
        }
        if !code.is_empty() {
            assert_eq!(site.get("/readyz").code(), code);
            assert!(set_aside(&site).contains(&("pool".into(), "ghost".into())));
        }
        bad.inspect(|bad| engine.release(bad));
    }
}

/// FAULTS D10: without a pool nobody waits for a player.
#[test]
fn a_pool_that_is_not_wanted_any_more_goes() {
    let engine = FakeEngine::start();
    let flags = ["--pool-size", "2", "--shells", "rust=shellcraft/rust"];
    let site = Site::start(&engine.docker_host(), &flags);
    wait_for("the pool", || {
        site.app().manager().pool_counts().get("rust") == Some(&2)
    });
    let life = site.leave();
    let flags = ["--pool-size", "0", "--shells", "rust=shellcraft/rust"];
    let _site = Site::start_in(life, &engine.docker_host(), &flags);
    wait_for("its containers to go", || engine.containers().is_empty());
}

/// FAULTS D5: after a build under the same name new players get the new one, before and after a restart.
#[test]
fn an_image_that_was_built_anew_is_what_new_players_get() {
    let engine = FakeEngine::start();
    let flags = ["--pool-size", "2", "--shells", "rust=shellcraft/rust"];
    let site = Site::start(&engine.docker_host(), &flags);
    let filled = |site: &Site| site.app().manager().pool_counts().get("rust") == Some(&2);
    wait_for("the pool", || filled(&site));
    let played = site.create("rust");
    wait_for("the pool to fill again", || filled(&site));
    let old: Vec<_> = engine.containers().into_iter().map(|one| one.id).collect();
    let is_replaced = |engine: &FakeEngine| {
        let kept = old.iter().filter(|id| engine.container(id).is_some());
        // The one that is played.
        kept.count() == 1 && engine.container(&name(&played)).is_some()
    };
    engine.rebuild_image("shellcraft/rust:latest");
    wait_for("the pool to be replaced", || {
        is_replaced(&engine) && filled(&site)
    });
    // While the server was away.
    let life = site.leave();
    let before: Vec<_> = engine.containers().into_iter().map(|one| one.id).collect();
    engine.rebuild_image("shellcraft/rust:latest");
    let site = Site::start_in(life, &engine.docker_host(), &flags);
    wait_for("the pool to be replaced again", || {
        let kept = before.iter().filter(|id| engine.container(id).is_some());
        kept.count() == 1 && filled(&site)
    });
    // Nothing goes for no reason.
    let life = site.leave();
    let made = engine.calls("ContainerCreate");
    let site = Site::start_in(life, &engine.docker_host(), &flags);
    wait_for("the pool to be taken over", || filled(&site));
    assert_eq!(engine.calls("ContainerCreate"), made);
}

/// FAULTS B8: a directory of the image that the player could fill.
#[test]
fn an_image_with_a_directory_of_the_player_s_is_refused() {
    let engine = FakeEngine::start();
    engine.set_loose_directories("shellcraft/perl:latest", &["/home/player"]);
    let site = Site::start(&engine.docker_host(), &["--pool-size", "1"]);
    wait_for("it to be noticed", || {
        site.get("/readyz").text().contains("shell_broken")
    });
    let refused = site.post("/session", r#"{"shell": "perl"}"#);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (502, "shell_broken")
    );
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("Authorization", bearer.as_str())];
    let health = site.request("GET", "/admin/health", &headers, b"").json();
    let cause = health["shells"][1]["cause"].as_str().expect("a cause");
    assert!(cause.contains("/home/player"), "{cause}");
    assert_eq!(site.create("rust").id.len(), 36);
    let of_perl = |container: &fake_engine::FakeContainer| {
        container.image_name == "shellcraft/perl:latest" && container.state != "created"
    };
    assert!(!engine.containers().iter().any(of_perl), "none was started");
    // It is looked at once, and not for each player.
    let looks = engine.calls("ContainerArchive");
    site.create("rust");
    assert_eq!(engine.calls("ContainerArchive"), looks);
    // Built anew without it.
    engine.set_loose_directories("shellcraft/perl:latest", &[]);
    engine.rebuild_image("shellcraft/perl:latest");
    wait_for("it to be used", || {
        site.post("/session", r#"{"shell": "perl"}"#).status == 201
    });
}

/// FAULTS D8: whoever plays in a container that somebody has frozen is told; one that waits is given to nobody.
#[test]
fn a_frozen_container_is_told_of_and_never_given_out() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let mut page = site.page(&game, None);
    page.expect("$ ");
    engine.set_paused(&name(&game), true);
    assert_eq!(page.note("notice")["kind"], "paused");
    // Who comes later, and after a restart, is told as well.
    let mut late = site.page(&game, None);
    assert_eq!(late.note("notice")["kind"], "paused");
    let life = site.leave();
    let site = Site::start_in(life, &engine.docker_host(), &[]);
    wait_for("the game to be known", || {
        site.get(&game.path("/status")).status == 200
    });
    let mut page = site.page(&game, None);
    assert_eq!(page.note("notice")["kind"], "paused");
    engine.set_paused(&name(&game), false);
    assert_eq!(page.note("notice")["kind"], "resumed");

    let flags = ["--pool-size", "2", "--shells", "rust=shellcraft/rust"];
    let site = Site::start(&engine.docker_host(), &flags);
    let counts = || site.app().manager().pool_counts().get("rust").copied();
    wait_for("the pool", || counts() == Some(2));
    let is_waiting = |one: &&fake_engine::FakeContainer| {
        one.labels.get("shellcraft.instance") == Some(&site.instance)
    };
    let frozen = engine
        .containers()
        .iter()
        .find(is_waiting)
        .expect("one waits")
        .clone();
    engine.set_paused(&frozen.name, true);
    wait_for("it to be replaced", || {
        engine.container(&frozen.id).is_none() && counts() == Some(2)
    });
    assert_eq!(site.stop(), 0);
}

/// FAULTS D7: what the program said, and its exit code.
#[test]
fn the_last_words_of_a_program_that_ends_at_once_are_read() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    engine.say(&name(&game), "no such spell\r\n");
    engine.exit(&name(&game), 3);
    wait_for("the container to go", || engine.containers().is_empty());
    let mut page = site.page(&game, None);
    page.expect("no such spell");
    let exit = page.note("exit");
    assert_eq!(
        (&exit["code"], &exit["reason"]),
        (&json!(3), &json!("exited"))
    );
    assert_eq!(page.close_code(), 1000);
}

/// FAULTS D9: what the image would have run beside the shell, over and over.
#[test]
fn no_image_s_health_check_runs() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    site.create("rust");
    let body = engine.containers().remove(0).create_body;
    assert_eq!(body["Healthcheck"], json!({"Test": ["NONE"]}));
}

/// FAULTS B11: an Engine that is away is told of when it goes, and not twice a second.
#[test]
fn trouble_is_told_once_and_not_twice_a_second() {
    let engine = FakeEngine::start();
    engine.refuse("ContainerList", 500, "input/output error");
    let log = tempfile::NamedTempFile::new().expect("a file");
    let server = crate::binary::Process::start_logged(
        log.path(),
        &engine.docker_host(),
        &unique(),
        &["--pool-size", "0"],
    );
    let lists = engine.calls("ContainerList");
    assert!(engine.await_calls("ContainerList", lists + 6, PATIENCE));
    let told = || {
        let text = std::fs::read_to_string(log.path()).expect("a log");
        text.lines()
            .filter(|line| line.contains("not taken over yet"))
            .count()
    };
    assert_eq!(told(), 1);
    drop(server);
}

/// FAULTS D11: another port is another instance, unless INSTANCE says otherwise.
#[test]
fn games_of_another_port_are_told_of() {
    let engine = FakeEngine::start();
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    // Nobody listens there: whose they were has stopped.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let before = format!("{host}:{port}");
    for _ in 0..2 {
        leftover(&engine, &before);
    }
    leftover(&engine, "another");
    let log = tempfile::NamedTempFile::new().expect("a file");
    let data = tempfile::tempdir().expect("a directory");
    let file = std::fs::File::create(log.path()).expect("writable");
    let mut child = Command::new(crate::binary::server_binary())
        .args(["--port", "0", "--docker-host", &engine.docker_host()])
        .args(["--pool-size", "0"])
        .arg("--data-dir")
        .arg(data.path())
        .env_remove("INSTANCE")
        .stdout(std::process::Stdio::null())
        .stderr(file)
        .spawn()
        .expect("the binary runs");
    wait_for("it to be said", || {
        let text = std::fs::read_to_string(log.path()).expect("a log");
        text.lines().any(|line| {
            line.contains("2 containers") && line.contains(&format!("INSTANCE={before}"))
        })
    });
    child.kill().expect("our child");
    child.wait().expect("our child");
    assert_eq!(engine.containers().len(), 3, "they are not ours to touch");
}

/// An Engine that says it has started what it has not: nobody gets a game that never says a word.
#[test]
fn a_start_that_was_only_claimed_is_no_game() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let claimed = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    engine.garble("ContainerStart", claimed);
    let refused = site.post("/session", "");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "engine_unavailable")
    );
    engine.release("ContainerStart");
    let game = site.create("rust");
    site.page(&game, None).expect("$ ");
    wait_for("the other to be gone", || engine.containers().len() == 1);
}

/// Its name may mean another image between the look at it and the making of a container.
#[test]
fn a_game_is_made_of_the_very_image_that_was_judged() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    site.create("rust");
    engine.rebuild_image("shellcraft/rust:latest");
    site.create("rust");
    // Nor is it a fault of the shell's that the one that was judged is gone.
    engine.rebuild_image("shellcraft/rust:latest");
    engine.prune_image("shellcraft/rust:latest");
    site.create("rust");
    for container in engine.containers() {
        let asked = container.create_body["Image"].as_str().expect("text");
        assert_eq!(container.image_id, format!("sha256:{asked}"));
    }
    assert_eq!(site.get("/readyz").status, 200);
}

/// An Engine that says of each image that it is gone, and has another one when it is asked again, is not asked for ever.
#[test]
fn an_image_that_is_another_one_each_time_is_given_up() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--pool-size", "0"]);
    engine.refuse("ContainerCreate", 404, "No such image");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let builder = scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                engine.rebuild_image("shellcraft/rust:latest");
                std::thread::yield_now();
            }
        });
        // Also when what follows fails.
        let over = Over(&is_over);
        let reply = site.post("/session", r#"{"shell": "rust"}"#);
        drop(over);
        assert!(reply.status >= 500, "{}", reply.status);
        builder.join().expect("no panic");
    });
    assert_eq!(engine.calls("ContainerCreate"), 2);
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
