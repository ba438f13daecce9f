//! Players' spellbooks on their way between containers and the store: read and written as archives, saved, joined where two
//! games have changed one, counted, and removed when they are too old.

pub mod archive;
mod in_container;
pub mod join;
pub(super) mod ledger;
pub mod metrics;
pub(super) mod requests;
pub(super) mod save;
pub(super) mod saver;
pub(super) mod shelf;
pub(super) mod slot;
