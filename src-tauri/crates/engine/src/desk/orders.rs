//! From what a person chose to orders for the engine: device, label, network with its passphrase.

use std::collections::BTreeMap;
use std::sync::Arc;

use commission::claim::Purpose;
use commission::flow::{Answer, JobId, QuestionId};
use commission::gatt::PeripheralId;
use commission::label::Label;
use commission::ledger::Whose;
use commission::network::{Network, Ssid};
use commission::organisation::OrganisationId;
use commission::secret::Passphrase;
use uuid::Uuid;

use super::{DeviceChoice, NetworkChoice, Reply, Typed, Wake, Who, Worker};
use crate::failure::{Failure, Remedy};
use crate::journal::{self, AdoptError};
use crate::passphrases::Passphrases;
use crate::ports::{FillError, Journal as _, Vault, VaultError};
use crate::possession::{self, NoAnswer};
use crate::request::{Order, Request as EngineRequest, Target};
use crate::system::SystemEntropy;
use crate::talk;

/// An order that is complete.
pub(super) struct Ordered {
    order: Order,
}

/// How the passphrase of an order's network is come by.
enum Source {
    /// It is known.
    Here(Network),
    /// It is looked up, unless the network is open.
    Site { ssid: String, hidden: bool, open: bool },
    /// The person picks from what the device sees.
    Device,
}

impl Worker {
    pub(super) fn commission(
        &mut self,
        devices: &[DeviceChoice],
        network: NetworkChoice,
        purpose: Purpose,
        parameters: BTreeMap<String, String>,
    ) {
        if !self.may_work() {
            let why = match &self.who {
                Who::Somebody(_) => "The cloud has not said yet that you may commission devices.",
                _ => "Nobody is signed in.",
            };
            return self.warn("not-ready", why, "Sign in, or see in the header what is missing.");
        }
        let common = match network {
            NetworkChoice::Device => Source::Device,
            NetworkChoice::Site { ssid } => self.of_site(ssid),
            NetworkChoice::Typed {
                ssid,
                passphrase,
                hidden,
                remember: keep,
            } => {
                let passphrase = passphrase
                    .filter(|text| !text.is_empty())
                    .map(|text| text.passphrase());
                match checked(&ssid, passphrase.clone(), hidden) {
                    Ok(network) => {
                        if keep {
                            self.keep_network(ssid, hidden, passphrase);
                        }
                        Source::Here(network)
                    }
                    Err(failure) => return self.fail(failure),
                }
            }
        };
        let site = self.site().map(|site| site.name.clone());
        let mut wanted = Vec::with_capacity(devices.len());
        for device in devices {
            let (target, label, own) = self.chosen(device);
            let source = match own {
                Some(ssid) => self.of_site(ssid),
                None => match &common {
                    Source::Here(network) => Source::Here(network.clone()),
                    Source::Site { ssid, hidden, open } => Source::Site {
                        ssid: ssid.clone(),
                        hidden: *hidden,
                        open: *open,
                    },
                    Source::Device => Source::Device,
                },
            };
            let order = Order {
                target,
                serial: label.as_ref().and_then(|label| label.serial.clone()),
                pop: label.as_ref().and_then(|label| label.pop.clone()),
                username: label.and_then(|label| label.username),
                network: None,
                site: site.clone(),
                purpose,
                parameters: parameters.clone(),
            };
            wanted.push((order, source));
        }
        let Some(cloud) = self.office.as_ref().map(|office| Arc::clone(&office.cloud)) else {
            return;
        };
        let Some(passphrases) = self.passphrases() else {
            return;
        };
        let vault = Arc::clone(&self.parts.vault);
        let generation = self.generation;
        self.later(async move {
            if let Err(error) = cloud.check_parameters(&parameters).await {
                return Wake::Failed(unfilled(&error));
            }
            match complete(vault.as_ref(), &passphrases, wanted).await {
                Ok(orders) => Wake::Ordered(generation, orders, parameters),
                Err(failure) => Wake::Failed(failure),
            }
        });
    }

