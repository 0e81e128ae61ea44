//! The look at everything before anybody climbs a ladder: adapter, keyring, journal, issuer, sign-in, cloud, clock.
//!
//! Each finding says how it is and, where it is not well, what to do about it. Nothing is repaired here, and nothing
//! is asked that a real job would not ask.

use std::future::Future;
use std::time::Duration;

use commission::fault::CloudError;
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
        let entry = VaultEntry::RefreshToken {
            profile: self
                .organisation
                .as_ref()
                .map_or_else(String::new, |organisation| organisation.name.to_owned()),
        };
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
            Some(Err(error @ VaultError::Failed(_))) => Finding::warn(
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
                Ok(entries) => journal.unfinished().await.map(|open| (entries, open.len())),
                Err(error) => Err(error),
            },
        };
        match checked {
            Ok((entries, 0)) => Finding::ok(what, format!("{entries} entries, all sound.")),
            Ok((_, open)) => Finding::warn(
                what,
                format!("{open} devices were begun and have no end yet."),
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
                    ahead = Some(preflight.clock_ahead);
                    findings.extend(cloud_findings(&preflight));
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
    let template = if preflight.template.enabled {
        Finding::ok(Part::Template, format!("{} is on.", preflight.template.name))
    } else {
        Finding::bad(
            Part::Template,
            format!("{} is switched off.", preflight.template.name),
            "Ask an administrator of the cloud to switch it on; until then every enrolment would be refused.",
        )
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
    vec![cloud, template, rights]
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
mod tests {
    use super::*;
    use crate::cloud::broker::Broker;
    use crate::cloud::http::{Answer, HttpError};
    use crate::fixtures::{Script, TestClock, TestVault, answer, refusal};
    use crate::ports::JournalEntry;
    use crate::signin::SignInSettings;
    use async_trait::async_trait;
    use commission::device::Sighting;
    use commission::flow::{JobId, Step};
    use commission::gatt::PeripheralId;
    use commission::secret::Token;
    use serde_json::json;
    use std::sync::Arc;
    use tokio::sync::mpsc;
    use url::Url;

    struct Ears(Result<Vec<Adapter>, LinkError>);

    #[async_trait]
    impl Radio for Ears {
        async fn adapters(&self) -> Result<Vec<Adapter>, LinkError> {
            self.0.clone()
        }

        async fn scan(&self) -> Result<mpsc::Receiver<Sighting>, LinkError> {
            Err(LinkError::NotSupported)
        }

        async fn connect(
            &self,
            _peripheral: &PeripheralId,
            _timeout: Duration,
        ) -> Result<Box<dyn crate::ports::Link>, LinkError> {
            Err(LinkError::NotSupported)
        }
    }

    struct Paper {
        sound: Result<u64, JournalError>,
        open: usize,
    }

    #[async_trait]
    impl Journal for Paper {
        async fn append(&self, _job: JobId, _person: &str, _step: &Step) -> Result<(), JournalError> {
            Ok(())
        }

        async fn entries(&self, _job: JobId) -> Result<Vec<JournalEntry>, JournalError> {
            Ok(Vec::new())
        }

        async fn jobs(&self) -> Result<Vec<JournalEntry>, JournalError> {
            Ok(Vec::new())
        }

        async fn unfinished(&self) -> Result<Vec<JobId>, JournalError> {
            Ok(vec![JobId(uuid::Uuid::nil()); self.open])
        }

        async fn verify(&self) -> Result<u64, JournalError> {
            self.sound.clone()
        }
    }

    fn hci0(powered: bool) -> Result<Vec<Adapter>, LinkError> {
        Ok(vec![Adapter {
            id: "hci0".into(),
            name: "laptop".into(),
            powered,
        }])
    }

    fn sound() -> Paper {
        Paper {
            sound: Ok(12),
            open: 0,
        }
    }

    async fn look_at(radio: &Ears, paper: &Paper, vault: &TestVault) -> Vec<Finding> {
        let doctor = Doctor {
            radio,
            vault,
            journal: Ok(paper),
            organisation: None,
            clock: &TestClock::default(),
        };
        doctor.look().await
    }

    fn state(findings: &[Finding], what: Part) -> Health {
        findings
            .iter()
            .find(|finding| finding.what == what)
            .unwrap_or_else(|| panic!("{what:?} not in {findings:#?}"))
            .state
    }

    #[tokio::test]
    async fn everything_that_is_not_well_comes_with_advice() {
        let radios = [
            (hci0(true), Health::Ok),
            (hci0(false), Health::Bad),
            (Ok(Vec::new()), Health::Bad),
            (Err(LinkError::NoService), Health::Bad),
            (Err(LinkError::NoPermission), Health::Bad),
        ];
        let papers = [
            (Ok(3), 0, Health::Ok),
            (Ok(3), 2, Health::Warn),
            (Err(JournalError::Broken(7)), 0, Health::Bad),
            (Err(JournalError::Storage("full".into())), 0, Health::Bad),
        ];
        let vaults = [
            (None, Health::Ok),
            (Some(VaultError::Absent("none".into())), Health::Warn),
            (Some(VaultError::Locked), Health::Warn),
        ];
        for (adapters, bluetooth) in radios {
            for (entries, open, journal) in papers.clone() {
                for (fault, keyring) in vaults.clone() {
                    let vault = TestVault::default();
                    vault.fail(fault);
                    let paper = Paper {
                        sound: entries.clone(),
                        open,
                    };
                    let findings = look_at(&Ears(adapters.clone()), &paper, &vault).await;
                    assert_eq!(state(&findings, Part::Bluetooth), bluetooth);
                    assert_eq!(state(&findings, Part::Journal), journal);
                    assert_eq!(state(&findings, Part::Keyring), keyring);
                    assert_eq!(state(&findings, Part::Profile), Health::Bad);
                    for finding in findings {
                        assert_eq!(
                            finding.advice.is_some(),
                            finding.state != Health::Ok,
                            "{finding:?}"
                        );
                        assert!(finding.detail.ends_with(['.', 'n', 'f']), "{finding:?}");
                    }
                }
            }
        }
    }

    fn issuer() -> [Answer; 2] {
        let body = json!({
            "issuer": "https://id.example", "authorization_endpoint": "https://id.example/authorize",
            "token_endpoint": "https://id.example/token", "jwks_uri": "https://id.example/jwks",
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"]
        });
        [answer(200, &body.to_string()), answer(200, r#"{"keys":[]}"#)]
    }

    fn preflight(enabled: bool, rights: &[&str], ahead: i64) -> Answer {
        let body = json!({
            "serverTime": 1, "cloud": "aws-iot", "rights": rights, "claimLifeSeconds": 300,
            "person": {"subject": "anna", "name": "Anna", "roles": ["installer"]},
            "template": {"name": "T", "enabled": enabled, "parameters": []},
            "endpoint": {"host": "iot.example", "port": 8883}
        });
        let mut answer = answer(200, &body.to_string());
        answer.clock_ahead = Some(ahead);
        answer
    }

    /// The findings about the organisation, with Anna signed in.
    async fn organisation(cloud: Answer) -> Vec<Finding> {
        let (clock, vault) = (Arc::new(TestClock::default()), Arc::new(TestVault::default()));
        let script = Arc::new(Script::new(issuer()));
        let settings = SignInSettings {
            profile: "plant".into(),
            issuer: "https://id.example".into(),
            client_id: "fieldkey".into(),
            scopes: vec!["openid".into()],
        };
        let signin = SignIn::new(settings, script, vault.clone(), clock.clone());
        signin.take_in_for_test(Token::new("a"), Token::new("r")).await;
        let base = Url::parse("https://broker.example").unwrap();
        let broker = Arc::new(Script::new([cloud]));
        let broker = Broker::new(&base, broker, Arc::new(signin.clone()), clock.clone()).unwrap();
        let doctor = Doctor {
            radio: &Ears(hci0(true)),
            vault: &*vault,
            journal: Ok(&sound()),
            organisation: Some(Organisation {
                name: "plant",
                signin: &signin,
                cloud: &broker,
            }),
            clock: &*clock,
        };
        doctor.look().await
    }

    #[tokio::test]
    async fn a_cloud_that_is_ready_is_found_ready() {
        let findings = organisation(preflight(true, &RIGHTS, 3)).await;
        assert!(
            findings.iter().all(|finding| finding.state == Health::Ok),
            "{findings:#?}"
        );
        let order: Vec<Part> = findings.iter().map(|finding| finding.what).collect();
        assert!(order.is_sorted(), "{order:?}");
        assert_eq!(order.len(), 10);
    }

    #[tokio::test]
    async fn what_would_stop_every_device_is_found_before_the_first() {
        let off = organisation(preflight(false, &RIGHTS, 0)).await;
        assert_eq!(state(&off, Part::Template), Health::Bad);
        let support = organisation(preflight(true, &["observe", "support"], 0)).await;
        let rights = support
            .iter()
            .find(|finding| finding.what == Part::Rights)
            .unwrap();
        assert_eq!(
            (rights.state, rights.detail.as_str()),
            (Health::Bad, "Anna lacks the rights: claim, retire, release.")
        );
        for refused in [refusal(503, "unavailable"), refusal(404, "no-such-resource")] {
            let findings = organisation(refused).await;
            assert_eq!(state(&findings, Part::Cloud), Health::Bad);
        }
    }

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        let table = [
            (Some(0), Health::Ok),
            (Some(-59), Health::Ok),
            (Some(60), Health::Warn),
            (Some(-3600), Health::Warn),
            (Some(-86_400), Health::Bad),
            (Some(i64::MIN), Health::Bad),
            (None, Health::Warn),
        ];
        for (ahead, expected) in table {
            assert_eq!(clock_finding(ahead).state, expected, "{ahead:?}");
        }
        assert_eq!(
            clock_finding(Some(-7300)).detail,
            "This computer's clock is 2 hours slow."
        );
    }

    #[test]
    fn errors_become_sentences() {
        let error = HttpError::NotHttps("x".into());
        assert_eq!(sentence(&error), "X is not an https address.");
        assert_eq!(sentence(&""), ".");
    }
}
