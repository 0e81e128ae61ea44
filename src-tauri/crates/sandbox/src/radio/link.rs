//! One link: GATT operations on a peripheral with the latency, limits and faults of the air.
//!
//! The radio's fronts perform every operation here. What a stack decides by itself before it asks the controller
//! (names of errors, objects, caches) is the front's.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::adapter::Adapter;
use super::device::{Device, Mishap};
use super::faults::{Latency, LostInFlight};
use super::lock;
use super::peripheral::{
    Address, AttError, CharacteristicId, FromDevice, LONGEST_VALUE, LinkHandle, Properties, Refusal,
};
use super::record::{LinkEnd, LinkRecord, Operation, OperationKind};
use super::table::{Characteristic, Table};

/// Largest ATT MTU that bluetoothd offers, in bytes.
const OUR_MTU: u16 = 517;

/// Smallest ATT MTU (Bluetooth Core 5.4, Vol 3, Part G, 5.2.1), in bytes.
const LEAST_MTU: u16 = 23;

/// How far the link may run ahead to make up for timers that fired late. More than a few intervals would hide a
/// machine that is too slow.
const MOST_LATE: Duration = Duration::from_millis(20);

/// Longer than any client waits for an answer: D-Bus clients and ATT both give up after 30 s.
const SILENCE: Duration = Duration::from_secs(40);

/// A request of a client, by the handles of the link's [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Read a characteristic, with Read Blob where it is long.
    Read(u16),
    /// Write a characteristic with response, with prepared writes where the value is long.
    Write(u16, Vec<u8>),
    /// Write a characteristic without response; its refusal is not heard.
    WriteCommand(u16, Vec<u8>),
    /// Read a descriptor.
    ReadDescriptor(u16),
    /// Switch notifications of a characteristic on or off.
    Subscribe(u16, bool),
}

/// What happens on a link without a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The device notified a value of the characteristic with this handle.
    Notified(u16, Vec<u8>),
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpError {
    /// There is no link, or it broke.
    #[error("there is no link")]
    NotConnected,
    /// The device refused.
    #[error("the device refused with {0}")]
    Att(AttError),
    /// The same attribute is being read or written already.
    #[error("another operation on this attribute is under way")]
    InProgress,
    /// The value is longer than any attribute, 512 bytes.
    #[error("the value is longer than 512 bytes")]
    TooLong,
    /// The value does not fit into one write command.
    #[error("the value does not fit into one write command")]
    CommandTooLong,
    /// No attribute has this handle.
    #[error("there is no such attribute")]
    Missing,
}

/// A link that is up, or was.
pub struct Link {
    id: u64,
    adapter: Arc<Adapter>,
    device: Arc<Device>,
    address: Address,
    mtu: u16,
    long_writes: bool,
    latency: Latency,
    table: Table,
    /// ATT has one request under way at a time.
    turn: tokio::sync::Mutex<Turn>,
    busy: Mutex<BTreeSet<(u16, OperationKind)>>,
    subscribed: Mutex<BTreeSet<u16>>,
    end: watch::Sender<Option<LinkEnd>>,
    record: Arc<Mutex<LinkRecord>>,
}

/// What goes from one operation to the next.
#[derive(Default)]
struct Turn {
    /// How much later than configured the timers of earlier operations fired in all. Connection events keep their
    /// grid whenever the host wakes up, so the next ones are due that much sooner.
    late: Duration,
}

