//! The life of the process, from top to bottom: open, serve, stop.

mod member;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::config::{Bind, Config};
use crate::door::{self, Address, Arrivals, Door, Listener};
use crate::engine::{self, Engine, HostError};
use crate::fleet;
use crate::http::metrics::Exposition;
use crate::http::{self, Side, Site, SiteService, assets};
use crate::logging;
use crate::metrics::{self, Registry};
use crate::session::bundle::{self, Bundled};
use crate::session::store::CurrentEpoch;
use crate::session::store::timed::Timed;
use crate::session::{self, Grace, Manager, NotReady, ShutdownMode, store};
use crate::terminal::viewer::Heartbeat;
use crate::threads::{self, Kind};
use member::{Doorkeeper, Member, Threads};

/// The operator's own door is small: a scraper, a browser, a command line.
const PRIVATE_DESCRIPTORS: usize = 256;

/// A start that takes longer than this is logged in a line of its own.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How often the server checks whether games can be started, until they can.
const READY_EVERY: Duration = Duration::from_millis(100);

/// Why the server could not start; one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, not ours, or below 1024.
    #[error("can't listen on {address}: {cause}; choose another {setting}")]
    Listen {
        /// The address or path that was asked for.
        address: SocketAddr,
        /// The setting that names the address.
        setting: &'static str,
        /// The system's error.
        cause: io::Error,
    },
    /// The path is taken, or its directory is not ours.
    #[error("can't listen on unix:{}: {cause}; choose another BIND", .path.display())]
    ListenAtPath {
        /// The address or path that was asked for.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// `DOCKER_HOST` is not a Unix socket.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The door could not be opened.
    #[error(transparent)]
    Door(#[from] door::Error),
    /// What the server keeps can't be opened.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A template or a metric is broken, so the binary is broken.
    #[error("this binary is broken: {0}")]
    Build(String),
    /// The page was not built before the server.
    #[error("this binary has no page in it: run `make web` before building it")]
    NoPage,
    /// The system gives no thread.
    #[error("can't start threads: {0}")]
    Threads(io::Error),
}

/// A server that is up.
pub struct App {
    door: Door,
    /// The operator's own door, if there is one.
    private_door: Option<Door>,
    /// The door for the other servers of the fleet, if there is one.
    peer_door: Option<Door>,
    membership: Option<(Arc<Member>, Threads)>,
    manager: Arc<Manager>,
    grace: Duration,
}

impl App {
    /// Starts everything. The Engine may be unreachable: the server says so on `/readyz` and keeps trying.
    ///
    /// # Errors
    /// [`Error`].
    pub fn start(config: &Config) -> Result<App, Error> {
        App::start_with(config, None, bundle::embedded())
    }

    /// Starts everything on a socket that another process has opened, instead of the one that the settings name.
    ///
    /// # Errors
    /// [`Error`].
    pub fn start_on(config: &Config, listener: Option<Listener>) -> Result<App, Error> {
        App::start_with(config, listener, bundle::embedded())
    }

    /// Starts everything, and gives the Engine other sandbox images than those in this binary.
    ///
    /// # Errors
    /// [`Error`].
    pub fn start_with(
        config: &Config,
        listener: Option<Listener>,
        images: Vec<Bundled>,
    ) -> Result<App, Error> {
        if !assets::is_complete() {
            return Err(Error::NoPage);
        }
        if let Err(cause) = door::limits::raise_fd_limit() {
            warn!("the limit of open files could not be raised: {cause}");
        }
        let listener = match listener {
            Some(listener) => listener,
            None => open(config)?,
        };
        let local = listener.address().clone();
        // A Unix socket has no port. The configured port then names this server's containers, as it did before.
        let port = local.tcp().map_or(config.port, |address| address.port());
        let private = config.metrics_bind;
        let private = private.map(|address| listen(address, "METRICS_BIND"));
        let private = private.transpose()?;
        let stats = Arc::<door::Stats>::default();
        let fleet = config.fleet.as_ref();
        let metrics = Metrics::new(&stats, fleet.is_some())
            .map_err(|error| Error::Build(error.to_string()))?;
        let engine = Engine::watched(&config.docker_host, metrics.engine.watcher())?;
        let quota_bytes = config.books_quota.0;
        let quota = metrics::whole(quota_bytes.unwrap_or(0));
        metrics.session.books.quota_bytes.set(quota);
        let instance = config.instance_name(port);
        let peers = fleet.map(|fleet| listen(fleet.bind, "PEER_BIND"));
        let peers = peers.transpose()?;
        let epoch = fleet.map(|_| Arc::<CurrentEpoch>::default());
        let store = store::open(
            &config.store_choice(),
            &instance,
            quota_bytes,
            epoch.as_ref(),
        )?;
        let store = Arc::new(Timed::new(store, metrics.store));
        let manager = Manager::start(
            engine.clone(),
            store,
            config.session_settings(port),
            images,
            metrics.session,
        )
        .map_err(Error::Threads)?;
        let membership = match (fleet, epoch, &peers, &config.redis_url, metrics.fleet) {
            (Some(fleet), Some(epoch), Some(peers), Some(url), Some(metrics)) => {
                let peer = peers.address();
                let member = Member::new(&manager, engine, epoch, fleet, peer, metrics);
                let (threads, front) = member
                    .start(url, &instance, fleet)
                    .map_err(Error::Threads)?;
                Some((member, threads, front))
            }
            _ => None,
        };
        let front = membership.as_ref().map(|(.., front)| Arc::clone(front));
        let http_settings = http::Settings {
            front: front.clone(),
            ..http_settings(config)
        };
        let site = Site::new(
            Arc::clone(&manager),
            metrics.http,
            metrics.exposition,
            http_settings,
        )
        .map_err(|error| Error::Build(error.to_string()))?;
        let site = Arc::new(site);
        let open_door = |listener, limits, side, arrivals| {
            let service = Arc::new(SiteService(Arc::clone(&site), side));
            let proxies = config.trusted_proxies.0.clone();
            let stats = Arc::clone(&stats);
            Door::open(
                listener,
                limits,
                arrivals,
                proxies,
                service,
                stats,
                &config.runtime_dir,
            )
        };
        let limits = door::Limits {
            max_per_address: config.connections_per_address,
            ..door::Limits::default()
        };
        let side = if private.is_some() {
            Side::Public
        } else {
            Side::Only
        };
        let strangers = || Arrivals::Strangers;
        let door = open_door(listener, limits.clone(), side, strangers())?;
        let few = door::Limits::for_descriptors(PRIVATE_DESCRIPTORS);
        let private_door =
            private.map(|listener| open_door(listener, few, Side::Private, strangers()));
        let private_door = private_door.transpose()?;
        let peer_door = peers.zip(front).map(|(listener, front)| {
            let arrivals = Arrivals::Peers(Arc::new(Doorkeeper(front)));
            open_door(listener, limits, Side::Peer, arrivals)
        });
        let peer_door = peer_door.transpose()?;
        if let Err(cause) = manager.engine_health() {
            warn!("{cause}; new games are refused until it answers");
        }
        info!(
            "instance={} listening on {local}",
            manager.settings().instance
        );
        if let Some(door) = &private_door {
            info!("metrics and operator routes at {}", door.address());
        }
        if let Some(door) = &peer_door {
            info!(
                "the fleet's other servers reach this one at {}",
                door.address()
            );
        }
        Ok(App {
            door,
            private_door,
            peer_door,
            membership: membership.map(|(member, threads, _)| (member, threads)),
            manager,
            grace: config.shutdown_grace,
        })
    }

    /// Calls `say` when games can be started, and before that with what is missing, unless the start only takes its
    /// time. The thread (`ready`) returns when it has said that games can be started, or when the server stops.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn announce(&self, say: impl Fn(&str) + Send + 'static) -> io::Result<JoinHandle<()>> {
        let (manager, url) = (Arc::clone(&self.manager), self.address().to_string());
        threads::spawn(Kind::Ready, move || {
            let patience = Instant::now() + START_PATIENCE;
            let mut has_told = false;
            loop {
                let missing = match manager.readiness() {
                    Ok(()) => return say(&format!("ShellCraft is ready: {url}")),
                    Err(NotReady::Ending) if manager.is_stopping() => return,
                    Err(missing) => missing,
                };
                if !has_told && (!missing.is_passing() || Instant::now() >= patience) {
                    say(&format!("ShellCraft is not ready yet ({missing}): {url}"));
                    has_told = true;
                }
                if manager.has_stopped_within(READY_EVERY) {
                    return;
                }
            }
        })
    }

    /// The address that the server listens on.
    pub fn address(&self) -> &Address {
        self.door.address()
    }

    /// Returns the check of whether this server lives: it accepts connections, and its sessions can be looked at. The
    /// check does not return where they can't, which means that the server does not live.
    pub fn vital_signs(&self) -> impl Fn() -> bool + Send + 'static {
        let (pulse, manager) = (self.door.pulse(), Arc::clone(&self.manager));
        move || {
            manager.count_alive();
            pulse.is_felt()
        }
    }

    /// The operator's own address, if there is one.
    pub fn private_addr(&self) -> Option<SocketAddr> {
        self.private_door.as_ref()?.address().tcp()
    }

    /// Where the other servers of the fleet reach this one, if it is in a fleet.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer_door.as_ref()?.address().tcp()
    }

    /// Sets what ends the process when it has lost its place in the fleet, or gets none.
    pub fn on_lost(&self, end: impl Fn() + Send + Sync + 'static) {
        if let Some((member, _)) = &self.membership {
            member.on_lost(Box::new(end));
        }
    }

    /// Whether this server has lost its place in the fleet, or gets none.
    pub fn is_lost(&self) -> bool {
        let member = self.membership.as_ref();
        member.is_some_and(|(member, _)| member.is_lost())
    }

    /// The sessions.
    pub fn manager(&self) -> &Arc<Manager> {
        &self.manager
    }

    /// Stops the server: accepts no new connections, tells every page (1001), leaves the sessions to the next start or
    /// ends them, and joins the threads; all of that within the grace. `changed_mind` is asked whether the sessions
    /// that were left are to be ended after all. Returns how many threads had to be left behind, usually none.
    pub fn stop(self, mode: ShutdownMode, changed_mind: impl FnOnce() -> bool) -> usize {
        let began = Instant::now();
        let grace = Grace::of(self.grace);
        info!("stopping: {} sessions", self.manager.count_alive());
        self.door.stop_accepting();
        for door in [&self.private_door, &self.peer_door].into_iter().flatten() {
            door.stop_accepting();
        }
        let mut membership = self.membership;
        if let Some((_, threads)) = &mut membership {
            threads.heartbeat.begin_stop();
            threads.ears.begin_stop();
        }
        self.manager.begin_stop(mode);
        let mut left = self.manager.stop(mode, grace) + self.door.close(grace.end_at);
        for door in [self.private_door, self.peer_door].into_iter().flatten() {
            left += door.close(grace.end_at);
        }
        // This stops the sessions that requests were still making when the stop began.
        left += self.manager.stop(mode, grace);
        if mode == ShutdownMode::Leave && changed_mind() {
            self.manager.drain_left(grace.give_up_at);
        }
        if let Some((_, threads)) = membership {
            threads.heartbeat.stop();
            threads.ears.stop();
        }
        if left > 0 {
            self.manager.name_those_left();
            warn!(
                "{left} threads did not end within the grace; the next start takes their containers over"
            );
        }
        info!("stopped after {:?}", began.elapsed());
        left
    }
}

