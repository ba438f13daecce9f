//! The door's own answers: what a stranger hears who never reaches the service. One table, all JSON.

use std::sync::atomic::AtomicU64;

use super::message::Response;
use super::slots::NoSlot;
use super::stats::Stats;

/// Why a request gets no further than the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejection {
    /// It is no HTTP/1 request, or two readers could take it for two different ones. Says what is wrong.
    Bad(&'static str),
    /// Head or body took too long.
    TooSlow,
    /// A body in an encoding that the door can't undo.
    UnknownEncoding,
    /// A body in chunks that is larger than one of unknown length may be.
    ChunksTooLong,
    /// A declared body above every limit.
    BodyTooLong,
    /// An expectation other than `100-continue`.
    ExpectationFailed,
    /// Too many bytes or too many lines in the head.
    HeadTooLong,
    /// HTTP, but not 1.0 or 1.1.
    Version,
    /// Too many connections in all.
    TooMany,
    /// Too many connections from this address.
    TooManyOfYours,
    /// Too many requests in flight for too long.
    Busy,
    /// tiny_http gave no answer at all.
    Lost,
    /// The service did not answer in time.
    NoAnswer,
}

impl Rejection {
    /// Status, code and message, as the client gets them.
    fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Rejection::Bad(what) => (400, "bad_request", what),
            Rejection::TooSlow => (
                408,
                "request_timeout",
                "The request took too long to arrive.",
            ),
            Rejection::UnknownEncoding => (
                501,
                "encoding_unknown",
                "The only Transfer-Encoding that is understood is chunked.",
            ),
            Rejection::ChunksTooLong => (
                413,
                "content_too_large",
                "A body in chunks may have 64 KiB; send a larger one with a Content-Length.",
            ),
            Rejection::BodyTooLong => (
                413,
                "content_too_large",
                "The body is larger than this server takes.",
            ),
            Rejection::ExpectationFailed => (
                417,
                "expectation_failed",
                "Only the expectation 100-continue is understood.",
            ),
            Rejection::HeadTooLong => (
                431,
                "headers_too_large",
                "The request's headers are too many or too long.",
            ),
            Rejection::Version => (505, "version_not_supported", "Speak HTTP/1.1 or HTTP/1.0."),
            Rejection::TooMany => (
                503,
                "too_many_connections",
                "Too many connections are open; try again soon.",
            ),
            Rejection::TooManyOfYours => (
                429,
                "too_many_connections",
                "Too many connections from your address are open; close one or try again soon.",
            ),
            Rejection::Busy => (503, "busy", "The server is busy; try again soon."),
            Rejection::Lost => (
                503,
                "unavailable",
                "The server lost this request; try again.",
            ),
            Rejection::NoAnswer => (504, "no_answer", "The server took too long to answer."),
        }
    }

    /// Where it is counted.
    pub(super) fn counter(self, stats: &Stats) -> &AtomicU64 {
        match self {
            Rejection::TooSlow => &stats.client_timeouts,
            Rejection::Busy => &stats.refused_busy,
            Rejection::TooMany => &stats.refused_connections,
            Rejection::TooManyOfYours => &stats.refused_per_address,
            Rejection::Lost => &stats.lost_requests,
            Rejection::NoAnswer => &stats.answer_timeouts,
            _ => &stats.bad_requests,
        }
    }

    pub(super) fn status(self) -> u16 {
        self.parts().0
    }

    /// One word for the log.
    pub(super) fn code(self) -> &'static str {
        self.parts().1
    }

    /// The answer itself.
    pub(super) fn response(self) -> Response {
        let (status, code, message) = self.parts();
        let mut response = Response::error(status, code, message);
        if matches!(status, 429 | 503) {
            response.headers.push(("Retry-After", "1".to_owned()));
        }
        response
    }
}

impl From<NoSlot> for Rejection {
    fn from(no_slot: NoSlot) -> Rejection {
        match no_slot {
            NoSlot::HouseholdFull => Rejection::TooManyOfYours,
            NoSlot::Full | NoSlot::Closed => Rejection::TooMany,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_try_again_is_told_when() {
        let response = Rejection::Busy.response();
        assert_eq!(response.status, 503);
        assert!(response.headers.contains(&("Retry-After", "1".to_owned())));
        assert_eq!(
            response.body.as_ref(),
            br#"{"error":{"code":"busy","message":"The server is busy; try again soon."}}"#
        );
        assert!(
            !Rejection::TooSlow
                .response()
                .headers
                .iter()
                .any(|(name, _)| *name == "Retry-After")
        );
    }
}
