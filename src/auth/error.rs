//! Why a request's credentials are refused: a word for the metrics, a sentence for the person.

/// Why what a request shows does not identify a player or operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// It shows nothing.
    #[error("log in first: send your token as Authorization: Bearer")]
    NothingShown,
    /// It is not a token, or one above the size limit.
    #[error("this is not a token that is understood here")]
    Malformed,
    /// It has another algorithm than the key's, such as `none`.
    #[error("this token is signed in a way that is not accepted here")]
    WrongAlgorithm,
    /// The signature was not made with the server's key.
    #[error("this token's signature is wrong")]
    WrongSignature,
    /// None of the known keys has that name.
    #[error("this token is signed by a key that is not known here")]
    UnknownKey,
    /// It has run out.
    #[error("your login has run out: log in again")]
    Expired,
    /// An operator has revoked it.
    #[error("your login was ended by the server's operator: log in again")]
    Revoked,
    /// It is not valid yet.
    #[error("this token is not valid yet")]
    NotYet,
    /// It was issued by someone else.
    #[error("this token's issuer is not accepted here")]
    WrongIssuer,
    /// It was issued for someone else.
    #[error("this token is meant for another service")]
    WrongAudience,
    /// A claim that is needed is not there, or is not of its type.
    #[error(
        "this token lacks a claim: exp and sub are needed, and iss and aud where they are configured"
    )]
    MissingClaim,
    /// The public keys could not be fetched yet, or could not be fetched for too long.
    #[error("logins can't be checked at the moment: try again soon")]
    KeysAway,
    /// The operator's secret is wrong.
    #[error("this is not an operator's token")]
    NotOperator,
    /// The identity is valid, but the session belongs to another player.
    #[error("the session is somebody else's")]
    NotOwner,
    /// The ticket was never issued, was used before, or is too old.
    #[error("this ticket is not valid, or was used before")]
    BadTicket,
    /// The server has not signed the cookie.
    #[error("the cookie is not one of ours")]
    BadCookie,
    /// The request comes from a page of another site.
    #[error("the request comes from a page of another site")]
    ForeignOrigin,
}

impl Refusal {
    /// All refusals, for metrics.
    pub const ALL: [Refusal; 17] = [
        Refusal::NothingShown,
        Refusal::Malformed,
        Refusal::WrongAlgorithm,
        Refusal::WrongSignature,
        Refusal::UnknownKey,
        Refusal::Expired,
        Refusal::Revoked,
        Refusal::NotYet,
        Refusal::WrongIssuer,
        Refusal::WrongAudience,
        Refusal::MissingClaim,
        Refusal::KeysAway,
        Refusal::NotOperator,
        Refusal::NotOwner,
        Refusal::BadTicket,
        Refusal::BadCookie,
        Refusal::ForeignOrigin,
    ];

    /// The refusal's word, for the metrics' label.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::NothingShown => "nothing_shown",
            Refusal::Malformed => "malformed",
            Refusal::WrongAlgorithm => "wrong_algorithm",
            Refusal::WrongSignature => "wrong_signature",
            Refusal::UnknownKey => "unknown_key",
            Refusal::Expired => "expired",
            Refusal::Revoked => "revoked",
            Refusal::NotYet => "not_yet",
            Refusal::WrongIssuer => "wrong_issuer",
            Refusal::WrongAudience => "wrong_audience",
            Refusal::MissingClaim => "missing_claim",
            Refusal::KeysAway => "keys_away",
            Refusal::NotOperator => "not_operator",
            Refusal::NotOwner => "not_owner",
            Refusal::BadTicket => "bad_ticket",
            Refusal::BadCookie => "bad_cookie",
            Refusal::ForeignOrigin => "foreign_origin",
        }
    }

    /// The sentence that a person is told.
    pub fn player_message(self) -> String {
        let text = self.to_string();
        let mut letters = text.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).chain(['.']).collect()
    }
}
