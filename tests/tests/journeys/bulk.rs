//! Devices of a maker's list, registered at once from the office: from the list to the lines that failed.

use std::path::PathBuf;

use journeys::{Run, Site};
use sandbox::sandbox::{COGNITO_PROFILE_FILE, REGISTRAR_PROFILE_FILE, STS_PROFILE_FILE};
use tempfile::TempDir;

/// Attributes of a thing that is there are not replaced.
const TEMPLATE: &str = r#"{"Parameters": {"SerialNumber": {"Type": "String"}, "Site": {"Type": "String"}},
    "Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {
        "ThingName": {"Ref": "SerialNumber"}, "AttributePayload": {"site": {"Ref": "Site"}}}}}}"#;
const KEY: &str = "2026/things.jsonl";

/// The office: a site at which somebody works with a maker's list on the table.
struct Office {
    site: Site,
    table: TempDir,
}

impl Office {
    /// With a profile of the sandbox's, as this person.
    async fn open(profile: &str, person: &str) -> Self {
        let site = Site::open_by("[[device]]\nserial = \"FK-1\"", profile, str::to_owned).await;
        site.sign_in_as(person).await;
        let table = tempfile::tempdir().unwrap();
        std::fs::write(table.path().join("template.json"), TEMPLATE).unwrap();
        std::fs::write(
            table.path().join("list.csv"),
            "serial,site\nFK-1,north\nFK-2,north\nFK-3,north\n",
        )
        .unwrap();
        Self { site, table }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.table.path().join(file)
    }

    /// `fieldkey aws bulk`; names of files are those on the table.
    async fn bulk(&self, arguments: &[&str]) -> Run {
        let on_the_table = |argument: &&str| match argument.rsplit_once('.') {
            Some((_, "json" | "jsonl" | "csv")) if *argument != KEY => {
                self.path(argument).to_string_lossy().into_owned()
            }
            _ => (*argument).to_owned(),
        };
        let arguments: Vec<String> = arguments.iter().map(on_the_table).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.site
            .run(&[&["aws", "bulk"], arguments.as_slice()].concat())
            .await
    }

    async fn lines(&self) -> String {
        let made = ["lines", "--from", "list.csv", "--template-body", "template.json"];
        let made = [made.as_slice(), &["--output", "things.jsonl"]].concat();
        drop(self.bulk(&made).await.exits(0));
        std::fs::read_to_string(self.path("things.jsonl")).unwrap()
    }

    async fn start_with(&self, role: &str) -> Run {
        let bucket = self.site.status().aws.bucket;
        let start = ["start", "--bucket", &bucket, "--key", KEY, "--role-arn", role];
        self.bulk(&[start.as_slice(), &["--template-body", "template.json"]].concat())
            .await
    }

    async fn start(&self) -> Run {
        let role = self.site.status().aws.registration_role;
        self.start_with(&role).await
    }
}

