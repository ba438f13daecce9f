//! `GET /metrics`: sets what is there at this moment, then writes everything down.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::door::{Request, Response};
use crate::http::error::ApiError;
use crate::http::{Outcome, Side, Site};
use crate::metrics::{Metrics, catch_up};
use crate::session::quarantine::Kind;
use crate::session::{Manager, State};
use crate::terminal::hub::MEMORY_PARTS;
use crate::{door, logging};

impl Site {
    pub(in crate::http) fn metrics(
        &self,
        request: &Request,
        side: Side,
    ) -> Result<Outcome, ApiError> {
        self.check_may_scrape(request, side)?;
        let (manager, metrics) = (Arc::clone(&self.manager), Arc::clone(&self.metrics));
        let door = Arc::clone(&self.door);
        // The Engine and the store are asked how they are, which may take a moment.
        Ok(Outcome::Later(Box::new(move |_| {
            let (engine, store) = (manager.engine_health(), manager.store_health());
            let broken = manager.broken_shells();
            let scrape = metrics.begin_scrape();
            metrics.engine_up.set(engine.is_ok().into());
            metrics.store_up.set(store.is_ok().into());
            for shell in &manager.settings().shells {
                let up = metrics.shell_up.with_label_values(&[&shell.name]);
                up.set((!broken.contains_key(&shell.name)).into());
            }
            note_sessions(&metrics, &manager);
            note_door(&metrics, &door);
            let text = metrics.to_text(scrape).map_err(|error| {
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

fn note_sessions(metrics: &Metrics, manager: &Manager) {
    let (mut counts, mut players, mut spectators) = (BTreeMap::new(), 0, 0);
    let mut memory = [0; MEMORY_PARTS.len()];
    let settings = manager.settings();
    for shell in &settings.shells {
        for state in State::ALL {
            counts.insert((shell.name.clone(), state.as_str()), 0);
        }
    }
    for session in manager.list() {
        let state = session.snapshot().state.as_str();
        *counts.entry((session.shell.clone(), state)).or_default() += 1;
        let watching = session.hub.spectators();
        spectators += watching;
        players += session.hub.viewers().saturating_sub(watching);
        let parts = session.hub.memory_by_part();
        memory
            .iter_mut()
            .zip(parts)
            .for_each(|(sum, part)| *sum += part);
    }
    metrics.sessions.reset();
    for ((shell, state), count) in counts {
        metrics
            .sessions
            .with_label_values(&[shell.as_str(), state])
            .set(count);
    }
    for (role, count) in [("player", players), ("spectator", spectators)] {
        metrics.viewers.with_label_values(&[role]).set(count as i64);
    }
    for (part, bytes) in MEMORY_PARTS.into_iter().zip(memory) {
        let gauge = metrics.terminal_memory.with_label_values(&[part]);
        gauge.set(bytes as i64);
    }
    metrics.sessions_limit.set(settings.max_sessions as i64);
    metrics.pool_wanted.set(settings.pool_size as i64);
    let backoffs = manager.pool_backoffs();
    for shell in &settings.shells {
        let shell = &shell.name;
        metrics.pool.with_label_values(&[shell]).set(0);
        // Rounded up: what is left of a wait is no 0.
        let wait = backoffs.get(shell).map_or(0, |wait| wait.as_secs() + 1);
        let backoff = metrics.pool_backoff.with_label_values(&[shell]);
        backoff.set(wait as i64);
    }
    let aside = manager.quarantine();
    for kind in Kind::ALL {
        let count = aside.iter().filter(|one| one.kind == kind).count();
        let gauge = metrics.quarantined.with_label_values(&[kind.as_str()]);
        gauge.set(count as i64);
    }
    for (shell, count) in manager.pool_counts() {
        metrics.pool.with_label_values(&[&shell]).set(count as i64);
    }
    metrics
        .books_unsafe
        .set(manager.count_unsafe_books() as i64);
    metrics.queue_length.set(manager.queue_length() as i64);
    metrics
        .rate_limit_keys
        .set(manager.remembered_rates() as i64);
}

fn note_door(metrics: &Metrics, door: &door::Stats) {
    let total = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    metrics
        .connections
        .set(total(&door.connections_open) as i64);
    catch_up(&metrics.connections_accepted, total(&door.accepted));
    for (reason, counter) in [
        ("full", &door.refused_connections),
        ("per_address", &door.refused_per_address),
        ("busy", &door.refused_busy),
        ("bad_request", &door.bad_requests),
        ("slow", &door.client_timeouts),
        ("lost", &door.lost_requests),
    ] {
        let turned_away = metrics.turned_away.with_label_values(&[reason]);
        catch_up(&turned_away, total(counter));
    }
    let panics = |thread: &str| metrics.panics.with_label_values(&[thread]);
    catch_up(&panics("connection"), total(&door.panics));
    catch_up(&panics("other"), logging::other_panics());
    catch_up(&metrics.log_lines_lost, logging::lost_lines());
}

impl Site {
    /// Metrics are open to the machine itself and on the private address; others show the operator's token.
    pub(in crate::http) fn check_may_scrape(
        &self,
        request: &Request,
        side: Side,
    ) -> Result<(), ApiError> {
        let is_open = side == Side::Private || request.is_local();
        // A page whose name was turned to point here (DNS rebinding) asks from this machine, by that name.
        if is_open && (!request.peer.is_loopback() || self.reached(request).is_by_our_name()) {
            return Ok(());
        }
        self.check_operator(request)
    }
}
