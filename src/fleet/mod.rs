//! A fleet: many instances of the server behind one address, each with an Engine of its own, beside one Redis.
//!
//! An **instance** is a server with its Engine, by the name that `INSTANCE` gives it; a **lease** is what it says of itself
//! in Redis; an **epoch** numbers one life of an instance; a **buried** instance is one whose epoch the others have closed,
//! because it was silent. The **front** is the instance that a request lands on; the **home** of a session is the one whose
//! Engine has its container.
//!
//! * [`roster`]: everything that is said to Redis. * [`record`]: how it is written there. * [`lease`]: the decisions, which
//!   know no clock. * [`table`]: the instances as of the last look.
//! * [`beat`], [`ears`]: the threads (`fleet-beat`, `fleet-ears`). * [`host`]: what the heartbeat asks and tells.
//! * [`secret`]: what all instances know, and no stranger. * [`hello`]: the proof of who is at the other end.
//! * [`front`]: whose a session is. * [`dial`]: the way to another instance. * [`relay`]: a player's bytes, there and back,
//!   on the thread of the connection that it serves.
//! * [`metrics`]: what is counted.

pub mod beat;
pub mod dial;
pub mod ears;
pub mod front;
pub mod hello;
pub mod host;
pub mod lease;
pub mod metrics;
pub mod record;
pub mod relay;
pub mod roster;
mod scripts;
pub mod secret;
pub mod table;

pub use metrics::Metrics;
