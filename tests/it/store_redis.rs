//! The Redis store while Redis goes away, hangs, and comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use shellcraft::redis::{Link, Url};
use shellcraft::session::SessionId;
use shellcraft::session::store::redis::Redis;
use shellcraft::session::store::{Choice, Error, RECORD_LIFE, SessionStore, open};

use crate::containers::PATIENCE;
use crate::redis_server::RedisServer;
use crate::site::wait_for;
use crate::store_promises::{INSTANCE, player, record, shelf, tend};

/// Redis is asked over so many connections at once.
const CONNECTIONS: usize = 8;

fn store(url: &str) -> Redis {
    Redis::new(&url.parse::<Url>().expect("a URL"), INSTANCE)
}

fn key(id: SessionId) -> String {
    format!("shellcraft:{INSTANCE}:session:{}", id.to_text())
}

/// Does a call, which must end whatever comes of it: what it asks for would never come.
#[track_caller]
fn in_time<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let began = Instant::now();
    let result = call();
    let took = began.elapsed();
    assert!(took < PATIENCE, "{took:?}");
    result
}

#[track_caller]
fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Unavailable(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn records_expire_a_week_after_they_were_last_written_and_books_never() {
    let server = RedisServer::start();
    let store = store(&server.url());
    let (kept, lost) = (record(INSTANCE), record(INSTANCE));
    for record in [&kept, &lost] {
        store.insert(record).expect("insert");
    }
    store.save_book(&player("anna"), b"spells").expect("save");
    let week = RECORD_LIFE.as_millis() as i64;
    let life = |name: &str| server.ask::<i64>(&[b"PTTL", name.as_bytes()]);
    let key_of_kept = key(kept.session_id);
    let index = format!("shellcraft:{INSTANCE}:session:index");
    for name in [&key_of_kept, &index] {
        assert!((week - 60_000..=week).contains(&life(name)), "{name}");
        server.ask::<()>(&[b"PEXPIRE", name.as_bytes(), b"99999"]);
    }
    assert_eq!(life("shellcraft:book:anna"), -1);
    store.update(kept.session_id, &mut |_| {}).expect("update");
    for name in [&key_of_kept, &index] {
        assert!((week - 60_000..=week).contains(&life(name)), "{name}");
    }
    // One that has expired is gone, and so is its id.
    server.ask::<()>(&[b"DEL", key(lost.session_id).as_bytes()]);
    assert_eq!(store.list().expect("list").len(), 1);
    assert_eq!(server.ask::<i64>(&[b"SCARD", index.as_bytes()]), 1);
}

#[test]
fn what_is_no_string_is_set_aside_too() {
    let server = RedisServer::start();
    let store = store(&server.url());
    let (kept, broken) = (record(INSTANCE), record(INSTANCE));
    for record in [&kept, &broken] {
        store.insert(record).expect("insert");
    }
    let id = broken.session_id;
    server.ask::<()>(&[b"DEL", key(id).as_bytes()]);
    server.ask::<()>(&[b"LPUSH", key(id).as_bytes(), b"x"]);
    assert_eq!(store.list().expect("list"), [kept]);
    let aside = format!("shellcraft:{INSTANCE}:broken:{}", id.to_text());
    assert_eq!(server.ask::<i64>(&[b"LLEN", aside.as_bytes()]), 1);
}

#[test]
fn many_records_are_all_listed() {
    let server = RedisServer::start();
    let store = store(&server.url());
    let mut expected = BTreeSet::new();
    for _ in 0..1200 {
        let one = record(INSTANCE);
        store.insert(&one).expect("insert");
        expected.insert(one.session_id);
    }
    let listed = store.list().expect("list");
    let found: BTreeSet<_> = listed.iter().map(|record| record.session_id).collect();
    assert_eq!((listed.len(), found), (1200, expected));
}

#[test]
fn a_damaged_version_of_a_book_is_passed_over() {
    let server = RedisServer::start();
    let store = store(&server.url());
    store.save_book(&player("anna"), b"older").expect("save");
    store.save_book(&player("anna"), b"newer").expect("save");
    let book = b"shellcraft:book:anna";
    let version: Vec<u8> = server.ask(&[b"LINDEX", book, b"0"]);
    let torn = &version[..version.len() - 1];
    server.ask::<()>(&[b"LSET", book, b"0", torn]);
    let load = || store.load_book(&player("anna")).expect("load");
    assert_eq!(load().expect("a book").bytes, b"older");
    store.save_book(&player("anna"), b"newer").expect("save");
    assert_eq!(load().expect("a book").bytes, b"newer");
    server.ask::<()>(&[b"LPUSH", book, b"no head"]);
    assert_eq!(load().expect("a book").bytes, b"newer");
}

#[test]
fn a_password_and_a_database_are_used_and_never_shown() {
    let server = RedisServer::start_with_password("sesame&open");
    let address = server.url().replace("redis://", "");
    let good = store(&format!("redis://:sesame%26open@{address}/3"));
    good.insert(&record(INSTANCE)).expect("insert");
    assert_eq!(good.list().expect("list").len(), 1);
    let other = store(&format!("redis://:sesame%26open@{address}/4"));
    assert_eq!(other.list().expect("another database"), []);
    for url in [
        format!("redis://:sesame%26shut@{address}"),
        format!("redis://nobody:sesame%26shut@{address}"),
        format!("redis://{address}"),
        format!("redis://:sesame%26open@{address}/99"),
    ] {
        let text = assert_unavailable(in_time(|| store(&url).check()));
        assert!(!text.contains("sesame"), "{text}");
        assert!(text.contains(&address), "{text}");
    }
}

/// Opened while Redis is away, it works once Redis is there.
#[test]
fn it_may_come_late() {
    let server = RedisServer::start();
    server.kill();
    let url = server.url().parse().expect("a URL");
    let store = open(&Choice::Redis(url), INSTANCE, None, None).expect("it need not be there");
    let text = assert_unavailable(in_time(|| store.check()));
    assert!(text.contains("Redis at unix://"), "{text}");
    assert_unavailable(in_time(|| store.list()));
    server.restart();
    store.check().expect("it is there");
}

/// A call in whose middle Redis starts again waits for it.
#[test]
fn a_short_absence_is_not_noticed() {
    let server = RedisServer::start();
    let store = store(&server.url());
    store.check().expect("check");
    // On a busy machine Redis may be away for longer than a call waits: then it was no short absence.
    wait_for("a call to outlast the absence", || {
        server.kill();
        // Meets the connection that has just been cut.
        assert_unavailable(in_time(|| store.check()));
        thread::scope(|scope| {
            let call = scope.spawn(|| in_time(|| store.insert(&record(INSTANCE))));
            server.restart();
            match call.join().expect("no panic") {
                Ok(()) => true,
                failed => {
                    assert_unavailable(failed);
                    false
                }
            }
        })
    });
}

#[test]
fn a_redis_that_hangs_is_given_up_by_all_at_once() {
    let server = RedisServer::start();
    let store = store(&server.url());
    store.check().expect("check");
    server.signal("STOP");
    let results: Vec<_> = thread::scope(|scope| {
        // More than there are connections: the rest waits for one, and no longer. If they went one after the other, three
        // seconds each, this would take a minute.
        let calls: Vec<_> = (0..CONNECTIONS * 20)
            .map(|_| scope.spawn(|| in_time(|| store.check())))
            .collect();
        calls
            .into_iter()
            .map(|call| call.join().expect("in time"))
            .collect()
    });
    for result in results {
        assert_unavailable(result);
    }
    server.signal("CONT");
    store.check().expect("it goes on");
}

/// Something accepts connections and says nothing: the greeting has a deadline too.
#[test]
fn a_silent_peer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let store = store(&format!("redis://:sesame@{address}/1"));
    assert_unavailable(in_time(|| store.check()));
    let (mut stream, _) = listener.accept().expect("it came");
    assert!(stream.read(&mut [0; 100]).expect("its greeting") > 0);
}

