//! Putting the engine's parts together for a command: profile, keyring, sign-in, cloud, radio, journal.

use std::sync::Arc;

use commission::policy::{Limits, Policy};
use commission::rights::May;
use engine::ble::Ble;
use engine::cloud::Nobody;
use engine::cloud::aws::bulk::Tasks;
use engine::journal::SqliteJournal;
use engine::organisation::{Organisation, OrganisationError};
use engine::ports::{Clock, Cloud, JournalError, Preflight, Radio, Vault};
use engine::run::{Engine, Parts};
use engine::settings::{HOME_VARIABLE, Home, Profile, ProfileSite, Profiles, StoreError, Work, WorkError};
use engine::signin::{Kept, Session, SignIn, SignInError};
use engine::system::{SystemClock, SystemEntropy};
use engine::vault;

use crate::args::Arguments;
use crate::exit::{Ended, Exit};
use crate::interrupt::{Interrupts, Terminal};
use crate::output::Output;
use crate::person::Person;

/// What to do where nobody is signed in.
const SIGN_IN: &str = "Sign in: fieldkey sign-in";

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
    pub(crate) fn new(
        arguments: &Arguments,
        out: Output,
        interrupts: Interrupts,
        terminal: Terminal,
    ) -> Result<Self, Ended> {
        let home = Home::find().map_err(|error| {
            let now = format!("Set {HOME_VARIABLE} to an absolute path, or unset it.");
            Ended::new(Exit::Local, "home", error, now)
        })?;
        Ok(Self {
            person: Person::new(out.clone(), interrupts.clone(), terminal),
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

    /// The right to run jobs with these files, until it is dropped and the engine that has it has ended.
    pub(crate) fn work(&self) -> Result<Arc<Work>, Ended> {
        self.home.work().map(Arc::new).map_err(|error| match error {
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
        let unusable = |error: StoreError| {
            let now = match &error {
                StoreError::Unknown { .. } => {
                    "Name one that there is, or import it first: fieldkey profile import FILE"
                }
                _ => "Import the profile again, as the office gave it: fieldkey profile import FILE",
            };
            Ended::new(Exit::Local, "profile", error, now)
        };
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

    /// The site of this name, or the one that the profile has for nobody's choice.
    pub(crate) fn site(&self, name: Option<&str>) -> Result<Option<&ProfileSite>, Ended> {
        let Some(name) = name else {
            return Ok(self.profile.usual_site());
        };
        let site = self.profile.site(name).ok_or_else(|| {
            let known: Vec<&str> = self.profile.sites.iter().map(|site| site.name.as_str()).collect();
            let now = if known.is_empty() {
                "Leave --site out, or ask the office for a profile with sites.".to_owned()
            } else {
                format!("Name one that it has: {}.", known.join(", "))
            };
            Ended::usage(format!("the profile has no site {name:?}"), now)
        })?;
        Ok(Some(site))
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
        self.organisation().sign_in(vault).map_err(unusable)
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
            // Nothing was begun, so that there is nothing to resume.
            None => Err(Ended {
                now: SIGN_IN.into(),
                ..(&commission::fault::Fault::SignedOut).into()
            }),
        }
    }

    /// The organisation's cloud, as the signed-in person.
    pub(crate) fn cloud(&self, sign_in: &SignIn) -> Result<Arc<dyn Cloud>, Ended> {
        self.organisation().cloud(sign_in).map_err(unusable)
    }

    /// Bulk registration, as the signed-in person; none where the profile names no AWS account.
    pub(crate) fn bulk(&self, sign_in: &SignIn, passed: Option<&str>) -> Result<Option<Tasks>, Ended> {
        self.organisation().bulk(sign_in, passed).map_err(unusable)
    }

    /// Everything that commissioning needs.
    pub(crate) fn parts(&self, signed_in: &SignedIn, work: &Arc<Work>) -> Result<Parts, Ended> {
        let cloud = self.cloud(&signed_in.sign_in)?;
        let (journal, entropy) = (Arc::new(self.journal()?), Box::new(entropy()?));
        let organisation = self.organisation();
        let work = Arc::clone(work);
        Ok(organisation.parts(&signed_in.session, cloud, self.radio(), journal, work, entropy))
    }

    fn organisation(&self) -> Organisation {
        Organisation::new(Arc::clone(&self.profile), Arc::clone(&self.clock))
    }

    /// Asks the cloud before any device is touched: rights, template, clock.
    pub(crate) async fn check_cloud(&self, cloud: &dyn Cloud) -> Result<Preflight, Ended> {
        let preflight = cloud.preflight().await?;
        match preflight.may_commission() {
            May::Yes | May::NotFromHere => Ok(preflight),
            May::RoleLacksRight => Err(Ended::new(
                Exit::Cloud,
                "role-lacks-right",
                format!("{} may not commission devices", preflight.person.name),
                "Ask the office for the installer's role.",
            )),
            May::TemplateOff => Err(Ended::new(
                Exit::Cloud,
                "template-disabled",
                format!(
                    "the provisioning template {} is switched off",
                    preflight.template.name
                ),
                "Ask the office to switch it on; nothing was started.",
            )),
        }
    }
}

/// A profile that reads well and cannot be used.
fn unusable(error: OrganisationError) -> Ended {
    match error {
        OrganisationError::Trust(_) => Ended::new(
            Exit::Local,
            "trust",
            error,
            "Import the profile again, as the office gave it.",
        ),
        OrganisationError::Address(_) | OrganisationError::Place(_) => Ended::new(
            Exit::Local,
            "profile",
            error,
            "Correct the profile and import it again.",
        ),
    }
}

/// An engine that can only listen: nobody needs to be signed in to see what is around.
pub(crate) fn listener(base: &Base) -> Result<Engine, Ended> {
    Ok(Engine::start(Parts {
        radio: base.radio(),
        cloud: Arc::new(Nobody),
        journal: Arc::new(base.journal()?),
        work: None,
        organisation: None,
        clock: Arc::clone(&base.clock),
        entropy: Box::new(entropy()?),
        makers: Vec::new(),
        person: String::new(),
        policy: Policy::default(),
        limits: Limits::default(),
    }))
}

/// A sign-in error as a command's end.
pub(crate) fn sign_in_ended(error: SignInError) -> Ended {
    let now = match &error {
        SignInError::SignedOut | SignInError::Ended { .. } | SignInError::OtherOrigin { .. } => SIGN_IN,
        SignInError::Unreachable(_) => {
            "Check this computer's connection; fieldkey doctor looks at the issuer and all else that work needs."
        }
        SignInError::Cancelled | SignInError::TimedOut | SignInError::Denied => {
            "Start again: fieldkey sign-in"
        }
        SignInError::Discovery { .. }
        | SignInError::NotOffered { .. }
        | SignInError::ClientUnknown { .. } => "Ask the office for a profile that fits the issuer.",
        _ => "Try again: fieldkey sign-in; if it stays so, fieldkey doctor says more.",
    };
    Ended::new(Exit::SignIn, error.code(), error, now)
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
