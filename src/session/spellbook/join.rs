//! Joins two copies of one player's spellbook: what a game has changed is carried into the book that another game has
//! saved meanwhile.
//!
//! Pure. `sandbox/GAME.md` says what a spellbook consists of: text, one change a line, `CRC32 learn NAME COMMAND…` or
//! `CRC32 forget NAME`. The last line about a name counts; lines whose check is wrong are ignored. Shells that an operator
//! adds may write something else, which can't be joined.

use std::collections::BTreeMap;

use crate::session::sandbox::BOOK_LIMIT_BYTES;

/// A joined book that is bigger than this is written anew, as the shells do, without the lines that do not count: half of
/// the file, so that the shells have room to tidy up in.
const TIDY_ABOVE_BYTES: usize = BOOK_LIMIT_BYTES as usize / 2;

/// What the game began with, or what was saved of it last. What differs from it now, the game has changed itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeBase<'b> {
    /// The container had these bytes.
    Exact(&'b [u8]),
    /// The container was meant to have these bytes, but a server that died may not have put them there. A spell that is
    /// missing then does not count as forgotten.
    Likely(&'b [u8]),
    /// The bytes are not known.
    Unknown,
}

/// The result of joining two copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// All changes are in it.
    Whole(Vec<u8>),
    /// Both copies have changed one spell: the joined book has the game's change, and only the stored copy has the other.
    Differing(Vec<u8>),
    /// The copies can't be joined.
    Apart,
}

/// Carries into `stored` what `game` has changed since `base`.
pub fn join(base: MergeBase<'_>, game: &[u8], stored: &[u8]) -> Joined {
    let (Some(game), Some(theirs)) = (spells(game), spells(stored)) else {
        return Joined::Apart;
    };
    let (before, is_exact) = match base {
        MergeBase::Exact(bytes) => (spells(bytes), true),
        MergeBase::Likely(bytes) => (spells(bytes), false),
        MergeBase::Unknown => (None, false),
    };
    let before = before.unwrap_or_default();
    let mut changes: Vec<Vec<u8>> = Vec::new();
    let mut differ = false;
    for (name, line) in &game {
        let (was, is) = (before.get(name), theirs.get(name));
        if was == Some(line) || is == Some(line) {
            continue;
        }
        differ |= is.is_some() && is != was;
        changes.push(line.to_vec());
    }
    // A spell that another game has changed meanwhile is not forgotten.
    let forgotten = before.iter().filter(|(name, was)| {
        is_exact && !game.contains_key(*name) && theirs.get(*name) == Some(was)
    });
    changes.extend(forgotten.map(|(name, _)| line_of(&[b"forget ", *name].concat())));
    let mut joined = stored.to_vec();
    if !changes.is_empty() && joined.last().is_some_and(|byte| *byte != b'\n') {
        joined.push(b'\n');
    }
    for line in changes {
        joined.extend_from_slice(&line);
        joined.push(b'\n');
    }
    if joined.len() > TIDY_ABOVE_BYTES {
        joined = tidy(&joined);
    }
    match joined.len() as u64 > BOOK_LIMIT_BYTES {
        true => Joined::Apart,
        false if differ => Joined::Differing(joined),
        false => Joined::Whole(joined),
    }
}

/// The book without the lines that do not count.
fn tidy(book: &[u8]) -> Vec<u8> {
    let lines = spells(book).unwrap_or_default().into_values();
    lines.flat_map(|line| [line, b"\n"].concat()).collect()
}

/// The lines by which spells are known now, by the spells' names; none when this is not a book of that kind.
fn spells(book: &[u8]) -> Option<BTreeMap<&[u8], &[u8]>> {
    let mut spells = BTreeMap::new();
    let (mut is_empty, mut is_readable) = (true, false);
    for line in book.split(|byte| *byte == b'\n') {
        is_empty &= line.is_empty();
        match change(line) {
            Some(Change::Learn(name)) => drop(spells.insert(name, line)),
            Some(Change::Forget(name)) => drop(spells.remove(name)),
            None => continue,
        }
        is_readable = true;
    }
    (is_empty || is_readable).then_some(spells)
}

/// What a line does.
enum Change<'l> {
    Learn(&'l [u8]),
    Forget(&'l [u8]),
}

fn change(line: &[u8]) -> Option<Change<'_>> {
    let (check, change) = line.split_at_checked(8)?;
    let change = change.strip_prefix(b" ")?;
    if check != check_of(change).as_bytes() {
        return None;
    }
    if let Some(name) = change.strip_prefix(b"forget ") {
        return Some(Change::Forget(name));
    }
    let rest = change.strip_prefix(b"learn ")?;
    let end = rest.iter().position(|byte| *byte == b' ')?;
    Some(Change::Learn(&rest[..end]))
}

