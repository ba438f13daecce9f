//! Speaks the Docker Engine's HTTP API over a Unix socket. Knows nothing of players, pages or WebSockets.

pub mod error;
pub mod types;

pub use error::Error;
pub use types::{ContainerId, Size};
