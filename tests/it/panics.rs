//! Panics in a session's own thread, as a fault of ours would be: the container is taken over again.
//!
//! The server's parts are used as `app` does, except that whoever is told of calls to the Engine panics on order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fake_engine::FakeEngine;
use parking_lot::Mutex;
use shellcraft::auth::PlayerId;
use shellcraft::engine::{Engine, Watcher};
use shellcraft::session::store::memory::{BackingStore, Memory};
use shellcraft::session::{Grace, Manager, Newcomer, Reason, Session, ShutdownMode, State};
use shellcraft::terminal::hub::{Arrival, Next, Typed};
use shellcraft::terminal::viewer_handle::ViewerHandle;
use shellcraft::terminal::{Close, Role};

use crate::containers::PATIENCE;
use crate::managers;
use crate::site::wait_for;

const INSTANCE: &str = "panics";
const BOOK: &str = "/home/spellbook.dat";

/// After which call to the Engine a session's thread panics, and how many times yet.
#[derive(Default)]
struct Fault {
    call: Mutex<&'static str>,
    left: AtomicUsize,
}

impl Fault {
    fn order(&self, call: &'static str, times: usize) {
        *self.call.lock() = call;
        self.left.store(times, Ordering::SeqCst);
    }

    fn watcher(self: &Arc<Fault>) -> Watcher {
        let fault = Arc::clone(self);
        Box::new(move |call, _, _| {
            let thread = thread::current();
            let is_session_s = thread.name().is_some_and(|name| name.starts_with("s-"));
            let less = |left: usize| left.checked_sub(1);
            if is_session_s
                && *fault.call.lock() == call
                && fault
                    .left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
                    .is_ok()
            {
                panic!("on purpose, after {call}");
            }
        })
    }
}

/// A server with one game, without its HTTP.
struct Server {
    engine: FakeEngine,
    fault: Arc<Fault>,
    shared: BackingStore,
    manager: Arc<Manager>,
    session: Arc<Session>,
}

fn player() -> PlayerId {
    PlayerId::try_from("player".to_owned()).expect("a good name")
}

fn start(engine: &FakeEngine, fault: &Arc<Fault>, shared: &BackingStore) -> Arc<Manager> {
    let watched = Engine::watched(&engine.docker_host(), fault.watcher()).expect("a Unix socket");
    let store = Arc::new(Memory::new(shared, INSTANCE));
    managers::start(watched, store, managers::settings(INSTANCE))
}

impl Server {
    fn start() -> Server {
        let (engine, fault, shared) =
            (FakeEngine::start(), Arc::default(), BackingStore::default());
        let manager = start(&engine, &fault, &shared);
        let made = manager.new_session(Newcomer::PATIENT, None, &player());
        Server {
            session: made.expect("a game").session,
            engine,
            fault,
            shared,
            manager,
        }
    }

    fn container(&self) -> String {
        format!("shellcraft-{}", self.session.id.to_text())
    }

    fn is_there(&self) -> bool {
        self.engine.container(&self.container()).is_some()
    }

    fn page(&self, from: Option<u64>) -> Page {
        let arrival = Arrival {
            role: Role::Player,
            is_acking: true,
            from,
            wants_screen: false,
            page: None,
        };
        let handle = self.manager.join_terminal(self.session.id, arrival);
        let handle = handle.expect("somebody may sit down");
        Page {
            offset: handle.greeting().offset,
            handle,
            seen: Vec::new(),
        }
    }

    fn counted(&self) -> u64 {
        self.manager.metrics().lives.panics.get()
    }

    /// Breaks the attach, so that the session's thread asks the Engine why.
    fn provoke(&self, call: &'static str, times: usize) {
        let before = self.counted();
        self.fault.order(call, times);
        self.engine.cut_attaches();
        wait_for("the panics", || self.counted() >= before + times as u64);
    }

    /// The game goes on, with an attach that takes keys.
    #[track_caller]
    fn check_plays(&self, page: &mut Page, word: &str) {
        wait_for("a new attach", || {
            self.session.hub.input().stream().is_some()
        });
        page.type_in(&format!("echo {word}\n"));
        page.expect(&format!("\r\n{word}\r\n"));
        assert_eq!(
            self.manager.get(self.session.id).expect("known").id,
            self.session.id
        );
        let attached = self
            .engine
            .container(&self.container())
            .map(|it| it.attached);
        assert_eq!(attached, Some(1), "the old attach is let go of");
    }

    /// The session ends, with the book in the store before its container goes.
    #[track_caller]
    fn check_ends(&self, reason: Reason, book: &[u8]) {
        assert!(
            self.session.wait_until_over(Instant::now() + PATIENCE),
            "{:?}",
            self.session.snapshot()
        );
        assert_eq!(self.session.snapshot().reason, Some(reason));
        assert!(!self.is_there());
        let books = self.shared.books(&player());
        assert_eq!(books.last().map(|book| book.bytes.as_slice()), Some(book));
        let ended = self.manager.metrics().lives.ended.of(reason);
        wait_for("the end to be counted", || ended.get() == 1);
        assert_eq!(
            self.manager.metrics().reaper.leftovers_found.get(),
            0,
            "the sweep found none"
        );
    }

    fn stop(&self, farewell: ShutdownMode) {
        let left = self.manager.stop(farewell, Grace::of(PATIENCE));
        assert_eq!(left, 0, "threads that did not end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.manager.stop(ShutdownMode::Drain, Grace::of(PATIENCE));
    }
}

/// What a page does with its handle, without a WebSocket.
struct Page {
    handle: ViewerHandle,
    offset: u64,
    seen: Vec<u8>,
}

impl Page {
    fn type_in(&self, keys: &str) {
        assert_eq!(
            self.handle.type_in(keys.as_bytes(), Instant::now()),
            Typed::Taken
        );
    }

