//! Many terminals at once: what a quiet one costs the server, and how fast it is when all of them type.
//!
//! One thread drives all of them: a key every so often, evenly spread, and `epoll` for the echoes.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use crate::procfs::{Memory, Usage};
use crate::report::{Row, Target, percentile};
use crate::stand::{BareContainer, Game, Outcome, Server, Shell, Stand};
use crate::terminal::{Socket, Terminal, settle};

/// How often each terminal of a crowd gets a key; an echo that has not come after so long counts as this.
const KEY_EVERY: Duration = Duration::from_secs(1);
const KEYS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// Most events taken at once.
const EVENTS: usize = 256;

/// Terminals, and the one thread that drives them.
pub(super) struct Crowd {
    terminals: Vec<Box<dyn Terminal>>,
    epoll: OwnedFd,
    /// Which key each terminal waits for, and since when.
    waiting: Vec<Option<(u8, Instant)>>,
    echoes: Vec<f64>,
}

impl Crowd {
    pub(super) fn new(terminals: Vec<Box<dyn Terminal>>) -> Outcome<Crowd> {
        let mut crowd = Crowd {
            waiting: Vec::new(),
            terminals: Vec::new(),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            echoes: Vec::new(),
        };
        for terminal in terminals {
            crowd.push(terminal)?;
        }
        Ok(crowd)
    }

    /// Adds one terminal.
    pub(super) fn push(&mut self, terminal: Box<dyn Terminal>) -> Outcome<()> {
        let data = epoll::EventData::new_u64(self.terminals.len() as u64);
        epoll::add(&self.epoll, terminal.fd(), data, epoll::EventFlags::IN)?;
        self.terminals.push(terminal);
        self.waiting.push(None);
        Ok(())
    }

    /// Answers pings for `time`, and otherwise does nothing.
    pub(super) fn rest(&mut self, time: Duration) -> Outcome<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.read(until)?;
        }
        Ok(())
    }

    /// Types a key every so often at each terminal for `time`; the echoes in milliseconds.
    pub(super) fn type_for(&mut self, time: Duration, every: Duration) -> Outcome<Vec<f64>> {
        self.echoes.clear();
        let began = Instant::now();
        let count = self.terminals.len();
        let apart = every / count as u32;
        let keys = (time.as_secs_f64() / apart.as_secs_f64()) as u32;
        for number in 0..keys {
            let due = began + apart * number;
            loop {
                self.read(due)?;
                if Instant::now() >= due {
                    break;
                }
            }
            self.type_at(
                number as usize % count,
                KEYS[number as usize / count % KEYS.len()],
            )?;
        }
        // The last ones get their time too.
        let until = Instant::now() + KEY_EVERY;
        while self.waiting.iter().any(Option::is_some) && Instant::now() < until {
            self.read(until)?;
        }
        for waiting in &mut self.waiting {
            if waiting.take().is_some() {
                self.echoes.push(KEY_EVERY.as_secs_f64() * 1e3);
            }
        }
        Ok(std::mem::take(&mut self.echoes))
    }

    fn type_at(&mut self, at: usize, key: u8) -> Outcome<()> {
        // From when it is really sent: a driver that is late is no fault of the server's.
        let sent = Instant::now();
        if let Some((_, since)) = self.waiting[at].replace((key, sent)) {
            self.echoes.push(since.elapsed().as_secs_f64() * 1e3);
        }
        self.terminals[at].type_in(&[key])?;
        Ok(())
    }

    /// Waits for output until `due`, and takes what there is.
    fn read(&mut self, due: Instant) -> Outcome<()> {
        let left = due.saturating_duration_since(Instant::now());
        let limit = Timespec::try_from(left)?;
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS];
        let (events, _) = epoll::wait(&self.epoll, &mut events, Some(&limit))?;
        for event in events {
            let at = event.data.u64() as usize;
            let waiting = &mut self.waiting[at];
            let echoes = &mut self.echoes;
            self.terminals[at].read(&mut |output| {
                if let Some((key, since)) = *waiting
                    && output.contains(&key)
                {
                    echoes.push(since.elapsed().as_secs_f64() * 1e3);
                    *waiting = None;
                }
            })?;
        }
        Ok(())
    }
}

/// How many, for how long.
pub struct Plan {
    pub sessions: usize,
    pub rounds: usize,
    /// A multiple of the heartbeat (20 s), to have whole ones in it.
    pub rest: Duration,
    /// How long everybody types in each round; zero for not at all.
    pub typing: Duration,
}

