//! The look at everything before anybody climbs a ladder: adapter, keyring, journal, issuer, sign-in, cloud, clock.
//!
//! Each finding says how it is and, where it is not well, what to do about it. Nothing is repaired here, and nothing
//! is asked that a real job would not ask.

use std::future::Future;
use std::time::Duration;

use commission::fault::CloudError;
use commission::flow::JobId;
use commission::gatt::LinkError;
use serde::Serialize;

use crate::ports::{
    Adapter, Clock, Cloud, Journal, JournalError, Preflight, Radio, Vault, VaultEntry, VaultError,
};
use crate::signin::{Kept, SignIn, SignInError};

/// The system's Bluetooth answers at once or is stuck.
const RADIO_TIME: Duration = Duration::from_secs(10);
/// A person may be typing the keyring's password.
const KEYRING_TIME: Duration = Duration::from_secs(60);
/// Clocks closer than this are right.
const CLOCK_CLOSE: u64 = 60;
/// From here on certificates begin to look expired or not yet valid.
const CLOCK_FAR: u64 = 24 * 3600;
/// What commissioning needs.
const RIGHTS: [&str; 4] = ["claim", "observe", "retire", "release"];

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Part {
    /// The Bluetooth adapter.
    Bluetooth,
    /// The system's keyring.
    Keyring,
    /// The journal.
    Journal,
    /// The organisation profile.
    Profile,
    /// The issuer.
    Issuer,
    /// The sign-in.
    SignIn,
    /// The cloud.
    Cloud,
    /// The provisioning template.
    Template,
    /// What the person may do.
    Rights,
    /// This computer's clock.
    Clock,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Health {
    /// Well.
    Ok,
    /// Work can begin, with what the detail says in mind.
    Warn,
    /// No device can be commissioned like this.
    Bad,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Finding {
    /// What was looked at.
    pub what: Part,
    /// How it is.
    pub state: Health,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Finding {
    fn ok(what: Part, detail: impl Into<String>) -> Self {
        Self {
            what,
            state: Health::Ok,
            detail: detail.into(),
            advice: None,
        }
    }

    fn warn(what: Part, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            what,
            state: Health::Warn,
            detail: detail.into(),
            advice: Some(advice.into()),
        }
    }

    fn bad(what: Part, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            state: Health::Bad,
            ..Self::warn(what, detail, advice)
        }
    }
}

/// The chosen organisation profile, brought to life.
pub struct Organisation<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its sign-in.
    pub signin: &'a SignIn,
    /// Its cloud.
    pub cloud: &'a dyn Cloud,
}

/// What is looked at.
pub struct Doctor<'a> {
    /// Bluetooth.
    pub radio: &'a dyn Radio,
    /// The keyring.
    pub vault: &'a dyn Vault,
    /// The journal, or why it did not open.
    pub journal: Result<&'a dyn Journal, JournalError>,
    /// Jobs that this program has in work, whose end is to come.
    pub in_work: Vec<JobId>,
    /// The organisation; none before a profile was imported.
    pub organisation: Option<Organisation<'a>>,
    /// Time.
    pub clock: &'a dyn Clock,
}

