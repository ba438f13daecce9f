//! How often one address and one player may start games. A book that makes a new player counts as a start.
//!
//! Each address and each player has a bucket (governor's GCRA): a burst of at most the rate's count, then one at a time as
//! the bucket refills. The reaper's next [`Rates::sweep`] forgets a bucket that is full again, so the tables hold only
//! those that came lately. The tables are bounded as well: beyond [`MOST_KEYS`] all newcomers share one bucket, so that a
//! flood from very many addresses is slowed as one, and takes no memory. IPv6 has tables of its own, and networks (/48)
//! have buckets beside those of households (/64): a client that has a network to send from fills neither a table of IPv6
//! nor one of IPv4.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::metrics::Limit;
use super::{Error, Manager};
use crate::auth::PlayerId;
use crate::locks::Mutex;

/// The most addresses, and the most players, that are remembered at the same time; each takes about 150 bytes.
const MOST_KEYS: usize = 16 * 1024;

/// A network is 65,536 households, of which only a few play at the same time.
const HOUSEHOLDS_PER_NETWORK: u32 = 16;

/// A number of games in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The number of games; all of them may come in one go.
    pub count: NonZeroU32,
    /// The span of time.
    pub per: Duration,
}

impl Rate {
    fn quota(self) -> Option<Quota> {
        let period = self.per / self.count.get();
        Quota::with_period(period).map(|quota| quota.allow_burst(self.count))
    }

    fn times(self, factor: u32) -> Rate {
        let factor = NonZeroU32::new(factor).unwrap_or(NonZeroU32::MIN);
        let count = self.count.saturating_mul(factor);
        Rate { count, ..self }
    }
}

type Limiter<K, C> =
    RateLimiter<K, Table<K>, C, NoOpMiddleware<<C as governor::clock::Clock>::Instant>>;

/// How often each address and each player came. `C` is the clock, which tests replace.
pub struct Rates<C: Clock = SinceStart> {
    clock: C,
    /// None when there is no limit.
    limiters: Option<Limiters<C>>,
}

struct Limiters<C: Clock> {
    players: Limiter<PlayerId, C>,
    v4: Limiter<IpAddr, C>,
    /// The households of IPv6.
    v6: Limiter<IpAddr, C>,
    /// The networks of those households.
    networks: Limiter<IpAddr, C>,
}

impl Rates {
    /// Makes empty tables. Without a rate no one is ever refused.
    pub fn new(rate: Option<Rate>) -> Rates {
        Rates::with_clock(rate, SinceStart(Instant::now()))
    }
}

impl<C: Clock + Clone> Rates<C> {
    fn with_clock(rate: Option<Rate>, clock: C) -> Rates<C> {
        let limiters = rate.and_then(|rate| {
            let (quota, of_network) = (rate.quota()?, rate.times(HOUSEHOLDS_PER_NETWORK).quota()?);
            Some(Limiters {
                players: RateLimiter::new(quota, Table::new(), clock.clone()),
                v4: RateLimiter::new(quota, Table::new(), clock.clone()),
                v6: RateLimiter::new(quota, Table::new(), clock.clone()),
                networks: RateLimiter::new(of_network, Table::new(), clock.clone()),
            })
        });
        Rates { clock, limiters }
    }

    /// Counts one more game of a household and a player. `address` stands for the household: an IPv4 address or an IPv6
    /// /64. `player` is none for a player who has just come for the first time: that player is as good as unknown.
    ///
    /// # Errors
    /// How long they have to wait, when that was one game too many.
    pub fn count(&self, address: IpAddr, player: Option<&PlayerId>) -> Result<(), Duration> {
        let Some(limiters) = &self.limiters else {
            return Ok(());
        };
        let now = self.clock.now();
        // The player is checked first: a player above the limit then costs the rest of the household nothing.
        player
            .map_or(Ok(()), |player| limiters.players.check_key(player))
            .and_then(|()| match address {
                IpAddr::V4(_) => limiters.v4.check_key(&address),
                IpAddr::V6(household) => limiters
                    .networks
                    .check_key(&network(household))
                    .and_then(|()| limiters.v6.check_key(&address)),
            })
            .map_err(|not_until| not_until.wait_time_from(now))
    }

