//! Players who go on whatever dies: they play, change their books, leave, return, and know what they must find.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::chaos_arena::{Arena, let_pass};
use crate::containers::PATIENCE;
use crate::dice::Dice;
use crate::site::{Game, Player, Reply, cookie_of, find};

/// What survives: the server comes back in a second, an Engine in ten, both slower on a busy machine.
const COME_BACK: Duration = PATIENCE.saturating_mul(3);
/// A line that was typed while the Engine was away is lost: it is typed again.
const TYPE_AGAIN: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_millis(50);
/// The greatest upload beyond its head. Bigger than what the door reads by itself, so both ways are taken.
const FILLER_BYTES: u64 = 100_000;

/// The last part of the next player's address.
static ADDRESSES: AtomicU8 = AtomicU8::new(1);

/// How a player changes their book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    /// By `PUT …/spellbook`.
    Uploads,
    /// By `learn`, in the game.
    Learns,
}

/// The connection broke, or the server could not; nobody knows what came of it.
struct Broke;

/// A player: what they hold, and what they know of their book.
pub struct Chaotic {
    arena: Arc<Arena>,
    dice: Dice,
    hand: Hand,
    shell: &'static str,
    /// Whether sessions may end because something died. What was only in a container may be gone then.
    may_lose_games: bool,
    cookie: String,
    /// What it comes from, so that no limit of an address is met.
    address: String,
    game: Option<Game>,
    page: Option<Player>,
    offset: Option<u64>,
    /// Whether an end of the game was asked for.
    is_ending: bool,
    /// The newest version that anybody was given to read, and must be there for ever.
    safe: u64,
    /// The newest version that was tried to write.
    tried: u64,
    pub games: u64,
    pub versions: u64,
}

impl Chaotic {
    pub fn new(
        arena: &Arc<Arena>,
        seed: u64,
        hand: Hand,
        shell: &'static str,
        may_lose_games: bool,
    ) -> Chaotic {
        let mut dice = Dice(seed);
        let cookie = (0..4).map(|_| format!("{:016x}", dice.below(u64::MAX)));
        Chaotic {
            cookie: cookie_of(&cookie.collect::<String>()),
            address: format!("203.0.113.{}", ADDRESSES.fetch_add(1, Ordering::SeqCst)),
            arena: Arc::clone(arena),
            dice,
            hand,
            shell,
            may_lose_games,
            game: None,
            page: None,
            offset: None,
            is_ending: false,
            safe: 0,
            tried: 0,
            games: 0,
            versions: 0,
        }
    }

    /// Plays until the arena closes. `survived` is called with the number of each disaster after which everything was
    /// found as it must be.
    pub fn play(&mut self, survived: impl Fn(u64)) {
        let mut seen = self.arena.disasters();
        self.come_back();
        survived(seen);
        while !self.arena.is_over.load(std::sync::atomic::Ordering::SeqCst) {
            let disasters = self.arena.disasters();
            if self.act().is_err() || disasters != seen {
                self.come_back();
                seen = disasters;
                survived(seen);
            }
        }
        // The last one too.
        self.come_back();
    }

    fn act(&mut self) -> Result<(), Broke> {
        if self.page.is_none() {
            // The last act was to leave.
            return self.settle();
        }
        match self.dice.below(10) {
            0 => self.destroy(),
            1 => self.exit(),
            2..=5 => self.write(),
            6 => self.reload(),
            _ => self.type_something(),
        }
    }

    /// Insists until there is a page at a shell that answers, with the right book.
    fn come_back(&mut self) {
        let due = Instant::now() + COME_BACK;
        while self.settle().is_err() {
            if Instant::now() > due {
                panic!(
                    "{:?} {:?} is not back (is_ending: {}); the server says\n{}\n{}",
                    self.hand,
                    self.game,
                    self.is_ending,
                    self.arena.sessions(),
                    self.arena.log()
                );
            }
            let_pass(RETRY);
        }
    }

    fn settle(&mut self) -> Result<(), Broke> {
        if self.is_ending {
            self.finish()?;
        }
        if self.game.is_none() {
            self.create()?;
        }
        if self.page.as_ref().is_none_or(|page| page.closed.is_some()) {
            self.open()?;
        }
        self.type_something()?;
        self.check_book()
    }

