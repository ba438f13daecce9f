//! A fleet: many instances of the server behind one address, each with an Engine of its own, beside one Redis.
//!
//! No threads of its own: a relay runs on the thread of the connection that it serves.
//!
//! * [`secret`]: what all instances know, and no stranger. * [`hello`]: the proof of who is at the other end.
//! * [`dial`]: the way to another instance. * [`relay`]: a player's bytes, there and back.

pub mod dial;
pub mod hello;
pub mod relay;
pub mod secret;
