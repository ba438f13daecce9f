//! Undoes the chunked encoding of a body (RFC 9112 7.1), as far as it has come. Pure: bytes in, body out.
//!
//! Strict where readers disagree: lines end in CRLF, and so does each chunk's data. Extensions and trailers are read and
//! thrown away, as the RFC lets a recipient do.

use httparse::Status;

use super::rejection::Rejection;

/// The most bytes of extensions and trailers, all of them together: more than any client sends.
const MOST_ASIDE_BYTES: usize = 8 << 10;
/// The size and the line's end, which each chunk needs.
const SIZE_LINE_BYTES: usize = 18;

const MALFORMED: Rejection = Rejection::Bad("The body's chunks are malformed.");

/// A body that comes in chunks.
pub(super) struct Chunks {
    body: Vec<u8>,
    most: usize,
    aside: usize,
    next: Next,
}

/// What is to come.
enum Next {
    Size,
    /// This many bytes of the chunk's data, and the line's end behind them.
    Data(usize),
    Trailer,
    Nothing,
}

impl Chunks {
    /// A body of which nothing has come yet; more than `most` bytes are refused.
    pub(super) fn new(most: usize) -> Chunks {
        Chunks {
            body: Vec::new(),
            most,
            aside: 0,
            next: Next::Size,
        }
    }

    /// Takes what it understands out of `received`. Returns whether the body is whole; what is left then does not
    /// belong to it.
    ///
    /// # Errors
    /// [`Rejection`], when no more bytes can make a body of it.
    pub(super) fn take(&mut self, received: &mut Vec<u8>) -> Result<bool, Rejection> {
        let mut done = 0;
        let is_whole = loop {
            let rest = &received[done..];
            let taken = match self.next {
                Next::Size => self.take_size(rest)?,
                Next::Data(left) => self.take_data(left, rest)?,
                Next::Trailer => self.take_trailer(rest)?,
                Next::Nothing => break true,
            };
            if taken == 0 {
                break false;
            }
            done += taken;
        };
        // This is done once for all chunks, because there may be one for each byte.
        received.drain(..done);
        Ok(is_whole)
    }

    /// The whole body.
    pub(super) fn into_body(self) -> Vec<u8> {
        self.body
    }

    fn take_size(&mut self, received: &[u8]) -> Result<usize, Rejection> {
        // HTTPARSE: a missing size is taken for 0.
        if received
            .first()
            .is_some_and(|first| !first.is_ascii_hexdigit())
        {
            return Err(MALFORMED);
        }
        let (taken, size) = match httparse::parse_chunk_size(received) {
            Ok(Status::Complete(found)) => found,
            Ok(Status::Partial) => {
                self.check_aside(received.len())?;
                return Ok(0);
            }
            Err(_) => return Err(MALFORMED),
        };
        self.set_aside(taken.saturating_sub(SIZE_LINE_BYTES))?;
        let room = self.most - self.body.len();
        let size = usize::try_from(size).ok().filter(|size| *size <= room);
        self.next = match size.ok_or(Rejection::ChunksTooLong)? {
            0 => Next::Trailer,
            size => Next::Data(size),
        };
        Ok(taken)
    }

    fn take_data(&mut self, left: usize, received: &[u8]) -> Result<usize, Rejection> {
        let here = &received[..left.min(received.len())];
        self.body.extend_from_slice(here);
        let left = left - here.len();
        self.next = Next::Data(left);
        if left > 0 {
            return Ok(here.len());
        }
        match &received[here.len()..] {
            [b'\r', b'\n', ..] => {
                self.next = Next::Size;
                Ok(here.len() + 2)
            }
            [] | [b'\r'] => Ok(here.len()),
            _ => Err(MALFORMED),
        }
    }

