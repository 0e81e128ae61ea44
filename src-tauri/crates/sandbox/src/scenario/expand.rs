//! From a scenario file as it stands to devices, networks and a cloud that can be started.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use commission::device::Serial;
use commission::dialect::espressif::advert::EXAMPLE_SERVICE;
use commission::network::{Auth, Network as Checked, Ssid};
use commission::secret::Pop;
use sha2::{Digest, Sha256};

use super::place::{Document, ScenarioError};
use super::{DeviceSpec, EnrolSpec, FirmwareFaults, Provisioning, Scenario, Security, form};
use crate::cloud::strategy::JUST_IN_TIME_TEMPLATE;
use crate::cloud::{CloudConfig, MakerDevice, Strategy, User};
use crate::device::maker::IdentityKind;
use crate::device::wifi::{AccessPoint, StationBuild, WifiTimes};
use crate::radio::peripheral::{Address, Advertisement};

/// Name and a length byte and a type byte fit in a scan response of 31 bytes.
const LONGEST_NAME: usize = 29;
/// More devices than any desk, hall or adapter holds.
const MOST_DEVICES: usize = 1000;
/// Firmware stacks know these limits of a value (esp-idf protocomm: Bluedroid without and with scheme 2, NimBLE).
const VALUE_LIMITS: [usize; 3] = [257, 481, 512];
/// First half of the addresses: a block of Espressif.
const ADDRESS_BLOCK: [u8; 3] = [0x24, 0x0a, 0xc4];
/// What the endpoints of a device can be called.
const ENDPOINTS: [&str; 9] = [
    "prov-ctrl",
    "prov-scan",
    "prov-session",
    "prov-config",
    "proto-ver",
    "cloud-cred",
    "cloud-status",
    "identity",
    "blink",
];

pub(super) fn expand(text: &str) -> Result<Scenario, ScenarioError> {
    let (document, file): (_, form::File) = Document::read(text)?;
    let speed = file.speed.unwrap_or(1.0);
    if !(speed.is_finite() && speed > 0.0) {
        return Err(document.error("speed", "a speed is a number above zero; 1 is real time"));
    }
    if !(1..=16).contains(&file.policy.links) {
        return Err(document.error("policy.links", "links at once are from 1 to 16"));
    }
    let networks = networks(&document, &file.network)?;
    let devices = devices(&document, &file, &networks)?;
    let cloud = cloud(&document, file.cloud, file.user)?;
    Ok(Scenario {
        name: file.name.unwrap_or_else(|| "unnamed".into()),
        speed,
        networks,
        devices,
        cloud,
        radio: file.radio,
        policy: file.policy,
    })
}

fn networks(document: &Document<'_>, networks: &[form::Network]) -> Result<Vec<AccessPoint>, ScenarioError> {
    networks
        .iter()
        .enumerate()
        .map(|(index, network)| {
            let at = |field: &str| format!("network[{index}].{field}");
            let (bytes, field) = match (&network.ssid, &network.ssid_hex) {
                (Some(text), None) => (text.clone().into_bytes(), "ssid"),
                (None, Some(text)) => {
                    let bytes = hex::decode(text).map_err(|error| {
                        document.error(&at("ssid_hex"), format!("this is not hex: {error}"))
                    })?;
                    (bytes, "ssid_hex")
                }
                _ => return Err(document.error(&at("ssid"), "a network has either ssid or ssid_hex")),
            };
            let ssid = Ssid::new(bytes).map_err(|error| document.error(&at(field), error.to_string()))?;
            Checked::new(ssid.clone(), network.passphrase.clone(), network.hidden)
                .map_err(|error| document.error(&at("passphrase"), error.to_string()))?;
            let auth = network.auth.unwrap_or(match network.passphrase {
                Some(_) => Auth::Wpa2Psk,
                None => Auth::Open,
            });
            let needs_passphrase = !matches!(auth, Auth::Open | Auth::Wpa2Enterprise);
            if needs_passphrase != network.passphrase.is_some() {
                return Err(document.error(
                    &at("auth"),
                    "open and enterprise networks have no passphrase, all others have one",
                ));
            }
            let channel = network.channel.unwrap_or(6);
            if !(1..=196).contains(&channel) {
                return Err(document.error(&at("channel"), "a channel is from 1 to 196; over 14 is 5 GHz"));
            }
            let [high, low] = u16::try_from(index).unwrap_or(u16::MAX).to_be_bytes();
            Ok(AccessPoint {
                ssid,
                bssid: [0x02, 0x00, 0x5e, 0x00, high, low],
                passphrase: network.passphrase.clone(),
                channel,
                auth,
                rssi: signal(document, &at("rssi"), network.rssi.unwrap_or(-50))?,
                hidden: network.hidden,
                manner: network.manner,
                internet: !network.no_internet,
            })
        })
        .collect()
}

