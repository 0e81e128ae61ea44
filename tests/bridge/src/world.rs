//! The world around the program under test: a sandbox, and the program's start and end.

use std::process::Stdio;

use journeys::Site;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// What a test asks of the world, a JSON line each; answered by a line.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum Ask {
    /// Set what goes wrong in the cloud, in the scenario's words.
    Faults {
        /// The table `[cloud.faults]`.
        toml: String,
    },
    /// End the program without notice and start it again.
    Restart,
    /// Tell how the sandbox stands.
    Status,
}

/// Runs until standard input ends.
pub(crate) async fn run(scenario: &str) {
    let scenario = std::fs::read_to_string(scenario).expect("the scenario");
    let site = Site::unopened(&scenario).await;
    site.write_browser("anna");
    let mut desk = start(&site).await;
    let profile = std::fs::read_to_string(site.profile()).expect("the profile");
    println!(
        "{}",
        json!({ "door": desk.door, "profile": profile, "labels": site.labels(&[]) })
    );
    let mut lines = asked();
    while let Some(line) = lines.recv().await {
        let answer = match serde_json::from_str(&line).expect("a question") {
            Ask::Faults { toml } => {
                let faults = toml::from_str(&toml).expect("faults");
                site.sandbox.cloud().faults().set(faults);
                json!({})
            }
            Ask::Restart => {
                desk.process.kill().await.expect("its end");
                desk = start(&site).await;
                json!({ "door": desk.door })
            }
            Ask::Status => {
                let status = site.status();
                json!({
                    "shortcomings": status.shortcomings(),
                    "things": status.things.len(),
                })
            }
        };
        println!("{answer}");
    }
    desk.process.kill().await.expect("its end");
}

/// The lines of standard input, which blocks whoever reads it.
fn asked() -> mpsc::UnboundedReceiver<String> {
    let (lines, reader) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    reader
}

struct Running {
    process: Child,
    door: String,
}

async fn start(site: &Site) -> Running {
    let myself = std::env::current_exe().expect("this program");
    let mut process = Command::new(myself)
        .arg("desk")
        .envs(site.surroundings())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the desk");
    let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
    let address = lines.next_line().await.expect("a line").expect("its address");
    Running {
        process,
        door: format!("ws://{address}"),
    }
}
