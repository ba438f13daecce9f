//! The engine contract: what we rely on when we speak to a Docker Engine.

#![expect(missing_docs, reason = "a promise's name is its sentence")]
//!
//! Each promise runs against the fake Engine (`tests/it`) and against a real one (`tests/dockerd`), so that
//! what is tested with the fake is known to hold for Docker. The containers' shell is `busybox sh` or the
//! fake's imitation of it.

use std::io::Write;
use std::time::Duration;

use shellcraft::engine::{ContainerId, Engine, Error, Size};

use crate::containers::{Guinea, LABEL, PATIENCE, archive, body, unique, unpack};

/// Calls the macro `$run` with the names of all promises.
#[macro_export]
macro_rules! with_all_promises {
    ($run:ident) => {
        $run! {
            the_engine_says_who_it_is,
            images_are_found_by_name,
            a_broken_image_archive_is_an_error,
            an_image_that_is_gone_already_is_removed,
            the_engine_tells_of_its_host,
            a_missing_image_is_not_found,
            a_name_is_given_once,
            unknown_containers_are_not_found,
            what_is_gone_can_be_killed_and_removed,
            an_attach_before_the_start_misses_nothing,
            a_flood_arrives_whole,
            control_c_ends_a_flood,
            control_p_arrives_at_once,
            no_byte_ends_the_attach,
            two_attached_see_the_same,
            closing_an_attach_wakes_its_reader,
            the_terminal_is_sized_after_the_start,
            starting_and_stopping_twice_is_fine,
            an_exit_ends_the_terminal_and_tells_its_code,
            a_kill_ends_the_terminal_and_tells_137,
            removing_a_running_container_ends_its_terminal,
            waiting_has_a_limit,
            the_list_shows_only_what_carries_the_label,
            a_book_is_put_before_the_start_and_read_after_the_end,
            a_file_that_is_cut_short_stays_root_s,
            an_archive_has_a_limit,
            missing_paths_are_not_found,
            a_read_only_image_is_not_written_to,
            events_tell_of_the_end,
            closing_the_events_wakes_their_reader,
            many_threads_may_call_at_once,
        }
    };
}
pub use with_all_promises;

pub fn the_engine_says_who_it_is(engine: &Engine, _image: &str) {
    let ping = engine.ping().expect("ping");
    let version = engine.version().expect("version");
    assert_eq!(ping.api_version, version.api_version);
    assert!(!version.version.is_empty());
    assert_eq!((version.os.as_str(), ping.is_podman), ("linux", false));
}

pub fn images_are_found_by_name(engine: &Engine, image: &str) {
    assert!(engine.has_image(image).expect("image"));
    assert!(
        !engine
            .has_image("shellcraft-test/no-such-image")
            .expect("image")
    );
    assert!(!engine.has_image("../version?").expect("image"));
    let images = engine.images().expect("images");
    let tag = format!("{image}:latest");
    assert!(
        images.iter().any(|row| row.repo_tags.contains(&tag)),
        "{images:?}"
    );
}

pub fn a_broken_image_archive_is_an_error(engine: &Engine, _image: &str) {
    let error = engine
        .load_images(&mut b"garbage".as_slice())
        .expect_err("garbage");
    assert!(
        matches!(error, Error::Refused { status: 500, .. }),
        "{error}"
    );
}

pub fn an_image_that_is_gone_already_is_removed(engine: &Engine, _image: &str) {
    engine
        .remove_image("shellcraft-test/no-such-image:1")
        .expect("nothing to do");
}

pub fn the_engine_tells_of_its_host(engine: &Engine, _image: &str) {
    let info = engine.info().expect("info");
    assert!(
        !info.driver.is_empty() && !info.docker_root_dir.is_empty(),
        "{info:?}"
    );
    assert!(
        ["1", "2"].contains(&info.cgroup_version.as_str()),
        "{info:?}"
    );
}

