//! Everything that an instance says to Redis about leases.
//!
//! ```text
//!   shellcraft:<instance>:lease    a hash: what an instance says of itself; forgotten 30 days after the last beat
//!   shellcraft:fleet:epoch         the highest epoch that was given
//!   shellcraft:fleet:numbers       a hash: each instance's number
//!   shellcraft:fleet:members       a sorted set: the instances, by when each has beaten last, by Redis's clock
//!   shellcraft:fleet:revision      how many changes there were of all these and of what leases say
//!   shellcraft:fleet:queue         the fleet's line
//! ```
//!
//! **A join has two steps**, since a script touches the keys of the fleet or of one instance ([`scripts`]).
//! [`Roster::enlist`] gives place, number and epoch; then [`Roster::claim`] writes the lease, if that still is as it was
//! read. An end between the two leaves an epoch that no process has, which costs nothing, and an instance that has its
//! place and its number earlier than its lease. The other way round a lease would have an epoch that the counter does not
//! know, and the next instance could get the same one. For the same reason what a lease says is written before the revision
//! is counted: a count that got lost is made up for at the next beat.
//!
//! **A number is never given again**, neither to another instance nor after 30 days: ids of sessions name it, and a page
//! may come back after months. It must meet "no such session", and not a stranger's instance. There are 4095 of them; an
//! operator who has used them up removes old ones by hand. An instance that Redis has lost asks for the number that it had.
//!
//! **64 members are the limit** ([`MOST_MEMBERS`]): each of them reads all leases at each beat. A place is free 30 days
//! after its instance has beaten last. That is measured by Redis's clock, as the leases' own end is; whether an instance
//! lives is never decided by it.
//!
//! No threads of its own: each call blocks for [`CALL`](crate::redis::CALL) at most.

use std::time::Duration;

use ::redis::{Cmd, cmd};

use super::record::{BeatAnswer, FIELDS, HIGHEST_NUMBER, Lease, Look, Membership, State};
use super::scripts;
use super::table::MOST_FACTS_BYTES;
use crate::redis::{self, Link, Url, lease_key};

/// How many members a fleet has at most.
pub const MOST_MEMBERS: usize = 64;
/// After this time without a beat a lease is forgotten, and its place is free.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

const EPOCH: &str = "shellcraft:fleet:epoch";
const NUMBERS: &str = "shellcraft:fleet:numbers";
const MEMBERS: &str = "shellcraft:fleet:members";
const REVISION: &str = "shellcraft:fleet:revision";
const QUEUE: &str = "shellcraft:fleet:queue";

/// Why an instance is not in the fleet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Redis is away or refuses.
    #[error(transparent)]
    Redis(#[from] redis::Error),
    /// There are [`MOST_MEMBERS`].
    #[error(
        "the fleet is full: it has {MOST_MEMBERS} instances, counted for 30 days after their last beat; one that will not \
         come back is removed by ZREM {MEMBERS} <instance>"
    )]
    Full,
    /// All numbers are given.
    #[error(
        "all {HIGHEST_NUMBER} numbers of instances are given; that of an instance whose sessions are long over is freed by \
         HDEL {NUMBERS} <instance>"
    )]
    NoNumber,
    /// What is in the lease's place is no lease.
    #[error("what Redis has at {0} is not the lease of an instance; DEL removes it")]
    NoLease(String),
    /// An instance of the same name beats, and its Engine is another one.
    #[error(
        "another host uses this INSTANCE ({instance}), with the Engine {engine}: each host of a fleet needs a name of its own"
    )]
    Taken {
        /// The name.
        instance: String,
        /// The other instance's Engine.
        engine: String,
    },
}

/// What a beat tells of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// How many changes there were.
    pub revision: i64,
    /// How many newcomers stand in the fleet's line.
    pub queue_length: u64,
}

/// What is said of an instance beside its epoch and number, at its join and at each beat.
#[derive(Debug, Clone, Copy)]
pub struct Saying<'a> {
    /// What the instance says of itself.
    pub state: State,
    /// [`Facts`](super::table::Facts) as JSON.
    pub facts: &'a str,
}

/// One process's way to the leases in Redis.
pub struct Roster {
    link: Link,
    instance: String,
    engine: String,
    holder: String,
    channel: String,
}

impl Roster {
    /// Does not connect yet. `engine` is the id of the instance's Engine, `holder` a text that no other process has.
    pub fn new(url: &Url, instance: &str, engine: &str, holder: &str) -> Roster {
        Roster {
            link: Link::new(url),
            instance: instance.to_owned(),
            engine: engine.to_owned(),
            holder: holder.to_owned(),
            channel: channel(url),
        }
    }

    /// Names the Engine whose leases these are, where it was not known before.
    pub(super) fn name_engine(&mut self, engine: &str) {
        engine.clone_into(&mut self.engine);
    }

    /// The instance whose roster it is.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The instance's lease, if there is one.
    ///
    /// # Errors
    /// [`Error::Redis`]; [`Error::NoLease`].
    pub fn read(&self) -> Result<Option<Lease>, Error> {
        let key = lease_key(&self.instance);
        let mut command = cmd("HMGET");
        command.arg(&key).arg(&FIELDS);
        let fields: Vec<Option<Vec<u8>>> = self.link.call(&command)?;
        if fields.iter().all(Option::is_none) {
            return Ok(None);
        }
        match Lease::from_fields(&self.instance, &fields) {
            Some(lease) => Ok(Some(lease)),
            None => Err(Error::NoLease(key)),
        }
    }

