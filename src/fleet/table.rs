//! The instances of the fleet as of the last look, by number and by name. No threads; every thread may ask.
//!
//! What an instance says of itself in its lease is parsed here. Other versions may say more, which is ignored; what can't be
//! parsed keeps its instance out of the table, with one warning. Whether that instance lives is judged all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use log::warn;
use serde::{Deserialize, Serialize};

use super::record::{Look, State};
use crate::locks::RwLock;

/// The longest facts that are read. 64 instances' facts together fit into one answer of Redis.
pub const MOST_FACTS_BYTES: usize = 16 * 1024;
/// What digests of settings begin with, followed by `-`. A version that makes them of other settings has another one, so
/// that servers of different versions are not taken for servers with different settings.
pub const DIGEST_KIND: &str = "1";
/// The most shells that facts may name.
const MOST_SHELLS: usize = 64;
/// The longest text among facts: a URL.
const MOST_TEXT_BYTES: usize = 2048;

/// What an instance tells the others of itself. Fields that another version adds are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// How other instances reach it.
    pub peer_url: String,
    /// How players reach it and no other instance, if they can.
    #[serde(default)]
    pub direct_url: Option<String>,
    /// The server's version.
    pub version: String,
    /// The shells that it offers.
    #[serde(default)]
    pub shells: Vec<String>,
    /// How many prewarmed sessions wait, by shell.
    #[serde(default)]
    pub stock: BTreeMap<String, u32>,
    /// How many games are played.
    #[serde(default)]
    pub playing: u32,
    /// How many more games it would take.
    #[serde(default)]
    pub room: u32,
    /// How many containers it may start simultaneously.
    #[serde(default)]
    pub turns: u32,
    /// Whether its Engine answers.
    #[serde(default)]
    pub engine_up: bool,
    /// A digest of the settings that should be the same on all instances.
    #[serde(default)]
    pub settings: String,
}

/// Why facts are of no use.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// They are no JSON, or lack what each version says.
    #[error("its facts can't be parsed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Something is larger than any version makes it.
    #[error("its facts have too large a value of {0}")]
    TooLarge(&'static str),
}

impl Facts {
    /// Whether an instance that says this has other settings than one with the digest `own`. Of one that tells no digest,
    /// or one of another kind ([`DIGEST_KIND`]), that is not known, and the answer is no.
    pub fn has_other_settings(&self, own: &str) -> bool {
        fn kind(digest: &str) -> Option<&str> {
            digest.split_once('-').map(|(kind, _)| kind)
        }
        let is_comparable = kind(own).is_some() && kind(&self.settings) == kind(own);
        is_comparable && self.settings != own
    }

    /// What is written into the lease.
    pub fn to_json(&self) -> String {
        // Nothing in it can fail to be written: the keys of its map are texts.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What a lease says.
    ///
    /// # Errors
    /// [`FactsError`].
    pub fn from_json(text: &str) -> Result<Facts, FactsError> {
        if text.len() > MOST_FACTS_BYTES {
            return Err(FactsError::TooLarge("all of them"));
        }
        let facts: Facts = serde_json::from_str(text)?;
        let direct = facts.direct_url.as_deref().unwrap_or_default();
        for (name, value) in [
            ("peer_url", facts.peer_url.as_str()),
            ("direct_url", direct),
            ("version", &facts.version),
            ("settings", &facts.settings),
        ] {
            if value.len() > MOST_TEXT_BYTES {
                return Err(FactsError::TooLarge(name));
            }
        }
        if facts.shells.len() > MOST_SHELLS {
            return Err(FactsError::TooLarge("shells"));
        }
        if facts.stock.len() > MOST_SHELLS {
            return Err(FactsError::TooLarge("stock"));
        }
        Ok(facts)
    }
}

/// An instance as of the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// Its number, which ids of its sessions name.
    pub number: u16,
    /// Which life of the instance it is.
    pub epoch: u64,
    /// What it says of itself, or others of it.
    pub state: State,
    /// The id of its Engine.
    pub engine: String,
    /// What it tells of itself.
    pub facts: Facts,
}

/// The instances as of one look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instances {
    by_name: BTreeMap<String, Arc<Instance>>,
    by_number: BTreeMap<u16, Arc<Instance>>,
}

