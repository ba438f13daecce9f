//! The hello of two instances: each proves to the other that it knows the fleet's secret and is who it says, before a
//! player's byte goes over the connection between them.
//!
//! ```text
//!   front                                                            home
//!     ◀───────── magic, version ── 32 random bytes ────────────────────
//!     ── magic, version ── front's name, home's name, 32 of its own, proof ──▶  checks
//!     ◀───────── verdict ── proof ─────────────────────────────────────
//!   checks                     then the front's bytes follow
//! ```
//!
//! A proof is HMAC-SHA256 over who makes it (`front` or `home`), both names and both random numbers. So none can be used a
//! second time, or for another instance, or be sent back to the one who made it; no clock is needed, and the secret is
//! never on the wire. All fields have fixed lengths.
//!
//! What it does not give: who sits on the wire between two instances can read and change what follows. That wire is the
//! operator's, or has a VPN under it.
//!
//! No threads of its own: it runs on its connection's, which it blocks for [`HELLO`] at most, and leaves in the socket what
//! comes behind the hello.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::secret::{FleetSecret, PROOF_BYTES};

/// How long a hello may take, on either side, from the first byte to the last.
pub const HELLO: Duration = Duration::from_secs(2);
/// The hello's version. One that differs is refused: no instance guesses what another one means.
pub const VERSION: u8 = 1;
/// The longest name of an instance, in bytes; `INSTANCE` allows as many.
pub const NAME_MOST_BYTES: usize = 63;

/// What a hello begins with. It is no text that another protocol begins with.
const MAGIC: [u8; 7] = *b"\xf1SCRAFT";
const HEAD_BYTES: usize = MAGIC.len() + 1;
const NONCE_BYTES: usize = 32;
/// A name's field: the name, and zeros. One at least, so that its end is always seen.
const NAME_BYTES: usize = NAME_MOST_BYTES + 1;
/// What a proof says first, so that the fleet's secret proves nothing in another protocol, should one ever use it.
const PURPOSE: &[u8] = b"shellcraft fleet hello";

const WELCOME: u8 = 1;
const WRONG_PROOF: u8 = 2;
const WRONG_HOME: u8 = 3;

type Nonce = [u8; NONCE_BYTES];
type Name = [u8; NAME_BYTES];

/// Why a hello failed. The other end is not to be told a player's byte.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was not over in time.
    #[error("the hello was not over within {} s: what is at the other end is slow, or waits for another protocol", HELLO.as_secs())]
    Late,
    /// It speaks something else.
    #[error(
        "what is at the other end does not speak the fleet's protocol: see whether PEER_URL leads to PEER_BIND"
    )]
    NotAPeer,
    /// It is older or newer.
    #[error(
        "the other instance speaks version {theirs} of the fleet's protocol and this one version {VERSION}: bring both to one release"
    )]
    Version {
        /// What it speaks.
        theirs: u8,
    },
    /// Its proof is wrong, or it calls ours wrong.
    #[error(
        "the other instance has another secret: FLEET_SECRET_FILE must be the same on all hosts"
    )]
    Foreign,
    /// It is a member of the fleet, but the address leads to another one than was meant.
    #[error(
        "the connection was meant for another instance: see whether two have the same PEER_URL"
    )]
    WrongHome,
    /// This instance has no name that a hello can hold.
    #[error("an instance's name has 1 to {NAME_MOST_BYTES} letters, digits and . _ - :")]
    BadName,
    /// This server stops.
    #[error("this server stops")]
    Stopped,
    /// The connection is broken.
    #[error("the connection broke during the hello: {0}")]
    Gone(io::Error),
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Error {
        Error::Gone(errno.into())
    }
}

/// This instance, as it introduces itself.
#[derive(Debug, Clone, Copy)]
pub struct Introduction<'a> {
    /// Its name.
    pub name: &'a str,
    /// What the whole fleet knows.
    pub secret: &'a FleetSecret,
    /// Becomes readable when the server stops, which ends a hello.
    pub stop: Option<BorrowedFd<'a>>,
}

