//! AWS IoT's control plane and data plane: who may, then the registry's answer in the API's own shape.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::AwsParts;
use super::operation::{Kind, Operation, resource};
use super::refusal::Refusal;
use crate::cloud::registry::{
    CertificateRecord, CertificateStatus, ConnectionRecord, ShadowRecord, ThingRecord,
};

/// Where some calls name a certificate.
const PRINCIPAL: &str = "x-amzn-principal";
/// The longest page of a list, and the usual one.
const PAGE: usize = 250;

pub(super) fn serve(aws: &AwsParts, request: &Parts, body: &[u8]) -> Response {
    match answer(aws, request, body) {
        Ok(Answer::Json(body)) => ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response(),
        Ok(Answer::Nothing) => StatusCode::OK.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

enum Answer {
    Json(Value),
    /// A body of no bytes, as calls have that change something and tell nothing.
    Nothing,
}

/// One request, taken apart.
pub(super) struct Asked<'a> {
    pub(super) name: String,
    query: BTreeMap<String, String>,
    /// The ARN of a principal, or nothing.
    principal: String,
    body: &'a [u8],
}

#[derive(Deserialize)]
struct Target {
    target: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewPolicy {
    policy_document: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThingFields {
    #[serde(default)]
    attribute_payload: AttributePayload,
    expected_version: Option<u64>,
}

#[derive(Default, Deserialize)]
struct AttributePayload {
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    merge: bool,
}

#[derive(Deserialize)]
struct TemplateFields {
    enabled: Option<bool>,
}

#[derive(Deserialize)]
struct ShadowFields {
    state: Map<String, Value>,
    version: Option<u64>,
}

fn answer(aws: &AwsParts, request: &Parts, body: &[u8]) -> Result<Answer, Refusal> {
    let Some((operation, name)) = Operation::at(&request.method, request.uri.path()) else {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "UnknownOperationException",
            "There is no such operation here.",
        ));
    };
    let caller = aws.caller(request, body, operation.service())?;
    let asked = Asked::read(operation, name, request, body)?;
    let about = resource(&aws.account, operation.kind(), &asked.name, &asked.principal);
    caller.may(operation.action(), &about).map_err(Refusal::denied)?;
    if aws.faults.throttles_aws() {
        return Err(Refusal::throttled());
    }
    if operation.is_about_tasks() {
        return aws.about_tasks(operation, &asked, &caller).map(Answer::Json);
    }
    aws.perform(operation, &asked)
}

impl<'a> Asked<'a> {
    fn read(operation: Operation, name: String, request: &Parts, body: &'a [u8]) -> Result<Self, Refusal> {
        let query = request.uri.query().unwrap_or_default();
        let mut asked = Self {
            name,
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            principal: String::new(),
            body,
        };
        if operation.kind() == Kind::Principal {
            let header = request
                .headers
                .get(PRINCIPAL)
                .and_then(|value| value.to_str().ok());
            asked.principal = match (operation, header) {
                (Operation::ListAttachedPolicies, _) => asked.name.clone(),
                (_, Some(header)) => header.to_owned(),
                (Operation::AttachPolicy | Operation::DetachPolicy, None) => asked.json::<Target>()?.target,
                (_, None) => return Err(Refusal::invalid(format!("Missing header {PRINCIPAL}"))),
            };
        }
        Ok(asked)
    }

    /// A body that is left out is an empty object.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { self.body };
        serde_json::from_slice(body).map_err(|error| Refusal::invalid(error.to_string()))
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        self.query(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| Refusal::invalid(format!("{name} is no number")))
            })
            .transpose()
    }

    /// The id of the certificate that an ARN names.
    fn certificate(&self) -> Result<&str, Refusal> {
        self.principal
            .split_once(":cert/")
            .map(|(_, id)| id)
            .ok_or_else(|| Refusal::invalid("The principal is no certificate."))
    }

    /// A page of `all` under `list`, and where the next begins under `next`.
    pub(super) fn page(&self, list: &str, next: &str, all: Vec<Value>) -> Result<Value, Refusal> {
        let from: usize = self.number("nextToken")?.or(self.number("marker")?).unwrap_or(0);
        let most: Option<usize> = self.number("maxResults")?.or(self.number("pageSize")?);
        let most = most.unwrap_or(PAGE);
        if !(1..=PAGE).contains(&most) {
            return Err(Refusal::invalid(format!("A page has 1 to {PAGE} entries")));
        }
        let total = all.len();
        let page: Vec<Value> = all.into_iter().skip(from).take(most).collect();
        let end = from.saturating_add(page.len());
        let mut body = json!({ list: page });
        if end < total
            && let Some(body) = body.as_object_mut()
        {
            body.insert(next.into(), end.to_string().into());
        }
        Ok(body)
    }
}

