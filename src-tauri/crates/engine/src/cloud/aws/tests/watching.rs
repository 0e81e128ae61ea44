//! Looking at a device: before a claim, while it enrols, and at its end.

use super::script::*;
use crate::ports::{Cloud, FillError};
use commission::claim::{ClaimId, ClaimRequest, Purpose};
use commission::evidence::{Fact, Owner, PrincipalStatus};
use commission::fault::CloudError;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// What the data plane says of a client whose certificate belongs to this thing.
fn connected(thing: &str, since: i64) -> serde_json::Value {
    json!({"connected": true, "connectedSince": since, "thingName": thing})
}

fn names(facts: &[commission::evidence::Evidence]) -> Vec<&'static str> {
    facts
        .iter()
        .map(|evidence| match evidence.fact {
            Fact::CloudReached => "reached",
            Fact::IdentityIssued { .. } => "issued",
            Fact::Registered { .. } => "registered",
            Fact::SeenOnline { .. } => "online",
            _ => "other",
        })
        .collect()
}

#[tokio::test]
async fn a_device_that_was_never_registered_belongs_to_nobody_and_costs_one_look() {
    let bench = usual("");
    bench
        .account
        .refuses(PRINCIPALS, 404, "ResourceNotFoundException");
    let seen = bench.aws.snapshot(&serial(), &NONE).await.unwrap();
    assert!(seen.known.is_none() && seen.owner == Owner::None && seen.thing.is_none());
    assert_eq!(
        bench.account.asked()[1..],
        [TEMPLATE.to_owned(), PRINCIPALS.to_owned()]
    );
}

#[tokio::test]
async fn the_whole_enrolment_of_a_service_visit_is_seen_step_by_step() {
    let bench = usual("");
    let (old, told_old) = certificate(OLD, "ACTIVE", now() - 86_400);
    bench
        .account
        .answers(PRINCIPALS, 200, &principals(&[OLD]))
        .answers(
            THING,
            200,
            &json!({"thingName": "FK-7", "version": 4, "attributes": {"serial": "FK-7"}}),
        )
        .answers(&old, 200, &told_old)
        .answers(INDEX, 200, &json!({"connected": true, "timestamp": now() - 500}))
        .answers(DATA, 200, &connected("FK-7", now() - 500))
        .answers(CLAIM, 200, &claim(&json!(now() + 300)));
    let before = bench.aws.snapshot(&serial(), &NONE).await.unwrap();
    assert_eq!(before.owner, Owner::Us);
    let thing = before.thing.unwrap();
    assert_eq!((thing.version, thing.online_by()), (4, Some(OLD)));
    assert_eq!(thing.connected_principal, None, "AWS does not say it");
    let claim = bench.aws.issue(&order(Purpose::Service)).await.unwrap();

    // Nothing yet: one call a look.
    let asked = bench.account.asked().len();
    let seen = bench.aws.observe(&claim.id, 0).await.unwrap();
    assert!(seen.evidence.is_empty() && !seen.claim_over && seen.next == 0);
    assert_eq!(bench.account.asked()[asked..], [PRINCIPALS.to_owned()]);

    // The new certificate is there; the connection is the old one.
    let (new, told_new) = certificate(NEW, "ACTIVE", now() + 40);
    bench
        .account
        .anew(PRINCIPALS)
        .answers(PRINCIPALS, 200, &principals(&[OLD, NEW]))
        .answers(&new, 200, &told_new);
    let seen = bench.aws.observe(&claim.id, seen.next).await.unwrap();
    assert_eq!(
        (names(&seen.evidence), seen.next),
        (vec!["reached", "issued", "registered"], 3)
    );
    assert_eq!(seen.thing.unwrap().active().count(), 2);

    // It came back with it.
    bench
        .account
        .anew(INDEX)
        .answers(
            INDEX,
            200,
            &json!({"connected": true, "timestamp": (now() + 45) * 1000}),
        )
        .anew(DATA)
        .answers(DATA, 200, &connected("FK-7", now() + 45));
    let seen = bench.aws.observe(&claim.id, seen.next).await.unwrap();
    assert_eq!((names(&seen.evidence), seen.next), (vec!["online"], 4));
    assert_eq!(seen.thing.unwrap().online_by(), Some(NEW));

    // The old one goes off.
    let (_, off) = certificate(OLD, "INACTIVE", now() - 86_400);
    bench
        .account
        .answers(
            &format!("PUT /certificates/{OLD}?newStatus=INACTIVE"),
            200,
            &json!({}),
        )
        .anew(&old)
        .answers(&old, 200, &off);
    let left = bench.aws.deactivate("FK-7", OLD).await.unwrap();
    let status: Vec<PrincipalStatus> = left.principals.iter().map(|principal| principal.status).collect();
    assert_eq!(status, [PrincipalStatus::Inactive, PrincipalStatus::Active]);
    bench.aws.release("FK-7", &claim.id).await.unwrap();
}

