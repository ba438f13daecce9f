//! The thread that keeps the instance in the fleet (`fleet-beat`).
//!
//! ```text
//!   join ──▶ beat ──▶ look ──▶ judge, bury ──▶ wait for the next beat, a wake-up, or the stop, whose beat says "away"
//!    ▲         │ buried, or forgotten by Redis
//!    └─────────┤
//!              └──▶ another process has the name: the end
//! ```
//!
//! It knows nothing of games: what is to be done about them is its [`Host`]'s. While Redis is away, it tries every second
//! and buries no other instance. All that others say by pub/sub is found without it at the next beat.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use log::{error, info, warn};
use uuid::Uuid;

use super::host::Host;
use super::lease::{Applicant, Claim, Judge, Meaning, Times, Why, meaning};
use super::metrics::Beat;
use super::record::{BeatAnswer, Membership, State};
use super::roster::{Error, Roster, Saying};
use super::table::{Reader, Table};
use crate::redis::Url;
use crate::threads::{self, Kind};
use crate::warn_throttled;

/// Wake-ups make the thread look so often at most.
const LOOK_GAP: Duration = Duration::from_millis(250);

/// What the thread needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The instance's name.
    pub instance: String,
    /// The highest epoch that the instance knows to have had, or 0.
    pub last_epoch: u64,
    /// The fleet's times.
    pub times: Times,
}

/// Makes the thread look now.
#[derive(Debug, Clone)]
pub struct Waker(Sender<()>);

impl Waker {
    /// Makes the thread look now. It does so 4 times a second at most.
    pub fn wake(&self) {
        // A thread that has not come to the last wake-up yet needs no other one.
        let _ = self.0.try_send(());
    }
}

/// The running thread.
#[derive(Debug)]
pub struct Heartbeat {
    waker: Waker,
    table: Arc<Table>,
    /// Ends the thread when it is dropped.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Starts the thread, which joins the fleet and stays in it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(url: &Url, settings: Settings, host: Arc<dyn Host>) -> io::Result<Heartbeat> {
        let (stop, stopped) = bounded(0);
        let (wake, wakes) = bounded(1);
        let table = Arc::new(Table::default());
        let holder = Uuid::new_v4().simple().to_string();
        let worker = Worker {
            roster: Roster::new(url, &settings.instance, "", &holder),
            engine: String::new(),
            judge: Judge::new(&settings.instance, settings.times),
            reader: Reader::new(Arc::clone(&table)),
            highest_epoch: settings.last_epoch,
            settings,
            holder,
            host,
            stopped,
            wakes,
            uncounted: 0,
            last_look: None,
        };
        let thread = threads::spawn(Kind::FleetBeat, move || worker.run())?;
        Ok(Heartbeat {
            waker: Waker(wake),
            table,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What makes the thread look now.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The instances as of the last look.
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table)
    }

    /// Has the thread say that the instance ends, and end. Does not wait.
    pub fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Says that the instance ends, and joins the thread. Blocks for as long as the calls to Redis last that the thread is
    /// at, and one more.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // A panic was logged where it happened.
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.end();
    }
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    Due,
    Look,
    Stop,
}

/// How a try to join ended.
enum Try {
    Joined(Membership),
    /// Not yet.
    Wait,
    Superseded,
}

/// What follows the time as a member.
enum Next {
    Rejoin(Why),
    LetGo,
    Stop,
}

struct Worker {
    roster: Roster,
    /// The id of the instance's Engine; empty until that is known.
    engine: String,
    settings: Settings,
    holder: String,
    host: Arc<dyn Host>,
    judge: Judge,
    reader: Reader,
    stopped: Receiver<()>,
    wakes: Receiver<()>,
    /// The highest epoch that this instance has had, or was given.
    highest_epoch: u64,
    /// How many changes of leases the fleet's revision does not count yet.
    uncounted: u64,
    last_look: Option<Instant>,
}

impl Worker {
    fn run(mut self) {
        let mut had: Option<(Membership, Why)> = None;
        let Some(engine) = self.wait_for_engine() else {
            return;
        };
        self.roster.name_engine(&engine);
        self.engine = engine;
        loop {
            let joined = self.join(had.map(|(membership, _)| membership));
            let Some(membership) = joined else { return };
            match had {
                None => self.host.joined(membership),
                Some((_, why)) => self.host.rejoined(membership, why),
            }
            self.announce("joined");
            match self.live(membership) {
                Next::Rejoin(why) => had = Some((membership, why)),
                Next::LetGo => return self.let_go(),
                Next::Stop => return self.leave(membership),
            }
        }
    }

