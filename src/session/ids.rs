//! The names of sessions: a UUIDv4 for its owner and the store, a short name for the log.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::{Uuid, Variant};

use crate::logging::names;

/// A session's id: a UUIDv4 (RFC 9562 §5.4), in its hyphenated lower-case form.
///
/// INVARIANT: printing an id, by `{}` or `{:?}`, gives its short name, which may stand in any log. The whole id, which
/// opens the session, has to be asked for with [`SessionId::to_text`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(pub Uuid);

impl SessionId {
    /// A new random id: 122 bits that no one can guess.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// A new random id that says where its session is, if that has a number: then 110 bits that no one can guess.
    pub fn random_at(home: Option<HomeNumber>) -> Self {
        let Some(home) = home else {
            return Self::random();
        };
        let mut bytes = Uuid::new_v4().into_bytes();
        let [high, low] = home.get().to_be_bytes();
        // The version, which is the upper half of this byte, stays.
        bytes[HOME_AT] = bytes[HOME_AT] & 0xf0 | high;
        bytes[HOME_AT + 1] = low;
        Self(Uuid::from_bytes(bytes))
    }

    /// The number of the instance that has the session. Only a server in a fleet may ask: ids that were made without one
    /// have random bits there, and so any number, or none.
    pub fn home(self) -> Option<HomeNumber> {
        let bytes = self.0.as_bytes();
        HomeNumber::new(u16::from_be_bytes([
            bytes[HOME_AT] & 0x0f,
            bytes[HOME_AT + 1],
        ]))
    }

    /// The whole id: for addresses, answers to its owner, and the store.
    pub fn to_text(self) -> String {
        self.0.to_string()
    }

    /// The session's name in the log and in the operator's lists: see [`names`].
    pub fn log_name(self) -> String {
        names::short(&self.to_text())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.log_name())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SessionId({})", self.log_name())
    }
}

/// Where an id's third group is: the version's four bits, and twelve more.
const HOME_AT: usize = 6;

/// An instance's number in its fleet: 1 to 4095, as many as three hexadecimal digits hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct HomeNumber(NonZeroU16);

impl HomeNumber {
    /// The highest.
    pub const MOST: u16 = 0x0fff;
    /// How many hexadecimal digits it has in an id and in a watch link's secret.
    pub const DIGITS: usize = 3;

    /// None for what is no instance's number.
    pub fn new(number: u16) -> Option<Self> {
        let number = NonZeroU16::new(number)?;
        (number.get() <= Self::MOST).then_some(Self(number))
    }

    /// As a number.
    pub fn get(self) -> u16 {
        self.0.get()
    }

    /// The three digits that follow the version in an id: `001` to `fff`.
    pub fn digits(self) -> String {
        format!("{:03x}", self.get())
    }
}

impl fmt::Display for HomeNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(out)
    }
}

/// The error for a number that no instance has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an instance's number is 1 to {}", HomeNumber::MOST)]
pub struct NotAHome;

impl TryFrom<u16> for HomeNumber {
    type Error = NotAHome;

    fn try_from(number: u16) -> Result<Self, NotAHome> {
        Self::new(number).ok_or(NotAHome)
    }
}

impl From<HomeNumber> for u16 {
    fn from(home: HomeNumber) -> u16 {
        home.get()
    }
}

/// The error for a text that is not a session id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUIDv4")]
pub struct NotAnId;

impl FromStr for SessionId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let id = Uuid::try_parse(text).map_err(|_| NotAnId)?;
        // `try_parse` accepts braces, URNs and capitals too; but a session has only one URL.
        let is_canonical = id.get_version_num() == 4
            && id.get_variant() == Variant::RFC4122
            && id.to_string() == text;
        if is_canonical {
            Ok(Self(id))
        } else {
            Err(NotAnId)
        }
    }
}

/// What is read from a store is checked as strictly as what is read from a URL.
impl TryFrom<String> for SessionId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        text.parse()
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> String {
        id.to_text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_uuid_v4_is_an_id() {
        let id = SessionId::random();
        assert_eq!(id.to_text().parse(), Ok(id));
        for printed in [format!("{id}"), format!("{id:?}"), format!("{id:>50}")] {
            assert!(!printed.contains(&id.to_text()), "{printed}");
            assert!(printed.contains(&id.log_name()), "{printed}");
        }
        for text in [
            "",
            "1",
            "00000000-0000-0000-0000-000000000000",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "F47AC10B-58CC-4372-A567-0E02B2C3D479",
            "{f47ac10b-58cc-4372-a567-0e02b2c3d479}",
            "f47ac10b58cc4372a5670e02b2c3d479",
            "f47ac10b-58cc-4372-a567-0e02b2c3d479/",
            "../../../../../../../../etc/passwd",
        ] {
            assert_eq!(text.parse::<SessionId>(), Err(NotAnId), "{text}");
        }
    }

    #[test]
    fn a_home_s_number_is_1_to_4095() {
        let numbers = [
            (0, false),
            (1, true),
            (4095, true),
            (4096, false),
            (u16::MAX, false),
        ];
        for (number, is_one) in numbers {
            assert_eq!(HomeNumber::new(number).is_some(), is_one, "{number}");
            let stored = serde_json::from_str::<HomeNumber>(&number.to_string());
            assert_eq!(stored.ok(), HomeNumber::new(number));
        }
    }

    #[test]
    fn an_id_says_where_its_session_is_and_is_an_id_like_any_other() {
        for number in 1..=HomeNumber::MOST {
            let home = HomeNumber::new(number).expect("1 to 4095");
            let id = SessionId::random_at(Some(home));
            assert_eq!(id.home(), Some(home));
            let text = id.to_text();
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(text[14..18], format!("4{}", home.digits()));
        }
        let text = "f47ac10b-58cc-4001-a567-0e02b2c3d479";
        let id: SessionId = text.parse().expect("an id");
        assert_eq!(id.home().map(HomeNumber::get), Some(1));
        let without: SessionId = text.replace("4001", "4000").parse().expect("an id");
        assert_eq!(without.home(), None);
    }

    /// The bits that differ between many ids are all but those of the version, the variant and the home.
    #[test]
    fn all_other_bits_stay_random() {
        let differing = |home: Option<HomeNumber>| {
            let first = SessionId::random_at(home).0.as_u128();
            let others = (0..200).map(|_| SessionId::random_at(home).0.as_u128() ^ first);
            others.fold(0, |all, one| all | one)
        };
        let fixed = 0xf000_c000_0000_0000_0000_u128;
        assert_eq!(differing(None), !fixed);
        assert_eq!(differing(None).count_ones(), 122);
        for number in [1, 0x0555, HomeNumber::MOST] {
            let differing = differing(HomeNumber::new(number));
            assert_eq!(differing, !(fixed | 0x0fff_0000_0000_0000_0000));
            assert_eq!(differing.count_ones(), 110);
        }
    }
}