impl Introduction<'_> {
    /// As home: finds out who has connected. Gives the front's name.
    ///
    /// # Errors
    /// When the other end is not a front of this fleet that wants to speak to this instance.
    pub fn hear_front(&self, socket: impl AsFd) -> Result<String, Error> {
        self.hear(&self.wire(&socket), random()?)
    }

    /// As front: proves who we are, and that the other end is the instance `home`.
    ///
    /// # Errors
    /// When it is not, or does not believe us.
    pub fn convince_home(&self, socket: impl AsFd, home: &str) -> Result<(), Error> {
        self.convince(&self.wire(&socket), home, random()?)
    }

    fn wire<'b>(&'b self, socket: &'b impl AsFd) -> Wire<'b> {
        Wire {
            socket: socket.as_fd(),
            stop: self.stop,
            deadline: Instant::now() + HELLO,
        }
    }

    fn hear(&self, wire: &Wire<'_>, nonce: Nonce) -> Result<String, Error> {
        let me = field_of(self.name).ok_or(Error::BadName)?;
        wire.send(&[&head()[..], &nonce].concat())?;
        wire.check_head()?;
        let said = Said {
            front: wire.take()?,
            home: wire.take()?,
            front_nonce: wire.take()?,
            home_nonce: nonce,
        };
        let proof = wire.take()?;
        let front = name_of(&said.front).ok_or(Error::NotAPeer)?;
        name_of(&said.home).ok_or(Error::NotAPeer)?;
        let (verdict, proof) = if !self.secret.is_proof(&said.by(b"front"), &proof) {
            (WRONG_PROOF, [0; PROOF_BYTES])
        } else if said.home != me {
            // Only a member of the fleet is told this.
            (WRONG_HOME, [0; PROOF_BYTES])
        } else {
            (WELCOME, self.secret.prove(&said.by(b"home")))
        };
        wire.send(&[&[verdict][..], &proof].concat())?;
        match verdict {
            WELCOME => Ok(front),
            WRONG_HOME => Err(Error::WrongHome),
            _ => Err(Error::Foreign),
        }
    }

    fn convince(&self, wire: &Wire<'_>, home: &str, nonce: Nonce) -> Result<(), Error> {
        let front = field_of(self.name).ok_or(Error::BadName)?;
        let home = field_of(home).ok_or(Error::BadName)?;
        if let Err(error) = wire.check_head() {
            if matches!(error, Error::Version { .. }) {
                // So that the home's log names the versions too. If it can't be told, our own log does.
                let _ = wire.send(&head());
            }
            return Err(error);
        }
        let said = Said {
            front,
            home,
            front_nonce: nonce,
            home_nonce: wire.take()?,
        };
        let proof = self.secret.prove(&said.by(b"front"));
        wire.send(&[&head()[..], &front, &home, &nonce, &proof].concat())?;
        let [verdict] = wire.take()?;
        let proof = wire.take()?;
        match verdict {
            WELCOME if self.secret.is_proof(&said.by(b"home"), &proof) => Ok(()),
            WELCOME | WRONG_PROOF => Err(Error::Foreign),
            WRONG_HOME => Err(Error::WrongHome),
            _ => Err(Error::NotAPeer),
        }
    }
}

/// What both have said, over which they make their proofs.
struct Said {
    front: Name,
    home: Name,
    front_nonce: Nonce,
    home_nonce: Nonce,
}

impl Said {
    /// As the one of that role says it. Every field but the role has a fixed length, and roles are no beginnings of each
    /// other: so no two sayings are the same bytes.
    fn by(&self, role: &[u8]) -> Vec<u8> {
        [
            PURPOSE,
            &[VERSION],
            role,
            &self.front,
            &self.home,
            &self.front_nonce,
            &self.home_nonce,
        ]
        .concat()
    }
}

