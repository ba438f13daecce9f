//! Keys that check tokens: each has exactly one algorithm, and is no weaker than that algorithm demands.

use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};

use super::crypto;

/// A secret has at least as many bytes as the hash (RFC 7518 §3.2).
pub const SECRET_LEAST_BYTES: usize = 32;
/// An RSA key of 2048 bits has more bytes than this in PKCS #1. Shorter keys are not secure, and are refused.
const RSA_LEAST_BYTES: usize = 260;
/// The length of an Ed25519 key.
const ED_BYTES: usize = 32;

/// Why a key can't be used; the text is for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// The secret is too short.
    #[error("a secret of at least 32 bytes is needed (openssl rand -hex 32)")]
    Short,
    /// It is not a public key that the server understands.
    #[error(
        "a public key in PEM is needed, RSA of at least 2048 bits, P-256 or Ed25519 (openssl pkey -pubout)"
    )]
    NotPem,
}

/// A key that checks tokens, with the one algorithm that it is for.
#[derive(Clone)]
pub struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl Key {
    /// The key of HS256.
    ///
    /// # Errors
    /// [`BadKey::Short`].
    pub fn of_secret(secret: &[u8]) -> Result<Key, BadKey> {
        if secret.len() < SECRET_LEAST_BYTES {
            return Err(BadKey::Short);
        }
        Ok(Key {
            algorithm: Algorithm::HS256,
            key: DecodingKey::from_secret(secret),
        })
    }

    /// A public key, of RS256, ES256 or EdDSA.
    ///
    /// # Errors
    /// [`BadKey::NotPem`].
    pub fn of_pem(pem: &[u8]) -> Result<Key, BadKey> {
        // A private key has no business on this server.
        let is_public = pem.windows(10).any(|window| window == b"PUBLIC KEY");
        if !is_public {
            return Err(BadKey::NotPem);
        }
        let ed = DecodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key));
        let ec = || DecodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key));
        let rsa = || DecodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key));
        let found = ed.or_else(|_| ec()).or_else(|_| rsa());
        let (algorithm, key) = found.map_err(|_| BadKey::NotPem)?;
        Key::of_public(algorithm, key).ok_or(BadKey::NotPem)
    }

    /// The key, if it is as strong as its algorithm demands and, for ES256, on the curve.
    pub(super) fn of_public(algorithm: Algorithm, key: DecodingKey) -> Option<Key> {
        let is_good = match (algorithm, key.kind()) {
            (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(bytes)) => bytes.len() == ED_BYTES,
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => crypto::is_on_p256(point),
            (Algorithm::RS256, DecodingKeyKind::SecretOrDer(der)) => der.len() >= RSA_LEAST_BYTES,
            // It is checked when it is used: a key of fewer than 2048 bits verifies nothing.
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { .. }) => true,
            _ => false,
        };
        is_good.then_some(Key { algorithm, key })
    }
}
