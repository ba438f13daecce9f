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
//! Each module knows only those above it; `tests/it/modules.rs` checks this from the sources.
//!
//! | module | knows | what it is |
//! |---|---|---|
//! | `texts` | – | what the binary contains besides its code |
//! | `locks` | – | locks with ranks, by which threads take them in one order |
//! | `metrics` | locks | the registry of everything that is counted |
//! | `threads` | – | how threads are named, started and joined |
//! | `auth` | locks | who a player or an operator is: tokens, logins |
//! | `logging` | auth, locks, metrics, threads | log lines |
//! | `door` | locks, logging, metrics, threads | connections and requests, before it is known what they ask for |
//! | `engine` | locks, metrics | the Docker Engine's API |
//! | `terminal` | engine, locks, logging, metrics, threads | the bridge from a container's terminal to WebSockets |
//! | `redis` | locks | the way to a Redis server |
//! | `session` | auth, engine, locks, logging, metrics, redis, terminal, threads | games: containers, players, spellbooks |
//! | `fleet` | locks, metrics, redis, session, threads | many instances behind one address |
//! | `http` | auth, door, fleet, locks, logging, metrics, session, terminal, texts | what requests ask for: routes, pages, answers |
//! | `config` | auth, engine, fleet, http, logging, redis, session, terminal | settings |
//! | `systemd` | config, door, threads | sockets from systemd, and signs of life to it |
//! | `cli` | auth, config, engine, logging, metrics, redis, session, terminal, texts | what the program does besides serving |
//! | `app` | config, door, engine, fleet, http, logging, metrics, redis, session, terminal, threads | the life of the process |
//!
//! # Threads
//!
//! Every thread is started by [`threads`], has a name that `ps -L` and `top -H` show, and an owner that joins it. `N`
//! and `id` stand for what distinguishes one of many threads: a number, or the first letters of a session's short name.
//!
//! | thread | how many | started by | blocks on | woken by | joined by |
//! |---|---|---|---|---|---|
//! | `shellcraft` | one: `main` | the system | the next signal | SIGINT, SIGTERM, SIGHUP | nothing: its end is the process's |
//! | `door-accept` | one a door | [`Door::open`] | `poll` of the listener and of the stop event | a connection; the stop | [`Door::stop_accepting`] |
//! | `door-conn` | one a connection, as many as the door has places | `door-accept` | `poll` and `read` of its socket, with a deadline; a place in the door's line; its answer | the client's bytes; the door's close; a WebSocket's writer that ends | `door-accept`, now and then; [`Door::close`] |
//! | `tiny-http` | one that accepts, and its pool of at least four, a door | `door-conn` or [`Door::open`], anew when it has died | `accept` and `read` of its Unix socket | a request that the door forwards; the drop of its server | tiny_http, which lets them end by themselves |
//! | `http-N` | as many as requests may be answered simultaneously, a door | [`Door::open`] | tiny_http's queue; whatever a handler does | a request; `unblock` at the close | [`Door::close`] |
//! | `w-id` | one a WebSocket | its `door-conn` | the viewer's wake-up, with the heartbeat's deadline; `write` of its socket, with a deadline | output, a notice, the reader's end | its `door-conn`, by the scope's end |
//! | `s-id` | one a session | the thread that creates the session: `http-N`, `pool-N`, `reaper` | `read` of the attach socket; a player who lags; calls to the Engine and the store; at its end, the pause before the next try | output; the container's end; the order to end, which shuts the socket; the end of a stop's grace | `reaper`; [`Manager::stop`] |
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
//! | `fleet-beat` | one, in a fleet | [`Heartbeat::start`] | the stop, until the next beat; calls to Redis | its end; a wake-up; the stop | [`Heartbeat::stop`] |
//! | `fleet-ears` | one, in a fleet | [`Ears::start`] | `read` of its connection to Redis, for a moment; the stop, for a second | a message; the moment's end; the stop | [`Ears::stop`] |
//! | `ready` | one, until games can be started | [`App::announce`] | the stop, for a moment | its end; the stop | `main` |
//! | `watchdog` | one, where systemd asks for signs of life | [`Line::open`] | the line's close, for a third of the deadline | its end; the close | [`Line::close`] |
//!
//! # Locks
//!
//! Each lock is named by its module and its field, or the type that wraps it. Those of the server are in [`locks`], each with a rank, and a thread takes
//! a lock only while all that it holds are of lower ranks; so no two threads wait for each other. While it waits on a
//! condition, it holds that condition's lock only; but a picture and a terminal's input are held over the wait for the
//! terminal's past, since what ends that wait needs neither of them. In debug builds, which all tests run, a thread that
//! does otherwise panics and names both ranks. So what the ranks forbid can't stay hidden until two threads meet; and what
//! is really taken under a lock, which is less than the ranks allow, stands in the last column. Log lines may be written
//! under any lock ([`logging::log_throttle`]). A lock is held over I/O only where the table says so.
//!
//! | lock | rank | guards | is held | taken under it |
//! |---|---|---|---|---|
//! | `metrics::scrape` | Scrape | nothing: two scrapes don't mix | while gauges are set and written down | everything that a gauge is read from |
//! | `session::revoked::turn` | Turn | the turn of the thread that asks the store for revoked logins, or tells it of one | over a call to the store | `since`, the store's |
//! | `auth::jwks::fetching` | Turn | the turn of the thread that fetches keys | over the exchange; no thread waits for it | `cache` |
//! | `terminal::hub::present_due` | Picture | when the next picture may be drawn | over a drawing | `state` |
//! | `session::map::sessions` | SessionMap | the session map | for look-ups and changes | `order`, `is_settled`, `state` of the pool and what is taken under that, `life` |
//! | `session::pool::state` | Pool | the sessions that wait for a player | for look-ups and changes | `cases`, `state` of a question, `life` |
//! | `terminal::input::SharedInput` | TerminalInput | the writing half of the attach, and the count of keys | over sends that don't block, and while a player joins, over the wait for the terminal's past | `state` |
//! | `terminal::parked_writer::lent` | ParkedWriter | the socket of a writer that rests | over a send that doesn't block | `state` |
//! | `terminal::hub::state` | TerminalState | the output, and the viewers | for copies in memory, and over the send, which doesn't block, of an answer to the program | `is_raised`, `last` |
//! | `session::store::dir::stripes` | Stripe | a record or a player's books, each those that hash to it | over reads and writes of the disk | `book_bytes` |
//! | `terminal::wakeup::is_raised` | Leaf | whether the waiting thread has to look again | for a moment | – |
//! | `terminal::viewer::control` | Leaf | what the reader has for its writer: pongs, a close | for a moment | – |
//! | `terminal::typists::last` | Leaf | at which terminals keys were typed last | for a moment | – |
//! | `session::session::life` | Leaf | where a session is in its life | for a moment | – |
//! | `session::session::applied_size` | Leaf | the size that the container was told last | for a moment | – |
//! | `session::session::warned_of` | Leaf | the ending that the player was last warned about | for a moment | – |
//! | `session::session::peer` | Leaf | where the player is | for a moment | – |
//! | `session::spellbook::slot::notes` | Leaf | what is known of a session's book, and whose turn it is to work on it | for moves | – |
//! | `session::spellbook::ledger::debts` | Leaf | how much each player has put into the store | for a moment | – |
//! | `session::admission::calls::line` | Leaf | the calls that are at the Engine, and those that wait | for look-ups and changes | – |
//! | `session::rates::Table` | Leaf | how many games each address has started lately | for a moment | – |
//! | `session::watch::links` | Leaf | the links for spectators | for look-ups and changes | – |
//! | `session::revoked::since` | Leaf | whose logins were revoked, and when | for look-ups and changes | – |
//! | `session::quarantine::cases` | Leaf | what is set aside because it failed | for moves | – |
//! | `session::images::missing` | Leaf | the images that the Engine lacks | for moves | – |
//! | `session::shells::homes` | Leaf | what is in images' `/home` | for moves | – |
//! | `session::asked::state` | Leaf | the last answer to a question that many ask | for moves | – |
//! | `session::stats::samples` | Leaf | what containers use | for moves | – |
//! | `session::history::History` | Leaf | the last hour's samples | for moves | – |
//! | `session::settled::is_settled` | Leaf | whether the last life's sessions are taken over | for a moment | – |
//! | `session::stale_records` | Leaf | records that are to be removed | for moves | – |
//! | `session::buried` | Leaf | which of the fleet's servers are buried | for a copy | – |
//! | `session::drain::order` | Leaf | an operator's order to drain | for a moment | – |
//! | `session::threads` | Leaf | the sessions' threads | for moves, and joins of those that have ended | – |
//! | `session::workers` | Leaf | the manager's other threads | for moves | – |
//! | `session::events_closer` | Leaf | what ends the wait for the Engine's events | for a moment | – |
//! | `session::shutdown::stopper` | Leaf | what ends the manager's threads when it is dropped | for a moment | – |
//! | `session::shutdown::abandoner` | Leaf | what ends the sessions' threads that are left behind | for a moment | – |
//! | `session::store::memory::backing::BackingStore` | Leaf | everything | for look-ups and changes | – |
//! | `session::store::dir::book_bytes` | Leaf | the bytes that all books take | for a moment | – |
//! | `redis::link::is_away` | Leaf | whether the last call to Redis was answered | for a moment | – |
//! | `fleet::table::latest` | Leaf | the fleet's instances as of the last look | for moves | – |
//! | `engine::client::dialect` | Leaf | how to speak to the Engine | for a moment | – |
//! | `auth::jwks::cache` | Leaf | the keys that were fetched | for look-ups and changes | – |
//! | `auth::desk::logins` | Leaf | browsers in which an operator has logged in | for look-ups and changes | – |
//! | `auth::desk::failures` | Leaf | failed attempts to log in | for look-ups and changes | – |
//! | `http::tickets::waiting` | Leaf | tickets that wait | for look-ups and changes | – |
//! | `door::acceptor` | Leaf | the accept loop's thread | for a moment | – |
//! | `door::threads` | Leaf | the connections' threads | for moves | – |
//! | `door::slots::counts` | Leaf | how many connections there are, and whose | for look-ups and changes | – |
//! | `door::accept::Pulse` | Leaf | when the accept loop came round last | for moves | – |
//! | `door::backend::running` | Leaf | the running tiny_http, and its routers | over its start | – |
//! | `door::backend::tickets::Tickets` | Leaf | what the door knows of requests that tiny_http has | for look-ups and changes | – |
//! | `logging::log_throttle::state` | Log | when a line may be logged again | for a moment | – |
//!
//! [`App::announce`]: app::App::announce
//! [`Door::close`]: door::Door::close
//! [`Door::open`]: door::Door::open
//! [`Door::stop_accepting`]: door::Door::stop_accepting
//! [`Ears::start`]: fleet::ears::Ears::start
//! [`Ears::stop`]: fleet::ears::Ears::stop
//! [`Heartbeat::start`]: fleet::beat::Heartbeat::start
//! [`Heartbeat::stop`]: fleet::beat::Heartbeat::stop
//! [`Line::close`]: systemd::Line::close
//! [`Line::open`]: systemd::Line::open
//! [`Manager::start`]: session::Manager::start
//! [`Manager::stop`]: session::Manager::stop

// Here and not in Cargo.toml, whose lints hold for tests and benchmarks too: no other crate can reach anything in those.
#![warn(unreachable_pub)]

pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod door;
pub mod engine;
pub mod fleet;
pub mod http;
pub mod locks;
pub mod logging;
pub mod metrics;
pub mod redis;
pub mod session;
pub mod systemd;
pub mod terminal;
pub mod texts;
pub mod threads;
