//! From ID token to keys, and from keys to signed calls.

use super::script::*;
use crate::fixtures::answer;
use crate::ports::Cloud;
use commission::fault::CloudError;
use serde_json::{Value, json};
use std::time::Duration;

fn form(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn value(form: &[(String, String)], name: &str) -> String {
    form.iter().find(|(key, _)| key == name).unwrap().1.clone()
}

#[tokio::test]
async fn a_role_is_assumed_in_the_persons_name_and_for_one_template_only() {
    let bench = usual("");
    bench.aws.preflight().await.unwrap();
    assert_eq!(
        bench.account.asked(),
        ["AssumeRoleWithWebIdentity", TEMPLATE, ENDPOINT]
    );
    bench.account.request(0, |request| {
        assert_eq!(request.uri(), "https://sts.eu-central-1.amazonaws.com/");
        assert!(!request.headers().contains_key("authorization"));
        assert_eq!(
            request.headers()["content-type"],
            "application/x-www-form-urlencoded; charset=utf-8"
        );
        let form = form(request.body());
        let names: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "Action",
                "Version",
                "RoleArn",
                "RoleSessionName",
                "DurationSeconds",
                "WebIdentityToken",
                "Policy"
            ]
        );
        assert_eq!(value(&form, "Version"), "2011-06-15");
        assert_eq!(value(&form, "RoleSessionName"), "ada@acme.example");
        assert_eq!(value(&form, "DurationSeconds"), "3600");
        assert_eq!(value(&form, "WebIdentityToken"), "id0");
        let policy = value(&form, "Policy");
        let policy: Value = serde_json::from_str(&policy).unwrap();
        assert!(
            policy
                .to_string()
                .contains("arn:aws:iot:eu-central-1:123456789012:provisioningtemplate/acme")
        );
    });
    bench.account.request(1, |request| {
        assert_eq!(
            request.uri(),
            "https://iot.eu-central-1.amazonaws.com/provisioning-templates/acme"
        );
        assert_eq!(request.headers()["x-amz-date"], "20260101T000000Z");
        let authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
        assert!(authorization.contains("Credential=ASIAONE/20260101/eu-central-1/iot/aws4_request"));
    });
}

#[tokio::test]
async fn a_pool_is_asked_twice_without_a_signature_and_its_keys_sign_from_then_on() {
    let bench = bench(POOL, "device_endpoint = \"localhost\"");
    bench
        .account
        .answers("GetId", 200, &json!({"IdentityId": "eu-central-1:me"}))
        .answers(
            "GetCredentialsForIdentity",
            200,
            &json!({"IdentityId": "eu-central-1:me", "Credentials": {
                "AccessKeyId": "ASIAPOOL", "SecretKey": "s", "SessionToken": "t", "Expiration": 1_767_229_200.5
            }}),
        )
        .answers(TEMPLATE, 200, &template(true, "MERGE"));
    bench.aws.preflight().await.unwrap();
    let logins = json!({"login.acme.example/tenant": "id0"});
    for (number, name, expected) in [
        (
            0,
            "GetId",
            json!({"IdentityPoolId": "eu-central-1:01234567-89ab-cdef-0123-456789abcdef", "Logins": logins}),
        ),
        (
            1,
            "GetCredentialsForIdentity",
            json!({"IdentityId": "eu-central-1:me", "Logins": logins}),
        ),
    ] {
        bench.account.request(number, |request| {
            assert_eq!(request.method(), "POST");
            assert_eq!(
                request.uri(),
                "https://cognito-identity.eu-central-1.amazonaws.com/"
            );
            assert_eq!(request.headers()["content-type"], "application/x-amz-json-1.1");
            assert_eq!(
                request.headers()["x-amz-target"],
                format!("AWSCognitoIdentityService.{name}").as_str()
            );
            assert!(!request.headers().contains_key("authorization"));
            assert_eq!(serde_json::from_slice::<Value>(request.body()).unwrap(), expected);
        });
    }
    bench.account.request(2, |request| {
        assert!(
            request.headers()["authorization"]
                .to_str()
                .unwrap()
                .contains("Credential=ASIAPOOL/")
        );
    });
}

#[tokio::test]
async fn keys_are_fetched_once_for_many_and_renewed_before_they_end() {
    let bench = usual("");
    let serial = serial();
    bench
        .account
        .refuses(PRINCIPALS, 404, "ResourceNotFoundException");
    let looks = (0..8).map(|_| bench.aws.snapshot(&serial, &NONE));
    for seen in futures::future::join_all(looks).await {
        assert!(seen.unwrap().thing.is_none());
    }
    assert_eq!(bench.account.times("AssumeRoleWithWebIdentity"), 1);
    bench.clock.0.advance(Duration::from_secs(3600 - 299));
    bench.account.anew("AssumeRoleWithWebIdentity").says(
        "AssumeRoleWithWebIdentity",
        answer(200, &sts_keys("ASIATWO", "2026-01-01T02:00:00Z")),
    );
    bench.aws.snapshot(&serial, &NONE).await.unwrap();
    assert_eq!(bench.account.times("AssumeRoleWithWebIdentity"), 2);
}

