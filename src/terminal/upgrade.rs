//! The opening handshake of a WebSocket (RFC 6455 §4.2): what the client asked for, and the 101 answer.
//!
//! No I/O: headers in, text out.

use tungstenite::handshake::derive_accept_key;

use super::frame::SUBPROTOCOL;

/// A handshake that can be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    accept_key: String,
    /// Whether the page speaks `shellcraft.v1`; raw bytes otherwise.
    pub is_shellcraft_v1: bool,
}

/// Why a handshake was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUpgrade {
    /// Answer 426 with `Sec-WebSocket-Version: 13`.
    #[error("only version 13 of the WebSocket protocol is spoken here")]
    Version,
    /// Answer 400.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
}

impl Upgrade {
    /// Reads the handshake's headers through `header`, which gets lower-case names.
    ///
    /// # Errors
    /// [`BadUpgrade`] for a version or a key that RFC 6455 §4.2.1 forbids.
    pub fn new<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Result<Self, BadUpgrade> {
        if header("sec-websocket-version").map(str::trim) != Some("13") {
            return Err(BadUpgrade::Version);
        }
        let key = header("sec-websocket-key")
            .map(str::trim)
            .unwrap_or_default();
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        if key.len() != 24 || !key.ends_with("==") || !key.bytes().take(22).all(is_base64) {
            return Err(BadUpgrade::Key);
        }
        let offered = header("sec-websocket-protocol").unwrap_or_default();
        Ok(Self {
            accept_key: derive_accept_key(key.as_bytes()),
            is_shellcraft_v1: offered.split(',').any(|name| name.trim() == SUBPROTOCOL),
        })
    }

    /// The answer's head. Extensions are never accepted, so nothing is ever compressed.
    pub fn response_head(&self, request_id: &str) -> String {
        let protocol = if self.is_shellcraft_v1 {
            format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n")
        } else {
            String::new()
        };
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{protocol}X-Request-Id: {request_id}\r\n\r\n",
            self.accept_key
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade(
        version: &'static str,
        key: &'static str,
        protocol: Option<&'static str>,
    ) -> Result<Upgrade, BadUpgrade> {
        Upgrade::new(|name| match name {
            "sec-websocket-version" => Some(version),
            "sec-websocket-key" => Some(key),
            "sec-websocket-protocol" => protocol,
            _ => None,
        })
    }

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn the_example_of_rfc_6455_section_1_3() {
        let head = upgrade("13", KEY, None).expect("valid").response_head("1");
        assert!(
            head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{head}"
        );
        assert!(!head.contains("Sec-WebSocket-Protocol"), "{head}");
    }

    #[test]
    fn the_subprotocol_is_chosen_only_when_offered() {
        for (offered, expected) in [
            (None, false),
            (Some("tty"), false),
            (Some("tty, shellcraft.v1"), true),
        ] {
            let upgrade = upgrade("13", KEY, offered).expect("valid");
            assert_eq!(upgrade.is_shellcraft_v1, expected, "{offered:?}");
            assert_eq!(
                upgrade
                    .response_head("1")
                    .contains("Sec-WebSocket-Protocol: shellcraft.v1"),
                expected
            );
        }
    }

    #[test]
    fn bad_handshakes() {
        assert_eq!(upgrade("8", KEY, None), Err(BadUpgrade::Version));
        for key in [
            "",
            "short==",
            "dGhlIHNhbXBsZSBub25jZQ=\n",
            "dGhlIHNhbXBsZSBub25\r\nZQ==",
            "dGhlIHNhbXBsZSBub25jZQAA",
        ] {
            assert_eq!(upgrade("13", key, None), Err(BadUpgrade::Key), "{key:?}");
        }
    }
}
