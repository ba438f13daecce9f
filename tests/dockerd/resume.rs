//! Cuts: a page that is cut off again and again sees what an unbroken one sees, to the byte or to the screen.

use std::time::{Duration, Instant};

use shellcraft::engine::Size;
use shellcraft::terminal::Metrics;
use shellcraft::terminal::emulator::Emulator;

use crate::containers::PATIENCE;
use crate::dice::Dice;
use crate::games::hub_of;
use crate::site::{Game, Player, Site};
use crate::{busybox, docker};

fn site(flags: &[&str]) -> (Site, Game) {
    let engine = docker::engine();
    let shells = format!("busybox={}", busybox::image(&engine));
    let flags = [&["--shells", shells.as_str()], flags].concat();
    let site = Site::start(&docker::host(), &flags);
    let game = site.create("busybox");
    (site, game)
}

const SCROLLBACK_BYTES: u64 = 64 << 10;
/// Less than the editor needs to draw its screen, be it behind the end of its file.
const REDRAW_BYTES: u64 = 100;

/// Reads until so many bytes have come, or until `text` has.
#[track_caller]
fn read(page: &mut Player, bytes: usize, text: &str) -> bool {
    let due = Instant::now() + Duration::from_secs(60);
    loop {
        if page.seen.ends_with(text.as_bytes()) {
            return true;
        }
        if page.seen.len() >= bytes {
            return false;
        }
        assert!(
            page.read(due) && Instant::now() < due,
            "it stands still at {}",
            page.offset
        );
    }
}

/// A thousand cuts while a program counts as fast as it can: every number comes once.
#[test]
fn a_thousand_cuts_lose_nothing_and_double_nothing() {
    const NUMBERS: usize = 600_000;
    let (site, game) = site(&[]);
    let mut page = site.page(&game, None);
    page.expect("$ ");
    page.type_in(&format!("seq 1 {NUMBERS}; echo the end; cat\r"));
    page.expect("the end; cat\r\n");
    let (mut all, mut offset, mut dice, mut cuts) = (page.seen.clone(), page.offset, Dice(77), 0);
    drop(page);
    loop {
        let mut page = site.page(&game, Some(offset));
        assert_eq!(page.note("hello")["replay"], false, "after {cuts} cuts");
        let wanted = if cuts < 1000 {
            dice.below(6000) as usize
        } else {
            usize::MAX
        };
        let is_over = read(&mut page, wanted, "\r\nthe end\r\n");
        // What came beyond that was not seen: a cut may fall on any byte.
        page.seen
            .truncate(if is_over { usize::MAX } else { wanted });
        offset += page.seen.len() as u64;
        all.extend_from_slice(&page.seen);
        if is_over {
            break;
        }
        cuts += 1;
        // Without a close frame, like a network that is gone.
    }
    assert!(cuts >= 1000, "only {cuts} cuts");
    let expected: String = (1..=NUMBERS)
        .map(|number| format!("{number}\r\n"))
        .collect();
    let all = String::from_utf8_lossy(&all).into_owned();
    assert!(all == format!("{expected}the end\r\n"), "lost or doubled");
}

/// What a terminal shows that has drawn all this.
struct Shown(Emulator);

impl Shown {
    fn new((cols, rows): (u16, u16)) -> Shown {
        Shown(emulator(Size { cols, rows }))
    }

    /// Draws what a page has got: a screen if it was told to replay, then the output.
    fn draw(&mut self, page: &mut Player) {
        if let Some(at) = page.notes.iter().position(|note| note["type"] == "hello")
            && page.notes.remove(at)["replay"] == true
        {
            self.0.process(b"\x1bc");
        }
        if let Some(at) = page.notes.iter().position(|note| note["type"] == "screen") {
            let screen = page.notes.remove(at);
            self.0
                .process(screen["data"].as_str().expect("text").as_bytes());
        }
        self.0.process(&std::mem::take(&mut page.seen));
    }

    /// All that it shows and how it goes on, but for what is above the screen.
    fn picture(&mut self) -> String {
        let mut same = emulator(self.0.size());
        same.process(self.0.redraw().as_bytes());
        same.process(b"\x1b[3J");
        same.redraw()
    }
}

fn emulator(size: Size) -> Emulator {
    Emulator::new(size, &Metrics::default().emulator_panics)
}

