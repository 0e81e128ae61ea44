//! `fieldkey commission`: one device, or a batch from a file of labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use commission::flow::JobId;
use commission::label::Label;
use commission::network::{Network, Ssid};
use commission::secret::Passphrase;
use engine::ports::{Cloud, Vault, VaultEntry};
use engine::request::{Order, Request, Target};
use engine::run::Engine;
use uuid::Uuid;

use crate::args;
use crate::exit::Ended;
use crate::follow;
use crate::labels::{self, Row};
use crate::setup::Setup;

/// Commissions what was asked for and follows it to the end.
pub(crate) async fn run(setup: &Setup, wanted: &args::Commission) -> Result<(), Ended> {
    let rows = match (&wanted.labels, &wanted.device) {
        (Some(file), _) => labels::read(file)
            .map_err(|error| Ended::usage(error, "Correct the file and try again; nothing was started."))?,
        (None, Some(device)) => vec![typed(setup, device, wanted).await?],
        (None, None) => {
            return Err(Ended::usage(
                "no device was named",
                "Name one, or give --labels FILE.",
            ));
        }
    };
    let _work = setup.work()?;
    let signed_in = setup.signed_in().await?;
    let mut parts = setup.parts(&signed_in)?;
    if let Some(links) = wanted.links {
        parts.policy.links = links;
    }
    let cloud = Arc::clone(&parts.cloud);
    // The radio listens while the cloud and the keyring are asked, so that the devices are known by then.
    let engine = Engine::start(parts);
    engine.request(Request::Listen);
    let orders = match orders(setup, wanted, rows, cloud.as_ref(), signed_in.vault.as_ref()).await {
        Ok(orders) => orders,
        Err(ended) => {
            engine.shutdown().await;
            return Err(ended);
        }
    };
    let mut jobs = Vec::with_capacity(orders.len());
    for order in orders {
        let job = JobId(Uuid::new_v4());
        engine.request(Request::Commission(job, Box::new(order)));
        jobs.push(job);
    }
    engine.request(Request::StopListening);
    follow::to_the_end(setup, engine, &jobs).await
}

/// What is to be done, once the cloud has said that it may be and every network has its passphrase.
async fn orders(
    setup: &Setup,
    wanted: &args::Commission,
    rows: Vec<Row>,
    cloud: &dyn Cloud,
    vault: &dyn Vault,
) -> Result<Vec<Order>, Ended> {
    setup.check_cloud(cloud).await?;
    let mut networks = Networks {
        setup,
        vault,
        hidden: wanted.hidden,
        known: BTreeMap::new(),
    };
    let mut orders = Vec::with_capacity(rows.len());
    for row in rows {
        let name = row
            .network
            .as_ref()
            .or(wanted.network.as_ref())
            .cloned()
            .or_else(|| setup.default_network());
        let network = match name.as_deref() {
            Some(name) => Some(networks.named(name).await?),
            None => None,
        };
        orders.push(Order {
            target: Target::Name(row.name),
            serial: row.serial,
            pop: row.pop,
            username: row.username,
            network,
            purpose: wanted.purpose.into(),
        });
    }
    Ok(orders)
}

/// The one device that was named; its label comes from the person.
async fn typed(setup: &Setup, device: &str, wanted: &args::Commission) -> Result<Row, Ended> {
    let text = setup
        .person
        .secret(&format!(
            "Label of {device} (scan it, or type its proof of possession)"
        ))
        .await;
    let label = match text.as_deref().map(String::as_str) {
        None | Some("") => None,
        Some(text) => Some(
            Label::parse(text)
                .map_err(|error| Ended::usage(error, "Scan the label again, or type the code on it."))?,
        ),
    };
    let of = |label: &Label| label.name.as_deref().is_none_or(|name| name == device);
    if let Some(other) = label.as_ref().filter(|label| !of(label)) {
        let name = other.name.as_deref().unwrap_or_default();
        return Err(Ended::usage(
            format!("the label is of {name}, not of {device}"),
            "Scan the label on this very device.",
        ));
    }
    Ok(Row {
        name: device.to_owned(),
        serial: wanted
            .serial
            .clone()
            .or_else(|| label.as_ref().and_then(|label| label.serial.clone())),
        pop: label.as_ref().and_then(|label| label.pop.clone()),
        username: label.and_then(|label| label.username),
        network: None,
    })
}

/// Networks with their passphrases, each looked up or asked for once.
struct Networks<'a> {
    setup: &'a Setup,
    vault: &'a dyn Vault,
    hidden: bool,
    known: BTreeMap<String, Network>,
}

impl Networks<'_> {
    async fn named(&mut self, name: &str) -> Result<Network, Ended> {
        if let Some(network) = self.known.get(name) {
            return Ok(network.clone());
        }
        let wrong = |error| {
            Ended::usage(
                error,
                "Give the network's name and passphrase as they are at the site.",
            )
        };
        let entry = VaultEntry::NetworkPassphrase {
            profile: self.setup.profile_name().into(),
            ssid: name.into(),
        };
        let kept = self.vault.read(&entry).await.unwrap_or_else(|error| {
            self.setup.out.warn(
                "keyring",
                &format!("{error}; the passphrase of {name} is asked for instead"),
            );
            None
        });
        let passphrase = match kept {
            Some(kept) => Some(Passphrase::new(kept.reveal())),
            None => {
                let prompt = format!("Passphrase of the network {name} (empty if it is open)");
                self.setup
                    .person
                    .secret(&prompt)
                    .await
                    .map(|text| Passphrase::new(text.as_str()))
            }
        };
        let hidden = self.hidden || self.setup.is_hidden(name);
        let network = Network::new(Ssid::new(name).map_err(wrong)?, passphrase, hidden).map_err(wrong)?;
        self.known.insert(name.into(), network.clone());
        Ok(network)
    }
}
