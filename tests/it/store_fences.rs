//! What a store promises to several servers that share it: whose records may be written, and which game saves the book.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use shellcraft::auth::PlayerId;
use shellcraft::session::SessionId;
use shellcraft::session::store::memory::{BackingStore, Memory};
use shellcraft::session::store::redis::Redis;
use shellcraft::session::store::{
    Adoption, CurrentEpoch, Error, Holder, Opening, SessionStore, Supersedes,
};
use tempfile::TempDir;

use crate::redis_server::RedisServer;
use crate::store_promises::{Place, player, record};

/// A place whose stores several servers share.
trait SharedPlace {
    /// Opens the store of one life of an instance.
    fn open_in_fleet(&self, instance: &str, epoch: Arc<CurrentEpoch>) -> Box<dyn SessionStore>;
    /// Sets the epoch of an instance's lease, or buries it with none.
    fn set_lease(&self, instance: &str, epoch: Option<u64>);
    /// Loses what is known of a player's games.
    fn forget_games(&self, player: &PlayerId);

    /// The store of an instance's life that has just joined with this epoch.
    fn join(&self, instance: &str, epoch: u64) -> Box<dyn SessionStore> {
        self.set_lease(instance, Some(epoch));
        let current = Arc::new(CurrentEpoch::default());
        current.set(epoch);
        self.open_in_fleet(instance, current)
    }
}

impl SharedPlace for BackingStore {
    fn open_in_fleet(&self, instance: &str, epoch: Arc<CurrentEpoch>) -> Box<dyn SessionStore> {
        Box::new(Memory::new(self, instance).in_fleet(epoch))
    }

    fn set_lease(&self, instance: &str, epoch: Option<u64>) {
        BackingStore::set_lease(self, instance, epoch);
    }

    fn forget_games(&self, player: &PlayerId) {
        BackingStore::forget_games(self, player);
    }
}

impl SharedPlace for RedisServer {
    fn open_in_fleet(&self, instance: &str, epoch: Arc<CurrentEpoch>) -> Box<dyn SessionStore> {
        let url = self.url().parse().expect("a URL");
        Box::new(Redis::new(&url, instance).in_fleet(epoch))
    }

    fn set_lease(&self, instance: &str, epoch: Option<u64>) {
        let key = shellcraft::redis::lease_key(instance);
        let (epoch, state) = match epoch {
            Some(epoch) => (epoch.to_string(), "up"),
            // A burial leaves the epoch as it is.
            None => {
                let kept: Option<String> = self.ask(&[b"HGET", key.as_bytes(), b"epoch"]);
                (kept.unwrap_or_default(), "buried")
            }
        };
        let words: [&[u8]; 6] = [
            b"HSET",
            key.as_bytes(),
            b"epoch",
            epoch.as_bytes(),
            b"state",
            state.as_bytes(),
        ];
        self.ask::<u64>(&words);
    }

    fn forget_games(&self, player: &PlayerId) {
        self.ask::<u64>(&[b"DEL", format!("shellcraft:games:{player}").as_bytes()]);
    }
}

macro_rules! on_each_shared_place {
    ($($promise:ident,)*) => {
        mod memory {
            $(#[test] fn $promise() { super::$promise(&super::BackingStore::default()); })*
        }
        mod redis {
            $(#[test] fn $promise() { super::$promise(&super::RedisServer::start()); })*
        }
    };
}
on_each_shared_place! {
    a_server_that_has_not_joined_writes_nothing,
    a_life_that_is_over_changes_no_record,
    a_buried_life_changes_no_record,
    only_an_open_game_saves,
    a_resumed_game_saves_no_more,
    a_game_is_resumed_once,
    a_game_whose_server_lives_is_not_resumed,
    a_successor_that_is_gone_is_no_obstacle,
    games_of_buried_servers_are_superseded,
    a_later_life_goes_on_with_its_games,
    an_earlier_life_takes_nothing_back,
    lost_entries_are_made_anew,
    a_closed_game_saves_no_more,
    a_life_closes_its_own_games_only,
    a_save_without_a_game_is_not_fenced,
    games_resumed_simultaneously_have_one_successor,
}

const NO_ONE: Supersedes<'_> = Supersedes {
    resumed: None,
    buried: &[],
};

fn holder(text: &str) -> Holder {
    text.parse().expect("a holder")
}

/// Opens a game that supersedes none.
#[track_caller]
fn open(store: &dyn SessionStore, name: &str) -> SessionId {
    let id = SessionId::random();
    let opened = store.open_game(&player(name), id, NO_ONE).expect("open");
    assert!(matches!(opened, Opening::Open(_)), "{opened:?}");
    id
}

/// Resumes a game in a new one, where these holders are buried.
fn resume(store: &dyn SessionStore, resumed: SessionId, buried: &[&str]) -> (SessionId, Opening) {
    let id = SessionId::random();
    let buried: Vec<_> = buried.iter().map(|text| holder(text)).collect();
    let supersedes = Supersedes {
        resumed: Some(resumed),
        buried: &buried,
    };
    let opened = store.open_game(&player("anna"), id, supersedes);
    (id, opened.expect("an answer"))
}

fn save(store: &dyn SessionStore, game: SessionId, book: &str) -> Result<(), Error> {
    store.save_book_over(&player("anna"), book.as_bytes(), None, Some(game))
}

#[track_caller]
fn assert_fenced<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::Fenced)), "{result:?}");
}

