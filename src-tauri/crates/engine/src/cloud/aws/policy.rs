//! IAM policies, made from the table of operations, so that they allow what Fieldkey calls and nothing else.

use serde_json::{Value, json};

use super::operation::{Operation, Role, Scope};
use crate::settings::{AwsSettings, Strategy};

/// The resources that policies are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    /// The region.
    pub region: String,
    /// Twelve digits.
    pub account: String,
    /// The template.
    pub template: String,
    /// Names of things, with `*` for the serial number.
    pub things: String,
    /// How devices come to their identity there.
    pub strategy: Strategy,
}

impl Account {
    /// As the profile has it, in the account of this number.
    pub fn of(settings: &AwsSettings, account: &str) -> Self {
        Self {
            partition: settings.partition().to_owned(),
            region: settings.region.clone(),
            account: account.to_owned(),
            template: settings.template.clone(),
            things: settings.thing_name("*").unwrap_or_else(|| "*".to_owned()),
            strategy: settings.strategy,
        }
    }

    /// An AWS IoT resource of it.
    pub fn resource(&self, kind: &str, name: &str) -> String {
        let Self {
            partition,
            region,
            account,
            ..
        } = self;
        format!("arn:{partition}:iot:{region}:{account}:{kind}/{name}")
    }

    fn scope(&self, scope: Scope) -> Option<String> {
        match scope {
            // A strategy without a template needs no right to one.
            Scope::Template if self.template.is_empty() => None,
            Scope::Template => Some(self.resource("provisioningtemplate", &self.template)),
            Scope::Thing => Some(self.resource("thing", &self.things)),
            Scope::Certificate => Some(self.resource("cert", "*")),
            Scope::Client => Some(self.resource("client", &self.things)),
            Scope::Any | Scope::Task => Some("*".to_owned()),
            Scope::Unsigned => None,
        }
    }

    /// The policy of a role: what it needs, one statement for each kind of resource.
    pub fn policy(&self, role: Role) -> Value {
        const SCOPES: [(&str, Scope); 6] = [
            ("Template", Scope::Template),
            ("Things", Scope::Thing),
            ("Certificates", Scope::Certificate),
            ("Clients", Scope::Client),
            ("Endpoint", Scope::Any),
            ("Tasks", Scope::Task),
        ];
        let statements = SCOPES.into_iter().filter_map(|(name, scope)| {
            let actions: Vec<&str> = Operation::ALL
                .iter()
                .filter(|operation| operation.scope() == scope && role.covers(operation.role()))
                // Where devices enrol by themselves nobody needs a claim.
                .filter(|operation| {
                    **operation != Operation::CreateProvisioningClaim || !self.strategy.is_self_enrolling()
                })
                .map(|operation| operation.action())
                .collect();
            let resource = self.scope(scope)?;
            (!actions.is_empty())
                .then(|| json!({ "Sid": name, "Effect": "Allow", "Action": actions, "Resource": resource }))
        });
        json!({ "Version": "2012-10-17", "Statement": statements.collect::<Vec<_>>() })
    }

    /// A role of this account.
    pub fn role(&self, name: &str) -> String {
        format!("arn:{}:iam::{}:role/{name}", self.partition, self.account)
    }

    /// The policy of the registrar: tasks, and handing this role to AWS IoT and to nobody else.
    pub fn registrar(&self, passed: &str) -> Value {
        let mut policy = self.policy(Role::Registrar);
        if let Some(statements) = policy.get_mut("Statement").and_then(Value::as_array_mut) {
            statements.push(json!({
                "Sid": "Pass",
                "Effect": "Allow",
                "Action": ["iam:PassRole"],
                "Resource": passed,
                "Condition": {"StringEquals": {"iam:PassedToService": "iot.amazonaws.com"}}
            }));
        }
        policy
    }
}

/// The policy that narrows a session to what Fieldkey may do at most; the role's own policy narrows it further. None
/// where the profile does not tell the account.
pub(super) fn session(settings: &AwsSettings, work: &Work) -> Option<String> {
    let account = Account::of(settings, settings.account()?);
    let policy = match work {
        Work::Devices => account.policy(Role::Support),
        Work::Bulk { passed: Some(role) } => account.registrar(role),
        Work::Bulk { passed: None } => account.policy(Role::Registrar),
    };
    Some(policy.to_string())
}

/// What keys are asked for: one session never does both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Single devices.
    Devices,
    /// Bulk registration.
    Bulk {
        /// The role that is handed to AWS IoT, where a task is to be started.
        passed: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longest session policy in characters (AssumeRoleWithWebIdentity, `Policy`).
    const LONGEST_SESSION: usize = 2048;

    #[test]
    fn the_policy_of_a_session_is_never_too_long_for_aws() {
        // The longest that AWS gives or takes: partition and region, account, template, thing.
        let account = Account {
            partition: "aws-us-gov".into(),
            region: "ap-southeast-10".into(),
            account: "1".repeat(12),
            template: "t".repeat(36),
            things: "n".repeat(128),
            strategy: Strategy::TrustedUser,
        };
        for policy in [
            account.policy(Role::Support),
            account.registrar(&account.role(&"r".repeat(576))),
        ] {
            let policy = policy.to_string();
            assert!(policy.len() <= LONGEST_SESSION, "{}", policy.len());
        }
    }

    #[test]
    fn nobody_may_fetch_claims_where_devices_enrol_by_themselves() {
        for strategy in Strategy::ALL {
            let account = Account {
                partition: "aws".into(),
                region: "eu-central-1".into(),
                account: "1".repeat(12),
                template: if strategy.has_template() { "acme" } else { "" }.into(),
                things: "*".into(),
                strategy,
            };
            let policy = account.policy(Role::Support).to_string();
            let claims = policy.contains("iot:CreateProvisioningClaim");
            assert_eq!(claims, strategy == Strategy::TrustedUser, "{strategy:?}");
            let reads = policy.contains("iot:DescribeProvisioningTemplate");
            assert_eq!(reads, strategy.has_template(), "{strategy:?}");
        }
    }

    #[test]
    fn a_session_for_devices_registers_nothing_in_bulk_and_one_for_bulk_touches_no_device() {
        let text = "name = \"Acme\"\n[sign-in]\nissuer = \"https://login.acme.example\"\nclient-id = \"fieldkey\"\n\
             [cloud]\nkind = \"aws-iot\"\nregion = \"eu-central-1\"\ntemplate = \"acme\"\n[cloud.credentials]\n\
             way = \"sts\"\nrole = \"arn:aws:iam::123456789012:role/Office\"\n";
        let crate::settings::CloudSettings::AwsIot(settings) =
            crate::settings::Profile::parse(text).unwrap().cloud
        else {
            panic!("another cloud");
        };
        let of = |work| session(&settings, &work).unwrap();
        let devices = of(Work::Devices);
        assert!(!devices.contains("RegistrationTask") && !devices.contains("iam:PassRole"));
        let follows = of(Work::Bulk { passed: None });
        assert!(follows.contains("DescribeThingRegistrationTask") && !follows.contains("iam:PassRole"));
        assert!(!follows.contains("iot:CreateProvisioningClaim"));
        let role = "arn:aws:iam::123456789012:role/fieldkey-registration";
        let starts = of(Work::Bulk {
            passed: Some(role.into()),
        });
        assert!(starts.contains("iam:PassRole") && starts.contains(role));
    }
}
