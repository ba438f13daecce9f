//! What every store promises, whatever it keeps things in.

use std::collections::{BTreeSet, HashSet};
use std::thread;
use std::time::{Duration, SystemTime};

use shellcraft::auth::PlayerId;
use shellcraft::session::SessionId;
use shellcraft::session::store::{
    BOOK_VERSIONS, Error, FORMAT, Phase, REVOKED_MOST, Record, SessionStore, Shelf, StoredScreen,
    StoredTypist, StoredUndrawn, Tending,
};
use uuid::Uuid;

/// Where a store keeps things; they outlive it.
pub trait Place {
    /// Opens the store of an instance. A place may take one at a time.
    fn open(&self, instance: &str) -> Box<dyn SessionStore> {
        self.open_with(instance, None)
    }
    /// The same, for so many bytes of books.
    fn open_with(&self, instance: &str, quota_bytes: Option<u64>) -> Box<dyn SessionStore>;
    /// Lets a player's books be so much older than they are.
    fn age(&self, player: &PlayerId, by: Duration);
    /// Removes a player's books, as an operator may.
    fn remove_books(&self, player: &PlayerId);
    /// Puts bytes where the record of a session is, while no store is open.
    fn plant(&self, instance: &str, id: SessionId, bytes: &[u8]);
    /// What was set aside of a session's record.
    fn broken(&self, instance: &str, id: SessionId) -> Option<Vec<u8>>;
    /// Keeps that these are revoked, faster than one by one.
    fn plant_revoked(&self, players: &[PlayerId]);
    /// How many versions of a player's book there are.
    fn versions(&self, player: &PlayerId) -> usize;
}

macro_rules! with_all_store_promises {
    ($run:ident) => {
        $run! {
            a_new_store_is_empty_and_well,
            a_record_is_listed_as_it_was_inserted,
            an_id_is_given_once,
            an_update_is_returned_and_kept,
            an_update_of_nothing_is_not_found,
            updates_at_once_are_all_kept,
            updates_of_different_records_at_once_are_all_kept,
            removing_twice_is_fine,
            instances_do_not_see_each_other,
            everything_survives_reopening,
            what_is_no_record_is_set_aside_and_the_rest_is_there,
            an_update_of_what_is_no_record_is_not_found,
            a_newer_record_is_refused_and_stays,
            records_have_a_limit,
            books_come_back_as_they_were_saved,
            the_newest_book_is_loaded,
            as_many_versions_are_kept_as_promised,
            the_same_book_adds_no_version,
            a_book_that_is_too_big_changes_nothing,
            a_book_follows_the_one_it_is_to_follow,
            versions_are_listed_and_read_by_name,
            what_is_set_aside_is_kept_on_a_full_shelf,
            players_have_their_own_books,
            books_are_the_player_s_on_every_instance,
            saves_at_once_are_whole,
            books_are_counted_in_blocks,
            what_somebody_has_removed_counts_no_more,
            a_full_shelf_refuses_newcomers_only,
            only_unused_books_of_nobody_known_expire,
            a_trial_removes_no_books,
            a_book_that_is_only_read_expires,
            nothing_expires_without_an_expiry,
            whoever_plays_uses_a_book_for_all_servers,
            tending_stops_when_it_is_told_to,
            the_first_cookie_key_is_kept,
            who_is_revoked_is_kept_for_all_instances,
            a_moment_of_revoking_is_never_rounded_down,
            there_are_never_too_many_revoked,
            books_are_listed_by_player_and_in_pages,
        }
    };
}
pub(crate) use with_all_store_promises;

pub const INSTANCE: &str = "here:8080";

/// A record with everything in it.
pub fn record(instance: &str) -> Record {
    Record {
        format: FORMAT,
        revision: 1,
        session_id: SessionId::random(),
        instance: instance.into(),
        shell: "rust".into(),
        phase: Phase::Claimed,
        container: "0123456789abcdef".into(),
        policy: "p\"1\"".into(),
        player: Some(player("anna")),
        token_hash: Some("ab12".into()),
        created_at_ms: 1_700_000_000_123,
        book: Some("ab".repeat(32)),
        screen: Some(StoredScreen {
            offset: 12_345,
            cols: 80,
            rows: 24,
            data: "\u{1b}[2Jgrüße\r\n\0".into(),
            open: vec![0xe4, 0xb8],
            undrawn: Some(StoredUndrawn {
                data: "\u{1b}[2J".into(),
                output: "eA==".into(),
            }),
            typist: Some(StoredTypist {
                page: Uuid::from_u128(7),
                come: 12,
            }),
        }),
    }
}

