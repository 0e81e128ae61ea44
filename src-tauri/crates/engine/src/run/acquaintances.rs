//! What is known of devices by what the radio calls them: who they proved to be, and which proofs of possession they
//! refused.
//!
//! Devices share names. A proof of possession that is tried on the wrong one counts against it, and some stop after five.

use std::collections::BTreeMap;

use commission::device::Serial;
use commission::dialect::{Strength, strength_of};
use commission::evidence::Fact;
use commission::flow::Step;
use commission::gatt::PeripheralId;
use commission::policy::Least;
use commission::secret::Pop;

use crate::ports::{Journal, JournalError};

/// All of them.
#[derive(Default)]
pub(super) struct Acquaintances(BTreeMap<PeripheralId, Acquaintance>);

#[derive(Default)]
struct Acquaintance {
    /// What it proved, in this run or in an earlier one.
    serial: Option<Serial>,
    /// How its session was protected when it took a proof of possession, in this run or in an earlier one.
    strength: Strength,
    /// It has proved an identity.
    identity: bool,
    /// Proofs that it refused in this run, since it took one.
    wrong: u8,
    /// Those themselves.
    refused: Vec<Pop>,
}

/// What a job looks for its device by.
#[derive(Clone, Default)]
pub(super) struct Looks {
    pub(super) serial: Option<Serial>,
    pub(super) pop: Option<Pop>,
}

impl Acquaintances {
    /// Takes up what an earlier run of the program learnt.
    pub(super) fn remember(&mut self, met: BTreeMap<PeripheralId, Met>) {
        for (peripheral, met) in met {
            let known = self.0.entry(peripheral).or_default();
            known.identity |= met.serial.is_some();
            known.serial = known.serial.take().or(met.serial);
            known.strength = known.strength.max(met.strength);
        }
    }

    /// The least that is taken from the device: what its label states, else what it was known by.
    pub(super) fn least(&self, peripheral: &PeripheralId, stated: Option<Strength>) -> Least {
        let known = self.0.get(peripheral);
        Least {
            strength: stated.unwrap_or_else(|| known.map_or(Strength::default(), |known| known.strength)),
            identity: known.is_some_and(|known| known.identity),
        }
    }

    /// The device proved this serial.
    pub(super) fn proved(&mut self, peripheral: &PeripheralId, serial: &Serial) {
        let known = self.0.entry(peripheral.clone()).or_default();
        (known.serial, known.identity) = (Some(serial.clone()), true);
    }

    /// The device took a proof of possession over a session of this strength, and counts anew.
    pub(super) fn accepted(&mut self, peripheral: &PeripheralId, strength: Strength) {
        let known = self.0.entry(peripheral.clone()).or_default();
        known.wrong = 0;
        known.strength = known.strength.max(strength);
    }

    /// The device refused a proof of possession.
    pub(super) fn refused(&mut self, peripheral: &PeripheralId, pop: Option<&Pop>) {
        let known = self.0.entry(peripheral.clone()).or_default();
        known.wrong = known.wrong.saturating_add(1);
        if let Some(pop) = pop.filter(|pop| !known.refused.contains(pop)) {
            known.refused.push(pop.clone());
        }
    }

    /// How many wrong proofs the device has seen since it took one.
    pub(super) fn wrong(&self, peripheral: &PeripheralId) -> u8 {
        self.0.get(peripheral).map_or(0, |known| known.wrong)
    }

    /// Whether the device is known to be another than the one of this serial.
    pub(super) fn is_other(&self, peripheral: &PeripheralId, serial: Option<&Serial>) -> bool {
        let proved = self.0.get(peripheral).and_then(|known| known.serial.as_ref());
        matches!((proved, serial), (Some(proved), Some(serial)) if proved != serial)
    }

    /// Whether the device has refused this very proof of possession.
    pub(super) fn has_refused(&self, peripheral: &PeripheralId, pop: Option<&Pop>) -> bool {
        let refused = self.0.get(peripheral).map(|known| &known.refused);
        matches!((refused, pop), (Some(refused), Some(pop)) if refused.contains(pop))
    }

    /// Whether it is of no use to try this on the device, or would bring it too close to locking itself.
    pub(super) fn spares(&self, peripheral: &PeripheralId, looks: &Looks, attempts: u8) -> bool {
        self.is_other(peripheral, looks.serial.as_ref())
            || self.has_refused(peripheral, looks.pop.as_ref())
            || self.wrong(peripheral) >= attempts
    }
}

/// What a device showed of itself in an earlier run.
#[derive(Debug, Default)]
pub(super) struct Met {
    serial: Option<Serial>,
    strength: Strength,
}

/// What devices showed of themselves in earlier runs.
pub(super) async fn met(journal: &dyn Journal) -> Result<BTreeMap<PeripheralId, Met>, JournalError> {
    let (mut devices, mut met) = (BTreeMap::new(), BTreeMap::<PeripheralId, Met>::new());
    for entry in journal.shown().await? {
        match entry.step {
            // The latest says with which of several devices of one name the job went on.
            Step::Started {
                peripheral, dialect, ..
            } => {
                devices.insert(entry.job, (peripheral, dialect));
            }
            Step::Identified { identity, .. } => {
                if let Some((peripheral, _)) = devices.get(&entry.job) {
                    met.entry(peripheral.clone()).or_default().serial = Some(identity.serial);
                }
            }
            Step::Evidence { evidence } => {
                if let (Fact::PossessionProven { scheme }, Some((peripheral, kind))) =
                    (evidence.fact, devices.get(&entry.job))
                {
                    let known = met.entry(peripheral.clone()).or_default();
                    known.strength = known.strength.max(strength_of(*kind, &scheme));
                }
            }
            _ => {}
        }
    }
    Ok(met)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_held_to_what_its_label_states_and_else_to_what_it_was_known_by() {
        let (one, other) = (PeripheralId("one".into()), PeripheralId("other".into()));
        let mut known = Acquaintances::default();
        known.accepted(&one, Strength::Full);
        known.accepted(&one, Strength::GuessablePop);
        known.proved(&one, &Serial::new("A").unwrap());
        let least = |strength, identity| Least { strength, identity };
        assert_eq!(known.least(&one, None), least(Strength::Full, true));
        assert_eq!(known.least(&other, None), Least::default());
        let stated = Some(Strength::GuessablePop);
        assert_eq!(known.least(&one, stated), least(Strength::GuessablePop, true));
    }

    #[test]
    fn a_device_is_spared_what_it_refused_and_what_is_for_another() {
        let one = PeripheralId("one".into());
        let pop = |text| Some(Pop::new(text));
        let looks = |serial: Option<&str>, pop| Looks {
            serial: serial.map(|serial| Serial::new(serial).unwrap()),
            pop,
        };
        let mut known = Acquaintances::default();
        assert!(!known.spares(&one, &looks(Some("A"), pop("a")), 3));
        known.refused(&one, pop("a").as_ref());
        known.refused(&one, pop("a").as_ref());
        assert!(known.spares(&one, &looks(Some("A"), pop("a")), 3));
        assert!(!known.spares(&one, &looks(Some("A"), pop("b")), 3));
        assert!(known.spares(&one, &looks(Some("A"), pop("b")), 2));
        known.accepted(&one, Strength::Full);
        assert_eq!(known.wrong(&one), 0);
        known.proved(&one, &Serial::new("B").unwrap());
        assert!(known.spares(&one, &looks(Some("A"), pop("b")), 3));
        assert!(!known.spares(&one, &looks(Some("B"), pop("b")), 3));
        assert!(!known.spares(&one, &looks(None, None), 3));
    }
}
