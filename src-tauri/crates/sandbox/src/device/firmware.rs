//! The firmware of one simulated device: glues its provisioning protocol to the radio, its Wi-Fi and its flash, and
//! enrols for real.
//!
//! It advertises until it is provisioned, falls silent as firmware does, keeps what it was given, and comes back after
//! a power cycle. Not for: bytes on the air (`commission::dialect::espressif`), MTU and link faults (`radio`).

mod handler;
mod life;
mod setup;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use commission::device::Fingerprint;
use commission::dialect::Enrol;
use commission::dialect::espressif::cloud_cred::ClaimBundle;
use commission::dialect::espressif::device::{Device as Esp, DeviceConfig, Effect, WifiConfig};
use commission::dialect::espressif::wire::scan::AccessPoint as Row;
use commission::network::Ssid;
use commission::secret::Passphrase;
use commission::time::UnixTime;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::enrol::{Habits, Order};
use super::maker::{FactoryKey, Maker, MakerError};
use super::mqtt::{Material, MqttError};
use super::pace::Pace;
use super::storage::{Flash, Kept, MadeWith, Permanent, StorageError};
use super::wifi::{Heard, Joining, Station, WifiSettings, World};
use crate::cloud::{Cloud, CloudError, MadeWith as Given};
use crate::radio::peripheral::{CharacteristicId, LinkHandle, OnAir};
use crate::scenario::DeviceSpec;

/// What AWS IoT's own device libraries ask for is 1200 s; a minute shows a lost device sooner.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Why a device could not be switched on.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    /// Its flash.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Its factory key.
    #[error(transparent)]
    Maker(#[from] MakerError),
    /// What the cloud was to give it.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// A certificate of the cloud that the device cannot use.
    #[error(transparent)]
    Credential(#[from] MqttError),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

/// One simulated device. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Firmware {
    inner: Arc<Inner>,
}

/// How a device stands, for people and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceState {
    /// Whether it is switched on.
    pub powered: bool,
    /// Whether it can be provisioned, so that it advertises while it has no link.
    pub provisioning: bool,
    /// Whether it has a link.
    pub linked: bool,
    /// Whether too many wrong PoPs stopped it.
    pub locked_out: bool,
    /// How its Wi-Fi stands.
    pub wifi: Joining,
    /// How its enrolment stands.
    pub enrol: Enrol,
    /// The certificate that it keeps as its permanent identity.
    pub principal: Option<String>,
    /// How often it blinked.
    pub blinks: u32,
}

/// What becomes of an answer.
#[derive(Clone, Copy)]
enum Spoil {
    Noise,
    Half,
    Nothing,
    TooMuch,
}

struct Inner {
    spec: DeviceSpec,
    habits: Habits,
    pace: Pace,
    flash: Flash,
    config: DeviceConfig,
    station: Arc<Station>,
    on_air: watch::Sender<OnAir>,
    progress: watch::Sender<Enrol>,
    claim: watch::Sender<Option<Arc<Order>>>,
    /// The claim that it was made with.
    own_claim: Option<Arc<Order>>,
    begun: Instant,
    core: Mutex<Core>,
    tasks: Mutex<JoinSet<()>>,
}

/// What changes; never held across an await.
struct Core {
    esp: Esp,
    kept: Kept,
    link: Option<LinkHandle>,
    powered: bool,
    open: bool,
    /// Settings were applied since provisioning opened, so that the join is told about.
    applied: bool,
    /// The settings that were applied last, worth keeping once they led to an address.
    joining: Option<WifiSettings>,
    requests: BTreeMap<&'static str, u32>,
    /// Characteristics whose answer is not what it should be.
    spoiled: BTreeMap<CharacteristicId, Spoil>,
    scans: u32,
    blinks: u32,
    /// Ends provisioning later; a new opening takes it away.
    stop: Option<AbortHandle>,
}

impl Firmware {
    /// Gives a device its factory key where it has none yet, without switching it on: SHA-256 of its public half, as
    /// the maker's import lists it.
    ///
    /// # Errors
    /// [`FirmwareError`] where flash or factory key cannot be used.
    pub fn make(
        spec: &DeviceSpec,
        maker: &Maker,
        flash: &Flash,
    ) -> Result<Option<Fingerprint>, FirmwareError> {
        Ok(unbox(spec, maker, flash)?
            .factory
            .as_ref()
            .map(FactoryKey::fingerprint))
    }

