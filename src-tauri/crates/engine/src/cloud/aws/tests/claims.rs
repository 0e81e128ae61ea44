//! Issuing: what is checked before, what is sent, what is remembered.

use super::script::*;
use crate::ports::Cloud;
use commission::claim::{ClaimForm, ClaimKind, Purpose};
use commission::fault::CloudError;
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

fn code(error: CloudError) -> String {
    match error {
        CloudError::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_claim_comes_with_all_that_a_device_needs_and_counts_from_its_arrival() {
    let bench = usual("");
    bench.account.answers(CLAIM, 200, &claim(&json!(now() + 300)));
    let claim = bench.aws.issue(&order(Purpose::New)).await.unwrap();
    assert!(matches!(claim.kind, ClaimKind::Certificate { .. }));
    assert_eq!(
        (claim.endpoint.host.as_str(), claim.endpoint.port),
        ("abc-ats.iot.eu-central-1.amazonaws.com", 8883)
    );
    assert_eq!(claim.scope.template, "acme");
    assert_eq!(claim.scope.parameters["SerialNumber"], "FK-7");
    assert!(claim.ca_pem.contains("BEGIN CERTIFICATE"));
    assert_eq!(claim.expires.since(claim.issued), Duration::from_secs(300));
    assert_eq!(claim.issued_at.0, now());
    assert!(
        claim.id.0.starts_with(&"c".repeat(64)) && claim.id.0.ends_with(".FK-7"),
        "{:?}",
        claim.id
    );
    let last = bench.account.asked().len() - 1;
    bench.account.request(last, |request| {
        assert_eq!(request.method(), "POST");
        assert!(request.body().is_empty());
        assert_eq!(request.headers()["content-length"], "0");
    });
}

#[tokio::test]
async fn the_end_of_a_claim_is_read_in_both_forms_on_a_laptop_whose_clock_is_wrong() {
    for ends in [json!(now() + 240), json!("2026-01-01T00:04:00Z")] {
        let bench = usual("");
        *bench.account.ahead.lock().unwrap() = 3600;
        bench.account.answers(CLAIM, 200, &claim(&ends));
        let claim = bench.aws.issue(&order(Purpose::New)).await.unwrap();
        assert_eq!(
            claim.expires.since(claim.issued),
            Duration::from_secs(3840),
            "{ends}"
        );
        assert_eq!(claim.issued_at.0, now() - 3600);
    }
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_claim_until_it_is_dead_or_retired() {
    let bench = usual("");
    bench.account.answers(CLAIM, 200, &claim(&json!(now() + 300)));
    let request = order(Purpose::New);
    let (first, second) = futures::join!(bench.aws.issue(&request), bench.aws.issue(&request));
    let first = first.unwrap();
    assert_eq!(first, second.unwrap());
    assert_eq!(bench.account.times(CLAIM), 1);

    let other = commission::claim::ClaimRequest {
        idempotency: Uuid::from_u128(8),
        ..order(Purpose::New)
    };
    bench.aws.issue(&other).await.unwrap();
    assert_eq!(bench.account.times(CLAIM), 2);

    let mut another = request.clone();
    another.serial = commission::device::Serial::new("FK-8").unwrap();
    assert_eq!(
        code(bench.aws.issue(&another).await.unwrap_err()),
        "idempotency-mismatch"
    );

    bench.aws.retire(&first.cleanup).await.unwrap();
    bench.aws.retire(&first.cleanup).await.unwrap();
    bench.aws.issue(&request).await.unwrap();
    assert_eq!(bench.account.times(CLAIM), 3);

    bench.clock.0.advance(Duration::from_secs(301));
    bench.aws.issue(&request).await.unwrap();
    assert_eq!(bench.account.times(CLAIM), 4);
}

#[tokio::test]
async fn what_would_fail_at_the_device_is_refused_before_a_claim_is_spent() {
    let off = usual("");
    off.account
        .anew(TEMPLATE)
        .answers(TEMPLATE, 200, &template(false, "MERGE"));
    assert_eq!(
        code(off.aws.issue(&order(Purpose::New)).await.unwrap_err()),
        "template-disabled"
    );
    assert!(!off.aws.preflight().await.unwrap().template.enabled);

    let clash = usual("");
    let (path, told) = certificate(OLD, "ACTIVE", now() - 1000);
    clash
        .account
        .anew(TEMPLATE)
        .answers(TEMPLATE, 200, &template(true, "FAIL"))
        .answers(PRINCIPALS, 200, &principals(&[OLD]))
        .answers(
            THING,
            200,
            &json!({"thingName": "FK-7", "version": 2, "attributes": {"serial": "FK-6"}}),
        )
        .answers(&path, 200, &told)
        .answers(INDEX, 200, &json!({"connected": false}));
    clash.aws.snapshot(&serial(), &NONE).await.unwrap();
    let error = clash.aws.issue(&order(Purpose::Service)).await.unwrap_err();
    assert!(error.to_string().contains(r#"serial is "FK-6""#), "{error}");
    assert_eq!(code(error), "claim-refused");

    let form = usual("");
    let mut request = order(Purpose::New);
    request.accepts = vec![ClaimForm::PublicKey];
    assert_eq!(
        code(form.aws.issue(&request).await.unwrap_err()),
        "kind-not-offered"
    );

    let strategy = usual("strategy = \"claim-in-device\"");
    assert_eq!(
        code(strategy.aws.issue(&order(Purpose::New)).await.unwrap_err()),
        "claim-refused"
    );

    for bench in [off, clash, form, strategy] {
        assert_eq!(bench.account.times(CLAIM), 0);
    }
}

#[tokio::test]
async fn whoever_may_not_read_the_template_issues_all_the_same_and_is_told() {
    let bench = usual("thing = \"acme-{serial}\"");
    bench
        .account
        .anew(TEMPLATE)
        .refuses(TEMPLATE, 403, "AccessDeniedException")
        .answers(CLAIM, 200, &claim(&json!(now() + 300)));
    let preflight = bench.aws.preflight().await.unwrap();
    assert!(preflight.template.enabled && preflight.template.parameters.is_empty());
    assert!(
        matches!(preflight.remarks.as_slice(), [only] if only.contains("may not read")),
        "{:?}",
        preflight.remarks
    );
    let claim = bench.aws.issue(&order(Purpose::New)).await.unwrap();
    assert_eq!(claim.scope.parameters["SerialNumber"], "FK-7");
}

#[tokio::test]
async fn a_claim_whose_key_is_another_is_refused_without_a_word_of_it() {
    let bench = usual("");
    let mut answer = claim(&json!(now() + 300));
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    answer["keyPair"]["PrivateKey"] = json!(key);
    bench.account.answers(CLAIM, 200, &answer);
    let error = bench.aws.issue(&order(Purpose::New)).await.unwrap_err();
    assert!(
        matches!(&error, CloudError::Nonsense(why) if why.contains("does not belong")),
        "{error:?}"
    );

    let short = usual("");
    short.account.answers(
        CLAIM,
        200,
        &json!({"certificateId": "c".repeat(64), "certificatePem": "x", "keyPair": {}}),
    );
    let error = short.aws.issue(&order(Purpose::New)).await.unwrap_err();
    assert!(matches!(error, CloudError::Nonsense(_)), "{error:?}");
}

#[tokio::test]
async fn refusals_of_a_claim_keep_the_code_of_aws_and_say_what_to_do() {
    for (status, aws, says) in [
        (403, "AccessDeniedException", "iot:CreateProvisioningClaim"),
        (404, "ResourceNotFoundException", "template and region"),
        (400, "InvalidRequestException", "office"),
        (418, "TeapotException", "office"),
    ] {
        let bench = usual("");
        bench.account.refuses(CLAIM, status, aws);
        let error = bench.aws.issue(&order(Purpose::New)).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(code(error), aws);
    }
}
