//! The broker's contract, apart from enrolment: who may what, claims and their repetition, faults.

use std::time::Duration;

use reqwest::Method;
use sandbox::cloud::broker::Code;
use sandbox::cloud::{CloudConfig, CloudFaults, MakerDevice, Owner};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::app::{App, request, site, site_with};
use crate::common::sign_in;

/// The contract, which the other side is written from as well.
const CONTRACT: &str = include_str!("../../../engine/broker.openapi.yaml");

#[tokio::test]
async fn every_path_of_the_contract_is_served_and_asks_who_is_there() {
    let (cloud, _, _) = site(&[]).await;
    let https = sandbox::cloud::tls::https_client(&cloud.ca_pem).unwrap();
    let mut path = "";
    let mut served = 0;
    for line in CONTRACT.lines() {
        if let Some(named) = line.strip_prefix("  /v1/") {
            path = named.trim_end_matches(':');
        }
        let method = match line {
            "    get:" => Method::GET,
            "    post:" => Method::POST,
            "    delete:" => Method::DELETE,
            _ => continue,
        };
        let address = format!("{}/v1/{}", cloud.broker_url, path.replace(['{', '}'], ""));
        let answer = https.request(method.clone(), address).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 401, "{method} {path}");
        served += 1;
    }
    assert_eq!(served, 10);
}

#[test]
fn every_code_of_the_contract_is_known_here() {
    let rows = CONTRACT
        .lines()
        .filter_map(|line| line.trim().strip_prefix("| `"));
    let codes: Vec<Code> = rows
        .map(|row| serde_json::from_value(row.split_once('`').unwrap().0.into()).unwrap())
        .collect();
    assert_eq!(codes.len(), 23);
}

#[tokio::test]
async fn preflight_tells_what_this_person_can_do_here() {
    let (cloud, config, anna) = site(&[]).await;
    let body = anna.get("/v1/preflight").await.ok(200);
    assert_eq!(body["cloud"], "aws-iot");
    assert_eq!(
        body["person"],
        json!({"subject": "anna", "name": "Anna Installer", "roles": ["installer"]})
    );
    assert_eq!(body["rights"], json!(["claim", "observe", "release", "retire"]));
    assert_eq!(
        body["endpoint"],
        json!({"host": "localhost", "port": cloud.mqtt.port})
    );
    assert_eq!(body["claimLifeSeconds"], 300);
    assert_eq!(body["template"]["enabled"], true);
    let parameters = json!([
        {"name": "SerialNumber", "required": true},
        {"name": "Site", "required": false, "default": "unassigned"},
    ]);
    assert_eq!(body["template"]["parameters"], parameters);

    let sam = App::signed_in(&cloud, &config, "sam").await;
    assert!(
        sam.get("/v1/preflight").await.ok(200)["rights"]
            .as_array()
            .unwrap()
            .contains(&json!("transfer"))
    );
    cloud.faults().change(|faults| faults.template_disabled = true);
    assert_eq!(
        anna.get("/v1/preflight").await.ok(200)["template"]["enabled"],
        false
    );
}

#[tokio::test]
async fn only_a_live_access_token_of_the_issuer_opens_the_broker() {
    let (cloud, config, _) = site(&[]).await;
    let nobody = App::with_token(&cloud, "no.token.atall");
    let answer = nobody.get("/v1/preflight").await;
    assert_eq!(answer.problem(), (401, "token-invalid"));
    assert_eq!(
        answer.headers["www-authenticate"],
        "Bearer error=\"invalid_token\""
    );

    let https = sandbox::cloud::tls::https_client(&cloud.ca_pem).unwrap();
    let bare = https
        .get(format!("{}/v1/preflight", cloud.broker_url))
        .send()
        .await
        .unwrap();
    assert_eq!(bare.headers()["www-authenticate"], "Bearer");
    assert_eq!(bare.json::<Value>().await.unwrap()["code"], "token-missing");

    let tokens = sign_in(&cloud, &config, "anna").await;
    let id_token = App::with_token(&cloud, tokens["id_token"].as_str().unwrap());
    assert_eq!(
        id_token.get("/v1/preflight").await.problem(),
        (401, "token-invalid")
    );

    let (other, other_config, _) = site(&[]).await;
    let foreign = sign_in(&other, &other_config, "anna").await;
    let foreign = App::with_token(&cloud, foreign["access_token"].as_str().unwrap());
    assert_eq!(
        foreign.get("/v1/preflight").await.problem(),
        (401, "token-invalid")
    );

    let access_token = tokens["access_token"].as_str().unwrap();
    let anna = App::with_token(&cloud, access_token);
    anna.get("/v1/preflight").await.ok(200);
    // The cloud's clock moves past the token's end; nobody has to wait for it.
    cloud.faults().change(|faults| faults.clock_skew_s = 901);
    assert_eq!(anna.get("/v1/preflight").await.problem(), (401, "token-expired"));
}

