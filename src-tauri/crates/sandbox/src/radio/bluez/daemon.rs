//! The simulated bluetoothd: one life of it, from taking its name on the bus to losing it.
//!
//! What it remembers (devices seen, who scans, who is told of changes) dies with it, as it does for temporary
//! devices of the real one.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::interval;
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream};

use super::adapter::Discovery;
use super::call::Call;
use super::device::Known;
use super::tree::Tree;
use crate::radio::air::Air;
use crate::radio::lock;

/// How often forgotten devices are looked for.
const TIDY: Duration = Duration::from_secs(1);

/// The service's state. Locks are taken in the order of the fields, and never across a wait.
pub(super) struct Daemon {
    pub(super) air: Arc<Air>,
    /// Scans by adapter path.
    pub(super) discoveries: Mutex<BTreeMap<String, Discovery>>,
    /// Devices by path.
    pub(super) known: Mutex<BTreeMap<String, Arc<Known>>>,
    pub(super) tree: Mutex<Tree>,
    tasks: Mutex<JoinSet<()>>,
}

/// A running service. It loses its name and forgets everything when this is dropped.
pub(super) struct Running {
    connection: Connection,
    daemon: Arc<Daemon>,
}

impl Running {
    /// Connects to the bus, shows what there is, and takes the name `org.bluez`.
    pub(super) async fn start(air: Arc<Air>, bus_address: &str) -> zbus::Result<Self> {
        let connection = zbus::connection::Builder::address(bus_address).build().await?;
        let (outgoing, queue) = mpsc::unbounded_channel();
        let daemon = Arc::new(Daemon {
            air,
            discoveries: Mutex::default(),
            known: Mutex::default(),
            tree: Mutex::new(Tree::new(outgoing)),
            tasks: Mutex::default(),
        });
        daemon.spawn(send_all(connection.clone(), queue));
        let calls = MessageStream::from(&connection);
        daemon.spawn(Arc::clone(&daemon).serve(calls));
        connection
            .call_method(
                Some("org.freedesktop.DBus"),
                "/org/freedesktop/DBus",
                Some("org.freedesktop.DBus"),
                "AddMatch",
                &"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged'",
            )
            .await?;
        for adapter in daemon.air.adapters().to_vec() {
            daemon.settle_adapter(&adapter);
            daemon.spawn(Arc::clone(&daemon).follow_adapter(adapter));
        }
        daemon.spawn(Arc::clone(&daemon).tidy());
        connection.request_name("org.bluez").await?;
        Ok(Self { connection, daemon })
    }

    /// Ends the service, as when the process is killed: links break, and nobody is told.
    pub(super) async fn stop(self) {
        if let Err(error) = self.connection.clone().close().await {
            tracing::debug!(%error, "the service's connection had ended already");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.daemon.tasks).abort_all();
        for adapter in self.daemon.air.adapters() {
            adapter.close_links();
        }
    }
}

impl Daemon {
    /// Runs `task` until it ends or the service does.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task)
    }

    async fn serve(self: Arc<Self>, mut messages: MessageStream) {
        while let Some(Ok(message)) = messages.next().await {
            match message.message_type() {
                Type::MethodCall => {
                    if let Some(call) = Call::new(message) {
                        self.handle(call);
                    }
                }
                Type::Signal => {
                    if let Some(client) = gone_client(&message) {
                        self.client_gone(&client);
                    }
                }
                _ => {}
            }
        }
    }

    /// A client that is gone no longer scans. Its links stay, as bluetoothd's do.
    fn client_gone(self: &Arc<Self>, client: &str) {
        self.end_discoveries_of(client);
        self.end_notifications_of(client);
    }

    async fn tidy(self: Arc<Self>) {
        let mut tick = interval(TIDY);
        loop {
            tick.tick().await;
            self.forget_stale_devices();
        }
    }
}

/// Sends everything in the order in which it was queued.
async fn send_all(connection: Connection, mut queue: mpsc::UnboundedReceiver<Message>) {
    while let Some(message) = queue.recv().await {
        if let Err(error) = connection.send(&message).await {
            tracing::debug!(%error, "the bus is gone");
            return;
        }
    }
}

/// The unique name that nobody has any more, where that is what `NameOwnerChanged` says.
fn gone_client(message: &Message) -> Option<String> {
    if message.header().member()?.as_str() != "NameOwnerChanged" {
        return None;
    }
    let (name, _, new): (String, String, String) = message.body().deserialize().ok()?;
    (name.starts_with(':') && new.is_empty()).then_some(name)
}
