//! Who may do what: policy documents read and weighed as IAM does (IAM user guide, "Policy evaluation logic").
//!
//! Statements with `Effect`, `Action`, `Resource` and conditions on texts. What is not known here makes a document one
//! that cannot be used, rather than one that allows too much.

use serde::Deserialize;
use serde_json::Value;

use super::condition::{Conditions, Context};

/// A policy document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Policy {
    #[serde(rename = "Version")]
    _version: Version,
    statement: OneOrMany<Statement>,
}

/// The language that a document is written in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) enum Version {
    #[serde(rename = "2012-10-17")]
    Current,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    #[serde(rename = "Sid", default)]
    _sid: String,
    effect: Effect,
    action: OneOrMany<String>,
    resource: OneOrMany<String>,
    #[serde(default)]
    condition: Conditions,
}

/// What a statement does with what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// Documents leave out the brackets of a list with one entry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(super) fn all(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// What policies say of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Allows,
    Denies,
    Nothing,
}

/// Whose keys signed: an assumed role, or the account's own user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principal {
    pub(super) arn: String,
    /// Of the role or user.
    pub(super) policy: Policy,
    /// What narrows this session.
    pub(super) session: Option<Policy>,
}

impl Policy {
    pub(super) fn read(document: &str) -> Result<Self, String> {
        serde_json::from_str(document).map_err(|error| error.to_string())
    }

    fn word(&self, action: &str, resource: &str, context: &Context) -> Word {
        let mut word = Word::Nothing;
        for statement in self.statement.all() {
            // IAM takes actions in any case, and resources to the letter.
            let action = action.to_ascii_lowercase();
            let acts = statement
                .action
                .all()
                .iter()
                .any(|pattern| fits(&pattern.to_ascii_lowercase(), &action));
            let about = statement
                .resource
                .all()
                .iter()
                .any(|pattern| fits(pattern, resource));
            let about = acts && about && statement.condition.hold(context);
            match (about, statement.effect) {
                (true, Effect::Deny) => return Word::Denies,
                (true, Effect::Allow) => word = Word::Allows,
                (false, _) => {}
            }
        }
        word
    }
}

impl Principal {
    /// Whether it may, or why not in IAM's words.
    pub(super) fn may(&self, action: &str, resource: &str) -> Result<(), String> {
        self.may_in(action, resource, &Context::default())
    }

    /// The same of a request of which this is known.
    pub(super) fn may_in(&self, action: &str, resource: &str, context: &Context) -> Result<(), String> {
        let own = self.policy.word(action, resource, context);
        let session = self
            .session
            .as_ref()
            .map_or(Word::Allows, |policy| policy.word(action, resource, context));
        let because = match (own, session) {
            (Word::Allows, Word::Allows) => return Ok(()),
            (Word::Denies, _) | (_, Word::Denies) => "with an explicit deny".to_owned(),
            (Word::Nothing, _) => format!("because no identity-based policy allows the {action} action"),
            (_, Word::Nothing) => format!("because no session policy allows the {action} action"),
        };
        let arn = &self.arn;
        Err(format!(
            "User: {arn} is not authorized to perform: {action} on resource: {resource} {because}"
        ))
    }
}

/// Whether policies of AWS IoT let a certificate connect as this client, with the variables that a connection fills in
/// (AWS IoT developer guide, "Policy variables"). `clients` is how ARNs of clients begin. A document with what is not known
/// here might deny, so that with it nothing is allowed.
pub(crate) fn may_connect(policies: &[String], clients: &str, client_id: &str, thing: Option<&str>) -> bool {
    let client = format!("{clients}{}", literal(client_id));
    let attached = thing.is_some().to_string();
    let context = Context::default().with("iot:Connection.Thing.IsAttached", &attached);
    let words: Option<Vec<Word>> = policies
        .iter()
        .map(|document| {
            let mut document = document.replace("${iot:ClientId}", &in_json(&literal(client_id)));
            // A variable that nothing fills in matches nothing.
            if let Some(thing) = thing {
                document = document.replace("${iot:Connection.Thing.ThingName}", &in_json(&literal(thing)));
            }
            let policy = Policy::read(&document).ok()?;
            Some(policy.word("iot:Connect", &client, &context))
        })
        .collect();
    words.is_some_and(|words| words.contains(&Word::Allows) && !words.contains(&Word::Denies))
}