fn task(run: &Run) -> String {
    run.last("bulk-started")["task"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_makers_list_is_registered_and_each_line_that_was_not_is_told_by_its_device() {
    let office = Office::open(REGISTRAR_PROFILE_FILE, "rita").await;
    let cloud = office.site.sandbox.cloud();
    cloud
        .registry()
        .import_thing("FK-2", [("site".into(), "south".into())].into());
    let file = office.lines().await;
    let checked = office
        .bulk(&["check", "things.jsonl", "--template-body", "template.json"])
        .await
        .exits(0);
    assert_eq!(checked.last("bulk-checked")["devices"], 3);
    // What the office's tools put there need not be what was checked.
    assert!(cloud.put_line_file(KEY, &format!("{file}{{\"SerialNumber\":\"FK-4\"}}\nno JSON\n")));
    let task = task(&office.start().await.exits(0));

    let follow = [
        "follow",
        &task,
        "--lines",
        "things.jsonl",
        "--template-body",
        "template.json",
    ];
    let run = office.bulk(&follow).await.exits(1);
    let told = run.last("bulk-task");
    assert_eq!(
        (told["successCount"].as_u64(), told["failureCount"].as_u64()),
        (Some(2), Some(3)),
        "{told}"
    );
    assert_eq!(run.last("error")["code"], "bulk-devices-failed");
    let failures: Vec<_> = run
        .lines
        .iter()
        .filter(|line| line["type"] == "bulk-failure")
        .collect();
    let places: Vec<_> = failures
        .iter()
        .map(|failure| (failure["line"].as_u64().unwrap(), failure["serial"].as_str()))
        .collect();
    assert_eq!(places, [(2, Some("FK-2")), (4, None), (5, None)]);
    assert_eq!(failures[0]["reason"], "ResourceRegistrationFailureException");
    assert!(
        failures[1]["why"].as_str().unwrap().contains("Site"),
        "{}",
        failures[1]
    );
    for secret in office.site.handed_out() {
        assert!(!run.stdout.contains(secret.reveal()) && !run.stderr.contains(secret.reveal()));
    }

    let things: Vec<_> = office
        .site
        .status()
        .things
        .into_iter()
        .map(|thing| thing.name)
        .collect();
    assert_eq!(things, ["FK-1", "FK-2", "FK-3"]);
    let there = cloud.registry().inspect();
    let site = |name: &str| {
        let thing = there.things.iter().find(|thing| thing.name == name).unwrap();
        thing.attributes["site"].clone()
    };
    assert_eq!((site("FK-1").as_str(), site("FK-2").as_str()), ("north", "south"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_without_a_fault_ends_well_with_keys_of_a_role_and_of_an_identity_pool() {
    for way in [REGISTRAR_PROFILE_FILE, COGNITO_PROFILE_FILE] {
        let office = Office::open(way, "rita").await;
        let file = office.lines().await;
        assert!(office.site.sandbox.cloud().put_line_file(KEY, &file));
        let task = task(&office.start().await.exits(0));
        let run = office.bulk(&["follow", &task]).await.exits(0);
        assert_eq!(run.last("bulk-task")["successCount"], 3, "{way}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_runs_keeps_a_second_from_starting_and_is_stopped() {
    let office = Office::open(REGISTRAR_PROFILE_FILE, "rita").await;
    let cloud = office.site.sandbox.cloud();
    // No line is done unless the task is told to stop.
    cloud.faults().change(|now| now.aws_bulk_line_ms = 3_600_000);
    let file = office.lines().await;
    assert!(cloud.put_line_file(KEY, &file));
    let task = task(&office.start().await.exits(0));
    let second = office.start().await.exits(6);
    let error = second.last("error");
    assert!(
        error["what"].as_str().unwrap().contains("one task at a time"),
        "{error}"
    );

    drop(office.bulk(&["stop", &task]).await.exits(0));
    let run = office.bulk(&["follow", &task]).await.exits(1);
    assert_eq!(run.last("error")["code"], "bulk-cancelled");
    assert!(office.site.status().things.is_empty());
    cloud.faults().change(|now| now.aws_bulk_line_ms = 0);
    let again = self::task(&office.start().await.exits(0));
    drop(office.bulk(&["follow", &again]).await.exits(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_is_named_and_nothing_is_started() {
    let refused = |run: Run, words: &str| {
        let run = run.exits(6);
        let error = run.last("error");
        assert!(
            error["what"].as_str().unwrap().contains(words),
            "{words}: {error}"
        );
    };
    // An installer's own role, and the registrar's role for somebody whom it does not trust.
    let installer = Office::open(STS_PROFILE_FILE, "anna").await;
    refused(installer.start().await, "iot:StartThingRegistrationTask");
    let stranger = Office::open(REGISTRAR_PROFILE_FILE, "anna").await;
    refused(stranger.start().await, "trust policy");
    // Another role than the one that a registrar may pass on.
    let registrar = Office::open(REGISTRAR_PROFILE_FILE, "rita").await;
    let other = registrar.site.status().aws.installer_role;
    refused(registrar.start_with(&other).await, "iam:PassRole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_whose_link_is_over_is_said_to_be_there_for_the_asking_and_its_address_is_not_shown() {
    let office = Office::open(REGISTRAR_PROFILE_FILE, "rita").await;
    let cloud = office.site.sandbox.cloud();
    cloud.faults().change(|now| now.aws_link_life_ms = Some(0));
    drop(office.lines().await);
    assert!(cloud.put_line_file(KEY, "no JSON\n"));
    let task = task(&office.start().await.exits(0));
    let run = office.bulk(&["follow", &task]).await.exits(1);
    // That devices failed is known without the report.
    assert_eq!(run.last("error")["code"], "bulk-devices-failed");
    let warning = run.last("warning");
    assert_eq!(warning["code"], "bulk-report");
    assert!(
        warning["what"].as_str().unwrap().contains("ask again"),
        "{warning}"
    );
    for secret in office.site.handed_out() {
        assert!(!run.stdout.contains(secret.reveal()) && !run.stderr.contains(secret.reveal()));
    }
    cloud.faults().change(|now| now.aws_link_life_ms = None);
    let again = office.bulk(&["follow", &task]).await.exits(1);
    assert_eq!(again.last("bulk-failure")["line"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_there_fails_the_task_and_is_told() {
    let office = Office::open(REGISTRAR_PROFILE_FILE, "rita").await;
    drop(office.lines().await);
    let task = task(&office.start().await.exits(0));
    let run = office.bulk(&["follow", &task]).await.exits(1);
    let error = run.last("error");
    assert_eq!(error["code"], "bulk-failed");
    assert!(error["what"].as_str().unwrap().contains(KEY), "{error}");
}