pub fn a_missing_image_is_not_found(engine: &Engine, _image: &str) {
    let body = body("shellcraft-test/no-such-image", "");
    let error = engine.create(&unique(), &body).expect_err("no image");
    assert!(
        error.is_not_found() && error.to_string().contains("No such image"),
        "{error}"
    );
}

pub fn a_name_is_given_once(engine: &Engine, image: &str) {
    let guinea = Guinea::create(engine, image);
    let error = engine
        .create(&guinea.name, &body(image, ""))
        .expect_err("a second one");
    assert!(
        error.is_conflict() && error.to_string().contains("already in use"),
        "{error}"
    );
    let by_name = engine
        .inspect(&ContainerId(guinea.name.clone()))
        .expect("inspect");
    assert_eq!(by_name.id, guinea.id);
    assert_eq!(by_name.name, format!("/{}", guinea.name));
}

pub fn unknown_containers_are_not_found(engine: &Engine, _image: &str) {
    let nobody = ContainerId(unique());
    let size = Size { cols: 80, rows: 24 };
    let results = [
        engine.start(&nobody).err(),
        engine.inspect(&nobody).err(),
        engine.attach(&nobody).err(),
        engine.resize(&nobody, size).err(),
        engine.stop(&nobody, Duration::ZERO).err(),
        engine.wait(&nobody, PATIENCE).err(),
        engine.stat_archive(&nobody, "/home").err(),
        engine.get_archive(&nobody, "/home", 1 << 20).err(),
        engine
            .put_archive(&nobody, "/home", &archive("x", b""))
            .err(),
    ];
    for error in results {
        let error = error.expect("an error");
        assert!(error.is_not_found(), "{error}");
        // The answer to a HEAD has no words.
        let is_wordless = error.to_string().starts_with("ContainerArchiveInfo");
        assert!(
            is_wordless || error.to_string().contains("No such container"),
            "{error}"
        );
    }
}

pub fn what_is_gone_can_be_killed_and_removed(engine: &Engine, image: &str) {
    let guinea = Guinea::create(engine, image);
    engine.kill(&guinea.id).expect("killing what does not run");
    engine.remove(&guinea.id).expect("remove");
    engine.remove(&guinea.id).expect("removing what is gone");
    engine.kill(&guinea.id).expect("killing what is gone");
    assert!(engine.inspect(&guinea.id).expect_err("gone").is_not_found());
}

pub fn an_attach_before_the_start_misses_nothing(engine: &Engine, image: &str) {
    let guinea = Guinea::create(engine, image);
    let inspection = engine.inspect(&guinea.id).expect("inspect");
    assert_eq!(
        (inspection.state.status.as_str(), inspection.config.tty),
        ("created", true)
    );
    let mut terminal = guinea.attach();
    engine.start(&guinea.id).expect("start");
    terminal.expect("$ ");
    terminal.type_in("echo hello\n");
    terminal.expect("echo hello");
    terminal.expect("\r\nhello\r\n");
    terminal.expect("$ ");
    assert!(engine.inspect(&guinea.id).expect("inspect").state.running);
}

pub fn a_flood_arrives_whole(engine: &Engine, image: &str) {
    let (_guinea, mut terminal) = Guinea::at_prompt(engine, image);
    terminal.type_in("seq 20000\n");
    terminal.expect("seq 20000\r\n");
    let flood = terminal.expect("20000\r\n");
    let expected: String = (1..=20_000).map(|number| format!("{number}\r\n")).collect();
    assert!(
        flood == expected.as_bytes(),
        "{} bytes of {}",
        flood.len(),
        expected.len()
    );
}

pub fn control_c_ends_a_flood(engine: &Engine, image: &str) {
    let (_guinea, mut terminal) = Guinea::at_prompt(engine, image);
    terminal.type_in("yes\n");
    terminal.expect("y\r\ny\r\ny\r\n");
    terminal.type_in("\x03");
    terminal.expect("$ ");
    terminal.type_in("echo over\n");
    terminal.expect("\r\nover\r\n");
}

