//! All books together: what they take, whether there is room for more, and which expire.
//!
//! No threads of its own: requests ask for room, and the librarian's thread counts and removes.

use std::time::SystemTime;

use super::Directory;
use super::books::{Version, versions};
use crate::auth::PlayerId;
use crate::session::store::{BookEntry, Error, Shelf, Tending, room_of, those_after};
use crate::warn_throttled;

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
    fn tend(&self, player: &PlayerId, tending: &Tending) -> Result<Shelf, Error> {
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

    /// Counts all books, and removes those that are too old.
    pub(super) fn tend_all(&self, tending: &Tending) -> Result<Shelf, Error> {
        let mut shelf = Shelf::default();
        let mut failed = None;
        for name in self.books.names()? {
            let Ok(player) = PlayerId::try_from(name) else {
                continue;
            };
            if !(tending.goes_on)() {
                return Ok(shelf);
            }
            match self.tend(&player, tending) {
                Ok(one) => {
                    shelf.players += one.players;
                    shelf.bytes += one.bytes;
                    shelf.expired += one.expired;
                }
                // Something other than a directory has this name, or the disk has a bad sector: the other players'
                // books are counted all the same.
                Err(error) => {
                    warn_throttled!("the spellbooks of {player} are not counted: {error}");
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if shelf == Shelf::default() => Err(error),
            _ => {
                *self.book_bytes.lock() = Some(shelf.bytes);
                Ok(shelf)
            }
        }
    }

    /// The first `most` books of players who come after `after`.
    pub(super) fn list_shelf(
        &self,
        after: Option<&PlayerId>,
        most: usize,
    ) -> Result<Vec<BookEntry>, Error> {
        // Directories whose names are no player's are left out.
        let names = self.books.names()?.into_iter();
        let players = names.filter_map(|name| PlayerId::try_from(name).ok());
        let mut entries = Vec::new();
        for player in those_after(players.collect(), after) {
            if entries.len() == most {
                break;
            }
            // What is not a directory holds no player's books either.
            let Ok(Some(folder)) = self
                .books
                .existing_folder(&player.to_string(), "DATA_DIR/books")
            else {
                continue;
            };
            let newest = versions(&folder.names()?).into_iter().next();
            let Some(newest) = newest else { continue };
            if let Some((bytes, saved_at)) = folder.size(&newest.name())? {
                entries.push(BookEntry {
                    player,
                    bytes,
                    saved_at,
                });
            }
        }
        Ok(entries)
    }
}