    /// Gives a device what it is made with to find its cloud by: a certificate once and for all, the claim that all share
    /// anew each time, as with a firmware that is replaced.
    ///
    /// # Errors
    /// [`FirmwareError`] where its flash cannot be used, or the cloud gives it nothing.
    pub(crate) fn equip(
        spec: &DeviceSpec,
        maker: &Maker,
        flash: &Flash,
        cloud: &Cloud,
        shared: Option<&Given>,
    ) -> Result<(), FirmwareError> {
        let mut kept = unbox(spec, maker, flash)?;
        let listed = spec.import.is_some();
        kept.made_with = match (shared, &kept.made_with) {
            (Some(claim), _) => Some(own(spec, cloud, claim)?),
            (None, Some(MadeWith::Certificate(_))) => return Ok(()),
            (None, _) => {
                let own_one = cloud.strategies().certificate(spec.serial.as_str(), listed)?;
                own_one.map(|made| own(spec, cloud, &made)).transpose()?
            }
        };
        Ok(flash.save(&kept)?)
    }

    /// Takes a device out of its box, or up again where its flash says that it lived before, and switches it on.
    ///
    /// # Errors
    /// [`FirmwareError`] where flash or factory key cannot be used.
    pub fn power_on(
        spec: DeviceSpec,
        maker: &Maker,
        flash: Flash,
        world: Arc<World>,
        pace: Pace,
    ) -> Result<Self, FirmwareError> {
        let kept = unbox(&spec, maker, &flash)?;
        let config = setup::config(&spec, kept.factory.as_ref())?;
        let esp = Esp::new(config.clone());
        let on_air = setup::on_air(&spec, &esp.gatt(), false, pace);
        let habits = Habits {
            serial: spec.serial.clone(),
            version: spec.enrol.version,
            format: spec.enrol.format,
            key: spec.enrol.key,
            keep_alive: KEEP_ALIVE,
            telemetry: spec.enrol.telemetry,
            oversteps: spec.enrol.oversteps,
            stays_on_claim: spec.enrol.stays_on_claim,
        };
        let own_claim = kept.made_with.as_ref().and_then(|made| own_claim(&spec, made));
        let core = Core {
            esp,
            kept,
            link: None,
            powered: false,
            open: false,
            applied: false,
            joining: None,
            requests: BTreeMap::new(),
            spoiled: BTreeMap::new(),
            scans: 0,
            blinks: 0,
            stop: None,
        };
        let inner = Arc::new(Inner {
            station: Arc::new(Station::new(world, spec.wifi.clone(), pace)),
            habits,
            pace,
            flash,
            config,
            on_air: watch::Sender::new(on_air),
            progress: watch::Sender::new(Enrol::Waiting),
            claim: watch::Sender::new(None),
            own_claim: own_claim.map(Arc::new),
            begun: Instant::now(),
            core: Mutex::new(core),
            tasks: Mutex::new(JoinSet::new()),
            spec,
        });
        let firmware = Self { inner };
        firmware.switch_on();
        Ok(firmware)
    }

    /// The scenario's words for it.
    pub fn spec(&self) -> &DeviceSpec {
        &self.inner.spec
    }

    /// SHA-256 of its factory key, as the maker lists it; none where it has no identity.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.inner
            .core()
            .kept
            .factory
            .as_ref()
            .map(FactoryKey::fingerprint)
    }

    /// How it stands now.
    pub fn state(&self) -> DeviceState {
        let core = self.inner.core();
        DeviceState {
            powered: core.powered,
            provisioning: core.open,
            linked: core.link.is_some(),
            locked_out: core.esp.is_locked_out(),
            wifi: self.inner.station.state().borrow().clone(),
            enrol: self.inner.progress.borrow().clone(),
            principal: core
                .kept
                .identity()
                .map(|permanent| permanent.certificate_id.clone()),
            blinks: core.blinks,
        }
    }

    /// How its enrolment stands, now and from now on.
    pub fn enrolment(&self) -> watch::Receiver<Enrol> {
        self.inner.progress.subscribe()
    }

    /// How its Wi-Fi stands, now and from now on.
    pub fn wifi(&self) -> watch::Receiver<Joining> {
        self.inner.station.state()
    }

    /// When each of its scans for networks began and ended.
    pub fn scans(&self) -> Vec<(Instant, Instant)> {
        self.inner.station.scans()
    }

    /// Switches it off: link, Wi-Fi and cloud are gone at once. What it kept stays.
    pub fn power_off(&self) {
        let link = {
            let mut core = self.inner.core();
            core.powered = false;
            core.open = false;
            core.link.take()
        };
        self.inner.tasks().abort_all();
        self.inner.station.leave();
        self.inner.claim.send_replace(None);
        self.inner.progress.send_replace(Enrol::Waiting);
        if let Some(link) = link {
            link.drop_link();
        }
        self.inner.show();
    }

    /// Switches it off and on.
    pub fn power_cycle(&self) {
        self.power_off();
        self.switch_on();
    }

    /// Presses its service button: it can be provisioned again, and keeps its network and identity until then.
    pub fn press_button(&self) {
        if self.inner.core().powered {
            self.inner.open();
        }
    }

    /// Forgets network and identity, as from the day it was made, and starts again.
    ///
    /// # Errors
    /// [`StorageError`] where its flash cannot be written; nothing is forgotten then.
    pub fn factory_reset(&self) -> Result<(), StorageError> {
        self.power_off();
        let written = self.inner.change_kept(|kept| {
            kept.wifi = None;
            kept.permanent = None;
        });
        self.switch_on();
        written
    }

    fn switch_on(&self) {
        let inner = &self.inner;
        let provisioned = {
            let mut core = inner.core();
            core.powered = true;
            core.esp = Esp::new(inner.config.clone());
            core.kept.wifi.is_some()
        };
        inner.spawn(life::live(Arc::clone(inner)));
        inner.spawn(life::report(Arc::clone(inner), inner.progress.subscribe()));
        if !provisioned || inner.spec.provisioning.always_advertises {
            inner.open();
        } else {
            inner.show();
        }
    }
}