pub fn control_p_arrives_at_once(engine: &Engine, image: &str) {
    let (_guinea, mut terminal) = Guinea::at_prompt(engine, image);
    terminal.type_in("echo once\n");
    terminal.expect("\r\nonce\r\n");
    terminal.expect("$ ");
    // The shell answers with the last line. Were the key held back, nothing would ever show.
    terminal.type_in("\x10");
    terminal.expect("echo once");
    // And this would end the attach.
    terminal.type_in("\x11\n");
    terminal.expect("\r\nonce\r\n");
}

pub fn no_byte_ends_the_attach(engine: &Engine, image: &str) {
    let (_guinea, mut terminal) = Guinea::at_prompt(engine, image);
    let rising: Vec<u8> = (0x80..=0xff).collect();
    let falling: Vec<u8> = (0x80..=0xff).rev().collect();
    for keys in [&rising[..], &falling, b"\xff", b"\xff\xff\xff\xff"] {
        terminal.attach.input.write_all(keys).expect("it is typed");
        // Drops the line.
        terminal.type_in("\x03");
        terminal.expect("^C");
        terminal.expect("$ ");
    }
    terminal.type_in("echo still here\n");
    terminal.expect("\r\nstill here\r\n");
}

pub fn two_attached_see_the_same(engine: &Engine, image: &str) {
    let (guinea, mut one) = Guinea::at_prompt(engine, image);
    let mut other = guinea.attach();
    one.type_in("echo hello\n");
    one.expect("\r\nhello\r\n");
    other.expect("\r\nhello\r\n");
    drop(other);
    one.type_in("echo alone\n");
    one.expect("\r\nalone\r\n");
}

pub fn closing_an_attach_wakes_its_reader(engine: &Engine, image: &str) {
    let (guinea, terminal) = Guinea::at_prompt(engine, image);
    let input = terminal.attach.input.try_clone().expect("a clone");
    let mut terminal = terminal;
    let reader = std::thread::spawn(move || terminal.expect_end());
    input.shutdown(std::net::Shutdown::Both).expect("open");
    reader.join().expect("the reader woke");
    assert!(engine.inspect(&guinea.id).expect("inspect").state.running);
}

pub fn the_terminal_is_sized_after_the_start(engine: &Engine, image: &str) {
    let guinea = Guinea::create(engine, image);
    let size = Size { cols: 97, rows: 31 };
    let error = engine.resize(&guinea.id, size).expect_err("not started");
    assert!(error.is_conflict(), "{error}");
    let mut terminal = guinea.attach();
    engine.start(&guinea.id).expect("start");
    engine
        .resize(&guinea.id, size)
        .expect("right after the start");
    terminal.expect("$ ");
    terminal.type_in("stty size\n");
    terminal.expect("\r\n31 97\r\n");
    engine.kill(&guinea.id).expect("kill");
    terminal.expect_end();
    engine.wait(&guinea.id, PATIENCE).expect("wait");
    assert!(
        engine
            .resize(&guinea.id, size)
            .expect_err("ended")
            .is_conflict()
    );
}

pub fn starting_and_stopping_twice_is_fine(engine: &Engine, image: &str) {
    let (guinea, _terminal) = Guinea::at_prompt(engine, image);
    engine.start(&guinea.id).expect("a second start");
    engine.stop(&guinea.id, Duration::ZERO).expect("stop");
    engine
        .stop(&guinea.id, Duration::ZERO)
        .expect("a second stop");
    assert!(!engine.inspect(&guinea.id).expect("inspect").state.running);
}

pub fn an_exit_ends_the_terminal_and_tells_its_code(engine: &Engine, image: &str) {
    let (guinea, mut terminal) = Guinea::at_prompt(engine, image);
    terminal.type_in("exit 3\n");
    terminal.expect_end();
    assert_eq!(engine.wait(&guinea.id, PATIENCE).expect("wait"), 3);
    let state = engine.inspect(&guinea.id).expect("inspect").state;
    assert_eq!(
        (state.status.as_str(), state.exit_code, state.oom_killed),
        ("exited", 3, false)
    );
}