    /// Waits until it is known which Engine the instance has. Nothing if the stop came.
    fn wait_for_engine(&self) -> Option<String> {
        loop {
            if let Some(engine) = self.host.engine_id() {
                return Some(engine);
            }
            if self.wait_for_stop(Instant::now() + self.settings.times.retry()) {
                return None;
            }
        }
    }

    fn let_go(&self) {
        error!(
            "another process has taken over the instance {}: this one ends",
            self.settings.instance
        );
        self.host.superseded();
    }

    /// Tries until the instance is in the fleet. Nothing if it won't be, of which the host is told, or if the stop came.
    fn join(&mut self, had: Option<Membership>) -> Option<Membership> {
        let times = self.settings.times;
        let epoch = had.map(|had| had.epoch);
        let mut applicant = Applicant::new(&self.engine, &self.holder, epoch, times);
        let retry = times.retry();
        loop {
            match self.try_join(&mut applicant, had) {
                Ok(Try::Joined(membership)) => {
                    let Membership { epoch, number } = membership;
                    let instance = &self.settings.instance;
                    info!("{instance} is in the fleet as number {number}, epoch {epoch}");
                    return Some(membership);
                }
                Ok(Try::Superseded) => {
                    self.let_go();
                    return None;
                }
                Ok(Try::Wait) => {}
                // The way to Redis logs it.
                Err(Error::Redis(_)) => applicant.restart(),
                Err(Error::Taken { .. }) if had.is_some() => {
                    self.let_go();
                    return None;
                }
                // Its players play on.
                Err(error) if had.is_some() => warn_throttled!("not back in the fleet: {error}"),
                Err(error) => {
                    self.host.refused(&error);
                    return None;
                }
            }
            if self.wait_for_stop(Instant::now() + retry) {
                return None;
            }
        }
    }

    fn try_join(
        &mut self,
        applicant: &mut Applicant,
        had: Option<Membership>,
    ) -> Result<Try, Error> {
        let asked = Instant::now();
        let found = self.roster.read()?;
        let is_beating = match applicant.decide(asked, Instant::now(), found.as_ref()) {
            Claim::Take { is_beating } => is_beating,
            Claim::Wait => return Ok(Try::Wait),
            Claim::Superseded => return Ok(Try::Superseded),
            Claim::Taken(engine) => {
                let instance = self.settings.instance.clone();
                return Err(Error::Taken { instance, engine });
            }
        };
        let stored = found.as_ref().map_or(0, |lease| lease.epoch);
        let number = had.map(|had| had.number);
        let number = number.or(found.as_ref().map(|lease| lease.number));
        let membership = self.roster.enlist(self.highest_epoch.max(stored), number)?;
        self.highest_epoch = membership.epoch;
        let (state, facts) = self.saying();
        let saying = Saying {
            state,
            facts: &facts,
        };
        let is_mine = self
            .roster
            .claim(membership, saying, found.as_ref(), is_beating)?;
        self.uncounted += u64::from(is_mine);
        Ok(if is_mine {
            Try::Joined(membership)
        } else {
            Try::Wait
        })
    }

