//! The organisation profile: issuer, cloud, policy, networks and makers in one TOML file.

use commission::network::Ssid;
use commission::policy::Policy;
use serde::{Serialize, Serializer};
use url::Url;

use super::aws::AwsSettings;
use super::check;
use super::document::{Document, ProfileError, ProfileProblem};

/// Longest profile in bytes: a hundred networks and a dozen certificates have room, a video has not.
pub(super) const LONGEST: usize = 256 * 1024;
/// What an organisation hands its installers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The organisation's name: what a person chooses the profile by, 1 to 64 characters.
    pub name: String,
    /// Where installers sign in.
    pub sign_in: SignIn,
    /// Where devices enrol.
    pub cloud: CloudSettings,
    /// What is allowed.
    pub policy: Policy,
    /// The networks that devices may be brought into.
    pub networks: Vec<ProfileNetwork>,
    /// The sites, in the profile's order; none where it names none.
    pub sites: Vec<ProfileSite>,
    /// The makers whose devices are trusted to prove an identity by certificate.
    pub makers: Vec<Maker>,
    /// What is taken where a person chooses nothing.
    pub defaults: Defaults,
    /// The organisation's public key in minisign's form, where it signs its profiles.
    pub signed_by: Option<String>,
    /// Whether what an earlier version kept in the keyring under this name is this very profile's; see
    /// [`Profiles`](super::Profiles).
    #[serde(skip)]
    pub inherits: bool,
}

/// `[sign-in]`: an OpenID Connect issuer, and what we are to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignIn {
    /// The issuer, exactly as written: discovery compares it letter by letter (OpenID Connect Discovery, 4.3).
    pub issuer: String,
    /// Our name at the issuer; we are a public client.
    pub client_id: String,
    /// Scopes to ask for; `openid` is among them.
    pub scopes: Vec<String>,
    /// Authorities trusted for the issuer besides the usual ones, PEM.
    pub ca: Option<String>,
}

/// `[cloud]`: where claims come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum CloudSettings {
    /// `kind = "broker"`: the claim broker, an HTTPS service protected by the issuer.
    Broker {
        /// Base address.
        url: Url,
        /// Authorities trusted for it besides the usual ones, PEM.
        ca: Option<String>,
    },
    /// `kind = "aws-iot"`: an AWS account, asked directly.
    AwsIot(Box<AwsSettings>),
}

impl CloudSettings {
    /// Where it is, for a person.
    pub fn place(&self) -> String {
        match self {
            Self::Broker { url, .. } => url.to_string(),
            Self::AwsIot(aws) => format!("AWS IoT, {}, template {}", aws.region, aws.template),
        }
    }
}

/// `[[network]]`: a network by name; its passphrase is in the keyring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileNetwork {
    /// Its name.
    #[serde(serialize_with = "as_text")]
    pub ssid: Ssid,
    /// Whether it hides its name.
    pub hidden: bool,
    /// Whether it is open, so that it has no passphrase.
    pub open: bool,
}

/// `[[site]]`: a place of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileSite {
    /// Its name, 1 to 64 characters.
    pub name: String,
    /// Which of the profile's networks it has, in its own order; all of them where none.
    #[serde(serialize_with = "as_optional_texts")]
    pub networks: Option<Vec<Ssid>>,
}

impl ProfileSite {
    /// Whether it has this network of the profile.
    pub fn has(&self, ssid: &Ssid) -> bool {
        self.networks.as_ref().is_none_or(|own| own.contains(ssid))
    }
}

/// `[[maker]]`: who vouches for the identity of devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Maker {
    /// Its name, for people.
    pub name: String,
    /// Its root certificates, PEM.
    pub root_pem: String,
}

