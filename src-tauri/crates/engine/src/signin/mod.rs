//! Who uses this program: signing in at the organisation's OpenID Connect issuer, staying signed in, signing out.
//!
//! Two ways in. With the system's browser: authorization code with PKCE (RFC 7636), whose answer comes back to a port
//! of this machine (RFC 8252). With a code that is entered in any browser, for a terminal that has none (RFC 8628).
//!
//! What stays is a **refresh token**, in the system's keyring or, where there is none, in memory; [`Kept`] says which.
//! From it come **access tokens**, minutes long, in memory only. Most issuers rotate: a refresh token works once and
//! brings the next one, and one that comes twice ends the whole sign-in. Hence three rules here:
//! - whoever needs a token while it is being renewed waits for that one renewal;
//! - a renewal runs to its end even if nobody waits for it any more, and its token is in the keyring before it counts;
//! - the token in the keyring is used rather than the remembered one, since another window or terminal of the same
//!   person may have renewed meanwhile, and while one of them renews, the others wait.
//!
//! Not here: what the person may do. The cloud decides that, call by call.

mod callback;
mod error;
mod issuer;
mod loopback;
#[cfg(test)]
mod tests;
mod want;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use commission::fault::CloudError;
use commission::secret::Token;
use commission::time::Moment;
use serde::Serialize;
use tokio::sync::{Mutex, OnceCell, watch};
use url::Url;

use self::callback::Callback;
pub use self::error::{IdentityTokenFault, SignInError};
use self::issuer::{Grant, Issuer};
use self::loopback::Loopback;
use self::want::{Identity, Want};
use crate::cloud::broker::TokenSource;
use crate::cloud::http::Exchange;
use crate::ports::{Browser, BrowserError, Clock, Vault, VaultEntry, VaultError};
use crate::settings::Profile;

/// How long a person may take in the browser.
const BROWSER_TIME: Duration = Duration::from_secs(300);
/// A token with less left than this is renewed, so that it does not die on its way; less for very short-lived ones.
const MARGIN: Duration = Duration::from_secs(60);

/// What the organisation profile says about signing in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInSettings {
    /// The profile's name, under which the keyring holds the sign-in.
    pub profile: String,
    /// The issuer's address, to the letter as the issuer itself states it: `https://id.example/` is another one than
    /// `https://id.example`.
    pub issuer: String,
    /// What the issuer calls this program.
    pub client_id: String,
    /// Scopes to ask for; `offline_access` is what brings a refresh token at most issuers.
    pub scopes: Vec<String>,
}

impl SignInSettings {
    /// As a profile has them.
    pub fn of(profile: &Profile) -> Self {
        Self {
            profile: profile.name.clone(),
            issuer: profile.sign_in.issuer.clone(),
            client_id: profile.sign_in.client_id.clone(),
            scopes: profile.sign_in.scopes.clone(),
        }
    }
}

/// Who signed in, as the issuer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Person {
    /// The issuer's name for the person, which never changes.
    pub subject: String,
    /// A name for people.
    pub name: String,
    /// Where the issuer tells it.
    pub email: Option<String>,
    /// Where the issuer tells them; the cloud has its own view.
    pub roles: Vec<String>,
}

/// Where the sign-in is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In the system's keyring: it outlives the program.
    Keyring,
    /// In memory, since there is no keyring: it ends with the program. Say so to the person.
    MemoryOnly(VaultError),
    /// Not at all, since the issuer gave no refresh token: it ends with the access token. Say so to the person.
    NotRenewable,
}

/// A sign-in that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub person: Person,
    /// When the present access token dies. It is renewed before, unless [`Kept::NotRenewable`].
    pub expires: Moment,
    /// Where it is kept.
    pub kept: Kept,
}

/// What a person has to see or do while a sign-in waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInEvent {
    /// The browser shows the issuer's page.
    BrowserOpened,
    /// The browser did not open: show this address, to be opened on this computer.
    OpenByHand {
        /// The address.
        page: Url,
        /// Why.
        why: BrowserError,
    },
    /// Enter this code at this address, on any device.
    EnterCode {
        /// The code.
        user_code: String,
        /// The address.
        page: Url,
        /// The address with the code in it, for a QR code or a click.
        page_with_code: Option<Url>,
        /// How long there is.
        life: Duration,
    },
}