#[tokio::test]
async fn looks_keep_their_pace() {
    let bench = usual("");
    bench
        .account
        .refuses(PRINCIPALS, 404, "ResourceNotFoundException")
        .answers(CLAIM, 200, &claim(&json!(now() + 300)));
    let claim = bench.aws.issue(&order(Purpose::New)).await.unwrap();
    let begun = bench.clock.0.now_since();
    for _ in 0..5 {
        bench.aws.observe(&claim.id, 0).await.unwrap();
    }
    assert!(bench.clock.0.now_since() - begun >= Duration::from_millis(10_000));
}

#[tokio::test]
async fn a_claim_is_watched_on_after_a_restart_by_its_name_alone() {
    let first = usual("");
    first
        .account
        .refuses(PRINCIPALS, 404, "ResourceNotFoundException")
        .answers(CLAIM, 200, &claim(&json!(now() + 300)));
    first.aws.snapshot(&serial(), &NONE).await.unwrap();
    let id = first.aws.issue(&order(Purpose::New)).await.unwrap().id;

    let second = usual("");
    let ((old, told_old), (new, told_new)) = (
        certificate(OLD, "INACTIVE", now() - 9000),
        certificate(NEW, "ACTIVE", now() + 20),
    );
    second
        .account
        .answers(PRINCIPALS, 200, &principals(&[OLD, NEW]))
        .answers(THING, 200, &json!({"version": 1}))
        .answers(&old, 200, &told_old)
        .answers(&new, 200, &told_new)
        .answers(INDEX, 200, &json!({"connected": true, "timestamp": now() + 25}))
        .answers(DATA, 200, &connected("FK-7", now() + 25));
    let seen = second.aws.observe(&id, 0).await.unwrap();
    assert_eq!(
        names(&seen.evidence),
        ["reached", "issued", "registered", "online"]
    );
    assert!(matches!(&seen.evidence[2].fact, Fact::Registered { principal: Some(id), .. } if id == NEW));
}

#[tokio::test]
async fn a_claim_that_led_to_nothing_is_over_a_minute_after_its_end() {
    let bench = usual("");
    bench
        .account
        .refuses(PRINCIPALS, 404, "ResourceNotFoundException")
        .answers(CLAIM, 200, &claim(&json!(now() + 300)));
    let claim = bench.aws.issue(&order(Purpose::New)).await.unwrap();
    bench.clock.0.advance(Duration::from_secs(355));
    assert!(!bench.aws.observe(&claim.id, 0).await.unwrap().claim_over);
    bench.clock.0.advance(Duration::from_secs(10));
    assert!(bench.aws.observe(&claim.id, 0).await.unwrap().claim_over);
}

#[tokio::test]
async fn where_a_device_is_online_is_asked_of_whoever_knows() {
    // (what the index says, what the data plane says, what is known, how often each is asked in two looks)
    let no = |code| (403, code);
    let table = [
        (no("AccessDeniedException"), (200, ""), Some(true), (1, 2)),
        ((400, "IndexNotReadyException"), (200, ""), Some(true), (1, 2)),
        (
            (400, "InvalidRequestException"),
            (404, "ResourceNotFoundException"),
            Some(false),
            (1, 2),
        ),
        ((404, "ResourceNotFoundException"), (200, ""), Some(true), (2, 2)),
        (
            no("AccessDeniedException"),
            no("AccessDeniedException"),
            None,
            (1, 1),
        ),
        // Only the data plane says with whose certificate.
        ((200, ""), (200, ""), Some(true), (2, 2)),
        ((200, ""), no("AccessDeniedException"), Some(true), (2, 1)),
    ];
    for (index, data, expected, times) in table {
        let bench = usual("");
        let (path, told) = certificate(OLD, "ACTIVE", now() - 1000);
        bench
            .account
            .answers(PRINCIPALS, 200, &principals(&[OLD]))
            .answers(THING, 200, &json!({"version": 1}))
            .answers(&path, 200, &told);
        for (question, (status, code), body) in [
            (INDEX, index, json!({"connected": true, "timestamp": now()})),
            (DATA, data, json!({"connected": true, "connectedSince": now()})),
        ] {
            if status == 200 {
                bench.account.answers(question, 200, &body);
            } else {
                bench.account.refuses(question, status, code);
            }
        }
        for _ in 0..2 {
            let thing = bench.aws.snapshot(&serial(), &NONE).await.unwrap().thing.unwrap();
            assert_eq!(thing.connected, expected, "{index:?} {data:?}");
        }
        assert_eq!(
            (bench.account.times(INDEX), bench.account.times(DATA)),
            times,
            "{index:?} {data:?}"
        );
    }
}

