//! The journey of a device through the cloud, end to end: claim, enrolment, presence, release, service, transfer.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use reqwest::Method;
use sandbox::cloud::registry::{CertificateStatus, ClaimState, Orphan};
use sandbox::cloud::{CloudConfig, CloudFaults, HangUp, MakerDevice, Owner};
use serde_json::{Value, json};

use crate::app::{App, site, site_with};
use crate::device::{Device, Encoding, Keys, Seen, Version, enrol};

fn kinds(watched: &Value) -> Vec<&str> {
    watched["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn devices_enrol_in_both_versions_and_both_encodings_and_are_seen_online() {
    let (cloud, _, anna) = site(&["FK-1", "FK-2", "FK-3", "FK-4"]).await;
    for (serial, version, encoding, with_csr) in [
        ("FK-1", Version::V3, Encoding::Json, false),
        ("FK-2", Version::V3, Encoding::Cbor, true),
        ("FK-3", Version::V5, Encoding::Json, true),
        ("FK-4", Version::V5, Encoding::Cbor, false),
    ] {
        let claim = anna.claim(serial, "new").await;
        let mut device = Device::connect(&cloud, version, "first", &Keys::of_claim(&claim))
            .await
            .ok()
            .unwrap();
        device.encoding = encoding;
        let own = KeyPair::generate().unwrap();
        let created = if with_csr {
            let csr = CertificateParams::new(vec![])
                .unwrap()
                .serialize_request(&own)
                .unwrap();
            let created = device.create_from(&csr.pem().unwrap()).await.unwrap();
            assert!(created.get("privateKey").is_none(), "the key is the device's own");
            created
        } else {
            device.create().await.unwrap()
        };
        let id = created["certificateId"].as_str().unwrap();
        let registered = device
            .register(&created["certificateOwnershipToken"], serial)
            .await
            .unwrap();
        let configuration = json!({"dataTopic": format!("dt/{serial}/state")});
        assert_eq!(
            registered,
            json!({"thingName": serial, "deviceConfiguration": configuration})
        );
        device.disconnect().await;

        let keys = Keys {
            certificate: created["certificatePem"].as_str().unwrap().into(),
            key: created["privateKey"]
                .as_str()
                .map_or(own.serialize_pem(), Into::into),
        };
        let mut device = Device::connect(&cloud, version, serial, &keys)
            .await
            .ok()
            .unwrap();
        let topic = registered["deviceConfiguration"]["dataTopic"].as_str().unwrap();
        assert_eq!(device.publish(topic, b"{}".to_vec()).await, Seen::Acknowledged);

        let watched = anna.watch(&claim, "data-seen").await;
        assert_eq!(
            kinds(&watched),
            [
                "cloud-reached",
                "identity-issued",
                "registered",
                "online",
                "data-seen"
            ]
        );
        assert_eq!(watched["state"], "used");
        let thing = &watched["thing"];
        assert_eq!(thing["principals"], json!([{"id": id, "status": "ACTIVE"}]));
        assert_eq!(
            (&thing["connected"], &thing["connectedPrincipal"]),
            (&json!(true), &json!(id))
        );
        device.disconnect().await;
        let watched = anna.watch(&claim, "offline").await;
        assert_eq!(watched["thing"]["connected"], false);
        assert!(watched["thing"]["lastConnectedAt"].is_i64());
    }
    let registry = cloud.registry().inspect();
    assert_eq!(registry.orphans, []);
    let claims: Vec<_> = registry
        .claims
        .iter()
        .map(|claim| &claim.certificate_id)
        .collect();
    for thing in &registry.things {
        let [active] = &thing.active[..] else {
            panic!("{thing:?}")
        };
        assert!(!claims.contains(&active));
    }
}

#[tokio::test]
async fn who_is_connected_is_counted_by_the_clients_name_whoevers_certificate_it_came_with() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let mut device = Device::connect(&cloud, Version::V5, "FK-1", &Keys::of_claim(&claim))
        .await
        .ok()
        .unwrap();
    let created = device.create().await.unwrap();
    let (token, id) = (&created["certificateOwnershipToken"], &created["certificateId"]);
    device.register(token, "FK-1").await.unwrap();

    let watched = anna.watch(&claim, "registered").await;
    assert!(!kinds(&watched).contains(&"online"), "{watched}");
    let registry = cloud.registry().inspect();
    let of_claim = &registry.claims[0].certificate_id;
    let thing = &watched["thing"];
    assert_eq!(
        (&thing["connected"], &thing["connectedPrincipal"]),
        (&json!(true), &json!(of_claim))
    );
    assert_eq!(registry.things[0].connected.as_ref(), Some(of_claim));

    // Its own certificate under the same name takes over.
    let keys = Keys {
        certificate: created["certificatePem"].as_str().unwrap().into(),
        key: created["privateKey"].as_str().unwrap().into(),
    };
    let _own = Device::connect(&cloud, Version::V5, "FK-1", &keys)
        .await
        .ok()
        .unwrap();
    let watched = anna.watch(&claim, "online").await;
    assert_eq!(&watched["thing"]["connectedPrincipal"], id);
    assert!(matches!(device.next().await, Seen::Goodbye(_) | Seen::Closed(_)));
    let registry = cloud.registry().inspect();
    assert_eq!(registry.things[0].connected.as_deref(), id.as_str());
}

