//! What a lease says, and which names an instance may have. No threads.

use std::fmt;
use std::str::FromStr;

/// The highest number of an instance: session ids have three hexadecimal digits for it.
pub const HIGHEST_NUMBER: u16 = 0xfff;
/// The names that other keys of the fleet have below `shellcraft:`.
const RESERVED: [&str; 6] = ["fleet", "book", "games", "books", "cookie-key", "revoked"];

/// Whether a fleet has another use for this name, so that an instance may not have it.
///
/// What counts is the part before the first `:`. The keys of an instance `book:8080` would begin like those of books.
pub fn is_reserved(instance: &str) -> bool {
    let first = instance.split(':').next().unwrap_or(instance);
    RESERVED.contains(&first)
}

/// What an instance says of itself, or others of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It takes new games.
    Up,
    /// It takes no new games, and plays those that it has.
    Draining,
    /// It has ended and said so; its next start is expected soon.
    Away,
    /// Another instance has closed its epoch.
    Buried,
}

impl State {
    /// All states.
    pub const ALL: [State; 4] = [State::Up, State::Draining, State::Away, State::Buried];

    /// The word in Redis.
    pub const fn word(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Draining => "draining",
            State::Away => "away",
            State::Buried => "buried",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

impl FromStr for State {
    type Err = ();

    fn from_str(word: &str) -> Result<State, ()> {
        let mut all = State::ALL.into_iter();
        all.find(|state| state.word() == word).ok_or(())
    }
}

/// An instance's lease, as it stood in Redis at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Whose it is.
    pub instance: String,
    /// Which life of the instance it is.
    pub epoch: u64,
    /// How many beats of this life were counted.
    pub beat: u64,
    /// What the instance says of itself, or others of it.
    pub state: State,
    /// The instance's number, 1 to [`HIGHEST_NUMBER`].
    pub number: u16,
    /// The id of the instance's Engine.
    pub engine: String,
    /// The process that holds the lease: a random text, another one for each start.
    pub holder: String,
    /// What [`Facts`](super::table::Facts) are parsed from.
    pub facts: String,
}

/// The fields of a lease in the order in which [`Lease::from_fields`] takes them.
pub(super) const FIELDS: [&str; 7] = [
    "epoch", "beat", "state", "number", "engine", "holder", "facts",
];

impl Lease {
    /// The lease that these values of [`FIELDS`] are; nothing if they are none.
    pub(super) fn from_fields(instance: &str, fields: &[Option<Vec<u8>>]) -> Option<Lease> {
        let text = |place: usize| -> Option<&str> {
            let bytes = fields.get(place)?.as_deref()?;
            std::str::from_utf8(bytes).ok()
        };
        let number = text(3)?.parse().ok()?;
        let is_valid = (1..=HIGHEST_NUMBER).contains(&number);
        is_valid.then_some(())?;
        Some(Lease {
            instance: instance.to_owned(),
            epoch: text(0)?.parse().ok()?,
            beat: text(1)?.parse().ok()?,
            state: text(2)?.parse().ok()?,
            number,
            engine: text(4)?.to_owned(),
            holder: text(5)?.to_owned(),
            // Facts that can't be read keep an instance out of the table, but not from being buried.
            facts: text(6).unwrap_or_default().to_owned(),
        })
    }
}

/// What the fleet looks like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// How many changes there were.
    pub revision: i64,
    /// The leases that could be read.
    pub leases: Vec<Lease>,
    /// The instances whose leases could not.
    pub unreadable: Vec<String>,
}

/// What an instance is in the fleet, from its join to its next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Which life of the instance this is.
    pub epoch: u64,
    /// The instance's number, 1 to [`HIGHEST_NUMBER`].
    pub number: u16,
}

/// What Redis answers to a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeatAnswer {
    /// The beat was counted.
    Counted {
        /// How many beats of this epoch were counted.
        beat: u64,
        /// Whether the state or the facts are other ones than before.
        has_changed: bool,
    },
    /// Another instance has closed this epoch. Nothing was written.
    Buried,
    /// There is no lease, or one of an earlier epoch. Nothing was written.
    Unknown,
    /// The lease is another process's. Nothing was written.
    Newer {
        /// The epoch of that process.
        epoch: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_fleet_needs_are_reserved() {
        for name in RESERVED {
            assert!(is_reserved(name), "{name}");
            assert!(is_reserved(&format!("{name}:8080")), "{name}");
            assert!(!is_reserved(&format!("{name}2")), "{name}");
            assert!(!is_reserved(&format!("host:{name}")), "{name}");
        }
        assert!(!is_reserved(""));
        assert!(!is_reserved("Fleet"));
    }

    fn fields(of: [&str; 7]) -> Vec<Option<Vec<u8>>> {
        of.map(|text| Some(text.as_bytes().to_vec())).to_vec()
    }

    const GOOD: [&str; 7] = ["7", "3", "up", "4095", "engine", "me", "{}"];

    #[test]
    fn a_lease_is_read_from_its_fields() {
        let lease = Lease::from_fields("a", &fields(GOOD)).unwrap();
        let expected = Lease {
            instance: "a".into(),
            epoch: 7,
            beat: 3,
            state: State::Up,
            number: 4095,
            engine: "engine".into(),
            holder: "me".into(),
            facts: "{}".into(),
        };
        assert_eq!(lease, expected);
    }

    #[test]
    fn what_is_no_lease_is_none() {
        for (place, bad) in [
            (0, "-1"),
            (0, ""),
            (1, "x"),
            (2, "Up"),
            (3, "0"),
            (3, "4096"),
        ] {
            let mut texts = GOOD;
            texts[place] = bad;
            assert_eq!(Lease::from_fields("a", &fields(texts)), None, "{texts:?}");
        }
        for place in 0..6 {
            let mut all = fields(GOOD);
            all[place] = None;
            assert_eq!(Lease::from_fields("a", &all), None, "{place}");
            all[place] = Some(vec![0xff]);
            assert_eq!(Lease::from_fields("a", &all), None, "{place}");
        }
        let mut without_facts = fields(GOOD);
        without_facts[6] = Some(vec![0xff]);
        let lease = Lease::from_fields("a", &without_facts).unwrap();
        assert_eq!(lease.facts, "");
        assert_eq!(Lease::from_fields("a", &[]), None);
    }
}
