//! Where strangers arrive: an address, or a Unix socket for a proxy on this host. Both may come from a service manager.
//!
//! From the accept on nothing is different: all that the door and the terminals do with a socket (read, write, shut
//! down, wait) is the same for both kinds.

use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Where a door is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket in the file system; empty for one without a name there.
    Unix(PathBuf),
}

impl Address {
    /// The address and the port, if it has them.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(out, "http://{address}/"),
            Address::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
    /// The socket's file, if this listener has made it.
    file: Option<PathBuf>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Listens at an address.
    ///
    /// # Errors
    /// What the system said: the address is taken, or is not this machine's.
    pub fn at(address: SocketAddr) -> io::Result<Listener> {
        Listener::tcp(TcpListener::bind(address)?)
    }

    /// Makes a Unix socket at `path`, which every user may use who may enter its directory. One that a killed server
    /// has left there is removed; dropping the listener removes this one.
    ///
    /// # Errors
    /// What the system said; `AddrInUse` where another server listens, or something else lies there.
    pub fn at_path(path: &Path) -> io::Result<Listener> {
        remove_dead(path)?;
        let socket = UnixListener::bind(path)?;
        let file = Some(path.to_owned());
        let mut listener = Listener::unix(socket)?;
        listener.file = file;
        // Every process of this host may connect, as on a port of the loopback address. The directory's mode restricts
        // that.
        fs::set_permissions(path, Permissions::from_mode(0o666))?;
        Ok(listener)
    }

    /// A listener on a TCP socket that is open already.
    ///
    /// # Errors
    /// It is not bound.
    pub fn tcp(socket: TcpListener) -> io::Result<Listener> {
        let address = Address::Tcp(socket.local_addr()?);
        Ok(Listener {
            socket: Socket::Tcp(socket),
            address,
            file: None,
        })
    }

    /// A listener on a Unix socket that is open already, whose file stays.
    ///
    /// # Errors
    /// It is not bound.
    pub fn unix(socket: UnixListener) -> io::Result<Listener> {
        let address = socket.local_addr()?;
        let path = address.as_pathname().unwrap_or(Path::new(""));
        let address = Address::Unix(path.to_owned());
        Ok(Listener {
            socket: Socket::Unix(socket),
            address,
            file: None,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(socket) => socket.set_nonblocking(true),
            Socket::Unix(socket) => socket.set_nonblocking(true),
        }
    }

    /// The next connection, and the address at its other end. A client of a Unix socket is on this host, so it counts
    /// as the loopback address; `TRUSTED_PROXIES` names a proxy there by that address.
    pub(super) fn accept(&self) -> io::Result<(TcpStream, IpAddr)> {
        match &self.socket {
            Socket::Tcp(socket) => socket.accept().map(|(stream, peer)| (stream, peer.ip())),
            Socket::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                // A `TcpStream` is a stream socket's descriptor and no more: only what TCP alone has fails on this one,
                // such as `set_nodelay`.
                let stream = TcpStream::from(OwnedFd::from(stream));
                Ok((stream, IpAddr::V4(Ipv4Addr::LOCALHOST)))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // INVARIANT: the file is removed while the socket still listens, so that it can't be that of a server that
            // starts just now.
            let _ = fs::remove_file(file);
        }
    }
}

/// Removes a socket at which no process listens. What is no socket stays, and the bind says so.
fn remove_dead(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let is_dead = || {
        let knock = UnixStream::connect(path);
        knock.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    match is_socket && is_dead() {
        true => fs::remove_file(path),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_server_s_socket_is_taken_over_and_a_live_one_s_is_not() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("http.sock");
        // Left behind: std does not remove it.
        drop(UnixListener::bind(&path).expect("it is free"));
        let listener = Listener::at_path(&path).expect("nobody is there");
        assert_eq!(
            listener.address().to_string(),
            format!("unix:{}", path.display())
        );
        let mode = fs::metadata(&path).expect("it is there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o666);
        let taken = Listener::at_path(&path).expect_err("it is taken");
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        assert!(UnixStream::connect(&path).is_ok());
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("book");
        fs::write(&path, "mine").expect("written");
        let taken = Listener::at_path(&path).expect_err("it is taken");
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        assert_eq!(fs::read(&path).expect("it is there"), b"mine");
    }

    #[test]
    fn a_socket_that_was_handed_over_keeps_its_file() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("http.sock");
        let socket = UnixListener::bind(&path).expect("it is free");
        drop(Listener::unix(socket).expect("it is bound"));
        assert!(path.exists());
    }
}
