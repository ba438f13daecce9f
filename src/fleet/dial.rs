//! The way to another instance: a connection to its second listener, the hello behind it, and then it may be spoken to.
//!
//! No threads of its own: a call blocks its caller for [`CONNECT`] and [`hello::HELLO`] at most, and for as long as the
//! system takes to look up a name. So an address in `PEER_URL` is better than a name.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::hello::{self, Introduction};
use super::relay;

/// How long all of a name's addresses together may take to accept a connection.
pub const CONNECT: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its name has no address, or nothing answers there.
    #[error("{address} can't be reached: {cause}")]
    Away {
        /// `host:port`.
        address: String,
        /// What the system says of the last address that was tried.
        cause: io::Error,
    },
    /// Something answers, but is not the instance that was meant.
    #[error("{address} can't be spoken to: {cause}")]
    Hello {
        /// `host:port`.
        address: String,
        /// What was wrong.
        cause: hello::Error,
    },
}

impl Error {
    /// Whether the instance is perhaps only starting, busy or cut off: the next try may succeed without an operator.
    pub fn is_passing(&self) -> bool {
        use hello::Error::{Gone, Late, Stopped};
        match self {
            Error::Away { .. } => true,
            Error::Hello { cause, .. } => matches!(cause, Gone(_) | Late | Stopped),
        }
    }
}

/// Connects to `address`, a `host:port`, and proves to each other who is there. What comes back is ready for the front's
/// bytes, and is prepared as [`relay::prepare`] does it.
///
/// # Errors
/// See [`Error`].
pub fn dial(address: &str, us: &Introduction<'_>, home: &str) -> Result<TcpStream, Error> {
    let stream = connect(address).map_err(|cause| Error::Away {
        address: address.to_owned(),
        cause,
    })?;
    let met = us.convince_home(&stream, home);
    met.map_err(|cause| Error::Hello {
        address: address.to_owned(),
        cause,
    })?;
    Ok(stream)
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let deadline = Instant::now() + CONNECT;
    let addresses: Vec<_> = address.to_socket_addrs()?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (at, one) in addresses.iter().enumerate() {
        // What is left is shared, so that one address that swallows everything does not keep us from the next.
        let shares = (addresses.len() - at).try_into().unwrap_or(u32::MAX);
        let wait = deadline.saturating_duration_since(Instant::now()) / shares;
        if wait.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(one, wait) {
            Ok(stream) => {
                relay::prepare(&stream)?;
                return Ok(stream);
            }
            Err(cause) => last = cause,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::fleet::secret::FleetSecret;

    const SECRET: &[u8] = b"the secret of all tests, as long as one must be";
    const FOREIGN: &[u8] = b"some other fleet's secret, as long as one must be";

    fn secret(text: &[u8]) -> FleetSecret {
        FleetSecret::of_text(text).expect("long enough")
    }

    fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        (listener, address)
    }

    fn dial_with(text: &[u8], address: &str, home: &str) -> Result<TcpStream, Error> {
        let secret = secret(text);
        let us = Introduction {
            name: "front",
            secret: &secret,
            stop: None,
        };
        dial(address, &us, home)
    }

    /// Dials a home that is called `home`.
    fn dialled(with: &[u8], home: &str) -> Result<TcpStream, Error> {
        let (listener, address) = listener();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().expect("open");
                let secret = secret(SECRET);
                let us = Introduction {
                    name: "home",
                    secret: &secret,
                    stop: None,
                };
                if us.hear_front(&stream).is_ok() {
                    stream.write_all(b"!").expect("taken");
                }
            });
            dial_with(with, &address, home)
        })
    }

    #[test]
    fn a_dialled_home_is_ready() {
        let mut stream = dialled(SECRET, "home").expect("it is there");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("no error");
        assert_eq!(said, "!");
        assert!(stream.nodelay().expect("open"));
    }

    #[track_caller]
    fn check(dialled: Result<TcpStream, Error>, expected: &str, is_passing: bool) {
        let error = dialled.expect_err("not the one that was meant");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.is_passing(), is_passing);
    }

    #[test]
    fn each_failure_says_what_it_is() {
        check(
            dialled(FOREIGN, "home"),
            "can't be spoken to: the other instance has another secret",
            false,
        );
        check(
            dialled(SECRET, "elsewhere"),
            "the connection was meant for another instance",
            false,
        );
        let (free, address) = listener();
        drop(free);
        check(
            dial_with(SECRET, &address, "home"),
            "can't be reached: ",
            true,
        );
        check(
            dial_with(SECRET, "nowhere", "home"),
            "can't be reached: ",
            true,
        );
        check(
            dial_with(SECRET, "name.invalid:80", "home"),
            "name.invalid:80 can't be reached: ",
            true,
        );
    }

    /// A name with several addresses, of which only the last answers: `localhost` may be `::1` too.
    #[test]
    fn each_of_a_name_s_addresses_is_tried() {
        let (listener, address) = listener();
        let (_, port) = address.rsplit_once(':').expect("a port");
        let stream = connect(&format!("localhost:{port}")).expect("it is there");
        assert_eq!(
            stream.peer_addr().expect("open"),
            listener.local_addr().expect("bound")
        );
    }
}
