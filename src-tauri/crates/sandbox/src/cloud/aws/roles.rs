//! The account's roles, with the trust and the policies that Fieldkey itself prints for an account: what is missing in
//! them fails here.

use engine::cloud::aws::operation::Role as Work;
use engine::cloud::aws::papers::{Issuer, Part, paper};
use engine::cloud::aws::policy::Account;
use engine::settings::{AwsSettings, CloudSettings, Profile};
use serde_json::Value;

use super::condition::Context;
use super::iam::{Policy, Principal};
use super::identity::{Identity, Provider};
use super::trust::{ASSUME, Trust, WEB_IDENTITY, Who};

/// AWS IoT, as roles trust it and as roles are passed on to it.
pub(super) const IOT: &str = "iot.amazonaws.com";
/// Identity pools, as roles trust them.
const POOLS: &str = "cognito-identity.amazonaws.com";
/// The role that AWS IoT takes for a bulk registration, and the bucket that it reads, as the papers call both.
pub(super) const REGISTRATION: &str = "fieldkey-registration";

/// A role.
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) arn: String,
    policy: Policy,
    trust: Trust,
    /// The trust of the same role where an identity pool gives it; none for a role that no person takes.
    pool_trust: Option<Trust>,
    /// The issuer's own role that it is for; none for a role that no person takes.
    wants: Option<&'static str>,
    /// Whether its trust says which people it is for. One that admits anybody of the issuer is given to people of that
    /// role alone, as an organisation would see to at its issuer.
    named: bool,
}

/// All of them.
pub(super) struct Roles {
    /// Those for people, the widest first.
    people: [Role; 3],
    /// The role that AWS IoT takes. The managed policy that it has besides, which lets it register, is AWS's own and
    /// taken as given.
    registration: Role,
}

/// Who signs in, as the account's trust has to know them.
pub(super) struct People<'a> {
    pub(super) issuer: &'a str,
    pub(super) client: &'a str,
    /// The subjects of those who work in support.
    pub(super) supporters: Vec<&'a str>,
    /// The subjects of those who may register in bulk.
    pub(super) registrars: Vec<&'a str>,
    /// The identity pool.
    pub(super) pool: &'a str,
    /// The identities that the pool gives those who work in support.
    pub(super) supporters_in_pool: Vec<String>,
    /// And those who may register in bulk.
    pub(super) registrars_in_pool: Vec<String>,
}

/// The trust of the roles by one way to keys: for anybody who signs in, and for those who are named.
struct Trusts {
    anybody: Trust,
    supporters: Trust,
    registrars: Trust,
}

impl Trusts {
    fn by_role(account: &Account, people: &People<'_>, issuer: &Issuer) -> Result<Self, String> {
        let way = format!("way = \"sts\"\nrole = \"{}\"", account.role("FieldkeyInstaller"));
        let name = people.issuer.strip_prefix("https://").unwrap_or(people.issuer);
        let (support, registrars) = (&people.supporters, &people.registrars);
        Self::printed(account, people, issuer, &way, name, support, registrars)
    }

    fn by_pool(account: &Account, people: &People<'_>, issuer: &Issuer) -> Result<Self, String> {
        let support: Vec<&str> = people.supporters_in_pool.iter().map(String::as_str).collect();
        let registrars: Vec<&str> = people.registrars_in_pool.iter().map(String::as_str).collect();
        Self::printed(
            account,
            people,
            issuer,
            &pool_way(people),
            POOLS,
            &support,
            &registrars,
        )
    }

    fn printed(
        account: &Account,
        people: &People<'_>,
        issuer: &Issuer,
        way: &str,
        name: &str,
        supporters: &[&str],
        registrars: &[&str],
    ) -> Result<Self, String> {
        let settings = settings(account, people, way)?;
        let paper = |part| paper(part, &settings, issuer, account).text;
        let named = paper(Part::NamedTrust);
        Ok(Self {
            anybody: Trust::read(&paper(Part::Trust))?,
            supporters: Trust::read(&naming(&named, name, supporters)?)?,
            registrars: Trust::read(&naming(&named, name, registrars)?)?,
        })
    }
}