impl Doctor<'_> {
    /// Looks at everything; the findings come in the order of [`Part`].
    pub async fn look(&self) -> Vec<Finding> {
        let (bluetooth, keyring, journal, organisation) = tokio::join!(
            self.bluetooth(),
            self.keyring(),
            self.journal(),
            self.organisation()
        );
        let mut findings = vec![bluetooth, keyring, journal];
        findings.extend(organisation);
        findings
    }

    async fn bluetooth(&self) -> Finding {
        let what = Part::Bluetooth;
        match within(self.clock, RADIO_TIME, self.radio.adapters()).await {
            None => Finding::bad(
                what,
                "The system's Bluetooth does not answer.",
                "Switch Bluetooth off and on; if that does not help, restart the computer.",
            ),
            Some(Err(error)) => Finding::bad(what, sentence(&error), bluetooth_advice(&error)),
            Some(Ok(adapters)) if adapters.is_empty() => {
                let error = LinkError::NoAdapter;
                Finding::bad(what, sentence(&error), bluetooth_advice(&error))
            }
            Some(Ok(adapters)) => {
                let list = adapters.iter().map(adapter_words).collect::<Vec<_>>().join(", ");
                if adapters.iter().any(|adapter| adapter.powered) {
                    Finding::ok(what, list)
                } else {
                    Finding::bad(what, list, bluetooth_advice(&LinkError::AdapterOff))
                }
            }
        }
    }

    async fn keyring(&self) -> Finding {
        let what = Part::Keyring;
        // One that there is, since a locked keyring tells what it has not.
        let nothing = || VaultEntry::SignIn {
            issuer: String::new(),
            client: String::new(),
        };
        let organisation = self.organisation.as_ref();
        let entry = organisation.map_or_else(nothing, |organisation| organisation.signin.entry());
        match within(self.clock, KEYRING_TIME, self.vault.read(&entry)).await {
            Some(Ok(_)) => Finding::ok(what, "The keyring is open."),
            Some(Err(error @ VaultError::Absent(_))) => Finding::warn(
                what,
                sentence(&error),
                "The sign-in will end with the program, and passphrases must be typed each time. On Linux, install and \
                 start a Secret Service such as gnome-keyring.",
            ),
            Some(Err(error @ VaultError::Locked)) => Finding::warn(
                what,
                sentence(&error),
                "Unlock the keyring, or sign in anew each time.",
            ),
            Some(Err(error @ (VaultError::Failed(_) | VaultError::Busy))) => Finding::warn(
                what,
                sentence(&error),
                "Restart the keyring or the computer; until then the sign-in ends with the program.",
            ),
            None => Finding::warn(
                what,
                "The keyring does not answer.",
                "Look for its password window, perhaps behind another one.",
            ),
        }
    }

    async fn journal(&self) -> Finding {
        let what = Part::Journal;
        let checked = match &self.journal {
            Err(error) => Err(error.clone()),
            Ok(journal) => match journal.verify().await {
                Ok(entries) => journal.unfinished().await.map(|mut open| {
                    open.retain(|job| !self.in_work.contains(job));
                    (entries, open.len())
                }),
                Err(error) => Err(error),
            },
        };
        match checked {
            Ok((entries, 0)) => Finding::ok(what, format!("{entries} entries, all sound.")),
            Ok((_, open)) => Finding::warn(
                what,
                match open {
                    1 => "1 device was begun and has no end yet.".to_owned(),
                    _ => format!("{open} devices were begun and have no end yet."),
                },
                "Finish or undo them with: fieldkey resume",
            ),
            Err(error @ JournalError::Storage(_)) => Finding::bad(
                what,
                sentence(&error),
                "Check that the disk has room and that the folder may be written; without a journal nothing is begun.",
            ),
            Err(error @ JournalError::Broken(_)) => Finding::bad(
                what,
                sentence(&error),
                "Keep the file as it is and show it to the office; move it away to begin a new one.",
            ),
            Err(error @ JournalError::Unreadable(_)) => {
                Finding::bad(what, sentence(&error), "Install the newest version of Fieldkey.")
            }
        }
    }

    async fn organisation(&self) -> Vec<Finding> {
        let Some(organisation) = &self.organisation else {
            return vec![Finding::bad(
                Part::Profile,
                "No organisation profile is chosen.",
                "Import the file that the office gave you with: fieldkey profile import FILE",
            )];
        };
        let mut findings = vec![Finding::ok(Part::Profile, organisation.name)];
        let mut ahead = match organisation.signin.check_issuer().await {
            Ok(ahead) => {
                findings.push(Finding::ok(Part::Issuer, "The issuer answers."));
                ahead
            }
            Err(error) => {
                findings.push(issuer_finding(&error));
                None
            }
        };
        let signed_in = match organisation.signin.restore().await {
            Ok(Some(session)) => {
                let name = &session.person.name;
                findings.push(match session.kept {
                    Kept::Keyring => Finding::ok(Part::SignIn, format!("Signed in as {name}.")),
                    Kept::MemoryOnly(_) => Finding::warn(
                        Part::SignIn,
                        format!("Signed in as {name} until the program ends."),
                        "See to the keyring, then sign in again.",
                    ),
                    Kept::NotRenewable => Finding::warn(
                        Part::SignIn,
                        format!("Signed in as {name} for a short time: the issuer allows no renewal."),
                        "Ask the office to allow the scope offline_access for Fieldkey.",
                    ),
                });
                true
            }
            Ok(None) => {
                findings.push(Finding::bad(
                    Part::SignIn,
                    "Nobody is signed in.",
                    "Sign in with: fieldkey sign-in",
                ));
                false
            }
            Err(error) => {
                findings.push(signin_finding(&error));
                false
            }
        };
        if signed_in {
            match organisation.cloud.preflight().await {
                Ok(preflight) => {
                    ahead = preflight.clock_ahead.or(ahead);
                    findings.extend(cloud_findings(&preflight));
                    findings.extend(examined(organisation.cloud.examine().await));
                }
                Err(error) => findings.push(cloud_failure(&error)),
            }
        }
        findings.push(clock_finding(ahead));
        findings
    }
}

async fn within<T>(clock: &dyn Clock, time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let deadline = clock.now() + time;
    tokio::select! {
        biased;
        done = work => Some(done),
        () = clock.sleep_until(deadline) => None,
    }
}

fn adapter_words(adapter: &Adapter) -> String {
    let state = if adapter.powered { "on" } else { "off" };
    if adapter.name.is_empty() || adapter.name == adapter.id {
        format!("{}: {state}", adapter.id)
    } else {
        format!("{} ({}): {state}", adapter.id, adapter.name)
    }
}

