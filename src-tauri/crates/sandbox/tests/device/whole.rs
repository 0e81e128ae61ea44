//! A whole sandbox: what it lays out, what it says of itself, how it ends.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use commission::dialect::Join;
use commission::label::Label;
use commission::network::Ssid;
use commission::secret::Token;
use engine::settings::Profile;
use sandbox::cloud::visitor::VisitError;
use sandbox::person::{Person, PersonError};
use sandbox::sandbox::{
    LABELS_JSON_FILE, SECRETS_FILE, STATUS_FILE, Sandbox, SandboxConfig, SandboxError, Secrets, Status,
};
use sandbox::scenario::Scenario;
use serde_json::Value;
use url::Url;

use crate::app::App;
use crate::common::{authorize_url, loopback};
use crate::enrolling::online;
use crate::phone::Phone;

async fn started(text: &str, dir: &Path) -> Sandbox {
    let scenario = Scenario::parse(text).unwrap();
    Sandbox::start(SandboxConfig {
        scenario,
        state_dir: dir.to_owned(),
        speed: 100.0,
    })
    .await
    .unwrap()
}

/// Brings the one device online.
async fn commission(sandbox: &Sandbox) {
    let device = sandbox.device("FK-0001").unwrap();
    let config = Scenario::parse(ONE).unwrap().cloud;
    let anna = App::signed_in(sandbox.cloud(), &config, "anna").await;
    let mut phone = Phone::open(device, 1).await;
    phone.send(&anna.claim("FK-0001", "new").await).await;
    phone.apply("plant", "goodpass").await;
    assert!(matches!(phone.joined().await, Ok(Join::Joined { .. })));
    online(device).await;
}

const ONE: &str = "[[network]]\nssid = \"plant\"\npassphrase = \"goodpass\"\n[[device]]\nsecurity = 1\n";

