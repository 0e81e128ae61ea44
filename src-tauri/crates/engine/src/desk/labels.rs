//! Labels that were read: kept in memory until their device is commissioned, matched with what is around.

use commission::gatt::PeripheralId;
use commission::label::Label;
use commission::time::Moment;

use super::{LabelState, LabelView, Typed, Worker};
use crate::labels;
use crate::view::{JobView, NearbyView, View as EngineView};

/// A label that names its device.
pub(super) struct Known {
    pub(super) label: Label,
    /// Its network, where a file of labels names one.
    pub(super) network: Option<String>,
    pub(super) read: Moment,
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
                self.labels.insert(
                    name.clone(),
                    Known {
                        label,
                        network: None,
                        read,
                    },
                );
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
        for row in rows {
            let label = Label {
                name: Some(row.name.clone()),
                pop: row.pop,
                username: row.username,
                serial: row.serial,
                security: None,
            };
            let network = row.network;
            self.labels.insert(row.name, Known { label, network, read });
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

    pub(super) fn forget_labels(&mut self, name: Option<&str>) {
        match name {
            Some(name) => {
                self.labels.remove(name);
            }
            None => {
                self.labels.clear();
                self.typed.clear();
            }
        }
    }

    /// The label of a job's device is needed no more.
    pub(super) fn forget_label_of(&mut self, job: &JobView) {
        self.labels.remove(&job.name);
        if let Some(peripheral) = &job.peripheral {
            self.typed.remove(peripheral);
        }
    }

    /// What is known of a device's label; what was typed for it goes before what names it.
    pub(super) fn label_of(&self, device: &NearbyView) -> Option<&Label> {
        self.typed.get(&device.peripheral).or_else(|| {
            let name = device.name.as_deref()?;
            self.labels.get(name).map(|known| &known.label)
        })
    }

    pub(super) fn label_state(&self, device: &NearbyView) -> LabelState {
        if self.typed.contains_key(&device.peripheral) {
            LabelState::Typed
        } else if self.label_of(device).is_some() {
            LabelState::Matched
        } else {
            LabelState::Missing
        }
    }

    pub(super) fn label_views(&self, around: &EngineView) -> Vec<LabelView> {
        let views = self.labels.iter().map(|(name, known)| LabelView {
            name: name.clone(),
            serial: known.label.serial.as_ref().map(ToString::to_string),
            pop: known.label.pop.is_some(),
            network: known.network.clone(),
            in_range: around
                .nearby
                .iter()
                .any(|device| device.name.as_deref() == Some(name)),
            look_alike: self.labels.keys().find(|other| look_alike(name, other)).cloned(),
            read_ms: super::showing::millis(known.read),
        });
        views.collect()
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

    #[test]
    fn names_that_read_alike_are_told() {
        assert!(look_alike("PROV_0B1", "PROV_O81"));
        assert!(look_alike("Gate-l", "Gate-1"));
        assert!(!look_alike("PROV_1", "PROV_1"));
        assert!(!look_alike("PROV_1", "PROV_2"));
    }
}
