//! The life of a session: begun, renewed, ended, with its token in the keyring.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use commission::secret::Token;
use commission::time::Moment;
use tokio::sync::{Mutex, OnceCell, watch};

use super::issuer::{Grant, Issuer};
use super::stored::{Entries, Holder, Stored};
use super::want::{Identity, Want};
use super::{IdentityTokenFault, Kept, MARGIN, Person, Session, SignInError, SignInSettings, SignedOut};
use crate::cloud::http::Exchange;
use crate::ports::{Clock, VaultError};

pub(super) struct Inner {
    pub(super) settings: SignInSettings,
    pub(super) exchange: Arc<dyn Exchange>,
    pub(super) entries: Entries,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) issuer: OnceCell<Arc<Issuer>>,
    /// Whoever holds this lock is the only one who may use the refresh token.
    pub(super) held: Mutex<Held>,
    /// Rises with each sign-in and each end of one.
    pub(super) turn: AtomicU64,
    /// Whether the last sign-in ended by itself, with nobody who signed out.
    pub(super) lapsed: AtomicBool,
    pub(super) shown: watch::Sender<Option<Session>>,
}

/// What is in memory.
#[derive(Default)]
pub(super) struct Held {
    /// What is in the keyring too, where there is one.
    pub(super) stored: Option<Stored>,
    pub(super) live: Option<Live>,
}

pub(super) struct Live {
    pub(super) access: Token,
    /// From here on it is renewed.
    pub(super) renew: Moment,
    pub(super) identity: Option<Identity>,
    pub(super) session: Session,
}

impl Live {
    pub(super) fn must_be_of(&self, whose: Option<&str>) -> Result<(), SignInError> {
        match whose {
            Some(subject) if subject != self.session.person.subject => Err(SignInError::SignedOut),
            _ => Ok(()),
        }
    }
}

impl Inner {
    fn show(&self, session: Option<Session>) {
        self.shown.send_replace(session);
    }

    pub(super) async fn issuer(&self) -> Result<Arc<Issuer>, SignInError> {
        let discover = || async {
            let found = Issuer::discover(&self.settings, self.exchange.clone(), self.clock.clone());
            found.await.map(Arc::new)
        };
        self.issuer.get_or_try_init(discover).await.cloned()
    }

    pub(super) async fn begin(&self, grant: Grant) -> Result<Session, SignInError> {
        let mut held = self.held.lock().await;
        let person = grant
            .person
            .clone()
            .ok_or(SignInError::Identity(IdentityTokenFault::Missing))?;
        let hold = self.entries.hold().await;
        let kept = match (&grant.refresh, hold) {
            (None, _) => {
                held.stored = None;
                let _ = self.entries.forget().await;
                Kept::NotRenewable
            }
            // Another process works with what is there and would overwrite this, or be overwritten.
            (Some(refresh), Err(error)) => {
                held.stored = Some(self.stored(refresh, &person));
                Kept::MemoryOnly(error)
            }
            (Some(refresh), Ok(_hold)) => {
                let earlier = self.entries.read().await.ok().flatten();
                self.keep(&mut held, self.stored(refresh, &person).after(earlier), true)
                    .await
            }
        };
        self.turn.fetch_add(1, Ordering::AcqRel);
        self.lapsed.store(false, Ordering::Release);
        let live = held.live.insert(Live::of(grant, person, kept, None));
        self.show(Some(live.session.clone()));
        Ok(live.session.clone())
    }

    fn stored(&self, refresh: &Token, person: &Person) -> Stored {
        Stored::new(refresh.clone(), Holder::of(person), self.settings.origin.clone())
    }

