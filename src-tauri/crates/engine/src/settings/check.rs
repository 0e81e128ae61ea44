//! The fields of a profile as TOML has them, and the checks that go beyond their types.

use std::collections::BTreeSet;

use commission::network::Ssid;
use commission::policy::Policy;
use serde::Deserialize;
use toml::Spanned;
use toml::de::DeValue;
use url::Url;
use x509_parser::pem::Pem;

use super::document::{Document, ProfileError, ProfileProblem};
use super::profile::{CloudSettings, Defaults, Maker, Profile, ProfileNetwork, SignIn};

/// Longest name of an organisation, network list entry, maker or site, in characters.
const LONGEST_NAME: usize = 64;
/// Links at once: sixteen were seen working over one adapter; above that nobody looked.
const LINKS: (i64, i64) = (1, 16);
/// Signal in dBm that a limit can sensibly name.
const SIGNAL: (i64, i64) = (-100, 0);
/// Scopes asked for where the profile names none: identity, name, and a refresh token (OpenID Connect Core, 5.4, 11).
pub(super) const SCOPES: [&str; 3] = ["openid", "profile", "offline_access"];
/// The kinds of cloud that this version knows.
pub(super) const CLOUDS: &str = "\"broker\"";

/// Reads a parsed document as a profile.
pub(super) fn profile(document: &mut Document<'_>) -> Result<Profile, ProfileError> {
    refuse_secrets(document)?;
    let cloud = document.take("cloud");
    let raw: RawProfile = document.read()?;
    let check = Check { document };

    check.name("name", &raw.name)?;
    let sign_in = check.sign_in(raw.sign_in)?;
    let cloud = check.cloud(cloud)?;
    check.policy(&raw.policy)?;
    let networks = check.networks(&raw.network)?;
    let makers = check.makers(raw.maker)?;
    let defaults = check.defaults(raw.defaults, &networks)?;
    Ok(Profile {
        name: raw.name,
        sign_in,
        cloud,
        policy: raw.policy,
        networks,
        makers,
        defaults,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawProfile {
    name: String,
    sign_in: RawSignIn,
    #[serde(default)]
    policy: Policy,
    #[serde(default)]
    network: Vec<RawNetwork>,
    #[serde(default)]
    maker: Vec<RawMaker>,
    #[serde(default)]
    defaults: RawDefaults,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawSignIn {
    issuer: String,
    client_id: String,
    scopes: Option<Vec<String>>,
    ca: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawBroker {
    #[serde(rename = "kind")]
    _kind: String,
    url: String,
    ca: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawNetwork {
    ssid: String,
    #[serde(default)]
    hidden: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawMaker {
    name: String,
    root_pem: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawDefaults {
    network: Option<String>,
    site: Option<String>,
}

/// Looks at names alone, before anything else could quote a value.
fn refuse_secrets(document: &Document<'_>) -> Result<(), ProfileError> {
    for path in document.paths() {
        let name = path.rsplit('.').next().unwrap_or(path).to_lowercase();
        let problem = match name.replace('_', "-").as_str() {
            "passphrase" | "password" | "psk" | "wifi-password" => ProfileProblem::Passphrase,
            "client-secret" | "secret" => ProfileProblem::ClientSecret,
            _ => continue,
        };
        return Err(document.error(path, problem));
    }
    Ok(())
}

/// The checks that go beyond the shape.
struct Check<'d, 't> {
    document: &'d Document<'t>,
}

impl<'t> Check<'_, 't> {
    fn fail<T>(&self, path: &str, problem: ProfileProblem) -> Result<T, ProfileError> {
        Err(self.document.error(path, problem))
    }

    fn name(&self, path: &str, text: &str) -> Result<(), ProfileError> {
        let length = text.chars().count();
        if text.trim().is_empty() {
            self.fail(path, ProfileProblem::Empty)
        } else if length > LONGEST_NAME || text.chars().any(char::is_control) {
            self.fail(path, ProfileProblem::Name { most: LONGEST_NAME })
        } else {
            Ok(())
        }
    }

    fn url(&self, path: &str, text: &str) -> Result<Url, ProfileError> {
        let url = Url::parse(text).map_err(|error| {
            self.document
                .error(path, ProfileProblem::NotUrl(error.to_string()))
        })?;
        if url.scheme() != "https" {
            self.fail(path, ProfileProblem::NotHttps(url.scheme().to_owned()))
        } else if !url.username().is_empty() || url.password().is_some() {
            self.fail(path, ProfileProblem::UrlWithPassword)
        } else if url.query().is_some() || url.fragment().is_some() {
            self.fail(path, ProfileProblem::UrlWithQuery)
        } else {
            Ok(url)
        }
    }

    fn sign_in(&self, raw: RawSignIn) -> Result<SignIn, ProfileError> {
        self.url("sign-in.issuer", &raw.issuer)?;
        if raw.client_id.trim().is_empty() {
            return self.fail("sign-in.client-id", ProfileProblem::Empty);
        }
        let scopes = raw.scopes.unwrap_or_else(|| SCOPES.map(str::to_owned).to_vec());
        if !scopes.iter().any(|scope| scope == "openid") {
            return self.fail("sign-in.scopes", ProfileProblem::NoOpenidScope);
        }
        if let Some(ca) = &raw.ca {
            self.certificates("sign-in.ca", ca, false)?;
        }
        Ok(SignIn {
            issuer: raw.issuer,
            client_id: raw.client_id,
            scopes,
            ca: raw.ca,
        })
    }

    fn cloud(&self, value: Option<Spanned<DeValue<'t>>>) -> Result<CloudSettings, ProfileError> {
        let Some(value) = value else {
            return self.fail("cloud", ProfileProblem::Shape("missing field `cloud`".to_owned()));
        };
        let kind = value
            .get_ref()
            .get("kind")
            .and_then(|kind| kind.get_ref().as_str())
            .map(str::to_owned);
        match kind.as_deref() {
            Some("broker") => {
                let raw: RawBroker = self.document.read_value(value)?;
                let url = self.url("cloud.url", &raw.url)?;
                if let Some(ca) = &raw.ca {
                    self.certificates("cloud.ca", ca, false)?;
                }
                Ok(CloudSettings::Broker { url, ca: raw.ca })
            }
            Some(other) => self.fail(
                "cloud.kind",
                ProfileProblem::UnknownCloud {
                    kind: other.to_owned(),
                    known: CLOUDS,
                },
            ),
            None => self.fail(
                "cloud.kind",
                ProfileProblem::Shape(format!("missing field `kind`, expected {CLOUDS}")),
            ),
        }
    }

    fn policy(&self, policy: &Policy) -> Result<(), ProfileError> {
        for (path, value, (least, most)) in [
            ("policy.links", i64::from(policy.links), LINKS),
            (
                "policy.weakest-network",
                i64::from(policy.weakest_network),
                SIGNAL,
            ),
        ] {
            if !(least..=most).contains(&value) {
                return self.fail(path, ProfileProblem::Range { least, most });
            }
        }
        Ok(())
    }

    fn networks(&self, raw: &[RawNetwork]) -> Result<Vec<ProfileNetwork>, ProfileError> {
        let mut seen = BTreeSet::new();
        let mut networks = Vec::new();
        for (index, RawNetwork { ssid, hidden }) in raw.iter().enumerate() {
            let path = format!("network[{index}].ssid");
            if !seen.insert(ssid) {
                return self.fail(&path, ProfileProblem::Twice(ssid.clone()));
            }
            let ssid = Ssid::new(ssid.as_bytes()).map_err(|error| {
                self.document
                    .error(&path, ProfileProblem::Network(error.to_string()))
            })?;
            networks.push(ProfileNetwork {
                ssid,
                hidden: *hidden,
            });
        }
        Ok(networks)
    }

    fn makers(&self, raw: Vec<RawMaker>) -> Result<Vec<Maker>, ProfileError> {
        let mut seen = BTreeSet::new();
        for (index, maker) in raw.iter().enumerate() {
            let path = format!("maker[{index}].name");
            self.name(&path, &maker.name)?;
            if !seen.insert(&maker.name) {
                return self.fail(&path, ProfileProblem::Twice(maker.name.clone()));
            }
            self.certificates(&format!("maker[{index}].root-pem"), &maker.root_pem, true)?;
        }
        Ok(raw
            .into_iter()
            .map(|RawMaker { name, root_pem }| Maker { name, root_pem })
            .collect())
    }

    fn defaults(&self, raw: RawDefaults, networks: &[ProfileNetwork]) -> Result<Defaults, ProfileError> {
        if let Some(site) = &raw.site {
            self.name("defaults.site", site)?;
        }
        let network = match raw.network {
            None => None,
            Some(name) => match networks.iter().find(|it| it.ssid.as_bytes() == name.as_bytes()) {
                Some(network) => Some(network.ssid.clone()),
                None => return self.fail("defaults.network", ProfileProblem::UnknownNetwork(name)),
            },
        };
        Ok(Defaults {
            network,
            site: raw.site,
        })
    }

    /// At least one certificate, nothing but certificates; `authority` where each must be allowed to sign.
    fn certificates(&self, path: &str, pem: &str, authority: bool) -> Result<(), ProfileError> {
        let not = |why: String| self.document.error(path, ProfileProblem::NotCertificate(why));
        let mut count = 0;
        for block in Pem::iter_from_buffer(pem.as_bytes()) {
            let block = block.map_err(|error| not(error.to_string()))?;
            if block.label.ends_with("PRIVATE KEY") {
                return self.fail(path, ProfileProblem::PrivateKey);
            }
            if block.label != "CERTIFICATE" {
                return Err(not(format!("it holds a {}", block.label)));
            }
            let certificate = block.parse_x509().map_err(|error| not(error.to_string()))?;
            if authority && !certificate.is_ca() {
                return self.fail(path, ProfileProblem::NotAuthority);
            }
            count += 1;
        }
        if count == 0 {
            return Err(not("there is none in it".to_owned()));
        }
        Ok(())
    }
}