fn devices(
    document: &Document<'_>,
    file: &form::File,
    networks: &[AccessPoint],
) -> Result<Vec<DeviceSpec>, ScenarioError> {
    if file.device.is_empty() {
        return Err(document.error("device", "a scenario has at least one [[device]]"));
    }
    let mut devices: Vec<DeviceSpec> = Vec::new();
    for (index, own) in file.device.iter().enumerate() {
        let form = own.or(&file.defaults);
        let row = Row {
            document,
            index,
            own,
            file,
            networks,
            form: &form,
        };
        let count = form.count.unwrap_or(1);
        if count == 0 || devices.len().saturating_add(count) > MOST_DEVICES {
            return Err(row.error("count", format!("a scenario has 1 to {MOST_DEVICES} devices")));
        }
        row.check_whole(count)?;
        for _ in 0..count {
            let device = row.device(devices.len().saturating_add(1), &devices)?;
            devices.push(device);
        }
    }
    let mut addresses = BTreeSet::new();
    if let Some(device) = devices.iter().find(|device| !addresses.insert(device.address)) {
        let problem = format!("two devices have the address {}", device.address);
        return Err(document.error("device", problem));
    }
    Ok(devices)
}

/// One `[[device]]` of the file.
struct Row<'a> {
    document: &'a Document<'a>,
    index: usize,
    own: &'a form::Device,
    file: &'a form::File,
    networks: &'a [AccessPoint],
    form: &'a form::Device,
}

