//! A person at a terminal: what is asked there, what is shown, and what Ctrl-C and an empty line mean.

use journeys::{PASSPHRASE, Run, Site};
use serde_json::json;

const CTRL_C: &str = "\x03";

/// A site whose network's passphrase is not in the keyring, and a file of labels of its devices.
async fn forgetful(devices: &str) -> (Site, String) {
    let site = Site::open(devices).await;
    drop(site.run(&["network", "forget", "Workshop"]).await.exits(0));
    let paper = site.paper(&site.labels(&[]));
    (site, paper)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_at_the_first_passphrase_ends_the_command_with_no_device_linked() {
    let (mut site, paper) = forgetful("[[device]]\nserial = \"A\"").await;
    let mut terminal = site.at_terminal(&["commission", "--labels", &paper, "--network", "Workshop"]);
    terminal.until("Passphrase of the network Workshop").await;
    terminal.press(CTRL_C);
    let (text, exit) = terminal.end().await;
    assert_eq!(exit, Some(130), "{text}");
    assert!(text.contains("nothing was started"), "{text}");
    assert!(site.links("A").is_empty(), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_passphrase_at_the_end_of_the_input_no_device_is_linked() {
    let (mut site, paper) = forgetful("[[device]]\nserial = \"A\"").await;
    let run = site
        .run(&["commission", "--labels", &paper, "--network", "Workshop"])
        .await
        .exits(2);
    assert_eq!(run.last("error")["code"], "no-passphrase", "{}", run.stdout);
    assert!(site.links("A").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_ctrl_c_at_a_devices_question_stops_in_order() {
    let (site, paper) = forgetful("[[device]]\nserial = \"A\"\nkeep_link = true").await;
    let mut terminal = site.at_terminal(&["commission", "--labels", &paper, "--network", "Workshop"]);
    terminal.until("Passphrase of the network Workshop").await;
    terminal.say("mistyped-kettle");
    terminal.until("(empty to skip this device)").await;
    terminal.press(CTRL_C);
    let (text, exit) = terminal.end().await;
    assert_eq!(exit, Some(130), "{text}");
    assert!(text.contains("0 of 1 done"), "{text}");
    assert_eq!(site.left("A"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_told_to_end_while_it_asks_for_a_secret_leaves_the_terminal_as_it_was() {
    let (mut site, paper) = forgetful("[[device]]\nserial = \"A\"").await;
    let mut terminal = site.at_terminal(&["commission", "--labels", &paper, "--network", "Workshop"]);
    terminal.until("Passphrase of the network Workshop").await;
    assert!(!terminal.echoes());
    terminal.signal("TERM").await;
    // That the echo is on again is held at every end.
    let (text, exit) = terminal.end().await;
    assert_eq!(exit, Some(143), "{text}");
    assert!(site.links("A").is_empty(), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_line_skips_the_device_and_nothing_typed_shows_until_the_end() {
    let (site, paper) = forgetful("[[device]]\nserial = \"A\"\nkeep_link = true").await;
    let mut terminal = site.at_terminal(&["commission", "--labels", &paper, "--network", "Workshop"]);
    terminal.until("Passphrase of the network Workshop").await;
    terminal.say("mistyped-kettle");
    terminal
        .until("Passphrase of Workshop (empty to skip this device)")
        .await;
    terminal.say("");
    terminal.until("is skipped").await;
    assert!(!terminal.echoes());
    terminal.say(PASSPHRASE);
    terminal.until("0 of 1 done").await;
    let (text, exit) = terminal.end().await;
    assert_eq!(exit, Some(1), "{text}");
    assert!(
        !text.contains(PASSPHRASE) && !text.contains("mistyped-kettle"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passphrase_that_no_network_can_have_is_asked_for_again_without_the_device() {
    let (mut site, paper) = forgetful("[[device]]\nserial = \"A\"\nkeep_link = true").await;
    let mut terminal = site.at_terminal(&["commission", "--labels", &paper, "--network", "Workshop"]);
    terminal.until("Passphrase of the network Workshop").await;
    terminal.say("mistyped-kettle");
    terminal.until("Passphrase of Workshop").await;
    terminal.say("abc");
    terminal.until("8 to 63").await;
    terminal.until("Passphrase of Workshop").await;
    terminal.say(PASSPHRASE);
    let (text, exit) = terminal.end().await;
    assert_eq!(exit, Some(0), "{text}");
    assert_eq!(site.links("A").len(), 1, "{text}");
    assert_eq!(site.missing("A"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_that_is_scanned_at_a_devices_question_gives_its_proof_and_user_and_that_of_another_is_not_sent()
 {
    let mut site = Site::open("[[device]]\nserial = \"A\"\nsecurity = 2\nusername = \"installer\"").await;
    let row = site.labels(&["A"]).remove(0);
    let label = |name: &str| {
        json!({ "ver": "v1", "name": name, "username": "installer", "pop": row["pop"], "transport": "ble" })
            .to_string()
    };
    let paper = site.paper(&[json!({ "name": row["name"], "serial": "A" })]);
    let mut terminal = site.at_terminal(&["commission", "--labels", &paper, "--network", "Workshop"]);
    terminal.until("Label or proof of possession").await;
    terminal.say(&label("SOME_OTHER"));
    terminal.until("the label is of SOME_OTHER").await;
    terminal.until("Label or proof of possession").await;
    terminal.say(&label(row["name"].as_str().unwrap()));
    let (text, exit) = terminal.end().await;
    assert_eq!(exit, Some(0), "{text}");
    assert!(!text.contains("refused the code"), "{text}");
    assert_eq!(site.links("A").len(), 1, "{text}");
    assert_eq!(site.missing("A"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_is_asked_for_only_once_somebody_is_signed_in() {
    let site = Site::unopened("[[device]]\nserial = \"A\"").await;
    let (text, exit) = site.at_terminal(&["commission", "PROV_1"]).end().await;
    assert_eq!(exit, Some(4), "{text}");
    assert!(!text.contains("Label"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrected_passphrase_serves_the_other_devices_and_replaces_the_refused_one() {
    let devices =
        ["A", "B", "C"].map(|serial| format!("[[device]]\nserial = \"{serial}\"\nkeep_link = true"));
    let site = Site::open(&devices.join("\n")).await;
    let remembered = site.run_with(&["network", "remember", "Workshop"], "mistyped-kettle");
    drop(remembered.await.exits(0));
    let rows = site.labels(&["A", "B"]);
    let paper = site.paper(&rows);
    let mut running = site.start(&["commission", "--labels", &paper, "--network", "Workshop"]);
    let asked = running.until_event("asked").await;
    let answer = json!({ "device": asked["name"], "passphrase": PASSPHRASE });
    running.say(&answer.to_string()).await;
    let run = running.end().await.exits(0);
    for serial in ["A", "B"] {
        assert_eq!(run.ended(serial), ("done", ""), "{}", run.stdout);
    }
    assert_eq!(run.last("network-remembered")["ssid"], "Workshop");
    let paper = site.paper(&site.labels(&["C"]));
    let run = site
        .run(&["commission", "--labels", &paper, "--network", "Workshop"])
        .await
        .exits(0);
    assert!(run.events("asked").is_empty(), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_commissioned_at_the_site_that_is_named_into_its_only_network_and_listed_there() {
    let site = Site::open("[[device]]\nserial = \"A\"\n[[device]]\nserial = \"B\"").await;
    let mut profile = std::fs::read_to_string(site.profile()).unwrap();
    profile = profile.replace("[defaults]\nnetwork = \"Workshop\"\n", "[defaults]\n");
    profile.push_str("[[site]]\nname = \"Sandbox\"\n[[site]]\nname = \"Annex\"\nnetworks = [\"Workshop\"]\n");
    std::fs::write(site.profile(), profile).unwrap();
    let profile = site.profile().display().to_string();
    drop(site.run(&["profile", "import", &profile]).await.exits(0));

    let refused = site
        .run(&["commission", "PROV_1", "--site", "Quay"])
        .await
        .exits(2);
    let error = refused.last("error");
    assert!(
        error["now"].as_str().unwrap().contains("Sandbox, Annex"),
        "{error}"
    );

    let labels = site.paper(&site.labels(&["A"]));
    let run = site
        .run(&["commission", "--labels", &labels, "--site", "Annex"])
        .await
        .exits(0);
    assert_eq!(run.ended("A"), ("done", ""));
    let mut rows = site.labels(&["B"]);
    rows[0]["network"] = "Workshop".into();
    let labels = site.paper(&rows);
    let run = site.run(&["commission", "--labels", &labels]).await.exits(0);
    assert_eq!(run.ended("B"), ("done", ""));

    let sites = |run: &Run| -> Vec<String> {
        let entries = run.lines.iter().map(|entry| entry["site"].as_str().unwrap());
        entries.map(str::to_owned).collect()
    };
    let all = site.run(&["journal"]).await.exits(0);
    assert_eq!(sites(&all), ["Sandbox", "Annex"], "newest first");
    let annex = site.run(&["journal", "--site", "Annex"]).await.exits(0);
    assert_eq!(sites(&annex), ["Annex"]);
    assert_eq!(annex.last("journal-entry")["knownSerial"], "A");
    assert!(
        site.run(&["journal", "--site", "Quay"])
            .await
            .exits(0)
            .lines
            .is_empty()
    );
    drop(site.run(&["journal", "--verify"]).await.exits(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyring_gets_the_passphrase_that_a_device_joined_with_and_not_one_that_no_network_can_have() {
    let site = Site::open("[[device]]\nserial = \"A\"\nkeep_link = true\n[[device]]\nserial = \"B\"").await;
    let remembered = site.run_with(&["network", "remember", "Workshop"], "mistyped-kettle");
    drop(remembered.await.exits(0));
    let paper = site.paper(&site.labels(&["A"]));
    let mut running = site.start(&["commission", "--labels", &paper, "--network", "Workshop"]);
    for (code, said) in [
        ("passphrase-refused", "short"),
        ("passphrase-invalid", PASSPHRASE),
    ] {
        let asked = running.until_event("asked").await;
        assert_eq!(asked["question"]["failure"]["code"], code, "{asked}");
        let answer = json!({ "device": asked["name"], "passphrase": said });
        running.say(&answer.to_string()).await;
    }
    let run = running.end().await.exits(0);
    assert_eq!(run.last("network-remembered")["ssid"], "Workshop");
    let run = site.commission(&["B"]).await.exits(0);
    assert!(run.events("asked").is_empty(), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passphrase_typed_for_a_network_that_the_device_did_not_join_in_the_end_is_not_kept() {
    let site = Site::open(
        "[[network]]\nssid = \"Office\"\npassphrase = \"red-lamp-77\"\n\
         [[device]]\nserial = \"A\"\nkeep_link = true",
    )
    .await;
    let remembered = site.run_with(&["network", "remember", "Workshop"], "mistyped-kettle");
    drop(remembered.await.exits(0));
    let paper = site.paper(&site.labels(&["A"]));
    let mut running = site.start(&["commission", "--labels", &paper, "--network", "Workshop"]);
    for answer in [
        json!({ "passphrase": "mistyped-again" }),
        json!({ "network": "Office", "passphrase": "red-lamp-77" }),
    ] {
        let asked = running.until_event("asked").await;
        let mut answer = answer;
        answer["device"] = asked["name"].clone();
        running.say(&answer.to_string()).await;
    }
    let run = running.end().await.exits(0);
    assert_eq!(run.ended("A"), ("done", ""));
    let kept = run
        .lines
        .iter()
        .filter(|line| line["type"] == "network-remembered");
    assert_eq!(kept.count(), 0, "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_hidden_network_does_not_make_the_others_of_a_batch_hidden() {
    let site = Site::open("[[device]]\nserial = \"A\"").await;
    drop(
        site.run_with(&["network", "remember", "Elsewhere"], "some-other-site")
            .await
            .exits(0),
    );
    let mut rows = site.labels(&["A"]);
    rows[0]["network"] = "Elsewhere".into();
    let paper = site.paper(&rows);
    let mut running = site.start(&[
        "commission",
        "--labels",
        &paper,
        "--network",
        "Workshop",
        "--hidden",
    ]);
    // Of a hidden network nobody would be asked why the device does not see it.
    let asked = running.until_event("asked").await;
    assert_eq!(
        asked["question"]["failure"]["code"], "network-not-seen",
        "{asked}"
    );
    running.close_input();
    drop(running.end().await.exits(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_lists_how_each_job_ended_and_shows_one_by_the_beginning_of_its_name() {
    let site = Site::open("[[device]]\nserial = \"A\"").await;
    drop(site.commission(&["A"]).await.exits(0));
    let list = site.run(&["journal"]).await.exits(0);
    let entry = list.last("journal-entry");
    assert_eq!(entry["knownSerial"], "A", "{entry}");
    assert_eq!(entry["ended"]["outcome"], "done", "{entry}");
    let job = entry["job"].as_str().unwrap();
    let beginning: String = job.chars().take(8).collect();
    let one = site.run(&["journal", "--job", &beginning]).await.exits(0);
    assert!(one.lines.len() > 5 && one.lines.iter().all(|line| line["job"] == job));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serial_that_the_cloud_does_not_have_is_not_waited_for() {
    let site = Site::open("[[device]]\nserial = \"A\"").await;
    let run = site
        .run(&["watch", "NOBODYS-1", "--timeout", "86400"])
        .await
        .exits(2);
    assert_eq!(run.last("error")["code"], "unknown-device");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubtful_network_is_asked_about_until_the_answer_is_one_and_another_can_be_chosen() {
    let (site, paper) = forgetful("[[device]]\nserial = \"A\"").await;
    let mut terminal = site.at_terminal(&["commission", "--labels", &paper, "--network", "Nowhere"]);
    terminal.until("Passphrase of the network Nowhere").await;
    terminal.say("long-enough");
    terminal.until("choose another network (other)").await;
    terminal.say("perhaps");
    terminal.until("please answer yes, other or no").await;
    terminal.say("Other");
    terminal.until("Workshop").await;
    terminal.until("Number or name").await;
    assert!(terminal.echoes());
    terminal.say("1");
    terminal.until("Passphrase of Workshop").await;
    terminal.say(PASSPHRASE);
    let (text, exit) = terminal.end().await;
    assert_eq!(exit, Some(0), "{text}");
    assert_eq!(site.missing("A"), [""; 0]);
}
