//! The program is killed or stopped on the way; the journal says what is left, and resume finishes or undoes it.

use std::time::{Duration, Instant};

use journeys::{Run, Site};
use sandbox::cloud::CloudFaults;

const STAGES: [&str; 9] = [
    "linking",
    "proving",
    "identifying",
    "networking",
    "crediting",
    "joining",
    "enrolling",
    "verifying",
    "released",
];

async fn steps(site: &Site, job: &str) -> Vec<String> {
    let run = site.run(&["journal", "--job", job]).await.exits(0);
    let steps = run.lines.iter().filter_map(|line| line["step"].as_str());
    steps.map(ToOwned::to_owned).collect()
}

/// Holds what resume said against journal and cloud.
async fn settled(site: &Site, resumed: &Run, serial: &str, job: &str) {
    assert!(matches!(resumed.exit, Some(0 | 1)), "{}", resumed.stdout);
    site.hold_against_the_cloud(resumed, serial);
    assert_eq!(
        steps(site, job).await.last().map(String::as_str),
        Some("finished")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_killed_at_any_stage_is_finished_or_undone_by_resume() {
    let devices = STAGES.map(|stage| format!("[[device]]\nserial = \"{stage}\"\nkeep_link = true\n"));
    let site = Site::open(&devices.concat()).await;
    let (mut killed, mut finished) = (0, 0);
    for stage in STAGES {
        let paper = site.paper(&site.labels(&[stage]));
        let mut running = site.start(&["commission", "--labels", &paper]);
        let begun = running.until_stage(stage).await;
        running.signal("KILL").await;
        // After the last stage the program may be through before the signal gets there.
        let exit = running.end().await.exit;
        assert!(matches!(exit, None | Some(0)), "{exit:?}");
        killed += usize::from(exit.is_none());

        let job = begun["job"].as_str().unwrap();
        let before = steps(&site, job).await;
        assert_eq!(before.first().map(String::as_str), Some("started"), "{before:?}");
        let resumed = site.run(&["resume"]).await;
        if before.last().map(String::as_str) == Some("finished") {
            // The end was written down between the last line and the kill.
            resumed.last("nothing-open");
            assert_eq!(site.missing(stage), [""; 0]);
            finished += 1;
            continue;
        }
        settled(&site, &resumed, stage, job).await;
        finished += usize::from(resumed.ended(stage).0 == "done");
        let before_apply = !before.iter().any(|step| step == "applying");
        assert_eq!(
            resumed.ended(stage).0,
            if before_apply { "failed" } else { "done" },
            "killed at {stage} after {before:?}: {}",
            resumed.stdout
        );
    }
    assert!(killed >= 6, "only {killed} were killed on the way");
    assert!(finished >= 3, "only {finished} were finished");
    site.run(&["resume"]).await.exits(0).last("nothing-open");
    drop(site.run(&["journal", "--verify"]).await.exits(0));

    // What was undone can be commissioned as if nothing had been.
    let undone: Vec<&str> = STAGES
        .into_iter()
        .filter(|stage| !site.missing(stage).is_empty())
        .collect();
    let run = site.commission(&undone).await.exits(0);
    for serial in undone {
        assert_eq!(run.ended(serial), ("done", ""));
        assert_eq!(site.missing(serial), [""; 0]);
    }
    assert_eq!(site.status().shortcomings(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_names_the_state_of_every_device_gives_links_back_and_leaves_nothing_that_resume_does_not_settle()
 {
    let mut site = Site::open("[[device]]\ncount = 6\nserial = \"D{n}\"").await;
    let paper = site.paper(&site.labels(&[]));
    let mut running = site.start(&["commission", "--labels", &paper, "--links", "2"]);
    running.until_stage("joining").await;
    running.signal("INT").await;
    let run = running.end().await.exits(130);
    let devices: Vec<String> = site
        .status()
        .devices
        .iter()
        .map(|d| d.serial.to_string())
        .collect();
    for serial in &devices {
        let (state, code) = run.ended(serial);
        assert!(
            matches!(
                (state, code),
                ("done", _) | ("failed", "cancelled") | ("unknown", "cancelled")
            ),
            "{serial} ended as {state} with {code}"
        );
    }
    assert!(
        devices.iter().any(|serial| run.ended(serial).0 != "done"),
        "{}",
        run.stdout
    );
    let adapter = site.sandbox.radio().adapter("hci0").unwrap().clone();
    assert_eq!(adapter.links(), 0, "every link is given back");

    let open = devices.iter().any(|serial| run.ended(serial).0 == "unknown");
    let resumed = site.run(&["resume"]).await;
    for serial in &devices {
        let last = if run.ended(serial).0 == "unknown" {
            &resumed
        } else {
            &run
        };
        site.hold_against_the_cloud(last, serial);
    }
    if !open {
        resumed.exits(0).last("nothing-open");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_on_the_way_leaves_nothing_that_signing_in_again_does_not_settle() {
    let site = Site::open("[cloud.faults]\nclaim_delay_ms = 1500\n[[device]]\nserial = \"A\"").await;
    let paper = site.paper(&site.labels(&[]));
    let mut running = site.start(&["commission", "--labels", &paper]);
    running.until_stage("networking").await;
    drop(site.run(&["sign-out"]).await.exits(0));
    let run = running.end().await;
    let refused = site.run(&["commission", "--labels", &paper]).await.exits(4);
    assert_eq!(refused.last("error")["code"], "signed-out");
    site.sign_in().await;
    let resumed = site.run(&["resume"]).await;
    let open = resumed.lines.iter().all(|line| line["type"] != "nothing-open");
    site.hold_against_the_cloud(if open { &resumed } else { &run }, "A");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_ctrl_c_leaves_at_once_and_resume_settles_the_rest() {
    let site = Site::open("[[device]]\nserial = \"A\"").await;
    let faults = site.sandbox.cloud().faults();
    faults.change(|now| now.claim_delay_ms = 60_000);
    let mut rows = site.labels(&[]);
    rows.push(serde_json::json!({ "name": "NOT-HERE", "serial": "B", "pop": "nobody-asks" }));
    let paper = site.paper(&rows);
    let mut running = site.start(&["commission", "--labels", &paper]);
    let begun = running.until_stage("crediting").await;
    running.signal("INT").await;
    // The device that is not there is given up at the first one, which was heard then.
    running
        .until(|line| line["event"] == "finished" && line["name"] == "NOT-HERE")
        .await;
    let second = Instant::now();
    running.signal("INT").await;
    drop(running.end().await.exits(130));
    assert!(
        second.elapsed() < Duration::from_secs(10),
        "{:?}",
        second.elapsed()
    );

    faults.set(CloudFaults::default());
    let resumed = site.run(&["resume"]).await;
    settled(&site, &resumed, "A", begun["job"].as_str().unwrap()).await;
    site.run(&["resume"]).await.exits(0).last("nothing-open");
}
