//! Labels that were read: kept in memory until their device is commissioned, matched with what is around.

use std::collections::{BTreeMap, BTreeSet};

use commission::device::Serial;
use commission::gatt::PeripheralId;
use commission::label::Label;
use commission::time::Moment;

use super::{LabelId, LabelState, LabelView, Typed, Worker};
use crate::labels;
use crate::view::{JobView, NearbyView, View as EngineView};

/// A label that names its device.
pub(super) struct Known {
    pub(super) label: Label,
    /// Its network, where a file of labels names one.
    pub(super) network: Option<String>,
    pub(super) read: Moment,
}

/// All labels that were read and name their device. Names are shared, so a label is known by its serial, and one without
/// by what else it says.
#[derive(Default)]
pub(super) struct Labels {
    pub(super) known: BTreeMap<LabelId, Known>,
    last: u64,
}

impl Labels {
    /// Takes a label in, in the place of what was read of the same one before, unless that is among `others`.
    fn take(&mut self, known: Known, others: &[LabelId]) -> LabelId {
        let same = self
            .known
            .iter()
            .filter(|(id, _)| !others.contains(id))
            .find(|(_, before)| is_same(&before.label, &known.label));
        let id = same.map_or_else(
            || {
                self.last += 1;
                LabelId(self.last)
            },
            |(id, _)| *id,
        );
        let before = self.known.remove(&id);
        let mut known = known;
        if let Some(Known { label, network, .. }) = before {
            known.label.pop = known.label.pop.or(label.pop);
            known.label.username = known.label.username.or(label.username);
            known.label.serial = known.label.serial.or(label.serial);
            known.label.security = known.label.security.or(label.security);
            known.network = known.network.or(network);
        }
        self.known.insert(id, known);
        id
    }

    /// One of them.
    pub(super) fn get(&self, id: LabelId) -> Option<&Known> {
        self.known.get(&id)
    }

    /// Those of this name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = (LabelId, &Known)> {
        self.known
            .iter()
            .filter(move |(_, known)| known.label.name.as_deref() == Some(name))
            .map(|(id, known)| (*id, known))
    }

    /// Which label is whose: by the serial that a device proved, else by a name that only one of either has. What is in
    /// use is nobody's.
    fn matches(&self, heard: &[Heard<'_>], in_use: &BTreeSet<LabelId>) -> BTreeMap<PeripheralId, LabelId> {
        let mut matches = BTreeMap::new();
        let names: BTreeSet<&str> = heard.iter().map(|device| device.name).collect();
        for name in names {
            let mut labels: Vec<(LabelId, &Known)> =
                self.named(name).filter(|(id, _)| !in_use.contains(id)).collect();
            let mut others = Vec::new();
            for device in heard.iter().filter(|device| device.name == name) {
                let own = device.serial.and_then(|serial| {
                    labels
                        .iter()
                        .position(|(_, known)| serial_on(known) == Some(serial))
                });
                match own {
                    Some(place) => {
                        let (id, _) = labels.swap_remove(place);
                        matches.insert(device.peripheral.clone(), id);
                    }
                    None => others.push(device),
                }
            }
            let [(id, known)] = labels.as_slice() else {
                continue;
            };
            // One that proved another serial is not its device.
            let fits = |device: &&&Heard<'_>| device.serial.is_none() || serial_on(known).is_none();
            let mut fitting = others.iter().filter(fits);
            if let (Some(device), None) = (fitting.next(), fitting.next()) {
                matches.insert(device.peripheral.clone(), *id);
            }
        }
        matches
    }
}

/// A device that is around.
#[derive(Clone, Copy)]
struct Heard<'a> {
    peripheral: &'a PeripheralId,
    name: &'a str,
    /// What it has proved.
    serial: Option<&'a str>,
}

/// Whether two texts are of one label: one serial, or no serials that differ and no proof that does.
fn is_same(one: &Label, other: &Label) -> bool {
    match (&one.serial, &other.serial) {
        (Some(one), Some(other)) => one == other,
        _ => one.name == other.name && (one.pop == other.pop || one.pop.is_none() || other.pop.is_none()),
    }
}