    fn take_trailer(&mut self, received: &[u8]) -> Result<usize, Rejection> {
        let Some(end) = received.iter().position(|byte| *byte == b'\n') else {
            self.check_aside(received.len())?;
            return Ok(0);
        };
        match &received[..end] {
            [b'\r'] => self.next = Next::Nothing,
            [.., b'\r'] => self.set_aside(end + 1)?,
            _ => return Err(MALFORMED),
        }
        Ok(end + 1)
    }

    fn set_aside(&mut self, bytes: usize) -> Result<(), Rejection> {
        self.check_aside(bytes)?;
        self.aside += bytes;
        Ok(())
    }

    fn check_aside(&self, more: usize) -> Result<(), Rejection> {
        match self.aside + more <= MOST_ASIDE_BYTES {
            true => Ok(()),
            false => Err(Rejection::Bad(
                "The body's chunk extensions or trailers are too long.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `sent` when it comes in pieces of this size: the body and what is left behind it.
    fn read(sent: &[u8], piece: usize) -> Result<Option<(String, usize)>, Rejection> {
        let (mut chunks, mut received) = (Chunks::new(20), Vec::new());
        let mut is_whole = false;
        for piece in sent.chunks(piece) {
            received.extend_from_slice(piece);
            is_whole = is_whole || chunks.take(&mut received)?;
        }
        let body = String::from_utf8(chunks.into_body()).expect("text");
        Ok(is_whole.then_some((body, received.len())))
    }

    #[track_caller]
    fn check(sent: &str, expected: Result<Option<(&str, usize)>, u16>) {
        for piece in 1..=sent.len() {
            let found = read(sent.as_bytes(), piece).map_err(Rejection::status);
            let expected = expected.map(|some| some.map(|(body, left)| (body.to_owned(), left)));
            assert_eq!(found, expected, "{sent:?} in pieces of {piece}");
        }
    }

    #[test]
    fn whole_bodies() {
        check("0\r\n\r\n", Ok(Some(("", 0))));
        check("5\r\nhello\r\n0\r\n\r\n", Ok(Some(("hello", 0))));
        check(
            "2\r\nhe\r\n003\r\nllo\r\n0\r\n\r\nGET",
            Ok(Some(("hello", 3))),
        );
        check(
            "A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
            Ok(Some(("0123456789", 0))),
        );
        check("1\r\n\r\r\n0\r\nX: y\r\nZ: a\r\n\r\n", Ok(Some(("\r", 0))));
    }

    #[test]
    fn what_is_not_whole_yet() {
        for sent in [
            "5",
            "5\r\nhel",
            "5\r\nhello",
            "5\r\nhello\r\n0\r\n",
            "0\r\nX: y\r\n",
        ] {
            check(sent, Ok(None));
        }
    }

    #[test]
    fn what_is_none() {
        for sent in [
            "\r\n",
            "x\r\n",
            "-5\r\nhello\r\n",
            "+5\r\n",
            "0x5\r\nhello\r\n",
            "5\nhello\n0\n\n",
            "5\r\nhelloo",
            "5\r\nhello\n0\r\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n\n",
            "1000000000000000000\r\n",
        ] {
            check(sent, Err(400));
        }
    }

    #[test]
    fn there_is_an_end_to_each_of_them() {
        check("15\r\n", Err(413));
        check("fffffffffffffff\r\n", Err(413));
        check("14\r\n01234567890123456789\r\n1\r\n", Err(413));
        let long = "x".repeat(MOST_ASIDE_BYTES + 20);
        for sent in [format!("5;{long}"), format!("0\r\nX: {long}")] {
            assert_eq!(
                read(sent.as_bytes(), 100).map_err(Rejection::status),
                Err(400)
            );
        }
        let many = "1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n".repeat(10);
        assert!(read(many.as_bytes(), 100).is_ok());
        let trailers = "0\r\n".to_owned() + &"X: y\r\n".repeat(MOST_ASIDE_BYTES / 6 + 1);
        assert_eq!(
            read(trailers.as_bytes(), 100).map_err(Rejection::status),
            Err(400)
        );
    }
}
