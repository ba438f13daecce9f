//! Servers of a fleet, for the tests of several areas: one Redis, and an Engine for each.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use fake_engine::FakeEngine;
use tempfile::TempDir;

use crate::containers::unique;
use crate::redis_server::RedisServer;
use crate::site::{Life, Site, wait_for};

/// What a fleet's servers have in common.
pub struct Fleet {
    pub redis: RedisServer,
    folder: TempDir,
}

/// One of its servers, with its Engine.
pub struct Member {
    pub site: Site,
    pub engine: FakeEngine,
}

impl Fleet {
    pub fn new() -> Fleet {
        let fleet = Fleet {
            redis: RedisServer::start(),
            folder: tempfile::tempdir().expect("a directory"),
        };
        fleet.write_secret("secret", "the secret of this fleet, of some length");
        fleet
    }

    pub fn write_secret(&self, name: &str, secret: &str) {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(self.folder.path().join(name)).expect("a file");
        file.write_all(secret.as_bytes()).expect("written");
    }

    pub fn start(&self) -> Member {
        self.start_with("secret", &[])
    }

    pub fn start_with(&self, secret: &str, more: &[&str]) -> Member {
        let engine = FakeEngine::start();
        let site = self.site(Life::new(&unique()), &engine, secret, more);
        Member { site, engine }
    }

    /// A server that is in the fleet.
    pub fn site(&self, life: Life, engine: &FakeEngine, secret: &str, more: &[&str]) -> Site {
        let site = self.join(life, engine, secret, more);
        wait_for("the server to be in the fleet", || {
            site.get("/readyz").status == 200
        });
        site
    }

    pub fn join(&self, life: Life, engine: &FakeEngine, secret: &str, more: &[&str]) -> Site {
        let (url, path) = (self.redis.url(), self.folder.path().join(secret));
        let own = [
            "--redis-url",
            &url,
            "--peer-bind",
            "127.0.0.1:0",
            "--fleet-secret-file",
            path.to_str().expect("UTF-8"),
        ];
        // No server is taken for dead, however busy this machine is, except where a test wants that.
        let times = match more.contains(&"--lease") {
            true => [].as_slice(),
            false => &["--lease", "60s", "--away", "60s"],
        };
        Site::start_in(
            life,
            &engine.docker_host(),
            &[&own[..], times, more].concat(),
        )
    }
}

/// Waits until a server knows of the one that has the session.
pub fn wait_until_known(at: &Site, path: &str) {
    wait_for("the other server to be known", || {
        at.get(path).status == 200
    });
}
