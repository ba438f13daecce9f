//! `GET /readyz`: says whether games can be started now, and if not, why. With `?for=balancer`: whether a proxy shall send
//! requests here at all.

use std::sync::Arc;

use super::spellbook::parameter;
use crate::door::Request;
use crate::http::error::ApiError;
use crate::http::reply::{Handled, now, text};
use crate::http::{Outcome, Site};
use crate::session::{self, NotOpen, NotReady};

impl Site {
    pub(in crate::http) fn ready(&self, request: &Request) -> Handled {
        match parameter(request.query.as_deref().unwrap_or_default(), "for") {
            None => {}
            Some("balancer") => return self.ready_for_a_balancer(),
            Some(_) => {
                let message = "for must be balancer, or left out.";
                return Err(ApiError::new(400, "bad_query", message));
            }
        }
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

    /// An Engine or a store that is away is no reason to say no: a proxy that heeds it would cut off those who play, on all
    /// servers of a fleet simultaneously where they share that store.
    fn ready_for_a_balancer(&self) -> Handled {
        match self.manager.own_readiness() {
            Ok(()) => now(text("ok")),
            Err(NotOpen::Ending) => Err(session::Error::Stopping.into()),
            Err(NotOpen::Starting) => Err(session::Error::Starting.into()),
        }
    }
}
