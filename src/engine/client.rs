//! The Engine's verbs, a function each.
//!
//! Any thread may call any of them at any time: each call takes a connection from a pool or opens its own,
//! blocks until the answer is whole, and has a deadline. How many calls of a kind run at the same time is for the
//! caller to bound.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{debug, warn};
use serde::Deserialize;
use ureq::http::Method;

use super::answer::{load_outcome, path_stat};
use super::attach::{self, Attach};
use super::call::{
    Answer, Body, CONNECT_LIMIT, LONG_ANSWER, Request, SMALL_ANSWER, Wire, encode, engine_message,
};
use super::dialect::{ApiVersion, Dialect, Unfinished, choose};
use super::error::{Error, HostError};
use super::events::{self, Events};
use super::host::socket_path;
use super::operation;
use super::path::{archive_target, is_image_name, label_filter, segment};
use super::podman;
use super::transport::connect;
use super::types::{
    ContainerId, ContainerSummary, CreateContainer, Image, ImageSummary, Inspection, PathStat,
    Ping, Size, Stats, SystemInfo, Version,
};
use crate::locks::Mutex;

type Result<T> = std::result::Result<T, Error>;

/// `/_ping` touches nothing in the Engine (0.2 ms); more than this and it is not well.
const PING: Duration = Duration::from_secs(3);

/// Calls that look something up: tens of milliseconds, on a busy host a second.
const SHORT: Duration = Duration::from_secs(10);

/// `ContainerResize` takes 0.3 ms, and is made again when it fails.
const RESIZE: Duration = Duration::from_secs(3);

/// `ContainerCreate` and `ContainerKill` wait for the disk and for the runtime.
const LONG: Duration = Duration::from_secs(30);

/// `ContainerStart` and `ContainerDelete` take 0.3 s alone and queue behind each other under load.
const LONGEST: Duration = Duration::from_secs(60);

/// An image of hundreds of megabytes is unpacked on a slow disk.
const LOAD: Duration = Duration::from_secs(600);

