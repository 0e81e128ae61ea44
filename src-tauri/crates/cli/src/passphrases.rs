//! Passphrases that were corrected on the way: used for the other devices of the same network, and kept where the
//! refused one was kept, once a device has joined with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use commission::flow::{Answer, JobId};
use commission::network::{Network, NetworkError, Ssid};
use commission::secret::{Passphrase, Token};
use engine::ports::{Vault, VaultEntry};
use engine::view::{JobState, JobView, QuestionView, View};

use crate::setup::Setup;

/// What is known of the passphrases of a run.
pub(crate) struct Passphrases {
    vault: Arc<dyn Vault>,
    /// Where the passphrase of a network came from, by its name as it is shown.
    entries: BTreeMap<String, VaultEntry>,
    corrected: BTreeMap<String, Corrected>,
    /// Which correction a job has had last, so that it gets none twice.
    tried: BTreeMap<JobId, (String, usize)>,
    /// Jobs whose device was sent to another network since, which it may then join. Their question is shown for a
    /// moment still, and no correction is an answer to it.
    turned: BTreeSet<JobId>,
}

struct Corrected {
    passphrase: Passphrase,
    /// The how manyth it is.
    number: usize,
    /// A device has joined with it.
    proven: bool,
}

impl Passphrases {
    /// Nothing is corrected yet.
    pub(crate) fn new(vault: Arc<dyn Vault>) -> Self {
        Self {
            vault,
            entries: BTreeMap::new(),
            corrected: BTreeMap::new(),
            tried: BTreeMap::new(),
            turned: BTreeSet::new(),
        }
    }

    /// The passphrase of this network came from there.
    pub(crate) fn are_kept(&mut self, ssid: &Ssid, entry: VaultEntry) {
        self.entries.insert(ssid.into(), entry);
    }

    /// Somebody answered this for a job.
    pub(crate) fn answered(&mut self, job: &JobView, answer: &Answer) {
        match answer {
            // What cannot be a passphrase is sent to no device, so that none can join with it.
            Answer::Passphrase(passphrase)
                if !passphrase.is_empty() && possible(passphrase.reveal()).is_ok() =>
            {
                self.correct(job, passphrase);
            }
            Answer::Network(_) => {
                self.turned.insert(job.id);
            }
            _ => {}
        }
    }

    fn correct(&mut self, job: &JobView, passphrase: &Passphrase) {
        let Some(network) = wanting(job) else { return };
        let number = self.corrected.get(network).map_or(1, |last| last.number + 1);
        let corrected = Corrected {
            passphrase: passphrase.clone(),
            number,
            proven: false,
        };
        self.corrected.insert(network.to_owned(), corrected);
        self.tried.insert(job.id, (network.to_owned(), number));
        self.turned.remove(&job.id);
    }

    /// A passphrase that was typed for another device of the network whose passphrase this job is asked for, unless
    /// the job has had it already.
    pub(crate) fn known(&mut self, job: &JobView) -> Option<(String, Passphrase)> {
        let network = wanting(job).filter(|_| !self.turned.contains(&job.id))?;
        let corrected = self.corrected.get(network)?;
        let this = (network.to_owned(), corrected.number);
        if self.tried.get(&job.id) == Some(&this) {
            return None;
        }
        self.tried.insert(job.id, this);
        Some((network.to_owned(), corrected.passphrase.clone()))
    }

    /// Keeps what a device has joined with by now.
    pub(crate) async fn keep_proven(&mut self, setup: &Setup, view: &View) {
        let joined = view.jobs.iter().filter(|job| has_joined(job));
        for job in joined.filter(|job| !self.turned.contains(&job.id)) {
            let Some((network, number)) = self.tried.get(&job.id) else {
                continue;
            };
            let Some(corrected) = self.corrected.get_mut(network) else {
                continue;
            };
            if corrected.number != *number || std::mem::replace(&mut corrected.proven, true) {
                continue;
            }
            let Some(entry) = self.entries.get(network) else {
                setup.out.say(format!(
                    "The passphrase of {network} is not kept; for the next time: fieldkey network remember {network}"
                ));
                continue;
            };
            let kept = self
                .vault
                .write(entry, &Token::new(corrected.passphrase.reveal()))
                .await;
            match kept {
                Ok(()) => setup.out.both(
                    "network-remembered",
                    &serde_json::json!({ "ssid": network }),
                    format!(
                        "The corrected passphrase of {network} is in the keyring, in place of the refused one."
                    ),
                ),
                Err(error) => setup.out.warn(
                    "keyring",
                    &format!("{error}; the refused passphrase of {network} is kept still"),
                ),
            }
        }
    }
}

