//! The client of the Engine: how every call is made, and the calls that are about the Engine itself. The calls for
//! containers, their archives, and images have files of their own.
//!
//! Any thread may call any of them at any time: each call takes a connection from a pool or opens its own,
//! blocks until the answer is whole, and has a deadline. How many calls of a kind run at the same time is for the
//! caller to bound.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{debug, warn};
use ureq::http::Method;

use super::call::{
    Answer, Body, CONNECT_LIMIT, Request, SMALL_ANSWER, Wire, encode, engine_message,
};
use super::dialect::{ApiVersion, Dialect, Unfinished, choose};
use super::error::{Error, HostError};
use super::events::{self, Events};
use super::host::socket_path;
use super::operation;
use super::path::label_filter;
use super::podman;
use super::transport::connect;
use super::types::{Ping, SystemInfo, Version};
use crate::locks::Mutex;

/// What a call gives.
pub(super) type Result<T> = std::result::Result<T, Error>;

/// `/_ping` touches nothing in the Engine (0.2 ms); an Engine that takes longer than this is not well.
const PING: Duration = Duration::from_secs(3);

/// Calls that look something up: tens of milliseconds, on a busy host a second.
pub(super) const SHORT: Duration = Duration::from_secs(10);

/// `ContainerCreate` and `ContainerKill` wait for the disk and for the runtime.
pub(super) const LONG: Duration = Duration::from_secs(30);

/// `ContainerStart` and `ContainerDelete` take 0.3 s alone and queue behind each other under load.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// A Docker Engine. Cheap to clone; clones share connections and what is known about the Engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Inner>,
}

struct Inner {
    wire: Wire,
    socket: String,
    /// How to speak to the Engine that answered last. Forgotten when it goes away: another one may come back.
    /// Never held across a call.
    dialect: Mutex<Option<Dialect>>,
    has_warned: AtomicBool,
    watcher: Watcher,
}

