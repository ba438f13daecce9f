//! Says whether a game can be started now, and otherwise what is missing: for `/readyz`, and for the first line that the
//! server prints.

use super::Manager;

/// Why no game, or no game of some shell, can be started. `Display` is for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The server is stopping, or is about to.
    #[error("the server ends")]
    Ending,
    /// The Engine does not answer.
    #[error("{0}")]
    Engine(String),
    /// The server has not joined its fleet yet.
    #[error("the server is joining its fleet")]
    Joining,
    /// The store does not answer.
    #[error("{0}")]
    Store(String),
    /// The sessions of the server's last life are not taken over yet.
    #[error("the sessions of before the start are being taken over")]
    Starting,
    /// An image in this binary is not on the Engine yet.
    #[error("{0}")]
    Image(String),
    /// A shell can't be started.
    #[error("shell {shell} can't be started: {cause}")]
    Shell {
        /// Its name in the catalogue.
        shell: String,
        /// Why.
        cause: String,
    },
}

impl NotReady {
    /// Whether the reason passes by itself, usually within seconds.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            NotReady::Joining | NotReady::Starting | NotReady::Image(_)
        )
    }
}

/// Why a server should get no requests at all, whatever the Engine and the store do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOpen {
    /// It is stopping, or is about to.
    Ending,
    /// The sessions of its last life are not taken over yet; in a fleet it may not have joined.
    Starting,
}

impl Manager {
    /// Checks that this server itself is neither starting nor ending. Asks neither the Engine nor the store.
    ///
    /// # Errors
    /// What it is at.
    pub fn own_readiness(&self) -> Result<(), NotOpen> {
        if self.is_draining() {
            return Err(NotOpen::Ending);
        }
        // The store of a fleet answers only a server that has joined, and only then it is settled.
        if self.is_settled() {
            Ok(())
        } else {
            Err(NotOpen::Starting)
        }
    }

    /// Checks that a game of any shell can be started. The answers of the Engine and the store are a few seconds old at
    /// most.
    ///
    /// # Errors
    /// The first thing that is missing.
    pub fn readiness(&self) -> Result<(), NotReady> {
        if self.is_draining() {
            return Err(NotReady::Ending);
        }
        self.engine_health().map_err(NotReady::Engine)?;
        if !self.store.has_joined() {
            return Err(NotReady::Joining);
        }
        self.store_health().map_err(NotReady::Store)?;
        if !self.is_settled() {
            return Err(NotReady::Starting);
        }
        self.images_health().map_err(NotReady::Image)?;
        match self.broken_shells().pop_first() {
            Some((shell, cause)) => Err(NotReady::Shell { shell, cause }),
            None => Ok(()),
        }
    }
}