impl Roles {
    pub(super) fn new(account: &Account, people: &People<'_>) -> Result<Self, String> {
        let issuer = Issuer {
            address: people.issuer.into(),
            client: people.client.into(),
        };
        let by_role = Trusts::by_role(account, people, &issuer)?;
        let by_pool = Trusts::by_pool(account, people, &issuer)?;
        let settings = settings(account, people, &pool_way(people))?;
        let paper = |part| paper(part, &settings, &issuer, account).text;
        let arn = |name: &str| account.role(name);
        let of_people = |name, wants, policy: &str, (trust, pool_trust), named| {
            Ok::<_, String>(Role {
                name,
                arn: arn(name),
                policy: Policy::read(policy)?,
                trust,
                pool_trust: Some(pool_trust),
                wants: Some(wants),
                named,
            })
        };
        let (support, installer) = (account.policy(Work::Support), account.policy(Work::Installer));
        Ok(Self {
            people: [
                of_people(
                    "FieldkeySupport",
                    "support",
                    &support.to_string(),
                    (by_role.supporters, by_pool.supporters),
                    true,
                )?,
                of_people(
                    "FieldkeyInstaller",
                    "installer",
                    &installer.to_string(),
                    (by_role.anybody, by_pool.anybody),
                    false,
                )?,
                of_people(
                    "FieldkeyRegistrar",
                    "registrar",
                    &paper(Part::Registrar),
                    (by_role.registrars, by_pool.registrars),
                    true,
                )?,
            ],
            registration: Role {
                name: REGISTRATION,
                arn: arn(REGISTRATION),
                policy: Policy::read(&paper(Part::Registration))?,
                trust: Trust::read(&paper(Part::RegistrationTrust))?,
                pool_trust: None,
                wants: None,
                named: true,
            },
        })
    }

    /// The role that an identity pool gives a person, whose own roles at the issuer are these.
    pub(super) fn for_person(&self, own: &[String]) -> Option<&Role> {
        self.people.iter().find(|role| role.is_for(own))
    }

    pub(super) fn by_arn(&self, arn: &str) -> Option<&Role> {
        let mut all = self.people.iter().chain([&self.registration]);
        all.find(|role| role.arn == arn)
    }

    /// The ARN of the role for whoever has this role at the issuer.
    pub(super) fn arn_for(&self, wants: &str) -> String {
        let own = self.people.iter().find(|role| role.wants == Some(wants));
        own.map(|role| role.arn.clone()).unwrap_or_default()
    }

    /// The ARN of the role that AWS IoT takes.
    pub(super) fn registration(&self) -> String {
        self.registration.arn.clone()
    }
}

impl Role {
    /// Whether it is given to somebody with these roles at the issuer.
    fn is_for(&self, own: &[String]) -> bool {
        own.iter().any(|own| Some(own.as_str()) == self.wants)
    }

    /// Whether its trust admits this person with a token of the issuer.
    pub(super) fn admits(&self, identity: &Identity, provider: &Provider, account: &Account) -> bool {
        let name = provider.name();
        let context = Context::default()
            .with(&format!("{name}:aud"), provider.audience())
            .with(&format!("{name}:sub"), &identity.subject);
        let arn = provider_arn(account, name);
        let trusted = self.trust.admits(Who::Federated(&arn), WEB_IDENTITY, &context);
        trusted && (self.named || self.is_for(&identity.roles))
    }

    /// Whether its trust admits the identity of this pool.
    pub(super) fn admits_from(&self, pool: &str, identity: &str) -> bool {
        let context = Context::default()
            .with(&format!("{POOLS}:aud"), pool)
            .with(&format!("{POOLS}:amr"), "authenticated")
            .with(&format!("{POOLS}:sub"), identity);
        let trust = self.pool_trust.as_ref();
        trust.is_some_and(|trust| trust.admits(Who::Federated(POOLS), WEB_IDENTITY, &context))
    }