    /// The first step of a join: gives place, number and an epoch higher than `floor` and than all that were given. `had` is
    /// the number that the instance had; it gets that again if no other instance has it.
    ///
    /// # Errors
    /// [`Error::Redis`], [`Error::Full`], [`Error::NoNumber`].
    pub fn enlist(&self, floor: u64, had: Option<u16>) -> Result<Membership, Error> {
        let mut command = script(scripts::ENLIST, &[EPOCH, NUMBERS, MEMBERS, REVISION]);
        command
            .arg(&self.instance)
            .arg(floor)
            .arg(had.unwrap_or_default());
        command.arg(MOST_MEMBERS).arg(ms(FORGOTTEN_AFTER));
        command.arg(HIGHEST_NUMBER);
        match self.link.call::<(i64, u64, u16)>(&command)? {
            (1, epoch, number) => Ok(Membership { epoch, number }),
            (0, ..) => Err(Error::Full),
            _ => Err(Error::NoNumber),
        }
    }

    /// The second step of a join: writes the lease, if it still is as it was read. `is_beating` says that its holder may
    /// have beaten since, which does not matter then. Answers whether it was written.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub fn claim(
        &self,
        membership: Membership,
        saying: Saying<'_>,
        read: Option<&Lease>,
        is_beating: bool,
    ) -> Result<bool, Error> {
        let text = |number: u64| number.to_string();
        let epoch = read.map_or(String::new(), |lease| text(lease.epoch));
        let beat = read.filter(|_| !is_beating);
        let beat = beat.map_or(String::new(), |lease| text(lease.beat));
        let mut command = script(scripts::CLAIM, &[&lease_key(&self.instance)]);
        command.arg(epoch).arg(beat);
        command.arg(membership.epoch).arg(membership.number);
        command.arg(&self.engine).arg(&self.holder);
        command.arg(saying.state.word()).arg(saying.facts);
        command.arg(ms(FORGOTTEN_AFTER));
        Ok(self.link.call(&command)?)
    }

    /// Says that the instance lives, or with [`State::Away`] that it ends.
    ///
    /// # Errors
    /// [`Error::Redis`]: then it is not known whether the beat was counted.
    pub fn beat(&self, epoch: u64, saying: Saying<'_>) -> Result<BeatAnswer, Error> {
        let mut command = script(scripts::BEAT, &[&lease_key(&self.instance)]);
        command.arg(epoch).arg(&self.holder);
        command.arg(saying.state.word()).arg(saying.facts);
        command.arg(ms(FORGOTTEN_AFTER));
        Ok(match self.link.call::<(i64, u64, bool)>(&command)? {
            (1, beat, has_changed) => BeatAnswer::Counted { beat, has_changed },
            (0, ..) => BeatAnswer::Buried,
            (-1, ..) => BeatAnswer::Unknown,
            (_, epoch, _) => BeatAnswer::Newer { epoch },
        })
    }

    /// Keeps the instance a member and counts so many changes of leases.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub fn pulse(&self, changes: u64) -> Result<Pulse, Error> {
        let mut command = script(scripts::PULSE, &[MEMBERS, REVISION, QUEUE]);
        command.arg(&self.instance).arg(changes);
        let (revision, queue_length) = self.link.call(&command)?;
        Ok(Pulse {
            revision,
            queue_length,
        })
    }

    /// Closes an instance's epoch, if that has not beaten since this beat was seen. Answers whether this call has done it:
    /// then the change is still to be counted ([`Roster::pulse`]).
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub fn bury(&self, instance: &str, epoch: u64, beat: u64) -> Result<bool, Error> {
        let mut command = script(scripts::BURY, &[&lease_key(instance)]);
        command.arg(epoch).arg(beat);
        Ok(self.link.call(&command)?)
    }

    /// Reads the leases of all members.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub fn look(&self) -> Result<Look, Error> {
        /// For each lease the member's name and the fields' values.
        type Rows = Vec<Vec<Option<Vec<u8>>>>;
        let key = lease_key("*");
        let (before, after) = key.split_once('*').unwrap_or((&key, ""));
        let mut command = script(scripts::LOOK, &[MEMBERS, REVISION]);
        command.arg(before).arg(after);
        // A few more than there may be: an instance that Redis had lost is a member again without being asked.
        command.arg(MOST_MEMBERS * 2).arg(MOST_FACTS_BYTES);
        command.arg(&FIELDS);
        let (revision, rows): (i64, Rows) = self.link.call(&command)?;
        let mut look = Look {
            revision,
            ..Look::default()
        };
        for row in rows {
            let Some((name, fields)) = row.split_first() else {
                continue;
            };
            let name = String::from_utf8_lossy(name.as_deref().unwrap_or_default());
            match Lease::from_fields(&name, fields) {
                Some(lease) => look.leases.push(lease),
                None => look.unreadable.push(name.into_owned()),
            }
        }
        Ok(look)
    }

    /// Wakes those who listen, so that they look now. What is said is for readers of `MONITOR` only.
    ///
    /// # Errors
    /// [`Error::Redis`]: then the others look at their next beat.
    pub fn announce(&self, event: &str) -> Result<(), Error> {
        let mut command = cmd("PUBLISH");
        command
            .arg(&self.channel)
            .arg(format!("{event} {}", self.instance));
        Ok(self.link.call(&command)?)
    }
}

/// The channel on which a fleet's instances wake each other. Redis ignores databases there, so it has the database's number.
pub(super) fn channel(url: &Url) -> String {
    format!("shellcraft:fleet:{}", url.database())
}

/// The command that runs a script on these keys.
fn script(text: &str, keys: &[&str]) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(text).arg(keys.len()).arg(keys);
    command
}

fn ms(duration: Duration) -> u64 {
    // Thirty days are far from what does not fit.
    duration.as_millis() as u64
}
