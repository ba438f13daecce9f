//! The game as a transcript: what is typed, and what must then be seen. Both sandbox images play it to the letter.
//!
//! Steps only, no I/O: whoever drives them keeps the terminal's output, takes the escape sequences out with
//! [`plain`] and looks for each `See` after the end of the one before, with a deadline. Nothing that is looked for
//! can be part of what was typed, so the editor's echo and redraws do not count. `sandbox/GAME.md` defines the game.

/// One step of a game.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Keys; `\r` is Enter.
    Type(&'static str),
    /// Keys that are no UTF-8.
    Bytes(&'static [u8]),
    /// This text comes, in what [`plain`] leaves.
    See(&'static str),
    /// The terminal is this many columns and rows from now on.
    Resize(u16, u16),
    /// Another spellbook is put over the one in the container, as the server does it.
    Book(&'static [u8]),
    /// A spellbook that is root's alone is put over the one in the container.
    SealedBook,
    /// The shell ends with this status.
    Ends(u8),
}

use Step::{Book, Bytes, Ends, Resize, SealedBook, See, Type};

/// A whole game from an empty spellbook to the end.
pub const GAME: &[Step] = &[
    See("S h e l l C r a f t"),
    See("\n✦ ~ $ "),
    // Looking around.
    Type("ls\r"),
    See("\nspellbook.dat\n✦ ~ $ "),
    Type("pwd; ls /world /nowhere\r"),
    See(
        "\n/home\n/world:\nforest/\ngate.txt\ntower/\nls: /nowhere: no such file or directory\n✦ ~ $ ",
    ),
    Type("cd /world/forest; pwd\r"),
    See("\n/world/forest\n✦ /world/forest $ "),
    Type("ls; cat .wing\r"),
    See("\nowl.txt\nlearn twice echo $*; echo $*\n"),
    See("✦ /world/forest $ "),
    Type("cd ..; cat forest gate.txt; cd\r"),
    See("\ncat: forest: is a directory (try: ls)\nTHE GATE\n"),
    See("\n✦ ~ $ "),
    Type("cd gate.txt\r"),
    See("\ncd: gate.txt: no such file or directory\n"),
    Type("cd /world/gate.txt; ls /world/gate.txt/x; cat /dev/tty; cat\r"),
    See("\ncd: /world/gate.txt: not a directory\nls: /world/gate.txt/x: not a directory\n"),
    See("cat: /dev/tty: not a plain file\ncat: say which file\n✦ ~ $ "),
    // Speaking: words, quotes, statuses.
    Type("echo a   'b  c' \"d;e\" f\\ g $1 '' $x\r"),
    See("\na b  c d;e f g  $x\n✦ ~ $ "),
    Type("echo 'open\r"),
    See("\nnot understood: a quote is not closed\n✦ ~ $ "),
    Type("echo $?\r"),
    See("\n2\n✦ ~ $ "),
    Type("dance; echo $?\r"),
    See("\ndance: no such command (try: help)\n127\n✦ ~ $ "),
    Type("echo end\\\r"),
    See("\nnot understood: a backslash at the end\n✦ ~ $ "),
    Type(" ;; \r"),
    See("\n✦ ~ $ "),
    Type("help\r"),
    See("\nLooking around\n  ls [PATH…]"),
    See("cast greet Merlin\n✦ ~ $ "),
    Type("help pwd nonsense; help nonsense\r"),
    See(
        "\n  pwd                  where am I?\nhelp: nothing is known about nonsense (try: help)\n✦ ~ $ ",
    ),
    // Spells.
    Type("spells\r"),
    See("\nno spells yet; try: learn greet echo Hello, $1!\n✦ ~ $ "),
    Type("learn greet echo Hello, $1!\r"),
    See("\nlearned greet\n✦ ~ $ "),
    Type("cast greet 'old friend' x\r"),
    See("\nHello, old friend!\n✦ ~ $ "),
    Type("learn both cast greet $1; echo \"$*\" ; cd /\r"),
    See("\nlearned both\n✦ ~ $ "),
    Type("cast both a b; cd\r"),
    See("\nHello, a!\na b\n✦ ~ $ "),
    Type("learn greet echo Hi $*.\r"),
    See("\nlearned greet anew\n✦ ~ $ "),
    Type("spells\r"),
    See("\nboth: cast greet $1; echo \"$*\" ; cd /\ngreet: echo Hi $*.\n✦ ~ $ "),
    Type("cat spellbook.dat\r"),
    See(" learn greet echo Hi $*.\n✦ ~ $ "),
    Type("greet; cast nobody; forget nobody; cast; forget; echo $?\r"),
    See("\ngreet: no such command, but a spell (try: cast greet)\n"),
    See(
        "cast: there is no spell called nobody (try: spells)\nforget: there is no spell called nobody (try: spells)\n",
    ),
    See("cast: say which spell\nforget: say which spell\n2\n✦ ~ $ "),
    Type("learn\r"),
    See("\nlearn: say a name and what the spell does\n✦ ~ $ "),
    Type("learn a;b pwd\r"),
    See("\nlearn: a;b is no name for a spell (64 bytes at most, none of ; ' \" \\ $)\n✦ ~ $ "),
    Type("learn bad echo 'x\r"),
    See("\nlearn: a quote is not closed\n✦ ~ $ "),
    Type("learn deep cast deep; cast deep\r"),
    See("\nlearned deep\n✦ ~ $ "),
    Type("cast deep; echo never; echo never\r"),
    See("\ncast: spells nest 16 deep, no deeper\n✦ ~ $ "),
    Type("echo $?; forget deep\r"),
    See("\n1\nforgot deep\n✦ ~ $ "),
    Type("learn teach learn moon echo The moon is $1.\r"),
    See("\nlearned teach\n✦ ~ $ "),
    Type("cast teach; cast moon up\r"),
    See("\nlearned moon\nThe moon is up.\n✦ ~ $ "),
    // Ctrl-C: at the prompt, and while a command runs.
    Type("echo never\u{3}"),
    See("\n✦ ~ $ "),
    Type("chant -3 'om  mani'\r"),
    See("\nom  mani\nom  mani\nom  mani\n✦ ~ $ "),
    Type("chant -0 x; chant again and again; echo never\r"),
    See("\nagain and again\nagain and again\nagain and again\n"),
    Type("\u{3}"),
    See("\n✦ ~ $ "),
    Type("echo \"<$?>\"\r"),
    See("\n<130>\n✦ ~ $ "),
    Type("learn loop cast l2; cast l2; cast l2; cast l2\r"),
    See("\nlearned loop\n✦ ~ $ "),
    Type("learn l2 chant; echo never\r"),
    See("\nlearned l2\n✦ ~ $ "),
    Type("cast loop\r"),
    See("\nom\nom\nom\n"),
    Type("\u{3}"),
    See("\n✦ ~ $ "),
    // Ctrl-Z and Ctrl-\ stop and kill nothing, Ctrl-S freezes nothing.
    Type("\u{1a}\u{1c}echo al'i've\r"),
    See("\nalive\n✦ ~ $ "),
    Type("chant\r"),
    See("\nom\nom\nom\n"),
    Type("\u{1a}\u{1c}\u{13}"),
    See("\nom\nom\nom\n"),
    Type("\u{3}"),
    See("\n✦ ~ $ "),
    // The editor: history, keys, completion.
    Type("echo fi'rs't\r"),
    See("\nfirst\n✦ ~ $ "),
    Type("echo se'con'd\r"),
    See("\nsecond\n✦ ~ $ "),
    Type("\u{10}\u{10}\r"),
    See("\nfirst\n✦ ~ $ "),
    Type("\u{1b}[A\u{1b}[A\r"),
    See("\nsecond\n✦ ~ $ "),
    Type("\u{10}\u{10}\u{e}\r"),
    See("\nsecond\n✦ ~ $ "),
    Type("history\r"),
    See("\n    1  ls\n    2  pwd; ls /world /nowhere\n"),
    See("  history\n✦ ~ $ "),
    Type("xho middle\u{1}\u{4}ec\u{5}\u{17}t'hi's\r"),
    See("\nthis\n✦ ~ $ "),
    Type("ec\twor'd's\r"),
    See("\nwords\n✦ ~ $ "),
    Type("cast mo\tdown\r"),
    See("\nThe moon is down.\n✦ ~ $ "),
    Type("cat /wor\tga\t\r"),
    See("\nTHE GATE\n"),
    See("\n✦ ~ $ "),
    Type("ch\t-1 t'a'b\r"),
    See("\ntab\n✦ ~ $ "),
    // Two lines at once, and one typed ahead behind a Ctrl-C.
    Type("echo o'n'e\recho t'w'o\r"),
    See("\none\n"),
    See("\ntwo\n✦ ~ $ "),
    Type("dropped\u{3}echo k'ep't\r"),
    See("\nkept\n✦ ~ $ "),
    // UTF-8, wide characters over the edge of a narrow terminal, bytes that are none.
    Resize(40, 10),
    Type("echo 'é'\"日本語\" 🦉日本語日本語日本語日本語日本語日本語日本語\u{7f}\u{7f}\r"),
    See("\né日本語 🦉日本語日本語日本語日本語日本語日本語日\n✦ ~ $ "),
    Resize(100, 30),
    Type("learn été echo 'ça' va\r"),
    See("\nlearned été\n✦ ~ $ "),
    Type("cast ét\t\r"),
    See("\nça va\n✦ ~ $ "),
    Bytes(b"echo \xff\xfe\r"),
    See("that was not UTF-8; the line is dropped\n"),
    See("✦ ~ $ "),
    // A character that is cut off by the Enter.
    Bytes(b"echo \xe2\x82\r"),
    See("that was not UTF-8; the line is dropped\n"),
    See("✦ ~ $ "),
    Type("echo st'il'l here\r"),
    See("\nstill here\n✦ ~ $ "),
    Type("clear\r"),
    See("✦ ~ $ "),
    // Leaving.
    Type("exit 256; exit x; exit 7\r"),
    See("\nexit: N is a number from 0 to 255\nexit: N is a number from 0 to 255\nFarewell.\n"),
    Ends(7),
];

/// What a new shell does with the spellbook that [`GAME`] leaves behind.
pub const AGAIN: &[Step] = &[
    See("\n(your spellbook holds 7 spells)\n✦ ~ $ "),
    Type("cast greet again\r"),
    See("\nHi again.\n✦ ~ $ "),
    Type("forget l2; forget loop; spells\r"),
    See(
        "\nforgot l2\nforgot loop\nboth: cast greet $1; echo \"$*\" ; cd /\ngreet: echo Hi $*.\nmoon: echo The moon is $1.\n",
    ),
    See("teach: learn moon echo The moon is $1.\nété: echo 'ça' va\n✦ ~ $ "),
    // Ctrl-D deletes in a line, and leaves on an empty one.
    Type("echo aXb\u{2}\u{2}\u{4}'-'\r"),
    See("\na-b\n✦ ~ $ "),
    Type("\u{4}"),
    See("\nFarewell.\n"),
    Ends(0),
];

/// A spellbook as a crash and a vandal might leave it: bytes that are no text, a wrong check, a line cut short.
pub const DAMAGED_BOOK: &[u8] =
    b"\xff\xfe\x00\n7ba74375 learn greet echo Hello, $1!\n00000000 learn bad pwd\n\n54cea598 learn \xc3";

/// What a shell does with [`DAMAGED_BOOK`]: it keeps what is whole, says so, and writes on.
pub const DAMAGED: &[Step] = &[
    See("\n(your spellbook holds 1 spell)\n"),
    See("(3 lines of the spellbook could not be read and were left out)\n✦ ~ $ "),
    Type("cast greet you; learn a;b pwd\r"),
    See("\nHello, you!\nlearn: a;b is no name"),
    See("✦ ~ $ "),
    Type("learn next pwd\r"),
    See("\nlearned next\n✦ ~ $ "),
    Type("cat spellbook.dat\r"),
    See("\n7ba74375 learn greet echo Hello, $1!\n1587e6cd learn next pwd\n✦ ~ $ "),
    Type("exit\r"),
    See("\nFarewell.\n"),
    Ends(0),
];

/// What a shell does when other books take the place of its empty one while it waits at the prompt.
pub const REPLACED: &[Step] = &[
    See("\n✦ ~ $ "),
    Book(b"7ba74375 learn greet echo Hello, $1!\n"),
    // No word about it, and the first thing done with it may be Tab.
    Type("cast gr\tTab\r"),
    See("\nHello, Tab!\n✦ ~ $ "),
    Type("learn next pwd\r"),
    See("\nlearned next\n✦ ~ $ "),
    Type("cat spellbook.dat\r"),
    See("\n7ba74375 learn greet echo Hello, $1!\n1587e6cd learn next pwd\n✦ ~ $ "),
    // Of the same size to the byte, and begun to be typed for before it comes.
    Type("echo ke'p't; spe"),
    Book(b"7ba74375 learn greet echo Hello, $1!\n1587e6cd learn next pwd\n"),
    Type("lls\r"),
    See("\nkept\ngreet: echo Hello, $1!\nnext: pwd\n✦ ~ $ "),
    Type("forget greet\r"),
    See("\nforgot greet\n✦ ~ $ "),
    // Smaller than what was there: what is appended belongs behind its end.
    Book(b"1587e6cd learn next pwd\n"),
    Type("learn greet echo Hello, $1!; spells\r"),
    See("\nlearned greet\n✦ ~ $ "),
    Type("cat spellbook.dat\r"),
    See("\n1587e6cd learn next pwd\n"),
    See(" learn greet echo Hello, $1!; spells\n✦ ~ $ "),
    // Damaged: told of once, and tidied.
    Book(b"nonsense\n7ba74375 learn greet echo Hello, $1!\n"),
    Type("cast greet you\r"),
    See("\n(1 line of the spellbook could not be read and was left out)\nHello, you!\n✦ ~ $ "),
    Type("cat spellbook.dat\r"),
    See("\n7ba74375 learn greet echo Hello, $1!\n✦ ~ $ "),
    // None to write in: spells stay in memory, until there is a book again.
    SealedBook,
    Type("spells\r"),
    See(
        "\n(there is no spellbook to write in: spells last only until you leave)\nno spells yet; try: ",
    ),
    See("\n✦ ~ $ "),
    Type("learn brief pwd; spells\r"),
    See("\nlearned brief\n✦ ~ $ "),
    Type("spells\r"),
    See("\nbrief: pwd; spells\n✦ ~ $ "),
    Book(b"1587e6cd learn next pwd\n"),
    Type("spells\r"),
    See("\nnext: pwd\n✦ ~ $ "),
    Type("exit\r"),
    See("\nFarewell.\n"),
    Ends(0),
];

/// What a terminal's output says, without escape sequences, carriage returns and other control characters but `\n`.
/// A sequence cut off at the end is left out, so call it with all output so far, not with pieces.
pub fn plain(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => skip_sequence(&mut chars),
            '\n' => plain.push(c),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

/// Skips what follows an ESC: a CSI sequence up to its final byte, an OSC string up to its end, or one character.
fn skip_sequence(chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('[') => drop(chars.find(|c| ('@'..='~').contains(c))),
        // BEL ends the string, and so does ESC \, whose second half is an ordinary character elsewhere.
        Some(']') => {
            let is_end = |&c: &char| c == '\x07' || c == '\x1b';
            if let Some('\x1b') = chars.find(is_end) {
                chars.next();
            }
        }
        Some(c) if (' '..='/').contains(&c) => drop(chars.find(|c| ('0'..='~').contains(c))),
        _ => {}
    }
}

#[test]
fn plain_text_has_no_escapes() {
    assert_eq!(plain(b"\r\x1b[?2026h\x1b[35m\xe2\x9c\xa6\x1b[0m ~ $ \x07\x1b]0;t\x07a\x1b]0;t\x1b\\b\x1b(Bc\r\n\x1b["), "✦ ~ $ abc\n");
}