impl Row<'_> {
    /// Blames a field where it was written: here, or in the defaults.
    fn error(&self, field: &str, problem: impl Into<String>) -> ScenarioError {
        let own = self.own.names().contains(&field) || !self.file.defaults.names().contains(&field);
        let path = if own {
            format!("device[{}].{field}", self.index)
        } else {
            format!("defaults.{field}")
        };
        self.document.error(&path, problem)
    }

    fn check_whole(&self, count: usize) -> Result<(), ScenarioError> {
        let form = self.form;
        if count > 1 {
            if form.serial.as_ref().is_some_and(|serial| !serial.contains("{n}")) {
                return Err(self.error("serial", "with a count, a serial needs {n} in it"));
            }
            if form.address.is_some() {
                return Err(self.error("address", "an address is for one device; leave count out"));
            }
        }
        if form.plain == Some(true) && !matches!(form.identity, None | Some(IdentityKind::None)) {
            return Err(self.error("identity", "a plain device has no identity endpoint"));
        }
        let steps = [
            ("drop", &form.drop),
            ("garble", &form.garble),
            ("truncate", &form.truncate),
            ("empty", &form.empty),
            ("lengthen", &form.lengthen),
            ("fail", &form.fail),
        ];
        let mut named: Vec<(&str, &str)> = steps
            .into_iter()
            .flat_map(|(field, steps)| {
                steps
                    .iter()
                    .flatten()
                    .map(move |step| (field, step.endpoint.as_str()))
            })
            .collect();
        named.extend(
            form.delay
                .iter()
                .flatten()
                .map(|delay| ("delay", delay.endpoint.as_str())),
        );
        match named
            .into_iter()
            .find(|(_, endpoint)| !ENDPOINTS.contains(endpoint))
        {
            Some((field, endpoint)) => Err(self.error(
                field,
                format!(
                    "no endpoint is called {endpoint:?}; there are {}",
                    ENDPOINTS.join(", ")
                ),
            )),
            None => Ok(()),
        }
    }

    fn device(&self, number: usize, before: &[DeviceSpec]) -> Result<DeviceSpec, ScenarioError> {
        let form = self.form;
        let address = form
            .address
            .unwrap_or_else(|| drawn_address(self.file.seed, number));
        let [.., a, b, c] = address.bytes;
        let fill = |template: &str| {
            template
                .replace("{n}", &format!("{number:04}"))
                .replace("{mac}", &format!("{a:02X}{b:02X}{c:02X}"))
        };
        let serial = Serial::new(fill(form.serial.as_deref().unwrap_or("FK-{n}")))
            .map_err(|error| self.error("serial", error.to_string()))?;
        let copy = before.iter().filter(|device| device.serial == serial).count();
        let clone = form.clone == Some(true);
        if copy > 0 && !clone {
            return Err(self.error(
                "serial",
                format!("{serial} is there twice; write clone = true if the second one is to be a forgery"),
            ));
        }
        let name = fill(form.name.as_deref().unwrap_or("PROV_{mac}"));
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(self.error(
                "name",
                format!("a name has 1 to {LONGEST_NAME} bytes, this has {}", name.len()),
            ));
        }
        let import = (!form.unknown.unwrap_or(false) && !clone).then(|| MakerDevice {
            min_firmware: form.min_firmware.clone(),
            owner: form.owner.unwrap_or_default(),
            ..MakerDevice::new(serial.as_str())
        });
        let plain = form.plain.unwrap_or(false);
        Ok(DeviceSpec {
            number,
            provisioning: self.provisioning(&serial, plain)?,
            wifi: self.wifi(number)?,
            name,
            serial,
            copy,
            model: form.model.clone().unwrap_or_else(|| "FK-Sensor".into()),
            firmware: form.firmware.clone().unwrap_or_else(|| "2.1.0".into()),
            address,
            identity: if plain {
                IdentityKind::None
            } else {
                form.identity.unwrap_or_default()
            },
            import,
            rssi: signal_of(self, "rssi", form.rssi.unwrap_or(-55))?,
            interval: self.interval()?,
            radio: form.radio.clone().unwrap_or_default(),
            enrol: EnrolSpec {
                version: form.mqtt.unwrap_or_default(),
                format: form.payload.unwrap_or_default(),
                key: form.key.unwrap_or_default(),
                telemetry: millis(self.file.times.telemetry_ms, 30_000),
                oversteps: form.oversteps.unwrap_or(false),
                stays_on_claim: form.stays_on_claim_ms.map(Duration::from_millis),
            },
            faults: FirmwareFaults {
                empty_scans: form.empty_scans.unwrap_or(0),
                delay: form.delay.clone().unwrap_or_default(),
                drop: form.drop.clone().unwrap_or_default(),
                garble: form.garble.clone().unwrap_or_default(),
                truncate: form.truncate.clone().unwrap_or_default(),
                empty: form.empty.clone().unwrap_or_default(),
                lengthen: form.lengthen.clone().unwrap_or_default(),
                fail: form.fail.clone().unwrap_or_default(),
                short_b: form.short_b.unwrap_or(false),
                short_salt: form.short_salt.unwrap_or(false),
            },
        })
    }

    fn interval(&self) -> Result<Duration, ScenarioError> {
        match self.form.interval_ms {
            None => Ok(Advertisement::default().interval),
            Some(ms @ 20..=10_240) => Ok(Duration::from_millis(ms)),
            Some(_) => Err(self.error("interval_ms", "an advertising interval is 20 to 10240 ms")),
        }
    }

    fn provisioning(&self, serial: &Serial, plain: bool) -> Result<Provisioning, ScenarioError> {
        let form = self.form;
        let value_limit = form.value_limit.unwrap_or(512);
        if !VALUE_LIMITS.contains(&value_limit) {
            return Err(self.error("value_limit", "firmware has one of the limits 257, 481 and 512"));
        }
        let mtu = form.mtu.unwrap_or(256);
        if !(23..=517).contains(&mtu) {
            return Err(self.error("mtu", "an ATT MTU is from 23 to 517"));
        }
        let chunk = form.chunk.unwrap_or(200);
        if ![200, 400].contains(&chunk) {
            return Err(self.error("chunk", "a device takes chunks of 200 or 400 bytes"));
        }
        if chunk == 400 && value_limit == 257 {
            return Err(self.error(
                "chunk",
                "a device with values of 257 bytes cannot take chunks of 400",
            ));
        }
        if value_limit == 257 && form.security.unwrap_or(2) == 2 {
            return Err(self.error(
                "value_limit",
                "the handshake of security 2 needs values of 481 or 512 bytes",
            ));
        }
        if form.lockout == Some(0) {
            return Err(self.error("lockout", "leave lockout out for a device that never locks"));
        }
        Ok(Provisioning {
            service: form.service.unwrap_or(EXAMPLE_SERVICE),
            security: self.security(serial)?,
            stack: form.stack.unwrap_or_default(),
            value_limit,
            mtu,
            version: form.version.clone().unwrap_or_else(|| "netprov-v1.2".into()),
            bare_version: form.bare_version.unwrap_or(false),
            control: !form.no_control.unwrap_or(false),
            plain,
            buffer: form.buffer.unwrap_or(8192),
            chunk,
            keep_link: form.keep_link.unwrap_or(false),
            lockout: form.lockout,
            window: form.window_ms.map(Duration::from_millis),
            scan_limit: form.scan_limit.unwrap_or(16),
            always_advertises: form.always_advertises.unwrap_or(false),
            stop: millis(self.file.times.stop_ms, 1000),
            unasked_stop: millis(self.file.times.unasked_stop_ms, 30_000),
        })
    }

    fn security(&self, serial: &Serial) -> Result<Security, ScenarioError> {
        let form = self.form;
        let number = form.security.unwrap_or(2);
        let no_pop = form.no_pop.unwrap_or(false);
        let only_of_two = [
            ("patch", form.patch.is_some()),
            ("username", form.username.is_some()),
            ("short_b", form.short_b == Some(true)),
            ("short_salt", form.short_salt == Some(true)),
        ];
        if number != 2
            && let Some((field, _)) = only_of_two.into_iter().find(|(_, there)| *there)
            && self.own.names().contains(&field)
        {
            return Err(self.error(field, "this belongs to security 2"));
        }
        if form.pop.as_ref().is_some_and(Pop::is_empty) {
            return Err(self.error(
                "pop",
                "a PoP has at least one character; write no_pop = true for none",
            ));
        }
        if no_pop && self.own.pop.is_some() {
            return Err(self.error("no_pop", "a device has a pop or no_pop, not both"));
        }
        let pop = || {
            form.pop
                .clone()
                .unwrap_or_else(|| drawn_pop(self.file.seed, serial))
        };
        match number {
            0 => Ok(Security::Zero),
            1 => Ok(Security::One {
                pop: (!no_pop).then(pop),
            }),
            2 if no_pop => Err(self.error("no_pop", "security 2 always has a password; use security = 1")),
            2 => {
                let username = form.username.clone().unwrap_or_else(|| "wifiprov".into());
                if username.is_empty() {
                    return Err(self.error("username", "firmware refuses an empty user name"));
                }
                let patched = match form.patch.unwrap_or(1) {
                    0 => false,
                    1 => true,
                    _ => return Err(self.error("patch", "sec_patch_ver is 0 or 1")),
                };
                Ok(Security::Two {
                    username,
                    pop: pop(),
                    patched,
                })
            }
            _ => Err(self.error("security", "there are the schemes 0, 1 and 2")),
        }
    }

    fn wifi(&self, number: usize) -> Result<StationBuild, ScenarioError> {
        let form = self.form;
        let known = |field: &str, name: &str| {
            let ssid = self
                .networks
                .iter()
                .map(|point| &point.ssid)
                .find(|ssid| ssid.to_string() == name);
            ssid.cloned()
                .ok_or_else(|| self.error(field, format!("no [[network]] is called {name:?}")))
        };
        let mut hears = BTreeMap::new();
        for (name, rssi) in form.hears.iter().flatten() {
            hears.insert(known("hears", name)?, Some(signal_of(self, "hears", *rssi)?));
        }
        for name in form.deaf_to.iter().flatten() {
            hears.insert(known("deaf_to", name)?, None);
        }
        let times = &self.file.times;
        let usual = WifiTimes::default();
        let or = |ms: Option<u64>, usual: Duration| ms.map_or(usual, Duration::from_millis);
        let host = u8::try_from(number % 250).unwrap_or(0).saturating_add(2);
        Ok(StationBuild {
            attempts: form.attempts.unwrap_or(0),
            five_ghz: form.five_ghz.unwrap_or(false),
            hears,
            times: WifiTimes {
                scan: or(times.scan_ms, usual.scan),
                apply: or(times.apply_ms, usual.apply),
                associate: or(times.associate_ms, usual.associate),
                address: or(times.address_ms, usual.address),
                refusal: or(times.refusal_ms, usual.refusal),
                absence: or(times.absence_ms, usual.absence),
            },
            address: Some(Ipv4Addr::new(
                192,
                168,
                u8::try_from(number / 250).unwrap_or(255),
                host,
            )),
        })
    }
}

