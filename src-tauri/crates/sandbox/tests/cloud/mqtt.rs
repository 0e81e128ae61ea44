//! The MQTT server's rules: who may connect, which topics, keep-alive, limits, the death of a claim.

use std::sync::Arc;

use sandbox::ca::Authority;
use sandbox::cloud::tls::trusting_as;
use sandbox::cloud::{Cloud, CloudConfig, CloudFaults, Endpoint, MakerDevice};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::app::{App, PATIENCE, site, site_with};
use crate::device::{Device, Keys, Seen, Version, enrol};

const CREATE: &str = "$aws/certificates/create/json";

#[tokio::test]
async fn only_certificates_that_are_good_now_open_a_connection() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    for version in [Version::V3, Version::V5] {
        let stranger = Authority::new("stranger").unwrap().client("FK-1").unwrap();
        let stranger = Keys {
            certificate: stranger.certificate.pem,
            key: stranger.private_key.reveal().into(),
        };
        assert!(matches!(
            Device::connect(&cloud, version, "FK-1", &stranger).await,
            Err(Seen::Closed(_))
        ));

        let claim = anna.claim("FK-1", "new").await;
        let keys = Keys::of_claim(&claim);
        let mut device = Device::connect(&cloud, version, "claim", &keys)
            .await
            .ok()
            .unwrap();
        let created = device.create().await.unwrap();
        let pending = Keys {
            certificate: created["certificatePem"].as_str().unwrap().into(),
            key: created["privateKey"].as_str().unwrap().into(),
        };
        assert!(matches!(
            Device::connect(&cloud, version, "FK-1", &pending).await,
            Err(Seen::Closed(_))
        ));

        anna.retire(&claim).await;
        // Whoever is in is put out, and stays out.
        let seen = device.next().await;
        match version {
            Version::V3 => assert!(matches!(seen, Seen::Closed(_)), "{seen:?}"),
            Version::V5 => assert_eq!(seen, Seen::Goodbye("AdministrativeAction".into())),
        }
        assert!(matches!(
            Device::connect(&cloud, version, "claim", &keys).await,
            Err(Seen::Closed(_))
        ));
        let watched = anna.watch(&claim, "refused").await;
        assert_eq!(
            watched["events"].as_array().unwrap().last().unwrap()["code"],
            "ClaimRetired"
        );
    }
    assert_eq!(cloud.registry().inspect().orphans, []);
}

#[tokio::test]
async fn a_permanent_certificate_connects_only_under_its_things_name() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let keys = enrol(&cloud, &claim, "FK-1").await;
    for version in [Version::V3, Version::V5] {
        assert!(Device::connect(&cloud, version, "FK-2", &keys).await.is_err());
        Device::connect(&cloud, version, "FK-1", &keys)
            .await
            .ok()
            .unwrap()
            .disconnect()
            .await;
    }
}

#[tokio::test]
async fn forbidden_topics_close_the_connection_on_3_1_1_and_are_refused_on_5() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let keys = Keys::of_claim(&claim);
    let foreign = "$aws/provisioning-templates/Other/provision/json";

    let mut five = Device::connect(&cloud, Version::V5, "five", &keys)
        .await
        .ok()
        .unwrap();
    assert_eq!(five.subscribe("#").await, Seen::Granted(false));
    assert_eq!(five.publish(foreign, vec![]).await, Seen::Forbidden);
    assert!(five.create().await.is_ok(), "the connection stays");

    let mut three = Device::connect(&cloud, Version::V3, "three", &keys)
        .await
        .ok()
        .unwrap();
    assert!(matches!(three.subscribe("dt/+/state").await, Seen::Closed(_)));
    let mut three = Device::connect(&cloud, Version::V3, "three", &keys)
        .await
        .ok()
        .unwrap();
    assert!(matches!(three.publish(foreign, vec![]).await, Seen::Closed(_)));

    let watched = anna.watch(&claim, "refused").await;
    let codes: Vec<_> = watched["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["code"].as_str())
        .collect();
    assert_eq!(codes, ["TopicForbidden"; 4]);
}

#[tokio::test]
async fn a_device_cannot_speak_for_another_or_ask_for_certificates() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let keys = enrol(&cloud, &claim, "FK-1").await;
    let mut device = Device::connect(&cloud, Version::V5, "FK-1", &keys)
        .await
        .ok()
        .unwrap();
    assert_eq!(device.publish("dt/FK-2/state", vec![]).await, Seen::Forbidden);
    assert_eq!(device.publish(CREATE, vec![]).await, Seen::Forbidden);
    assert_eq!(device.subscribe("cmd/FK-1/#").await, Seen::Granted(true));
    assert_eq!(device.publish("dt/FK-1/state", vec![]).await, Seen::Acknowledged);
}

