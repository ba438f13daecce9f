//! The wire language of `shellcraft.v1`: what the text messages between page and server mean.
//!
//! Data in, data out; `static/src/net/frames.ts` is its mirror. Terminal bytes are binary messages and need
//! no coding. In raw mode (no subprotocol) nothing of this is ever sent.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use super::notice::{Kind, Level, Notice};
use crate::engine::Size;

/// The subprotocol's name in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "shellcraft.v1";

/// The largest terminal side that is believed. DOCKER: the Engine takes any number and wraps it.
pub const MAX_SIDE: u16 = 1000;
/// The most cells a terminal may have, which is what the server keeps of its screens (8 bytes each): more than there are
/// on a display of 5120 by 2880 dots in letters of the usual size.
pub const MAX_CELLS: u32 = 100_000;

/// A control message from the page.
#[derive(Debug, Clone, PartialEq)]
pub enum FromPage {
    /// The terminal in the page has this size now.
    Resize(Size),
    /// The terminal has drawn the output up to this absolute offset.
    Ack(u64),
    /// The server answers with a pong that carries the same number.
    Ping(serde_json::Number),
    /// The player is there, and has nothing to type.
    Stay,
}

/// Why a control message was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Not JSON, not an object, or a field is missing or of the wrong type. The page is broken: close.
    #[error("control message refused: {0}")]
    Malformed(String),
    /// A size that no terminal has. The page may go on.
    #[error("resize refused: cols and rows must be 1 to {MAX_SIDE}, and {MAX_CELLS} cells at most")]
    BadSize,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Wire {
    Resize { cols: u64, rows: u64 },
    Ack { offset: u64 },
    Ping { t: serde_json::Number },
    Stay,
}

/// Reads one text message.
///
/// # Errors
/// [`BadFrame`]; its `Display` is fit for the sender.
pub fn parse(text: &str) -> Result<FromPage, BadFrame> {
    // serde's messages quote a little of the input, which a stranger wrote, so the answer has only the server's own
    // words.
    let wire = serde_json::from_str(text).map_err(|cause| match cause.classify() {
        serde_json::error::Category::Data => {
            BadFrame::Malformed("unknown type, or a field is missing or wrong".into())
        }
        _ => BadFrame::Malformed("not JSON".into()),
    })?;
    match wire {
        Wire::Resize { cols, rows } => checked_size(cols, rows).map(FromPage::Resize),
        Wire::Ack { offset } => Ok(FromPage::Ack(offset)),
        Wire::Ping { t } => Ok(FromPage::Ping(t)),
        Wire::Stay => Ok(FromPage::Stay),
    }
}

fn checked_size(cols: u64, rows: u64) -> Result<Size, BadFrame> {
    let side = |cells: u64| {
        u16::try_from(cells)
            .ok()
            .filter(|cells| (1..=MAX_SIDE).contains(cells))
            .ok_or(BadFrame::BadSize)
    };
    let size = Size {
        cols: side(cols)?,
        rows: side(rows)?,
    };
    match is_size(size) {
        true => Ok(size),
        false => Err(BadFrame::BadSize),
    }
}

/// Whether a terminal may have this size.
pub fn is_size(size: Size) -> bool {
    let sides = 1..=MAX_SIDE;
    sides.contains(&size.cols)
        && sides.contains(&size.rows)
        && u32::from(size.cols) * u32::from(size.rows) <= MAX_CELLS
}

/// Who a viewer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Types, resizes, and holds the program back when it lags.
    Player,
    /// Only watches; skips ahead when it lags.
    Spectator,
}

impl Notice {
    /// [`BadFrame::BadSize`].
    pub fn bad_size() -> Self {
        Self::new(Kind::BadSize, Level::Error, BadFrame::BadSize.to_string())
    }
}