/// A name as a field; none for what is no instance's name.
fn field_of(name: &str) -> Option<Name> {
    let mut field = [0; NAME_BYTES];
    field
        .get_mut(..name.len())?
        .copy_from_slice(name.as_bytes());
    (name_of(&field)? == name).then_some(field)
}

/// The name in a field, if it is one and nothing follows it.
fn name_of(field: &Name) -> Option<String> {
    let end = field.iter().position(|byte| *byte == 0)?;
    let (name, rest) = field.split_at(end);
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-:".contains(byte);
    let is_name = end > 0 && name.iter().all(is_allowed) && rest.iter().all(|byte| *byte == 0);
    is_name.then(|| String::from_utf8_lossy(name).into_owned())
}

/// What each side's first bytes are.
fn head() -> [u8; HEAD_BYTES] {
    let mut head = [VERSION; HEAD_BYTES];
    head[..MAGIC.len()].copy_from_slice(&MAGIC);
    head
}

fn random() -> Result<Nonce, Error> {
    let mut nonce = Nonce::default();
    let filled = SystemRandom::new().fill(&mut nonce);
    filled.map_err(|_| Error::Gone(io::Error::other("the system gives no random bytes")))?;
    Ok(nonce)
}

/// The connection, until the hello has to be over.
struct Wire<'a> {
    socket: BorrowedFd<'a>,
    stop: Option<BorrowedFd<'a>>,
    deadline: Instant,
}

impl Wire<'_> {
    /// Reads the other side's head, and finds out whether the rest can be read.
    fn check_head(&self) -> Result<(), Error> {
        let magic: [u8; MAGIC.len()] = self.take()?;
        if magic != MAGIC {
            return Err(Error::NotAPeer);
        }
        match self.take()? {
            [VERSION] => Ok(()),
            [theirs] => Err(Error::Version { theirs }),
        }
    }

    /// The next bytes, exactly so many: what follows is another's.
    fn take<const LENGTH: usize>(&self) -> Result<[u8; LENGTH], Error> {
        let mut bytes = [0; LENGTH];
        let mut got = 0;
        while got < LENGTH {
            self.check_time()?;
            match rustix::net::recv(self.socket, &mut bytes[got..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(Error::Gone(io::ErrorKind::UnexpectedEof.into())),
                Ok((more, _)) => got += more,
                Err(Errno::AGAIN) => self.wait(PollFlags::IN)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(bytes)
    }

    fn send(&self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            self.check_time()?;
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(self.socket, bytes, flags) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// The time that is left. INVARIANT: it is asked for before every call, so that bytes that drip in can't outrun the
    /// deadline.
    fn check_time(&self) -> Result<Duration, Error> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Late);
        }
        Ok(left)
    }

    /// Waits until the socket is ready, or broken, which the next call on it tells.
    fn wait(&self, flags: PollFlags) -> Result<(), Error> {
        let timeout = timespec(self.check_time()?);
        let (stop, stop_flags) = match self.stop {
            Some(stop) => (stop, PollFlags::IN),
            None => (self.socket, PollFlags::empty()),
        };
        let mut fds = [
            PollFd::from_borrowed_fd(self.socket, flags),
            PollFd::from_borrowed_fd(stop, stop_flags),
        ];
        match poll(&mut fds, Some(&timeout)) {
            Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
            Ok(_) if self.stop.is_some() && !fds[1].revents().is_empty() => Err(Error::Stopped),
            Ok(_) => Ok(()),
        }
    }
}

