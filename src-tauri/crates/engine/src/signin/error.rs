//! Why a sign-in, or what follows from one, did not work; each with what a person can do now.

use commission::fault::CloudError;
use thiserror::Error;

use crate::cloud::http::HttpError;
use crate::ports::VaultError;

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignInError {
    /// Nobody is signed in.
    #[error("nobody is signed in; sign in first")]
    SignedOut,
    /// The session cannot be renewed: it is over, was revoked, or its token was used elsewhere.
    #[error("the sign-in has ended ({detail}); sign in again")]
    Ended {
        /// What the issuer said.
        detail: String,
    },
    /// There is a sign-in at this issuer, and it was for another place than the one in work.
    #[error(
        "you are signed in at {issuer} for another place than this organisation's, and nobody has said yet that this \
         one may use it; sign in again if you trust it"
    )]
    OtherOrigin {
        /// The issuer's address.
        issuer: String,
    },
    /// The person, or a rule of the issuer, said no.
    #[error(
        "the sign-in was refused; allow it on the issuer's page, or ask the office whether this account may"
    )]
    Denied,
    /// The person stopped it.
    #[error("the sign-in was stopped")]
    Cancelled,
    /// Nobody finished it.
    #[error("nobody finished the sign-in in time; start it again")]
    TimedOut,
    /// The issuer cannot be reached or is out of order.
    #[error("the issuer does not answer: {0}")]
    Unreachable(HttpError),
    /// What the issuer says about itself is missing or wrong.
    #[error("{issuer} is no usable issuer ({detail}); check the issuer in the organisation profile")]
    Discovery {
        /// Its address in the profile.
        issuer: String,
        /// What is wrong.
        detail: String,
    },
    /// The issuer lacks what is needed.
    #[error("{issuer} does not offer {what}")]
    NotOffered {
        /// Its address in the profile.
        issuer: String,
        /// What is missing.
        what: &'static str,
    },
    /// The issuer does not know us.
    #[error(
        "the issuer does not know the client {client_id} ({detail}); check the client id in the organisation profile"
    )]
    ClientUnknown {
        /// The client id in the profile.
        client_id: String,
        /// What the issuer said.
        detail: String,
    },
    /// The issuer refused with another of its codes.
    #[error("the issuer refused ({code}): {detail}")]
    Refused {
        /// Its code (RFC 6749, 4.1.2.1 and 5.2).
        code: String,
        /// Its words.
        detail: String,
    },
    /// The issuer's answer cannot be understood.
    #[error("the issuer's answer makes no sense: {0}")]
    Nonsense(String),
    /// The ID token does not hold.
    #[error("the issuer's statement about who signed in does not hold: {0}")]
    Identity(#[from] IdentityTokenFault),
    /// The ID token is out of date by this machine's clock, and the issuer gave no time of its own.
    #[error("the issuer's statement is not valid at this computer's time; set its date and time")]
    Clock,
    /// No port of this machine could be opened for the browser's answer.
    #[error(
        "the browser's answer cannot be received on this computer ({0}); sign in with a device code instead"
    )]
    Listener(String),
    /// The keyring has, or may have, the sign-in, and does not give it.
    #[error("the sign-in cannot be read or removed: {0}; unlock the keyring and try again")]
    Keyring(VaultError),
}

/// Why an ID token does not hold (OpenID Connect Core 1.0, 3.1.3.7).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityTokenFault {
    /// There is none.
    #[error("it is missing")]
    Missing,
    /// It is not signed by a key of the issuer.
    #[error("its signature is wrong ({0})")]
    Signature(String),
    /// It is from another issuer.
    #[error("it is from another issuer")]
    Issuer,
    /// It is for another client.
    #[error("it is for another program")]
    Audience,
    /// It belongs to another sign-in.
    #[error("it belongs to another sign-in")]
    Nonce,
    /// It came with an access token that it does not vouch for.
    #[error("it does not belong to the access token")]
    AccessToken,
    /// By the issuer's own clock it is over, or from the future.
    #[error("it is out of date by the issuer's own clock")]
    Time,
    /// Anything else.
    #[error("{0}")]
    Unreadable(String),
}

impl SignInError {
    /// The stable code, for JSON output and the window's words.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SignedOut => "signed-out",
            Self::Ended { .. } => "sign-in-ended",
            Self::OtherOrigin { .. } => "sign-in-elsewhere",
            Self::Denied => "sign-in-denied",
            Self::Cancelled => "sign-in-cancelled",
            Self::TimedOut => "sign-in-timed-out",
            Self::Unreachable(_) => "issuer-unreachable",
            Self::Discovery { .. } => "issuer-broken",
            Self::NotOffered { .. } => "issuer-lacks",
            Self::ClientUnknown { .. } => "client-unknown",
            Self::Refused { .. } => "issuer-refused",
            Self::Nonsense(_) => "issuer-nonsense",
            Self::Identity(_) => "identity-token",
            Self::Clock => "clock-wrong",
            Self::Listener(_) => "no-listener",
            Self::Keyring(_) => "keyring",
        }
    }
}

impl From<SignInError> for CloudError {
    /// As a cloud call sees it: nobody is signed in, or the token cannot be had now.
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Unreachable(why) => Self::Unreachable(format!("the issuer does not answer: {why}")),
            SignInError::SignedOut
            | SignInError::Ended { .. }
            | SignInError::OtherOrigin { .. }
            | SignInError::Denied => Self::SignedOut,
            other => Self::Refused {
                code: other.code().into(),
                message: other.to_string(),
            },
        }
    }
}
