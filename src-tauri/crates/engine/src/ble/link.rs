//! One connection: made, discovered, used, watched and given back.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use btleplug::api::{self, CharPropFlags, Peripheral as _, WriteType};
use btleplug::platform::Peripheral;
use commission::gatt::{Characteristic, CharacteristicId, GattOp, GattTable, LinkError, Properties};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::adapter::AdapterHandle;
use super::fault::link_error;
use crate::ports::Link;

/// Longest value of an attribute in bytes (Bluetooth Core 5.4, Vol 3, Part F, 3.2.9).
const LONGEST_VALUE: usize = 512;
/// Longest wait for one operation: ATT gives up after 30 s (Bluetooth Core 5.4, Vol 3, Part F, 3.3.3).
const OPERATION: Duration = Duration::from_secs(31);
/// Longest wait for one descriptor; reading one takes two round trips, and some stacks never answer.
const DESCRIPTOR: Duration = Duration::from_secs(5);
/// Longest wait for the stack to give a link back; bluetoothd takes two seconds.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long the answer to an operation may come after the news that the link has ended. Bluedroid firmware refuses
/// and closes the link in one breath, and the refusal says more than the end.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Pause between looks whether the link stands, for stacks that lose the event.
const WATCH: Duration = Duration::from_secs(5);

/// Connects. `earlier` tells of the end of an earlier link to this device, which has to be over first.
pub(super) async fn connect(
    peripheral: Peripheral,
    limit: Duration,
    earlier: Option<watch::Receiver<bool>>,
) -> Result<Connected, LinkError> {
    if let Some(mut earlier) = earlier
        && peripheral.is_connected().await.unwrap_or(false)
    {
        // Connecting to a link that is being given back succeeds at once and is lost at once.
        let _ = timeout(GOODBYE, earlier.wait_for(|ended| *ended)).await;
    }
    let deadline = Instant::now() + limit;
    let result = match timeout_at(deadline, peripheral.connect()).await {
        Ok(Ok(())) => return Ok(Connected { peripheral, deadline }),
        Ok(Err(error)) => link_error(&error),
        Err(_) => LinkError::Timeout,
    };
    // Else the stack goes on trying, or keeps a link without services.
    say_goodbye(&peripheral).await;
    Err(result)
}

/// A link whose services are not known yet.
pub(super) struct Connected {
    peripheral: Peripheral,
    deadline: Instant,
}

impl Connected {
    /// Finds out what the device offers. `ended` is told when the link turns out to be over, `lost` hears it.
    pub(super) async fn discover(
        &self,
        ended: watch::Sender<bool>,
        lost: watch::Receiver<bool>,
    ) -> Result<BleLink, LinkError> {
        let Self { peripheral, deadline } = self;
        let discovered = timeout_at(*deadline, async {
            peripheral.discover_services().await?;
            // The end may have come before anybody listened for it.
            peripheral.is_connected().await
        });
        let failure = match discovered.await {
            Ok(Ok(true)) => return Ok(BleLink::new(peripheral.clone(), ended, lost)),
            Ok(Ok(false)) => LinkError::NotConnected,
            Ok(Err(error)) => link_error(&error),
            Err(_) => LinkError::Timeout,
        };
        say_goodbye(peripheral).await;
        Err(failure)
    }

    /// Gives the link back before anybody knows what it offers.
    pub(super) async fn give_back(&self) {
        say_goodbye(&self.peripheral).await;
    }
}

/// A live link.
pub(super) struct BleLink {
    peripheral: Peripheral,
    table: GattTable,
    characteristics: BTreeMap<CharacteristicId, api::Characteristic>,
    lost: watch::Receiver<bool>,
    given_back: AtomicBool,
    /// Whether the stack is through with giving it back.
    over: watch::Sender<bool>,
    /// Its task hears the end of the link, so it runs as long as the link lives.
    adapter: Option<AdapterHandle>,
}

impl BleLink {
    fn new(peripheral: Peripheral, ended: watch::Sender<bool>, lost: watch::Receiver<bool>) -> Self {
        let characteristics: BTreeMap<_, _> = peripheral
            .characteristics()
            .into_iter()
            .map(|characteristic| (id(&characteristic), characteristic))
            .collect();
        tokio::spawn(watch_over(peripheral.clone(), ended, lost.clone()));
        Self {
            table: GattTable {
                characteristics: characteristics.values().map(described).collect(),
            },
            peripheral,
            characteristics,
            lost,
            given_back: AtomicBool::new(false),
            over: watch::Sender::new(false),
            adapter: None,
        }
    }

    /// Keeps the adapter's task running.
    pub(super) fn keeping(mut self, adapter: AdapterHandle) -> Self {
        self.adapter = Some(adapter);
        self
    }

    fn characteristic(&self, id: CharacteristicId) -> Result<&api::Characteristic, LinkError> {
        self.characteristics.get(&id).ok_or(LinkError::Missing)
    }

