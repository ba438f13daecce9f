//! Records as they lie in Redis: read by their ids, and set aside where something else lies there.
//!
//! No threads of its own.

use std::collections::HashSet;

use ::redis::{Cmd, FromRedisValue, Value, cmd};
use log::warn;

use super::{IDS_AT_ONCE, Redis, scripts};
use crate::redis::lease_key;
use crate::session::SessionId;
use crate::session::store::record::{self, Unreadable};
use crate::session::store::{Error, RECORD_LIMIT_BYTES, Record};

/// What was found under a record's key.
pub(super) enum Lookup {
    Empty,
    /// A record, and the text it was read from.
    Record(Box<Record>, Vec<u8>),
    /// Something that is no record, and was set aside.
    Broken,
}

impl Redis {
    /// Runs a script on one record. Its keys are the record, the set of ids and those in `more`; `fill` adds what else it
    /// is given. In a fleet it refuses to do anything once this life of the server is over.
    pub(super) fn run<T: FromRedisValue>(
        &self,
        script: &str,
        id: SessionId,
        more: &[String],
        fill: impl FnOnce(&mut Cmd),
    ) -> Result<T, Error> {
        let holder = self.holder()?;
        let mut command = cmd("EVAL");
        let keys = 2 + more.len();
        match &holder {
            Some(_) => command
                .arg(format!("{}{script}", scripts::LEASE_FENCE))
                .arg(keys + 1),
            None => command.arg(script).arg(keys),
        };
        command
            .arg(self.key("session", &id.to_text()))
            .arg(self.index())
            .arg(more);
        if let Some(holder) = &holder {
            command.arg(lease_key(&holder.instance));
        }
        fill(&mut command);
        if let Some(holder) = &holder {
            command.arg(holder.epoch);
        }
        self.call(&command)
    }

    /// What is in the places of these records. What is broken is set aside.
    pub(super) fn read(&self, ids: &[SessionId]) -> Result<Vec<Lookup>, Error> {
        let mut command = cmd("EVAL");
        command.arg(scripts::READ).arg(ids.len());
        for id in ids {
            command.arg(self.key("session", &id.to_text()));
        }
        // `GETRANGE` includes the byte at its end: one byte more than a record may have shows that it is too long.
        command.arg(RECORD_LIMIT_BYTES);
        let found: Vec<Value> = self.call(&command)?;
        ids.iter()
            .zip(found)
            .map(|(id, value)| self.place(*id, value))
            .collect()
    }

    pub(super) fn place(&self, id: SessionId, value: Value) -> Result<Lookup, Error> {
        let (text, cause) = match value {
            Value::Nil => return Ok(Lookup::Empty),
            Value::BulkString(text) => match record::decode_of(id, &text) {
                Ok(record) if record.instance == self.instance => {
                    return Ok(Lookup::Record(Box::new(record), text));
                }
                Ok(_) => (text, "it is the record of another instance".to_owned()),
                Err(Unreadable::Broken(cause)) => (text, cause),
                Err(Unreadable::Newer { found, .. }) => {
                    let what = self.key("session", &id.to_text());
                    return Err(Error::Newer { what, found });
                }
            },
            _ => (Vec::new(), "it is not a string".to_owned()),
        };
        // The line does not name the key, whose name has the session's whole id in it: no line of the log has that.
        let aside = self.key("broken", "*");
        if self.set_aside(id, &text)? {
            warn!("session={id} its record can't be read and is one of {aside} now: {cause}");
        }
        Ok(Lookup::Broken)
    }

    /// Sets aside what was read as `text`, or forgets the id of what is gone.
    pub(super) fn set_aside(&self, id: SessionId, text: &[u8]) -> Result<bool, Error> {
        let aside = [self.key("broken", &id.to_text())];
        self.run(scripts::SET_ASIDE, id, &aside, |command| {
            command.arg(id.to_text()).arg(RECORD_LIMIT_BYTES).arg(text);
        })
    }

    /// The ids of this instance's records.
    pub(super) fn ids(&self) -> Result<Vec<SessionId>, Error> {
        let mut ids = HashSet::new();
        let mut cursor = 0u64;
        loop {
            let mut command = cmd("SSCAN");
            command.arg(self.index()).arg(cursor);
            command.arg("COUNT").arg(IDS_AT_ONCE);
            let (next, found): (u64, Vec<Vec<u8>>) = self.call(&command)?;
            let texts = found.into_iter().map(String::from_utf8);
            let found = texts.flatten().map(|text| text.parse::<SessionId>());
            ids.extend(found.flatten());
            if next == 0 {
                return Ok(ids.into_iter().collect());
            }
            cursor = next;
        }
    }
}
