//! Orders whose device is not heard yet: each is given a device as soon as one fits, and given up when it was listened for
//! long enough.
//!
//! A device that cannot be heard has not been silent: time in which the radio connects, is off or sleeps does not count.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

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

/// A clock that runs only while the radio hears.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hearing {
    /// What was heard before the present time of hearing.
    before: Duration,
    /// Since when it hears; none while it does not.
    since: Option<Moment>,
}

impl Hearing {
    /// Hears from this moment on.
    pub const fn from(now: Moment) -> Self {
        Self {
            before: Duration::ZERO,
            since: Some(now),
        }
    }

    /// Whether the radio hears from this moment on.
    pub fn set(&mut self, hears: bool, now: Moment) {
        if hears != self.since.is_some() {
            self.before = self.total(now);
            self.since = hears.then_some(now);
        }
    }

    /// How long the radio has heard in all.
    pub fn total(&self, now: Moment) -> Duration {
        let present = self.since.map_or(Duration::ZERO, |since| now.since(since));
        self.before.saturating_add(present)
    }

    /// When the radio will have heard for so long in all, if it goes on; none while it does not hear.
    pub fn reaches(&self, total: Duration) -> Option<Moment> {
        Some(self.since? + total.saturating_sub(self.before))
    }
}

/// The orders that wait for their device.
#[derive(Debug, Default)]
pub struct Finder {
    wanted: BTreeMap<JobId, (Wanted, Duration)>,
    hearing: Hearing,
}

impl Finder {
    /// Waits for a device until the radio has heard for so long from now on.
    pub fn add(&mut self, job: JobId, wanted: Wanted, patience: Duration, now: Moment) {
        let enough = self.hearing.total(now).saturating_add(patience);
        self.wanted.insert(job, (wanted, enough));
    }

    /// Whether the radio hears from this moment on; at first it does not.
    pub fn set_hearing(&mut self, hears: bool, now: Moment) {
        self.hearing.set(hears, now);
    }

    /// No longer waits; whether it did.
    pub fn remove(&mut self, job: JobId) -> bool {
        self.wanted.remove(&job).is_some()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Gives waiting orders the devices that fit, strongest first, none of `taken` and none twice. Of those that share a
    /// name, none that is `spared` this order.
    pub fn settle(
        &mut self,
        around: &Surroundings,
        taken: &BTreeSet<PeripheralId>,
        spared: impl Fn(&JobId, &PeripheralId) -> bool,
    ) -> Vec<(JobId, Nearby)> {
        let mut taken = taken.clone();
        let mut found = Vec::new();
        for (job, (wanted, _)) in &self.wanted {
            let fits = match wanted {
                Wanted::Peripheral(id) => around
                    .get(id)
                    .filter(|device| !taken.contains(&device.peripheral)),
                Wanted::Name(name) => named(around, name, |id| !taken.contains(id) && !spared(job, id)),
                Wanted::Another(name, tried) => named(around, name, |id| {
                    !taken.contains(id) && !tried.contains(id) && !spared(job, id)
                }),
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

    /// Gives up the orders whose device was listened for long enough.
    pub fn handle_timeout(&mut self, now: Moment) -> Vec<JobId> {
        let heard = self.hearing.total(now);
        let over: Vec<JobId> = self
            .wanted
            .iter()
            .filter(|(_, (_, enough))| *enough <= heard)
            .map(|(job, _)| *job)
            .collect();
        for job in &over {
            self.wanted.remove(job);
        }
        over
    }

    /// When [`Finder::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let first = self.wanted.values().map(|(_, enough)| *enough).min()?;
        self.hearing.reaches(first)
    }
}

/// The strongest device of this name that is free.
fn named<'a>(
    around: &'a Surroundings,
    name: &str,
    is_free: impl Fn(&PeripheralId) -> bool,
) -> Option<&'a Nearby> {
    around
        .named(name)
        .into_iter()
        .find(|device| is_free(&device.peripheral))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{DialectKind, Sighting};
    use alloc::vec;
    use uuid::Uuid;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// One that hears from the beginning.
    fn finder() -> Finder {
        let mut finder = Finder::default();
        finder.set_hearing(true, at(0));
        finder
    }

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
        let mut finder = finder();
        finder.add(job(1), Wanted::Name("PROV".into()), PATIENCE, at(0));
        finder.add(job(2), Wanted::Name("PROV".into()), PATIENCE, at(0));
        let found = finder.settle(
            &around(&[("far", "PROV", -80), ("near", "PROV", -40)]),
            &BTreeSet::new(),
            |_, _| false,
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
        let mut finder = finder();
        finder.add(job(1), Wanted::Name("PROV".into()), PATIENCE, at(0));
        let taken = BTreeSet::from([PeripheralId("near".into())]);
        assert!(
            finder
                .settle(&around(&[("near", "PROV", -40)]), &taken, |_, _| false)
                .is_empty()
        );
        assert_eq!(finder.poll_timeout(), Some(at(30)));
    }

    #[test]
    fn of_two_devices_of_one_name_the_one_that_is_known_for_another_is_spared() {
        let mut finder = finder();
        finder.add(job(1), Wanted::Name("PROV".into()), PATIENCE, at(0));
        let around = around(&[("far", "PROV", -80), ("near", "PROV", -40)]);
        let found = finder.settle(&around, &BTreeSet::new(), |_, device| device.0 == "near");
        let ids: Vec<_> = found
            .iter()
            .map(|(_, device)| device.peripheral.0.as_str())
            .collect();
        assert_eq!(ids, ["far"]);
    }

    #[test]
    fn an_order_is_given_up_when_its_time_is_over() {
        let mut finder = finder();
        finder.add(job(1), Wanted::Name("PROV".into()), PATIENCE, at(0));
        assert!(finder.handle_timeout(at(29)).is_empty());
        assert_eq!(finder.handle_timeout(at(30)), [job(1)]);
    }

    #[test]
    fn time_in_which_the_radio_cannot_hear_does_not_count_against_a_device() {
        let mut finder = finder();
        finder.add(job(1), Wanted::Name("PROV".into()), PATIENCE, at(0));
        // It connects for others, goes off, sleeps.
        finder.set_hearing(false, at(10));
        assert_eq!(finder.poll_timeout(), None);
        assert!(finder.handle_timeout(at(3600)).is_empty());
        finder.add(job(2), Wanted::Name("PROV".into()), PATIENCE, at(3600));
        finder.set_hearing(true, at(3600));
        assert_eq!(finder.poll_timeout(), Some(at(3620)));
        assert_eq!(finder.handle_timeout(at(3620)), [job(1)]);
        assert_eq!(finder.handle_timeout(at(3630)), [job(2)]);
    }

    #[test]
    fn hearing_that_is_told_twice_is_counted_once() {
        let mut hearing = Hearing::default();
        assert_eq!(hearing.total(at(9)), Duration::ZERO);
        for second in [10, 12] {
            hearing.set(true, at(second));
        }
        for second in [15, 20] {
            hearing.set(false, at(second));
        }
        assert_eq!(hearing.total(at(30)), Duration::from_secs(5));
    }
}
