//! What the radio asks of a device: its side of [`Peripheral`], with the scenario's faults in between.

use std::time::Duration;

use async_trait::async_trait;
use commission::dialect::Enrol;
use commission::dialect::espressif::cloud_cred::{ClaimBundle, Credential, Refusal as ClaimRefusal};
use commission::dialect::espressif::device::{DeviceError, Effect, Firmware as Around};
use commission::secret::Entropy;
use commission::time::Moment;
use tokio::sync::watch;

use super::{Core, Firmware, Inner, Spoil};
use crate::device::mqtt::Material;
use crate::device::storage::Kept;
use crate::device::wifi::Joining;
use crate::radio::peripheral::{AttError, CharacteristicId, LinkHandle, OnAir, Peripheral, Refusal};
use crate::scenario::{Stack, Step};

/// Which fault of the scenario strikes a request.
struct Strike {
    delay: Duration,
    drops: bool,
    fails: bool,
    spoils: Option<Spoil>,
}

#[async_trait]
impl Peripheral for Firmware {
    fn on_air(&self) -> watch::Receiver<OnAir> {
        self.inner.on_air.subscribe()
    }

    fn connected(&self, link: LinkHandle) {
        let mut core = self.inner.core();
        if core.powered && core.open {
            core.link = Some(link);
        } else {
            link.drop_link();
        }
    }

    fn disconnected(&self, link: u64) {
        let finished = {
            let mut core = self.inner.core();
            if core.link.as_ref().is_some_and(|own| own.id() == link) {
                core.link = None;
                core.esp.disconnected();
            }
            let settled = self.inner.spec.provisioning.plain
                || matches!(*self.inner.progress.borrow(), Enrol::Online { .. });
            let joined = matches!(*self.inner.station.state().borrow(), Joining::Connected(_));
            core.open && core.applied && joined && settled
        };
        if finished && !self.inner.spec.provisioning.always_advertises {
            self.inner.close();
        }
    }

    async fn read(&self, characteristic: CharacteristicId) -> Result<Vec<u8>, AttError> {
        let core = self.inner.core();
        let mut value = core
            .esp
            .read(characteristic)
            .map_err(|error| AttError(error.att))?;
        match core.spoiled.get(&characteristic) {
            None => {}
            Some(Spoil::Noise) => value.iter_mut().for_each(|byte| *byte = !*byte),
            Some(Spoil::Half) => value.truncate(value.len() / 2),
            Some(Spoil::Nothing) => value.clear(),
            Some(Spoil::TooMuch) => value.resize(self.inner.spec.provisioning.value_limit, 0xff),
        }
        Ok(value)
    }

    async fn write(&self, characteristic: CharacteristicId, value: Vec<u8>) -> Result<(), Refusal> {
        let inner = &self.inner;
        let strike = {
            let mut core = inner.core();
            let endpoints = core.esp.gatt();
            let name = endpoints
                .iter()
                .find(|own| own.id == characteristic)
                .map(|own| own.name);
            let strike = name.map(|name| {
                let count = core.requests.entry(name).or_default();
                let request = *count;
                *count = count.saturating_add(1);
                inner.strike(name, request)
            });
            core.spoiled.remove(&characteristic);
            if let Some(spoil) = strike.as_ref().and_then(|strike| strike.spoils) {
                core.spoiled.insert(characteristic, spoil);
            }
            strike
        };
        if let Some(strike) = strike {
            if !strike.delay.is_zero() {
                inner.pace.sleep(strike.delay).await;
            }
            if strike.drops {
                inner.drop_link();
                return Err(AttError::UNLIKELY.into());
            }
            if strike.fails {
                return Err(inner.handler_failure());
            }
        }
        let (outcome, effects) = inner.run(characteristic, &value)?;
        inner.carry_out(effects);
        outcome.map_err(|error| Refusal {
            error: AttError(error.att),
            closes_link: error.close,
        })
    }
}

impl Inner {
    fn drop_link(&self) {
        if let Some(link) = &self.core().link {
            link.drop_link();
        }
    }

    /// Runs a handler; without random bytes nothing that it answered may leave the device.
    fn run(
        &self,
        characteristic: CharacteristicId,
        value: &[u8],
    ) -> Result<(Result<(), DeviceError>, Vec<Effect>), Refusal> {
        let mut entropy = SystemEntropy { failed: false };
        let now = Moment::new(self.begun.elapsed());
        let mut core = self.core();
        let Core { esp, kept, .. } = &mut *core;
        let outcome = esp.write(characteristic, value, now, &mut entropy, &mut Body { kept });
        let effects: Vec<Effect> = std::iter::from_fn(|| esp.poll_effect()).collect();
        if entropy.failed {
            Err(AttError::UNLIKELY.into())
        } else {
            Ok((outcome, effects))
        }
    }

    fn strike(&self, name: &str, request: u32) -> Strike {
        let faults = &self.spec.faults;
        let hits = |steps: &[Step]| steps.iter().any(|step| step.is_at(name, request));
        Strike {
            delay: faults.delay.iter().map(|delay| delay.at(name, request)).sum(),
            drops: hits(&faults.drop),
            fails: hits(&faults.fail),
            spoils: [
                (&faults.garble, Spoil::Noise),
                (&faults.truncate, Spoil::Half),
                (&faults.empty, Spoil::Nothing),
                (&faults.lengthen, Spoil::TooMuch),
            ]
            .into_iter()
            .find_map(|(steps, spoil)| hits(steps).then_some(spoil)),
        }
    }

    /// What the stack says of a handler that failed.
    fn handler_failure(&self) -> Refusal {
        match self.spec.provisioning.stack {
            Stack::Nimble => AttError::INVALID_PDU.into(),
            Stack::Bluedroid => Refusal {
                error: AttError::BLUEDROID_ERROR,
                closes_link: true,
            },
        }
    }
}

/// What the provisioning protocol needs of the rest of the device.
struct Body<'a> {
    kept: &'a Kept,
}

impl Around for Body<'_> {
    fn sign(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        self.kept.factory.as_ref()?.sign(message).ok()
    }

    fn check_claim(&mut self, bundle: &ClaimBundle) -> Result<(), ClaimRefusal> {
        let material = material(bundle).ok_or(ClaimRefusal::Unsupported)?;
        material.check_pair().map_err(|_| ClaimRefusal::KeyMismatch)
    }
}

struct SystemEntropy {
    failed: bool,
}

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.failed |= getrandom::fill(bytes).is_err();
    }
}

pub(super) fn material(bundle: &ClaimBundle) -> Option<Material> {
    match &bundle.credential {
        Credential::Certificate {
            chain,
            key: Some(key),
        } => Some(Material {
            ca: bundle.ca.clone(),
            chain: chain.clone(),
            key: key.clone(),
        }),
        _ => None,
    }
}
