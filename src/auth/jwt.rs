//! Tokens (JWT, RFC 7519): the key by which they must be signed, what they must say, and whom they identify.
//!
//! INVARIANT: the algorithm is the key's, never the token's. A token that names another algorithm, including `none`, is
//! refused before any key is looked at.

use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde_json::{Map, Value};

use super::crypto;
use super::error::Refusal;
use super::jwks::Jwks;
use super::key::Key;
use super::owner::PlayerId;

/// A token has at most this many bytes: the door accepts heads of 16 KiB.
const TOKEN_LIMIT_BYTES: usize = 8 * 1024;
/// How far the clocks of two servers may differ.
pub const LEEWAY: Duration = Duration::from_secs(10);
/// A subject's name has at most this many bytes.
const SUBJECT_LIMIT_BYTES: usize = 255;

/// Where the keys come from.
pub enum Keys {
    /// The key was given at the start.
    One(Key),
    /// The keys are fetched from an address.
    Fetched(Jwks),
}

/// The claim that makes an operator, and the value that it must have or that must be among its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorClaim {
    /// The claim's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What tokens must say in addition to `exp` and `sub`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demands {
    /// The required `iss`, if one is required.
    pub issuer: Option<String>,
    /// The required `aud`. Without it a token that names any audience is refused, as RFC 7519 §4.1.3 demands.
    pub audience: Option<String>,
    /// The claim that makes an operator; without it no one is an operator.
    pub operator: Option<OperatorClaim>,
    /// How far clocks may differ, in whole seconds.
    pub leeway: Duration,
}

impl Default for Demands {
    /// No demands except the signature and the times.
    fn default() -> Demands {
        Demands {
            issuer: None,
            audience: None,
            operator: None,
            leeway: LEEWAY,
        }
    }
}

/// The player that a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The player.
    pub player: PlayerId,
    /// Whether its claims make an operator.
    pub is_operator: bool,
    /// When it runs out.
    pub until: SystemTime,
    /// The earliest time at which it was issued, if it says when (`iat`): the issuer's clock may be ahead.
    pub issued: Option<SystemTime>,
}

/// Checks tokens.
pub struct Verifier {
    keys: Keys,
    demands: Demands,
}

impl Verifier {
    /// Makes a verifier with these keys.
    pub fn new(keys: Keys, demands: Demands) -> Verifier {
        crypto::install();
        Verifier { keys, demands }
    }

    /// Checks a token, and returns whom it names. May fetch keys, which rarely happens and takes at most seconds.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify(&self, token: &str) -> Result<Bearer, Refusal> {
        if token.len() > TOKEN_LIMIT_BYTES {
            return Err(Refusal::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| refusal(error.kind()))?;
        let key = self.key(&header)?;
        if header.alg != key.algorithm {
            return Err(Refusal::WrongAlgorithm);
        }
        let validation = self.validation(key.algorithm);
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &validation);
        let claims = decoded.map_err(|error| refusal(error.kind()))?.claims;
        self.bearer(&claims)
    }

    fn key(&self, header: &Header) -> Result<Key, Refusal> {
        match &self.keys {
            Keys::One(key) => Ok(key.clone()),
            Keys::Fetched(jwks) => jwks.find(header.kid.as_deref(), header.alg),
        }
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let Demands {
            issuer, audience, ..
        } = &self.demands;
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.demands.leeway.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    pub(super) fn bearer(&self, claims: &Map<String, Value>) -> Result<Bearer, Refusal> {
        let subject = claims.get("sub").and_then(Value::as_str);
        let is_name = |subject: &&str| (1..=SUBJECT_LIMIT_BYTES).contains(&subject.len());
        let subject = subject.filter(is_name).ok_or(Refusal::MissingClaim)?;
        let issued = moment(claims, "iat").and_then(|at| at.checked_sub(self.demands.leeway));
        // An issue time in the future is ignored: the token would otherwise stay good whenever its player was revoked.
        let issued = issued.filter(|at| *at <= SystemTime::now());
        Ok(Bearer {
            player: PlayerId::of_subject(subject),
            is_operator: self
                .demands
                .operator
                .as_ref()
                .is_some_and(|claim| claim.is_in(claims)),
            until: moment(claims, "exp").ok_or(Refusal::MissingClaim)?,
            issued,
        })
    }
}

/// A claim that is a time, in seconds since 1970 (RFC 7519 §2, NumericDate).
fn moment(claims: &Map<String, Value>, name: &str) -> Option<SystemTime> {
    let seconds = claims.get(name).and_then(Value::as_f64)?;
    let after = Duration::try_from_secs_f64(seconds).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(after)
}

impl OperatorClaim {
    /// Whether these claims make an operator. A list does if one of its values matches; `true` matches the text `true`.
    fn is_in(&self, claims: &Map<String, Value>) -> bool {
        let is_it = |value: &Value| match value {
            Value::String(text) => *text == self.value,
            Value::Bool(value) => value.to_string() == self.value,
            _ => false,
        };
        match claims.get(&self.name) {
            Some(Value::Array(values)) => values.iter().any(is_it),
            Some(value) => is_it(value),
            None => false,
        }
    }
}

fn refusal(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::InvalidSignature => Refusal::WrongSignature,
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::NotYet,
        ErrorKind::InvalidIssuer => Refusal::WrongIssuer,
        ErrorKind::InvalidAudience => Refusal::WrongAudience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => {
            Refusal::MissingClaim
        }
        ErrorKind::InvalidAlgorithm
        | ErrorKind::InvalidAlgorithmName
        | ErrorKind::UnsupportedAlgorithm
        | ErrorKind::InvalidKeyFormat => Refusal::WrongAlgorithm,
        _ => Refusal::Malformed,
    }
}
