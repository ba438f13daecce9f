//! ShellCraft: a game played at a real shell prompt, from a browser.

pub mod door;
pub mod engine;
pub mod http;