/// A text in which nothing stands for anything else: the signs that patterns have are put out of their way.
fn literal(text: &str) -> String {
    text.replace('*', "\u{e000}").replace('?', "\u{e001}")
}

/// A text as it stands within a text of JSON: a client chooses its own name, and must not write policies with it.
fn in_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted
        .get(1..quoted.len().saturating_sub(1))
        .unwrap_or_default()
        .to_owned()
}

/// `*` stands for any text and `?` for one sign. Takes no longer than the product of both lengths: where a sign does not
/// fit, only the last `*` can have taken too little.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let (mut left, mut rest) = (pattern.chars(), text.chars());
    // What follows the last `*`, and what it has not taken yet.
    let mut star: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let (mut after, mut tail) = (left.clone(), rest.clone());
        match (after.next(), tail.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                star = Some((after.clone(), rest.clone()));
                left = after;
                continue;
            }
            (Some(sign), Some(own)) if sign == '?' || sign == own => {
                (left, rest) = (after, tail);
                continue;
            }
            _ => {}
        }
        let Some((behind, taken)) = &mut star else {
            return false;
        };
        if taken.next().is_none() {
            return false;
        }
        (left, rest) = (behind.clone(), taken.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENTS: &str = "arn:aws:iot:eu-central-1:123456789012:client/";

    #[test]
    fn a_pattern_of_many_stars_is_soon_through() {
        let text = "a".repeat(10_000);
        assert!(!fits(&format!("{}b", "*a".repeat(50)), &text));
        assert!(fits(&format!("{}*", "*a".repeat(50)), &text));
        for (pattern, text, fit) in [
            ("", "", true),
            ("*", "", true),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyybzz", false),
            ("?ö*", "aöx", true),
            ("??", "a", false),
            ("*ab", "aab", true),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
    }

    fn policy(statements: &str) -> Policy {
        Policy::read(&format!(
            r#"{{"Version": "2012-10-17", "Statement": {statements}}}"#
        ))
        .unwrap()
    }

    fn principal(policy: Policy, session: Option<Policy>) -> Principal {
        Principal {
            arn: "arn:aws:sts::1:assumed-role/R/anna".into(),
            policy,
            session,
        }
    }

    #[test]
    fn a_call_takes_an_allow_and_no_deny_and_the_sessions_own_allow() {
        let things =
            r#"{"Effect": "Allow", "Action": ["iot:Describe*"], "Resource": "arn:aws:iot:r:1:thing/FK-*"}"#;
        let but =
            r#"{"Effect": "Deny", "Action": "iot:DescribeThing", "Resource": "arn:aws:iot:r:1:thing/FK-9"}"#;
        let both = format!("[{things}, {but}]");
        let thing = |name: &str| format!("arn:aws:iot:r:1:thing/{name}");
        let whole = principal(policy(&both), None);
        assert_eq!(whole.may("iot:DescribeThing", &thing("FK-1")), Ok(()));
        let told = |principal: &Principal, action: &str, name: &str| {
            principal.may(action, &thing(name)).unwrap_err()
        };
        assert!(told(&whole, "iot:DescribeThing", "FK-9").ends_with("with an explicit deny"));
        assert!(
            told(&whole, "iot:DescribeThing", "other")
                .ends_with("no identity-based policy allows the iot:DescribeThing action")
        );
        assert!(
            told(&whole, "iot:DeleteThing", "FK-1")
                .contains("not authorized to perform: iot:DeleteThing on resource")
        );

        let narrow =
            r#"{"Effect": "Allow", "Action": "iot:DescribeThing", "Resource": "arn:aws:iot:r:1:thing/FK-1"}"#;
        let narrowed = principal(policy(&both), Some(policy(narrow)));
        assert_eq!(narrowed.may("iot:DescribeThing", &thing("FK-1")), Ok(()));
        assert!(told(&narrowed, "iot:DescribeThing", "FK-2").contains("no session policy allows"));
        // A session never widens.
        let wide = principal(policy(narrow), Some(policy(&both)));
        assert!(told(&wide, "iot:DescribeThing", "FK-2").contains("no identity-based policy allows"));
    }

    #[test]
    fn a_role_is_passed_on_to_the_service_that_the_policy_names_and_to_no_other() {
        let pass = r#"{"Effect": "Allow", "Action": ["iam:PassRole"], "Resource": "arn:aws:iam::1:role/r",
            "Condition": {"StringEquals": {"iam:PassedToService": "iot.amazonaws.com"}}}"#;
        let registrar = principal(policy(pass), None);
        let to = |service: &str| Context::default().with("iam:PassedToService", service);
        let may = |role: &str, context: &Context| registrar.may_in("iam:PassRole", role, context);
        assert_eq!(may("arn:aws:iam::1:role/r", &to("iot.amazonaws.com")), Ok(()));
        for (role, context) in [
            ("arn:aws:iam::1:role/r", to("lambda.amazonaws.com")),
            ("arn:aws:iam::1:role/r", Context::default()),
            ("arn:aws:iam::1:role/other", to("iot.amazonaws.com")),
        ] {
            assert!(
                may(role, &context).unwrap_err().contains("iam:PassRole"),
                "{role}"
            );
        }
    }

    #[test]
    fn a_document_with_what_is_not_known_is_not_used() {
        for odd in [
            r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"NumericEquals": {"a:b": "1"}}}]}"#,
            r#"{"Version": "2008-10-17", "Statement": []}"#,
            r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "NotAction": "*", "Resource": "*"}]}"#,
            "no JSON",
        ] {
            assert!(Policy::read(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_device_connects_only_by_a_policy_and_as_the_client_that_it_names() {
        let own = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect",
            "Resource": "arn:aws:iot:eu-central-1:123456789012:client/${iot:Connection.Thing.ThingName}",
            "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}}]}"#;
        let any = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}"#;
        let no = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "iot:Connect", "Resource": "*"}]}"#;
        let mute = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}]}"#;
        for (policies, connects) in [
            (&[][..], false),
            (&[mute], false),
            (&[any], true),
            (&[own], true),
            (&[own, no], false),
            (&["no JSON"], false),
        ] {
            let policies: Vec<String> = policies.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(
                may_connect(&policies, CLIENTS, "FK-1", Some("FK-1")),
                connects,
                "{policies:?}"
            );
        }
        assert!(!may_connect(&[own.to_owned()], CLIENTS, "FK-1", Some("FK-2")));
        assert!(!may_connect(&[own.to_owned()], CLIENTS, "", None));
        let elsewhere = own.replace("eu-central-1", "eu-west-1");
        assert!(!may_connect(&[elsewhere], CLIENTS, "FK-1", Some("FK-1")));
        let whole_account = any.replace("\"*\"}", "\"arn:aws:iot:eu-central-1:123456789012:*\"}");
        assert!(may_connect(&[whole_account], CLIENTS, "FK-1", None));
        let of_thing = any.replace(
            "\"*\"}",
            "\"arn:aws:iot:eu-central-1:123456789012:client/${iot:Connection.Thing.ThingName}*\"}",
        );
        assert!(may_connect(
            std::slice::from_ref(&of_thing),
            CLIENTS,
            "FK-1a",
            Some("FK-1")
        ));
        assert!(
            !may_connect(&[of_thing], CLIENTS, "FK-1", None),
            "nothing fills it in"
        );
        let by_name = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "iot:Connect",
            "Resource": "arn:aws:iot:eu-central-1:123456789012:client/${iot:ClientId}"}]}"#;
        for name in ["FK-1", "\"", "a\"", "\"]}", "\\", "*", "?"] {
            let policies = [any.to_owned(), by_name.to_owned()];
            assert!(!may_connect(&policies, CLIENTS, name, Some("FK-1")), "{name}");
            let allowed = [by_name.replace("Deny", "Allow")];
            assert!(may_connect(&allowed, CLIENTS, name, Some("FK-1")), "{name}");
        }
        assert!(!may_connect(
            &[any.to_owned(), "no JSON".to_owned()],
            CLIENTS,
            "FK-1",
            None
        ));
    }

    #[test]
    fn patterns_fit_as_iam_has_them() {
        for (pattern, text, fit) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("thing/*", "thing/ä", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
    }
}
