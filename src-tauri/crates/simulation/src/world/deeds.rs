//! What devices do by themselves.

use commission::claim::Claim;
use commission::dialect::{Enrol, Join};
use commission::evidence::Fact;

use crate::fate::{Deed, Place, Trouble};
use crate::scene::Tells;

use super::device::{Wifi, called, serial};
use super::{Coming, World};

impl World {
    /// A device will do this after so long, unless something comes between.
    pub(super) fn expect(&mut self, index: usize, deed: Deed, wait: u64) {
        let epoch = self.devices[index].epoch;
        self.after(wait, Coming::Deed(index, epoch, deed, false));
    }

    /// A device does something by itself.
    pub(super) fn deed(&mut self, index: usize, deed: Deed, asked: bool) {
        if self.devices[index].stopped {
            return;
        }
        let trouble = if asked {
            None
        } else {
            self.fate.at(Place::Deed(deed))
        };
        match trouble {
            Some(Trouble::Delays(seconds)) => {
                self.tell(
                    || called(index),
                    || format!("takes {seconds} s longer to {deed:?}"),
                );
                let epoch = self.devices[index].epoch;
                return self.after(u64::from(seconds) * 1000, Coming::Deed(index, epoch, deed, true));
            }
            Some(Trouble::Stops) => {
                self.tell(|| called(index), || format!("never comes to {deed:?}"));
                self.devices[index].stopped = true;
                return;
            }
            Some(Trouble::Reboots) => return self.reboot(index),
            _ => {}
        }
        let fails = trouble == Some(Trouble::Fails);
        match deed {
            Deed::Join => self.join(index, fails),
            Deed::Reach => self.reach(index, fails),
            Deed::Register => self.register(index, fails),
            Deed::Online => self.online(index, fails, trouble == Some(Trouble::SwitchedOff)),
        }
        self.note_truth();
    }

    /// A device restarts: links and sessions are gone, settings and claim stay.
    fn reboot(&mut self, index: usize) {
        self.tell(|| called(index), || "restarts".into());
        self.go_offline(index);
        self.cut(index, 0);
        let device = &mut self.devices[index];
        device.epoch += 1;
        device.session = false;
        if device.settings.is_some() && device.wifi != Wifi::Ready {
            device.wifi = Wifi::Connecting;
            self.expect(index, Deed::Join, 6_000);
        }
    }

    /// A device is in no network any more.
    pub(super) fn go_offline(&mut self, index: usize) {
        if let Some((cloud, credential)) = self.devices[index].credential.clone() {
            self.clouds[cloud].hang_up(&credential);
        }
    }

    /// A person presses the device's button: it advertises, and for that most leave their network.
    pub(super) fn press(&mut self, index: usize) {
        self.devices[index].advertises = true;
        self.devices[index].stopped = false;
        if !self.devices[index].spec.keep_link && self.devices[index].linked.is_none() {
            self.go_offline(index);
            let device = &mut self.devices[index];
            device.wifi = Wifi::Ready;
            device.settings = None;
            device.epoch += 1;
        }
    }

    fn join(&mut self, index: usize, fails: bool) {
        let device = &mut self.devices[index];
        if device.wifi != Wifi::Connecting || fails {
            return;
        }
        if !device.fits() {
            let why = if device.sees() {
                Join::Refused
            } else {
                Join::NotFound
            };
            device.wifi = Wifi::Failed(why.clone());
            return self.tell(
                || called(index),
                || format!("does not get into the network: {why:?}"),
            );
        }
        device.wifi = Wifi::Joined;
        let next = match (&device.claim, &device.credential) {
            (Some(_), _) => Some((Deed::Reach, 2_000)),
            (None, Some(_)) => Some((Deed::Online, 1_000)),
            (None, None) => device.spec.self_enrolling.then_some((Deed::Register, 2_000)),
        };
        self.tell(|| called(index), || "joins the network".into());
        if let Some((deed, wait)) = next {
            self.expect(index, deed, wait);
        }
    }

    /// Cloud and number of a claim that a device holds.
    fn issuer(&self, claim: &Claim) -> Option<(usize, usize)> {
        let cloud = self
            .clouds
            .iter()
            .position(|cloud| cloud.called() == claim.endpoint.host)?;
        Some((cloud, self.clouds[cloud].numbered(&claim.id)?))
    }