#[tokio::test]
async fn roles_give_rights_and_no_role_gives_none() {
    let mut config = CloudConfig {
        devices: vec![MakerDevice::new("FK-1")],
        ..CloudConfig::default()
    };
    config.users.push(sandbox::cloud::User::new(
        "gil",
        "gil-looks-around",
        "Gil Guest",
        &["guest"],
    ));
    let (cloud, config, anna) = site_with(config).await;
    let gil = App::signed_in(&cloud, &config, "gil").await;
    assert_eq!(gil.get("/v1/preflight").await.ok(200)["rights"], json!([]));
    let refused = gil.ask("FK-1", "new").await;
    assert_eq!(refused.problem(), (403, "role-lacks-right"));
    assert_eq!(refused.body["right"], "claim");
    assert_eq!(
        gil.get("/v1/devices/FK-1").await.problem(),
        (403, "role-lacks-right")
    );

    let refused = anna.ask("FK-1", "transfer").await;
    assert_eq!(
        (refused.problem(), &refused.body["right"]),
        ((403, "role-lacks-right"), &json!("transfer"))
    );
    assert_eq!(anna.get("/v1/things").await.problem(), (403, "role-lacks-right"));
    let sam = App::signed_in(&cloud, &config, "sam").await;
    sam.claim("FK-1", "transfer").await;
    assert_eq!(sam.get("/v1/things").await.ok(200), json!({"things": []}));
}

#[tokio::test]
async fn a_snapshot_shows_what_the_maker_and_the_cloud_know() {
    let hash = "ab".repeat(32);
    let device = MakerDevice {
        identity_key_sha256: Some(hash.clone()),
        min_firmware: Some("1.2.0".into()),
        ..MakerDevice::new("FK-1")
    };
    let (_cloud, _, anna) = site_with(CloudConfig {
        devices: vec![device],
        ..CloudConfig::default()
    })
    .await;
    assert_eq!(
        anna.get("/v1/devices/FK-1").await.ok(200),
        json!({"serial": "FK-1", "known": true, "identityKeySha256": hash, "minFirmware": "1.2.0", "owner": "none"})
    );
    let unknown = anna.get("/v1/devices/FK-9").await.ok(200);
    assert_eq!(
        unknown,
        json!({"serial": "FK-9", "known": false, "owner": "none"})
    );
}

#[tokio::test]
async fn a_claim_is_what_the_contract_says_and_is_kept_by_no_cache() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let answer = anna.ask("FK-1", "new").await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(answer.headers.contains_key("date"));
    let claim = answer.ok(201);
    assert_eq!(claim["kind"], "certificate");
    assert_eq!(claim["templateName"], "FieldkeyTemplate");
    assert_eq!(claim["parameters"], json!({"SerialNumber": "FK-1"}));
    assert_eq!(
        claim["expiresAt"].as_i64().unwrap() - claim["issuedAt"].as_i64().unwrap(),
        300
    );
    assert_eq!(claim["certificateId"].as_str().unwrap().len(), 64);
    assert_eq!(claim["caPem"], json!(cloud.ca_pem));
    let (_, pem) =
        x509_parser::pem::parse_x509_pem(claim["certificatePem"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(
        sandbox::ca::certificate_id(&pem.contents.into()),
        claim["certificateId"].as_str().unwrap()
    );
    let cleanup = claim["cleanup"].as_str().unwrap();
    anna.call(Method::POST, cleanup, None).await.ok(204);
}

#[tokio::test]
async fn a_repeated_key_gives_the_same_claim_until_it_is_dead_and_then_none() {
    let (_cloud, _, anna) = site(&["FK-1", "FK-2"]).await;
    let body = request("FK-1", "new");
    let first = anna.post("/v1/claims", body.clone()).await.ok(201);
    let again = anna.post("/v1/claims", body.clone()).await.ok(200);
    assert_eq!(first, again);

    let mut other = body.clone();
    other["serial"] = json!("FK-2");
    assert_eq!(
        anna.post("/v1/claims", other).await.problem(),
        (422, "idempotency-mismatch")
    );

    anna.retire(&first).await;
    anna.retire(&first).await;
    assert_eq!(
        anna.post("/v1/claims", body).await.problem(),
        (409, "claim-retired"),
        "a request that comes late makes nothing that nobody knows of"
    );
    let path = format!("/v1/claims/{}/enrolment", first["claimId"].as_str().unwrap());
    assert_eq!(anna.get(&path).await.ok(200)["state"], "retired");
}

/// A device's key with its certificate, and a claim's request that tells of both.
fn proven() -> (rcgen::CertifiedKey<rcgen::KeyPair>, Value) {
    let made = rcgen::generate_simple_self_signed(["FK-1".into()]).unwrap();
    let spki = rcgen::PublicKeyData::subject_public_key_info(&made.signing_key);
    let mut body = request("FK-1", "new");
    body["identityKeySha256"] = hex::encode(Sha256::digest(&spki)).into();
    body["devicePublicKeyPem"] = made.signing_key.public_key_pem().into();
    body["deviceChainPem"] = made.cert.pem().into();
    body["tpmEndorsementKey"] = "ATo=".into();
    (made, body)
}

#[tokio::test]
async fn what_a_device_proved_to_hold_is_kept_with_its_claim() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let (made, body) = proven();
    let claim = anna.post("/v1/claims", body.clone()).await.ok(201);
    let kept = cloud.registry().inspect().claims.remove(0).keys;
    let spki = rcgen::PublicKeyData::subject_public_key_info(&made.signing_key);
    assert_eq!(kept.public_key, Some(spki));
    assert_eq!(kept.chain, [made.cert.der().to_vec()]);
    assert_eq!(kept.endorsement_key, Some(vec![0x01, 0x3a]));

    // Whoever repeats a request from a journal may have less to tell.
    let mut again = body;
    let members = again.as_object_mut().unwrap();
    members.retain(|name, _| !name.starts_with("device") && name != "tpmEndorsementKey");
    let again = anna.post("/v1/claims", again).await.ok(200);
    assert_eq!(again["claimId"], claim["claimId"]);
}

