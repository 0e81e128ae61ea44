//! `fieldkey scan`: the devices nearby that can be commissioned.

use std::time::Duration;

use engine::request::Request;
use engine::view::{NearbyView, View};
use serde::Serialize;

use crate::exit::Ended;
use crate::setup::Base;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(flatten)]
    device: &'a NearbyView,
}

/// Listens for so many seconds, then lists what was heard, strongest first.
pub(crate) async fn run(setup: &Base, seconds: u16) -> Result<(), Ended> {
    let engine = crate::setup::listener(setup)?;
    engine.request(Request::Listen);
    setup.out.say(format!("Listening for {seconds} s…"));
    let mut views = engine.views();
    let trouble = tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(seconds.into())) => None,
        () = setup.interrupts.next() => None,
        trouble = trouble(&mut views) => trouble,
    };
    let view = views.borrow().clone();
    engine.shutdown().await;
    if let Some(failure) = trouble {
        return Err(failure.into());
    }
    list(setup, &view);
    Ok(())
}

/// Resolves when the radio cannot listen.
async fn trouble(
    views: &mut tokio::sync::watch::Receiver<std::sync::Arc<View>>,
) -> Option<engine::failure::Failure> {
    match views.wait_for(|view| view.radio_trouble.is_some()).await {
        Ok(view) => view.radio_trouble.clone(),
        Err(_) => None,
    }
}

fn list(setup: &Base, view: &View) {
    let mut devices: Vec<&NearbyView> = view.nearby.iter().collect();
    devices.sort_by_key(|device| std::cmp::Reverse(device.signal));
    for device in &devices {
        setup.out.line("nearby", &Line { device });
        let name = device.name.as_deref().unwrap_or("(no name heard)");
        let twins = devices
            .iter()
            .filter(|other| other.name.is_some() && other.name == device.name)
            .count();
        let twin = if twins > 1 {
            "  another device has this name: only the label tells them apart"
        } else {
            ""
        };
        setup.out.say(format!(
            "{}  {name:<29} {:>4} dBm  {}{twin}",
            bars(device.signal),
            device.signal,
            device.peripheral.0
        ));
    }
    if devices.is_empty() {
        setup.out.say(
            "No device offers itself. A device is silent when it is set up already, connected elsewhere, out of \
             reach, or its set-up window is over: switch it off and on, and stand within five metres.",
        );
    }
}

/// Signal as bars: from −55 dBm full, below −85 dBm one.
fn bars(signal: i16) -> &'static str {
    match signal {
        -55.. => "▂▄▆█",
        -70..=-56 => "▂▄▆ ",
        -85..=-71 => "▂▄  ",
        _ => "▂   ",
    }
}
