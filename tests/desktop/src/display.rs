//! What a person does to a window from outside: closing it by its button.

use std::time::Duration;

use x11rb::connection::Connection;
use x11rb::protocol::xproto::{AtomEnum, ClientMessageEvent, ConnectionExt, EventMask, Window};
use x11rb::rust_connection::RustConnection;

/// Longest that a process may take to end; far more than it needs, so that only a standstill ends there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Closes the window of this process as its button would: the program is asked, and may say no (ICCCM 4.2.8.1).
///
/// # Panics
/// Where it does not show exactly one.
pub fn close_window(process: u32) {
    let (display, screen) = x11rb::connect(None).expect("a display");
    let root = display.setup().roots.get(screen).unwrap().root;
    let window = windows_of(&display, root, process);
    let [window] = window.as_slice() else {
        panic!("process {process} has {} windows", window.len());
    };
    let (protocols, delete) = (atom(&display, "WM_PROTOCOLS"), atom(&display, "WM_DELETE_WINDOW"));
    let message = ClientMessageEvent::new(32, *window, protocols, [delete, x11rb::CURRENT_TIME, 0, 0, 0]);
    display
        .send_event(false, *window, EventMask::NO_EVENT, message)
        .unwrap()
        .check()
        .unwrap();
}

/// Top-level windows that the process shows.
fn windows_of(display: &RustConnection, root: Window, process: u32) -> Vec<Window> {
    let id = atom(display, "_NET_WM_PID");
    let children = display.query_tree(root).unwrap().reply().unwrap().children;
    let of_process = |window: &Window| {
        let property = display
            .get_property(false, *window, id, AtomEnum::CARDINAL, 0, 1)
            .unwrap()
            .reply();
        let owner = property.ok().and_then(|property| property.value32()?.next());
        let shown = display
            .get_window_attributes(*window)
            .unwrap()
            .reply()
            .is_ok_and(|attributes| attributes.map_state == x11rb::protocol::xproto::MapState::VIEWABLE);
        owner == Some(process) && shown
    };
    children.into_iter().filter(of_process).collect()
}

fn atom(display: &RustConnection, name: &str) -> u32 {
    display
        .intern_atom(false, name.as_bytes())
        .unwrap()
        .reply()
        .unwrap()
        .atom
}

/// Whether a process of this number is there.
fn is_there(process: u32) -> bool {
    std::path::Path::new(&format!("/proc/{process}/exe")).exists()
}

/// Waits for the end of a process that somebody else started.
///
/// # Panics
/// Where it does not end.
pub async fn gone(process: u32) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while is_there(process) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("process {process} has not ended"));
}