    /// The device as the engine looks for it, its label, and the network that a file of labels names for it.
    fn chosen(&self, device: &DeviceChoice) -> (Target, Option<Label>, Option<String>) {
        match device {
            DeviceChoice::Nearby(id) => {
                let view = self.engine_view();
                let heard = view
                    .iter()
                    .flat_map(|view| &view.nearby)
                    .find(|heard| heard.peripheral == *id);
                let label = heard.and_then(|heard| self.label_of(heard)).cloned();
                let own = heard.and_then(|heard| self.labels.get(heard.name.as_deref()?)?.network.clone());
                (Target::Peripheral(id.clone()), label, own)
            }
            DeviceChoice::Named(name) => {
                let known = self.labels.get(name);
                let label = known.map(|known| known.label.clone());
                (
                    Target::Name(name.clone()),
                    label,
                    known.and_then(|known| known.network.clone()),
                )
            }
        }
    }

    fn of_site(&self, ssid: String) -> Source {
        let (hidden, open) = self.known_network(&ssid).unwrap_or_default();
        Source::Site { ssid, hidden, open }
    }

    /// Orders that somebody gave, with the values that the next form begins with. Those of somebody who has signed out
    /// meanwhile are nobody's.
    pub(super) fn ordered_by(
        &mut self,
        generation: u64,
        orders: Vec<(JobId, Ordered)>,
        parameters: BTreeMap<String, String>,
    ) {
        if generation != self.generation || !self.may_work() {
            return self.warn(
                "not-ready",
                "Whoever ordered this is not signed in any more.",
                "Sign in, then commission the devices once more.",
            );
        }
        self.given = parameters;
        self.ordered(orders);
    }

    pub(super) fn ordered(&mut self, orders: Vec<(JobId, Ordered)>) {
        for (job, Ordered { order }) in orders {
            self.orders.insert(job, order.clone());
            self.engine(EngineRequest::Commission(job, Box::new(order)));
        }
    }

    /// The same order again, for a device whose job has ended, under a job of its own.
    pub(super) fn retry(&mut self, job: JobId) {
        let Some(mut order) = self.orders.get(&job).cloned() else {
            return self.warn(
                "no-order",
                "This job is of an earlier run.",
                "Choose the device in the list of devices nearby.",
            );
        };
        let view = self.engine_view();
        let ended = view
            .iter()
            .flat_map(|view| &view.jobs)
            .any(|shown| shown.id == job && shown.is_over());
        if !ended {
            return;
        }
        // A label that was read since goes before what did not work.
        if let Target::Peripheral(id) = &order.target {
            let (_, label, _) = self.chosen(&DeviceChoice::Nearby(id.clone()));
            if let Some(label) = label {
                order.pop = label.pop.or(order.pop);
                order.username = label.username.or(order.username);
                order.serial = label.serial.or(order.serial);
            }
        }
        self.cleared.insert(job);
        self.orders.remove(&job);
        self.ordered(vec![(JobId(Uuid::new_v4()), Ordered { order })]);
    }