#[tokio::test]
async fn keys_that_do_not_fit_each_other_are_refused() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let (_, good) = proven();
    let (_, other) = proven();
    let changes: [(&str, Value); 9] = [
        ("identityKeySha256", Value::Null),
        ("identityKeySha256", other["identityKeySha256"].clone()),
        ("devicePublicKeyPem", other["devicePublicKeyPem"].clone()),
        ("devicePublicKeyPem", good["deviceChainPem"].clone()),
        ("devicePublicKeyPem", Value::Null),
        ("deviceChainPem", other["deviceChainPem"].clone()),
        ("deviceChainPem", "none".into()),
        ("deviceChainPem", "".into()),
        ("tpmEndorsementKey", "not base64".into()),
    ];
    for (member, value) in changes {
        let mut body = good.clone();
        body[member] = value;
        let answer = anna.post("/v1/claims", body).await;
        assert_eq!(answer.problem(), (400, "malformed-request"), "{member}");
    }
    assert_eq!(cloud.registry().inspect().claims, []);
}

#[tokio::test]
async fn who_takes_up_what_a_colleague_asked_for_gets_the_same_claim() {
    let (cloud, config, anna) = site(&["FK-1"]).await;
    let sam = App::signed_in(&cloud, &config, "sam").await;
    let body = request("FK-1", "new");
    let first = anna.post("/v1/claims", body.clone()).await.ok(201);
    let second = sam.post("/v1/claims", body).await.ok(200);
    assert_eq!(first["claimId"], second["claimId"]);
}