#[tokio::test]
async fn a_claim_that_ran_out_says_one_last_word() {
    let (cloud, _, anna) = site(&["FK-1", "FK-2"]).await;
    // Long enough to connect on a machine that has other things to do.
    cloud.faults().change(|faults| faults.claim_life_ms = Some(3_000));
    let mut devices = Vec::new();
    for (serial, version) in [("FK-1", Version::V3), ("FK-2", Version::V5)] {
        let claim = anna.claim(serial, "new").await;
        let keys = Keys::of_claim(&claim);
        let device = Device::connect(&cloud, version, serial, &keys)
            .await
            .ok()
            .unwrap();
        devices.push((version, claim, keys, device));
    }
    for (version, claim, keys, mut device) in devices {
        wait_for_state(&anna, &claim, "expired").await;
        assert_eq!(device.publish(CREATE, vec![]).await, Seen::Acknowledged);
        assert!(matches!(device.next().await, Seen::Closed(_)));
        assert!(matches!(
            Device::connect(&cloud, version, "d", &keys).await,
            Err(Seen::Closed(_))
        ));
        let watched = anna.watch(&claim, "refused").await;
        assert_eq!(
            watched["events"].as_array().unwrap().last().unwrap()["code"],
            "ClaimExpired"
        );
    }
}

#[tokio::test]
async fn claims_can_be_dead_on_arrival_whatever_was_promised() {
    let faults = CloudFaults {
        expire_first: 1,
        ..CloudFaults::default()
    };
    let devices = vec![MakerDevice::new("FK-1")];
    let (cloud, _, anna) = site_with(CloudConfig {
        devices,
        faults,
        ..CloudConfig::default()
    })
    .await;
    let claim = anna.claim("FK-1", "new").await;
    assert_eq!(
        claim["expiresAt"].as_i64().unwrap() - claim["issuedAt"].as_i64().unwrap(),
        300
    );
    let dead = Device::connect(&cloud, Version::V5, "d", &Keys::of_claim(&claim)).await;
    assert!(matches!(dead, Err(Seen::Closed(_))));
}

#[tokio::test]
async fn whoever_is_silent_for_too_long_is_let_go() {
    let devices = vec![MakerDevice::new("FK-1")];
    let config = CloudConfig {
        devices,
        keep_alive: 1..=1,
        ..CloudConfig::default()
    };
    let (cloud, _, anna) = site_with(config).await;
    let claim = anna.claim("FK-1", "new").await;
    let keys = Keys::of_claim(&claim);
    // CONNECT with a keep-alive of 60 s, and not a word after it.
    let three = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01d";
    let five = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01e";
    let (three, five) = tokio::join!(raw(&cloud, &keys, three), raw(&cloud, &keys, five));
    assert_eq!(three, [0x20, 2, 0, 0], "accepted, then let go without a word");
    assert_eq!(five.first(), Some(&0x20));
    // DISCONNECT with reason 0x8D, keep alive timeout (MQTT 5.0, 3.14.2.1).
    assert!(
        five.windows(3).any(|it| matches!(it, [0xe0, _, 0x8d])),
        "{five:x?}"
    );
}

#[tokio::test]
async fn payloads_over_128_kb_end_the_connection() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let keys = enrol(&cloud, &claim, "FK-1").await;
    for version in [Version::V3, Version::V5] {
        let mut device = Device::connect(&cloud, version, "FK-1", &keys)
            .await
            .ok()
            .unwrap();
        assert_eq!(
            device.publish("dt/FK-1/state", vec![0; 131_072]).await,
            Seen::Acknowledged
        );
        let seen = device.publish("dt/FK-1/state", vec![0; 131_073]).await;
        assert!(matches!(seen, Seen::Closed(_) | Seen::Goodbye(_)), "{seen:?}");
    }
}

#[tokio::test]
async fn a_second_connection_with_one_client_id_puts_the_first_out() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let keys = Keys::of_claim(&claim);
    for version in [Version::V3, Version::V5] {
        let mut first = Device::connect(&cloud, version, "same", &keys)
            .await
            .ok()
            .unwrap();
        let mut second = Device::connect(&cloud, version, "same", &keys)
            .await
            .ok()
            .unwrap();
        let seen = first.next().await;
        match version {
            Version::V3 => assert!(matches!(seen, Seen::Closed(_)), "{seen:?}"),
            Version::V5 => assert_eq!(seen, Seen::Goodbye("SessionTakenOver".into())),
        }
        assert!(second.create().await.is_ok());
        drop(first);
        second.disconnect().await;
    }
}

