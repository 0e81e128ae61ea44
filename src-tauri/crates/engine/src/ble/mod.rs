//! Bluetooth LE over the system's own stack: BlueZ, CoreBluetooth, WinRT. The only use of btleplug.
//!
//! In scope: choosing an adapter, one task per adapter that listens and connects in turn, links with their
//! operations, and every error of every stack as one [`LinkError`]. Not in scope: what is said over a link, which
//! advertisements matter, when to try again.
//!
//! The stacks' habits that shape this, seen with btleplug 0.13.5:
//! - Starting a scan on Linux switches the adapter on; here an adapter that is off stays off and is named.
//! - A scan under way makes connecting fail; it is stopped first and goes on later.
//! - Connecting several at once can leave one without services; they take turns, and links live side by side.
//! - A connection that timed out goes on in the stack until it is told to disconnect.
//! - Nothing tells of the end of the Bluetooth service; its name on the bus is watched.
//! - BlueZ may be busy with the last order about scanning; it is asked again a little later.
//! - A program that is built with `panic = "abort"` would end when a late signal meets a dropped stream.

mod adapter;
#[cfg(target_os = "linux")]
mod bluez;
mod fault;
mod hearing;
mod link;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use btleplug::api::{Central, CentralState, Manager as _};
use btleplug::platform;
use commission::device::Sighting;
use commission::gatt::{LinkError, PeripheralId};
use tokio::sync::{Mutex, mpsc, watch};

use self::adapter::AdapterHandle;
use self::fault::adapter_error;
use crate::ports::{Adapter, Clock, Link, Radio, RadioState};

/// The system's Bluetooth.
pub struct Ble {
    /// The adapter that a person chose.
    wanted: Option<String>,
    clock: Arc<dyn Clock>,
    stack: Mutex<Stack>,
    state: watch::Sender<RadioState>,
}

/// What is kept between calls.
#[derive(Default)]
struct Stack {
    /// Each one holds a bus connection that never closes, so one is made and kept.
    manager: Option<platform::Manager>,
    adapter: Option<AdapterHandle>,
}

/// An adapter as listed and as btleplug has it.
struct Listed {
    shown: Adapter,
    central: platform::Adapter,
}

impl Ble {
    /// Bluetooth over the adapter of this id (see [`Adapter::id`]), or over the first that is switched on. `clock` is
    /// the one that sightings are dated by.
    pub fn new(adapter: Option<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            wanted: adapter,
            clock,
            stack: Mutex::default(),
            state: watch::Sender::new(RadioState {
                hears: false,
                trouble: None,
            }),
        }
    }

    /// The adapter's task, started where it does not run.
    async fn adapter(&self) -> Result<AdapterHandle, LinkError> {
        let mut stack = self.stack.lock().await;
        if let Some(running) = &stack.adapter
            && running.serves().await
        {
            return Ok(running.clone());
        }
        let mut chosen = choose(list(&mut stack).await?, self.wanted.as_deref())?;
        if let Some(running) = &stack.adapter {
            if running.runs() && running.id() == chosen.shown.id {
                return Ok(running.clone());
            }
            // A bus connection of its own: the end of the last adapter's stream of events would silence the stream of
            // this one on the same connection (see `AdapterHandle::start`).
            stack.manager = None;
            chosen = choose(list(&mut stack).await?, self.wanted.as_deref())?;
        }
        let (clock, state) = (Arc::clone(&self.clock), self.state.clone());
        let started = AdapterHandle::start(chosen.shown.id, chosen.central, clock, state).await?;
        stack.adapter = Some(started.clone());
        Ok(started)
    }

    /// The same, where what was wrong with it before is over.
    async fn ready(&self) -> Result<AdapterHandle, LinkError> {
        let adapter = self.adapter().await?;
        self.state
            .send_if_modified(|state| state.trouble.take().is_some());
        Ok(adapter)
    }
}

#[async_trait]
impl Radio for Ble {
    fn state(&self) -> watch::Receiver<RadioState> {
        self.state.subscribe()
    }

    async fn adapters(&self) -> Result<Vec<Adapter>, LinkError> {
        let listed = list(&mut *self.stack.lock().await).await?;
        Ok(listed.into_iter().map(|adapter| adapter.shown).collect())
    }

    async fn scan(&self) -> Result<mpsc::Receiver<Sighting>, LinkError> {
        self.ready().await?.scan().await
    }

    async fn connect(
        &self,
        peripheral: &PeripheralId,
        timeout: Duration,
    ) -> Result<Box<dyn Link>, LinkError> {
        self.ready().await?.connect(peripheral, timeout).await
    }

    async fn settle(&self) {
        // One that does not run has nothing under way.
        let running = self.stack.lock().await.adapter.clone();
        if let Some(adapter) = running {
            adapter.settle().await;
        }
    }
}

/// All adapters, in the order of their ids.
async fn list(stack: &mut Stack) -> Result<Vec<Listed>, LinkError> {
    if stack.manager.is_none() {
        stack.manager = Some(platform::Manager::new().await.map_err(|e| adapter_error(&e))?);
    }
    let Some(manager) = &stack.manager else {
        return Err(LinkError::NoService);
    };
    let centrals = match manager.adapters().await {
        Ok(centrals) => centrals,
        Err(error) => {
            // The connection may be at fault and not the service; the next call makes a new one.
            *stack = Stack::default();
            return Err(adapter_error(&error));
        }
    };
    let mut listed = Vec::new();
    for central in centrals {
        // One that vanishes between the list and its properties is not there.
        let Ok(info) = central.adapter_info().await else {
            continue;
        };
        let id = info.split(' ').next().unwrap_or(&info).to_owned();
        let address = central.adapter_address().await.ok().flatten();
        let powered = !matches!(central.adapter_state().await, Ok(CentralState::PoweredOff));
        listed.push(Listed {
            shown: Adapter {
                name: address.map_or(info, |address| address.to_string()),
                id,
                powered,
            },
            central,
        });
    }
    listed.sort_by(|a, b| a.shown.id.cmp(&b.shown.id));
    Ok(listed)
}

fn choose(listed: Vec<Listed>, wanted: Option<&str>) -> Result<Listed, LinkError> {
    let mut off = false;
    for adapter in listed {
        if wanted.is_none_or(|id| id == adapter.shown.id) {
            if adapter.shown.powered {
                return Ok(adapter);
            }
            off = true;
        }
    }
    Err(if off {
        LinkError::AdapterOff
    } else {
        LinkError::NoAdapter
    })
}
