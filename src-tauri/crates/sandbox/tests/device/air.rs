//! Devices over the simulated air: MTU, long values, and links that break wherever they can.

use std::path::Path;
use std::sync::Arc;

use commission::claim::Claim;
use commission::dialect::{Command, Report};
use commission::fault::Fault;
use commission::network::{Network, Ssid};
use commission::secret::Passphrase;
use engine::ports::{Link, Radio};
use engine::system::SystemClock;
use sandbox::device::firmware::Firmware;
use sandbox::device::wifi::Joining;
use sandbox::radio::faults::{Cut, DeviceFaults, When};
use sandbox::radio::in_process::InProcess;
use sandbox::sandbox::{Sandbox, SandboxConfig};
use sandbox::scenario::Scenario;

use crate::app::App;
use crate::bench::NETWORK;
use crate::enrolling::{online, read_claim};
use crate::phone::{PATIENCE, Phone};

/// An adapter that costs no time, so that what is measured is whether it works.
const QUICK: &str = "[[radio.adapters]]\nlinks = 8\n[radio.adapters.latency]\nconnect_ms = 0\nresolve_ms = 0\n\
    round_trip_ms = 0\ndisconnect_ms = 0\nsupervision_ms = 50\n";

async fn started(devices: &str, dir: &Path) -> (Sandbox, InProcess, App) {
    let scenario = Scenario::parse(&format!("{NETWORK}{devices}\n{QUICK}")).unwrap();
    let cloud = scenario.cloud.clone();
    let config = SandboxConfig {
        scenario,
        state_dir: dir.to_owned(),
        speed: 100.0,
    };
    let mut sandbox = Sandbox::start(config).await.unwrap();
    let air = Arc::clone(sandbox.radio().air());
    let radio = InProcess::new(air, "hci0", Arc::new(SystemClock::start()));
    let anna = App::signed_in(sandbox.cloud(), &cloud, "anna").await;
    (sandbox, radio, anna)
}

async fn connect(radio: &InProcess, name: &str) -> Box<dyn Link> {
    let found = async {
        let mut sightings = radio.scan().await.unwrap();
        loop {
            let sighting = sightings.recv().await.unwrap();
            if sighting.name.as_deref() == Some(name) {
                return radio.connect(&sighting.peripheral, PATIENCE).await.unwrap();
            }
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .expect("the device is not found")
}

/// All that one link is for. `Err` where it broke; what was done before stays done.
async fn commission(device: &Firmware, link: Box<dyn Link>, claim: &Claim) -> Result<(), Fault> {
    let mut phone = Phone::over(link);
    phone.enter(device.spec()).await?;
    let network = Network::new(
        Ssid::new("plant").unwrap(),
        Some(Passphrase::new("goodpass")),
        false,
    );
    let now = claim.issued_at;
    for command in [
        Command::Identify { challenge: [1; 32] },
        Command::SendClaim {
            claim: claim.clone(),
            now,
        },
        Command::SetNetwork(network.unwrap()),
        Command::Apply,
    ] {
        if let Report::Failed(fault) = phone.run(command).await {
            return Err(fault);
        }
    }
    Ok(())
}

#[tokio::test]
async fn devices_of_every_stack_mtu_and_scheme_enrol_over_the_air() {
    let dir = tempfile::tempdir().unwrap();
    let (sandbox, radio, anna) = started(
        "[[device]]\nmtu = 23\n[[device]]\nmtu = 185\nidentity = \"p256-chain\"\n[[device]]\nstack = \"bluedroid\"\n\
         value_limit = 257\nmtu = 500\nsecurity = 1\n[[device]]\nstack = \"bluedroid\"\nvalue_limit = 481\nmtu = 500\n\
         patch = 0\nchunk = 400\n",
        dir.path(),
    )
    .await;
    for device in sandbox.devices() {
        let claim = read_claim(&anna.claim(device.spec().serial.as_str(), "new").await);
        let link = connect(&radio, &device.spec().name).await;
        commission(device, link, &claim).await.unwrap();
    }
    for device in sandbox.devices() {
        online(device).await;
    }
    assert_eq!(sandbox.status().shortcomings(), Vec::<String>::new());
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_link_that_breaks_at_any_operation_never_keeps_a_device_from_enrolling() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sandbox, radio, anna) = started("[[device]]\nsecurity = 1\n", dir.path()).await;
    let device = sandbox.devices()[0].clone();
    let mut cuts = 0;
    'cuts: for operation in 0.. {
        for when in [When::Before, When::After] {
            device.factory_reset().unwrap();
            let cut = Some(Cut {
                operation,
                when,
                times: 1,
            });
            let on_air = sandbox.radio().devices().remove(0);
            on_air.set_faults(DeviceFaults {
                cut,
                ..DeviceFaults::default()
            });

            let purpose = if operation == 0 && when == When::Before {
                "new"
            } else {
                "service"
            };
            let claim = read_claim(&anna.claim("FK-0001", purpose).await);
            let first = commission(&device, connect(&radio, &device.spec().name).await, &claim).await;
            if first.is_err() {
                cuts += 1;
                // Once settings were applied the device goes on by itself, and may be silent for good already.
                if *device.wifi().borrow() == Joining::Idle {
                    let link = connect(&radio, &device.spec().name).await;
                    let second = commission(&device, link, &claim).await;
                    assert_eq!(second, Ok(()), "{operation} {when:?}");
                }
            }
            online(&device).await;
            if first.is_ok() {
                break 'cuts;
            }
        }
    }
    assert!(cuts > 40, "only {cuts} operations could be cut");
    sandbox.shutdown().await;
}
