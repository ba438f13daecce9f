//! Many instances behind one address, which know of each other by what each of them says in Redis.
//!
//! An **instance** is a server with its Engine, by the name that `INSTANCE` gives it; a **lease** is what it says of itself
//! in Redis; an **epoch** numbers one life of an instance; a **buried** instance is one whose epoch the others have closed,
//! because it was silent. [`roster`] is everything that is said to Redis, [`lease`] decides and knows no clock, and the
//! threads are in [`beat`] (`fleet-beat`) and [`ears`] (`fleet-ears`).

pub mod beat;
pub mod ears;
pub mod lease;
pub mod record;
pub mod roster;
mod scripts;
pub mod table;
