//! The shapes of `broker.openapi.yaml`, and how each becomes what the flow knows.
//!
//! Members that are not read here are ignored, as the contract asks. Text that must say something is refused where
//! it is empty: a default value is never taken for a fact.

use std::collections::BTreeMap;

use commission::claim::{Claim, ClaimForm, ClaimId, ClaimKind, CleanupHandle, Endpoint, Purpose, Scope};
use commission::device::{Fingerprint, Firmware, Serial};
use commission::evidence::{Evidence, Fact, Observation, Owner, Principal, Snapshot, Source, Thing};
use commission::proven::Der;
use commission::secret::{PrivateKeyPem, TenantToken, Token};
use commission::time::{Moment, UnixTime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::keys::check_pair;
use crate::ports::{CloudPerson, Template};

/// `POST /v1/claims`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClaimOrder<'a> {
    pub(super) serial: &'a Serial,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identity_key_sha256: Option<Fingerprint>,
    pub(super) idempotency_key: String,
    pub(super) accept: &'a [ClaimForm],
    pub(super) purpose: Purpose,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device_public_key_pem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device_chain_pem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tpm_endorsement_key: Option<&'a Der>,
}

impl<'a> ClaimOrder<'a> {
    pub(super) fn new(request: &'a commission::claim::ClaimRequest) -> Self {
        let idempotency: Uuid = request.idempotency;
        let keys = request.keys.as_ref();
        let chain = keys.map(|keys| keys.chain.as_slice()).unwrap_or_default();
        let certificates = chain.iter().map(|certificate| certificate.to_pem("CERTIFICATE"));
        Self {
            serial: &request.serial,
            identity_key_sha256: request.key_sha256,
            idempotency_key: idempotency.to_string(),
            accept: &request.accepts,
            purpose: request.purpose,
            device_public_key_pem: keys.map(|keys| keys.spki.to_pem("PUBLIC KEY")),
            device_chain_pem: Some(certificates.collect::<String>()).filter(|pem| !pem.is_empty()),
            tpm_endorsement_key: keys.and_then(|keys| keys.endorsement_key.as_ref()),
        }
    }
}

/// `GET /v1/preflight`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PreflightAnswer {
    pub(super) server_time: UnixTime,
    pub(super) cloud: String,
    pub(super) person: CloudPerson,
    pub(super) rights: Vec<String>,
    pub(super) template: Template,
    pub(super) endpoint: Endpoint,
    pub(super) claim_life_seconds: u32,
}

/// `GET /v1/devices/{serial}`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceAnswer {
    serial: Serial,
    known: bool,
    #[serde(default)]
    identity_key_sha256: Option<Fingerprint>,
    #[serde(default)]
    min_firmware: Option<Firmware>,
    owner: Owner,
    #[serde(default)]
    thing: Option<ThingAnswer>,
}

impl DeviceAnswer {
    /// # Errors
    /// Where it is about another device.
    pub(super) fn snapshot(self, asked: &Serial) -> Result<Snapshot, String> {
        if self.serial != *asked {
            return Err(format!("asked for {asked}, it answers for {}", self.serial));
        }
        Ok(Snapshot {
            known: Some(self.known),
            identity_key_sha256: self.identity_key_sha256,
            min_firmware: self.min_firmware,
            owner: self.owner,
            thing: self.thing.map(Thing::from),
            self_enrolling: false,
        })
    }
}

/// A thing, wherever it comes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThingAnswer {
    #[serde(deserialize_with = "filled")]
    name: String,
    version: u64,
    principals: Vec<Principal>,
    connected: bool,
    #[serde(default)]
    connected_at: Option<UnixTime>,
    #[serde(default)]
    connected_principal: Option<String>,
    #[serde(default)]
    last_connected_at: Option<UnixTime>,
}

