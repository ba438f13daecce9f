//! Secrets: made from the system's randomness, compared in constant time.

use ring::digest::{SHA256, digest as digest_of};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// A secret that no one can guess: 244 random bits in 64 hexadecimal digits.
pub fn new_token() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// What is stored of a secret: its SHA-256 in hexadecimal digits (FIPS 180-4). Secrets of 244 random bits need no salt and
/// no slow hash.
pub fn digest(secret: &str) -> String {
    digest_bytes(secret.as_bytes())
}

/// The SHA-256 of any bytes, in hexadecimal digits.
pub fn digest_bytes(bytes: &[u8]) -> String {
    to_hex(digest_of(&SHA256, bytes).as_ref())
}

/// Hexadecimal digits, two for each byte.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let text = String::with_capacity(bytes.len() * 2);
    bytes
        .iter()
        .fold(text, |text, byte| text + &format!("{byte:02x}"))
}

/// The reverse of [`to_hex`].
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    bytes.collect()
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub fn is_same_secret(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}

/// The token in an `Authorization: Bearer …` header (RFC 6750 §2.1).
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_compare() {
        let (one, two) = (new_token(), new_token());
        assert_eq!(one.len(), 64);
        assert!(is_same_secret(&one, &one.clone()));
        assert!(!is_same_secret(&one, &two));
        assert!(!is_same_secret("", &one));
    }

    /// The secrets are so long that a comparison which stops at the first difference would be a thousand times faster.
    #[test]
    fn a_comparison_s_time_does_not_tell_where_the_difference_is() {
        let secret = "x".repeat(64 * 1024);
        let (early, late) = (format!("y{}", &secret[1..]), format!("{}y", &secret[1..]));
        let time = |given: &str| {
            let began = std::time::Instant::now();
            assert!(!is_same_secret(std::hint::black_box(given), &secret));
            began.elapsed()
        };
        // Both are measured in turns, and the shortest of each counts: anything else the machine does only makes some of
        // them longer.
        let times = (0..100).map(|_| (time(&early), time(&late)));
        let (early, late): (Vec<_>, Vec<_>) = times.unzip();
        let (early, late) = (early.iter().min(), late.iter().min());
        assert!(early.unwrap().as_secs_f64() > late.unwrap().as_secs_f64() / 4.0);
    }

    #[test]
    fn digests_are_sha_256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(""), empty);
    }

    #[test]
    fn bearer_header() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
    }
}
