//! Keys: one table that both shells are held against, pastes, and what is typed while a command runs.

use std::fs;
use std::time::{Duration, Instant};

use crate::console::Play;
use crate::containers::{Guinea, PATIENCE};
use crate::docker;
use crate::games::{at_prompt, site};
use crate::site::{Player, wait_for};

const SHELLS: [&str; 2] = ["rust", "perl"];
const PROMPT: &str = "\n✦ ~ $ ";

/// Spellings of one key, and what it makes of `one two three`, typed before it, and an X, typed after it.
const KEYS: &[(&[&str], &str)] = &[
    (
        &["\x1b[D", "\x1bOD", "\x02", "\x1b[1;2D", "\x1b[d"],
        "one two threXe",
    ),
    (
        &[
            "\x01\x1b[C",
            "\x01\x1bOC",
            "\x01\x06",
            "\x01\x1b[1;2C",
            "\x01\x1b[c",
        ],
        "oXne two three",
    ),
    (
        &[
            "\x1b[1;5D",
            "\x1b[1;3D",
            "\x1b[1;7D",
            "\x1b[5D",
            "\x1bOd",
            "\x1b\x1b[D",
            "\x1bb",
            "\x1bB",
        ],
        "one two Xthree",
    ),
    (
        &[
            "\x01\x1b[1;5C",
            "\x01\x1b[1;3C",
            "\x01\x1b[1;6C",
            "\x01\x1b[5C",
            "\x01\x1bOc",
            "\x01\x1b\x1b[C",
            "\x01\x1bf",
            "\x01\x1bF",
        ],
        "oneX two three",
    ),
    (
        &[
            "\x1b[H",
            "\x1bOH",
            "\x1b[1~",
            "\x1b[7~",
            "\x1b[1;5H",
            "\x1b[1;2~",
            "\x1b[7^",
            "\x1b[7$",
            "\x01",
        ],
        "Xone two three",
    ),
    (
        &[
            "\x01\x1b[F",
            "\x01\x1bOF",
            "\x01\x1b[4~",
            "\x01\x1b[8~",
            "\x01\x1b[1;5F",
            "\x01\x1b[8@",
            "\x01\x05",
        ],
        "one two threeX",
    ),
    (
        &["\x01\x1b[3~", "\x01\x1b[3;2~", "\x01\x1b[3$", "\x01\x04"],
        "Xne two three",
    ),
    (
        &[
            "\x01\x1b[3;5~",
            "\x01\x1b[3;3~",
            "\x01\x1b[3^",
            "\x01\x1bd",
            "\x01\x1bD",
        ],
        "X two three",
    ),
    (&["\x7f", "\x08"], "one two threX"),
    (&["\x1b\x7f", "\x1b\x08", "\x17"], "one two X"),
    (&["-four\x1b\x7f"], "one two three-X"),
    (&["-four\x17"], "one two X"),
    (&["\x15"], "X"),
    (&["\x1bb\x0b"], "one two X"),
    (&["\x17\x17\x19"], "one two threeX"),
    (&["\x17\x01\x19"], "threeXone two "),
    (&["\x17\x01\x17\x05\x15\x19\x1by"], "threeX"),
    (&["\x14"], "one two threeX"),
    (&["\x02\x02\x14"], "one two therXe"),
    (&["\x01\x1bu"], "ONEX two three"),
    (&["\x1bbT\x02\x1bl"], "one two tthreeX"),
    (&["\x01\x1bc"], "OneX two three"),
    (&["\x17\x1f"], "one two threeX"),
    (&["\x11\x01", "\x16\x01"], "one two three X"),
    // These do nothing.
    (
        &[
            "\x1b[2~",
            "\x1b[5~",
            "\x1b[6~",
            "\x1b[2;5~",
            "\x1b[5;2~",
            "\x1b[6^",
            "\x1b[Z",
            "\x1b[E",
            "\x1b[1;5A",
            "\x1b[1;3B",
            "\x1bOP",
            "\x1bOQ",
            "\x1bOR",
            "\x1bOS",
            "\x1bO2P",
            "\x1b[11~",
            "\x1b[12~",
            "\x1b[13~",
            "\x1b[14~",
            "\x1b[15~",
            "\x1b[17~",
            "\x1b[18~",
            "\x1b[19~",
            "\x1b[20~",
            "\x1b[21~",
            "\x1b[23~",
            "\x1b[24~",
            "\x1b[15;5~",
            "\x1b[24;2~",
            "\x1b[1;2P",
            "\x1b[1;5S",
            "\x1b[[A",
            "\x1b[[E",
            "\x1b[25~",
            "\x1b[34~",
            "\x1b[I",
            "\x1b[O",
            "\x1b[?1;2c",
            "\x1b[<0;1;1M",
            "\x1b[12;40R",
            "\x18",
            "\x0f",
            "\x13",
            "\x1a",
            "\x1c",
            "\x1d",
            "\x1e",
            "\x07",
            "\x1bx",
            "\x1b9",
            "\x1b~",
            "\x1b#",
        ],
        "one two threeX",
    ),
];

