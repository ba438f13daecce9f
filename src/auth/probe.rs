//! How tokens and published keys are read, for tests that generate them by the million. Pure.

use serde_json::{Map, Value};

use super::Refusal;
use super::jwks;
use super::jwt::{Bearer, Demands, Keys, OperatorClaim, Verifier};
use super::key::Key;

/// No token is signed with this secret, so a token that passes is forged.
const SECRET: &[u8] = b"a secret of a probe, as long as one must be";

fn verifier() -> Option<Verifier> {
    let demands = Demands {
        issuer: Some("https://login.example".into()),
        audience: Some("shellcraft".into()),
        operator: Some(OperatorClaim {
            name: "role".into(),
            value: "operator".into(),
        }),
        ..Demands::default()
    };
    Some(Verifier::new(
        Keys::One(Key::of_secret(SECRET).ok()?),
        demands,
    ))
}

/// What a server that has a secret makes of a stranger's token. None if even that secret could not be used.
pub fn token(token: &str) -> Option<Result<Bearer, Refusal>> {
    Some(verifier()?.verify(token))
}

/// The identity that claims would give if a valid key had signed them. None for anything that is not a JSON object.
pub fn claims(claims: &[u8]) -> Option<Result<Bearer, Refusal>> {
    let claims: Map<String, Value> = serde_json::from_slice(claims).ok()?;
    Some(verifier()?.bearer(&claims))
}

/// How many usable keys a published set has; none if it is not a set.
pub fn keys(set: &str) -> Option<usize> {
    jwks::parse(set).map(|keys| keys.len())
}

/// Whether an operator's file holds a public key.
pub fn is_public_key(pem: &[u8]) -> bool {
    Key::of_pem(pem).is_ok()
}
