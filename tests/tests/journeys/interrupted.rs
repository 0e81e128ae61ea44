//! The program is killed or stopped on the way; the journal says what is left, and resume finishes or undoes it.

use std::time::{Duration, Instant};

use journeys::{Run, Running, Site};
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
    settled_by(site, resumed, serial, job).await;
}

/// Holds what a run said against journal and cloud.
async fn settled_by(site: &Site, run: &Run, serial: &str, job: &str) {
    site.hold_against_the_cloud(run, serial);
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
        // "applying" is written down before the device is told, so that after a kill between the two nobody but the
        // cloud knows which it was; `settled` has held the end against it. A fact after it shows that the device knew.
        let applying = before.iter().position(|step| step == "applying");
        let told = applying.is_some_and(|at| before.iter().skip(at).any(|step| step == "evidence"));
        let right: &[&str] = match applying {
            None => &["failed"],
            Some(_) if told => &["done"],
            Some(_) => &["done", "failed"],
        };
        assert!(
            right.contains(&resumed.ended(stage).0),
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
    // The stack has the orders when the program ends, and carries them out after it.
    site.until_no_links().await;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_jobs_that_crashes_left_of_one_device_are_settled_one_after_the_other() {
    let site = Site::open("[[device]]\nserial = \"A\"\nkeep_link = true").await;
    let paper = site.paper(&site.labels(&[]));
    let mut jobs = Vec::new();
    for stage in ["networking", "joining"] {
        let mut running = site.start(&["commission", "--labels", &paper]);
        let begun = running.until_stage(stage).await;
        running.signal("KILL").await;
        assert_eq!(running.end().await.exit, None);
        jobs.push(begun["job"].as_str().unwrap().to_owned());
        // Somebody switches it off and on, so that it can be found by its name again.
        site.sandbox.device("A").unwrap().power_cycle();
    }
    let resumed = site.run(&["resume"]).await;
    assert!(matches!(resumed.exit, Some(0 | 1)), "{}", resumed.stdout);
    // Of each job, when it began and ended; whichever was read first has ended before the other begins.
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for job in &jobs {
        let own = resumed.lines.iter().filter(|line| line["job"] == job.as_str());
        let times: Vec<u64> = own.filter_map(|line| line["atMs"].as_u64()).collect();
        spans.push((times[0], times[times.len() - 1]));
        assert_eq!(
            steps(&site, job).await.last().map(String::as_str),
            Some("finished")
        );
    }
    spans.sort_unstable();
    assert!(spans[0].1 <= spans[1].0, "{spans:?}: {}", resumed.stdout);
    let told: Vec<u64> = resumed
        .lines
        .iter()
        .filter_map(|line| line["atMs"].as_u64())
        .collect();
    assert!(
        told.is_sorted(),
        "what happened is told in its order: {}",
        resumed.stdout
    );
    assert_eq!(site.left("A"), [""; 0]);
    site.run(&["resume"]).await.exits(0).last("nothing-open");
}

/// A device that is about to be registered, whose program was stopped: the claim is about to be taken back, and the
/// broker does not take that yet.
async fn stopped_before_the_claim_is_taken_back(site: &Site) -> (Running, String) {
    let faults = site.sandbox.cloud().faults();
    faults.change(|now| now.enrol_delay_ms = 8_000);
    let paper = site.paper(&site.labels(&["A"]));
    let mut running = site.start(&["commission", "--labels", &paper]);
    let begun = running.until_stage("enrolling").await;
    let job = begun["job"].as_str().unwrap().to_owned();
    faults.change(|now| now.broker_down = true);
    running.signal("INT").await;
    while !steps(site, &job).await.contains(&"retiring".to_owned()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(site.status().things.is_empty(), "it was registered before");
    (running, job)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_enrols_while_a_stopped_program_takes_its_claim_back_is_finished_by_resume() {
    let site = Site::open("[[device]]\nserial = \"A\"").await;
    let faults = site.sandbox.cloud().faults();
    let (running, job) = stopped_before_the_claim_is_taken_back(&site).await;
    site.until(|status| {
        status
            .things
            .iter()
            .any(|thing| thing.serial == "A" && thing.connected.is_some())
    })
    .await;
    faults.change(|now| now.broker_down = false);
    let run = running.end().await.exits(130);
    assert_eq!(run.ended("A"), ("unknown", "cancelled"), "{}", run.stdout);
    let resumed = site.run(&["resume"]).await.exits(0);
    assert_eq!(resumed.ended("A"), ("done", ""), "{}", resumed.stdout);
    settled(&site, &resumed, "A", &job).await;
    site.run(&["resume"]).await.exits(0).last("nothing-open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_whose_claim_a_stopped_program_took_back_in_time_enrols_no_more() {
    let site = Site::open("[[device]]\nserial = \"A\"").await;
    let faults = site.sandbox.cloud().faults();
    let (running, job) = stopped_before_the_claim_is_taken_back(&site).await;
    faults.change(|now| now.broker_down = false);
    let run = running.end().await.exits(130);
    assert_eq!(run.ended("A"), ("failed", "cancelled"), "{}", run.stdout);
    settled_by(&site, &run, "A", &job).await;
    // It is told that its claim is worth nothing any more.
    site.until(|status| {
        status
            .devices
            .iter()
            .all(|device| matches!(device.enrol.as_str(), "refused" | "claim-expired"))
    })
    .await;
    assert!(site.status().things.is_empty(), "{:?}", site.status());
    site.run(&["resume"]).await.exits(0).last("nothing-open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_that_is_stopped_each_device_either_works_or_leaves_nothing() {
    // The quick ones join while the slow ones are still at their scan, 20 s long at the site's speed.
    let site = Site::open(
        "[[device]]\ncount = 3\nserial = \"QUICK-{n}\"\n\
         [[device]]\ncount = 3\nserial = \"SLOW-{n}\"\ndelay = [{ endpoint = \"prov-scan\", ms = 400000 }]",
    )
    .await;
    let labels = site.labels(&[]);
    let serials: Vec<&str> = labels.iter().map(|row| row["serial"].as_str().unwrap()).collect();
    let paper = site.paper(&labels);
    let mut running = site.start(&["commission", "--labels", &paper, "--links", "6"]);
    running.until_stage("joining").await;
    running.signal("INT").await;
    let run = running.end().await.exits(130);
    let resumed = site.run(&["resume"]).await;
    let status = site.status();
    for serial in serials {
        let enrolled = status
            .things
            .iter()
            .any(|thing| thing.serial == serial && thing.connected.is_some());
        match (enrolled, run.ended(serial)) {
            (true, ("done", "")) => assert_eq!(site.missing(serial), [""; 0]),
            (true, ("unknown", "cancelled")) => {
                assert_eq!(resumed.ended(serial), ("done", ""));
                assert_eq!(site.missing(serial), [""; 0]);
            }
            (false, ("failed", "cancelled")) => assert_eq!(site.left(serial), [""; 0]),
            (enrolled, end) => panic!("{serial} ended as {end:?}; whether it is enrolled: {enrolled}"),
        }
    }
    site.run(&["resume"]).await.exits(0).last("nothing-open");
}

/// Imports the site's profile once more under this name and for another client, which makes another organisation of it.
async fn import_another(site: &Site, name: &str) {
    let own = std::fs::read_to_string(site.profile()).unwrap();
    let mut seen = [false; 2];
    let lines = own.lines().map(|line| match line.split_once('=') {
        Some((key, _)) if key.trim() == "name" && !seen[0] => {
            seen[0] = true;
            format!("name = {name:?}")
        }
        Some((key, _)) if key.trim() == "client-id" => {
            seen[1] = true;
            "client-id = \"another\"".to_owned()
        }
        _ => line.to_owned(),
    });
    let other = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(seen, [true; 2], "{own}");
    let file = site.files().join("another.toml");
    std::fs::write(&file, other).unwrap();
    let import = ["profile", "import", file.to_str().unwrap()];
    drop(site.run(&import).await.exits(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_left_untouched_and_named_under_another_profile_and_taken_up_under_its_own() {
    let site = Site::open("[[device]]\nserial = \"D1\"\nkeep_link = true\n").await;
    let own = site.run(&["profile", "show"]).await.exits(0).last("profile")["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let paper = site.paper(&site.labels(&["D1"]));
    let mut running = site.start(&["commission", "--labels", &paper]);
    let begun = running.until_stage("joining").await;
    running.signal("KILL").await;
    drop(running.end().await);
    let job = begun["job"].as_str().unwrap();
    let before = steps(&site, job).await;

    import_another(&site, "Quarry").await;
    let left = site.run(&["resume"]).await.exits(0);
    let line = left.last("not-taken-up");
    assert_eq!(line["job"], job);
    assert_eq!(line["why"], "other-organisation");
    assert_eq!(line["profile"], own.as_str());
    left.last("nothing-open");
    assert_eq!(steps(&site, job).await, before, "nothing of it was touched");

    let resumed = site.run(&["--profile", &own, "resume"]).await;
    settled(&site, &resumed, "D1", job).await;
    let over = site.run(&["--profile", &own, "resume"]).await.exits(0);
    over.last("nothing-open");
}