impl Worker {
    /// A scanned or typed label. One that names no device is for the one that the person points at.
    pub(super) fn read_label(&mut self, text: &Typed, device: Option<PeripheralId>) {
        let label = match Label::parse(text.reveal()) {
            Ok(label) => label,
            Err(error) => {
                return self.warn("label", error.to_string(), "Scan the code on the device itself.");
            }
        };
        let heard = device.as_ref().and_then(|id| self.heard_name(id));
        match (&label.name, device) {
            (Some(name), Some(_)) if heard.as_ref().is_some_and(|heard| heard != name) => self.warn(
                "label-of-another",
                format!("The label is of {name}, not of {}.", heard.unwrap_or_default()),
                "Scan the label on this very device.",
            ),
            (Some(name), _) => {
                let (name, read) = (name.clone(), self.parts.clock.now());
                let in_range = self.is_heard(&name);
                let network = None;
                self.labels.take(Known { label, network, read }, &[]);
                if !in_range {
                    self.tell(
                        "label-not-in-range",
                        format!("The label of {name} is read; the device is not heard yet."),
                        "Switch the device on, or come closer.".into(),
                    );
                }
            }
            (None, Some(device)) => {
                self.typed.insert(device, label);
            }
            (None, None) => self.warn(
                "label-without-name",
                "This code names no device.",
                "Choose the device first, then type its proof of possession.",
            ),
        }
    }

    /// A file of labels: all of it, or nothing.
    pub(super) fn read_labels(&mut self, file: &str, text: &Typed) {
        let rows = match labels::parse(file, text.reveal()) {
            Ok(rows) => rows,
            Err(error) => {
                return self.warn(
                    "labels",
                    error.to_string(),
                    "Correct the file and open it again; nothing was taken.",
                );
            }
        };
        let (read, count) = (self.parts.clock.now(), rows.len());
        // Each row is a label of its own, whatever names they share.
        let mut taken = Vec::with_capacity(count);
        for row in rows {
            let label = Label {
                name: Some(row.name),
                pop: row.pop,
                username: row.username,
                serial: row.serial,
                security: row.security,
            };
            let network = row.network;
            taken.push(self.labels.take(Known { label, network, read }, &taken));
        }
        let labels = match count {
            1 => "1 label was".to_owned(),
            count => format!("{count} labels were"),
        };
        self.tell(
            "labels-read",
            format!("{labels} read from {file}."),
            String::new(),
        );
    }

    pub(super) fn forget_labels(&mut self, label: Option<LabelId>) {
        match label {
            Some(label) => {
                self.labels.known.remove(&label);
            }
            None => {
                self.labels.known.clear();
                self.typed.clear();
            }
        }
    }

    /// The label of a job's device is needed no more.
    pub(super) fn forget_label_of(&mut self, job: &JobView) {
        if let Some(label) = self.label_jobs.remove(&job.id) {
            self.labels.known.remove(&label);
        }
        if let Some(peripheral) = &job.peripheral {
            self.typed.remove(peripheral);
        }
    }

    /// Which label is whose, of those that no job uses and of the devices that no job has.
    pub(super) fn matches(&self, around: &EngineView) -> BTreeMap<PeripheralId, LabelId> {
        let open = around.jobs.iter().filter(|job| !job.is_over());
        let held: BTreeSet<&PeripheralId> = open.filter_map(|job| job.peripheral.as_ref()).collect();
        let free = around
            .nearby
            .iter()
            .filter(|device| !held.contains(&device.peripheral));
        let heard: Vec<Heard<'_>> = free
            .filter_map(|device| {
                Some(Heard {
                    peripheral: &device.peripheral,
                    name: device.name.as_deref()?,
                    serial: self.serial_of(around, &device.peripheral),
                })
            })
            .collect();
        self.labels.matches(&heard, &self.labels_in_use(around))
    }

