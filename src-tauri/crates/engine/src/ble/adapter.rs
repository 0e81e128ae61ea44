//! One task per adapter: it listens for whoever wants to, connects one device at a time, and drains the stack's
//! events always, since macOS and Windows keep sixteen of them and drop the rest in silence.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use btleplug::api::{Central, CentralEvent, CentralState, ScanFilter};
use btleplug::platform;
use commission::device::Sighting;
use commission::gatt::{LinkError, PeripheralId};
use commission::time::Moment;
use futures::future::select_all;
use futures::stream::{Stream, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::fault::adapter_error;
use super::hearing::Hearing;
use super::link::{BleLink, Connected, connect, say_goodbye};
use crate::ports::{Clock, Link, RadioState};

/// Sightings that wait for a listener; more are dropped, since the next one of a device says all again.
const WAITING_SIGHTINGS: usize = 256;
/// A scan is started anew so often: Windows shows vanished devices until then, and a laptop that slept scans no more.
const RESTART: Duration = Duration::from_secs(60);
/// Pause between looks whether the adapter is still there.
const PULSE: Duration = Duration::from_secs(2);
/// A look that comes so much later than the pause: the machine slept, and the scan with it.
const SLEPT: Duration = Duration::from_secs(5);
/// Pause before BlueZ is asked again to start or to stop a scan, where it is busy with the order before.
const BUSY: Duration = Duration::from_millis(200);
/// How often it is asked at most.
const ASKED: usize = 25;

/// How long a device that the stack forgot is listened for before it counts as out of reach: a little more than the
/// longest advertising interval (Bluetooth Core 5.4, Vol 6, Part B, 4.4.2.2.1).
const HEARD_AGAIN: Duration = Duration::from_secs(11);
/// Pause between looks whether it was heard. A stream of events of its own could silence the task's.
const LOOK: Duration = Duration::from_millis(50);

/// A running adapter task. It ends with the last handle.
#[derive(Clone)]
pub(super) struct AdapterHandle {
    id: String,
    central: platform::Adapter,
    wishes: mpsc::Sender<Wish>,
}

enum Wish {
    Scan(oneshot::Sender<Result<mpsc::Receiver<Sighting>, LinkError>>),
    Connect(ConnectWish),
    /// To hear when nothing is under way for nobody.
    Settle(oneshot::Sender<()>),
}

struct ConnectWish {
    peripheral: PeripheralId,
    timeout: Duration,
    reply: oneshot::Sender<Result<BleLink, LinkError>>,
}

type Events = Pin<Box<dyn Stream<Item = CentralEvent> + Send>>;
type Attempt = Pin<Box<dyn Future<Output = Result<Connected, LinkError>> + Send>>;

impl AdapterHandle {
    /// Starts the task of an adapter.
    pub(super) async fn start(
        id: String,
        central: platform::Adapter,
        clock: Arc<dyn Clock>,
        state: watch::Sender<RadioState>,
    ) -> Result<Self, LinkError> {
        // Opened before anything else and kept: dbus-daemon takes match rules for equal that differ in their path
        // alone and removes the newest of them, so the end of one connection's stream may silence another's. This
        // oldest and widest rule is never the newest.
        let events = central.events().await.map_err(|e| adapter_error(&e))?;
        let (wishes, wished) = mpsc::channel(16);
        let task = AdapterTask {
            central: central.clone(),
            felt: clock.now(),
            clock,
            state,
            events,
            service_ends: service_ends().await,
            hearing: Hearing::default(),
            listeners: Vec::new(),
            scanning: false,
            waiting: VecDeque::new(),
            attempt: None,
            discoveries: JoinSet::new(),
            links: BTreeMap::new(),
        };
        tokio::spawn(task.run(wished));
        Ok(Self { id, central, wishes })
    }

    /// The adapter's id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether the task runs.
    pub(super) fn runs(&self) -> bool {
        !self.wishes.is_closed()
    }

    /// Whether the task runs and the adapter is switched on.
    pub(super) async fn serves(&self) -> bool {
        self.runs() && !is_off(&self.central).await
    }

    /// See [`crate::ports::Radio::scan`].
    pub(super) async fn scan(&self) -> Result<mpsc::Receiver<Sighting>, LinkError> {
        let (reply, answer) = oneshot::channel();
        self.wish(Wish::Scan(reply)).await?;
        answer.await.map_err(|_| LinkError::NoAdapter)?
    }

    /// See [`crate::ports::Radio::connect`].
    pub(super) async fn connect(
        &self,
        peripheral: &PeripheralId,
        timeout: Duration,
    ) -> Result<Box<dyn Link>, LinkError> {
        tracing::debug!(peripheral = %peripheral.0, "connecting");
        let (reply, answer) = oneshot::channel();
        self.wish(Wish::Connect(ConnectWish {
            peripheral: peripheral.clone(),
            timeout,
            reply,
        }))
        .await?;
        let link = answer.await.map_err(|_| LinkError::NoAdapter)??;
        tracing::debug!(peripheral = %peripheral.0, "linked");
        Ok(Box::new(link.keeping(self.clone())))
    }

    /// See [`crate::ports::Radio::settle`].
    pub(super) async fn settle(&self) {
        let (reply, settled) = oneshot::channel();
        if self.wish(Wish::Settle(reply)).await.is_ok() {
            // An error means that the task has ended, and everything with it.
            let _ = settled.await;
        }
    }

    async fn wish(&self, wish: Wish) -> Result<(), LinkError> {
        self.wishes.send(wish).await.map_err(|_| LinkError::NoAdapter)
    }
}

struct AdapterTask {
    central: platform::Adapter,
    clock: Arc<dyn Clock>,
    state: watch::Sender<RadioState>,
    /// When the pulse was felt last.
    felt: Moment,
    events: Events,
    service_ends: Pin<Box<dyn Stream<Item = ()> + Send>>,
    hearing: Hearing,
    listeners: Vec<mpsc::Sender<Sighting>>,
    scanning: bool,
    waiting: VecDeque<ConnectWish>,
    /// The connection under way, and who waits for it.
    attempt: Option<(Attempt, ConnectWish)>,
    /// Connections whose services are being found out.
    discoveries: JoinSet<()>,
    /// Of each device that was connected to, whether its latest link has ended.
    links: BTreeMap<PeripheralId, watch::Sender<bool>>,
}

impl AdapterTask {
    async fn run(mut self, mut wishes: mpsc::Receiver<Wish>) {
        let mut restart = interval(RESTART);
        restart.set_missed_tick_behavior(MissedTickBehavior::Delay);
        restart.reset();
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // In this order: a crowd's advertisements must not keep a wish waiting, and a disconnect of the link
                // before must be seen before the new link is.
                biased;
                Some(()) = self.service_ends.next() => self.all_over(LinkError::NoService),
                Some(_) = self.discoveries.join_next() => {}
                wish = wishes.recv() => match wish {
                    Some(wish) => self.wish(wish).await,
                    None => break,
                },
                event = self.events.next() => match event {
                    Some(event) => self.event(event).await,
                    None => break,
                },
                result = attempt(&mut self.attempt) => match result {
                    Some(result) => self.attempted(result),
                    None => self.break_off().await,
                },
                _ = pulse.tick() => self.feel_pulse().await,
                () = deaf(&self.listeners) => {}
                _ = restart.tick() => {
                    self.hearing.forget(self.clock.now());
                    self.stop_scan().await;
                }
            }
            self.proceed().await;
        }
        self.stop_scan().await;
    }

    async fn event(&mut self, event: CentralEvent) {
        match event {
            CentralEvent::DeviceDiscovered(id) | CentralEvent::DeviceUpdated(id) => {
                self.heard(id, None).await
            }
            CentralEvent::ManufacturerDataAdvertisement { id, .. }
            | CentralEvent::ServiceDataAdvertisement { id, .. }
            | CentralEvent::ServicesAdvertisement { id, .. } => self.heard(id, None).await,
            CentralEvent::RssiUpdate { id, rssi } => self.heard(id, Some(rssi)).await,
            CentralEvent::DeviceDisconnected(id) => self.disconnected(&PeripheralId(id.to_string())).await,
            CentralEvent::StateUpdate(CentralState::PoweredOff) => self.all_over(LinkError::AdapterOff),
            CentralEvent::StateUpdate(_)
            | CentralEvent::DeviceConnected(_)
            | CentralEvent::DeviceServicesModified(_) => {}
        }
    }

    async fn heard(&mut self, id: platform::PeripheralId, rssi: Option<i16>) {
        if !self.scanning {
            return;
        }
        let now = self.clock.now();
        if let Some(sighting) = self.hearing.hear(&self.central, id, rssi, now).await {
            for listener in &self.listeners {
                // Full or closed: either way nobody misses this one.
                let _ = listener.try_send(sighting.clone());
            }
        }
    }

    /// The event may be about the link before the present one, so the stack is asked.
    async fn disconnected(&mut self, id: &PeripheralId) {
        use btleplug::api::Peripheral as _;
        if !self.links.contains_key(id) {
            return;
        }
        let connected = match self.hearing.find(&self.central, id).await {
            Ok(Some(peripheral)) => peripheral.is_connected().await.unwrap_or(false),
            Ok(None) | Err(_) => false,
        };
        if connected {
            return;
        }
        // Links end with their adapter, which is no fault of theirs: that is told first.
        if is_off(&self.central).await {
            self.all_over(LinkError::AdapterOff);
        } else if let Some(ended) = self.links.get(id) {
            ended.send_replace(true);
        }
    }

    /// BlueZ tells of an adapter that is switched off, but not to btleplug of one that is pulled out.
    async fn feel_pulse(&mut self) {
        let now = self.clock.now();
        if now.since(self.felt) >= PULSE + SLEPT {
            self.stop_scan().await;
        }
        self.felt = now;
        let linked = self.links.values().any(|ended| !*ended.borrow());
        if (self.scanning || linked) && is_off(&self.central).await {
            self.all_over(LinkError::AdapterOff);
        }
    }

    /// The adapter is off or the Bluetooth service has ended: no link stands, and listeners learn it by the end of
    /// their stream.
    fn all_over(&mut self, trouble: LinkError) {
        self.scanning = false;
        // Whoever hears of a lost link knows by then why.
        self.state.send_replace(RadioState {
            hears: false,
            trouble: Some(trouble),
        });
        for ended in self.links.values() {
            ended.send_replace(true);
        }
        self.listeners.clear();
    }

    fn set_scanning(&mut self, scans: bool) {
        self.scanning = scans;
        self.state.send_if_modified(|state| {
            let changed = state.hears != scans;
            state.hears = scans;
            changed
        });
    }

    async fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Scan(reply) => {
                let (listener, sightings) = mpsc::channel(WAITING_SIGHTINGS);
                self.listeners.push(listener);
                let started = if self.idle() {
                    self.start_scan().await
                } else {
                    Ok(())
                };
                let answer = match started {
                    Ok(()) => Ok(sightings),
                    Err(error) => {
                        self.listeners.pop();
                        Err(error)
                    }
                };
                // Dropped meanwhile: then the listener is closed too.
                let _ = reply.send(answer);
            }
            Wish::Connect(wish) => self.waiting.push_back(wish),
            Wish::Settle(reply) => {
                if self
                    .attempt
                    .as_ref()
                    .is_some_and(|(_, wish)| wish.reply.is_closed())
                {
                    self.break_off().await;
                }
                // Those that nobody waits for end at once, and nobody settles while others go on.
                while self.discoveries.join_next().await.is_some() {}
                let _ = reply.send(());
            }
        }
    }

    fn idle(&self) -> bool {
        self.attempt.is_none() && self.waiting.is_empty()
    }

    /// Does what is due: the next connection, else listening, else rest.
    async fn proceed(&mut self) {
        self.listeners.retain(|listener| !listener.is_closed());
        while self.attempt.is_none() {
            let Some(wish) = self.waiting.pop_front() else {
                break;
            };
            // Nobody waits for it any more.
            if !wish.reply.is_closed() {
                self.stop_scan().await;
                self.begin(wish).await;
            }
        }
        if self.attempt.is_some() {
            return;
        }
        if self.listeners.is_empty() {
            self.stop_scan().await;
        } else if self.start_scan().await.is_err() {
            // The listeners learn it by the end of their stream, and the reason when they scan again.
            self.listeners.clear();
        }
    }

    async fn begin(&mut self, wish: ConnectWish) {
        match self.hearing.find(&self.central, &wish.peripheral).await {
            Ok(known) => {
                let earlier = self.links.get(&wish.peripheral).map(watch::Sender::subscribe);
                let (central, id, limit) = (self.central.clone(), wish.peripheral.clone(), wish.timeout);
                let attempt = async move {
                    let begun = Instant::now();
                    let peripheral = reach(&central, &id, known, limit).await?;
                    connect(peripheral, limit.saturating_sub(begun.elapsed()), earlier).await
                };
                self.attempt = Some((Box::pin(attempt), wish));
            }
            Err(error) => answer(wish, Err(adapter_error(&error))),
        }
    }

    /// Nobody waits for the connection under way: the stack is told, or it would go on and keep the device.
    async fn break_off(&mut self) {
        let Some((attempt, wish)) = self.attempt.take() else {
            return;
        };
        drop(attempt);
        if let Ok(Some(peripheral)) = self.hearing.find(&self.central, &wish.peripheral).await {
            say_goodbye(&peripheral).await;
        }
    }

    fn attempted(&mut self, result: Result<Connected, LinkError>) {
        let Some((_, wish)) = self.attempt.take() else {
            return;
        };
        match result {
            Err(error) => answer(wish, Err(error)),
            Ok(connected) => {
                let (ended, lost) = watch::channel(false);
                self.links.insert(wish.peripheral.clone(), ended.clone());
                // Discovery goes on beside the next connection.
                self.discoveries.spawn(async move {
                    let ConnectWish { mut reply, .. } = wish;
                    let link = tokio::select! {
                        link = connected.discover(ended, lost) => link,
                        () = reply.closed() => return connected.give_back().await,
                    };
                    if let Err(Ok(link)) = reply.send(link) {
                        link.disconnect().await;
                    }
                });
            }
        }
    }

    async fn start_scan(&mut self) -> Result<(), LinkError> {
        if self.scanning {
            return Ok(());
        }
        // On Linux start_scan switches the adapter on, which is for its owner to decide.
        match self.central.adapter_state().await {
            Ok(CentralState::PoweredOff) => return Err(LinkError::AdapterOff),
            Ok(_) => {}
            Err(error) => return Err(adapter_error(&error)),
        }
        discover(&self.central, Discovery::On).await?;
        self.set_scanning(true);
        tracing::debug!("the adapter listens");
        Ok(())
    }

    async fn stop_scan(&mut self) {
        if !self.scanning {
            return;
        }
        self.set_scanning(false);
        if let Err(error) = discover(&self.central, Discovery::Off).await {
            // It may have ended by itself; if not, connecting fails and is tried again.
            tracing::debug!(?error, "the scan did not stop");
        }
    }
}

