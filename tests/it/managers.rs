//! A manager as `app` starts one, without its HTTP.

use std::sync::Arc;
use std::time::Duration;

use shellcraft::engine::Engine;
use shellcraft::metrics::Registry;
use shellcraft::session::store::SessionStore;
use shellcraft::session::{Manager, Metrics, Settings, Shell, sandbox};
use shellcraft::terminal::hub;

/// Settings with which nothing ends or is saved by itself within a test.
pub fn settings(instance: &str) -> Settings {
    Settings {
        instance: instance.to_owned(),
        shells: vec![Shell {
            name: "rust".into(),
            image: "shellcraft/rust".into(),
        }],
        limits: sandbox::ContainerLimits {
            memory_bytes: 64 << 20,
            nano_cpus: 500_000_000,
            pids: 64,
            runtime: None,
        },
        terminal: hub::BufferLimits {
            scrollback_bytes: 64 << 10,
            window_bytes: 16 << 10,
        },
        idle_timeout: Duration::from_secs(600),
        max_lifetime: None,
        max_sessions: 10,
        sessions_per_player: 10,
        sessions_per_address: 10,
        rate: None,
        save_interval: Duration::from_secs(600),
        book_expiry: None,
        pool_size: 0,
    }
}

pub fn start(engine: Engine, store: Arc<dyn SessionStore>, settings: Settings) -> Arc<Manager> {
    let registry = Registry::new().expect("valid names");
    let metrics = Metrics::register(&registry).expect("valid names");
    Manager::start(engine, store, settings, Vec::new(), metrics).expect("threads")
}
