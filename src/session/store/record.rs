//! What is kept of a session, and how it is written: JSON, one object each, read by a person or by a newer version of
//! this server.
//!
//! ```text
//!   bytes ──▶ JSON object ──▶ its format ──┬─ newer: refused, nothing is touched
//!                                          ├─ older: one migration after the other
//!                                          └─ ours ──▶ Record
//! ```
//!
//! There is no I/O here: each store reads and writes the bytes in its own way, and all decode them in the same way.

use log::warn;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Error, FORMAT, RECORD_LIMIT_BYTES};
use crate::auth::PlayerId;
use crate::engine::Size;
use crate::session::SessionId;
use crate::terminal::frame::is_size;

/// What is kept of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The layout; see [`FORMAT`].
    pub format: u32,
    /// Counts the updates, from 1. An update that overlooked another one is made again.
    pub revision: u64,
    /// The session.
    pub session_id: SessionId,
    /// The instance that the container belongs to.
    pub instance: String,
    /// The shell's name in the catalogue.
    pub shell: String,
    /// Whether it has a player yet.
    pub phase: Phase,
    /// The container's id at the Engine.
    pub container: String,
    /// What the container was made from. A container whose policy is another one is not given to new players.
    pub policy: String,
    /// The player whose spellbook is in it.
    pub player: Option<PlayerId>,
    /// Hash of the secret that the owner was given.
    pub token_hash: Option<String>,
    /// When the player got the session, or when the container was made if there is no player yet, in milliseconds since
    /// 1970.
    pub created_at_ms: u64,
    /// SHA-256 of the book, in hexadecimal, as it was in the container when it was put there or saved last. Older versions
    /// leave it out.
    #[serde(default)]
    pub book: Option<String>,
    /// What its terminal showed when the server stopped. Left out if the record would become too big with it.
    #[serde(default)]
    pub screen: Option<StoredScreen>,
}

/// Which phase a session's record describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Its container waits for a player.
    Prewarmed,
    /// It has a player.
    Claimed,
}

/// A terminal at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredScreen {
    /// Absolute offset of the output so far.
    pub offset: u64,
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
    /// Text and escape sequences that draw the screen on a terminal that was just reset.
    pub data: String,
    /// The first bytes of a character whose last bytes had not arrived yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<u8>,
    /// The last output before the offset, if no player's page has drawn it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undrawn: Option<StoredUndrawn>,
    /// The page that typed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typist: Option<StoredTypist>,
}

/// Output that no page has drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredUndrawn {
    /// Text and escape sequences that draw the terminal as it was before that output.
    pub data: String,
    /// The output, in base64 (RFC 4648 §4).
    pub output: String,
}

/// How many of a page's keys were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTypist {
    /// The page's own number, `client` in its address.
    pub page: Uuid,
    /// How many bytes of its keys had arrived.
    pub come: u64,
}

/// Takes a record to the next format, or says why that can't be.
type Migration = fn(Map<String, Value>) -> Result<Map<String, Value>, String>;

/// The first takes format 1 to 2, and so on. After [`FORMAT`] is raised, this compiles only with one more.
const MIGRATIONS: [Migration; FORMAT as usize - 1] = [];

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// A newer server has written it.
    Newer {
        /// Its format.
        found: u32,
        /// The instance that it belongs to, if that can still be read.
        instance: Option<String>,
    },
    /// It is damaged, or never was a record.
    Broken(String),
}

/// Reads a record of this format or of an older one.
///
/// # Errors
/// [`Unreadable`].
pub fn decode(bytes: &[u8]) -> Result<Record, Unreadable> {
    let broken = |error: serde_json::Error| Unreadable::Broken(error.to_string());
    if bytes.len() > RECORD_LIMIT_BYTES {
        return Err(Unreadable::Broken(format!(
            "it is above {RECORD_LIMIT_BYTES} bytes"
        )));
    }
    let fields: Map<String, Value> = serde_json::from_slice(bytes).map_err(broken)?;
    let fields = migrate(fields, &MIGRATIONS)?;
    let record: Record = serde_json::from_value(Value::Object(fields)).map_err(broken)?;
    Ok(Record {
        // Somebody who can write into the store could otherwise make a screen of 65,535 by 65,535, which no memory
        // holds.
        screen: record.screen.filter(|screen| {
            is_size(Size {
                cols: screen.cols,
                rows: screen.rows,
            })
        }),
        ..record
    })
}

/// Reads the record of this session.
///
/// # Errors
/// [`Unreadable`]; the record of another session counts as broken.
pub fn decode_of(id: SessionId, bytes: &[u8]) -> Result<Record, Unreadable> {
    let record = decode(bytes)?;
    if record.session_id == id {
        return Ok(record);
    }
    let other = record.session_id;
    Err(Unreadable::Broken(format!(
        "it is the record of session {other}"
    )))
}

