//! The link is lost at every single operation, before and after the device got it; each device ends as it should.

use std::fmt::Write as _;

use journeys::Site;

/// Breaks the link of one device at each operation of a good run, and holds how each ended against the cloud.
async fn cut_everywhere(kind: &str) {
    let mut site = Site::open(&format!("[[device]]\nserial = \"CLEAN\"\n{kind}")).await;
    drop(site.commission(&[]).await.exits(0));
    let links = site.links("CLEAN");
    let operations = links.iter().map(|link| link.operations.len()).sum::<usize>();
    assert!(operations > 30, "{links:?}");
    site.sandbox.shutdown().await;

    let mut scenario = String::new();
    for when in ["before", "after"] {
        for operation in 0..operations {
            let _ = write!(
                scenario,
                "[[device]]\nserial = \"{when}-{operation}\"\nname = \"{when}-{operation}\"\n{kind}\n\
                 radio = {{ cut = {{ operation = {operation}, when = \"{when}\" }} }}\n"
            );
        }
    }
    let mut site = Site::open(&scenario).await;
    let run = site.commission(&[]).await;
    let serials: Vec<String> = site
        .status()
        .devices
        .iter()
        .map(|d| d.serial.to_string())
        .collect();
    assert_eq!(serials.len(), 2 * operations);
    let unknown = serials.iter().any(|serial| run.ended(serial).0 == "unknown");
    let settled = if unknown {
        Some(site.run(&["resume"]).await)
    } else {
        None
    };
    let mut broken = 0;
    for serial in &serials {
        let last = settled.as_ref().filter(|_| run.ended(serial).0 == "unknown");
        site.hold_against_the_cloud(last.unwrap_or(&run), serial);
        // One lost link is no reason to give a device up.
        assert_eq!(run.ended(serial), ("done", ""), "{serial}");
        broken += usize::from(
            site.links(serial)
                .iter()
                .any(|link| link.ended == Some(LinkEnd::Fault)),
        );
    }
    // How often the device is asked how it fares depends on time, so that the last cuts may not come about.
    assert!(
        broken + 20 > serials.len(),
        "only {broken} links of {} were cut",
        serials.len()
    );
}

use sandbox::radio::record::LinkEnd;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_lost_at_any_operation_of_security_1_ends_in_what_the_cloud_has() {
    cut_everywhere("security = 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_lost_at_any_operation_of_security_2_ends_in_what_the_cloud_has() {
    cut_everywhere("security = 2\nkeep_link = true").await;
}
