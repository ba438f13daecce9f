//! Public keys from an address (JWKS, RFC 7517). They are fetched when they are needed: the first time, when they are ten
//! minutes old, and when a token names a key that is not among them, which is how keys are changed.
//!
//! No thread of its own: a thread that needs the keys fetches them, one at a time, and at most every few seconds; others
//! go on with the keys that are there. So an address that is slow or unreachable holds up one request now and then, and
//! keys that were fetched once stay good for a day without it.

use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use log::warn;
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{self, PemItem, RootCerts, TlsConfig};

use super::error::Refusal;
use super::key::Key;
use crate::locks::{Mutex, rank};

/// Keys of this age are fetched again.
const FRESH_FOR: Duration = Duration::from_secs(600);
/// Keys of this age are no longer accepted, when the address could not be reached for so long.
const GOOD_FOR: Duration = Duration::from_secs(24 * 3600);
/// The pause between two fetches, whichever request asks for whichever key.
const PAUSE: Duration = Duration::from_secs(60);
/// The pause after a fetch that failed.
const RETRY: Duration = Duration::from_secs(10);
/// A fetch takes at most this long.
const DEADLINE: Duration = Duration::from_secs(5);
/// A set of keys has at most this many bytes.
const LIMIT_BYTES: u64 = 256 * 1024;
/// The most keys of a set that are looked at.
const KEYS: usize = 64;

/// The authorities that may vouch for an address.
#[derive(Debug, Clone)]
pub struct Authorities(RootCerts);

impl Authorities {
    /// The authorities in a file with certificates in PEM; none if there is none in it.
    pub fn of_pem(pem: &[u8]) -> Option<Authorities> {
        let items: Result<Vec<_>, _> = tls::parse_pem(pem).collect();
        let certificates = items.ok()?.into_iter().filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        });
        let certificates: Vec<_> = certificates.collect();
        (!certificates.is_empty()).then(|| Authorities(certificates.into()))
    }
}

/// A set of keys at an address.
pub struct Jwks {
    url: String,
    agent: Agent,
    /// The pause between two fetches; a constant except in tests.
    pause: Duration,
    /// Guards nothing else. Held for look-ups and changes only.
    cache: Mutex<Cache>,
    /// Held by the thread that fetches, over the whole exchange; no other thread waits for it.
    fetching: Mutex<(), rank::Turn>,
}

#[derive(Default)]
struct Cache {
    keys: Vec<Named>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

#[derive(Clone)]
pub(super) struct Named {
    kid: Option<String>,
    key: Key,
}

impl Jwks {
    /// The keys at `url`; nothing is fetched yet. Without `authorities`, those that browsers trust vouch for the address.
    pub fn new(url: &str, authorities: Option<Authorities>) -> Jwks {
        let roots = authorities.map_or(RootCerts::WebPki, |Authorities(roots)| roots);
        let config = Agent::config_builder()
            .timeout_global(Some(DEADLINE))
            .max_redirects(0)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            // The environment is read in one place, which is not here.
            .proxy(None)
            .build();
        Jwks {
            url: url.to_owned(),
            agent: config.into(),
            pause: PAUSE,
            cache: Mutex::default(),
            fetching: Mutex::new(()),
        }
    }

    /// Changes the pause between two fetches.
    pub fn with_pause(self, pause: Duration) -> Jwks {
        Jwks { pause, ..self }
    }

    /// The key with the name `kid` for `algorithm`.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`], [`Refusal::KeysAway`].
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Key, Refusal> {
        let now = Instant::now();
        let is_old = self.age(now).is_none_or(|age| age >= FRESH_FOR);
        let mut is_under_way = is_old && self.fetch_if_due(now);
        if let Some(key) = self.known(kid, algorithm) {
            return self.if_good(key);
        }
        if !is_old {
            is_under_way = self.fetch_if_due(now);
        }
        match self.known(kid, algorithm) {
            Some(key) => self.if_good(key),
            // The key may be among those that come in a moment.
            None if is_under_way => Err(Refusal::KeysAway),
            None if self.age(Instant::now()).is_none() => Err(Refusal::KeysAway),
            None => Err(Refusal::UnknownKey),
        }
    }

    fn age(&self, now: Instant) -> Option<Duration> {
        let fetched = self.cache.lock().fetched?;
        Some(now.saturating_duration_since(fetched))
    }

    fn if_good(&self, key: Key) -> Result<Key, Refusal> {
        let age = self.age(Instant::now());
        if age.is_some_and(|age| age < GOOD_FOR) {
            Ok(key)
        } else {
            Err(Refusal::KeysAway)
        }
    }