    /// Whether AWS IoT may take it.
    pub(super) fn admits_iot(&self) -> bool {
        self.trust.admits(Who::Service(IOT), ASSUME, &Context::default())
    }

    /// Whoever took it under this name.
    pub(super) fn assumed(
        &self,
        account: &Account,
        session_name: &str,
        session: Option<Policy>,
    ) -> Principal {
        Principal {
            arn: format!(
                "arn:{}:sts::{}:assumed-role/{}/{session_name}",
                account.partition, account.account, self.name
            ),
            policy: self.policy.clone(),
            session,
        }
    }
}

/// The way to keys by the identity pool, as a profile names it.
fn pool_way(people: &People<'_>) -> String {
    format!("way = \"cognito\"\nidentity_pool = \"{}\"", people.pool)
}

/// The profile for which the papers are printed.
fn settings(account: &Account, people: &People<'_>, way: &str) -> Result<AwsSettings, String> {
    let Account { region, template, .. } = account;
    let People { issuer, client, .. } = people;
    let text = format!(
        "name = \"Sandbox\"\n[sign-in]\nissuer = \"{issuer}\"\nclient-id = \"{client}\"\n[cloud]\nkind = \"aws-iot\"\n\
         region = \"{region}\"\ntemplate = \"{template}\"\n[cloud.credentials]\n{way}\n"
    );
    match Profile::parse(&text).map_err(|error| error.to_string())?.cloud {
        CloudSettings::AwsIot(settings) => Ok(*settings),
        _ => Err("the profile names another cloud".into()),
    }
}

fn provider_arn(account: &Account, name: &str) -> String {
    format!(
        "arn:{}:iam::{}:oidc-provider/{name}",
        account.partition, account.account
    )
}

