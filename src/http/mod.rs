//! HTTP as the rest of the house sees it: requests come in, answers go out.

pub mod server;
