//! A device exchanges its claim for a permanent identity and goes online with it (AWS IoT developer guide,
//! "Provisioning devices that don't have device certificates using fleet provisioning").
//!
//! The part of a firmware that runs once Wi-Fi is up. It tells its progress in the words of the `cloud-status`
//! endpoint, tries again as firmware does, and stops when trying again can't help. Not for: where the claim came from.

use std::collections::BTreeMap;
use std::time::Duration;

use commission::claim::Endpoint;
use commission::device::Serial;
use commission::dialect::Enrol;
use commission::secret::PrivateKeyPem;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::mqtt::{Material, MqttError, Session, Version};
use super::pace::Pace;
use super::storage::Permanent;

/// One MQTT operation; a cloud that is slower than this is as good as gone.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// First pause before trying again; doubles up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause before trying again.
const LAST_PAUSE: Duration = Duration::from_secs(32);
/// A cloud that refuses, or hangs up, so often in a row means it.
const REFUSALS: u32 = 4;
/// A topic that a claim may not have.
const FORBIDDEN_TOPIC: &str = "$aws/events/presence/#";
/// Where there is no other word for the topic of the first data.
const DEFAULT_DATA_TOPIC: &str = "dt/{name}/state";

/// What was pushed to the device: the claim and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The claim's certificate and key, and whom to trust at the endpoint.
    pub material: Material,
    /// Where to go.
    pub endpoint: Endpoint,
    /// The provisioning template.
    pub template: String,
    /// What to hand back when registering.
    pub parameters: BTreeMap<String, String>,
    /// How long the claim lives from the moment it was received, where the device was told.
    pub life: Option<Duration>,
    /// When it was received.
    pub received: Instant,
}

/// How this firmware enrols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Its serial number: names it before the cloud does.
    pub serial: Serial,
    /// MQTT version.
    pub version: Version,
    /// Payload format.
    pub format: Format,
    /// Who makes the permanent key.
    pub key: KeyMaker,
    /// Keep-alive of its connections.
    pub keep_alive: Duration,
    /// Time between two messages once it is online.
    pub telemetry: Duration,
    /// Whether it asks for a topic first that no claim may have, as a firmware with a mistake in it does.
    pub oversteps: bool,
    /// How long it stays on the claim's session after registering, on which it calls itself as its thing is called
    /// already; none where it does neither, as it should.
    pub stays_on_claim: Option<Duration>,
}

/// The payload format of the provisioning topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// CBOR (RFC 8949), a map with text keys.
    Cbor,
}

/// Who makes the permanent key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyMaker {
    /// The device; it sends a CSR and its key never leaves it (CreateCertificateFromCsr).
    #[default]
    Csr,
    /// The cloud, which sends it (CreateKeysAndCertificate).
    Keys,
}

/// Why an attempt did not lead to an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    Mqtt(MqttError),
    Rejected(Rejected),
    Local(String),
}

