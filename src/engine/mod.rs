//! Speaks the Docker Engine's HTTP API over a Unix socket. Knows nothing of players, pages or WebSockets.
//!
//! ```text
//! client ──ordinary calls──▶ call ──▶ ureq ──▶ transport ──▶ Unix socket
//!    └─────attach, events───▶ attach, events ─────┘
//! ```
//!
//! `client` makes the calls; `containers`, `archives` and `images` have a function for each of them; `host` reads where the
//! Engine listens, `path` makes the paths of calls, `answer` reads answers that are not plain JSON; `dialect` chooses the
//! API version; `podman` has the one call that Podman does in its own way; `metrics` counts the calls.

mod answer;
mod archives;
mod attach;
mod call;
mod client;
mod containers;
mod dialect;
pub mod error;
mod events;
mod host;
mod images;
pub mod metrics;
pub mod operation;
mod path;
mod podman;
#[doc(hidden)]
pub mod probe;
mod transport;
pub mod types;

pub use attach::{Attach, AttachReader};
pub use call::agent_at;
pub use client::{Engine, Watcher};
pub use dialect::Unfinished;
pub use error::{Error, HostError};
pub use events::{Events, EventsCloser};
pub use metrics::Metrics;
pub use types::{ContainerId, Event, Inspection, PathStat, Ping, Size, SystemInfo, Version};
