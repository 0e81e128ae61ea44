//! A sandbox, an installer who is signed in at it, and the program under measurement.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use commission::dialect::Enrol;
use sandbox::device::firmware::Firmware;
use sandbox::device::wifi::Joining;
use sandbox::person::Person;
use sandbox::radio::record::LinkRecord;
use sandbox::sandbox::{Sandbox, SandboxConfig, Secrets};
use sandbox::scenario::Scenario;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::floor::{Device, Measured, Stages};

const NETWORK: &str = "[[network]]\nssid = \"Bench\"\npassphrase = \"ten-red-kites\"\n";
const CLOUD: &str = "[cloud]\ndevice_code_interval_ms = 1000\n";
/// Longer than any measurement; ends a run that hangs.
const LIMIT: Duration = Duration::from_secs(600);

/// See the module.
pub(crate) struct Site {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
    program: PathBuf,
}

/// What a device itself saw.
struct Watch {
    firmware: Firmware,
    seen: JoinHandle<(Instant, Instant, Instant)>,
}

impl Site {
    /// Starts a sandbox with these devices at real speed, and signs the installer in.
    pub(crate) async fn start(devices: &str) -> Self {
        let program = std::env::var_os("FIELDKEY_PROGRAM").expect("FIELDKEY_PROGRAM; run cargo xtask bench");
        let folder = tempfile::Builder::new()
            .prefix("fieldkey-bench-")
            .tempdir()
            .expect("a folder");
        let scenario = format!("name = \"bench\"\nspeed = 1.0\n\n{NETWORK}\n{CLOUD}\n{devices}");
        let config = SandboxConfig {
            scenario: Scenario::parse(&scenario).expect("the scenario"),
            state_dir: folder.path().join("sandbox"),
            speed: 1.0,
        };
        let site = Self {
            sandbox: Sandbox::start(config).await.expect("the sandbox"),
            folder,
            program: program.into(),
        };
        site.prepare().await;
        site
    }

    /// Ends the sandbox.
    pub(crate) async fn stop(self) {
        self.sandbox.shutdown().await;
    }

    /// Commissions these devices, counted from 0 in the scenario's order, and gathers what everyone saw.
    pub(crate) async fn commission(&mut self, which: Range<usize>, links: usize) -> Measured {
        let labels = self.labels(which.clone());
        let watches: Vec<Watch> = self
            .sandbox
            .devices()
            .get(which)
            .expect("these devices")
            .iter()
            .map(watch)
            .collect();
        let file = labels.to_string_lossy();
        let begun = Instant::now();
        let links = links.to_string();
        let mut child = self.spawn(&[
            "commission",
            "--labels",
            &file,
            "--network",
            "Bench",
            "--links",
            &links,
        ]);
        let mut lines = lines(&mut child);
        let mut stages: BTreeMap<String, Stages> = BTreeMap::new();
        let (mut finished, mut outcomes) = (begun, Vec::new());
        while let Some(line) = next(&mut lines).await {
            match line["type"].as_str() {
                Some("happening") => {
                    let name = line["name"].as_str().unwrap_or_default().to_owned();
                    stages.entry(name).or_default().take(&line);
                    if line["event"] == "finished" {
                        finished = Instant::now();
                    }
                }
                Some("summary") => outcomes.push(line),
                Some("error" | "warning") => eprint_line(&line),
                _ => {}
            }
        }
        let status = timeout(LIMIT, child.wait())
            .await
            .expect("the program ends")
            .expect("its exit code");
        let total = begun.elapsed();
        assert!(status.success(), "{status}: {outcomes:?}");
        let mut devices = Vec::new();
        for watch in watches {
            let name = watch.firmware.spec().name.clone();
            let (applied, joined, online) = timeout(LIMIT, watch.seen)
                .await
                .expect("the device enrols")
                .expect("the watch");
            devices.push(Device {
                stages: stages.remove(&name).unwrap_or_default(),
                links: self.records(&watch.firmware),
                times: watch.firmware.spec().wifi.times,
                scans: watch.firmware.scans(),
                applied,
                joined,
                online,
            });
        }
        Measured::new(begun, finished - begun, total, &devices, outcomes)
    }

    /// The links of a device. Its address tells it, since nothing here rotates addresses.
    fn records(&mut self, firmware: &Firmware) -> Vec<LinkRecord> {
        let address = firmware.spec().address;
        let devices = self.sandbox.radio().devices();
        let device = devices.iter().find(|device| device.address() == address);
        device.expect("the device's radio").records()
    }

    fn labels(&self, which: Range<usize>) -> PathBuf {
        let text = std::fs::read(self.sandbox.state_dir().join("labels.json")).expect("the labels");
        let rows: Vec<Value> = serde_json::from_slice(&text).expect("the labels");
        let file = self.folder.path().join("labels.json");
        let rows = rows.get(which).expect("these labels");
        std::fs::write(&file, serde_json::json!(rows).to_string()).expect("the labels");
        file
    }

    async fn prepare(&self) {
        let profile = self.sandbox.status().profile;
        self.run(&["profile", "import", &profile.to_string_lossy()], "")
            .await;
        self.run(&["network", "remember", "Bench"], "ten-red-kites\n")
            .await;
        let mut child = self.spawn(&["sign-in", "--device-code"]);
        let mut lines = lines(&mut child);
        while let Some(line) = next(&mut lines).await {
            if let Some(page) = line["pageWithCode"].as_str() {
                let secrets = Secrets::read(self.sandbox.state_dir()).expect("the passwords");
                let password = secrets.and_then(|secrets| secrets.password("anna"));
                Person::new(&self.sandbox.status().ca_pem)
                    .expect("a person")
                    .sign_in_as(&page.parse().expect("a page"), "anna", &password.expect("anna"))
                    .await
                    .expect("the page");
            }
        }
        assert!(child.wait().await.expect("sign-in").success());
    }

    async fn run(&self, words: &[&str], input: &str) {
        let mut child = self.spawn(words);
        let mut stdin = child.stdin.take().expect("an input");
        stdin.write_all(input.as_bytes()).await.expect("an input");
        drop(stdin);
        let output = child.wait_with_output().await.expect("its end");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{words:?}: {said}");
    }

    fn spawn(&self, words: &[&str]) -> Child {
        Command::new(&self.program)
            .arg("--json")
            .args(words)
            .env("FIELDKEY_HOME", self.folder.path().join("home"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.sandbox.status().bus_address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program")
    }
}

/// Follows a device: settings applied, address, first data under its permanent identity.
fn watch(firmware: &Firmware) -> Watch {
    let (mut wifi, mut enrolment) = (firmware.wifi(), firmware.enrolment());
    let seen = tokio::spawn(async move {
        wifi.wait_for(|state| !matches!(state, Joining::Idle))
            .await
            .expect("a device");
        let applied = Instant::now();
        wifi.wait_for(|state| matches!(state, Joining::Connected(_)))
            .await
            .expect("a device");
        let joined = Instant::now();
        enrolment
            .wait_for(|state| matches!(state, Enrol::Online { .. }))
            .await
            .expect("a device");
        (applied, joined, Instant::now())
    });
    Watch {
        firmware: firmware.clone(),
        seen,
    }
}

fn lines(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().expect("an output")).lines()
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<Value> {
    let line = timeout(LIMIT, lines.next_line()).await.expect("a line in time");
    Some(serde_json::from_str(&line.expect("a line")?).expect("JSON"))
}

#[expect(
    clippy::print_stderr,
    reason = "whoever measures must see what the program complained of"
)]
fn eprint_line(line: &Value) {
    eprintln!("{line}");
}
