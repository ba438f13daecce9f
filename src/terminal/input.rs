//! Keys on their way to the container: written without blocking, in order, each once.
//!
//! Keys that the attach socket does not take wait in a bounded backlog, and later keys wait behind them. They are written
//! by the pump after output, by a reader that waits for its client (see [`super::split`]), or to the next attach when this
//! one has broken.

use std::collections::VecDeque;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::net::SendFlags;
use uuid::Uuid;

use crate::locks::{Mutex, MutexGuard, rank};

/// Keys that may wait for a container that does not read them: the largest message that is accepted.
const BACKLOG_BYTES: usize = 1024 * 1024;

/// What became of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// The container has them, or will get them in order.
    Taken,
    /// The sender is not (or no longer) the player.
    NotPlayer,
    /// There is no attach now, so the keys were dropped.
    NotConnected,
    /// The container has not read its last mebibyte of keys; these were not taken, try again.
    Full,
}

/// The writing half of the attach.
pub(super) struct Input {
    stream: Option<Arc<UnixStream>>,
    backlog: VecDeque<u8>,
    /// Whether the first attach is still to come. Keys wait for it: a page that comes back to a server which has just
    /// started may be a moment faster than the attach.
    is_awaited: bool,
    /// Whether keys are refused because they would only wait: the Engine does not answer, and it is not known for how
    /// long.
    is_refusing: bool,
    typist: Option<Typist>,
}

/// The page whose keys were counted, and the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The page's own number.
    pub page: Uuid,
    /// How many bytes of its keys have come, and are delivered or reported as not delivered.
    pub come: u64,
}

/// The page that types, and what became of its keys.
#[derive(Clone, Copy)]
struct Typist {
    page: Uuid,
    /// How many bytes of its keys have come: they are delivered, wait here, or were reported as not delivered.
    come: u64,
    /// How many of these bytes, from the first one, are delivered for certain. While none wait, all that have come are
    /// settled.
    delivered: u64,
    /// How many bytes of others' keys wait before its own.
    before: usize,
}

/// The writing half of one attach, shared by the threads that may write: the session's thread, which connects the attach
/// and pumps, and all viewers' readers. The player's reader brings keys; any reader may write keys that wait.
#[derive(Clone, Default)]
pub struct SharedInput(Arc<Mutex<Input, rank::TerminalInput>>);

impl SharedInput {
    /// The lock is held across non-blocking sends, and while a player joins: that waits for the terminal's past, for a
    /// slice of the emulator's work.
    #[track_caller]
    pub(super) fn lock(&self) -> MutexGuard<'_, Input> {
        self.0.lock()
    }

    /// Takes the lock, unless another thread has it.
    #[track_caller]
    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, Input>> {
        self.0.try_lock()
    }

    /// Whether keys wait for the container to read them.
    pub fn has_backlog(&self) -> bool {
        self.lock().has_backlog()
    }

    /// The socket that takes keys, to wait until it takes more of them.
    pub fn stream(&self) -> Option<Arc<UnixStream>> {
        self.lock().stream()
    }

    /// Writes the keys that wait, as many as it can without blocking.
    pub fn drain(&self) {
        self.lock().drain();
    }
}

impl Default for Input {
    /// The state before the first attach.
    fn default() -> Input {
        Input {
            stream: None,
            backlog: VecDeque::new(),
            is_awaited: true,
            is_refusing: false,
            typist: None,
        }
    }
}

impl Input {
    /// Keys go to this attach from now on. The keys that wait go first: no earlier attach has taken them.
    pub(super) fn connect(&mut self, stream: UnixStream) {
        self.is_awaited = false;
        self.stream = Some(Arc::new(stream));
        self.is_refusing = false;
        self.drain();
    }

    /// Keys are refused until there is an attach again. Those that wait go on waiting: they were taken.
    pub(super) fn disconnect(&mut self) {
        self.is_refusing = true;
        self.stream = None;
    }

    /// Drops the keys that wait: no attach will take them any more.
    pub(super) fn forget(&mut self) {
        self.backlog = VecDeque::new();
    }

    /// The first attach will not come in a moment: keys are refused until it does.
    pub(super) fn await_no_longer(&mut self) {
        self.is_refusing |= self.is_awaited;
    }

    pub(super) fn stream(&self) -> Option<Arc<UnixStream>> {
        self.stream.clone()
    }