/// A control message to the page.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ToPage {
    /// The first message, sent again when output had to be skipped.
    Hello {
        /// The session.
        session_id: Uuid,
        /// Absolute offset of the first byte that follows.
        offset: u64,
        /// The offset that the output has reached: what lies before it is history.
        head: u64,
        /// For the player: the offset up to which a player's page has drawn the output before. The program's questions
        /// after it are still to be answered.
        #[serde(skip_serializing_if = "Option::is_none")]
        answered: Option<u64>,
        /// What this viewer may do.
        role: Role,
        /// Whether the page must clear its screen: what follows does not continue what it had.
        replay: bool,
        /// How many bytes of the keys of this page (`client`) are settled: delivered, or reported as not
        /// delivered.
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<u64>,
    },
    /// After a hello with `replay`: draw this first. It is not part of the output and has no offsets.
    Screen {
        /// The columns it is meant for.
        cols: u16,
        /// The rows it is meant for.
        rows: u16,
        /// Text and escape sequences.
        data: String,
    },
    /// Answer to a ping.
    Pong {
        /// The same number as in the ping.
        t: serde_json::Number,
        /// The same number as in the hello.
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<u64>,
    },
    /// Before the close frame: the last count of a page's keys, which the next server does not know.
    Keys {
        /// The same number as in the hello.
        input: u64,
    },
    /// A sentence for the player.
    Notice(Notice),
    /// For the player: the number of spectators.
    Spectators {
        /// How many.
        count: usize,
    },
    /// To spectators: the player's terminal has this size.
    Size(Size),
    /// The shell has ended; the close follows.
    Exit {
        /// The exit code, where it is known.
        code: Option<i64>,
        /// `exited`, `killed`, `out_of_memory`…
        reason: String,
    },
}

impl ToPage {
    /// The message's text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("these types hold nothing that JSON can't say")
    }
}

/// Why the server closes a WebSocket: the close codes of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The shell has ended.
    ShellEnded,
    /// The server is going away; reconnect.
    GoingAway,
    /// A frame against the protocol (RFC 6455 §7.4.1).
    ProtocolError,
    /// A text message that is not UTF-8 (RFC 6455 §7.4.1).
    NotUtf8,
    /// A control message that makes no sense.
    NotAllowed,
    /// The viewer has logged out, or its login has run out.
    LoggedOut,
    /// More input than a client may send, for too long.
    TooMuch,
    /// A message above the size limit.
    TooBig,
    /// The Engine failed.
    EngineFailed,
    /// Another tab of the player took over.
    TakenOver,
    /// The player typed nothing for too long.
    Idle,
    /// The session was destroyed.
    Destroyed,
    /// The player goes on with another game in this one's place.
    Moved,
}

impl Close {
    /// All of them, for metrics.
    pub const ALL: [Close; 13] = [
        Close::ShellEnded,
        Close::GoingAway,
        Close::ProtocolError,
        Close::NotUtf8,
        Close::NotAllowed,
        Close::LoggedOut,
        Close::TooMuch,
        Close::TooBig,
        Close::EngineFailed,
        Close::TakenOver,
        Close::Idle,
        Close::Destroyed,
        Close::Moved,
    ];

    /// The code of the close frame (RFC 6455 §7.4; 4000 and above are ShellCraft's own).
    pub fn code(self) -> u16 {
        match self {
            Close::ShellEnded => 1000,
            Close::GoingAway => 1001,
            Close::ProtocolError => 1002,
            Close::NotUtf8 => 1007,
            Close::NotAllowed | Close::LoggedOut | Close::TooMuch => 1008,
            Close::TooBig => 1009,
            Close::EngineFailed => 1011,
            Close::TakenOver => 4000,
            Close::Idle => 4001,
            Close::Destroyed => 4002,
            Close::Moved => 4003,
        }
    }