/// A passphrase that some network may have; others are not worth a device's time.
pub(crate) fn possible(text: &str) -> Result<Passphrase, NetworkError> {
    let passphrase = Passphrase::new(text);
    Network::new(Ssid::new("any")?, Some(passphrase.clone()), false).map(|_| passphrase)
}

/// The network whose passphrase this job asks for: it was refused, or none was given, or what was answered is none.
fn wanting(job: &JobView) -> Option<&str> {
    match &job.question {
        Some(QuestionView::Passphrase { network, .. }) => Some(network),
        _ => None,
    }
}

fn has_joined(job: &JobView) -> bool {
    let proofs = &job.proofs;
    proofs.wifi_joined.is_some() || proofs.cloud_reached.is_some() || job.state == JobState::Done
}

#[cfg(test)]
mod tests {
    use commission::fault::Fault;
    use engine::vault::MemoryVault;

    use super::*;

    fn asking(number: u128) -> JobView {
        asking_for(number, &Fault::PassphraseRefused)
    }

    fn asking_for(number: u128, fault: &Fault) -> JobView {
        let mut job = JobView::new(JobId(uuid::Uuid::from_u128(number)), "PROV".into(), None);
        job.question = Some(QuestionView::Passphrase {
            failure: fault.into(),
            network: "plant-iot".into(),
        });
        job
    }

    fn typed(text: &str) -> Answer {
        Answer::Passphrase(Passphrase::new(text))
    }

    #[test]
    fn a_correction_is_used_once_for_each_other_device_until_there_is_a_newer_one() {
        let mut passphrases = Passphrases::new(Arc::new(MemoryVault::default()));
        let (first, second) = (asking(1), asking(2));
        assert_eq!(passphrases.known(&second), None);
        passphrases.answered(&first, &typed("green-valve-41"));
        assert_eq!(passphrases.known(&first), None, "it has had this one");
        let known = passphrases.known(&second).map(|(_, passphrase)| passphrase);
        assert_eq!(known, Some(Passphrase::new("green-valve-41")));
        assert_eq!(passphrases.known(&second), None, "it was refused");
        passphrases.answered(&second, &typed("green-valve-42"));
        let known = passphrases.known(&first).map(|(_, passphrase)| passphrase);
        assert_eq!(known, Some(Passphrase::new("green-valve-42")));
    }

    #[test]
    fn a_device_that_is_sent_to_another_network_is_not_given_the_passphrase_of_the_first_again() {
        let mut passphrases = Passphrases::new(Arc::new(MemoryVault::default()));
        let job = asking(1);
        passphrases.answered(&job, &typed("green-valve-41"));
        let office = Network::new(Ssid::new("office").unwrap(), None, false).unwrap();
        passphrases.answered(&job, &Answer::Network(office));
        assert_eq!(passphrases.known(&job), None, "it has had this one");
        passphrases.answered(&asking(2), &typed("green-valve-42"));
        assert_eq!(passphrases.known(&job), None, "the question is shown still");
    }

    #[test]
    fn what_cannot_be_a_passphrase_is_no_correction_and_what_follows_it_is() {
        let mut passphrases = Passphrases::new(Arc::new(MemoryVault::default()));
        let other = asking(2);
        for none in ["short", ""] {
            passphrases.answered(&asking(1), &typed(none));
            assert_eq!(passphrases.known(&other), None);
        }
        let again = asking_for(1, &Fault::PassphraseInvalid);
        passphrases.answered(&again, &typed("green-valve-41"));
        assert_eq!(passphrases.known(&again), None, "it has had this one");
        let known = passphrases.known(&other).map(|(_, passphrase)| passphrase);
        assert_eq!(known, Some(Passphrase::new("green-valve-41")));
    }
}