pub fn player(name: &str) -> PlayerId {
    name.to_owned().try_into().expect("a player's name")
}

fn ids(store: &dyn SessionStore) -> BTreeSet<SessionId> {
    let records = store.list().expect("list");
    let ids: BTreeSet<_> = records.iter().map(|record| record.session_id).collect();
    assert_eq!(ids.len(), records.len(), "one is listed twice");
    ids
}

#[track_caller]
fn load(store: &dyn SessionStore, name: &str) -> Option<Vec<u8>> {
    let book = store.load_book(&player(name)).expect("load");
    book.map(|book| book.bytes)
}

/// Bytes that look like nothing.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

pub fn a_new_store_is_empty_and_well(place: &dyn Place) {
    let store = place.open(INSTANCE);
    store.check().expect("check");
    assert_eq!(store.list().expect("list"), []);
    assert_eq!(load(&*store, "anna"), None);
    store.check().expect("check");
    assert_eq!(store.list().expect("checking leaves nothing"), []);
}

pub fn a_record_is_listed_as_it_was_inserted(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let full = record(INSTANCE);
    let mut bare = record(INSTANCE);
    bare.phase = Phase::Prewarmed;
    (bare.player, bare.token_hash, bare.screen) = (None, None, None);
    for record in [&full, &bare] {
        store.insert(record).expect("insert");
    }
    let mut listed = store.list().expect("list");
    listed.sort_by_key(|record| record.player.is_none());
    assert_eq!(listed, [full, bare]);
}

pub fn an_id_is_given_once(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let first = record(INSTANCE);
    store.insert(&first).expect("insert");
    let mut second = first.clone();
    second.shell = "perl".into();
    for again in [&first, &second] {
        let refused = store.insert(again);
        assert!(
            matches!(refused, Err(Error::Exists(id)) if id == first.session_id),
            "{refused:?}"
        );
    }
    assert_eq!(store.list().expect("list"), [first]);
}

pub fn an_update_is_returned_and_kept(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let mut expected = record(INSTANCE);
    store.insert(&expected).expect("insert");
    let id = expected.session_id;
    let updated = store.update(id, &mut |record| {
        record.container = "fedcba".into();
        record.screen = None;
        // What names the record is not the caller's to change.
        record.session_id = SessionId::random();
        record.instance = "elsewhere".into();
        record.revision = 99;
    });
    expected.revision = 2;
    expected.container = "fedcba".into();
    expected.screen = None;
    assert_eq!(updated.expect("update"), expected);
    assert_eq!(store.list().expect("list"), [expected.clone()]);
    let same = store.update(id, &mut |_| {}).expect("update");
    assert_eq!(same.revision, 3);
}

pub fn an_update_of_nothing_is_not_found(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let id = SessionId::random();
    let refused = store.update(id, &mut |_| panic!("there is nothing to change"));
    assert!(
        matches!(refused, Err(Error::NotFound(found)) if found == id),
        "{refused:?}"
    );
}

const THREADS: usize = 8;
const UPDATES: usize = 25;

pub fn updates_at_once_are_all_kept(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let mut counted = record(INSTANCE);
    counted.created_at_ms = 0;
    store.insert(&counted).expect("insert");
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..UPDATES {
                    let count = &mut |record: &mut Record| record.created_at_ms += 1;
                    store.update(counted.session_id, count).expect("update");
                }
            });
        }
    });
    let all = (THREADS * UPDATES) as u64;
    let listed = store.list().expect("list");
    assert_eq!(
        (listed[0].created_at_ms, listed[0].revision),
        (all, all + 1)
    );
}

