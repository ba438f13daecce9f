//! At what address a client reached the server, and by which address the server speaks of itself to that client. It runs
//! in the thread that answers the request.

use super::Site;
use super::origin::{self, Reached};
use crate::door::Request;

impl Site {
    /// The address at which a client finds the server: it stands before a route's path in everything the client is told.
    pub(super) fn own_address(&self, request: &Request) -> String {
        self.reached(request).own() + self.prefix()
    }

    /// The path below which players find the server; mostly empty.
    pub(super) fn prefix(&self) -> &str {
        let url = self.settings.public_url.as_deref();
        url.map_or("", |url| origin::split_prefix(url).1)
    }

    /// How the client reached the server.
    pub(super) fn reached<'a>(&'a self, request: &'a Request) -> Reached<'a> {
        Reached {
            public_url: self
                .settings
                .public_url
                .as_deref()
                .map(|url| origin::split_prefix(url).0),
            is_https: request.is_https,
            host: request.header("host").unwrap_or_default(),
        }
    }

    /// Whether players reach the server by HTTPS.
    pub(super) fn is_https(&self, request: &Request) -> bool {
        self.reached(request).own().starts_with("https:")
    }
}
