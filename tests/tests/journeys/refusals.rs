//! What cloud, maker, network and label refuse, each by its own code and with nothing left behind.

use journeys::Site;
use sandbox::cloud::CloudFaults;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_device_or_its_network_is_told_by_its_code_and_leaves_nothing() {
    let site = Site::open(
        r#"
        [[network]]
        ssid = "No DHCP"
        passphrase = "nobody-answers-here"
        manner = "no-address"

        [cloud.faults]
        hook_refuses = ["HOOKED"]

        [[device]]
        serial = "HOOKED"

        [[device]]
        serial = "NO-DHCP"

        [[device]]
        serial = "NOT-THERE"

        [[device]]
        serial = "OTHERS"
        owner = "other"

        [[device]]
        serial = "UNKNOWN"
        unknown = true

        [[device]]
        serial = "ORIGINAL"
        always_advertises = false

        [[device]]
        serial = "ORIGINAL"
        name = "FORGERY"
        clone = true

        [[device]]
        serial = "OLD"
        firmware = "1.9.0"
        min_firmware = "2.0.0"

        [[device]]
        serial = "MISLABELLED"

        [[device]]
        serial = "FULL"
        buffer = 64
        "#,
    )
    .await;
    drop(
        site.run_with(&["network", "remember", "No DHCP"], "nobody-answers-here")
            .await
            .exits(0),
    );
    drop(
        site.run_with(&["network", "remember", "Elsewhere"], "some-other-site")
            .await
            .exits(0),
    );
    let mut rows = site.labels(&[]);
    for row in &mut rows {
        match row["serial"].as_str().unwrap() {
            "NO-DHCP" => row["network"] = "No DHCP".into(),
            "NOT-THERE" => row["network"] = "Elsewhere".into(),
            "MISLABELLED" => row["serial"] = "SOMEONE-ELSE".into(),
            // The label of the original, on the forgery.
            "ORIGINAL" => {
                row["name"] = "FORGERY".into();
                let forgery = site.sandbox.devices().iter().find(|d| d.spec().name == "FORGERY");
                row["pop"] = forgery
                    .unwrap()
                    .spec()
                    .provisioning
                    .security
                    .pop()
                    .unwrap()
                    .reveal()
                    .into();
            }
            _ => {}
        }
    }
    let paper = site.paper(&rows);
    let run = site
        .run(&["commission", "--labels", &paper, "--links", "16"])
        .await
        .exits(1);
    for (device, code) in [
        ("HOOKED", "enrolment-refused"),
        ("NO-DHCP", "join-timeout"),
        ("NOT-THERE", "unanswered"),
        ("OTHERS", "owned-by-other"),
        ("UNKNOWN", "unknown-device"),
        ("FORGERY", "clone-suspected"),
        ("OLD", "firmware-too-old"),
        ("SOMEONE-ELSE", "label-mismatch"),
        ("FULL", "buffer-too-small"),
    ] {
        assert_eq!(run.ended(device), ("failed", code));
    }
    for device in site.status().devices {
        assert_eq!(site.left(device.serial.as_str()), [""; 0]);
    }
    assert!(site.status().things.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_dies_on_the_way_is_replaced_without_starting_again() {
    let mut site = Site::open("[[device]]\nserial = \"A\"\nkeep_link = true").await;
    site.sandbox.cloud().faults().change(|now| now.expire_first = 1);
    let run = site.commission(&[]).await.exits(0);
    assert_eq!(run.ended("A"), ("done", ""));
    assert_eq!(site.missing("A"), [""; 0]);
    assert_eq!(site.links("A").len(), 1, "the same link");
    assert_eq!(site.status().claims.len(), 2, "{:?}", site.status().claims);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_claim_ends_the_device_and_a_template_that_is_off_ends_it_before_it_is_touched() {
    let mut site = Site::open("[[device]]\nserial = \"A\"").await;
    let faults = site.sandbox.cloud().faults();
    faults.change(|now| now.claim_refused = Some(serde_json::from_value("claim-refused".into()).unwrap()));
    let run = site.commission(&[]).await.exits(1);
    assert_eq!(run.ended("A"), ("failed", "claim-refused"));
    assert_eq!(site.left("A"), [""; 0]);

    let before = site.links("A").len();
    faults.set(CloudFaults {
        template_disabled: true,
        ..CloudFaults::default()
    });
    let run = site.commission(&[]).await.exits(6);
    assert_eq!(run.last("error")["code"], "template-disabled");
    assert_eq!(site.links("A").len(), before, "no device was touched");

    faults.set(CloudFaults::default());
    let run = site.commission(&[]).await.exits(0);
    assert_eq!(run.ended("A"), ("done", ""));
}
