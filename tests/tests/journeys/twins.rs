//! Two devices that advertise one name: only proof of possession and serial tell them apart.

use journeys::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_devices_with_one_name_the_one_of_the_label_is_enrolled_without_asking_anybody() {
    // The stronger one is tried first.
    let mut site = Site::open(
        r#"
        [[device]]
        name = "TWIN"
        serial = "FAR"
        rssi = -75

        [[device]]
        name = "TWIN"
        serial = "NEAR"
        rssi = -40
        "#,
    )
    .await;
    let run = site.commission(&["FAR"]).await.exits(0);
    assert_eq!(run.ended("FAR"), ("done", ""));
    assert_eq!(site.missing("FAR"), [""; 0]);
    assert!(run.events("asked").is_empty(), "{}", run.stdout);
    let status = site.status();
    assert!(
        status
            .claims
            .iter()
            .all(|claim| claim.serial.as_deref() == Some("FAR")),
        "{status:?}"
    );
    assert_eq!(site.links("FAR").len(), 1);

    let run = site.commission(&["NEAR"]).await.exits(0);
    assert_eq!(run.ended("NEAR"), ("done", ""));
    assert_eq!(site.missing("NEAR"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_with_one_name_and_one_pop_are_told_apart_by_their_serials() {
    let site = Site::open(
        r#"
        [defaults]
        name = "TWIN"
        pop = "shared-by-both"
        [[device]]
        serial = "FAR"
        rssi = -75
        [[device]]
        serial = "NEAR"
        rssi = -40
        "#,
    )
    .await;
    let run = site.commission(&["FAR"]).await.exits(0);
    assert_eq!(run.ended("FAR"), ("done", ""));
    assert_eq!(site.missing("FAR"), [""; 0]);
    assert!(site.status().things.iter().all(|thing| thing.serial == "FAR"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_with_one_name_in_one_batch_both_end_under_their_own_label() {
    let site = Site::open("[[device]]\ncount = 2\nname = \"TWIN\"\nserial = \"D{n}\"").await;
    let run = site.commission(&[]).await.exits(0);
    for device in site.status().devices {
        assert_eq!(run.ended(device.serial.as_str()), ("done", ""));
        assert_eq!(site.missing(device.serial.as_str()), [""; 0]);
    }
    assert!(run.events("asked").is_empty(), "{}", run.stdout);
}
