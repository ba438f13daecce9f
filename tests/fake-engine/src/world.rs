//! Everything the fake Engine knows: containers, images, events, open connections, ordered trouble.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::Options;
use crate::container::Container;
use crate::trouble::Trouble;

/// Thousands of these threads run at once and none of them nests deeply.
const STACK: usize = 128 << 10;

pub struct World {
    /// As `GET /info` tells it.
    pub id: String,
    /// Changes only between tests' steps, when the Engine is "upgraded".
    options: Mutex<Options>,
    pub trouble: Trouble,
    pub is_over: AtomicBool,
    pub containers: Mutex<BTreeMap<String, Arc<Container>>>,
    pub images: Mutex<Vec<String>>,
    /// The labels of those that were loaded.
    pub image_labels: Mutex<BTreeMap<String, Value>>,
    /// What else is in the `Config` of some, in place of the usual.
    pub image_configs: Mutex<BTreeMap<String, Value>>,
    /// How often some were built anew.
    pub image_builds: Mutex<BTreeMap<String, usize>>,
    /// The oldest build of some that is still there.
    pub pruned_builds: Mutex<BTreeMap<String, usize>>,
    /// Directories below `/home` that are the player's, by image.
    pub loose_directories: Mutex<BTreeMap<String, Vec<String>>>,
    /// Deletions by the name they were asked for.
    pub deletions: Mutex<BTreeMap<String, usize>>,
    /// The versions of the API that requests named.
    pub versions: Mutex<BTreeSet<String>>,
    streams: Mutex<Vec<Weak<UnixStream>>>,
    events: Mutex<Vec<Happening>>,
    has_happened: Condvar,
    threads: Mutex<usize>,
    thread_ended: Condvar,
    counter: AtomicU64,
}

/// An event and whom it is about.
#[derive(Clone)]
pub struct Happening {
    pub labels: BTreeMap<String, String>,
    pub event: Value,
}

impl World {
    pub fn new(options: Options) -> World {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        World {
            id: format!("FAKE:{}:{number}", std::process::id()),
            images: Mutex::new(options.images.clone()),
            image_labels: Mutex::default(),
            image_configs: Mutex::default(),
            image_builds: Mutex::default(),
            pruned_builds: Mutex::default(),
            loose_directories: Mutex::default(),
            options: Mutex::new(options),
            trouble: Trouble::default(),
            deletions: Mutex::default(),
            versions: Mutex::default(),
            is_over: AtomicBool::new(false),
            containers: Mutex::default(),
            streams: Mutex::default(),
            events: Mutex::default(),
            has_happened: Condvar::new(),
            threads: Mutex::new(0),
            thread_ended: Condvar::new(),
            counter: AtomicU64::new(1),
        }
    }

    /// How the Engine introduces itself right now.
    pub fn options(&self) -> Options {
        lock(&self.options).clone()
    }

    pub fn set_options(&self, options: Options) {
        *lock(&self.options) = options;
    }

    /// Runs `work` on a thread that [`World::join`] waits for; whether there was a thread to be had.
    pub fn spawn(
        self: &Arc<World>,
        name: &str,
        work: impl FnOnce(&Arc<World>) + Send + 'static,
    ) -> bool {
        struct Ended(Arc<World>);
        impl Drop for Ended {
            fn drop(&mut self) {
                *lock(&self.0.threads) -= 1;
                self.0.thread_ended.notify_all();
            }
        }
        *lock(&self.threads) += 1;
        let ended = Ended(self.clone());
        let builder = thread::Builder::new().name(name.into()).stack_size(STACK);
        builder.spawn(move || work(&ended.0)).is_ok()
    }

    /// Waits until all threads have ended.
    pub fn join(&self, limit: Duration) {
        let due = Instant::now() + limit;
        let mut threads = lock(&self.threads);
        while *threads > 0 && Instant::now() < due {
            let left = due.saturating_duration_since(Instant::now());
            threads = self
                .thread_ended
                .wait_timeout(threads, left)
                .unwrap_or_else(|poison| poison.into_inner())
                .0;
        }
    }

    /// Sixty-four hexadecimal digits nobody had before.
    pub fn new_id(&self) -> String {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        // Multiplied by an odd number, so that the first digits differ as they do in real ids.
        format!(
            "{:016x}{number:048x}",
            number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        )
    }

    pub fn remember(&self, stream: &Arc<UnixStream>) {
        let mut streams = lock(&self.streams);
        streams.retain(|stream| stream.strong_count() > 0);
        streams.push(Arc::downgrade(stream));
    }

    /// Closes every connection.
    pub fn hang_up(&self) {
        for stream in lock(&self.streams)
            .drain(..)
            .filter_map(|stream| stream.upgrade())
        {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Finds a container by its id, the beginning of its id, or its name.
    pub fn find(&self, name: &str) -> Option<Arc<Container>> {
        let containers = lock(&self.containers);
        let found = containers.get(name).or_else(|| {
            let is_meant = |container: &&Arc<Container>| {
                container.name == name || container.id.starts_with(name)
            };
            containers.values().find(is_meant)
        });
        found.cloned()
    }

    pub fn all(&self) -> Vec<Arc<Container>> {
        lock(&self.containers).values().cloned().collect()
    }

    /// Ends a container that runs, and says so.
    pub fn end(&self, container: &Container, exit_code: i64) -> bool {
        let has_ended = container.end(exit_code);
        if has_ended {
            self.tell(container, "die", &[("exitCode", &exit_code.to_string())]);
        }
        has_ended
    }

    pub fn tell(&self, container: &Container, action: &str, extra: &[(&str, &str)]) {
        let labels = container.labels();
        let mut attributes = labels.clone();
        attributes.insert("name".into(), container.name.clone());
        attributes.extend(
            extra
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into())),
        );
        let action = match action {
            "die" if self.options().is_podman => "died",
            "destroy" if self.options().is_podman => "remove",
            action => action,
        };
        let event = json!({
            "status": action, "id": container.id, "Type": "container", "Action": action,
            "Actor": { "ID": container.id, "Attributes": attributes }, "scope": "local", "time": seconds(),
        });
        let event = self.options().answers.with("SystemEvents", event);
        lock(&self.events).push(Happening { labels, event });
        self.has_happened.notify_all();
    }

    pub fn events_so_far(&self) -> usize {
        lock(&self.events).len()
    }

    /// Waits for the event after the first `seen` ones; `None` when `is_over`.
    pub fn next_event(&self, seen: usize) -> Option<Happening> {
        let mut events = lock(&self.events);
        loop {
            if self.is_over.load(Ordering::Acquire) {
                return None;
            }
            if let Some(happening) = events.get(seen) {
                return Some(happening.clone());
            }
            events = self
                .has_happened
                .wait(events)
                .unwrap_or_else(|poison| poison.into_inner());
        }
    }

    /// Ends everything that waits.
    pub fn finish(&self) {
        self.is_over.store(true, Ordering::Release);
        self.trouble.end();
        for container in self.all() {
            container.end(137);
            container.look_again();
        }
        let _events = lock(&self.events);
        self.has_happened.notify_all();
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// Seconds since 1970.
pub fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
