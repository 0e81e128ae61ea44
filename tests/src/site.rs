//! A site: a sandbox in this process, and a home from which `fieldkey` works at it as the installer Anna.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use commission::secret::Token;
use sandbox::cloud::Witness;
use sandbox::radio::record::LinkRecord;
use sandbox::sandbox::{LABELS_JSON_FILE, PROFILE_FILE, Sandbox, SandboxConfig, Status};
use sandbox::scenario::Scenario;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::program::{Run, Running, fieldkey};
#[cfg(target_os = "linux")]
use crate::terminal::Terminal;

/// The passphrase of the network Workshop, which every site has.
pub const PASSPHRASE: &str = "blue-kettle-42";

/// Sites of one process share a keyring, where names keep them apart.
static SITES: AtomicUsize = AtomicUsize::new(0);

/// A sandbox and a home.
pub struct Site {
    /// The sandbox.
    pub sandbox: Sandbox,
    program: PathBuf,
    home: TempDir,
    witness: Witness,
    papers: AtomicUsize,
}

impl Site {
    /// A site with the devices and faults of a scenario, beside the network Workshop and a quick radio; profile
    /// imported, Anna signed in, passphrase remembered.
    pub async fn open(scenario: &str) -> Self {
        let site = Self::unopened(scenario).await;
        site.sign_in().await;
        let remembered = site.run_with(&["network", "remember", "Workshop"], PASSPHRASE);
        drop(remembered.await.exits(0));
        site
    }

    /// The same with this one of the profiles that the sandbox lays out, changed as a person at the office might have.
    pub async fn open_by(scenario: &str, profile: &str, change: impl Fn(&str) -> String) -> Self {
        let site = Self::bare(scenario).await;
        let laid_out = std::fs::read_to_string(site.sandbox.state_dir().join(profile)).unwrap();
        let own = site.home.path().join(profile);
        std::fs::write(&own, change(&laid_out)).unwrap();
        drop(site.run(&["profile", "import", &text(&own)]).await.exits(0));
        site.sign_in().await;
        let remembered = site.run_with(&["network", "remember", "Workshop"], PASSPHRASE);
        drop(remembered.await.exits(0));
        site
    }

    /// The same with nobody signed in yet.
    pub async fn unopened(scenario: &str) -> Self {
        let site = Self::bare(scenario).await;
        drop(
            site.run(&["profile", "import", &text(&site.profile())])
                .await
                .exits(0),
        );
        site
    }

    /// The same without a profile.
    pub async fn bare(scenario: &str) -> Self {
        let program = fieldkey();
        let home = tempfile::tempdir().unwrap();
        let number = SITES.fetch_add(1, Ordering::Relaxed);
        let mut scenario =
            Scenario::parse(&format!("name = \"journey {number}\"\n{QUICK}\n{scenario}")).unwrap();
        let witness = Witness::default();
        scenario.cloud.witness = Some(witness.clone());
        let config = SandboxConfig {
            scenario,
            state_dir: home.path().join("sandbox"),
            speed: 1.0,
        };
        Self {
            sandbox: Sandbox::start(config).await.unwrap(),
            program,
            home,
            witness,
            papers: AtomicUsize::new(0),
        }
    }

    /// Anna signs in through the browser.
    pub async fn sign_in(&self) {
        self.sign_in_as("anna").await;
    }

    /// Somebody signs in through the browser.
    pub async fn sign_in_as(&self, user: &str) {
        self.write_browser(user);
        drop(self.run(&["sign-in"]).await.exits(0));
    }

    /// Every token and private key that the sandbox's cloud handed out.
    pub fn handed_out(&self) -> Vec<Token> {
        self.witness.secrets()
    }

    /// Where fieldkey keeps its files.
    pub fn files(&self) -> PathBuf {
        self.home.path().join("fieldkey")
    }

