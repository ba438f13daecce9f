//! The calls for containers, from creation to removal.
//!
//! No threads of its own; see [`super::client`].

use std::time::Duration;

use serde::Deserialize;
use ureq::http::Method;

use super::attach::{self, Attach};
use super::call::{Body, LONG_ANSWER, Request, SMALL_ANSWER, encode, engine_message};
use super::client::{Engine, LONG, LONGEST, Result};
use super::error::Error;
use super::operation;
use super::path::{label_filter, segment};
use super::podman;
use super::types::{ContainerId, ContainerSummary, CreateContainer, Inspection, Size, Stats};

/// `ContainerResize` takes 0.3 ms, and is made again when it fails.
const RESIZE: Duration = Duration::from_secs(3);

impl Engine {
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

    /// Joins a container's terminal. DOCKER: the Engine agrees for a container that has ended, too, and then sends
    /// nothing, so call [`Engine::inspect`] before; for a container that was not started yet no output is lost.
    pub fn attach(&self, id: &ContainerId) -> Result<Attach> {
        let id = segment(operation::CONTAINER_ATTACH, id)?;
        let dialect = self.dialect()?;
        let target = format!(
            "/v{}/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1&detachKeys={}",
            dialect.version,
            dialect.detach_keys()
        );
        self.making(operation::CONTAINER_ATTACH, || {
            attach::open(self.socket_path(), &target)
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

    /// Asks a container to end, and kills it after `grace`. One that has ended already is fine.
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
            // PODMAN: the status is 500, and the message another one.
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

    /// Waits until a container does not run, for at most `limit`, and returns its exit code. DOCKER: one that was never
    /// started does not run either: the answer is 0, immediately.
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
}