impl From<ThingAnswer> for Thing {
    fn from(answer: ThingAnswer) -> Self {
        Self {
            name: answer.name,
            version: answer.version,
            principals: answer.principals,
            connected: Some(answer.connected),
            // When it was connected last says nothing of the connection that stands.
            connected_at: if answer.connected {
                answer.connected_at
            } else {
                answer.connected_at.or(answer.last_connected_at)
            },
            connected_principal: answer.connected_principal.filter(|id| !id.is_empty()),
            inferred_principal: None,
        }
    }
}

/// `GET /v1/claims/{claimId}/enrolment`.
#[derive(Deserialize)]
pub(super) struct EnrolmentAnswer {
    state: String,
    events: Vec<EnrolmentEvent>,
    #[serde(default)]
    thing: Option<ThingAnswer>,
}

#[derive(Deserialize)]
struct EnrolmentEvent {
    seq: u64,
    kind: String,
    at: UnixTime,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    thing: Option<String>,
    #[serde(default)]
    principal: Option<String>,
}

impl EnrolmentAnswer {
    /// What is new after the event numbered `after`.
    pub(super) fn observation(mut self, after: u64) -> Observation {
        self.events.retain(|event| event.seq > after);
        self.events.sort_by_key(|event| event.seq);
        Observation {
            next: self.events.last().map_or(after, |event| event.seq),
            claim_over: matches!(self.state.as_str(), "expired" | "retired"),
            evidence: self
                .events
                .into_iter()
                .filter_map(EnrolmentEvent::evidence)
                .collect(),
            thing: self.thing.map(Thing::from),
        }
    }
}

impl EnrolmentEvent {
    /// None for kinds that prove no stage: `data-seen` and `offline` are told by the thing itself.
    fn evidence(self) -> Option<Evidence> {
        let thing = self.thing.filter(|name| !name.is_empty());
        let principal = self.principal.filter(|id| !id.is_empty());
        let fact = match self.kind.as_str() {
            "cloud-reached" => Fact::CloudReached,
            "identity-issued" => Fact::IdentityIssued { principal },
            "registered" => Fact::Registered { thing, principal },
            "online" => Fact::SeenOnline { thing, principal },
            "refused" => Fact::EnrolmentRefused {
                code: self
                    .code
                    .as_deref()
                    .map(super::problem::words)
                    .unwrap_or_default(),
                message: self
                    .message
                    .as_deref()
                    .map(super::problem::words)
                    .unwrap_or_default(),
            },
            _ => return None,
        };
        Some(Evidence {
            fact,
            source: Source::Cloud,
            at: Some(self.at),
        })
    }
}

/// `POST /v1/things/{name}/release`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReleaseAnswer {
    /// Not used, but an answer without it is none.
    #[serde(rename = "releasedAt")]
    _released_at: UnixTime,
}

/// A claim of any kind. Not `Debug`: it holds secrets.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClaimAnswer {
    #[serde(deserialize_with = "filled")]
    claim_id: String,
    issued_at: UnixTime,
    expires_at: UnixTime,
    endpoint: Endpoint,
    #[serde(deserialize_with = "filled")]
    ca_pem: String,
    #[serde(default)]
    template_name: Option<String>,
    parameters: BTreeMap<String, String>,
    #[serde(deserialize_with = "filled")]
    cleanup: String,
    #[serde(flatten)]
    kind: KindAnswer,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum KindAnswer {
    Certificate {
        #[serde(deserialize_with = "filled")]
        certificate_pem: String,
        #[serde(deserialize_with = "private_key")]
        private_key_pem: PrivateKeyPem,
    },
    PublicKey {
        #[serde(deserialize_with = "filled")]
        registration_id: String,
        #[serde(default, deserialize_with = "filled_or_absent")]
        id_scope: Option<String>,
        #[serde(default, deserialize_with = "tenant_token")]
        tenant_token: Option<TenantToken>,
    },
    Sas {
        #[serde(deserialize_with = "filled")]
        registration_id: String,
        #[serde(deserialize_with = "filled")]
        id_scope: String,
        #[serde(deserialize_with = "token")]
        token: Token,
    },
    SymmetricKey {
        #[serde(deserialize_with = "filled")]
        registration_id: String,
        #[serde(deserialize_with = "filled")]
        id_scope: String,
        #[serde(deserialize_with = "token")]
        symmetric_key: Token,
    },
    Tpm {
        #[serde(deserialize_with = "filled")]
        registration_id: String,
        #[serde(deserialize_with = "filled")]
        id_scope: String,
    },
}