/// `[defaults]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// One of the profile's networks.
    #[serde(serialize_with = "as_optional_text")]
    pub network: Option<Ssid>,
    /// One of the profile's sites.
    pub site: Option<String>,
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`ProfileError`] names line, column and field of the first thing that is wrong, and what to do about it.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        if text.len() > LONGEST {
            return Err(ProfileError {
                line: 1,
                column: 1,
                field: String::new(),
                problem: ProfileProblem::TooLong {
                    length: text.len(),
                    most: LONGEST,
                },
            });
        }
        let mut document = Document::parse(text)?;
        check::profile(&mut document)
    }

    /// The site of this name.
    pub fn site(&self, name: &str) -> Option<&ProfileSite> {
        self.sites.iter().find(|site| site.name == name)
    }

    /// The site that holds where nobody chooses one: the default, else the only one. Where there are several and no
    /// default, none: a guess would be written down as if somebody had said it.
    pub fn usual_site(&self) -> Option<&ProfileSite> {
        match (&self.defaults.site, self.sites.as_slice()) {
            (Some(name), _) => self.site(name),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// The networks of a site, or of all of them where none is meant, in the profile's order.
    pub fn networks_of<'p>(
        &'p self,
        site: Option<&'p ProfileSite>,
    ) -> impl Iterator<Item = &'p ProfileNetwork> {
        self.networks
            .iter()
            .filter(move |network| site.is_none_or(|site| site.has(&network.ssid)))
    }

    /// The network that is joined at a site where nobody chooses one: the default where the site has it, else the only
    /// one that the site lists.
    pub fn usual_network<'p>(&'p self, site: Option<&'p ProfileSite>) -> Option<&'p Ssid> {
        let default = self.defaults.network.as_ref();
        default
            .filter(|ssid| site.is_none_or(|site| site.has(ssid)))
            .or_else(|| match site?.networks.as_deref() {
                Some([only]) => Some(only),
                _ => None,
            })
    }

    /// What the profile says of the network of this name.
    pub fn network(&self, name: &str) -> Option<&ProfileNetwork> {
        self.networks
            .iter()
            .find(|network| network.ssid.as_bytes() == name.as_bytes())
    }
}

fn as_text<S: Serializer>(ssid: &Ssid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(ssid)
}

fn as_optional_text<S: Serializer>(ssid: &Option<Ssid>, serializer: S) -> Result<S::Ok, S::Error> {
    match ssid {
        Some(ssid) => serializer.collect_str(ssid),
        None => serializer.serialize_none(),
    }
}