    fn request(&self, method: &str, path: &str, body: &[u8]) -> Result<Reply, Broke> {
        let headers = [
            ("Cookie", self.cookie.as_str()),
            ("X-Forwarded-For", self.address.as_str()),
        ];
        let client = self.arena.client();
        client
            .try_request(method, path, &headers, body)
            .ok_or(Broke)
    }

    fn create(&mut self) -> Result<(), Broke> {
        let body = format!("{{\"shell\":\"{}\"}}", self.shell);
        let reply = self.request("POST", "/session", body.as_bytes())?;
        match reply.status {
            201 => {
                self.game = Some(Game::of(&reply));
                self.games += 1;
                Ok(())
            }
            503 => Err(Broke),
            _ => panic!("{reply:?}"),
        }
    }

    fn game(&self) -> &Game {
        self.game.as_ref().expect("it was made")
    }

    fn open(&mut self) -> Result<(), Broke> {
        match self.arena.client().try_page(self.game(), self.offset) {
            Ok(page) => {
                self.page = Some(page);
                Ok(())
            }
            // Still on its way, or the connection broke.
            Err(None | Some(503)) => Err(Broke),
            Err(Some(status)) if self.may_lose_games || self.is_ending => {
                assert!(matches!(status, 404 | 409 | 410), "{status}");
                self.is_ending = true;
                Err(Broke)
            }
            Err(Some(status)) => panic!("{:?} is lost: {status}\n{}", self.game, self.arena.log()),
        }
    }

    /// A page that is loaded again, at the offset where it was.
    fn reload(&mut self) -> Result<(), Broke> {
        self.page = None;
        self.open()
    }

    fn type_something(&mut self) -> Result<(), Broke> {
        let number = self.dice.below(1_000_000);
        self.ask(
            &format!("echo ba'ck'-{number}\r"),
            &format!("back-{number}"),
        )
    }

    /// Types a line, again and again, until the answer comes.
    fn ask(&mut self, line: &str, answer: &str) -> Result<(), Broke> {
        let Some(page) = &mut self.page else {
            return Err(Broke);
        };
        page.seen.clear();
        let due = Instant::now() + PATIENCE;
        while page.closed.is_none() {
            if Instant::now() > due {
                let seen = String::from_utf8_lossy(&page.seen).into_owned();
                let (game, log) = (&self.game, self.arena.log());
                panic!(
                    "{game:?}: no answer to {line:?}: {seen:?} {:?}\n{log}",
                    page.notes
                );
            }
            let message = tungstenite::Message::binary(line.as_bytes().to_vec());
            if page.socket.send(message).is_err() {
                break;
            }
            let soon = Instant::now() + TYPE_AGAIN;
            while find(&page.seen, answer.as_bytes()).is_none() {
                if Instant::now() > soon || !page.read(soon) {
                    break;
                }
            }
            self.offset = Some(page.offset);
            if find(&page.seen, answer.as_bytes()).is_some() {
                return Ok(());
            }
        }
        let page = self.page.take().expect("it was there");
        let told_the_end = page.notes.iter().any(|note| note["type"] == "exit");
        if told_the_end || matches!(page.closed, Some(1000 | 1011 | 4000..)) {
            assert!(
                self.may_lose_games || self.is_ending,
                "{:?} ended by itself: {:?} {:?}\n{}",
                self.game,
                page.closed,
                page.notes,
                self.arena.log()
            );
            self.is_ending = true;
        }
        Err(Broke)
    }

    fn write(&mut self) -> Result<(), Broke> {
        let version = self.tried + 1;
        match self.hand {
            Hand::Uploads => {
                self.tried = version;
                let book = upload(&self.cookie, version);
                let reply = self.request("PUT", &self.game().path("/spellbook"), &book)?;
                match reply.status {
                    204 => {}
                    503 => return Err(Broke),
                    404 | 410 if self.may_lose_games => return Err(Broke),
                    _ => panic!("{reply:?}\n{}", self.arena.log()),
                }
                self.safe = version;
            }
            Hand::Learns => {
                self.tried = version;
                // A few names, so that books are compacted too.
                let name = format!("c{}", version % 7);
                self.ask(
                    &format!("learn {name} echo {version}\r"),
                    &format!("learned {name}"),
                )?;
                if !self.may_lose_games {
                    self.safe = version;
                }
            }
        }
        self.versions += 1;
        Ok(())
    }

    fn destroy(&mut self) -> Result<(), Broke> {
        self.is_ending = true;
        self.finish()
    }

