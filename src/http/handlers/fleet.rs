//! `GET /fleet`: the instances of the fleet, as this one sees them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::door::Request;
use crate::fleet::table::Instance;
use crate::http::Site;
use crate::http::error::ApiError;
use crate::http::reply::{Handled, json_response, now};

impl Site {
    pub(in crate::http) fn fleet(&self, request: &Request) -> Handled {
        self.check_operator(request)?;
        let Some(front) = &self.settings.front else {
            let message = "This server is in no fleet: PEER_BIND is not set.";
            return Err(ApiError::new(404, "no_fleet", message));
        };
        let table = front.instances();
        let own = table.named(front.name());
        let instances: Vec<Value> = table.iter().map(|one| describe(one, own)).collect();
        let body = json!({
            "instance": front.name(),
            "number": front.number(),
            "epoch": own.map(|own| own.epoch),
            "lease_seconds": self.settings.lease.as_secs_f64(),
            "instances": instances,
        });
        now(json_response(200, &body))
    }
}

/// An instance, in the words of `/fleet`. `own` is the one that answers, if the table has it yet.
fn describe(one: &Instance, own: Option<&Arc<Instance>>) -> Value {
    let facts = &one.facts;
    let own_settings = own.map_or("", |own| &own.facts.settings);
    json!({
        "name": one.name,
        "number": one.number,
        "epoch": one.epoch,
        "state": one.state.word(),
        "version": facts.version,
        "shells": facts.shells,
        "stock": facts.stock,
        "playing": facts.playing,
        "room": facts.room,
        "engine_up": facts.engine_up,
        "peer_url": facts.peer_url,
        "direct_url": facts.direct_url,
        "is_this": own.is_some_and(|own| own.name == one.name),
        "settings_differ": facts.has_other_settings(own_settings),
    })
}