    pub(super) async fn sign_out(&self) -> Result<SignedOut, SignInError> {
        let mut held = self.held.lock().await;
        let _hold = self.entries.hold().await.map_err(SignInError::Keyring)?;
        let stored = match self.entries.read().await {
            Err(VaultError::Absent(_)) => None,
            // What makes no sense is of no use to anybody.
            Err(VaultError::Failed(_)) => {
                self.entries.forget().await.map_err(SignInError::Keyring)?;
                None
            }
            Err(error) => return Err(SignInError::Keyring(error)),
            Ok(stored) => stored,
        };
        let subject = held.live.as_ref().map(|live| live.session.person.subject.clone());
        let ours = stored.filter(|stored| subject.as_deref().is_none_or(|subject| stored.is_of(subject)));
        // What belongs to other places is not told to this one's issuer, whoever says that it is the same.
        if held.live.is_none()
            && ours
                .as_ref()
                .is_some_and(|stored| !stored.is_for(&self.settings.origin))
        {
            return Err(SignInError::OtherOrigin {
                issuer: self.settings.issuer.clone(),
            });
        }
        if ours.is_some() {
            self.entries.forget().await.map_err(SignInError::Keyring)?;
        }
        let (in_memory, signed_in) = (held.stored.take(), held.live.is_some());
        self.over(&mut held, false);
        match ours.or(in_memory) {
            None if signed_in => Ok(SignedOut::HereOnly(SignInError::NotOffered {
                issuer: self.settings.issuer.clone(),
                what: "signing out of a session that cannot be renewed",
            })),
            None => Ok(SignedOut::Nothing),
            Some(stored) => Ok(match self.revoke(&stored.refresh).await {
                Ok(()) => SignedOut::Revoked,
                Err(error) => SignedOut::HereOnly(error),
            }),
        }
    }

    async fn revoke(&self, token: &Token) -> Result<(), SignInError> {
        self.issuer().await?.revoke(token).await
    }

