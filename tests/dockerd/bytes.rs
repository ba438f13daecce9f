//! What goes through a terminal: any byte, sequences without an end, and flow control by hand.

use std::time::{Duration, Instant};

use tungstenite::Message;

use crate::binary::Process;
use crate::containers::{PATIENCE, unique};
use crate::dice::Dice;
use crate::docker;
use crate::games::{SHELLS, hub_of, site};
use crate::site::{Player, wait_for};

/// Reads until so many bytes have come that were not expected yet.
#[track_caller]
fn read_to(page: &mut Player, bytes: usize) {
    let due = Instant::now() + PATIENCE * 2;
    while page.seen.len() < bytes {
        let came = page.seen.len();
        assert!(
            page.read(due) && Instant::now() < due,
            "{came} of {bytes} came; closed with {:?}",
            page.closed
        );
    }
}

/// Four mebibytes of anything, invalid UTF-8 most of all, come back as they went, to pages and raw clients alike.
#[test]
fn random_bytes_come_back_as_they_went() {
    const BYTES: usize = 4 << 20;
    // So much may be on its way: more than every buffer between takes.
    const AHEAD: usize = 256 << 10;
    let site = site(&[]);
    let mut dice = Dice(20);
    let sent: Vec<u8> = (0..BYTES).map(|_| dice.below(256) as u8).collect();
    for is_page in [true, false] {
        let game = site.create("busybox");
        let mut player = if is_page {
            site.page(&game, None)
        } else {
            site.raw(&game)
        };
        player.expect("$ ");
        player.type_in("stty raw -echo; echo re''ady; exec cat\r");
        player.expect("ready\n");
        for (number, piece) in sent.chunks(10_007).enumerate() {
            player.send(Message::binary(piece.to_vec()));
            read_to(&mut player, (number * 10_007).saturating_sub(AHEAD));
        }
        read_to(&mut player, BYTES);
        assert_eq!(player.seen.len(), BYTES, "and nothing else");
        assert!(player.seen == sent, "changed on the way, page: {is_page}");
        assert_eq!(site.delete(&game.path("")).status, 204);
    }
}

/// Ctrl-S holds the terminal, keys' echoes included, and Ctrl-Q lets it go on; so does Ctrl-C.
#[test]
fn control_s_holds_and_control_q_goes_on() {
    let site = site(&[]);
    let game = site.create("busybox");
    let mut page = site.page(&game, None);
    page.expect("$ ");
    page.type_in("yes\r");
    page.expect("y\r\ny\r\n");
    for _ in 0..3 {
        page.type_in("\x13not shown");
        let drained = stands_still(&mut page);
        let is_shown = crate::site::find(&drained, b"not shown").is_some();
        assert!(!is_shown, "a held terminal shows nothing");
        page.type_in("\x11");
        read_to(&mut page, 100_000);
        page.seen.clear();
    }
    page.type_in("\x13");
    stands_still(&mut page);
    page.type_in("\x03");
    page.expect("$ ");
    page.type_in("echo al''ive\r");
    page.expect("alive\r\n");
}

/// Reads what is on its way from a program that would write for ever, until answers come with nothing between them.
/// On a busy machine more may follow, so it is asserted only that the output has an end, and what was in it.
#[track_caller]
fn stands_still(page: &mut Player) -> Vec<u8> {
    const ANSWERS: usize = 20;
    let due = Instant::now() + PATIENCE * 2;
    let mut quiet = 0;
    while quiet < ANSWERS {
        assert!(Instant::now() < due, "it does not stop");
        let before = page.offset;
        page.control(serde_json::json!({"type": "ping", "t": 1}));
        page.note("pong");
        let look = Instant::now() + Duration::from_millis(25);
        while Instant::now() < look && page.read(look) {}
        quiet = if page.offset == before { quiet + 1 } else { 0 };
    }
    std::mem::take(&mut page.seen)
}