#[tokio::test]
async fn the_papers_are_what_the_product_reads() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = Scenario::built_in("demo").unwrap().unwrap();
    let config = SandboxConfig {
        scenario,
        state_dir: dir.path().to_owned(),
        speed: 100.0,
    };
    let sandbox = Sandbox::start(config).await.unwrap();
    let status = sandbox.status();

    let profile = Profile::parse(&std::fs::read_to_string(&status.profile).unwrap()).unwrap();
    assert_eq!(profile.sign_in.issuer, status.issuer_url);
    assert_eq!(profile.defaults.network, Some(Ssid::new("plant-iot").unwrap()));
    assert_eq!(profile.makers.len(), 1);

    let labels = std::fs::read_to_string(dir.path().join(LABELS_JSON_FILE)).unwrap();
    let labels: Vec<Value> = serde_json::from_str(&labels).unwrap();
    assert_eq!(labels.len(), 5);
    for (label, device) in labels.iter().zip(sandbox.devices()) {
        let read = Label::parse(label["label"].as_str().unwrap()).unwrap();
        assert_eq!(read.name.as_ref(), Some(&device.spec().name));
        assert_eq!(read.serial.as_ref(), Some(&device.spec().serial));
        assert_eq!(read.pop.as_ref(), device.spec().provisioning.security.pop());
    }
    assert_eq!(
        std::fs::read_to_string(&status.labels).unwrap().lines().count(),
        6
    );

    let secrets = Secrets::read(dir.path()).unwrap().unwrap();
    assert_eq!(
        secrets.passphrase("plant-iot"),
        Some(Token::new("green-valve-42"))
    );
    for file in [STATUS_FILE, SECRETS_FILE] {
        let mode = std::fs::metadata(dir.path().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert!(
        !std::fs::read_to_string(dir.path().join(STATUS_FILE))
            .unwrap()
            .contains("blue-kettle")
    );
    sandbox.shutdown().await;
}

#[tokio::test]
async fn its_status_says_what_is_missing_until_nothing_is() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = started(ONE, dir.path()).await;
    assert_eq!(sandbox.status().shortcomings(), ["FK-0001 is not registered"]);

    commission(&sandbox).await;
    assert_eq!(sandbox.status().shortcomings(), Vec::<String>::new());

    // The file follows by itself.
    tokio::time::timeout(crate::phone::PATIENCE, async {
        while !Status::read(dir.path())
            .unwrap()
            .unwrap()
            .shortcomings()
            .is_empty()
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the status file is not brought up to date");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn after_a_restart_everything_enrolled_comes_online_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = started(ONE, dir.path()).await;
    commission(&sandbox).await;
    let before = sandbox.status();
    sandbox.shutdown().await;

    let sandbox = started(ONE, dir.path()).await;
    let principal = online(sandbox.device("FK-0001").unwrap()).await;
    let after = sandbox.status();
    assert_eq!(after.shortcomings(), Vec::<String>::new());
    assert_eq!(after.things[0].active, [principal]);
    assert_eq!(
        (after.broker_url, after.ca_pem),
        (before.broker_url, before.ca_pem)
    );
    sandbox.shutdown().await;
}

#[tokio::test]
async fn another_scenario_on_the_same_directory_starts_afresh() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = started(ONE, dir.path()).await;
    commission(&sandbox).await;
    sandbox.shutdown().await;
    let sandbox = started(&format!("name = \"other\"\n{ONE}"), dir.path()).await;
    assert!(sandbox.devices()[0].state().provisioning);
    assert_eq!(sandbox.status().things, []);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_leaves_no_process_no_port_and_no_status() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = started(ONE, dir.path()).await;
    let status = sandbox.status();
    sandbox.shutdown().await;
    assert!(Status::read(dir.path()).unwrap().is_none());
    let address = Url::parse(&status.broker_url)
        .unwrap()
        .socket_addrs(|| None)
        .unwrap();
    assert!(tokio::net::TcpStream::connect(&address[..]).await.is_err());
    let socket = status
        .bus_address
        .split("path=")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .unwrap();
    assert!(
        tokio::net::UnixStream::connect(socket).await.is_err(),
        "the bus still answers"
    );
    started(ONE, dir.path()).await.shutdown().await;
}

#[tokio::test]
async fn a_sandbox_that_is_dropped_switches_its_devices_off() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = started(ONE, dir.path()).await;
    let device = sandbox.device("FK-0001").unwrap().clone();
    assert!(device.state().powered);
    drop(sandbox);
    assert!(!device.state().powered);
    started(ONE, dir.path()).await.shutdown().await;
}

#[tokio::test]
async fn a_second_sandbox_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    // Any process that lives and is not this one will do.
    let mut other = tokio::process::Command::new("sleep")
        .arg("60")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let sandbox = started(ONE, dir.path()).await;
    let mut status = sandbox.status();
    sandbox.shutdown().await;
    status.pid = other.id().unwrap();
    std::fs::write(
        dir.path().join(STATUS_FILE),
        serde_json::to_string(&status).unwrap(),
    )
    .unwrap();
    let scenario = Scenario::parse(ONE).unwrap();
    let config = SandboxConfig {
        scenario,
        state_dir: dir.path().to_owned(),
        speed: 1.0,
    };
    let Err(SandboxError::Busy { pid, .. }) = Sandbox::start(config).await else {
        panic!("it started")
    };
    assert_eq!(Some(pid), other.id());
    other.kill().await.unwrap();
    started(ONE, dir.path()).await.shutdown().await;
}

#[tokio::test]
async fn a_person_signs_in_or_declines_and_hears_of_a_wrong_password() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = started(ONE, dir.path()).await;
    let person = Person::new(&sandbox.cloud().ca_pem).unwrap();
    let secrets = Secrets::read(dir.path()).unwrap().unwrap();
    let redirect = loopback().await;
    let page = authorize_url(sandbox.cloud(), &redirect).await;
    let password = secrets.password("anna").unwrap();
    person.sign_in_as(&page, "anna", &password).await.unwrap();
    person.deny(&page).await.unwrap();
    let wrong = person.sign_in_as(&page, "anna", &Token::new("wrong")).await;
    assert!(
        matches!(wrong, Err(PersonError::Page(VisitError::Refused { .. }))),
        "{wrong:?}"
    );
    sandbox.shutdown().await;
}