fn cloud(
    document: &Document<'_>,
    form: form::Cloud,
    users: Vec<form::User>,
) -> Result<CloudConfig, ScenarioError> {
    let usual = CloudConfig::default();
    for (field, value) in [
        ("claim_life_ms", form.claim_life_ms),
        ("ownership_token_life_ms", form.ownership_token_life_ms),
        ("access_token_life_ms", form.access_token_life_ms),
    ] {
        if value == Some(0) {
            return Err(document.error(&format!("cloud.{field}"), "a life is longer than nothing"));
        }
    }
    let or = |ms: Option<u64>, usual: Duration| ms.map_or(usual, Duration::from_millis);
    let mut people = Vec::new();
    for (index, user) in users.into_iter().enumerate() {
        if user.user.is_empty() || people.iter().any(|other: &User| other.subject == user.user) {
            let problem = "each user has a name of its own";
            return Err(document.error(&format!("user[{index}].user"), problem));
        }
        let roles: Vec<&str> = user.roles.iter().map(String::as_str).collect();
        let name = user.name.as_deref().unwrap_or(&user.user);
        people.push(User::new(&user.user, user.password.reveal(), name, &roles));
    }
    if let Some(body) = &form.template_body {
        serde_json::from_str::<serde_json::Value>(body)
            .map_err(|error| document.error("cloud.template_body", format!("this is not JSON: {error}")))?;
    }
    Ok(CloudConfig {
        users: if people.is_empty() { usual.users } else { people },
        template_name: form.template_name.unwrap_or(usual.template_name),
        template_body: form.template_body.unwrap_or(match form.strategy {
            Strategy::Jitp => JUST_IN_TIME_TEMPLATE.into(),
            _ => usual.template_body,
        }),
        strategy: form.strategy,
        claim_life: or(form.claim_life_ms, usual.claim_life),
        access_token_life: or(form.access_token_life_ms, usual.access_token_life),
        device_poll_interval: or(form.device_code_interval_ms, usual.device_poll_interval),
        ownership_token_life: or(form.ownership_token_life_ms, usual.ownership_token_life),
        faults: form.faults,
        client_id: usual.client_id,
        redirect_uris: usual.redirect_uris,
        devices: usual.devices,
        detach_delay: or(form.detach_delay_ms, usual.detach_delay),
        region: form.region.unwrap_or(usual.region),
        device_code_life: usual.device_code_life,
        keep_alive: usual.keep_alive,
        keep: usual.keep,
        witness: usual.witness,
    })
}