pub fn updates_of_different_records_at_once_are_all_kept(place: &dyn Place) {
    let store = place.open(INSTANCE);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..UPDATES {
                    let one = record(INSTANCE);
                    store.insert(&one).expect("insert");
                    let update = store.update(one.session_id, &mut |_| {});
                    assert_eq!(update.expect("update").revision, 2);
                    store.remove(one.session_id).expect("remove");
                }
                store.insert(&record(INSTANCE)).expect("insert");
            });
        }
    });
    assert_eq!(ids(&*store).len(), THREADS);
}

pub fn removing_twice_is_fine(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let (gone, stays) = (record(INSTANCE), record(INSTANCE));
    for record in [&gone, &stays] {
        store.insert(record).expect("insert");
    }
    for _ in 0..2 {
        store.remove(gone.session_id).expect("remove");
        assert_eq!(ids(&*store), [stays.session_id].into());
    }
    let refused = store.update(gone.session_id, &mut |_| {});
    assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    store.insert(&gone).expect("its id is free again");
}

pub fn instances_do_not_see_each_other(place: &dyn Place) {
    // One name begins as the other does.
    let (here, there) = ("here", "here:session");
    let (ours, theirs) = (record(here), record(there));
    place.open(here).insert(&ours).expect("insert");
    let store = place.open(there);
    store.insert(&theirs).expect("insert");
    assert_eq!(ids(&*store), [theirs.session_id].into());
    let refused = store.update(ours.session_id, &mut |_| {});
    assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    store.remove(ours.session_id).expect("nothing to remove");
    drop(store);
    assert_eq!(ids(&*place.open(here)), [ours.session_id].into());
}

pub fn everything_survives_reopening(place: &dyn Place) {
    let kept = record(INSTANCE);
    let store = place.open(INSTANCE);
    store.insert(&kept).expect("insert");
    let updated = store.update(kept.session_id, &mut |record| record.shell = "perl".into());
    store.save_book(&player("anna"), b"spells").expect("save");
    drop(store);
    let store = place.open(INSTANCE);
    assert_eq!(store.list().expect("list"), [updated.expect("update")]);
    assert_eq!(load(&*store, "anna"), Some(b"spells".to_vec()));
}

pub fn what_is_no_record_is_set_aside_and_the_rest_is_there(place: &dyn Place) {
    let good = record(INSTANCE);
    place.open(INSTANCE).insert(&good).expect("insert");
    let text = serde_json::to_vec(&good).expect("JSON");
    let too_long = vec![b' '; 2 << 20];
    let odd: [&[u8]; 7] = [
        b"",
        b"{",
        b"\xff\0",
        b"{\"format\":1}",
        &text[..text.len() / 2],
        &too_long,
        &text,
    ];
    let planted: Vec<_> = odd
        .iter()
        .map(|bytes| (SessionId::random(), *bytes))
        .collect();
    for (id, bytes) in planted.iter().copied() {
        place.plant(INSTANCE, id, bytes);
    }
    for _ in 0..2 {
        let store = place.open(INSTANCE);
        assert_eq!(ids(&*store), [good.session_id].into());
    }
    for (id, bytes) in planted {
        let aside = place.broken(INSTANCE, id);
        assert!(aside.as_deref() == Some(bytes), "{} bytes", bytes.len());
    }
    assert_eq!(place.broken(INSTANCE, good.session_id), None);
}

pub fn an_update_of_what_is_no_record_is_not_found(place: &dyn Place) {
    let id = SessionId::random();
    place.plant(INSTANCE, id, b"no record");
    let store = place.open(INSTANCE);
    let refused = store.update(id, &mut |_| panic!("there is nothing to change"));
    assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    drop(store);
    let aside = place.broken(INSTANCE, id);
    assert_eq!(aside.as_deref(), Some(&b"no record"[..]));
}

