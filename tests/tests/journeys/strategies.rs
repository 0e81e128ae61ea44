//! Devices that come to their identity by themselves: they get Wi-Fi and no claim, and the cloud is watched for them.

use journeys::Site;
use sandbox::sandbox::{COGNITO_PROFILE_FILE, STS_PROFILE_FILE};

/// A strategy, and the profile by which it is tried.
const STRATEGIES: [(&str, &str); 4] = [
    ("claim-in-device", STS_PROFILE_FILE),
    ("jitp", COGNITO_PROFILE_FILE),
    ("jitr", STS_PROFILE_FILE),
    ("registered", COGNITO_PROFILE_FILE),
];

fn as_it_is(profile: &str) -> String {
    profile.to_owned()
}

/// One device that would take a claim, and one that knows of none.
fn scenario(strategy: &str) -> String {
    format!(
        r#"
        [cloud]
        strategy = "{strategy}"

        [policy]
        plain-devices = "wifi-only"

        [[device]]
        serial = "TAKES"
        security = 2

        [[device]]
        serial = "PLAIN"
        security = 1
        plain = true
        "#
    )
}

async fn enrols(strategy: &str, profile: &str) {
    let site = Site::open_by(&scenario(strategy), profile, as_it_is).await;
    let run = site.commission(&[]).await.exits(0);
    for serial in ["TAKES", "PLAIN"] {
        assert_eq!(run.ended(serial), ("done", ""), "{strategy}, {serial}");
    }
    let status = site.status();
    // Nobody was handed a claim; that of the firmware is one for all.
    let in_firmware = usize::from(strategy == "claim-in-device");
    assert_eq!(status.claims.len(), in_firmware, "{strategy}");
    assert!(
        status.claims.iter().all(|claim| claim.serial.is_none()),
        "{strategy}"
    );
    assert_eq!(status.shortcomings(), [""; 0], "{strategy}");
    for serial in ["TAKES", "PLAIN"] {
        let thing = status.things.iter().find(|thing| thing.serial == serial);
        let thing = thing.unwrap_or_else(|| panic!("{strategy}: {serial} is not registered"));
        assert!(thing.connected.is_some(), "{strategy}: {serial} is not online");
    }
    site.run(&["resume"]).await.exits(0).last("nothing-open");
    drop(site.run(&["doctor"]).await.exits(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_that_enrol_themselves_get_wifi_alone_and_are_done_when_the_cloud_sees_them() {
    let tried = STRATEGIES.map(|(strategy, profile)| (strategy, tokio::spawn(enrols(strategy, profile))));
    let mut broken = Vec::new();
    for (strategy, trial) in tried {
        if trial.await.is_err() {
            broken.push(strategy);
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_certificate_was_never_registered_is_not_called_done() {
    let scenario = format!("{}unknown = true", scenario("registered"));
    let site = Site::open_by(&scenario, STS_PROFILE_FILE, as_it_is).await;
    let run = site.commission(&["PLAIN"]).await.exits(3);
    assert_eq!(run.ended("PLAIN"), ("unknown", "not-seen-online"));
    assert!(site.status().things.iter().all(|thing| thing.serial != "PLAIN"));
}
