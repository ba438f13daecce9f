//! Joins browsers to a container's terminal.
//!
//! ```text
//!              reader thread (viewer)                          Input (hub)
//! browser ──── frames ───────────────▶ keys, resize, ack ────────────────▶ attach socket
//! browser ◀─── frames ─── writer thread (viewer) ◀── scrollback ◀── pump ◀─ attach socket
//!                                          ▲   wake-ups   │
//!                                          └──────────────┘
//! ```
//!
//! * [`hub`]: one per container: the locks, and who is woken. [`state`]: the data behind them, and the decisions. No
//!   I/O.
//! * [`pump`]: fills the scrollback, and holds the program back when its player lags.
//! * [`viewer_state`]: what a viewer was sent, what it must be told. No I/O. [`viewer_handle`]: its place at a hub.
//! * [`input`]: keys on their way to the container.
//! * [`scrollback`], [`past`]: the last bytes a container wrote, and the screen as it was before them. No I/O.
//! * [`emulator`]: a terminal that shows what the page's does. [`aging`] keeps it away from the hub's lock.
//! * [`answering`]: answers a program's questions to its terminal while no player is there.
//! * [`budget`]: what one client and one terminal may use up, of bytes and of time.
//! * [`recording`]: the output as an asciicast. No I/O.
//! * [`typists`]: at which of a server's terminals players type.
//! * [`viewer`]: one per WebSocket: the connection's own thread reads, a second one writes ([`ws_writer`]).
//! * [`split`]: how one WebSocket is safely used by those two threads.
//! * [`frame`]: the wire language of `shellcraft.v1`. No I/O. [`notice`]: its sentences for players.
//! * [`upgrade`]: the opening handshake. * [`metrics`]: what all terminals together count.
//!
//! Bytes do not travel through channels: a viewer's writer copies what it has not sent yet from the one scrollback, and
//! [`wakeup`] only says "look again". So the memory is one scrollback per session however many viewers there are,
//! output that waits goes out in a few large frames, and a viewer that resumes only begins at another offset.
//!
//! Nothing here knows Docker's JSON or the session map.

pub mod aging;
pub mod answering;
pub mod budget;
pub mod emulator;
pub mod frame;
pub mod hub;
pub mod input;
pub mod metrics;
pub mod notice;
pub mod parked_writer;
pub mod past;
pub mod present;
pub mod pump;
pub mod recording;
pub mod scrollback;
pub mod snapshot;
pub mod split;
pub mod state;
pub mod typists;
pub mod upgrade;
pub mod viewer;
pub mod viewer_handle;
pub mod viewer_state;
pub mod wakeup;
mod ws_writer;

pub use frame::{Close, Role};
pub use hub::Hub;
pub use metrics::Metrics;
