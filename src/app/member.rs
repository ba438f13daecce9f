//! This server as one of a fleet: what its heartbeat asks of it and tells it, and who gets through the door for the other
//! servers.
//!
//! Threads: called by `fleet-beat`, which beats no more until a call returns, so none waits for the Engine or the store
//! beyond the first answer; and by the connections' threads of the fleet's door.

use std::io;
use std::net::TcpStream;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use log::{error, info, warn};

use crate::config::fleet::Fleet;
use crate::door::{Address, Greeter};
use crate::engine::Engine;
use crate::fleet::beat::{self, Heartbeat};
use crate::fleet::ears::Ears;
use crate::fleet::front::Front;
use crate::fleet::host::Host;
use crate::fleet::lease::Why;
use crate::fleet::metrics::Beat;
use crate::fleet::record::{Membership, State};
use crate::fleet::roster::{self, Pulse};
use crate::fleet::table::{Facts, Instances};
use crate::fleet::{self, hello};
use crate::redis::Url;
use crate::session::Manager;
use crate::session::ids::HomeNumber;
use crate::session::store::{CurrentEpoch, Holder};
use crate::warn_throttled;

/// An answer of the Engine this old still tells whether it is there.
const ENGINE_ANSWER_LIFE: Duration = Duration::from_secs(60);

/// What ends the process when it has lost its place in the fleet.
type OnLost = Box<dyn Fn() + Send + Sync>;

/// This server's place in its fleet.
pub(super) struct Member {
    manager: Arc<Manager>,
    engine: Engine,
    epoch: Arc<CurrentEpoch>,
    address: String,
    metrics: fleet::Metrics,
    instance: String,
    /// A digest of the settings that should be the same on all instances.
    settings: String,
    /// Whether the log was told that other instances have other settings.
    is_warned: AtomicBool,
    front: OnceLock<Arc<Front>>,
    is_lost: AtomicBool,
    on_lost: OnceLock<OnLost>,
}

/// The threads that keep a server in its fleet.
pub(super) struct Threads {
    pub(super) heartbeat: Heartbeat,
    pub(super) ears: Ears,
}

impl Member {
    /// `peer` is where the fleet's door listens.
    pub(super) fn new(
        manager: &Arc<Manager>,
        engine: Engine,
        epoch: Arc<CurrentEpoch>,
        fleet: &Fleet,
        peer: &Address,
        metrics: fleet::Metrics,
    ) -> Arc<Member> {
        let address = fleet.address.clone();
        let listening = || peer.tcp().map_or_else(String::new, |at| at.to_string());
        Arc::new(Member {
            manager: Arc::clone(manager),
            engine,
            epoch,
            address: format!("http://{}", address.unwrap_or_else(listening)),
            metrics,
            instance: manager.settings().instance.clone(),
            settings: fleet.digest.clone(),
            is_warned: AtomicBool::new(false),
            front: OnceLock::new(),
            is_lost: AtomicBool::new(false),
            on_lost: OnceLock::new(),
        })
    }