pub fn a_kill_ends_the_terminal_and_tells_137(engine: &Engine, image: &str) {
    let (guinea, mut terminal) = Guinea::at_prompt(engine, image);
    engine.kill(&guinea.id).expect("kill");
    terminal.expect_end();
    assert_eq!(engine.wait(&guinea.id, PATIENCE).expect("wait"), 137);
    engine.kill(&guinea.id).expect("a second kill");
}

pub fn removing_a_running_container_ends_its_terminal(engine: &Engine, image: &str) {
    let (guinea, mut terminal) = Guinea::at_prompt(engine, image);
    engine.remove(&guinea.id).expect("remove");
    terminal.expect_end();
}

pub fn waiting_has_a_limit(engine: &Engine, image: &str) {
    let guinea = Guinea::create(engine, image);
    assert_eq!(engine.wait(&guinea.id, PATIENCE).expect("not started"), 0);
    engine.start(&guinea.id).expect("start");
    let limit = Duration::from_millis(300);
    let error = engine.wait(&guinea.id, limit).expect_err("it runs");
    assert!(
        matches!(error, Error::TimedOut { after, .. } if after == limit),
        "{error}"
    );
}

pub fn the_list_shows_only_what_carries_the_label(engine: &Engine, image: &str) {
    let (mine, yours) = (unique(), unique());
    let (idle, running) = (
        Guinea::create_labelled(engine, image, &mine),
        Guinea::create_labelled(engine, image, &mine),
    );
    let _other = Guinea::create_labelled(engine, image, &yours);
    engine.start(&running.id).expect("start");
    let mut rows = engine.list(&[(LABEL, &mine)]).expect("list");
    rows.sort_by(|one, other| one.state.cmp(&other.state));
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (&row.id, row.state.as_str()))
        .collect();
    assert_eq!(shown, [(&idle.id, "created"), (&running.id, "running")]);
    let row = &rows[0];
    assert_eq!(
        (&row.names, row.labels.get(LABEL)),
        (&vec![format!("/{}", idle.name)], Some(&mine))
    );
    assert!(row.created > 1_600_000_000);
    assert_eq!(
        engine
            .list(&[(LABEL, &mine), ("shellcraft.test.none", "x")])
            .expect("list"),
        []
    );
}

pub fn a_book_is_put_before_the_start_and_read_after_the_end(engine: &Engine, image: &str) {
    let book = b"hello = echo hello\n".repeat(100);
    let guinea = Guinea::create(engine, image);
    engine
        .put_archive(&guinea.id, "/home", &archive("spellbook.dat", &book))
        .expect("put");
    let mut terminal = guinea.attach();
    engine.start(&guinea.id).expect("start");
    terminal.expect("$ ");
    terminal.type_in("ls /home\n");
    terminal.expect("\r\nspellbook.dat");
    let path = "/home/spellbook.dat";
    let running = engine
        .get_archive(&guinea.id, path, 1 << 20)
        .expect("get while it runs");
    assert!(unpack(&running) == ("spellbook.dat".into(), 1000, book.clone()));
    engine.kill(&guinea.id).expect("kill");
    engine.wait(&guinea.id, PATIENCE).expect("wait");
    let stat = engine.stat_archive(&guinea.id, path).expect("stat");
    assert_eq!(
        (stat.name.as_str(), stat.size, stat.is_file()),
        ("spellbook.dat", 1900, true)
    );
    assert_eq!(stat.mode & 0o777, 0o644);
    let ended = engine
        .get_archive(&guinea.id, path, 1 << 20)
        .expect("get after the end");
    assert!(unpack(&ended) == ("spellbook.dat".into(), 1000, book));
}