/// A Docker Engine. Cheap to clone; clones share connections and what is known about the Engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
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

    /// The same, with somebody who is told of each call.
    pub fn watched(docker_host: &str, watcher: Watcher) -> std::result::Result<Engine, HostError> {
        let path = socket_path(docker_host)?;
        Ok(Engine {
            shared: Arc::new(Shared {
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
    /// DOCKER: on its way out it closes its listener first, then ends the containers, and still answers on connections
    /// that it has (20.10). An archive that is taken of a container at that moment leaves its file system mounted,
    /// and the container can never be removed. So the thread that learns of a death calls this first.
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

    /// How a file in a container looks that an archive was unpacked into in part only.
    pub fn unfinished(&self) -> Result<Unfinished> {
        Ok(self.dialect()?.unfinished())
    }

    /// All images on the Engine.
    pub fn images(&self) -> Result<Vec<ImageSummary>> {
        self.get(operation::IMAGE_LIST, "/images/json".into())?
            .json(LONG_ANSWER)
    }

    /// Whether the Engine has an image of this name.
    pub fn has_image(&self, name: &str) -> Result<bool> {
        self.image(name).map(|image| image.is_some())
    }

    /// The image of this name, if the Engine has one.
    pub fn image(&self, name: &str) -> Result<Option<Image>> {
        if !is_image_name(name) {
            return Ok(None);
        }
        match self.get(operation::IMAGE_INSPECT, format!("/images/{name}/json")) {
            Ok(answer) => answer.json(SMALL_ANSWER).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the Engine the images in a tar archive of `docker save`'s kind.
    pub fn load_images(&self, tar: &mut dyn Read) -> Result<()> {
        let call = operation::IMAGE_LOAD;
        let answer = self.send(Request {
            call,
            method: Method::POST,
            target: "/images/load?quiet=1".into(),
            body: Body::TarStream(tar),
            deadline: LOAD,
        })?;
        load_outcome(call, &answer.bytes(SMALL_ANSWER)?)
    }

    /// Removes an image and its name. One that is gone already is fine.
    pub fn remove_image(&self, name: &str) -> Result<()> {
        if !is_image_name(name) {
            return Ok(());
        }
        match self.delete_image(format!("/images/{name}?force=1")) {
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }

    /// Removes an image by its id, if it has no name any more. One that a container still uses stays.
    pub fn remove_unnamed_image(&self, id: &str) -> Result<()> {
        match self.image(id)? {
            // DOCKER: without `force` an image loses its last name all the same.
            Some(image) if image.repo_tags.is_empty() => {}
            _ => return Ok(()),
        }
        match self.delete_image(format!("/images/{id}")) {
            Err(Error::Refused {
                status: 404 | 409, ..
            }) => Ok(()),
            result => result,
        }
    }

    fn delete_image(&self, target: String) -> Result<()> {
        let answer = self.send(Request {
            call: operation::IMAGE_DELETE,
            method: Method::DELETE,
            target,
            body: Body::Empty,
            deadline: LONGEST,
        })?;
        answer.bytes(SMALL_ANSWER).map(drop)
    }

    /// What the Engine says about itself and its host.
    pub fn info(&self) -> Result<SystemInfo> {
        self.get(operation::SYSTEM_INFO, "/info".into())?
            .json(SMALL_ANSWER)
    }

    /// Creates a container called `name`; it does not run yet.
    pub fn create(&self, name: &str, body: &CreateContainer) -> Result<ContainerId> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Created {
            id: ContainerId,
            warnings: Option<Vec<String>>,
        }
        let call = operation::CONTAINER_CREATE;
        let is_podman = self.dialect()?.is_podman;
        let (target, json) = match is_podman {
            true => (
                podman::CREATE.to_owned(),
                serde_json::to_vec(&podman::specification(name, body)),
            ),
            false => (
                format!("/containers/create?name={}", encode(name)),
                serde_json::to_vec(body),
            ),
        };
        let json = json.map_err(|error| Error::Garbled {
            call,
            what: format!("our own request: {error}"),
        })?;
        let answer = self.send(Request {
            call,
            method: Method::POST,
            target,
            body: Body::Json(json),
            deadline: LONG,
        });
        let answer = match is_podman {
            true => answer.map_err(podman::explain)?,
            false => answer?,
        };
        let created: Created = answer.json(SMALL_ANSWER)?;
        for warning in created.warnings.unwrap_or_default() {
            self.pass_on(&engine_message(warning.as_bytes()));
        }
        Ok(created.id)
    }

    /// Starts a created container. One that runs already is fine.
    pub fn start(&self, id: &ContainerId) -> Result<()> {
        let target = format!(
            "/containers/{}/start",
            segment(operation::CONTAINER_START, id)?
        );
        self.post(operation::CONTAINER_START, target, LONGEST)
    }

    /// What a container is and does.
    pub fn inspect(&self, id: &ContainerId) -> Result<Inspection> {
        let call = operation::CONTAINER_INSPECT;
        self.get(call, format!("/containers/{}/json", segment(call, id)?))?
            .json(SMALL_ANSWER)
    }

    /// What a container uses now. DOCKER: takes about a second, one-shot (API 1.41) or not.
    pub fn stats(&self, id: &ContainerId) -> Result<Stats> {
        let call = operation::CONTAINER_STATS;
        let target = format!(
            "/containers/{}/stats?stream=false&one-shot=true",
            segment(call, id)?
        );
        self.get(call, target)?.json(SMALL_ANSWER)
    }

    /// Joins a container's terminal. DOCKER: one that has ended also agrees, then never says a word, so
    /// [`Engine::inspect`] first; one that was not started yet loses no output.
    pub fn attach(&self, id: &ContainerId) -> Result<Attach> {
        let id = segment(operation::CONTAINER_ATTACH, id)?;
        let dialect = self.dialect()?;
        let target = format!(
            "/v{}/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1&detachKeys={}",
            dialect.version,
            dialect.detach_keys()
        );
        self.making(operation::CONTAINER_ATTACH, || {
            attach::open(self.shared.wire.socket(), &target)
        })
    }

    /// Gives a running container's terminal a size. DOCKER: 409 before the start; absurd sizes are accepted and
    /// wrap around, so check them before.
    pub fn resize(&self, id: &ContainerId, size: Size) -> Result<()> {
        let call = operation::CONTAINER_RESIZE;
        let Size { cols, rows } = size;
        let target = format!(
            "/containers/{}/resize?w={cols}&h={rows}",
            segment(call, id)?
        );
        self.post(call, target, RESIZE)
    }

    /// Asks a container to end, and makes it after `grace`. One that has ended already is fine.
    pub fn stop(&self, id: &ContainerId, grace: Duration) -> Result<()> {
        let call = operation::CONTAINER_STOP;
        let target = format!(
            "/containers/{}/stop?t={}",
            segment(call, id)?,
            grace.as_secs()
        );
        self.post(call, target, grace + LONG)
    }

    /// Ends a container immediately. One that has ended or is gone already is fine.
    pub fn kill(&self, id: &ContainerId) -> Result<()> {
        let target = format!(
            "/containers/{}/kill?signal=KILL",
            segment(operation::CONTAINER_KILL, id)?
        );
        match self.post(operation::CONTAINER_KILL, target, LONG) {
            Err(Error::Refused { status: 404, .. }) => Ok(()),
            Err(Error::Refused {
                status: 409,
                message,
                ..
            }) if message.contains("is not running") => Ok(()),
            // PODMAN: 500, and in other words.
            Err(Error::Refused {
                status: 500,
                message,
                ..
            }) if message.contains("can only kill running containers") => Ok(()),
            result => result,
        }
    }

    /// Removes a container and its anonymous volumes, running or not. One that is gone already is fine.
    pub fn remove(&self, id: &ContainerId) -> Result<()> {
        let call = operation::CONTAINER_DELETE;
        let result = self.send(Request {
            call,
            method: Method::DELETE,
            target: format!("/containers/{}?force=1&v=1", segment(call, id)?),
            body: Body::Empty,
            deadline: LONGEST,
        });
        match result {
            Ok(answer) => answer.bytes(SMALL_ANSWER).map(|_| ()),
            Err(Error::Refused { status: 404, .. }) => Ok(()),
            Err(Error::Refused {
                status: 409,
                message,
                ..
            }) if message.contains("already in progress") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until a container does not run, for at most `limit`, and returns its exit code.
    /// DOCKER: one that was never started does not run either: 0, immediately.
    pub fn wait(&self, id: &ContainerId, limit: Duration) -> Result<i64> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Waited {
            status_code: i64,
            error: Option<WaitError>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct WaitError {
            message: String,
        }
        let call = operation::CONTAINER_WAIT;
        let answer = self.send(Request {
            call,
            method: Method::POST,
            target: format!("/containers/{}/wait", segment(call, id)?),
            body: Body::Empty,
            deadline: limit,
        })?;
        let waited: Waited = answer.json(SMALL_ANSWER)?;
        match waited.error {
            // DOCKER: the status was sent before the container ended, so a failure comes in a 200.
            Some(WaitError { message }) if !message.is_empty() => Err(Error::Refused {
                call,
                status: 500,
                message: engine_message(message.as_bytes()),
            }),
            _ => Ok(waited.status_code),
        }
    }

    /// All containers, running or not, that carry all of these labels.
    pub fn list(&self, labels: &[(&str, &str)]) -> Result<Vec<ContainerSummary>> {
        let filters = encode(&label_filter(labels, None));
        self.get(
            operation::CONTAINER_LIST,
            format!("/containers/json?all=1&filters={filters}"),
        )?
        .json(LONG_ANSWER)
    }

    /// All containers, running or not, that carry a label of this name.
    pub fn list_with_label(&self, label: &str) -> Result<Vec<ContainerSummary>> {
        let filters = encode(&serde_json::json!({ "label": [label] }).to_string());
        self.get(
            operation::CONTAINER_LIST,
            format!("/containers/json?all=1&filters={filters}"),
        )?
        .json(LONG_ANSWER)
    }

    /// What lies at `path` in a container, without following a link at its end.
    pub fn stat_archive(&self, id: &ContainerId, path: &str) -> Result<PathStat> {
        let call = operation::CONTAINER_ARCHIVE_INFO;
        let answer = self.send(Request {
            call,
            method: Method::HEAD,
            target: archive_target(call, id, path)?,
            body: Body::Empty,
            deadline: SHORT,
        })?;
        path_stat(
            call,
            answer
                .header("X-Docker-Container-Path-Stat")
                .unwrap_or_default(),
        )
    }

    /// A tar archive of what lies at `path` in a container, which may have ended. Never reads more than
    /// `limit_bytes`: a larger archive is [`Error::Garbled`]. What is in it is the player's to choose.
    pub fn get_archive(&self, id: &ContainerId, path: &str, limit_bytes: usize) -> Result<Vec<u8>> {
        let call = operation::CONTAINER_ARCHIVE;
        let target = archive_target(call, id, path)?;
        self.send(Request {
            call,
            method: Method::GET,
            target,
            body: Body::Empty,
            deadline: LONG,
        })?
        .bytes(limit_bytes)
    }

    /// Unpacks a tar archive in the directory `dir` of a container, which need not run.
    pub fn put_archive(&self, id: &ContainerId, dir: &str, tar: &[u8]) -> Result<()> {
        let call = operation::PUT_CONTAINER_ARCHIVE;
        let target = archive_target(call, id, dir)?;
        self.send(Request {
            call,
            method: Method::PUT,
            target,
            body: Body::Tar(tar),
            deadline: LONG,
        })?
        .bytes(SMALL_ANSWER)?;
        Ok(())
    }

    /// Listens to what happens to the containers that carry all of these labels, from now on.
    pub fn events(&self, labels: &[(&str, &str)]) -> Result<Events> {
        let call = operation::SYSTEM_EVENTS;
        let filters = encode(&label_filter(labels, Some("container")));
        let target = format!("/events?filters={filters}");
        if let Some(events) = self.open_events(&target)? {
            return Ok(events);
        }
        // Refused. The same as an ordinary call is refused too, but with a reason; or, if the reason was the
        // version, is made in another one, which then goes for us as well.
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
            events::open(self.shared.wire.socket(), &target)
        })
    }

    fn get(&self, call: &'static str, target: String) -> Result<Answer> {
        self.send(Request {
            call,
            method: Method::GET,
            target,
            body: Body::Empty,
            deadline: SHORT,
        })
    }

    /// A `POST` that says everything in its path and whose answer says nothing.
    fn post(&self, call: &'static str, target: String, deadline: Duration) -> Result<()> {
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

    /// Makes a call in the Engine's dialect. An Engine that was replaced by one of another version refuses the
    /// old one's before it has done anything, so the call is made once more in the new one's.
    fn send(&self, mut request: Request<'_>) -> Result<Answer> {
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
            // It names a version of its own.
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
    fn dialect(&self) -> Result<Dialect> {
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
        // Only an Engine newer than us can have dropped what we speak, and only `/version` tells.
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
    fn making<T>(&self, call: &'static str, make: impl FnOnce() -> Result<T>) -> Result<T> {
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
    fn pass_on(&self, warning: &str) {
        if self.shared.has_warned.swap(true, Ordering::Relaxed) {
            debug!("the Engine warns: {warning}");
        } else {
            warn!("the Engine warns (said once): {warning}");
        }
    }
}
