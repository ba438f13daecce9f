//! Counts what strangers hold, in all and per household, and refuses more than the limit. Used for connections and,
//! with waiting, for requests inside tiny_http.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::proxy::household;
use crate::locks::{Condvar, Mutex};

/// Slots, with a limit in all and a limit per household.
#[derive(Debug)]
pub(super) struct Slots {
    max_total: usize,
    max_per_address: usize,
    counts: Mutex<Counts>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    // Only households that hold something, so strangers cannot make it grow beyond `max_total`.
    per_address: HashMap<IpAddr, usize>,
    closed: bool,
}

/// Why there is no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSlot {
    /// All are taken.
    Full,
    /// The household has as many as one may have.
    HouseholdFull,
    /// The door closes: there are no slots any more.
    Closed,
}

/// One taken slot; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    household: Option<IpAddr>,
}

/// The slots that a connection holds.
#[derive(Debug)]
pub(super) struct ConnectionSlots {
    connection: Slot,
    /// Held until it is known whose connection it is.
    untold: Option<Slot>,
}

impl ConnectionSlots {
    /// The place of a client whose address is known.
    pub(super) fn of(connection: Slot) -> ConnectionSlots {
        ConnectionSlots {
            connection,
            untold: None,
        }
    }

    /// The place of a client that a proxy has not named yet.
    pub(super) fn untold(connection: Slot, untold: Slot) -> ConnectionSlots {
        ConnectionSlots {
            connection,
            untold: Some(untold),
        }
    }

    /// Counts the place for this address from now on.
    pub(super) fn charge_to(&mut self, address: IpAddr) -> Result<(), NoSlot> {
        self.untold = None;
        self.connection.charge_to(address)
    }
}

impl Slots {
    pub(super) fn new(max_total: usize, max_per_address: usize) -> Arc<Slots> {
        Arc::new(Slots {
            max_total,
            max_per_address,
            counts: Mutex::default(),
            freed: Condvar::new(),
        })
    }

    /// A slot immediately. Without an address only the total counts.
    pub(super) fn take(self: &Arc<Slots>, address: Option<IpAddr>) -> Result<Slot, NoSlot> {
        self.take_by(address, Instant::now())
    }

    /// A slot as soon as one is free, until the deadline or the close.
    pub(super) fn take_by(
        self: &Arc<Slots>,
        address: Option<IpAddr>,
        deadline: Instant,
    ) -> Result<Slot, NoSlot> {
        let household = address.map(household);
        let mut counts = self.counts.lock();
        while !counts.closed {
            let Err(no_slot) = counts.take(household, self.max_total, self.max_per_address) else {
                return Ok(Slot {
                    slots: Arc::clone(self),
                    household,
                });
            };
            if self.freed.wait_until(&mut counts, deadline).timed_out() {
                return Err(no_slot);
            }
        }
        Err(NoSlot::Closed)
    }

    /// Whether less than half is taken, of all and of what this address's household may have.
    pub(super) fn has_plenty(&self, address: IpAddr) -> bool {
        let counts = self.counts.lock();
        let held = counts.per_address.get(&household(address)).copied();
        counts.total * 2 < self.max_total && held.unwrap_or(0) * 2 < self.max_per_address
    }

    /// Gives out no slot any more, and ends the waits for one.
    pub(super) fn close(&self) {
        self.counts.lock().closed = true;
        self.freed.notify_all();
    }
}

impl Counts {
    fn take(
        &mut self,
        household: Option<IpAddr>,
        max_total: usize,
        max_per_address: usize,
    ) -> Result<(), NoSlot> {
        if self.total >= max_total {
            return Err(NoSlot::Full);
        }
        self.charge(household, max_per_address)?;
        self.total += 1;
        Ok(())
    }

    fn charge(&mut self, household: Option<IpAddr>, max_per_address: usize) -> Result<(), NoSlot> {
        let Some(household) = household else {
            return Ok(());
        };
        let held = self.per_address.get(&household).copied().unwrap_or(0);
        if held >= max_per_address {
            return Err(NoSlot::HouseholdFull);
        }
        self.per_address.insert(household, held + 1);
        Ok(())
    }

