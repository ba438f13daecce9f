//! Who arrives at a door: strangers, or a fleet's other instances, which prove who they are before they say anything and
//! relay their clients' requests. Only such a peer is believed what it says of a client, in `x-fleet-` headers.
//!
//! No threads of its own: a [`Greeter`] is called on its connection's thread.

use std::fmt;
use std::net::{IpAddr, TcpStream};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::message::{Request, RequestId};

/// Who arrives at a door.
#[derive(Clone)]
pub enum Arrivals {
    /// Clients of whom nothing is known.
    Strangers,
    /// Instances of the same fleet, as the greeter has found out.
    Peers(Arc<dyn Greeter>),
}

impl Arrivals {
    pub(super) fn are_peers(&self) -> bool {
        matches!(self, Arrivals::Peers(_))
    }
}

/// Finds out who has connected.
pub trait Greeter: Send + Sync + 'static {
    /// Blocks until it is known whether this is a peer, for a few seconds at most, or until `stop` becomes readable.
    /// Returns false for anyone else, whose connection is then closed without an answer.
    fn greet(&self, stream: &TcpStream, stop: BorrowedFd<'_>) -> bool;
}

/// What a peer says of the client whose request it relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relayed {
    /// The request's number.
    pub id: RequestId,
    /// The client's address.
    pub peer: IpAddr,
    /// Whether the client came by HTTPS.
    pub is_https: bool,
    /// Whether the request came through a proxy.
    pub is_forwarded: bool,
}

const ID: &str = "x-fleet-request";
const PEER: &str = "x-fleet-peer";
const FORM: &str = "x-fleet-form";
const HTTPS: &str = "https";
const FORWARDED: &str = "forwarded";

impl Relayed {
    /// What is to be said of the client of this request.
    pub fn of(request: &Request) -> Relayed {
        Relayed {
            id: request.id,
            peer: request.peer,
            is_https: request.is_https,
            is_forwarded: request.is_forwarded,
        }
    }

    /// The headers that say it.
    pub fn headers(self) -> [(&'static str, String); 3] {
        let words = [(self.is_https, HTTPS), (self.is_forwarded, FORWARDED)];
        let words = words.into_iter().filter(|(is_so, _)| *is_so);
        let words: Vec<_> = words.map(|(_, word)| word).collect();
        [
            (ID, self.id.to_string()),
            (PEER, self.peer.to_string()),
            (FORM, words.join(",")),
        ]
    }

    /// What a request's headers say, if they say all of it. `header` finds the only header of that name.
    pub(super) fn read<'a>(header: impl Fn(&'static str) -> Option<&'a str>) -> Option<Relayed> {
        let mut relayed = Relayed {
            id: RequestId::parse(header(ID)?)?,
            peer: header(PEER)?.parse().ok()?,
            is_https: false,
            is_forwarded: false,
        };
        for word in header(FORM)?.split(',').filter(|word| !word.is_empty()) {
            match word {
                HTTPS => relayed.is_https = true,
                FORWARDED => relayed.is_forwarded = true,
                _ => return None,
            }
        }
        Some(relayed)
    }
}

impl fmt::Debug for Arrivals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Arrivals::Strangers => "Strangers",
            Arrivals::Peers(_) => "Peers",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, String)]) -> Option<Relayed> {
        Relayed::read(|name| {
            let found = headers.iter().find(|(header, _)| *header == name)?;
            Some(&found.1)
        })
    }

    #[test]
    fn what_is_said_of_a_client_is_read_as_it_was_written() {
        for (is_https, is_forwarded) in [(false, false), (true, false), (false, true), (true, true)]
        {
            for peer in ["203.0.113.9", "2001:db8::1"] {
                let relayed = Relayed {
                    id: RequestId::new(),
                    peer: peer.parse().unwrap(),
                    is_https,
                    is_forwarded,
                };
                assert_eq!(read(&relayed.headers()), Some(relayed));
            }
        }
    }

    #[test]
    fn what_is_not_said_as_a_peer_says_it_is_not_believed() {
        let good = Relayed {
            id: RequestId::new(),
            peer: "203.0.113.9".parse().unwrap(),
            is_https: true,
            is_forwarded: false,
        };
        let good = good.headers();
        for at in 0..good.len() {
            for bad in ["x", "https,", "203.0.113.9:80", "https,loud"] {
                let mut headers = good.clone();
                headers[at].1 = bad.to_owned();
                let is_fine = at == 2 && bad == "https,";
                assert_eq!(read(&headers).is_some(), is_fine, "{headers:?}");
            }
            let rest: Vec<_> = good
                .iter()
                .filter(|(name, _)| *name != good[at].0)
                .cloned()
                .collect();
            assert_eq!(read(&rest), None);
        }
    }
}
