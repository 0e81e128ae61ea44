//! Putting the engine's parts together for a command: profile, keyring, sign-in, cloud, radio, journal.

use std::sync::Arc;

use commission::policy::{Limits, Policy};
use engine::ble::Ble;
use engine::cloud::{Broker, Http};
use engine::journal::SqliteJournal;
use engine::ports::{Clock, Cloud, JournalError, Preflight, Radio, Vault};
use engine::run::{Engine, Parts};
use engine::settings::{CloudSettings, Home, Profile, Profiles, Work, WorkError};
use engine::signin::{Kept, Session, SignIn, SignInSettings};
use engine::system::{SystemClock, SystemEntropy};
use engine::vault;

use crate::args::Arguments;
use crate::exit::{Ended, Exit};
use crate::interrupt::Interrupts;
use crate::output::Output;
use crate::person::Person;

/// What every command has: where it speaks, where its files are, and time.
#[derive(Clone)]
pub(crate) struct Base {
    /// Where it speaks.
    pub(crate) out: Output,
    /// Whom it asks.
    pub(crate) person: Person,
    /// Its files.
    pub(crate) home: Home,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Who acts on Ctrl-C.
    pub(crate) interrupts: Interrupts,
    adapter: Option<String>,
    profile: Option<String>,
}

impl Base {
    /// From the command line and the environment.
    pub(crate) fn new(arguments: &Arguments, interrupts: Interrupts) -> Result<Self, Ended> {
        let out = Output::new(arguments.json);
        let home = Home::find().map_err(|error| Ended::new(Exit::Local, "home", error, ""))?;
        Ok(Self {
            person: Person::new(out.clone()),
            out,
            home,
            clock: Arc::new(SystemClock::start()),
            interrupts,
            adapter: arguments.adapter.clone(),
            profile: arguments.profile.clone(),
        })
    }

    /// Bluetooth.
    pub(crate) fn radio(&self) -> Arc<dyn Radio> {
        Arc::new(Ble::new(self.adapter.clone(), Arc::clone(&self.clock)))
    }

    /// The journal.
    pub(crate) fn journal(&self) -> Result<SqliteJournal, Ended> {
        Ok(self.open_journal()?)
    }

    /// The journal, or why there is none.
    pub(crate) fn open_journal(&self) -> Result<SqliteJournal, JournalError> {
        SqliteJournal::open(&self.home.journal())
    }

    /// The right to run jobs with these files, until it is dropped.
    pub(crate) fn work(&self) -> Result<Work, Ended> {
        self.home.work().map_err(|error| match error {
            WorkError::Busy(_) => Ended::new(
                Exit::Local,
                "in-use",
                error,
                "Wait until it has ended, or stop it with Ctrl-C; nothing was started here.",
            ),
            WorkError::File(..) => Ended::new(
                Exit::Local,
                "home",
                error,
                "Check that the disk has room and that the folder is yours to write.",
            ),
        })
    }

    /// The profile that was named, or the current one.
    pub(crate) fn profile(&self) -> Result<Profile, Ended> {
        let profiles = Profiles::new(&self.home);
        let unusable = |error: engine::settings::StoreError| Ended::new(Exit::Local, "profile", error, "");
        match &self.profile {
            Some(name) => profiles.load(name).map_err(unusable),
            None => profiles.current().map_err(unusable)?.ok_or_else(|| {
                Ended::new(
                    Exit::Local,
                    "no-profile",
                    "no organisation profile is imported",
                    "Get the file from your office, then: fieldkey profile import FILE",
                )
            }),
        }
    }

    /// With the profile.
    pub(crate) fn with_profile(self) -> Result<Setup, Ended> {
        let profile = Arc::new(self.profile()?);
        Ok(Setup { base: self, profile })
    }
}

/// A command that works for an organisation.
#[derive(Clone)]
pub(crate) struct Setup {
    base: Base,
    /// The organisation's profile.
    pub(crate) profile: Arc<Profile>,
}

impl std::ops::Deref for Setup {
    type Target = Base;

    fn deref(&self) -> &Base {
        &self.base
    }
}

/// A sign-in that holds.
pub(crate) struct SignedIn {
    /// Where its tokens come from.
    pub(crate) sign_in: SignIn,
    /// Who, and how it is kept.
    pub(crate) session: Session,
    /// The keyring, or memory where there is none.
    pub(crate) vault: Arc<dyn Vault>,
}

impl Setup {
    /// The profile's name, under which secrets are kept.
    pub(crate) fn profile_name(&self) -> &str {
        &self.profile.name
    }

    /// The network that the profile proposes, as text.
    pub(crate) fn default_network(&self) -> Option<String> {
        self.profile.defaults.network.as_ref().map(String::from)
    }

    /// Whether the profile says that this network hides its name.
    pub(crate) fn is_hidden(&self, name: &str) -> bool {
        self.profile
            .networks
            .iter()
            .any(|network| network.hidden && String::from(&network.ssid) == name)
    }

