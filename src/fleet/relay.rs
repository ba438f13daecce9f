//! A player's bytes, there and back: between the player's socket at this instance, the front, and the session's home.
//!
//! ```text
//!              ┌── to home: read ▶ room ▶ send ──▶┐
//!   player ◀──▶│      one thread, one poll        │◀──▶ home
//!              └◀── send ◀ room ◀ read: to player ┘
//! ```
//!
//! It runs on the thread of the player's connection and starts none. That thread waits in one `poll` for both sockets and
//! for the server's stop; while both sides rest, nothing wakes it. A direction is read only when all that was read of it
//! before has been sent, so a side that does not take its bytes holds back the other one, and no more than a room's bytes
//! wait here. The sockets stay blocking; each call here says `DONTWAIT`.
//!
//! The end of a side's sending is passed on, behind its last byte: so each side sees of the other what it would see without
//! a relay. What a relay is ended by from outside, before either side ends: the stop, or a shutdown of the home's socket.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, shutdown, sockopt};

use super::hello::timespec;

/// A direction's room at first: a key and its echo need no more, and there are two of them for each relayed terminal.
pub const FIRST_ROOM_BYTES: usize = 4 * 1024;
/// The largest room, for a flood. A larger one made no flood faster.
pub const MOST_ROOM_BYTES: usize = 64 * 1024;
/// How long the home's host may leave bytes unacknowledged, or its server leave them untaken: then the connection is
/// broken (`TCP_USER_TIMEOUT`, tcp(7)).
pub const HOME_PATIENCE: Duration = Duration::from_secs(10);
/// After how long a silence the home's host is asked whether it is there, and how often until [`HOME_PATIENCE`] is over.
/// Otherwise the thread would wait for ever for a host that has lost its power.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(10);
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(3);

/// How long a relay waits for what.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A side that takes nothing for so long, while bytes wait for it, is given up.
    pub stall: Duration,
    /// How long a relay goes on once no byte can reach the player any more.
    pub linger: Duration,
    /// A direction that has seen no flood for so long gives its large room back.
    pub quiet: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            stall: Duration::from_secs(60),
            linger: Duration::from_secs(10),
            quiet: Duration::from_secs(1),
        }
    }
}

/// One of the two that a relay joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client that has connected to this instance.
    Player,
    /// The instance that has the session.
    Home,
}

/// Why a relay has ended.
#[derive(Debug)]
pub enum Ending {
    /// Both have ended their sending, and each has got all bytes of the other; or the home has, and the player has had
    /// [`Limits::linger`] to do so too.
    Closed,
    /// This side's connection broke.
    Broken(Side, io::Error),
    /// This side took nothing for [`Limits::stall`].
    Stalled(Side),
    /// The server stops.
    Stopped,
    /// The system refused to wait.
    Failed(io::Error),
}

/// What a relay has done.
#[derive(Debug)]
pub struct Report {
    /// Bytes sent to the home, the leading ones included.
    pub to_home_bytes: u64,
    /// Bytes sent to the player.
    pub to_player_bytes: u64,
    /// How often the thread woke. Far more often than bytes came would be a busy loop.
    pub wakeups: u64,
    /// Why it ended.
    pub ending: Ending,
}

/// Prepares the connection to a home: no delay for single keys, and an end for one whose host is gone.
///
/// # Errors
/// When the connection is broken already.
pub fn prepare(home: &TcpStream) -> io::Result<()> {
    home.set_nodelay(true)?;
    let patience = HOME_PATIENCE.as_millis().try_into().unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(home, patience)?;
    sockopt::set_tcp_keepidle(home, KEEP_ALIVE_AFTER)?;
    sockopt::set_tcp_keepintvl(home, KEEP_ALIVE_EVERY)?;
    sockopt::set_socket_keepalive(home, true)?;
    Ok(())
}

