//! Which token a caller needs of a sign-in, and whether what there is does.

use commission::secret::Token;
use commission::time::Moment;

use super::MARGIN;
use super::issuer::IdentityToken;
use super::life::Live;

/// The issuer's statement about the person, as it signed it.
#[derive(Clone)]
pub(super) struct Identity {
    token: Token,
    /// From here on it is renewed.
    renew: Moment,
    expires: Moment,
}

impl Identity {
    pub(super) fn of(granted: &IdentityToken, asked: Moment) -> Self {
        Self {
            token: granted.token.clone(),
            renew: asked + (granted.life - MARGIN.min(granted.life / 5)),
            expires: asked + granted.life,
        }
    }

    fn token(&self) -> Token {
        self.token.clone()
    }
}

/// Which token a caller needs.
pub(super) enum Want {
    /// An access token that lives for a while yet.
    Lasting,
    /// An access token, since the cloud refused this one.
    OtherThan(Token),
    /// An ID token that lives for a while yet.
    Identity,
    /// An ID token, since the cloud refused this one.
    IdentityOtherThan(Token),
}

impl Want {
    /// The token, where what there is does.
    pub(super) fn met_by(&self, live: &Live, now: Moment) -> Option<Token> {
        match self {
            Self::Lasting => (now < live.renew).then(|| live.access.clone()),
            Self::OtherThan(refused) => (live.access != *refused).then(|| live.access.clone()),
            Self::Identity => live
                .identity
                .as_ref()
                .filter(|held| now < held.renew)
                .map(Identity::token),
            Self::IdentityOtherThan(refused) => live
                .identity
                .as_ref()
                .filter(|held| held.token != *refused && now < held.expires)
                .map(Identity::token),
        }
    }

    /// The token, where it is due for renewal and does for now.
    pub(super) fn spare(&self, live: &Live, now: Moment) -> Option<Token> {
        match self {
            Self::Lasting => (now < live.session.expires).then(|| live.access.clone()),
            Self::Identity => live
                .identity
                .as_ref()
                .filter(|held| now < held.expires)
                .map(Identity::token),
            Self::OtherThan(_) | Self::IdentityOtherThan(_) => None,
        }
    }

    /// The token after a renewal, which may be short-lived; none where the renewal did not bring it.
    pub(super) fn of(&self, live: &Live, now: Moment) -> Option<Token> {
        match self {
            Self::Lasting | Self::OtherThan(_) => Some(live.access.clone()),
            Self::Identity => self.spare(live, now),
            Self::IdentityOtherThan(_) => self.met_by(live, now),
        }
    }
}
