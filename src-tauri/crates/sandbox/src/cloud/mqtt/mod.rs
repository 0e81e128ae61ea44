//! The AWS-IoT-compatible MQTT server: 3.1.1 and 5, mutual TLS, provisioning by trusted user, presence.
//!
//! Replies go to the connection that asked and to no other, which is why there is no message broker in here.
//! Not for: shadows, jobs, rules, retained messages, stored sessions.

mod hook;
mod payload;
mod provisioning;
mod rejection;
mod session;
mod template;
mod topic;
mod wire;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Duration, timeout};
use tokio_rustls::TlsAcceptor;

pub use self::template::TemplateError;

pub(crate) use self::provisioning::Provisioning;
pub(crate) use self::rejection::Rejection;
pub(crate) use self::template::{CertificatePlan, Plan, PolicyPlan, Template, ThingPlan};

use self::session::Session;
use super::http::stopped;
use super::tls::handshake;

/// How long open connections have to say goodbye when the server stops.
const GOODBYE_LIMIT: Duration = Duration::from_secs(2);

/// How long to wait when the system gives no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all connections share.
struct Server {
    provisioning: Provisioning,
    keep_alive: RangeInclusive<u16>,
    sessions: AtomicU64,
    /// By client id: which session has it, and how to tell it to go.
    present: Mutex<BTreeMap<String, (u64, mpsc::Sender<()>)>>,
}

impl Server {
    fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a client id over; whoever had it is told to go (MQTT 3.1.1, 3.1.4-2).
    fn enter(&self, client_id: &str, session: u64) -> mpsc::Receiver<()> {
        let (evict, evictions) = mpsc::channel(1);
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, older)) = present.insert(client_id.into(), (session, evict)) {
            // Full means told already, closed means gone.
            let _ = older.try_send(());
        }
        evictions
    }

    fn leave(&self, client_id: &str, session: u64) {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if present
            .get(client_id)
            .is_some_and(|(number, _)| *number == session)
        {
            present.remove(client_id);
        }
    }
}

/// Serves until `stop` turns true or its sender is gone; open connections are told.
pub(super) fn serve(
    tcp: TcpListener,
    tls: Arc<ServerConfig>,
    provisioning: Provisioning,
    keep_alive: RangeInclusive<u16>,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let server = Arc::new(Server {
        provisioning,
        keep_alive,
        sessions: AtomicU64::new(1),
        present: Mutex::default(),
    });
    let acceptor = TlsAcceptor::from(tls);
    tokio::spawn(async move {
        let mut sessions = JoinSet::new();
        let mut stopping = Box::pin(stopped(stop.clone()));
        loop {
            tokio::select! {
                accepted = tcp.accept() => {
                    let Ok((stream, _)) = accepted else {
                        // Out of file descriptors, most likely: some may be free soon.
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    };
                    if server.provisioning.faults.now().mqtt_down {
                        continue;
                    }
                    let (server, acceptor, stop) = (Arc::clone(&server), acceptor.clone(), stop.clone());
                    sessions.spawn(async move {
                        if let Some(stream) = handshake(&acceptor, stream).await {
                            Session::run(server, stream, stop).await;
                        }
                    });
                }
                Some(_) = sessions.join_next() => {}
                () = &mut stopping => break,
            }
        }
        let goodbyes = async { while sessions.join_next().await.is_some() {} };
        // Whoever is still in its handshake then is dropped.
        let _ = timeout(GOODBYE_LIMIT, goodbyes).await;
    })
}