/// How a sign-out ended at the issuer; on this computer the sign-in is forgotten in every case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedOut {
    /// Nothing of it works any more.
    Everywhere,
    /// There was no sign-in.
    Nothing,
    /// The issuer was not told, or did not do it; a copy of the refresh token, if somebody had one, would still work
    /// until it expires. Say so to the person.
    HereOnly(SignInError),
}

/// The sign-in of one organisation profile. Clones are the same sign-in.
#[derive(Clone)]
pub struct SignIn(Arc<Inner>);

struct Inner {
    settings: SignInSettings,
    exchange: Arc<dyn Exchange>,
    vault: Arc<dyn Vault>,
    clock: Arc<dyn Clock>,
    issuer: OnceCell<Arc<Issuer>>,
    /// Whoever holds this lock is the only one who may use the refresh token.
    live: Mutex<Option<Live>>,
    shown: watch::Sender<Option<Session>>,
}

struct Live {
    access: Token,
    /// From here on it is renewed.
    renew: Moment,
    refresh: Option<Token>,
    identity: Option<Identity>,
    session: Session,
}

impl SignIn {
    /// Nobody is signed in yet; see [`SignIn::restore`].
    pub fn new(
        settings: SignInSettings,
        exchange: Arc<dyn Exchange>,
        vault: Arc<dyn Vault>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            settings,
            exchange,
            vault,
            clock,
            issuer: OnceCell::new(),
            live: Mutex::default(),
            shown: watch::Sender::new(None),
        }))
    }

    /// The issuer, exactly as the profile writes it.
    pub fn issuer(&self) -> &str {
        &self.0.settings.issuer
    }

    /// The present session.
    pub fn session(&self) -> Option<Session> {
        self.0.shown.borrow().clone()
    }

    /// Follows the session as it comes, is renewed and goes.
    pub fn sessions(&self) -> watch::Receiver<Option<Session>> {
        self.0.shown.subscribe()
    }

    /// Asks the issuer about itself, without signing in: how far this machine's calendar is ahead of the issuer's,
    /// in seconds, where the issuer tells its time.
    ///
    /// # Errors
    /// [`SignInError::Unreachable`] and [`SignInError::Discovery`].
    pub async fn check_issuer(&self) -> Result<Option<i64>, SignInError> {
        let Inner {
            settings,
            exchange,
            clock,
            ..
        } = &*self.0;
        let issuer = Issuer::discover(settings, exchange.clone(), clock.clone()).await?;
        Ok(issuer.clock_ahead())
    }

    /// Picks up the sign-in of an earlier run from the keyring; `None` where there is none.
    ///
    /// # Errors
    /// [`SignInError::Ended`] where it is over, and forgotten; [`SignInError::Unreachable`] where the issuer does not
    /// answer now, and it is kept; [`SignInError::Keyring`] where the keyring is locked.
    pub async fn restore(&self) -> Result<Option<Session>, SignInError> {
        let inner = self.0.clone();
        to_the_end(async move {
            let mut live = inner.live.lock().await;
            if let Some(live) = &*live {
                return Ok(Some(live.session.clone()));
            }
            let _hold = inner.vault.hold(&inner.entry()).await;
            let stored = match inner.vault.read(&inner.entry()).await {
                Err(VaultError::Absent(_)) | Ok(None) => return Ok(None),
                Err(error) => return Err(SignInError::Keyring(error)),
                Ok(Some(stored)) => stored,
            };
            let renewed = inner.renew(&mut live, &stored, None).await;
            renewed.map(|live| Some(live.session.clone()))
        })
        .await
    }

    /// Signs in with the system's browser. `tell` gets what the person has to see; `cancelled` resolves when the
    /// person gives up (dropping the future gives up, too).
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn with_browser(
        &self,
        browser: Arc<dyn Browser>,
        tell: &(dyn Fn(SignInEvent) + Send + Sync),
        cancelled: impl Future<Output = ()> + Send,
    ) -> Result<Session, SignInError> {
        let code_flow = async {
            let issuer = self.0.issuer().await?;
            let port = Loopback::open().await?;
            let attempt = issuer.attempt(&port.redirect())?;
            let page = attempt.page.clone();
            // A text browser holds its caller until it is left.
            let opening = tokio::task::spawn_blocking(move || browser.open(&page));
            let page = attempt.page.clone();
            let opened = async {
                match opening.await {
                    Ok(Ok(())) => tell(SignInEvent::BrowserOpened),
                    Ok(Err(why)) => tell(SignInEvent::OpenByHand { page, why }),
                    Err(error) => tell(SignInEvent::OpenByHand {
                        page,
                        why: BrowserError(error.to_string()),
                    }),
                }
                std::future::pending::<Infallible>().await
            };
            let deadline = self.0.clock.now() + BROWSER_TIME;
            let answer = tokio::select! {
                answer = port.answer(attempt.state.clone(), self.0.settings.issuer.clone()) => answer,
                never = opened => match never {},
                () = self.0.clock.sleep_until(deadline) => return Err(SignInError::TimedOut),
            };
            let code = match answer {
                Callback::Code(code) => code,
                Callback::Refused { code, detail } => return Err(issuer.refused(&code, &detail)),
            };
            let grant = issuer.redeem(attempt, &code).await?;
            self.begin(grant).await
        };
        unless(cancelled, code_flow).await
    }

    /// Signs in with a code that the person enters in any browser. `tell` gets the code.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn with_device_code(
        &self,
        tell: &(dyn Fn(SignInEvent) + Send + Sync),
        cancelled: impl Future<Output = ()> + Send,
    ) -> Result<Session, SignInError> {
        let device_flow = async {
            let issuer = self.0.issuer().await?;
            let attempt = issuer.device_attempt().await?;
            tell(SignInEvent::EnterCode {
                user_code: attempt.user_code.clone(),
                page: attempt.page.clone(),
                page_with_code: attempt.page_with_code.clone(),
                life: attempt.life,
            });
            let grant = issuer.poll(&attempt).await?;
            self.begin(grant).await
        };
        unless(cancelled, device_flow).await
    }

    /// A token that lives for a while yet; renewed first where needed.
    ///
    /// # Errors
    /// [`SignInError::SignedOut`], [`SignInError::Ended`]; others where it cannot be renewed now.
    pub async fn access_token(&self) -> Result<Token, SignInError> {
        self.token(Want::Lasting).await
    }

    /// Another token, since this one was refused before its time. Many may find that out at once; it is renewed once.
    ///
    /// # Errors
    /// As [`SignIn::access_token`].
    pub async fn another_token(&self, refused: &Token) -> Result<Token, SignInError> {
        self.token(Want::OtherThan(refused.clone())).await
    }

    /// The issuer's signed statement about the person (the ID token), which lives for a while yet; renewed first where
    /// needed. It is for a cloud that checks it anew and names this program as its audience, never for a person.
    ///
    /// # Errors
    /// As [`SignIn::access_token`]; [`SignInError::NotOffered`] where a renewal brings no statement and the one before
    /// is over, which an issuer may do (OpenID Connect Core 1.0, 12.2).
    pub async fn identity_token(&self) -> Result<Token, SignInError> {
        self.token(Want::Identity).await
    }

    /// Another statement, since this one was refused before its time.
    ///
    /// # Errors
    /// As [`SignIn::identity_token`].
    pub async fn another_identity_token(&self, refused: &Token) -> Result<Token, SignInError> {
        self.token(Want::IdentityOtherThan(refused.clone())).await
    }

    /// Signs out: forgets the sign-in here first, then ends it at the issuer.
    ///
    /// # Errors
    /// [`SignInError::Keyring`] where the keyring does not let go of it; then nothing was done.
    pub async fn sign_out(&self) -> Result<SignedOut, SignInError> {
        let mut live = self.0.live.lock().await;
        let entry = self.0.entry();
        let _hold = self.0.vault.hold(&entry).await;
        let stored = match self.0.vault.read(&entry).await {
            Err(VaultError::Absent(_)) => None,
            Err(error) => return Err(SignInError::Keyring(error)),
            Ok(stored) => stored,
        };
        if stored.is_some() {
            self.0.vault.forget(&entry).await.map_err(SignInError::Keyring)?;
        }
        let gone = live.take();
        self.0.show(None);
        let signed_in = gone.is_some();
        match stored.or(gone.and_then(|live| live.refresh)) {
            None if signed_in => Ok(SignedOut::HereOnly(SignInError::NotOffered {
                issuer: self.0.settings.issuer.clone(),
                what: "signing out of a session that cannot be renewed",
            })),
            None => Ok(SignedOut::Nothing),
            Some(token) => Ok(match self.0.revoke(&token).await {
                Ok(()) => SignedOut::Everywhere,
                Err(error) => SignedOut::HereOnly(error),
            }),
        }
    }

    /// Takes a new sign-in over. One before is overwritten, not revoked: at issuers with one session for a browser
    /// that would end the new one, too.
    async fn begin(&self, grant: Grant) -> Result<Session, SignInError> {
        let mut live = self.0.live.lock().await;
        let person = grant
            .person
            .clone()
            .ok_or(SignInError::Identity(IdentityTokenFault::Missing))?;
        let _hold = self.0.vault.hold(&self.0.entry()).await;
        let begun = self.0.keep(grant, person, None, None).await;
        let session = begun.session.clone();
        *live = Some(begun);
        self.0.show(Some(session.clone()));
        Ok(session)
    }

    /// The token that there is, where it does; else one after a renewal.
    async fn token(&self, want: Want) -> Result<Token, SignInError> {
        if let Some(live) = &*self.0.live.lock().await
            && let Some(token) = want.met_by(live, self.0.clock.now())
        {
            return Ok(token);
        }
        self.renewed(want).await
    }

    /// Renews, unless somebody else did while we waited for the lock.
    async fn renewed(&self, want: Want) -> Result<Token, SignInError> {
        let inner = self.0.clone();
        to_the_end(async move {
            let mut live = inner.live.lock().await;
            let now = inner.clock.now();
            let current = live.as_ref().ok_or(SignInError::SignedOut)?;
            if let Some(token) = want.met_by(current, now) {
                return Ok(token);
            }
            // Due for renewal, and still good should that not be possible just now.
            let spare = want.spare(current, now);
            let person = current.session.person.clone();
            let _hold = inner.vault.hold(&inner.entry()).await;
            let stored = match current.session.kept {
                Kept::Keyring => inner.vault.read(&inner.entry()).await.ok().flatten(),
                Kept::MemoryOnly(_) | Kept::NotRenewable => None,
            };
            let Some(refresh) = stored.or_else(|| current.refresh.clone()) else {
                if let Some(spare) = spare {
                    return Ok(spare);
                }
                inner.drop_session(&mut live).await;
                return Err(SignInError::Ended {
                    detail: "the issuer allows no renewal".into(),
                });
            };
            match inner.renew(&mut live, &refresh, Some(&person)).await {
                Ok(live) => want
                    .of(live, inner.clock.now())
                    .ok_or_else(|| SignInError::NotOffered {
                        issuer: inner.settings.issuer.clone(),
                        what: "an ID token with each renewal, which the cloud needs; sign in again",
                    }),
                Err(error @ SignInError::Unreachable(_)) => spare.ok_or(error),
                Err(error) => Err(error),
            }
        })
        .await
    }
}