impl AwsParts {
    fn perform(&self, operation: Operation, asked: &Asked<'_>) -> Result<Answer, Refusal> {
        use Operation as O;
        let (registry, name) = (&self.registry, asked.name.as_str());
        let answer = match operation {
            O::CreateProvisioningClaim => self.claim(name)?,
            O::DescribeProvisioningTemplate => self.described(name)?,
            O::UpdateProvisioningTemplate => {
                self.is_template(name)?;
                if let Some(enabled) = asked.json::<TemplateFields>()?.enabled {
                    self.faults.change(|faults| faults.template_disabled = !enabled);
                }
                json!({})
            }
            O::ListProvisioningTemplates => {
                let mut one = self.described(&self.template.name)?;
                if let Some(one) = one.as_object_mut() {
                    one.retain(|field, _| {
                        !matches!(
                            field.as_str(),
                            "templateBody" | "preProvisioningHook" | "provisioningRoleArn"
                        )
                    });
                }
                asked.page("templates", "nextToken", vec![one])?
            }
            O::DescribeEndpoint => match asked.query("endpointType") {
                None | Some("iot:Data-ATS" | "iot:Data") => {
                    let address = format!("{}:{}", self.endpoint.host, self.endpoint.port);
                    json!({ "endpointAddress": address })
                }
                Some(other) => return Err(Refusal::invalid(format!("There is no {other} here"))),
            },
            O::ListThings => {
                let all = registry.things().iter().map(|thing| self.thing(thing)).collect();
                asked.page("things", "nextToken", all)?
            }
            O::DescribeThing => {
                let mut thing = self.thing(&registry.thing(name)?);
                if let Some(thing) = thing.as_object_mut() {
                    thing.insert("defaultClientId".into(), name.into());
                }
                thing
            }
            O::CreateThing => {
                let fields: ThingFields = asked.json()?;
                registry.create_thing(name, fields.attribute_payload.attributes)?;
                json!({ "thingName": name, "thingArn": self.account.resource("thing", name) })
            }
            O::UpdateThing => {
                let ThingFields {
                    attribute_payload: payload,
                    expected_version,
                } = asked.json()?;
                registry.update_thing(name, payload.attributes, payload.merge, expected_version)?;
                json!({})
            }
            O::DeleteThing => {
                registry.delete_thing(name, asked.number("expectedVersion")?)?;
                json!({})
            }
            O::ListThingPrincipals => {
                let all = registry.thing_principals(name)?;
                let all = all.iter().map(|id| self.certificate_arn(id).into()).collect();
                asked.page("principals", "nextToken", all)?
            }
            O::AttachThingPrincipal => {
                registry.attach_thing(name, asked.certificate()?)?;
                json!({})
            }
            O::DetachThingPrincipal => {
                registry.detach_thing(name, asked.certificate()?)?;
                json!({})
            }
            O::ListPrincipalThings => {
                let all = registry.principal_things(asked.certificate()?)?;
                asked.page("things", "nextToken", all.into_iter().map(Value::from).collect())?
            }
            O::GetThingConnectivityData => {
                if self.faults.now().aws_index_off {
                    return Err(Refusal::new(
                        StatusCode::BAD_REQUEST,
                        "IndexNotReadyException",
                        "Thing connectivity indexing is not enabled",
                    ));
                }
                // It counts the clients that are called as a registered thing is.
                registry.thing(name)?;
                let connection = self.connection(name)?;
                json!({
                    "thingName": name,
                    "connected": connection.connected,
                    "timestamp": connection.at,
                    "disconnectReason": if connection.connected { "NONE" } else { "CONNECTION_LOST" },
                })
            }
            O::GetConnection => {
                let connection = self.connection(name)?;
                let since = if connection.connected {
                    "connectedSince"
                } else {
                    "disconnectedSince"
                };
                let mut told = json!({ "connected": connection.connected, since: connection.at });
                if let (Some(told), Some(thing)) = (told.as_object_mut(), connection.thing) {
                    told.insert("thingName".into(), thing.into());
                }
                told
            }
            other => return self.perform_more(other, asked),
        };
        Ok(Answer::Json(answer))
    }