    /// Starts fieldkey.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// Runs fieldkey to its end with nothing typed.
    pub async fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, "").await
    }

    /// Runs fieldkey to its end with this typed.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Run {
        let mut running = self.start(arguments);
        if !input.is_empty() {
            running.say(input).await;
        }
        running.close_input();
        running.end().await
    }

    /// fieldkey with this site's home and radio, for a program.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.set_up(&self.program, &[&["--json"], arguments].concat())
    }

    /// fieldkey at a terminal, for a person.
    #[cfg(target_os = "linux")]
    pub fn at_terminal(&self, arguments: &[&str]) -> Terminal {
        let program = text(&self.program);
        let words = [&["--ctty", &program], arguments].concat();
        Terminal::start(self.set_up(Path::new("setsid"), &words))
    }

    fn set_up(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).envs(self.surroundings());
        command
    }

    /// The environment in which a program works at this site.
    pub fn surroundings(&self) -> [(&'static str, OsString); 3] {
        [
            ("FIELDKEY_HOME", self.files().into()),
            ("DBUS_SYSTEM_BUS_ADDRESS", self.status().bus_address.into()),
            ("BROWSER", self.home.path().join("browser").into()),
        ]
    }

    /// The organisation profile that the sandbox lays out.
    pub fn profile(&self) -> PathBuf {
        self.sandbox.state_dir().join(PROFILE_FILE)
    }

    /// The sandbox's labels of these devices, all where none is named: name, serial, PoP and user name of each.
    pub fn labels(&self, serials: &[&str]) -> Vec<Value> {
        let text = std::fs::read_to_string(self.sandbox.state_dir().join(LABELS_JSON_FILE)).unwrap();
        let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
        rows.into_iter()
            .filter(|row| serials.is_empty() || serials.iter().any(|serial| row["serial"] == *serial))
            .map(|mut row| {
                row.as_object_mut().unwrap().remove("label");
                row
            })
            .collect()
    }

    /// Writes a file of labels.
    pub fn paper(&self, rows: &[Value]) -> String {
        let number = self.papers.fetch_add(1, Ordering::Relaxed);
        let path = self.home.path().join(format!("labels-{number}.json"));
        std::fs::write(&path, serde_json::to_vec(rows).unwrap()).unwrap();
        text(&path)
    }

    /// Commissions these devices, all where none is named, with nobody to answer.
    pub async fn commission(&self, serials: &[&str]) -> Run {
        let labels = self.paper(&self.labels(serials));
        self.run(&["commission", "--labels", &labels, "--links", "16"])
            .await
    }

    /// How the sandbox stands.
    pub fn status(&self) -> Status {
        self.sandbox.status()
    }

    /// Waits until the sandbox stands like this.
    pub async fn until(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        for _ in 0..600 {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the sandbox does not come to that: {:#?}", self.status())
    }

    /// Waits until the adapter holds no link.
    pub async fn until_no_links(&mut self) {
        let adapter = self.sandbox.radio().adapter("hci0").unwrap().clone();
        for _ in 0..100 {
            if adapter.links() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} links are held for nobody", adapter.links())
    }

    /// The links that a device has had, by its serial.
    pub fn links(&mut self, serial: &str) -> Vec<LinkRecord> {
        let index = self
            .sandbox
            .devices()
            .iter()
            .position(|device| device.spec().serial.as_str() == serial);
        let devices = self.sandbox.radio().devices();
        devices.get(index.unwrap()).unwrap().records()
    }

    /// Why the cloud does not have this device as it should be once it is done; empty when it has.
    pub fn missing(&self, serial: &str) -> Vec<String> {
        let status = self.status();
        let mut missing = self.left(serial);
        let things: Vec<_> = status.things.iter().filter(|t| t.serial == serial).collect();
        match things.as_slice() {
            [thing] => {
                let claims = status.claims.iter().map(|claim| &claim.certificate_id);
                if thing.active.len() != 1 {
                    missing.push(format!("{serial} has {} active certificates", thing.active.len()));
                }
                if claims
                    .into_iter()
                    .any(|id| thing.certificates.iter().any(|(own, _)| own == id))
                {
                    missing.push(format!("{serial} keeps a claim's certificate"));
                }
                if !thing.released {
                    missing.push(format!("{serial} is not released"));
                }
            }
            other => missing.push(format!("{serial} is {} things", other.len())),
        }
        missing
    }

    /// What is left of a device's claims, or of anybody's half-made identities; empty when nothing is.
    pub fn left(&self, serial: &str) -> Vec<String> {
        let status = self.status();
        let live = status
            .claims
            .iter()
            .filter(|claim| claim.serial.as_deref() == Some(serial) && claim.state == "issued");
        live.map(|claim| format!("claim {} of {serial} lives", claim.id))
            .chain(status.orphans)
            .collect()
    }

    /// Holds a device's end as fieldkey told it against the cloud.
    pub fn hold_against_the_cloud(&self, run: &Run, serial: &str) {
        let (state, code) = run.ended(serial);
        match state {
            "done" => assert_eq!(self.missing(serial), [""; 0], "{serial} is said to be done"),
            "failed" => {
                assert_eq!(self.left(serial), [""; 0], "{serial} failed with {code}");
                let status = self.status();
                let thing = status.things.iter().find(|thing| thing.serial == serial);
                assert!(
                    thing.is_none_or(|thing| !thing.released),
                    "{serial} failed with {code}"
                );
            }
            other => panic!("{serial} ended as {other} with {code}"),
        }
    }

    /// A program in the browser's place.
    pub fn write_browser(&self, user: &str) {
        let script = format!(
            "#!/bin/sh\nexec '{}' sandbox browse --state '{}' --user {user} \"$1\"\n",
            text(&self.program),
            text(self.sandbox.state_dir())
        );
        let path = self.home.path().join("browser");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
}

/// Devices in a hurry, on a radio that is quicker than any real one.
const QUICK: &str = r#"
speed = 20

[[radio.adapters]]
links = 16
latency = { connect_ms = 5, resolve_ms = 5, round_trip_ms = 1, disconnect_ms = 5, supervision_ms = 50 }

[[network]]
ssid = "Workshop"
passphrase = "blue-kettle-42"
"#;

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
