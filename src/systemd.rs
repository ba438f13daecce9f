//! Handles what systemd gives to a service and what it wants to hear back: systemd gives sockets that it has opened
//! (socket activation), and the server tells it that it is ready, lives, and stops (sd_notify(3)). Any manager that
//! keeps to the same protocol will do.
//!
//! One thread, `watchdog`, runs here where systemd wants to hear that the server lives; otherwise none. It checks
//! before it speaks, so a server that hangs falls silent and is started again.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use listenfd::ListenFd;

use crate::config::Service;
use crate::door::Listener;
use crate::threads;

/// The longest wait for one message: systemd normally reads immediately, and the message is not worth a longer wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// The line to systemd.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
}

impl Notifier {
    /// Opens the line to the socket of this name (`NOTIFY_SOCKET`): a path, or an abstract name behind an `@`.
    ///
    /// # Errors
    /// When no process listens on the socket, or the name is not valid.
    pub fn connect(name: &str) -> io::Result<Notifier> {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Notifier { socket })
    }

    /// Tells systemd that the server listens.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// Tells systemd that the server ends, by order or by itself.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, word: &str) {
        if let Err(cause) = self.socket.send(word.as_bytes()) {
            crate::warn_throttled!("systemd does not hear {word:?}: {cause}");
        }
    }
}

/// Starts the thread that tells systemd again and again that the server lives, as long as `is_alive` says so within
/// `deadline`. It returns when `stop` is disconnected.
///
/// # Errors
/// When the system gives no thread.
pub fn watch(
    notifier: Arc<Notifier>,
    deadline: Duration,
    is_alive: impl Fn() -> bool + Send + 'static,
    stop: Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    // sd_watchdog_enabled(3) recommends twice as often as needed; this is three times, for a busy machine.
    let every = deadline / 3;
    threads::spawn(threads::Kind::Watchdog, move || {
        loop {
            match is_alive() {
                true => notifier.tell("WATCHDOG=1"),
                false => crate::warn_throttled!(
                    "no connections are accepted: systemd is not told that all is well"
                ),
            }
            if stop.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    })
}

/// The listening socket that systemd has opened for us (`LISTEN_FDS`), if it has.
///
/// # Errors
/// When systemd has given us something other than a listening socket of a kind that we serve, or more than one socket.
pub fn inherited() -> io::Result<Option<Listener>> {
    let mut sockets = ListenFd::from_env();
    if sockets.len() > 1 {
        return Err(io::Error::other(format!(
            "there are {} sockets, and only one is served",
            sockets.len()
        )));
    }
    if let Ok(Some(socket)) = sockets.take_unix_listener(0) {
        return Listener::unix(socket).map(Some);
    }
    let socket = sockets.take_tcp_listener(0)?;
    socket.map(Listener::tcp).transpose()
}

/// All that systemd hears from a server, from its start to its end. It sends nothing where systemd does not listen.
#[derive(Debug, Default)]
pub struct Line {
    notifier: Option<Arc<Notifier>>,
    /// The watchdog's thread, and the sender whose drop ends it.
    watchdog: Option<(JoinHandle<()>, Sender<()>)>,
}

impl Line {
    /// Opens the line, and starts the watchdog where systemd asks for one. `is_alive` is the same as in [`watch`].
    ///
    /// # Errors
    /// When systemd does not listen where it says, or the system gives no thread.
    pub fn open(
        service: &Service,
        is_alive: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Line> {
        let Some(name) = &service.notify_socket else {
            return Ok(Line::default());
        };
        let notifier = Notifier::connect(name);
        let bad = |cause| io::Error::other(format!("NOTIFY_SOCKET {name:?}: {cause}"));
        let notifier = Arc::new(notifier.map_err(bad)?);
        let mut watchdog = None;
        if let Some(deadline) = service.watchdog {
            let (stop, stopped) = bounded(0);
            let thread = watch(Arc::clone(&notifier), deadline, is_alive, stopped)?;
            watchdog = Some((thread, stop));
        }
        Ok(Line {
            notifier: Some(notifier),
            watchdog,
        })
    }

    /// Tells systemd that the server listens.
    pub fn ready(&self) {
        if let Some(notifier) = &self.notifier {
            notifier.ready();
        }
    }

    /// Tells systemd that the server ends now. The stop has its own time limit (`TimeoutStopSec`), so the watchdog ends
    /// here.
    pub fn close(self) {
        if let Some(notifier) = self.notifier {
            notifier.stopping();
        }
        if let Some((thread, stop)) = self.watchdog {
            drop(stop);
            let _ = thread.join(); // The thread has nothing that panics.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn hear(socket: &UnixDatagram) -> String {
        let mut word = [0; 64];
        let length = socket.recv(&mut word).expect("a word");
        String::from_utf8_lossy(&word[..length]).into_owned()
    }

    /// A notifier, and the other end of its line.
    fn line() -> (Notifier, UnixDatagram) {
        let (socket, systemd) = UnixDatagram::pair().expect("sockets");
        let patience = Some(Duration::from_secs(30));
        systemd.set_read_timeout(patience).expect("a timeout");
        (Notifier { socket }, systemd)
    }

    #[test]
    fn a_line_goes_to_a_path_or_to_an_abstract_name() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("notify");
        let name = format!("shellcraft-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).expect("a name");
        for (address, name) in [
            (
                SocketAddr::from_pathname(&path).expect("a path"),
                path.display().to_string(),
            ),
            (abstract_name, format!("@{name}")),
        ] {
            assert!(Notifier::connect(&name).is_err(), "nobody is there yet");
            let systemd = UnixDatagram::bind_addr(&address).expect("it is free");
            Notifier::connect(&name).expect("somebody is there").ready();
            assert_eq!(hear(&systemd), "READY=1");
        }
    }

    #[test]
    fn whoever_hangs_falls_silent() {
        let (notifier, systemd) = line();
        let lives = Arc::new(AtomicBool::new(true));
        let (stop, stopped) = bounded(0);
        let is_alive = {
            let lives = Arc::clone(&lives);
            // The server is alive once, then it hangs.
            move || lives.swap(false, Ordering::Relaxed)
        };
        let deadline = Duration::from_millis(3);
        let thread = watch(Arc::new(notifier), deadline, is_alive, stopped).expect("a thread");
        assert_eq!(hear(&systemd), "WATCHDOG=1");
        for _ in 0..2 {
            // A server that was seen dead is not reported, until it lives again.
            lives.store(true, Ordering::Relaxed);
            assert_eq!(hear(&systemd), "WATCHDOG=1");
        }
        drop(stop);
        thread.join().expect("it ends");
        systemd.set_nonblocking(true).expect("a socket");
        let mut rest = 0;
        while systemd.recv(&mut [0; 64]).is_ok() {
            rest += 1;
        }
        assert_eq!(rest, 0, "words of a server that hangs");
    }
}