/// Kills Redis again and again while eight threads write; what was acknowledged must be there.
/// Says that it is over, by a panic too.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_redis_is_killed() {
    const WRITERS: usize = 8;
    const KILLS: usize = 3;
    let server = RedisServer::start();
    let store = store(&server.url());
    let is_over = AtomicBool::new(false);
    let done: [AtomicUsize; WRITERS] = Default::default();
    let failed = AtomicUsize::new(0);
    let acknowledged: Vec<BTreeMap<SessionId, u64>> = thread::scope(|scope| {
        // A failed check must not leave the writers running.
        let _over = OnDrop(&is_over);
        let writers: Vec<_> = done
            .iter()
            .enumerate()
            .map(|(number, done)| {
                let (store, is_over, failed) = (&store, &is_over, &failed);
                scope.spawn(move || {
                    let mut kept = BTreeMap::new();
                    let name = player(&format!("player-{number}"));
                    while !is_over.load(Ordering::SeqCst) {
                        let written = write_one(store, &name, &mut kept);
                        let count = if written.is_ok() { done } else { failed };
                        count.fetch_add(1, Ordering::SeqCst);
                        if let Err(error) = written {
                            assert!(matches!(error, Error::Unavailable(_)), "{error}");
                        }
                    }
                    kept
                })
            })
            .collect();
        let everybody_writes = || {
            let before: Vec<_> = done
                .iter()
                .map(|done| done.load(Ordering::SeqCst))
                .collect();
            wait_for("every writer to get through", || {
                let now = done.iter().map(|done| done.load(Ordering::SeqCst));
                now.zip(&before).all(|(now, before)| now > before + 5)
            });
        };
        for _ in 0..KILLS {
            everybody_writes();
            server.kill();
            let before = failed.load(Ordering::SeqCst);
            wait_for("a failure to be told", || {
                failed.load(Ordering::SeqCst) > before
            });
            server.launch();
        }
        everybody_writes();
        is_over.store(true, Ordering::SeqCst);
        writers
            .into_iter()
            .map(|writer| writer.join().expect("no panic"))
            .collect()
    });
    server.kill();
    server.restart();
    let listed = store.list().expect("list");
    let found: BTreeMap<_, _> = listed
        .iter()
        .map(|record| (record.session_id, record.created_at_ms))
        .collect();
    for (id, least) in acknowledged.iter().flatten() {
        let kept = found.get(id);
        assert!(
            kept.is_some_and(|kept| kept >= least),
            "{id}: {kept:?} < {least}"
        );
    }
    for (number, acknowledged) in acknowledged.iter().enumerate() {
        let name = player(&format!("player-{number}"));
        let book = store.load_book(&name).expect("load").expect("a book");
        let text = String::from_utf8(book.bytes).expect("digits");
        let saved: usize = text.parse().expect("a whole number");
        assert!(saved >= acknowledged.len(), "{saved}");
    }
}