    /// Forgets the addresses and players whose bucket is full again.
    pub fn sweep(&self) {
        if let Some(limiters) = &self.limiters {
            limiters.players.retain_recent();
            for addresses in limiters.addresses() {
                addresses.retain_recent();
            }
        }
    }

    /// How many addresses and players are remembered.
    pub fn remembered(&self) -> usize {
        self.limiters.as_ref().map_or(0, |limiters| {
            let addresses = limiters.addresses().map(RateLimiter::len);
            addresses.iter().sum::<usize>() + limiters.players.len()
        })
    }
}

impl<C: Clock> Limiters<C> {
    fn addresses(&self) -> [&Limiter<IpAddr, C>; 3] {
        [&self.v4, &self.v6, &self.networks]
    }
}

/// The /48 that a household is in.
fn network(household: Ipv6Addr) -> IpAddr {
    let bits = household.to_bits();
    IpAddr::V6(Ipv6Addr::from_bits(bits >> 80 << 80))
}

impl Manager {
    /// Counts one more game that a client wants. To be called before the game is started.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub(super) fn check_rate(
        &self,
        address: IpAddr,
        player: Option<&PlayerId>,
    ) -> Result<(), Error> {
        self.rates.count(address, player).map_err(|retry_after| {
            self.metrics.lives.refused.of(Limit::Rate).inc();
            crate::warn_throttled!(
                "refused a game: one address, or one player, has started as many as RATE_LIMIT allows"
            );
            Error::RateLimited { retry_after }
        })
    }

    /// How many addresses and players the rate limit remembers.
    pub fn remembered_rates(&self) -> usize {
        self.rates.remembered()
    }
}

/// Real time. governor brings such a clock only together with an asynchronous timer.
#[derive(Debug, Clone)]
pub struct SinceStart(Instant);

