//! Many devices over few links, and a Bluetooth that cannot be used.

use journeys::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_devices_over_four_links_are_all_enrolled_and_never_more_than_four_are_linked() {
    let mut site = Site::open("[[device]]\ncount = 20\nserial = \"D{n}\"").await;
    // A fifth connection would fail, and show as a second link of its device.
    site.sandbox
        .radio()
        .adapter("hci0")
        .unwrap()
        .update(|adapter| adapter.links = 4);
    let paper = site.paper(&site.labels(&[]));
    let run = site
        .run(&["commission", "--labels", &paper, "--links", "4"])
        .await
        .exits(0);
    assert_eq!(run.last("summary")["done"], 20);
    assert_eq!(run.events("retrying").len(), 0, "{}", run.stdout);
    for device in site.status().devices {
        assert_eq!(site.missing(device.serial.as_str()), [""; 0]);
        assert_eq!(site.links(device.serial.as_str()).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bluetooth_that_cannot_be_used_is_told_by_its_cause_with_its_own_exit_code() {
    let mut site = Site::open("[[device]]\nserial = \"A\"").await;
    let adapter = site.sandbox.radio().adapter("hci0").unwrap().clone();
    adapter.update(|now| now.powered = false);
    unusable(&site, "adapter-off").await;
    adapter.update(|now| now.present = false);
    unusable(&site, "no-adapter").await;
    adapter.update(|now| (now.present, now.powered) = (true, true));
    site.sandbox.radio().bluez().kill_service().await;
    unusable(&site, "no-bluetooth-service").await;
    let status = site.status();
    assert!(status.claims.is_empty() && status.things.is_empty(), "{status:?}");
}

async fn unusable(site: &Site, code: &str) {
    let run = site.commission(&[]).await.exits(5);
    assert_eq!(run.ended("A"), ("failed", code));
    let failure = &run.events("finished")[0]["failure"];
    for words in ["what", "why", "now"] {
        assert!(
            failure[words].as_str().is_some_and(|text| text.len() > 10),
            "{failure}"
        );
    }
    let scan = site.run(&["scan", "--for", "5"]).await.exits(5);
    let error = scan.last("error");
    assert_eq!(error["code"], code);
    assert!(
        error["now"].as_str().is_some_and(|text| text.len() > 10),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_adapter_goes_off_on_the_way_goes_on_by_itself_when_it_is_back() {
    let mut site = Site::open("[[device]]\ncount = 3\nserial = \"D{n}\"").await;
    let adapter = site.sandbox.radio().adapter("hci0").unwrap().clone();
    let paper = site.paper(&site.labels(&[]));
    let mut running = site.start(&["commission", "--labels", &paper, "--links", "1"]);
    running.close_input();
    // The lid is closed while one device is in work and two wait for its link.
    running.until_stage("identifying").await;
    adapter.update(|now| now.powered = false);
    let paused = running
        .until(|line| line["type"] == "radio" && line["paused"] == true)
        .await;
    assert_eq!(paused["failure"]["code"], "adapter-off");
    adapter.update(|now| now.powered = true);
    running
        .until(|line| line["type"] == "radio" && line["paused"] == false)
        .await;
    let run = running.end().await.exits(0);
    assert_eq!(run.last("summary")["done"], 3);
    for device in site.status().devices {
        assert_eq!(site.missing(device.serial.as_str()), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_does_not_blink_over_the_head_of_the_program_that_works_on_it() {
    let site = Site::open("[[device]]\nserial = \"A\"").await;
    let labels = site.labels(&["A"]);
    let name = labels[0]["name"].as_str().unwrap();
    let paper = site.paper(&labels);
    let mut running = site.start(&["commission", "--labels", &paper]);
    running.close_input();
    running.until_stage("proving").await;
    let refused = site.run(&["identify", name]).await.exits(7);
    assert_eq!(refused.last("error")["code"], "in-use");
    let run = running.end().await.exits(0);
    assert!(run.events("retrying").is_empty(), "{}", run.stdout);
}
