//! Decides which player or operator is behind a request, from what the request shows. No threads, and no sockets except
//! the one to an address with public keys.
//!
//! ```text
//!   cookie ────────┐
//!   Authorization ─┼─▶ Gate ──▶ Identity { player, operator, until when } ──▶ may this identity have that session?
//!   ticket ────────┘     ▲
//!                        └── key of the cookies, or key of the tokens (a secret, a public key, a JWKS address)
//! ```
//!
//! * [`gate`]: the decision, for `AUTH=anonymous` and `AUTH=jwt`. * [`cookie`]: signed cookies.
//! * [`jwt`]: what a token must be like; [`key`]: what checks it; [`jwks`]: public keys from an address; [`crypto`]: the
//!   mathematics behind them.
//! * [`owner`]: who owns something. * [`player`]: the secret by which a browser is recognised.
//! * [`desk`]: browsers in which an operator has logged in.
//! * [`secret`]: random, hashed, compared.
//!
//! This module knows nothing of HTTP servers and Docker.

pub mod cookie;
pub mod crypto;
pub mod desk;
pub mod error;
pub mod gate;
pub mod jwks;
pub mod jwt;
pub mod key;
pub mod owner;
pub mod player;
pub mod probe;
pub mod secret;

pub use cookie::CookieKey;
pub use error::Refusal;
pub use gate::{Gate, Identity, Mode, Settings, Shown};
pub use owner::{BadPlayerId, Owner, PlayerId};
pub use player::PlayerSecret;
pub use secret::{bearer, digest, digest_bytes, is_same_secret, new_token};