/// As `poll` takes it.
pub(super) fn timespec(wait: Duration) -> Timespec {
    Timespec {
        tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::thread;

    use rustix::event::{EventfdFlags, eventfd};

    use super::*;

    const SECRET: &str = "the secret of all tests, as long as one must be";
    const FOREIGN: &str = "some other fleet's secret, as long as one must be";
    const HOME_NONCE: Nonce = [7; NONCE_BYTES];
    const FRONT_NONCE: Nonce = [9; NONCE_BYTES];
    /// What the front says: its head, two names, random bytes, proof.
    const ANSWER_BYTES: usize = HEAD_BYTES + 2 * NAME_BYTES + NONCE_BYTES + PROOF_BYTES;
    /// What the home says: its head, random bytes, verdict, proof.
    const HOME_BYTES: usize = HEAD_BYTES + NONCE_BYTES + 1 + PROOF_BYTES;

    fn secret(text: &str) -> FleetSecret {
        FleetSecret::of_text(text.as_bytes()).expect("long enough")
    }

    fn as_instance<'a>(name: &'a str, secret: &'a FleetSecret) -> Introduction<'a> {
        Introduction {
            name,
            secret,
            stop: None,
        }
    }

    fn wire(socket: &UnixStream) -> Wire<'_> {
        Wire {
            socket: socket.as_fd(),
            stop: None,
            deadline: Instant::now() + HELLO,
        }
    }

    /// What `act` makes of these bytes, behind which the other side has ended, and what it said to them.
    fn after<T>(
        bytes: &[u8],
        act: impl FnOnce(&Wire<'_>) -> Result<T, Error>,
    ) -> (Result<T, Error>, Vec<u8>) {
        let (us, mut them) = UnixStream::pair().expect("sockets");
        // Bytes that a refusal leaves unread break the connection; what was said before that is read all the same.
        them.write_all(bytes).expect("they fit in the socket");
        them.shutdown(Shutdown::Write).expect("open");
        let done = act(&wire(&us));
        us.shutdown(Shutdown::Write).expect("open");
        let mut said = vec![0; 1024];
        let mut got = 0;
        while let Ok(more @ 1..) = them.read(&mut said[got..]) {
            got += more;
        }
        said.truncate(got);
        (done, said)
    }

    fn home_hears(bytes: &[u8]) -> (Result<String, Error>, Vec<u8>) {
        let secret = secret(SECRET);
        after(bytes, |wire| {
            as_instance("home", &secret).hear(wire, HOME_NONCE)
        })
    }

    fn front_hears(bytes: &[u8]) -> (Result<(), Error>, Vec<u8>) {
        let secret = secret(SECRET);
        let front = as_instance("front", &secret);
        after(bytes, |wire| front.convince(wire, "home", FRONT_NONCE))
    }

    /// What a front with this name and secret says to a home that has said [`HOME_NONCE`].
    fn front_says(name: &str, home: &str, with: &str) -> Vec<u8> {
        let secret = secret(with);
        let front = as_instance(name, &secret);
        let offer = [&head()[..], &HOME_NONCE].concat();
        let (_, said) = after(&offer, |wire| front.convince(wire, home, FRONT_NONCE));
        assert_eq!(said.len(), ANSWER_BYTES);
        said
    }

    /// What a home of this name says to a front that has said [`FRONT_NONCE`].
    fn home_says(with: &str) -> Vec<u8> {
        let secret = secret(with);
        let home = as_instance("home", &secret);
        let answer = front_says("front", "home", with);
        let (_, said) = after(&answer, |wire| home.hear(wire, HOME_NONCE));
        assert_eq!(said.len(), HOME_BYTES);
        said
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

    #[test]
    fn two_of_a_fleet_meet_and_what_follows_stays_in_the_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let front = TcpStream::connect(listener.local_addr().expect("bound")).expect("open");
        let (mut home, _) = listener.accept().expect("open");
        let secret = secret(SECRET);
        thread::scope(|scope| {
            scope.spawn(|| {
                let us = as_instance("a-1.b:2_c", &secret);
                us.convince_home(&front, "home").expect("convinced");
                (&front).write_all(b"GET / HTTP/1.1").expect("sent");
            });
            let heard = as_instance("home", &secret).hear_front(&home);
            assert_eq!(heard.expect("a front"), "a-1.b:2_c");
            let mut follows = [0; 14];
            home.read_exact(&mut follows).expect("it follows");
            assert_eq!(&follows, b"GET / HTTP/1.1");
        });
    }

    #[test]
    fn what_the_tests_send_is_accepted_as_it_is() {
        let (heard, _) = home_hears(&front_says("front", "home", SECRET));
        assert_eq!(heard.expect("a front"), "front");
        front_hears(&home_says(SECRET)).0.expect("a home");
    }

    #[test]
    fn a_secret_that_changes_is_accepted_on_both_sides() {
        let both = format!("{FOREIGN}\n{SECRET}");
        let (heard, _) = home_hears(&front_says(
            "front",
            "home",
            &format!("{SECRET}\n{FOREIGN}"),
        ));
        heard.expect("the first line is ours");
        let own = secret(&both);
        let home = as_instance("home", &own);
        let (heard, _) = after(&front_says("front", "home", SECRET), |wire| {
            home.hear(wire, HOME_NONCE)
        });
        heard.expect("the second line is theirs");
    }

    #[track_caller]
    fn check_home(bytes: &[u8], expected: &str, verdict: Option<u8>) {
        let (heard, said) = home_hears(bytes);
        assert_eq!(heard.expect_err("no front").to_string(), expected);
        assert_eq!(said.get(HEAD_BYTES + NONCE_BYTES).copied(), verdict);
    }

    #[track_caller]
    fn check_front(bytes: &[u8], expected: &str) {
        let (heard, said) = front_hears(bytes);
        assert_eq!(heard.expect_err("no home").to_string(), expected);
        assert!(said.len() <= ANSWER_BYTES);
    }

    const NOT_A_PEER: &str = "what is at the other end does not speak the fleet's protocol: see whether PEER_URL leads to PEER_BIND";
    const IS_FOREIGN: &str =
        "the other instance has another secret: FLEET_SECRET_FILE must be the same on all hosts";
    const WRONG: &str =
        "the connection was meant for another instance: see whether two have the same PEER_URL";
    const OTHER_VERSION: &str = "the other instance speaks version 2 of the fleet's protocol and this one version 1: bring both to one release";

    #[test]
    fn each_refusal_says_what_is_wrong() {
        let good = front_says("front", "home", SECRET);
        check_home(b"GET / HTTP/1.1\r\n\r\n", NOT_A_PEER, None);
        check_home(
            &front_says("front", "home", FOREIGN),
            IS_FOREIGN,
            Some(WRONG_PROOF),
        );
        check_home(
            &front_says("front", "elsewhere", SECRET),
            WRONG,
            Some(WRONG_HOME),
        );
        // A stranger is not told whether the name is right.
        check_home(
            &front_says("front", "elsewhere", FOREIGN),
            IS_FOREIGN,
            Some(WRONG_PROOF),
        );
        let mut newer = good.clone();
        newer[MAGIC.len()] = 2;
        check_home(&newer, OTHER_VERSION, None);

        let home = home_says(SECRET);
        check_front(b"HTTP/1.1 400 Bad Request\r\n\r\n", NOT_A_PEER);
        check_front(&home_says(FOREIGN), IS_FOREIGN);
        let mut newer = home.clone();
        newer[MAGIC.len()] = 2;
        check_front(&newer, OTHER_VERSION);
        let verdict = |code| {
            let mut said = home.clone();
            said[HEAD_BYTES + NONCE_BYTES] = code;
            said
        };
        check_front(&verdict(WRONG_HOME), WRONG);
        check_front(&verdict(WRONG_PROOF), IS_FOREIGN);
        check_front(&verdict(0), NOT_A_PEER);
    }

    /// Both logs name the versions, whichever side is the newer one.
    #[test]
    fn versions_are_told_to_both() {
        let mut newer = [&head()[..], &HOME_NONCE].concat();
        newer[MAGIC.len()] = 2;
        let (_, said) = front_hears(&newer);
        assert_eq!(said, head(), "the front says its version before it leaves");
        let mut older = said;
        older[MAGIC.len()] = 2;
        check_home(&older, OTHER_VERSION, None);
    }

    #[test]
    fn a_name_is_one_that_an_instance_can_have() {
        let longest = "x".repeat(NAME_MOST_BYTES);
        for name in ["a", "web-1.example:8080_b", &longest] {
            let field = field_of(name).expect("a name");
            assert_eq!(name_of(&field).as_deref(), Some(name));
        }
        let too_long = "x".repeat(NAME_MOST_BYTES + 1);
        for name in ["", " ", "a\nb", "a\0", "\u{e9}", "a/b", &too_long] {
            assert_eq!(field_of(name), None, "{name:?}");
        }
        assert_eq!(name_of(&[b'x'; NAME_BYTES]), None);
        let mut field = field_of("a").expect("a name");
        field[NAME_BYTES - 1] = b'b';
        assert_eq!(name_of(&field), None, "something behind the name");
        let secret = secret(SECRET);
        let (heard, said) = after(b"", |wire| as_instance("", &secret).hear(wire, HOME_NONCE));
        assert!(matches!(heard, Err(Error::BadName)) && said.is_empty());
        let (done, said) = after(b"", |wire| {
            as_instance("front", &secret).convince(wire, &too_long, FRONT_NONCE)
        });
        assert!(matches!(done, Err(Error::BadName)) && said.is_empty());
    }

    #[test]
    fn any_changed_byte_and_any_end_before_the_last_byte_is_refused() {
        let (front, home) = (front_says("front", "home", SECRET), home_says(SECRET));
        for at in 0..ANSWER_BYTES {
            for change in [1, 0x20, 0x80, 0xff] {
                let mut changed = front.clone();
                changed[at] ^= change;
                assert!(
                    home_hears(&changed).0.is_err(),
                    "byte {at} changed by {change}"
                );
            }
            assert!(home_hears(&front[..at]).0.is_err(), "{at} bytes");
        }
        for at in 0..HOME_BYTES {
            for change in [1, 0x20, 0x80, 0xff] {
                let mut changed = home.clone();
                changed[at] ^= change;
                assert!(
                    front_hears(&changed).0.is_err(),
                    "byte {at} changed by {change}"
                );
            }
            assert!(front_hears(&home[..at]).0.is_err(), "{at} bytes");
        }
    }

    /// Neither side takes for the other's proof what it, or another of its own role, has made.
    #[test]
    fn no_proof_is_accepted_from_the_wrong_role() {
        let secret = secret(SECRET);
        let names = |front: &str, home: &str| Said {
            front: field_of(front).expect("a name"),
            home: field_of(home).expect("a name"),
            front_nonce: FRONT_NONCE,
            home_nonce: HOME_NONCE,
        };
        let said = names("front", "home");
        let with_proof = |role: &[u8]| {
            let proof = secret.prove(&said.by(role));
            [&head()[..], &said.front, &said.home, &FRONT_NONCE, &proof].concat()
        };
        home_hears(&with_proof(b"front")).0.expect("the right role");
        assert!(matches!(
            home_hears(&with_proof(b"home")).0,
            Err(Error::Foreign)
        ));
        // Made for another home, whose name is then replaced by ours.
        let mut moved = front_says("front", "elsewhere", SECRET);
        let at = HEAD_BYTES + NAME_BYTES;
        moved[at..at + NAME_BYTES].copy_from_slice(&said.home);
        assert!(matches!(home_hears(&moved).0, Err(Error::Foreign)));
        let verdict =
            |proof: [u8; PROOF_BYTES]| [&head()[..], &HOME_NONCE, &[WELCOME], &proof].concat();
        let by_home = secret.prove(&said.by(b"home"));
        front_hears(&verdict(by_home)).0.expect("the right role");
        // The front's own proof comes back, as from a home that knows nothing.
        let by_front = secret.prove(&said.by(b"front"));
        assert!(matches!(
            front_hears(&verdict(by_front)).0,
            Err(Error::Foreign)
        ));
        // Names in the other order are others' names.
        let swapped = secret.prove(&names("home", "front").by(b"home"));
        assert!(matches!(
            front_hears(&verdict(swapped)).0,
            Err(Error::Foreign)
        ));
    }

    /// What was accepted once is not accepted again: each side has said other random bytes since.
    #[test]
    fn replays_are_refused() {
        let (front, home) = (front_says("front", "home", SECRET), home_says(SECRET));
        let secret = secret(SECRET);
        for _ in 0..1000 {
            let heard = after(&front, |wire| {
                as_instance("home", &secret).hear(wire, random()?)
            });
            assert!(matches!(heard.0, Err(Error::Foreign)));
            let done = after(&home, |wire| {
                as_instance("front", &secret).convince(wire, "home", random()?)
            });
            assert!(matches!(done.0, Err(Error::Foreign)));
        }
        assert_ne!(random().expect("random"), random().expect("random"));
    }

    #[test]
    fn ten_thousand_garbled_hellos_are_refused() {
        let good = [front_says("front", "home", SECRET), home_says(SECRET)];
        let foreign = [front_says("front", "home", FOREIGN), home_says(FOREIGN)];
        let mut dice = dice(0x5eed_0f1e_e7c0_ffee);
        for round in 0..10_000 {
            let side = round % 2;
            let mut bytes = match dice(3) {
                0 => foreign[side].clone(),
                1 => (0..dice(600)).map(|_| dice(256) as u8).collect(),
                _ => good[side].clone(),
            };
            // At least one of these changes something that counts.
            for _ in 0..=dice(4) {
                let at = dice(bytes.len() + 1);
                match dice(4) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at, dice(256) as u8),
                    2 => bytes.rotate_left(at),
                    _ => {
                        if let Some(byte) = bytes.get_mut(at) {
                            *byte ^= 1 << dice(8);
                        }
                    }
                }
            }
            if bytes.starts_with(&good[side]) {
                continue;
            }
            let is_refused = match side {
                0 => home_hears(&bytes).0.is_err(),
                _ => front_hears(&bytes).0.is_err(),
            };
            assert!(is_refused, "round {round}: {bytes:?}");
        }
    }

    /// The deadline is for all of it, not for each byte.
    #[test]
    fn a_slow_drip_ends_at_the_deadline() {
        let answer = front_says("front", "home", SECRET);
        let home = home_says(SECRET);
        let secret = secret(SECRET);
        let drip = |bytes: &[u8], act: &dyn Fn(&UnixStream) -> Result<(), Error>| {
            let (us, mut them) = UnixStream::pair().expect("sockets");
            let began = Instant::now();
            let done = thread::scope(|scope| {
                scope.spawn(move || {
                    for byte in bytes {
                        // The pause between two bytes is what is tested.
                        thread::sleep(Duration::from_millis(30));
                        if them.write_all(&[*byte]).is_err() {
                            return;
                        }
                    }
                });
                let done = act(&us);
                drop(us.shutdown(Shutdown::Both));
                done
            });
            assert!(matches!(done, Err(Error::Late)), "{done:?}");
            assert!(began.elapsed() >= HELLO && began.elapsed() < HELLO * 2);
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                drip(&answer, &|us| {
                    as_instance("home", &secret).hear_front(us).map(drop)
                });
            });
            scope.spawn(|| {
                drip(&home, &|us| {
                    as_instance("front", &secret).convince_home(us, "home")
                });
            });
        });
    }

    #[test]
    fn a_stop_ends_a_hello() {
        let (us, _them) = UnixStream::pair().expect("sockets");
        let stop = eventfd(0, EventfdFlags::CLOEXEC).expect("an event");
        let secret = secret(SECRET);
        let home = Introduction {
            stop: Some(stop.as_fd()),
            ..as_instance("home", &secret)
        };
        thread::scope(|scope| {
            let hello = scope.spawn(|| home.hear_front(&us));
            rustix::io::write(&stop, &1u64.to_ne_bytes()).expect("raised");
            assert!(matches!(
                hello.join().expect("no panic"),
                Err(Error::Stopped)
            ));
        });
    }
}