impl Instances {
    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.by_name.values()
    }

    /// The instance of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<Instance>> {
        self.by_name.get(name)
    }

    /// The instance of that number.
    pub fn numbered(&self, number: u16) -> Option<&Arc<Instance>> {
        self.by_number.get(&number)
    }

    fn add(&mut self, instance: Instance) {
        let instance = Arc::new(instance);
        let number = self.by_number.entry(instance.number);
        // Redis gives a number once; but one that has lost numbers may give one again. Then it means the instance that
        // lives, and of two that live, the one that joined later.
        let rank = |one: &Instance| (one.state != State::Buried, one.epoch);
        number
            .and_modify(|other| {
                if rank(&instance) > rank(other) {
                    *other = Arc::clone(&instance);
                }
            })
            .or_insert_with(|| Arc::clone(&instance));
        self.by_name.insert(instance.name.clone(), instance);
    }
}

/// The instances as of the last look, for every thread.
#[derive(Debug, Default)]
pub struct Table {
    latest: RwLock<Arc<Instances>>,
}

impl Table {
    /// The instances as of the last look.
    pub fn latest(&self) -> Arc<Instances> {
        Arc::clone(&self.latest.read())
    }

    /// Puts others in their place. Answers whether anything is different.
    fn replace(&self, instances: &Arc<Instances>) -> bool {
        let mut latest = self.latest.write();
        let is_other = **latest != **instances;
        *latest = Arc::clone(instances);
        is_other
    }
}

/// Makes the table of what a look finds. One thread has it.
#[derive(Debug, Default)]
pub struct Reader {
    table: Arc<Table>,
    /// The instances that the log was told of, because they can't be read.
    is_warned_of: BTreeSet<String>,
}

impl Reader {
    /// One that fills this table.
    pub fn new(table: Arc<Table>) -> Reader {
        Reader {
            table,
            is_warned_of: BTreeSet::new(),
        }
    }

