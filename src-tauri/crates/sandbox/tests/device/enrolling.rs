//! Claims pushed over the link, exchanged at the simulated cloud over MQTT with TLS, and what is left afterwards.

use std::time::Duration;

use commission::claim::{Claim, ClaimId, ClaimKind, CleanupHandle, Endpoint, Scope};
use commission::dialect::{Command, Enrol, Join, Report};
use commission::secret::PrivateKeyPem;
use commission::time::{Moment, UnixTime};
use sandbox::cloud::registry::{CertificateStatus, Orphan};
use sandbox::cloud::{Cloud, CloudConfig, CloudFaults, HangUp};
use sandbox::device::firmware::Firmware;
use serde_json::Value;

use crate::app::{App, site_with};
use crate::bench::Bench;
use crate::phone::{PATIENCE, Phone, advertises};

/// A bench and a cloud that knows its devices.
struct Site {
    bench: Bench,
    cloud: Cloud,
    anna: App,
}

impl Site {
    async fn new(text: &str) -> Self {
        Self::with(text, CloudConfig::default()).await
    }

    async fn with(text: &str, config: CloudConfig) -> Self {
        let bench = Bench::new(text);
        let devices = bench.devices.iter().filter_map(|device| {
            let mut import = device.spec().import.clone()?;
            import.identity_key_sha256 = device.fingerprint().map(String::from);
            Some(import)
        });
        let config = CloudConfig {
            devices: devices.collect(),
            ..config
        };
        let (cloud, _, anna) = site_with(config).await;
        Self { bench, cloud, anna }
    }

    fn device(&self) -> &Firmware {
        &self.bench.devices[0]
    }

    /// Opens a session, sends a claim, joins, and gives the link.
    async fn commission(&self, device: &Firmware, link: u64, purpose: &str) -> Phone {
        let mut phone = Phone::open(device, link).await;
        let claim = self.anna.claim(device.spec().serial.as_str(), purpose).await;
        phone.send(&claim).await;
        phone.apply("plant", "goodpass").await;
        assert!(matches!(phone.joined().await, Ok(Join::Joined { .. })));
        phone
    }

    fn active(&self, thing: &str) -> Vec<String> {
        let registry = self.cloud.registry().inspect();
        let found = registry.things.into_iter().find(|found| found.name == thing);
        found.map(|found| found.active).unwrap_or_default()
    }

    fn orphans(&self) -> Vec<Orphan> {
        self.cloud.registry().inspect().orphans
    }
}

impl Phone {
    pub(crate) async fn send(&mut self, claim: &Value) {
        let claim = read_claim(claim);
        let now = claim.issued_at;
        assert_eq!(
            self.run(Command::SendClaim { claim, now }).await,
            Report::ClaimCommitted
        );
    }
}

/// The broker's answer as the product's own type.
pub(crate) fn read_claim(claim: &Value) -> Claim {
    let text = |name: &str| claim[name].as_str().unwrap().to_owned();
    let time = |name: &str| UnixTime(claim[name].as_i64().unwrap());
    let life = u64::try_from(time("expiresAt").0 - time("issuedAt").0).unwrap();
    Claim {
        id: ClaimId(text("claimId")),
        kind: ClaimKind::Certificate {
            chain_pem: text("certificatePem"),
            key: PrivateKeyPem::new(text("privateKeyPem")),
        },
        endpoint: Endpoint {
            host: claim["endpoint"]["host"].as_str().unwrap().into(),
            port: u16::try_from(claim["endpoint"]["port"].as_u64().unwrap()).unwrap(),
        },
        ca_pem: text("caPem"),
        scope: Scope {
            template: text("templateName"),
            parameters: serde_json::from_value(claim["parameters"].clone()).unwrap(),
        },
        issued: Moment::default(),
        expires: Moment::default() + Duration::from_secs(life),
        issued_at: time("issuedAt"),
        cleanup: CleanupHandle(text("cleanup")),
    }
}

pub(crate) async fn until(device: &Firmware, what: impl FnMut(&Enrol) -> bool) -> Enrol {
    let mut enrolment = device.enrolment();
    let reached = tokio::time::timeout(PATIENCE, enrolment.wait_for(what)).await;
    match reached {
        Ok(reached) => reached.unwrap().clone(),
        Err(_) => panic!("it stays {:?}", device.enrolment().borrow()),
    }
}