/// Titles, device controls and the like that never end: the server takes no more memory for them, Ctrl-C works, and a
/// page that comes back gets something to draw.
#[test]
fn endless_sequences_take_no_memory() {
    const BYTES: u64 = 10 << 20;
    let server = Process::start(
        &docker::host(),
        &unique(),
        &["--shells", SHELLS, "--cpu-limit", "2"],
    );
    drop(site(&[])); // Makes the image.
    let game = server.create("busybox");
    let mut page = server.page(&game, None);
    page.expect("$ ");
    let mut flood = |start: &str, bytes: u64| {
        // Without line ends: some parsers take them for an end.
        let word = "QUFB".repeat(16);
        page.type_in(&format!(
            "busybox printf '{start}'; busybox yes {word} | busybox tr -d '\\n'\r"
        ));
        let (until, due) = (page.offset + bytes, Instant::now() + PATIENCE * 2);
        while page.offset < until {
            assert!(
                page.read(due) && Instant::now() < due,
                "{start} at {}",
                page.offset
            );
            page.seen.clear();
        }
        page.type_in("\x03");
        page.expect("$ ");
        page.type_in("echo al''ive\r");
        page.expect("alive\r\n");
        let mut late = server.page(&game, None);
        assert_eq!(late.note("hello")["replay"], true, "{start}");
        late.note("screen");
        late.expect("alive\r\n");
        // And it plays.
        late.type_in("echo ba''ck\r");
        late.expect("back\r\n");
        late.expect("$ ");
        page = server.page(&game, Some(late.offset));
        assert_eq!(page.note("hello")["replay"], false, "{start}");
    };
    // What the first megabytes set up is there for good.
    flood("\\033]2;", 2 << 20);
    let before = server.anonymous_kib();
    for start in ["\\033]2;", "\\033]52;c;", "\\033P", "\\033_", "\\033["] {
        flood(start, BYTES);
    }
    let grown = server.anonymous_kib().saturating_sub(before);
    // 50 MiB went through; scrollback and past are 256 KiB and a screen.
    assert!(grown < 4096, "{grown} KiB more");
    assert_eq!(server.delete(&game.path("")).status, 204);
}

/// An emoji at the margin, and then more output than is kept: the game goes on, a page that comes back is at its byte, and
/// one that is loaded anew shows the end of the output.
#[test]
fn an_emoji_at_the_margin_ends_no_game() {
    let site = site(&[]);
    let game = site.create("busybox");
    let mut page = site.page(&game, None);
    page.expect("$ ");
    let heart = "\\342\\235\\244\\357\\270\\217";
    for deadly in [
        format!("\\033[24;80H{heart}\\033[23;80Hy"),
        format!("\\033[3;9r\\033[?6h\\033[16;80H{heart}\\033[6;77H\\033[5b"),
        format!("\\033[24;81H{heart}\\033[3S\\033[20;79H\\033[5b"),
    ] {
        page.type_in(&format!("busybox printf '{deadly}'; seq 1 100000\r"));
        page.expect("\n100000\r\n");
        page.expect("$ ");
        let none = "terminal_emulator_panics_total 0\n";
        assert!(site.get("/metrics").text().contains(none), "{deadly}");
        let end = page.offset;
        drop(page);
        let mut back = site.page(&game, Some(end));
        assert_eq!(back.note("hello")["replay"], false, "{deadly}");
        drop(back);
        let mut loaded = site.page(&game, None);
        assert_eq!(loaded.note("hello")["replay"], true, "{deadly}");
        loaded.note("screen");
        loaded.expect("\n100000\r\n");
        loaded.expect("$ ");
        // All that the first page had, and what has come behind the prompt since.
        let due = Instant::now() + PATIENCE;
        while loaded.offset < end {
            assert!(loaded.read(due), "{deadly}");
        }
        loaded.type_in("echo al''ive\r");
        loaded.expect("alive\r\n");
        loaded.expect("$ ");
        page = loaded;
    }
    let none = "shellcraft_panics_total{thread=\"session\"} 0\n";
    assert!(site.get("/metrics").text().contains(none));
    page.type_in("exit 3\r");
    assert_eq!(page.note("exit")["code"], 3);
    assert_eq!(page.close_code(), 1000);
}

/// The window was full when the container died: a page that draws again gets all that came before the end.
#[test]
fn a_page_that_had_stalled_gets_the_rest_of_a_killed_flood() {
    let site = site(&[]);
    let game = site.create("busybox");
    let mut page = site.page(&game, None);
    page.expect("$ ");
    page.acks = false;
    page.type_in("yes\r");
    let hub = hub_of(&site, &game);
    let window = site.app().manager().settings().terminal.window_bytes as u64;
    wait_for("the window to fill", || hub.output_bytes() >= window);
    docker::docker(&["kill", &docker::container_of(&game)]);
    page.acks = true;
    let exit = page.note("exit");
    assert_eq!(exit["code"], 137, "{exit}");
    assert_eq!(page.close_code(), 1000);
    assert_eq!(page.offset, hub.output_bytes(), "all of it");
    assert!(page.offset >= window);
}