    /// Takes in a look. Answers the table if anything in it is different.
    pub fn read(&mut self, look: &Look) -> Option<Arc<Instances>> {
        let mut instances = Instances::default();
        let mut unreadable: Vec<(&str, String)> = look
            .unreadable
            .iter()
            .map(|name| (name.as_str(), "it is no lease".to_owned()))
            .collect();
        for lease in &look.leases {
            match Facts::from_json(&lease.facts) {
                Ok(facts) => instances.add(Instance {
                    name: lease.instance.clone(),
                    number: lease.number,
                    epoch: lease.epoch,
                    state: lease.state,
                    engine: lease.engine.clone(),
                    facts,
                }),
                Err(error) => unreadable.push((&lease.instance, error.to_string())),
            }
        }
        for (name, cause) in &unreadable {
            if !self.is_warned_of.contains(*name) {
                warn!("the fleet's instance {name:?} is left out of the table: {cause}");
            }
        }
        // One that can be read again, and is broken again later, is told of again.
        self.is_warned_of = unreadable
            .into_iter()
            .map(|(name, _)| name.to_owned())
            .collect();
        let instances = Arc::new(instances);
        self.table.replace(&instances).then_some(instances)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::record::Lease;

    fn facts() -> Facts {
        Facts {
            peer_url: "http://10.0.0.1:8081".into(),
            version: "0.1.0".into(),
            shells: vec!["rust".into()],
            stock: BTreeMap::from([("rust".to_owned(), 3)]),
            room: 7,
            engine_up: true,
            ..Facts::default()
        }
    }

    fn lease(name: &str, number: u16, epoch: u64, state: State) -> Lease {
        Lease {
            instance: name.into(),
            epoch,
            beat: 1,
            state,
            number,
            engine: format!("engine of {name}"),
            holder: "it".into(),
            facts: facts().to_json(),
        }
    }

    fn look(leases: &[Lease]) -> Look {
        Look {
            leases: leases.to_vec(),
            ..Look::default()
        }
    }

    #[test]
    fn facts_are_read_as_they_were_written() {
        assert_eq!(Facts::from_json(&facts().to_json()).unwrap(), facts());
    }

    #[test]
    fn only_digests_of_one_kind_are_compared() {
        for (one, other, expected) in [
            ("1-a", "1-a", false),
            ("1-a", "1-b", true),
            ("1-a", "2-b", false),
            ("1-a", "", false),
            ("", "1-a", false),
            ("a", "b", false),
        ] {
            let settings = one.to_owned();
            let facts = Facts {
                settings,
                ..facts()
            };
            assert_eq!(facts.has_other_settings(other), expected, "{one} {other}");
        }
    }

    #[test]
    fn other_versions_may_say_more_and_less() {
        let text = r#"{"peer_url": "http://a", "version": "9", "colour": {"of": ["the", 1]}}"#;
        let expected = Facts {
            peer_url: "http://a".into(),
            version: "9".into(),
            ..Facts::default()
        };
        assert_eq!(Facts::from_json(text).unwrap(), expected);
    }

    #[track_caller]
    fn check_refused(text: &str, words: &str) {
        let error = Facts::from_json(text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn facts_have_limits() {
        check_refused("", "can't be parsed");
        check_refused("{}", "peer_url");
        check_refused(r#"{"peer_url": "a"}"#, "version");
        check_refused(r#"{"peer_url": "a", "version": "b", "room": -1}"#, "-1");
        check_refused(&" ".repeat(MOST_FACTS_BYTES + 1), "all of them");
        let with = |change: fn(&mut Facts)| {
            let mut all = facts();
            change(&mut all);
            all.to_json()
        };
        check_refused(&with(|f| f.peer_url = "x".repeat(2049)), "peer_url");
        check_refused(
            &with(|f| f.direct_url = Some("x".repeat(2049))),
            "direct_url",
        );
        check_refused(&with(|f| f.version = "x".repeat(2049)), "version");
        check_refused(&with(|f| f.settings = "x".repeat(2049)), "settings");
        check_refused(&with(|f| f.shells = vec!["x".into(); 65]), "shells");
        let many = |f: &mut Facts| f.stock = (0..65).map(|n| (n.to_string(), n)).collect();
        check_refused(&with(many), "stock");
        let most = with(|f| {
            f.peer_url = "x".repeat(2048);
            f.shells = vec!["x".into(); 64];
        });
        Facts::from_json(&most).unwrap();
    }

    #[test]
    fn instances_are_found_by_number_and_by_name() {
        let table = Arc::new(Table::default());
        let mut reader = Reader::new(Arc::clone(&table));
        let both = [
            lease("b", 1, 7, State::Up),
            lease("a", 2, 8, State::Draining),
        ];
        assert!(reader.read(&look(&both)).is_some());
        assert_eq!(reader.read(&look(&both)), None);
        let latest = table.latest();
        let names: Vec<&str> = latest.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(latest.numbered(1), latest.named("b"));
        assert_eq!(latest.numbered(2).unwrap().state, State::Draining);
        assert_eq!(latest.numbered(2).unwrap().facts, facts());
        assert_eq!((latest.numbered(3), latest.named("c")), (None, None));
        let later = [lease("b", 1, 7, State::Buried)];
        let changed = reader.read(&look(&later)).unwrap();
        assert_eq!(changed.named("a"), None);
        assert_eq!(table.latest(), changed);
    }

    #[test]
    fn a_beat_alone_changes_nothing() {
        let mut reader = Reader::default();
        let mut one = lease("a", 1, 1, State::Up);
        assert!(reader.read(&look(std::slice::from_ref(&one))).is_some());
        one.beat += 1;
        assert_eq!(reader.read(&look(&[one])), None);
    }

    #[test]
    fn a_number_that_two_have_means_the_one_that_lives() {
        let check = |leases: &[Lease], expected: &str| {
            let mut reader = Reader::default();
            let instances = reader.read(&look(leases)).unwrap();
            assert_eq!(instances.numbered(1).unwrap().name, expected);
        };
        let (old, new) = (lease("old", 1, 1, State::Up), lease("new", 1, 2, State::Up));
        let buried = lease("new", 1, 2, State::Buried);
        check(&[old.clone(), new.clone()], "new");
        check(&[new, old.clone()], "new");
        check(&[old.clone(), buried.clone()], "old");
        check(&[buried, old], "old");
    }

    #[test]
    fn what_can_t_be_read_is_left_out_and_told_once() {
        let mut reader = Reader::default();
        let mut broken = lease("a", 1, 1, State::Up);
        broken.facts = "no JSON".into();
        let mut both = look(&[broken, lease("b", 2, 2, State::Up)]);
        both.unreadable = vec!["c".into()];
        let instances = reader.read(&both).unwrap();
        assert_eq!(instances.iter().count(), 1);
        let warned = BTreeSet::from(["a".to_owned(), "c".to_owned()]);
        assert_eq!(reader.is_warned_of, warned);
        // It is of this size however many names come by.
        reader.read(&look(&[]));
        assert_eq!(reader.is_warned_of, BTreeSet::new());
    }
}
