//! Days at the desk, from the first to the one after a crash.

use commission::claim::Purpose;
use commission::flow::OutcomeRecord;
use engine::desk::{
    JournalFilter, JournalOutcome, LabelState, QuitView, Request, RightView, Settings, SignInView, SignInWay,
    View,
};
use engine::view::{JobState, JobView, QuestionView};
use journeys::{PASSPHRASE, Site};
use sandbox::cloud::CloudFaults;
use sandbox::sandbox::STS_PROFILE_FILE;
use serde_json::json;

use crate::screen::Screen;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_day_goes_from_a_profile_to_a_device_in_the_journal() {
    let site = Site::bare("[[device]]\nserial = \"A\"").await;
    let mut screen = Screen::open(&site).await;

    // 1. Nothing is known yet, and devices are seen all the same.
    let view = screen.until("a device", |view| view.nearby.len() == 1).await;
    assert_eq!(view.sign_in, SignInView::NoProfile);
    assert_eq!(view.nearby[0].label, LabelState::Missing);

    // 2. A wrong profile is named with its line; the right one is taken.
    screen.send(json!({ "do": "import-profile", "text": "name = 7" }));
    let view = screen
        .until("the fault", |view| {
            view.notices.iter().any(|notice| notice.failed)
        })
        .await;
    assert!(
        view.notices.last().unwrap().what.contains("line 1"),
        "{:?}",
        view.notices
    );
    let profile = std::fs::read_to_string(site.profile()).unwrap();
    screen.ask(Request::ImportProfile {
        text: profile,
        signature: None,
    });
    screen
        .until("nobody", |view| {
            matches!(view.sign_in, SignInView::SignedOut { .. })
        })
        .await;

    // 3. Anna signs in, and the cloud says what she may do.
    screen.ask(Request::SignIn {
        way: SignInWay::Browser,
    });
    screen.until_ready().await;
    assert!(
        matches!(&screen.view().sign_in, SignInView::SignedIn { person } if person.roles.contains(&"installer".to_owned()))
    );

    // 4. The label, the network, and the device is brought online.
    let label = site.labels(&[])[0].clone();
    let name = label["name"].as_str().unwrap().to_owned();
    screen.send(json!({ "do": "read-labels", "file": "today.json", "text": json!([label]).to_string() }));
    let view = screen
        .until("the label", |view| {
            view.nearby
                .iter()
                .any(|device| device.label == LabelState::Matched)
        })
        .await;
    screen.send(json!({
        "do": "commission",
        "devices": [{ "nearby": view.nearby[0].peripheral }],
        "network": { "from": "typed", "ssid": "Workshop", "passphrase": PASSPHRASE, "hidden": false, "remember": true },
        "purpose": "new",
    }));
    let view = screen.until("done", |view| view.progress.done == 1).await;
    let proofs = &view.jobs[0].proofs;
    assert!(
        proofs.wifi_joined.is_some() && proofs.seen_online.is_some(),
        "{proofs:?}"
    );
    assert_eq!(site.missing("A"), [""; 0]);

    // 5. It is known from now on, with its whole story.
    screen
        .until("the past", |view| {
            view.nearby.iter().all(|device| device.done_at.is_some())
        })
        .await;
    let met = &screen.view().nearby[0];
    assert_eq!(
        (
            met.model.as_deref(),
            met.firmware.as_deref(),
            met.scheme.as_deref()
        ),
        (Some("FK-Sensor"), Some("2.1.0"), Some("security 2 patch 1"))
    );
    screen
        .until("the network", |view| {
            view.networks.iter().any(|n| n.ssid == "Workshop" && n.remembered)
        })
        .await;
    let journal = screen.journal().await.journal.clone().unwrap();
    assert_eq!(
        (journal.jobs.len(), journal.jobs[0].outcome),
        (1, JournalOutcome::Done)
    );
    assert_eq!(journal.jobs[0].name, name);
    screen.send(json!({ "do": "show-job", "job": journal.jobs[0].job }));
    let view = screen.until("the story", |view| view.story.is_some()).await;
    let steps: Vec<&str> = view
        .story
        .as_ref()
        .unwrap()
        .lines
        .iter()
        .map(|line| line.step.as_str())
        .collect();
    assert_eq!(
        (steps.first(), steps.last()),
        (Some(&"started"), Some(&"finished-done"))
    );

    // 6. Nothing secret was ever shown.
    let pop = label["pop"].as_str().unwrap();
    for view in screen.memory() {
        assert!(!view.contains(PASSPHRASE) && !view.contains(pop), "{view}");
        for secret in site.handed_out() {
            assert!(!view.contains(secret.reveal()), "{view}");
        }
    }
    assert_eq!(screen.close().await.quit, QuitView::Ending);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_passphrase_is_asked_for_in_place_and_the_corrected_one_brings_the_device_in() {
    let mut site = Site::open("[[device]]\nserial = \"A\"").await;
    let mut screen = Screen::signed_in(&site).await;
    screen.commission_all(&site, "mistyped-kettle-41").await;
    let view = screen
        .until("the question", |view| {
            view.jobs.iter().any(|job| job.question.is_some())
        })
        .await;
    let job = &view.jobs[0];
    assert_eq!(job.state, JobState::Attention);
    assert!(matches!(&job.question, Some(QuestionView::Passphrase { network, .. }) if network == "Workshop"));
    screen.send(json!({
        "do": "answer", "job": job.id, "question": job.asked,
        "reply": { "answer": "passphrase", "passphrase": PASSPHRASE },
    }));
    screen.until("done", |view| view.progress.done == 1).await;
    assert_eq!(site.links("A").len(), 1, "the same link");
    screen.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_passphrase_does_not_make_another_try_forget_its_network() {
    let site = Site::open("[[device]]\nserial = \"A\"\nkeep_link = true").await;
    let mut screen = Screen::signed_in(&site).await;
    screen.commission_all(&site, "mistyped-kettle-41").await;
    let mut answered = None;
    for (code, said) in [
        ("passphrase-refused", "short"),
        ("passphrase-invalid", ""),
        ("passphrase-invalid", "skip"),
    ] {
        let asks = |job: &JobView| {
            job.asked != answered
                && matches!(&job.question, Some(QuestionView::Passphrase { failure, .. }) if failure.code == code)
        };
        let view = screen.until(code, |view| view.jobs.iter().any(asks)).await;
        let reply = match said {
            "skip" => json!({ "answer": "skip" }),
            said => json!({ "answer": "passphrase", "passphrase": said }),
        };
        let (job, question) = (view.jobs[0].id, view.jobs[0].asked);
        screen.send(json!({ "do": "answer", "job": job, "question": question, "reply": reply }));
        answered = question;
    }
    let view = screen.until("its end", |view| view.progress.failed == 1).await;
    screen.send(json!({ "do": "retry", "job": view.jobs[0].id }));
    let view = screen
        .until("the question", |view| {
            view.jobs.iter().any(|job| job.question.is_some())
        })
        .await;
    let asked = view.jobs.iter().find_map(|job| job.question.as_ref());
    assert!(
        matches!(asked, Some(QuestionView::Passphrase { network, .. }) if network == "Workshop"),
        "{asked:?}"
    );
    screen.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_scanned_for_a_device_that_asks_is_taken_only_from_that_device_and_opens_it_for_its_user() {
    let site = Site::open("[[device]]\nserial = \"A\"\nsecurity = 2\nusername = \"installer\"").await;
    let row = site.labels(&[]).remove(0);
    let (name, pop) = (&row["name"], &row["pop"]);
    let mut screen = Screen::signed_in(&site).await;
    screen.send(json!({
        "do": "commission", "devices": [{ "named": name }],
        "network": { "from": "site", "ssid": "Workshop" }, "purpose": "new",
    }));
    let view = screen
        .until("the question", |view| {
            view.jobs.iter().any(|job| job.question.is_some())
        })
        .await;
    let (job, question) = (view.jobs[0].id, view.jobs[0].asked);
    let answer = |label: serde_json::Value| json!({ "do": "answer", "job": job, "question": question, "reply": { "answer": "label", "text": label.to_string() } });
    screen.send(answer(json!({ "name": "SOME_OTHER", "pop": pop })));
    screen
        .until("whose label that is", |view| {
            view.notices
                .iter()
                .any(|notice| notice.code == "label-of-another")
        })
        .await;
    screen.send(answer(json!({ "name": name, "serial": "A" })));
    screen
        .until("what it lacks", |view| {
            view.notices.iter().any(|notice| notice.code == "label")
        })
        .await;
    screen.send(answer(
        json!({ "name": name, "username": "installer", "pop": pop }),
    ));
    let view = screen.until("an end", |view| !view.busy).await;
    assert_eq!(view.progress.done, 1, "{:?}", view.jobs);
    assert_eq!(site.missing("A"), [""; 0]);
    screen.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_midway_asks_first_and_what_is_left_is_taken_up_the_next_day() {
    let site = Site::open("[[device]]\ncount = 3\nserial = \"D{n}\"\nkeep_link = false").await;
    let faults = site.sandbox.cloud().faults();
    let mut screen = Screen::signed_in(&site).await;
    screen.commission_all(&site, PASSPHRASE).await;
    screen
        .until("one that has joined", |view| {
            view.jobs.iter().any(|job| job.proofs.wifi_joined.is_some())
        })
        .await;
    screen.ask(Request::Quit { sure: false });
    let view = screen
        .until("the question", |view| view.quit != QuitView::No)
        .await;
    if view.busy {
        assert_eq!(view.quit, QuitView::Asked);
        screen.ask(Request::Stay);
        screen
            .until("work", |view| view.quit == QuitView::No || !view.busy)
            .await;
    }
    let last = screen.close().await;
    assert!(last.jobs.iter().all(JobView::is_over));
    faults.set(CloudFaults::default());

    let mut screen = Screen::signed_in(&site).await;
    let open = screen.view().unfinished.len();
    let left = |job: &&JobView| {
        matches!(
            job.outcome,
            Some(OutcomeRecord::Unknown { .. } | OutcomeRecord::Failed { undone: false, .. })
        )
    };
    let left = last.jobs.iter().filter(left).count();
    assert_eq!(open, left, "{:?}", screen.view().unfinished);
    if open > 0 {
        screen.ask(Request::Resume { job: None });
        screen
            .until("all settled", |view| view.unfinished.is_empty() && !view.busy)
            .await;
    }
    for serial in ["D0001", "D0002", "D0003"] {
        assert!(
            site.missing(serial).is_empty() || site.left(serial).is_empty(),
            "{serial}"
        );
    }
    screen.close().await;
}

/// Two sites after the profile that the sandbox lays out, of which the second has another network, an open one.
const SITES: &str = r#"
[[site]]
name = "Sandbox"
networks = ["Workshop"]

[[site]]
name = "Annex"
networks = ["yard"]
"#;

fn ssids(view: &View) -> Vec<(&str, bool)> {
    let networks = view.networks.iter();
    networks
        .map(|network| (network.ssid.as_str(), network.open))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_site_in_work_decides_on_the_networks_and_is_in_the_journal_and_there_again_the_next_day() {
    let site = Site::bare("[[network]]\nssid = \"yard\"\nauth = \"open\"\n[[device]]\nserial = \"A\"").await;
    let profile = std::fs::read_to_string(site.profile()).unwrap();
    let profile = profile.replace("ssid = \"yard\"\n", "ssid = \"yard\"\nopen = true\n");
    let mut screen = Screen::open(&site).await;
    screen.ask(Request::ImportProfile {
        text: profile + SITES,
        signature: None,
    });
    screen
        .until("nobody", |view| {
            matches!(view.sign_in, SignInView::SignedOut { .. })
        })
        .await;
    screen.ask(Request::SignIn {
        way: SignInWay::Browser,
    });
    screen.until_ready().await;

    // 1. The default site with its network; the other one is chosen.
    let view = screen.view();
    assert_eq!(view.site.as_deref(), Some("Sandbox"));
    let sites: Vec<_> = view.sites.iter().map(|site| site.name.as_str()).collect();
    assert_eq!(sites, ["Sandbox", "Annex"]);
    assert_eq!(ssids(&view), [("Workshop", false)]);
    let settings = Settings {
        site: Some("Annex".into()),
        ..view.settings.clone()
    };
    screen.ask(Request::Settings { settings });
    let view = screen
        .until("the site", |view| view.site.as_deref() == Some("Annex"))
        .await;
    assert_eq!(ssids(&view), [("yard", true)], "no network of the other site");
    assert!(view.networks[0].proposed, "it is the site's only one");

    // 2. A device is brought into its open network with nothing typed.
    screen.send(
        json!({ "do": "read-labels", "file": "today.json", "text": json!(site.labels(&[])).to_string() }),
    );
    let view = screen.until("the label", |view| view.labels.len() == 1).await;
    screen.send(json!({
        "do": "commission", "devices": [{ "named": view.labels[0].name }],
        "network": { "from": "site", "ssid": "yard" }, "purpose": "new",
    }));
    let view = screen.until("done", |view| view.progress.done == 1).await;
    let job = &view.jobs[0];
    assert_eq!(
        (job.site.as_deref(), job.network.as_deref(), job.purpose),
        (Some("Annex"), Some("yard"), Some(Purpose::New))
    );
    assert_eq!(
        job.peripheral.as_ref(),
        view.nearby.first().map(|device| &device.peripheral)
    );
    assert_eq!(site.missing("A"), [""; 0]);

    // 3. What is added there is of that site alone.
    screen.send(json!({
        "do": "commission", "devices": [],
        "network": { "from": "typed", "ssid": "guest", "passphrase": null, "hidden": false, "remember": true },
        "purpose": "new",
    }));
    screen
        .until("the added network", |view| {
            ssids(view) == [("guest", true), ("yard", true)]
        })
        .await;
    screen.close().await;

    // 4. The next day begins where the last one ended.
    let mut screen = Screen::signed_in(&site).await;
    assert_eq!(screen.view().site.as_deref(), Some("Annex"));
    let journal = screen.journal().await.journal.clone().unwrap();
    assert_eq!(
        (journal.sites, &journal.jobs[0].site),
        (vec!["Annex".into()], &Some("Annex".into()))
    );
    for (name, count) in [("Sandbox", 0), ("Annex", 1)] {
        screen.ask(Request::ShowJournal {
            filter: JournalFilter {
                site: Some(name.into()),
                ..JournalFilter::default()
            },
        });
        screen
            .until(name, |view| {
                view.journal.as_ref().is_some_and(|journal| {
                    journal.filter.site.as_deref() == Some(name) && journal.jobs.len() == count
                })
            })
            .await;
    }
    let settings = Settings {
        site: Some("Sandbox".into()),
        ..screen.view().settings.clone()
    };
    screen.ask(Request::Settings { settings });
    let view = screen
        .until("the first site", |view| view.site.as_deref() == Some("Sandbox"))
        .await;
    assert_eq!(ssids(&view), [("Workshop", false)]);
    screen.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_midway_settles_every_device_before_the_sign_in_ends() {
    let site = Site::open("[[device]]\ncount = 2\nserial = \"D{n}\"").await;
    site.sandbox
        .cloud()
        .faults()
        .change(|now| now.claim_delay_ms = 1500);
    let mut screen = Screen::signed_in(&site).await;
    screen.commission_all(&site, PASSPHRASE).await;
    screen
        .until("work", |view| view.jobs.iter().any(|job| job.stages.len() > 2))
        .await;
    screen.ask(Request::SignOut);
    screen
        .until("nobody", |view| {
            matches!(view.sign_in, SignInView::SignedOut { .. })
        })
        .await;
    assert_eq!(screen.view().rights.commission, RightView::SignedOut);
    for serial in ["D0001", "D0002"] {
        assert_eq!(site.left(serial), [""; 0]);
    }
    screen.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_role_lacks_is_said_before_a_device_is_touched() {
    let site = Site::open("[[device]]\nserial = \"A\"").await;
    site.sandbox
        .cloud()
        .faults()
        .change(|now| now.template_disabled = true);
    let mut screen = Screen::open(&site).await;
    let view = screen
        .until("what is wrong", |view| {
            view.rights.commission == RightView::TemplateOff
        })
        .await;
    assert_eq!(view.rights.transfer, RightView::Lacking);
    screen.send(
        json!({ "do": "read-labels", "file": "today.json", "text": json!(site.labels(&[])).to_string() }),
    );
    screen.until("the label", |view| view.labels.len() == 1).await;
    screen.send(json!({
        "do": "commission", "devices": [{ "named": screen.view().labels[0].name }],
        "network": { "from": "site", "ssid": "Workshop" }, "purpose": "new",
    }));
    let view = screen
        .until("why not", |view| {
            view.notices.iter().any(|notice| notice.code == "not-ready")
        })
        .await;
    assert!(view.jobs.is_empty());
    screen.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_for_a_template_stay_with_the_devices_that_they_were_given_for_and_with_the_person() {
    let template = r#"{"Parameters": {"SerialNumber": {"Type": "String"}, "Zone": {"Type": "String"}}, "Resources": {
        "thing": {"Type": "AWS::IoT::Thing", "Properties": {
            "ThingName": {"Fn::Join": ["-", [{"Ref": "Zone"}, {"Ref": "SerialNumber"}]]}}},
        "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {
            "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"}},
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "fieldkey-device"}}}}"#;
    let scenario = format!(
        "[cloud]\ntemplate_body = '''{template}'''\n[[device]]\nserial = \"A\"\n[[device]]\nserial = \"B\""
    );
    let site = Site::open_by(&scenario, STS_PROFILE_FILE, str::to_owned).await;
    let mut screen = Screen::signed_in(&site).await;
    let cloud = screen.view().cloud.clone();
    assert!(cloud.form[0].required && cloud.given.is_empty(), "{cloud:?}");
    // The label of the first is not read before its device asks, and no claim is asked for before that.
    let (first, second) = (json!(site.labels(&["A"])), json!(site.labels(&["B"])));
    screen.send(json!({ "do": "read-labels", "file": "today.json", "text": second.to_string() }));
    screen.until("the label", |view| view.labels.len() == 1).await;
    let order = |labels: &serde_json::Value, zone: &str| {
        json!({
            "do": "commission", "devices": [{ "named": labels[0]["name"] }],
            "network": { "from": "site", "ssid": "Workshop" }, "purpose": "new",
            "parameters": { "Zone": zone },
        })
    };
    screen.send(order(&first, "north hall"));
    let refused = screen
        .until("why not", |view| {
            view.notices.iter().any(|notice| notice.code == "parameter-unfit")
        })
        .await;
    assert!(refused.jobs.is_empty() && refused.cloud.given.is_empty());

    screen.send(order(&first, "north"));
    let asked = screen
        .until("the question", |view| {
            view.jobs.first().is_some_and(|job| job.question.is_some())
        })
        .await;
    screen.send(order(&second, "south"));
    screen
        .until("the second done", |view| view.progress.done == 1)
        .await;
    screen.send(json!({
        "do": "answer", "job": asked.jobs[0].id, "question": asked.jobs[0].asked,
        "reply": { "answer": "label", "text": first[0].to_string() },
    }));
    let done = screen.until("both done", |view| view.progress.done == 2).await;
    assert_eq!(done.cloud.given, [("Zone".to_owned(), "south".to_owned())].into());
    let mut names: Vec<String> = site
        .status()
        .things
        .iter()
        .map(|thing| thing.name.clone())
        .collect();
    names.sort();
    assert_eq!(names, ["north-A", "south-B"]);

    screen.ask(Request::SignOut);
    screen
        .until("nobody", |view| {
            matches!(view.sign_in, SignInView::SignedOut { .. })
        })
        .await;
    screen.ask(Request::SignIn {
        way: SignInWay::Browser,
    });
    screen.until_ready().await;
    assert!(
        screen.view().cloud.given.is_empty(),
        "nobody begins with another's values"
    );
    screen.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_of_one_name_have_two_labels_two_rows_and_two_jobs() {
    let site = Site::open("[[device]]\ncount = 2\nname = \"TWIN\"\nserial = \"D{n}\"").await;
    let mut screen = Screen::signed_in(&site).await;
    let view = screen.until("both", |view| view.nearby.len() == 2).await;
    assert!(
        view.nearby
            .iter()
            .all(|device| device.namesake && device.job.is_none())
    );
    screen.commission_all(&site, PASSPHRASE).await;
    let view = screen.until("done", |view| view.progress.done == 2).await;
    let mut serials: Vec<_> = view.jobs.iter().filter_map(|job| job.serial.clone()).collect();
    serials.sort();
    assert_eq!(serials, ["D0001", "D0002"]);
    assert_ne!(view.jobs[0].peripheral, view.jobs[1].peripheral);
    for serial in serials {
        assert_eq!(site.missing(&serial), [""; 0]);
    }
    screen.close().await;
}