impl Link {
    /// Starts a link; `None` where the device or the adapter has no place for one.
    pub(super) fn start(
        id: u64,
        adapter: &Arc<Adapter>,
        device: &Arc<Device>,
    ) -> Option<(Arc<Self>, mpsc::UnboundedReceiver<LinkEvent>)> {
        let (on_air, faults, config) = (device.on_air(), device.faults(), adapter.config());
        let mtu = faults.mtu.unwrap_or(on_air.gatt.mtu).clamp(LEAST_MTU, OUR_MTU);
        let mut latency = config.latency;
        latency.resolve = faults.resolve.unwrap_or(latency.resolve);
        let address = device.address();
        let setup = latency.connect + latency.resolve;
        let record = LinkRecord {
            id,
            address,
            mtu,
            setup,
            operations: Vec::new(),
            ended: None,
        };
        let link = Arc::new(Self {
            id,
            adapter: Arc::clone(adapter),
            device: Arc::clone(device),
            address,
            mtu,
            long_writes: on_air.gatt.long_writes && !faults.no_long_write,
            latency,
            table: Table::new(&on_air.gatt, &faults),
            turn: tokio::sync::Mutex::default(),
            busy: Mutex::default(),
            subscribed: Mutex::default(),
            end: watch::Sender::default(),
            record: Arc::new(Mutex::new(record)),
        });
        if adapter.links() >= config.links || !device.take_link(&link) {
            return None;
        }
        adapter.hold(&link);
        let (handle, wishes) = LinkHandle::new(id, mtu);
        let (events, received) = mpsc::unbounded_channel();
        device.peripheral().connected(handle);
        tokio::spawn(Arc::clone(&link).attend(wishes, events));
        Some((link, received))
    }

    /// Number of the link, never used twice within a radio.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The ATT MTU in bytes.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// What the client finds.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The latencies that hold for this link.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// The device at the other end.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// The address that the device had when the link began.
    pub fn address(&self) -> Address {
        self.address
    }

    /// How it ended; `None` while it is up.
    pub fn end(&self) -> Option<LinkEnd> {
        *self.end.borrow()
    }

    /// Resolves once it has ended.
    pub async fn ended(&self) {
        let mut end = self.end.subscribe();
        // The sender lives in `self`, so the wait can't fail.
        let _ = end.wait_for(Option::is_some).await;
    }

