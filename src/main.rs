//! The server's start-up list, and what its signals mean.
//!
//! SIGTERM and SIGHUP leave the games to the next start: an upgrade is a stop and a start. SIGINT, which comes from a
//! person at the keyboard, saves and removes them. So do a second SIGTERM, `--drain`, and an operator's `shellcraft
//! drain`.

use std::process::ExitCode;

use shellcraft::app::App;
use shellcraft::cli;
use shellcraft::config::{self, Config, Service, Stop};
use shellcraft::logging;
use shellcraft::session::ShutdownMode;
use shellcraft::systemd::{self, Line};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The exit code for a bad setting, which most programs use for wrong usage.
const BAD_SETTING: u8 = 2;

fn main() -> ExitCode {
    // The help does not list this command: a container of the self-test runs it, and it takes no settings.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "attack") {
        return cli::attack::main(&arguments[1..]);
    }
    let config = match Config::read(std::env::args_os()) {
        Ok(config) => config,
        Err(Stop::Print(text)) => {
            cli::say(&text);
            return ExitCode::SUCCESS;
        }
        Err(Stop::Refuse(line)) => {
            eprintln!("shellcraft: {line}");
            return ExitCode::from(BAD_SETTING);
        }
    };
    if let Some(command) = &config.command {
        return cli::run(command, &config);
    }
    logging::start(config.log_level, config.log_format);
    for (name, setting) in config::misspelled(config::environment()) {
        log::warn!("{name} is in the environment and is no setting: is {setting} meant?");
    }
    // The handlers are set before anything is started, so that no signal arrives at a half-started server.
    let mut signals = match Signals::new(ending_signals()) {
        Ok(signals) => signals,
        Err(cause) => return fail(&cause),
    };
    let listener = match systemd::inherited() {
        Ok(listener) => listener,
        Err(cause) => return fail(&cause),
    };
    let app = match App::start_on(&config, listener) {
        Ok(app) => app,
        Err(error) => return fail(&error),
    };
    let line = match Line::open(&Service::read(), app.vital_signs()) {
        Ok(line) => line,
        Err(cause) => return fail(&cause),
    };
    app.manager().on_drained(|| {
        // This ends the server as Ctrl-C at the keyboard would; it fails only for a signal that does not exist.
        let _ = signal_hook::low_level::raise(SIGINT);
    });
    app.on_lost(|| {
        let _ = signal_hook::low_level::raise(SIGTERM);
    });
    let announcer = match app.announce(print) {
        Ok(announcer) => announcer,
        Err(cause) => return fail(&cause),
    };
    line.ready();
    // This blocks until the first signal.
    let first = signals.forever().next();
    let mode = if app.is_lost() {
        ShutdownMode::Leave
    } else if config.drain || first == Some(SIGINT) {
        ShutdownMode::Drain
    } else {
        ShutdownMode::Leave
    };
    line.close();
    let is_lost = app.is_lost();
    // A terminal that closes may send SIGHUP twice.
    app.stop(mode, || signals.pending().any(|signal| signal != SIGHUP));
    // The announcer has ended with the sessions; a panic of its own would have been logged.
    let _ = announcer.join();
    if is_lost {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The signals that end the server. SIGHUP, which a closed terminal sends, is one of them, unless the server was
/// started with `nohup`.
fn ending_signals() -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let is_ignored = ignored.is_some_and(|mask| mask >> (SIGHUP - 1) & 1 == 1);
    let hang_up = Some(SIGHUP).filter(|_| !is_ignored);
    [SIGINT, SIGTERM].into_iter().chain(hang_up).collect()
}

fn print(line: &str) {
    cli::say(&format!("{line}\n"));
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("shellcraft: {error}");
    ExitCode::FAILURE
}
