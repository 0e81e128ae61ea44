//! Every call that is made is in the table, and the printed policy allows it.

use super::super::operation::{Operation, Role, Scope};
use super::super::policy::Account;
use super::bulk;
use super::script::*;
use crate::ports::Cloud;
use crate::settings::Strategy;
use commission::claim::Purpose;
use serde_json::{Value, json};

fn account() -> Account {
    Account {
        partition: "aws".into(),
        region: "eu-central-1".into(),
        account: "123456789012".into(),
        template: "acme".into(),
        things: "*".into(),
        strategy: Strategy::TrustedUser,
    }
}

/// What IAM would say: whether a statement allows this action on this resource.
fn allows(policy: &Value, action: &str, resource: &str) -> bool {
    policy["Statement"].as_array().unwrap().iter().any(|statement| {
        let pattern = statement["Resource"].as_str().unwrap();
        let named = statement["Action"]
            .as_array()
            .unwrap()
            .iter()
            .any(|own| own == action);
        let covers = match pattern.split_once('*') {
            Some((head, tail)) => resource.starts_with(head) && resource.ends_with(tail),
            None => pattern == resource,
        };
        statement["Effect"] == "Allow" && named && covers
    })
}

fn resource(operation: Operation, path: &str) -> Option<String> {
    let name = path.split('/').nth(2).unwrap_or_default();
    let account = account();
    match operation.scope() {
        Scope::Template => Some(account.resource("provisioningtemplate", name)),
        Scope::Thing => Some(account.resource("thing", name)),
        Scope::Certificate => Some(account.resource("cert", name)),
        Scope::Client => Some(account.resource("client", name)),
        Scope::Any | Scope::Task => Some("*".into()),
        Scope::Unsigned => None,
    }
}

/// A whole service visit, with every kind of call that there is.
pub(super) async fn visit(bench: &Bench) {
    let (old, told_old) = certificate(OLD, "ACTIVE", now() - 9000);
    bench
        .account
        .answers(PRINCIPALS, 200, &principals(&[OLD]))
        .answers(THING, 200, &json!({"version": 1}))
        .answers(&old, 200, &told_old)
        .answers(INDEX, 404, &json!({"__type": "ResourceNotFoundException"}))
        .answers(DATA, 200, &json!({"connected": true}))
        .answers(CLAIM, 200, &claim(&json!(now() + 300)))
        .answers(
            &format!("PUT /certificates/{OLD}?newStatus=INACTIVE"),
            200,
            &json!({}),
        );
    bench.aws.preflight().await.unwrap();
    bench.aws.snapshot(&serial(), &NONE).await.unwrap();
    let claim = bench.aws.issue(&order(Purpose::Service)).await.unwrap();
    bench.aws.observe(&claim.id, 0).await.unwrap();
    bench.aws.deactivate("FK-7", OLD).await.unwrap();
    bench.aws.release("FK-7", &claim.id).await.unwrap();
    bench.aws.retire(&claim.cleanup).await.unwrap();
}

/// An account whose keys come from an identity pool.
pub(super) fn pooled() -> Bench {
    let by_pool = bench(POOL, "");
    by_pool
        .account
        .answers("GetId", 200, &json!({"IdentityId": "i"}))
        .answers(
            "GetCredentialsForIdentity",
            200,
            &json!({"Credentials": {"AccessKeyId": "A", "SecretKey": "s", "SessionToken": "t", "Expiration": now() + 3600}}),
        )
        .answers(TEMPLATE, 200, &template(true, "MERGE"))
        .answers(ENDPOINT, 200, &json!({"endpointAddress": "localhost"}));
    by_pool
}

/// A whole bulk registration.
pub(super) async fn register(bench: &Bench) {
    let task = json!({"taskId": "t-1", "status": "Completed"});
    bench
        .account
        .answers(bulk::START, 200, &json!({"taskId": "t-1"}))
        .answers(bulk::LOOK, 200, &task)
        .answers(bulk::REPORTS, 200, &json!({"resourceLinks": []}))
        .answers(bulk::STOP, 200, &json!({}))
        .answers(bulk::RUNNING, 200, &json!({"taskIds": []}));
    let order = bulk::order();
    let tasks = bulk::tasks(bench, Some(order.role()));
    tasks.start(&order).await.unwrap();
    tasks.running().await.unwrap();
    tasks.look("t-1").await.unwrap();
    tasks.failures("t-1").await.unwrap();
    tasks.stop("t-1").await.unwrap();
}

#[tokio::test]
async fn the_printed_policies_allow_every_call_that_is_made_and_no_other_template_or_account() {
    let by_role = usual("");
    visit(&by_role).await;
    let by_pool = pooled();
    visit(&by_pool).await;

    let in_bulk = usual("");
    register(&in_bulk).await;

    let registrar = account().registrar(bulk::order().role());
    let (installer, support) = (account().policy(Role::Installer), account().policy(Role::Support));
    let mut made = std::collections::BTreeSet::new();
    for bench in [&by_role, &by_pool, &in_bulk] {
        for (operation, path) in bench
            .account
            .requests(|request| (operation(request), request.uri().path().to_owned()))
        {
            made.insert(operation);
            let Some(resource) = resource(operation, &path) else {
                continue;
            };
            let for_registrar = operation.role() == Role::Registrar;
            assert_eq!(
                allows(&registrar, operation.action(), &resource),
                for_registrar,
                "{operation:?} on {resource}"
            );
            assert_eq!(
                allows(&support, operation.action(), &resource),
                !for_registrar,
                "{operation:?} on {resource}"
            );
            let for_installer = operation.role() == Role::Installer;
            assert_eq!(
                allows(&installer, operation.action(), &resource),
                for_installer,
                "{operation:?}"
            );
        }
    }
    let all: std::collections::BTreeSet<Operation> = Operation::ALL.iter().copied().collect();
    assert_eq!(
        made, all,
        "a call in the table that nobody makes, or one that this test does not reach"
    );

    let elsewhere = account().resource("provisioningtemplate", "other");
    assert!(!allows(&support, "iot:CreateProvisioningClaim", &elsewhere));
    let foreign = "arn:aws:iot:eu-central-1:999999999999:provisioningtemplate/acme";
    assert!(!allows(&support, "iot:CreateProvisioningClaim", foreign));
}

#[test]
fn an_installer_writes_nothing_but_claims() {
    let policy = account().policy(Role::Installer);
    for operation in Operation::ALL.iter().filter(|operation| operation.writes()) {
        let allowed = policy.to_string().contains(operation.action());
        assert_eq!(
            allowed,
            *operation == Operation::CreateProvisioningClaim,
            "{operation:?}"
        );
    }
}