    /// Reads until `text` has come.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        self.read(|page| crate::site::find(&page.seen, text.as_bytes()).is_some());
        self.seen.clear();
    }

    /// Reads until it is closed.
    #[track_caller]
    fn close(&mut self) -> Close {
        self.read(|_| false).expect("only a close ends that")
    }

    #[track_caller]
    fn read(&mut self, is_enough: impl Fn(&Page) -> bool) -> Option<Close> {
        let due = Instant::now() + PATIENCE;
        while !is_enough(self) {
            let mut frame = Vec::new();
            match self.handle.next(&mut frame) {
                Next::Output { .. } => {
                    // Two bytes of header, four for more than 125 bytes.
                    let header = if frame[1] < 126 { 2 } else { 4 };
                    self.seen.extend_from_slice(&frame[header..]);
                    self.offset += (frame.len() - header) as u64;
                    self.handle.ack(self.offset);
                }
                Next::Close(close) => return Some(close),
                Next::Wait => {
                    self.handle.rest().wait_until(due);
                }
                _ => {}
            }
            let seen = || String::from_utf8_lossy(&self.seen).into_owned();
            assert!(Instant::now() < due, "waited in vain: {:?}", seen());
        }
        None
    }
}

/// One panic: the page does not even notice, whatever the thread was at.
#[test]
fn after_a_panic_the_same_page_plays_on() {
    for call in ["ContainerInspect", "ContainerWait", "ContainerAttach"] {
        let server = Server::start();
        let mut page = server.page(None);
        page.expect("$ ");
        server.provoke(call, 1);
        server.check_plays(&mut page, call);
        assert!(!page.handle.is_closing(), "{call}");
        assert_eq!(server.counted(), 1, "{call}");
        let container = server.container();
        server.engine.write_file(&container, BOOK, call.as_bytes());
        server.manager.destroy(server.session.id).expect("it ends");
        server.check_ends(Reason::Destroyed, call.as_bytes());
    }
}

/// A second one in a row: the page comes back by itself, at its own byte.
#[test]
fn after_a_second_panic_the_page_comes_back_and_plays_on() {
    let server = Server::start();
    let mut page = server.page(None);
    page.expect("$ ");
    page.type_in("flood 20000\n");
    page.expect("\n20000\r\n$ ");
    server.provoke("ContainerInspect", 2);
    assert_eq!(page.close(), Close::GoingAway);
    assert_eq!(Close::GoingAway.code(), 1001);
    let mut back = server.page(Some(page.offset));
    assert!(back.handle.greeting().is_exact);
    server.check_plays(&mut back, "again");
    // Whoever has nothing of it begins with an empty terminal, and misses nothing that comes.
    let mut new = server.page(None);
    assert_eq!(new.offset, page.offset);
    new.expect("\r\nagain\r\n");
    server
        .engine
        .write_file(&server.container(), BOOK, b"kept\techo\n");
    server.engine.exit(&server.container(), 3);
    server.check_ends(Reason::Exited, b"kept\techo\n");
}

/// A thread that panics each time does not go on for ever, and what it gives up ends like any other.
#[test]
fn who_panics_again_and_again_is_ended_with_its_book_saved() {
    let server = Server::start();
    let mut page = server.page(None);
    page.expect("$ ");
    server
        .engine
        .write_file(&server.container(), BOOK, b"saved\techo\n");
    let began = Instant::now();
    server.provoke("ContainerAttach", 7);
    assert!(began.elapsed() > Duration::from_secs(6), "there are pauses");
    server.check_ends(Reason::InternalError, b"saved\techo\n");
    assert_eq!(server.counted(), 7);
    assert_eq!(
        server.session.hub.viewers(),
        1,
        "the page of before the second panic"
    );
}

/// What panics on the way to the end is done from where it was, and the container stays until the book is safe.
#[test]
fn an_end_that_panics_is_made_again() {
    for (call, times) in [
        ("ContainerWait", 3),
        ("ContainerArchiveInfo", 3),
        ("ContainerArchive", 3),
        // It is gone then.
        ("ContainerDelete", 1),
    ] {
        let server = Server::start();
        let container = server.container();
        server.engine.write_file(&container, BOOK, call.as_bytes());
        server.fault.order(call, times);
        server.engine.exit(&container, 3);
        server.check_ends(Reason::Exited, call.as_bytes());
        let life = server.session.snapshot();
        assert_eq!(
            (life.state, life.exit_code),
            (State::Removed, Some(3)),
            "{call}"
        );
        assert_eq!(server.counted(), times as u64, "{call}");
    }
}

/// A server that stops meanwhile leaves the game to its next life, as always.
#[test]
fn a_stop_does_not_wait_for_the_next_try() {
    // The next try is 3.2 s away. On a busy machine any stop may take as long; one that waited for it always would.
    let stopped = || {
        let server = Server::start();
        server.provoke("ContainerInspect", 6);
        let began = Instant::now();
        server.stop(ShutdownMode::Leave);
        (began.elapsed() < Duration::from_secs(2)).then_some(server)
    };
    let server = (0..5)
        .find_map(|_| stopped())
        .expect("it is not waited for");
    assert!(server.is_there());
    server.fault.order("", 0);
    let next = start(&server.engine, &server.fault, &server.shared);
    next.wait_until_settled().expect("it takes over");
    let session = next.get(server.session.id).expect("the same game");
    wait_for("an attach", || session.hub.input().stream().is_some());
    assert_eq!(next.stop(ShutdownMode::Drain, Grace::of(PATIENCE)), 0);
    assert!(!server.is_there());
}
