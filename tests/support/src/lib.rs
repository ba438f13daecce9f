//! What the rings of tests, the fuzzers and the benches stand on. Everything here panics where a test should fail.
//!
//! | module | what it is |
//! |---|---|
//! | [`site`] | a server inside the test's process, and clients that speak HTTP and WebSocket to it |
//! | [`binary`] | the built binary as a process of its own |
//! | [`containers`] | containers on any Engine, and their terminals |
//! | [`promises`] | what every Engine keeps, the fake one and the real one |
//! | [`openapi_check`] | holds each answer of a [`site`] against the API's description |
//! | [`probes`] | what must hold for any bytes from outside; the fuzzers look for bytes for which it does not |
//! | [`busybox`], [`packed`] | images for a real Engine, and archives of images |
//! | [`redis_server`] | a Redis of the test's own |

pub mod binary;
pub mod busybox;
pub mod containers;
pub mod openapi_check;
pub mod packed;
pub mod probes;
pub mod promises;
pub mod redis_server;
pub mod site;
