//! Whose a profile's work is: the [`OrganisationId`] that jobs, keyring entries and clean-up handles carry.
//!
//! The cloud is named as far as the profile itself tells it, since a job has to be told from another organisation's
//! before anybody is signed in:
//! - A broker by its whole base address: one host may serve several organisations under a path each.
//! - An AWS account by its region and the account in the role's ARN. With a Cognito identity pool only AWS knows the
//!   account, so the pool stands for it; it belongs to exactly one. Where the control plane is not AWS's own, its
//!   origin stands with it, since account numbers mean nothing elsewhere.

use commission::organisation::OrganisationId;
use url::Url;

use super::aws::{AwsCredentials, AwsSettings};
use super::profile::{CloudSettings, Profile};

impl Profile {
    /// The authority that its work belongs to. The profile's name, its policy and its template are no part of it.
    pub fn organisation(&self) -> OrganisationId {
        OrganisationId {
            issuer: self.sign_in.issuer.clone(),
            client: self.sign_in.client_id.clone(),
            cloud: self.cloud.authority(),
        }
    }
}

impl CloudSettings {
    /// The kind with the account or address.
    fn authority(&self) -> String {
        match self {
            Self::Broker { url, .. } => format!("broker {}", base(url)),
            Self::AwsIot(aws) => aws_account(aws),
        }
    }
}

/// An address without what a base address does not have.
fn base(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    format!("{}/", url.as_str().trim_end_matches('/'))
}

fn aws_account(aws: &AwsSettings) -> String {
    let account = match &aws.credentials {
        AwsCredentials::Sts { role, .. } => aws.account().unwrap_or(role),
        AwsCredentials::Cognito { identity_pool } => identity_pool,
    };
    let own = format!("aws-iot {} {account}", aws.region);
    match &aws.endpoints.iot {
        Some(elsewhere) => format!("{own} {}", elsewhere.origin().ascii_serialization()),
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organisation(name: &str, client: &str, cloud: &str) -> OrganisationId {
        let text = format!(
            "name = \"{name}\"\n[sign-in]\nissuer = \"https://id.example/realm\"\n\
             client-id = \"{client}\"\n[cloud]\n{cloud}\n"
        );
        Profile::parse(&text).unwrap().organisation()
    }

    fn broker(url: &str) -> String {
        organisation(
            "Harbour",
            "fieldkey",
            &format!("kind = \"broker\"\nurl = \"{url}\""),
        )
        .cloud
    }

    fn aws(rest: &str) -> String {
        let cloud = format!("kind = \"aws-iot\"\nregion = \"eu-central-1\"\ntemplate = \"fleet\"\n{rest}");
        organisation("Harbour", "fieldkey", &cloud).cloud
    }

    #[test]
    fn an_organisation_is_its_issuer_client_and_cloud_whatever_its_profile_is_called() {
        let cloud = "kind = \"broker\"\nurl = \"https://claims.example\"";
        let harbour = organisation("Harbour Works", "fieldkey", cloud);
        assert_eq!(harbour, organisation("Quarry", "fieldkey", cloud));
        assert_ne!(harbour, organisation("Harbour Works", "other", cloud));
        assert_eq!(harbour.issuer, "https://id.example/realm");
        assert_eq!(harbour.cloud, "broker https://claims.example/");
    }

    #[test]
    fn a_broker_is_told_by_its_whole_address_however_that_is_written() {
        assert_eq!(
            broker("https://Claims.example:443/harbour"),
            broker("https://claims.example/harbour/")
        );
        assert_ne!(
            broker("https://claims.example/harbour"),
            broker("https://claims.example/quarry")
        );
        assert_ne!(
            broker("https://claims.example"),
            broker("https://claims.example:8443")
        );
    }

    #[test]
    fn an_aws_account_is_told_by_its_region_and_number_or_by_its_pool() {
        let role = |account: &str, name: &str| {
            aws(&format!(
                "[cloud.credentials]\nway = \"sts\"\nrole = \"arn:aws:iam::{account}:role/{name}\""
            ))
        };
        assert_eq!(
            role("123456789012", "installer"),
            "aws-iot eu-central-1 123456789012"
        );
        assert_eq!(role("123456789012", "installer"), role("123456789012", "support"));
        assert_ne!(
            role("123456789012", "installer"),
            role("123456789013", "installer")
        );
        let pool = "eu-central-1:11111111-2222-3333-4444-555555555555";
        let by_pool = format!("[cloud.credentials]\nway = \"cognito\"\nidentity_pool = \"{pool}\"");
        assert_eq!(aws(&by_pool), format!("aws-iot eu-central-1 {pool}"));
        let elsewhere = format!("{by_pool}\n[cloud.endpoints]\niot = \"https://localhost:7443/iot\"");
        assert_eq!(
            aws(&elsewhere),
            format!("aws-iot eu-central-1 {pool} https://localhost:7443")
        );
    }
}
