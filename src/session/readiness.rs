//! Whether a game can be started now, and what is missing where it can't: for `/readyz`, and for the first line that
//! the server prints.

use super::Manager;

/// Why no game, or none of some shell, can be started. `Display` is for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The server ends, or is about to.
    #[error("the server ends")]
    Ending,
    /// The Engine does not answer.
    #[error("{0}")]
    Engine(String),
    /// The store does not answer.
    #[error("{0}")]
    Store(String),
    /// The sessions of the server's last life are not taken over yet.
    #[error("the sessions of before the start are being taken over")]
    Starting,
    /// An image that this binary brings is not on the Engine yet.
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
    /// Whether it passes by itself, within seconds as a rule.
    pub fn is_passing(&self) -> bool {
        matches!(self, NotReady::Starting | NotReady::Image(_))
    }
}

impl Manager {
    /// Whether a game of any shell can be started. Asks the Engine and the store, a few seconds ago at most.
    ///
    /// # Errors
    /// What is missing first.
    pub fn readiness(&self) -> Result<(), NotReady> {
        if self.is_draining() {
            return Err(NotReady::Ending);
        }
        self.engine_health().map_err(NotReady::Engine)?;
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
