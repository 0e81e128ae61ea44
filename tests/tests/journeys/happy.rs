//! Devices with nothing wrong, and devices that are refused for what they are.

use journeys::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_allowed_scheme_and_limit_ends_enrolled_under_one_certificate() {
    let site = Site::open(
        r#"
        [policy]
        allow-nonce-reuse = true

        [[device]]
        serial = "SEC1"
        security = 1

        [[device]]
        serial = "SEC2-PATCHED"
        security = 2

        [[device]]
        serial = "SEC2-UNPATCHED"
        security = 2
        patch = 0

        [[device]]
        serial = "LIMIT-257"
        security = 1
        stack = "bluedroid"
        value_limit = 257

        [[device]]
        serial = "LIMIT-481"
        security = 2
        stack = "bluedroid"
        value_limit = 481

        [[device]]
        serial = "KEEPS-ITS-LINK"
        keep_link = true
        mqtt = "5"
        payload = "cbor"
        key = "keys"
        "#,
    )
    .await;
    let run = site.commission(&[]).await.exits(0);
    for device in site.status().devices {
        assert_eq!(run.ended(device.serial.as_str()), ("done", ""));
        assert_eq!(site.missing(device.serial.as_str()), [""; 0]);
    }
    // The keys themselves reach the cloud, which holds them against the hashes by which the maker knows the devices.
    let claims = site.sandbox.cloud().registry().inspect().claims;
    assert!(claims.iter().all(|claim| claim.keys.public_key.is_some()));
    assert_eq!(site.status().shortcomings(), [""; 0]);
    drop(site.run(&["journal", "--verify"]).await.exits(0));
    site.run(&["resume"]).await.exits(0).last("nothing-open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_would_weaken_the_rules_is_refused_by_name_and_gets_nothing() {
    let mut site = Site::open(
        r#"
        [[device]]
        serial = "UNENCRYPTED"
        security = 0

        [[device]]
        serial = "NO-POP"
        security = 1
        no_pop = true

        [[device]]
        serial = "NONCE-REUSE"
        security = 2
        patch = 0

        [[device]]
        serial = "PLAIN"
        security = 1
        plain = true
        "#,
    )
    .await;
    let run = site.commission(&[]).await.exits(1);
    for (serial, code) in [
        ("UNENCRYPTED", "unencrypted"),
        ("NO-POP", "unproven"),
        ("NONCE-REUSE", "nonce-reuse"),
        ("PLAIN", "credentials-unsupported"),
    ] {
        assert_eq!(run.ended(serial), ("failed", code));
        assert_eq!(site.links(serial).len(), 1, "{serial} is not tried again");
    }
    let status = site.status();
    assert!(status.claims.is_empty() && status.things.is_empty(), "{status:?}");
    assert!(
        status.devices.iter().all(|device| device.wifi == "idle"),
        "{status:?}"
    );
}
