//! A whole site on this machine: devices, their radio, their Wi-Fi, the cloud that they enrol in, the people.
//!
//! Programs meet it as they meet the real world: over Bluetooth's D-Bus, HTTPS and MQTT. Everything that it keeps and
//! lays out lies in one directory that is its owner's alone.

mod papers;
mod status;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use commission::claim::Endpoint;
use commission::device::Fingerprint;
use tokio::task::JoinHandle;

pub use self::papers::{
    COGNITO_PROFILE_FILE, LABELS_FILE, LABELS_JSON_FILE, PROFILE_FILE, REGISTRAR_PROFILE_FILE, SECRETS_FILE,
    STS_PROFILE_FILE, Secrets,
};
pub use self::status::{AwsStatus, ClaimStatus, DeviceStatus, STATUS_FILE, Status, ThingStatus};

use crate::cloud::{Cloud, CloudConfig, CloudError};
use crate::device::firmware::{Firmware, FirmwareError};
use crate::device::maker::{Maker, MakerError};
use crate::device::pace::Pace;
use crate::device::storage::{Flash, Storage, StorageError, make_private_dir, write_atomically};
use crate::device::wifi::World;
use crate::radio::Radio;
use crate::radio::air::Air;
use crate::radio::bluez::BluezError;
use crate::radio::peripheral::Peripheral;
use crate::scenario::Scenario;

/// How often the status file is written.
const STATUS_PACE: Duration = Duration::from_millis(200);

/// What a sandbox is started with.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// What there is and what goes wrong.
    pub scenario: Scenario,
    /// Where it keeps its state and lays out its papers; made where it is missing.
    pub state_dir: PathBuf,
    /// How many times faster than life the devices' own delays pass, on top of the scenario's own speed.
    pub speed: f64,
}