/// Brings a record up to the format that is one above the number of migrations.
fn migrate(
    mut fields: Map<String, Value>,
    migrations: &[Migration],
) -> Result<Map<String, Value>, Unreadable> {
    let format = fields.get("format").and_then(Value::as_u64);
    let format = format.and_then(|number| u32::try_from(number).ok());
    let Some(found) = format.filter(|number| *number > 0) else {
        return Err(Unreadable::Broken("it has no format".into()));
    };
    let done = found as usize - 1;
    let Some(left) = migrations.get(done..) else {
        let instance = fields.get("instance").and_then(Value::as_str);
        let instance = instance.map(str::to_owned);
        return Err(Unreadable::Newer { found, instance });
    };
    for (next, migration) in (found + 1..).zip(left) {
        fields = migration(fields).map_err(Unreadable::Broken)?;
        fields.insert("format".into(), next.into());
    }
    Ok(fields)
}

/// A record as it is written, and its bytes. If the record is too big, the output that no page has drawn is left out,
/// and if it is still too big, the whole screen: after a restart a session without its screen goes on, and one without
/// its record does not.
///
/// # Errors
/// [`Error::TooBig`] when it is too big even so.
pub fn encode(mut record: Record) -> Result<(Record, Vec<u8>), Error> {
    let mut bytes = to_json(&record)?;
    if bytes.len() > RECORD_LIMIT_BYTES
        && let Some(screen) = &mut record.screen
        && screen.undrawn.take().is_some()
    {
        bytes = to_json(&record)?;
    }
    if bytes.len() > RECORD_LIMIT_BYTES && record.screen.take().is_some() {
        let id = record.session_id;
        warn!("session={id} the screen is left out of its record: they are too big together");
        bytes = to_json(&record)?;
    }
    if bytes.len() > RECORD_LIMIT_BYTES {
        return Err(Error::TooBig);
    }
    Ok((record, bytes))
}