fn bluetooth_advice(error: &LinkError) -> &'static str {
    match error {
        LinkError::AdapterOff => "Switch Bluetooth on.",
        LinkError::NoAdapter => "Plug an adapter in; if there is one, see that no switch (rfkill) blocks it.",
        LinkError::NoService => "Start the Bluetooth service (on Linux: systemctl start bluetooth).",
        LinkError::NoPermission => "Allow Bluetooth for Fieldkey in the system settings.",
        _ => "Switch Bluetooth off and on, then look again.",
    }
}

fn issuer_finding(error: &SignInError) -> Finding {
    let advice = match error {
        SignInError::Unreachable(_) => "See that this computer is online; then look again.",
        _ => "Ask the office for a corrected organisation profile.",
    };
    Finding::bad(Part::Issuer, sentence(error), advice)
}

fn signin_finding(error: &SignInError) -> Finding {
    match error {
        SignInError::Unreachable(_) => Finding::bad(
            Part::SignIn,
            "The sign-in is kept, but cannot be renewed while the issuer does not answer.",
            "See that this computer is online; then look again.",
        ),
        SignInError::Keyring(_) => Finding::bad(
            Part::SignIn,
            sentence(error),
            "Unlock the keyring, or sign in again.",
        ),
        _ => Finding::bad(Part::SignIn, sentence(error), "Sign in with: fieldkey sign-in"),
    }
}

fn cloud_findings(preflight: &Preflight) -> Vec<Finding> {
    let person = &preflight.person;
    let cloud = Finding::ok(
        Part::Cloud,
        format!(
            "{}; devices go to {}:{}.",
            preflight.cloud, preflight.endpoint.host, preflight.endpoint.port
        ),
    );
    let template = if preflight.template.name.is_empty() {
        None
    } else if preflight.template.enabled {
        Some(Finding::ok(
            Part::Template,
            format!("{} is on.", preflight.template.name),
        ))
    } else {
        Some(Finding::bad(
            Part::Template,
            format!("{} is switched off.", preflight.template.name),
            "Ask an administrator of the cloud to switch it on; until then every enrolment would be refused.",
        ))
    };
    let missing: Vec<&str> = RIGHTS
        .into_iter()
        .filter(|right| !preflight.rights.iter().any(|have| have == right))
        .collect();
    let rights = if missing.is_empty() {
        Finding::ok(Part::Rights, format!("{} may commission devices.", person.name))
    } else {
        Finding::bad(
            Part::Rights,
            format!("{} lacks the rights: {}.", person.name, missing.join(", ")),
            "Ask the office for the role of an installer, or sign in as another person.",
        )
    };
    let remarks = preflight.remarks.iter().map(|remark| {
        Finding::warn(
            Part::Template,
            remark,
            "Show this to the office; it can be set right in the cloud's account.",
        )
    });
    let way = preflight
        .way
        .iter()
        .map(|way| Finding::ok(Part::Template, way.says()));
    let mut findings = vec![cloud];
    findings.extend(template);
    findings.extend(way);
    findings.extend(remarks);
    findings.push(rights);
    findings
}

/// What a closer look at the rights found.
fn examined(result: Result<Vec<String>, CloudError>) -> Vec<Finding> {
    match result {
        Ok(missing) => {
            let advice = "Ask the office to allow it for the role of installers.";
            let missing = missing.into_iter();
            missing
                .map(|missing| Finding::warn(Part::Rights, missing, advice))
                .collect()
        }
        Err(error) => vec![cloud_failure(&error)],
    }
}

fn cloud_failure(error: &CloudError) -> Finding {
    let advice = match error {
        CloudError::SignedOut => "Sign in with: fieldkey sign-in",
        CloudError::Unreachable(_) => "See that this computer is online; then look again.",
        CloudError::Throttled { .. } => "Wait a minute, then look again.",
        CloudError::Refused { .. } | CloudError::Nonsense(_) => {
            "Show this to the office; the cloud's address or settings may be wrong."
        }
    };
    Finding::bad(Part::Cloud, sentence(error), advice)
}

fn clock_finding(ahead: Option<i64>) -> Finding {
    let what = Part::Clock;
    let Some(ahead) = ahead else {
        return Finding::warn(
            what,
            "Nobody could be asked what time it is.",
            "Check the clock by hand.",
        );
    };
    let off = ahead.unsigned_abs();
    let side = if ahead > 0 { "fast" } else { "slow" };
    let detail = format!("This computer's clock is {} {side}.", span(off));
    let advice = "Set the computer's date and time, best to automatic.";
    if off < CLOCK_CLOSE {
        Finding::ok(what, "This computer's clock is right.")
    } else if off < CLOCK_FAR {
        Finding::warn(what, detail, advice)
    } else {
        Finding::bad(what, detail, advice)
    }
}

/// The largest whole unit; a person needs no more to know what is wrong.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// An error's words with a capital and a full stop.
fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .map(|first| first.to_uppercase().collect())
        .unwrap_or_default();
    let stop = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

#[cfg(test)]
mod tests;
