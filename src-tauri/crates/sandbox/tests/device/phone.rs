//! A person's side of one link: the product's own dialect client, straight at a device or over the simulated air.

use std::time::Duration;

use commission::dialect::espressif::client::Espressif;
use commission::dialect::{Client, Command, Join, Report};
use commission::fault::Fault;
use commission::gatt::{Characteristic, GattOp, GattTable, LinkError};
use commission::network::{Network, Ssid};
use commission::policy::Limits;
use commission::secret::{Passphrase, Pop};
use commission::time::Moment;
use engine::ports::Link;
use sandbox::device::firmware::Firmware;
use sandbox::radio::peripheral::{CharacteristicId, FromDevice, LinkHandle, Peripheral};
use sandbox::scenario::DeviceSpec;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Longer than anything that a test waits for; what takes longer is a failure, not a delay.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One link to one device.
pub(crate) struct Phone {
    client: Espressif,
    wire: Wire,
    begun: Instant,
}

/// What lies between client and device.
enum Wire {
    /// Nothing but the border between radio and device.
    Direct(Direct),
    /// The simulated air, with its latency, its MTU and its faults.
    Air(Box<dyn Link>),
}

struct Direct {
    device: Firmware,
    link: u64,
    from_device: mpsc::UnboundedReceiver<FromDevice>,
    up: bool,
}

impl Phone {
    /// Connects and discovers, as a central does.
    pub(crate) fn connect(device: &Firmware, link: u64) -> Self {
        let on_air = device.on_air().borrow().clone();
        assert!(on_air.advertisement.is_some(), "the device does not advertise");
        let mut characteristics = Vec::new();
        for service in &on_air.gatt.services {
            for characteristic in &service.characteristics {
                characteristics.push(Characteristic {
                    id: CharacteristicId {
                        service: service.uuid,
                        characteristic: characteristic.uuid,
                    },
                    properties: characteristic.properties,
                    descriptors: characteristic.descriptors.iter().map(|own| own.uuid).collect(),
                });
            }
        }
        let (handle, from_device) = LinkHandle::new(link, on_air.gatt.mtu);
        device.connected(handle);
        let wire = Direct {
            device: device.clone(),
            link,
            from_device,
            up: true,
        };
        Self {
            client: Espressif::new(&GattTable { characteristics }, &Limits::default()),
            wire: Wire::Direct(wire),
            begun: Instant::now(),
        }
    }

    /// Takes a link that a radio made.
    pub(crate) fn over(link: Box<dyn Link>) -> Self {
        Self {
            client: Espressif::new(link.table(), &Limits::default()),
            wire: Wire::Air(link),
            begun: Instant::now(),
        }
    }

    /// Connects, asks what the device can do, and opens the session with what stands on its label.
    pub(crate) async fn open(device: &Firmware, link: u64) -> Self {
        let mut phone = Self::connect(device, link);
        phone.enter(device.spec()).await.unwrap();
        phone
    }

    /// Asks what the device can do, and opens the session with what stands on its label.
    pub(crate) async fn enter(&mut self, spec: &DeviceSpec) -> Result<(), Fault> {
        let security = &spec.provisioning.security;
        match self.run(Command::Describe).await {
            Report::Described(_) => {}
            Report::Failed(fault) => return Err(fault),
            report => panic!("{report:?}"),
        }
        match self.prove(security.pop().cloned(), security.username()).await {
            Report::Opened { .. } => Ok(()),
            Report::Failed(fault) => Err(fault),
            report => panic!("{report:?}"),
        }
    }

    pub(crate) async fn prove(&mut self, pop: Option<Pop>, username: Option<&str>) -> Report {
        self.run(Command::Open {
            pop,
            username: username.map(ToOwned::to_owned),
            refusals: 0,
        })
        .await
    }

    /// Gives Wi-Fi settings and applies them.
    pub(crate) async fn apply(&mut self, ssid: &str, passphrase: &str) {
        let ssid = Ssid::new(ssid).unwrap();
        let network = Network::new(ssid, Some(Passphrase::new(passphrase)), false).unwrap();
        assert_eq!(self.run(Command::SetNetwork(network)).await, Report::NetworkSet);
        assert_eq!(self.run(Command::Apply).await, Report::Applied);
    }

