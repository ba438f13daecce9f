//! All books together: what they take, whether there is room for more, and which expire.
//!
//! No threads of its own: requests ask for room, and the librarian's thread counts and removes.

use std::time::SystemTime;

use super::Directory;
use super::books::Version;
use crate::auth::PlayerId;
use crate::session::store::{Error, Shelf, Tending, room_of};

impl Directory {
    /// Whether a player who has these versions may have one more.
    pub(super) fn find_room(&self, player: &PlayerId, kept: &[Version]) -> Result<(), Error> {
        let taken = *self.book_bytes.lock();
        match (self.quota_bytes, taken) {
            (Some(quota_bytes), Some(taken))
                if kept.is_empty() && !player.is_always_kept() && taken >= quota_bytes =>
            {
                Err(Error::NoRoom { quota_bytes })
            }
            _ => Ok(()),
        }
    }

    /// Counts one player's books, or removes all of them if they are too old.
    pub(super) fn tend(&self, player: &PlayerId, tending: &Tending) -> Result<Shelf, Error> {
        let _guard = self.guard(player);
        let name = player.to_string();
        let Some(folder) = self.books.existing_folder(&name, "DATA_DIR/books")? else {
            return Ok(Shelf::default());
        };
        let plays = tending.in_use.contains(player);
        if plays && !tending.is_trial {
            folder.touch()?;
        }
        let names = folder.names()?;
        let files = names
            .iter()
            .filter(|name| !matches!(name.as_str(), "." | ".."));
        let age = SystemTime::now().duration_since(folder.used_at()?);
        let age = age.unwrap_or_default();
        let is_old = tending.expiry.is_some_and(|most| age >= most);
        let mut expired = 0;
        if is_old && player.may_expire() && !plays {
            if !tending.is_trial {
                for file in files {
                    folder.remove(file)?;
                }
                self.books.remove_folder(&name)?;
                return Ok(Shelf {
                    expired: 1,
                    ..Shelf::default()
                });
            }
            expired = 1;
        }
        let mut bytes = 0;
        for file in files {
            bytes += folder.size(file)?.map_or(0, |(bytes, _)| room_of(bytes));
        }
        Ok(Shelf {
            players: 1,
            bytes,
            expired,
        })
    }
}