impl Inner {
    fn entry(&self) -> VaultEntry {
        VaultEntry::RefreshToken {
            profile: self.settings.profile.clone(),
        }
    }

    fn show(&self, session: Option<Session>) {
        self.shown.send_replace(session);
    }

    async fn issuer(&self) -> Result<Arc<Issuer>, SignInError> {
        let discover = || async {
            let found = Issuer::discover(&self.settings, self.exchange.clone(), self.clock.clone());
            found.await.map(Arc::new)
        };
        self.issuer.get_or_try_init(discover).await.cloned()
    }

    async fn revoke(&self, token: &Token) -> Result<(), SignInError> {
        self.issuer().await?.revoke(token).await
    }

    /// Uses up a refresh token. Whoever calls this must see to it that it is not dropped half-way, and hold the entry.
    async fn renew<'l>(
        &self,
        live: &'l mut Option<Live>,
        refresh: &Token,
        person: Option<&Person>,
    ) -> Result<&'l mut Live, SignInError> {
        let issuer = self.issuer().await?;
        let mut used = refresh.clone();
        let mut granted = issuer.refresh(&used, person.is_some()).await;
        if let Err(SignInError::Ended { .. }) = granted
            && let Ok(Some(newer)) = self.vault.read(&self.entry()).await
            && newer != used
        {
            // Another window or terminal was quicker.
            used = newer;
            granted = issuer.refresh(&used, person.is_some()).await;
        }
        match granted {
            Ok(grant) => {
                let now = grant.person.clone().or_else(|| person.cloned());
                let now = now.ok_or(SignInError::Identity(IdentityTokenFault::Missing))?;
                let ours = person.is_none_or(|person| person.subject == now.subject);
                let earlier = live
                    .as_ref()
                    .filter(|_| ours)
                    .and_then(|live| live.identity.clone());
                let renewed = self.keep(grant, now, Some(&used), earlier).await;
                if ours {
                    self.show(Some(renewed.session.clone()));
                    return Ok(live.insert(renewed));
                }
                // Theirs stays in the keyring; ours is over.
                *live = None;
                self.show(None);
                Err(SignInError::Ended {
                    detail: "somebody else has signed in on this computer".into(),
                })
            }
            Err(error @ SignInError::Ended { .. }) => {
                self.drop_session(live).await;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The session is over and its token worthless.
    async fn drop_session(&self, live: &mut Option<Live>) {
        *live = None;
        self.show(None);
        if let Err(error) = self.vault.forget(&self.entry()).await {
            tracing::warn!(%error, "an ended sign-in stays in the keyring");
        }
    }

    /// Keeps what was granted in the keyring, before anybody uses it. `used` is the refresh token that it cost, which
    /// stays good at issuers that do not rotate; `earlier` the ID token that holds on where no new one came.
    async fn keep(
        &self,
        grant: Grant,
        person: Person,
        used: Option<&Token>,
        earlier: Option<Identity>,
    ) -> Live {
        let refresh = grant.refresh.or_else(|| used.cloned());
        let kept = match &refresh {
            None => {
                let _ = self.vault.forget(&self.entry()).await;
                Kept::NotRenewable
            }
            Some(token) => match self.vault.write(&self.entry(), token).await {
                Ok(()) => Kept::Keyring,
                Err(error) => {
                    tracing::warn!(%error, "the sign-in is kept in memory only");
                    // What is still there is used up by now; used again it would end the sign-in.
                    let _ = self.vault.forget(&self.entry()).await;
                    Kept::MemoryOnly(error)
                }
            },
        };
        Live {
            access: grant.access,
            renew: grant.asked + (grant.life - MARGIN.min(grant.life / 5)),
            refresh,
            identity: grant
                .identity
                .map(|identity| Identity::of(&identity, grant.asked))
                .or(earlier),
            session: Session {
                person,
                expires: grant.asked + grant.life,
                kept,
            },
        }
    }
}

#[async_trait]
impl TokenSource for SignIn {
    async fn token(&self) -> Result<Token, CloudError> {
        Ok(self.access_token().await?)
    }

    async fn renewed(&self, refused: &Token) -> Result<Token, CloudError> {
        Ok(self.another_token(refused).await?)
    }
}

/// Runs on even if the caller goes away: a refresh token that was used and not replaced would end the sign-in.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, SignInError>> + Send + 'static,
) -> Result<T, SignInError> {
    tokio::spawn(work).await.unwrap_or(Err(SignInError::Cancelled))
}

async fn unless<T>(
    cancelled: impl Future<Output = ()> + Send,
    work: impl Future<Output = Result<T, SignInError>>,
) -> Result<T, SignInError> {
    tokio::select! {
        biased;
        () = cancelled => Err(SignInError::Cancelled),
        done = work => done,
    }
}