/// The same inside a full-screen editor, with pages that stay away so long that the scrollback has moved on:
/// the screen is that of somebody who watched all the time.
#[test]
fn cuts_inside_an_editor_leave_the_same_screen() {
    let (site, game) = site(&["--scrollback", "64KiB"]);
    let size: (u16, u16) = (100, 30);
    let mut page = site.page(&game, None);
    page.resize(size.0.into(), size.1.into());
    page.expect("$ ");
    assert_eq!(site.post(&game.path("/recording"), "").status, 201);
    // What is not recorded must not be seen.
    page.type_in("busybox clear\r");
    page.expect("\x1b[J");
    page.expect("$ ");
    // Lines that differ at both ends, so that each page turned is drawn whole.
    page.type_in("seq 1000 3000 | busybox sed 's/.*/&......................................................................&/' > /tmp/n\r");
    page.expect("$ ");
    page.type_in("busybox vi /tmp/n\r");
    page.expect("1/2001");
    let mut dice = Dice(99);
    let mut replays = 0;
    for round in 0..12u32 {
        // Through the file by pages, half pages and lines, and some writing.
        for _ in 0..=dice.below(40) {
            let keys = [
                "\x06",
                "\x02",
                "\x04",
                "\x15",
                "j",
                "k",
                "G",
                "1G",
                "$",
                "0",
                "oword\x1b",
                "dd",
            ];
            page.type_in(keys[dice.below(keys.len() as u64) as usize]);
        }
        page.type_in(&format!(":echo mark {round}\r\x0c"));
        let offset = page.offset;
        drop(page);
        if round % 3 == 0 {
            // Nobody plays while somebody else's keys keep the editor drawing.
            let mut other = site.raw(&game);
            let hub = hub_of(&site, &game);
            let due = Instant::now() + PATIENCE * 2;
            while hub.output_bytes() < offset + 2 * SCROLLBACK_BYTES {
                assert!(Instant::now() < due, "the editor does not answer");
                redraw(&mut other);
            }
        }
        page = site.page(&game, Some(offset));
        replays += usize::from(page.note("hello")["replay"] == true);
        // A fresh page sees what somebody sees who has drawn every byte.
        page = fresh_page(&site, &game, size, &format!("round {round}"));
    }
    assert!(
        replays > 0,
        "the scrollback never moved on: the test shows nothing"
    );
    let due = Instant::now() + PATIENCE * 2;
    while crate::site::find(&page.seen, b"$ ").is_none() {
        assert!(Instant::now() < due, "the editor does not end");
        type_alone(&mut page, "\x1b", 1);
        type_alone(&mut page, ":q!\r", u64::MAX);
    }
    let shown = fresh_page(&site, &game, size, "after the editor");
    drop(shown);
}

/// Has the editor draw everything anew, and waits for that: it draws only when no key waits. A key right behind an escape
/// it drops; then it is asked again.
fn redraw(page: &mut Player) {
    if !type_alone(page, "\x0c", REDRAW_BYTES) {
        type_alone(page, "\x1b", 1);
    }
}

/// Types, and reads until so many bytes have come or a while has passed; whether they have.
fn type_alone(page: &mut Player, keys: &str, bytes: u64) -> bool {
    let enough = page.offset.saturating_add(bytes);
    let soon = Instant::now() + Duration::from_millis(500);
    page.type_in(keys);
    while page.offset < enough && Instant::now() < soon {
        page.read(soon);
    }
    page.offset >= enough
}

/// Opens a page and compares its screen with that of a terminal that has drawn the whole recording.
#[track_caller]
fn fresh_page(site: &Site, game: &Game, size: (u16, u16), when: &str) -> Player {
    let mut fresh = site.page(game, None);
    let mut shown = Shown::new(size);
    let recording = recording_up_to(site, game, &mut fresh);
    shown.draw(&mut fresh);
    let mut unbroken = Shown::new(size);
    for line in recording.lines().skip(1) {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if event[1] == "o" {
            // What is no UTF-8 is nothing to a page, and this to a recording.
            let text = event[2].as_str().expect("text").replace('\u{fffd}', "");
            unbroken.0.process(text.as_bytes());
        }
    }
    assert_eq!(shown.picture(), unbroken.picture(), "{when}");
    fresh
}

/// The recording, once the page has read exactly as much as is in it. The editor may still be drawing meanwhile.
#[track_caller]
fn recording_up_to(site: &Site, game: &Game, page: &mut Player) -> String {
    let hub = hub_of(site, game);
    let due = Instant::now() + PATIENCE * 2;
    loop {
        let end = hub.output_bytes();
        while page.offset < end || page.notes.is_empty() {
            assert!(page.read(due), "closed with {:?}", page.closed);
        }
        let recording = site.get(&game.path("/recording")).text();
        if hub.output_bytes() == page.offset {
            return recording;
        }
        assert!(Instant::now() < due, "it goes on and on");
    }
}