    pub(super) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    pub(super) fn hang_up(&self) {
        if let Some(stream) = &self.stream {
            // The shutdown fails only when the socket is broken already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many bytes of its keys a page that comes back need not send again: those that wait here are kept for the
    /// container. None when another page has typed since, because then the count is not known.
    pub(super) fn settled(&mut self, page: Uuid, is_new: bool) -> Option<u64> {
        match self.typist {
            Some(typist) if typist.page == page => Some(typist.come),
            _ if is_new => {
                self.typist = Some(self.newcomer(page));
                Some(0)
            }
            _ => None,
        }
    }

    /// The page that types, and how many bytes of its keys have come, for another server to continue the count. None
    /// while some keys wait here, because no server will deliver those.
    pub(super) fn last_count(&self) -> Option<Count> {
        let typist = self.typist.filter(|_| self.backlog.is_empty())?;
        Some(Count {
            page: typist.page,
            come: typist.come,
        })
    }

    /// Continues the count from where another server has left off.
    pub(super) fn count_on(&mut self, Count { page, come }: Count) {
        self.typist = Some(Typist {
            page,
            come,
            delivered: come,
            before: self.backlog.len(),
        });
    }

    /// How many bytes of this page's keys are settled, if it is the one that types: delivered, or reported as not delivered.
    pub(super) fn settled_so_far(&self, page: Uuid) -> Option<u64> {
        let typist = self.typist.filter(|typist| typist.page == page)?;
        Some(if self.backlog.is_empty() {
            typist.come
        } else {
            typist.delivered
        })
    }

    pub(super) fn type_in(&mut self, keys: &[u8], page: Option<Uuid>) -> Typed {
        if let Some(page) = page
            && self.typist.is_none_or(|typist| typist.page != page)
        {
            // The count of a page that took its place back begins anew.
            self.typist = Some(self.newcomer(page));
        }
        let typed = self.write(keys, page.is_some());
        if typed != Typed::Full && page.is_some() {
            self.note_come(keys.len());
        }
        typed
    }

    /// Notes that `count` bytes of the typist's keys were refused, and that the page is told so.
    pub(super) fn give_up(&mut self, count: usize, page: Option<Uuid>) {
        if page.is_some() && self.typist.map(|typist| typist.page) == page {
            self.note_come(count);
        }
    }

    fn newcomer(&self, page: Uuid) -> Typist {
        Typist {
            page,
            come: 0,
            delivered: 0,
            before: self.backlog.len(),
        }
    }

    fn note_come(&mut self, count: usize) {
        if let Some(typist) = &mut self.typist {
            typist.come += count as u64;
            if self.backlog.is_empty() {
                typist.delivered = typist.come;
            }
        }
    }

    fn write(&mut self, keys: &[u8], is_typist: bool) -> Typed {
        let waits = self.is_awaited && !self.is_refusing;
        if self.stream.is_none() && !waits {
            return Typed::NotConnected;
        }
        if self.backlog.len() + keys.len() > BACKLOG_BYTES {
            return Typed::Full;
        }
        let sent = if self.backlog.is_empty() {
            self.send(keys)
        } else {
            0
        };
        // If the attach has just broken, the next one gets these keys.
        self.backlog.extend(&keys[sent..]);
        if is_typist {
            self.note_delivered(sent);
        } else if let Some(typist) = &mut self.typist {
            // These are a raw client's keys: the typist's keys that wait before them are settled together with them.
            typist.before = self.backlog.len();
        }
        Typed::Taken
    }

    /// The container's socket has taken the next bytes. INVARIANT: never more than were delivered, though it may be fewer:
    /// keys of raw clients and refused ones may lie between the typist's, and then the end of the backlog tells.
    fn note_delivered(&mut self, sent: usize) {
        if let Some(typist) = &mut self.typist {
            let others = sent.min(typist.before);
            typist.before -= others;
            typist.delivered += (sent - others) as u64;
        }
    }

    /// Writes the keys that wait, as many as it can without blocking.
    pub(super) fn drain(&mut self) {
        while !self.backlog.is_empty() {
            let (front, _) = self.backlog.as_slices();
            let front = front.to_vec();
            let sent = self.send(&front);
            self.backlog.drain(..sent);
            self.note_delivered(sent);
            if sent == 0 {
                break;
            }
        }
        if self.backlog.is_empty() {
            self.backlog.shrink_to(0);
            self.note_come(0);
        }
    }

    /// Sends without blocking; returns how much was taken. A broken socket is forgotten: the pump learns of the break
    /// too, and sees to a new attach.
    fn send(&mut self, keys: &[u8]) -> usize {
        let Some(stream) = &self.stream else { return 0 };
        match rustix::net::send(stream, keys, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => 0,
            Err(_) => {
                self.disconnect();
                0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn connected() -> (Input, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let mut input = Input::default();
        input.connect(ours);
        (input, theirs)
    }

    #[test]
    fn a_container_that_does_not_read_gets_all_of_it_later() {
        let (mut input, mut container) = connected();
        let keys: Vec<u8> = (0..900_000u32).map(|n| n as u8).collect();
        assert_eq!(input.type_in(&keys, None), Typed::Taken);
        assert!(input.has_backlog());
        assert_eq!(
            input.type_in(&[0; BACKLOG_BYTES], None),
            Typed::Full,
            "and nothing of it is taken"
        );
        let mut got = Vec::new();
        let mut chunk = [0; 65536];
        while got.len() < keys.len() {
            let count = container.read(&mut chunk).expect("more");
            got.extend_from_slice(&chunk[..count]);
            input.drain();
        }
        assert!(got == keys && !input.has_backlog());
    }

    /// A page may come back to a server that has just started before the attach is there.
    #[test]
    fn keys_wait_for_the_first_attach_only() {
        let mut input = Input::default();
        assert_eq!(input.type_in(b"early ", None), Typed::Taken);
        // The Engine does not answer at first.
        input.disconnect();
        assert_eq!(input.type_in(b"refused", None), Typed::NotConnected);
        let (ours, mut container) = UnixStream::pair().expect("a pair");
        input.connect(ours);
        assert_eq!(input.type_in(b"late", None), Typed::Taken);
        let mut got = [0; 10];
        container.read_exact(&mut got).expect("keys");
        assert_eq!(&got, b"early late");

        input.disconnect();
        assert_eq!(input.type_in(b"between", None), Typed::NotConnected);
        let (ours, mut container) = UnixStream::pair().expect("a pair");
        input.connect(ours);
        input.type_in(b"again", None);
        drop(input);
        let mut got = String::new();
        container.read_to_string(&mut got).expect("keys");
        assert_eq!(got, "again");
    }

    /// A key counts as settled when a socket has taken it. Keys that no socket has taken go to the next attach, once.
    #[test]
    fn keys_that_wait_when_an_attach_breaks_go_to_the_next() {
        let (mut input, mut first) = connected();
        let page = Uuid::from_u128(1);
        let keys: Vec<u8> = (0..900_000u32).map(|n| (n / 7) as u8).collect();
        input.settled(page, true);
        assert_eq!(input.type_in(&keys, Some(page)), Typed::Taken);
        let taken = input.settled_so_far(page).expect("it types");
        assert!(taken > 0 && taken < 900_000, "{taken}");
        input.disconnect();
        assert_eq!(input.type_in(b"refused", Some(page)), Typed::NotConnected);
        assert_eq!(input.settled_so_far(page), Some(taken), "a prefix");
        let mut got = Vec::new();
        first.read_to_end(&mut got).expect("keys");
        assert_eq!(got.len() as u64, taken);

        let (ours, mut second) = UnixStream::pair().expect("a pair");
        input.connect(ours);
        let mut chunk = [0; 65536];
        while got.len() < keys.len() {
            let count = second.read(&mut chunk).expect("more");
            got.extend_from_slice(&chunk[..count]);
            input.drain();
        }
        assert!(got == keys && !input.has_backlog());
        assert_eq!(input.settled_so_far(page), Some(900_007));
        assert_eq!(input.settled(page, false), Some(900_007));
    }

    /// Keys that wait are kept here, so a page that comes back must not send them again.
    #[test]
    fn a_page_that_comes_back_does_not_send_what_waits() {
        let (mut input, _container) = connected();
        let page = Uuid::from_u128(1);
        input.settled(page, true);
        input.type_in(&[b'x'; 900_000], Some(page));
        assert_eq!(input.settled(page, false), Some(900_000));
    }

    /// Keys that wait when the server goes are not delivered by the next one, and how far they had come is not known.
    #[test]
    fn no_count_is_left_while_keys_wait() {
        let (mut input, _container) = connected();
        let page = Uuid::from_u128(1);
        assert_eq!(input.last_count(), None);
        input.type_in(b"abc", Some(page));
        assert_eq!(input.last_count(), Some(Count { page, come: 3 }));
        input.type_in(&[b'x'; 900_000], Some(page));
        assert_eq!(input.last_count(), None);
    }

    #[test]
    fn no_more_waits_for_the_first_attach_than_for_any() {
        let mut input = Input::default();
        assert_eq!(input.type_in(&[0; BACKLOG_BYTES], None), Typed::Taken);
        assert_eq!(input.type_in(b"x", None), Typed::Full);
    }

    #[test]
    fn settled_bytes_are_counted_for_the_page_that_types() {
        let (mut input, _container) = connected();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(input.settled(one, true), Some(0));
        input.type_in(b"abc", Some(one));
        input.type_in(b"raw", None);
        assert_eq!(input.settled(one, false), Some(3));
        input.disconnect();
        assert_eq!(input.type_in(b"lost", Some(one)), Typed::NotConnected);
        assert_eq!(input.settled(one, false), Some(7), "reported, so settled");
        assert_eq!(input.settled(two, true), Some(0));
        assert_eq!(
            input.settled(one, false),
            None,
            "another page has typed since"
        );
    }
}