fn line_of(change: &[u8]) -> Vec<u8> {
    [check_of(change).as_bytes(), b" ", change].concat()
}

/// CRC-32 as in IEEE 802.3, reflected. The library that the tests compare it with brings tables of 16 KiB, for which the
/// packed binary has no room; lines are short.
fn check_of(change: &[u8]) -> String {
    let step = |crc: u32| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    let crc = change.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
    });
    format!("{:08x}", !crc)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A book with these changes.
    fn book(changes: &[&str]) -> Vec<u8> {
        let lines = changes.iter().map(|change| line_of(change.as_bytes()));
        lines
            .flat_map(|line| [line, b"\n".to_vec()].concat())
            .collect()
    }

    /// The changes in a book, in their order.
    fn told(book: &[u8]) -> String {
        let text = String::from_utf8_lossy(book);
        let lines = text.lines().map(|line| line.get(9..).unwrap_or("?"));
        lines.collect::<Vec<_>>().join(" | ")
    }

    #[track_caller]
    fn check(base: MergeBase<'_>, game: &[&str], stored: &[&str], expected: &str) {
        let joined = match join(base, &book(game), &book(stored)) {
            Joined::Whole(book) => told(&book),
            Joined::Differing(book) => format!("differing: {}", told(&book)),
            Joined::Apart => "apart".into(),
        };
        assert_eq!(joined, expected);
    }

    #[test]
    fn lines_are_those_of_the_shells() {
        // The examples of `sandbox/GAME.md`.
        let game = include_str!("../../../sandbox/GAME.md");
        for change in ["learn greet echo Hello, $1!", "forget greet"] {
            let line = String::from_utf8(line_of(change.as_bytes())).expect("text");
            assert!(game.contains(&format!("    {line}\n")), "{line}");
        }
    }

    #[test]
    fn changes_of_both_are_there() {
        let begun = book(&["learn a echo 1"]);
        let base = MergeBase::Exact(&begun);
        check(
            base,
            &["learn a echo 1", "learn b echo 2"],
            &["learn a echo 1", "learn c echo 3"],
            "learn a echo 1 | learn c echo 3 | learn b echo 2",
        );
        // Forgotten in the game.
        check(
            base,
            &[],
            &["learn a echo 1", "learn c echo 3"],
            "learn a echo 1 | learn c echo 3 | forget a",
        );
        // Forgotten in the stored copy.
        check(
            base,
            &["learn a echo 1", "learn b echo 2"],
            &[],
            "learn b echo 2",
        );
        // Changed in the game, and not in the stored copy.
        check(
            base,
            &["learn a echo 9"],
            &["learn a echo 1"],
            "learn a echo 1 | learn a echo 9",
        );
        // Changed in the stored copy, and not in the game.
        check(
            base,
            &["learn a echo 1", "learn b echo 2"],
            &["learn a echo 9"],
            "learn a echo 9 | learn b echo 2",
        );
    }

    #[test]
    fn of_two_changes_of_one_spell_the_game_s_counts_and_it_is_told() {
        let begun = book(&["learn a echo 1"]);
        for base in [
            MergeBase::Exact(&begun),
            MergeBase::Likely(&begun),
            MergeBase::Unknown,
        ] {
            check(
                base,
                &["learn a echo 2"],
                &["learn a echo 3"],
                "differing: learn a echo 3 | learn a echo 2",
            );
        }
        // Both have made the same change.
        check(
            MergeBase::Exact(&begun),
            &["learn a echo 2"],
            &["learn a echo 2"],
            "learn a echo 2",
        );
        // Changed in the stored copy, forgotten in the game: nothing is lost.
        check(
            MergeBase::Exact(&begun),
            &[],
            &["learn a echo 3"],
            "learn a echo 3",
        );
    }

    #[test]
    fn what_a_game_may_never_have_had_was_not_forgotten() {
        let begun = book(&["learn a echo 1"]);
        check(
            MergeBase::Likely(&begun),
            &["learn b echo 2"],
            &["learn a echo 1"],
            "learn a echo 1 | learn b echo 2",
        );
        check(
            MergeBase::Unknown,
            &["learn b echo 2"],
            &["learn a echo 1"],
            "learn a echo 1 | learn b echo 2",
        );
        // What the game has not changed does not come back, and does not count as a change.
        check(
            MergeBase::Likely(&begun),
            &["learn a echo 1"],
            &["learn a echo 7"],
            "learn a echo 7",
        );
        check(MergeBase::Likely(&begun), &["learn a echo 1"], &[], "");
    }

    #[test]
    fn torn_lines_count_for_nothing() {
        let torn = [
            book(&["learn a echo 1"]),
            b"94d2a1b8 forget a\n2c1e5f0a lea".to_vec(),
        ]
        .concat();
        let joined = join(MergeBase::Exact(b""), &book(&["learn b echo 2"]), &torn);
        let Joined::Whole(joined) = joined else {
            panic!("{joined:?}")
        };
        assert_eq!(spells(&joined).map(|spells| spells.len()), Some(2));
        // The change is on a line of its own, after the torn one.
        assert!(joined.ends_with(&book(&["learn b echo 2"])));
    }

    #[test]
    fn what_is_no_spellbook_stays_apart() {
        let spells = book(&["learn a echo 1"]);
        for other in [&b"hi\techo\n"[..], &[0xff; 64], b"x"] {
            assert_eq!(join(MergeBase::Exact(b""), other, &spells), Joined::Apart);
            assert_eq!(join(MergeBase::Exact(b""), &spells, other), Joined::Apart);
        }
    }

    #[test]
    fn a_joined_book_has_room_or_stays_apart() {
        let command = "x".repeat(4000);
        let many = |from: usize, to: usize| -> Vec<u8> {
            let changes: Vec<_> = (from..to)
                .map(|number| format!("learn n{number} echo {command}"))
                .collect();
            book(&changes.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let size = |from, to, twice: bool| {
            let stored = [many(0, 100), if twice { many(0, 100) } else { Vec::new() }].concat();
            match join(MergeBase::Exact(b""), &many(from, to), &stored) {
                Joined::Whole(joined) => Some(joined.len()),
                _ => None,
            }
        };
        assert_eq!(
            size(100, 110, true),
            Some(many(0, 110).len()),
            "each spell once"
        );
        assert_eq!(size(100, 200, false), Some(many(0, 200).len()));
        assert_eq!(size(100, 300, false), None, "too much");
    }

    prop_compose! {
        fn changes()(changes in prop::collection::vec((0..6u8, 0..4u8), 0..12)) -> Vec<String> {
            changes.into_iter().map(|(name, what)| match what {
                0 => format!("forget {name}"),
                what => format!("learn {name} echo {what}"),
            }).collect()
        }
    }

    proptest! {
        /// Each spell that one of the two copies has changed last is in the joined book, and none that both have
        /// forgotten.
        #[test]
        fn nothing_learnt_is_lost(begun in changes(), here in changes(), there in changes()) {
            let as_book = |more: &[String]| {
                let all: Vec<&str> = begun.iter().chain(more).map(String::as_str).collect();
                book(&all)
            };
            let (base, game, stored) = (as_book(&[]), as_book(&here), as_book(&there));
            let joined = match join(MergeBase::Exact(&base), &game, &stored) {
                Joined::Whole(joined) | Joined::Differing(joined) => joined,
                Joined::Apart => return Err(TestCaseError::fail("apart")),
            };
            let of = |book: &[u8]| -> BTreeMap<Vec<u8>, Vec<u8>> {
                let spells = spells(book).unwrap_or_default();
                spells.into_iter().map(|(name, line)| (name.to_vec(), line.to_vec())).collect()
            };
            let (base, game, stored, joined) = (of(&base), of(&game), of(&stored), of(&joined));
            for name in (0..6u8).map(|name| name.to_string().into_bytes()) {
                let (was, here, there) = (base.get(&name), game.get(&name), stored.get(&name));
                let expected = match (was == here, here) {
                    (true, _) => there,
                    // Forgotten here: only what was not changed there goes.
                    (false, None) if there != was => there,
                    (false, here) => here,
                };
                prop_assert_eq!(joined.get(&name), expected);
            }
        }

        #[test]
        fn checks_are_those_of_the_library(line in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(check_of(&line), format!("{:08x}", crc32fast::hash(&line)));
        }

        #[test]
        fn any_bytes_are_taken(base in prop::collection::vec(any::<u8>(), 0..80), game in ".{0,80}", stored in ".{0,80}") {
            let _ = join(MergeBase::Exact(&base), game.as_bytes(), stored.as_bytes());
        }
    }
}
