//! Random lives of a server: sessions are made, claimed, played, ended in every way, and the server stops or is killed at
//! any moment, while the Engine and the store fail. Whatever happens, no book is lost, and in the end nothing is left.
//!
//! A crash is what the outside sees of one: from one moment on nothing of the old server reaches the Engine or the store.
//! `PROPTEST_CASES` says how many lives are tried, and `CHAOS_SEED` which; without it they are the same ones each time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use fake_engine::FakeEngine;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};
use shellcraft::auth::PlayerId;
use shellcraft::auth::PlayerSecret;
use shellcraft::engine::Engine;
use shellcraft::session::store::memory::{BackingStore, Memory};
use shellcraft::session::store::{
    Book, BookEntry, BookVersion, CookieKeyBytes, Error, Record, SessionStore, Shelf, Tending,
};
use shellcraft::session::{
    Grace, Manager, NewSession, Newcomer, SessionId, Settings, ShutdownMode, State,
};
use shellcraft::terminal::frame::Role;
use shellcraft::terminal::hub::Arrival;

use crate::containers::{PATIENCE, unique};
use crate::managers;
use crate::site::wait_for;

const BOOK: &str = "/home/spellbook.dat";
const PLAYERS: usize = 3;
/// What the Engine can be asked to do wrong.
const OPS: [&str; 12] = [
    "ContainerCreate",
    "PutContainerArchive",
    "ContainerAttach",
    "ContainerStart",
    "ContainerInspect",
    "ContainerWait",
    "ContainerKill",
    "ContainerDelete",
    "ContainerArchive",
    "ContainerArchiveInfo",
    "ContainerList",
    "ContainerResize",
];
/// A call that lasts longer hangs, and the Engine is restarted under it.
const HANGS_AFTER: Duration = Duration::from_millis(200);

#[derive(Debug, Clone)]
enum Step {
    Create(usize),
    Write(usize),
    Attach(usize),
    Exit(usize),
    Destroy(usize),
    Idle(usize),
    Lose(usize),
    ExitWaiting,
    Refuse(usize),
    LoseAnswers(usize),
    Hang(usize),
    CutAttaches,
    StoreAway,
    Calm,
    Restart,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let player = 0..PLAYERS;
    let op = 0..OPS.len();
    prop_oneof![
        6 => player.clone().prop_map(Step::Create),
        6 => player.clone().prop_map(Step::Write),
        2 => player.clone().prop_map(Step::Attach),
        2 => player.clone().prop_map(Step::Exit),
        2 => player.clone().prop_map(Step::Destroy),
        2 => player.clone().prop_map(Step::Idle),
        1 => player.prop_map(Step::Lose),
        1 => Just(Step::ExitWaiting),
        3 => op.clone().prop_map(Step::Refuse),
        2 => op.clone().prop_map(Step::LoseAnswers),
        1 => op.prop_map(Step::Hang),
        1 => Just(Step::CutAttaches),
        1 => Just(Step::StoreAway),
        3 => Just(Step::Calm),
        1 => Just(Step::Restart),
        2 => Just(Step::Crash),
    ]
}

/// The store as one life of the server reaches it.
struct Leash {
    store: Memory,
    is_cut: Arc<AtomicBool>,
}

impl Leash {
    fn reach(&self) -> Result<&Memory, Error> {
        if self.is_cut.load(Ordering::SeqCst) {
            return Err(Error::Unavailable("the process is dead".into()));
        }
        Ok(&self.store)
    }
}

