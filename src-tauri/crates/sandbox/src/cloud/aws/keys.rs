//! AWS keys that were handed out, and whose they are.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use commission::secret::Token;
use tokio::time::{Duration, Instant};

use super::iam::Principal;
use super::refusal::Refusal;
use crate::cloud::Witness;
use crate::cloud::random_name;

/// Keys as their owner gets them.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: Token,
    /// None for keys that last.
    pub(super) session: Option<Token>,
}

struct Known {
    keys: Keys,
    ends: Option<Instant>,
    principal: Principal,
}

/// All keys that are known.
#[derive(Default)]
pub(super) struct KeyStore {
    known: Mutex<BTreeMap<String, Known>>,
    witness: Option<Witness>,
}

impl KeyStore {
    pub(super) fn new(witness: Option<Witness>) -> Self {
        Self {
            known: Mutex::default(),
            witness,
        }
    }

    /// Makes keys for whoever this is; `life` is how long they live. None if the system gives no randomness.
    pub(super) fn make(&self, principal: Principal, life: Option<Duration>) -> Option<Keys> {
        let mut random = [0_u8; 40];
        getrandom::fill(&mut random).ok()?;
        let (name, secret) = random.split_at_checked(10)?;
        let prefix = if life.is_some() { "ASIA" } else { "AKIA" };
        let keys = Keys {
            // 16 signs follow the prefix.
            id: format!("{prefix}{}", hex::encode_upper(name.get(..8)?)),
            secret: Token::new(BASE64_STANDARD.encode(secret)),
            session: match life {
                Some(_) => Some(Token::new(random_name()?)),
                None => None,
            },
        };
        if let Some(witness) = &self.witness {
            witness.saw(keys.secret.reveal());
            if let Some(session) = &keys.session {
                witness.saw(session.reveal());
            }
        }
        let known = Known {
            keys: keys.clone(),
            ends: life.map(|life| Instant::now() + life),
            principal,
        };
        self.known().insert(keys.id.clone(), known);
        Some(keys)
    }

    /// The secret and the owner of keys that still live.
    pub(super) fn find(&self, id: &str, session: Option<&str>) -> Result<(Token, Principal), Refusal> {
        let invalid = || {
            Refusal::forbidden(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        };
        let known = self.known();
        let found = known.get(id).ok_or_else(invalid)?;
        let own = found.keys.session.as_ref().map(|own| own.reveal());
        if own != session {
            return Err(invalid());
        }
        if found.ends.is_some_and(|ends| ends <= Instant::now()) {
            return Err(over());
        }
        Ok((found.keys.secret.clone(), found.principal.clone()))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys whose life is over.
pub(super) fn over() -> Refusal {
    Refusal::forbidden(
        "ExpiredTokenException",
        "The security token included in the request is expired",
    )
}