#[tokio::test]
async fn an_answer_that_nobody_subscribed_to_is_lost() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let keys = Keys::of_claim(&claim);
    let mut hasty = Device::connect(&cloud, Version::V5, "hasty", &keys)
        .await
        .ok()
        .unwrap();
    let mut other = Device::connect(&cloud, Version::V5, "other", &keys)
        .await
        .ok()
        .unwrap();
    let topic = "$aws/certificates/create/json";
    assert_eq!(other.subscribe(&format!("{topic}/#")).await, Seen::Granted(true));
    assert_eq!(hasty.publish(topic, Vec::new()).await, Seen::Acknowledged);
    // Were the answer kept or sent to others, it would come before the answer to this one.
    assert!(hasty.create().await.is_ok());
    assert_eq!(
        other.subscribe("$aws/certificates/create/cbor/accepted").await,
        Seen::Granted(true)
    );
}

#[tokio::test]
async fn an_ownership_token_works_once_and_a_claim_too() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let mut device = Device::connect(&cloud, Version::V5, "d", &Keys::of_claim(&claim))
        .await
        .ok()
        .unwrap();
    let wrong = device.register(&json!("no-token"), "FK-1").await.unwrap_err();
    assert_eq!(wrong["errorCode"], "InvalidCertificateOwnershipToken");
    assert_eq!(wrong["statusCode"], 400);

    let first = device.create().await.unwrap();
    let second = device.create().await.unwrap();
    device
        .register(&first["certificateOwnershipToken"], "FK-1")
        .await
        .unwrap();
    let again = device
        .register(&first["certificateOwnershipToken"], "FK-1")
        .await
        .unwrap_err();
    assert_eq!(again["errorCode"], "InvalidCertificateOwnershipToken");
    // The second token is good, but the hook lets a claim through only once.
    let refused = device
        .register(&second["certificateOwnershipToken"], "FK-1")
        .await
        .unwrap_err();
    assert_eq!(
        (&refused["statusCode"], &refused["errorCode"]),
        (&json!(403), &json!("AccessDenied"))
    );

    let second_id = second["certificateId"].as_str().unwrap().to_owned();
    assert_eq!(
        cloud.registry().inspect().orphans,
        [Orphan::Pending {
            certificate: second_id
        }]
    );
    anna.retire(&claim).await;
    let registry = cloud.registry().inspect();
    assert_eq!(registry.orphans, []);
    assert_eq!(registry.claims[0].state, ClaimState::Used);
}

#[tokio::test]
async fn an_ownership_token_dies_and_takes_its_certificate_along() {
    let config = CloudConfig {
        devices: vec![MakerDevice::new("FK-1")],
        ownership_token_life: Duration::ZERO,
        ..CloudConfig::default()
    };
    let (cloud, _, anna) = site_with(config).await;
    let claim = anna.claim("FK-1", "new").await;
    let mut device = Device::connect(&cloud, Version::V3, "d", &Keys::of_claim(&claim))
        .await
        .ok()
        .unwrap();
    let created = device.create().await.unwrap();
    let late = device
        .register(&created["certificateOwnershipToken"], "FK-1")
        .await
        .unwrap_err();
    assert_eq!(late["errorCode"], "InvalidCertificateOwnershipToken");
    assert_eq!(cloud.registry().inspect().orphans, []);
}