pub fn a_newer_record_is_refused_and_stays(place: &dyn Place) {
    let good = record(INSTANCE);
    let newer = record(INSTANCE);
    place.open(INSTANCE).insert(&good).expect("insert");
    let mut fields = serde_json::to_value(&newer).expect("JSON");
    fields["format"] = (FORMAT + 1).into();
    fields["phase"] = "unheard of".into();
    let bytes = serde_json::to_vec(&fields).expect("JSON");
    place.plant(INSTANCE, newer.session_id, &bytes);
    let store = place.open(INSTANCE);
    for _ in 0..2 {
        let refused = store.list().expect_err("it is newer");
        let text = refused.to_string();
        let names = [newer.session_id.to_text(), "format 2".into()];
        assert!(names.iter().all(|name| text.contains(name)), "{text}");
        assert!(matches!(refused, Error::Newer { found: 2, .. }), "{text}");
        let refused = store.update(newer.session_id, &mut |_| {});
        assert!(matches!(refused, Err(Error::Newer { .. })), "{refused:?}");
    }
    assert_eq!(place.broken(INSTANCE, newer.session_id), None);
    store.update(good.session_id, &mut |_| {}).expect("update");
    store.remove(newer.session_id).expect("remove");
    assert_eq!(ids(&*store), [good.session_id].into());
}

pub fn records_have_a_limit(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let mut big = record(INSTANCE);
    store.insert(&big).expect("insert");
    let id = big.session_id;
    let kept = store.update(id, &mut |record| {
        let screen = record.screen.as_mut().expect("a screen");
        screen.data = "\u{1b}".repeat(1 << 20);
    });
    assert_eq!(kept.expect("update").screen, None);
    big.session_id = SessionId::random();
    big.policy = "x".repeat(1 << 20);
    let refused = store.insert(&big);
    assert!(matches!(refused, Err(Error::TooBig)), "{refused:?}");
    assert_eq!(ids(&*store), [id].into());
}

pub fn books_come_back_as_they_were_saved(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let all_bytes: Vec<u8> = (0..=255).collect();
    for book in [
        Vec::new(),
        b"\n".to_vec(),
        b"learn hi echo hi\n".to_vec(),
        all_bytes,
        noise(1 << 20),
        vec![0; 1 << 20],
    ] {
        let before = SystemTime::now();
        store.save_book(&player("anna"), &book).expect("save");
        let loaded = store.load_book(&player("anna")).expect("load");
        let loaded = loaded.expect("a book");
        assert!(loaded.bytes == book, "{} bytes", book.len());
        let age = |of: SystemTime| loaded.saved_at.duration_since(of).unwrap_or_default();
        // A file's clock may be a tick behind.
        let tick = std::time::Duration::from_millis(50);
        assert!(loaded.saved_at + tick >= before && age(SystemTime::now()).is_zero());
    }
}

pub fn the_newest_book_is_loaded(place: &dyn Place) {
    let mut store = place.open(INSTANCE);
    for number in 0..3 * BOOK_VERSIONS {
        let book = format!("version {number}").into_bytes();
        store.save_book(&player("anna"), &book).expect("save");
        assert_eq!(load(&*store, "anna"), Some(book.clone()));
        drop(store);
        store = place.open(INSTANCE);
        assert_eq!(load(&*store, "anna"), Some(book));
    }
    // An older one is newer when it is saved again.
    store
        .save_book(&player("anna"), b"version 0")
        .expect("save");
    assert_eq!(load(&*store, "anna"), Some(b"version 0".to_vec()));
}

pub fn as_many_versions_are_kept_as_promised(place: &dyn Place) {
    let store = place.open(INSTANCE);
    for number in 0..BOOK_VERSIONS + 3 {
        let book = [number as u8];
        store.save_book(&player("anna"), &book).expect("save");
        let expected = (number + 1).min(BOOK_VERSIONS);
        assert_eq!(place.versions(&player("anna")), expected);
    }
}

pub fn the_same_book_adds_no_version(place: &dyn Place) {
    for book in [&b""[..], b"spells", b"spells", b""] {
        let store = place.open(INSTANCE);
        for _ in 0..3 {
            store.save_book(&player("anna"), book).expect("save");
        }
    }
    assert_eq!(place.versions(&player("anna")), 3);
}

