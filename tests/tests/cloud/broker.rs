//! The broker's client against the sandbox's broker, over HTTPS, with devices that enrol over MQTT.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use commission::claim::{Claim, ClaimForm, ClaimKind, ClaimRequest, CleanupHandle, Purpose};
use commission::device::Serial;
use commission::dialect::Enrol;
use commission::evidence::{Fact, Observation, Owner, PrincipalStatus};
use commission::fault::CloudError;
use engine::cloud::{Broker, Http};
use engine::doctor::{Doctor, Health, Organisation, Part};
use engine::ports::{Clock, Cloud, JournalError};
use engine::signin::SignInError;
use sandbox::cloud::{CloudConfig, MakerDevice};
use sandbox::device::enrol::{Format, Habits, KeyMaker, Order, enrol, stay_online};
use sandbox::device::mqtt::{Material, Version};
use sandbox::device::pace::Pace;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;
use uuid::Uuid;

use crate::common::{NoBluetooth, Office};

/// An office whose maker made these devices, with a person signed in.
async fn office(user: &'static str, change: impl FnOnce(&mut CloudConfig)) -> (Office, Broker) {
    let mut config = CloudConfig {
        devices: ["FK-1", "FK-2"].map(MakerDevice::new).to_vec(),
        ..CloudConfig::default()
    };
    change(&mut config);
    let office = Office::open(config).await;
    office.sign_in(user).await.unwrap();
    let broker = broker(&office);
    (office, broker)
}

fn broker(office: &Office) -> Broker {
    let http = Http::new(std::slice::from_ref(&office.cloud.ca_pem), office.laptop.clone()).unwrap();
    let base = Url::parse(&office.cloud.broker_url).unwrap();
    let tokens = Arc::new(office.signin.of_one());
    Broker::new(&base, Arc::new(http), tokens, office.laptop.clone()).unwrap()
}

fn serial(text: &str) -> Serial {
    Serial::new(text).unwrap()
}

fn order(text: &str) -> ClaimRequest {
    ClaimRequest {
        serial: serial(text),
        key_sha256: None,
        keys: None,
        idempotency: Uuid::from_u128(1),
        accepts: vec![ClaimForm::PublicKey, ClaimForm::Certificate],
        purpose: Purpose::New,
        parameters: BTreeMap::new(),
    }
}