    pub(super) fn answer(&mut self, job: JobId, question: QuestionId, reply: Reply) {
        let answer = match reply {
            Reply::Label { text } => match self.possession(job, &text) {
                Ok(answer) => answer,
                Err(error) => {
                    let code = match error {
                        NoAnswer::OfAnother { .. } => "label-of-another",
                        NoAnswer::Label(_) | NoAnswer::NoPop => "label",
                    };
                    return self.warn(code, format!("This is no answer: {error}."), error.advice());
                }
            },
            Reply::Network {
                ssid_hex,
                passphrase,
                hidden,
            } => {
                let passphrase = passphrase
                    .filter(|text| !text.is_empty())
                    .map(|text| text.passphrase());
                let network = hex::decode(&ssid_hex)
                    .map_err(|error| error.to_string())
                    .and_then(|name| Ssid::new(name).map_err(|error| error.to_string()))
                    .and_then(|ssid| {
                        Network::new(ssid, passphrase, hidden).map_err(|error| error.to_string())
                    });
                match network {
                    Ok(network) => Answer::Network(network),
                    Err(error) => return self.fail(wrong_network(&error)),
                }
            }
            Reply::Passphrase { passphrase } => Answer::Passphrase(passphrase.passphrase()),
            Reply::GoOn => Answer::GoOn,
            Reply::Skip => Answer::Skip,
        };
        // A corrected passphrase or label is right for another try as well.
        if let Some(order) = self.orders.get_mut(&job) {
            match &answer {
                Answer::Pop { pop, username } => {
                    order.pop = Some(pop.clone());
                    order.username = username.clone().or(order.username.take());
                }
                Answer::Network(network) => order.network = Some(network.clone()),
                Answer::Passphrase(passphrase) if !passphrase.is_empty() => {
                    if let Some(network) = &mut order.network
                        && let Ok(corrected) =
                            Network::new(network.ssid.clone(), Some(passphrase.clone()), network.hidden)
                    {
                        *network = corrected;
                    }
                }
                _ => {}
            }
        }
        self.engine(EngineRequest::Answer(job, question, answer));
    }

    /// A label as the answer of a job's device, which is known by its name unless it advertises none.
    fn possession(&self, job: JobId, text: &Typed) -> Result<Answer, NoAnswer> {
        let view = self.engine_view();
        let shown = view
            .iter()
            .flat_map(|view| &view.jobs)
            .find(|shown| shown.id == job);
        let target = self.orders.get(&job).map(|order| &order.target);
        let name = shown.map(|shown| shown.name.as_str());
        let name = name.filter(|name| !matches!(target, Some(Target::Peripheral(id)) if id.0 == *name));
        let serial = shown.and_then(|shown| shown.serial.as_deref());
        possession::answer(text.reveal(), name, serial)
    }

    /// Takes up what an earlier run left: one job, or all.
    pub(super) fn take_up(&mut self, job: Option<JobId>, how: fn(JobId) -> EngineRequest) {
        if !self.may_work() {
            return self.not_ready();
        }
        // The engine believes no list either: it looks at what the journal says when it begins.
        if let Some(job) = job {
            return self.engine(how(job));
        }
        let (Some(journal), Some(own)) = (self.journal.clone(), self.own()) else {
            return;
        };
        let generation = self.generation;
        self.later(async move {
            match journal.ledger().await {
                Ok(ledger) => {
                    let open = ledger.open();
                    let jobs = open.filter(|open| open.record.whose(Some(&own)) == Whose::Own);
                    let jobs = jobs.map(|open| open.record.job).collect();
                    Wake::TakeUp(generation, jobs, how)
                }
                Err(error) => Wake::JournalFailed(error),
            }
        });
    }

    /// The person says that a job of before jobs had an organisation belongs to the present one.
    pub(super) fn adopt(&mut self, job: JobId) {
        let (Some(work), Who::Somebody(session), Some(journal), Some(own)) =
            (self.work.clone(), &self.who, self.journal.clone(), self.own())
        else {
            return self.not_ready();
        };
        let person = session.person.subject.clone();
        self.later(async move {
            Wake::Adopted(journal::adopt(&work, journal.as_ref(), job, &own, &person).await)
        });
    }

    pub(super) fn adopted(&mut self, result: Result<(), AdoptError>) {
        match result {
            Err(AdoptError::Journal(error)) => self.fail_journal(&error),
            // Somebody was quicker; the list says how it stands.
            Ok(()) | Err(AdoptError::NotOpen | AdoptError::Other(_)) => self.look_at_past(),
        }
    }

    fn not_ready(&mut self) {
        self.warn(
            "not-ready",
            "The cloud has to be asked, and nobody who may is signed in.",
            "Sign in first.",
        );
    }

    /// The authority that present work belongs to.
    pub(super) fn own(&self) -> Option<OrganisationId> {
        self.office.as_ref().map(|office| office.organisation.id())
    }

    pub(super) fn clear_ended(&mut self) {
        let view = self.engine_view();
        let ended = view
            .iter()
            .flat_map(|view| &view.jobs)
            .filter(|job| job.is_over());
        let ended: Vec<JobId> = ended.map(|job| job.id).collect();
        self.cleared.extend(ended);
    }

