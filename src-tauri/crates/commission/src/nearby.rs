//! The devices around: sightings reduced to one row a device, with a steady signal and an age of our own.
//!
//! Stacks list ghosts (everything they remember) and drop nothing; so the age counts from the last advertisement
//! that was really heard, and a device goes when it has been silent for [`FORGET_AFTER`]. While the radio pauses to connect,
//! nothing is silent.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::device::{DialectKind, Sighting};
use crate::finding::Hearing;
use crate::gatt::PeripheralId;
use crate::text;
use crate::time::Moment;

/// Silent for this long, a device is shown as fading. Devices advertise at least every second or so.
pub const FADE_AFTER: Duration = Duration::from_secs(10);
/// Silent for this long, a device is gone.
pub const FORGET_AFTER: Duration = Duration::from_secs(30);
/// Longest name that is shown, in characters. An advertisement holds 29, a scan response of Bluetooth 5 some more.
const NAME_SHOWN: usize = 64;
/// The signal shown is the median of this many advertisements, so that it does not jump.
const SIGNAL_WINDOW: usize = 5;

/// One device around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearby {
    /// What the radio calls it.
    pub peripheral: PeripheralId,
    /// Its name, once a scan response told it.
    pub name: Option<String>,
    /// The protocol it speaks.
    pub dialect: DialectKind,
    /// When it was heard last.
    pub heard: Moment,
    /// The same on the clock of hearing.
    last: Duration,
    signals: VecDeque<i16>,
}

impl Nearby {
    /// Median signal in dBm.
    pub fn signal(&self) -> i16 {
        let mut sorted: Vec<i16> = self.signals.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(i16::MIN)
    }
}

/// All devices around that can be commissioned.
#[derive(Debug)]
pub struct Surroundings {
    recognise: fn(&Sighting) -> Option<DialectKind>,
    devices: BTreeMap<PeripheralId, Nearby>,
    /// Runs on while nobody listens, so that what is not heard for whatever reason leaves the list.
    hearing: Hearing,
}

impl Surroundings {
    /// Nothing heard yet; `recognise` tells which dialect an advertisement speaks, if any.
    pub fn new(recognise: fn(&Sighting) -> Option<DialectKind>) -> Self {
        Self {
            recognise,
            devices: BTreeMap::new(),
            hearing: Hearing::from(Moment::default()),
        }
    }

    /// Whether the radio pauses from this moment on, to go on listening by itself.
    pub fn set_pausing(&mut self, pauses: bool, now: Moment) {
        self.hearing.set(!pauses, now);
    }

    /// Whether a device has been silent for so long that it may be gone.
    pub fn is_fading(&self, device: &Nearby, now: Moment) -> bool {
        self.hearing.total(now).saturating_sub(device.last) >= FADE_AFTER
    }

    /// Takes an advertisement in. One without a signal is a memory of the stack, not a device.
    pub fn hear(&mut self, sighting: &Sighting) {
        let Some(rssi) = sighting.rssi else { return };
        let known = self.devices.contains_key(&sighting.peripheral);
        let Some(dialect) = (self.recognise)(sighting) else {
            // A device that stopped offering itself is commissioned or busy, whatever its name still says.
            if known && !sighting.services.is_empty() {
                self.devices.remove(&sighting.peripheral);
            }
            return;
        };
        let device = self
            .devices
            .entry(sighting.peripheral.clone())
            .or_insert_with(|| Nearby {
                peripheral: sighting.peripheral.clone(),
                name: None,
                dialect,
                heard: sighting.at,
                last: Duration::ZERO,
                signals: VecDeque::with_capacity(SIGNAL_WINDOW),
            });
        if let Some(name) = &sighting.name {
            device.name = Some(text::shown(name, NAME_SHOWN));
        }
        device.heard = device.heard.max(sighting.at);
        device.last = device.last.max(self.hearing.total(sighting.at));
        if device.signals.len() == SIGNAL_WINDOW {
            device.signals.pop_front();
        }
        device.signals.push_back(rssi);
    }

    /// Forgets what has been silent for too long.
    pub fn handle_timeout(&mut self, now: Moment) {
        let heard = self.hearing.total(now);
        self.devices
            .retain(|_, device| heard.saturating_sub(device.last) < FORGET_AFTER);
    }

    /// When [`Surroundings::handle_timeout`] wants to be called, or the next device fades.
    pub fn poll_timeout(&self, now: Moment) -> Option<Moment> {
        let heard = self.hearing.total(now);
        let due = self.devices.values().flat_map(|device| {
            [
                device.last.saturating_add(FADE_AFTER),
                device.last.saturating_add(FORGET_AFTER),
            ]
        });
        let next = due.filter(|at| *at > heard).min()?;
        self.hearing.reaches(next)
    }