    async fn operate(&self, op: &GattOp) -> Result<Vec<u8>, LinkError> {
        match op {
            GattOp::Read(id) => answer(OPERATION, self.peripheral.read(self.characteristic(*id)?)).await,
            // Firmware takes an empty write for done without doing it.
            GattOp::Write(_, value) if value.is_empty() || value.len() > LONGEST_VALUE => {
                Err(LinkError::InvalidLength)
            }
            GattOp::Write(id, value) => {
                let characteristic = self.characteristic(*id)?;
                let write = self
                    .peripheral
                    .write(characteristic, value, WriteType::WithResponse);
                answer(OPERATION, write).await.map(|()| Vec::new())
            }
            GattOp::ReadDescriptor(id, uuid) => {
                let descriptors = &self.characteristic(*id)?.descriptors;
                let descriptor = descriptors.iter().find(|it| it.uuid == *uuid);
                let read = self
                    .peripheral
                    .read_descriptor(descriptor.ok_or(LinkError::Missing)?);
                answer(DESCRIPTOR, read).await
            }
        }
    }
}

async fn answer<T>(
    limit: Duration,
    operation: impl Future<Output = btleplug::Result<T>>,
) -> Result<T, LinkError> {
    match timeout(limit, operation).await {
        Ok(result) => result.map_err(|error| link_error(&error)),
        Err(_) => {
            tracing::debug!(?limit, "no answer to an operation");
            Err(LinkError::Timeout)
        }
    }
}

#[async_trait]
impl Link for BleLink {
    fn table(&self) -> &GattTable {
        &self.table
    }

    async fn perform(&self, op: &GattOp) -> Result<Vec<u8>, LinkError> {
        tokio::select! {
            biased;
            answer = self.operate(op) => answer,
            () = too_late(self.lost.clone()) => Err(LinkError::NotConnected),
        }
    }

    fn lost(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(ended(self.lost.clone()))
    }

    async fn disconnect(&self) {
        if self.given_back.swap(true, Ordering::Relaxed) {
            return;
        }
        if *self.lost.borrow() {
            self.over.send_replace(true);
            return;
        }
        tracing::debug!("giving the link back");
        let (peripheral, over) = (self.peripheral.clone(), self.over.clone());
        let mut goodbye = Box::pin(async move {
            say_goodbye(&peripheral).await;
            over.send_replace(true);
        });
        // Calls over one connection arrive in their order, so an answer to a later one says that this one is there.
        tokio::select! {
            biased;
            () = &mut goodbye => {}
            _ = timeout(GOODBYE, self.peripheral.is_connected()) => {
                tokio::spawn(goodbye);
            }
        }
    }

    fn over(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(ended(self.over.subscribe()))
    }
}

impl Drop for BleLink {
    /// A link that nobody gave back is given back here, where the runtime still lives.
    fn drop(&mut self) {
        if !self.given_back.load(Ordering::Relaxed)
            && !*self.lost.borrow()
            && let Ok(runtime) = Handle::try_current()
        {
            let peripheral = self.peripheral.clone();
            runtime.spawn(async move { say_goodbye(&peripheral).await });
        }
    }
}

/// Ends a link, or the attempt to make one.
pub(super) async fn say_goodbye(peripheral: &Peripheral) {
    match timeout(GOODBYE, peripheral.disconnect()).await {
        Ok(Ok(())) => {}
        // It is gone already, or the stack does it when it can.
        Ok(Err(error)) => tracing::debug!(?error, "disconnecting"),
        Err(_) => tracing::debug!("disconnecting takes long"),
    }
}

/// Resolves when the link has ended; never, when nobody can tell any more.
async fn ended(mut lost: watch::Receiver<bool>) {
    if lost.wait_for(|ended| *ended).await.is_err() {
        pending().await
    }
}

/// Resolves when the link has ended and an answer would have come.
async fn too_late(lost: watch::Receiver<bool>) {
    ended(lost).await;
    sleep(LAST_WORDS).await;
}

/// Looks now and then whether the link stands, until it has ended.
async fn watch_over(peripheral: Peripheral, told: watch::Sender<bool>, mut lost: watch::Receiver<bool>) {
    loop {
        match timeout(WATCH, lost.wait_for(|ended| *ended)).await {
            Ok(_) => return,
            // Only this task still listens: the link was given back.
            Err(_) if told.receiver_count() <= 1 => return,
            Err(_) => {}
        }
        match peripheral.is_connected().await {
            Ok(true) => {}
            Ok(false) => {
                told.send_replace(true);
            }
            // A stack that is slow has not lost the link.
            Err(error) => {
                if link_error(&error) != LinkError::Timeout {
                    told.send_replace(true);
                }
            }
        }
    }
}

fn id(characteristic: &api::Characteristic) -> CharacteristicId {
    CharacteristicId {
        service: characteristic.service_uuid,
        characteristic: characteristic.uuid,
    }
}

fn described(characteristic: &api::Characteristic) -> Characteristic {
    let has = |flag| characteristic.properties.contains(flag);
    Characteristic {
        id: id(characteristic),
        properties: Properties {
            read: has(CharPropFlags::READ),
            write: has(CharPropFlags::WRITE),
            write_without_response: has(CharPropFlags::WRITE_WITHOUT_RESPONSE),
            notify: has(CharPropFlags::NOTIFY),
            indicate: has(CharPropFlags::INDICATE),
        },
        descriptors: characteristic.descriptors.iter().map(|it| it.uuid).collect(),
    }
}