#[track_caller]
fn assert_book(store: &dyn SessionStore, book: &str) {
    let newest = store.read_book(&player("anna")).expect("read");
    let newest = newest.map(|book| String::from_utf8(book.bytes).expect("text"));
    assert_eq!(newest.as_deref(), Some(book));
}

fn a_server_that_has_not_joined_writes_nothing(place: &dyn SharedPlace) {
    place.set_lease("a", Some(1));
    let epoch = Arc::new(CurrentEpoch::default());
    let store = place.open_in_fleet("a", Arc::clone(&epoch));
    let record = record("a");
    let refused = store.insert(&record);
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    let refused = store.open_game(&player("anna"), record.session_id, NO_ONE);
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    // Nor does it take anything over.
    for refused in [store.check(), store.list().map(drop)] {
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
    epoch.set(1);
    assert!(store.list().expect("list").is_empty());
    store.insert(&record).expect("insert");
}

fn a_life_that_is_over_changes_no_record(place: &dyn SharedPlace) {
    let old = place.join("a", 1);
    let (kept, gone) = (record("a"), record("a"));
    old.insert(&kept).expect("insert");
    let new = place.join("a", 2);
    assert_fenced(old.insert(&gone));
    assert_fenced(old.update(kept.session_id, &mut |record| record.shell = "perl".into()));
    assert_fenced(old.remove(kept.session_id));
    assert_eq!(new.list().expect("list"), vec![kept.clone()]);
    assert_eq!(
        old.list().expect("reading harms no one"),
        vec![kept.clone()]
    );
    new.update(kept.session_id, &mut |record| record.shell = "perl".into())
        .expect("update");
    new.remove(kept.session_id).expect("remove");
    // Other instances have leases of their own.
    place.join("b", 1).insert(&record("b")).expect("insert");
}

fn a_buried_life_changes_no_record(place: &dyn SharedPlace) {
    let store = place.join("a", 5);
    let record = record("a");
    store.insert(&record).expect("insert");
    place.set_lease("a", None);
    assert_fenced(store.update(record.session_id, &mut |_| ()));
    assert_fenced(store.remove(record.session_id));
    assert_eq!(store.list().expect("list"), vec![record]);
}

fn only_an_open_game_saves(place: &dyn SharedPlace) {
    let store = place.join("a", 1);
    assert_fenced(save(&*store, SessionId::random(), "none"));
    let game = open(&*store, "anna");
    save(&*store, game, "first").expect("save");
    // Nobody else's game.
    let other = open(&*store, "bert");
    assert_fenced(save(&*store, other, "second"));
    assert_book(&*store, "first");
    // A burial by itself keeps no game from saving: a home that lives on keeps its players.
    place.set_lease("a", None);
    save(&*store, game, "third").expect("save");
    assert_book(&*store, "third");
}

fn a_resumed_game_saves_no_more(place: &dyn SharedPlace) {
    let (home, front) = (place.join("a", 1), place.join("b", 2));
    let game = open(&*home, "anna");
    save(&*home, game, "old").expect("save");
    let (successor, opened) = resume(&*front, game, &["a/1"]);
    assert_eq!(opened, Opening::Open(Vec::new()));
    assert_fenced(save(&*home, game, "too late"));
    // Not even the same book again, which would change nothing.
    assert_fenced(save(&*home, game, "old"));
    save(&*front, successor, "new").expect("save");
    assert_book(&*front, "new");
    assert_eq!(
        home.adopt_game(&player("anna"), game).expect("an answer"),
        Adoption::Superseded(successor)
    );
}

fn a_game_is_resumed_once(place: &dyn SharedPlace) {
    let (home, front) = (place.join("a", 1), place.join("b", 2));
    let game = open(&*home, "anna");
    let (first, _) = resume(&*front, game, &["a/1"]);
    let (second, opened) = resume(&*front, game, &["a/1"]);
    assert_eq!(opened, Opening::Resumed(first));
    assert_fenced(save(&*front, second, "twice"));
    // The successor is resumed in its turn, and who asks for the first game is led along.
    let third = place.join("c", 3);
    let (last, opened) = resume(&*third, first, &["a/1", "b/2"]);
    assert_eq!(opened, Opening::Open(Vec::new()));
    assert_eq!(
        resume(&*third, game, &["a/1", "b/2"]).1,
        Opening::Resumed(first)
    );
    assert_eq!(
        resume(&*third, first, &["a/1", "b/2"]).1,
        Opening::Resumed(last)
    );
}

fn a_game_whose_server_lives_is_not_resumed(place: &dyn SharedPlace) {
    let (home, front) = (place.join("a", 2), place.join("b", 3));
    let game = open(&*home, "anna");
    // An earlier life of the home was buried, and this is another.
    let (new, opened) = resume(&*front, game, &["a/1"]);
    assert_eq!(opened, Opening::Held(holder("a/2")));
    assert_fenced(save(&*front, new, "stolen"));
    save(&*home, game, "kept").expect("save");
}

fn a_successor_that_is_gone_is_no_obstacle(place: &dyn SharedPlace) {
    let (home, front) = (place.join("a", 1), place.join("b", 2));
    let game = open(&*home, "anna");
    let (failed, _) = resume(&*front, game, &["a/1"]);
    // Its container could not be made.
    front.close_game(&player("anna"), failed).expect("close");
    let (successor, opened) = resume(&*front, game, &["a/1"]);
    assert_eq!(opened, Opening::Open(Vec::new()));
    save(&*front, successor, "new").expect("save");
    assert_fenced(save(&*home, game, "late"));
    assert_eq!(
        home.adopt_game(&player("anna"), game).expect("an answer"),
        Adoption::Superseded(successor)
    );
}

fn games_of_buried_servers_are_superseded(place: &dyn SharedPlace) {
    let (one, two) = (place.join("a", 1), place.join("b", 2));
    let (dead, alive) = (open(&*one, "anna"), open(&*two, "anna"));
    let id = SessionId::random();
    let buried = [holder("a/1")];
    let supersedes = Supersedes {
        resumed: None,
        buried: &buried,
    };
    let opened = two
        .open_game(&player("anna"), id, supersedes)
        .expect("open");
    assert_eq!(opened, Opening::Open(vec![(alive, holder("b/2"))]));
    assert_fenced(save(&*one, dead, "late"));
    save(&*two, alive, "beside").expect("save");
    save(&*two, id, "new").expect("save");
    // The player's alone.
    let bert = open(&*one, "bert");
    one.save_book_over(&player("bert"), b"his", None, Some(bert))
        .expect("save");
}

fn a_later_life_goes_on_with_its_games(place: &dyn SharedPlace) {
    let old = place.join("a", 1);
    let game = open(&*old, "anna");
    let new = place.join("a", 4);
    assert_fenced(save(&*new, game, "too early"));
    let adopted = new.adopt_game(&player("anna"), game).expect("adopt");
    assert_eq!(adopted, Adoption::Open);
    save(&*new, game, "on").expect("save");
    assert_fenced(save(&*old, game, "late"));
    assert_book(&*new, "on");
}

fn an_earlier_life_takes_nothing_back(place: &dyn SharedPlace) {
    let (old, new) = (place.join("a", 9), place.join("a", 10));
    let game = open(&*old, "anna");
    new.adopt_game(&player("anna"), game).expect("adopt");
    assert_fenced(old.adopt_game(&player("anna"), game));
    // Nor does another instance, whose epochs are its own.
    assert_fenced(place.join("b", 11).adopt_game(&player("anna"), game));
    save(&*new, game, "mine").expect("save");
}

fn lost_entries_are_made_anew(place: &dyn SharedPlace) {
    let store = place.join("a", 1);
    let game = open(&*store, "anna");
    place.forget_games(&player("anna"));
    assert_fenced(save(&*store, game, "lost"));
    let adopted = store.adopt_game(&player("anna"), game).expect("adopt");
    assert_eq!(adopted, Adoption::Open);
    save(&*store, game, "found").expect("save");
    // Lost, and resumed before its server has come back to it.
    place.forget_games(&player("anna"));
    let (successor, _) = resume(&*place.join("b", 2), game, &["a/1"]);
    assert_eq!(
        store.adopt_game(&player("anna"), game).expect("an answer"),
        Adoption::Superseded(successor)
    );
}

fn a_closed_game_saves_no_more(place: &dyn SharedPlace) {
    let store = place.join("a", 1);
    let game = open(&*store, "anna");
    store.close_game(&player("anna"), game).expect("close");
    store
        .close_game(&player("anna"), game)
        .expect("twice is fine");
    assert_fenced(save(&*store, game, "late"));
    let id = SessionId::random();
    let opened = store.open_game(&player("anna"), id, NO_ONE).expect("open");
    assert_eq!(opened, Opening::Open(Vec::new()));
}

fn a_life_closes_its_own_games_only(place: &dyn SharedPlace) {
    let (old, other) = (place.join("a", 1), place.join("b", 1));
    let game = open(&*old, "anna");
    other.close_game(&player("anna"), game).expect("no error");
    save(&*old, game, "open").expect("save");
    let new = place.join("a", 2);
    new.adopt_game(&player("anna"), game).expect("adopt");
    old.close_game(&player("anna"), game).expect("no error");
    save(&*new, game, "still open").expect("save");
}

/// An upload of a player who has no game, and what is kept under a name of its own.
fn a_save_without_a_game_is_not_fenced(place: &dyn SharedPlace) {
    let store = place.join("a", 1);
    store.save_book(&player("anna"), b"uploaded").expect("save");
    assert_book(&*store, "uploaded");
}

fn games_resumed_simultaneously_have_one_successor(place: &dyn SharedPlace) {
    let home = place.join("a", 1);
    let game = open(&*home, "anna");
    let fronts: Vec<_> = (2..10)
        .map(|epoch| place.join(&format!("f{epoch}"), epoch))
        .collect();
    let opened: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = fronts
            .iter()
            .map(|front| scope.spawn(|| resume(&**front, game, &["a/1"])))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let winners: Vec<_> = opened
        .iter()
        .filter(|(_, opening)| matches!(opening, Opening::Open(_)))
        .map(|(id, _)| *id)
        .collect();
    let [winner] = winners[..] else {
        panic!("{opened:?}");
    };
    let losers = opened.iter().filter(|(id, _)| *id != winner);
    for (_, opening) in losers {
        assert_eq!(*opening, Opening::Resumed(winner));
    }
}

/// A directory is locked by the one server that uses it.
#[test]
fn a_directory_has_one_server_and_nothing_to_fence() {
    let folder: TempDir = tempfile::tempdir().expect("a directory");
    let store = folder.open("a");
    let game = open(&*store, "anna");
    save(&*store, game, "first").expect("save");
    let adopted = store.adopt_game(&player("anna"), game).expect("adopt");
    assert_eq!(adopted, Adoption::Open);
    store.close_game(&player("anna"), game).expect("close");
}

/// One step of three servers, two players and their games. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    /// A player begins a game at a server's life.
    Open {
        life: usize,
        player: usize,
    },
    /// A player goes on with a game at a server's life.
    Resume {
        life: usize,
        game: usize,
    },
    /// The life that has a game saves its book.
    Save {
        game: usize,
    },
    /// The newest life of a game's server takes the game over.
    Adopt {
        game: usize,
    },
    Close {
        game: usize,
    },
    /// A server begins another life. The life before goes on as well, without knowing.
    Join {
        server: usize,
    },
    /// A server's newest life is buried, rightly or wrongly.
    Bury {
        server: usize,
    },
    /// What is known of a player's games is lost.
    Forget {
        player: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let any = || 0..1000usize;
    prop_oneof![
        3 => (any(), any()).prop_map(|(life, player)| Step::Open { life, player }),
        3 => (any(), any()).prop_map(|(life, game)| Step::Resume { life, game }),
        6 => any().prop_map(|game| Step::Save { game }),
        3 => any().prop_map(|game| Step::Adopt { game }),
        1 => any().prop_map(|game| Step::Close { game }),
        2 => any().prop_map(|server| Step::Join { server }),
        2 => any().prop_map(|server| Step::Bury { server }),
        1 => any().prop_map(|player| Step::Forget { player }),
    ]
}

const SERVERS: [&str; 3] = ["a", "b", "c"];

/// One life of a server, with its store on each of the two places.
struct Life {
    holder: Holder,
    stores: [Box<dyn SessionStore>; 2],
}

/// A game as the test knows it.
#[derive(Clone)]
struct Game {
    id: SessionId,
    player: PlayerId,
    server: usize,
    /// The life that has the container.
    life: usize,
    is_closed: bool,
}

/// Everything, on two places that have to agree.
struct World<'a> {
    places: [&'a dyn SharedPlace; 2],
    players: [PlayerId; 2],
    lives: Vec<Life>,
    /// The newest life of each server.
    newest: [usize; 3],
    buried: Vec<Holder>,
    games: Vec<Game>,
    /// Games that were superseded, as the answers have told.
    superseded: HashSet<SessionId>,
    /// Which games' entries may be lost.
    lost: HashSet<SessionId>,
    epoch: u64,
    saves: u64,
}

impl World<'_> {
    fn join(&mut self, server: usize) {
        self.epoch += 1;
        let stores = self
            .places
            .map(|place| place.join(SERVERS[server], self.epoch));
        self.newest[server] = self.lives.len();
        self.lives.push(Life {
            holder: Holder {
                instance: SERVERS[server].to_owned(),
                epoch: self.epoch,
            },
            stores,
        });
    }

    /// Asks both places, which must answer the same.
    #[track_caller]
    fn ask<T: std::fmt::Debug>(
        &self,
        life: usize,
        call: impl Fn(&dyn SessionStore) -> Result<T, Error>,
    ) -> Option<T> {
        let [one, other] = &self.lives[life].stores;
        let (one, other) = (call(&**one), call(&**other));
        // Fenced is the one error that may come.
        for answer in [&one, &other] {
            assert!(matches!(answer, Ok(_) | Err(Error::Fenced)), "{answer:?}");
        }
        assert_eq!(
            format!("{one:?}"),
            format!("{other:?}"),
            "the places differ"
        );
        one.ok()
    }

    fn open(&mut self, life: usize, player: PlayerId, resumed: Option<SessionId>) {
        let id = SessionId::random();
        let supersedes = Supersedes {
            resumed,
            buried: &self.buried,
        };
        let opened = self.ask(life, |store| store.open_game(&player, id, supersedes));
        let before: Vec<_> = self
            .games
            .iter()
            .filter(|game| game.player == player)
            .collect();
        match opened.expect("never fenced") {
            Opening::Open(others) => {
                let holder = |game: &Game| self.lives[game.life].holder.clone();
                let others: HashMap<_, _> = others.into_iter().collect();
                for game in before {
                    let is_buried = self.buried.contains(&holder(game));
                    if Some(game.id) == resumed || is_buried && !self.lost.contains(&game.id) {
                        if !game.is_closed || Some(game.id) == resumed {
                            self.superseded.insert(game.id);
                        }
                        assert!(!others.contains_key(&game.id), "both open and superseded");
                    }
                }
                let server = SERVERS
                    .iter()
                    .position(|name| *name == self.lives[life].holder.instance);
                self.games.push(Game {
                    id,
                    player,
                    server: server.expect("a server"),
                    life,
                    is_closed: false,
                });
            }
            Opening::Resumed(successor) => {
                let resumed = resumed.expect("only a resumed game has a successor");
                assert!(
                    self.superseded.contains(&resumed),
                    "it was never superseded"
                );
                assert!(before.iter().any(|game| game.id == successor));
            }
            // INVARIANT: no game of a server that is not buried is taken away.
            Opening::Held(holder) => assert!(!self.buried.contains(&holder)),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Open { life, player } => {
                let life = life % self.lives.len();
                self.open(life, self.players[player % 2].clone(), None);
            }
            Step::Join { server } => self.join(server % 3),
            Step::Bury { server } => {
                let holder = self.lives[self.newest[server % 3]].holder.clone();
                for place in self.places {
                    place.set_lease(&holder.instance, None);
                }
                if !self.buried.contains(&holder) {
                    self.buried.push(holder);
                }
            }
            Step::Forget { player } => {
                let player = self.players[player % 2].clone();
                for place in self.places {
                    place.forget_games(&player);
                }
                let theirs = self.games.iter().filter(|game| game.player == player);
                let theirs: Vec<_> = theirs.map(|game| game.id).collect();
                // What was superseded is no longer known to be so.
                for id in theirs {
                    self.superseded.remove(&id);
                    self.lost.insert(id);
                }
            }
            Step::Resume { life, game } if !self.games.is_empty() => {
                let game = self.games[game % self.games.len()].clone();
                let life = life % self.lives.len();
                self.open(life, game.player, Some(game.id));
            }
            Step::Save { game } if !self.games.is_empty() => {
                let game = self.games[game % self.games.len()].clone();
                self.saves += 1;
                let book = format!("book {}", self.saves);
                let saved = self.ask(game.life, |store| {
                    store.save_book_over(&game.player, book.as_bytes(), None, Some(game.id))
                });
                // INVARIANT: after its successor was opened, a game saves nothing.
                let is_superseded = self.superseded.contains(&game.id);
                assert!(
                    saved.is_none() || !is_superseded,
                    "a superseded game has saved"
                );
                // INVARIANT: no game is locked out that is open and that no one has superseded.
                let may = !is_superseded && !game.is_closed && !self.lost.contains(&game.id);
                assert!(saved.is_some() || !may, "a game can't save");
                let newest = self.ask(game.life, |store| {
                    store
                        .read_book(&game.player)
                        .map(|book| book.map(|book| book.bytes))
                });
                if saved.is_some() {
                    assert_eq!(newest, Some(Some(book.into_bytes())));
                }
            }
            Step::Adopt { game } if !self.games.is_empty() => {
                let index = game % self.games.len();
                let game = self.games[index].clone();
                // The container is on one host, so its newest life takes it over.
                let newest = self.newest[game.server];
                let adopted = self.ask(newest, |store| store.adopt_game(&game.player, game.id));
                let adopted = adopted.expect("there is no later life");
                let is_superseded = self.superseded.contains(&game.id);
                assert_eq!(matches!(adopted, Adoption::Superseded(_)), is_superseded);
                if adopted == Adoption::Open {
                    self.lost.remove(&game.id);
                    self.games[index].life = newest;
                    self.games[index].is_closed = false;
                }
            }
            Step::Close { game } if !self.games.is_empty() => {
                let index = game % self.games.len();
                let game = self.games[index].clone();
                self.ask(game.life, |store| store.close_game(&game.player, game.id));
                self.games[index].is_closed = true;
            }
            _ => {}
        }
    }
}

/// Three servers with zombies, wrong burials and lost entries: a superseded game never saves, no other is locked out, and
/// Redis and the rules in memory agree on every answer.
#[test]
fn random_steps_supersede_no_living_game() {
    let server = RedisServer::start();
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    let config = ProptestConfig {
        cases: cases.unwrap_or(48),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(step(), 1..120), |steps| {
        let memory = BackingStore::default();
        // Each case has players of its own.
        let name = |suffix: &str| player(&format!("p{}-{suffix}", SessionId::random().to_text()));
        let mut world = World {
            places: [&memory, &server],
            players: [name("1"), name("2")],
            lives: Vec::new(),
            newest: [0; 3],
            buried: Vec::new(),
            games: Vec::new(),
            superseded: HashSet::new(),
            lost: HashSet::new(),
            epoch: 0,
            saves: 0,
        };
        for server in 0..3 {
            world.join(server);
        }
        for step in &steps {
            world.step(step);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