/// Sends `first` to the home, then copies both ways until the end. `stop` becomes readable when the server stops. The
/// caller closes the sockets.
pub fn relay(
    player: impl AsFd,
    home: impl AsFd,
    first: Vec<u8>,
    stop: BorrowedFd<'_>,
    limits: &Limits,
) -> Report {
    let now = Instant::now();
    let mut relay = Relay {
        player: End::new(player.as_fd()),
        home: End::new(home.as_fd()),
        to_home: Flow::new(first, now),
        to_player: Flow::new(Vec::new(), now),
        broken: None,
        until: None,
        wakeups: 0,
        limits: *limits,
    };
    let ending = relay.run(stop);
    Report {
        to_home_bytes: relay.to_home.sent_bytes,
        to_player_bytes: relay.to_player.sent_bytes,
        wakeups: relay.wakeups,
        ending,
    }
}

/// A socket, as the loop sees it.
struct End<'a> {
    socket: BorrowedFd<'a>,
    /// `poll` says that it is hung up or broken, which it would say again and again: so the socket is left out while
    /// nothing is to be done there. What is still to be read of it, and its error, are found when it is read.
    is_hung_up: bool,
}

impl<'a> End<'a> {
    fn new(socket: BorrowedFd<'a>) -> End<'a> {
        End {
            socket,
            is_hung_up: false,
        }
    }

    /// What `poll` is to look at; `idle` stands in for a socket that is left out.
    fn watched(&self, flags: PollFlags, idle: BorrowedFd<'a>) -> PollFd<'a> {
        match self.is_hung_up && flags.is_empty() {
            true => PollFd::from_borrowed_fd(idle, PollFlags::empty()),
            false => PollFd::from_borrowed_fd(self.socket, flags),
        }
    }
}

/// What a direction has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Bytes may come.
    Open,
    /// The source has ended its sending; some bytes have still to be sent.
    Ending,
    /// The destination takes nothing any more. What comes is thrown away until the source has ended, because bytes that
    /// are left unread when a socket is closed reset its connection, and the source loses what it was sent last.
    Refused,
    /// Nothing comes any more, and the end is passed on.
    Over,
}

/// One direction.
struct Flow {
    /// Memory for what is under way: bytes from `sent` to `filled`.
    room: Vec<u8>,
    sent: usize,
    filled: usize,
    /// How large the next room is.
    next_room_bytes: usize,
    stage: Stage,
    sent_bytes: u64,
    /// When bytes were sent last, or began to wait.
    moved: Instant,
    /// When more came than the first room holds.
    flooded: Instant,
}

impl Flow {
    fn new(first: Vec<u8>, now: Instant) -> Flow {
        Flow {
            filled: first.len(),
            room: first,
            sent: 0,
            next_room_bytes: FIRST_ROOM_BYTES,
            stage: Stage::Open,
            sent_bytes: 0,
            moved: now,
            flooded: now,
        }
    }

    fn is_empty(&self) -> bool {
        self.sent == self.filled
    }

    fn wants_bytes(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Refused) && self.is_empty()
    }

    fn is_large(&self) -> bool {
        self.room.len() > FIRST_ROOM_BYTES
    }

    /// Reads what is there, at most a room full. INVARIANT: the room is empty.
    fn fill(&mut self, source: BorrowedFd<'_>, now: Instant) -> Result<(), Errno> {
        if self.room.len() != self.next_room_bytes {
            self.room = vec![0; self.next_room_bytes];
        }
        let got = match rustix::net::recv(source, &mut self.room[..], RecvFlags::DONTWAIT) {
            Ok((got, _)) => got,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        match (got, self.stage) {
            (0, Stage::Refused) => self.end(Stage::Over),
            (0, _) => self.stage = Stage::Ending,
            (_, Stage::Refused) => return Ok(()),
            _ => {}
        }
        if got > 0 && got == self.room.len() {
            self.next_room_bytes = (got * 2).min(MOST_ROOM_BYTES);
        }
        if got >= FIRST_ROOM_BYTES {
            self.flooded = now;
        }
        (self.sent, self.filled, self.moved) = (0, got, now);
        Ok(())
    }

    /// Sends what waits, as far as the destination takes it, and behind the last byte the end.
    fn drain(&mut self, to: BorrowedFd<'_>, now: Instant) -> Result<(), Errno> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        while !self.is_empty() {
            match rustix::net::send(to, &self.room[self.sent..self.filled], flags) {
                Ok(sent) => {
                    self.sent += sent;
                    self.sent_bytes += sent as u64;
                    self.moved = now;
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    self.end(Stage::Refused);
                    return Err(errno);
                }
            }
        }
        if self.stage == Stage::Ending {
            self.end(Stage::Over);
            // A destination that is gone already can't be told.
            let _ = shutdown(to, Shutdown::Write);
        }
        Ok(())
    }