impl SessionStore for Leash {
    fn check(&self) -> Result<(), Error> {
        self.reach()?.check()
    }
    fn insert(&self, record: &Record) -> Result<(), Error> {
        self.reach()?.insert(record)
    }
    fn update(&self, id: SessionId, change: &mut dyn FnMut(&mut Record)) -> Result<Record, Error> {
        self.reach()?.update(id, change)
    }
    fn remove(&self, id: SessionId) -> Result<(), Error> {
        self.reach()?.remove(id)
    }
    fn list(&self) -> Result<Vec<Record>, Error> {
        self.reach()?.list()
    }
    fn save_book_over(
        &self,
        player: &PlayerId,
        book: &[u8],
        over: Option<&str>,
        game: Option<SessionId>,
    ) -> Result<(), Error> {
        self.reach()?.save_book_over(player, book, over, game)
    }
    fn book_versions(&self, player: &PlayerId) -> Result<Vec<BookVersion>, Error> {
        self.reach()?.book_versions(player)
    }
    fn read_version(&self, player: &PlayerId, sha256: &str) -> Result<Option<Book>, Error> {
        self.reach()?.read_version(player, sha256)
    }
    fn read_book(&self, player: &PlayerId) -> Result<Option<Book>, Error> {
        self.reach()?.read_book(player)
    }
    fn load_book(&self, player: &PlayerId) -> Result<Option<Book>, Error> {
        self.reach()?.load_book(player)
    }
    fn check_room(&self, player: &PlayerId) -> Result<(), Error> {
        self.reach()?.check_room(player)
    }
    fn tend_books(&self, tending: &Tending) -> Result<Shelf, Error> {
        self.reach()?.tend_books(tending)
    }

    fn list_books(&self, after: Option<&PlayerId>, most: usize) -> Result<Vec<BookEntry>, Error> {
        self.reach()?.list_books(after, most)
    }

    fn cookie_key(&self, new: &CookieKeyBytes) -> Result<CookieKeyBytes, Error> {
        self.reach()?.cookie_key(new)
    }

    fn revoke(&self, player: &PlayerId, at: SystemTime) -> Result<SystemTime, Error> {
        self.reach()?.revoke(player, at)
    }

    fn restore(&self, player: &PlayerId) -> Result<(), Error> {
        self.reach()?.restore(player)
    }

    fn revoked(&self) -> Result<Vec<(PlayerId, SystemTime)>, Error> {
        self.reach()?.revoked()
    }
}

/// One life of the server.
struct Life {
    manager: Arc<Manager>,
    is_cut: Arc<AtomicBool>,
}

/// A player, and what must not be lost.
struct Player {
    id: PlayerId,
    game: Option<SessionId>,
    /// The number of the book that was written last; 0 is none.
    written: usize,
    /// What the next one is called.
    next: usize,
    /// No book that is found must be older.
    floor: usize,
}

/// The book with that number: no two have the same length, as no two writings have the same time.
fn book(number: usize) -> Vec<u8> {
    if number == 0 {
        return Vec::new();
    }
    format!("spell\techo {}\n", "x".repeat(number)).into_bytes()
}

fn number_of(book: &[u8]) -> usize {
    book.len().saturating_sub(b"spell\techo \n".len())
}

struct World {
    engine: FakeEngine,
    shared: BackingStore,
    instance: String,
    life: Option<Life>,
    players: Vec<Player>,
    /// Calls to servers that need not answer before the end.
    calls: Vec<JoinHandle<()>>,
    /// Whether a deletion may have been carried out without its being known.
    may_delete_again: bool,
}

fn name(id: SessionId) -> String {
    format!("shellcraft-{}", id.to_text())
}

