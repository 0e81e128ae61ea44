//! What AWS IoT's registry says of a device: thing, certificates, connection, and where devices go.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ::http::Method;
use commission::claim::Endpoint;
use commission::evidence::PrincipalStatus;
use commission::fault::CloudError;
use commission::presence::{By, Connection};
use commission::time::UnixTime;
use serde::Deserialize;
use url::Url;

use super::client::{Call, Client};
use super::operation::Operation;
use super::refusal::Reason;
use super::stamp::Stamp;
use super::template::TemplateAnswer;
use super::wire::{Trouble, content, escaped};
use crate::cloud::http::Answer;
use crate::settings::HostPort;

/// A thing has a handful of certificates. A list with more pages than this is an error: what is read of it proves nothing.
const MOST_PAGES: usize = 10;

/// The registry of one account and region.
pub(super) struct Registry {
    client: Client,
    iot: Url,
    sources: Mutex<Sources>,
}

/// Which calls tell whether a device is online; found out by asking.
#[derive(Clone, Copy, Debug)]
struct Sources {
    /// GetThingConnectivityData, which wants fleet indexing with connectivity.
    index: bool,
    /// GetConnection, which not every region has.
    data: bool,
}

/// A thing.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThingAnswer {
    #[serde(default)]
    pub(super) version: u64,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
}

/// A certificate as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) id: String,
    pub(super) status: PrincipalStatus,
    pub(super) created: Option<UnixTime>,
    /// When it was changed last: an active one is active since then at the latest.
    pub(super) changed: Option<UnixTime>,
}

/// Whether a device is online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Online {
    pub(super) connected: bool,
    /// Since when, or when last.
    pub(super) at: Option<UnixTime>,
    /// By what it is connected.
    pub(super) by: By,
}

impl Online {
    /// The connection that stands.
    pub(super) fn connection(&self) -> Option<Connection> {
        self.connected.then(|| Connection {
            since: self.at,
            by: self.by.clone(),
        })
    }
}

/// What a source says of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Online(Online),
    /// It knows of none; an index may lag.
    Nothing,
    /// This account, region or person does not have it.
    NoSource,
}

#[derive(Deserialize)]
struct PrincipalsAnswer {
    principals: Vec<String>,
    #[serde(default, rename = "nextToken")]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CertificateAnswer {
    certificate_description: Description,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    status: PrincipalStatus,
    #[serde(default)]
    creation_date: Option<Stamp>,
    #[serde(default)]
    last_modified_date: Option<Stamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionAnswer {
    connected: bool,
    #[serde(default)]
    timestamp: Option<Stamp>,
    #[serde(default)]
    connected_since: Option<Stamp>,
    #[serde(default)]
    disconnected_since: Option<Stamp>,
    #[serde(default)]
    thing_name: Option<String>,
}

impl ConnectionAnswer {
    fn online(self, by: By) -> Online {
        let own = if self.connected {
            self.connected_since
        } else {
            self.disconnected_since
        };
        Online {
            connected: self.connected,
            at: own.or(self.timestamp).map(|Stamp(at)| at),
            by,
        }
    }

