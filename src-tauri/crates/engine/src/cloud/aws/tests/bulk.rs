//! A bulk registration from its start to its report.

use std::sync::Arc;

use commission::fault::CloudError;
use serde_json::{Value, json};

use super::super::bulk::{Failed, Order, OrderError, Status, Tasks};
use super::script::*;

pub(super) const START: &str = "POST /thing-registration-tasks";
pub(super) const LOOK: &str = "GET /thing-registration-tasks/t-1";
pub(super) const STOP: &str = "PUT /thing-registration-tasks/t-1/cancel";
pub(super) const RUNNING: &str = "GET /thing-registration-tasks?status=InProgress";
pub(super) const REPORTS: &str = "GET /thing-registration-tasks/t-1/reports?maxResults=100&reportType=ERRORS";
const MORE: &str =
    "GET /thing-registration-tasks/t-1/reports?maxResults=100&nextToken=a%2Fb&reportType=ERRORS";
pub(super) const LINK: &str = "https://bucket.s3.amazonaws.com/errors-1?X-Amz-Signature=s3cret";
const ROLE_ARN: &str = "arn:aws:iam::123456789012:role/fieldkey-registration";

pub(super) fn order() -> Order {
    Order::new("{}".into(), "acme-lines", "2026/things.jsonl", ROLE_ARN).unwrap()
}

pub(super) fn tasks(bench: &Bench, passed: Option<&str>) -> Tasks {
    let person = Arc::new(Person {
        roles: vec!["registrar".into()],
        tokens: std::sync::Mutex::default(),
        turn: std::sync::atomic::AtomicU64::default(),
    });
    Tasks::new(
        (*bench.aws.settings).clone(),
        bench.account.clone(),
        person,
        bench.clock.clone(),
        passed,
    )
    .unwrap()
}

fn told(status: &str, succeeded: u64, failed: u64) -> Value {
    json!({
        "taskId": "t-1", "status": status, "successCount": succeeded, "failureCount": failed,
        "percentageProgress": 50, "creationDate": now(), "roleArn": ROLE_ARN
    })
}

#[tokio::test]
async fn a_task_is_started_with_what_was_named_and_keys_that_pass_on_that_role_alone() {
    let bench = usual("");
    bench.account.answers(START, 200, &json!({"taskId": "t-1"}));
    let started = tasks(&bench, Some(ROLE_ARN)).start(&order()).await;
    assert_eq!(started, Ok("t-1".into()));
    let sent: Value = bench
        .account
        .request(1, |request| serde_json::from_slice(request.body()).unwrap());
    assert_eq!(
        sent,
        json!({
            "templateBody": "{}", "inputFileBucket": "acme-lines", "inputFileKey": "2026/things.jsonl",
            "roleArn": ROLE_ARN
        })
    );
    let form = bench
        .account
        .request(0, |request| String::from_utf8(request.body().clone()).unwrap());
    assert!(
        form.contains("iam%3APassRole") && form.contains("fieldkey-registration"),
        "{form}"
    );
    assert!(!form.contains("CreateProvisioningClaim"), "{form}");
}

#[tokio::test]
async fn a_second_task_is_refused_with_what_to_do_and_not_tried_again() {
    for code in ["LimitExceededException", "InvalidRequestException"] {
        let bench = usual("");
        bench.account.refuses(START, 400, code);
        let error = tasks(&bench, Some(ROLE_ARN)).start(&order()).await.unwrap_err();
        assert!(error.to_string().contains("one task at a time"), "{error}");
        assert_eq!(bench.account.times(START), 1);
    }
}

#[tokio::test]
async fn a_task_tells_how_far_it_is_and_one_of_another_name_is_not_believed() {
    let bench = usual("");
    bench.account.answers(LOOK, 200, &told("InProgress", 5, 1));
    let tasks = tasks(&bench, None);
    let task = tasks.look("t-1").await.unwrap();
    assert_eq!(
        (task.status, task.succeeded, task.failed, task.percent),
        (Status::InProgress, 5, 1, 50)
    );
    assert!(!task.status.is_over());
    bench
        .account
        .anew(LOOK)
        .answers(LOOK, 200, &json!({"taskId": "t-2", "status": "Completed"}));
    assert!(matches!(tasks.look("t-1").await, Err(CloudError::Nonsense(_))));
}

#[tokio::test]
async fn reports_of_all_pages_come_in_the_order_of_lines_and_without_keys_sent_to_them() {
    let bench = usual("");
    let second = "https://bucket.s3.amazonaws.com/errors-2?X-Amz-Signature=s3cret";
    bench
        .account
        .answers(REPORTS, 200, &json!({"resourceLinks": [LINK], "reportType": "ERRORS", "nextToken": "a/b"}))
        .answers(MORE, 200, &json!({"resourceLinks": [second], "reportType": "ERRORS"}))
        .says(
            "GET /errors-1?X-Amz-Signature=s3cret",
            crate::fixtures::answer(
                200,
                "{\"lineNumber\":7,\"errorResponse\":{\"errorCode\":\"InvalidRequest\",\"errorMessage\":\"Bad CSR.\"}}\n\n\
                 something else\n",
            ),
        )
        .says(
            "GET /errors-2?X-Amz-Signature=s3cret",
            crate::fixtures::answer(200, "{\"lineNumber\":\"2\",\"errorMessage\":\"No such type.\"}\n"),
        );
    let failures = tasks(&bench, None).failures("t-1").await.unwrap();
    let failed = |line, code: Option<&str>, why: &str| Failed {
        line,
        code: code.map(str::to_owned),
        why: why.into(),
    };
    assert_eq!(
        failures.all,
        [
            failed(Some(2), None, "No such type."),
            failed(Some(7), Some("InvalidRequest"), "Bad CSR."),
            failed(None, None, "something else"),
        ]
    );
    let signed = bench.account.requests(|request| {
        let at_s3 = request.uri().host() == Some("bucket.s3.amazonaws.com");
        (at_s3, request.headers().contains_key("authorization"))
    });
    assert!(
        signed.iter().all(|(at_s3, signed)| !at_s3 || !signed),
        "{signed:?}"
    );
}