    /// Nothing more is sent in this direction.
    fn end(&mut self, stage: Stage) {
        self.stage = stage;
        self.room = Vec::new();
        (self.sent, self.filled) = (0, 0);
    }

    /// Gives a large room back when the flood is over.
    fn shrink(&mut self, now: Instant, quiet: Duration) {
        if self.is_large() && self.is_empty() && now >= self.flooded + quiet {
            self.room = Vec::new();
            self.next_room_bytes = FIRST_ROOM_BYTES;
        }
    }

    /// When the flow has to be looked at although nothing has come.
    fn due(&self, limits: &Limits) -> Option<Instant> {
        match self.is_empty() {
            false => Some(self.moved + limits.stall),
            true => self.is_large().then(|| self.flooded + limits.quiet),
        }
    }
}

struct Relay<'a> {
    player: End<'a>,
    home: End<'a>,
    to_home: Flow,
    to_player: Flow,
    /// The first side that took no more bytes, and why. What it has sent before is still passed on.
    broken: Option<(Side, Errno)>,
    /// When a relay has to end by which the player gets nothing more.
    until: Option<Instant>,
    wakeups: u64,
    limits: Limits,
}

impl Relay<'_> {
    fn run(&mut self, stop: BorrowedFd<'_>) -> Ending {
        self.send_to(Side::Home, Instant::now());
        loop {
            if self.to_home.stage == Stage::Over && self.to_player.stage == Stage::Over {
                return self.closed();
            }
            let signs = match self.wait(stop) {
                Ok(signs) => signs,
                Err(Errno::INTR) => continue,
                Err(errno) => return Ending::Failed(errno.into()),
            };
            self.wakeups += 1;
            if signs.is_stopped {
                return Ending::Stopped;
            }
            let now = Instant::now();
            for (side, sign) in [(Side::Player, signs.player), (Side::Home, signs.home)] {
                if let Err(errno) = self.serve(side, sign, now) {
                    return Ending::Broken(side, errno.into());
                }
            }
            if let Some(ending) = self.check_time(now) {
                return ending;
            }
        }
    }

    /// Waits for what can go on, the stop, or the next time to look.
    fn wait(&self, stop: BorrowedFd<'_>) -> Result<Signs, Errno> {
        let wanted = |from: &Flow, to: &Flow| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, from.wants_bytes());
            flags.set(PollFlags::OUT, !to.is_empty());
            flags
        };
        let mut fds = [
            PollFd::from_borrowed_fd(stop, PollFlags::IN),
            self.player
                .watched(wanted(&self.to_home, &self.to_player), stop),
            self.home
                .watched(wanted(&self.to_player, &self.to_home), stop),
        ];
        let flows = [&self.to_home, &self.to_player];
        let dues = flows.map(|flow| flow.due(&self.limits));
        let due = dues.into_iter().chain([self.until]).flatten().min();
        let timeout = due.map(|due| timespec(due.saturating_duration_since(Instant::now())));
        poll(&mut fds, timeout.as_ref())?;
        Ok(Signs {
            is_stopped: !fds[0].revents().is_empty(),
            player: fds[1].revents(),
            home: fds[2].revents(),
        })
    }

    /// Reads from a side and sends to it, whatever `poll` says can be done there.
    fn serve(&mut self, side: Side, sign: PollFlags, now: Instant) -> Result<(), Errno> {
        let bad = PollFlags::HUP | PollFlags::ERR;
        let (end, from, other) = match side {
            Side::Player => (&mut self.player, &mut self.to_home, Side::Home),
            Side::Home => (&mut self.home, &mut self.to_player, Side::Player),
        };
        end.is_hung_up |= sign.intersects(bad);
        if sign.intersects(bad | PollFlags::IN) && from.wants_bytes() {
            from.fill(end.socket, now)?;
            self.send_to(other, now);
        }
        if sign.intersects(bad | PollFlags::OUT) {
            self.send_to(side, now);
        }
        Ok(())
    }

    fn send_to(&mut self, side: Side, now: Instant) {
        let (end, flow) = match side {
            Side::Player => (&self.player, &mut self.to_player),
            Side::Home => (&self.home, &mut self.to_home),
        };
        if let Err(errno) = flow.drain(end.socket, now) {
            self.broken.get_or_insert((side, errno));
        }
        if self.until.is_none() && (self.broken.is_some() || self.to_player.stage == Stage::Over) {
            self.until = Some(now + self.limits.linger);
        }
    }

    /// The end that is due by now, if one is.
    fn check_time(&mut self, now: Instant) -> Option<Ending> {
        for (side, flow) in [
            (Side::Home, &mut self.to_home),
            (Side::Player, &mut self.to_player),
        ] {
            if !flow.is_empty() && now >= flow.moved + self.limits.stall {
                return Some(Ending::Stalled(side));
            }
            flow.shrink(now, self.limits.quiet);
        }
        self.until
            .is_some_and(|until| now >= until)
            .then(|| self.closed())
    }

    fn closed(&self) -> Ending {
        match self.broken {
            Some((side, errno)) => Ending::Broken(side, errno.into()),
            None => Ending::Closed,
        }
    }
}