#[tokio::test]
async fn a_device_that_comes_again_before_it_was_missed_stays_online() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let keys = enrol(&cloud, &claim, "FK-1").await;
    let mut first = Device::connect(&cloud, Version::V5, "FK-1", &keys)
        .await
        .ok()
        .unwrap();
    anna.watch(&claim, "online").await;
    let mut second = Device::connect(&cloud, Version::V5, "FK-1", &keys)
        .await
        .ok()
        .unwrap();
    assert_eq!(first.next().await, Seen::Goodbye("SessionTakenOver".into()));
    drop(first);
    assert_eq!(second.publish("dt/FK-1/state", vec![]).await, Seen::Acknowledged);
    let watched = anna.watch(&claim, "data-seen").await;
    assert_eq!(watched["thing"]["connected"], true);
    assert!(!watched.to_string().contains("offline"), "{watched}");
}

#[tokio::test]
async fn a_server_that_is_down_takes_nobody_and_comes_back() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let elsewhere = Endpoint {
        host: "localhost".into(),
        port: 9,
    };
    cloud.faults().change(|faults| {
        faults.mqtt_down = true;
        faults.claim_endpoint = Some(elsewhere);
    });
    let claim = anna.claim("FK-1", "new").await;
    assert_eq!(claim["endpoint"]["port"], 9);
    let keys = Keys::of_claim(&claim);
    assert!(matches!(
        Device::connect(&cloud, Version::V5, "d", &keys).await,
        Err(Seen::Closed(_))
    ));
    cloud.faults().change(|faults| faults.mqtt_down = false);
    assert!(Device::connect(&cloud, Version::V5, "d", &keys).await.is_ok());
}

#[tokio::test]
async fn bytes_that_are_no_mqtt_do_not_hurt_the_others() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let keys = Keys::of_claim(&claim);
    let mut good = Device::connect(&cloud, Version::V3, "good", &keys)
        .await
        .ok()
        .unwrap();

    let nonsense: [&[u8]; 4] = [
        // A remaining length of five bytes (MQTT 5.0, 1.5.5 allows four).
        &[0x10, 0xff, 0xff, 0xff, 0xff, 0x7f],
        // PUBLISH before CONNECT.
        &[0x30, 0x04, 0x00, 0x01, b'a', b'b'],
        // A CONNECT of a version that does not exist.
        b"\x10\x0d\x00\x04MQTT\x09\x02\x00\x3c\x00\x01d",
        // A packet type that the server never gets.
        &[0x20, 0x02, 0x00, 0x00],
    ];
    for bytes in nonsense {
        assert!(raw(&cloud, &keys, bytes).await.is_empty(), "{bytes:x?}");
    }
    // And plain TCP with no TLS at all.
    let mut tcp = TcpStream::connect(("127.0.0.1", cloud.mqtt.port)).await.unwrap();
    tcp.write_all(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
        .await
        .unwrap();
    assert!(good.create().await.is_ok());
}

#[tokio::test]
async fn a_cloud_that_stops_says_so() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let mut device = Device::connect(&cloud, Version::V5, "d", &Keys::of_claim(&claim))
        .await
        .ok()
        .unwrap();
    let (seen, ()) = tokio::join!(device.next(), cloud.shutdown());
    assert!(
        matches!(&seen, Seen::Goodbye(reason) if reason == "ServerShuttingDown"),
        "{seen:?}"
    );
}

/// Sends bytes over TLS and gives all that comes back until the server closes.
async fn raw(cloud: &Cloud, keys: &Keys, bytes: &[u8]) -> Vec<u8> {
    let tls = trusting_as(&cloud.ca_pem, &keys.certificate, &keys.key).unwrap();
    let connector = TlsConnector::from(Arc::new(tls));
    let tcp = TcpStream::connect(("127.0.0.1", cloud.mqtt.port)).await.unwrap();
    let mut stream = connector
        .connect("localhost".try_into().unwrap(), tcp)
        .await
        .unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut said))
        .await
        .unwrap()
        .unwrap();
    said
}

async fn wait_for_state(app: &App, claim: &serde_json::Value, state: &str) {
    let path = format!("/v1/claims/{}/enrolment", claim["claimId"].as_str().unwrap());
    while app.get(&path).await.ok(200)["state"] != state {
        let seen = app.get(&path).await.ok(200)["events"].as_array().unwrap().len();
        app.get(&format!("{path}?wait=5&after={seen}")).await.ok(200);
    }
}
