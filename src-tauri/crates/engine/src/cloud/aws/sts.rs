//! Keys for a role by AssumeRoleWithWebIdentity, narrowed to one template and named after the person.

use ::http::Method;
use commission::fault::CloudError;
use commission::secret::Token;
use url::Url;
use url::form_urlencoded::Serializer;

use super::keys::Granted;
use super::operation::Operation;
use super::policy::{self, Work};
use super::sign::Keys;
use super::stamp::iso;
use super::wire::{Trouble, Wire, request};
use super::xml::leaf;
use crate::settings::AwsSettings;

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
const VERSION: &str = "2011-06-15";
/// Longest name of a session.
const LONGEST_NAME: usize = 64;

/// A role.
pub(super) struct Role<'a> {
    pub(super) wire: &'a Wire,
    pub(super) base: &'a Url,
    pub(super) arn: &'a str,
    pub(super) seconds: u32,
    pub(super) settings: &'a AwsSettings,
    pub(super) work: &'a Work,
}

impl Role<'_> {
    /// Keys for the role. Whatever the role may do besides, these may do what Fieldkey needs and no more.
    pub(super) async fn keys(&self, subject: &str, token: &Token) -> Result<Granted, Trouble> {
        let operation = Operation::AssumeRoleWithWebIdentity;
        let body = self.form(subject, token).into_bytes();
        let request = request(self.base, &Method::POST, "/", Some(FORM), body)?;
        let answer = self.wire.send(operation, request).await?;
        let now = self.wire.time_of(&answer);
        let granted = std::str::from_utf8(&answer.body).ok().and_then(|body| {
            let secret = |name| leaf(body, name).filter(|text| !text.is_empty());
            let (id, key, session) = (
                secret("AccessKeyId")?,
                secret("SecretAccessKey")?,
                secret("SessionToken")?,
            );
            Some(Granted {
                keys: Keys::new(&id, &key, &session),
                ends: iso(&leaf(body, "Expiration")?)?,
                now,
                arrived: answer.arrived,
            })
        });
        let unreadable = || CloudError::Nonsense(format!("{} brought no keys", operation.name()));
        Ok(granted.ok_or_else(unreadable)?)
    }

    fn form(&self, subject: &str, token: &Token) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", Operation::AssumeRoleWithWebIdentity.name())
            .append_pair("Version", VERSION)
            .append_pair("RoleArn", self.arn)
            .append_pair("RoleSessionName", &session_name(subject))
            .append_pair("DurationSeconds", &self.seconds.to_string())
            .append_pair("WebIdentityToken", token.reveal());
        if let Some(policy) = policy::session(self.settings, self.work) {
            form.append_pair("Policy", &policy);
        }
        form.finish()
    }
}

/// The person's subject as far as a session's name can hold it, so that the account's own log says who it was.
fn session_name(subject: &str) -> String {
    let sound =
        |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '=' | ',' | '.' | '@' | '-' | '+');
    let mut name: String = subject
        .chars()
        .take(LONGEST_NAME)
        .map(|sign| if sound(sign) { sign } else { '-' })
        .collect();
    while name.len() < 2 {
        name.push('-');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::session_name;

    #[test]
    fn a_session_is_called_after_the_person_within_awss_form() {
        assert_eq!(session_name("ada@acme.example"), "ada@acme.example");
        assert_eq!(session_name("auth0|7/ä"), "auth0-7--");
        assert_eq!(session_name("a"), "a-");
        assert_eq!(session_name(&"x".repeat(80)).len(), 64);
    }
}
