//! ShellCraft: a game played at a real shell prompt, from a browser.
//!
//! ```text
//!                           ┌─ http ──────── REST, pages, metrics ─────────┐
//!  stranger ─▶ door (tiny_http)                                             ├─▶ session ─▶ engine ─▶ Docker Engine
//!                           └─ terminal ──── tungstenite: hub, viewers ─────┘
//! ```
//!
//! Start reading at [`app`]: the life of the process from top to bottom. Every module's header says what it
//! is for and which threads run in it.

pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod door;
pub mod engine;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod session;
pub mod systemd;
pub mod terminal;
pub mod texts;