fn code(error: CloudError) -> String {
    match error {
        CloudError::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

/// A device that has this claim and its Wi-Fi; it lives until its task is ended.
fn device(claim: &Claim, name: &str) -> JoinHandle<()> {
    let ClaimKind::Certificate { chain_pem, key } = &claim.kind else {
        panic!("{:?}", claim.form())
    };
    let authorities = Material::from_pem(Vec::new(), &claim.ca_pem, key.reveal())
        .unwrap()
        .chain;
    let order = Order {
        material: Material::from_pem(authorities, chain_pem, key.reveal()).unwrap(),
        endpoint: claim.endpoint.clone(),
        template: claim.scope.template.clone(),
        parameters: claim.scope.parameters.clone(),
        life: None,
        received: tokio::time::Instant::now(),
    };
    let habits = Habits {
        serial: serial(name),
        version: Version::V5,
        format: Format::Json,
        key: KeyMaker::Csr,
        keep_alive: Duration::from_secs(60),
        telemetry: Duration::from_secs(60),
        oversteps: false,
        stays_on_claim: None,
    };
    tokio::spawn(async move {
        let progress = watch::Sender::new(Enrol::Connecting);
        if let Some(permanent) = enrol(&order, &habits, Pace::new(10.0), &progress, &mut None).await {
            stay_online(&permanent, &habits, Pace::new(10.0), &progress).await;
        }
    })
}

/// Watches until the device was seen online, as the flow does.
async fn watch_until_online(broker: &Broker, claim: &Claim) -> (Vec<Fact>, Observation) {
    let (mut facts, mut after) = (Vec::new(), 0);
    loop {
        let seen = broker.observe(&claim.id, after).await.unwrap();
        after = seen.next;
        facts.extend(seen.evidence.iter().map(|evidence| evidence.fact.clone()));
        let online = |fact: &Fact| matches!(fact, Fact::SeenOnline { .. });
        if facts.iter().any(online) {
            return (facts, seen);
        }
    }
}

#[tokio::test]
async fn preflight_says_who_we_are_and_what_we_may() {
    let (office, broker) = office("anna", |_| {}).await;
    office.laptop.set_calendar_ahead(-7200);
    let preflight = broker.preflight().await.unwrap();
    assert_eq!(preflight.person.name, "Anna Installer");
    assert_eq!(preflight.rights, ["claim", "observe", "release", "retire"]);
    assert!(preflight.template.enabled);
    assert_eq!(preflight.claim_life, Duration::from_secs(300));
    assert!(
        (preflight.clock_ahead.unwrap() + 7200).abs() <= 2,
        "{:?}",
        preflight.clock_ahead
    );
}

#[tokio::test]
async fn snapshots_tell_strangers_owners_and_keys_apart() {
    let (_office, broker) = office("anna", |config| {
        let mut known = MakerDevice::new("FK-7");
        known.identity_key_sha256 = Some("ab".repeat(32));
        known.min_firmware = Some("1.2.0".into());
        known.owner = sandbox::cloud::Owner::Other;
        config.devices.push(known);
    })
    .await;
    let stranger = broker.snapshot(&serial("FK-9"), &BTreeMap::new()).await.unwrap();
    assert_eq!(stranger.known, Some(false));
    let fresh = broker.snapshot(&serial("FK-1"), &BTreeMap::new()).await.unwrap();
    assert_eq!(
        (fresh.known, fresh.owner, fresh.thing),
        (Some(true), Owner::None, None)
    );
    let other = broker.snapshot(&serial("FK-7"), &BTreeMap::new()).await.unwrap();
    assert_eq!(other.owner, Owner::Other);
    assert_eq!(other.identity_key_sha256.unwrap().0, [0xab; 32]);
    assert_eq!(other.min_firmware.unwrap().0, "1.2.0");
}

#[tokio::test]
async fn a_claim_lives_by_the_clouds_clock_however_wrong_both_calendars_are() {
    for (cloud, laptop) in [(0, 0), (86_400, 0), (0, 90_000_000), (-90_000_000, 86_400)] {
        let (office, broker) = office("anna", |config| config.faults.clock_skew_s = cloud).await;
        office.laptop.set_calendar_ahead(laptop);
        let claim = broker.issue(&order("FK-1")).await.unwrap();
        let life = claim.expires.since(claim.issued);
        assert!(
            (Duration::from_secs(298)..=Duration::from_secs(301)).contains(&life),
            "{cloud} {laptop}: {life:?}"
        );
        assert!(office.laptop.now().since(claim.issued) < Duration::from_secs(10));
        assert!(claim.may_be_sent(office.laptop.now()));
        office.laptop.skip(Duration::from_secs(240));
        assert!(!claim.may_be_sent(office.laptop.now()));
    }
}

#[tokio::test]
async fn asking_again_under_the_same_key_gives_the_same_claim() {
    let (_office, broker) = office("anna", |_| {}).await;
    let first = broker.issue(&order("FK-1")).await.unwrap();
    let again = broker.issue(&order("FK-1")).await.unwrap();
    assert_eq!((&again.id, &again.kind), (&first.id, &first.kind));
    assert_eq!(
        code(broker.issue(&order("FK-2")).await.unwrap_err()),
        "idempotency-mismatch"
    );
}

#[tokio::test]
async fn a_device_is_watched_from_claim_to_release() {
    let (_office, broker) = office("anna", |_| {}).await;
    let claim = broker.issue(&order("FK-1")).await.unwrap();
    let early = broker.release("FK-1", &claim.id).await.unwrap_err();
    assert_eq!(code(early), "thing-not-found");

    let device = device(&claim, "FK-1");
    let (facts, seen) = watch_until_online(&broker, &claim).await;
    let kinds: Vec<&str> = facts
        .iter()
        .map(|fact| match fact {
            Fact::CloudReached => "reached",
            Fact::IdentityIssued { .. } => "issued",
            Fact::Registered { .. } => "registered",
            Fact::SeenOnline { .. } => "online",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["reached", "issued", "registered", "online"]);
    assert!(!seen.claim_over);
    let thing = seen.thing.unwrap();
    let active: Vec<_> = thing.active().collect();
    assert_eq!(active.len(), 1);
    assert_eq!(thing.connected_principal.as_deref(), Some(active[0].id.as_str()));

    assert_eq!(broker.release("FK-1", &claim.id).await, Ok(()));
    assert_eq!(broker.release("FK-1", &claim.id).await, Ok(()));
    let after = broker.snapshot(&serial("FK-1"), &BTreeMap::new()).await.unwrap();
    assert_eq!(after.owner, Owner::Us);
    device.abort();
}

#[tokio::test]
async fn a_service_visit_switches_the_old_credential_off_after_the_new_one_is_online() {
    let (_office, broker) = office("anna", |_| {}).await;
    let first = broker.issue(&order("FK-1")).await.unwrap();
    let before = device(&first, "FK-1");
    watch_until_online(&broker, &first).await;
    broker.release("FK-1", &first.id).await.unwrap();
    let again = broker
        .issue(&ClaimRequest {
            idempotency: Uuid::from_u128(2),
            ..order("FK-1")
        })
        .await;
    assert_eq!(code(again.unwrap_err()), "already-enrolled");
    let old = broker
        .snapshot(&serial("FK-1"), &BTreeMap::new())
        .await
        .unwrap()
        .thing
        .unwrap();
    let old = old.active().next().unwrap().id.clone();
    before.abort();

    let visit = ClaimRequest {
        idempotency: Uuid::from_u128(3),
        purpose: Purpose::Service,
        ..order("FK-1")
    };
    let second = broker.issue(&visit).await.unwrap();
    let after = device(&second, "FK-1");
    watch_until_online(&broker, &second).await;
    let left = broker.deactivate("FK-1", &old).await.unwrap();
    assert_eq!(left.active().count(), 1);
    let off = left.principals.iter().find(|principal| principal.id == old);
    assert!(off.is_none_or(|off| off.status != PrincipalStatus::Active));
    assert_eq!(broker.release("FK-1", &second.id).await, Ok(()));
    after.abort();
}

#[tokio::test]
async fn a_retired_claim_is_over_and_retiring_again_is_no_error() {
    let (_office, broker) = office("anna", |_| {}).await;
    let claim = broker.issue(&order("FK-1")).await.unwrap();
    assert_eq!(broker.retire(&claim.cleanup).await, Ok(()));
    assert_eq!(broker.retire(&claim.cleanup).await, Ok(()));
    assert!(broker.observe(&claim.id, 0).await.unwrap().claim_over);
    let unknown = CleanupHandle("/v1/claims/never-was/retire".into());
    assert_eq!(broker.retire(&unknown).await, Ok(()));
}

#[tokio::test]
async fn a_long_poll_answers_as_soon_as_there_is_news() {
    let (_office, broker) = office("anna", |config| config.faults.claim_life_ms = Some(3000)).await;
    let claim = broker.issue(&order("FK-1")).await.unwrap();
    let begun = Instant::now();
    let seen = broker.observe(&claim.id, 0).await.unwrap();
    assert!(seen.claim_over);
    // Without news it would have been held for twenty seconds; an answer at once would be no long poll.
    let held = begun.elapsed();
    assert!((1..10).contains(&held.as_secs()), "{held:?}");
    let again = Instant::now();
    assert!(broker.observe(&claim.id, seen.next).await.unwrap().claim_over);
    assert!(again.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn refusals_keep_the_clouds_code() {
    let (office, broker) = office("anna", |config| {
        let mut theirs = MakerDevice::new("FK-3");
        theirs.owner = sandbox::cloud::Owner::Other;
        let mut keyed = MakerDevice::new("FK-4");
        keyed.identity_key_sha256 = Some("ab".repeat(32));
        config.devices.extend([theirs, keyed]);
    })
    .await;
    let refused = async |request: ClaimRequest| code(broker.issue(&request).await.unwrap_err());
    assert_eq!(refused(order("FK-9")).await, "unknown-device");
    assert_eq!(refused(order("FK-3")).await, "owned-by-other");
    let clone = ClaimRequest {
        key_sha256: Some(commission::device::Fingerprint([1; 32])),
        ..order("FK-4")
    };
    assert_eq!(refused(clone).await, "clone-suspected");
    let transfer = ClaimRequest {
        purpose: Purpose::Transfer,
        ..order("FK-1")
    };
    assert_eq!(refused(transfer).await, "role-lacks-right");
    let picky = ClaimRequest {
        accepts: vec![ClaimForm::Tpm],
        ..order("FK-1")
    };
    assert_eq!(refused(picky).await, "kind-not-offered");
    office
        .cloud
        .faults()
        .change(|faults| faults.template_disabled = true);
    assert_eq!(refused(order("FK-1")).await, "template-disabled");
}

#[tokio::test]
async fn throttling_and_outages_pass_by_themselves() {
    let (office, broker) = office("anna", |config| config.faults.throttle_first = 1).await;
    assert_eq!(
        broker.issue(&order("FK-1")).await,
        Err(CloudError::Throttled { retry_after: Some(1) })
    );
    office.cloud.faults().change(|faults| faults.broker_down = true);
    let down = broker.issue(&order("FK-1")).await.unwrap_err();
    assert!(down.is_passing(), "{down:?}");
    office.cloud.faults().change(|faults| faults.broker_down = false);
    assert!(broker.issue(&order("FK-1")).await.is_ok());
    office.cloud.shutdown().await;
    let gone = broker.preflight().await.unwrap_err();
    assert!(matches!(gone, CloudError::Unreachable(_)), "{gone:?}");
}

#[tokio::test]
async fn a_token_that_the_cloud_finds_expired_is_renewed_in_passing() {
    // The laptop thinks that there is time left: its clock has not moved, the cloud's has.
    let (office, broker) = office("anna", |_| {}).await;
    let access = office.signin.access_token().await.unwrap();
    office.cloud.faults().change(|faults| faults.clock_skew_s = 3600);
    assert!(broker.preflight().await.is_ok());
    assert_ne!(office.signin.access_token().await.unwrap(), access);
}

#[tokio::test]
async fn who_signed_out_gets_nothing() {
    let (office, broker) = office("anna", |_| {}).await;
    office.signin.sign_out().await.unwrap();
    assert_eq!(office.signin.access_token().await, Err(SignInError::SignedOut));
    assert_eq!(broker.preflight().await, Err(CloudError::SignedOut));
}

#[tokio::test]
async fn the_doctor_finds_a_template_that_is_off() {
    let (office, broker) = office("anna", |config| config.faults.template_disabled = true).await;
    let doctor = Doctor {
        radio: &NoBluetooth,
        vault: &*office.keyring,
        journal: Err(JournalError::Storage("no folder".into())),
        in_work: Vec::new(),
        organisation: Some(Organisation {
            name: "sandbox",
            signin: &office.signin,
            cloud: &broker,
        }),
        clock: &*office.laptop,
    };
    let findings = doctor.look().await;
    let bad: Vec<Part> = findings
        .iter()
        .filter(|finding| finding.state == Health::Bad)
        .map(|finding| finding.what)
        .collect();
    assert_eq!(
        bad,
        [Part::Bluetooth, Part::Journal, Part::Template],
        "{findings:#?}"
    );
}
