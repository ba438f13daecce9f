//! A Docker Engine for tests: speaks the real HTTP API on a real Unix socket and runs no container.
//!
//! Statuses, messages and order of things are those of Docker 20.10, as far as the engine contract suite
//! looks, or of another release ([`Options::of_release`]); behind each attach a [simulated shell](shell) answers. On top of that a test can order trouble
//! (refuse, hang, delay, garble, cut, go away) and look at what the Engine was asked for.
//!
//! Operations have the names of Docker's API reference: `ContainerCreate`, `ContainerStart`,
//! `ContainerInspect`, `ContainerAttach`, `ContainerResize`, `ContainerStop`, `ContainerKill`,
//! `ContainerDelete`, `ContainerWait`, `ContainerList`, `ContainerArchive`, `ContainerArchiveInfo`,
//! `PutContainerArchive`, `ImageList`, `ImageInspect`, `ImageLoad`, `SystemPing`, `SystemVersion`,
//! `SystemEvents`. With a container's or an image's name behind it, as in `ContainerDelete shellcraft-…` or
//! `ImageInspect shellcraft/perl`, trouble is only that one's.
//!
//! Threads: one accepts, one serves each connection, one runs each container's shell: two per attached
//! container, with small stacks, so that thousands fit.

mod answers;
mod container;
mod files;
mod http;
mod route;
mod shell;
mod trouble;
mod world;

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use answers::Answers;
use container::{Container, File, Phase};
use trouble::Script;
use world::{World, lock};

/// How the Engine introduces itself.
#[derive(Debug, Clone)]
pub struct Options {
    /// The newest API version it speaks.
    pub api_version: String,
    /// The oldest API version it speaks.
    pub min_api_version: String,
    /// Whether it is Podman's imitation of Docker.
    pub is_podman: bool,
    /// The images it has, as `name:tag`.
    pub images: Vec<String>,
    /// What it says besides.
    pub answers: Answers,
}

impl Options {
    /// As that release of Docker does, one of [`releases`].
    pub fn of_release(release: &str) -> Options {
        let answers = Answers::of(release);
        let version = |name| answers.version(name).expect("a version").to_owned();
        Options {
            api_version: version("ApiVersion"),
            min_api_version: version("MinAPIVersion"),
            answers,
            ..Options::default()
        }
    }
}

/// The releases of Docker whose answers are known, oldest first.
pub fn releases() -> impl Iterator<Item = &'static str> {
    answers::releases()
}

impl Default for Options {
    fn default() -> Options {
        let images = [
            "shellcraft/rust:latest",
            "shellcraft/perl:latest",
            "shellcraft-test/busybox:latest",
        ];
        Options {
            api_version: "1.41".into(),
            min_api_version: "1.12".into(),
            is_podman: false,
            images: images.map(String::from).into(),
            answers: Answers::default(),
        }
    }
}

/// A container as a test sees it.
#[derive(Debug, Clone)]
pub struct FakeContainer {
    /// The full id.
    pub id: String,
    /// The name, without a slash.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `created`, `running`, `paused` or `exited`.
    pub state: &'static str,
    /// Its exit code, once it has one.
    pub exit_code: Option<i64>,
    /// Columns and rows of its terminal.
    pub size: (u16, u16),
    /// How many are attached.
    pub attached: usize,
    /// What it was created with.
    pub create_body: serde_json::Value,
    /// Its image's name, with a tag, by whatever the image was asked for.
    pub image_name: String,
    /// Its image's id.
    pub image_id: String,
}

/// A running fake Engine. Dropping it ends it with all its containers.
pub struct FakeEngine {
    world: Arc<World>,
    socket: PathBuf,
    listener: Mutex<Option<Listener>>,
    _dir: tempfile::TempDir,
}