impl Inner {
    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task)
    }

    /// Opens provisioning, as a firmware that knows nothing of an earlier session.
    fn open(self: &Arc<Self>) {
        let link = {
            let mut core = self.core();
            core.esp = Esp::new(self.config.clone());
            core.esp.enrol(self.progress.borrow().clone());
            core.open = true;
            core.applied = false;
            core.requests.clear();
            core.stop.take().inspect(AbortHandle::abort);
            core.link.take()
        };
        if let Some(link) = link {
            link.drop_link();
        }
        if let Some(window) = self.spec.provisioning.window {
            self.close_after(window);
        }
        self.show();
    }

    /// Ends provisioning: no advertisement any more, and no link.
    fn close(&self) {
        let link = {
            let mut core = self.core();
            core.open = false;
            core.link.take()
        };
        if let Some(link) = link {
            link.drop_link();
        }
        self.show();
    }

    fn close_after(self: &Arc<Self>, span: Duration) {
        let inner = Arc::clone(self);
        let task = self.spawn(async move {
            inner.pace.sleep(span).await;
            inner.close();
        });
        if let Some(earlier) = self.core().stop.replace(task) {
            earlier.abort();
        }
    }

    /// Brings what is on the air up to date.
    fn show(&self) {
        let shown = {
            let core = self.core();
            setup::on_air(&self.spec, &core.esp.gatt(), core.open, self.pace)
        };
        self.on_air
            .send_if_modified(|now| (*now != shown).then(|| *now = shown).is_some());
    }

    /// Wi-Fi is up: its settings are worth keeping, and a firmware that stops by itself begins to count.
    fn joined(self: &Arc<Self>) {
        let (settings, provisioning) = {
            let core = self.core();
            (
                core.applied.then(|| core.joining.clone()).flatten(),
                core.open && core.applied,
            )
        };
        if let Some(settings) = settings
            && let Err(error) = self.change_kept(|kept| kept.wifi = Some(settings))
        {
            tracing::error!(serial = %self.spec.serial, %error, "Wi-Fi settings not kept");
        }
        if provisioning && self.config.auto_stop {
            self.close_after(self.spec.provisioning.unasked_stop);
        }
    }

    /// A permanent identity came out of the claim, which is worth nothing from now on.
    fn enrolled(&self, permanent: Permanent) {
        if let Err(error) = self.change_kept(|kept| kept.permanent = Some(permanent)) {
            tracing::error!(serial = %self.spec.serial, %error, "identity not kept");
        }
        self.claim.send_replace(None);
    }

    /// The job is done: a device that keeps its link for it has no reason to be provisioned any longer.
    fn online(&self) {
        let done = {
            let core = self.core();
            core.open && core.applied && core.link.is_none()
        };
        if done && !self.spec.provisioning.always_advertises {
            self.close();
        }
    }

    fn change_kept(&self, change: impl FnOnce(&mut Kept)) -> Result<(), StorageError> {
        let mut core = self.core();
        change(&mut core.kept);
        self.flash.save(&core.kept)
    }

    fn carry_out(self: &Arc<Self>, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::ScanRequested => {
                    let inner = Arc::clone(self);
                    self.spawn(async move { inner.scan().await });
                }
                Effect::SettingsWritten(_) => {}
                Effect::Applied(settings) => {
                    if let Some(settings) = wifi_settings(&settings) {
                        {
                            let mut core = self.core();
                            core.applied = true;
                            core.joining = Some(settings.clone());
                        }
                        self.station.join(settings);
                    }
                }
                Effect::Reset => self.station.leave(),
                Effect::ConnectedAnswered => {
                    if self.config.auto_stop {
                        self.close_after(self.spec.provisioning.stop);
                    }
                }
                Effect::ClaimStored { bundle, now } => {
                    self.progress.send_replace(Enrol::Waiting);
                    self.claim.send_replace(order(&bundle, now).map(Arc::new));
                }
                Effect::ClaimWiped => {
                    self.claim.send_replace(None);
                }
                Effect::Blink => {
                    let mut core = self.core();
                    core.blinks = core.blinks.saturating_add(1);
                }
                Effect::LockedOut => self.close_after(self.spec.provisioning.stop),
            }
        }
    }

    async fn scan(&self) {
        let heard = self.station.scan().await;
        let mut core = self.core();
        let empty = core.scans < self.spec.faults.empty_scans;
        core.scans = core.scans.saturating_add(1);
        core.esp.scan_finished(if empty {
            Vec::new()
        } else {
            heard.iter().map(row).collect()
        });
    }
}

