//! A device that was given up is commissioned again, without anybody touching it.

use journeys::{Run, Site};
use serde_json::{Value, json};

/// Devices that keep the link and such that end their service once they have joined, with either scheme; a join is slow
/// enough to be stopped in, and the service waits long enough for somebody to come back.
const FOUR: &str = r#"
[times]
associate_ms = 30000
unasked_stop_ms = 1200000

[[device]]
serial = "KEEPS-1"
security = 1
keep_link = true

[[device]]
serial = "KEEPS-2"
security = 2
keep_link = true

[[device]]
serial = "STOPS-1"
security = 1

[[device]]
serial = "STOPS-2"
security = 2
"#;

fn finished<'r>(run: &'r Run, serial: &str) -> &'r Value {
    let events = run.events("finished");
    let of = events.into_iter().find(|event| event["serial"] == serial);
    of.unwrap_or_else(|| panic!("{serial} has no end: {}", run.stdout))
}

const SERIALS: [&str; 4] = ["KEEPS-1", "KEEPS-2", "STOPS-1", "STOPS-2"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_whose_job_was_stopped_while_it_joined_is_commissioned_again() {
    let site = Site::open(FOUR).await;
    for serial in SERIALS {
        let paper = site.paper(&site.labels(&[serial]));
        let mut running = site.start(&["commission", "--labels", &paper]);
        running
            .until(|line| {
                line["evidence"]["fact"] == "settings-applied" || line["fact"] == "settings-applied"
            })
            .await;
        running.signal("INT").await;
        let run = running.end().await.exits(130);
        assert_eq!(run.ended(serial), ("failed", "cancelled"));
        // Where the device could be brought back nothing is said to be kept.
        let why = finished(&run, serial)["failure"]["why"].as_str().unwrap();
        let kept = why.contains("keeps the Wi-Fi settings");
        assert_eq!(kept, serial.starts_with("STOPS"), "{why}");
        assert_eq!(site.left(serial), [""; 0]);
    }
    let run = site.commission(&SERIALS).await.exits(0);
    for serial in SERIALS {
        assert_eq!(run.ended(serial), ("done", ""));
        assert_eq!(site.missing(serial), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_was_given_up_with_a_wrong_passphrase_is_commissioned_with_the_right_one() {
    let site = Site::open(FOUR).await;
    let paper = site.paper(&site.labels(&SERIALS));
    drop(site.run(&["network", "forget", "Workshop"]).await.exits(0));
    let commission = ["commission", "--labels", &paper, "--network", "Workshop"];
    // With nobody to answer, each is given up.
    let run = site.run_with(&commission, "mistyped-kettle").await.exits(1);
    for serial in SERIALS {
        assert_eq!(run.ended(serial), ("failed", "unanswered"));
        let finished = finished(&run, serial);
        let detail = finished["outcome"]["fault"]["detail"]
            .as_str()
            .unwrap_or_default();
        assert!(detail.contains("refused the device"), "{finished}");
    }
    let run = site.run_with(&commission, journeys::PASSPHRASE).await.exits(0);
    for serial in SERIALS {
        assert_eq!(run.ended(serial), ("done", ""));
        assert_eq!(site.missing(serial), [""; 0]);
    }
    // They forgot what was refused, so that no scan hangs.
    let tried_again = run.events("retrying");
    assert!(tried_again.is_empty(), "{tried_again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_was_refused_when_the_program_died_is_brought_back_by_resume() {
    let site = Site::open(FOUR).await;
    let paper = site.paper(&site.labels(&SERIALS));
    drop(site.run(&["network", "forget", "Workshop"]).await.exits(0));
    let commission = ["commission", "--labels", &paper, "--network", "Workshop"];
    let mut running = site.start(&commission);
    running.say("mistyped-kettle").await;
    for _ in SERIALS {
        running.until_event("asked").await;
    }
    running.signal("KILL").await;
    assert_eq!(running.end().await.exit, None);
    let resumed = site.run(&["resume"]).await.exits(1);
    for serial in SERIALS {
        assert_eq!(resumed.ended(serial).0, "failed");
    }
    let run = site.run_with(&commission, journeys::PASSPHRASE).await.exits(0);
    for serial in SERIALS {
        assert_eq!(run.ended(serial), ("done", ""));
        assert_eq!(site.missing(serial), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_settings_for_a_protected_network_never_reach_a_device() {
    let site = Site::open("[[device]]\nserial = \"A\"").await;
    let paper = site.paper(&site.labels(&["A"]));
    drop(site.run(&["network", "forget", "Workshop"]).await.exits(0));
    let commission = ["commission", "--labels", &paper, "--network", "Workshop"];
    let mut running = site.start(&commission);
    // An empty line: the network is said to be open.
    running.say("").await;
    let asked = running.until_event("asked").await;
    assert_eq!(
        asked["question"]["failure"]["code"], "passphrase-needed",
        "{asked}"
    );
    for (said, code) in [("abc", "passphrase-invalid"), (journeys::PASSPHRASE, "")] {
        let answer = json!({ "device": asked["name"], "passphrase": said });
        running.say(&answer.to_string()).await;
        if !code.is_empty() {
            let asked = running.until_event("asked").await;
            assert_eq!(asked["question"]["failure"]["code"], code, "{asked}");
        }
    }
    let run = running.end().await.exits(0);
    assert_eq!(run.ended("A"), ("done", ""));
    let job = run.result("A")["job"].as_str().unwrap().to_owned();
    let journal = site.run(&["journal", "--job", &job]).await.exits(0);
    let written = journal
        .lines
        .iter()
        .filter(|line| line["step"] == "writing-settings");
    assert_eq!(written.count(), 1, "{}", journal.stdout);
}
