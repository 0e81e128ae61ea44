//! A peripheral placed in the radio's reach: its faults, its one link, and the records of all links so far.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::faults::{DeviceFaults, When};
use super::link::Link;
use super::lock;
use super::peripheral::{Address, Advertisement, AttError, OnAir, Peripheral};
use super::record::{LinkEnd, LinkRecord};

/// Weakest signal that is still heard, in dBm.
const HEARING_LIMIT: i16 = -100;

/// A device as the radio sees it.
pub struct Device {
    id: u64,
    peripheral: Arc<dyn Peripheral>,
    on_air: watch::Receiver<OnAir>,
    faults: watch::Sender<DeviceFaults>,
    spent: Mutex<Spent>,
    link: watch::Sender<Option<Arc<Link>>>,
    records: Mutex<Vec<Arc<Mutex<LinkRecord>>>>,
}

/// How much of the faults has happened already; begins anew when they are set.
struct Spent {
    since: Instant,
    aborts: u32,
    cuts: u32,
    refusals: BTreeMap<usize, u32>,
}

impl Default for Spent {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            aborts: 0,
            cuts: 0,
            refusals: BTreeMap::new(),
        }
    }
}

/// What a fault does to one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    None,
    CutBefore,
    CutAfter,
    Refuse(AttError),
}

impl Device {
    pub(super) fn new(id: u64, peripheral: Arc<dyn Peripheral>) -> Self {
        Self {
            id,
            on_air: peripheral.on_air(),
            peripheral,
            faults: watch::Sender::default(),
            spent: Mutex::default(),
            link: watch::Sender::default(),
            records: Mutex::default(),
        }
    }

    /// Its number within the radio.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What is wrong with it.
    pub fn faults(&self) -> DeviceFaults {
        self.faults.borrow().clone()
    }

    /// Replaces what is wrong with it; counters and times of the faults begin anew.
    pub fn set_faults(&self, faults: DeviceFaults) {
        *lock(&self.spent) = Spent::default();
        self.faults.send_replace(faults);
    }

    /// The address that it uses now.
    pub fn address(&self) -> Address {
        let address = self.on_air.borrow().address;
        let period = self.faults.borrow().rotate_address;
        let Some(period) = period.filter(|p| !p.is_zero()) else {
            return address;
        };
        let turns = lock(&self.spent).since.elapsed().as_nanos() / period.as_nanos();
        let [.., x, y, z] = u32::try_from(turns).unwrap_or(u32::MAX).to_be_bytes();
        let [a, b, c, d, e, f] = address.bytes;
        // The two top bits of a resolvable address are 01 (Core 5.4, Vol 6, Part B, 1.3.2.2).
        Address::random([(a & 0x3f) | 0x40, b, c, d ^ x, e ^ y, f ^ z])
    }

    /// Whether it has a link.
    pub fn is_linked(&self) -> bool {
        self.link.borrow().is_some()
    }

    /// Breaks its link, as if the client had walked away; nothing happens without one.
    pub fn break_link(&self) {
        let link = self.link.borrow().clone();
        if let Some(link) = link {
            link.close(LinkEnd::Fault);
        }
    }

    /// All links so far, oldest first, as they are now.
    pub fn records(&self) -> Vec<LinkRecord> {
        lock(&self.records).iter().map(|r| lock(r).clone()).collect()
    }

    /// The system forgot all that it knew of it, so a stale cache is fresh again.
    pub(super) fn forget_cache(&self) {
        self.faults.send_if_modified(|f| f.stale_gatt.take().is_some());
    }

    pub(super) fn peripheral(&self) -> &Arc<dyn Peripheral> {
        &self.peripheral
    }

    pub(super) fn on_air(&self) -> OnAir {
        self.on_air.borrow().clone()
    }

    /// Strength of its signal in dBm; `None` out of reach.
    pub(super) fn signal(&self) -> Option<i16> {
        let faults = self.faults.borrow();
        if faults.out_of_reach || self.silent_from(&faults).is_some_and(|at| at <= Instant::now()) {
            return None;
        }
        let fade = u64::from(faults.fade_db_per_s) * lock(&self.spent).since.elapsed().as_secs();
        Some(
            self.base_signal()
                .saturating_sub(i16::try_from(fade).unwrap_or(i16::MAX)),
        )
    }

