//! The server's start-up list, and what its signals mean.
//!
//! SIGTERM leaves the games to the next start: an upgrade is a stop and a start. SIGINT, which is somebody at the
//! keyboard, saves and removes them, and so do a second SIGTERM and `--drain`.

use std::process::ExitCode;

use shellcraft::app::App;
use shellcraft::config::{Config, Stop};
use shellcraft::logging;
use shellcraft::session::Farewell;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A bad setting, as `EX_USAGE` is for most programs.
const BAD_SETTING: u8 = 2;

fn main() -> ExitCode {
    let config = match Config::read(std::env::args_os()) {
        Ok(config) => config,
        Err(Stop::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(Stop::Refuse(line)) => {
            eprintln!("shellcraft: {line}");
            return ExitCode::from(BAD_SETTING);
        }
    };
    logging::start(config.log_level, config.log_format);
    // Before anything is started, so that no signal finds us half up.
    let mut signals = match Signals::new([SIGINT, SIGTERM]) {
        Ok(signals) => signals,
        Err(cause) => return fail(&cause),
    };
    let app = match App::start(&config) {
        Ok(app) => app,
        Err(error) => return fail(&error),
    };
    println!("ShellCraft is ready: http://{}/", app.local_addr());
    // Blocks until the first signal.
    let first = signals.forever().next();
    let farewell = if config.drain || first == Some(SIGINT) {
        Farewell::Drain
    } else {
        Farewell::Leave
    };
    app.stop(farewell, || signals.pending().next().is_some());
    ExitCode::SUCCESS
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("shellcraft: {error}");
    ExitCode::FAILURE
}