/// A credential that the cloud made for a claim and has not registered yet, as far as the device knows. It outlives
/// the way to the cloud: a claim makes one only.
pub struct Pending {
    certificate_id: String,
    material: Material,
    ownership_token: String,
    /// Registering was asked for, so that it may have happened although no answer came.
    asked: bool,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CsrRequest {
    certificate_signing_request: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    certificate_id: String,
    certificate_pem: String,
    private_key: Option<String>,
    certificate_ownership_token: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegisterRequest<'a> {
    certificate_ownership_token: &'a str,
    parameters: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registered {
    #[serde(default)]
    thing_name: Option<String>,
    #[serde(default)]
    device_configuration: BTreeMap<String, String>,
}

/// The cloud's refusal, as it comes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rejected {
    #[serde(default)]
    status_code: u16,
    error_code: String,
    #[serde(default)]
    error_message: String,
}

/// Exchanges the claim, from where an earlier try left it. `None` where it was refused for good or the claim died;
/// `progress` then says which.
pub async fn enrol(
    order: &Order,
    habits: &Habits,
    pace: Pace,
    progress: &watch::Sender<Enrol>,
    pending: &mut Option<Pending>,
) -> Option<Permanent> {
    let (mut pause, mut refusals, mut tries) = (FIRST_PAUSE, 0, 0_u32);
    loop {
        if order.is_dead() {
            progress.send_replace(Enrol::ClaimExpired);
            return None;
        }
        tries = tries.saturating_add(1);
        progress.send_replace(Enrol::Connecting);
        let asked_before = pending.as_ref().is_some_and(|pending| pending.asked);
        let trouble = match attempt(order, habits, tries, pending, progress).await {
            Ok(permanent) => return Some(permanent),
            Err(trouble) => trouble,
        };
        tracing::debug!(serial = %habits.serial, ?trouble, tries, "enrolment attempt failed");
        let may_be_registered = trouble.shuts_the_claim_out() || asked_before && trouble.is_final();
        if may_be_registered
            && let Some(permanent) = registered_after_all(order, habits, pending.as_ref()).await
        {
            return Some(permanent);
        }
        if trouble.spoils_the_token() {
            *pending = None;
        }
        progress.send_replace(trouble.told(order));
        if !trouble.is_unreachable() {
            refusals += 1;
        }
        if trouble.is_final() || refusals >= REFUSALS {
            return None;
        }
        let left = order.left().unwrap_or(Duration::MAX);
        tokio::time::sleep(pace.span(pause).min(left)).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Lives with the permanent identity: connects, publishes, and connects again for as long as it is polled.
pub async fn stay_online(
    permanent: &Permanent,
    habits: &Habits,
    pace: Pace,
    progress: &watch::Sender<Enrol>,
) {
    let mut pause = FIRST_PAUSE;
    let mut count = 0_u64;
    loop {
        match open_permanent(permanent, habits).await {
            Ok(mut session) => {
                pause = FIRST_PAUSE;
                let gone = live(&mut session, permanent, habits, pace, progress, &mut count).await;
                tracing::debug!(serial = %habits.serial, ?gone, "connection ended");
            }
            Err(error) => tracing::debug!(serial = %habits.serial, %error, "not online"),
        }
        pace.sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Publishes now and then, until the connection ends.
async fn live(
    session: &mut Session,
    permanent: &Permanent,
    habits: &Habits,
    pace: Pace,
    progress: &watch::Sender<Enrol>,
    count: &mut u64,
) -> Result<(), MqttError> {
    loop {
        *count = count.saturating_add(1);
        let data = serde_json::json!({ "serial": habits.serial, "count": *count });
        session
            .publish(&permanent.data_topic, data.to_string().into_bytes())
            .await?;
        let online = Enrol::Online {
            thing: permanent.thing.clone(),
            principal: permanent.certificate_id.clone(),
        };
        progress.send_if_modified(|now| (*now != online).then(|| *now = online).is_some());
        session.idle(pace.span(habits.telemetry)).await?;
    }
}

async fn open_permanent(permanent: &Permanent, habits: &Habits) -> Result<Session, MqttError> {
    let client_id = permanent.thing.as_deref().unwrap_or(habits.serial.as_str());
    let Permanent {
        endpoint, material, ..
    } = permanent;
    Session::open(
        habits.version,
        client_id,
        habits.keep_alive,
        endpoint,
        material,
        ANSWER_LIMIT,
    )
    .await
}

/// A lost answer to RegisterThing leaves a device that is registered and does not know it: its claim is used up, but
/// its new certificate works. It can only guess its name, which by every usual template is its serial number.
async fn registered_after_all(
    order: &Order,
    habits: &Habits,
    pending: Option<&Pending>,
) -> Option<Permanent> {
    let pending = pending.filter(|pending| pending.asked)?;
    let registered = Registered {
        thing_name: Some(habits.serial.to_string()),
        device_configuration: BTreeMap::new(),
    };
    let permanent = pending.become_permanent(order, habits, registered);
    open_permanent(&permanent, habits).await.ok()?.close().await;
    Some(permanent)
}

async fn attempt(
    order: &Order,
    habits: &Habits,
    tries: u32,
    pending: &mut Option<Pending>,
    progress: &watch::Sender<Enrol>,
) -> Result<Permanent, Trouble> {
    // Never the name that it will have: one client id may connect only once a second, and the cloud would count the
    // claim's session for the device's own.
    let client_id = if habits.stays_on_claim.is_some() {
        habits.serial.to_string()
    } else {
        format!("{}-claim-{tries}", habits.serial)
    };
    let (version, keep_alive) = (habits.version, habits.keep_alive);
    let mut session = Session::open(
        version,
        &client_id,
        keep_alive,
        &order.endpoint,
        &order.material,
        ANSWER_LIMIT,
    )
    .await?;
    progress.send_replace(Enrol::CloudReached);
    if habits.oversteps {
        session.subscribe(&[FORBIDDEN_TOPIC.to_owned()]).await?;
    }

    let credential = match pending {
        Some(credential) => credential,
        None => pending.insert(create(&mut session, order, habits).await?),
    };
    progress.send_replace(Enrol::IdentityIssued {
        principal: credential.certificate_id.clone(),
    });

    let topic = format!("$aws/provisioning-templates/{}/provision", order.template);
    let request = RegisterRequest {
        certificate_ownership_token: &credential.ownership_token,
        parameters: &order.parameters,
    };
    credential.asked = true;
    let registered: Registered = ask(&mut session, habits.format, &topic, &request).await?;
    let done = Enrol::Registered {
        thing: registered.thing_name.clone(),
        principal: credential.certificate_id.clone(),
    };
    if let Some(span) = habits.stays_on_claim {
        progress.send_replace(done.clone());
        // The cloud may end it sooner.
        let _ = session.idle(span).await;
    }
    session.close().await;
    progress.send_replace(done);
    Ok(credential.become_permanent(order, habits, registered))
}

async fn create(session: &mut Session, order: &Order, habits: &Habits) -> Result<Pending, Trouble> {
    let (created, key): (Created, _) = match habits.key {
        KeyMaker::Csr => {
            let (key, csr) = signing_request(&habits.serial).map_err(|e| Trouble::Local(e.to_string()))?;
            let request = CsrRequest {
                certificate_signing_request: csr,
            };
            let topic = "$aws/certificates/create-from-csr";
            (ask(session, habits.format, topic, &request).await?, Some(key))
        }
        KeyMaker::Keys => (
            ask(session, habits.format, "$aws/certificates/create", &Nothing {}).await?,
            None,
        ),
    };
    let key = key
        .or_else(|| created.private_key.map(PrivateKeyPem::new))
        .ok_or_else(|| Trouble::Local("the cloud sent no private key".into()))?;
    let ca = order.material.ca.clone();
    Ok(Pending {
        certificate_id: created.certificate_id,
        material: Material::from_pem(ca, &created.certificate_pem, key.reveal())?,
        ownership_token: created.certificate_ownership_token,
        asked: false,
    })
}

fn signing_request(serial: &Serial) -> Result<(PrivateKeyPem, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, serial.as_str());
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    let request = params.serialize_request(&key)?.pem()?;
    Ok((PrivateKeyPem::new(key.serialize_pem()), request))
}

/// One request and its answer. Both reply topics are subscribed to first, or the answer would be lost.
async fn ask<A: DeserializeOwned>(
    session: &mut Session,
    format: Format,
    topic: &str,
    request: &impl Serialize,
) -> Result<A, Trouble> {
    let topic = format!("{topic}/{}", format.suffix());
    let (accepted, rejected) = (format!("{topic}/accepted"), format!("{topic}/rejected"));
    session.subscribe(&[accepted.clone(), rejected.clone()]).await?;
    session.publish(&topic, format.write(request)?).await?;
    loop {
        let message = session.message().await?;
        if message.topic == accepted {
            return format.read(&message.payload);
        }
        if message.topic == rejected {
            return Err(Trouble::Rejected(format.read(&message.payload)?));
        }
    }
}

impl Order {
    fn left(&self) -> Option<Duration> {
        self.life.map(|life| life.saturating_sub(self.received.elapsed()))
    }

    fn is_dead(&self) -> bool {
        self.left() == Some(Duration::ZERO)
    }
}

impl Pending {
    fn become_permanent(&self, order: &Order, habits: &Habits, registered: Registered) -> Permanent {
        let name = registered.thing_name.as_deref().unwrap_or(habits.serial.as_str());
        let mut configuration = registered.device_configuration;
        Permanent {
            certificate_id: self.certificate_id.clone(),
            material: self.material.clone(),
            data_topic: configuration
                .remove("dataTopic")
                .unwrap_or_else(|| DEFAULT_DATA_TOPIC.replace("{name}", name)),
            thing: registered.thing_name,
            endpoint: order.endpoint.clone(),
        }
    }
}

impl Trouble {
    /// What `cloud-status` says of it.
    fn told(&self, order: &Order) -> Enrol {
        let refused = |code: &str, message: &str| Enrol::Refused {
            code: code.into(),
            message: message.into(),
        };
        match self {
            Self::Mqtt(_) if order.is_dead() => Enrol::ClaimExpired,
            Self::Mqtt(MqttError::Expired) => Enrol::ClaimExpired,
            Self::Mqtt(MqttError::Unreachable(reason)) => Enrol::Unreachable {
                reason: reason.clone(),
            },
            Self::Mqtt(MqttError::Silent(_)) => Enrol::Unreachable {
                reason: "no answer in time".into(),
            },
            Self::Mqtt(MqttError::Refused { code, message }) => refused(code, message),
            Self::Mqtt(MqttError::HungUp) => refused("ConnectionClosed", "the cloud closed the connection"),
            Self::Mqtt(MqttError::Material(why)) => refused("CredentialUnfit", why),
            Self::Rejected(Rejected {
                error_code,
                error_message,
                ..
            }) => refused(error_code, error_message),
            Self::Local(why) => refused("DeviceFault", why),
        }
    }

    /// The way there is the trouble, not the answer: no limit but the claim's life.
    fn is_unreachable(&self) -> bool {
        matches!(self, Self::Mqtt(MqttError::Unreachable(_) | MqttError::Silent(_)))
    }

    /// Trying again with this claim can't help.
    fn is_final(&self) -> bool {
        match self {
            Self::Mqtt(MqttError::Expired | MqttError::Material(_)) | Self::Local(_) => true,
            Self::Mqtt(_) => false,
            // A wrong token starts over; a throttled or broken cloud may be better later; every other refusal stays.
            Self::Rejected(rejected) => {
                let passing = rejected.status_code == 429
                    || rejected.status_code >= 500
                    || matches!(
                        rejected.error_code.as_str(),
                        "InvalidCertificateOwnershipToken"
                            | "InvocationError"
                            | "Throttled"
                            | "ThrottlingException"
                    );
                !passing
            }
        }
    }

    fn spoils_the_token(&self) -> bool {
        matches!(self, Self::Rejected(rejected) if rejected.error_code == "InvalidCertificateOwnershipToken")
    }

    /// The cloud does not take the claim (any more), as when it was used up.
    fn shuts_the_claim_out(&self) -> bool {
        self.spoils_the_token()
            || matches!(
                self,
                Self::Mqtt(MqttError::Refused { .. } | MqttError::HungUp | MqttError::Expired)
            )
    }
}

impl From<MqttError> for Trouble {
    fn from(error: MqttError) -> Self {
        Self::Mqtt(error)
    }
}

impl Format {
    fn suffix(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Cbor => "cbor",
        }
    }

    fn write(self, value: &impl Serialize) -> Result<Vec<u8>, Trouble> {
        match self {
            Self::Json => serde_json::to_vec(value).map_err(|e| Trouble::Local(e.to_string())),
            Self::Cbor => {
                let mut bytes = Vec::new();
                ciborium::into_writer(value, &mut bytes).map_err(|e| Trouble::Local(e.to_string()))?;
                Ok(bytes)
            }
        }
    }

    fn read<A: DeserializeOwned>(self, bytes: &[u8]) -> Result<A, Trouble> {
        let unreadable = |why: String| Trouble::Local(format!("the cloud's answer makes no sense: {why}"));
        match self {
            Self::Json => serde_json::from_slice(bytes).map_err(|e| unreadable(e.to_string())),
            Self::Cbor => ciborium::from_reader(bytes).map_err(|e| unreadable(e.to_string())),
        }
    }
}