    /// The same for certificates, policies and shadows.
    fn perform_more(&self, operation: Operation, asked: &Asked<'_>) -> Result<Answer, Refusal> {
        use Operation as O;
        let (registry, name) = (&self.registry, asked.name.as_str());
        let shadow = asked.query("name").unwrap_or_default();
        Ok(Answer::Json(match operation {
            O::ListCertificates => {
                let all = registry.certificates();
                let all = all
                    .iter()
                    .map(|certificate| self.certificate(certificate))
                    .collect();
                asked.page("certificates", "nextMarker", all)?
            }
            O::DescribeCertificate => {
                let record = registry.certificate(name)?;
                let mut told = self.certificate(&record);
                if let Some(told) = told.as_object_mut() {
                    told.insert("certificatePem".into(), record.pem.clone().into());
                    told.insert("ownedBy".into(), self.account.account.clone().into());
                    told.insert("lastModifiedDate".into(), record.changed_at.into());
                }
                json!({ "certificateDescription": told })
            }
            O::UpdateCertificate => {
                let status = match asked.query("newStatus") {
                    Some("ACTIVE") => CertificateStatus::Active,
                    Some("INACTIVE") => CertificateStatus::Inactive,
                    Some("REVOKED") => CertificateStatus::Revoked,
                    other => {
                        let other = other.unwrap_or_default();
                        return Err(Refusal::invalid(format!(
                            "A certificate cannot be made {other:?}"
                        )));
                    }
                };
                registry.set_certificate_status(name, status)?;
                return Ok(Answer::Nothing);
            }
            O::DeleteCertificate => {
                registry.delete_certificate(name, asked.query("forceDelete") == Some("true"))?;
                return Ok(Answer::Nothing);
            }
            O::ListPolicies => {
                let all = registry.policies();
                let all = all.iter().map(|name| self.policy(name)).collect();
                asked.page("policies", "nextMarker", all)?
            }
            O::GetPolicy => self.whole_policy(name, &registry.policy(name)?),
            O::CreatePolicy => {
                let NewPolicy { policy_document } = asked.json()?;
                if serde_json::from_str::<Value>(&policy_document).is_err() {
                    return Err(Refusal::new(
                        StatusCode::BAD_REQUEST,
                        "MalformedPolicyException",
                        "Policy document is Malformed",
                    ));
                }
                registry.create_policy(name, &policy_document)?;
                self.whole_policy(name, &policy_document)
            }
            O::DeletePolicy => {
                registry.delete_policy(name)?;
                return Ok(Answer::Nothing);
            }
            O::AttachPolicy => {
                registry.attach_policy(name, asked.certificate()?)?;
                return Ok(Answer::Nothing);
            }
            O::DetachPolicy => {
                registry.detach_policy(name, asked.certificate()?)?;
                return Ok(Answer::Nothing);
            }
            O::ListAttachedPolicies => {
                let all = registry.attached_policies(asked.certificate()?)?;
                let all = all.iter().map(|name| self.policy(name)).collect();
                asked.page("policies", "nextMarker", all)?
            }
            O::ListTargetsForPolicy => {
                let all = registry.policy_targets(name)?;
                let all = all.iter().map(|id| self.certificate_arn(id).into()).collect();
                asked.page("targets", "nextMarker", all)?
            }
            O::GetThingShadow => document(&registry.shadow(name, shadow)?),
            O::UpdateThingShadow => {
                let ShadowFields { state, version } = asked.json()?;
                document(&registry.update_shadow(name, shadow, &state, version)?)
            }
            O::DeleteThingShadow => {
                let gone = registry.delete_shadow(name, shadow)?;
                json!({ "version": gone.version, "timestamp": gone.at })
            }
            O::ListNamedShadowsForThing => {
                let all = registry
                    .named_shadows(name)
                    .into_iter()
                    .map(Value::from)
                    .collect();
                asked.page("results", "nextToken", all)?
            }
            // All others are performed above.
            _ => return Err(Refusal::internal()),
        }))
    }