    /// Ends the link at once. Only the first reason counts.
    pub fn close(&self, why: LinkEnd) {
        let first = self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(why);
            first
        });
        if first {
            lock(&self.record).ended = Some(why);
            self.device.peripheral().disconnected(self.id);
            self.device.free_link();
        }
    }

    /// Performs one operation. The device finishes what it began although the future is dropped.
    ///
    /// # Errors
    /// [`OpError`].
    pub async fn perform(self: &Arc<Self>, request: Request) -> Result<Vec<u8>, OpError> {
        let link = Arc::clone(self);
        let outcome = tokio::spawn(async move { link.run(request).await }).await;
        // The task fails only while the runtime shuts down, and the link with it.
        outcome.unwrap_or(Err(OpError::NotConnected))
    }

    pub(super) fn shared_record(&self) -> Arc<Mutex<LinkRecord>> {
        Arc::clone(&self.record)
    }

    async fn run(&self, request: Request) -> Result<Vec<u8>, OpError> {
        let asked = self.check(&request)?;
        let _busy = self.occupy(&request)?;
        let mut turn = tokio::select! {
            biased;
            () = self.ended() => return Err(OpError::NotConnected),
            turn = self.turn.lock() => turn,
        };
        let index = self.begin(&request, asked.id);
        let outcome = match self.device.spend_mishap(index) {
            Mishap::None => self.execute(request, asked, &mut turn).await,
            Mishap::Refuse(error) => {
                let spent = self.spend(&mut turn, 1).await;
                spent.and(Err(OpError::Att(error)))
            }
            Mishap::CutBefore => {
                let spent = self.spend(&mut turn, 1).await;
                self.close(LinkEnd::Fault);
                spent.and(Err(OpError::NotConnected))
            }
            Mishap::CutAfter => {
                let _unheard = self.execute(request, asked, &mut turn).await;
                self.close(LinkEnd::Fault);
                Err(OpError::NotConnected)
            }
        };
        let outcome = if outcome == Err(OpError::NotConnected) {
            self.lost().await
        } else {
            outcome
        };
        self.note(|o| o.result = outcome.as_ref().map(|_| ()).map_err(|e| *e));
        outcome
    }

    /// The characteristic that a request is about, unless the request never reaches the controller.
    fn check(&self, request: &Request) -> Result<&Characteristic, OpError> {
        if self.end().is_some() {
            return Err(OpError::NotConnected);
        }
        match request {
            Request::Write(_, value) if value.len() > LONGEST_VALUE => return Err(OpError::TooLong),
            Request::WriteCommand(_, value) if value.len() > self.room(3) => {
                return Err(OpError::CommandTooLong);
            }
            _ => {}
        }
        let asked = match request {
            Request::ReadDescriptor(handle) => self.table.descriptor(*handle).map(|(c, _)| c),
            Request::Read(handle)
            | Request::Write(handle, _)
            | Request::WriteCommand(handle, _)
            | Request::Subscribe(handle, _) => self.table.characteristic(*handle),
        };
        asked.ok_or(OpError::Missing)
    }

    /// bluetoothd refuses a second read or a second write of an attribute while the first is under way.
    fn occupy(&self, request: &Request) -> Result<Option<Busy<'_>>, OpError> {
        let key = match request {
            Request::Read(handle) => (*handle, OperationKind::Read),
            Request::Write(handle, _) => (*handle, OperationKind::Write),
            Request::ReadDescriptor(handle) => (*handle, OperationKind::ReadDescriptor),
            Request::WriteCommand(..) | Request::Subscribe(..) => return Ok(None),
        };
        let free = lock(&self.busy).insert(key);
        free.then_some(Some(Busy { link: self, key }))
            .ok_or(OpError::InProgress)
    }

    /// Opens the record of an operation; gives its index.
    fn begin(&self, request: &Request, characteristic: CharacteristicId) -> usize {
        let (kind, bytes) = match request {
            Request::Read(_) => (OperationKind::Read, 0),
            Request::Write(_, value) | Request::WriteCommand(_, value) => (OperationKind::Write, value.len()),
            Request::ReadDescriptor(_) => (OperationKind::ReadDescriptor, 0),
            Request::Subscribe(..) => (OperationKind::Subscribe, 2),
        };
        let mut record = lock(&self.record);
        record.operations.push(Operation {
            kind,
            begun: Instant::now(),
            characteristic,
            bytes,
            round_trips: 0,
            latency: Duration::ZERO,
            device: Duration::ZERO,
            result: Err(OpError::NotConnected),
        });
        record.operations.len() - 1
    }

    /// Changes the record of the operation under way.
    fn note(&self, change: impl FnOnce(&mut Operation)) {
        if let Some(operation) = lock(&self.record).operations.last_mut() {
            change(operation);
        }
    }

    async fn execute(
        &self,
        request: Request,
        asked: &Characteristic,
        turn: &mut Turn,
    ) -> Result<Vec<u8>, OpError> {
        match request {
            Request::Read(_) => self.read(asked, turn).await,
            Request::Write(_, value) => self.write(asked, value, turn).await,
            Request::WriteCommand(_, value) => {
                self.spend(turn, 1).await?;
                if asked.dead.is_none() && asked.properties.write_without_response {
                    let _unheard = self.hand_over(asked.id, value).await?;
                }
                Ok(Vec::new())
            }
            Request::ReadDescriptor(handle) => self.read_descriptor(asked, handle, turn).await,
            Request::Subscribe(_, on) => self.subscribe(asked, on, turn).await,
        }
    }

    async fn read(&self, asked: &Characteristic, turn: &mut Turn) -> Result<Vec<u8>, OpError> {
        self.spend(turn, 1).await?;
        self.admit(asked, |p| p.read, AttError::READ_NOT_PERMITTED)?;
        let (peripheral, id) = (Arc::clone(self.device.peripheral()), asked.id);
        let mut value = self
            .on_device(async move { peripheral.read(id).await })
            .await?
            .map_err(OpError::Att)?;
        value.truncate(LONGEST_VALUE);
        self.receive(value, turn).await
    }

    async fn write(
        &self,
        asked: &Characteristic,
        value: Vec<u8>,
        turn: &mut Turn,
    ) -> Result<Vec<u8>, OpError> {
        if value.len() <= self.room(3) {
            self.spend(turn, 1).await?;
        } else if self.long_writes {
            // Each Prepare Write has a handle and an offset beside its piece; one Execute Write ends them.
            self.spend(turn, value.len().div_ceil(self.room(5)) + 1).await?;
        } else {
            self.spend(turn, 1).await?;
            return Err(OpError::Att(AttError::REQUEST_NOT_SUPPORTED));
        }
        self.admit(asked, |p| p.write, AttError::WRITE_NOT_PERMITTED)?;
        if value.len() > asked.limit {
            return Err(OpError::Att(AttError::INVALID_VALUE_LENGTH));
        }
        self.hand_over(asked.id, value)
            .await?
            .map_err(|refusal| OpError::Att(refusal.error))?;
        Ok(Vec::new())
    }

    async fn read_descriptor(
        &self,
        asked: &Characteristic,
        handle: u16,
        turn: &mut Turn,
    ) -> Result<Vec<u8>, OpError> {
        self.spend(turn, 1).await?;
        if let Some(error) = asked.dead {
            return Err(OpError::Att(error));
        }
        let (_, descriptor) = self.table.descriptor(handle).ok_or(OpError::Missing)?;
        let on = lock(&self.subscribed).contains(&asked.handle);
        let value = descriptor.value.clone().unwrap_or_else(|| vec![u8::from(on), 0]);
        self.receive(value, turn).await
    }

    async fn subscribe(&self, asked: &Characteristic, on: bool, turn: &mut Turn) -> Result<Vec<u8>, OpError> {
        self.spend(turn, 1).await?;
        self.admit(asked, |p| p.notify || p.indicate, AttError::REQUEST_NOT_SUPPORTED)?;
        let changed = {
            let mut subscribed = lock(&self.subscribed);
            if on {
                subscribed.insert(asked.handle)
            } else {
                subscribed.remove(&asked.handle)
            }
        };
        if changed {
            self.device.peripheral().subscribed(asked.id, on);
        }
        Ok(Vec::new())
    }

    /// What the device's stack says before it asks the device.
    fn admit(
        &self,
        asked: &Characteristic,
        allowed: impl FnOnce(&Properties) -> bool,
        otherwise: AttError,
    ) -> Result<(), OpError> {
        let error = if asked.dead.is_some() {
            asked.dead
        } else if !allowed(&asked.properties) {
            Some(otherwise)
        } else {
            self.device
                .faults()
                .wants_pairing
                .then_some(AttError::INSUFFICIENT_AUTHENTICATION)
        };
        error.map_or(Ok(()), |e| Err(OpError::Att(e)))
    }

    async fn hand_over(
        &self,
        characteristic: CharacteristicId,
        value: Vec<u8>,
    ) -> Result<Result<(), Refusal>, OpError> {
        let peripheral = Arc::clone(self.device.peripheral());
        let taken = self
            .on_device(async move { peripheral.write(characteristic, value).await })
            .await?;
        if let Err(Refusal {
            closes_link: true, ..
        }) = taken
        {
            // The answer is on the air before the link ends, so the client hears both.
            let (device, id) = (Arc::clone(&self.device), self.id);
            let after = self.latency.round_trip.max(Duration::from_millis(2));
            tokio::spawn(async move {
                sleep(after).await;
                device.close_link(id);
            });
        }
        Ok(taken)
    }

    /// Runs the device's part to its end, and waits for it as long as the link is up.
    async fn on_device<T: Send + 'static>(
        &self,
        part: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, OpError> {
        let start = Instant::now();
        let outcome = tokio::select! {
            biased;
            outcome = tokio::spawn(part) => outcome.map_err(|_| OpError::NotConnected),
            () = self.ended() => Err(OpError::NotConnected),
        };
        self.note(|o| o.device += start.elapsed());
        outcome
    }

    /// The pieces of a value after the first: Read Blob until one is shorter than it could be.
    async fn receive(&self, value: Vec<u8>, turn: &mut Turn) -> Result<Vec<u8>, OpError> {
        let more = if value.len() < LONGEST_VALUE {
            value.len()
        } else {
            LONGEST_VALUE - 1
        } / self.room(1);
        if more > 0 {
            self.spend(turn, more).await?;
        }
        self.note(|o| o.bytes = value.len());
        Ok(value)
    }

    /// Lets the latency of so many round trips pass.
    async fn spend(&self, turn: &mut Turn, round_trips: usize) -> Result<(), OpError> {
        let round_trips = u32::try_from(round_trips).unwrap_or(u32::MAX);
        let wanted = self.latency.round_trip.saturating_mul(round_trips);
        self.note(|o| {
            o.round_trips += round_trips;
            o.latency += wanted;
        });
        let start = Instant::now();
        let due = wanted.saturating_sub(turn.late);
        if !due.is_zero() {
            tokio::select! {
                biased;
                () = self.ended() => {}
                () = sleep(due) => {}
            }
        }
        if self.end().is_some() {
            return Err(OpError::NotConnected);
        }
        turn.late = (turn.late + start.elapsed())
            .saturating_sub(wanted)
            .min(MOST_LATE);
        Ok(())
    }

    /// What a client is told when the link broke under its operation.
    async fn lost(&self) -> Result<Vec<u8>, OpError> {
        let told = self.device.faults().lost_in_flight;
        match told {
            LostInFlight::NotConnected => Err(OpError::NotConnected),
            LostInFlight::Unlikely => Err(OpError::Att(AttError::UNLIKELY)),
            LostInFlight::Silence => {
                sleep(SILENCE).await;
                Err(OpError::NotConnected)
            }
        }
    }

    /// Bytes of a PDU after a header of `header` bytes.
    fn room(&self, header: u16) -> usize {
        usize::from(self.mtu.saturating_sub(header).max(1))
    }

    /// Serves the device's wishes and watches its reach until the link ends.
    async fn attend(
        self: Arc<Self>,
        mut wishes: mpsc::UnboundedReceiver<FromDevice>,
        events: mpsc::UnboundedSender<LinkEvent>,
    ) {
        let mut notified = 0;
        let lost = async {
            loop {
                self.device.out_of_reach().await;
                sleep(self.latency.supervision).await;
                if self.device.signal().is_none() {
                    break;
                }
            }
        };
        tokio::pin!(lost);
        loop {
            tokio::select! {
                biased;
                () = self.ended() => break,
                Some(wish) = wishes.recv() => match wish {
                    FromDevice::Notify(id, value) => self.notify(id, value, &mut notified, &events),
                    FromDevice::Drop => self.close(LinkEnd::Device),
                },
                () = &mut lost => self.close(LinkEnd::Fault),
            }
        }
    }

    fn notify(
        &self,
        id: CharacteristicId,
        mut value: Vec<u8>,
        notified: &mut u32,
        events: &mpsc::UnboundedSender<LinkEvent>,
    ) {
        let Some(asked) = self
            .table
            .characteristics()
            .find(|c| c.id == id && c.dead.is_none())
        else {
            return;
        };
        if !lock(&self.subscribed).contains(&asked.handle) {
            return;
        }
        let n = *notified;
        *notified += 1;
        value.truncate(self.room(3));
        let faults = self.device.faults();
        if faults.lose_notifications.contains(&n) {
            return;
        }
        let times = if faults.duplicate_notifications.contains(&n) {
            2
        } else {
            1
        };
        for _ in 0..times {
            // Nobody listens any more only once the client is gone.
            let _ = events.send(LinkEvent::Notified(asked.handle, value.clone()));
        }
    }

    /// The adapter that holds it.
    pub fn adapter(&self) -> &Arc<Adapter> {
        &self.adapter
    }
}

/// An attribute with an operation under way.
struct Busy<'a> {
    link: &'a Link,
    key: (u16, OperationKind),
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        lock(&self.link.busy).remove(&self.key);
    }
}
