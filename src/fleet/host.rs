//! Whose lease the heartbeat keeps: what it asks of the server, and what it tells it.
//!
//! Threads: called by `fleet-beat`.

use std::sync::Arc;

use super::lease::Why;
use super::metrics::Beat;
use super::record::Membership;
use super::roster::{Error, Pulse};
use super::table::{Facts, Instances};

/// Whose lease it is: what this thread asks and tells. All is called in this thread, which beats no more until the call
/// returns: so none may last.
pub trait Host: Send + Sync + 'static {
    /// The id of its Engine, once that is known. Asked until it is.
    fn engine_id(&self) -> Option<String>;
    /// What the instance tells the others of itself.
    fn facts(&self) -> Facts;
    /// Whether it takes no new games.
    fn is_draining(&self) -> bool;
    /// It is in the fleet for the first time.
    fn joined(&self, membership: Membership);
    /// It can't be in the fleet. Nothing more is called.
    fn refused(&self, error: &Error);
    /// It is in the fleet again, after its epoch was closed or forgotten: from here on only the new one counts. The number is
    /// the same one as before, unless Redis has lost it and another instance has it now.
    fn rejoined(&self, membership: Membership, why: Why);
    /// Another process has its name: it has to let go of all containers and to end. Nothing more is called.
    fn superseded(&self);
    /// This instance has closed another's epoch.
    fn buried(&self, instance: &str, epoch: u64);
    /// The table of instances is another one.
    fn table_changed(&self, instances: &Arc<Instances>);
    /// What the last beat told of the fleet.
    fn pulse(&self, pulse: Pulse);
    /// What became of a beat. Only what counts them needs to hear of it.
    fn beaten(&self, _beat: Beat) {}
}
