//! Writes log lines to standard error, as text or as JSON. Each event is one line, and so is each panic.
//!
//! Text that a terminal wrote or a stranger sent can't forge a line: it is made harmless where the line is made
//! ([`escape`]). A line names the request and the session that it is about ([`fields`]). Warnings that strangers can
//! cause come once a minute ([`log_throttle`]), and panics that they can cause have no line of their own ([`caught`]).
//! Tokens, cookies, tickets, a request's query and keystrokes are never logged. A session's id is never logged either,
//! wherever the line got it from: the line has the session's short name instead ([`names`]). [`metrics`] has the
//! counters of logging.

pub mod caught;
pub mod escape;
pub mod fields;
pub mod log_throttle;
pub mod metrics;
pub mod names;

use std::io::{LineWriter, Stderr, Write};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use clap::ValueEnum;
use log::{LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, WriteLogger};

use crate::threads::Kind;
pub use fields::{Entered, Field, enter};
pub use log_throttle::LogThrottle;
pub use metrics::Metrics;

/// Panics of threads whose panics no other counter counts.
static OTHER_PANICS: AtomicU64 = AtomicU64::new(0);
/// Lines that could not be written. This counter is the only place that shows that standard error is gone, or its disk
/// full.
static LOST_LINES: AtomicU64 = AtomicU64::new(0);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging. Only the first call in a process has an effect.
pub fn start(level: LevelFilter, format: LogFormat) {
    let logger: Box<dyn Log> = match format {
        LogFormat::Text => Box::new(Text::new(level)),
        LogFormat::Json => Box::new(Json),
    };
    // A second start in one process, as tests do: the first one's choice stays.
    if log::set_boxed_logger(logger).is_ok() {
        log::set_max_level(level);
        std::panic::set_hook(Box::new(note_panic));
    }
}

/// How many threads panicked, among those whose panics no other counter counts.
pub fn other_panics() -> u64 {
    OTHER_PANICS.load(Ordering::Relaxed)
}

/// How many lines could not be written to standard error.
pub fn lost_lines() -> u64 {
    LOST_LINES.load(Ordering::Relaxed)
}

/// Logs a panic as one line; Rust's own message would take several lines.
fn note_panic(panic: &PanicHookInfo<'_>) {
    if caught::is_looked_for(panic) {
        return;
    }
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    if !Kind::of(name).is_some_and(Kind::counts_its_panics) {
        OTHER_PANICS.fetch_add(1, Ordering::Relaxed);
    }
    // The message may contain what was being sliced or parsed when the thread panicked.
    let told = names::without_secrets(panic.payload_as_str().unwrap_or("(no text)"));
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_default();
    log::error!("the thread {name} panicked at {place}: {told}");
}

/// simplelog's lines: time, level, and what [`sentence`] makes.
struct Text(Box<WriteLogger<LineWriter<Output>>>);

