//! Who uses this program: signing in at the organisation's OpenID Connect issuer, staying signed in, signing out.
//!
//! Two ways in. With the system's browser: authorization code with PKCE (RFC 7636), whose answer comes back to a port
//! of this machine (RFC 8252). With a code that is entered in any browser, for a terminal that has none (RFC 8628).
//!
//! What stays is a **refresh token**, in the system's keyring or, where there is none, in memory; [`Kept`] says which.
//! From it come **access tokens**, minutes long, in memory only. Most issuers rotate: a refresh token works once and
//! brings the next one, and one that comes twice ends the whole sign-in. Hence three rules here:
//! - whoever needs a token while it is being renewed waits for that one renewal;
//! - a renewal runs to its end even if nobody waits for it any more, and its token is in the keyring before anything
//!   else of the answer is looked at;
//! - the token in the keyring is used rather than the remembered one, since another window or terminal of the same
//!   person may have renewed meanwhile, and while one of them renews, the others wait. Where it is gone, or somebody
//!   else's, the sign-in is over here as well.
//!
//! A sign-in is taken up again only for an origin that the person signed in for ([`SignInSettings::origin`]), and what is
//! made of it belongs to that person ([`SignedIn`]): it has no token for the next one.
//!
//! Not here: what the person may do. The cloud decides that, call by call.

mod callback;
mod error;
mod issuer;
mod life;
mod loopback;
mod person;
mod stored;
#[cfg(test)]
mod tests;
mod want;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use commission::secret::Token;
use commission::time::Moment;
use serde::Serialize;
use tokio::sync::{Mutex, OnceCell, watch};
use url::Url;

use self::callback::Callback;
pub use self::error::{IdentityTokenFault, SignInError};
use self::issuer::{Grant, Issuer};
use self::life::{Held, Inner};
use self::loopback::Loopback;
pub use self::person::SignedIn;
use self::stored::Entries;
use self::want::Want;
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
    /// Where tokens go, see [`Profile::origin`]. A sign-in that is kept is taken up for one that the person signed in for,
    /// and for no other.
    pub origin: String,
    /// The name under which an earlier version kept the sign-in of this very origin, where there may be one.
    pub earlier: Option<String>,
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
            origin: profile.origin(),
            earlier: profile.inherits.then(|| profile.name.clone()),
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
    /// The issuer took the refresh token back, so that no new token comes of it. Access tokens that were handed out end
    /// by themselves, minutes later, and the browser may still be signed in at the issuer.
    Revoked,
    /// There was no sign-in.
    Nothing,
    /// The issuer was not told, or did not do it; a copy of the refresh token, if somebody had one, would still work
    /// until it expires. Say so to the person.
    HereOnly(SignInError),
}

/// The sign-in of one organisation profile. Clones are the same sign-in.
#[derive(Clone)]
pub struct SignIn(Arc<Inner>);

impl SignIn {
    /// Nobody is signed in yet; see [`SignIn::restore`].
    pub fn new(
        settings: SignInSettings,
        exchange: Arc<dyn Exchange>,
        vault: Arc<dyn Vault>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            entries: Entries::of(&settings, vault),
            settings,
            exchange,
            clock,
            issuer: OnceCell::new(),
            held: Mutex::<Held>::default(),
            turn: AtomicU64::new(0),
            lapsed: AtomicBool::new(false),
            shown: watch::Sender::new(None),
        }))
    }

    /// The same for what acts as one person: whoever is signed in when it is first asked, and nobody after them.
    pub fn of_one(&self) -> SignedIn {
        SignedIn::new(self.clone())
    }

    /// Returns once nothing is under way that must not be broken off: a renewal, a sign-out.
    pub async fn settled(&self) {
        drop(self.0.held.lock().await);
    }

    /// Where the keyring has it.
    pub fn entry(&self) -> VaultEntry {
        self.0.entries.own()
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
    /// answer now, and it is kept; [`SignInError::Keyring`] where the keyring is locked; [`SignInError::OtherOrigin`]
    /// where it was not for this origin, and it is kept and not used.
    pub async fn restore(&self) -> Result<Option<Session>, SignInError> {
        let inner = self.0.clone();
        to_the_end(async move {
            let mut held = inner.held.lock().await;
            if let Some(live) = &held.live {
                return Ok(Some(live.session.clone()));
            }
            let _hold = inner.entries.hold().await.map_err(SignInError::Keyring)?;
            let stored = match inner.entries.read().await {
                Err(VaultError::Absent(_)) | Ok(None) => held.stored.clone(),
                Err(error) => return Err(SignInError::Keyring(error)),
                Ok(stored) => stored,
            };
            let Some(stored) = stored else {
                return Ok(None);
            };
            if !stored.is_for(&inner.settings.origin) {
                return Err(SignInError::OtherOrigin {
                    issuer: inner.settings.issuer.clone(),
                });
            }
            let renewed = inner.renew(&mut held, stored).await;
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
            // Who comes after somebody who signed out is asked, though the browser knows the one before.
            let anew = !self.0.lapsed.load(Ordering::Acquire);
            let attempt = issuer.attempt(&port.redirect(), anew)?;
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
        self.token(Want::Lasting, None).await
    }

    /// Another token, since this one was refused before its time. Many may find that out at once; it is renewed once.
    ///
    /// # Errors
    /// As [`SignIn::access_token`].
    pub async fn another_token(&self, refused: &Token) -> Result<Token, SignInError> {
        self.token(Want::OtherThan(refused.clone()), None).await
    }

    /// The issuer's signed statement about the person (the ID token), which lives for a while yet; renewed first where
    /// needed. It is for a cloud that checks it anew and names this program as its audience, never for a person.
    ///
    /// # Errors
    /// As [`SignIn::access_token`]; [`SignInError::NotOffered`] where a renewal brings no statement and the one before
    /// is over, which an issuer may do (OpenID Connect Core 1.0, 12.2).
    pub async fn identity_token(&self) -> Result<Token, SignInError> {
        self.token(Want::Identity, None).await
    }

    /// Another statement, since this one was refused before its time.
    ///
    /// # Errors
    /// As [`SignIn::identity_token`].
    pub async fn another_identity_token(&self, refused: &Token) -> Result<Token, SignInError> {
        self.token(Want::IdentityOtherThan(refused.clone()), None).await
    }

    /// Signs out: forgets the sign-in here first, then ends it at the issuer. Runs to its end even if nobody waits for
    /// it any more. What the keyring has of somebody else, who signed in elsewhere meanwhile, stays.
    ///
    /// # Errors
    /// [`SignInError::Keyring`] where the keyring does not let go of it; then nothing was done.
    pub async fn sign_out(&self) -> Result<SignedOut, SignInError> {
        let inner = self.0.clone();
        to_the_end(async move { inner.sign_out().await }).await
    }

    /// Takes a new sign-in over. One before is overwritten, not revoked: at issuers with one session for a browser
    /// that would end the new one, too.
    async fn begin(&self, grant: Grant) -> Result<Session, SignInError> {
        let inner = self.0.clone();
        to_the_end(async move { inner.begin(grant).await }).await
    }

    /// The token that there is, where it does; else one after a renewal. With `whose`, only that person's.
    async fn token(&self, want: Want, whose: Option<&str>) -> Result<Token, SignInError> {
        if let Some(live) = &self.0.held.lock().await.live {
            live.must_be_of(whose)?;
            if let Some(token) = want.met_by(live, self.0.clock.now()) {
                return Ok(token);
            }
        }
        let (inner, whose) = (self.0.clone(), whose.map(str::to_owned));
        to_the_end(async move { inner.renewed(want, whose.as_deref()).await }).await
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
