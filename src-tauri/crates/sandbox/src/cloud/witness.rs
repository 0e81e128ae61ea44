//! What a cloud handed out in secret, for the test that looks for it where it must not be.
//!
//! Off unless a test brings one: issuer and registry themselves keep hashes, and forget keys once they are used.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use commission::secret::Token;

/// Remembers every token and private key that a cloud hands out. Clones remember together.
#[derive(Clone, Default)]
pub struct Witness(Arc<Mutex<Vec<Token>>>);

impl Witness {
    /// Everything so far.
    pub fn secrets(&self) -> Vec<Token> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn saw(&self, secret: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Token::new(secret));
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness(…)")
    }
}
