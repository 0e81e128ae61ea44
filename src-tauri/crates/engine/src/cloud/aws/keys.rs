//! From an ID token to AWS keys: kept in memory only, renewed before they end, fetched once for all who wait.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use commission::fault::CloudError;
use commission::secret::Token;
use commission::time::{Moment, UnixTime};
use tokio::sync::Mutex;

use super::places::Places;
use super::policy::Work;
use super::refusal::Reason;
use super::sign::Keys;
use super::wire::{Trouble, Wire};
use super::{cognito, sts};
use crate::ports::CloudPerson;
use crate::settings::{AwsCredentials, AwsSettings};

/// Keys with less life than this are renewed, so that no call dies on its way; less for short-lived ones.
const MARGIN: Duration = Duration::from_secs(300);

/// Who is signed in, and the issuer's word for it.
#[async_trait]
pub trait IdentitySource: Send + Sync {
    /// The issuer, exactly as the profile writes it.
    fn issuer(&self) -> &str;

    /// Which sign-in this is: another number after each sign-in and each end of one.
    fn turn(&self) -> u64;

    /// Who it is; none where nobody is signed in, or somebody else than this is for.
    fn person(&self) -> Option<CloudPerson>;

    /// An ID token that lives for a while yet.
    ///
    /// # Errors
    /// [`CloudError::SignedOut`] where nobody is signed in; [`CloudError::Unreachable`] where it cannot be renewed now;
    /// [`CloudError::Refused`] where the issuer gives none.
    async fn identity_token(&self) -> Result<Token, CloudError>;

    /// Another, since this one was refused.
    ///
    /// # Errors
    /// As [`IdentitySource::identity_token`].
    async fn another_identity_token(&self, refused: &Token) -> Result<Token, CloudError>;
}

/// Keys as a service hands them out.
pub(super) struct Granted {
    pub(super) keys: Keys,
    /// When they end, by AWS's clock.
    pub(super) ends: UnixTime,
    /// AWS's clock when they were handed out.
    pub(super) now: UnixTime,
    /// When they had arrived.
    pub(super) arrived: Moment,
}

/// Where keys come from.
pub(super) struct KeySource {
    wire: Arc<Wire>,
    settings: Arc<AwsSettings>,
    places: Arc<Places>,
    identity: Arc<dyn IdentitySource>,
    work: Work,
    /// Whoever holds this fetches; the others wait for it.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    current: Option<Current>,
    fetched: u64,
}

struct Current {
    keys: Keys,
    number: u64,
    /// By which sign-in.
    turn: u64,
    renew: Moment,
    expires: Moment,
}

/// Keys, and which of the fetches brought them.
pub(super) struct Numbered {
    pub(super) keys: Keys,
    number: u64,
}

impl KeySource {
    pub(super) fn new(
        wire: Arc<Wire>,
        settings: Arc<AwsSettings>,
        places: Arc<Places>,
        identity: Arc<dyn IdentitySource>,
        work: Work,
    ) -> Self {
        Self {
            wire,
            settings,
            places,
            identity,
            work,
            held: Mutex::default(),
        }
    }

    /// Keys that live for a while yet, of the present sign-in: those of one before are as over as it is.
    pub(super) async fn keys(&self) -> Result<Numbered, CloudError> {
        let mut held = self.held.lock().await;
        let turn = self.identity.turn();
        if self.identity.person().is_none() {
            held.current = None;
            return Err(CloudError::SignedOut);
        }
        held.current.take_if(|current| current.turn != turn);
        let now = self.wire.clock.now();
        if let Some(current) = held.current.as_ref().filter(|current| now < current.renew) {
            return Ok(current.numbered());
        }
        match self.fetch().await {
            // Somebody signed in or out meanwhile, and whose these are is not sure.
            _ if self.identity.turn() != turn => {
                held.current = None;
                Err(CloudError::SignedOut)
            }
            Ok(granted) => Ok(held.take(granted, turn)),
            Err(error) => match &held.current {
                // Due for renewal, and still good should that not be possible just now.
                Some(current) if error.is_passing() && self.wire.clock.now() < current.expires => {
                    Ok(current.numbered())
                }
                _ => {
                    held.current = None;
                    Err(error)
                }
            },
        }
    }

    /// Forgets these keys, since AWS no longer takes them; others that were fetched since stay.
    pub(super) async fn forget(&self, refused: &Numbered) {
        let mut held = self.held.lock().await;
        if held
            .current
            .as_ref()
            .is_some_and(|current| current.number == refused.number)
        {
            held.current = None;
        }
    }

    async fn fetch(&self) -> Result<Granted, CloudError> {
        let token = self.identity.identity_token().await?;
        match self.exchange(&token).await {
            Err(trouble) if trouble.is(Reason::Identity) => {
                let token = self.identity.another_identity_token(&token).await?;
                Ok(self.exchange(&token).await?)
            }
            granted => Ok(granted?),
        }
    }

    async fn exchange(&self, token: &Token) -> Result<Granted, Trouble> {
        match &self.settings.credentials {
            AwsCredentials::Cognito { identity_pool } => {
                let asked = cognito::Pool {
                    wire: &self.wire,
                    base: &self.places.cognito_identity,
                    id: identity_pool,
                    issuer: self.identity.issuer(),
                };
                asked.keys(token).await
            }
            AwsCredentials::Sts { role, seconds } => {
                let person = self.identity.person().ok_or(CloudError::SignedOut)?;
                let asked = sts::Role {
                    wire: &self.wire,
                    base: &self.places.sts,
                    arn: role,
                    seconds: *seconds,
                    settings: &self.settings,
                    work: &self.work,
                };
                asked.keys(&person.subject, token).await
            }
        }
    }
}

impl Held {
    fn take(&mut self, granted: Granted, turn: u64) -> Numbered {
        self.fetched += 1;
        let left = granted.ends.0.saturating_sub(granted.now.0);
        let life = Duration::from_secs(u64::try_from(left).unwrap_or(0));
        let current = Current {
            keys: granted.keys,
            number: self.fetched,
            turn,
            renew: granted.arrived + (life - MARGIN.min(life / 5)),
            expires: granted.arrived + life,
        };
        self.current.insert(current).numbered()
    }
}

impl Current {
    fn numbered(&self) -> Numbered {
        Numbered {
            keys: self.keys.clone(),
            number: self.number,
        }
    }
}