/// What a wait has seen.
struct Signs {
    is_stopped: bool,
    player: PollFlags,
    home: PollFlags,
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{self, TcpListener};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use rustix::event::{EventfdFlags, eventfd};

    use super::*;

    const SOON: Duration = Duration::from_millis(100);
    /// No test waits as long for anything.
    const LONG: Duration = Duration::from_secs(20);

    fn tcp_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("open");
        let (server, _) = listener.accept().expect("open");
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(LONG)).expect("open");
            socket.set_write_timeout(Some(LONG)).expect("open");
        }
        (client, server)
    }

    fn stop_event() -> OwnedFd {
        eventfd(0, EventfdFlags::CLOEXEC).expect("an event")
    }

    fn raise(stop: &OwnedFd) {
        rustix::io::write(stop, &1u64.to_ne_bytes()).expect("raised");
    }

    /// A player and a home, far ends first, with a relay between them while `act` runs.
    fn between(
        first: &[u8],
        limits: Limits,
        act: impl FnOnce(&TcpStream, &TcpStream, &OwnedFd),
    ) -> Report {
        let (player, player_side) = tcp_pair();
        let (home_side, home) = tcp_pair();
        prepare(&home_side).expect("open");
        let stop = stop_event();
        thread::scope(|scope| {
            let stop = &stop;
            let relayed = scope.spawn(move || {
                relay(
                    &player_side,
                    &home_side,
                    first.to_vec(),
                    stop.as_fd(),
                    &limits,
                )
            });
            act(&player, &home, stop);
            relayed.join().expect("no panic")
        })
    }

    /// A small generator (xorshift), so that a failure can be repeated.
    fn dice(mut state: u64) -> impl FnMut(usize) -> usize {
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % below
        }
    }

    /// Sends so many bytes in pieces of any size, and ends the sending.
    fn talk(mut to: &TcpStream, seed: u64, total: usize) {
        let (mut bytes, mut pieces) = (dice(seed), dice(!seed));
        let mut left = total;
        while left > 0 {
            let length = match pieces(4) {
                0 => 1 + pieces(8),
                1 => 1 + pieces(5000),
                _ => 1 + pieces(200_000),
            };
            let piece: Vec<u8> = (0..length.min(left)).map(|_| bytes(256) as u8).collect();
            to.write_all(&piece).expect("taken");
            left -= piece.len();
        }
        to.shutdown(net::Shutdown::Write).expect("open");
    }

    /// Reads to the end, slowly now and then, and checks that it is what [`talk`] sends.
    fn listen(mut from: &TcpStream, seed: u64, total: usize) {
        let (mut bytes, mut pauses) = (dice(seed), dice(seed ^ 0xabcd));
        let mut buffer = vec![0; 100_000];
        let mut got = 0;
        loop {
            let most = 1 + pauses(buffer.len());
            match from.read(&mut buffer[..most]).expect("no error") {
                0 => break,
                more => {
                    for (at, byte) in buffer[..more].iter().enumerate() {
                        assert_eq!(*byte, bytes(256) as u8, "byte {}", got + at);
                    }
                    got += more;
                }
            }
            if pauses(20) == 0 {
                // A slow reader is what is tested.
                thread::sleep(Duration::from_millis(2));
            }
        }
        assert_eq!(got, total);
    }

    #[test]
    fn every_byte_arrives_once_and_in_order_both_ways() {
        for seed in 1..4 {
            let (up, down) = (3_000_000 + seed as usize, 4_000_000);
            let report = between(b"", Limits::default(), |player, home, _| {
                thread::scope(|scope| {
                    scope.spawn(|| talk(player, seed, up));
                    scope.spawn(|| talk(home, seed + 100, down));
                    scope.spawn(|| listen(home, seed, up));
                    scope.spawn(|| listen(player, seed + 100, down));
                });
            });
            assert!(matches!(report.ending, Ending::Closed), "{report:?}");
            let bytes = (report.to_home_bytes, report.to_player_bytes);
            assert_eq!(bytes, (up as u64, down as u64));
        }
    }

    #[test]
    fn the_leading_bytes_come_first() {
        // More than any buffer below takes: the player's own bytes have to wait for the last of them.
        let first: Vec<u8> = (0..9_000_000u32).map(|at| (at >> 8) as u8).collect();
        let report = between(&first, Limits::default(), |mut player, mut home, _| {
            player.write_all(b"and then").expect("taken");
            player.shutdown(net::Shutdown::Write).expect("open");
            let mut got = Vec::new();
            home.read_to_end(&mut got).expect("no error");
            assert!(got == [&first[..], b"and then"].concat(), "{}", got.len());
            home.shutdown(net::Shutdown::Write).expect("open");
        });
        assert!(matches!(report.ending, Ending::Closed), "{report:?}");
    }

    /// The other side sees the end of one side's sending, and can still answer.
    #[test]
    fn a_half_close_is_passed_on_and_the_other_half_stays_open() {
        let report = between(b"head", Limits::default(), |mut player, mut home, _| {
            player.write_all(b"ask").expect("taken");
            player.shutdown(net::Shutdown::Write).expect("open");
            let mut asked = String::new();
            home.read_to_string(&mut asked).expect("no error");
            assert_eq!(asked, "headask");
            home.write_all(b"answer").expect("taken");
            let mut answer = [0; 6];
            player.read_exact(&mut answer).expect("it comes");
            assert_eq!(&answer, b"answer");
            home.shutdown(net::Shutdown::Write).expect("open");
            assert_eq!(player.read(&mut answer).expect("no error"), 0);
        });
        assert!(matches!(report.ending, Ending::Closed), "{report:?}");
        assert_eq!((report.to_home_bytes, report.to_player_bytes), (7, 6));
    }

    /// The same from the home's side: a player who sends on is heard.
    #[test]
    fn a_home_that_ends_first_still_hears_the_player() {
        let report = between(b"", Limits::default(), |mut player, mut home, _| {
            home.shutdown(net::Shutdown::Write).expect("open");
            assert_eq!(player.read(&mut [0]).expect("no error"), 0);
            player.write_all(b"bye").expect("taken");
            player.shutdown(net::Shutdown::Write).expect("open");
            let mut said = String::new();
            home.read_to_string(&mut said).expect("no error");
            assert_eq!(said, "bye");
        });
        assert!(matches!(report.ending, Ending::Closed), "{report:?}");
    }

    #[test]
    fn a_player_who_does_not_leave_after_the_end_is_left() {
        let limits = Limits {
            linger: SOON,
            ..Limits::default()
        };
        let report = between(b"", limits, |mut player, mut home, _| {
            home.write_all(b"all").expect("taken");
            home.shutdown(net::Shutdown::Write).expect("open");
            let mut said = String::new();
            player.read_to_string(&mut said).expect("no error");
            assert_eq!(said, "all");
            assert_eq!(home.read(&mut [0]).expect("it closes"), 0);
        });
        assert!(matches!(report.ending, Ending::Closed), "{report:?}");
    }

    /// Closes the socket with a reset instead of an orderly end.
    fn reset(socket: TcpStream) {
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).expect("open");
        drop(socket);
    }

    #[test]
    fn a_reset_of_either_side_ends_the_relay() {
        for side in [Side::Player, Side::Home] {
            let (player, player_side) = tcp_pair();
            let (home_side, home) = tcp_pair();
            let stop = stop_event();
            let report = thread::scope(|scope| {
                let stop = stop.as_fd();
                let relayed = scope.spawn(move || {
                    relay(
                        &player_side,
                        &home_side,
                        Vec::new(),
                        stop,
                        &Limits::default(),
                    )
                });
                let (broken, mut stays) = match side {
                    Side::Player => (player, home),
                    Side::Home => (home, player),
                };
                reset(broken);
                assert_eq!(stays.read(&mut [0]).expect("it closes"), 0);
                relayed.join().expect("no panic")
            });
            match report.ending {
                Ending::Broken(found, cause) => {
                    assert_eq!((found, cause.kind()), (side, ErrorKind::ConnectionReset));
                }
                other => panic!("{other:?}"),
            }
            assert!(report.wakeups < 5, "{}", report.wakeups);
        }
    }

    /// A home that answers before it has got everything, and closes: the player, who still sends, gets the answer.
    #[test]
    fn what_a_side_sent_before_it_took_no_more_arrives() {
        let (mut player, player_side) = UnixStream::pair().expect("sockets");
        let (home_side, mut home) = UnixStream::pair().expect("sockets");
        home.write_all(b"too long: go away").expect("taken");
        // From here on the relay can't send to the home, whose answer is still to be read.
        drop(home);
        player.write_all(b"a body").expect("taken");
        player.shutdown(net::Shutdown::Write).expect("open");
        let stop = stop_event();
        let first = b"a head".to_vec();
        let limits = Limits::default();
        let report = relay(&player_side, &home_side, first, stop.as_fd(), &limits);
        drop(player_side);
        // Had the relay left the body unread, this would fail, because the connection would be reset.
        let mut answer = String::new();
        player.read_to_string(&mut answer).expect("no error");
        assert_eq!(answer, "too long: go away");
        let is_home_s = matches!(report.ending, Ending::Broken(Side::Home, _));
        assert!(is_home_s, "{report:?}");
        assert_eq!((report.to_home_bytes, report.to_player_bytes), (0, 17));
    }

    #[test]
    fn the_stop_ends_a_relay_that_rests_and_one_that_waits() {
        let report = between(b"", Limits::default(), |_, _, stop| raise(stop));
        assert!(matches!(report.ending, Ending::Stopped), "{report:?}");
        let much = vec![0; 20_000_000];
        let report = between(&much, Limits::default(), |_, _, stop| raise(stop));
        assert!(matches!(report.ending, Ending::Stopped), "{report:?}");
    }

    #[test]
    fn a_side_that_takes_nothing_is_given_up() {
        let limits = Limits {
            stall: SOON * 3,
            ..Limits::default()
        };
        let much = vec![0; 20_000_000];
        let report = between(&much, limits, |_, _, _| {});
        let is_home_s = matches!(report.ending, Ending::Stalled(Side::Home));
        assert!(is_home_s, "{report:?}");
        assert!(report.wakeups < 50, "{}", report.wakeups);
        let report = between(b"", limits, |_, mut home, _| {
            home.set_write_timeout(Some(SOON)).expect("open");
            while home.write(&much).is_ok() {}
        });
        let is_player_s = matches!(report.ending, Ending::Stalled(Side::Player));
        assert!(is_player_s, "{report:?}");
    }

    /// While the home takes nothing, whatever the player does meanwhile, the thread sleeps.
    #[test]
    fn nothing_wakes_a_relay_that_can_do_nothing() {
        type Act = fn(TcpStream) -> Option<TcpStream>;
        let acts: [(&str, Act); 4] = [
            ("it rests", Some),
            ("it sends", |mut player| {
                player.write_all(b"keys").expect("taken");
                Some(player)
            }),
            ("it ends its sending", |player| {
                player.shutdown(net::Shutdown::Write).expect("open");
                Some(player)
            }),
            ("it is reset", |player| {
                reset(player);
                None
            }),
        ];
        let limits = Limits {
            stall: SOON * 5,
            ..Limits::default()
        };
        for (what, act) in acts {
            let (player, player_side) = tcp_pair();
            let (home_side, _home) = tcp_pair();
            let stop = stop_event();
            let report = thread::scope(|scope| {
                let stop = stop.as_fd();
                let relayed = scope.spawn(move || {
                    // So much waits for the home that the player can't be read any more.
                    relay(&player_side, &home_side, vec![0; 20_000_000], stop, &limits)
                });
                let _player = act(player);
                relayed.join().expect("no panic")
            });
            let is_home_s = matches!(report.ending, Ending::Stalled(Side::Home));
            assert!(is_home_s, "{what}: {report:?}");
            assert!(report.wakeups < 50, "{what}: {}", report.wakeups);
        }
    }

    /// A key costs two wake-ups, one there and one back; silence costs none.
    #[test]
    fn keys_and_silence_cost_few_wakeups() {
        let report = between(b"", Limits::default(), |mut player, mut home, _| {
            let mut key = [0];
            for _ in 0..100 {
                player.write_all(b"k").expect("taken");
                home.read_exact(&mut key).expect("it comes");
                home.write_all(b"K").expect("taken");
                player.read_exact(&mut key).expect("it comes back");
            }
            // The silence is what is tested.
            thread::sleep(SOON * 3);
            player.shutdown(net::Shutdown::Write).expect("open");
            home.shutdown(net::Shutdown::Write).expect("open");
        });
        assert!(matches!(report.ending, Ending::Closed), "{report:?}");
        assert!((200..=202).contains(&report.wakeups), "{}", report.wakeups);
    }

    #[test]
    fn a_room_grows_under_a_flood_up_to_its_bound_and_is_given_back() {
        let (mut far, source) = UnixStream::pair().expect("sockets");
        let (sink, mut taker) = UnixStream::pair().expect("sockets");
        let began = Instant::now();
        let mut flow = Flow::new(Vec::new(), began);
        assert_eq!(flow.room.capacity(), 0, "no room before the first byte");
        // Lets so many bytes through; the largest room on the way.
        let mut pass = |flow: &mut Flow, bytes: usize, now| {
            far.write_all(&vec![b'x'; bytes]).expect("taken");
            let until = flow.sent_bytes + bytes as u64;
            let mut largest = 0;
            while flow.sent_bytes < until {
                flow.fill(source.as_fd(), now).expect("open");
                largest = largest.max(flow.room.capacity());
                let mut taken = vec![0; flow.filled];
                flow.drain(sink.as_fd(), now).expect("open");
                taker.read_exact(&mut taken).expect("it comes");
                assert!(flow.is_empty());
            }
            largest
        };
        assert_eq!(pass(&mut flow, 1, began), FIRST_ROOM_BYTES);
        for _ in 0..20 {
            assert!(pass(&mut flow, 2 * MOST_ROOM_BYTES, began) <= MOST_ROOM_BYTES);
        }
        assert_eq!(flow.room.capacity(), MOST_ROOM_BYTES, "it has grown");

        let quiet = Limits::default().quiet;
        // Keys do not keep it.
        let later = began + quiet - Duration::from_millis(1);
        pass(&mut flow, 1, later);
        flow.shrink(later, quiet);
        assert_eq!(flow.room.capacity(), MOST_ROOM_BYTES);
        assert_eq!(flow.due(&Limits::default()), Some(began + quiet));
        flow.shrink(began + quiet, quiet);
        assert_eq!(flow.room.capacity(), 0);
        assert_eq!(flow.due(&Limits::default()), None);
        assert_eq!(pass(&mut flow, 1, began + quiet), FIRST_ROOM_BYTES);
    }

    #[test]
    fn the_leading_bytes_room_is_given_back() {
        let (sink, _taker) = UnixStream::pair().expect("sockets");
        let began = Instant::now();
        let mut flow = Flow::new(vec![b'x'; 50_000], began);
        flow.drain(sink.as_fd(), began).expect("open");
        assert!(flow.is_empty());
        let quiet = Limits::default().quiet;
        flow.shrink(began + quiet, quiet);
        assert_eq!(flow.room.capacity(), 0);
    }

    #[test]
    fn a_home_s_connection_is_prepared() {
        let (home, _far) = tcp_pair();
        prepare(&home).expect("open");
        assert!(home.nodelay().expect("open"));
        assert_eq!(sockopt::tcp_user_timeout(&home).expect("open"), 10_000);
        assert!(sockopt::socket_keepalive(&home).expect("open"));
    }
}