    /// All devices, by the radio's name for them, so that rows keep their order.
    pub fn devices(&self) -> impl Iterator<Item = &Nearby> {
        self.devices.values()
    }

    /// The devices of this name, strongest first. Two devices may share a name: only the PoP tells them apart.
    pub fn named(&self, name: &str) -> Vec<&Nearby> {
        let mut found: Vec<&Nearby> = self
            .devices
            .values()
            .filter(|device| device.name.as_deref() == Some(name))
            .collect();
        found.sort_by_key(|device| core::cmp::Reverse(device.signal()));
        found
    }

    /// One device.
    pub fn get(&self, peripheral: &PeripheralId) -> Option<&Nearby> {
        self.devices.get(peripheral)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn sighting(id: &str, name: Option<&str>, rssi: Option<i16>, second: u64) -> Sighting {
        Sighting {
            peripheral: PeripheralId(id.into()),
            name: name.map(Into::into),
            services: vec![],
            manufacturer: BTreeMap::new(),
            service_data: BTreeMap::new(),
            rssi,
            at: Moment::new(Duration::from_secs(second)),
        }
    }

    fn surroundings() -> Surroundings {
        Surroundings::new(|_| Some(DialectKind::Espressif))
    }

    #[test]
    fn a_name_cannot_play_with_the_terminal_that_lists_it() {
        let mut around = surroundings();
        around.hear(&sighting("a", Some("PROV\u{1b}[2J\n\u{2713} done"), Some(-50), 0));
        let names: Vec<_> = around
            .devices()
            .filter_map(|device| device.name.as_deref())
            .collect();
        assert_eq!(names, ["PROV[2J \u{2713} done"]);
    }

    #[test]
    fn a_memory_of_the_stack_is_no_device() {
        let mut around = surroundings();
        around.hear(&sighting("a", Some("PROV_1"), None, 1));
        assert_eq!(around.devices().count(), 0);
    }

    #[test]
    fn a_name_from_a_scan_response_stays() {
        let mut around = surroundings();
        around.hear(&sighting("a", Some("PROV_1"), Some(-50), 1));
        around.hear(&sighting("a", None, Some(-50), 2));
        assert_eq!(around.named("PROV_1").len(), 1);
    }

    #[test]
    fn one_wild_reading_does_not_move_the_signal() {
        let mut around = surroundings();
        for (second, rssi) in [-60, -61, -20, -60, -62].into_iter().enumerate() {
            around.hear(&sighting("a", None, Some(rssi), second as u64));
        }
        assert_eq!(
            around.get(&PeripheralId("a".into())).map(Nearby::signal),
            Some(-60)
        );
    }

    #[test]
    fn devices_of_one_name_come_strongest_first() {
        let mut around = surroundings();
        around.hear(&sighting("far", Some("PROV_1"), Some(-80), 1));
        around.hear(&sighting("near", Some("PROV_1"), Some(-40), 1));
        let ids: Vec<_> = around
            .named("PROV_1")
            .iter()
            .map(|d| d.peripheral.0.clone())
            .collect();
        assert_eq!(ids, ["near", "far"]);
    }

    #[test]
    fn a_silent_device_fades_and_goes() {
        let mut around = surroundings();
        around.hear(&sighting("a", None, Some(-50), 0));
        let at = |second| Moment::new(Duration::from_secs(second));
        around.handle_timeout(at(29));
        assert!(around.devices().all(|device| around.is_fading(device, at(29))));
        assert_eq!(around.poll_timeout(at(0)), Some(at(10)));
        assert_eq!(around.poll_timeout(at(29)), Some(at(30)));
        around.handle_timeout(at(30));
        assert_eq!(around.devices().count(), 0);
    }

    #[test]
    fn a_device_does_not_fade_while_the_radio_connects() {
        let mut around = surroundings();
        around.hear(&sighting("a", None, Some(-50), 0));
        let at = |second| Moment::new(Duration::from_secs(second));
        around.set_pausing(true, at(5));
        around.handle_timeout(at(60));
        assert!(around.devices().all(|device| !around.is_fading(device, at(60))));
        assert_eq!(around.poll_timeout(at(60)), None);
        around.set_pausing(false, at(60));
        assert_eq!(around.poll_timeout(at(60)), Some(at(65)));
        around.handle_timeout(at(85));
        assert_eq!(around.devices().count(), 0);
    }
}