    /// Asks until the join has ended, or the link has.
    pub(crate) async fn joined(&mut self) -> Result<Join, Fault> {
        loop {
            match self.run(Command::JoinStatus).await {
                Report::Join(Join::Joining { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                Report::Join(join) => return Ok(join),
                Report::Failed(fault) => return Err(fault),
                report => panic!("{report:?}"),
            }
        }
    }

    /// Runs one command to its end.
    pub(crate) async fn run(&mut self, command: Command) -> Report {
        let mut entropy = |bytes: &mut [u8]| getrandom::fill(bytes).unwrap();
        self.client.begin(command, self.now(), &mut entropy);
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(report) = self.client.poll_report() {
                if !matches!(report, Report::ClaimProgress { .. }) {
                    return report;
                }
            }
            assert!(Instant::now() < deadline, "the command does not end");
            if let Some(op) = self.client.poll_gatt() {
                let result = self.perform(op).await;
                self.client.handle(result, self.now(), &mut entropy);
            } else if let Some(at) = self.client.poll_timeout() {
                tokio::time::sleep_until(self.begun + at.since_start()).await;
                self.client.handle_timeout(self.now());
            } else {
                panic!("the command neither ends nor waits");
            }
        }
    }

    async fn perform(&mut self, op: GattOp) -> Result<Vec<u8>, LinkError> {
        match &mut self.wire {
            Wire::Direct(direct) => direct.perform(op).await,
            Wire::Air(link) => link.perform(&op).await,
        }
    }

    /// Whether the device has not closed the link.
    pub(crate) fn is_up(&mut self) -> bool {
        self.direct().is_up()
    }

    /// Waits until the device closes the link.
    pub(crate) async fn closed(&mut self) {
        self.direct().closed().await;
    }

    pub(crate) fn disconnect(&mut self) {
        self.direct().disconnect();
    }

    fn direct(&mut self) -> &mut Direct {
        match &mut self.wire {
            Wire::Direct(direct) => direct,
            Wire::Air(_) => panic!("the radio decides over this link"),
        }
    }

    fn now(&self) -> Moment {
        Moment::new(self.begun.elapsed())
    }
}

impl Direct {
    /// One operation, with what the Bluetooth stack would do around it.
    async fn perform(&mut self, op: GattOp) -> Result<Vec<u8>, LinkError> {
        if !self.is_up() {
            return Err(LinkError::NotConnected);
        }
        let outcome = match op {
            GattOp::Read(id) => self
                .device
                .read(id)
                .await
                .map_err(|error| LinkError::Att(error.0)),
            GattOp::ReadDescriptor(id, uuid) => self.descriptor(id, uuid).ok_or(LinkError::Missing),
            GattOp::Write(id, value) => match self.device.write(id, value).await {
                Ok(()) => Ok(Vec::new()),
                Err(refusal) => {
                    if refusal.closes_link {
                        self.disconnect();
                    }
                    Err(LinkError::Att(refusal.error.0))
                }
            },
        };
        match outcome {
            Ok(_) if !self.is_up() => Err(LinkError::NotConnected),
            outcome => outcome,
        }
    }

    fn descriptor(&self, id: CharacteristicId, uuid: uuid::Uuid) -> Option<Vec<u8>> {
        let gatt = self.device.on_air().borrow().gatt.clone();
        let characteristic = gatt.characteristic(id)?.clone();
        let mut descriptors = characteristic.descriptors.into_iter();
        descriptors.find(|own| own.uuid == uuid).map(|own| own.value)
    }

    fn is_up(&mut self) -> bool {
        if self.from_device.try_recv() == Ok(FromDevice::Drop) {
            self.disconnect();
        }
        self.up
    }

    async fn closed(&mut self) {
        if self.up {
            let wish = tokio::time::timeout(PATIENCE, self.from_device.recv()).await;
            assert_eq!(wish.expect("the device keeps the link"), Some(FromDevice::Drop));
            self.disconnect();
        }
    }

    fn disconnect(&mut self) {
        if std::mem::take(&mut self.up) {
            self.device.disconnected(self.link);
        }
    }
}

/// Waits until the device advertises, or no longer does.
pub(crate) async fn advertises(device: &Firmware, whether: bool) {
    let mut on_air = device.on_air();
    let changed = on_air.wait_for(|now| now.advertisement.is_some() == whether);
    tokio::time::timeout(PATIENCE, changed)
        .await
        .expect("the advertising does not change")
        .unwrap();
}
