//! Secrets stay secret: what a run knew is looked for in everything that it left or showed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use journeys::{PASSPHRASE, Running, Site};

/// A passphrase that the device refuses first, and one that nobody else has.
const MISTYPED: &str = "mistyped-kettle-41";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_a_run_is_in_anything_that_it_left_or_showed() {
    let site = Site::open(
        r#"
        [[device]]
        serial = "KEYS"
        security = 2
        key = "keys"

        [[device]]
        serial = "CSR"
        security = 1
        "#,
    )
    .await;
    drop(
        site.run_with(&["network", "remember", "Workshop"], MISTYPED)
            .await
            .exits(0),
    );

    let labels = site.labels(&[]);
    let paper = site.paper(&labels);
    let mut running = site.start(&["-vv", "commission", "--labels", &paper]);
    let mut shown = of_process(&running);
    // Both devices ask for the passphrase again; the answer is typed, as a person would.
    for _ in &labels {
        let asked = running.until_event("asked").await;
        let name = asked["name"].as_str().unwrap();
        let answer = serde_json::json!({ "device": name, "passphrase": PASSPHRASE });
        running.say(&answer.to_string()).await;
    }
    running.until_stage("enrolling").await;
    shown.extend(of_process(&running));
    let run = running.end().await.exits(0);
    let doctor = site.run(&["-vv", "doctor"]).await.exits(0);
    let journal = site.run(&["journal"]).await.exits(0);

    let mut secrets: BTreeSet<String> = [MISTYPED, PASSPHRASE].map(str::to_owned).into();
    secrets.extend(
        labels
            .iter()
            .filter_map(|row| row["pop"].as_str())
            .map(str::to_owned),
    );
    let handed_out = site.handed_out();
    let keys = handed_out
        .iter()
        .filter(|secret| secret.reveal().contains("PRIVATE KEY"))
        .count();
    assert!(keys >= 2, "each device had a claim with a key");
    assert!(
        handed_out.len() - keys >= 6,
        "a sign-in and a renewal have three tokens each"
    );
    secrets.extend(handed_out.iter().map(|secret| secret.reveal().to_owned()));
    secrets.extend(middles(&secrets));

    for output in [&run, &doctor, &journal] {
        shown.push(("standard output".into(), output.stdout.clone().into_bytes()));
        shown.push(("standard error".into(), output.stderr.clone().into_bytes()));
    }
    assert!(
        !run.stderr.is_empty(),
        "logs were asked for, so there is something to look through"
    );
    shown.extend(files(&site.files()));
    assert!(shown.iter().any(|(place, _)| place.ends_with("journal.sqlite")));

    for (place, bytes) in &shown {
        for secret in &secrets {
            assert!(
                !holds(bytes, secret.as_bytes()),
                "{place} holds a secret of {} characters",
                secret.len()
            );
        }
    }
    // The search itself finds what is there.
    assert!(shown.iter().any(|(_, bytes)| holds(bytes, b"KEYS")));
}

/// A private key is also recognised by the middle of its base64, however it is wrapped.
fn middles(secrets: &BTreeSet<String>) -> Vec<String> {
    secrets
        .iter()
        .filter(|secret| secret.contains("PRIVATE KEY"))
        .filter_map(|pem| pem.lines().nth(1).map(str::to_owned))
        .collect()
}

/// What other programs can see of a process: its arguments and, as the same user, its environment.
fn of_process(running: &Running) -> Vec<(String, Vec<u8>)> {
    ["cmdline", "environ"]
        .into_iter()
        .map(|name| {
            (
                name.to_owned(),
                std::fs::read(format!("/proc/{}/{name}", running.pid())).unwrap(),
            )
        })
        .collect()
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut open: Vec<PathBuf> = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
