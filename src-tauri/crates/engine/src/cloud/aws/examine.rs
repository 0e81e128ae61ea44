//! A look at what this person's role may do, without doing anything: each call is made about something that is not
//! there. AWS checks the permission first, so "not there" shows that the call is allowed.

use ::http::Method;
use commission::fault::CloudError;

use super::AwsIot;
use super::client::Call;
use super::operation::{Operation, Role, Scope};
use super::refusal::Reason;
use super::wire::escaped;

/// A serial number that no device has, in the form that the profile gives names of things.
const NOBODY: &str = "fieldkey-doctor-looks";
/// A certificate that is none.
const NO_CERTIFICATE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// How each call is made about nothing; none for what cannot be, or need not: a claim would be spent, template and
/// endpoint are asked for anyway, and keys have been had.
fn probe(operation: Operation, thing: &str) -> Option<(Method, String)> {
    let thing = escaped(thing);
    match operation {
        Operation::DescribeThing => Some((Method::GET, format!("/things/{thing}"))),
        Operation::ListThingPrincipals => Some((Method::GET, format!("/things/{thing}/principals"))),
        Operation::DescribeCertificate => Some((Method::GET, format!("/certificates/{NO_CERTIFICATE}"))),
        Operation::GetThingConnectivityData => {
            Some((Method::POST, format!("/things/{thing}/connectivity-data")))
        }
        Operation::GetConnection => Some((Method::GET, format!("/connections/{thing}"))),
        Operation::UpdateCertificate => Some((
            Method::PUT,
            format!("/certificates/{NO_CERTIFICATE}?newStatus=INACTIVE"),
        )),
        Operation::CreateProvisioningClaim
        | Operation::DescribeProvisioningTemplate
        | Operation::DescribeEndpoint
        | Operation::GetId
        | Operation::GetCredentialsForIdentity
        | Operation::AssumeRoleWithWebIdentity
        | Operation::StartThingRegistrationTask
        | Operation::ListThingRegistrationTasks
        | Operation::DescribeThingRegistrationTask
        | Operation::ListThingRegistrationTaskReports
        | Operation::StopThingRegistrationTask => None,
    }
}

impl AwsIot {
    /// What the role lacks, one sentence each.
    pub(super) async fn examine_rights(&self) -> Result<Vec<String>, CloudError> {
        let thing = self
            .settings
            .thing_name(NOBODY)
            .unwrap_or_else(|| NOBODY.to_owned());
        let supports = self
            .identity
            .person()
            .is_some_and(|person| person.roles.iter().any(|role| role == super::SUPPORT));
        let mut missing = Vec::new();
        let (mut index, mut data_plane) = (false, false);
        for operation in Operation::ALL.iter().copied() {
            if operation.role() == Role::Registrar || (operation.role() == Role::Support && !supports) {
                continue;
            }
            let Some((method, target)) = probe(operation, &thing) else {
                continue;
            };
            let may = self.may(operation, method, target).await?;
            match operation {
                // With neither nothing is seen, with the index alone not whose a connection is.
                Operation::GetThingConnectivityData => index = may,
                Operation::GetConnection => data_plane = may,
                _ if may => {}
                _ => missing.push(format!("The role does not allow {}.", operation.action())),
            }
        }
        if index && !data_plane {
            missing.push(format!(
                "The role does not allow {}, or the region does not have it: a device is shown as registered, not yet \
                 seen online, until it has connected again two minutes after it was registered.",
                Operation::GetConnection.action()
            ));
        }
        if !index && !data_plane {
            missing.push(format!(
                "The role allows neither {} nor {}, or the account has neither: a device will be shown as registered, \
                 not yet seen online.",
                Operation::GetThingConnectivityData.action(),
                Operation::GetConnection.action()
            ));
        }
        Ok(missing)
    }

    async fn may(&self, operation: Operation, method: Method, target: String) -> Result<bool, CloudError> {
        let data = match operation.scope() {
            Scope::Client => Some(self.data_plane().await?),
            _ => None,
        };
        let call = Call {
            operation,
            base: data.as_ref().unwrap_or(&self.places.iot),
            method,
            target,
        };
        match self.registry.client().call(&call).await {
            Ok(_) => Ok(true),
            Err(trouble) if trouble.is(Reason::Missing) => Ok(true),
            Err(trouble) if trouble.is(Reason::Denied) => Ok(false),
            // An index that is off, a call that the region does not have: for connections that is a no, and for the
            // rest the permission was not the matter.
            Err(trouble) => match CloudError::from(trouble) {
                CloudError::Refused { .. } => Ok(!matches!(
                    operation,
                    Operation::GetThingConnectivityData | Operation::GetConnection
                )),
                error => Err(error),
            },
        }
    }
}