    /// The keyring; an error where there is none, for commands that only make sense with one.
    pub(crate) async fn keyring(&self) -> Result<Arc<dyn Vault>, Ended> {
        match vault::detect().await {
            (vault, None) => Ok(vault),
            (_, Some(error)) => Err(error.into()),
        }
    }

    /// The sign-in over this vault, not restored yet.
    pub(crate) fn sign_in(&self, vault: Arc<dyn Vault>) -> Result<SignIn, Ended> {
        let http = self.http(self.profile.sign_in.ca.as_slice())?;
        Ok(SignIn::new(
            SignInSettings::of(&self.profile),
            Arc::new(http),
            vault,
            Arc::clone(&self.clock),
        ))
    }

    /// The sign-in of an earlier run.
    pub(crate) async fn signed_in(&self) -> Result<SignedIn, Ended> {
        let (vault, trouble) = vault::detect().await;
        if let Some(trouble) = trouble {
            self.out.warn(
                "keyring",
                &format!("{trouble}; an earlier sign-in cannot be found"),
            );
        }
        let sign_in = self.sign_in(Arc::clone(&vault))?;
        match sign_in.restore().await.map_err(sign_in_ended)? {
            Some(session) => Ok(SignedIn {
                sign_in,
                session,
                vault,
            }),
            None => Err((&commission::fault::Fault::SignedOut).into()),
        }
    }

    /// An HTTPS client that trusts these authorities besides the system's.
    fn http(&self, authorities: &[String]) -> Result<Http, Ended> {
        Http::new(authorities, Arc::clone(&self.clock)).map_err(|error| {
            Ended::new(
                Exit::Local,
                "trust",
                error,
                "Import the profile again, as the office gave it.",
            )
        })
    }

    /// The organisation's cloud, as the signed-in person.
    pub(crate) fn cloud(&self, sign_in: &SignIn) -> Result<Arc<dyn Cloud>, Ended> {
        let CloudSettings::Broker { url, ca } = &self.profile.cloud;
        let tokens = Arc::new(sign_in.clone());
        let broker = Broker::new(
            url,
            Arc::new(self.http(ca.as_slice())?),
            tokens,
            Arc::clone(&self.clock),
        )
        .map_err(|error| {
            Ended::new(
                Exit::Local,
                "profile",
                error,
                "Correct the profile and import it again.",
            )
        })?;
        Ok(Arc::new(broker))
    }

    /// Everything that commissioning needs.
    pub(crate) fn parts(&self, signed_in: &SignedIn) -> Result<Parts, Ended> {
        Ok(Parts {
            radio: self.radio(),
            cloud: self.cloud(&signed_in.sign_in)?,
            journal: Arc::new(self.journal()?),
            clock: Arc::clone(&self.clock),
            entropy: Box::new(entropy()?),
            makers: self.profile.makers.clone(),
            person: signed_in.session.person.subject.clone(),
            policy: self.profile.policy.clone(),
            limits: Limits::default(),
        })
    }

    /// Asks the cloud before any device is touched: rights, template, clock.
    pub(crate) async fn check_cloud(&self, cloud: &dyn Cloud) -> Result<Preflight, Ended> {
        let preflight = cloud.preflight().await?;
        if !preflight.rights.iter().any(|right| right == "claim") {
            return Err(Ended::new(
                Exit::Cloud,
                "role-lacks-right",
                format!("{} may not commission devices", preflight.person.name),
                "Ask the office for the installer's role.",
            ));
        }
        if !preflight.template.enabled {
            return Err(Ended::new(
                Exit::Cloud,
                "template-disabled",
                format!(
                    "the provisioning template {} is switched off",
                    preflight.template.name
                ),
                "Ask the office to switch it on; nothing was started.",
            ));
        }
        Ok(preflight)
    }
}

/// An engine that can only listen: nobody needs to be signed in to see what is around.
pub(crate) fn listener(base: &Base) -> Result<Engine, Ended> {
    Ok(Engine::start(Parts {
        radio: base.radio(),
        cloud: Arc::new(crate::nobody::Nobody),
        journal: Arc::new(base.journal()?),
        clock: Arc::clone(&base.clock),
        entropy: Box::new(entropy()?),
        makers: Vec::new(),
        person: String::new(),
        policy: Policy::default(),
        limits: Limits::default(),
    }))
}

/// A sign-in error as a command's end.
pub(crate) fn sign_in_ended(error: engine::signin::SignInError) -> Ended {
    Ended::new(Exit::SignIn, error.code(), error, "")
}

/// What the person should know about where their sign-in is kept.
pub(crate) fn kept_words(kept: &Kept) -> Option<String> {
    match kept {
        Kept::Keyring => None,
        Kept::MemoryOnly(why) => Some(format!(
            "the sign-in is kept in memory only and ends with this command, since {why}"
        )),
        Kept::NotRenewable => {
            Some("the issuer gave no refresh token, so the sign-in ends when this access token does".into())
        }
    }
}

/// The system's random numbers.
pub(crate) fn entropy() -> Result<SystemEntropy, Ended> {
    SystemEntropy::new().map_err(|error| Ended::new(Exit::Local, "entropy", error, ""))
}
