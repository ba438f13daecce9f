//! One version of a book, as it lies in Redis: a line of JSON, and then the book's bytes.
//!
//! No threads of its own.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::session::sandbox::BOOK_LIMIT_BYTES;
use crate::session::store::{Book, checksum, ms_of, time_of};

/// The line before a book's bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BookHead {
    pub(super) saved_at_ms: u64,
    pub(super) sha256: String,
}

/// The line for a book with that SHA-256 which is saved now.
pub(super) fn head_line(sha256: &str, now: SystemTime) -> String {
    let head = BookHead {
        saved_at_ms: ms_of(now),
        sha256: sha256.to_owned(),
    };
    // A number and a string can always be written as JSON.
    format!("{}\n", serde_json::to_string(&head).unwrap_or_default())
}

/// The book in a version, if it is whole.
pub(super) fn whole(version: &[u8]) -> Option<Book> {
    let end = version.iter().position(|byte| *byte == b'\n')?;
    let head: BookHead = serde_json::from_slice(&version[..end]).ok()?;
    let bytes = &version[end + 1..];
    let is_whole = bytes.len() as u64 <= BOOK_LIMIT_BYTES && head.sha256 == checksum(bytes);
    let saved_at = time_of(head.saved_at_ms)?;
    is_whole.then(|| Book {
        bytes: bytes.to_vec(),
        saved_at,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_version_is_read_as_it_is_written() {
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        for bytes in [&b""[..], b"\n", b"a\nb", &[0, 255, 10]] {
            let mut version = head_line(&checksum(bytes), now).into_bytes();
            version.extend_from_slice(bytes);
            let book = whole(&version).unwrap();
            assert_eq!((book.bytes.as_slice(), book.saved_at), (bytes, now));
            for length in 0..version.len() {
                assert_eq!(whole(&version[..length]), None, "{length}");
            }
            version.push(b'x');
            assert_eq!(whole(&version), None);
        }
    }
}