impl ClaimAnswer {
    /// The claim, checked. Its life counts from `arrived`: the server says when it dies and what time it is there, and
    /// this machine's calendar has no part in it.
    ///
    /// # Errors
    /// What is wrong with it, without repeating any of it.
    pub(super) fn claim(self, arrived: Moment, server_time: UnixTime) -> Result<Claim, String> {
        let authorities = CertificateDer::pem_slice_iter(self.ca_pem.as_bytes());
        if !matches!(authorities.collect::<Result<Vec<_>, _>>(), Ok(found) if !found.is_empty()) {
            return Err("the claim's caPem holds no certificate".into());
        }
        if self.endpoint.host.is_empty() || self.endpoint.port == 0 {
            return Err("the claim names no endpoint".into());
        }
        let kind = match self.kind {
            KindAnswer::Certificate {
                certificate_pem,
                private_key_pem,
            } => {
                // A device would find out too late: at the cloud's door.
                check_pair(&certificate_pem, &private_key_pem).map_err(|error| error.to_string())?;
                ClaimKind::Certificate {
                    chain_pem: certificate_pem,
                    key: private_key_pem,
                }
            }
            KindAnswer::PublicKey {
                registration_id,
                id_scope,
                tenant_token,
            } => ClaimKind::PublicKey {
                registration_id,
                id_scope,
                tenant_token,
            },
            KindAnswer::Sas {
                registration_id,
                id_scope,
                token,
            } => ClaimKind::Sas {
                registration_id,
                id_scope,
                token,
            },
            KindAnswer::SymmetricKey {
                registration_id,
                id_scope,
                symmetric_key,
            } => ClaimKind::SymmetricKey {
                registration_id,
                id_scope,
                key: symmetric_key,
            },
            KindAnswer::Tpm {
                registration_id,
                id_scope,
            } => ClaimKind::Tpm {
                registration_id,
                id_scope,
            },
        };
        let left = self.expires_at.0.saturating_sub(server_time.0);
        let left = std::time::Duration::from_secs(u64::try_from(left).unwrap_or(0));
        let age = server_time.0.saturating_sub(self.issued_at.0);
        let age = std::time::Duration::from_secs(u64::try_from(age).unwrap_or(0));
        Ok(Claim {
            id: ClaimId(self.claim_id),
            kind,
            endpoint: self.endpoint,
            ca_pem: self.ca_pem,
            scope: Scope {
                template: self.template_name.unwrap_or_default(),
                parameters: self.parameters,
            },
            issued: Moment::new(arrived.since_start().saturating_sub(age)),
            expires: arrived + left,
            issued_at: self.issued_at,
            cleanup: CleanupHandle(self.cleanup),
        })
    }
}

pub(super) fn filled<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Err(serde::de::Error::custom("empty"));
    }
    Ok(text)
}

pub(super) fn private_key<'de, D: Deserializer<'de>>(from: D) -> Result<PrivateKeyPem, D::Error> {
    filled(from).map(PrivateKeyPem::new)
}

fn filled_or_absent<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match Option::<String>::deserialize(from)? {
        Some(text) if text.is_empty() => Err(serde::de::Error::custom("it is empty")),
        text => Ok(text),
    }
}

fn tenant_token<'de, D: Deserializer<'de>>(from: D) -> Result<Option<TenantToken>, D::Error> {
    Ok(filled_or_absent(from)?.map(TenantToken::new))
}

