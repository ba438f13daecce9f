//! `revoked.json`: the players whose logins are revoked, and since when.
//!
//! No threads of its own; its callers hold the file's stripe.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::folder::Found;
use super::{Directory, REVOKED};
use crate::auth::PlayerId;
use crate::session::store::{Error, FORMAT};

/// The list of [`REVOKED_MOST`](crate::session::store::REVOKED_MOST) players takes less than this.
const REVOKED_LIMIT_BYTES: usize = 2 * 1024 * 1024;

/// `revoked.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RevokedFile {
    /// The layout; see [`FORMAT`].
    format: u32,
    /// Since when, in milliseconds since 1970.
    pub(super) players: BTreeMap<PlayerId, u64>,
}

impl Default for RevokedFile {
    fn default() -> RevokedFile {
        RevokedFile {
            format: FORMAT,
            players: BTreeMap::new(),
        }
    }
}

impl Directory {
    pub(super) fn read_revoked(&self) -> Result<RevokedFile, Error> {
        let odd = |cause: String| {
            Error::Unavailable(format!(
                "DATA_DIR/{REVOKED} can't be read ({cause}): bring it back from a backup, or remove it, and logins that \
                 were revoked count again"
            ))
        };
        match self.root.read(REVOKED, REVOKED_LIMIT_BYTES)? {
            Found::Nothing => Ok(RevokedFile::default()),
            Found::Odd(cause) => Err(odd(cause)),
            Found::Whole(text, _) => {
                let file: RevokedFile =
                    serde_json::from_slice(&text).map_err(|cause| odd(cause.to_string()))?;
                let (what, found) = (format!("DATA_DIR/{REVOKED}"), file.format);
                (found <= FORMAT)
                    .then_some(file)
                    .ok_or(Error::Newer { what, found })
            }
        }
    }

    pub(super) fn write_revoked(&self, kept: &RevokedFile) -> Result<(), Error> {
        // Texts and numbers can always be written as JSON.
        let text = serde_json::to_vec_pretty(kept).unwrap_or_default();
        self.write(&self.root, REVOKED, &text)
    }
}
