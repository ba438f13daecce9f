//! The thread that hears in Redis's pub/sub when there is something to look at (`fleet-ears`).
//!
//! A message says nothing that is believed: it only makes the thread `fleet-beat` look now, and not at the next beat. So
//! one that gets lost costs two seconds. A new subscription wakes too, because everything may have been missed before it.

use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use super::beat::Waker;
use super::roster::channel;
use crate::redis::{Heard, Url, listen};
use crate::threads::{self, Kind};
use crate::warn_throttled;

/// The pause after a connection that broke.
const PAUSE: Duration = Duration::from_secs(1);

/// The running thread.
#[derive(Debug)]
pub struct Ears {
    /// Ends the thread when it is dropped.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ears {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(url: &Url, waker: Waker) -> io::Result<Ears> {
        let (stop, stopped) = bounded(0);
        let url = url.clone();
        let thread = threads::spawn(Kind::FleetEars, move || run(&url, &waker, &stopped))?;
        Ok(Ears {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Has the thread end. Does not wait.
    pub fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Joins the thread, which notices the stop within a second or two.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // A panic was logged where it happened.
        }
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(url: &Url, waker: &Waker, stopped: &Receiver<()>) {
    let channel = channel(url);
    loop {
        let ended = listen(url, &channel, |heard| {
            if heard != Heard::Nothing {
                waker.wake();
            }
            stopped.try_recv() == Err(TryRecvError::Empty)
        });
        match ended {
            Ok(()) => return,
            Err(error) => warn_throttled!("the fleet is looked at every beat only: {error}"),
        }
        let pause = stopped.recv_deadline(Instant::now() + PAUSE);
        if pause != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}
