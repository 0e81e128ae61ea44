//! The closer look at a role.

use super::script::*;
use crate::ports::Cloud;
use serde_json::json;

const NOBODY: &str = "fieldkey-doctor-looks";

/// An account where nothing is there, and where these calls are denied.
async fn missing(denied: &[&str]) -> Vec<String> {
    let bench = usual("");
    let zero = "0".repeat(64);
    for question in [
        format!("GET /things/{NOBODY}"),
        format!("GET /things/{NOBODY}/principals"),
        format!("POST /things/{NOBODY}/connectivity-data"),
        format!("GET /connections/{NOBODY}"),
        format!("GET /certificates/{zero}"),
    ] {
        let (status, code) = if denied.iter().any(|part| question.ends_with(part)) {
            (403, "AccessDeniedException")
        } else {
            (404, "ResourceNotFoundException")
        };
        bench.account.refuses(&question, status, code);
    }
    let missing = bench.aws.examine().await.unwrap();
    assert!(
        bench
            .account
            .asked()
            .iter()
            .all(|asked| !asked.starts_with("PUT") && asked != CLAIM)
    );
    missing
}

#[tokio::test]
async fn a_role_that_allows_all_lacks_nothing_and_no_claim_is_spent() {
    assert_eq!(missing(&[]).await, [""; 0]);
}

#[tokio::test]
async fn what_a_role_lacks_is_named_by_its_action() {
    assert_eq!(
        missing(&["/principals"]).await,
        ["The role does not allow iot:ListThingPrincipals."]
    );
    let sources = [format!("/connections/{NOBODY}"), "/connectivity-data".to_owned()];
    assert_eq!(
        missing(&[&sources[1]]).await,
        [""; 0],
        "the data plane tells more"
    );
    let index = missing(&[&sources[0]]).await;
    assert!(
        matches!(index.as_slice(), [only] if only.contains("iot:GetConnection")),
        "{index:?}"
    );
    let both = missing(&[&sources[0], &sources[1]]).await;
    assert!(
        matches!(both.as_slice(), [only] if only.contains("not yet seen online")),
        "{both:?}"
    );
}

#[tokio::test]
async fn trouble_that_says_nothing_of_rights_is_an_error() {
    let bench = usual("");
    bench
        .account
        .answers(&format!("GET /things/{NOBODY}"), 503, &json!({}));
    assert!(bench.aws.examine().await.unwrap_err().is_passing());
}
