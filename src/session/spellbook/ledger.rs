//! What each household has written into the store lately, so that no household fills it.
//!
//! A book that a person has written is a few KiB, and costs nothing. A household that stores big books, in game after game
//! under ever new names, runs up a debt that is paid off slowly. Above [`CREDIT_BYTES`] the household can start no game
//! and upload no book. What is in its containers is saved all the same: a book is never lost because of a debt.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::locks::Mutex;
use crate::session::metrics::Limit;
use crate::session::{Error, Manager, Session};

/// This much of each version that is saved is free.
const FREE_BYTES: u64 = 16 * 1024;
/// The debt at which a household must wait.
const CREDIT_BYTES: u64 = 64 * 1024 * 1024;
/// What a household pays off each second: 675 MiB a day.
const PAID_PER_SECOND: u64 = 8 * 1024;
/// Households that are remembered at the same time. Further households are not counted: a client with that many addresses
/// is slowed down by `RATE_LIMIT`.
const MOST_HOUSEHOLDS: usize = 16 * 1024;

/// Debts in bytes.
#[derive(Debug, Default)]
pub(in crate::session) struct Ledger {
    /// What each household owed, and when. Guards nothing else; nothing is called under it.
    debts: Mutex<HashMap<IpAddr, (u64, Instant)>>,
}

impl Ledger {
    /// Notes that a version of `bytes` bytes was saved.
    pub(in crate::session) fn charge(&self, household: IpAddr, bytes: u64, now: Instant) {
        let costs = bytes.saturating_sub(FREE_BYTES);
        let mut debts = self.debts.lock();
        if costs == 0 || !debts.contains_key(&household) && debts.len() >= MOST_HOUSEHOLDS {
            return;
        }
        let debt = debts.entry(household).or_insert((0, now));
        *debt = (left(*debt, now) + costs, now);
    }

    /// How long the household has to wait until its debt is within its credit again.
    pub(in crate::session) fn wait(&self, household: IpAddr, now: Instant) -> Option<Duration> {
        let debt = self.debts.lock().get(&household).copied()?;
        let excess = left(debt, now).checked_sub(CREDIT_BYTES)?;
        Some(Duration::from_secs(excess / PAID_PER_SECOND + 1))
    }

    /// Forgets the households that have paid.
    pub(in crate::session) fn sweep(&self, now: Instant) {
        self.debts.lock().retain(|_, debt| left(*debt, now) > 0);
    }
}

fn left((bytes, since): (u64, Instant), now: Instant) -> u64 {
    let seconds = now.saturating_duration_since(since).as_secs();
    bytes.saturating_sub(seconds.saturating_mul(PAID_PER_SECOND))
}

impl Manager {
    /// Checks that a household may put more into the store.
    ///
    /// # Errors
    /// [`Error::StoredTooMuch`].
    pub(in crate::session) fn check_stored(&self, household: IpAddr) -> Result<(), Error> {
        match self.stored.wait(household, Instant::now()) {
            None => Ok(()),
            Some(retry_after) => {
                self.metrics.lives.refused.of(Limit::Stored).inc();
                Err(Error::StoredTooMuch { retry_after })
            }
        }
    }

    /// Notes that a version of the session's book was saved.
    pub(in crate::session) fn charge_stored(&self, session: &Session, bytes: usize) {
        if let Some(household) = session.owner().and_then(|owner| owner.household) {
            self.stored.charge(household, bytes as u64, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn household(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn books_that_people_write_cost_nothing() {
        let (ledger, now) = (Ledger::default(), Instant::now());
        for _ in 0..100_000 {
            ledger.charge(household(1), FREE_BYTES, now);
        }
        assert_eq!(ledger.wait(household(1), now), None);
        assert!(ledger.debts.lock().is_empty());
    }

    #[test]
    fn big_ones_run_up_a_debt_that_is_paid_off() {
        let (ledger, now) = (Ledger::default(), Instant::now());
        for _ in 0..64 {
            assert_eq!(ledger.wait(household(1), now), None);
            ledger.charge(household(1), MIB, now);
        }
        // The free parts of 64 versions make room for one more.
        ledger.charge(household(1), MIB, now);
        ledger.charge(household(1), MIB, now);
        let wait = ledger.wait(household(1), now).expect("too much");
        assert!(ledger.wait(household(2), now).is_none());
        let soon = now + wait - Duration::from_secs(1);
        assert!(ledger.wait(household(1), soon).is_some());
        assert_eq!(ledger.wait(household(1), now + wait), None);
        ledger.sweep(now + wait);
        assert_eq!(ledger.debts.lock().len(), 1);
        ledger.sweep(now + Duration::from_secs(24 * 3600));
        assert!(ledger.debts.lock().is_empty());
    }

    #[test]
    fn a_flood_of_addresses_takes_no_memory() {
        let (ledger, now) = (Ledger::default(), Instant::now());
        for number in 0..MOST_HOUSEHOLDS as u32 + 100 {
            ledger.charge(household(number), MIB, now);
        }
        assert_eq!(ledger.debts.lock().len(), MOST_HOUSEHOLDS);
    }
}