/// A fresh server, so that memory of earlier measurements is not in the figures.
pub fn run(stand: &Stand, server: &Server, shell: Shell, plan: &Plan) -> Outcome<Vec<Row>> {
    let pid = server.pid();
    // What the first one sets up is not a session's cost.
    let (_game, first) = join(server, shell)?;
    let mut first = Crowd::new(vec![Box::new(first)])?;
    first.rest(Duration::from_secs(2))?;
    let alone = Memory::of(pid)?;
    let before = Usage::of(pid)?;
    first.rest(plan.rest)?;
    let idle_alone = Usage::of(pid)? - before;

    let (games, sockets): (Vec<Game>, Vec<Socket>) = (0..plan.sessions)
        .map(|_| join(server, shell))
        .collect::<Outcome<Vec<_>>>()?
        .into_iter()
        .unzip();
    let sockets = sockets
        .into_iter()
        .map(|socket| Box::new(socket) as Box<dyn Terminal>);
    let mut crowd = Crowd::new(sockets.collect())?;
    crowd.rest(Duration::from_secs(2))?;
    let together = Memory::of(pid)?;
    let before = Usage::of(pid)?;
    crowd.rest(plan.rest)?;
    let idle = Usage::of(pid)? - before;

    let mut rows = quiet_rows(plan, (alone, together), (idle_alone, idle));
    if !plan.typing.is_zero() {
        rows.extend(typing(stand, server, shell, plan, &mut crowd)?);
    }
    drop(crowd);
    drop(games);
    Ok(rows)
}

pub(super) fn join(server: &Server, shell: Shell) -> Outcome<(Game, Socket)> {
    let game = server.create(shell.name)?;
    let mut socket = Socket::open(server.address, &game.id, true)?;
    // Its hello and its prompt.
    settle(&mut socket, Duration::from_millis(1))?;
    Ok((game, socket.small()))
}

fn quiet_rows(plan: &Plan, memory: (Memory, Memory), idle: (Usage, Usage)) -> Vec<Row> {
    let sessions = plan.sessions as f64;
    let each = |one: u64, all: u64| all.saturating_sub(one) as f64 / sessions;
    let seconds = plan.rest.as_secs_f64();
    let cpu = idle.1.cpu.saturating_sub(idle.0.cpu).as_secs_f64() * 1e6 / seconds / sessions;
    let wakeups = each(idle.0.wakeups, idle.1.wakeups) / seconds;
    let name = |what: &str| format!("{what}, {sessions} quiet");
    vec![
        Row::single(
            name("resident memory a session"),
            "KiB",
            each(memory.0.rss, memory.1.rss),
            &[Target::AtMost(64.0)],
        ),
        Row::single(
            name("its share (PSS)"),
            "KiB",
            each(memory.0.pss, memory.1.pss),
            &[],
        ),
        Row::single(
            name("threads a session"),
            "",
            each(idle.0.threads as u64, idle.1.threads as u64),
            &[],
        ),
        Row::single(name("processor a session"), "µs/s", cpu, &[]),
        // A ping's due time wakes the writer, its pong the reader: two in 20 s.
        Row::single(
            name("wake-ups a session"),
            "1/s",
            wakeups,
            &[Target::AtMost(0.12)],
        ),
        Row::single(
            "server's own wake-ups, 1 session",
            "1/s",
            idle.0.wakeups as f64 / seconds,
            &[],
        ),
    ]
}

/// The same number of bare attaches and of sessions, taking turns at typing.
fn typing(
    stand: &Stand,
    server: &Server,
    shell: Shell,
    plan: &Plan,
    ours: &mut Crowd,
) -> Outcome<Vec<Row>> {
    let mut containers: Vec<BareContainer> = Vec::new();
    let mut terminals: Vec<Box<dyn Terminal>> = Vec::new();
    for _ in 0..plan.sessions {
        let (container, mut terminal) = stand.bare(shell)?;
        settle(&mut terminal, Duration::from_millis(1))?;
        containers.push(container);
        terminals.push(Box::new(terminal.small()));
    }
    let mut bare = Crowd::new(terminals)?;
    let name = |what: &str| format!("echo, {} at a key a second, {what}", plan.sessions);
    let mut p50 = Row::new(name("p50"), "ms", &[]);
    let mut p99 = Row::new(name("p99"), "ms", &[Target::AtMost(5.0)]);
    let mut cpu = Row::new("server's processor time a key", "µs", &[]);
    let mut wakeups = Row::new("server's wake-ups a key", "", &[]);
    for _ in 0..plan.rounds {
        let echoes = bare.type_for(plan.typing, KEY_EVERY)?;
        p50.add("bare", percentile(&echoes, 50.0));
        p99.add("bare", percentile(&echoes, 99.0));
        let before = Usage::of(server.pid())?;
        let echoes = ours.type_for(plan.typing, KEY_EVERY)?;
        let used = Usage::of(server.pid())? - before;
        p50.add("v1", percentile(&echoes, 50.0));
        p99.add("v1", percentile(&echoes, 99.0));
        cpu.add("server", used.cpu.as_secs_f64() * 1e6 / echoes.len() as f64);
        wakeups.add("server", used.wakeups as f64 / echoes.len() as f64);
        // Meanwhile the others' pings wait; they are answered well before 60 s are over.
        bare.rest(Duration::from_millis(1))?;
    }
    Ok(vec![p50, p99, cpu, wakeups])
}