struct Listener {
    is_stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl FakeEngine {
    /// Starts one like Docker 20.10.
    pub fn start() -> FakeEngine {
        FakeEngine::start_with(Options::default())
    }

    /// Starts one that introduces itself as told. Panics when it can't: there is no test without it.
    pub fn start_with(options: Options) -> FakeEngine {
        let dir = tempfile::Builder::new()
            .prefix("fake-engine-")
            .tempdir()
            .expect("a temporary directory");
        let engine = FakeEngine {
            world: Arc::new(World::new(options)),
            socket: dir.path().join("docker.sock"),
            listener: Mutex::new(None),
            _dir: dir,
        };
        engine.start_listening();
        engine
    }

    /// What to set `DOCKER_HOST` to.
    pub fn docker_host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Lets the Engine go away: closes every connection and removes the socket. Containers run on.
    pub fn stop_listening(&self) {
        let Some(listener) = lock(&self.listener).take() else {
            return;
        };
        listener.is_stopped.store(true, Ordering::Release);
        // Wakes the accept.
        let _ = UnixStream::connect(&self.socket);
        let _ = listener.thread.join();
        let _ = std::fs::remove_file(&self.socket);
        self.world.hang_up();
    }

    /// Lets it come back at the same path. Panics when it can't.
    pub fn start_listening(&self) {
        let listener = UnixListener::bind(&self.socket).expect("a socket in a new directory");
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (world, is_over) = (self.world.clone(), is_stopped.clone());
        let thread = thread::Builder::new()
            .name("fake-accept".into())
            .spawn(move || accept(&world, &listener, &is_over))
            .expect("a thread");
        *lock(&self.listener) = Some(Listener { is_stopped, thread });
    }

    /// Turns it into another Engine in place, as an upgrade does; images stay as they are.
    pub fn upgrade(&self, options: Options) {
        self.world.set_options(options);
    }

    /// Answers `op` with an error from now on, until [`FakeEngine::release`].
    pub fn refuse(&self, op: &str, status: u16, message: &str) {
        self.order(|script| {
            script.refused.insert(op.into(), (status, message.into()));
        });
    }

    /// From now on the image, `name:tag`, has these in its `Config`, such as `{"Cmd": null}`.
    pub fn set_image_config(&self, image: &str, config: serde_json::Value) {
        lock(&self.world.image_configs).insert(image.to_owned(), config);
    }

    /// Builds the image, `name:tag`, anew: its name means another one from now on.
    pub fn rebuild_image(&self, image: &str) {
        *lock(&self.world.image_builds)
            .entry(image.to_owned())
            .or_default() += 1;
    }

    /// Removes what the image, `name:tag`, was before it was built anew, as `docker image prune` does.
    pub fn prune_image(&self, image: &str) {
        let newest = lock(&self.world.image_builds).get(image).copied();
        lock(&self.world.pruned_builds).insert(image.to_owned(), newest.unwrap_or_default());
    }

    /// From now on the image, `name:tag`, has these directories below `/home`, and they are the player's.
    pub fn set_loose_directories(&self, image: &str, directories: &[&str]) {
        let directories = directories.iter().map(|path| (*path).to_owned()).collect();
        lock(&self.world.loose_directories).insert(image.to_owned(), directories);
    }

    /// Freezes a container, by id or name, as `docker pause` does, or thaws it.
    pub fn set_paused(&self, container: &str, is_paused: bool) {
        if let Some(container) = self.world.find(container) {
            container.lock().is_paused = is_paused;
            let action = if is_paused { "pause" } else { "unpause" };
            self.world.tell(&container, action, &[]);
        }
    }

    /// Answers `op` with these raw bytes and closes, until [`FakeEngine::release`].
    pub fn garble(&self, op: &str, raw: &[u8]) {
        self.order(|script| {
            script.garbled.insert(op.into(), raw.into());
        });
    }

    /// Does not answer `op` until [`FakeEngine::release`], which lets the held calls go on.
    pub fn hang(&self, op: &str) {
        self.order(|script| {
            script.hung.insert(op.into());
        });
    }

    /// Does what `op` asks for and closes without an answer, until [`FakeEngine::release`].
    pub fn lose_answers(&self, op: &str) {
        self.order(|script| {
            script.unanswered.insert(op.into());
        });
    }

    /// Does what `op` asks for and holds the answer back until [`FakeEngine::release`]: it is old news then.
    pub fn hold_answers(&self, op: &str) {
        self.order(|script| {
            script.held_back.insert(op.into());
        });
    }

    /// Waits until an answer to `op` is held back; whether that happened within `limit`.
    pub fn await_held_answer(&self, op: &str, limit: Duration) -> bool {
        self.world.trouble.await_held_back(op, limit)
    }

    /// Answers `op` only after `delay`, until [`FakeEngine::release`].
    pub fn delay(&self, op: &str, delay: Duration) {
        self.order(|script| {
            script.delayed.insert(op.into(), delay);
        });
    }

    /// Ends what was ordered for `op`.
    pub fn release(&self, op: &str) {
        self.order(|script| {
            script.refused.remove(op);
            script.garbled.remove(op);
            script.hung.remove(op);
            script.unanswered.remove(op);
            script.held_back.remove(op);
            script.delayed.remove(op);
        });
    }

    /// Cuts each attach made from now on after so many bytes of output; `None` ends that.
    pub fn cut_attach_after(&self, bytes: Option<usize>) {
        self.order(|script| script.cut_attach_after = bytes);
    }

    /// Dies, as far as its client can tell, in the middle of each `PutContainerArchive` from now on: its file has so many
    /// bytes then and is root's, as the real one leaves it. `None` ends that.
    pub fn tear_archives_after(&self, bytes: Option<usize>) {
        self.order(|script| script.tear_archives_after = bytes);
    }

    /// Cuts every attach there is. The containers run on.
    pub fn cut_attaches(&self) {
        for container in self.world.all() {
            for attacher in container.lock().attachers.drain(..) {
                let _ = attacher.stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Ends a container, by id or name, as if its shell had exited by itself.
    pub fn exit(&self, container: &str, exit_code: i64) {
        if let Some(container) = self.world.find(container) {
            self.world.end(&container, exit_code);
        }
    }

    /// Ends a container, by id or name, as if it had used too much memory.
    pub fn run_out_of_memory(&self, container: &str) {
        if let Some(container) = self.world.find(container) {
            container.lock().oom_killed = true;
            self.world.tell(&container, "oom", &[]);
            self.world.end(&container, 137);
        }
    }

    /// Removes a container, by id or name, behind everybody's back.
    pub fn lose(&self, container: &str) {
        if let Some(container) = self.world.find(container) {
            // It is out of the world before anyone can learn of its end and ask for it once more.
            lock(&self.world.containers).remove(&container.id);
            self.world.end(&container, 137);
            self.world.tell(&container, "destroy", &[]);
        }
    }

    /// Shows something on a container's terminal, as its program does.
    pub fn say(&self, container: &str, text: &str) {
        if let Some(container) = self.world.find(container) {
            container.show(text.as_bytes());
        }
    }

    /// Puts a file into a container, as if the player had written it.
    pub fn write_file(&self, container: &str, path: &str, data: &[u8]) {
        if let Some(container) = self.world.find(container) {
            let file = written(data);
            container.lock().files.insert(files::clean(path), file);
        }
    }

    /// Puts a file into a container if its shell still runs, as a player can; whether it did.
    pub fn write_file_if_running(&self, container: &str, path: &str, data: &[u8]) -> bool {
        let Some(container) = self.world.find(container) else {
            return false;
        };
        let mut state = container.lock();
        if state.phase != Phase::Running {
            return false;
        }
        let file = written(data);
        state.files.insert(files::clean(path), file);
        true
    }

    /// How often a container's deletion was carried out or in vain, by id: refused ones don't count.
    pub fn deletions(&self) -> BTreeMap<String, usize> {
        lock(&self.world.deletions).clone()
    }

    /// A file's content and owner.
    pub fn read_file(&self, container: &str, path: &str) -> Option<(Vec<u8>, u64)> {
        let container = self.world.find(container)?;
        let file = container.lock().files.get(&files::clean(path)).cloned()?;
        Some((file.data, file.uid))
    }

    /// All containers, in no order.
    pub fn containers(&self) -> Vec<FakeContainer> {
        self.world
            .all()
            .iter()
            .map(|container| show(container))
            .collect()
    }

    /// One container, by id or name.
    pub fn container(&self, container: &str) -> Option<FakeContainer> {
        self.world.find(container).map(|container| show(&container))
    }

    /// The versions of the API that it was spoken to in, in alphabetical order.
    pub fn versions_spoken(&self) -> Vec<String> {
        lock(&self.world.versions).iter().cloned().collect()
    }

    /// How often `op` was asked for, answered or not.
    pub fn calls(&self, op: &str) -> usize {
        self.world.trouble.calls(op)
    }

    /// Waits until `op` was asked for `count` times in all; whether that happened within `limit`.
    pub fn await_calls(&self, op: &str, count: usize, limit: Duration) -> bool {
        self.world.trouble.await_calls(op, count, limit)
    }

    fn order(&self, change: impl FnOnce(&mut Script)) {
        self.world.trouble.order(change);
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.world.finish();
        self.stop_listening();
        self.world.hang_up();
        self.world.join(Duration::from_secs(10));
    }
}

fn show(container: &Container) -> FakeContainer {
    let state = container.lock();
    FakeContainer {
        id: container.id.clone(),
        name: container.name.clone(),
        labels: container.labels(),
        state: route::status(&state),
        exit_code: match state.phase {
            Phase::Exited(exit_code) => Some(exit_code),
            Phase::Created | Phase::Running => None,
        },
        size: state.size,
        attached: state.attachers.len(),
        create_body: container.create_body.clone(),
        image_name: container.image_name.clone(),
        image_id: container.image_id.clone(),
    }
}

fn accept(world: &Arc<World>, listener: &UnixListener, is_stopped: &AtomicBool) {
    for stream in listener.incoming() {
        if is_stopped.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else {
            // Out of descriptors: the client sees no answer and says so.
            continue;
        };
        let stream = Arc::new(stream);
        world.remember(&stream);
        world.spawn("fake-http", move |world| route::serve(world, stream));
    }
}

/// A file as a player has written it: not one with the time of what comes from a store.
fn written(data: &[u8]) -> File {
    File {
        mode: 0o644,
        uid: 1000,
        gid: 1000,
        mtime: 1,
        data: data.into(),
    }
}