/// Inserts a record, updates it, and saves a book that says how many there are; notes what was acknowledged.
fn write_one(
    store: &Redis,
    name: &shellcraft::auth::PlayerId,
    kept: &mut BTreeMap<SessionId, u64>,
) -> Result<(), Error> {
    let mut new = record(INSTANCE);
    new.created_at_ms = 1;
    let book = (kept.len() + 1).to_string();
    in_time(|| store.save_book(name, book.as_bytes()))?;
    in_time(|| store.insert(&new))?;
    kept.insert(new.session_id, 1);
    in_time(|| store.update(new.session_id, &mut |record| record.created_at_ms = 2))?;
    kept.insert(new.session_id, 2);
    Ok(())
}

/// What counts the books was lost, as a Redis that is short of memory may do, or was never written, as by an older server.
#[test]
fn books_are_counted_whatever_became_of_the_counts() {
    let server = RedisServer::start();
    let store = store(&server.url());
    for name in ["anna", "anon-1"] {
        store.save_book(&player(name), b"spells").expect("save");
    }
    let keys = ["bytes", "sizes", "used"].map(|key| format!("shellcraft:books:{key}"));
    for lost in 0..8 {
        for (number, key) in keys.iter().enumerate() {
            if lost & 1 << number != 0 {
                server.ask::<()>(&[b"DEL", key.as_bytes()]);
            }
        }
        assert_eq!(tend(&store, None, &[]), shelf(2, 2, 0), "{lost:03b}");
        let bytes: u64 = server.ask(&[b"GET", keys[0].as_bytes()]);
        assert_eq!(bytes, 2 * 4096, "{lost:03b}");
        // Those that may expire still may.
        let used: Vec<String> = server.ask(&[b"ZRANGE", keys[2].as_bytes(), b"0", b"-1"]);
        assert_eq!(used, ["anon-1"], "{lost:03b}");
    }
}

/// A script of the servers' own refuses with this code; see `redis::lease_key`.
#[test]
fn a_refusal_by_a_fence_is_told_apart_from_an_absence() {
    let server = RedisServer::start();
    let link = Link::new(&server.url().parse::<Url>().expect("a URL"));
    let mut command = ::redis::cmd("EVAL");
    command
        .arg("return redis.error_reply('FENCED the lease is another process’s')")
        .arg(0);
    let refused = link.call::<::redis::Value>(&command);
    assert!(
        matches!(refused, Err(shellcraft::redis::Error::Fenced)),
        "{refused:?}"
    );
    // The connection goes on.
    link.call::<String>(&::redis::cmd("PING"))
        .expect("an answer");
}
