//! From what a person chose to orders for the engine: device, label, network with its passphrase.

use std::collections::BTreeMap;
use std::sync::Arc;

use commission::claim::Purpose;
use commission::fault::Fault;
use commission::flow::{Answer, JobId, QuestionId};
use commission::gatt::PeripheralId;
use commission::label::Label;
use commission::ledger::Whose;
use commission::network::{Network, Ssid};
use commission::organisation::OrganisationId;
use commission::secret::Passphrase;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{DeviceChoice, LabelId, NetworkChoice, Reply, Typed, Wake, Who, Worker};
use crate::failure::{Failure, Remedy};
use crate::journal::{self, AdoptError};
use crate::passphrases::Passphrases;
use crate::ports::{FillError, Journal as _, Vault, VaultError};
use crate::possession::{self, NoAnswer};
use crate::request::{Blink, BlinkError, Order, Request as EngineRequest, Target};

/// An order that is complete.
pub(super) struct Ordered {
    order: Order,
    /// The label that it goes by.
    label: Option<LabelId>,
}

/// A device that a person chose, as the engine looks for it.
struct Chosen {
    target: Target,
    label: Option<Label>,
    /// That label, where it names its device.
    id: Option<LabelId>,
    /// The network that a file of labels names for it.
    network: Option<String>,
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
        for chosen in self.chosen(devices) {
            let Chosen {
                target,
                label,
                id,
                network: own,
            } = chosen;
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
                strength: label.as_ref().and_then(Label::strength),
                username: label.and_then(|label| label.username),
                network: None,
                site: site.clone(),
                purpose,
                parameters: parameters.clone(),
            };
            wanted.push((order, id, source));
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

    /// Devices as the engine looks for them, each with a label of its own where one is known. Where several share a name,
    /// so that it is not known whose label is whose, all of them together get the labels of that name: they find out
    /// among themselves. One of them alone is asked for its label.
    fn chosen(&self, devices: &[DeviceChoice]) -> Vec<Chosen> {
        let around = self.engine_view().unwrap_or_default();
        let matches = self.matches(&around);
        let heard = |id: &PeripheralId| around.nearby.iter().find(|heard| heard.peripheral == *id);
        let mut used = self.labels_in_use(&around);
        let mut chosen: Vec<Chosen> = Vec::with_capacity(devices.len());
        // By name, those that have no label yet.
        let mut open: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, device) in devices.iter().enumerate() {
            let (target, id) = match device {
                DeviceChoice::Nearby(id) => (Target::Peripheral(id.clone()), matches.get(id).copied()),
                DeviceChoice::Named(name) => (Target::Name(name.clone()), None),
                DeviceChoice::Labelled(id) => {
                    let name = self.labels.get(*id).and_then(|known| known.label.name.clone());
                    (Target::Name(name.unwrap_or_default()), Some(*id))
                }
            };
            let typed = match device {
                DeviceChoice::Nearby(id) => self.typed.get(id).cloned(),
                DeviceChoice::Named(_) | DeviceChoice::Labelled(_) => None,
            };
            let name = match device {
                DeviceChoice::Nearby(id) => heard(id).and_then(|heard| heard.name.clone()),
                DeviceChoice::Named(name) => Some(name.clone()),
                DeviceChoice::Labelled(_) => None,
            };
            if let (None, None, Some(name)) = (id, &typed, name) {
                open.entry(name).or_default().push(place);
            }
            used.extend(id);
            chosen.push(Chosen {
                target,
                label: typed,
                id,
                network: None,
            });
        }
        for (name, places) in open {
            let labels: Vec<LabelId> = self
                .labels
                .named(&name)
                .map(|(id, _)| id)
                .filter(|id| !used.contains(id))
                .collect();
            if labels.len() > places.len() {
                continue;
            }
            for (place, label) in places.into_iter().zip(labels) {
                if let Some(chosen) = chosen.get_mut(place) {
                    chosen.id = Some(label);
                }
            }
        }
        for chosen in &mut chosen {
            if let Some(known) = chosen.id.and_then(|id| self.labels.get(id)) {
                chosen.label = chosen.label.take().or_else(|| Some(known.label.clone()));
                chosen.network.clone_from(&known.network);
            }
        }
        chosen
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
        for (job, Ordered { order, label }) in orders {
            if let Some(label) = label {
                self.label_jobs.insert(job, label);
            }
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
        let mut id = self.label_jobs.get(&job).copied();
        let label = match &order.target {
            Target::Peripheral(device) => {
                let chosen = self.chosen(&[DeviceChoice::Nearby(device.clone())]).pop();
                chosen.and_then(|chosen| {
                    id = chosen.id.or(id);
                    chosen.label
                })
            }
            Target::Name(_) => {
                let known = id.and_then(|id| self.labels.get(id));
                known.map(|known| known.label.clone())
            }
        };
        if let Some(label) = label {
            order.strength = label.strength().or(order.strength);
            order.pop = label.pop.or(order.pop);
            order.username = label.username.or(order.username);
            order.serial = label.serial.or(order.serial);
        }
        self.cleared.insert(job);
        self.orders.remove(&job);
        self.ordered(vec![(JobId(Uuid::new_v4()), Ordered { order, label: id })]);
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
        let label = view
            .as_deref()
            .and_then(|view| self.label_of(heard, &self.matches(view)).cloned());
        let (reply, told) = oneshot::channel();
        self.engine(EngineRequest::Blink(Box::new(Blink {
            peripheral: device,
            label,
            reply,
        })));
        self.later(async move {
            // An engine that ends drops what it was asked.
            let stopped = BlinkError::Fault(Fault::Cancelled(None));
            Wake::Blinked(name, told.await.unwrap_or(Err(stopped)))
        });
    }

    pub(super) fn not_blinked(&mut self, name: &str, error: &BlinkError) {
        match error {
            BlinkError::InWork => self.warn(
                "device-in-work",
                format!("A job works on {name}, which has one link only."),
                "Wait until the job has ended, or look for the device by its signal.",
            ),
            BlinkError::Fault(fault) => self.fail(Failure::from(fault)),
            BlinkError::Entropy(error) => self.warn("entropy", error.to_string(), "Restart this computer."),
        }
    }
}

/// Looks passphrases up, each once, and gives every order its job.
async fn complete(
    vault: &dyn Vault,
    passphrases: &Passphrases,
    wanted: Vec<(Order, Option<LabelId>, Source)>,
) -> Result<Vec<(JobId, Ordered)>, Failure> {
    let mut known: BTreeMap<String, Network> = BTreeMap::new();
    let mut orders = Vec::with_capacity(wanted.len());
    for (mut order, label, source) in wanted {
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
        orders.push((JobId(Uuid::new_v4()), Ordered { order, label }));
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
