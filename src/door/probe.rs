//! How a stranger's head would be passed on, for tests that make up heads by the million. Pure.

use super::limits::Limits;
use super::parse::{find_end, parse};
use super::proxy::{client_address, is_https};
use super::rewrite::rewrite;

/// What tiny_http would get of a head that begins `received`: `None` while its end has not come, otherwise the request
/// that is printed again, or the status with which it is refused.
pub fn reprint(received: &[u8], ticket: &str) -> Option<Result<Vec<u8>, u16>> {
    let end = find_end(received, 0)?;
    let limits = Limits::for_descriptors(1024);
    let head = received.get(..end)?;
    Some(match parse(head, &limits) {
        Ok(head) => {
            // Every address is a trusted proxy's here, so that all of the list is walked.
            let everybody = ["0.0.0.0/0", "::/0"].map(|network| network.parse());
            let trusted: Vec<_> = everybody.into_iter().flatten().collect();
            let peer = std::net::Ipv4Addr::LOCALHOST.into();
            client_address(peer, &head.forwarded.hops, &trusted);
            is_https(peer, &head.forwarded, &trusted);
            Ok(rewrite(&head, ticket))
        }
        Err(refusal) => Err(refusal.status()),
    })
}
