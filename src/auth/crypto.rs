//! The mathematics behind tokens' signatures, for the crate `jsonwebtoken`: HS256, RS256 and EdDSA by `ring`, which TLS
//! brings along anyway. Checks signatures and makes none.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result, new_error};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::{hmac, signature as rings};
use signature::{Error, Verifier};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `jsonwebtoken` use this. Calling it again changes nothing.
pub fn install() {
    // Fails only when it is installed already: nobody else installs one.
    let _ = PROVIDER.install_default();
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Err(new_error(ErrorKind::UnsupportedAlgorithm))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    // INVARIANT: a key is used with its own family's algorithm only; else an RSA key, which is public, would serve as
    // the secret of an HS256 signature.
    let family = match algorithm {
        Algorithm::HS256 => AlgorithmFamily::Hmac,
        Algorithm::RS256 => AlgorithmFamily::Rsa,
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
    /// Whether the signature is the key's.
    fn is_valid(&self, message: &[u8], signature: &[u8]) -> bool {
        match (self.algorithm, self.key.kind()) {
            (Algorithm::HS256, DecodingKeyKind::SecretOrDer(secret)) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                // Takes the same time wherever the difference is.
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