fn signal(document: &Document<'_>, field: &str, rssi: i16) -> Result<i16, ScenarioError> {
    if (-100..=0).contains(&rssi) {
        Ok(rssi)
    } else {
        Err(document.error(field, "a signal is from -100 to 0 dBm"))
    }
}

fn signal_of(row: &Row<'_>, field: &str, rssi: i16) -> Result<i16, ScenarioError> {
    signal(row.document, "", rssi).map_err(|error| row.error(field, error.problem))
}

fn millis(given: Option<u64>, usual: u64) -> Duration {
    Duration::from_millis(given.unwrap_or(usual))
}

/// The same seed gives the same devices, on every machine.
fn draw(what: &str, seed: u64, of: &str) -> [u8; 32] {
    Sha256::digest(format!("{what}/{seed}/{of}")).into()
}

fn drawn_address(seed: u64, number: usize) -> Address {
    let [x, y, z] = ADDRESS_BLOCK;
    let [a, ..] = draw("address", seed, "block");
    // Counted, not drawn, in the last two bytes: no two devices may share an address.
    let [b, c] = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
    Address::public([x, y, z, a, b, c])
}

fn drawn_pop(seed: u64, serial: &Serial) -> Pop {
    let [a, b, c, d, ..] = draw("pop", seed, serial.as_str());
    Pop::new(hex::encode([a, b, c, d]))
}