/// What is typed, and the line that it makes.
const LINES: &[(&str, &str)] = &[
    ("echo first", "echo first"),
    ("echo 'the last'", "echo 'the last'"),
    ("\x1b[A\x1b[A 1", "echo first 1"),
    ("\x1bOA\x1bOA\x1bOB 2", "echo first 1 2"),
    ("kept\x10\x0e 3", "kept 3"),
    ("\x1b[A 4\x1b[B\x1b[A 5", "kept 3 4 5"),
    ("\x12last\x05 6", "echo 'the last' 6"),
    ("\x12echo\x12\x12\x1b[F 7", "echo first 1 7"),
    ("kept\x12last\x07 8", "kept 8"),
    ("x \x1b.9", "x 89"),
    ("x \x1b.\x1b.", "x 8"),
    ("\x1b<\x1b>10", "10"),
    // Tab.
    ("cat '/wor\tga\t 11", "cat '/world/gate.txt'  11"),
    ("cat \"/wor\tga\t 12", "cat \"/world/gate.txt\"  12"),
    ("cat /wor\tga\t13", "cat /world/gate.txt 13"),
    ("'ec\t14", "'echo' 14"),
    ("pwd; \"fo\t15", "pwd; \"forget\" 15"),
    ("help 'le\t16", "help 'learn' 16"),
    ("cat '/nothing\t17", "cat '/nothing17"),
    ("\x1b[200~cat '\t'\x1b[201~ 18", "cat '\t' 18"),
];

/// Rows that the history keeps: each begins with its number.
fn rows() -> Vec<(String, String)> {
    let spellings = KEYS
        .iter()
        .flat_map(|(keys, line)| keys.iter().map(move |key| (*key, *line)));
    let lines = LINES
        .iter()
        .map(|(typed, line)| (typed.to_string(), line.to_string()));
    let mut rows: Vec<_> = lines.collect();
    for (number, (key, line)) in spellings.enumerate() {
        // Behind the place where it can be disturbed.
        rows.push((
            format!("one two three{key}X\x05 {number}"),
            format!("{line} {number}"),
        ));
    }
    rows
}

#[track_caller]
fn enter(play: &mut Play, page: &mut Player, keys: &str) {
    page.type_in(&format!("{keys}\r"));
    play.see(page, PROMPT);
}

#[test]
fn all_keys_in_all_spellings_do_the_same_in_both_shells() {
    let site = site(&[]);
    for shell in SHELLS {
        let (game, mut play) = (site.create(shell), Play::default());
        let mut page = site.page(&game, None);
        page.resize(80, 24);
        play.see(&mut page, PROMPT);
        let rows = rows();
        for (typed, _) in &rows {
            enter(&mut play, &mut page, typed);
        }
        page.type_in("history\r");
        play.see(&mut page, "history\n");
        let lines: Vec<_> = rows.iter().map(|_| play.line(&mut page)).collect();
        let mut wrong = Vec::new();
        for (number, ((typed, line), found)) in rows.iter().zip(lines).enumerate() {
            // Of what is shown, tabs are left out.
            let expected = format!("{:5}  {}\n", number + 1, line.replace('\t', ""));
            if found != expected {
                wrong.push((typed, expected, found));
            }
        }
        assert!(wrong.is_empty(), "{shell}: {wrong:#?}");
    }
}

/// The whole paste is one text until Enter comes, and then each line is one of its own.
#[test]
fn pastes_stay_what_they_are() {
    let site = site(&[]);
    for shell in SHELLS {
        let (_game, mut page) = at_prompt(&site, shell);
        page.type_in("\x1b[200~echo 'a\tb'\recho tw'o'\r\n\recho thr'e'e\r\x1b[201~");
        // It is shown before anything of it is run.
        page.expect("thr'e'e");
        page.type_in("#\x7f\r");
        let before = page.expect("a\tb\r\n");
        assert!(!before.contains("two"), "{shell}: {before:?}");
        page.expect("two\r\nthree\r\n");
        page.expect(" ~ ");
        page.type_in("\x10\r");
        page.expect("\r\nthree\r\n");
        page.type_in("\x10\x10\r");
        page.expect("\r\ntwo\r\n");
        // Ctrl-C drops the rest of it.
        page.type_in("\x1b[200~chant om'\r'\recho ne'v'er\x1b[201~\r");
        page.type_in("\x15\r");
        page.expect(" ~ ");
        page.type_in("\x1b[200~chant ma'n'i\recho ne'v'er\x1b[201~\r");
        page.expect("\nmani\r\nmani\r\n");
        page.type_in("\x03echo al'iv'e\r");
        let before = page.expect("alive\r\n");
        assert!(!before.contains("never\r\n"), "{shell}");
        // What is too long is refused alone, and what does not fit is not taken at all.
        let long = "x".repeat(4097);
        page.type_in(&format!("\x1b[200~{long}\recho sh'or't\x1b[201~\r"));
        page.expect("that line is too long (4096 bytes at most)\r\nshort\r\n");
        page.type_in(&format!(
            "\x1b[200~{}\x1b[201~echo em'pt'y\r",
            "x".repeat(20_000)
        ));
        page.expect("\r\nempty\r\n");
    }
}

