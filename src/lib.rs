//! ShellCraft: a game played at a real shell prompt, from a browser.
//!
//! ```text
//!             ┌─ http ──────── tiny_http: REST, pages, metrics ─┐
//!  stranger ─▶ door                                             ├─▶ session ─▶ engine ─▶ Docker Engine
//!             └─ terminal ──── tungstenite: hub, viewers ───────┘
//! ```

pub mod auth;
pub mod config;
pub mod engine;
pub mod logging;
pub mod metrics;
pub mod session;
pub mod terminal;
