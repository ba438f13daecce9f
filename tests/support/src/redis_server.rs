//! A Redis server of one test's own, which can be killed and comes back with what it had.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::{Client, FromRedisValue};
use tempfile::TempDir;

use crate::containers::own_address;
use crate::site::wait_for;

/// A running Redis; killed when it goes out of scope.
pub struct RedisServer {
    folder: TempDir,
    /// Where it listens instead of on a Unix socket.
    address: Option<SocketAddr>,
    settings: Vec<String>,
    child: Mutex<Option<Child>>,
}

impl RedisServer {
    /// One on a Unix socket.
    pub fn start() -> RedisServer {
        RedisServer::start_with(None, &[])
    }

    /// One on a port, for whoever knows the password.
    pub fn start_with_password(password: &str) -> RedisServer {
        RedisServer::start_with(Some(own_address()), &["--requirepass", password])
    }

    fn start_with(address: Option<SocketAddr>, settings: &[&str]) -> RedisServer {
        let server = RedisServer {
            folder: tempfile::tempdir().expect("a directory"),
            address,
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            child: Mutex::new(None),
        };
        server.restart();
        server
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Where it is, without a password.
    pub fn url(&self) -> String {
        match self.address {
            Some(address) => format!("redis://{address}"),
            None => format!("unix://{}", self.socket().display()),
        }
    }

    /// Starts it, and does not wait until it answers.
    pub fn launch(&self) {
        let (ip, port) = match self.address {
            Some(address) => (address.ip().to_string(), address.port().to_string()),
            // No port at all.
            None => ("127.0.0.1".into(), "0".into()),
        };
        let log = fs::File::create(self.folder.path().join("log")).expect("a log");
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", &ip, "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        command.arg("--unixsocket").arg(self.socket());
        command.arg("--dir").arg(self.folder.path());
        command
            .args(&self.settings)
            .stdout(log)
            .stderr(Stdio::null());
        let child = command
            .spawn()
            .expect("redis-server is needed: .ci/setup test installs it");
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
    }

    /// Starts it, and waits until it answers.
    pub fn restart(&self) {
        self.launch();
        let client = Client::open(self.url()).expect("a URL");
        wait_for("Redis to answer", || {
            let connection = client.get_connection_with_timeout(Duration::from_secs(1));
            // One that asks for a password has loaded everything too.
            let answer =
                connection.and_then(|mut one| redis::cmd("PING").query::<String>(&mut one));
            match answer {
                Ok(_) => true,
                Err(error) => error.code() == Some("NOAUTH"),
            }
        });
    }

    /// Kills it at once.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it without ending it, or lets it go on.
    pub fn signal(&self, name: &str) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = child.as_ref().expect("it runs").id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    /// What it answers to a command.
    #[track_caller]
    pub fn ask<T: FromRedisValue>(&self, words: &[&[u8]]) -> T {
        let client = Client::open(self.url()).expect("a URL");
        let mut connection = client.get_connection().expect("it answers");
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query(&mut connection).expect("an answer")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