    /// Renews, unless somebody else did while we waited for the lock.
    pub(super) async fn renewed(&self, want: Want, whose: Option<&str>) -> Result<Token, SignInError> {
        let mut held = self.held.lock().await;
        let now = self.clock.now();
        let current = held.live.as_ref().ok_or(SignInError::SignedOut)?;
        current.must_be_of(whose)?;
        if let Some(token) = want.met_by(current, now) {
            return Ok(token);
        }
        // Due for renewal, and still good should that not be possible just now.
        let spare = want.spare(current, now);
        let subject = current.session.person.subject.clone();
        let in_keyring = current.session.kept == Kept::Keyring;
        let _hold = match self.entries.hold().await {
            Ok(hold) => hold,
            Err(error) => return spare.ok_or(SignInError::Keyring(error)),
        };
        let stored = match self.entries.read().await {
            Ok(Some(stored)) if in_keyring && stored.is_of(&subject) => Some(stored),
            // Theirs stays where it is; ours is over.
            Ok(Some(_)) if in_keyring => {
                return Err(self.ended(&mut held, "somebody else has signed in on this computer"));
            }
            // What another process removed is not written back.
            Ok(None) if in_keyring => {
                return Err(self.ended(&mut held, "it was signed out on this computer"));
            }
            // Used without a look at what others made of it, it might end the sign-in of all.
            Err(error) if in_keyring && !matches!(error, VaultError::Absent(_)) => {
                return spare.ok_or(SignInError::Keyring(error));
            }
            _ => held.stored.clone(),
        };
        let Some(stored) = stored else {
            if let Some(spare) = spare {
                return Ok(spare);
            }
            return Err(self.ended(&mut held, "the issuer allows no renewal"));
        };
        match self.renew(&mut held, stored).await {
            Ok(live) => want
                .of(live, self.clock.now())
                .ok_or_else(|| SignInError::NotOffered {
                    issuer: self.settings.issuer.clone(),
                    what: "an ID token with each renewal, which the cloud needs; sign in again",
                }),
            Err(
                error @ (SignInError::Unreachable(_) | SignInError::Identity(_) | SignInError::Nonsense(_)),
            ) => spare.ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// Uses up a refresh token. Whoever calls this must see to it that it is not dropped half-way, and hold the entry.
    pub(super) async fn renew<'h>(
        &self,
        held: &'h mut Held,
        stored: Stored,
    ) -> Result<&'h mut Live, SignInError> {
        let issuer = self.issuer().await?;
        let mut used = stored;
        let mut renewal = issuer.refresh(&used.refresh).await;
        if let Err(SignInError::Ended { .. }) = renewal
            && let Ok(Some(newer)) = self.entries.read().await
            && newer.refresh != used.refresh
        {
            // Another window or terminal was quicker.
            if used
                .holder
                .as_ref()
                .is_some_and(|holder| !newer.is_of(&holder.subject))
            {
                return Err(self.ended(held, "somebody else has signed in on this computer"));
            }
            used = newer;
            renewal = issuer.refresh(&used.refresh).await;
        }
        let renewal = match renewal {
            Ok(renewal) => renewal,
            Err(error @ SignInError::Ended { .. }) => {
                // Its token is worthless; another one, that came meanwhile, is not.
                held.stored = None;
                self.over(held, true);
                if let Ok(Some(stored)) = self.entries.read().await
                    && stored.refresh == used.refresh
                    && let Err(error) = self.entries.forget().await
                {
                    tracing::warn!(%error, "an ended sign-in stays in the keyring");
                }
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        // Kept before it is checked: the one before is used up.
        if let Some(refresh) = renewal.refresh.clone() {
            used.refresh = refresh;
        }
        let mut kept = self.keep(held, used.clone(), false).await;
        if let Some(live) = &mut held.live {
            live.session.kept = kept.clone();
            self.show(Some(live.session.clone()));
        }
        let mut grant = issuer.check(&renewal, used.holder.is_some()).await?;
        let known = used.holder.clone();
        let person = match (grant.person.take(), &known) {
            (Some(said), Some(known)) if said.subject != known.subject => {
                return Err(self.ended(held, "the issuer renewed it for somebody else"));
            }
            (Some(said), _) => said,
            (None, Some(known)) => match &held.live {
                Some(live) if live.session.person.subject == known.subject => live.session.person.clone(),
                _ => known.person(),
            },
            (None, None) => return Err(SignInError::Identity(IdentityTokenFault::Missing)),
        };
        let holder = Holder::of(&person);
        if known.as_ref() != Some(&holder) {
            used.holder = Some(holder);
            kept = self.keep(held, used, false).await;
        }
        if held.live.is_none() {
            self.turn.fetch_add(1, Ordering::AcqRel);
        }
        let earlier = held.live.take().and_then(|live| live.identity);
        let live = held.live.insert(Live::of(grant, person, kept, earlier));
        self.show(Some(live.session.clone()));
        Ok(live)
    }

    /// Keeps a refresh token, before anybody uses what came with it. Only somebody who has just signed in, `anew`, takes
    /// the place of somebody else.
    async fn keep(&self, held: &mut Held, stored: Stored, anew: bool) -> Kept {
        let subject = stored.holder.as_ref().map(|holder| holder.subject.clone());
        if let Some(subject) = subject.filter(|_| !anew)
            && let Ok(Some(there)) = self.entries.read().await
            && !there.is_of(&subject)
        {
            held.stored = Some(stored);
            return Kept::MemoryOnly(VaultError::Failed("it has the sign-in of somebody else".into()));
        }
        let written = self.entries.write(&stored).await;
        held.stored = Some(stored);
        match written {
            Ok(()) => Kept::Keyring,
            Err(error) => {
                tracing::warn!(%error, "the sign-in is kept in memory only");
                // What is still there is used up by now; used again it would end the sign-in.
                let _ = self.entries.forget().await;
                Kept::MemoryOnly(error)
            }
        }
    }

    /// The session is over here; the keyring stays as it is.
    fn ended(&self, held: &mut Held, why: &str) -> SignInError {
        held.stored = None;
        self.over(held, true);
        SignInError::Ended { detail: why.into() }
    }

    fn over(&self, held: &mut Held, by_itself: bool) {
        if held.live.take().is_some() {
            self.turn.fetch_add(1, Ordering::AcqRel);
        }
        self.lapsed.store(by_itself, Ordering::Release);
        self.show(None);
    }
}

impl Live {
    /// `earlier` is the ID token that holds on where no new one came.
    fn of(grant: Grant, person: Person, kept: Kept, earlier: Option<Identity>) -> Self {
        Self {
            access: grant.access,
            renew: grant.asked + (grant.life - MARGIN.min(grant.life / 5)),
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