    fn give_back(&mut self, household: Option<IpAddr>) {
        self.total -= 1;
        let Some(household) = household else { return };
        if let Some(held) = self.per_address.get_mut(&household) {
            *held -= 1;
            if *held == 0 {
                self.per_address.remove(&household);
            }
        }
    }
}

impl Slot {
    /// Counts the slot for this address from now on, because it is known now who speaks through the proxy.
    pub(super) fn charge_to(&mut self, address: IpAddr) -> Result<(), NoSlot> {
        if self.household.is_some() {
            return Ok(());
        }
        let household = Some(household(address));
        let slots = &self.slots;
        slots
            .counts
            .lock()
            .charge(household, slots.max_per_address)?;
        self.household = household;
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.counts.lock().give_back(self.household);
        // Wakes all that wait: a single one might be of a household that is still at its own limit.
        self.slots.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn refused(slots: &Arc<Slots>, text: &str) -> Option<NoSlot> {
        slots.take(address(text)).err()
    }

    #[test]
    fn the_total_is_a_limit() {
        let slots = Slots::new(2, 2);
        let _first = slots.take(address("10.0.0.1")).unwrap();
        let second = slots.take(address("10.0.0.2")).unwrap();
        assert_eq!(refused(&slots, "10.0.0.3"), Some(NoSlot::Full));
        drop(second);
        assert_eq!(refused(&slots, "10.0.0.3"), None);
    }

    #[test]
    fn a_household_is_a_limit() {
        let slots = Slots::new(9, 1);
        let first = slots.take(address("2001:db8::1")).unwrap();
        assert_eq!(refused(&slots, "2001:db8::2"), Some(NoSlot::HouseholdFull));
        assert_eq!(refused(&slots, "2001:db8:0:1::1"), None);
        drop(first);
        assert_eq!(refused(&slots, "2001:db8::2"), None);
    }

    #[test]
    fn who_comes_through_a_proxy_is_charged_when_known() {
        let slots = Slots::new(9, 1);
        let mut proxied = [(); 3].map(|()| slots.take(None).unwrap());
        let client = |text: &str| text.parse().unwrap();
        assert_eq!(proxied[0].charge_to(client("10.0.0.1")), Ok(()));
        assert_eq!(proxied[0].charge_to(client("10.0.0.1")), Ok(()), "once");
        let full = Err(NoSlot::HouseholdFull);
        assert_eq!(proxied[1].charge_to(client("10.0.0.1")), full);
        assert_eq!(proxied[1].charge_to(client("10.0.0.2")), Ok(()));
        assert_eq!(refused(&slots, "10.0.0.1"), Some(NoSlot::HouseholdFull));
        drop(proxied);
        let counts = slots.counts.lock();
        assert_eq!((counts.total, counts.per_address.len()), (0, 0));
    }

    #[test]
    fn the_exempt_count_in_the_total_only() {
        let slots = Slots::new(2, 1);
        let _first = slots.take(None).unwrap();
        let _second = slots.take(None).unwrap();
        assert!(slots.take(None).is_err());
    }

    #[test]
    fn nothing_is_remembered_of_those_who_left() {
        let slots = Slots::new(2, 1);
        drop(slots.take(address("10.0.0.1")));
        let counts = slots.counts.lock();
        assert_eq!((counts.total, counts.per_address.len()), (0, 0));
    }

    #[test]
    fn waiting_ends_with_a_freed_slot_or_the_close() {
        let slots = Slots::new(1, 1);
        let far = Instant::now() + Duration::from_secs(60);
        let held = slots.take(None).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| slots.take_by(None, far));
            drop(held);
            let held = waiting.join().unwrap().unwrap();
            let waiting = scope.spawn(|| slots.take_by(None, far));
            slots.close();
            assert_eq!(waiting.join().unwrap().err(), Some(NoSlot::Closed));
            drop(held);
        });
    }
}
