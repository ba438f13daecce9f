//! What ShellCraft adds to a bare attach to the Engine, side by side in one run.
//!
//! ```text
//! this process ──attach──────────────────────────────▶ Engine ─▶ container
//! this process ──WebSocket─▶ server (child process) ─▶ Engine ─▶ container of the same kind
//! ```
//!
//! All contenders take turns in short slices, figures are medians over rounds, and ratios are medians of the
//! rounds' own ratios: so a busy machine spoils all of them alike. The bare attach runs twice (`bare`,
//! `again`): how far the second's ratio is from 1 is what the other ratios can't be trusted beyond.
//!
//! `cargo bench --bench bench -- --help` lists what can be chosen. With `--fake` the Engine is the tests' fake
//! one, in a process of its own, and thousands of sessions show the server's own limits. With `--against` an
//! older binary takes part, which tells what a change brings.

mod measure;
mod procfs;
mod report;
mod stand;
mod terminal;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use fake_engine::FakeEngine;
use shellcraft::engine::Engine;
use test_support::busybox;

use measure::crowd;
use measure::interrupt::Reader;
use measure::{alive, bombs, connect, echo, emulator, flood, interrupt, nasty, refill, spectators};
use report::Row;
use stand::{BUSYBOX, Outcome, PERL, RUST, Server, Shell, Stand};

/// A fast typist's is ten times this, but then the figures would take all day.
const PACE: Duration = Duration::from_millis(15);
/// Who watches, where that is measured.
const SPECTATORS: usize = 50;

#[derive(Parser)]
#[command(
    name = "bench",
    about = "What ShellCraft adds to a bare attach to the Engine"
)]
struct Flags {
    /// A tenth of the time, for a look.
    #[arg(long)]
    quick: bool,
    /// Thousands of sessions on a fake Engine, instead of the real one.
    #[arg(long)]
    fake: bool,
    /// Only these: prompt, perl, paced, cat, flood, ctrl-c, slow-ctrl-c, start, pool, refill, adopt, alive, join,
    /// spectators, quiet, nasty, bombs, emulator; with --fake prompt, spectators, crowd.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often everything is repeated.
    #[arg(long)]
    rounds: Option<usize>,
    /// How many sessions are quiet together: 50, or 2,000 with --fake.
    #[arg(long)]
    sessions: Option<usize>,
    /// Where the figures go.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Other servers' binaries that take part, under their files' names.
    #[arg(long, value_delimiter = ',')]
    against: Vec<PathBuf>,
    /// The server's binary.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_shellcraft"))]
    server: PathBuf,
    /// The Engine's socket.
    #[arg(
        long,
        env = "DOCKER_HOST",
        default_value = "unix:///var/run/docker.sock"
    )]
    docker_host: String,
    /// Is the fake Engine.
    #[arg(long, hide = true)]
    be_fake_engine: bool,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    if flags.be_fake_engine {
        return be_fake_engine();
    }
    // Each of thousands of terminals is a descriptor.
    let _ = shellcraft::door::limits::raise_fd_limit();
    let outcome = if flags.fake {
        with_fake_engine(&flags)
    } else {
        with_real_engine(&flags)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Flags {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    fn rounds(&self, usual: usize) -> usize {
        let usual = if self.quick { usual.div_ceil(5) } else { usual };
        self.rounds.unwrap_or(usual)
    }

    fn binaries(&self) -> Vec<(String, &Path)> {
        let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        let against = self
            .against
            .iter()
            .map(|path| (name(path) + "-", path.as_path()));
        [(String::new(), self.server.as_path())]
            .into_iter()
            .chain(against)
            .collect()
    }

    fn finish(&self, rows: &[Row], rounds: usize, usual: &str) -> Outcome<()> {
        let path = self.json.clone().unwrap_or_else(|| usual.into());
        report::save(rows, rounds, &path)?;
        println!("written to {}", path.display());
        Ok(())
    }
}

/// A measurement that `--only` can name.
type Measure<'a> = (&'a str, &'a dyn Fn() -> Outcome<Vec<Row>>);

fn with_real_engine(flags: &Flags) -> Outcome<()> {
    busybox::image(&Engine::new(&flags.docker_host)?);
    let stand = Stand::new(&flags.docker_host, &flags.binaries())?;
    let typing = |name, shell, first, gap| {
        let plan = echo::Plan {
            name,
            first,
            rounds: flags.rounds(15),
            slices: if gap == Duration::ZERO { 8 } else { 4 },
            gap,
            is_judged: true,
        };
        echo::run(&mut stand.line_up(shell)?, &plan)
    };
    let flooding = || {
        let bytes = if flags.quick { 16 << 20 } else { 64 << 20 };
        flood::run(&mut stand.line_up(BUSYBOX)?, flags.rounds(5), bytes)
    };
    let stopping =
        |reader| interrupt::run(&mut stand.line_up(BUSYBOX)?, flags.rounds(5), 5, reader);
    let watched = || watched(flags, &flags.docker_host, RUST);
    let quiet = || {
        let plan = crowd::Plan {
            sessions: flags.sessions.unwrap_or(50),
            rounds: 1,
            rest: Duration::from_secs(if flags.quick { 20 } else { 40 }),
            typing: Duration::ZERO,
        };
        let server = Server::start(&flags.server, &flags.docker_host)?;
        crowd::run(&stand, &server, RUST, &plan)
    };
    let lively = || {
        let plan = alive::Plan {
            sessions: flags.sessions.unwrap_or(200),
            rounds: flags.rounds(5),
            typing: Duration::from_secs(if flags.quick { 3 } else { 10 }),
        };
        let server = Server::start(&flags.server, &flags.docker_host)?;
        alive::run(&server, RUST, &plan)
    };
    let unpleasant = || {
        let plan = nasty::Plan {
            rounds: flags.rounds(5),
            typing: Duration::from_secs(if flags.quick { 3 } else { 10 }),
        };
        let server = Server::start_usual(&flags.server, &flags.docker_host)?;
        nasty::run(server, RUST, &plan)
    };
    let bombed = || bombs::run(&flags.server, &flags.docker_host, flags.rounds(3));
    let measures: [Measure; 18] = [
        ("prompt", &|| {
            typing("echo at rust's prompt", RUST, b"", Duration::ZERO)
        }),
        ("perl", &|| {
            typing("echo at perl's prompt", PERL, b"", Duration::ZERO)
        }),
        ("paced", &|| {
            typing("echo, a key every 15 ms", RUST, b"", PACE)
        }),
        ("cat", &|| {
            typing("echo under cat", BUSYBOX, b"cat\r", Duration::ZERO)
        }),
        ("flood", &flooding),
        ("ctrl-c", &|| stopping(Reader::Greedy)),
        ("slow-ctrl-c", &|| stopping(Reader::Page)),
        ("start", &|| connect::start(&stand, RUST, flags.rounds(10))),
        ("pool", &|| {
            connect::pool(&stand, &flags.server, RUST, flags.rounds(30))
        }),
        ("refill", &|| {
            refill::run(&stand, &flags.server, RUST, flags.rounds(5))
        }),
        ("adopt", &|| {
            let sessions = if flags.quick { 20 } else { 100 };
            connect::adopt(&stand, &flags.server, RUST, sessions)
        }),
        ("join", &|| connect::join(&stand, RUST, flags.rounds(50))),
        ("spectators", &watched),
        ("quiet", &quiet),
        ("alive", &lively),
        ("nasty", &unpleasant),
        ("bombs", &bombed),
        ("emulator", &|| emulator::run(flags.rounds(5))),
    ];
    let mut rows = Vec::new();
    for (_, measure) in measures.iter().filter(|(name, _)| flags.wants(name)) {
        let found = measure()?;
        report::print(&found);
        rows.extend(found);
    }
    flags.finish(&rows, flags.rounds(15), "target/bench.json")
}

/// Echoes of a player whom others watch, on a server of its own.
fn watched(flags: &Flags, docker_host: &str, shell: Shell) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for (prefix, binary) in flags.binaries() {
        let name = format!("{prefix}echo, {SPECTATORS} spectators");
        let plan = echo::Plan {
            name: &name,
            first: b"",
            rounds: flags.rounds(15),
            slices: 4,
            gap: PACE,
            is_judged: true,
        };
        let server = Server::start(binary, docker_host)?;
        rows.extend(spectators::run(&server, shell, &plan, SPECTATORS)?);
    }
    Ok(rows)
}

