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
use super::profile::{CloudSettings, Defaults, Maker, Profile, ProfileNetwork, ProfileSite, SignIn};

/// Longest name of an organisation, network list entry, maker or site, in characters.
const LONGEST_NAME: usize = 64;
/// Links at once: sixteen were seen working over one adapter; above that nobody looked.
const LINKS: (i64, i64) = (1, 16);
/// Signal in dBm that a limit can sensibly name.
const SIGNAL: (i64, i64) = (-100, 0);
/// The numbers of a policy with their limits.
const RANGES: [(&str, (i64, i64)); 2] = [("policy.links", LINKS), ("policy.weakest-network", SIGNAL)];
/// Scopes asked for where the profile names none: identity, name, and a refresh token (OpenID Connect Core, 5.4, 11).
pub(super) const SCOPES: [&str; 3] = ["openid", "profile", "offline_access"];
/// The kinds of cloud that this version knows.
pub(super) const CLOUDS: &str = "\"broker\" and \"aws-iot\"";

/// Reads a parsed document as a profile.
pub(super) fn profile(document: &mut Document<'_>) -> Result<Profile, ProfileError> {
    refuse_secrets(document)?;
    let cloud = document.take("cloud");
    let raw: RawProfile = document.read().map_err(in_range)?;
    let check = Check { document };

    check.name("name", &raw.name)?;
    let sign_in = check.sign_in(raw.sign_in)?;
    let cloud = check.cloud(cloud)?;
    check.policy(&raw.policy)?;
    let networks = check.networks(&raw.network)?;
    let makers = check.makers(raw.maker)?;
    let mut sites = check.sites(raw.site, &networks)?;
    let defaults = check.defaults(raw.defaults, &networks, &sites)?;
    if let (true, Some(name)) = (sites.is_empty(), &defaults.site) {
        sites.push(ProfileSite {
            name: name.clone(),
            networks: None,
        });
    }
    Ok(Profile {
        name: raw.name,
        sign_in,
        cloud,
        policy: raw.policy,
        networks,
        sites,
        makers,
        defaults,
        signed_by: raw.signed_by,
        inherits: false,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawProfile {
    name: String,
    #[serde(default)]
    signed_by: Option<String>,
    sign_in: RawSignIn,
    #[serde(default)]
    policy: Policy,
    #[serde(default)]
    network: Vec<RawNetwork>,
    #[serde(default)]
    site: Vec<RawSite>,
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
    #[serde(default)]
    open: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawSite {
    name: String,
    networks: Option<Vec<String>>,
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

/// A number that its type cannot hold is out of its range too, which is narrower than what the type would allow.
fn in_range(mut error: ProfileError) -> ProfileError {
    let range = RANGES.into_iter().find(|(path, _)| *path == error.field);
    if let (Some((_, (least, most))), ProfileProblem::Shape(why)) = (range, &error.problem)
        && why.starts_with("invalid value")
    {
        error.problem = ProfileProblem::Range { least, most };
    }
    error
}

/// Looks at names alone, before anything else could quote a value.
fn refuse_secrets(document: &Document<'_>) -> Result<(), ProfileError> {
    for path in document.paths() {
        let name = path.rsplit('.').next().unwrap_or(path).to_lowercase();
        let problem = match name.replace('_', "-").as_str() {
            "passphrase" | "password" | "psk" | "wifi-password" => ProfileProblem::Passphrase,
            "client-secret" | "secret" => ProfileProblem::ClientSecret,
            "access-key-id" | "secret-access-key" | "session-token" => ProfileProblem::AwsKey,
            _ => continue,
        };
        return Err(document.error(path, problem));
    }
    Ok(())
}

/// The checks that go beyond the shape.
pub(super) struct Check<'d, 't> {
    pub(super) document: &'d Document<'t>,
}

impl<'t> Check<'_, 't> {
    pub(super) fn fail<T>(&self, path: &str, problem: ProfileProblem) -> Result<T, ProfileError> {
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

    pub(super) fn url(&self, path: &str, text: &str) -> Result<Url, ProfileError> {
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
            Some("aws-iot") => Ok(CloudSettings::AwsIot(Box::new(self.aws(value)?))),
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
        let values = [i64::from(policy.links), i64::from(policy.weakest_network)];
        for ((path, (least, most)), value) in RANGES.into_iter().zip(values) {
            if !(least..=most).contains(&value) {
                return self.fail(path, ProfileProblem::Range { least, most });
            }
        }
        Ok(())
    }

    fn networks(&self, raw: &[RawNetwork]) -> Result<Vec<ProfileNetwork>, ProfileError> {
        let mut seen = BTreeSet::new();
        let mut networks = Vec::new();
        for (index, RawNetwork { ssid, hidden, open }) in raw.iter().enumerate() {
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
                open: *open,
            });
        }
        Ok(networks)
    }

    fn sites(
        &self,
        raw: Vec<RawSite>,
        networks: &[ProfileNetwork],
    ) -> Result<Vec<ProfileSite>, ProfileError> {
        let mut seen = BTreeSet::new();
        let mut sites = Vec::new();
        for (index, RawSite { name, networks: own }) in raw.into_iter().enumerate() {
            let path = format!("site[{index}].name");
            self.name(&path, &name)?;
            if !seen.insert(name.clone()) {
                return self.fail(&path, ProfileProblem::Twice(name));
            }
            let networks = match own {
                Some(own) => {
                    Some(self.networks_of_site(&format!("site[{index}].networks"), own, networks)?)
                }
                None => None,
            };
            sites.push(ProfileSite { name, networks });
        }
        Ok(sites)
    }

    fn networks_of_site(
        &self,
        path: &str,
        own: Vec<String>,
        networks: &[ProfileNetwork],
    ) -> Result<Vec<Ssid>, ProfileError> {
        if own.is_empty() {
            return self.fail(path, ProfileProblem::NoNetworks);
        }
        let mut ssids: Vec<Ssid> = Vec::new();
        for (index, name) in own.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            match known(networks, &name) {
                Some(ssid) if ssids.contains(ssid) => return self.fail(&path, ProfileProblem::Twice(name)),
                Some(ssid) => ssids.push(ssid.clone()),
                None => return self.fail(&path, ProfileProblem::UnknownNetwork(name)),
            }
        }
        Ok(ssids)
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

    fn defaults(
        &self,
        raw: RawDefaults,
        networks: &[ProfileNetwork],
        sites: &[ProfileSite],
    ) -> Result<Defaults, ProfileError> {
        if let Some(site) = &raw.site {
            self.name("defaults.site", site)?;
            if !sites.is_empty() && !sites.iter().any(|known| known.name == *site) {
                return self.fail("defaults.site", ProfileProblem::UnknownSite(site.clone()));
            }
        }
        let network = match raw.network {
            None => None,
            Some(name) => match known(networks, &name) {
                Some(ssid) => Some(ssid.clone()),
                None => return self.fail("defaults.network", ProfileProblem::UnknownNetwork(name)),
            },
        };
        Ok(Defaults {
            network,
            site: raw.site,
        })
    }

    /// At least one certificate, nothing but certificates; `authority` where each must be allowed to sign.
    pub(super) fn certificates(&self, path: &str, pem: &str, authority: bool) -> Result<(), ProfileError> {
        let not = |why: String| self.document.error(path, ProfileProblem::NotCertificate(why));
        let mut count = 0;
        for block in Pem::iter_from_buffer(pem.as_bytes()) {
            let block = block.map_err(|_| not("it is cut short or damaged".to_owned()))?;
            if block.label.ends_with("PRIVATE KEY") {
                return self.fail(path, ProfileProblem::PrivateKey);
            }
            if block.label != "CERTIFICATE" {
                return Err(not(format!("it holds a {}", block.label)));
            }
            let certificate = block
                .parse_x509()
                .map_err(|_| not("what is between these lines is no certificate".to_owned()))?;
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

/// The network of this name.
fn known<'n>(networks: &'n [ProfileNetwork], name: &str) -> Option<&'n Ssid> {
    networks
        .iter()
        .map(|network| &network.ssid)
        .find(|ssid| ssid.as_bytes() == name.as_bytes())
}
