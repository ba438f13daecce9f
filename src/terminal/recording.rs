//! A session's output as an asciicast v2 file (<https://docs.asciinema.org/manual/asciicast/v2/>).
//!
//! No I/O and no clock: the hub passes the time in.

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::engine::Size;

/// The most a recording may be: hours of a person's typing, or a few seconds of a flood.
pub const LIMIT_BYTES: usize = 1024 * 1024;

/// A recording that goes on, until it is as long as it may be.
pub struct Recording {
    text: String,
    began: Instant,
    /// The beginning of a character whose end has not come yet.
    unfinished: Vec<u8>,
    is_full: bool,
}

impl Recording {
    /// A recording that begins now, of a terminal of this size.
    pub fn new(size: Size, now: Instant, date: SystemTime) -> Self {
        let date = date
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_secs();
        let header = serde_json::json!({"version": 2, "width": size.cols, "height": size.rows, "timestamp": date});
        Self {
            text: format!("{header}\n"),
            began: now,
            unfinished: Vec::new(),
            is_full: false,
        }
    }

    /// Records what draws the screen that the recording begins with, unless that takes more than half of the room.
    pub fn screen(&mut self, data: &str, now: Instant) {
        // In JSON a control character is up to six bytes.
        let bytes: usize = data
            .chars()
            .map(|c| if c.is_control() { 6 } else { c.len_utf8() })
            .sum();
        if bytes <= LIMIT_BYTES / 2 {
            self.event("o", data, now);
        }
    }

    /// Records output. Returns whether this was the moment at which it became full.
    pub fn output(&mut self, output: &[u8], now: Instant) -> bool {
        let mut bytes = std::mem::take(&mut self.unfinished);
        bytes.extend_from_slice(output);
        let mut text = String::new();
        for chunk in bytes.utf8_chunks() {
            text += chunk.valid();
            match chunk.invalid() {
                [] => {}
                // At the very end it may be the beginning of a character.
                tail if tail.as_ptr_range().end == bytes.as_ptr_range().end
                    && is_beginning(tail) =>
                {
                    self.unfinished = tail.to_vec();
                }
                _ => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        self.event("o", &text, now)
    }

    /// Records a new size. Returns whether this was the moment at which it became full.
    pub fn resize(&mut self, size: Size, now: Instant) -> bool {
        self.event("r", &format!("{}x{}", size.cols, size.rows), now)
    }

    fn event(&mut self, kind: &str, data: &str, now: Instant) -> bool {
        if self.is_full || data.is_empty() {
            return false;
        }
        let at = now.saturating_duration_since(self.began).as_micros() as f64 / 1e6;
        let line = serde_json::json!([at, kind, data]).to_string();
        if self.text.len() + line.len() > LIMIT_BYTES {
            self.is_full = true;
            return true;
        }
        // Writing into a String can't fail.
        let _ = writeln!(self.text, "{line}");
        false
    }

    /// The file so far.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Whether these bytes could still become a character.
fn is_beginning(bytes: &[u8]) -> bool {
    bytes.len() < 4 && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { cols: 80, rows: 24 };

    fn lines(recording: &Recording) -> Vec<serde_json::Value> {
        recording
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    #[test]
    fn header_output_and_sizes() {
        let now = Instant::now();
        let mut recording = Recording::new(SIZE, now, UNIX_EPOCH + Duration::from_secs(7));
        recording.output(b"hi\r\n\x1b[1m", now + Duration::from_millis(1500));
        recording.resize(
            Size {
                cols: 100,
                rows: 30,
            },
            now + Duration::from_secs(2),
        );
        assert_eq!(
            lines(&recording),
            [
                serde_json::json!({"version": 2, "width": 80, "height": 24, "timestamp": 7}),
                serde_json::json!([1.5, "o", "hi\r\n\u{1b}[1m"]),
                serde_json::json!([2.0, "r", "100x30"]),
            ]
        );
    }

    /// A character may come in pieces; what is no character becomes U+FFFD.
    #[test]
    fn characters_in_pieces() {
        let text = "✦ ~ $ 世界".as_bytes();
        for cut in 0..text.len() {
            let now = Instant::now();
            let mut recording = Recording::new(SIZE, now, UNIX_EPOCH);
            recording.output(&text[..cut], now);
            recording.output(&text[cut..], now);
            let joined: String = lines(&recording)[1..]
                .iter()
                .filter_map(|line| line[2].as_str())
                .collect();
            assert_eq!(joined.as_bytes(), text, "cut at {cut}");
        }
        let mut recording = Recording::new(SIZE, Instant::now(), UNIX_EPOCH);
        recording.output(b"a\xffb\xe2", Instant::now());
        recording.output(b"c", Instant::now());
        let joined: String = lines(&recording)[1..]
            .iter()
            .filter_map(|line| line[2].as_str())
            .collect();
        assert_eq!(joined, "a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn it_ends_when_it_is_full_and_says_so_once() {
        let mut recording = Recording::new(SIZE, Instant::now(), UNIX_EPOCH);
        let chunk = [b'x'; 60_000];
        let full = (0..200)
            .filter(|_| recording.output(&chunk, Instant::now()))
            .count();
        assert_eq!(full, 1);
        assert!(recording.text().len() <= LIMIT_BYTES);
        lines(&recording);
    }
}