pub(crate) async fn online(device: &Firmware) -> String {
    match until(device, |now| matches!(now, Enrol::Online { .. })).await {
        Enrol::Online { thing, principal } => {
            assert_eq!(thing.as_deref(), Some(device.spec().serial.as_str()));
            principal
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn devices_enrol_in_every_version_format_and_way_to_make_a_key() {
    let mut text = String::new();
    for version in ["3.1.1", "5"] {
        for payload in ["json", "cbor"] {
            for key in ["csr", "keys"] {
                text += &format!(
                    "[[device]]\nmqtt = \"{version}\"\npayload = \"{payload}\"\nkey = \"{key}\"\nsecurity = 1\n"
                );
            }
        }
    }
    let site = Site::new(&text).await;
    for device in &site.bench.devices {
        site.commission(device, 1, "new").await;
    }
    for device in &site.bench.devices {
        let principal = online(device).await;
        assert_eq!(site.active(device.spec().serial.as_str()), [principal]);
    }
    assert_eq!(site.orphans(), []);
    let registry = site.cloud.registry().inspect();
    assert!(registry.claims.iter().all(|claim| {
        let certificates = registry.things.iter().flat_map(|thing| &thing.certificates);
        certificates
            .into_iter()
            .all(|(id, _)| *id != claim.certificate_id)
    }));
}

#[tokio::test]
async fn enrolment_is_told_over_a_link_that_is_kept_and_the_device_is_then_silent() {
    let site = Site::new("[[device]]\nkeep_link = true\n").await;
    let mut phone = site.commission(site.device(), 1, "new").await;
    let principal = online(site.device()).await;
    let report = phone.run(Command::EnrolStatus).await;
    let thing = Some("FK-0001".to_owned());
    assert_eq!(report, Report::Enrol(Enrol::Online { thing, principal }));
    phone.disconnect();
    advertises(site.device(), false).await;
}

#[tokio::test]
async fn an_identity_survives_a_restart_and_comes_online_by_itself() {
    let mut site = Site::new("[[device]]\nkey = \"keys\"\n").await;
    site.commission(site.device(), 1, "new").await;
    let before = online(site.device()).await;
    site.bench.restart();
    assert_eq!(site.device().state().principal.as_ref(), Some(&before));
    assert_eq!(online(site.device()).await, before);
    assert!(!site.device().state().provisioning);
}

#[tokio::test]
async fn a_factory_reset_forgets_everything_but_the_key_from_the_factory() {
    let site = Site::new("[[device]]\n").await;
    let device = site.device();
    let key = device.fingerprint();
    site.commission(device, 1, "new").await;
    online(device).await;
    device.factory_reset().unwrap();
    advertises(device, true).await;
    assert_eq!((device.state().principal, device.fingerprint()), (None, key));
}

#[tokio::test]
async fn a_service_visit_gives_a_new_identity_while_the_old_one_still_works() {
    let site = Site::new("[[device]]\nkeep_link = true\n").await;
    let device = site.device();
    let mut first_link = site.commission(device, 1, "new").await;
    let old = online(device).await;
    first_link.disconnect();
    advertises(device, false).await;

    device.press_button();
    let mut phone = Phone::open(device, 2).await;
    assert_eq!(
        device.state().principal,
        Some(old.clone()),
        "the old identity is gone too early"
    );
    let claim = site.anna.claim("FK-0001", "service").await;
    phone.send(&claim).await;
    phone.apply("plant", "goodpass").await;
    let renewed = |now: &Enrol| matches!(now, Enrol::Online { principal, .. } if *principal != old);
    let Enrol::Online { principal: new, .. } = until(device, renewed).await else {
        panic!("another state")
    };
    assert_eq!(device.state().principal, Some(new.clone()));
    let active = site.active("FK-0001");
    assert!(active.contains(&new), "{active:?}");
}

#[tokio::test]
async fn a_refusal_by_the_hook_is_told_with_the_clouds_own_code_and_a_new_claim_puts_it_right() {
    let faults = CloudFaults {
        hook_refuses: ["FK-0001".to_owned()].into(),
        ..CloudFaults::default()
    };
    let site = Site::with(
        "[[device]]\nkeep_link = true\n",
        CloudConfig {
            faults,
            ..CloudConfig::default()
        },
    )
    .await;
    let mut phone = site.commission(site.device(), 1, "new").await;
    let refused = until(site.device(), |now| matches!(now, Enrol::Refused { .. })).await;
    assert!(
        matches!(&refused, Enrol::Refused { code, .. } if code == "AccessDenied"),
        "{refused:?}"
    );
    let Report::Enrol(Enrol::Refused { code, .. }) = phone.run(Command::EnrolStatus).await else {
        panic!()
    };
    assert_eq!(code, "AccessDenied");

    site.cloud.faults().change(|faults| faults.hook_refuses.clear());
    let claim = site.anna.claim("FK-0001", "new").await;
    phone.send(&claim).await;
    let principal = online(site.device()).await;
    assert_eq!(site.active("FK-0001"), [principal]);
}

#[tokio::test]
async fn a_claim_that_is_dead_at_the_cloud_is_refused_and_leaves_nothing_behind() {
    for version in ["3.1.1", "5"] {
        let faults = CloudFaults {
            expire_first: 1,
            ..CloudFaults::default()
        };
        let text = format!("[[device]]\nmqtt = \"{version}\"\n");
        let site = Site::with(
            &text,
            CloudConfig {
                faults,
                ..CloudConfig::default()
            },
        )
        .await;
        site.commission(site.device(), 1, "new").await;
        until(site.device(), |now| {
            matches!(now, Enrol::Refused { .. } | Enrol::ClaimExpired)
        })
        .await;
        assert_eq!((site.active("FK-0001"), site.orphans()), (vec![], vec![]));
        assert_eq!(site.device().state().principal, None);
    }
}

#[tokio::test]
async fn a_claim_that_dies_with_the_device_is_told_as_expired() {
    let config = CloudConfig {
        claim_life: Duration::from_secs(3),
        ..CloudConfig::default()
    };
    let site = Site::with(
        "[[network]]\nssid = \"island\"\npassphrase = \"goodpass\"\n[[device]]\n",
        config,
    )
    .await;
    // Nothing listens where the claim sends the device, so only the claim's own life ends the trying.
    let mut phone = Phone::open(site.device(), 1).await;
    let mut claim = site.anna.claim("FK-0001", "new").await;
    claim["endpoint"]["port"] = 1.into();
    phone.send(&claim).await;
    phone.apply("plant", "goodpass").await;
    until(site.device(), |now| matches!(now, Enrol::Unreachable { .. })).await;
    until(site.device(), |now| *now == Enrol::ClaimExpired).await;
}

#[tokio::test]
async fn an_endpoint_that_the_given_authority_does_not_vouch_for_is_not_trusted() {
    let site = Site::new("[[device]]\n").await;
    let mut phone = Phone::open(site.device(), 1).await;
    let mut claim = site.anna.claim("FK-0001", "new").await;
    claim["caPem"] = site.bench.maker().root_pem().into();
    phone.send(&claim).await;
    phone.apply("plant", "goodpass").await;
    let told = until(site.device(), |now| matches!(now, Enrol::Unreachable { .. })).await;
    assert!(
        matches!(&told, Enrol::Unreachable { reason } if reason.contains("not the one")),
        "{told:?}"
    );
    assert_eq!(site.active("FK-0001"), Vec::<String>::new());
}

#[tokio::test]
async fn a_cloud_that_hangs_up_is_tried_again_wherever_it_happens() {
    for place in [
        HangUp::ClaimConnect,
        HangUp::Create,
        HangUp::RegisterBefore,
        HangUp::RegisterAfter,
    ] {
        let faults = CloudFaults {
            mqtt_hang_up: Some(place),
            mqtt_hang_ups_left: 1,
            ..CloudFaults::default()
        };
        let site = Site::with(
            "[[device]]\n",
            CloudConfig {
                faults,
                ..CloudConfig::default()
            },
        )
        .await;
        site.commission(site.device(), 1, "new").await;
        let principal = online(site.device()).await;
        assert_eq!(site.active("FK-0001"), [principal], "{place:?}");
        let registry = site.cloud.registry().inspect();
        let thing = registry.things.first().unwrap();
        assert!(
            thing
                .certificates
                .iter()
                .all(|(_, status)| *status == CertificateStatus::Active)
        );
    }
}

#[tokio::test]
async fn a_registered_device_that_gets_no_connection_says_so() {
    let faults = CloudFaults {
        never_online: true,
        ..CloudFaults::default()
    };
    let site = Site::with(
        "[[device]]\n",
        CloudConfig {
            faults,
            ..CloudConfig::default()
        },
    )
    .await;
    site.commission(site.device(), 1, "new").await;
    until(site.device(), |now| matches!(now, Enrol::Registered { .. })).await;
    site.cloud.faults().change(|faults| faults.never_online = false);
    online(site.device()).await;
}

#[tokio::test]
async fn a_network_without_a_way_to_the_cloud_joins_but_does_not_enrol() {
    let site = Site::new(
        "[[network]]\nssid = \"island\"\npassphrase = \"goodpass\"\nno_internet = true\n[[device]]\nkeep_link = true\n",
    )
    .await;
    let mut phone = Phone::open(site.device(), 1).await;
    let claim = site.anna.claim("FK-0001", "new").await;
    phone.send(&claim).await;
    phone.apply("island", "goodpass").await;
    assert!(matches!(phone.joined().await, Ok(Join::Joined { .. })));
    until(site.device(), |now| matches!(now, Enrol::Unreachable { .. })).await;
}