#[tokio::test]
async fn the_hook_binds_a_claim_to_its_serial() {
    let (cloud, _, anna) = site(&["FK-1", "FK-2"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let mut device = Device::connect(&cloud, Version::V5, "d", &Keys::of_claim(&claim))
        .await
        .ok()
        .unwrap();
    let token = device.create().await.unwrap()["certificateOwnershipToken"].clone();
    let refused = device.register(&token, "FK-2").await.unwrap_err();
    assert_eq!(refused["errorCode"], "AccessDenied");
    let watched = anna.watch(&claim, "refused").await;
    assert_eq!(
        watched["events"].as_array().unwrap().last().unwrap()["code"],
        "AccessDenied"
    );
    assert_eq!(watched["state"], "issued");

    cloud
        .faults()
        .change(|faults| faults.hook_refuses.extend(["FK-1".into()]));
    let refused = device.register(&token, "FK-1").await.unwrap_err();
    assert_eq!(refused["errorCode"], "AccessDenied");
    cloud.faults().set(CloudFaults::default());
    device.register(&token, "FK-1").await.unwrap();
}

#[tokio::test]
async fn rejections_carry_the_codes_of_the_field() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let mut device = Device::connect(&cloud, Version::V5, "d", &Keys::of_claim(&claim))
            .await
            .ok()
            .unwrap();
        device.encoding = encoding;
        let code = |answer: Result<Value, Value>| answer.unwrap_err()["errorCode"].clone();
        assert_eq!(
            code(device.operate("certificates/create", json!("x")).await),
            "InvalidPayload"
        );
        let bad_csr = device.create_from("no request").await;
        assert_eq!(code(bad_csr), "InvalidCertificateSigningRequest");
        let provision = "provisioning-templates/FieldkeyTemplate/provision";
        assert_eq!(code(device.operate(provision, json!({})).await), "InvalidPayload");

        let token = device.create().await.unwrap()["certificateOwnershipToken"].clone();
        cloud.faults().change(|faults| faults.template_disabled = true);
        assert_eq!(code(device.register(&token, "FK-1").await), "InvalidTemplate");
        cloud.faults().change(|faults| {
            faults.template_disabled = false;
            faults.register_rejected = Some("ThrottlingException".into());
        });
        assert_eq!(code(device.register(&token, "FK-1").await), "ThrottlingException");
        cloud.faults().set(CloudFaults::default());
        device.disconnect().await;
    }
}

#[tokio::test]
async fn a_template_that_needs_more_than_it_gets_says_what() {
    let body = r#"{
        "Parameters": {"SerialNumber": {"Type": "String"}, "Floor": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Fn::Join": ["-", ["f", {"Ref": "Floor"}]]}}},
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {}}
        }
    }"#;
    let devices = vec![MakerDevice::new("FK-1")];
    let config = CloudConfig {
        devices,
        template_body: body.into(),
        ..CloudConfig::default()
    };
    let (cloud, _, anna) = site_with(config).await;
    let claim = anna.claim("FK-1", "new").await;
    let mut device = Device::connect(&cloud, Version::V3, "d", &Keys::of_claim(&claim))
        .await
        .ok()
        .unwrap();
    let token = device.create().await.unwrap()["certificateOwnershipToken"].clone();
    let refused = device.register(&token, "FK-1").await.unwrap_err();
    assert_eq!(refused["errorCode"], "InvalidParameters");
    assert!(refused["errorMessage"].as_str().unwrap().contains("Floor"));
    assert_eq!(cloud.registry().inspect().things, []);
}

