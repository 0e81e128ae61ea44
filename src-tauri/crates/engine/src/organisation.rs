//! An organisation profile brought to life: its sign-in, its cloud, and all that commissioning needs of them.

use std::sync::Arc;

use commission::organisation::OrganisationId;
use commission::policy::Limits;
use commission::secret::Entropy;
use thiserror::Error;

use crate::cloud::aws::bulk::Tasks;
use crate::cloud::{AddressError, AwsIot, Broker, Http, HttpSetupError, PlaceError};
use crate::ports::{Clock, Cloud, Journal, Radio, Vault};
use crate::run::Parts;
use crate::settings::{CloudSettings, Profile, Work};
use crate::signin::{Session, SignIn, SignInSettings};
use crate::system::SystemClock;
use crate::vault::MemoryVault;

/// Why a profile that reads well cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrganisationError {
    /// Its authorities, or those of this system.
    #[error(transparent)]
    Trust(#[from] HttpSetupError),
    /// Its cloud's address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Its cloud's region.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// A profile and the clock that everything of it counts by.
#[derive(Clone)]
pub struct Organisation {
    profile: Arc<Profile>,
    clock: Arc<dyn Clock>,
}

impl Organisation {
    /// The organisation of this profile.
    pub fn new(profile: Arc<Profile>, clock: Arc<dyn Clock>) -> Self {
        Self { profile, clock }
    }

    /// Whether a profile could be used: its authorities, addresses and region are some.
    ///
    /// # Errors
    /// [`OrganisationError`].
    pub fn check(profile: &Profile) -> Result<(), OrganisationError> {
        let organisation = Self::new(Arc::new(profile.clone()), Arc::new(SystemClock::start()));
        let sign_in = organisation.sign_in(Arc::new(MemoryVault::default()))?;
        organisation.cloud(&sign_in).map(drop)
    }

    /// Its profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The authority that its jobs belong to.
    pub fn id(&self) -> OrganisationId {
        self.profile.organisation()
    }

    /// Its sign-in over this vault; nothing of an earlier run is taken up yet.
    ///
    /// # Errors
    /// [`OrganisationError::Trust`].
    pub fn sign_in(&self, vault: Arc<dyn Vault>) -> Result<SignIn, OrganisationError> {
        let http = Http::new(self.profile.sign_in.ca.as_slice(), Arc::clone(&self.clock))?;
        Ok(SignIn::new(
            SignInSettings::of(&self.profile),
            Arc::new(http),
            vault,
            Arc::clone(&self.clock),
        ))
    }

    /// Its cloud, as whoever is signed in when it is first asked, and as nobody else: whoever comes next needs another.
    ///
    /// # Errors
    /// [`OrganisationError`].
    pub fn cloud(&self, sign_in: &SignIn) -> Result<Arc<dyn Cloud>, OrganisationError> {
        let http = |ca: &Option<String>| {
            let http = Http::new(ca.as_slice(), Arc::clone(&self.clock))?;
            Ok::<_, OrganisationError>(Arc::new(http))
        };
        let (person, clock) = (Arc::new(sign_in.of_one()), Arc::clone(&self.clock));
        match &self.profile.cloud {
            CloudSettings::Broker { url, ca } => Ok(Arc::new(Broker::new(url, http(ca)?, person, clock)?)),
            CloudSettings::AwsIot(aws) => {
                let exchange = http(&aws.ca)?;
                Ok(Arc::new(AwsIot::new((**aws).clone(), exchange, person, clock)?))
            }
        }
    }

    /// Bulk registration in its account, with keys that may pass on this role; none where its cloud is no AWS account.
    ///
    /// # Errors
    /// [`OrganisationError`].
    pub fn bulk(&self, sign_in: &SignIn, passed: Option<&str>) -> Result<Option<Tasks>, OrganisationError> {
        let CloudSettings::AwsIot(aws) = &self.profile.cloud else {
            return Ok(None);
        };
        let http = Http::new(aws.ca.as_slice(), Arc::clone(&self.clock))?;
        let (person, clock) = (Arc::new(sign_in.of_one()), Arc::clone(&self.clock));
        let tasks = Tasks::new((**aws).clone(), Arc::new(http), person, clock, passed)?;
        Ok(Some(tasks))
    }

    /// Everything that commissioning needs.
    pub fn parts(
        &self,
        session: &Session,
        cloud: Arc<dyn Cloud>,
        radio: Arc<dyn Radio>,
        journal: Arc<dyn Journal>,
        work: Arc<Work>,
        entropy: Box<dyn Entropy + Send>,
    ) -> Parts {
        Parts {
            radio,
            cloud,
            journal,
            work: Some(work),
            organisation: Some(self.id()),
            clock: Arc::clone(&self.clock),
            entropy,
            makers: self.profile.makers.clone(),
            person: session.person.subject.clone(),
            policy: self.profile.policy.clone(),
            limits: Limits::default(),
        }
    }
}