#[tokio::test]
async fn the_data_plane_is_reached_at_the_device_endpoint_and_signed_for_itself() {
    let bench = usual("");
    let (path, told) = certificate(OLD, "ACTIVE", now() - 1000);
    bench
        .account
        .answers(PRINCIPALS, 200, &principals(&[OLD]))
        .answers(THING, 200, &json!({"version": 1}))
        .answers(&path, 200, &told)
        .refuses(INDEX, 403, "AccessDeniedException")
        .answers(
            DATA,
            200,
            &json!({"connected": false, "disconnectedSince": now() - 7}),
        );
    let thing = bench.aws.snapshot(&serial(), &NONE).await.unwrap().thing.unwrap();
    assert_eq!(thing.connected_at.unwrap().0, now() - 7);
    let last = bench.account.asked().len() - 1;
    bench.account.request(last, |request| {
        assert_eq!(
            request.uri(),
            "https://abc-ats.iot.eu-central-1.amazonaws.com/connections/FK-7"
        );
        assert!(
            request.headers()["authorization"]
                .to_str()
                .unwrap()
                .contains("/eu-central-1/iotdata/aws4_request")
        );
    });
}

#[tokio::test]
async fn all_pages_of_certificates_are_read_and_other_principals_left_out() {
    let bench = usual("");
    let mut first = principals(&[OLD]);
    first["nextToken"] = json!("a/b=");
    first["principals"]
        .as_array_mut()
        .unwrap()
        .push(json!("eu-central-1:cognito-identity"));
    bench.account.answers(PRINCIPALS, 200, &first);
    bench
        .account
        .answers(
            &format!("{PRINCIPALS}?nextToken=a%2Fb%3D"),
            200,
            &principals(&[NEW]),
        )
        .answers(THING, 200, &json!({"version": 1}))
        .answers(INDEX, 200, &json!({"connected": false}));
    for id in [OLD, NEW] {
        let (path, told) = certificate(id, "ACTIVE", now() - 1000);
        bench.account.answers(&path, 200, &told);
    }
    let thing = bench.aws.snapshot(&serial(), &NONE).await.unwrap().thing.unwrap();
    assert_eq!(thing.principals.len(), 2);
}

#[tokio::test]
async fn a_device_that_stays_on_its_claims_session_under_the_things_name_is_not_online() {
    let on_claim = now() + 10;
    for data_plane in [true, false] {
        let bench = usual("");
        bench
            .account
            .refuses(PRINCIPALS, 404, "ResourceNotFoundException")
            .answers(CLAIM, 200, &claim(&json!(now() + 300)));
        bench.aws.snapshot(&serial(), &NONE).await.unwrap();
        let claim = bench.aws.issue(&order(Purpose::New)).await.unwrap();
        let (new, told_new) = certificate(NEW, "ACTIVE", now() + 20);
        bench
            .account
            .anew(PRINCIPALS)
            .answers(PRINCIPALS, 200, &principals(&[NEW]))
            .answers(THING, 200, &json!({"version": 1}))
            .answers(&new, 200, &told_new)
            .answers(INDEX, 200, &json!({"connected": true, "timestamp": on_claim}));
        if data_plane {
            // The claim's certificate belongs to no thing.
            let told = json!({"connected": true, "connectedSince": on_claim});
            bench.account.answers(DATA, 200, &told);
        } else {
            bench.account.refuses(DATA, 403, "AccessDeniedException");
        }
        let mut next = 0;
        for _ in 0..5 {
            let seen = bench.aws.observe(&claim.id, next).await.unwrap();
            assert!(!names(&seen.evidence).contains(&"online"), "{data_plane}");
            let thing = seen.thing.unwrap();
            assert_eq!((thing.connected, thing.online_by()), (Some(true), None));
            next = seen.next;
            bench.clock.0.advance(Duration::from_secs(60));
        }
        let snapshot = bench.aws.snapshot(&serial(), &NONE).await.unwrap();
        assert_eq!(snapshot.thing.unwrap().online_by(), None, "{data_plane}");

        // It comes back, with its own certificate.
        let since = now() + 310;
        bench
            .account
            .anew(INDEX)
            .answers(INDEX, 200, &json!({"connected": true, "timestamp": since}));
        if data_plane {
            bench
                .account
                .anew(DATA)
                .answers(DATA, 200, &connected("FK-7", since));
        }
        let seen = bench.aws.observe(&claim.id, next).await.unwrap();
        assert_eq!(names(&seen.evidence), ["online"], "{data_plane}");
    }
}

