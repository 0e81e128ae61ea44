//! AWS IoT asked directly, by a trusted user with no broker in between: [`Cloud`] over the account's own API.
//!
//! ```text
//! ID token ─► keys (cognito, sts) ─► client (sign, pace, try again) ─► registry ─► watch ─► evidence
//! ```
//!
//! One file per subject: [`operation`] is the table of all calls with the permission that each needs, `refusal` what
//! AWS says no with, `keys` how a sign-in becomes AWS keys, `template` what can be known before a claim is spent,
//! `claim` the claim, [`bulk`] the registration of many devices at once, `watch` what a look at the registry proves, [`policy`] what an account has to allow.
//!
//! **What differs from a broker.** There is no maker's list, so nothing is said of whether a device is known, and the
//! template's hook decides. AWS does not say with which certificate a device is connected; [`commission::presence`] says what
//! may be inferred.
//! Claims cannot be undone: they die by themselves within five minutes, and undoing one means forgetting it. Issuing
//! is not idempotent at AWS, so a claim is remembered here, in memory, by the key of its request. Nothing is released:
//! a device belongs to the fleet once it is registered, and what is checked is that one credential of it is active.

pub mod bulk;
mod claim;
mod client;
mod cognito;
#[cfg(test)]
mod docs;
mod examine;
mod keys;
pub mod lint;
pub mod operation;
pub mod papers;
mod places;
pub mod policy;
mod refusal;
mod registry;
mod sign;
mod stamp;
mod sts;
mod template;
#[cfg(test)]
mod tests;
mod watch;
mod wire;
mod xml;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use commission::claim::{Claim, ClaimForm, ClaimId, ClaimRequest, CleanupHandle, Endpoint};
use commission::device::Serial;
use commission::evidence::{Observation, Owner, Snapshot, Thing};
use commission::fault::CloudError;
use commission::presence::{By, Looks};
use commission::time::Moment;
use url::Url;
use uuid::Uuid;

use self::claim::{ClaimAnswer, ClaimName, LIFE, Order};
use self::client::Client;
pub use self::keys::IdentitySource;
use self::keys::KeySource;
pub use self::places::PlaceError;
use self::places::{Places, https};
use self::refusal::Reason;
use self::registry::{Online, Registry, Told};
use self::template::{Plan, USUAL_SERIAL, Values};
use self::watch::{Before, Look};
use self::wire::{Wire, content};
use crate::cloud::http::Exchange;
use crate::ports::{Clock, Cloud, FieldRule, FillError, OwnWay, Preflight, Template};
use crate::settings::{AwsSettings, Strategy};

/// Pause between looks at an enrolment: ListThingPrincipals has ten a second for a whole account.
const LOOK_PACE: Duration = Duration::from_millis(2500);
/// How long what the template said holds.
const TEMPLATE_LIFE: Duration = Duration::from_secs(60);
/// What vouches for AWS's own device endpoints: Amazon Root CA 1, which AWS IoT's documentation names for RSA.
const AMAZON_ROOT: &str = include_str!("amazon_root_ca_1.pem");
/// What an installer does; what the account allows shows call by call.
const RIGHTS: [&str; 4] = ["claim", "observe", "retire", "release"];
/// The role of the issuer that moves devices to other owners.
const SUPPORT: &str = "support";

/// An AWS account.
pub struct AwsIot {
    settings: Arc<AwsSettings>,
    places: Arc<Places>,
    identity: Arc<dyn IdentitySource>,
    clock: Arc<dyn Clock>,
    wire: Arc<Wire>,
    registry: Registry,
    endpoint: tokio::sync::Mutex<Option<Endpoint>>,
    template: tokio::sync::Mutex<Option<(Moment, Option<Arc<Plan>>)>>,
    /// Claims that live, by the key of their request. Whoever holds this issues; a repetition waits and gets the same.
    issued: tokio::sync::Mutex<BTreeMap<Uuid, Claim>>,
    seen: Mutex<Seen>,
}