/// Marked while the prompt waits only.
#[test]
fn pastes_are_marked_at_the_prompt() {
    let site = site(&[]);
    for shell in SHELLS {
        let game = site.create(shell);
        let mut page = site.page(&game, None);
        page.expect("\x1b[?2004h");
        page.expect(" ~ ");
        page.type_in("pwd\r");
        page.expect("\x1b[?2004l");
        page.expect("/home\r\n");
        page.expect("\x1b[?2004h");
    }
}

/// Output is in proportion to what is typed, and what is too long says so.
#[test]
fn a_long_line_costs_what_it_is_long() {
    const TYPED: usize = 60_000;
    let site = site(&[]);
    for shell in SHELLS {
        let (_game, mut page) = at_prompt(&site, shell);
        page.type_in(&"x".repeat(TYPED));
        page.type_in("\r");
        let shown = page.expect("that line is too long (4096 bytes at most)\r\n");
        assert!(shown.len() < 4 * TYPED, "{shell}: {}", shown.len());
        page.type_in("echo al'iv'e\r");
        page.expect("alive\r\n");
    }
}

#[test]
fn control_c_gets_past_what_is_typed_ahead() {
    let site = site(&[]);
    for shell in SHELLS {
        let (_game, mut page) = at_prompt(&site, shell);
        page.type_in("chant om\r");
        page.expect("\nom\r\nom\r\n");
        page.type_in("echo ne'v'er\r");
        page.type_in(&"x".repeat(6000));
        page.type_in("\x03echo on'l'y\r");
        let before = page.expect("only\r\n");
        assert!(!before.contains("never\r\n"), "{shell}");
        page.expect(" ~ ");
        // More than is kept: the rest is dropped, with a bell, and nothing stands still.
        page.type_in("chant om\r");
        page.expect("\nom\r\nom\r\n");
        page.type_in(&"x".repeat(100_000));
        page.type_in("\x03echo al'iv'e\r");
        page.expect("alive\r\n");
    }
}

/// Nobody reads, so the shell cannot write: it still hears.
#[test]
fn control_c_gets_through_when_output_is_blocked() {
    let engine = docker::engine();
    for shell in SHELLS {
        let (guinea, mut terminal) = Guinea::at_prompt(&engine, &format!("shellcraft/{shell}"));
        terminal.type_in("chant om\r");
        let mut written = 0;
        wait_for("the output to stand still", || {
            let before = std::mem::replace(&mut written, written_by(&guinea.id.0));
            written > 1 << 16 && written == before
        });
        terminal.type_in(&"x".repeat(6000));
        terminal.type_in("\x03echo al'iv'e\r");
        terminal.expect("alive\r\n");
    }
}

/// How many bytes the shell in that container has written. Looked at no more than a few times a second.
fn written_by(container: &str) -> u64 {
    std::thread::sleep(Duration::from_millis(300));
    let init = docker::inspect(container)["State"]["Pid"].clone();
    let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children"));
    let shell = children.expect("a container with an init");
    let io = fs::read_to_string(format!("/proc/{}/io", shell.trim())).expect("a shell");
    let written = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    written
        .and_then(|count| count.parse().ok())
        .expect("a count")
}

#[test]
fn what_is_typed_ahead_is_for_the_next_prompt() {
    let site = site(&[]);
    for shell in SHELLS {
        let (_game, mut page) = at_prompt(&site, shell);
        page.type_in("chant -200000 om\r");
        page.expect("\nom\r\n");
        // An escape sequence among it, in pieces.
        for keys in ["echo ah'ea'X\x1b", "[", "D\x1b[3~d\r", "echo ne'x't\r"] {
            page.type_in(keys);
        }
        page.expect("ahead\r\n");
        page.expect("next\r\n");
    }
}

/// Also where nothing is different: whoever asks wants to see it.
#[test]
fn a_new_size_draws_the_line_anew() {
    let site = site(&[]);
    for shell in SHELLS {
        let game = site.create(shell);
        let mut page = site.page(&game, None);
        page.resize(100, 30);
        page.expect(" ~ ");
        page.type_in("echo one'two'");
        page.expect("two'");
        let due = Instant::now() + PATIENCE;
        for cols in [90, 10, 100] {
            page.resize(cols, 30);
            page.expect("✦");
            assert!(Instant::now() < due);
        }
        page.type_in("\r");
        page.expect("\r\nonetwo\r\n");
    }
}