    fn claim(&self, template: &str) -> Result<Value, Refusal> {
        self.is_template(template)?;
        let identity = self
            .devices
            .client("AWS IoT Provisioning Claim")
            .map_err(|_| Refusal::internal())?;
        let public_key = identity.public_key_pem().map_err(|_| Refusal::internal())?;
        let expires = self.registry.free_claim(&identity)?;
        Ok(json!({
            "certificateId": identity.certificate.id,
            "certificatePem": identity.certificate.pem,
            "keyPair": { "PublicKey": public_key, "PrivateKey": identity.private_key.reveal() },
            "expiration": expires,
        }))
    }

    fn is_template(&self, name: &str) -> Result<(), Refusal> {
        let fits = |sign: char| sign.is_ascii_alphanumeric() || sign == '_' || sign == '-';
        if !(1..=36).contains(&name.len()) || !name.chars().all(fits) {
            return Err(Refusal::invalid(
                "A template's name is 1 to 36 letters, digits, _ and -",
            ));
        }
        if name == self.template.name {
            Ok(())
        } else {
            Err(Refusal::not_found(format!(
                "Provisioning template {name} not found."
            )))
        }
    }

    fn described(&self, name: &str) -> Result<Value, Refusal> {
        self.is_template(name)?;
        let account = &self.account;
        Ok(json!({
            "templateArn": account.resource("provisioningtemplate", name),
            "templateName": name,
            "description": "",
            "creationDate": self.made_at,
            "lastModifiedDate": self.made_at,
            "defaultVersionId": 1,
            "templateBody": self.template.text(),
            "enabled": !self.faults.now().template_disabled,
            "provisioningRoleArn": format!("arn:aws:iam::{}:role/FieldkeyProvisioning", account.account),
            "preProvisioningHook": {
                "payloadVersion": "2020-04-01",
                "targetArn": format!(
                    "arn:aws:lambda:{}:{}:function:fieldkey-hook", account.region, account.account
                ),
            },
            "type": self.kind,
        }))
    }

    fn thing(&self, thing: &ThingRecord) -> Value {
        json!({
            "thingName": thing.name,
            "thingArn": self.account.resource("thing", &thing.name),
            "attributes": thing.attributes,
            "version": thing.version,
        })
    }

    fn certificate_arn(&self, id: &str) -> String {
        self.account.resource("cert", id)
    }

    fn certificate(&self, certificate: &CertificateRecord) -> Value {
        json!({
            "certificateArn": self.certificate_arn(&certificate.id),
            "certificateId": certificate.id,
            "status": certificate.status,
            "certificateMode": "DEFAULT",
            "creationDate": certificate.created_at,
        })
    }

    fn policy(&self, name: &str) -> Value {
        json!({ "policyName": name, "policyArn": self.account.resource("policy", name) })
    }

    fn whole_policy(&self, name: &str, document: &str) -> Value {
        json!({
            "policyName": name,
            "policyArn": self.account.resource("policy", name),
            "policyDocument": document,
            "policyVersionId": "1",
            "defaultVersionId": "1",
        })
    }

    fn connection(&self, name: &str) -> Result<ConnectionRecord, Refusal> {
        self.registry
            .connection(name)
            .ok_or_else(|| Refusal::not_found(format!("Nothing is known of a connection of {name}")))
    }
}

fn document(shadow: &ShadowRecord) -> Value {
    json!({ "state": shadow.state, "version": shadow.version, "timestamp": shadow.at })
}