/// What was seen earlier, in this run.
#[derive(Default)]
struct Seen {
    /// At the last snapshot of each device.
    devices: BTreeMap<Serial, Known>,
    /// Before each claim.
    before: BTreeMap<ClaimId, BTreeSet<String>>,
    /// When each claim was looked at last.
    looked: BTreeMap<ClaimId, Moment>,
    /// What looks at each thing showed.
    looks: BTreeMap<String, Looks>,
}

#[derive(Clone, Default)]
struct Known {
    certificates: BTreeSet<String>,
    attributes: BTreeMap<String, String>,
}

impl AwsIot {
    /// The account of this profile, as whoever is signed in.
    ///
    /// # Errors
    /// [`PlaceError`] where its region makes no address.
    pub fn new(
        settings: AwsSettings,
        exchange: Arc<dyn Exchange>,
        identity: Arc<dyn IdentitySource>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PlaceError> {
        let settings = Arc::new(settings);
        let places = Arc::new(Places::of(&settings)?);
        let wire = Arc::new(Wire::new(exchange, Arc::clone(&clock)));
        let keys = KeySource::new(
            Arc::clone(&wire),
            Arc::clone(&settings),
            Arc::clone(&places),
            Arc::clone(&identity),
            policy::Work::Devices,
        );
        let client = Client::new(Arc::clone(&wire), keys, settings.region.clone());
        Ok(Self {
            registry: Registry::new(client, places.iot.clone()),
            settings,
            places,
            identity,
            clock,
            wire,
            endpoint: tokio::sync::Mutex::default(),
            template: tokio::sync::Mutex::default(),
            issued: tokio::sync::Mutex::default(),
            seen: Mutex::default(),
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Values for the template's parameters: those of the profile that it has, under those that somebody gave.
    fn values(&self, plan: Option<&Plan>, given: &Values) -> Values {
        let of_profile = self.settings.parameters.iter();
        let mut values: Values = of_profile
            .filter(|(name, _)| plan.is_none_or(|plan| plan.asks_for(name)))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        values.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
        values
    }

    /// Where devices go: as the profile says, else as AWS does.
    async fn endpoint(&self) -> Result<Endpoint, CloudError> {
        match &self.settings.device_endpoint {
            Some(own) => Ok(Endpoint {
                host: own.host.clone(),
                port: own.port,
            }),
            None => self.account_endpoint().await,
        }
    }

    /// The account's own endpoint, which is asked for once.
    async fn account_endpoint(&self) -> Result<Endpoint, CloudError> {
        let mut known = self.endpoint.lock().await;
        if let Some(endpoint) = &*known {
            return Ok(endpoint.clone());
        }
        let endpoint = self.registry.endpoint().await?;
        Ok(known.insert(endpoint).clone())
    }

    /// Where the data plane answers. Not where the profile sends devices: a name of the organisation's own serves MQTT
    /// alone.
    async fn data_plane(&self) -> Result<Url, CloudError> {
        match &self.places.iot_data {
            Some(url) => Ok(url.clone()),
            None => https(&self.account_endpoint().await?.host)
                .map_err(|error| CloudError::Nonsense(error.to_string())),
        }
    }

    /// Whether a thing is online; none where that cannot be told, which must not hide that it is registered.
    async fn online(&self, thing: &str) -> Option<Online> {
        const OFFLINE: Online = Online {
            connected: false,
            at: None,
            by: By::Untold,
        };
        let by_index = self.registry.by_index(thing).await;
        if let Ok(Told::Online(online)) = &by_index
            && !online.connected
        {
            return Some(online.clone());
        }
        // It alone says whether a connection is with a certificate of the thing.
        let by_data_plane = match self.data_plane().await {
            Ok(base) => self.registry.by_data_plane(thing, &base).await,
            Err(error) => Err(error),
        };
        match (by_index, by_data_plane) {
            (_, Ok(Told::Online(online))) | (Ok(Told::Online(online)), _) => Some(online),
            (Ok(Told::Nothing), _) | (_, Ok(Told::Nothing)) => Some(OFFLINE),
            (by_index, by_data_plane) => {
                tracing::debug!(
                    ?by_index,
                    ?by_data_plane,
                    "whether the device is online cannot be told"
                );
                None
            }
        }
    }

    /// The template; none where this person may not read it, or the strategy has none.
    async fn plan(&self, anew: bool) -> Result<Option<Arc<Plan>>, CloudError> {
        if !self.settings.strategy.has_template() {
            return Ok(None);
        }
        let mut known = self.template.lock().await;
        let now = self.clock.now();
        if let Some((read, plan)) = &*known
            && !anew
            && now.since(*read) < TEMPLATE_LIFE
        {
            return Ok(plan.clone());
        }
        let plan = match self.registry.template(&self.settings.template).await {
            Ok(answer) if answer.template_name != self.settings.template => {
                return Err(CloudError::Nonsense("it answers about another template".into()));
            }
            Ok(answer) => Some(Arc::new(answer.plan().map_err(CloudError::Nonsense)?)),
            Err(trouble) if trouble.is(Reason::Denied) => None,
            Err(trouble) => return Err(trouble.into()),
        };
        *known = Some((now, plan.clone()));
        Ok(plan)
    }

    /// What the device of this serial number is called in the registry; none where neither template nor profile tell.
    async fn thing_name(&self, serial: &Serial, given: &Values) -> Result<Option<String>, CloudError> {
        let plan = self.plan(false).await?;
        Ok(self.thing_name_by(plan.as_deref(), serial, given))
    }

    fn thing_name_by(&self, plan: Option<&Plan>, serial: &Serial, given: &Values) -> Option<String> {
        let by_template =
            plan.and_then(|plan| plan.thing_name(serial.as_str(), &self.values(Some(plan), given)));
        by_template.or_else(|| self.settings.thing_name(serial.as_str()))
    }

    /// A whole look at a thing; none where there is none.
    async fn look(&self, thing: &str) -> Result<Option<(Look, BTreeMap<String, String>)>, CloudError> {
        match self.registry.principals(thing).await? {
            Some(listed) => self.look_at(thing, &listed).await,
            None => Ok(None),
        }
    }

    /// The same at a thing whose certificates were listed just now.
    async fn look_at(
        &self,
        thing: &str,
        listed: &[String],
    ) -> Result<Option<(Look, BTreeMap<String, String>)>, CloudError> {
        let Some(told) = self.registry.thing(thing).await? else {
            return Ok(None);
        };
        let mut certificates = Vec::new();
        for id in listed {
            // One that was deleted between the two calls is gone.
            certificates.extend(self.registry.certificate(id).await?);
        }
        let online = self.online(thing).await;
        let now = self.wire.now();
        let mut look = {
            let mut seen = self.seen();
            let looks = seen.looks.entry(thing.to_owned()).or_default();
            Look::new(thing, told.version, certificates, online, looks, now)
        };
        // A certificate that came in between may be the one.
        if look.whose.is_some() && self.registry.principals(thing).await?.as_deref() != Some(listed) {
            look.whose = None;
        }
        Ok(Some((look, told.attributes)))
    }

    /// Waits until this claim may be looked at again.
    async fn rest(&self, claim: &ClaimId) {
        let last = self.seen().looked.get(claim).copied();
        if let Some(last) = last {
            self.clock.sleep_until(last + LOOK_PACE).await;
        }
        let now = self.clock.now();
        self.seen().looked.insert(claim.clone(), now);
    }

    /// What speaks against spending a claim on this device, which AWS would say only when the device registers. The
    /// codes are those of the broker's contract, by which the flow knows that no claim was made.
    async fn check(&self, request: &ClaimRequest) -> Result<Option<Arc<Plan>>, CloudError> {
        let refused = |code: &str, message: String| CloudError::Refused {
            code: code.into(),
            message,
        };
        if self.settings.strategy != Strategy::TrustedUser {
            return Err(refused(
                "claim-refused",
                "the organisation profile names another strategy, by which devices get no claim".into(),
            ));
        }
        if !request.accepts.contains(&ClaimForm::Certificate) {
            return Err(refused(
                "kind-not-offered",
                "the device takes no certificate with its key, and AWS IoT gives no other claim".into(),
            ));
        }
        let Some(plan) = self.plan(false).await? else {
            return Ok(None);
        };
        if !plan.enabled {
            return Err(refused(
                "template-disabled",
                format!(
                    "the template {} is switched off; the office must switch it on",
                    self.settings.template
                ),
            ));
        }
        let known = self
            .seen()
            .devices
            .get(&request.serial)
            .cloned()
            .unwrap_or_default();
        let values = self.values(Some(&plan), &request.parameters);
        if let Err(error) = plan.takes(&values, &self.settings.supplied_parameters) {
            return Err(refused("claim-refused", error.to_string()));
        }
        if let Some(why) = plan.unfit(request.serial.as_str(), &values) {
            return Err(refused("claim-refused", why));
        }
        let clashes = plan.clashes(request.serial.as_str(), &values, &known.attributes);
        if !clashes.is_empty() {
            return Err(refused(
                "claim-refused",
                format!(
                    "AWS would refuse the device, since it is registered with other attributes ({}); the office must \
                     give the template OverrideSettings",
                    clashes.join(", ")
                ),
            ));
        }
        Ok(Some(plan))
    }

    /// A device as the registry shows it, kept for the claim that may follow.
    async fn known(&self, serial: &Serial, given: &Values) -> Result<Option<Thing>, CloudError> {
        let Some(name) = self.thing_name(serial, given).await? else {
            return Ok(None);
        };
        let found = self.look(&name).await?;
        let (known, thing) = match found {
            None => (Known::default(), None),
            Some((look, attributes)) => {
                let certificates = look.certificates.iter().map(|certificate| certificate.id.clone());
                let known = Known {
                    certificates: certificates.collect(),
                    attributes,
                };
                (known, Some(watch::thing(&look)))
            }
        };
        self.seen().devices.insert(serial.clone(), known);
        Ok(thing)
    }

    fn forget(&self, claim: &ClaimId) {
        let mut seen = self.seen();
        seen.before.remove(claim);
        seen.looked.remove(claim);
    }
}

/// How devices come to their identity by this strategy, where they do so by themselves.
fn way(strategy: Strategy) -> Option<OwnWay> {
    match strategy {
        Strategy::TrustedUser => None,
        Strategy::ClaimInDevice => Some(OwnWay::SharedClaim),
        Strategy::Jitp | Strategy::Jitr => Some(OwnWay::FirstConnection),
        Strategy::Registered => Some(OwnWay::Beforehand),
    }
}

/// What is unwise about a strategy.
fn remark(strategy: Strategy) -> Option<&'static str> {
    (strategy == Strategy::ClaimInDevice).then_some(
        "All devices share the claim in their firmware, so that whoever reads it out of one can register others; the \
         template's hook must know each device.",
    )
}

#[async_trait]
impl Cloud for AwsIot {
    async fn preflight(&self) -> Result<Preflight, CloudError> {
        let person = self.identity.person().ok_or(CloudError::SignedOut)?;
        let plan = self.plan(true).await?;
        let endpoint = self.endpoint().await?;
        let mut rights: Vec<String> = RIGHTS.map(str::to_owned).to_vec();
        // Where the issuer tells no roles, the account alone decides.
        if person.roles.is_empty() || person.roles.iter().any(|role| role == SUPPORT) {
            rights.push("transfer".into());
        }
        let strategy = self.settings.strategy;
        let mut remarks = plan
            .as_ref()
            .map(|plan| plan.remarks(strategy))
            .unwrap_or_default();
        remarks.extend(remark(strategy).map(str::to_owned));
        if let Some(plan) = &plan {
            remarks.extend(plan.remarks_about(&self.settings.parameters, &self.settings.supplied_parameters));
        }
        if plan.is_none() && strategy.has_template() {
            remarks.push(
                "This person may not read the template, so that a template that is off or unfit shows only when a \
                 device registers; allow iot:DescribeProvisioningTemplate."
                    .into(),
            );
            if self.settings.thing.is_none() {
                remarks.push(
                    "Neither the template nor the profile tell what things are called, so that no enrolment can be \
                     seen; add thing = \"{serial}\" to the profile."
                        .into(),
                );
            }
        }
        Ok(Preflight {
            cloud: "aws-iot".into(),
            person,
            rights,
            template: Template {
                name: self.settings.template.clone(),
                enabled: plan.as_ref().is_none_or(|plan| plan.enabled),
                parameters: plan
                    .as_ref()
                    .map(|plan| plan.parameters.clone())
                    .unwrap_or_default(),
            },
            endpoint,
            claim_life: LIFE,
            server_time: self.wire.now(),
            clock_ahead: self.wire.ahead(),
            form: match plan {
                Some(plan) if strategy == Strategy::TrustedUser => {
                    plan.form(&self.settings.parameters, &self.settings.supplied_parameters)
                }
                _ => Vec::new(),
            },
            way: way(strategy),
            remarks,
        })
    }

    fn clock_ahead(&self) -> Option<i64> {
        self.wire.ahead()
    }

    async fn examine(&self) -> Result<Vec<String>, CloudError> {
        self.examine_rights().await
    }

    async fn check_parameters(&self, values: &BTreeMap<String, String>) -> Result<(), FillError> {
        if self.settings.strategy != Strategy::TrustedUser {
            return if values.is_empty() {
                Ok(())
            } else {
                Err(FillError::NoForm)
            };
        }
        match self.plan(false).await? {
            Some(plan) => plan.takes(
                &self.values(Some(&plan), values),
                &self.settings.supplied_parameters,
            ),
            None => values
                .iter()
                .try_for_each(|(name, value)| template::fits(name, value, FieldRule::Line)),
        }
    }

    async fn snapshot(
        &self,
        serial: &Serial,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Snapshot, CloudError> {
        let thing = self.known(serial, parameters).await?;
        Ok(Snapshot {
            // AWS IoT has no maker's list, and says nothing; the hook decides when the device registers.
            known: None,
            identity_key_sha256: None,
            min_firmware: None,
            owner: if thing.is_some() { Owner::Us } else { Owner::None },
            thing,
            self_enrolling: self.settings.strategy.is_self_enrolling(),
        })
    }

    async fn issue(&self, request: &ClaimRequest) -> Result<Claim, CloudError> {
        let mut issued = self.issued.lock().await;
        let now = self.clock.now();
        issued.retain(|_, claim| claim.expires > now);
        if let Some(claim) = issued.get(&request.idempotency) {
            let same = ClaimName::read(&claim.id).is_some_and(|name| name.serial == request.serial);
            return same.then(|| claim.clone()).ok_or_else(|| CloudError::Refused {
                code: "idempotency-mismatch".into(),
                message: "this key was used for another serial number".into(),
            });
        }
        let plan = self.check(request).await?;
        let serial = request.serial.as_str();
        let mut values = self.values(plan.as_deref(), &request.parameters);
        let order = Order {
            serial: request.serial.clone(),
            thing: self.thing_name_by(plan.as_deref(), &request.serial, &request.parameters),
            template: self.settings.template.clone(),
            parameters: match plan {
                Some(plan) => plan.given(serial, &values),
                None => {
                    values.insert(USUAL_SERIAL.to_owned(), serial.to_owned());
                    values
                }
            },
            endpoint: self.endpoint().await?,
            ca_pem: self
                .settings
                .device_ca
                .clone()
                .unwrap_or_else(|| AMAZON_ROOT.to_owned()),
        };
        let answer = self.registry.claim(&self.settings.template).await?;
        let fetched: ClaimAnswer = content(operation::Operation::CreateProvisioningClaim, &answer)?;
        let claim = fetched
            .claim(order, answer.arrived, self.wire.time_of(&answer))
            .map_err(CloudError::Nonsense)?;
        let before = self
            .seen()
            .devices
            .get(&request.serial)
            .map(|known| known.certificates.clone());
        if let Some(before) = before {
            self.seen().before.insert(claim.id.clone(), before);
        }
        issued.insert(request.idempotency, claim.clone());
        Ok(claim)
    }

    async fn observe(&self, claim: &ClaimId, after: u64) -> Result<Observation, CloudError> {
        let Some(name) = ClaimName::read(claim) else {
            // Of another cloud, from before the profile was changed.
            return Err(CloudError::Refused {
                code: "claim-not-found".into(),
                message: "this claim is not one of AWS IoT's".into(),
            });
        };
        self.rest(claim).await;
        let thing = match &name.thing {
            Some(thing) => Some(thing.clone()),
            None => self.thing_name(&name.serial, &Values::new()).await?,
        };
        let Some(thing) = thing else {
            // Nothing can be seen, which proves nothing.
            return Ok(Observation {
                next: after,
                ..Observation::default()
            });
        };
        let before: Before = self.seen().before.get(claim).cloned();
        // One call is enough while nothing has changed.
        let listed = self.registry.principals(&thing).await?.unwrap_or_default();
        let look = if listed.iter().any(|id| watch::may_be_fresh(id, &before)) {
            self.look_at(&thing, &listed).await?.map(|(look, _)| look)
        } else {
            None
        };
        let over = watch::is_over(look.as_ref(), &name, &before, self.wire.now());
        let Some(look) = look else {
            return Ok(Observation {
                evidence: Vec::new(),
                next: after,
                claim_over: over,
                thing: None,
            });
        };
        let (evidence, next) = watch::news(&look, &name, &before, after);
        Ok(Observation {
            evidence,
            next,
            claim_over: over,
            thing: Some(watch::thing(&look)),
        })
    }

    /// AWS has no call that ends a claim, and shows it nowhere: it is forgotten here, its key with it, and dies within
    /// five minutes. A certificate that was made with it and never registered is deleted by AWS within an hour.
    async fn retire(&self, cleanup: &CleanupHandle) -> Result<(), CloudError> {
        let mut issued = self.issued.lock().await;
        issued.retain(|_, claim| claim.cleanup != *cleanup);
        self.forget(&ClaimId(cleanup.0.clone()));
        Ok(())
    }

    /// Only a certificate of this very thing is switched off: IAM cannot keep a person from all others of the account.
    async fn deactivate(&self, thing: &str, principal: &str) -> Result<Thing, CloudError> {
        let gone = |code: &str, what: &str| CloudError::Refused {
            code: code.into(),
            message: format!("{what} is not there any more"),
        };
        let listed = self.registry.principals(thing).await?;
        let listed = listed.ok_or_else(|| gone("thing-not-found", thing))?;
        if !listed.iter().any(|id| id == principal) {
            return Err(gone("principal-not-found", principal));
        }
        match self.registry.switch_off(principal).await {
            Err(trouble) if trouble.is(Reason::Missing) => {
                return Err(gone("principal-not-found", principal));
            }
            done => done?,
        }
        let (look, _) = self
            .look(thing)
            .await?
            .ok_or_else(|| gone("thing-not-found", thing))?;
        Ok(watch::thing(&look))
    }

    async fn release(&self, thing: &str, _: &ClaimId) -> Result<(), CloudError> {
        let (look, _) = self.look(thing).await?.ok_or_else(|| CloudError::Refused {
            code: "thing-not-found".into(),
            message: format!("{thing} is not registered"),
        })?;
        match watch::thing(&look).active().count() {
            1 => Ok(()),
            active => Err(CloudError::Refused {
                code: "not-verified".into(),
                message: format!("{thing} has {active} active certificates instead of one"),
            }),
        }
    }
}