/// Why a sandbox did not start, or could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A file in the state directory.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The maker's keys.
    #[error(transparent)]
    Maker(#[from] MakerError),
    /// A device.
    #[error(transparent)]
    Device(#[from] FirmwareError),
    /// The cloud.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The radio; without `dbus-daemon` it names the package to install.
    #[error(transparent)]
    Radio(#[from] BluezError),
    /// Profile or labels could not be written down.
    #[error("profile or labels could not be written down: {0}")]
    Papers(String),
    /// The status file is of another version, or damaged.
    #[error("the sandbox's own file cannot be read ({0})")]
    Status(String),
    /// Another sandbox runs on the same directory.
    #[error("a sandbox runs on {dir} already, as process {pid}")]
    Busy {
        /// The directory.
        dir: String,
        /// The process.
        pid: u32,
    },
    /// The status file is there, but nobody writes it any more.
    #[error("the sandbox on {0} does not answer: it was ended without notice")]
    Silent(String),
    /// Signals cannot be waited for.
    #[error("the system does not deliver signals: {0}")]
    Signals(std::io::ErrorKind),
}

/// A running sandbox. [`Sandbox::shutdown`] ends it and waits; dropping it ends it too, without the wait.
pub struct Sandbox {
    parts: Arc<Parts>,
    radio: Radio,
    cloud: Cloud,
    writer: Writer,
    plugged: Plugged,
}

/// Devices that are switched off when this goes: their tasks hold themselves alive.
#[derive(Default)]
struct Plugged(Vec<Firmware>);

impl Drop for Plugged {
    fn drop(&mut self) {
        for device in &self.0 {
            device.power_off();
        }
    }
}

/// The task that keeps the status file up to date, ended when this goes.
struct Writer(JoinHandle<()>);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What its status is made of.
struct Parts {
    state_dir: PathBuf,
    fixed: Status,
    registry: crate::cloud::Registry,
    devices: Vec<Firmware>,
}

impl Sandbox {
    /// Makes the devices, starts cloud and radio, switches the devices on, and lays out the papers.
    ///
    /// # Errors
    /// [`SandboxError`]; nothing is left running then.
    pub async fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        let SandboxConfig {
            scenario,
            state_dir,
            speed,
        } = config;
        make_private_dir(&state_dir)?;
        refuse_a_second(&state_dir)?;
        let site = site_dir(&state_dir, &scenario.name);
        make_private_dir(&site)?;
        let maker = Maker::open(&site)?;
        let flashes = flashes(&scenario, &site)?;
        let mut keys = BTreeMap::new();
        for (spec, flash) in scenario.devices.iter().zip(&flashes) {
            keys.insert(spec.number, Firmware::make(spec, &maker, flash)?);
        }
        let cloud = Cloud::start(cloud_config(&scenario, &keys, &site)).await?;
        let shared = cloud.strategies().shared_claim()?;
        for (spec, flash) in scenario.devices.iter().zip(&flashes) {
            Firmware::equip(spec, &maker, flash, &cloud, shared.as_ref())?;
        }
        let pace = Pace::new(scenario.speed * speed);
        let world = Arc::new(World {
            points: scenario.networks.clone(),
        });
        let mut plugged = Plugged::default();
        for (spec, flash) in scenario.devices.iter().zip(flashes) {
            let device = Firmware::power_on(spec.clone(), &maker, flash, Arc::clone(&world), pace)?;
            plugged.0.push(device);
        }
        let radio = Radio::start(&scenario.radio, Vec::new()).await?;
        for device in &plugged.0 {
            let peripheral: Arc<dyn Peripheral> = Arc::new(device.clone());
            radio.add(peripheral).set_faults(device.spec().radio.clone());
        }
        let (profile, labels) = papers::write(&state_dir, &scenario, &cloud, &maker)?;
        let fixed = Status {
            scenario: scenario.name.clone(),
            pid: std::process::id(),
            bus_address: radio.bus_address().to_owned(),
            issuer_url: cloud.issuer_url.clone(),
            broker_url: cloud.broker_url.clone(),
            aws: AwsStatus {
                url: cloud.aws.url.clone(),
                account: cloud.aws.account.clone(),
                region: cloud.aws.region.clone(),
                identity_pool: cloud.aws.identity_pool.clone(),
                installer_role: cloud.aws.installer_role.clone(),
                support_role: cloud.aws.support_role.clone(),
                registrar_role: cloud.aws.registrar_role.clone(),
                registration_role: cloud.aws.registration_role.clone(),
                s3: cloud.aws.s3.clone(),
                bucket: cloud.aws.bucket.clone(),
            },
            mqtt: Endpoint {
                host: cloud.mqtt.host.clone(),
                port: cloud.mqtt.port,
            },
            ca_pem: cloud.ca_pem.clone(),
            profile,
            labels,
            things: Vec::new(),
            claims: Vec::new(),
            orphans: Vec::new(),
            devices: Vec::new(),
        };
        let parts = Arc::new(Parts {
            state_dir,
            fixed,
            registry: cloud.registry().clone(),
            devices: plugged.0.clone(),
        });
        parts.write(&parts.status())?;
        let writer = Writer(tokio::spawn(keep_writing(Arc::clone(&parts))));
        Ok(Self {
            parts,
            radio,
            cloud,
            writer,
            plugged,
        })
    }

    /// How everything stands now.
    pub fn status(&self) -> Status {
        self.parts.status()
    }

    /// The devices, in the scenario's order.
    pub fn devices(&self) -> &[Firmware] {
        &self.parts.devices
    }

    /// The device with this serial number; the original where there are clones.
    pub fn device(&self, serial: &str) -> Option<&Firmware> {
        self.parts
            .devices
            .iter()
            .find(|device| device.spec().serial.as_str() == serial)
    }

    /// The radio.
    pub fn radio(&mut self) -> &mut Radio {
        &mut self.radio
    }

    /// What the devices advertise and are linked over.
    pub fn air(&self) -> &Arc<Air> {
        self.radio.air()
    }

    /// The cloud.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// The directory that holds its state and papers.
    pub fn state_dir(&self) -> &Path {
        &self.parts.state_dir
    }

    /// Runs until the process is told to stop (SIGINT, SIGTERM), then ends everything.
    ///
    /// # Errors
    /// [`SandboxError::Signals`] where the system delivers none; everything is ended then, too.
    pub async fn run(self) -> Result<(), SandboxError> {
        let stopped = stop_signal().await;
        self.shutdown().await;
        stopped.map_err(|error| SandboxError::Signals(error.kind()))
    }

    /// Ends everything and waits until it has ended: devices off, the bus's process gone, ports closed. What the
    /// devices keep stays for the next start.
    pub async fn shutdown(self) {
        let Self {
            parts,
            radio,
            cloud,
            mut writer,
            plugged,
        } = self;
        writer.0.abort();
        // An aborted task is what is waited for.
        let _ = (&mut writer.0).await;
        drop(plugged);
        radio.stop().await;
        cloud.shutdown().await;
        parts.remove();
    }
}

impl Parts {
    fn status(&self) -> Status {
        let registry = self.registry.inspect();
        Status {
            things: status::things(&registry),
            claims: status::claims(&registry),
            orphans: status::orphans(&registry),
            devices: self.devices.iter().map(status::device).collect(),
            ..self.fixed.clone()
        }
    }

    fn write(&self, status: &Status) -> Result<(), SandboxError> {
        let text = serde_json::to_vec_pretty(status).map_err(|e| SandboxError::Papers(e.to_string()))?;
        Ok(write_atomically(&self.state_dir.join(STATUS_FILE), &text)?)
    }

    fn remove(&self) {
        if let Err(error) = std::fs::remove_file(self.state_dir.join(STATUS_FILE)) {
            tracing::warn!(%error, "the status file stays behind");
        }
    }
}

/// Writes the status again and again, changed or not: a reader sees by its age whether the sandbox lives.
async fn keep_writing(parts: Arc<Parts>) {
    loop {
        tokio::time::sleep(STATUS_PACE).await;
        if let Err(error) = parts.write(&parts.status()) {
            tracing::warn!(%error, "status not written");
        }
    }
}

/// Where the things of one scenario outlive a run: another scenario has other devices, networks and people.
fn site_dir(state_dir: &Path, scenario: &str) -> PathBuf {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    state_dir
        .join("sites")
        .join(scenario.chars().map(plain).collect::<String>())
}

fn flashes(scenario: &Scenario, site: &Path) -> Result<Vec<Flash>, SandboxError> {
    let storage = Storage::open(site)?;
    Ok(scenario
        .devices
        .iter()
        .map(|spec| storage.device(&spec.serial, spec.copy))
        .collect())
}

/// The scenario's cloud, with the maker's import filled in.
fn cloud_config(
    scenario: &Scenario,
    keys: &BTreeMap<usize, Option<Fingerprint>>,
    site: &Path,
) -> CloudConfig {
    let devices = scenario.devices.iter().filter_map(|spec| {
        let mut row = spec.import.clone()?;
        row.identity_key_sha256 = keys.get(&spec.number).copied().flatten().map(String::from);
        Some(row)
    });
    CloudConfig {
        devices: devices.collect(),
        keep: Some(site.join("cloud")),
        ..scenario.cloud.clone()
    }
}

/// Two sandboxes on one directory would take each other's devices.
fn refuse_a_second(state_dir: &Path) -> Result<(), SandboxError> {
    let pid = match Status::read(state_dir) {
        Ok(Some(status)) => status.pid,
        // What cannot be read is not running, and is replaced.
        Ok(None) | Err(_) => return Ok(()),
    };
    let alive = pid != std::process::id() && Path::new(&format!("/proc/{pid}/stat")).exists();
    if alive {
        Err(SandboxError::Busy {
            dir: state_dir.display().to_string(),
            pid,
        })
    } else {
        Ok(())
    }
}

#[cfg(unix)]
async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn stop_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
