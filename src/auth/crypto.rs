//! The mathematics behind tokens' signatures, for the crate `jsonwebtoken`: HS256, RS256, ES256 and EdDSA by `ring`, which
//! TLS needs anyway. It checks signatures and makes none.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result, new_error};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::rand::SystemRandom;
use ring::{agreement, hmac, signature as rings};
use signature::{Error, Verifier};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `jsonwebtoken` use this module. Calling it again changes nothing.
pub fn install() {
    // This fails only when it is installed already: no other code installs a provider.
    let _ = PROVIDER.install_default();
}

/// Whether a key for ES256 is a point of the curve P-256. The PEM reader does not distinguish the curves, and a point of
/// secp256k1 has the same length.
pub fn is_on_p256(point: &[u8]) -> bool {
    // `ring` looks at a point only when it is used, and no signature is checked yet; agreeing on a secret looks at it too.
    let random = SystemRandom::new();
    let ours = agreement::EphemeralPrivateKey::generate(&agreement::ECDH_P256, &random);
    let theirs = agreement::UnparsedPublicKey::new(&agreement::ECDH_P256, point);
    ours.is_ok_and(|ours| agreement::agree_ephemeral(ours, &theirs, |_| ()).is_ok())
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Err(new_error(ErrorKind::UnsupportedAlgorithm))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    // INVARIANT: a key is used only with the algorithms of its own family; otherwise an RSA key, which is public, would
    // serve as the secret of an HS256 signature.
    let family = match algorithm {
        Algorithm::HS256 => AlgorithmFamily::Hmac,
        Algorithm::RS256 => AlgorithmFamily::Rsa,
        Algorithm::ES256 => AlgorithmFamily::Ec,
        Algorithm::EdDSA => AlgorithmFamily::Ed,
        _ => return Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    };
    if key.family() != family {
        return Err(new_error(ErrorKind::InvalidKeyFormat));
    }
    let (algorithm, key) = (*algorithm, key.clone());
    Ok(Box::new(Check { algorithm, key }))
}

/// Checks signatures with one key.
struct Check {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Check {
    /// Whether the signature was made with the key.
    fn is_valid(&self, message: &[u8], signature: &[u8]) -> bool {
        match (self.algorithm, self.key.kind()) {
            (Algorithm::HS256, DecodingKeyKind::SecretOrDer(secret)) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                // This takes the same time wherever the difference is.
                hmac::verify(&key, message, signature).is_ok()
            }
            (Algorithm::RS256, DecodingKeyKind::SecretOrDer(der)) => {
                let key = rings::UnparsedPublicKey::new(&rings::RSA_PKCS1_2048_8192_SHA256, der);
                key.verify(message, signature).is_ok()
            }
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let key = rings::RsaPublicKeyComponents { n, e };
                let algorithm = &rings::RSA_PKCS1_2048_8192_SHA256;
                key.verify(algorithm, message, signature).is_ok()
            }
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => {
                // In a token the two numbers of the signature follow each other (RFC 7518 §3.4), unlike in certificates.
                let algorithm = &rings::ECDSA_P256_SHA256_FIXED;
                let key = rings::UnparsedPublicKey::new(algorithm, point);
                key.verify(message, signature).is_ok()
            }
            (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(bytes)) => {
                let key = rings::UnparsedPublicKey::new(&rings::ED25519, bytes);
                key.verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

impl Verifier<Vec<u8>> for Check {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        self.is_valid(message, signature)
            .then_some(())
            .ok_or_else(Error::new)
    }
}

impl JwtVerifier for Check {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
