//! Trust policies of roles: who may take one, read as they are printed and weighed as IAM does (IAM user guide, "Roles
//! terms and concepts").

use serde::Deserialize;

use super::condition::{Conditions, Context};
use super::iam::{Effect, OneOrMany, Version};

/// By which call people of an issuer take a role.
pub(super) const WEB_IDENTITY: &str = "sts:AssumeRoleWithWebIdentity";
/// And by which a service does.
pub(super) const ASSUME: &str = "sts:AssumeRole";

/// A trust policy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Trust {
    #[serde(rename = "Version")]
    _version: Version,
    statement: OneOrMany<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    #[serde(rename = "Sid", default)]
    _sid: String,
    effect: Effect,
    principal: Trusted,
    action: OneOrMany<String>,
    #[serde(default)]
    condition: Conditions,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Trusted {
    federated: Option<OneOrMany<String>>,
    service: Option<OneOrMany<String>>,
}

/// Who wants a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who<'a> {
    /// A person, by the ARN of the provider that vouches for them.
    Federated(&'a str),
    /// A service of AWS, by its name.
    Service(&'a str),
}

impl Trust {
    pub(super) fn read(document: &str) -> Result<Self, String> {
        serde_json::from_str(document).map_err(|error| error.to_string())
    }

    /// Whether `who` may take the role by this call.
    pub(super) fn admits(&self, who: Who<'_>, action: &str, context: &Context) -> bool {
        let mut admits = false;
        for statement in self.statement.all() {
            let about = statement.principal.is(who)
                && statement.action.all().iter().any(|own| own == action)
                && statement.condition.hold(context);
            match (about, statement.effect) {
                (true, Effect::Deny) => return false,
                (true, Effect::Allow) => admits = true,
                (false, _) => {}
            }
        }
        admits
    }
}

impl Trusted {
    fn is(&self, who: Who<'_>) -> bool {
        let (named, who) = match who {
            Who::Federated(provider) => (&self.federated, provider),
            Who::Service(service) => (&self.service, service),
        };
        named
            .as_ref()
            .is_some_and(|named| named.all().iter().any(|own| own == who))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVIDER: &str = "arn:aws:iam::123456789012:oidc-provider/issuer.example";

    fn admits(conditions: &str, subject: &str) -> bool {
        let document = format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Principal": {{"Federated": "{PROVIDER}"}},
                "Action": "sts:AssumeRoleWithWebIdentity", "Condition": {{"StringEquals": {conditions}}}}}]}}"#
        );
        let context = Context::default()
            .with("issuer.example:aud", "fieldkey")
            .with("issuer.example:sub", subject);
        let trust = Trust::read(&document).unwrap();
        trust.admits(Who::Federated(PROVIDER), WEB_IDENTITY, &context)
    }

    #[test]
    fn a_role_is_for_whom_its_conditions_name() {
        let anybody = r#"{"issuer.example:aud": "fieldkey"}"#;
        let one = r#"{"issuer.example:aud": "fieldkey", "issuer.example:sub": "rita"}"#;
        let several = r#"{"issuer.example:aud": ["fieldkey"], "issuer.example:sub": ["rita", "ruth"]}"#;
        let other = r#"{"issuer.example:aud": "another", "issuer.example:sub": "rita"}"#;
        for (conditions, subject, may) in [
            (anybody, "anna", true),
            (one, "rita", true),
            (one, "anna", false),
            (several, "ruth", true),
            (several, "anna", false),
            (other, "rita", false),
        ] {
            assert_eq!(admits(conditions, subject), may, "{conditions} {subject}");
        }
    }

    #[test]
    fn a_service_is_no_person_and_a_deny_goes_before() {
        let service = r#"{"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}"#;
        let deny = r#"{"Effect": "Deny", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}"#;
        let read = |statements: &str| {
            let document = format!(r#"{{"Version": "2012-10-17", "Statement": {statements}}}"#);
            Trust::read(&document).unwrap()
        };
        let (trust, none) = (read(service), Context::default());
        assert!(trust.admits(Who::Service("iot.amazonaws.com"), ASSUME, &none));
        assert!(!trust.admits(Who::Service("lambda.amazonaws.com"), ASSUME, &none));
        assert!(!trust.admits(Who::Federated("iot.amazonaws.com"), ASSUME, &none));
        assert!(!trust.admits(Who::Service("iot.amazonaws.com"), WEB_IDENTITY, &none));
        let both = read(&format!("[{service}, {deny}]"));
        assert!(!both.admits(Who::Service("iot.amazonaws.com"), ASSUME, &none));
    }
}