    fn base_signal(&self) -> i16 {
        let default = Advertisement::default().rssi;
        self.on_air
            .borrow()
            .advertisement
            .as_ref()
            .map_or(default, |a| a.rssi)
    }

    /// When it will be out of reach, as far as its faults say now.
    fn silent_from(&self, faults: &DeviceFaults) -> Option<Instant> {
        let since = lock(&self.spent).since;
        let headroom = self
            .base_signal()
            .saturating_sub(HEARING_LIMIT)
            .max(0)
            .unsigned_abs();
        let faded = u64::from(headroom)
            .checked_div(u64::from(faults.fade_db_per_s))
            .map(Duration::from_secs);
        let after = [faults.vanish_after, faded].into_iter().flatten().min()?;
        Some(since + after)
    }

    /// Resolves once it is out of reach.
    pub(super) async fn out_of_reach(&self) {
        let mut faults = self.faults.subscribe();
        while self.signal().is_some() {
            let at = self.silent_from(&faults.borrow_and_update());
            let silence = async move {
                match at {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = silence => {}
                _ = faults.changed() => {}
            }
        }
    }

    /// Resolves once it advertises and can be heard, with what it advertises.
    pub(super) async fn advertising(&self) -> Advertisement {
        let (mut on_air, mut link) = (self.on_air.clone(), self.link.subscribe());
        let mut faults = self.faults.subscribe();
        loop {
            // Marked as seen before the look, so that no change between the two is missed.
            on_air.mark_unchanged();
            link.mark_unchanged();
            faults.mark_unchanged();
            if let Some(advertisement) = self.advertisement() {
                return advertisement;
            }
            tokio::select! {
                change = on_air.changed() => if change.is_err() {
                    pending::<()>().await; // the device is gone for good
                },
                _ = link.changed() => {}
                _ = faults.changed() => {}
            }
        }
    }

    /// What it advertises now, faults applied; `None` while it is silent, linked or out of reach.
    pub(super) fn advertisement(&self) -> Option<Advertisement> {
        if self.is_linked() || self.signal().is_none() {
            return None;
        }
        let mut advertisement = self.on_air.borrow().advertisement.clone()?;
        let faults = self.faults.borrow();
        if faults.no_name {
            advertisement.name_in_scan_response = None;
        }
        if faults.no_service_data {
            advertisement.service_data.clear();
        }
        Some(advertisement)
    }

    /// Whether this connection attempt is one of those that fail.
    pub(super) fn spend_abort(&self) -> bool {
        let wanted = self.faults.borrow().connect_aborts;
        let mut spent = lock(&self.spent);
        let fails = spent.aborts < wanted;
        spent.aborts += u32::from(fails);
        fails
    }

    /// What happens to operation `index` of a link.
    pub(super) fn spend_mishap(&self, index: usize) -> Mishap {
        let faults = self.faults.borrow();
        let mut spent = lock(&self.spent);
        if let Some(cut) = faults
            .cut
            .filter(|c| c.operation == index && spent.cuts < c.times)
        {
            spent.cuts += 1;
            return match cut.when {
                When::Before => Mishap::CutBefore,
                When::After => Mishap::CutAfter,
            };
        }
        for (n, refuse) in faults
            .refuse
            .iter()
            .enumerate()
            .filter(|(_, r)| r.operation == index)
        {
            let times = spent.refusals.entry(n).or_default();
            if *times < refuse.times {
                *times += 1;
                return Mishap::Refuse(refuse.error);
            }
        }
        Mishap::None
    }

    /// Takes the one place for a link; `false` where it is taken.
    pub(super) fn take_link(&self, link: &Arc<Link>) -> bool {
        let taken = self.link.send_if_modified(|slot| {
            let free = slot.is_none();
            if free {
                *slot = Some(Arc::clone(link));
            }
            free
        });
        if taken {
            lock(&self.records).push(link.shared_record());
        }
        taken
    }

    /// Closes the link with this number from the device's side, if it is still up.
    pub(super) fn close_link(&self, id: u64) {
        let link = self.link.borrow().clone();
        if let Some(link) = link.filter(|l| l.id() == id) {
            link.close(LinkEnd::Device);
        }
    }

    pub(super) fn free_link(&self) {
        self.link.send_replace(None);
    }
}