#[tokio::test]
async fn nothing_is_released_before_it_was_seen_online() {
    let (cloud, config, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let release = async |claim: &Value| {
        anna.post("/v1/things/FK-1/release", json!({"claimId": claim["claimId"]}))
            .await
    };
    assert_eq!(release(&claim).await.problem(), (404, "thing-not-found"));
    let keys = enrol(&cloud, &claim, "FK-1").await;
    assert_eq!(release(&claim).await.problem(), (409, "not-verified"));
    let sam = App::signed_in(&cloud, &config, "sam").await;
    assert_eq!(sam.get("/v1/things").await.ok(200), json!({"things": []}));

    let _device = Device::connect(&cloud, Version::V5, "FK-1", &keys)
        .await
        .ok()
        .unwrap();
    anna.watch(&claim, "online").await;
    let released = release(&claim).await.ok(200);
    assert_eq!(release(&claim).await.ok(200), released);
    let things = sam.get("/v1/things").await.ok(200);
    assert_eq!(things["things"][0]["name"], "FK-1");
    assert_eq!(things["things"][0]["releasedAt"], released["releasedAt"]);
    assert_eq!(anna.ask("FK-1", "new").await.problem(), (409, "already-enrolled"));
    assert_eq!(anna.get("/v1/devices/FK-1").await.ok(200)["owner"], "self");
}

#[tokio::test]
async fn a_service_visit_brings_the_new_credential_before_the_old_one_goes() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let first = anna.claim("FK-1", "new").await;
    let old_keys = enrol(&cloud, &first, "FK-1").await;
    let mut old = Device::connect(&cloud, Version::V5, "FK-1", &old_keys)
        .await
        .ok()
        .unwrap();
    anna.watch(&first, "online").await;
    let old_id = anna.get("/v1/devices/FK-1").await.ok(200)["thing"]["principals"][0]["id"].clone();
    let old_id = old_id.as_str().unwrap();

    let visit = anna.claim("FK-1", "service").await;
    let new_keys = enrol(&cloud, &visit, "FK-1").await;
    let path = format!("/v1/things/FK-1/principals/{old_id}");
    let under = json!({"claimId": visit["claimId"]});
    let deactivate = format!("{path}/deactivate");
    assert_eq!(
        anna.post(&deactivate, under.clone()).await.problem(),
        (409, "not-verified")
    );
    assert_eq!(
        anna.post(&deactivate, json!({})).await.problem(),
        (403, "role-lacks-right")
    );
    let release = anna.post("/v1/things/FK-1/release", under.clone()).await;
    assert_eq!(release.problem(), (409, "not-verified"));
    assert!(release.body["detail"].as_str().unwrap().contains("2 active"));

    let mut new = Device::connect(&cloud, Version::V5, "FK-1", &new_keys)
        .await
        .ok()
        .unwrap();
    // One client id, one connection: the older goes.
    assert!(matches!(old.next().await, Seen::Goodbye(reason) if reason == "SessionTakenOver"));
    anna.watch(&visit, "online").await;
    let delete = format!("{path}?claimId={}", visit["claimId"].as_str().unwrap());
    assert_eq!(
        anna.call(Method::DELETE, &delete, None).await.problem(),
        (409, "still-active")
    );
    let thing = anna.post(&deactivate, under.clone()).await.ok(200);
    assert_eq!(
        thing["principals"][0],
        json!({"id": old_id, "status": "INACTIVE"})
    );
    // Undone and done again, as when the new one turns out not to work.
    let thing = anna
        .post(&format!("{path}/activate"), under.clone())
        .await
        .ok(200);
    assert_eq!(thing["principals"][0]["status"], "ACTIVE");
    anna.post(&deactivate, under.clone()).await.ok(200);
    assert!(
        Device::connect(&cloud, Version::V5, "FK-1", &old_keys)
            .await
            .is_err()
    );

    let thing = anna.call(Method::DELETE, &delete, None).await.ok(200);
    assert_eq!(thing["principals"].as_array().unwrap().len(), 1);
    anna.call(Method::DELETE, &delete, None).await.ok(200);
    anna.post("/v1/things/FK-1/release", under).await.ok(200);
    assert_eq!(cloud.registry().inspect().orphans, []);
    assert_eq!(
        new.publish("dt/FK-1/state", b"1".to_vec()).await,
        Seen::Acknowledged
    );
}

