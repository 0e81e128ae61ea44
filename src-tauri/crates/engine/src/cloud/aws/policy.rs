//! IAM policies, made from the table of operations, so that they allow what Fieldkey calls and nothing else.

use serde_json::{Value, json};

use super::operation::{Operation, Role, Scope};
use crate::settings::AwsSettings;

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
            Scope::Template => Some(self.resource("provisioningtemplate", &self.template)),
            Scope::Thing => Some(self.resource("thing", &self.things)),
            Scope::Certificate => Some(self.resource("cert", "*")),
            Scope::Client => Some(self.resource("client", &self.things)),
            Scope::Any => Some("*".to_owned()),
            Scope::Unsigned => None,
        }
    }

    /// The policy of a role: what it needs, one statement for each kind of resource.
    pub fn policy(&self, role: Role) -> Value {
        const SCOPES: [(&str, Scope); 5] = [
            ("Template", Scope::Template),
            ("Things", Scope::Thing),
            ("Certificates", Scope::Certificate),
            ("Clients", Scope::Client),
            ("Endpoint", Scope::Any),
        ];
        let statements = SCOPES.into_iter().filter_map(|(name, scope)| {
            let actions: Vec<&str> = Operation::ALL
                .iter()
                .filter(|operation| operation.scope() == scope && operation.role() <= role)
                .map(|operation| operation.action())
                .collect();
            let resource = self.scope(scope)?;
            (!actions.is_empty())
                .then(|| json!({ "Sid": name, "Effect": "Allow", "Action": actions, "Resource": resource }))
        });
        json!({ "Version": "2012-10-17", "Statement": statements.collect::<Vec<_>>() })
    }
}

/// The policy that narrows a session to what Fieldkey may do at most; the role's own policy narrows it further. None
/// where the profile does not tell the account.
pub(super) fn session(settings: &AwsSettings) -> Option<String> {
    let account = Account::of(settings, settings.account()?);
    Some(account.policy(Role::Support).to_string())
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
        };
        let policy = account.policy(Role::Support).to_string();
        assert!(policy.len() <= LONGEST_SESSION, "{}", policy.len());
    }
}