    pub(super) fn blink(&mut self, device: PeripheralId) {
        let view = self.engine_view();
        let heard = view
            .iter()
            .flat_map(|view| &view.nearby)
            .find(|heard| heard.peripheral == device);
        let Some(heard) = heard else {
            return self.warn(
                "not-heard",
                "The device is not heard any more.",
                "Come closer and try again.",
            );
        };
        let name = heard.name.clone().unwrap_or_else(|| device.0.clone());
        let (label, kind) = (self.label_of(heard).cloned(), heard.dialect);
        let (radio, clock) = (self.radio(), Arc::clone(&self.parts.clock));
        self.later(async move {
            let blinked = match SystemEntropy::new() {
                Ok(mut entropy) => {
                    talk::blink(radio.as_ref(), &device, kind, label, clock.as_ref(), &mut entropy).await
                }
                Err(error) => Err(commission::fault::Fault::Journal(error.to_string())),
            };
            Wake::Blinked(name, blinked)
        });
    }
}

/// Looks passphrases up, each once, and gives every order its job.
async fn complete(
    vault: &dyn Vault,
    passphrases: &Passphrases,
    wanted: Vec<(Order, Source)>,
) -> Result<Vec<(JobId, Ordered)>, Failure> {
    let mut known: BTreeMap<String, Network> = BTreeMap::new();
    let mut orders = Vec::with_capacity(wanted.len());
    for (mut order, source) in wanted {
        order.network = match source {
            Source::Device => None,
            Source::Here(network) => Some(network),
            Source::Site { ssid, hidden, open } => Some(match known.get(&ssid) {
                Some(network) => network.clone(),
                None => {
                    let network = if open {
                        checked(&ssid, None, hidden)?
                    } else {
                        looked_up(vault, passphrases, &ssid, hidden).await?
                    };
                    known.insert(ssid, network.clone());
                    network
                }
            }),
        };
        orders.push((JobId(Uuid::new_v4()), Ordered { order }));
    }
    Ok(orders)
}

async fn looked_up(
    vault: &dyn Vault,
    passphrases: &Passphrases,
    ssid: &str,
    hidden: bool,
) -> Result<Network, Failure> {
    match passphrases.read(vault, ssid).await {
        Ok(Some(passphrase)) => checked(ssid, Some(passphrase), hidden),
        Ok(None) => Err(Failure {
            code: "passphrase-missing".into(),
            what: format!("The passphrase of {ssid} is not in the keyring."),
            why: String::new(),
            now: "Type it with the network.".into(),
            remedy: Remedy::EnterPassphrase,
        }),
        Err(error) => Err(locked(&error)),
    }
}

pub(super) fn checked(ssid: &str, passphrase: Option<Passphrase>, hidden: bool) -> Result<Network, Failure> {
    Ssid::new(ssid)
        .and_then(|ssid| Network::new(ssid, passphrase, hidden))
        .map_err(|error| wrong_network(&error.to_string()))
}

fn unfilled(error: &FillError) -> Failure {
    match error {
        FillError::Cloud(error) => Failure::from(error),
        error => Failure {
            code: error.code().into(),
            what: format!("The template's parameters are not as they must be: {error}."),
            why: String::new(),
            now: "Nothing was started; commission once more with other values.".into(),
            remedy: Remedy::Retry,
        },
    }
}

fn wrong_network(why: &str) -> Failure {
    Failure {
        code: "network".into(),
        what: format!("These are no settings of a network: {why}."),
        why: String::new(),
        now: "Give its name and passphrase as they are at the site.".into(),
        remedy: Remedy::ChooseNetwork,
    }
}

pub(super) fn locked(error: &VaultError) -> Failure {
    Failure {
        code: "keyring".into(),
        what: error.to_string(),
        why: String::new(),
        now: "Unlock the keyring of your session, then try again.".into(),
        remedy: Remedy::Retry,
    }
}