    /// Beats until something else is to be done.
    fn live(&mut self, membership: Membership) -> Next {
        let (mut confirmed, mut sent) = (0, 0);
        let mut told = State::Up;
        self.judge.restart();
        loop {
            let began = Instant::now();
            let (state, facts) = self.saying();
            let saying = Saying {
                state,
                facts: &facts,
            };
            sent += 1;
            let mut is_well = false;
            let answer = self.roster.beat(membership.epoch, saying);
            let meaning = answer.map(|answer| (answer, meaning(answer, confirmed, sent)));
            self.host.beaten(match &meaning {
                Ok((_, Meaning::GoOn)) => Beat::Counted,
                Ok(_) => Beat::Refused,
                Err(_) => Beat::Failed,
            });
            if let Ok((answer, meaning)) = meaning {
                match meaning {
                    Meaning::GoOn => {}
                    Meaning::Rejoin(why) => {
                        warn!("{}: {}", self.settings.instance, words(why));
                        self.judge.restart();
                        return Next::Rejoin(why);
                    }
                    Meaning::LetGo => return Next::LetGo,
                }
                if let BeatAnswer::Counted { beat, has_changed } = answer {
                    confirmed = beat;
                    self.uncounted += u64::from(has_changed);
                }
                self.judge.beat_counted(Instant::now());
                is_well = self.pulse().and_then(|()| self.look()).is_ok();
                if state != told {
                    self.announce(state.word());
                    told = state;
                }
            }
            let due = if is_well {
                began + self.settings.times.interval()
            } else {
                self.judge.restart();
                Instant::now() + self.settings.times.retry()
            };
            loop {
                match self.wait(due) {
                    Wake::Due => break,
                    Wake::Stop => return Next::Stop,
                    Wake::Look if self.look().is_ok() => {}
                    Wake::Look => self.judge.restart(),
                }
            }
        }
    }

    fn saying(&self) -> (State, String) {
        let state = if self.host.is_draining() {
            State::Draining
        } else {
            State::Up
        };
        (state, self.host.facts().to_json())
    }

    /// Has the changes of leases counted that are not counted yet.
    fn pulse(&mut self) -> Result<(), Error> {
        let pulse = self.roster.pulse(self.uncounted)?;
        self.uncounted = 0;
        self.host.pulse(pulse);
        Ok(())
    }

    /// Looks at all leases, and buries whom it must.
    fn look(&mut self) -> Result<(), Error> {
        let asked = Instant::now();
        let look = self.roster.look()?;
        let answered = Instant::now();
        self.last_look = Some(answered);
        self.judge.observe(asked, answered, &look.leases);
        if let Some(instances) = self.reader.read(&look) {
            self.host.table_changed(&instances);
        }
        let suspects = self.judge.judge(Instant::now());
        let mut has_buried = false;
        for suspect in suspects {
            let instance = &suspect.instance;
            if self.roster.bury(instance, suspect.epoch, suspect.beat)? {
                warn!(
                    "{instance} was silent for too long: its epoch {} is closed",
                    suspect.epoch
                );
                self.host.buried(instance, suspect.epoch);
                self.uncounted += 1;
                has_buried = true;
            }
        }
        if has_buried {
            self.pulse()?;
            self.announce("buried");
        }
        Ok(())
    }

    /// The last beat. If it does not get through, the others will bury the instance earlier, which is no harm.
    fn leave(&mut self, membership: Membership) {
        let (_, facts) = self.saying();
        let saying = Saying {
            state: State::Away,
            facts: &facts,
        };
        let answer = self.roster.beat(membership.epoch, saying);
        if let Ok(BeatAnswer::Counted { has_changed, .. }) = answer {
            self.uncounted += u64::from(has_changed);
            if self.pulse().is_ok() {
                self.announce("away");
            }
        }
    }

    /// Wakes the others. If they miss it, they look at their next beat.
    fn announce(&self, event: &str) {
        let _ = self.roster.announce(event);
    }

    /// Waits until `due`, for a wake-up that is not too soon after the last look, or for the stop.
    fn wait(&self, due: Instant) -> Wake {
        let left = due.saturating_duration_since(Instant::now());
        select! {
            recv(self.stopped) -> _ => return Wake::Stop,
            recv(self.wakes) -> woken => if woken.is_err() {
                return Wake::Stop;
            },
            default(left) => return Wake::Due,
        }
        let earliest = self.last_look.map_or(due, |last| last + LOOK_GAP);
        match (self.wait_for_stop(earliest.min(due)), earliest < due) {
            (true, _) => Wake::Stop,
            (false, true) => Wake::Look,
            (false, false) => Wake::Due,
        }
    }

    /// Waits until `due`. Answers whether the stop came.
    fn wait_for_stop(&self, due: Instant) -> bool {
        self.stopped.recv_deadline(due) != Err(RecvTimeoutError::Timeout)
    }
}

/// What the log says of a new join.
fn words(why: Why) -> &'static str {
    match why {
        Why::Buried => {
            "the others have closed this instance's epoch, because it was silent: it joins again"
        }
        Why::HistoryLost => "Redis has lost what it had confirmed: this instance joins again",
    }
}
