//! `GET /metrics`: sets the gauges to their values of this moment, then writes all metrics.

use std::borrow::Cow;
use std::sync::Arc;

use crate::door::{Request, Response};
use crate::http::error::ApiError;
use crate::http::{Outcome, Side, Site};

impl Site {
    pub(in crate::http) fn metrics(
        &self,
        request: &Request,
        side: Side,
    ) -> Result<Outcome, ApiError> {
        self.check_may_scrape(request, side)?;
        let (manager, exposition) = (Arc::clone(&self.manager), Arc::clone(&self.exposition));
        // The Engine and the store are asked for their health, which may take a moment.
        Ok(Outcome::Later(Box::new(move |_| {
            let check = manager.check_health();
            let scrape = exposition.registry.begin_scrape();
            manager.set_gauges(&check);
            exposition.door.catch_up();
            exposition.log.catch_up();
            let text = exposition.registry.to_text(scrape).map_err(|error| {
                log::error!("metrics: {error}");
                let message = "The metrics could not be written down.";
                ApiError::new(500, "internal_error", message)
            })?;
            let kind = "text/plain; version=0.0.4; charset=utf-8".to_owned();
            Ok(Response {
                status: 200,
                headers: vec![("Content-Type", kind), ("Cache-Control", "no-store".into())],
                body: Cow::Owned(text.into_bytes()),
            })
        })))
    }
}

impl Site {
    /// Metrics are open to the machine itself and on the private address. Other clients must show the operator's token.
    pub(in crate::http) fn check_may_scrape(
        &self,
        request: &Request,
        side: Side,
    ) -> Result<(), ApiError> {
        let is_open = side == Side::Private || request.is_local();
        // A page whose name was pointed here (DNS rebinding) asks from this machine, by that name.
        if is_open && (!request.peer.is_loopback() || self.reached(request).is_by_our_name()) {
            return Ok(());
        }
        self.check_operator(request)
    }
}
