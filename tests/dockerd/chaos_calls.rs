//! Calls to the Engine fail, hang or lie, one verb for one container at a time, while others play beside: these notice
//! nothing, nothing is lost, and all is well again once the Engine is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::busybox;
use crate::chaos::{Crowd, dice, rounds};
use crate::chaos_arena::{Arena, let_pass};
use crate::chaos_player::{Chaotic, Hand};
use crate::docker;
use crate::saboteur::Saboteur;
use crate::site::{Game, Player, Reply, cookie_of};

/// The shell whose containers are spoiled, and the one whose are not: the same image.
const FRAGILE: &str = "fragile";
const SOUND: &str = "sound";
const SHELLS: &str = "fragile=shellcraft-test/busybox,sound=shellcraft-test/busybox";
/// How long calls are spoiled, and how long they are not, at most, in milliseconds.
const PHASE_MS: u64 = 3_000;
/// From so many rounds on the times are judged; fewer have too few values for a 99th percentile.
const JUDGED_ROUNDS: u64 = 100;
/// How much slower what a bystander does may be beside spoiled calls, by its 99th percentile.
const SLOWER_MAX: f64 = 2.0;

/// What a bystander's time is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Echo,
    Save,
    Start,
}

/// Times by measure and by whether calls were spoiled meanwhile.
#[derive(Default)]
struct Times(Mutex<Vec<(Measure, bool, Duration)>>);

impl Times {
    fn note(&self, measure: Measure, is_spoiled: bool, took: Duration) {
        let mut times = self.0.lock().expect("no panic");
        times.push((measure, is_spoiled, took));
    }

    /// The 99th percentile in milliseconds, and of how many values.
    fn p99(&self, measure: Measure, is_spoiled: bool) -> (f64, usize) {
        let times = self.0.lock().expect("no panic");
        let wanted = times
            .iter()
            .filter(|time| (time.0, time.1) == (measure, is_spoiled));
        let mut found: Vec<Duration> = wanted.map(|time| time.2).collect();
        found.sort_unstable();
        let at = (found.len() * 99).div_ceil(100).saturating_sub(1);
        let time = found.get(at).copied().unwrap_or_default();
        (time.as_secs_f64() * 1e3, found.len())
    }
}

/// Somebody whose container is sound: nothing of what they do may fail.
struct Bystander {
    arena: Arc<Arena>,
    cookie: String,
    times: Arc<Times>,
    /// Odd while calls are spoiled.
    phase: Arc<AtomicU64>,
    done: u64,
}

impl Bystander {
    fn spawn(mut self) -> JoinHandle<u64> {
        let builder = std::thread::Builder::new().name("bystander".into());
        let play = move || {
            while !self.arena.is_over.load(Ordering::SeqCst) {
                self.play_a_game();
            }
            self.done
        };
        builder.spawn(play).expect("a thread")
    }

    fn play_a_game(&mut self) {
        let (game, mut page) = self.timed(Measure::Start, |own| {
            let body = format!("{{\"shell\":\"{SOUND}\"}}");
            let reply = own.request("POST", "/session", body.as_bytes());
            assert_eq!(reply.status, 201, "{reply:?}\n{}", own.arena.log());
            let game = Game::of(&reply);
            let mut page = own.arena.client().page(&game, None);
            page.expect("$ ");
            (game, page)
        });
        for turn in 0..20 {
            self.timed(Measure::Echo, |own| own.echo(&mut page));
            if turn % 5 == 0 {
                self.timed(Measure::Save, |own| own.save(&game));
            }
        }
        let book = self.request("GET", &game.path("/spellbook"), b"");
        let expected = format!("version {}\n", self.done);
        assert_eq!((book.status, book.text()), (200, expected));
        let gone = self.request("DELETE", &game.path(""), b"");
        assert_eq!(gone.status, 204, "{gone:?}\n{}", self.arena.log());
    }

    /// Takes the time of what lies within one phase.
    fn timed<T>(&mut self, measure: Measure, act: impl FnOnce(&mut Bystander) -> T) -> T {
        let phase = self.phase.load(Ordering::SeqCst);
        let began = Instant::now();
        let outcome = act(self);
        if self.phase.load(Ordering::SeqCst) == phase {
            self.times.note(measure, phase % 2 == 1, began.elapsed());
        }
        outcome
    }