impl Clock for SinceStart {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// governor's states by key, bounded.
struct Table<K>(Mutex<States<K>>);

struct States<K> {
    /// When each key's bucket will be full, counted from the start.
    full_at: HashMap<K, Nanos>,
    /// The bucket shared by all keys for which there is no place.
    others: Option<Nanos>,
}

impl<K> Table<K> {
    fn new() -> Table<K> {
        Table(Mutex::new(States {
            full_at: HashMap::new(),
            others: None,
        }))
    }
}

impl<K: Hash + Eq + Clone> StateStore for Table<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut states = self.0.lock();
        let known = states.full_at.get(key).copied();
        if known.is_none() && states.full_at.len() >= MOST_KEYS {
            let (outcome, full_at) = f(states.others)?;
            states.others = Some(full_at);
            return Ok(outcome);
        }
        let (outcome, full_at) = f(known)?;
        states.full_at.insert(key.clone(), full_at);
        Ok(outcome)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Table<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        let full_at = &mut self.0.lock().full_at;
        full_at.retain(|_, full_at| *full_at > drop_below);
        full_at.shrink_to(MOST_KEYS / 16);
    }

    fn shrink_to_fit(&self) {
        self.0.lock().full_at.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.0.lock().full_at.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn rates(count: u32) -> (Rates<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let rate = Rate {
            count: NonZeroU32::new(count).expect("above zero"),
            per: MINUTE,
        };
        (Rates::with_clock(Some(rate), clock.clone()), clock)
    }

    fn player(number: u32) -> PlayerId {
        PlayerId::try_from(format!("player-{number}")).expect("a name")
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn an_address_has_a_burst_and_then_a_pace() {
        let (rates, clock) = rates(10);
        for number in 0..10 {
            assert_eq!(
                rates.count(address(1), Some(&player(number))),
                Ok(()),
                "{number}"
            );
        }
        let wait = rates
            .count(address(1), Some(&player(10)))
            .expect_err("too many");
        assert_eq!(wait, MINUTE / 10, "and whoever waits so long gets in");
        assert_eq!(rates.count(address(2), Some(&player(10))), Ok(()));
        clock.advance(wait - Duration::from_millis(1));
        assert!(rates.count(address(1), Some(&player(11))).is_err());
        clock.advance(Duration::from_millis(1));
        assert_eq!(rates.count(address(1), Some(&player(11))), Ok(()));
    }

    #[test]
    fn a_player_is_the_same_at_every_address() {
        let (rates, _) = rates(2);
        assert_eq!(rates.count(address(1), Some(&player(1))), Ok(()));
        assert_eq!(rates.count(address(2), Some(&player(1))), Ok(()));
        assert_eq!(rates.count(address(3), Some(&player(1))), Err(MINUTE / 2));
    }

    #[test]
    fn who_came_long_ago_is_forgotten() {
        let (rates, clock) = rates(2);
        assert_eq!(rates.count(address(1), Some(&player(1))), Ok(()));
        clock.advance(MINUTE * 3 / 4);
        assert_eq!(rates.count(address(2), Some(&player(2))), Ok(()));
        rates.sweep();
        assert_eq!(rates.remembered(), 4);
        clock.advance(MINUTE / 4);
        rates.sweep();
        assert_eq!(rates.remembered(), 2, "the first one's bucket is full");
        clock.advance(MINUTE);
        rates.sweep();
        assert_eq!(rates.remembered(), 0);
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_and_slowed_as_one() {
        let (rates, _) = rates(2);
        let most = MOST_KEYS as u32;
        for number in 0..most {
            assert_eq!(rates.count(address(number), Some(&player(number))), Ok(()));
        }
        assert_eq!(rates.remembered(), 2 * MOST_KEYS);
        let late: Vec<_> = (most..most + 3)
            .map(|number| rates.count(address(number), Some(&player(number))).is_ok())
            .collect();
        assert_eq!(late, [true, true, false]);
        assert_eq!(rates.remembered(), 2 * MOST_KEYS);
        assert_eq!(
            rates.count(address(1), Some(&player(1))),
            Ok(()),
            "one that is known"
        );
    }

    #[test]
    fn a_network_of_ipv6_keeps_nobody_else_out() {
        let (rates, _) = rates(2);
        let household = |number: u32| {
            let network: Ipv6Addr = "2001:db8:77::".parse().expect("an address");
            IpAddr::V6(Ipv6Addr::from_bits(
                network.to_bits() | u128::from(number) << 64,
            ))
        };
        let outcomes = (0..60_000).map(|number| rates.count(household(number), None));
        assert_eq!(outcomes.filter(Result::is_ok).count(), 32);
        assert_eq!(rates.remembered(), 33, "32 households and their network");
        let neighbour = "2001:db8:78:1::".parse().expect("an address");
        assert_eq!(rates.count(neighbour, None), Ok(()));
        assert_eq!(rates.count(address(1), None), Ok(()));
    }

    #[test]
    fn a_player_above_the_limit_costs_the_household_nothing() {
        let (rates, _) = rates(2);
        for _ in 0..2 {
            assert_eq!(rates.count(address(1), Some(&player(1))), Ok(()));
        }
        for _ in 0..100 {
            assert!(rates.count(address(2), Some(&player(1))).is_err());
        }
        assert_eq!(rates.count(address(2), Some(&player(2))), Ok(()));
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        let rates = Rates::new(None);
        for _ in 0..1000 {
            assert_eq!(rates.count(address(1), Some(&player(1))), Ok(()));
        }
        assert_eq!(rates.remembered(), 0);
    }
}