#[tokio::test]
async fn reports_that_never_end_are_given_up_and_said_to_be_cut_off() {
    let bench = usual("");
    let page = json!({"resourceLinks": [], "reportType": "ERRORS", "nextToken": "a/b"});
    bench
        .account
        .answers(REPORTS, 200, &page)
        .answers(MORE, 200, &page);
    let failures = tasks(&bench, None).failures("t-1").await.unwrap();
    assert!(failures.all.is_empty() && failures.more);
}

#[tokio::test]
async fn the_tasks_that_run_are_listed_for_whoever_heard_nothing_of_a_start() {
    let bench = usual("");
    bench.account.answers(
        "GET /thing-registration-tasks?status=InProgress",
        200,
        &json!({"taskIds": ["t-1"]}),
    );
    assert_eq!(tasks(&bench, None).running().await.unwrap(), ["t-1"]);
}

#[tokio::test]
async fn that_no_task_runs_is_only_said_after_the_whole_list() {
    const FIRST: &str = "GET /thing-registration-tasks?status=InProgress";
    const MORE: &str = "GET /thing-registration-tasks?status=InProgress&nextToken=a%2Fb";
    let bench = usual("");
    let empty = json!({"taskIds": [], "nextToken": "a/b"});
    bench
        .account
        .answers(FIRST, 200, &empty)
        .answers(MORE, 200, &json!({"taskIds": ["t-2"]}));
    assert_eq!(tasks(&bench, None).running().await.unwrap(), ["t-2"]);
    bench.account.anew(MORE).answers(MORE, 200, &empty);
    let cut = tasks(&bench, None).running().await;
    assert!(matches!(cut, Err(CloudError::Nonsense(_))), "{cut:?}");
    bench.account.anew(FIRST).answers(FIRST, 200, &json!({}));
    let nothing = tasks(&bench, None).running().await;
    assert!(matches!(nothing, Err(CloudError::Nonsense(_))), "{nothing:?}");
}

#[tokio::test]
async fn no_error_shows_the_address_of_a_report() {
    for (link, status) in [
        (LINK, 403),
        ("http://bucket.example/e?sig=s3cret", 200),
        ("https://\u{7f} s3cret", 200),
    ] {
        let bench = usual("");
        bench
            .account
            .answers(REPORTS, 200, &json!({"resourceLinks": [link]}))
            .says(
                "GET /errors-1?X-Amz-Signature=s3cret",
                crate::fixtures::answer(status, "<Error>s3cret</Error>"),
            );
        let failures = tasks(&bench, None).failures("t-1").await.unwrap();
        let [error] = failures.unread.as_slice() else {
            panic!("{failures:?}");
        };
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}

#[tokio::test]
async fn a_report_that_cannot_be_read_does_not_hide_the_others() {
    let bench = usual("");
    let second = "https://bucket.s3.amazonaws.com/errors-2?X-Amz-Signature=s3cret";
    bench
        .account
        .answers(REPORTS, 200, &json!({"resourceLinks": [LINK, second]}))
        .says(
            "GET /errors-1?X-Amz-Signature=s3cret",
            crate::fixtures::answer(403, "expired"),
        )
        .says(
            "GET /errors-2?X-Amz-Signature=s3cret",
            crate::fixtures::answer(200, "{\"lineNumber\":2,\"errorMessage\":\"No such type.\"}\n"),
        );
    let failures = tasks(&bench, None).failures("t-1").await.unwrap();
    assert_eq!((failures.all.len(), failures.unread.len()), (1, 1));
}

#[tokio::test]
async fn a_task_that_there_is_not_is_said_to_be_none() {
    let bench = usual("");
    bench.account.refuses(STOP, 404, "ResourceNotFoundException");
    let error = tasks(&bench, None).stop("t-1").await.unwrap_err();
    assert!(
        error.to_string().contains("check the task's identifier"),
        "{error}"
    );
    let bench = usual("");
    bench.account.refuses(LOOK, 400, "InvalidRequestException");
    let error = tasks(&bench, None).look("t-1").await.unwrap_err();
    assert!(
        error.to_string().contains("check the task's identifier"),
        "{error}"
    );
}

#[test]
fn an_order_that_aws_would_refuse_is_refused_by_its_field() {
    let table = [
        ("b", "k", ROLE_ARN, OrderError::Bucket),
        ("bucket", "", ROLE_ARN, OrderError::Key),
        ("bucket", "a b", ROLE_ARN, OrderError::Key),
        ("bucket", "k", "fieldkey-registration", OrderError::Role),
        (
            "bucket",
            "k",
            "arn:aws:iam::123456789012:role/*",
            OrderError::Role,
        ),
        ("bucket", "k", "arn:aws:iam::1:role/r", OrderError::Role),
    ];
    for (bucket, key, role, error) in table {
        assert_eq!(
            Order::new("{}".into(), bucket, key, role),
            Err(error),
            "{bucket} {key} {role}"
        );
    }
}