/// A trust policy for these persons, of the one that is printed with a place for them.
fn naming(trust: &str, provider: &str, persons: &[&str]) -> Result<String, String> {
    let mut trust: Value = serde_json::from_str(trust).map_err(|error| error.to_string())?;
    let equal = trust
        .pointer_mut("/Statement/0/Condition/StringEquals")
        .and_then(Value::as_object_mut)
        .ok_or("the printed trust has no condition")?;
    let place = equal.get_mut(&format!("{provider}:sub"));
    *place.ok_or("the printed trust has no place for persons")? = persons.into();
    Ok(trust.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::Authority;
    use crate::cloud::clock::CloudClock;
    use crate::cloud::faults::Faults;
    use crate::cloud::tls::https_client;
    use engine::settings::Strategy;

    const ISSUER: &str = "https://127.0.0.1:8443";
    const POOL: &str = "eu-central-1:5a9d4f36-7c1b-4e08-9c6d-2b1f0e3a7d54";

    fn account() -> Account {
        Account {
            partition: "aws".into(),
            region: "eu-central-1".into(),
            account: "123456789012".into(),
            template: "FieldkeyTemplate".into(),
            things: "*".into(),
            strategy: Strategy::TrustedUser,
        }
    }

    fn roles() -> Roles {
        let people = People {
            issuer: ISSUER,
            client: "fieldkey",
            supporters: vec!["sam"],
            registrars: vec!["rita"],
            pool: POOL,
            supporters_in_pool: vec!["eu-central-1:5a".into()],
            registrars_in_pool: vec!["eu-central-1:21".into()],
        };
        Roles::new(&account(), &people).unwrap()
    }

    fn provider(client: &str) -> Provider {
        let clock = CloudClock::new(Faults::default());
        // No token is looked at here, so that nobody is asked for keys.
        let https = https_client(&Authority::new("nobody").unwrap().pem()).unwrap();
        Provider::new(ISSUER, client, https, clock)
    }

    fn person(subject: &str, role: &str) -> Identity {
        Identity {
            subject: subject.into(),
            roles: vec![role.into()],
        }
    }

    #[test]
    fn each_role_is_taken_by_its_own_people_and_the_registrars_by_the_person_that_is_named() {
        let (roles, provider) = (roles(), provider("fieldkey"));
        let admits = |wants: &str, subject: &str, role: &str| {
            let arn = roles.arn_for(wants);
            let taken = roles.by_arn(&arn).unwrap();
            taken.admits(&person(subject, role), &provider, &account())
        };
        assert!(admits("installer", "anna", "installer"));
        assert!(!admits("support", "anna", "installer"));
        assert!(admits("support", "sam", "support"));
        assert!(!admits("support", "anna", "support"));
        assert!(admits("registrar", "rita", "registrar"));
        assert!(!admits("registrar", "anna", "registrar"));
        assert!(!admits("registrar", "anna", "installer"));
    }

    #[test]
    fn a_pool_gives_roles_to_those_whom_the_trust_admits_and_names() {
        let roles = roles();
        let admits = |wants: &str, pool: &str, identity: &str| {
            let arn = roles.arn_for(wants);
            roles.by_arn(&arn).unwrap().admits_from(pool, identity)
        };
        for (wants, pool, identity, admitted) in [
            ("installer", POOL, "eu-central-1:99", true),
            ("installer", "eu-central-1:another", "eu-central-1:99", false),
            ("support", POOL, "eu-central-1:5a", true),
            ("support", POOL, "eu-central-1:99", false),
            ("registrar", POOL, "eu-central-1:21", true),
            ("registrar", POOL, "eu-central-1:5a", false),
        ] {
            assert_eq!(admits(wants, pool, identity), admitted, "{wants} {identity}");
        }
        let registration = roles.by_arn(&roles.registration()).unwrap();
        assert!(!registration.admits_from(POOL, "eu-central-1:21"));
    }

    #[test]
    fn tokens_for_another_program_take_no_role() {
        let (roles, provider) = (roles(), provider("another"));
        let taken = roles.by_arn(&roles.arn_for("registrar")).unwrap();
        assert!(!taken.admits(&person("rita", "registrar"), &provider, &account()));
    }

    #[test]
    fn aws_iot_takes_the_role_that_is_for_it_and_no_persons() {
        let roles = roles();
        assert!(roles.by_arn(&roles.registration()).unwrap().admits_iot());
        for wants in ["installer", "support", "registrar"] {
            assert!(
                !roles.by_arn(&roles.arn_for(wants)).unwrap().admits_iot(),
                "{wants}"
            );
        }
        let registration = roles.by_arn(&roles.registration()).unwrap();
        let rita = person("rita", "registrar");
        assert!(!registration.admits(&rita, &provider("fieldkey"), &account()));
    }

    #[test]
    fn what_the_papers_print_reads_the_line_file_and_passes_on_that_one_role() {
        let roles = roles();
        let reader = roles.by_arn(&roles.registration()).unwrap();
        let reader = reader.assumed(&account(), "task", None);
        let object = format!("arn:aws:s3:::{REGISTRATION}/2026/things.jsonl");
        assert_eq!(reader.may("s3:GetObject", &object), Ok(()));
        reader.may("s3:PutObject", &object).unwrap_err();
        let registrar = roles.by_arn(&roles.arn_for("registrar")).unwrap();
        let registrar = registrar.assumed(&account(), "rita", None);
        let to_iot = Context::default().with("iam:PassedToService", IOT);
        let pass = |arn: &str| registrar.may_in("iam:PassRole", arn, &to_iot);
        assert_eq!(pass(&roles.registration()), Ok(()));
        pass(&roles.arn_for("installer")).unwrap_err();
        registrar.may("s3:GetObject", &object).unwrap_err();
    }
}
