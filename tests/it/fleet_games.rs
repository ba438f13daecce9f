//! Games of servers that share a store: whose book counts when a player goes on elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_engine::FakeEngine;
use shellcraft::auth::PlayerId;
use shellcraft::engine::Engine;
use shellcraft::session::store::memory::{BackingStore, Memory};
use shellcraft::session::store::{CurrentEpoch, Holder, Opening, SessionStore, Supersedes};
use shellcraft::session::{
    Error, Grace, Manager, Newcomer, Reason, Session, SessionId, Settings, ShutdownMode,
};
use shellcraft::terminal::Role;
use shellcraft::terminal::hub::Arrival;

use crate::containers::{PATIENCE, unique};
use crate::managers;
use crate::site::wait_for;
use crate::store_promises::player;

const BOOK: &str = "/home/spellbook.dat";

/// One server of a fleet, with its Engine.
struct Server {
    engine: FakeEngine,
    instance: String,
    epoch: u64,
    manager: Arc<Manager>,
}

fn store(shared: &BackingStore, instance: &str, epoch: u64) -> Arc<dyn SessionStore> {
    shared.set_lease(instance, Some(epoch));
    let current = Arc::new(CurrentEpoch::default());
    current.set(epoch);
    Arc::new(Memory::new(shared, instance).in_fleet(current))
}

fn start(
    engine: &FakeEngine,
    shared: &BackingStore,
    epoch: u64,
    settings: Settings,
) -> Arc<Manager> {
    let store = store(shared, &settings.instance, epoch);
    let engine = Engine::new(&engine.docker_host()).expect("a Unix socket");
    managers::start(engine, store, settings)
}

fn settings(instance: &str) -> Settings {
    Settings {
        save_interval: Duration::from_millis(40),
        ..managers::settings(instance)
    }
}

impl Server {
    fn start(shared: &BackingStore, epoch: u64) -> Server {
        Server::start_with(shared, epoch, |settings| settings)
    }