/// The metrics of each area, before they are handed to the code that counts. All are on the exposition's registry.
struct Metrics {
    engine: engine::Metrics,
    store: store::metrics::Metrics,
    session: session::Metrics,
    http: http::Metrics,
    /// Only in a fleet.
    fleet: Option<fleet::Metrics>,
    exposition: Exposition,
}

impl Metrics {
    /// Creates all metrics at zero. `stats` are those of the doors.
    fn new(stats: &Arc<door::Stats>, is_in_fleet: bool) -> metrics::Result<Metrics> {
        let registry = Registry::new()?;
        let fleet = is_in_fleet.then(|| fleet::Metrics::register(&registry));
        Ok(Metrics {
            fleet: fleet.transpose()?,
            engine: engine::Metrics::register(&registry)?,
            store: store::metrics::Metrics::register(&registry)?,
            session: session::Metrics::register(&registry)?,
            http: http::Metrics::register(&registry)?,
            exposition: Exposition {
                door: door::Metrics::register(&registry, Arc::clone(stats))?,
                log: logging::Metrics::register(&registry)?,
                registry,
            },
        })
    }
}

fn open(config: &Config) -> Result<Listener, Error> {
    match &config.bind {
        Bind::Ip(ip) => listen(SocketAddr::new(*ip, config.port), "PORT or BIND"),
        Bind::Unix(path) => Listener::at_path(path).map_err(|cause| Error::ListenAtPath {
            path: path.clone(),
            cause,
        }),
    }
}

fn listen(address: SocketAddr, setting: &'static str) -> Result<Listener, Error> {
    Listener::at(address).map_err(|cause| Error::Listen {
        address,
        setting,
        cause,
    })
}

fn http_settings(config: &Config) -> http::Settings {
    http::Settings {
        public_url: config.public_url.clone(),
        frame_ancestors: config.frame_ancestors.0.clone(),
        allowed_origins: config.allowed_origins.0.clone(),
        auth: config.auth_settings.clone(),
        paces: config.paces(),
        heartbeat: Heartbeat::every(config.heartbeat),
        front: None,
        lease: config.peers.lease,
    }
}