    /// Starts the heartbeat, which joins the fleet, and the ears.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        self: &Arc<Self>,
        url: &Url,
        instance: &str,
        fleet: &Fleet,
    ) -> io::Result<(Threads, Arc<Front>)> {
        let settings = beat::Settings {
            instance: instance.to_owned(),
            last_epoch: 0,
            times: fleet.times,
        };
        let host = Arc::clone(self) as Arc<dyn Host>;
        let heartbeat = Heartbeat::start(url, settings, host)?;
        let ears = Ears::start(url, heartbeat.waker())?;
        let secret = fleet.secret.clone();
        let (table, waker) = (heartbeat.table(), heartbeat.waker());
        let front = Front::new(instance, secret, table, waker, self.metrics.clone());
        let front = Arc::new(front);
        // It is set once, and before the look whether the number is known already.
        let _ = self.front.set(Arc::clone(&front));
        if let Some(home) = self.manager.home() {
            front.set_number(home);
        }
        Ok((Threads { heartbeat, ears }, front))
    }

    /// Sets what ends the process when it has lost its place in the fleet; it may have by now.
    pub(super) fn on_lost(&self, end: OnLost) {
        // It is set once, by `main`.
        let _ = self.on_lost.set(end);
        if self.is_lost() {
            self.end();
        }
    }

    /// Whether another process has taken its place, or it has none.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    fn lose(&self) {
        self.is_lost.store(true, Ordering::SeqCst);
        self.end();
    }

    fn end(&self) {
        if let Some(end) = self.on_lost.get() {
            end();
        }
    }

    /// Says so once when other instances turn out to have other settings, until all are the same again.
    fn warn_of_other_settings(&self, instances: &Instances) {
        let others = instances.iter().filter(|one| {
            one.state != State::Buried && one.facts.has_other_settings(&self.settings)
        });
        let names: Vec<&str> = others.map(|one| one.name.as_str()).collect();
        let is_warned = self.is_warned.swap(!names.is_empty(), Ordering::SeqCst);
        if !is_warned && !names.is_empty() {
            warn!(
                "settings that should be the same on all servers of the fleet are other ones at {}: compare SHELLS, PUBLIC_URL, ADMIN_TOKEN and the limits",
                names.join(", ")
            );
        }
    }

    fn enter(&self, membership: Membership) {
        let Membership { epoch, number } = membership;
        if let Some(home) = HomeNumber::new(number) {
            self.manager.set_home(home);
            if let Some(front) = self.front.get() {
                front.set_number(home);
            }
        }
        // INVARIANT: only now, because from here on the store answers, and sessions are made.
        self.epoch.set(epoch);
    }
}

impl Host for Member {
    fn engine_id(&self) -> Option<String> {
        match self.engine.identity() {
            Ok(id) => Some(id),
            Err(cause) => {
                warn_throttled!("the fleet is joined when the Engine answers: {cause}");
                None
            }
        }
    }

    fn facts(&self) -> Facts {
        let settings = self.manager.settings();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let stock = self.manager.pool_counts().into_iter();
        let playing = self.manager.count_playing();
        Facts {
            peer_url: self.address.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            shells: settings
                .shells
                .iter()
                .map(|shell| shell.name.clone())
                .collect(),
            stock: stock
                .map(|(shell, waiting)| (shell, count(waiting)))
                .collect(),
            playing: count(playing),
            room: count(settings.max_sessions.saturating_sub(playing)),
            engine_up: self.manager.is_engine_known_up(ENGINE_ANSWER_LIFE),
            settings: self.settings.clone(),
            ..Facts::default()
        }
    }

    fn is_draining(&self) -> bool {
        self.manager.is_draining()
    }

    fn joined(&self, membership: Membership) {
        self.enter(membership);
    }

    fn refused(&self, error: &roster::Error) {
        error!("this server can't be in the fleet: {error}");
        self.lose();
    }

    fn rejoined(&self, membership: Membership, why: Why) {
        info!("in the fleet again, after {why:?}");
        self.enter(membership);
        self.manager.note_rejoined();
    }

    fn superseded(&self) {
        self.lose();
    }

    fn buried(&self, _instance: &str, _epoch: u64) {
        // The table tells of all that are buried, this one among them.
        self.metrics.buried.inc();
    }

    fn table_changed(&self, instances: &Arc<Instances>) {
        let buried = instances.iter().filter(|one| one.state == State::Buried);
        let buried = buried.map(|one| Holder {
            instance: one.name.clone(),
            epoch: one.epoch,
        });
        self.manager.set_buried(buried.collect());
        self.metrics.set_instances(instances, &self.instance);
        self.warn_of_other_settings(instances);
    }

    fn beaten(&self, beat: Beat) {
        self.metrics.beats.of(beat).inc();
    }

    fn pulse(&self, _pulse: Pulse) {}
}

/// Who gets through the fleet's door: who knows its secret and means this server.
pub(super) struct Doorkeeper(pub(super) Arc<Front>);

impl Greeter for Doorkeeper {
    fn greet(&self, stream: &TcpStream, stop: BorrowedFd<'_>) -> bool {
        match self.0.hear(stream, stop) {
            Ok(_) => true,
            Err(hello::Error::Stopped) => false,
            Err(cause) => {
                warn_throttled!("a connection to PEER_BIND is refused: {cause}");
                false
            }
        }
    }
}
