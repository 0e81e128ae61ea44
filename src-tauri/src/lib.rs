//! The window: the engine's desk in a desktop program. Thin on purpose: no policy, no protocol, no secret.
//!
//! `door` is what crosses between window and desk, `shell` what the desk needs of a desktop, `drawing` how the window is
//! drawn without a graphics card.

mod door;
#[cfg(target_os = "linux")]
mod drawing;
mod shell;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use engine::ble::Ble;
use engine::desk::{Desk, Parts, Request, SignInWay, Typed};
use engine::ports::{Clock, Radio};
use engine::settings::{Home, signature_beside};
use engine::system::{SystemBrowser, SystemClock};
use engine::vault;
use tauri::plugin::TauriPlugin;
use tauri::{Manager, Runtime, Url};

use crate::door::Door;
use crate::shell::Desktop;

/// Brings IoT devices online, in a window. The same work in a terminal: `fieldkey`.
#[derive(Parser)]
#[command(name = "fieldkey-app", version)]
struct Arguments {
    /// Import this organisation profile first.
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// Take this file of labels.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Begin to sign in at once.
    #[arg(long)]
    sign_in: bool,
}

/// Runs the program until its window is closed.
pub fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    drawing::without_a_card();
    let arguments = Arguments::parse();
    // `RUST_LOG` says how much; nothing secret is ever logged.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let home = match Home::find() {
        Ok(home) => home,
        Err(error) => {
            tracing::error!(%error, "there is no place for files");
            return ExitCode::FAILURE;
        }
    };
    match run(arguments, home) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the window did not open");
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "what Tauri makes of the configuration holds maps of its own"
)]
fn run(arguments: Arguments, home: Home) -> tauri::Result<()> {
    tauri::Builder::default()
        // First, so that a second start does nothing but show the window that there is.
        .plugin(
            tauri_plugin_single_instance::Builder::new()
                .callback(|app, _, _| {
                    if let Some(window) = app.get_webview_window("main") {
                        // A window that cannot be raised is there all the same.
                        let _ = window.unminimize().and_then(|()| window.set_focus());
                    }
                })
                .dbus_id(instance(&home))
                .build(),
        )
        .plugin(tauri_plugin_window_state::Builder::default().build())
        .plugin(tauri_plugin_notification::init())
        .plugin(own_pages_only())
        .invoke_handler(tauri::generate_handler![door::request, door::view])
        .setup(move |app| {
            let desk = tauri::async_runtime::block_on(open(home));
            if let Some(file) = &arguments.import {
                desk.ask(Request::ImportProfile {
                    text: std::fs::read_to_string(file)?,
                    signature: signature_beside(file)
                        .map_err(|error| std::io::Error::other(error.to_string()))?,
                });
            }
            if let Some(file) = &arguments.labels {
                desk.ask(Request::ReadLabels {
                    file: file.display().to_string(),
                    text: Typed::new(std::fs::read_to_string(file)?),
                });
            }
            if arguments.sign_in {
                desk.ask(Request::SignIn {
                    way: SignInWay::Browser,
                });
            }
            app.manage(Door::open(app.handle(), desk));
            Ok(())
        })
        .on_window_event(|window, event| {
            if let tauri::WindowEvent::CloseRequested { api, .. } = event {
                // The desk ends the program, once every job is in a named state.
                api.prevent_close();
                window.state::<Door>().quit();
            }
        })
        .run(tauri::generate_context!())
}

/// Keeps the window to its own pages: it has no link to anywhere, so whatever leads away is nobody's wish. The page of
/// a sign-in opens in the system's browser.
fn own_pages_only<R: Runtime>() -> TauriPlugin<R> {
    tauri::plugin::Builder::new("own-pages-only")
        .on_navigation(|_, address| is_own(address))
        .build()
}

/// Tauri serves the pages from `tauri://localhost`, on Windows from `http://tauri.localhost`.
fn is_own(address: &Url) -> bool {
    matches!(
        (address.scheme(), address.host_str()),
        ("tauri", Some("localhost")) | ("http" | "https", Some("tauri.localhost"))
    )
}

/// What this installation is called on the session's bus: one with files of its own, as for simulated devices, is
/// another one.
fn instance(home: &Home) -> String {
    let digits: String = home
        .data
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // A name on the bus has at most 255 characters (D-Bus specification, "Bus names").
    let tail = digits.get(digits.len().saturating_sub(160)..).unwrap_or_default();
    format!("org.fieldkey.app.at{tail}")
}

async fn open(home: Home) -> Desk {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let (vault, vault_trouble) = vault::detect().await;
    let radio_clock = Arc::clone(&clock);
    Desk::open(Parts {
        shell: Arc::new(Desktop::new(&home)),
        home,
        clock,
        browser: Arc::new(SystemBrowser),
        vault,
        vault_trouble,
        radio: Box::new(move |adapter| -> Arc<dyn Radio> {
            Arc::new(Ble::new(adapter, Arc::clone(&radio_clock)))
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_goes_nowhere_but_to_its_own_pages() {
        let own = |address: &str| is_own(&Url::parse(address).unwrap());
        assert!(own("tauri://localhost/index.html"));
        assert!(own("http://tauri.localhost/"));
        for address in [
            "https://example.com/",
            "http://tauri.localhost.example.com/",
            "tauri://elsewhere/",
            "file:///etc/passwd",
            "data:text/html,x",
        ] {
            assert!(!own(address), "{address}");
        }
    }
}