    fn start_with(
        shared: &BackingStore,
        epoch: u64,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Server {
        let (engine, instance) = (FakeEngine::start(), unique());
        let manager = start(&engine, shared, epoch, change(settings(&instance)));
        Server {
            engine,
            instance,
            epoch,
            manager,
        }
    }

    fn play(&self) -> Arc<Session> {
        self.try_to_play().expect("a game")
    }

    fn try_to_play(&self) -> Result<Arc<Session>, Error> {
        let new = self
            .manager
            .new_session(Newcomer::PATIENT, None, &player("anna"));
        new.map(|new| new.session)
    }

    fn write(&self, game: SessionId, book: &str) {
        let name = format!("shellcraft-{}", game.to_text());
        self.engine.write_file(&name, BOOK, book.as_bytes());
    }

    /// Its player types: a book is looked at only if someone has typed since the last look.
    fn type_at(&self, game: SessionId) {
        let arrival = Arrival {
            role: Role::Player,
            is_acking: false,
            from: None,
            wants_screen: false,
            page: None,
        };
        let handle = self.manager.join_terminal(game, arrival).expect("a game");
        handle.type_in(b" ", Instant::now());
    }

    fn holder(&self) -> Holder {
        Holder {
            instance: self.instance.clone(),
            epoch: self.epoch,
        }
    }

    /// Stops the server, and starts it again as its next life.
    fn start_again(&mut self, shared: &BackingStore, epoch: u64, meanwhile: impl FnOnce(&Server)) {
        let left = self.manager.stop(ShutdownMode::Leave, Grace::of(PATIENCE));
        assert_eq!(left, 0, "threads that did not end");
        meanwhile(self);
        self.manager = start(&self.engine, shared, epoch, settings(&self.instance));
        self.epoch = epoch;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.manager.stop(ShutdownMode::Drain, Grace::of(PATIENCE));
    }
}

/// The player's newest book.
fn newest(shared: &BackingStore, player: &PlayerId) -> Option<String> {
    let book = shared.books(player).pop()?;
    Some(String::from_utf8(book.bytes).expect("text"))
}

fn wait_for_book(shared: &BackingStore, player: &PlayerId, book: &str) {
    wait_for("the book in the store", || {
        newest(shared, player).as_deref() == Some(book)
    });
}

/// The player's open games, as another server is told of them.
fn open_games(shared: &BackingStore) -> Vec<(SessionId, Holder)> {
    let (other, id) = (store(shared, "onlooker", 1), SessionId::random());
    let opened = other
        .open_game(&player("anna"), id, Supersedes::default())
        .expect("memory");
    other.close_game(&player("anna"), id).expect("memory");
    match opened {
        Opening::Open(games) => games,
        opened => panic!("{opened:?}"),
    }
}

/// The player goes on with a game on a server that takes `of` for dead. Returns that server's store, and the new game.
fn go_on_elsewhere(
    shared: &BackingStore,
    of: &Server,
    game: SessionId,
) -> (Arc<dyn SessionStore>, SessionId) {
    let (other, id) = (store(shared, "elsewhere", 7), SessionId::random());
    let supersedes = Supersedes {
        resumed: Some(game),
        buried: &[of.holder()],
    };
    let opened = other
        .open_game(&player("anna"), id, supersedes)
        .expect("memory");
    assert_eq!(opened, Opening::Open(Vec::new()));
    other
        .save_book_over(&player("anna"), b"new\techo 2\n", None, Some(id))
        .expect("memory");
    (other, id)
}

#[track_caller]
fn assert_moved(shared: &BackingStore, server: &Server, game: &Session) {
    wait_for("the end of the game", || game.snapshot().state.is_over());
    assert_eq!(game.snapshot().reason, Some(Reason::Moved));
    assert!(
        server.engine.containers().is_empty(),
        "its container is removed"
    );
    assert_eq!(
        newest(shared, &player("anna")).as_deref(),
        Some("new\techo 2\n")
    );
}

#[test]
fn a_game_is_open_from_its_start_to_its_end() {
    let shared = BackingStore::default();
    let server = Server::start(&shared, 1);
    let game = server.play();
    assert_eq!(open_games(&shared), vec![(game.id, server.holder())]);
    server.write(game.id, "old\techo 1\n");
    wait_for_book(&shared, &player("anna"), "old\techo 1\n");
    server.manager.destroy(game.id).expect("destroyed");
    assert_eq!(open_games(&shared), vec![]);
}

/// A prewarmed session has an id of its own, and one that is handed over takes the place of another.
#[test]
fn a_game_from_the_pool_is_open_like_any_other() {
    let shared = BackingStore::default();
    let server = Server::start_with(&shared, 1, |settings| Settings {
        pool_size: 1,
        ..settings
    });
    wait_for("the pool", || {
        server.manager.pool_counts().values().sum::<usize>() == 1
    });
    let mut games: Vec<_> = (0..3)
        .map(|_| (server.play().id, server.holder()))
        .collect();
    games.sort();
    assert_eq!(open_games(&shared), games);
    server.manager.destroy_all();
    assert_eq!(open_games(&shared), vec![]);
}

#[test]
fn a_game_that_can_t_be_made_is_not_open() {
    let shared = BackingStore::default();
    let server = Server::start(&shared, 1);
    server.engine.refuse("ContainerCreate", 500, "no");
    assert!(server.try_to_play().is_err());
    assert_eq!(open_games(&shared), vec![]);
}

/// What a close could not be told is told later.
#[test]
fn a_game_that_ends_while_the_store_is_away_is_closed_later() {
    let shared = BackingStore::default();
    let server = Server::start(&shared, 1);
    let game = server.play();
    server.engine.hold_answers("ContainerDelete");
    server
        .engine
        .exit(&format!("shellcraft-{}", game.id.to_text()), 0);
    wait_for("the removal", || {
        server.engine.calls("ContainerDelete") == 1
    });
    shared.set_away(true);
    server.engine.release("ContainerDelete");
    wait_for("the end", || game.snapshot().state.is_over());
    shared.set_away(false);
    wait_for("the close", || open_games(&shared).is_empty());
}

#[test]
fn a_superseded_game_keeps_its_book_beside_and_ends() {
    let shared = BackingStore::default();
    let server = Server::start(&shared, 1);
    let game = server.play();
    server.write(game.id, "old\techo 1\n");
    wait_for_book(&shared, &player("anna"), "old\techo 1\n");
    let (_, successor) = go_on_elsewhere(&shared, &server, game.id);
    // The server did not notice, and its player types on.
    server.write(game.id, "late\techo 3\n");
    server.type_at(game.id);
    assert_moved(&shared, &server, &game);
    let lost = PlayerId::of_lost_session(&game.id.to_text());
    assert_eq!(newest(&shared, &lost).as_deref(), Some("late\techo 3\n"));
    let open: Vec<_> = open_games(&shared).into_iter().map(|(id, _)| id).collect();
    assert_eq!(open, vec![successor]);
}

#[test]
fn the_next_life_goes_on_with_the_games_and_their_saves() {
    let shared = BackingStore::default();
    let mut server = Server::start(&shared, 1);
    let game = server.play().id;
    server.start_again(&shared, 2, |_| ());
    wait_for("the game", || server.manager.get(game).is_ok());
    server.write(game, "on\techo 1\n");
    wait_for_book(&shared, &player("anna"), "on\techo 1\n");
    assert_eq!(open_games(&shared), vec![(game, server.holder())]);
}

#[test]
fn a_game_that_was_superseded_meanwhile_is_ended_by_the_next_life() {
    let shared = BackingStore::default();
    let mut server = Server::start(&shared, 1);
    let game = server.play().id;
    server.start_again(&shared, 2, |server| {
        go_on_elsewhere(&shared, server, game);
        server.write(game, "late\techo 3\n");
    });
    wait_for("the takeover", || server.manager.get(game).is_ok());
    let session = server.manager.get(game).expect("a game");
    assert_moved(&shared, &server, &session);
    let lost = PlayerId::of_lost_session(&game.to_text());
    assert_eq!(newest(&shared, &lost).as_deref(), Some("late\techo 3\n"));
}

#[test]
fn a_game_whose_entry_was_lost_goes_on() {
    let shared = BackingStore::default();
    let server = Server::start(&shared, 1);
    let game = server.play();
    shared.forget_games(&player("anna"));
    server.write(game.id, "on\techo 1\n");
    wait_for_book(&shared, &player("anna"), "on\techo 1\n");
    assert_eq!(open_games(&shared), vec![(game.id, server.holder())]);
    assert!(!game.snapshot().state.is_over());
}
