//! A list of sessions for a few worker threads. A session is on it at most once, however often it is put there: what a
//! worker then does for it is right for all of those times.
//!
//! No threads of its own: the savers and the resizers each work through one.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::SessionId;

/// The sessions that wait for a worker.
pub(super) struct WorkList {
    sender: Sender<SessionId>,
    receiver: Receiver<SessionId>,
}

/// A session's mark that it is on a list.
#[derive(Default)]
pub(super) struct IsListed(AtomicBool);

impl WorkList {
    /// A list for at most so many sessions.
    pub(super) fn new(most: usize) -> WorkList {
        let (sender, receiver) = bounded(most);
        WorkList { sender, receiver }
    }

    /// Puts a session on the list, unless it is there already or the list is full. Returns whether this call has put it
    /// there.
    pub(super) fn push(&self, id: SessionId, mark: &IsListed) -> bool {
        if mark.0.swap(true, Ordering::SeqCst) {
            return false;
        }
        let has_room = self.sender.try_send(id).is_ok();
        if !has_room {
            mark.take_off();
        }
        has_room
    }

    /// Calls `work` for one session after the other, until `stopped` is disconnected. `work` takes the session's mark off.
    pub(super) fn work_through(&self, stopped: &Receiver<()>, work: impl Fn(SessionId)) {
        loop {
            select! {
                recv(self.receiver) -> id => match id {
                    Ok(id) => work(id),
                    Err(_) => return,
                },
                recv(stopped) -> _ => return,
            }
        }
    }
}

impl IsListed {
    /// Lets the session be put on the list again.
    pub(super) fn take_off(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_listed_once_until_it_is_worked_on() {
        let list = WorkList::new(2);
        let (first, second) = (SessionId::random(), SessionId::random());
        let (mark, other) = (IsListed::default(), IsListed::default());
        assert!(list.push(first, &mark));
        assert!(!list.push(first, &mark), "it is there already");
        assert!(list.push(second, &other));
        assert_eq!(list.receiver.try_iter().count(), 2);
        mark.take_off();
        assert!(list.push(first, &mark), "it was worked on");
    }

    #[test]
    fn what_finds_no_room_can_be_listed_later() {
        let list = WorkList::new(1);
        let (mark, other) = (IsListed::default(), IsListed::default());
        assert!(list.push(SessionId::random(), &mark));
        let late = SessionId::random();
        assert!(!list.push(late, &other));
        assert_eq!(list.receiver.try_iter().count(), 1);
        assert!(list.push(late, &other));
    }

    #[test]
    fn work_ends_when_the_manager_stops() {
        let list = WorkList::new(1);
        let (stopper, stopped) = bounded(0);
        let mark = IsListed::default();
        let id = SessionId::random();
        assert!(list.push(id, &mark));
        let worked_on = std::cell::Cell::new(None);
        let stopper = std::cell::Cell::new(Some(stopper));
        list.work_through(&stopped, |id| {
            worked_on.set(Some(id));
            stopper.take();
        });
        assert_eq!(worked_on.get(), Some(id));
    }
}
