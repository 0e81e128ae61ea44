//! What commissioning takes, against the least that it can take.
//!
//! The release `fieldkey` runs as a child, as a person or a script starts it; devices, radio and cloud are a sandbox in
//! this process, at real speed and with the latencies of a real adapter. Run by `cargo xtask bench`, which gives the
//! program and a private session. A benchmark measures: it ends well whether the aims are met or not.
//!
//! **The floor of one device** is the sum of what nobody can shorten without changing the device or its radio:
//!
//! - *found*: half an advertising interval, since devices are not in step, and the scan response;
//! - *link*: the configured time for the connection and for the services to become known;
//! - *operations*: for each GATT operation up to the one that applies the settings, the configured latency of its
//!   round trips and the device's own time in it (its cryptography), as the radio recorded them;
//! - *scan*: the device's scan for networks, in place of the operations that look whether it is over;
//! - *join*: the firmware's own pause after Apply, its association and its address, as configured;
//! - *enrol*: from the address to the first data under the permanent identity, as the device itself saw it: its TLS
//!   handshakes, its key, its MQTT round trips.
//!
//! Operations after Apply pass while the device joins and enrols by itself, so they are not in it; neither is anything
//! of ours: starting the program, keyring, sign-in, preflight, snapshot, claim, journal, release. **The total** is from
//! the start of the process to its end.
//!
//! **The floor of a batch** is the length of a list schedule: devices in the order in which they were linked, each put
//! on the link that is free first, where it stays for its link, operations, scan and join (a refused passphrase is only
//! told over the link, so it can't be given back earlier) and goes on to enrol without it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement that cannot be made ends with the reason, as a test does"
)]

mod floor;
mod handshake;
mod report;
mod site;

use std::process::ExitCode;

use serde_json::json;

use crate::floor::{Measured, Order};
use crate::report::Report;
use crate::site::Site;

/// Runs of one device; the median counts.
const RUNS: usize = 3;
/// Devices of a batch.
const BATCH: usize = 20;
/// Links of a batch.
const LINKS: usize = 4;

/// One device's firmware, in the scenario's words, under the name that the report gives it.
const DEVICES: [(&str, &str); 3] = [
    ("Security 2, link kept", "security = 2\nkeep_link = true"),
    ("Security 2, link dropped", "security = 2\nkeep_link = false"),
    ("Security 1, link kept", "security = 1\nkeep_link = true"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` also starts benchmarks, without this word: there is nothing to test here.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let json = arguments
        .iter()
        .position(|argument| argument == "--json")
        .and_then(|index| arguments.get(index + 1));
    let only = std::env::var("FIELDKEY_BENCH").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut report = Report::default();
    runtime.block_on(measure(&mut report, &only));
    report.print();
    if let Some(file) = json {
        std::fs::write(file, format!("{:#}\n", report.json())).expect("the file for the figures");
    }
    ExitCode::SUCCESS
}

/// Measures everything, or only what `only` names: `handshake`, `one` or `batch`.
async fn measure(report: &mut Report, only: &str) {
    let wanted = |part: &str| only.is_empty() || only == part;
    if wanted("handshake") {
        report.handshake(&handshake::client_time());
    }
    if wanted("one") {
        for (name, device) in DEVICES {
            let mut runs = Vec::new();
            let mut site = Site::start(&format!("[[device]]\ncount = {RUNS}\n{device}\n")).await;
            for index in 0..RUNS {
                runs.push(one(&mut site, index).await);
            }
            site.stop().await;
            runs.sort_by_key(|run| run.0.total);
            let (measured, order) = runs.swap_remove(RUNS / 2);
            report.one(name, &measured, &order);
        }
    }
    if wanted("batch") {
        let four = batch(LINKS).await;
        let single = batch(1).await;
        report.batch(LINKS, &four, &single);
    }
}

async fn one(site: &mut Site, index: usize) -> (Measured, Order) {
    let measured = site.commission(index..index + 1, 1).await;
    let order = measured.orders.first().cloned().expect("one device");
    (measured, order)
}

async fn batch(links: usize) -> Measured {
    let device = format!("[[device]]\ncount = {BATCH}\nkeep_link = true\n");
    let mut site = Site::start(&device).await;
    let measured = site.commission(0..BATCH, links).await;
    site.stop().await;
    assert_eq!(measured.orders.len(), BATCH, "{}", json!(measured.outcomes));
    measured
}
