//! A sign-in as one person's, for what is made of it.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use commission::fault::CloudError;
use commission::secret::Token;

use super::want::Want;
use super::{Session, SignIn, SignInError};
use crate::cloud::aws::IdentitySource;
use crate::cloud::broker::TokenSource;
use crate::ports::CloudPerson;

/// A sign-in as one person's: with tokens while that person is signed in, and none for whoever comes next.
pub struct SignedIn {
    sign_in: SignIn,
    subject: OnceLock<String>,
}

impl SignedIn {
    pub(super) fn new(sign_in: SignIn) -> Self {
        Self {
            sign_in,
            subject: OnceLock::new(),
        }
    }

    /// The session, where it is of the person whom this acts as.
    fn session(&self) -> Option<Session> {
        let session = self.sign_in.session()?;
        let subject = self.subject.get_or_init(|| session.person.subject.clone());
        (*subject == session.person.subject).then_some(session)
    }

    async fn token(&self, want: Want) -> Result<Token, CloudError> {
        let session = self.session().ok_or(SignInError::SignedOut)?;
        Ok(self.sign_in.token(want, Some(&session.person.subject)).await?)
    }
}

#[async_trait]
impl TokenSource for SignedIn {
    async fn token(&self) -> Result<Token, CloudError> {
        self.token(Want::Lasting).await
    }

    async fn renewed(&self, refused: &Token) -> Result<Token, CloudError> {
        self.token(Want::OtherThan(refused.clone())).await
    }
}

#[async_trait]
impl IdentitySource for SignedIn {
    fn issuer(&self) -> &str {
        self.sign_in.issuer()
    }

    fn turn(&self) -> u64 {
        self.sign_in.0.turn.load(Ordering::Acquire)
    }

    fn person(&self) -> Option<CloudPerson> {
        self.session().map(|session| CloudPerson {
            subject: session.person.subject,
            name: session.person.name,
            roles: session.person.roles,
        })
    }

    async fn identity_token(&self) -> Result<Token, CloudError> {
        self.token(Want::Identity).await
    }

    async fn another_identity_token(&self, refused: &Token) -> Result<Token, CloudError> {
        self.token(Want::IdentityOtherThan(refused.clone())).await
    }
}
