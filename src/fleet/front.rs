//! What an instance needs as the front of others' sessions: whose a session is, and a connection to there. As their home it
//! hears who connects.
//!
//! No threads of its own: it is asked on the threads of requests.

use std::net::TcpStream;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::beat::Waker;
use super::dial::{self, dial};
use super::hello::{self, Introduction};
use super::metrics::Metrics;
use super::secret::FleetSecret;
use super::table::{Instance, Instances, Table};
use crate::session::ids::HomeNumber;

/// One instance's side of the connections between instances.
pub struct Front {
    name: String,
    secret: FleetSecret,
    /// Zero until it has joined.
    number: AtomicU16,
    table: Arc<Table>,
    waker: Waker,
    metrics: Metrics,
}

impl Front {
    /// The side of the instance of that name, which looks its peers up in `table`.
    pub fn new(
        name: &str,
        secret: FleetSecret,
        table: Arc<Table>,
        waker: Waker,
        metrics: Metrics,
    ) -> Front {
        Front {
            name: name.to_owned(),
            secret,
            number: AtomicU16::new(0),
            table,
            waker,
            metrics,
        }
    }

    /// This instance's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This instance's number, once it has joined.
    pub fn number(&self) -> Option<u16> {
        let number = self.number.load(Ordering::SeqCst);
        (number > 0).then_some(number)
    }

    /// The instances as of the last look.
    pub fn instances(&self) -> Arc<Instances> {
        self.table.latest()
    }

    /// Where relays are counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Notes the number that this instance has.
    pub fn set_number(&self, number: HomeNumber) {
        self.number.store(number.get(), Ordering::SeqCst);
    }

    /// The other instance that has this number; none for this one's own, and for a number that no instance has. Of an
    /// unknown number the instances are looked up again soon.
    pub fn other(&self, number: HomeNumber) -> Option<Arc<Instance>> {
        if self.number.load(Ordering::SeqCst) == number.get() {
            return None;
        }
        let found = self.table.latest().numbered(number.get()).cloned();
        if found.is_none() {
            self.waker.wake();
        }
        found
    }

    /// Connects to another instance. `stop` ends it.
    ///
    /// # Errors
    /// [`dial::Error`].
    pub fn dial(&self, home: &Instance, stop: BorrowedFd<'_>) -> Result<TcpStream, dial::Error> {
        let address = home.facts.peer_url.trim_start_matches("http://");
        let dialled = dial(address, &self.introduction(stop), &home.name);
        // A stop says nothing of the home.
        let is_stopped = matches!(
            dialled,
            Err(dial::Error::Hello {
                cause: hello::Error::Stopped,
                ..
            })
        );
        if !is_stopped {
            self.metrics.note_dial(&home.name, dialled.is_ok());
        }
        dialled
    }

    /// Finds out which instance has connected to this one. `stop` ends it.
    ///
    /// # Errors
    /// [`hello::Error`].
    pub fn hear(&self, stream: &TcpStream, stop: BorrowedFd<'_>) -> Result<String, hello::Error> {
        self.introduction(stop).hear_front(stream)
    }

    fn introduction<'a>(&'a self, stop: BorrowedFd<'a>) -> Introduction<'a> {
        Introduction {
            name: &self.name,
            secret: &self.secret,
            stop: Some(stop),
        }
    }
}