/// Is told of each call that was made: the API operation, how long it took, and why it failed if it did.
pub type Watcher = Box<dyn Fn(&'static str, Duration, Option<&Error>) + Send + Sync>;

impl Engine {
    /// An Engine at `docker_host`, a URL such as `unix:///var/run/docker.sock`. Does not speak to it yet.
    pub fn new(docker_host: &str) -> std::result::Result<Engine, HostError> {
        Engine::watched(docker_host, Box::new(|_, _, _| {}))
    }

    /// The same, with a function that is told of each call.
    pub fn watched(docker_host: &str, watcher: Watcher) -> std::result::Result<Engine, HostError> {
        let path = socket_path(docker_host)?;
        Ok(Engine {
            shared: Arc::new(Inner {
                wire: Wire::new(&path),
                socket: path.display().to_string(),
                dialect: Mutex::new(None),
                has_warned: AtomicBool::new(false),
                watcher,
            }),
        })
    }

    /// The socket's path.
    pub fn socket(&self) -> &str {
        &self.shared.socket
    }

    /// Whether the Engine answers, and who it is.
    pub fn ping(&self) -> Result<Ping> {
        let answer = self.send_bare(operation::SYSTEM_PING, "/_ping", PING)?;
        let ping = Ping {
            api_version: answer.header("Api-Version").unwrap_or_default().to_owned(),
            is_podman: answer.header("Libpod-API-Version").is_some(),
        };
        // Read to its end, so that the connection can be used again.
        answer.bytes(SMALL_ANSWER)?;
        Ok(ping)
    }

    /// Whether the Engine takes new connections.
    ///
    /// DOCKER: an Engine that is shut down closes its listener first, then ends the containers, and still answers on
    /// connections that it has (20.10). An archive that is read from a container at that moment leaves the container's
    /// file system mounted, and the container can never be removed. So a thread that learns of a container's end calls
    /// this first.
    pub fn probe(&self) -> Result<()> {
        connect(Path::new(&self.shared.socket), CONNECT_LIMIT)
            .map(drop)
            .map_err(|cause| Error::Unreachable {
                call: "a new connection",
                socket: self.shared.socket.clone(),
                cause,
            })
    }

    /// Which Engine it is, for the operator.
    pub fn version(&self) -> Result<Version> {
        self.send_bare(operation::SYSTEM_VERSION, "/version", SHORT)?
            .json(SMALL_ANSWER)
    }

    /// Whether [`HostConfig::console_size`](super::types::HostConfig::console_size) sizes the terminal before
    /// the first byte is drawn; where it does not, [`Engine::resize`] right after the start must.
    pub fn has_console_size(&self) -> Result<bool> {
        Ok(self.dialect()?.has_console_size())
    }

    /// Whether it is Podman's imitation of Docker.
    pub fn is_podman(&self) -> Result<bool> {
        Ok(self.dialect()?.is_podman)
    }

    /// How a file in a container shows that only a part of it was unpacked from an archive.
    pub fn unfinished(&self) -> Result<Unfinished> {
        Ok(self.dialect()?.unfinished())
    }

    /// What the Engine says about itself and its host.
    pub fn info(&self) -> Result<SystemInfo> {
        self.get(operation::SYSTEM_INFO, "/info".into())?
            .json(SMALL_ANSWER)
    }

    /// What distinguishes this Engine from those of other hosts, and stays the same over restarts.
    ///
    /// # Errors
    /// As of any call.
    pub fn identity(&self) -> Result<String> {
        let info = self.info()?;
        // PODMAN: its own number is another one at each call.
        if info.id.is_empty() || self.is_podman()? {
            return Ok(format!("{}:{}", info.name, info.docker_root_dir));
        }
        Ok(info.id)
    }

    /// Listens to what happens to the containers that carry all of these labels, from now on.
    pub fn events(&self, labels: &[(&str, &str)]) -> Result<Events> {
        let call = operation::SYSTEM_EVENTS;
        let filters = encode(&label_filter(labels, Some("container")));
        let target = format!("/events?filters={filters}");
        if let Some(events) = self.open_events(&target)? {
            return Ok(events);
        }
        // The Engine has refused. The same request as an ordinary call is refused too, but with a reason; or, if the
        // reason was the version, that call is made again in another version, which is then used here, too.
        self.get(call, target.clone())?;
        self.open_events(&target)?.ok_or_else(|| Error::Garbled {
            call,
            what: "now yes, now no".into(),
        })
    }

    fn open_events(&self, target: &str) -> Result<Option<Events>> {
        let target = format!("/v{}{target}", self.dialect()?.version);
        debug!("engine call=SystemEvents GET {target}");
        self.making(operation::SYSTEM_EVENTS, || {
            events::open(self.socket_path(), &target)
        })
    }

    /// The socket's path, for connections that are not made by [`Wire`].
    pub(super) fn socket_path(&self) -> &Path {
        self.shared.wire.socket()
    }

    /// A `GET` that looks something up.
    pub(super) fn get(&self, call: &'static str, target: String) -> Result<Answer> {
        self.send(Request {
            call,
            method: Method::GET,
            target,
            body: Body::Empty,
            deadline: SHORT,
        })
    }

    /// A `POST` without a body, whose answer has nothing of interest.
    pub(super) fn post(
        &self,
        call: &'static str,
        target: String,
        deadline: Duration,
    ) -> Result<()> {
        self.send(Request {
            call,
            method: Method::POST,
            target,
            body: Body::Empty,
            deadline,
        })?
        .bytes(SMALL_ANSWER)?;
        Ok(())
    }

    /// Makes a call in the Engine's dialect. An Engine that has taken the place of another version refuses that
    /// version's dialect before it has done anything, so the call is made once more in the new one's, unless its body
    /// can be sent only once.
    pub(super) fn send(&self, mut request: Request<'_>) -> Result<Answer> {
        let result = self.send_once(&mut request);
        match &result {
            Err(Error::Refused {
                status: 400,
                message,
                ..
            }) if message.contains("client version") => {
                self.forget_dialect();
                match request.body {
                    Body::TarStream(_) => result,
                    _ => self.send_once(&mut request),
                }
            }
            _ => result,
        }
    }

    fn send_once(&self, request: &mut Request<'_>) -> Result<Answer> {
        let prefix = match request.target == podman::CREATE {
            // This path names a version of its own.
            true => String::new(),
            false => format!("/v{}", self.dialect()?.version),
        };
        self.making(request.call, || self.shared.wire.send(&prefix, request))
    }

    /// A call without a version in its path, as is needed to learn the version.
    fn send_bare(&self, call: &'static str, target: &str, deadline: Duration) -> Result<Answer> {
        let target = target.to_owned();
        let mut request = Request {
            call,
            method: Method::GET,
            target,
            body: Body::Empty,
            deadline,
        };
        self.making(call, || self.shared.wire.send("", &mut request))
    }

    /// How to speak to the Engine, asked from it when not known.
    pub(super) fn dialect(&self) -> Result<Dialect> {
        let known = *self.shared.dialect.lock();
        if let Some(dialect) = known {
            return Ok(dialect);
        }
        let dialect = self.negotiate()?;
        debug!("engine speaks {dialect:?} at {}", self.shared.socket);
        *self.shared.dialect.lock() = Some(dialect);
        Ok(dialect)
    }

    fn negotiate(&self) -> Result<Dialect> {
        let ping = self.ping()?;
        let newest = ApiVersion::parse(&ping.api_version).ok_or_else(|| Error::Garbled {
            call: operation::SYSTEM_PING,
            what: format!(
                "no Api-Version but {:?}",
                engine_message(ping.api_version.as_bytes())
            ),
        })?;
        // Only an Engine that speaks a newer version can have dropped those of this client, and only `/version` tells.
        let oldest = match newest > super::dialect::NEWEST {
            true => ApiVersion::parse(&self.version()?.min_api_version.unwrap_or_default()),
            false => None,
        };
        Ok(Dialect {
            version: choose(newest, oldest)?,
            is_podman: ping.is_podman,
        })
    }

    /// Makes a call, and notes how it went.
    pub(super) fn making<T>(
        &self,
        call: &'static str,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let began = Instant::now();
        let result = make();
        (self.shared.watcher)(call, began.elapsed(), result.as_ref().err());
        if let Err(Error::Unreachable { .. } | Error::Broken { .. }) = &result {
            self.forget_dialect();
        }
        result
    }

    fn forget_dialect(&self) {
        *self.shared.dialect.lock() = None;
    }

    /// The Engine's warnings are about the host, such as a limit its kernel can't enforce, and come with every
    /// container: the operator needs to read them once.
    pub(super) fn pass_on(&self, warning: &str) {
        if self.shared.has_warned.swap(true, Ordering::Relaxed) {
            debug!("the Engine warns: {warning}");
        } else {
            warn!("the Engine warns (said once): {warning}");
        }
    }
}