pub(super) fn token<'de, D: Deserializer<'de>>(from: D) -> Result<Token, D::Error> {
    filled(from).map(Token::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use serde_json::{Value, json};

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["claim".into()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn certificate_claim() -> Value {
        let (certificate, key) = pair();
        json!({
            "claimId": "clm_1", "kind": "certificate", "issuedAt": 1000, "expiresAt": 1300,
            "endpoint": {"host": "iot.example", "port": 8883}, "caPem": certificate,
            "templateName": "T", "parameters": {"SerialNumber": "FK-1"},
            "cleanup": "/v1/claims/clm_1/retire", "certificateId": "00",
            "certificatePem": certificate, "privateKeyPem": key, "new": "ignored"
        })
    }

    fn read(value: Value) -> Result<Claim, String> {
        let answer: ClaimAnswer = serde_json::from_value(value).map_err(|error| error.to_string())?;
        answer.claim(Moment::new(Duration::from_secs(70)), UnixTime(1010))
    }

    #[test]
    fn a_claims_life_counts_from_arrival_by_the_servers_clock() {
        let claim = read(certificate_claim()).unwrap();
        assert_eq!(claim.issued, Moment::new(Duration::from_secs(70 - 10)));
        assert_eq!(claim.expires, Moment::new(Duration::from_secs(70 + 290)));
        assert_eq!(claim.issued_at, UnixTime(1000));
        assert_eq!(claim.form(), ClaimForm::Certificate);
        assert_eq!(claim.scope.template, "T");
    }

    #[test]
    fn a_dead_claim_has_no_life_left_rather_than_a_negative_one() {
        let mut value = certificate_claim();
        value["expiresAt"] = json!(900);
        let claim = read(value).unwrap();
        assert_eq!(claim.expires, Moment::new(Duration::from_secs(70)));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let mut value = certificate_claim();
        value["privateKeyPem"] = json!(pair().1);
        assert_eq!(
            read(value),
            Err("the claim's private key does not belong to its certificate".into())
        );
    }

    #[test]
    fn each_broken_member_of_a_claim_is_refused() {
        let table: &[(&str, Value)] = &[
            ("claimId", json!("")),
            ("claimId", Value::Null),
            ("kind", json!("wish")),
            ("expiresAt", json!("soon")),
            ("endpoint", json!({"host": "", "port": 8883})),
            ("endpoint", json!({"host": "h", "port": 0})),
            ("endpoint", json!({"host": "h", "port": 70000})),
            ("caPem", json!("none")),
            ("certificatePem", json!("none")),
            ("privateKeyPem", json!("none")),
            ("privateKeyPem", json!("")),
            ("cleanup", json!("")),
            ("parameters", Value::Null),
        ];
        for (member, broken) in table {
            let mut value = certificate_claim();
            value[*member] = broken.clone();
            assert!(read(value).is_err(), "{member} = {broken}");
        }
    }

    fn of_kind(kind: &str, members: &Value) -> Value {
        let mut value = certificate_claim();
        value["kind"] = json!(kind);
        value["registrationId"] = json!("fk-1");
        value.as_object_mut().unwrap().remove("templateName");
        for (name, member) in members.as_object().unwrap() {
            value[name] = member.clone();
        }
        value
    }

    #[test]
    fn every_kind_of_claim_has_what_its_device_needs() {
        let (registration_id, id_scope) = (|| "fk-1".to_owned(), || "0ne".to_owned());
        let table = [
            (
                "public-key",
                json!({"idScope": "0ne"}),
                ClaimKind::PublicKey {
                    registration_id: registration_id(),
                    id_scope: Some(id_scope()),
                    tenant_token: None,
                },
            ),
            (
                "public-key",
                json!({"tenantToken": "eyJ"}),
                ClaimKind::PublicKey {
                    registration_id: registration_id(),
                    id_scope: None,
                    tenant_token: Some(TenantToken::new("eyJ")),
                },
            ),
            (
                "sas",
                json!({"idScope": "0ne", "token": "s"}),
                ClaimKind::Sas {
                    registration_id: registration_id(),
                    id_scope: id_scope(),
                    token: Token::new("s"),
                },
            ),
            (
                "symmetric-key",
                json!({"idScope": "0ne", "symmetricKey": "a2V5"}),
                ClaimKind::SymmetricKey {
                    registration_id: registration_id(),
                    id_scope: id_scope(),
                    key: Token::new("a2V5"),
                },
            ),
            (
                "tpm",
                json!({"idScope": "0ne"}),
                ClaimKind::Tpm {
                    registration_id: registration_id(),
                    id_scope: id_scope(),
                },
            ),
        ];
        for (name, members, kind) in table {
            let value = of_kind(name, &members);
            let claim = read(value.clone()).unwrap();
            assert_eq!(claim.kind, kind);
            assert_eq!(claim.scope.template, "");
            let needed = members.as_object().unwrap().keys().map(String::as_str);
            for member in needed.chain(["registrationId"]) {
                let mut empty = value.clone();
                empty[member] = json!("");
                assert!(read(empty).is_err(), "{name} with an empty {member}");
                let mut without = value.clone();
                without.as_object_mut().unwrap().remove(member);
                let may_lack = name == "public-key" && member != "registrationId";
                assert_eq!(read(without).is_ok(), may_lack, "{name} without {member}");
            }
        }
    }

    #[test]
    fn events_become_evidence_in_their_order_and_others_are_counted_only() {
        let answer: EnrolmentAnswer = serde_json::from_value(json!({
            "state": "used", "serverTime": 1, "events": [
                {"seq": 9, "kind": "offline", "at": 9, "thing": "t", "principal": "p"},
                {"seq": 5, "kind": "online", "at": 5, "thing": "t", "principal": "p"},
                {"seq": 4, "kind": "registered", "at": 4, "thing": "", "principal": "p"},
                {"seq": 6, "kind": "brand-new", "at": 6},
                {"seq": 2, "kind": "cloud-reached", "at": 2}
            ]
        }))
        .unwrap();
        let seen = answer.observation(2);
        assert_eq!(seen.next, 9);
        assert!(!seen.claim_over);
        let facts: Vec<Fact> = seen.evidence.into_iter().map(|evidence| evidence.fact).collect();
        assert_eq!(
            facts,
            [
                Fact::Registered {
                    thing: None,
                    principal: Some("p".into())
                },
                Fact::SeenOnline {
                    thing: Some("t".into()),
                    principal: Some("p".into())
                }
            ]
        );
    }

    #[test]
    fn no_news_keeps_the_place_and_a_dead_claim_is_said() {
        let read = |state: &str| {
            let value = json!({"state": state, "serverTime": 1, "events": []});
            serde_json::from_value::<EnrolmentAnswer>(value)
                .unwrap()
                .observation(7)
        };
        assert_eq!((read("issued").next, read("issued").claim_over), (7, false));
        assert!(read("expired").claim_over);
        assert!(read("retired").claim_over);
        assert!(!read("used").claim_over);
        assert!(!read("brand-new").claim_over);
    }

    #[test]
    fn a_snapshot_of_another_device_is_refused() {
        let answer: DeviceAnswer = serde_json::from_value(json!({
            "serial": "FK-2", "known": true, "owner": "self",
            "thing": {"name": "FK-2", "version": 3, "connected": false, "lastConnectedAt": 77,
                "principals": [{"id": "a", "status": "ACTIVE"}, {"id": "b", "status": "NEW_STATE"}]}
        }))
        .unwrap();
        assert!(answer.snapshot(&Serial::new("FK-1").unwrap()).is_err());
    }

    #[test]
    fn a_snapshot_keeps_when_the_thing_was_last_seen() {
        let answer: DeviceAnswer = serde_json::from_value(json!({
            "serial": "FK-2", "known": true, "owner": "self",
            "thing": {"name": "FK-2", "version": 3, "connected": false, "lastConnectedAt": 77,
                "principals": [{"id": "a", "status": "ACTIVE"}, {"id": "b", "status": "NEW_STATE"}]}
        }))
        .unwrap();
        let snapshot = answer.snapshot(&Serial::new("FK-2").unwrap()).unwrap();
        let thing = snapshot.thing.unwrap();
        assert_eq!(thing.connected_at, Some(UnixTime(77)));
        assert_eq!(thing.active().count(), 1);
    }
}