fn with_fake_engine(flags: &Flags) -> Outcome<()> {
    let engine = FakeProcess::start()?;
    let mut rows = Vec::new();
    if flags.wants("prompt") {
        let stand = Stand::new(&engine.docker_host, &flags.binaries())?;
        let plan = echo::Plan {
            name: "echo, fake Engine",
            first: b"",
            rounds: flags.rounds(15),
            slices: 8,
            gap: Duration::ZERO,
            is_judged: false,
        };
        let found = echo::run(&mut stand.line_up(BUSYBOX)?, &plan)?;
        report::print(&found);
        rows.extend(found);
    }
    if flags.wants("spectators") {
        let found = watched(flags, &engine.docker_host, BUSYBOX)?;
        report::print(&found);
        rows.extend(found);
    }
    let stand = Stand::new(&engine.docker_host, &[])?;
    for (prefix, binary) in flags.binaries() {
        if !flags.wants("crowd") {
            continue;
        }
        let plan = crowd::Plan {
            sessions: flags.sessions.unwrap_or(2000),
            rounds: flags.rounds(5),
            rest: Duration::from_secs(if flags.quick { 20 } else { 40 }),
            typing: Duration::from_secs(if flags.quick { 3 } else { 10 }),
        };
        let server = Server::start(binary, &engine.docker_host)?;
        println!("{prefix}{}", binary.display());
        let found = crowd::run(&stand, &server, BUSYBOX, &plan)?;
        report::print(&found);
        rows.extend(found);
    }
    flags.finish(&rows, flags.rounds(5), "target/bench-fake.json")
}

/// The fake Engine as a process of its own, so that its threads and memory are not the server's or ours.
struct FakeProcess {
    child: Child,
    docker_host: String,
}

impl FakeProcess {
    fn start() -> Outcome<FakeProcess> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--be-fake-engine")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let docker_host = line.trim().to_owned();
        Ok(FakeProcess { child, docker_host })
    }
}

impl Drop for FakeProcess {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn be_fake_engine() -> ExitCode {
    let _ = shellcraft::door::limits::raise_fd_limit();
    let engine = FakeEngine::start();
    println!("{}", engine.docker_host());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(engine);
    ExitCode::SUCCESS
}