/// Standard error. Lines that it does not take are counted and dropped, because no thread is to wait for its reader.
struct Output(Stderr);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.lock().write_all(bytes).is_err() {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            LOST_LINES.fetch_add(lines as u64, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Text {
    fn new(level: LevelFilter) -> Text {
        let config = ConfigBuilder::new()
            // The time has the same width on every line, like `ts` in JSON, and is in UTC as well.
            .set_time_format_custom(time::macros::format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
            ))
            .set_thread_level(LevelFilter::Off)
            .set_target_level(LevelFilter::Off)
            .set_location_level(LevelFilter::Off)
            // The crates that the server uses log at debug too, which would drown the server's own lines.
            .add_filter_allow_str("shellcraft")
            .build();
        // simplelog writes a line in pieces; the line writer puts it out whole, with one system call.
        Text(WriteLogger::new(
            level,
            config,
            LineWriter::new(Output(std::io::stderr())),
        ))
    }
}

impl Log for Text {
    fn enabled(&self, metadata: &Metadata) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let sentence = sentence(record);
            let mut harmless = Record::builder();
            harmless.metadata(record.metadata().clone());
            self.0
                .log(&harmless.args(format_args!("{sentence}")).build());
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Writes one JSON object per line, which simplelog does not offer.
struct Json;

impl Log for Json {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= log::max_level() && metadata.target().starts_with("shellcraft")
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let line = json_line(SystemTime::now(), record);
            // The write never fails: a line that is not taken is counted.
            let _ = Output(std::io::stderr()).write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// The record's message, made harmless, followed by those of its fields that the message does not show itself.
fn sentence(record: &Record) -> String {
    let said = names::without_ids(&record.args().to_string());
    let (fields, shown) = fields::of(record, &said);
    let mut sentence = escape::for_text(&said);
    for (name, value) in &fields[shown..] {
        let value = match value {
            serde_json::Value::String(text) => escape::for_value(text),
            other => other.to_string(),
        };
        sentence += &format!(" {name}={value}");
    }
    sentence
}

fn json_line(at: SystemTime, record: &Record) -> String {
    let at = humantime::format_rfc3339_millis(at).to_string();
    let said = names::without_ids(&record.args().to_string());
    let (fields, _) = fields::of(record, &said);
    let thread = std::thread::current();
    let mut line = serde_json::Map::new();
    let known = [
        ("ts", at.as_str()),
        ("level", &record.level().as_str().to_lowercase()),
        ("target", record.target()),
        ("thread", thread.name().unwrap_or_default()),
        ("msg", &said),
    ];
    for (name, value) in known {
        line.insert(name.to_owned(), value.into());
    }
    for (name, value) in fields {
        let name = match name.as_str() {
            "request" => "request_id".to_owned(),
            _ => name,
        };
        line.entry(name).or_insert(value);
    }
    escape::for_json(&serde_json::Value::Object(line).to_string()) + "\n"
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    /// What `of` makes of a warning that says this, with a status of its own.
    fn warning(said: &str, of: impl Fn(&Record) -> String) -> String {
        let fields = [("status", 503)];
        let arguments = format_args!("{said}");
        of(&Record::builder()
            .level(Level::Warn)
            .target("shellcraft::door")
            .key_values(&fields)
            .args(arguments)
            .build())
    }

    #[track_caller]
    fn json(said: &str) -> serde_json::Value {
        let line = warning(said, |record| json_line(SystemTime::UNIX_EPOCH, record));
        assert!(
            line.ends_with('\n') && line.matches('\n').count() == 1,
            "{line:?}"
        );
        serde_json::from_str(&line).expect("JSON")
    }

    #[test]
    fn a_sentence_can_t_forge_a_line() {
        let forged = "bad\r\n1970-01-01T00:00:00.000Z INFO  all is well\u{1b}[2J\u{2028}";
        assert_eq!(
            warning(forged, sentence),
            "bad\\u{d}\\u{a}1970-01-01T00:00:00.000Z INFO  all is well\\u{1b}[2J\\u{2028} status=503"
        );
        let value = json("bad\n{\"level\":\"info\"}");
        assert_eq!(
            (&value["level"], &value["ts"], &value["status"]),
            (
                &"warn".into(),
                &"1970-01-01T00:00:00.000Z".into(),
                &503.into()
            )
        );
    }

    #[test]
    fn what_a_thread_works_for_is_in_its_lines() {
        let entered = enter(&[("request", &1), ("peer", &"::1")]);
        let inner = enter(&[("session", &"a")]);
        assert_eq!(
            warning("no", sentence),
            "no status=503 session=a peer=::1 request=1"
        );
        let value = json("container=c session=b is gone");
        assert_eq!(value["session"], "b", "the sentence knows better");
        assert_eq!(
            (&value["request_id"], &value["container"]),
            (&"1".into(), &"c".into())
        );
        assert_eq!(value["msg"], "container=c session=b is gone");
        drop(inner);
        assert_eq!(json("no")["session"], serde_json::Value::Null);
        drop(entered);
        assert_eq!(json("no")["request_id"], serde_json::Value::Null);
    }

    /// Wherever it comes from: our own words, the Engine's, a field.
    #[test]
    fn ids_of_sessions_are_in_no_line() {
        let id = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
        let _entered = enter(&[("request", &id), ("session", &id)]);
        let said = format!("container=c the name /shellcraft-{id} is taken");
        let told = "container=c the name /shellcraft-8f400c25 is taken";
        assert_eq!(
            warning(&said, sentence),
            format!("{told} status=503 session=8f400c25 request={id}")
        );
        let value = json(&said);
        assert_eq!(
            (&value["session"], &value["request_id"], &value["msg"]),
            (&"8f400c25".into(), &id.into(), &told.into())
        );
    }

    #[test]
    fn only_our_own_words_become_fields() {
        let value = json("refused session=evil level=info GET /session=x");
        assert_eq!(
            (&value["session"], &value["level"]),
            (&serde_json::Value::Null, &"warn".into())
        );
        assert_eq!(
            json("session=\"x y\" is odd")["session"],
            serde_json::Value::Null
        );
        assert_eq!(json("status=1 session=a")["status"], 503);
    }
}