pub fn a_book_that_is_too_big_changes_nothing(place: &dyn Place) {
    let store = place.open(INSTANCE);
    store.save_book(&player("anna"), b"spells").expect("save");
    for name in ["anna", "ben"] {
        let refused = store.save_book(&player(name), &vec![0; (1 << 20) + 1]);
        assert!(matches!(refused, Err(Error::TooBig)), "{refused:?}");
    }
    assert_eq!(load(&*store, "anna"), Some(b"spells".to_vec()));
    assert_eq!(load(&*store, "ben"), None);
}

/// Saved only over what its writer has seen, found out in one step.
pub fn a_book_follows_the_one_it_is_to_follow(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let name = |book: &[u8]| shellcraft::auth::digest_bytes(book);
    let save = |book: &[u8], over: &[u8]| {
        store.save_book_over(&player("anna"), book, Some(&name(over)), None)
    };
    let is_overtaken = |saved: Result<(), Error>| matches!(saved, Err(Error::Overtaken));
    assert!(is_overtaken(save(b"two", b"one")), "there is none");
    assert_eq!(load(&*store, "anna"), None);
    save(b"one", b"").expect("none counts as empty");
    assert!(is_overtaken(save(b"two", b"")));
    save(b"two", b"one").expect("saved");
    assert!(is_overtaken(save(b"three", b"one")));
    assert_eq!(load(&*store, "anna"), Some(b"two".to_vec()));
    save(b"two", b"one").expect("it is the newest already");
    assert_eq!(place.versions(&player("anna")), 2);
    // Of many at once one is the first.
    let saved = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let save = &save;
                scope.spawn(move || save(&[number], b"two").is_ok())
            })
            .collect();
        let saved = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        saved.filter(|is_saved| *is_saved).count()
    });
    assert_eq!((saved, place.versions(&player("anna"))), (1, 3));
}

pub fn versions_are_listed_and_read_by_name(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let anna = player("anna");
    assert_eq!(store.book_versions(&anna).expect("listed"), []);
    for book in [&b"one"[..], b"two", b"", b"one"] {
        store.save_book(&anna, book).expect("saved");
    }
    let versions = store.book_versions(&anna).expect("listed");
    let found: Vec<_> = versions
        .iter()
        .map(|version| {
            let book = store.read_version(&anna, &version.sha256).expect("read");
            let book = book.expect("there").bytes;
            assert_eq!(book.len() as u64, version.bytes);
            book
        })
        .collect();
    assert_eq!(found, [&b"one"[..], b"", b"two", b"one"]);
    let of_nobody = store.read_version(&anna, &"ab".repeat(32)).expect("read");
    assert_eq!(of_nobody, None);
    let of_ben = store.read_version(&player("ben"), &versions[0].sha256);
    assert_eq!(of_ben.expect("read"), None);
}

pub fn what_is_set_aside_is_kept_on_a_full_shelf(place: &dyn Place) {
    let store = place.open_with(INSTANCE, Some(4096));
    store
        .save_book(&player("anna"), &[b'x'; 5000])
        .expect("saved");
    tend(&*store, None, &[]);
    let refused = store.save_book(&player("ben"), b"spells");
    assert!(matches!(refused, Err(Error::NoRoom { .. })), "{refused:?}");
    store
        .save_book(&player("anna").aside(), b"spells")
        .expect("kept");
}

pub fn players_have_their_own_books(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let longest = "x".repeat(128);
    let names = ["a", "ab", "a-", "A", "sessions", "session-index", &longest];
    for name in names {
        store
            .save_book(&player(name), name.as_bytes())
            .expect("save");
    }
    for name in names {
        assert_eq!(load(&*store, name), Some(name.as_bytes().to_vec()));
        assert_eq!(place.versions(&player(name)), 1);
    }
}

pub fn books_are_the_player_s_on_every_instance(place: &dyn Place) {
    let store = place.open("book");
    store.save_book(&player("anna"), b"spells").expect("save");
    drop(store);
    assert_eq!(
        load(&*place.open("there"), "anna"),
        Some(b"spells".to_vec())
    );
}

