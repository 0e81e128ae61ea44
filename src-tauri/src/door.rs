//! What crosses between window and desk: one command down, one event up.
#![expect(
    clippy::needless_pass_by_value,
    reason = "a command's arguments are what Tauri hands over"
)]

use std::sync::Arc;

use engine::desk::{Desk, Request, View};
use tauri::{AppHandle, Emitter, State};
use tokio::sync::{mpsc, watch};

/// The event that carries a view.
const VIEW: &str = "view";

/// The window's way to the desk.
pub(crate) struct Door {
    requests: mpsc::UnboundedSender<Request>,
    views: watch::Receiver<Arc<View>>,
}

impl Door {
    /// Hands every view to the window from now on, and ends the program with the desk.
    pub(crate) fn open(app: &AppHandle, desk: Desk) -> Self {
        let door = Self {
            requests: desk.requests(),
            views: desk.views(),
        };
        let (mut views, window) = (desk.views(), app.clone());
        tauri::async_runtime::spawn(async move {
            while views.changed().await.is_ok() {
                let view = Arc::clone(&views.borrow_and_update());
                if let Err(error) = window.emit(VIEW, view.as_ref()) {
                    tracing::warn!(%error, "a view did not reach the window");
                }
            }
        });
        let program = app.clone();
        tauri::async_runtime::spawn(async move {
            desk.ended().await;
            program.exit(0);
        });
        door
    }

    /// The person closes the window.
    pub(crate) fn quit(&self) {
        self.ask(Request::Quit { sure: false });
    }

    fn ask(&self, request: Request) {
        // An error means that the desk has ended, and the program with it.
        let _ = self.requests.send(request);
    }
}

/// A request of the window; what came of it is in the next view.
#[tauri::command]
pub(crate) fn request(door: State<'_, Door>, request: Request) {
    door.ask(request);
}

/// The view as it stands, for a window that has just opened.
#[tauri::command]
pub(crate) fn view(door: State<'_, Door>) -> View {
    View::clone(&door.views.borrow())
}