#[tokio::test]
async fn a_certificate_that_comes_while_a_look_is_made_leaves_open_whose_the_connection_is() {
    let bench = usual("");
    let (old, told_old) = certificate(OLD, "ACTIVE", now() - 1000);
    bench
        .account
        .answers(PRINCIPALS, 200, &principals(&[OLD]))
        .answers(PRINCIPALS, 200, &principals(&[OLD, NEW]))
        .answers(THING, 200, &json!({"version": 1}))
        .answers(&old, 200, &told_old)
        .refuses(INDEX, 403, "AccessDeniedException")
        .answers(DATA, 200, &connected("FK-7", now() - 1));
    let thing = bench.aws.snapshot(&serial(), &NONE).await.unwrap().thing.unwrap();
    assert_eq!((thing.connected, thing.online_by()), (Some(true), None));
}

#[tokio::test]
async fn a_list_of_certificates_that_does_not_end_is_an_error_and_proves_nothing() {
    let bench = usual("");
    let mut page = principals(&[NEW]);
    page["nextToken"] = json!("more");
    bench
        .account
        .answers(PRINCIPALS, 200, &page)
        .answers(&format!("{PRINCIPALS}?nextToken=more"), 200, &page)
        .answers(THING, 200, &json!({"version": 1}))
        .answers(INDEX, 200, &json!({"connected": false}))
        .answers(CLAIM, 200, &claim(&json!(now() + 300)));
    let (path, told) = certificate(NEW, "ACTIVE", now() + 20);
    bench.account.answers(&path, 200, &told);
    let claim = bench.aws.issue(&order(Purpose::New)).await.unwrap().id;
    let cut =
        |result: Option<CloudError>| assert!(matches!(result, Some(CloudError::Nonsense(_))), "{result:?}");
    cut(bench.aws.snapshot(&serial(), &NONE).await.err());
    cut(bench.aws.observe(&claim, 0).await.err());
    cut(bench.aws.deactivate("FK-7", OLD).await.err());
    cut(bench.aws.release("FK-7", &claim).await.err());
}

#[tokio::test]
async fn only_a_certificate_of_the_thing_itself_is_switched_off() {
    let bench = usual("");
    bench.account.answers(PRINCIPALS, 200, &principals(&[OLD]));
    let error = bench.aws.deactivate("FK-7", NEW).await.unwrap_err();
    assert!(
        matches!(&error, CloudError::Refused { code, .. } if code == "principal-not-found"),
        "{error:?}"
    );
    bench
        .account
        .anew(PRINCIPALS)
        .refuses(PRINCIPALS, 404, "ResourceNotFoundException");
    let error = bench.aws.deactivate("FK-7", NEW).await.unwrap_err();
    assert!(
        matches!(&error, CloudError::Refused { code, .. } if code == "thing-not-found"),
        "{error:?}"
    );
    assert!(
        bench
            .account
            .asked()
            .iter()
            .all(|asked| !asked.starts_with("PUT"))
    );
}