    /// The data plane names the thing that the client's certificate belongs to, and none for a claim's.
    fn whose(&self, thing: &str) -> By {
        match self.thing_name.as_deref().filter(|name| !name.is_empty()) {
            Some(name) if name == thing => By::OneOfItsOwn,
            Some(_) => By::Foreign,
            None => By::Untold,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndpointAnswer {
    endpoint_address: String,
}

impl Registry {
    pub(super) fn new(client: Client, iot: Url) -> Self {
        Self {
            client,
            iot,
            sources: Mutex::new(Sources {
                index: true,
                data: true,
            }),
        }
    }

    /// What asks, for a call that is no question about a device.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Fetches a claim for this template; the answer holds a private key.
    pub(super) async fn claim(&self, template: &str) -> Result<Answer, Trouble> {
        let target = format!("/provisioning-templates/{}/provisioning-claim", escaped(template));
        self.ask(Operation::CreateProvisioningClaim, Method::POST, target)
            .await
    }

    pub(super) async fn template(&self, name: &str) -> Result<TemplateAnswer, Trouble> {
        let operation = Operation::DescribeProvisioningTemplate;
        let target = format!("/provisioning-templates/{}", escaped(name));
        Ok(content(
            operation,
            &self.ask(operation, Method::GET, target).await?,
        )?)
    }

    /// Where devices go.
    pub(super) async fn endpoint(&self) -> Result<Endpoint, CloudError> {
        let operation = Operation::DescribeEndpoint;
        let target = "/endpoint?endpointType=iot%3AData-ATS".to_owned();
        let answer = self.ask(operation, Method::GET, target).await?;
        let answer: EndpointAnswer = content(operation, &answer)?;
        let HostPort { host, port } = HostPort::parse(&answer.endpoint_address)
            .ok_or_else(|| CloudError::Nonsense("the device endpoint is no host".into()))?;
        Ok(Endpoint { host, port })
    }

    /// None where there is no such thing.
    pub(super) async fn thing(&self, name: &str) -> Result<Option<ThingAnswer>, CloudError> {
        let operation = Operation::DescribeThing;
        let target = format!("/things/{}", escaped(name));
        let answer = there(self.ask(operation, Method::GET, target).await)?;
        answer.map(|answer| content(operation, &answer)).transpose()
    }

    /// All certificates of a thing by name; none where there is no such thing.
    ///
    /// # Errors
    /// [`CloudError`], also where the list has no end.
    pub(super) async fn principals(&self, thing: &str) -> Result<Option<Vec<String>>, CloudError> {
        let operation = Operation::ListThingPrincipals;
        let path = format!("/things/{}/principals", escaped(thing));
        let (mut found, mut target) = (Vec::new(), path.clone());
        for _ in 0..MOST_PAGES {
            let Some(answer) = there(self.ask(operation, Method::GET, target).await)? else {
                return Ok(None);
            };
            let page: PrincipalsAnswer = content(operation, &answer)?;
            // Other principals, of Cognito, are no credential of a device.
            let certificates = page.principals.iter().filter_map(|arn| arn.split_once(":cert/"));
            found.extend(certificates.map(|(_, id)| id.to_owned()));
            match page.next.filter(|next| !next.is_empty()) {
                Some(next) => target = format!("{path}?nextToken={}", escaped(&next)),
                None => return Ok(Some(found)),
            }
        }
        Err(CloudError::Nonsense(format!(
            "the list of certificates of {thing} does not end after {MOST_PAGES} pages"
        )))
    }

    /// None where there is no such certificate, or none any more.
    pub(super) async fn certificate(&self, id: &str) -> Result<Option<Certificate>, CloudError> {
        let operation = Operation::DescribeCertificate;
        let target = format!("/certificates/{}", escaped(id));
        let Some(answer) = there(self.ask(operation, Method::GET, target).await)? else {
            return Ok(None);
        };
        let CertificateAnswer {
            certificate_description: told,
        } = content(operation, &answer)?;
        Ok(Some(Certificate {
            id: id.to_owned(),
            status: told.status,
            created: told.creation_date.map(|Stamp(at)| at),
            changed: told.last_modified_date.map(|Stamp(at)| at),
        }))
    }

    /// Switches a certificate off; connected devices are dropped within minutes.
    pub(super) async fn switch_off(&self, id: &str) -> Result<(), Trouble> {
        let target = format!("/certificates/{}?newStatus=INACTIVE", escaped(id));
        self.ask(Operation::UpdateCertificate, Method::PUT, target)
            .await?;
        Ok(())
    }

    /// Whether the thing is online, by the fleet's index. It counts the client that is called as the thing is, whoever's
    /// certificate that came with.
    pub(super) async fn by_index(&self, thing: &str) -> Result<Told, CloudError> {
        if !self.sources().index {
            return Ok(Told::NoSource);
        }
        let target = format!("/things/{}/connectivity-data", escaped(thing));
        let asked = self.connection(
            Operation::GetThingConnectivityData,
            &self.iot,
            Method::POST,
            target,
        );
        let online = asked.await.map(|answer| answer.online(By::Untold));
        told(online, || self.change(|sources| sources.index = false))
    }

    /// Whether the thing is online, by the data plane, which answers at `base`, and whether by a certificate of its own.
    pub(super) async fn by_data_plane(&self, thing: &str, base: &Url) -> Result<Told, CloudError> {
        if !self.sources().data {
            return Ok(Told::NoSource);
        }
        let target = format!("/connections/{}", escaped(thing));
        let asked = self.connection(Operation::GetConnection, base, Method::GET, target);
        let online = asked.await.map(|answer| {
            let by = answer.whose(thing);
            answer.online(by)
        });
        told(online, || self.change(|sources| sources.data = false))
    }

    async fn connection(
        &self,
        operation: Operation,
        base: &Url,
        method: Method,
        target: String,
    ) -> Result<ConnectionAnswer, Trouble> {
        let call = Call {
            operation,
            base,
            method,
            target,
        };
        Ok(content(operation, &self.client.call(&call).await?)?)
    }

    async fn ask(&self, operation: Operation, method: Method, target: String) -> Result<Answer, Trouble> {
        let call = Call {
            operation,
            base: &self.iot,
            method,
            target,
        };
        self.client.call(&call).await
    }

    fn sources(&self) -> Sources {
        *self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, how: impl FnOnce(&mut Sources)) {
        how(&mut self.sources.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What a source says, or that it is none: then `drop_it` sees to it that it is not asked again.
fn told(answer: Result<Online, Trouble>, drop_it: impl FnOnce()) -> Result<Told, CloudError> {
    match answer {
        Ok(online) => Ok(Told::Online(online)),
        Err(trouble) if trouble.is(Reason::Missing) => Ok(Told::Nothing),
        Err(trouble) if lacks(&trouble) => {
            drop_it();
            Ok(Told::NoSource)
        }
        Err(trouble) => Err(trouble.into()),
    }
}

/// A source that this account, region or person does not have; trouble that passes is none of these.
fn lacks(trouble: &Trouble) -> bool {
    [
        Reason::Denied,
        Reason::Setup,
        Reason::Invalid,
        Reason::Unknown,
        Reason::Signature,
    ]
    .into_iter()
    .any(|reason| trouble.is(reason))
}

/// That something is not there is an answer, not a failure.
fn there(result: Result<Answer, Trouble>) -> Result<Option<Answer>, CloudError> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(trouble) if trouble.is(Reason::Missing) => Ok(None),
        Err(trouble) => Err(trouble.into()),
    }
}
