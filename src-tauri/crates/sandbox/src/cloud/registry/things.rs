//! Things and their credentials, as the broker shows and changes them.

use super::{
    Certificate, CertificateStatus, Claim, PrincipalView, Purpose, Registry, Release, ReleasedView, State,
    ThingView,
};
use crate::cloud::broker::{Code, Problem, Right};

/// Under what a credential is changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Touch<'a> {
    /// The claim that the work belongs to, if any.
    pub(crate) claim: Option<&'a str>,
    /// Whether the person may issue claims.
    pub(crate) may_claim: bool,
    /// Whether the person may take devices over.
    pub(crate) may_transfer: bool,
}

impl Registry {
    /// The things that support sees, by name.
    pub(crate) fn released(&self) -> Vec<ReleasedView> {
        let state = self.state();
        let released = state.things.iter().filter_map(|(name, thing)| {
            let released_at = thing.released.as_ref()?.at;
            Some(ReleasedView {
                thing: state.thing_view(name)?,
                released_at,
            })
        });
        released.collect()
    }

    /// Shows a thing to support, if the claim led to it and it is proven to work. Gives when that was.
    pub(crate) fn release(&self, name: &str, claim_id: &str) -> Result<i64, Problem> {
        let at = self.now();
        let mut state = self.state();
        state.must_have_thing(name)?;
        let claim = state.claim(claim_id)?;
        let led_to = claim.principal.as_ref().filter(|_| state.is_for(claim, name));
        let Some(led_to) = led_to else {
            return Err(not_verified(format!("The claim has not led to {name}.")));
        };
        match state.active(name).as_slice() {
            [(id, _)] if *id != led_to => {
                let detail = format!("{name} works with another credential than this claim's.");
                return Err(not_verified(detail));
            }
            [(_, only)] if only.last_online.is_some_and(|seen| seen >= claim.issued) => {}
            [(_, _)] => {
                return Err(not_verified(format!(
                    "{name} was not seen online since the claim was issued."
                )));
            }
            several => {
                let count = several.len();
                let detail = format!("{name} has {count} active credentials; there must be exactly one.");
                return Err(not_verified(detail));
            }
        }
        let thing = state.things.get_mut(name).ok_or_else(Problem::internal)?;
        let same = thing
            .released
            .as_ref()
            .filter(|release| release.claim == claim_id);
        let released_at = same.map_or(at, |release| release.at);
        thing.released = Some(Release {
            claim: claim_id.into(),
            at: released_at,
        });
        drop(state);
        self.changed();
        Ok(released_at)
    }

    /// Whether a credential is to be stopped or started, which is allowed then: new before old on a service visit, old
    /// before new on a transfer. False where it is so already.
    pub(crate) fn may_set_active(
        &self,
        name: &str,
        id: &str,
        touch: Touch<'_>,
        active: bool,
    ) -> Result<bool, Problem> {
        let mut state = self.state();
        state.must_have_thing(name)?;
        state.allows(name, id, touch, !active)?;
        let Some(certificate) = state.attached(name, id) else {
            return Err(Problem::new(
                Code::PrincipalNotFound,
                format!("{name} has no credential {id}."),
            ));
        };
        Ok((certificate.status == CertificateStatus::Active) != active)
    }

    /// What is left to do to delete a credential, which is allowed then.
    pub(crate) fn may_delete(&self, name: &str, id: &str, touch: Touch<'_>) -> Result<Deletion, Problem> {
        let mut state = self.state();
        state.must_have_thing(name)?;
        state.allows(name, id, touch, true)?;
        match state.attached(name, id) {
            Some(certificate) if certificate.status == CertificateStatus::Active => {
                let detail = format!("{id} is active. Deactivate it first.");
                Err(Problem::new(Code::StillActive, detail))
            }
            Some(_) => Ok(Deletion::Attached),
            // An earlier try may have come no further than to detach it.
            None => Ok(match state.certificates.get(id) {
                Some(left) if left.thing.is_none() && left.status == CertificateStatus::Inactive => {
                    Deletion::Detached
                }
                _ => Deletion::Done,
            }),
        }
    }

    /// A thing as the broker shows it.
    pub(crate) fn view(&self, name: &str) -> Option<ThingView> {
        self.state().thing_view(name)
    }
}

/// What is left to do of deleting a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// Nothing: it is gone.
    Done,
    /// To delete it.
    Detached,
    /// To detach it first.
    Attached,
}

impl State {
    pub(super) fn thing_view(&self, name: &str) -> Option<ThingView> {
        let thing = self.things.get(name)?;
        let view = |(id, made): (&String, &Certificate)| PrincipalView {
            id: id.clone(),
            status: made.status,
        };
        let client = self.clients.get(name);
        let connection = client.and_then(|client| client.connection.as_ref());
        Some(ThingView {
            name: name.into(),
            version: thing.version,
            principals: self.principals(name).into_iter().map(view).collect(),
            connected: connection.is_some(),
            connected_at: connection.map(|connection| connection.at),
            connected_principal: connection.map(|connection| connection.principal.clone()),
            last_connected_at: client.and_then(|client| client.last_connected_at),
        })
    }

    /// Whether a credential may be changed; `takes_away` if it works no longer after that.
    fn allows(&self, name: &str, id: &str, touch: Touch<'_>, takes_away: bool) -> Result<(), Problem> {
        let claim = touch.claim.map(|claim_id| self.claim(claim_id)).transpose()?;
        let Some(claim) = claim.filter(|claim| claim.purpose != Purpose::Transfer) else {
            return if touch.may_transfer {
                Ok(())
            } else {
                Err(Problem::lacks(Right::Transfer))
            };
        };
        if !touch.may_claim {
            return Err(Problem::lacks(Right::Claim));
        }
        if !self.is_for(claim, name) {
            return Err(not_verified(format!("The claim has not led to {name}.")));
        }
        let new = claim.principal.as_ref().filter(|new| *new != id);
        let proven = new.and_then(|new| self.certificates.get(new)).is_some_and(|new| {
            let seen = new.last_online.is_some_and(|seen| seen >= claim.issued);
            new.status == CertificateStatus::Active && seen
        });
        if takes_away && !proven {
            return Err(not_verified(format!(
                "The new credential of {name} was not seen online yet."
            )));
        }
        Ok(())
    }

    fn claim(&self, claim_id: &str) -> Result<&Claim, Problem> {
        let missing = || Problem::new(Code::ClaimNotFound, "There is no such claim.");
        self.claims.get(claim_id).ok_or_else(missing)
    }

    fn must_have_thing(&self, name: &str) -> Result<(), Problem> {
        let missing = || Problem::new(Code::ThingNotFound, format!("{name} is not registered."));
        self.things.get(name).map(drop).ok_or_else(missing)
    }

    fn is_for(&self, claim: &Claim, name: &str) -> bool {
        self.things
            .get(name)
            .is_some_and(|thing| claim.serial.as_ref() == Some(&thing.serial))
    }

    fn attached(&mut self, name: &str, id: &str) -> Option<&mut Certificate> {
        self.certificates
            .get_mut(id)
            .filter(|made| made.thing.as_deref() == Some(name))
    }

    pub(super) fn touched(&mut self, name: &str) {
        if let Some(thing) = self.things.get_mut(name) {
            thing.version += 1;
        }
    }
}

fn not_verified(detail: String) -> Problem {
    Problem::new(Code::NotVerified, detail)
}