    /// The key, if it is there. A token that names no key must be signed by the only one of its algorithm.
    fn known(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Key> {
        let cache = self.cache.lock();
        let fitting = |named: &&Named| named.key.algorithm == algorithm;
        let mut keys = cache.keys.iter().filter(fitting);
        let found = match kid {
            Some(kid) => keys.find(|named| named.kid.as_deref() == Some(kid)),
            None => keys.next().filter(|_| keys.next().is_none()),
        };
        found.map(|named| named.key.clone())
    }

    /// Fetches the keys, unless it is too soon. Returns whether another thread is fetching them, which is not waited for.
    fn fetch_if_due(&self, now: Instant) -> bool {
        let Some(_fetching) = self.fetching.try_lock() else {
            return true;
        };
        let (tried, fetched) = {
            let cache = self.cache.lock();
            (cache.tried, cache.fetched)
        };
        let pause = match fetched >= tried {
            true => self.pause,
            false => self.pause.min(RETRY),
        };
        if tried.is_some_and(|tried| now.saturating_duration_since(tried) < pause) {
            return false;
        }
        self.cache.lock().tried = Some(now);
        match self.fetch() {
            Ok(keys) => {
                let mut cache = self.cache.lock();
                cache.keys = keys;
                cache.fetched = Some(Instant::now());
            }
            Err(cause) => warn!("no keys from JWT_JWKS_URL: {cause}"),
        }
        false
    }

    /// The error's text, without the address, which may have a password in it.
    fn shown(&self, error: &ureq::Error) -> String {
        error.to_string().replace(&self.url, "(the address)")
    }

    fn fetch(&self) -> Result<Vec<Named>, String> {
        let mut answer = self
            .agent
            .get(&self.url)
            .header("Accept", "application/json")
            .call()
            .map_err(|error| self.shown(&error))?;
        if answer.status() != 200 {
            return Err(format!("status {}", answer.status()));
        }
        let body = answer.body_mut().with_config().limit(LIMIT_BYTES);
        let text = body.read_to_string().map_err(|error| self.shown(&error))?;
        let keys = parse(&text).ok_or("it is no set of keys")?;
        if keys.is_empty() {
            return Err("none of its keys is for RS256, ES256 or EdDSA signatures".into());
        }
        Ok(keys)
    }
}

/// The keys of a set that can be used here. The others are meant for other services.
pub(super) fn parse(text: &str) -> Option<Vec<Named>> {
    let set: Value = serde_json::from_str(text).ok()?;
    let keys = set.get("keys")?.as_array()?.iter().take(KEYS);
    Some(keys.filter_map(named).collect())
}

fn named(value: &Value) -> Option<Named> {
    // A key of an unknown kind must not spoil the others.
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = match (&jwk.algorithm, common.key_algorithm) {
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
        (AlgorithmParameters::OctetKeyPair(pair), None | Some(KeyAlgorithm::EdDSA))
            if pair.curve == EllipticCurve::Ed25519 =>
        {
            Algorithm::EdDSA
        }
        (AlgorithmParameters::EllipticCurve(point), None | Some(KeyAlgorithm::ES256))
            if point.curve == EllipticCurve::P256 =>
        {
            Algorithm::ES256
        }
        // INVARIANT: never a symmetric key; anyone who can read the address could sign with it.
        _ => return None,
    };
    Some(Named {
        kid: common.key_id.clone(),
        key: Key::of_public(algorithm, DecodingKey::from_jwk(&jwk).ok()?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    /// The example from RFC 7515 §A.3.1.
    const EC: &str = r#"{"kty":"EC","crv":"P-256","kid":"e","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

    /// The algorithms and names of the keys in this list.
    fn read(keys: &[&str]) -> Vec<String> {
        let found = parse(&format!("{{\"keys\":[{}]}}", keys.join(","))).expect("a set");
        let told = found.iter().map(|named| {
            let kid = named.kid.as_deref().unwrap_or("-");
            format!("{:?} {kid}", named.key.algorithm)
        });
        told.collect()
    }

    #[test]
    fn keys_for_something_else_are_left_alone() {
        let rsa = r#"{"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB"}"#;
        assert_eq!(read(&[ED, rsa, EC]), ["EdDSA ed", "RS256 r", "ES256 e"]);
        for other in [
            r#"{"kty":"oct","kid":"s","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}"#,
            r#"{"kty":"RSA","kid":"r","use":"enc","n":"AQAB","e":"AQAB"}"#,
            r#"{"kty":"RSA","kid":"r","alg":"HS256","n":"AQAB","e":"AQAB"}"#,
            r#"{"kty":"RSA","kid":"r","alg":"RS512","n":"AQAB","e":"AQAB"}"#,
            // Not a point of the curve; and RFC 7515's own key with another curve, another use and another algorithm.
            r#"{"kty":"EC","crv":"P-256","kid":"e","x":"AQAB","y":"AQAB"}"#,
            &EC.replace("P-256", "P-384"),
            &EC.replace("P-256", "secp256k1"),
            &EC.replace("\"kid\"", "\"use\":\"enc\",\"kid\""),
            &EC.replace("\"kid\"", "\"alg\":\"ES384\",\"kid\""),
            &EC.replace("\"kid\"", "\"alg\":\"HS256\",\"kid\""),
            &EC.replace("f83OJ3D2", "f83OJ3D3"),
            r#"{"kty":"OKP","crv":"X25519","kid":"x","x":"AQAB"}"#,
            r#"{"kty":"new","kid":"n"}"#,
            "7",
        ] {
            assert_eq!(read(&[other, ED]), ["EdDSA ed"], "{other}");
        }
        for odd in ["", "{}", "[]", "{\"keys\":7}"] {
            assert!(parse(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_token_without_a_name_needs_the_only_key() {
        let jwks = Jwks::new("http://127.0.0.1:1/", None);
        let set = |keys: &[&str]| {
            let keys = parse(&format!("{{\"keys\":[{}]}}", keys.join(",")));
            jwks.cache.lock().keys = keys.expect("a set");
        };
        set(&[ED]);
        assert!(jwks.known(None, Algorithm::EdDSA).is_some());
        assert!(jwks.known(Some("ed"), Algorithm::EdDSA).is_some());
        assert!(jwks.known(Some("ed"), Algorithm::RS256).is_none());
        assert!(jwks.known(Some("other"), Algorithm::EdDSA).is_none());
        set(&[ED, &ED.replace("\"ed\"", "\"two\"")]);
        assert!(jwks.known(None, Algorithm::EdDSA).is_none());
    }
}
