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
//!
//! # Modules
//!
//! Each knows only those above it; `tests/it/modules.rs` reads it off the sources.
//!
//! | module | knows | what it is |
//! |---|---|---|
//! | `texts` | – | what is in the binary beside its code |
//! | `metrics` | – | the registry of what is counted |
//! | `threads` | – | how threads are named, started and joined |
//! | `auth` | – | who somebody is |
//! | `logging` | auth, metrics, threads | log lines |
//! | `door` | logging, metrics, threads | connections and requests, before anybody knows what they want |
//! | `engine` | metrics | the Docker Engine's API |
//! | `terminal` | engine, logging, metrics, threads | the bridge from a container's terminal to WebSockets |
//! | `session` | auth, engine, logging, metrics, terminal, threads | games: containers, players, spellbooks |
//! | `http` | auth, door, logging, metrics, session, terminal, texts | what requests want: routes, pages, answers |
//! | `config` | auth, engine, http, logging, session, terminal | settings |
//! | `systemd` | config, door, threads | sockets from systemd, and signs of life to it |
//! | `cli` | auth, config, engine, logging, metrics, session, terminal, texts | what the program does besides serving |
//! | `app` | config, door, engine, http, logging, metrics, session, terminal, threads | the life of the process |
//!
//! # Threads
//!
//! Every thread is started by [`threads`], has a name that `ps -L` and `top -H` show, and an owner that joins it. `N`, `id`
//! stand for what tells one of many from the others: a number, the first letters of a session's short name.
//!
//! | thread | how many | started by | blocks on | woken by | joined by |
//! |---|---|---|---|---|---|
//! | `shellcraft` | one: `main` | the system | the next signal | SIGINT, SIGTERM, SIGHUP | nothing: its end is the process's |
//! | `door-accept` | one a door | [`Door::open`] | `poll` of the listener and of the stop event | a connection; the stop | [`Door::stop_accepting`] |
//! | `door-conn` | one a connection, as many as the door has places | `door-accept` | `poll` and `read` of its socket, with a deadline; a place in the door's line; its answer | the client's bytes; the door's close; a WebSocket's writer that ends | `door-accept`, now and then; [`Door::close`] |
//! | `tiny-http` | one that accepts, and its pool of at least four, a door | `door-conn` or [`Door::open`], anew when it has died | `accept` and `read` of its Unix socket | a request that the door forwards; the drop of its server | tiny_http, which lets them end by themselves |
//! | `http-N` | as many as requests may be answered at once, a door | [`Door::open`] | tiny_http's queue; whatever a handler does | a request; `unblock` at the close | [`Door::close`] |
//! | `w-id` | one a WebSocket | its `door-conn` | the viewer's wake-up, with the heartbeat's deadline; `write` of its socket, with a deadline | output, a notice, the reader's end | its `door-conn`, by the scope's end |
//! | `s-id` | one a session | whoever creates it: `http-N`, `pool-N`, `reaper` | `read` of the terminal's socket; a player who lags; calls to the Engine | output; the container's end; the order to end, which shuts the socket | `reaper`; [`Manager::stop`] |
//! | `reaper` | one | [`Manager::start`] | the stop, for the length of a tick | a tick; the stop | [`Manager::stop`] |
//! | `sweeper`, `sweeper-N` | one, and a few helpers while it sweeps | [`Manager::start`]; `sweeper` | the stop, for a minute; calls to the Engine | the minute's end; the stop | [`Manager::stop`]; `sweeper`, by the scope's end |
//! | `saver-N` | a few | [`Manager::start`] | the list of books to look at; calls to the Engine and the store | a session on the list; the stop | [`Manager::stop`] |
//! | `resizer-N` | a few | [`Manager::start`] | the list of terminals to resize; calls to the Engine | a session on the list; the stop | [`Manager::stop`] |
//! | `librarian` | one | [`Manager::start`] | the stop, for minutes; the store | their end; the stop | [`Manager::stop`] |
//! | `pool-review` | one | [`Manager::start`] | the pool's condition, for a moment | a change of the pool; the stop | [`Manager::stop`] |
//! | `pool-N` | a few, none without a pool | [`Manager::start`] | the pool's condition; calls to the Engine | a change of the pool; the stop | [`Manager::stop`] |
//! | `image-N` | one an image that the binary brings | [`Manager::start`] | its alarm and its next try; calls to the Engine | an image found missing; the stop | [`Manager::stop`] |
//! | `frozen` | one | [`Manager::start`] | the Engine's stream of events | an event; the stop, which closes the stream | [`Manager::stop`] |
//! | `stats` | one | [`Manager::start`] | the list of containers to ask about; calls to the Engine | an operator who looks; the stop | [`Manager::stop`] |
//! | `drain` | one | [`Manager::start`] | a change of the order, until the order's next step | an operator's order; the stop | [`Manager::stop`] |
//! | `ready` | one, until games can be started | [`App::announce`] | the stop, for a moment | its end; the stop | `main` |
//! | `watchdog` | one, where systemd asks for signs of life | [`Line::open`] | the line's close, for a third of the deadline | its end; the close | [`Line::close`] |
//!
//! [`App::announce`]: app::App::announce
//! [`Door::close`]: door::Door::close
//! [`Door::open`]: door::Door::open
//! [`Door::stop_accepting`]: door::Door::stop_accepting
//! [`Line::close`]: systemd::Line::close
//! [`Line::open`]: systemd::Line::open
//! [`Manager::start`]: session::Manager::start
//! [`Manager::stop`]: session::Manager::stop

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
pub mod threads;