    fn reach(&mut self, index: usize, fails: bool) {
        let Some(claim) = self.devices[index].claim.clone() else {
            return;
        };
        let Some((cloud, number)) = self.issuer(&claim) else {
            return;
        };
        if !self.clouds[cloud].claims[number].lives(self.now) {
            self.tell(
                || called(index),
                || format!("comes with {}, which is dead", claim.id.0),
            );
            self.devices[index].enrol = Enrol::ClaimExpired;
            self.devices[index].claim = None;
            // What it had before still works.
            if self.devices[index].credential.is_some() {
                self.expect(index, Deed::Online, 1_000);
            }
            return;
        }
        self.tell(
            || called(index),
            || format!("reaches the cloud with {}", claim.id.0),
        );
        self.devices[index].enrol = Enrol::CloudReached;
        self.clouds[cloud].tell(number, Fact::CloudReached, self.now);
        if self.devices[index].spec.claim_session_named {
            let serial = self.clouds[cloud].claims[number].request.serial.clone();
            self.go_offline(index);
            self.clouds[cloud].connect(&serial, None, self.now);
        }
        if fails {
            return self.refuse(index, cloud, number);
        }
        self.expect(index, Deed::Register, 1_000);
        self.news(cloud, number);
    }

    fn refuse(&mut self, index: usize, cloud: usize, number: usize) {
        self.tell(|| called(index), || "is refused by the cloud".into());
        self.devices[index].enrol = Enrol::Refused {
            code: "AccessDenied".into(),
            message: "the hook says no".into(),
        };
        let fact = Fact::EnrolmentRefused {
            code: "AccessDenied".into(),
            message: "the hook says no".into(),
        };
        self.clouds[cloud].tell(number, fact, self.now);
        self.news(cloud, number);
    }

    fn register(&mut self, index: usize, fails: bool) {
        let Some(claim) = self.devices[index].claim.clone() else {
            if self.devices[index].spec.self_enrolling {
                let home = self.devices[index].spec.enrolled_in.unwrap_or_default();
                let serial = serial(self.devices[index].spec.serial);
                let credential = self.clouds[home].enrol(&serial, None, self.now);
                self.devices[index].credential = Some((home, credential));
                self.expect(index, Deed::Online, 1_000);
            }
            return;
        };
        let Some((cloud, number)) = self.issuer(&claim) else {
            return;
        };
        if !self.clouds[cloud].claims[number].lives(self.now) {
            self.devices[index].enrol = Enrol::ClaimExpired;
            self.devices[index].claim = None;
            return;
        }
        if fails {
            return self.refuse(index, cloud, number);
        }
        let serial = self.clouds[cloud].claims[number].request.serial.clone();
        self.clouds[cloud].claims[number].used = true;
        let credential = self.clouds[cloud].enrol(&serial, Some(number), self.now);
        self.tell(|| called(index), || format!("registers and gets {credential}"));
        let device = &mut self.devices[index];
        device.claim = None;
        device.credential = Some((cloud, credential.clone()));
        device.enrol = Enrol::Registered {
            thing: Some(serial.as_str().into()),
            principal: credential.clone(),
        };
        let fact = Fact::Registered {
            thing: Some(serial.as_str().into()),
            principal: Some(credential),
        };
        self.clouds[cloud].tell(number, fact, self.now);
        self.expect(index, Deed::Online, 1_000);
        self.news(cloud, number);
    }

    fn online(&mut self, index: usize, fails: bool, switched_off: bool) {
        let Some((cloud, credential)) = self.devices[index].credential.clone() else {
            return;
        };
        if fails || self.devices[index].wifi != Wifi::Joined || !self.clouds[cloud].is_active(&credential) {
            return;
        }
        let Some(serial) = self.clouds[cloud].whose(&credential) else {
            return;
        };
        self.tell(|| called(index), || format!("is online with {credential}"));
        self.clouds[cloud].connect(&serial, Some(&credential), self.now);
        self.note_truth();
        let thing = Some(serial.as_str().to_owned());
        self.devices[index].enrol = Enrol::Online {
            thing: thing.clone(),
            principal: credential.clone(),
        };
        self.devices[index].advertises &= self.devices[index].spec.keep_link;
        let claim = self.clouds[cloud].claim_of(&credential);
        if switched_off {
            self.tell(|| "somebody".into(), || format!("switches {credential} off"));
            self.clouds[cloud].switch_off(&credential);
        }
        if let Some(number) = claim {
            if self.clouds[cloud].spec.tells == Tells::Credential {
                let fact = Fact::SeenOnline {
                    thing,
                    principal: Some(credential),
                };
                self.clouds[cloud].tell(number, fact, self.now);
            }
            self.news(cloud, number);
        }
    }

    /// What is true of every serial from now on.
    pub(super) fn note_truth(&mut self) {
        for index in 0..self.clouds.len() {
            let serials: Vec<_> = self.clouds[index].registrations.keys().cloned().collect();
            for serial in serials {
                let cloud = &self.clouds[index];
                let active = cloud.active(&serial);
                let one = match active.as_slice() {
                    [only] if only.was_online => Some(only.id.clone()),
                    _ => None,
                };
                let works = one.filter(|one| {
                    let holds =
                        |device: &super::Device| device.credential.as_ref() == Some(&(index, one.clone()));
                    self.devices.iter().any(holds)
                });
                let now = self.now;
                self.clouds[index]
                    .truth
                    .entry(serial)
                    .or_default()
                    .note(now, works);
            }
        }
    }
}
