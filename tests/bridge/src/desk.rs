//! The program under test: the desk behind a WebSocket.

use std::sync::Arc;

use async_trait::async_trait;
use engine::ble::Ble;
use engine::desk::{Desk, Parts, Request, View};
use engine::ports::{Clock, Radio, Shell, ShellError};
use engine::settings::Home;
use engine::system::{SystemBrowser, SystemClock};
use engine::vault;
use futures::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;

/// A desktop that has nothing to start: the tests' devices are simulated already.
struct NoDesktop;

#[async_trait]
impl Shell for NoDesktop {
    async fn try_simulated(&self) -> Result<(), ShellError> {
        Err(ShellError("this desk is in a test already".into()))
    }
}

/// Opens the desk and says where it listens; ends with the desk.
pub(crate) async fn serve() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let (vault, vault_trouble) = vault::detect().await;
    let radio_clock = Arc::clone(&clock);
    let desk = Desk::open(Parts {
        home: Home::find().expect("a home"),
        clock,
        browser: Arc::new(SystemBrowser),
        shell: Arc::new(NoDesktop),
        vault,
        vault_trouble,
        radio: Box::new(move |adapter| -> Arc<dyn Radio> {
            Arc::new(Ble::new(adapter, Arc::clone(&radio_clock)))
        }),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("its address"));
    let (requests, views) = (desk.requests(), desk.views());
    let doors = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(door(stream, requests.clone(), views.clone()));
        }
    });
    desk.ended().await;
    doors.abort();
}

/// One window.
async fn door(
    stream: TcpStream,
    requests: mpsc::UnboundedSender<Request>,
    mut views: watch::Receiver<Arc<View>>,
) {
    let Ok(socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    let (mut up, mut down) = socket.split();
    views.mark_changed();
    loop {
        tokio::select! {
            changed = views.changed() => {
                if changed.is_err() {
                    return;
                }
                let view = serde_json::to_string(views.borrow_and_update().as_ref()).expect("a view");
                if up.send(Message::text(view)).await.is_err() {
                    return;
                }
            }
            message = down.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    // A window that sends what is no request is at fault, and its test should end with it.
                    let request = serde_json::from_str(&text).expect("a request");
                    let _ = requests.send(request);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}
