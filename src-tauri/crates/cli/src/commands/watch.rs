//! `fieldkey watch`: a device in the cloud, until it is seen online under exactly one identity.

use std::collections::BTreeMap;
use std::time::Duration;

use commission::device::Serial;
use commission::evidence::{Snapshot, Thing};
use engine::ports::Cloud;
use serde::Serialize;

use crate::args;
use crate::exit::{Ended, Exit};
use crate::setup::Setup;
use crate::words;

/// Looks this often; the broker allows five reads a second.
const PACE: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Line<'a> {
    serial: &'a Serial,
    #[serde(flatten)]
    snapshot: &'a Snapshot,
}

/// Watches until the device is online, or the time is over.
pub(crate) async fn run(
    setup: &Setup,
    serial: &Serial,
    timeout: u32,
    given: &args::Given,
) -> Result<(), Ended> {
    let parameters = given.by_name()?;
    let signed_in = setup.signed_in().await?;
    let parts = setup.parts(&signed_in)?;
    let watching = watch(setup, parts.cloud.as_ref(), serial, &parameters);
    tokio::select! {
        seen = watching => seen,
        () = tokio::time::sleep(Duration::from_secs(timeout.into())) => Err(Ended::new(
            Exit::Unknown,
            "not-seen-online",
            format!("{serial} was not seen online within {timeout} s"),
            "Check its power and network; look again later.",
        )),
        () = setup.interrupts.next() => Err(Ended::silent(Exit::Interrupted)),
    }
}

async fn watch(
    setup: &Setup,
    cloud: &dyn Cloud,
    serial: &Serial,
    parameters: &BTreeMap<String, String>,
) -> Result<(), Ended> {
    let mut last = None;
    loop {
        match cloud.snapshot(serial, parameters).await {
            Ok(snapshot) => {
                if last.as_ref() != Some(&snapshot) {
                    setup.out.both(
                        "watch",
                        &Line {
                            serial,
                            snapshot: &snapshot,
                        },
                        describe(serial, &snapshot),
                    );
                }
                if snapshot.thing.as_ref().is_some_and(is_well) {
                    return Ok(());
                }
                // What the cloud cannot know will not come online however long anybody waits.
                if !snapshot.known && snapshot.thing.is_none() {
                    return Err(Ended::new(
                        Exit::Usage,
                        "unknown-device",
                        format!("the cloud has no device {serial}"),
                        "Check the serial number on the label; a new device must be in the maker's list first.",
                    ));
                }
                last = Some(snapshot);
            }
            Err(error) if error.is_passing() => setup.out.warn("cloud", &format!("{error}; asking again")),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(PACE).await;
    }
}

fn is_well(thing: &Thing) -> bool {
    thing.connected == Some(true) && thing.active().count() == 1
}

fn describe(serial: &Serial, snapshot: &Snapshot) -> String {
    let Some(thing) = &snapshot.thing else {
        let known = if snapshot.known {
            "in the maker's list"
        } else {
            "not in the maker's list"
        };
        return format!("{serial}: not registered yet, {known}");
    };
    let online = match thing.connected {
        Some(true) => "online",
        Some(false) => "offline",
        None => "connection not known",
    };
    let active: Vec<String> = thing
        .active()
        .map(|principal| words::short(&principal.id))
        .collect();
    format!(
        "{serial}: registered as {}, {online}, active credentials: {}",
        thing.name,
        active.join(", ")
    )
}
