//! Reads and writes on sockets that always end: with bytes, at an absolute deadline, or when the door closes.
//!
//! The sockets stay blocking (a hand-off gets them as they are); each call here says `DONTWAIT` and waits in `poll`. A
//! receive timeout on the socket would start anew with each byte, which would let slow senders stay for ever.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::stop_event::StopEvent;

/// How long an answer that is being written when the door closes may still take.
const CLOSING_GRACE: Duration = Duration::from_secs(1);

/// Why a read or a write ended early.
#[derive(Debug)]
pub(super) enum Cut {
    /// The deadline passed, or the other side has taken nothing for too long.
    TimedOut,
    /// The door is closing.
    Closing,
    /// The other side is gone.
    Gone(io::Error),
}

impl From<Errno> for Cut {
    fn from(errno: Errno) -> Cut {
        match errno {
            // The socket's own patience (`TCP_USER_TIMEOUT`) is over.
            Errno::TIMEDOUT => Cut::TimedOut,
            errno => Cut::Gone(errno.into()),
        }
    }
}

/// Waits until `socket` is ready for `flags` (errors and hang-ups count: the next call on the socket reports them).
pub(super) fn wait(
    socket: impl AsFd,
    flags: PollFlags,
    deadline: Instant,
    closing: Option<&StopEvent>,
) -> Result<(), Cut> {
    let socket = socket.as_fd();
    let (signal, signal_flags) = closing.map_or((socket, PollFlags::empty()), |signal| {
        (signal.as_fd(), PollFlags::IN)
    });
    let mut waited = [
        PollFd::from_borrowed_fd(socket, flags),
        PollFd::from_borrowed_fd(signal, signal_flags),
    ];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Cut::TimedOut);
        }
        let timeout = Timespec {
            tv_sec: left.as_secs().min(3600) as i64,
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut waited, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
            Ok(_) => {}
        }
        if closing.is_some() && !waited[1].revents().is_empty() {
            return Err(Cut::Closing);
        }
        return Ok(());
    }
}

/// Receives what is there, waiting for the first byte. 0 is the end of the stream.
pub(super) fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    deadline: Instant,
    closing: Option<&StopEvent>,
) -> Result<usize, Cut> {
    loop {
        // INVARIANT: the wait comes first, so that bytes that keep coming cannot outrun the deadline.
        wait(&socket, PollFlags::IN, deadline, closing)?;
        match rustix::net::recv(&socket, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((got, _)) => return Ok(got),
            Err(Errno::AGAIN | Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Sends all of `bytes` by `deadline`, or within a second once the door closes.
pub(super) fn send_all(
    socket: impl AsFd,
    bytes: &[u8],
    deadline: Instant,
    closing: Option<&StopEvent>,
) -> Result<(), Cut> {
    send(socket, bytes, SendFlags::empty(), deadline, closing)
}

/// Sends all of `bytes`, which more bytes follow immediately, so that they need no packet of their own.
pub(super) fn send_start(
    socket: impl AsFd,
    bytes: &[u8],
    deadline: Instant,
    closing: Option<&StopEvent>,
) -> Result<(), Cut> {
    send(socket, bytes, SendFlags::MORE, deadline, closing)
}

fn send(
    socket: impl AsFd,
    mut bytes: &[u8],
    flags: SendFlags,
    mut deadline: Instant,
    mut closing: Option<&StopEvent>,
) -> Result<(), Cut> {
    let flags = flags | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    while !bytes.is_empty() {
        match rustix::net::send(&socket, bytes, flags) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match wait(&socket, PollFlags::OUT, deadline, closing) {
                Err(Cut::Closing) => {
                    deadline = deadline.min(Instant::now() + CLOSING_GRACE);
                    closing = None;
                }
                waited => waited?,
            },
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        let (us, _them) = UnixStream::pair().unwrap();
        assert!(matches!(
            receive(&us, &mut [0; 8], soon(), None),
            Err(Cut::TimedOut)
        ));
    }

    #[test]
    fn a_passed_deadline_wins_over_waiting_bytes() {
        let (us, mut them) = UnixStream::pair().unwrap();
        them.write_all(b"x").unwrap();
        assert!(matches!(
            receive(&us, &mut [0; 8], Instant::now(), None),
            Err(Cut::TimedOut)
        ));
    }

    #[test]
    fn the_signal_wakes_a_reader() {
        let (us, _them) = UnixStream::pair().unwrap();
        let signal = StopEvent::new().unwrap();
        let far = Instant::now() + Duration::from_secs(60);
        thread::scope(|scope| {
            let reader = scope.spawn(|| receive(&us, &mut [0; 8], far, Some(&signal)));
            signal.raise();
            assert!(matches!(reader.join().unwrap(), Err(Cut::Closing)));
        });
    }

    #[test]
    fn a_writer_nobody_reads_is_cut() {
        let (us, _them) = UnixStream::pair().unwrap();
        assert!(matches!(
            send_all(&us, &[0; 4 << 20], soon(), None),
            Err(Cut::TimedOut)
        ));
    }

    #[test]
    fn a_writer_whose_reader_left_is_told() {
        let (us, them) = UnixStream::pair().unwrap();
        drop(them);
        assert!(matches!(
            send_all(
                &us,
                b"hello",
                Instant::now() + Duration::from_secs(60),
                None
            ),
            Err(Cut::Gone(_))
        ));
    }
}