    fn request(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let headers = [("Cookie", self.cookie.as_str())];
        self.arena.client().request(method, path, &headers, body)
    }

    fn echo(&mut self, page: &mut Player) {
        page.type_in("echo ba'ck'\r");
        page.expect("back\r\n");
        page.expect("$ ");
    }

    fn save(&mut self, game: &Game) {
        self.done += 1;
        let book = format!("version {}\n", self.done);
        let put = self.request("PUT", &game.path("/spellbook"), book.as_bytes());
        assert_eq!(put.status, 204, "{put:?}\n{}", self.arena.log());
    }
}

#[test]
fn spoiled_calls_touch_nobody_else() {
    let test = "spoiled calls";
    let mut dice = dice(test);
    busybox::image(&docker::engine());
    let saboteur = Saboteur::start(&docker::host(), FRAGILE);
    let flags = ["--shells", SHELLS, "--pool-size", "1"];
    let further = ["--save-interval", "1s", "--rate-limit", "off"];
    let flags = [&flags[..], &further].concat();
    let arena = Arc::new(Arena::open(&saboteur.docker_host(), &flags));
    arena.wait_until_ready();
    let mut seed = || dice.below(u64::MAX) | 1;
    let players = [Hand::Uploads; 3].map(|hand| Chaotic::new(&arena, seed(), hand, FRAGILE, true));
    let crowd = Crowd::start(players.into_iter().collect());
    let (times, phase) = (Arc::new(Times::default()), Arc::new(AtomicU64::new(0)));
    let bystanders = ["1", "2"].map(|digit| {
        let bystander = Bystander {
            arena: Arc::clone(&arena),
            cookie: cookie_of(&digit.repeat(64)),
            times: Arc::clone(&times),
            phase: Arc::clone(&phase),
            done: 0,
        };
        bystander.spawn()
    });
    crowd.wait_for_all(&arena);
    let began = Instant::now();
    for round in 0..rounds() {
        let_pass(Duration::from_millis(dice.below(PHASE_MS)));
        let spoiled = saboteur.spoil(&mut dice);
        phase.fetch_add(1, Ordering::SeqCst);
        let before = saboteur.calls();
        let_pass(Duration::from_millis(dice.below(PHASE_MS)));
        phase.fetch_add(1, Ordering::SeqCst);
        saboteur.heal();
        let calls = saboteur.calls() - before;
        eprintln!("{test}: round {round}, {calls} calls, {spoiled:?}");
        arena.disaster.fetch_add(1, Ordering::SeqCst);
        crowd.wait_for_all(&arena);
        let alive = bystanders.iter().all(|thread| !thread.is_finished());
        assert!(alive, "a bystander gave up, see above");
    }
    let (games, versions) = crowd.end(&arena);
    let saves: u64 = bystanders
        .into_iter()
        .map(|thread| thread.join().expect("a bystander gave up, see above"))
        .sum();
    assert!(saves > 0);
    arena.close();
    eprintln!(
        "{test}: {} rounds, {} calls, {games} games, {versions} versions, {saves} saves beside in {:.1?}",
        rounds(),
        saboteur.calls(),
        began.elapsed()
    );
    report(test, &times);
}

/// Prints what bystanders have met, and judges it where there are enough values.
fn report(test: &str, times: &Times) {
    for measure in [Measure::Echo, Measure::Save, Measure::Start] {
        let (quiet, quiet_values) = times.p99(measure, false);
        let (spoiled, values) = times.p99(measure, true);
        let ratio = spoiled / quiet;
        eprintln!(
            "{test}: {measure:?} p99 {quiet:.1} ms ({quiet_values}), beside spoiled calls {spoiled:.1} ms ({values}): {ratio:.2}"
        );
        if rounds() >= JUDGED_ROUNDS {
            assert!(ratio <= SLOWER_MAX, "{measure:?}: {ratio:.2}");
        }
    }
}