    /// The serial that a device has proved, today or earlier.
    fn serial_of<'a>(&'a self, around: &'a EngineView, device: &PeripheralId) -> Option<&'a str> {
        let of_today = around.jobs.iter().rev().find_map(|job| {
            // One that its label says is not proven.
            let proven = job.model.is_some() && job.peripheral.as_ref() == Some(device);
            job.serial.as_deref().filter(|_| proven)
        });
        of_today.or_else(|| self.past.shown.get(device)?.serial.as_deref())
    }

    /// The labels whose devices are in work.
    pub(super) fn labels_in_use(&self, around: &EngineView) -> BTreeSet<LabelId> {
        let open = around.jobs.iter().filter(|job| !job.is_over());
        open.filter_map(|job| self.label_jobs.get(&job.id).copied())
            .collect()
    }

    /// What is known of a device's label; what was typed for it goes before what names it.
    pub(super) fn label_of(
        &self,
        device: &NearbyView,
        matches: &BTreeMap<PeripheralId, LabelId>,
    ) -> Option<&Label> {
        self.typed.get(&device.peripheral).or_else(|| {
            let id = matches.get(&device.peripheral)?;
            self.labels.get(*id).map(|known| &known.label)
        })
    }

    pub(super) fn label_state(
        &self,
        device: &NearbyView,
        matches: &BTreeMap<PeripheralId, LabelId>,
    ) -> LabelState {
        if self.typed.contains_key(&device.peripheral) {
            LabelState::Typed
        } else if matches.contains_key(&device.peripheral) {
            LabelState::Matched
        } else {
            LabelState::Missing
        }
    }

    pub(super) fn label_views(
        &self,
        around: &EngineView,
        matches: &BTreeMap<PeripheralId, LabelId>,
    ) -> Vec<LabelView> {
        let job_of = |label: LabelId| {
            let open = around.jobs.iter().filter(|job| !job.is_over());
            open.map(|job| job.id)
                .find(|job| self.label_jobs.get(job) == Some(&label))
        };
        let names: BTreeSet<&str> = self
            .labels
            .known
            .values()
            .filter_map(|known| known.label.name.as_deref())
            .collect();
        let mut views: Vec<LabelView> = Vec::new();
        for (id, known) in &self.labels.known {
            let name = known.label.name.clone().unwrap_or_default();
            views.push(LabelView {
                id: *id,
                serial: known.label.serial.as_ref().map(ToString::to_string),
                pop: known.label.pop.is_some(),
                network: known.network.clone(),
                in_range: around
                    .nearby
                    .iter()
                    .any(|device| device.name.as_deref() == Some(name.as_str())),
                device: matches
                    .iter()
                    .find(|(_, label)| *label == id)
                    .map(|(device, _)| device.clone()),
                job: job_of(*id),
                look_alike: names
                    .iter()
                    .find(|other| look_alike(&name, other))
                    .map(|other| (*other).to_owned()),
                read_ms: super::showing::millis(known.read),
                name,
            });
        }
        views.sort_by(|one, other| (&one.name, one.id).cmp(&(&other.name, other.id)));
        views
    }

    fn heard_name(&self, id: &PeripheralId) -> Option<String> {
        let view = self.engine_view()?;
        let device = view.nearby.iter().find(|device| device.peripheral == *id)?;
        device.name.clone()
    }

    fn is_heard(&self, name: &str) -> bool {
        self.engine_view().is_some_and(|view| {
            view.nearby
                .iter()
                .any(|device| device.name.as_deref() == Some(name))
        })
    }
}

fn serial_on(known: &Known) -> Option<&str> {
    known.label.serial.as_ref().map(Serial::as_str)
}