impl World {
    fn new() -> World {
        let player = |_| Player {
            id: PlayerSecret::random().id(),
            game: None,
            written: 0,
            next: 1,
            floor: 0,
        };
        let mut world = World {
            engine: FakeEngine::start(),
            shared: BackingStore::default(),
            instance: unique(),
            life: None,
            players: (0..PLAYERS).map(player).collect(),
            calls: Vec::new(),
            may_delete_again: false,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let is_cut = Arc::new(AtomicBool::new(false));
        let store = Leash {
            store: Memory::new(&self.shared, &self.instance),
            is_cut: Arc::clone(&is_cut),
        };
        let settings = Settings {
            idle_timeout: Duration::from_secs(60),
            // The reaper looks twice as often, so that the idle ones go immediately.
            save_interval: Duration::from_millis(40),
            pool_size: 1,
            ..managers::settings(&self.instance)
        };
        let engine = Engine::new(&self.engine.docker_host()).expect("a Unix socket");
        let manager = managers::start(engine, Arc::new(store), settings);
        self.life = Some(Life { manager, is_cut });
    }

    fn manager(&self) -> &Arc<Manager> {
        &self.life.as_ref().expect("a server runs").manager
    }

    /// Ends all trouble. Calls that hang go on.
    fn calm(&self) {
        for op in OPS {
            self.engine.release(op);
        }
        self.shared.set_away(false);
    }

    /// Ends all trouble by a restart of the Engine: calls that hang are carried out, and nobody is told.
    fn restart_engine(&mut self) {
        self.may_delete_again = true;
        self.engine.stop_listening();
        self.calm();
        self.engine.start_listening();
    }

    /// Stops the server; its games go on.
    fn leave(&mut self) {
        let life = self.life.take().expect("a server runs");
        let left = life.manager.stop(ShutdownMode::Leave, Grace::of(PATIENCE));
        assert_eq!(left, 0, "threads that did not end");
        self.hang_up();
    }

    /// From this moment on nothing of the server reaches anything.
    fn crash(&mut self) {
        let life = self.life.take().expect("a server runs");
        life.is_cut.store(true, Ordering::SeqCst);
        self.engine.stop_listening();
        let left = life.manager.stop(ShutdownMode::Leave, Grace::of(PATIENCE));
        assert_eq!(left, 0, "threads that did not end");
        self.hang_up();
        // What it was told at that moment may have happened.
        self.restart_engine();
    }

    fn hang_up(&mut self) {
        for call in self.calls.drain(..) {
            call.join().expect("no panic");
        }
    }

    /// What a player's game is called, if it has one that runs.
    fn game(&self, player: usize) -> Option<(SessionId, String)> {
        self.players[player].game.map(|id| (id, name(id)))
    }

    fn create(&mut self, player: usize) {
        // Somebody with two games at once has two books, of which one wins: that is not what is tested here.
        if let Some((_, container)) = self.game(player)
            && self.engine.container(&container).is_some()
        {
            return;
        }
        let (manager, id) = (Arc::clone(self.manager()), self.players[player].id.clone());
        let call = thread::spawn(move || manager.new_session(Newcomer::PATIENT, None, &id));
        let due = Instant::now() + HANGS_AFTER;
        while !call.is_finished() && Instant::now() < due {
            thread::park_timeout(Duration::from_millis(1));
        }
        if !call.is_finished() {
            self.restart_engine();
        }
        if let Ok(NewSession { session, .. }) = call.join().expect("no panic") {
            self.players[player].game = Some(session.id);
            if let Some((found, _)) = self.engine.read_file(&name(session.id), BOOK) {
                let written = self.players[player].written;
                let (number, size) = (number_of(&found), found.len());
                assert!(
                    number >= written,
                    "book {number} ({size} bytes) is put back, not {written}"
                );
            }
        }
    }

    fn write(&mut self, player: usize) {
        let Some((_, container)) = self.game(player) else {
            return;
        };
        let number = self.players[player].next;
        let is_written = self
            .engine
            .write_file_if_running(&container, BOOK, &book(number));
        if is_written {
            self.players[player].written = number;
            self.players[player].next += 1;
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Create(player) => self.create(player),
            Step::Write(player) => self.write(player),
            Step::Attach(player) => {
                let Some((id, _)) = self.game(player) else {
                    return;
                };
                let arrival = Arrival {
                    role: Role::Player,
                    is_acking: true,
                    from: None,
                    wants_screen: false,
                    page: None,
                };
                drop(self.manager().join_terminal(id, arrival));
            }
            Step::Exit(player) => {
                if let Some((_, container)) = self.game(player) {
                    self.engine.exit(&container, 0);
                }
            }
            Step::Destroy(player) => {
                let Some((id, _)) = self.game(player) else {
                    return;
                };
                let manager = Arc::clone(self.manager());
                self.calls
                    .push(thread::spawn(move || drop(manager.destroy(id))));
            }
            Step::Idle(player) => {
                let long_ago = Instant::now().checked_sub(Duration::from_secs(61));
                if let (Some((id, _)), Some(long_ago)) = (self.game(player), long_ago)
                    && let Ok(session) = self.manager().get(id)
                {
                    session.hub.touch(long_ago);
                }
            }
            Step::Lose(player) => {
                if let Some((_, container)) = self.game(player) {
                    // What it takes along was never safe.
                    self.engine.lose(&container);
                    let saved = self.saved(player);
                    let player = &mut self.players[player];
                    player.floor = player.floor.max(saved);
                    player.written = player.floor;
                    player.game = None;
                }
            }
            Step::ExitWaiting => {
                let sessions = self.manager().list();
                let waiting = sessions
                    .iter()
                    .find(|one| one.snapshot().state == State::Prewarmed && one.owner().is_none());
                if let Some(container) = waiting.and_then(|one| one.container()) {
                    self.engine.exit(&container.0, 1);
                }
            }
            Step::Refuse(op) => self.engine.refuse(OPS[op], 500, "input/output error"),
            Step::LoseAnswers(op) => {
                self.may_delete_again |= OPS[op] == "ContainerDelete";
                self.engine.lose_answers(OPS[op]);
            }
            Step::Hang(op) => {
                self.may_delete_again |= OPS[op] == "ContainerDelete";
                self.engine.hang(OPS[op]);
            }
            Step::CutAttaches => self.engine.cut_attaches(),
            Step::StoreAway => self.shared.set_away(true),
            Step::Calm => self.calm(),
            Step::Restart => {
                self.calm();
                self.leave();
                self.begin();
            }
            Step::Crash => {
                self.crash();
                self.begin();
            }
        }
    }

    /// The number of the newest book that the store has.
    fn saved(&self, player: usize) -> usize {
        let books = self.shared.books(&self.players[player].id);
        books.last().map_or(0, |book| number_of(&book.bytes))
    }

    /// What holds at every moment.
    fn check(&mut self) {
        for player in 0..PLAYERS {
            let container = self.game(player).map(|(_, container)| container);
            let is_gone = container.is_none_or(|name| self.engine.container(&name).is_none());
            let saved = self.saved(player);
            let is_lost = self.players[player].game.is_none();
            let player = &mut self.players[player];
            assert!(
                saved >= player.floor,
                "book {saved} has replaced book {}",
                player.floor
            );
            player.floor = saved;
            if is_gone && !is_lost {
                assert!(
                    saved >= player.written,
                    "a container was removed whose book {} was not safe, but {saved}",
                    player.written
                );
            }
        }
        if !self.may_delete_again {
            for (container, times) in self.engine.deletions() {
                assert_eq!(times, 1, "container {container} was deleted again");
            }
        }
    }

    /// Everything works again: nothing is left over but what somebody plays, and after that nothing at all.
    fn finish(mut self) {
        self.calm();
        self.leave();
        self.begin();
        wait_for("the server to know what there is", || {
            self.manager().is_settled()
        });
        wait_for("each container to be somebody's", || {
            let sessions = self.manager().list();
            let alive: BTreeSet<_> = sessions
                .iter()
                .filter(|one| !one.snapshot().state.is_over())
                .map(|one| name(one.id))
                .collect();
            self.engine
                .containers()
                .iter()
                .all(|one| alive.contains(one.name.trim_start_matches('/')))
        });
        self.check();
        assert_eq!(
            self.manager()
                .stop(ShutdownMode::Drain, Grace::of(PATIENCE)),
            0
        );
        self.hang_up();
        assert!(self.engine.containers().is_empty(), "containers leaked");
        let records = Memory::new(&self.shared, &self.instance).list();
        assert_eq!(records.expect("the store is back"), [], "records leaked");
        self.check();
    }
}

/// The chance of this run, printed so that a run of `make chaos` can be repeated.
fn seed() -> u64 {
    let text = std::env::var("CHAOS_SEED").unwrap_or_else(|_| "20".into());
    println!("random lives: CHAOS_SEED={text}");
    text.parse().expect("CHAOS_SEED is a number")
}

#[test]
fn nothing_is_lost_and_nothing_is_left() {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(12),
        max_shrink_iters: 60,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        rng_seed: RngSeed::Fixed(seed()),
        ..Config::default()
    };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..30))| {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
        world.finish();
    });
}

/// The shortest life in which a book can be lost: the store is away when the game ends.
#[test]
fn a_game_that_ends_while_the_store_is_away_keeps_its_book() {
    let mut world = World::new();
    for step in [Step::Create(0), Step::Write(0), Step::StoreAway] {
        world.take(&step);
    }
    let (_, container) = world.game(0).expect("a game");
    world.engine.exit(&container, 0);
    let reads = world.engine.calls("ContainerArchive");
    wait_for("the book to be read again and again", || {
        world.engine.calls("ContainerArchive") > reads + 2
    });
    world.check();
    world.finish();
}