    fn exit(&mut self) -> Result<(), Broke> {
        self.is_ending = true;
        let page = self.page.as_mut().ok_or(Broke)?;
        let leave = tungstenite::Message::binary(b"exit\r".to_vec());
        page.socket.send(leave).map_err(|_| Broke)?;
        let due = Instant::now() + TYPE_AGAIN;
        while page.read(due) && Instant::now() < due {}
        if page.closed == Some(1000) && self.dice.below(2) == 0 {
            // Straight into the next game: what was learned must be there.
            self.forget_game();
            return self.create();
        }
        self.finish()
    }

    /// Asks for the end until it has come.
    fn finish(&mut self) -> Result<(), Broke> {
        if self.game.is_none() {
            self.is_ending = false;
            return Ok(());
        }
        let reply = self.request("DELETE", &self.game().path(""), b"")?;
        match reply.status {
            204 | 404 => {
                self.forget_game();
                Ok(())
            }
            503 => Err(Broke),
            _ => panic!("{reply:?}"),
        }
    }

    fn forget_game(&mut self) {
        self.is_ending = false;
        self.game = None;
        self.page = None;
        self.offset = None;
    }

    /// Looks whether the book is whole, and no older than it may be.
    fn check_book(&mut self) -> Result<(), Broke> {
        let reply = self.request("GET", &self.game().path("/spellbook"), b"")?;
        match reply.status {
            200 => {}
            503 => return Err(Broke),
            404 | 410 if self.may_lose_games => return Err(Broke),
            _ => panic!("{reply:?}\n{}", self.arena.log()),
        }
        let version = match self.hand {
            Hand::Uploads => uploaded(&self.cookie, &reply.body),
            Hand::Learns => learned(&reply.body),
        };
        let shown = || String::from_utf8_lossy(&reply.body[..reply.body.len().min(300)]);
        let version = version.unwrap_or_else(|| {
            panic!(
                "{:?} is not whole: {} {:?}\n{}",
                self.game,
                reply.body.len(),
                shown(),
                self.arena.log()
            )
        });
        assert!(
            (self.safe..=self.tried).contains(&version),
            "{:?} {:?} has version {version}, not from {} to {}\n{}",
            self.game,
            self.hand,
            self.safe,
            self.tried,
            self.arena.log()
        );
        if !self.may_lose_games {
            // It is in the container, and so will be saved.
            self.safe = version;
        }
        Ok(())
    }
}

/// A book of that version: its number, and bytes that follow from it.
fn upload(player: &str, version: u64) -> Vec<u8> {
    let mut dice = Dice(version.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut book = format!("{player} {version}\n").into_bytes();
    let length = dice.below(FILLER_BYTES);
    // Letters: a book is text.
    book.extend((0..length).map(|_| b'a' + dice.below(26) as u8));
    book
}

/// The version of an uploaded book, if it is whole; 0 for an empty one.
fn uploaded(player: &str, book: &[u8]) -> Option<u64> {
    if book.is_empty() {
        return Some(0);
    }
    let end = book.iter().position(|&byte| byte == b'\n')?;
    let head = std::str::from_utf8(&book[..end]).ok()?;
    let version = head.strip_prefix(player)?.trim().parse().ok()?;
    (book == upload(player, version)).then_some(version)
}

/// The version of a book that a shell wrote, if each of its lines is whole; 0 for an empty one.
fn learned(book: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(book).ok()?;
    if !text.is_empty() && !text.ends_with('\n') {
        return None;
    }
    let mut newest = 0;
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (check, change) = line.split_once(' ')?;
        if check != format!("{:08x}", crc32(change.as_bytes())) {
            return None;
        }
        let version = change.rsplit(' ').next()?.parse().ok()?;
        newest = newest.max(version);
    }
    Some(newest)
}

/// CRC-32 (IEEE), as the shells write it before each line.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn books_tell_their_version() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    let book = upload("p", 12);
    assert_eq!(uploaded("p", &book), Some(12));
    assert_eq!(uploaded("p", &book[..book.len() - 1]), None);
    assert_eq!(uploaded("q", &book), None);
    let line = |change: &str| format!("{:08x} {change}\n", crc32(change.as_bytes()));
    let book = line("learn c1 echo 8") + &line("learn c0 echo 7");
    assert_eq!(learned(book.as_bytes()), Some(8));
    assert_eq!(learned(&book.as_bytes()[..book.len() - 1]), None);
    assert_eq!(learned(b""), Some(0));
}
