//! How much of the server a stranger may use, and for how long. Plain numbers; the other files enforce them.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept for everything that is no stranger's connection: the Engine, files, the log.
const DESCRIPTORS_KEPT: usize = 64;
/// What a request in flight holds beside its own connection: the door's end of the private socket and tiny_http's two.
const DESCRIPTORS_PER_REQUEST: usize = 3;
/// A terminal holds its player's socket and a share of its container's attach stream.
const DESCRIPTORS_PER_CONNECTION: usize = 2;
/// Above this, threads (one for each connection) are scarcer than descriptors.
const MOST_CONNECTIONS: usize = 4096;
/// Enough handlers at the same time to keep the Engine busy and `/healthz` quick; an idle router thread costs a stack page
/// or two.
const MOST_IN_FLIGHT: usize = 64;
/// Ten seconds are longer than a phone takes to change its radio cell. 64 kbit/s are what a phone is left with when its
/// month's data volume is used up, and then the page's script still comes, in a minute and a quarter.
const WRITE_PACE: MinDataRate = MinDataRate {
    patience: Duration::from_secs(10),
    bytes_per_second: 8 * 1024,
};

/// What strangers may use. `Default` fits the process's descriptor limit, so raise that one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time, terminals included; one more gets a 503.
    pub max_connections: usize,
    /// Connections at the same time from one IPv4 address or one IPv6 /64; one more gets a 429. Trusted proxies are
    /// exempt: their clients count, each as soon as its request has told whose it is.
    pub max_per_address: usize,
    /// Connections from trusted proxies that have not told yet whose request they bring: their share of
    /// `max_connections`, so that clients that send slowly through a proxy do not take the places of all others.
    /// Proxies send heads whole, so each needs its place for a moment only.
    pub max_untold: usize,
    /// Requests at the same time inside tiny_http, which is also the number of router threads.
    pub max_in_flight: usize,
    /// Requests at the same time inside tiny_http for one client (as told by trusted proxies).
    pub max_in_flight_per_address: usize,
    /// The longest request head; longer gets 431.
    pub head_bytes: usize,
    /// From accept to the head's last byte; slower gets 408.
    pub head_deadline: Duration,
    /// Bodies up to here are read before the service is asked; longer ones it gets as [`Body::TooLong`].
    ///
    /// [`Body::TooLong`]: super::Body::TooLong
    pub body_bytes: usize,
    /// From the head's last byte to the body's; slower gets 408.
    pub body_deadline: Duration,
    /// Declared lengths above this get 413 from the door itself.
    pub upload_bytes: u64,
    /// How long a vetted request waits for its turn in tiny_http; then 503.
    pub queue_deadline: Duration,
    /// How long the service may think; then 504, and its answer is thrown away.
    pub answer_deadline: Duration,
    /// How slowly a client may take its answer before it is cut.
    pub write_pace: MinDataRate,
    /// How long a connection stays open behind an answer and waits for another request, if its client asks for that.
    pub idle: Duration,
}

/// The least pace of a client that takes an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinDataRate {
    /// A client that takes nothing at all for this long is cut. Every answer may also take this long in addition to the
    /// time for its bytes.
    pub patience: Duration,
    /// What the client must take on average otherwise.
    pub bytes_per_second: u32,
}

impl MinDataRate {
    /// How long a client may take for this many bytes in all.
    pub fn time_for(self, bytes: usize) -> Duration {
        let milliseconds =
            (bytes as u64).saturating_mul(1000) / u64::from(self.bytes_per_second.max(1));
        self.patience + Duration::from_millis(milliseconds)
    }
}

impl Limits {
    /// The limits that fit into `descriptors` open files, so that the process hardly ever runs out of them.
    pub fn for_descriptors(descriptors: usize) -> Limits {
        let max_in_flight = (descriptors / 32).clamp(4, MOST_IN_FLIGHT);
        let spoken_for = DESCRIPTORS_KEPT + max_in_flight * DESCRIPTORS_PER_REQUEST;
        let max_connections = (descriptors.saturating_sub(spoken_for) / DESCRIPTORS_PER_CONNECTION)
            .clamp(8, MOST_CONNECTIONS);
        Limits {
            max_connections,
            // Half, not less: a proxy on the same machine that was not declared as trusted is one address too.
            max_per_address: max_connections.div_ceil(2),
            max_untold: max_connections.div_ceil(4),
            max_in_flight,
            max_in_flight_per_address: max_in_flight.div_ceil(2),
            head_bytes: 16 * 1024,
            head_deadline: Duration::from_secs(10),
            body_bytes: 64 * 1024,
            body_deadline: Duration::from_secs(30),
            upload_bytes: 16 * 1024 * 1024,
            queue_deadline: Duration::from_secs(30),
            answer_deadline: Duration::from_secs(120),
            write_pace: WRITE_PACE,
            idle: Duration::from_secs(60),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        let soft = getrlimit(Resource::Nofile).current;
        // `None` is "unlimited".
        Limits::for_descriptors(
            soft.and_then(|soft| usize::try_from(soft).ok())
                .unwrap_or(usize::MAX),
        )
    }
}

/// Raises the soft limit of open files to the hard one and returns what it is now (`u64::MAX`: unlimited).
pub fn raise_fd_limit() -> io::Result<u64> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    Ok(maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(descriptors: usize, connections: usize, per_address: usize, in_flight: usize) {
        let limits = Limits::for_descriptors(descriptors);
        assert_eq!(
            (
                limits.max_connections,
                limits.max_per_address,
                limits.max_in_flight
            ),
            (connections, per_address, in_flight)
        );
    }

    #[test]
    fn nearly_none() {
        check(0, 8, 4, 4);
    }

    #[test]
    fn a_small_ulimit() {
        check(256, 84, 42, 8);
    }

    #[test]
    fn the_usual_soft_limit() {
        check(1024, 432, 216, 32);
    }

    #[test]
    fn a_server() {
        check(20_000, 4096, 2048, 64);
    }

    #[test]
    fn unlimited() {
        check(usize::MAX, 4096, 2048, 64);
    }

    #[test]
    fn all_of_it_fits_into_the_descriptors() {
        for descriptors in 128..5000 {
            let limits = Limits::for_descriptors(descriptors);
            assert!(
                limits.max_connections * 2 + limits.max_in_flight * 3 + 16 <= descriptors,
                "{descriptors}"
            );
        }
    }

    #[test]
    fn a_longer_answer_may_take_longer() {
        let seconds = [0, 8192, 529_000].map(|bytes| WRITE_PACE.time_for(bytes).as_secs());
        assert_eq!(seconds, [10, 11, 74]);
    }

    #[test]
    fn no_pace_is_too_much() {
        let strange = MinDataRate {
            patience: Duration::ZERO,
            bytes_per_second: 0,
        };
        assert!(strange.time_for(usize::MAX) > Duration::from_secs(1 << 32));
    }

    #[test]
    fn raising_reaches_the_hard_limit() {
        let raised = raise_fd_limit().expect("lowering nothing needs no right");
        assert_eq!(
            getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            raised
        );
    }
}
