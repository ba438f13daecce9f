//! Log lines to standard error, as text or as JSON; one event each.
//!
//! What a terminal wrote or a stranger sent can't forge a line: control characters in a message are escaped
//! where the line is made.

use std::fmt::Write as _;
use std::io::{Stderr, Write as _};
use std::time::SystemTime;

use log::{LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, WriteLogger};

use crate::config::LogFormat;

/// Starts logging. Only the first call in a process has an effect.
pub fn start(level: LevelFilter, format: LogFormat) {
    let started = match format {
        LogFormat::Text => {
            let config = ConfigBuilder::new()
                .set_time_format_rfc3339()
                .set_thread_level(LevelFilter::Error)
                .set_target_level(LevelFilter::Off)
                .set_location_level(LevelFilter::Off)
                // The crates below us log at debug too, which would drown our own lines.
                .add_filter_allow_str("shellcraft")
                .build();
            log::set_max_level(level);
            log::set_boxed_logger(Box::new(Escaping(WriteLogger::new(
                level,
                config,
                std::io::stderr(),
            ))))
        }
        LogFormat::Json => {
            log::set_max_level(level);
            log::set_boxed_logger(Box::new(Json))
        }
    };
    // A second start in one process, as tests do: the first one's choice stays.
    let _ = started;
}

/// Escapes each message before simplelog writes its line.
struct Escaping(Box<WriteLogger<Stderr>>);

impl Log for Escaping {
    fn enabled(&self, metadata: &Metadata) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let message = escape(&record.args().to_string());
            let mut escaped = Record::builder();
            escaped.metadata(record.metadata().clone());
            self.0.log(&escaped.args(format_args!("{message}")).build());
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

fn escape(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for character in message.chars() {
        if character.is_control() {
            out.extend(character.escape_unicode())
        } else {
            out.push(character)
        }
    }
    out
}

struct Json;

impl Log for Json {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= log::max_level() && metadata.target().starts_with("shellcraft")
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let line = json_line(
                SystemTime::now(),
                record.level().as_str(),
                record.target(),
                &record.args().to_string(),
            );
            // There is nowhere to say that standard error is gone.
            let _ = std::io::stderr().lock().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

fn json_line(at: SystemTime, level: &str, target: &str, message: &str) -> String {
    let thread = std::thread::current();
    let value = serde_json::json!({
        "time": humantime::format_rfc3339_millis(at).to_string(),
        "level": level.to_lowercase(),
        "target": target,
        "thread": thread.name().unwrap_or_default(),
        "message": message,
    });
    let mut line = String::new();
    // Writing into a String can't fail.
    let _ = writeln!(line, "{value}");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_can_t_forge_a_line() {
        assert_eq!(
            escape("bad\nINFO all is well\u{1b}[2J é"),
            "bad\\u{a}INFO all is well\\u{1b}[2J é"
        );
        let line = json_line(
            SystemTime::UNIX_EPOCH,
            "WARN",
            "door",
            "bad\n{\"level\":\"info\"}",
        );
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(
            (&value["level"], &value["time"]),
            (&"warn".into(), &"1970-01-01T00:00:00.000Z".into())
        );
    }
}
