//! What sessions are made of, and how long they live. `crate::config` makes this from the operator's settings.

use std::time::Duration;

use super::rates::Rate;
use super::sandbox;
use crate::terminal::hub;

/// A shell that players can choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell {
    /// Its name in the API.
    pub name: String,
    /// The image it runs.
    pub image: String,
}

/// What sessions are made of, and how long they live.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The instance that the containers belong to. Only containers with its label are ever touched.
    pub instance: String,
    /// The catalogue of shells; the first is the default. Never empty.
    pub shells: Vec<Shell>,
    /// What a container may use.
    pub limits: sandbox::ContainerLimits,
    /// What a terminal keeps.
    pub terminal: hub::BufferLimits,
    /// A session ends after this long without human input.
    pub idle_timeout: Duration,
    /// A session ends after this long, however busy it is.
    pub max_lifetime: Option<Duration>,
    /// Sessions alive at the same time.
    pub max_sessions: usize,
    /// Sessions of one player alive at the same time.
    pub sessions_per_player: usize,
    /// `SESSIONS_PER_ADDRESS`: sessions started from one address, alive at the same time.
    pub sessions_per_address: usize,
    /// How often one address, and one player, may start a session.
    pub rate: Option<Rate>,
    /// How often a book that may have changed is looked at.
    pub save_interval: Duration,
    /// Books of players who may never be recognised again are deleted after this long without use.
    pub book_expiry: Option<Duration>,
    /// Containers of each shell that wait for a player.
    pub pool_size: usize,
}
