//! Where what a profile's people are given goes: tokens to the issuer and the cloud.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::aws::{AwsCredentials, AwsEndpoints};
use super::profile::{CloudSettings, Profile, SignIn};

/// All that decides who gets a token, and who may vouch for whoever gets it.
#[derive(Serialize)]
struct Origin<'p> {
    issuer: &'p str,
    client: &'p str,
    issuer_authorities: Option<&'p str>,
    cloud: Cloud<'p>,
}

#[derive(Serialize)]
enum Cloud<'p> {
    Broker {
        url: &'p str,
        authorities: Option<&'p str>,
    },
    AwsIot {
        region: &'p str,
        credentials: &'p AwsCredentials,
        endpoints: &'p AwsEndpoints,
        authorities: Option<&'p str>,
    },
}

impl Profile {
    /// A mark of the profile's origin: the same for two profiles whose tokens go to the same places, on the word of the
    /// same authorities, and for no others.
    pub fn origin(&self) -> String {
        let SignIn {
            issuer,
            client_id,
            ca,
            scopes: _,
        } = &self.sign_in;
        let cloud = match &self.cloud {
            CloudSettings::Broker { url, ca } => Cloud::Broker {
                url: url.as_str(),
                authorities: ca.as_deref(),
            },
            CloudSettings::AwsIot(aws) => Cloud::AwsIot {
                region: &aws.region,
                credentials: &aws.credentials,
                endpoints: &aws.endpoints,
                authorities: aws.ca.as_deref(),
            },
        };
        let origin = Origin {
            issuer,
            client: client_id,
            issuer_authorities: ca.as_deref(),
            cloud,
        };
        // Plain texts and numbers can always be written.
        let text = serde_json::to_vec(&origin).unwrap_or_default();
        hex::encode(Sha256::digest(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(more: &str) -> String {
        let text = "name = \"Acme\"\n[sign-in]\nissuer = \"https://login.example\"\nclient-id = \"fieldkey\"\n\
                    [cloud]\nkind = \"broker\"\nurl = \"https://claims.example/\"\n";
        let text = match more.split_once('>') {
            Some((from, to)) => text.replacen(from, to, 1),
            None => text.to_owned(),
        };
        Profile::parse(&text).unwrap().origin()
    }

    #[test]
    fn an_origin_is_where_tokens_go_and_not_what_the_profile_is_called() {
        assert_eq!(origin(""), origin("\"Acme\">\"Other\""));
        for change in [
            "https://login.example>https://login2.example",
            "\"fieldkey\">\"other\"",
            "https://claims.example/>https://evil.example/",
        ] {
            assert_ne!(origin(""), origin(change), "{change}");
        }
    }
}