#[tokio::test]
async fn a_transfer_takes_the_old_credential_away_first() {
    let (cloud, config, anna) = site(&["FK-1"]).await;
    let first = anna.claim("FK-1", "new").await;
    let keys = enrol(&cloud, &first, "FK-1").await;
    let mut device = Device::connect(&cloud, Version::V5, "FK-1", &keys)
        .await
        .ok()
        .unwrap();
    anna.watch(&first, "online").await;
    anna.post("/v1/things/FK-1/release", json!({"claimId": first["claimId"]}))
        .await
        .ok(200);

    let sam = App::signed_in(&cloud, &config, "sam").await;
    let transfer = sam.claim("FK-1", "transfer").await;
    let thing = sam.get("/v1/devices/FK-1").await.ok(200)["thing"].clone();
    let old = thing["principals"][0]["id"].as_str().unwrap();
    let path = format!("/v1/things/FK-1/principals/{old}/deactivate");
    let under = json!({"claimId": transfer["claimId"]});
    assert_eq!(
        anna.post(&path, under.clone()).await.problem(),
        (403, "role-lacks-right")
    );
    sam.post(&path, under).await.ok(200);
    assert!(matches!(device.next().await, Seen::Goodbye(reason) if reason == "AdministrativeAction"));

    enrol(&cloud, &transfer, "FK-1").await;
    assert_eq!(sam.get("/v1/things").await.ok(200), json!({"things": []}));
    let registry = cloud.registry().inspect();
    assert_eq!(registry.things[0].active.len(), 1);
    assert_eq!(registry.things[0].certificates[0].1, CertificateStatus::Inactive);
}

#[tokio::test]
async fn a_device_of_another_owner_comes_over_by_transfer() {
    let devices = vec![MakerDevice {
        owner: Owner::Other,
        ..MakerDevice::new("FK-1")
    }];
    let (cloud, config, _) = site_with(CloudConfig {
        devices,
        ..CloudConfig::default()
    })
    .await;
    let sam = App::signed_in(&cloud, &config, "sam").await;
    assert_eq!(sam.get("/v1/devices/FK-1").await.ok(200)["owner"], "other");
    let claim = sam.claim("FK-1", "transfer").await;
    enrol(&cloud, &claim, "FK-1").await;
    assert_eq!(sam.get("/v1/devices/FK-1").await.ok(200)["owner"], "self");
}

#[tokio::test]
async fn the_server_hangs_up_where_it_is_told_to_and_the_rest_can_be_told_from_outside() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let keys = Keys::of_claim(&claim);
    let hang_up = |place| {
        cloud.faults().set(CloudFaults {
            mqtt_hang_up: Some(place),
            mqtt_hang_ups_left: 1,
            ..CloudFaults::default()
        });
    };
    hang_up(HangUp::ClaimConnect);
    assert!(matches!(
        Device::connect(&cloud, Version::V5, "d", &keys).await,
        Err(Seen::Closed(_))
    ));
    let mut device = Device::connect(&cloud, Version::V5, "d", &keys)
        .await
        .ok()
        .unwrap();
    hang_up(HangUp::Create);
    assert_eq!(
        device.publish("$aws/certificates/create/json", vec![]).await,
        Seen::Acknowledged
    );
    assert!(matches!(device.next().await, Seen::Closed(_)));

    let mut device = Device::connect(&cloud, Version::V5, "d", &keys)
        .await
        .ok()
        .unwrap();
    let token = device.create().await.unwrap()["certificateOwnershipToken"].clone();
    hang_up(HangUp::RegisterAfter);
    let body = json!({"certificateOwnershipToken": token, "parameters": {"SerialNumber": "FK-1"}});
    let topic = "$aws/provisioning-templates/FieldkeyTemplate/provision/json";
    let asked = device.publish(topic, serde_json::to_vec(&body).unwrap()).await;
    assert_eq!(asked, Seen::Acknowledged);
    assert!(matches!(device.next().await, Seen::Closed(_)));
    // The device knows nothing; the cloud knows.
    assert_eq!(anna.watch(&claim, "registered").await["state"], "used");
}

#[tokio::test]
async fn a_device_may_be_registered_and_never_seen() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    cloud.faults().change(|faults| faults.never_online = true);
    let claim = anna.claim("FK-1", "new").await;
    let keys = enrol(&cloud, &claim, "FK-1").await;
    assert!(matches!(
        Device::connect(&cloud, Version::V5, "FK-1", &keys).await,
        Err(Seen::Closed(_))
    ));
    let watched = anna.watch(&claim, "registered").await;
    assert_eq!(watched["thing"]["connected"], false);
    assert!(watched["thing"].get("lastConnectedAt").is_none());
}
