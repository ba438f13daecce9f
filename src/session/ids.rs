//! The names of sessions: a UUIDv4 for its owner and the store, a short name for the log.

use std::fmt;
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
}
