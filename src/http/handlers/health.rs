//! `GET /readyz`: says whether games can be started now, and if not, why.

use std::sync::Arc;

use crate::http::error::ApiError;
use crate::http::reply::{Handled, text};
use crate::http::{Outcome, Site};
use crate::session::{self, NotReady};

impl Site {
    pub(in crate::http) fn ready(&self) -> Handled {
        let manager = Arc::clone(&self.manager);
        Ok(Outcome::Later(Box::new(move |_| {
            let Err(missing) = manager.readiness() else {
                return Ok(text("ok"));
            };
            let (code, message) = match &missing {
                NotReady::Ending => return Err(session::Error::Stopping.into()),
                NotReady::Joining | NotReady::Starting => {
                    return Err(session::Error::Starting.into());
                }
                NotReady::Engine(_) => (
                    "engine_unavailable",
                    "The container engine does not answer.".to_owned(),
                ),
                NotReady::Store(_) => (
                    "store_unavailable",
                    "The store of sessions and spellbooks does not answer.".to_owned(),
                ),
                NotReady::Image(_) => (
                    "shell_not_ready",
                    "A shell's image is still to be loaded into the container engine.".to_owned(),
                ),
                // The cause is only for the operator: it may name things on the host.
                NotReady::Shell { shell, .. } => (
                    "shell_broken",
                    format!("The shell {shell} can't be started; the server's log says why."),
                ),
            };
            crate::warn_throttled!("not ready: {missing}");
            Err(ApiError::new(503, code, message).with("Retry-After", "2"))
        })))
    }
}