fn as_optional_texts<S: Serializer>(ssids: &Option<Vec<Ssid>>, serializer: S) -> Result<S::Ok, S::Error> {
    match ssids {
        Some(ssids) => serializer.collect_seq(ssids.iter().map(String::from)),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::check::{CLOUDS, SCOPES};

    const WHOLE: &str = r#"
name = "Acme Lighting"

[sign-in]
issuer = "https://login.acme.example"
client-id = "fieldkey"

[cloud]
kind = "broker"
url = "https://claims.acme.example/v1/"

[policy]
identity = "required"
links = 6

[[network]]
ssid = "plant-iot"

[[network]]
ssid = "plant-hidden"
hidden = true

[defaults]
network = "plant-iot"
site = "Hall 3"
"#;

    fn refusal(text: &str) -> (usize, usize, String, ProfileProblem) {
        let ProfileError {
            line,
            column,
            field,
            problem,
        } = Profile::parse(text).unwrap_err();
        (line, column, field, problem)
    }

    /// `WHOLE` with one line changed.
    fn with(line: &str, other: &str) -> String {
        assert!(WHOLE.contains(line), "{line}");
        WHOLE.replacen(line, other, 1)
    }

    fn certificate(authority: bool) -> String {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        if authority {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn a_whole_profile_is_read_and_the_rest_is_strict_by_default() {
        let profile = Profile::parse(WHOLE).unwrap();
        assert_eq!(profile.name, "Acme Lighting");
        assert_eq!(profile.sign_in.issuer, "https://login.acme.example");
        assert_eq!(profile.sign_in.scopes, SCOPES);
        assert_eq!(profile.policy.links, 6);
        assert!(!profile.policy.allow_unencrypted);
        assert!(profile.networks[1].hidden);
        assert_eq!(profile.defaults.network, Some(Ssid::new("plant-iot").unwrap()));
        let CloudSettings::Broker { url, ca } = profile.cloud else {
            panic!("this is no broker");
        };
        assert_eq!((url.as_str(), ca), ("https://claims.acme.example/v1/", None));
    }

    #[test]
    fn what_is_no_toml_is_named_by_line_and_column() {
        let (line, column, field, problem) = refusal("name = \"Acme\"\nnext = = 1\n");
        assert_eq!((line, column, field.as_str()), (2, 8, ""));
        assert!(matches!(problem, ProfileProblem::Syntax(_)), "{problem:?}");
    }

    #[test]
    fn unknown_and_missing_fields_are_named_where_they_stand() {
        let text = with("client-id = ", "clientid = ");
        let (line, column, field, problem) = refusal(&text);
        assert_eq!((line, column, field.as_str()), (6, 1, "sign-in.clientid"));
        assert!(problem.to_string().contains("`client-id`"), "{problem}");

        let (line, _, field, problem) = refusal(&with("client-id = \"fieldkey\"\n", ""));
        assert_eq!((line, field.as_str()), (4, "sign-in"));
        assert_eq!(
            problem,
            ProfileProblem::Shape("missing field `client-id`".to_owned())
        );

        let (line, _, field, _) = refusal(&with("url = ", "address = "));
        assert_eq!((line, field.as_str()), (10, "cloud.address"));

        let (line, _, field, _) = refusal(&with("links = 6", "link = 6"));
        assert_eq!((line, field.as_str()), (14, "policy.link"));
    }

    #[test]
    fn a_wrong_type_is_named_without_its_value() {
        let (line, column, field, problem) = refusal(&with("hidden = true", "hidden = \"hunter22\""));
        assert_eq!((line, column, field.as_str()), (21, 10, "network[1].hidden"));
        assert!(!problem.to_string().contains("hunter22"), "{problem}");
    }

    #[test]
    fn secrets_are_refused_wherever_they_stand() {
        let text = with(
            "ssid = \"plant-iot\"",
            "ssid = \"plant-iot\"\npassphrase = \"hunter22\"",
        );
        let error = Profile::parse(&text).unwrap_err();
        assert_eq!((error.line, error.field.as_str()), (18, "network[0].passphrase"));
        assert_eq!(error.problem, ProfileProblem::Passphrase);
        assert!(error.to_string().contains("keyring"), "{error}");
        assert!(!error.to_string().contains("hunter22"), "{error}");

        let (_, _, field, problem) = refusal(&with("client-id", "client_secret = \"x\"\nclient-id"));
        assert_eq!(
            (field.as_str(), problem),
            ("sign-in.client_secret", ProfileProblem::ClientSecret)
        );
    }

    #[test]
    fn urls_are_https_and_nothing_else() {
        let issuer = |url: &str| refusal(&with("https://login.acme.example", url)).3;
        assert_eq!(
            issuer("http://127.0.0.1:8080"),
            ProfileProblem::NotHttps("http".into())
        );
        assert_eq!(
            issuer("https://me:pw@login.acme.example"),
            ProfileProblem::UrlWithPassword
        );
        assert_eq!(
            issuer("https://login.acme.example?tenant=1"),
            ProfileProblem::UrlWithQuery
        );
        assert!(matches!(issuer("login.acme.example"), ProfileProblem::NotUrl(_)));
        let (line, column, field, _) = refusal(&with("https://claims", "ftp://claims"));
        assert_eq!((line, column, field.as_str()), (10, 7, "cloud.url"));
    }

    #[test]
    fn scopes_without_openid_are_refused() {
        let (_, _, field, problem) = refusal(&with("client-id", "scopes = [\"profile\"]\nclient-id"));
        assert_eq!(
            (field.as_str(), problem),
            ("sign-in.scopes", ProfileProblem::NoOpenidScope)
        );
    }

    #[test]
    fn a_cloud_of_another_kind_is_refused_with_the_kinds_there_are() {
        let (line, column, field, problem) = refusal(&with("\"broker\"", "\"azure\""));
        assert_eq!((line, column, field.as_str()), (9, 8, "cloud.kind"));
        assert_eq!(
            problem,
            ProfileProblem::UnknownCloud {
                kind: "azure".into(),
                known: CLOUDS
            }
        );
        assert!(matches!(
            refusal(&with("kind = \"broker\"\n", "")).3,
            ProfileProblem::Shape(_)
        ));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(
            refusal(&with("links = 6", "links = 0")),
            (
                14,
                9,
                "policy.links".into(),
                ProfileProblem::Range { least: 1, most: 16 }
            )
        );
        assert_eq!(
            refusal(&with("links = 6", "weakest-network = 10")).2,
            "policy.weakest-network"
        );
        assert_eq!(refusal(&with("links = 6", "links = 300")).2, "policy.links");
    }

    #[test]
    fn networks_have_a_name_that_is_a_network_name_and_stands_once() {
        let network = |ssid: &str| refusal(&with("\"plant-hidden\"", &format!("{ssid:?}")));
        assert_eq!(
            network("plant-iot"),
            (
                20,
                8,
                "network[1].ssid".into(),
                ProfileProblem::Twice("plant-iot".into())
            )
        );
        assert!(matches!(network(&"x".repeat(33)).3, ProfileProblem::Network(_)));
        assert!(matches!(network("").3, ProfileProblem::Network(_)));
    }

    #[test]
    fn the_default_network_is_one_of_the_list() {
        assert_eq!(
            refusal(&with("network = \"plant-iot\"", "network = \"other\"")),
            (
                24,
                11,
                "defaults.network".into(),
                ProfileProblem::UnknownNetwork("other".into())
            )
        );
    }

    /// `WHOLE` without its default site, with these sites.
    fn at(sites: &str) -> String {
        format!("{}\n{sites}", with("site = \"Hall 3\"\n", ""))
    }

    fn names<'p>(networks: impl Iterator<Item = &'p ProfileNetwork>) -> Vec<String> {
        networks.map(|network| network.ssid.to_string()).collect()
    }

    #[test]
    fn a_profile_without_sites_has_the_one_that_its_default_names_with_all_networks() {
        let profile = Profile::parse(WHOLE).unwrap();
        let hall = ProfileSite {
            name: "Hall 3".into(),
            networks: None,
        };
        assert_eq!(profile.sites, std::slice::from_ref(&hall));
        assert_eq!(profile.usual_site(), Some(&hall));
        assert_eq!(
            names(profile.networks_of(Some(&hall))),
            ["plant-iot", "plant-hidden"]
        );
        let none = Profile::parse(&at("")).unwrap();
        assert_eq!((none.sites.len(), none.usual_site()), (0, None));
        assert_eq!(names(none.networks_of(None)), ["plant-iot", "plant-hidden"]);
    }

    #[test]
    fn a_site_has_the_networks_that_it_names_or_all_where_it_names_none() {
        let sites = "[[site]]\nname = \"Pier\"\n[[site]]\nname = \"Hall\"\nnetworks = [\"plant-hidden\"]\n";
        let profile = Profile::parse(&at(sites)).unwrap();
        let (pier, hall) = (profile.site("Pier").unwrap(), profile.site("Hall").unwrap());
        assert_eq!(
            names(profile.networks_of(Some(pier))),
            ["plant-iot", "plant-hidden"]
        );
        assert_eq!(names(profile.networks_of(Some(hall))), ["plant-hidden"]);
        assert_eq!(profile.site("Quay"), None);
        let usual = |site| profile.usual_network(Some(site)).map(ToString::to_string);
        assert_eq!(usual(pier).as_deref(), Some("plant-iot"));
        assert_eq!(usual(hall).as_deref(), Some("plant-hidden"), "it has no other");
    }

    #[test]
    fn no_site_is_guessed_where_there_are_several_and_no_default() {
        let two = "[[site]]\nname = \"Pier\"\n[[site]]\nname = \"Hall\"\n";
        assert_eq!(Profile::parse(&at(two)).unwrap().usual_site(), None);
        let one = Profile::parse(&at("[[site]]\nname = \"Pier\"\n")).unwrap();
        assert_eq!(one.usual_site().map(|site| site.name.as_str()), Some("Pier"));
    }

    #[test]
    fn sites_are_named_once_and_know_only_networks_of_the_profile() {
        let site = |rest: &str| refusal(&at(&format!("[[site]]\nname = \"Pier\"\n{rest}")));
        assert_eq!(
            site("networks = [\"plant-iot\", \"other\"]"),
            (
                28,
                26,
                "site[0].networks[1]".into(),
                ProfileProblem::UnknownNetwork("other".into())
            )
        );
        assert_eq!(
            site("networks = [\"plant-iot\", \"plant-iot\"]").3,
            ProfileProblem::Twice("plant-iot".into())
        );
        assert_eq!(
            site("networks = []"),
            (28, 12, "site[0].networks".into(), ProfileProblem::NoNetworks)
        );
        let (line, _, field, problem) = site("[[site]]\nname = \"Pier\"");
        assert_eq!(
            (line, field.as_str(), problem),
            (29, "site[1].name", ProfileProblem::Twice("Pier".into()))
        );
        assert_eq!(site("[[site]]\nname = \" \"").3, ProfileProblem::Empty);
    }

    #[test]
    fn the_default_site_is_one_of_the_list_where_there_is_a_list() {
        let text = format!("{WHOLE}\n[[site]]\nname = \"Pier\"\n");
        assert_eq!(
            refusal(&text),
            (
                25,
                8,
                "defaults.site".into(),
                ProfileProblem::UnknownSite("Hall 3".into())
            )
        );
    }

    #[test]
    fn names_are_no_blanks_and_no_novels() {
        let name = |text: &str| refusal(&with("\"Acme Lighting\"", text)).3;
        assert_eq!(name("\"  \""), ProfileProblem::Empty);
        assert_eq!(name("\"a\\nb\""), ProfileProblem::Name { most: 64 });
        assert_eq!(
            name(&format!("\"{}\"", "x".repeat(65))),
            ProfileProblem::Name { most: 64 }
        );
    }

    #[test]
    fn certificates_are_checked_before_they_are_needed() {
        let maker = |pem: &str| format!("{WHOLE}\n[[maker]]\nname = \"Lumen\"\nroot-pem = '''\n{pem}'''\n");
        let root = certificate(true);
        assert_eq!(
            Profile::parse(&maker(&root)).unwrap().makers,
            [Maker {
                name: "Lumen".into(),
                root_pem: root.clone()
            }]
        );
        assert_eq!(
            refusal(&maker(&certificate(false))).3,
            ProfileProblem::NotAuthority
        );
        assert_eq!(
            refusal(&maker(&rcgen::KeyPair::generate().unwrap().serialize_pem())).3,
            ProfileProblem::PrivateKey
        );
        assert!(matches!(
            refusal(&maker("no certificate")).3,
            ProfileProblem::NotCertificate(_)
        ));
        assert!(matches!(
            refusal(&maker(&root.replacen("MII", "AAA", 1))).3,
            ProfileProblem::NotCertificate(_)
        ));

        let ca = with(
            "client-id",
            &format!("ca = '''\n{}'''\nclient-id", certificate(false)),
        );
        assert!(Profile::parse(&ca).unwrap().sign_in.ca.is_some());
    }

    #[test]
    fn a_file_that_is_far_too_long_is_not_even_read() {
        let text = "#".repeat(LONGEST + 1);
        assert_eq!(
            refusal(&text).3,
            ProfileProblem::TooLong {
                length: LONGEST + 1,
                most: LONGEST
            }
        );
    }

    #[test]
    fn no_cut_of_a_profile_panics() {
        for end in 0..WHOLE.len() {
            let _ = Profile::parse(WHOLE.get(..end).unwrap());
        }
    }
}
