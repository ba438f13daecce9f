//! Where the self-test plays: on the operator's Engine and with the operator's settings, but under an instance's name
//! of its own and with a store in memory.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Arc;
use std::time::Duration;

use super::image;
use crate::cli::attack::Terms;
use crate::config::Config;
use crate::engine::{self, Engine, HostError};
use crate::metrics::Registry;
use crate::session::sandbox::INSTANCE_LABEL;
use crate::session::store::memory::{BackingStore, Memory};
use crate::session::{self, Grace, Manager, Shell, ShutdownMode, bundle};

/// The attacker's name in the catalogue. No setting can have it: names have no colon.
pub const ATTACKER: &str = "self:attacker";
/// How long the end may take.
const FAREWELL: Duration = Duration::from_secs(30);

/// Why there is no self-test.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `DOCKER_HOST` is no socket.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The Engine does not do what it must.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A session can't be made or ended.
    #[error(transparent)]
    Session(#[from] session::Error),
    /// This machine does not give what is needed.
    #[error("can't prepare the test: {0}")]
    Io(#[from] std::io::Error),
    /// The metrics could not be made.
    #[error("this binary is broken: {0}")]
    Build(String),
    /// The attacker does not say anything.
    #[error("the attacker's container does not speak: {0}")]
    Mute(String),
    /// The neighbour does not answer even when nothing goes on.
    #[error("the shell {0:?} shows nothing when a key is typed")]
    Deaf(String),
}

/// The ground, taken down by [`Ground::leave`].
pub struct Ground {
    /// The Engine.
    pub engine: Engine,
    /// Sessions are made with this, as the server makes them.
    pub manager: Arc<Manager>,
    /// What the sandbox is meant to allow.
    pub terms: Terms,
    instance: String,
    image: String,
    /// What an attacker could reach if there were a network: a service of the host.
    pub service: TcpListener,
    _abstract_service: UnixListener,
}

impl Ground {
    /// Loads the attacker's image and gets ready to make sessions.
    pub fn open(config: &Config) -> Result<Ground, Error> {
        let service = TcpListener::bind(("0.0.0.0", 0))?;
        service.set_nonblocking(true)?;
        let port = service.local_addr()?.port();
        let mut settings = config.session_settings(port);
        let terms = Terms {
            pids: settings.limits.pids.into(),
            memory: settings.limits.memory_bytes,
            cpus: settings.limits.nano_cpus,
            host_pid: rustix::process::getpid().as_raw_nonzero().get(),
            host_port: port,
        };
        let address = SocketAddr::from_abstract_name(terms.socket_name())?;
        let abstract_service = UnixListener::bind_addr(&address)?;
        let engine = Engine::new(&config.docker_host)?;
        let instance = format!("selftest-{}-{port}", terms.host_pid);
        let image = format!("shellcraft-selftest:{}", instance);
        load(&engine, &image)?;
        settings.instance.clone_from(&instance);
        settings.pool_size = 0;
        settings.max_sessions = 16;
        settings.idle_timeout = Duration::from_secs(3600);
        settings.max_lifetime = None;
        settings.shells.push(Shell {
            name: ATTACKER.into(),
            image: image.clone(),
        });
        // These metrics are not shown anywhere.
        let metrics = Registry::new().and_then(|registry| session::Metrics::register(&registry));
        let metrics = metrics.map_err(|error| Error::Build(error.to_string()))?;
        let store = Arc::new(Memory::new(&BackingStore::default(), &instance));
        let manager = Manager::start(engine.clone(), store, settings, bundle::embedded(), metrics)?;
        Ok(Ground {
            engine,
            manager,
            terms,
            instance,
            image,
            service,
            _abstract_service: abstract_service,
        })
    }

    /// The shells of the catalogue, without the attacker.
    pub fn shells(&self) -> impl Iterator<Item = &Shell> {
        let shells = self.manager.settings().shells.iter();
        shells.filter(|shell| shell.name != ATTACKER)
    }

    /// Ends what is left of sessions, and removes the image. Returns how many containers have stayed.
    pub fn leave(self) -> Result<usize, Error> {
        self.manager.begin_stop(ShutdownMode::Drain);
        self.manager.stop(ShutdownMode::Drain, Grace::of(FAREWELL));
        let left = self.engine.list(&[(INSTANCE_LABEL, &self.instance)])?;
        for container in &left {
            self.engine.remove(&container.id)?;
        }
        self.engine.remove_image(&self.image)?;
        Ok(left.len())
    }
}

/// Gives the Engine the attacker's image.
pub fn load(engine: &Engine, name: &str) -> Result<(), Error> {
    let version = engine.version()?;
    let archive = image::archive(name, &version.arch)?;
    engine.load_images(&mut archive.as_slice())?;
    Ok(())
}