#[tokio::test]
async fn devices_that_must_not_be_claimed_are_refused_by_name_of_the_fault() {
    let devices = vec![
        MakerDevice {
            identity_key_sha256: Some("ab".repeat(32)),
            ..MakerDevice::new("FK-1")
        },
        MakerDevice {
            owner: Owner::Other,
            ..MakerDevice::new("FK-2")
        },
    ];
    let (cloud, config, anna) = site_with(CloudConfig {
        devices,
        ..CloudConfig::default()
    })
    .await;
    assert_eq!(anna.ask("FK-9", "new").await.problem(), (404, "unknown-device"));
    assert_eq!(anna.ask("FK-2", "new").await.problem(), (409, "owned-by-other"));
    assert_eq!(
        anna.ask("FK-2", "service").await.problem(),
        (409, "owned-by-other")
    );
    App::signed_in(&cloud, &config, "sam")
        .await
        .claim("FK-2", "transfer")
        .await;

    let mut clone = request("FK-1", "new");
    clone["identityKeySha256"] = json!("cd".repeat(32));
    assert_eq!(
        anna.post("/v1/claims", clone.clone()).await.problem(),
        (409, "clone-suspected")
    );
    clone["identityKeySha256"] = json!("AB".repeat(32));
    anna.post("/v1/claims", clone).await.ok(201);

    let mut keyless = request("FK-1", "new");
    keyless["accept"] = json!(["sas", "tpm"]);
    assert_eq!(
        anna.post("/v1/claims", keyless).await.problem(),
        (422, "kind-not-offered")
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let (_cloud, _, anna) = site(&["FK-1"]).await;
    for (member, value) in [
        ("idempotencyKey", json!("not-a-uuid")),
        ("purpose", json!("fun")),
        ("serial", Value::Null),
        ("accept", json!("certificate")),
    ] {
        let mut body = request("FK-1", "new");
        body[member] = value;
        let answer = anna.post("/v1/claims", body).await;
        assert_eq!(answer.problem(), (400, "malformed-request"), "{member}");
    }
    assert_eq!(
        anna.post("/v1/things/x/release", json!({})).await.problem(),
        (400, "malformed-request")
    );
    assert_eq!(
        anna.get("/v1/claims/none/enrolment?after=x").await.problem(),
        (400, "malformed-request")
    );
    assert_eq!(
        anna.get("/v1/claims/none/enrolment").await.problem(),
        (404, "claim-not-found")
    );
    assert_eq!(
        anna.get("/v2/anything").await.problem(),
        (404, "no-such-resource")
    );
    assert_eq!(anna.get("/v1/claims").await.problem(), (404, "no-such-resource"));
}

#[tokio::test]
async fn faults_can_be_switched_while_it_runs() {
    let faults = CloudFaults {
        throttle_first: 1,
        ..CloudFaults::default()
    };
    let devices = vec![MakerDevice::new("FK-1")];
    let (cloud, _, anna) = site_with(CloudConfig {
        devices,
        faults,
        ..CloudConfig::default()
    })
    .await;
    let throttled = anna.ask("FK-1", "new").await;
    assert_eq!(throttled.problem(), (429, "throttled"));
    assert_eq!(throttled.headers["retry-after"], "1");
    anna.claim("FK-1", "new").await;

    let faults = cloud.faults();
    faults.change(|faults| faults.claim_refused = Some(Code::ClaimRefused));
    assert_eq!(anna.ask("FK-1", "new").await.problem(), (409, "claim-refused"));
    faults.set(CloudFaults {
        template_disabled: true,
        ..CloudFaults::default()
    });
    assert_eq!(
        anna.ask("FK-1", "new").await.problem(),
        (409, "template-disabled")
    );
    faults.set(CloudFaults {
        broker_down: true,
        ..CloudFaults::default()
    });
    let down = anna.get("/v1/preflight").await;
    assert_eq!(down.problem(), (503, "unavailable"));
    assert!(down.headers.contains_key("date"));
    faults.set(CloudFaults {
        claim_life_ms: Some(90_500),
        ..CloudFaults::default()
    });
    let claim = anna.claim("FK-1", "new").await;
    assert_eq!(
        claim["expiresAt"].as_i64().unwrap() - claim["issuedAt"].as_i64().unwrap(),
        90
    );
    faults.set(CloudFaults {
        claim_delay_ms: 150,
        ..CloudFaults::default()
    });
    let asked = std::time::Instant::now();
    anna.claim("FK-1", "new").await;
    assert!(asked.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_watcher_is_woken_by_the_end_of_a_claim() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    cloud.faults().change(|faults| faults.claim_life_ms = Some(300));
    let claim = anna.claim("FK-1", "new").await;
    let path = format!(
        "/v1/claims/{}/enrolment?wait=20",
        claim["claimId"].as_str().unwrap()
    );
    let asked = std::time::Instant::now();
    let answer = anna.get(&path).await.ok(200);
    assert_eq!(answer["state"], "expired");
    assert!(asked.elapsed() < Duration::from_secs(10));
    // Its state is no news any more, so a second look would wait: one without `wait` doesn't.
    assert_eq!(
        anna.get(path.trim_end_matches("?wait=20")).await.ok(200)["events"],
        json!([])
    );
}

#[tokio::test]
async fn a_cloud_that_stops_lets_its_watchers_go() {
    let (cloud, _, anna) = site(&["FK-1"]).await;
    let claim = anna.claim("FK-1", "new").await;
    let path = format!(
        "/v1/claims/{}/enrolment?wait=20",
        claim["claimId"].as_str().unwrap()
    );
    let watching = tokio::spawn(async move { anna.get(&path).await.status });
    // Whether the request has arrived or not, neither may hang.
    tokio::time::timeout(Duration::from_secs(10), cloud.shutdown())
        .await
        .unwrap();
    // Answered or cut off, but never left waiting for the rest of its 20 s.
    let _ = tokio::time::timeout(Duration::from_secs(10), watching)
        .await
        .unwrap();
}