#[tokio::test]
async fn keys_that_are_due_serve_on_while_aws_cannot_renew_them_and_no_longer() {
    let bench = usual("");
    bench
        .account
        .refuses(PRINCIPALS, 404, "ResourceNotFoundException");
    bench.aws.snapshot(&serial(), &NONE).await.unwrap();
    bench.account.anew("AssumeRoleWithWebIdentity").refuses(
        "AssumeRoleWithWebIdentity",
        503,
        "ServiceUnavailable",
    );
    bench.clock.0.advance(Duration::from_secs(3400));
    bench.aws.snapshot(&serial(), &NONE).await.unwrap();
    bench.clock.0.advance(Duration::from_secs(300));
    let error = bench.aws.snapshot(&serial(), &NONE).await.unwrap_err();
    assert!(matches!(error, CloudError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn an_id_token_that_is_refused_is_renewed_once() {
    let bench = usual("");
    bench
        .account
        .anew("AssumeRoleWithWebIdentity")
        .refuses("AssumeRoleWithWebIdentity", 400, "ExpiredTokenException")
        .says(
            "AssumeRoleWithWebIdentity",
            answer(200, &sts_keys("ASIAONE", "2026-01-01T01:00:00Z")),
        );
    bench.aws.preflight().await.unwrap();
    let tokens = bench.account.requests(|request| {
        let form = form(request.body());
        form.iter()
            .find(|(name, _)| name == "WebIdentityToken")
            .map(|(_, token)| token.clone())
    });
    assert_eq!(tokens[..2], [Some("id0".to_owned()), Some("id1".to_owned())]);
}

#[tokio::test]
async fn an_id_token_that_is_refused_for_good_names_what_the_office_must_do() {
    let bench = usual("");
    bench.account.anew("AssumeRoleWithWebIdentity").refuses(
        "AssumeRoleWithWebIdentity",
        400,
        "InvalidIdentityToken",
    );
    let error = bench.aws.preflight().await.unwrap_err();
    let CloudError::Refused { code, message } = error else {
        panic!("{error:?}");
    };
    assert_eq!(code, "InvalidIdentityToken");
    assert!(message.contains("trust the issuer"), "{message}");
    assert_eq!(bench.account.times("AssumeRoleWithWebIdentity"), 2);
}

#[tokio::test]
async fn keys_that_end_on_the_way_are_fetched_anew_and_the_call_repeated() {
    let bench = usual("");
    bench
        .account
        .anew(TEMPLATE)
        .refuses(TEMPLATE, 403, "ExpiredTokenException")
        .answers(TEMPLATE, 200, &template(true, "MERGE"));
    bench.aws.preflight().await.unwrap();
    assert_eq!(bench.account.times("AssumeRoleWithWebIdentity"), 2);
    assert_eq!(bench.account.times(TEMPLATE), 2);
}

#[tokio::test]
async fn a_laptop_whose_clock_is_wrong_signs_with_the_time_of_aws() {
    let bench = usual("");
    *bench.account.ahead.lock().unwrap() = 600;
    let preflight = bench.aws.preflight().await.unwrap();
    assert_eq!(preflight.clock_ahead, Some(600));
    assert_eq!(preflight.server_time.0, now() - 600);
    // The first answer, of STS, told the time; it needs no signature.
    let dates = bench
        .account
        .requests(|request| request.headers().get("x-amz-date").cloned());
    assert_eq!(dates[0], None);
    assert!(
        dates[1..]
            .iter()
            .all(|date| date.as_ref().unwrap() == "20251231T235000Z"),
        "{dates:?}"
    );
}

#[tokio::test]
async fn a_clock_that_is_put_wrong_between_calls_is_set_right_by_the_refusal() {
    let bench = usual("");
    bench.aws.preflight().await.unwrap();
    *bench.account.ahead.lock().unwrap() = -900;
    bench
        .account
        .anew(TEMPLATE)
        .refuses(TEMPLATE, 403, "RequestTimeTooSkewed")
        .answers(TEMPLATE, 200, &template(true, "MERGE"));
    assert_eq!(bench.aws.preflight().await.unwrap().clock_ahead, Some(-900));
    let dates = bench
        .account
        .requests(|request| request.headers().get("x-amz-date").cloned());
    assert_eq!(dates.last().unwrap().as_ref().unwrap(), "20260101T001500Z");
}

#[tokio::test]
async fn throttling_is_waited_out_and_then_told_as_what_it_is() {
    let bench = usual("");
    bench
        .account
        .anew(TEMPLATE)
        .refuses(TEMPLATE, 400, "ThrottlingException");
    let before = bench.clock.0.now_since();
    let error = bench.aws.preflight().await.unwrap_err();
    assert_eq!(error, CloudError::Throttled { retry_after: None });
    assert_eq!(bench.account.times(TEMPLATE), 4);
    let waited = bench.clock.0.now_since() - before;
    assert!((1750..=4100).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn keys_of_one_sign_in_never_serve_the_next() {
    let bench = usual("");
    bench.account.says(
        "AssumeRoleWithWebIdentity",
        answer(200, &sts_keys("ASIATWO", "2026-01-01T01:00:00Z")),
    );
    bench.aws.preflight().await.unwrap();
    bench.person.turn.store(1, std::sync::atomic::Ordering::Release);
    bench.aws.preflight().await.unwrap();
    let asked = bench.account.asked();
    let keys = asked.iter().filter(|call| *call == "AssumeRoleWithWebIdentity");
    assert_eq!(keys.count(), 2, "{asked:?}");
    bench.account.request(asked.len() - 1, |request| {
        let authorization = request.headers()["authorization"].to_str().unwrap();
        assert!(authorization.contains("Credential=ASIATWO/"), "{authorization}");
    });
}
