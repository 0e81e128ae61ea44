//! Orders whose device is not heard yet: each is given a device as soon as one fits, and given up when its time is over.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use crate::flow::JobId;
use crate::gatt::PeripheralId;
use crate::nearby::{Nearby, Surroundings};
use crate::time::Moment;

/// What an order says about its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Exactly this one.
    Peripheral(PeripheralId),
    /// One that advertises this name.
    Name(String),
    /// One that advertises this name and is none of these.
    Another(String, Vec<PeripheralId>),
}

/// The orders that wait for their device.
#[derive(Debug, Default)]
pub struct Finder {
    wanted: BTreeMap<JobId, (Wanted, Moment)>,
}

impl Finder {
    /// Waits for a device until then.
    pub fn add(&mut self, job: JobId, wanted: Wanted, until: Moment) {
        self.wanted.insert(job, (wanted, until));
    }

    /// No longer waits; whether it did.
    pub fn remove(&mut self, job: JobId) -> bool {
        self.wanted.remove(&job).is_some()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Gives waiting orders the devices that fit, strongest first, none of `taken` and none twice.
    pub fn settle(&mut self, around: &Surroundings, taken: &BTreeSet<PeripheralId>) -> Vec<(JobId, Nearby)> {
        let mut taken = taken.clone();
        let mut found = Vec::new();
        for (job, (wanted, _)) in &self.wanted {
            let fits = match wanted {
                Wanted::Peripheral(id) => around
                    .get(id)
                    .filter(|device| !taken.contains(&device.peripheral)),
                Wanted::Name(name) => named(around, name, &[], &taken),
                Wanted::Another(name, tried) => named(around, name, tried, &taken),
            };
            if let Some(device) = fits {
                taken.insert(device.peripheral.clone());
                found.push((*job, device.clone()));
            }
        }
        for (job, _) in &found {
            self.wanted.remove(job);
        }
        found
    }

    /// Gives up the orders whose time is over.
    pub fn handle_timeout(&mut self, now: Moment) -> Vec<JobId> {
        let over: Vec<JobId> = self
            .wanted
            .iter()
            .filter(|(_, (_, until))| *until <= now)
            .map(|(job, _)| *job)
            .collect();
        for job in &over {
            self.wanted.remove(job);
        }
        over
    }

    /// When [`Finder::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.wanted.values().map(|(_, until)| *until).min()
    }
}

/// The strongest device of this name that is free.
fn named<'a>(
    around: &'a Surroundings,
    name: &str,
    tried: &[PeripheralId],
    taken: &BTreeSet<PeripheralId>,
) -> Option<&'a Nearby> {
    let free = |device: &&Nearby| !taken.contains(&device.peripheral) && !tried.contains(&device.peripheral);
    around.named(name).into_iter().find(free)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{DialectKind, Sighting};
    use alloc::vec;
    use core::time::Duration;
    use uuid::Uuid;

    fn job(number: u128) -> JobId {
        JobId(Uuid::from_u128(number))
    }

    fn at(second: u64) -> Moment {
        Moment::new(Duration::from_secs(second))
    }

    fn around(devices: &[(&str, &str, i16)]) -> Surroundings {
        let mut around = Surroundings::new(|_| Some(DialectKind::Espressif));
        for (id, name, rssi) in devices {
            around.hear(&Sighting {
                peripheral: PeripheralId((*id).into()),
                name: Some((*name).into()),
                services: vec![],
                manufacturer: BTreeMap::new(),
                service_data: BTreeMap::new(),
                rssi: Some(*rssi),
                at: at(0),
            });
        }
        around
    }

    #[test]
    fn two_orders_of_one_name_get_two_devices() {
        let mut finder = Finder::default();
        finder.add(job(1), Wanted::Name("PROV".into()), at(30));
        finder.add(job(2), Wanted::Name("PROV".into()), at(30));
        let found = finder.settle(
            &around(&[("far", "PROV", -80), ("near", "PROV", -40)]),
            &BTreeSet::new(),
        );
        let ids: Vec<_> = found
            .iter()
            .map(|(_, device)| device.peripheral.0.as_str())
            .collect();
        assert_eq!(ids, ["near", "far"]);
        assert!(finder.is_empty());
    }

    #[test]
    fn a_device_in_work_is_not_given_twice() {
        let mut finder = Finder::default();
        finder.add(job(1), Wanted::Name("PROV".into()), at(30));
        let taken = BTreeSet::from([PeripheralId("near".into())]);
        assert!(
            finder
                .settle(&around(&[("near", "PROV", -40)]), &taken)
                .is_empty()
        );
        assert_eq!(finder.poll_timeout(), Some(at(30)));
    }

    #[test]
    fn an_order_is_given_up_when_its_time_is_over() {
        let mut finder = Finder::default();
        finder.add(job(1), Wanted::Name("PROV".into()), at(30));
        assert!(finder.handle_timeout(at(29)).is_empty());
        assert_eq!(finder.handle_timeout(at(30)), [job(1)]);
    }
}