/// That tells it from a whole one: see `archive::unpack`.
pub fn a_file_that_is_cut_short_stays_root_s(engine: &Engine, image: &str) {
    let (guinea, _terminal) = Guinea::at_prompt(engine, image);
    let path = "/home/spellbook.dat";
    let whole = archive("spellbook.dat", &[b'x'; 100_000]);
    let owner_and_size = || {
        let read = engine.get_archive(&guinea.id, path, 1 << 20);
        let (_, owner, book) = unpack(&read.expect("there is a file"));
        (owner, book.len())
    };
    let put = |archive: &[u8]| engine.put_archive(&guinea.id, "/home", archive);
    put(&whole).expect("put");
    assert_eq!(owner_and_size(), (1000, 100_000));
    for bytes in [0, 1, 32_768, 99_999] {
        put(&whole[..512 + bytes]).expect_err("the archive breaks off");
        assert_eq!(owner_and_size(), (0, bytes));
    }
    put(&whole).expect("put");
    assert_eq!(owner_and_size(), (1000, 100_000));
}

pub fn an_archive_has_a_limit(engine: &Engine, image: &str) {
    let guinea = Guinea::create(engine, image);
    let big = vec![b'x'; 300_000];
    engine
        .put_archive(&guinea.id, "/home", &archive("spellbook.dat", &big))
        .expect("put");
    let error = engine
        .get_archive(&guinea.id, "/home/spellbook.dat", 100_000)
        .expect_err("too big");
    assert!(matches!(&error, Error::Garbled { .. }), "{error}");
    engine
        .inspect(&guinea.id)
        .expect("the next call is not disturbed");
}

pub fn missing_paths_are_not_found(engine: &Engine, image: &str) {
    let guinea = Guinea::create(engine, image);
    let results = [
        engine.stat_archive(&guinea.id, "/home/none").err(),
        engine.get_archive(&guinea.id, "/home/none", 1 << 20).err(),
        engine
            .put_archive(&guinea.id, "/none", &archive("x", b"x"))
            .err(),
    ];
    for error in results {
        let error = error.expect("an error");
        assert!(error.is_not_found(), "{error}");
    }
}

pub fn a_read_only_image_is_not_written_to(engine: &Engine, image: &str) {
    let guinea = Guinea::create(engine, image);
    let error = engine
        .put_archive(&guinea.id, "/bin", &archive("x", b"x"))
        .expect_err("read-only");
    assert!(error.to_string().contains("read-only"), "{error}");
}

pub fn events_tell_of_the_end(engine: &Engine, image: &str) {
    let owner = unique();
    let mut events = engine.events(&[(LABEL, &owner)]).expect("events");
    let other = Guinea::create(engine, image);
    let guinea = Guinea::create_labelled(engine, image, &owner);
    for one in [&other, &guinea] {
        engine.start(&one.id).expect("start");
        engine.kill(&one.id).expect("kill");
    }
    engine.remove(&guinea.id).expect("remove");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|action| action != "destroy") {
        let event = events.next().expect("it goes on").expect("an event");
        assert_eq!(event.actor.id, guinea.id);
        assert_eq!(event.actor.attributes.get(LABEL), Some(&owner));
        if event.action == "die" {
            assert_eq!(
                event.actor.attributes.get("exitCode").map(String::as_str),
                Some("137")
            );
        }
        seen.push(event.action);
    }
    seen.retain(|action| ["create", "start", "die", "destroy"].contains(&action.as_str()));
    assert_eq!(seen, ["create", "start", "die", "destroy"]);
}

pub fn closing_the_events_wakes_their_reader(engine: &Engine, _image: &str) {
    let mut events = engine.events(&[(LABEL, &unique())]).expect("events");
    let closer = events.closer();
    let reader = std::thread::spawn(move || (events.next().is_none(), events.next().is_none()));
    closer.close();
    assert_eq!(reader.join().expect("the reader woke"), (true, true));
}

pub fn many_threads_may_call_at_once(engine: &Engine, image: &str) {
    let guinea = Guinea::create(engine, image);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(engine.inspect(&guinea.id).expect("inspect").id, guinea.id);
                    engine.ping().expect("ping");
                }
            });
        }
    });
}