/// Whether two different names read the same on a worn label.
fn look_alike(one: &str, other: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars()
            .map(|c| match c.to_ascii_uppercase() {
                'O' | 'Q' | 'D' => '0',
                'I' | 'L' => '1',
                'S' => '5',
                'B' => '8',
                'Z' => '2',
                'G' => '6',
                c => c,
            })
            .collect()
    };
    one != other && plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use commission::secret::Pop;
    use std::time::Duration;

    fn known(name: &str, serial: Option<&str>, pop: Option<&str>) -> Known {
        Known {
            label: Label {
                name: Some(name.into()),
                pop: pop.map(Pop::new),
                username: None,
                serial: serial.map(|serial| Serial::new(serial).unwrap()),
                security: None,
            },
            network: None,
            read: Moment::new(Duration::ZERO),
        }
    }

    fn peripherals(ids: &[&str]) -> Vec<PeripheralId> {
        ids.iter().map(|id| PeripheralId((*id).into())).collect()
    }

    fn heard<'a>(ids: &'a [PeripheralId], serials: &[Option<&'a str>]) -> Vec<Heard<'a>> {
        let heard = |(peripheral, serial): (&'a PeripheralId, &Option<&'a str>)| Heard {
            peripheral,
            name: "TWIN",
            serial: *serial,
        };
        ids.iter().zip(serials).map(heard).collect()
    }

    #[test]
    fn names_that_read_alike_are_told() {
        assert!(look_alike("PROV_0B1", "PROV_O81"));
        assert!(look_alike("Gate-l", "Gate-1"));
        assert!(!look_alike("PROV_1", "PROV_1"));
        assert!(!look_alike("PROV_1", "PROV_2"));
    }

    #[test]
    fn two_labels_of_one_name_are_both_kept_and_one_that_is_read_again_is_one() {
        let mut labels = Labels::default();
        let a = labels.take(known("TWIN", Some("A"), Some("a")), &[]);
        let b = labels.take(known("TWIN", Some("B"), Some("b")), &[]);
        let c = labels.take(known("TWIN", None, Some("c")), &[]);
        assert_eq!(labels.named("TWIN").count(), 3);
        assert_eq!(labels.take(known("TWIN", Some("A"), Some("a")), &[]), a);
        assert_eq!(labels.take(known("TWIN", None, Some("b")), &[]), b);
        assert_eq!(labels.take(known("TWIN", Some("C"), Some("c")), &[]), c);
        assert_eq!(labels.named("TWIN").count(), 3);
        assert_eq!(serial_on(labels.get(c).unwrap()), Some("C"));
        assert_eq!(
            serial_on(labels.get(b).unwrap()),
            Some("B"),
            "it is not forgotten"
        );
        // Rows of one file are never one label.
        let rows = [labels.take(known("ROW", None, None), &[])];
        labels.take(known("ROW", None, Some("x")), &rows);
        assert_eq!(labels.named("ROW").count(), 2);
    }

    #[test]
    fn a_label_is_its_devices_by_name_only_where_no_other_shares_that() {
        let mut labels = Labels::default();
        let a = labels.take(known("TWIN", Some("A"), Some("a")), &[]);
        let (one, two) = (peripherals(&["one"]), peripherals(&["one", "two"]));
        let none = BTreeSet::new();
        let of = |id: &str, label| (PeripheralId(id.into()), label);
        assert_eq!(
            labels.matches(&heard(&one, &[None]), &none),
            [of("one", a)].into()
        );
        assert_eq!(labels.matches(&heard(&one, &[Some("X")]), &none), [].into());
        assert_eq!(labels.matches(&heard(&two, &[None, None]), &none), [].into());
        assert_eq!(
            labels.matches(&heard(&two, &[Some("X"), None]), &none),
            [of("two", a)].into()
        );
        assert_eq!(labels.matches(&heard(&one, &[None]), &[a].into()), [].into());

        let b = labels.take(known("TWIN", Some("B"), Some("b")), &[]);
        assert_eq!(labels.matches(&heard(&one, &[None]), &none), [].into());
        // One proved who it is, and so the other is known as well.
        assert_eq!(
            labels.matches(&heard(&two, &[Some("B"), None]), &none),
            [of("one", b), of("two", a)].into()
        );
    }
}