pub fn saves_at_once_are_whole(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let book = |number: usize| noise(1000 * number + 1);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..5 {
                    store
                        .save_book(&player("anna"), &book(number))
                        .expect("save");
                    let loaded = load(&**store, "anna").expect("a book");
                    assert!((0..THREADS).any(|number| loaded == book(number)));
                }
            });
        }
    });
    assert_eq!(place.versions(&player("anna")), BOOK_VERSIONS);
}

pub fn the_first_cookie_key_is_kept(place: &dyn Place) {
    let (one, two) = ([1; 32], [2; 32]);
    let store = place.open(INSTANCE);
    // It may have made one by itself before.
    let kept = store.cookie_key(&one).expect("a key");
    assert_eq!(store.cookie_key(&two).expect("a key"), kept);
    drop(store);
    let other = place.open("there:8080");
    assert_eq!(other.cookie_key(&two).expect("a key"), kept);
    assert_ne!(kept, two);
}

pub fn who_is_revoked_is_kept_for_all_instances(place: &dyn Place) {
    let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7);
    let (anna, berta) = (player("anna"), player("berta"));
    let store = place.open(INSTANCE);
    assert_eq!(store.revoked().expect("nobody"), []);
    store.revoke(&anna, at(1)).expect("revoked");
    store.revoke(&berta, at(2)).expect("revoked");
    store.revoke(&anna, at(3)).expect("revoked again");
    // By a server whose clock is behind.
    let kept = store.revoke(&anna, at(2)).expect("revoked before");
    assert_eq!(kept, at(3));
    drop(store);
    let other = place.open("there:8080");
    let mut revoked = other.revoked().expect("both");
    revoked.sort();
    assert_eq!(revoked, [(anna.clone(), at(3)), (berta.clone(), at(2))]);
    for _ in 0..2 {
        other.restore(&anna).expect("restored");
    }
    assert_eq!(other.revoked().expect("one"), [(berta, at(2))]);
}

pub fn a_moment_of_revoking_is_never_rounded_down(place: &dyn Place) {
    let (anna, at) = (player("anna"), SystemTime::UNIX_EPOCH + DAY);
    let store = place.open(INSTANCE);
    let moment = at + Duration::from_nanos(1);
    let kept = store.revoke(&anna, moment).expect("revoked");
    assert_eq!(kept, at + Duration::from_millis(1));
    assert_eq!(store.revoked().expect("one"), [(anna, kept)]);
}

