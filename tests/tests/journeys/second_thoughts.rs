//! Wrong first, right later: a proof of possession and a passphrase that are corrected on the way.

use journeys::Site;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_pop_is_corrected_on_the_same_link() {
    let mut site =
        Site::open("[[device]]\nserial = \"A\"\nsecurity = 1\n[[device]]\nserial = \"B\"\nsecurity = 2")
            .await;
    for serial in ["A", "B"] {
        let mut rows = site.labels(&[serial]);
        let right = rows[0]["pop"].clone();
        rows[0]["pop"] = json!("not-this-one");
        let paper = site.paper(&rows);
        let mut running = site.start(&["commission", "--labels", &paper]);
        let asked = running.until_event("asked").await;
        assert_eq!(asked["question"]["ask"], "pop", "{asked}");
        assert_eq!(asked["question"]["triesLeft"], 2, "{asked}");
        let answer = json!({ "device": rows[0]["name"], "pop": right });
        running.say(&answer.to_string()).await;
        let run = running.end().await.exits(0);
        assert_eq!(run.ended(serial), ("done", ""));
        assert_eq!(site.missing(serial), [""; 0]);
        assert_eq!(
            site.links(serial).len(),
            1,
            "the same link: {:#?}\n{}",
            site.links(serial),
            run.stdout
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_label_of_an_answer_opens_a_device_that_wants_another_user_also_after_a_crash() {
    let site = Site::open("[[device]]\nserial = \"A\"\nsecurity = 2\nusername = \"installer\"").await;
    let row = site.labels(&["A"]).remove(0);
    let paper = site.paper(&[json!({ "name": row["name"], "serial": "A" })]);
    let mut running = site.start(&["commission", "--labels", &paper, "--network", "Workshop"]);
    running.until_event("asked").await;
    let (name, pop) = (&row["name"], &row["pop"]);
    let label = |serial: &str| json!({ "name": name, "serial": serial, "username": "installer", "pop": pop });
    let answer = |label: Value| json!({ "device": name, "label": label.to_string() }).to_string();
    running.say(&answer(label("B"))).await;
    let warning = running.until(|line| line["type"] == "warning").await;
    assert_eq!(warning["code"], "answer", "{warning}");
    running.say(&answer(label("A"))).await;
    running.until_stage("networking").await;
    running.signal("KILL").await;
    assert_eq!(running.end().await.exit, None);

    let mut resumed = site.start(&["resume"]);
    let asked = resumed.until_event("asked").await;
    assert_eq!(asked["question"]["failure"]["code"], "pop-needed", "{asked}");
    let by_hand = json!({ "device": name, "pop": pop, "username": "installer" });
    resumed.say(&by_hand.to_string()).await;
    let asked = resumed.until_event("asked").await;
    assert_eq!(asked["question"]["ask"], "network", "{asked}");
    let network = json!({ "device": name, "network": "Workshop", "passphrase": journeys::PASSPHRASE });
    resumed.say(&network.to_string()).await;
    let run = resumed.end().await.exits(0);
    assert_eq!(run.ended("A"), ("done", ""));
    assert_eq!(site.missing("A"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_wrong_pops_end_the_device_before_it_locks() {
    let site = Site::open("[[device]]\nserial = \"A\"\nlockout = 5").await;
    let mut rows = site.labels(&["A"]);
    rows[0]["pop"] = json!("wrong-1");
    let paper = site.paper(&rows);
    let mut running = site.start(&["commission", "--labels", &paper]);
    for pop in ["wrong-2", "wrong-3"] {
        running.until_event("asked").await;
        let answer = json!({ "device": rows[0]["name"], "pop": pop });
        running.say(&answer.to_string()).await;
    }
    let run = running.end().await.exits(1);
    assert_eq!(run.ended("A"), ("failed", "wrong-pop"));
    let status = site.status();
    assert!(!status.devices[0].locked_out);
    assert!(status.claims.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_passphrase_is_corrected_on_the_same_link_with_the_same_claim() {
    let mut site = Site::open("[[device]]\nserial = \"A\"\nkeep_link = true").await;
    let paper = site.paper(&site.labels(&["A"]));
    drop(site.run(&["network", "forget", "Workshop"]).await.exits(0));
    let mut running = site.start(&["commission", "--labels", &paper, "--network", "Workshop"]);
    running.say("mistyped-kettle").await;
    let asked = running.until_event("asked").await;
    assert_eq!(asked["question"]["ask"], "passphrase", "{asked}");
    assert_eq!(asked["question"]["network"], "Workshop", "{asked}");
    let answer = json!({ "device": asked["name"], "passphrase": journeys::PASSPHRASE });
    running.say(&answer.to_string()).await;
    let run = running.end().await.exits(0);
    assert_eq!(run.ended("A"), ("done", ""));
    assert_eq!(site.missing("A"), [""; 0]);
    assert_eq!(site.links("A").len(), 1, "the same link");
    let claims: Vec<_> = site
        .status()
        .claims
        .into_iter()
        .map(|claim| claim.state)
        .collect();
    assert_eq!(claims, ["used"]);
}