fn to_json(record: &Record) -> Result<Vec<u8>, Error> {
    let mut bytes = serde_json::to_vec_pretty(record)
        .map_err(|error| Error::Unavailable(format!("a record can't be written down: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The record after one more update.
pub fn updated(old: &Record, change: &mut dyn FnMut(&mut Record)) -> Record {
    let mut new = old.clone();
    change(&mut new);
    new.format = FORMAT;
    new.revision = old.revision.saturating_add(1);
    new.session_id = old.session_id;
    new.instance.clone_from(&old.instance);
    new
}

#[cfg(test)]
mod tests {
    use super::super::{Phase, StoredScreen, StoredUndrawn};
    use super::*;

    fn record() -> Record {
        Record {
            format: FORMAT,
            revision: 1,
            session_id: SessionId::random(),
            instance: "test".into(),
            shell: "rust".into(),
            phase: Phase::Prewarmed,
            container: "c".into(),
            policy: "p".into(),
            player: None,
            token_hash: None,
            created_at_ms: 1,
            book: None,
            screen: None,
        }
    }

    /// What a record with this change in its JSON is taken for.
    #[track_caller]
    fn check(change: fn(&mut Map<String, Value>), expected: &str) {
        let (_, bytes) = encode(record()).unwrap();
        let mut fields: Map<String, Value> = serde_json::from_slice(&bytes).unwrap();
        change(&mut fields);
        let taken_for = match decode(&serde_json::to_vec(&fields).unwrap()) {
            Ok(_) => "a record".to_owned(),
            Err(unreadable) => format!("{unreadable:?}"),
        };
        assert!(taken_for.contains(expected), "{taken_for}");
    }

    fn set(fields: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
        fields.insert(name.into(), value.into());
    }

    #[test]
    fn reading() {
        check(|_| {}, "a record");
        check(|fields| set(fields, "added_later", 1), "a record");
        check(|fields| drop(fields.remove("screen")), "a record");
        check(|fields| drop(fields.remove("shell")), "missing field");
        check(|fields| drop(fields.remove("format")), "no format");
        check(|fields| set(fields, "format", 0), "no format");
        check(|fields| set(fields, "format", "1"), "no format");
        check(
            |fields| set(fields, "format", 2),
            r#"Newer { found: 2, instance: Some("test") }"#,
        );
        check(
            |fields| *fields = Map::from_iter([("format".to_owned(), 9.into())]),
            "Newer { found: 9, instance: None }",
        );
        check(|fields| set(fields, "phase", "lost"), "unknown variant");
        check(|fields| set(fields, "player", "../etc"), "player's name");
        check(|fields| set(fields, "session_id", "x"), "not a UUIDv4");
        let capitals = "6F2C7F0E-7D4B-4C3A-9D0B-3F7E0B1C2D3E";
        assert!(capitals.to_lowercase().parse::<SessionId>().is_ok());
        check(
            |fields| set(fields, "session_id", "6F2C7F0E-7D4B-4C3A-9D0B-3F7E0B1C2D3E"),
            "not a UUIDv4",
        );
    }

    #[test]
    fn a_screen_that_no_terminal_can_have_is_left_out() {
        for (cols, rows, is_kept) in [
            (80, 24, true),
            (1000, 100, true),
            (1000, 101, false),
            (0, 24, false),
            (65_535, 65_535, false),
        ] {
            let mut record = record();
            record.screen = Some(StoredScreen {
                offset: 1,
                cols,
                rows,
                data: "x".into(),
                open: Vec::new(),
                undrawn: None,
                typist: None,
            });
            let (_, bytes) = encode(record).unwrap();
            let kept = decode(&bytes).unwrap().screen.is_some();
            assert_eq!(kept, is_kept, "{cols} by {rows}");
        }
    }

    #[test]
    fn what_is_no_json_is_broken() {
        let (_, whole) = encode(record()).unwrap();
        for length in 0..whole.len() - 1 {
            let half = decode(&whole[..length]);
            // The last byte is a line's end.
            let is_broken = matches!(half, Err(Unreadable::Broken(_)));
            assert!(is_broken || length == whole.len() - 1, "{length}: {half:?}");
        }
        for odd in [&b"[]"[..], b"null", b"\xff\xfe", &b"[".repeat(100_000)] {
            assert!(matches!(decode(odd), Err(Unreadable::Broken(_))));
        }
        let mut long = whole;
        long.resize(RECORD_LIMIT_BYTES + 1, b' ');
        assert!(matches!(decode(&long), Err(Unreadable::Broken(_))));
    }

    #[test]
    fn older_ones_are_migrated_step_by_step() {
        let migrations: [Migration; 2] = [
            |mut fields| {
                fields.insert("colour".into(), "red".into());
                Ok(fields)
            },
            |mut fields| {
                let colour = fields.remove("colour").ok_or("it has no colour")?;
                fields.insert("color".into(), colour);
                Ok(fields)
            },
        ];
        let of = |format: u32| Map::from_iter([("format".to_owned(), Value::from(format))]);
        let text = |fields| serde_json::to_string(&Value::Object(fields)).unwrap();
        let newest = r#"{"color":"red","format":3}"#;
        assert_eq!(migrate(of(1), &migrations).map(text), Ok(newest.into()));
        assert_eq!(
            migrate(of(2), &migrations).map(text),
            Err(Unreadable::Broken("it has no colour".into()))
        );
        assert_eq!(migrate(of(3), &migrations), Ok(of(3)));
        assert!(matches!(
            migrate(of(4), &migrations),
            Err(Unreadable::Newer { found: 4, .. })
        ));
    }

    #[test]
    fn a_screen_that_does_not_fit_is_left_out() {
        let mut big = record();
        let screen = |length| StoredScreen {
            offset: 1,
            cols: 80,
            rows: 24,
            data: "x".repeat(length),
            open: Vec::new(),
            undrawn: None,
            typist: None,
        };
        big.screen = Some(screen(RECORD_LIMIT_BYTES / 2));
        assert_eq!(encode(big.clone()).unwrap().0, big);
        let undrawn = StoredUndrawn {
            data: "x".repeat(RECORD_LIMIT_BYTES),
            output: String::new(),
        };
        big.screen.as_mut().unwrap().undrawn = Some(undrawn);
        let kept = encode(big.clone()).unwrap().0.screen;
        assert_eq!(kept, Some(screen(RECORD_LIMIT_BYTES / 2)), "the picture");
        big.screen = Some(screen(RECORD_LIMIT_BYTES));
        let (kept, bytes) = encode(big.clone()).unwrap();
        assert_eq!(kept.screen, None);
        assert_eq!(decode(&bytes), Ok(kept));
        big.policy = "x".repeat(RECORD_LIMIT_BYTES);
        assert!(matches!(encode(big), Err(Error::TooBig)));
    }

    #[test]
    fn an_update_counts_and_keeps_what_names_it() {
        let old = record();
        let new = updated(&old, &mut |record| {
            record.revision = 99;
            record.session_id = SessionId::random();
            record.instance = "other".into();
            record.shell = "perl".into();
        });
        let mut expected = old;
        expected.revision = 2;
        expected.shell = "perl".into();
        assert_eq!(new, expected);
    }
}