    /// The reason in the close frame, at most 123 bytes.
    pub fn reason(self) -> &'static str {
        match self {
            Close::ShellEnded => "the shell has ended",
            Close::GoingAway => "the server is going away, reconnect",
            Close::ProtocolError => "protocol error",
            Close::NotUtf8 => "a text message must be UTF-8",
            Close::NotAllowed => "control message not understood",
            Close::LoggedOut => "You have logged out, or your login has ended.",
            Close::TooMuch => "too much input for too long",
            Close::TooBig => "message too big",
            Close::EngineFailed => "the game's engine failed",
            Close::TakenOver => "taken over by another tab",
            Close::Idle => "nobody typed for too long",
            Close::Destroyed => "the session was ended",
            Close::Moved => "the game goes on elsewhere",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(format!("{:?}", parse(text)), expected);
    }

    #[test]
    fn resize_is_bounded() {
        check(
            r#"{"type":"resize","cols":80,"rows":24}"#,
            "Ok(Resize(Size { cols: 80, rows: 24 }))",
        );
        check(
            r#"{"type":"resize","cols":1000,"rows":100}"#,
            "Ok(Resize(Size { cols: 1000, rows: 100 }))",
        );
        check(
            r#"{"type":"resize","cols":1000,"rows":101}"#,
            "Err(BadSize)",
        );
        check(r#"{"type":"resize","cols":0,"rows":24}"#, "Err(BadSize)");
        check(
            r#"{"type":"resize","cols":80,"rows":100000}"#,
            "Err(BadSize)",
        );
        check(
            r#"{"type":"resize","cols":65616,"rows":24}"#,
            "Err(BadSize)",
        );
    }

    #[test]
    fn ack_ping_and_stay() {
        check(r#"{"type":"stay"}"#, "Ok(Stay)");
        check(
            r#"{"type":"ack","offset":18446744073709551615}"#,
            "Ok(Ack(18446744073709551615))",
        );
        check(r#"{"type":"ping","t":12.5}"#, "Ok(Ping(Number(12.5)))");
    }

    #[test]
    fn nonsense_is_named() {
        let data = r#"Err(Malformed("unknown type, or a field is missing or wrong"))"#;
        let syntax = r#"Err(Malformed("not JSON"))"#;
        for (text, expected) in [
            ("hello", syntax),
            ("", syntax),
            ("{", syntax),
            ("[]", data),
            ("{}", data),
            ("7", data),
            (r#"{"type":"exec"}"#, data),
            (r#"{"type":"resize","cols":80}"#, data),
            (r#"{"type":"resize","cols":-1,"rows":24}"#, data),
            (r#"{"type":"resize","cols":"80","rows":24}"#, data),
            (r#"{"type":"ack","offset":1.5}"#, data),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn messages_to_the_page_are_as_in_the_contract() {
        let (session_id, role) = (Uuid::nil(), Role::Player);
        let hello = ToPage::Hello {
            session_id,
            offset: 7,
            head: 9,
            answered: None,
            role,
            replay: false,
            input: None,
        };
        assert_eq!(
            hello.to_json(),
            r#"{"type":"hello","session_id":"00000000-0000-0000-0000-000000000000","offset":7,"head":9,"role":"player","replay":false}"#
        );
        let size = ToPage::Size(Size { cols: 80, rows: 24 });
        assert_eq!(size.to_json(), r#"{"type":"size","cols":80,"rows":24}"#);
        let exit = ToPage::Exit {
            code: Some(3),
            reason: "exited".into(),
        };
        assert_eq!(
            exit.to_json(),
            r#"{"type":"exit","code":3,"reason":"exited"}"#
        );
        for (notice, expected) in [
            (
                Notice::engine_back(),
                r#"{"type":"notice","kind":"engine_back","level":"info","text":"The game's engine answers again."}"#,
            ),
            (
                Notice::idle_warning(9),
                r#"{"type":"notice","kind":"idle_warning","level":"warning","text":"This game ends in 9 s unless you press a key.","ends_in":9}"#,
            ),
        ] {
            assert_eq!(ToPage::Notice(notice).to_json(), expected);
        }
    }
}