pub fn there_are_never_too_many_revoked(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let many: Vec<_> = (0..REVOKED_MOST)
        .map(|number| player(&format!("anon-{number:064}")))
        .collect();
    place.plant_revoked(&many);
    assert_eq!(store.revoked().expect("all").len(), REVOKED_MOST);
    let refused = store.revoke(&player("anna"), SystemTime::now());
    assert!(matches!(refused, Err(Error::TooManyRevoked)), "{refused:?}");
    store
        .revoke(&many[0], SystemTime::now())
        .expect("one of them again");
    store.restore(&many[1]).expect("restored");
    store
        .revoke(&player("anna"), SystemTime::now())
        .expect("there is room");
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const BLOCK: u64 = 4096;

pub fn tend(store: &dyn SessionStore, expiry: Option<Duration>, in_use: &[&str]) -> Shelf {
    let in_use: HashSet<_> = in_use.iter().map(|name| player(name)).collect();
    let tending = Tending {
        expiry,
        is_trial: false,
        in_use: &in_use,
        goes_on: &|| true,
    };
    store.tend_books(&tending).expect("tend")
}

pub fn shelf(players: u64, blocks: u64, expired: u64) -> Shelf {
    Shelf {
        players,
        bytes: blocks * BLOCK,
        expired,
    }
}

fn save(store: &dyn SessionStore, name: &str, book: &[u8]) {
    store.save_book(&player(name), book).expect("save");
}

pub fn books_are_counted_in_blocks(place: &dyn Place) {
    let store = place.open(INSTANCE);
    assert_eq!(tend(&*store, None, &[]), shelf(0, 0, 0));
    save(&*store, "anna", b"");
    save(&*store, "ben", &[b'x'; 3000]);
    assert_eq!(tend(&*store, None, &[]), shelf(2, 2, 0));
    save(&*store, "ben", &[b'x'; 8000]);
    assert_eq!(tend(&*store, None, &[]), shelf(2, 4, 0));
    for number in 0..2 * BOOK_VERSIONS {
        save(&*store, "anna", &[number as u8]);
    }
    let kept = BOOK_VERSIONS as u64;
    assert_eq!(tend(&*store, None, &[]), shelf(2, 3 + kept, 0));
    // The next life counts the same.
    drop(store);
    let store = place.open(INSTANCE);
    assert_eq!(tend(&*store, None, &[]), shelf(2, 3 + kept, 0));
}

pub fn what_somebody_has_removed_counts_no_more(place: &dyn Place) {
    let store = place.open_with(INSTANCE, Some(2 * BLOCK));
    for name in ["anna", "ben"] {
        save(&*store, name, b"spells");
    }
    assert_eq!(tend(&*store, None, &[]), shelf(2, 2, 0));
    assert!(store.check_room(&player("carla")).is_err());
    place.remove_books(&player("anna"));
    assert_eq!(tend(&*store, None, &[]), shelf(1, 1, 0));
    save(&*store, "carla", b"spells");
}

pub fn a_full_shelf_refuses_newcomers_only(place: &dyn Place) {
    let quota_bytes = 2 * BLOCK;
    let store = place.open_with(INSTANCE, Some(quota_bytes));
    save(&*store, "anna", b"spells");
    tend(&*store, None, &[]);
    store.check_room(&player("ben")).expect("there is room");
    save(&*store, "ben", b"spells");
    let is_refused = |outcome: Result<(), Error>| match outcome {
        Err(Error::NoRoom { quota_bytes: told }) => told == quota_bytes,
        other => panic!("{other:?}"),
    };
    for name in ["carla", "anon-1"] {
        assert!(is_refused(store.check_room(&player(name))));
        assert!(is_refused(store.save_book(&player(name), b"spells")));
        assert_eq!(load(&*store, name), None);
    }
    // Who has a book goes on, and what was found without its player is kept.
    for name in ["anna", "ben", "lost-1"] {
        store.check_room(&player(name)).expect(name);
        save(&*store, name, b"more spells");
        assert_eq!(load(&*store, name), Some(b"more spells".to_vec()));
    }
    assert_eq!(tend(&*store, None, &[]), shelf(3, 5, 0));
    // A server without a quota, or with a greater one, keeps it.
    drop(store);
    let store = place.open_with(INSTANCE, Some(quota_bytes * 4));
    tend(&*store, None, &[]);
    save(&*store, "carla", b"spells");
}

pub fn only_unused_books_of_nobody_known_expire(place: &dyn Place) {
    let store = place.open(INSTANCE);
    let names = [
        "anon-old",
        "anon-new",
        "anon-loaded",
        "anon-playing",
        "lost-1",
        "jwt-1",
    ];
    for name in names {
        save(&*store, name, name.as_bytes());
        save(&*store, name, b"spells");
        if name != "anon-new" {
            place.age(&player(name), DAY * 10);
        }
    }
    assert!(load(&*store, "anon-loaded").is_some());
    let tended = |expiry| tend(&*store, Some(expiry), &["anon-playing"]);
    assert_eq!(tended(DAY * 11), shelf(6, 12, 0));
    assert_eq!(tended(DAY * 9), shelf(4, 8, 2));
    let is_there = |name| load(&*store, name).is_some();
    let there: Vec<_> = names.into_iter().filter(|name| is_there(name)).collect();
    assert_eq!(there, ["anon-new", "anon-loaded", "anon-playing", "jwt-1"]);
    assert_eq!(tended(DAY * 9), shelf(4, 8, 0));
    // A player whose book has expired begins anew.
    save(&*store, "anon-old", b"new spells");
    assert_eq!(load(&*store, "anon-old"), Some(b"new spells".to_vec()));
}

pub fn a_trial_removes_no_books(place: &dyn Place) {
    let store = place.open(INSTANCE);
    for name in ["anon-1", "anon-2", "anon-playing", "jwt-1"] {
        save(&*store, name, b"spells");
        place.age(&player(name), DAY * 10);
    }
    save(&*store, "anon-new", b"spells");
    let in_use = HashSet::from([player("anon-playing"), player("anon-new")]);
    let tended = |is_trial| {
        let tending = Tending {
            expiry: Some(DAY * 9),
            is_trial,
            in_use: &in_use,
            goes_on: &|| true,
        };
        store.tend_books(&tending).expect("tend")
    };
    for _ in 0..2 {
        assert_eq!(tended(true), shelf(5, 5, 2));
    }
    assert_eq!(tended(false), shelf(3, 3, 2));
    assert_eq!(tended(true), shelf(3, 3, 0));
}

/// Or a copy that is made every night would keep every book for ever.
pub fn a_book_that_is_only_read_expires(place: &dyn Place) {
    let store = place.open(INSTANCE);
    for name in ["anon-read", "anon-loaded"] {
        save(&*store, name, b"spells");
        place.age(&player(name), DAY * 10);
    }
    let read = store.read_book(&player("anon-read")).expect("read");
    assert_eq!(read.map(|book| book.bytes), Some(b"spells".to_vec()));
    assert_eq!(store.read_book(&player("anon-none")).expect("read"), None);
    assert!(load(&*store, "anon-loaded").is_some());
    assert_eq!(tend(&*store, Some(DAY * 9), &[]), shelf(1, 1, 1));
    assert_eq!(load(&*store, "anon-read"), None);
}

pub fn nothing_expires_without_an_expiry(place: &dyn Place) {
    let store = place.open(INSTANCE);
    save(&*store, "anon-1", b"spells");
    place.age(&player("anon-1"), DAY * 10_000);
    assert_eq!(tend(&*store, None, &[]), shelf(1, 1, 0));
    assert!(load(&*store, "anon-1").is_some());
}

/// Another server does not know who plays here, and may have another expiry.
pub fn whoever_plays_uses_a_book_for_all_servers(place: &dyn Place) {
    let store = place.open(INSTANCE);
    save(&*store, "anon-playing", b"played");
    place.age(&player("anon-playing"), 2 * DAY);
    tend(&*store, None, &["anon-playing"]);
    assert_eq!(tend(&*store, Some(DAY), &[]), shelf(1, 1, 0));
}

pub fn tending_stops_when_it_is_told_to(place: &dyn Place) {
    let store = place.open(INSTANCE);
    save(&*store, "anon-1", b"spells");
    place.age(&player("anon-1"), DAY * 10);
    let tending = Tending {
        expiry: Some(DAY),
        is_trial: false,
        in_use: &HashSet::new(),
        goes_on: &|| false,
    };
    let shelf = store.tend_books(&tending).expect("tend");
    // A store that is through at once need not ask.
    let is_there = load(&*store, "anon-1").is_some();
    assert_eq!(is_there, shelf.expired == 0);
}

pub fn books_are_listed_by_player_and_in_pages(place: &dyn Place) {
    let store = place.open(INSTANCE);
    assert_eq!(store.list_books(None, 10).expect("a list"), []);
    // Whole seconds are all that some file systems keep.
    let before = SystemTime::now() - std::time::Duration::from_secs(2);
    for (name, book) in [
        ("b", &b"first"[..]),
        ("a", b""),
        ("c", b"x"),
        ("b", b"the newest"),
    ] {
        let player = PlayerId::try_from(name.to_owned()).expect("a name");
        store.save_book(&player, book).expect("saved");
    }
    let page = |after: Option<&str>, most| {
        let after = after.map(|name| PlayerId::try_from(name.to_owned()).expect("a name"));
        let entries = store.list_books(after.as_ref(), most).expect("a list");
        assert!(entries.iter().all(|entry| entry.saved_at >= before));
        let entries = entries.into_iter();
        entries
            .map(|entry| format!("{} {}", entry.player, entry.bytes))
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None, 10), ["a 0", "b 10", "c 1"]);
    assert_eq!(page(None, 2), ["a 0", "b 10"]);
    assert_eq!(page(Some("b"), 2), ["c 1"]);
    assert_eq!(page(Some("bb"), 2), ["c 1"]);
    assert_eq!(page(Some("c"), 2), [] as [&str; 0]);
}