impl Core {
    fn tell_join(&mut self, joining: &Joining) {
        if self.applied
            && let Some(state) = life::told(joining)
        {
            self.esp.join(state);
        }
    }
}

/// What the device keeps, with its factory key in it from the first time on.
fn unbox(spec: &DeviceSpec, maker: &Maker, flash: &Flash) -> Result<Kept, FirmwareError> {
    if let Some(kept) = flash.load()? {
        return Ok(kept);
    }
    let fresh = Kept {
        factory: maker.make(&spec.serial, spec.identity)?,
        ..Kept::default()
    };
    flash.save(&fresh)?;
    Ok(fresh)
}

/// What the cloud gives, as a device keeps it.
fn own(spec: &DeviceSpec, cloud: &Cloud, made: &Given) -> Result<MadeWith, FirmwareError> {
    let identity = made.identity();
    let ca = Material::from_pem(Vec::new(), &cloud.ca_pem, identity.private_key.reveal())?.chain;
    let permanent = Permanent {
        certificate_id: identity.certificate.id.clone(),
        material: Material::from_pem(ca, &identity.certificate.pem, identity.private_key.reveal())?,
        thing: Some(spec.serial.to_string()),
        endpoint: commission::claim::Endpoint {
            host: cloud.mqtt.host.clone(),
            port: cloud.mqtt.port,
        },
        data_topic: format!("dt/{}/state", spec.serial),
    };
    Ok(match made {
        Given::Certificate(_) => MadeWith::Certificate(permanent),
        Given::Claim { template, .. } => MadeWith::Claim {
            claim: permanent,
            template: template.clone(),
        },
    })
}

/// The claim that it was made with, which knows no end.
fn own_claim(spec: &DeviceSpec, made: &MadeWith) -> Option<Order> {
    let MadeWith::Claim { claim, template } = made else {
        return None;
    };
    Some(Order {
        material: claim.material.clone(),
        endpoint: claim.endpoint.clone(),
        template: template.clone(),
        parameters: [("SerialNumber".to_owned(), spec.serial.to_string())].into(),
        life: None,
        received: Instant::now(),
    })
}

fn order(bundle: &ClaimBundle, now: UnixTime) -> Option<Order> {
    let life = u64::try_from(bundle.expires_at.0.saturating_sub(now.0)).unwrap_or(0);
    Some(Order {
        material: handler::material(bundle)?,
        endpoint: commission::claim::Endpoint {
            host: bundle.host.clone(),
            port: bundle.port,
        },
        template: bundle.template.clone(),
        parameters: bundle.parameters.clone(),
        life: Some(Duration::from_secs(life)),
        received: Instant::now(),
    })
}

fn wifi_settings(settings: &WifiConfig) -> Option<WifiSettings> {
    let passphrase = std::str::from_utf8(settings.passphrase.reveal()).ok()?;
    Some(WifiSettings {
        ssid: Ssid::new(settings.ssid.clone()).ok()?,
        passphrase: (!passphrase.is_empty()).then(|| Passphrase::new(passphrase)),
    })
}

fn row(heard: &Heard) -> Row {
    Row {
        ssid: heard.ssid.as_bytes().to_vec(),
        channel: heard.channel,
        rssi: heard.rssi.into(),
        bssid: heard.bssid,
        auth: heard.auth,
    }
}
