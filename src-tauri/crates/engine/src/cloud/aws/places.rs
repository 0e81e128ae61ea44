//! Where AWS is reached: at its own addresses, or where the profile says.

use thiserror::Error;
use url::Url;

use crate::settings::{AwsCredentials, AwsSettings};

/// An address could not be made of region or pool.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0} cannot be a server of AWS; check the region in the organisation profile")]
pub struct PlaceError(pub String);

/// The services' addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) iot: Url,
    /// None where it is that of the device endpoint, which has to be asked for.
    pub(super) iot_data: Option<Url>,
    pub(super) cognito_identity: Url,
    pub(super) sts: Url,
}

impl Places {
    pub(super) fn of(settings: &AwsSettings) -> Result<Self, PlaceError> {
        let domain = if settings.partition() == "aws-cn" {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        let at = |own: &Option<Url>, service: &str, region: &str| match own {
            Some(url) => Ok(url.clone()),
            None => https(&format!("{service}.{region}.{domain}")),
        };
        let (region, own) = (settings.region.as_str(), &settings.endpoints);
        // A pool may be in another region than the devices.
        let pool_region = match &settings.credentials {
            AwsCredentials::Cognito { identity_pool } => identity_pool.split(':').next().unwrap_or(region),
            AwsCredentials::Sts { .. } => region,
        };
        Ok(Self {
            iot: at(&own.iot, "iot", region)?,
            iot_data: own.iot_data.clone(),
            cognito_identity: at(&own.cognito_identity, "cognito-identity", pool_region)?,
            sts: at(&own.sts, "sts", region)?,
        })
    }
}

/// A server's address.
pub(super) fn https(host: &str) -> Result<Url, PlaceError> {
    Url::parse(&format!("https://{host}")).map_err(|_| PlaceError(host.to_owned()))
}
