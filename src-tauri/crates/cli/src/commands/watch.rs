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
    let cloud = setup.cloud(&signed_in.sign_in)?;
    let watching = watch(setup, cloud.as_ref(), serial, &parameters);
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
                if snapshot.known == Some(false) && snapshot.thing.is_none() {
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

/// Online by its only active credential. A connection that an earlier one or a claim may have made is none of that.
fn is_well(thing: &Thing) -> bool {
    let mut active = thing.active();
    match (active.next(), active.next()) {
        (Some(only), None) => thing.is_online_by(&only.id, None),
        _ => false,
    }
}

fn describe(serial: &Serial, snapshot: &Snapshot) -> String {
    let Some(thing) = &snapshot.thing else {
        let known = match snapshot.known {
            Some(true) => ", in the maker's list",
            Some(false) => ", not in the maker's list",
            None => "",
        };
        return format!("{serial}: not registered yet{known}");
    };
    let online = match (thing.connected, thing.online_by()) {
        (Some(true), Some(id)) => format!("online with {}", words::short(id)),
        (Some(true), None) => "online, with which credential is not known".to_owned(),
        (Some(false), _) => "offline".to_owned(),
        (None, _) => "connection not known".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use commission::evidence::{Principal, PrincipalStatus};

    fn thing(told: Option<&str>, inferred: Option<&str>) -> Thing {
        let principal = |id: &str, status| Principal {
            id: id.into(),
            status,
        };
        Thing {
            name: "FK-1".into(),
            version: 1,
            principals: vec![
                principal("old", PrincipalStatus::Inactive),
                principal("new", PrincipalStatus::Active),
            ],
            connected: Some(true),
            connected_at: None,
            connected_principal: told.map(str::to_owned),
            inferred_principal: inferred.map(str::to_owned),
        }
    }

    #[test]
    fn a_connection_that_is_not_known_to_be_with_the_active_credential_is_not_enough() {
        assert!(!is_well(&thing(None, None)));
        assert!(!is_well(&thing(Some("old"), None)));
        assert!(!is_well(&thing(Some("claim"), Some("new"))));
        assert!(is_well(&thing(Some("new"), None)));
        assert!(is_well(&thing(None, Some("new"))));
        let mut two = thing(Some("new"), None);
        for principal in &mut two.principals {
            principal.status = PrincipalStatus::Active;
        }
        assert!(!is_well(&two));
        let mut offline = thing(Some("new"), None);
        offline.connected = Some(false);
        assert!(!is_well(&offline));
    }
}
