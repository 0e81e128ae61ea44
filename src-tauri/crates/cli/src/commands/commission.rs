//! `fieldkey commission`: one device, or a batch from a file of labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use commission::flow::JobId;
use commission::network::{Network, Ssid};
use commission::secret::Passphrase;
use engine::labels::{self, Row};
use engine::ports::{Cloud, FillError, Vault};
use engine::request::{Order, Request, Target};
use engine::run::Engine;
use engine::settings::ProfileSite;
use uuid::Uuid;

use crate::args;
use crate::exit::{Ended, Exit};
use crate::follow;
use crate::passphrases::Passphrases;
use crate::person::Silence;
use crate::setup::Setup;

/// Commissions what was asked for and follows it to the end.
pub(crate) async fn run(setup: &Setup, wanted: &args::Commission) -> Result<(), Ended> {
    let site = setup.site(wanted.site.as_deref())?;
    let mut rows = match (&wanted.labels, &wanted.device) {
        (Some(file), _) => labels::read(file).map_err(|error| {
            let advice = error.advice();
            Ended::usage(error, advice)
        })?,
        // A label that is there already is looked at first; nobody is made to type one before the sign-in is known to
        // hold.
        (None, Some(_)) if setup.person.is_at_terminal() => Vec::new(),
        (None, Some(device)) => vec![typed(setup, device, wanted).await?],
        (None, None) => {
            return Err(Ended::usage(
                "no device was named",
                "Name one, or give --labels FILE.",
            ));
        }
    };
    let work = setup.work()?;
    let signed_in = setup.signed_in().await?;
    if let Some(device) = wanted.device.as_ref().filter(|_| rows.is_empty()) {
        rows.push(typed(setup, device, wanted).await?);
    }
    let mut parts = setup.parts(&signed_in, &work)?;
    if let Some(links) = wanted.links {
        parts.policy.links = links;
    }
    let cloud = Arc::clone(&parts.cloud);
    // The radio listens while the cloud and the keyring are asked, so that the devices are known by then.
    let engine = Engine::start(parts);
    engine.request(Request::Listen);
    let mut networks = Networks {
        setup,
        vault: Arc::clone(&signed_in.vault),
        hidden: wanted.network.as_deref().filter(|_| wanted.hidden),
        known: BTreeMap::new(),
        passphrases: Passphrases::new(Arc::clone(&signed_in.vault)),
    };
    let orders = match orders(setup, wanted, site, rows, cloud.as_ref(), &mut networks).await {
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
    follow::to_the_end(setup, engine, &jobs, networks.passphrases).await
}

/// What is to be done, once the cloud has said that it may be and every network has its passphrase.
async fn orders(
    setup: &Setup,
    wanted: &args::Commission,
    site: Option<&ProfileSite>,
    rows: Vec<Row>,
    cloud: &dyn Cloud,
    networks: &mut Networks<'_>,
) -> Result<Vec<Order>, Ended> {
    let preflight = setup.check_cloud(cloud).await?;
    for remark in &preflight.remarks {
        setup.out.warn("cloud-remark", remark);
    }
    if let Some(way) = preflight.way {
        setup.out.say(way.says());
    }
    let parameters = wanted.given.by_name()?;
    check(cloud, &parameters).await?;
    let usual = setup.profile.usual_network(site).map(String::from);
    let mut orders = Vec::with_capacity(rows.len());
    for row in rows {
        let name = row
            .network
            .as_ref()
            .or(wanted.network.as_ref())
            .or(usual.as_ref());
        let network = match name {
            Some(name) => Some(networks.named(name).await?),
            None => None,
        };
        orders.push(Order {
            strength: row.strength(),
            target: Target::Name(row.name),
            serial: row.serial,
            pop: row.pop,
            username: row.username,
            network,
            site: site.map(|site| site.name.clone()),
            purpose: wanted.purpose.into(),
            parameters: parameters.clone(),
        });
    }
    Ok(orders)
}

/// Whether the cloud takes such values for the template's parameters.
async fn check(cloud: &dyn Cloud, parameters: &BTreeMap<String, String>) -> Result<(), Ended> {
    match cloud.check_parameters(parameters).await {
        Ok(()) => Ok(()),
        Err(FillError::Cloud(error)) => Err(error.into()),
        Err(error) => Err(Ended::new(
            Exit::Usage,
            error.code(),
            &error,
            "Give values as --parameter NAME=VALUE, or have the office put them into the organisation profile; nothing \
             was started.",
        )),
    }
}

/// The one device that was named; its label comes from the person.
async fn typed(setup: &Setup, device: &str, wanted: &args::Commission) -> Result<Row, Ended> {
    let label = setup.person.label(device, true).await?;
    Ok(Row {
        name: device.to_owned(),
        serial: wanted
            .serial
            .clone()
            .or_else(|| label.as_ref().and_then(|label| label.serial.clone())),
        pop: label.as_ref().and_then(|label| label.pop.clone()),
        security: label.as_ref().and_then(|label| label.security),
        username: label.and_then(|label| label.username),
        network: None,
    })
}

/// Networks with their passphrases, each looked up or asked for once.
struct Networks<'a> {
    setup: &'a Setup,
    vault: Arc<dyn Vault>,
    /// The one that was said to hide its name; those that a file of labels names beside it do not.
    hidden: Option<&'a str>,
    known: BTreeMap<String, Network>,
    passphrases: Passphrases,
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
        let ssid = Ssid::new(name).map_err(wrong)?;
        let told = self.setup.profile.network(name);
        let hidden = self.hidden == Some(name) || told.is_some_and(|network| network.hidden);
        let passphrase = if told.is_some_and(|network| network.open) {
            None
        } else {
            Some(self.passphrase(&ssid, name).await?)
        };
        let network = Network::new(ssid, passphrase, hidden).map_err(wrong)?;
        self.known.insert(name.into(), network.clone());
        Ok(network)
    }

    /// What the keyring has, else what somebody types.
    async fn passphrase(&mut self, ssid: &Ssid, name: &str) -> Result<Passphrase, Ended> {
        let passphrases = engine::passphrases::Passphrases::of(&self.setup.profile);
        let kept = passphrases
            .read(self.vault.as_ref(), name)
            .await
            .unwrap_or_else(|error| {
                self.setup.out.warn(
                    "keyring",
                    &format!("{error}; the passphrase of {name} is asked for instead"),
                );
                None
            });
        match kept {
            Some(kept) => {
                self.passphrases.are_kept(ssid, passphrases.entry(name));
                Ok(kept)
            }
            None => self.typed(name).await,
        }
    }

    /// An open network is one for which somebody says so: with nobody to ask, a protected one would pass for open.
    async fn typed(&self, name: &str) -> Result<Passphrase, Ended> {
        let prompt = format!("Passphrase of the network {name} (empty if it is open)");
        match self.setup.person.secret(&prompt).await {
            Ok(text) => Ok(Passphrase::new(text.as_str())),
            Err(Silence::Over) => Err(Ended::new(
                Exit::Usage,
                "no-passphrase",
                format!("the passphrase of the network {name} is not kept and was not given"),
                format!(
                    "Keep it (fieldkey network remember {name}), or give it as a line on standard input, an empty one \
                     for an open network; nothing was started."
                ),
            )),
            Err(silence) => Err(silence.into()),
        }
    }
}