async fn is_off(central: &platform::Adapter) -> bool {
    matches!(central.adapter_state().await, Ok(CentralState::PoweredOff))
}

#[derive(Clone, Copy, Debug)]
enum Discovery {
    On,
    Off,
}

/// Starts or stops the stack's scan, and waits until it is through with the order before.
async fn discover(central: &platform::Adapter, wanted: Discovery) -> Result<(), LinkError> {
    for _ in 0..ASKED {
        let asked = match wanted {
            Discovery::On => central.start_scan(ScanFilter::default()).await,
            Discovery::Off => central.stop_scan().await,
        };
        match asked.map_err(|error| adapter_error(&error)) {
            Err(LinkError::InProgress) => sleep(BUSY).await,
            answer => return answer,
        }
    }
    Err(LinkError::InProgress)
}

/// The peripheral as the stack has it now. BlueZ forgets whom it has not heard for half a minute, and a device that
/// waits for its turn is not listened to, so it may have to be heard again.
async fn reach(
    central: &platform::Adapter,
    id: &PeripheralId,
    known: Option<platform::Peripheral>,
    limit: Duration,
) -> Result<platform::Peripheral, LinkError> {
    use btleplug::api::Peripheral as _;
    if let Some(peripheral) = known
        && peripheral.is_connected().await.is_ok()
    {
        return Ok(peripheral);
    }
    // As for a scan that a person asked for: one that is off stays off.
    if is_off(central).await {
        return Err(LinkError::AdapterOff);
    }
    discover(central, Discovery::On).await?;
    let heard = async {
        loop {
            let peripherals = central.peripherals().await.map_err(|e| adapter_error(&e))?;
            if let Some(peripheral) = peripherals.into_iter().find(|it| it.id().to_string() == id.0) {
                return Ok(peripheral);
            }
            sleep(LOOK).await;
        }
    };
    let found = timeout(limit.min(HEARD_AGAIN), heard)
        .await
        .unwrap_or(Err(LinkError::OutOfReach));
    if let Err(error) = discover(central, Discovery::Off).await {
        tracing::debug!(?error, "the scan did not stop");
    }
    found
}

/// Hands over why there is no link.
fn answer(wish: ConnectWish, result: Result<BleLink, LinkError>) {
    let _ = wish.reply.send(result);
}

/// The end of the connection under way; none when nobody waits for it any more.
async fn attempt(attempt: &mut Option<(Attempt, ConnectWish)>) -> Option<Result<Connected, LinkError>> {
    let Some((attempt, wish)) = attempt else {
        return pending().await;
    };
    tokio::select! {
        result = attempt => Some(result),
        () = wish.reply.closed() => None,
    }
}

/// Resolves when a listener has gone.
async fn deaf(listeners: &[mpsc::Sender<Sighting>]) {
    if listeners.is_empty() {
        pending().await
    } else {
        select_all(listeners.iter().map(|listener| Box::pin(listener.closed()))).await;
    }
}

#[cfg(target_os = "linux")]
use super::bluez::service_ends;

/// Where the stack is part of the system, it ends with the system.
#[cfg(not(target_os = "linux"))]
async fn service_ends() -> Pin<Box<dyn Stream<Item = ()> + Send>> {
    Box::pin(futures::stream::pending())
}
