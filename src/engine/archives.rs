//! The calls that copy files into a container and out of it, as tar archives.
//!
//! No threads of its own; see [`super::client`].

use ureq::http::Method;

use super::answer::path_stat;
use super::call::{Body, Request, SMALL_ANSWER};
use super::client::{Engine, LONG, Result, SHORT};
use super::operation;
use super::path::archive_target;
use super::types::{ContainerId, PathStat};

impl Engine {
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

    /// A tar archive of what lies at `path` in a container, which may have ended. Never reads more than `limit_bytes`:
    /// a larger archive is [`Error::Garbled`](super::Error::Garbled). The player decides what is in it.
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
}
