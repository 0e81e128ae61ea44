//! Devices that have an identity already.

use journeys::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_visit_brings_the_new_identity_before_the_old_one_goes_off() {
    let site = Site::open("[[device]]\nserial = \"A\"").await;
    drop(site.commission(&[]).await.exits(0));
    let old = site.status().things[0].active.clone();
    site.sandbox.device("A").unwrap().press_button();

    let refused = site.commission(&[]).await.exits(1);
    assert_eq!(refused.ended("A"), ("failed", "already-commissioned"));
    assert_eq!(site.status().things[0].active, old, "a refusal changes nothing");

    let paper = site.paper(&site.labels(&[]));
    let visit = ["commission", "--labels", &paper, "--purpose", "service"];
    let run = site.run(&visit).await.exits(0);
    assert_eq!(run.ended("A"), ("done", ""));
    assert_eq!(site.missing("A"), [""; 0]);
    let thing = &site.status().things[0];
    assert_ne!(thing.active, old);
    assert!(
        thing.certificates.contains(&(old[0].clone(), "INACTIVE".into())),
        "{thing:?}"
    );
    site.until(|status| status.shortcomings().is_empty()).await;

    let job = run.result("A")["job"].as_str().unwrap().to_owned();
    let journal = site.run(&["journal", "--job", &job]).await.exits(0);
    let at = |wanted: &dyn Fn(&serde_json::Value) -> bool| journal.lines.iter().position(wanted).unwrap();
    let online = at(&|line| line["evidence"]["fact"] == "seen-online");
    let off = at(&|line| line["step"] == "deactivating");
    assert!(online < off, "new before old: {}", journal.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_switches_the_old_identity_off_before_the_new_one_comes() {
    let site = Site::open("[[device]]\nserial = \"A\"").await;
    drop(site.commission(&[]).await.exits(0));
    let old = site.status().things[0].active.clone();
    site.sandbox.device("A").unwrap().press_button();
    // To take a device from its owner is for support alone.
    let paper = site.paper(&site.labels(&[]));
    let transfer = ["commission", "--labels", &paper, "--purpose", "transfer"];
    let refused = site.run(&transfer).await.exits(1);
    assert_eq!(refused.ended("A"), ("failed", "cloud-error"));
    assert_eq!(site.status().things[0].active, old, "a refusal changes nothing");
    site.sign_in_as("sam").await;
    let run = site.run(&transfer).await.exits(0);
    assert_eq!(site.missing("A"), [""; 0]);
    assert_ne!(site.status().things[0].active, old);
    let job = run.result("A")["job"].as_str().unwrap().to_owned();
    let journal = site.run(&["journal", "--job", &job]).await.exits(0);
    let at = |wanted: &dyn Fn(&serde_json::Value) -> bool| journal.lines.iter().position(wanted).unwrap();
    let off = at(&|line| line["step"] == "deactivating");
    let sent = at(&|line| line["step"] == "sending-claim");
    assert!(off < sent, "old before new: {}", journal.stdout);
}