#[tokio::test]
async fn a_device_with_two_active_certificates_is_not_released() {
    let bench = usual("");
    bench
        .account
        .answers(PRINCIPALS, 200, &principals(&[OLD, NEW]))
        .answers(THING, 200, &json!({"version": 1}))
        .answers(INDEX, 200, &json!({"connected": false}));
    for id in [OLD, NEW] {
        let (path, told) = certificate(id, "ACTIVE", now() - 1000);
        bench.account.answers(&path, 200, &told);
    }
    let error = bench.aws.release("FK-7", &ClaimId("c".into())).await.unwrap_err();
    assert!(
        matches!(&error, CloudError::Refused { code, .. } if code == "not-verified"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_claim_of_another_cloud_is_not_watched() {
    let bench = usual("");
    let error = bench.aws.observe(&ClaimId("clm_1".into()), 0).await.unwrap_err();
    assert!(
        matches!(&error, CloudError::Refused { code, .. } if code == "claim-not-found"),
        "{error:?}"
    );
    assert!(bench.account.asked().is_empty());
}

#[tokio::test]
async fn that_nobody_can_say_whether_it_is_online_does_not_hide_that_it_is_registered() {
    let bench = usual("device_endpoint = \"mqtt.acme.example\"");
    let (path, told) = certificate(OLD, "ACTIVE", now() - 1000);
    bench
        .account
        .answers(PRINCIPALS, 200, &principals(&[OLD]))
        .answers(THING, 200, &json!({"version": 1}))
        .answers(&path, 200, &told)
        .answers(INDEX, 503, &json!({}));
    // The data plane answers nothing at all.
    let thing = bench.aws.snapshot(&serial(), &NONE).await.unwrap().thing.unwrap();
    assert_eq!((thing.connected, thing.active().count()), (None, 1));
    let uris = bench.account.requests(|request| request.uri().to_string());
    assert!(
        uris.last().unwrap().starts_with("https://abc-ats.iot."),
        "{uris:?}"
    );
}

#[tokio::test]
async fn each_device_is_named_and_watched_by_the_values_that_were_given_for_it() {
    let bench = usual("");
    bench
        .account
        .anew(TEMPLATE)
        .answers(TEMPLATE, 200, &template_with_zone())
        .answers(CLAIM, 200, &claim(&json!(now() + 300)));
    let given = |zone: &str| BTreeMap::from([("Zone".to_owned(), zone.to_owned())]);
    for zone in ["north", "south"] {
        let question = format!("GET /things/{zone}-FK-7/principals");
        bench.account.refuses(&question, 404, "ResourceNotFoundException");
        let seen = bench.aws.snapshot(&serial(), &given(zone)).await.unwrap();
        assert_eq!(seen.thing, None);
        assert_eq!(bench.account.times(&question), 1);
    }
    let mut claims = Vec::new();
    for (key, zone) in (1..).zip(["north", "south"]) {
        let request = ClaimRequest {
            idempotency: Uuid::from_u128(key),
            parameters: given(zone),
            ..order(Purpose::New)
        };
        let claim = bench.aws.issue(&request).await.unwrap();
        assert_eq!(claim.scope.parameters["Zone"], zone);
        claims.push(claim.id);
    }
    // Another run knows the claim by its name alone.
    let later = usual("");
    later
        .account
        .anew(TEMPLATE)
        .answers(TEMPLATE, 200, &template_with_zone());
    for (claim, zone) in claims.iter().zip(["north", "south"]) {
        let question = format!("GET /things/{zone}-FK-7/principals");
        later.account.refuses(&question, 404, "ResourceNotFoundException");
        for run in [&bench, &later] {
            let before = run.account.times(&question);
            run.aws.observe(claim, 0).await.unwrap();
            assert_eq!(run.account.times(&question), before + 1, "{zone}");
        }
    }
}

#[tokio::test]
async fn values_that_are_no_use_are_refused_before_and_when_a_claim_is_asked_for() {
    let bench = usual("");
    bench
        .account
        .anew(TEMPLATE)
        .answers(TEMPLATE, 200, &template_with_zone());
    let missing = bench.aws.check_parameters(&NONE).await.unwrap_err();
    assert_eq!(missing, FillError::Missing(vec!["Zone".into()]));
    let zone = BTreeMap::from([("Zone".to_owned(), "n".repeat(127))]);
    assert_eq!(bench.aws.check_parameters(&zone).await, Ok(()));
    for parameters in [NONE.clone(), zone] {
        let request = ClaimRequest {
            parameters,
            ..order(Purpose::New)
        };
        let error = bench.aws.issue(&request).await.unwrap_err();
        assert!(
            matches!(&error, CloudError::Refused { code, .. } if code == "claim-refused"),
            "{error:?}"
        );
    }
    assert_eq!(bench.account.times(CLAIM), 0);

    let profile = usual("supplied_parameters = [\"Zone\"]\n[cloud.parameters]\nColour = \"red\"");
    profile
        .account
        .anew(TEMPLATE)
        .answers(TEMPLATE, 200, &template_with_zone());
    assert_eq!(profile.aws.check_parameters(&NONE).await, Ok(()));
    let told = profile.aws.preflight().await.unwrap();
    assert!(!told.form[0].required);
    assert!(
        told.remarks.iter().any(|remark| remark.contains("Colour")),
        "{:?}",
        told.remarks
    );
}
