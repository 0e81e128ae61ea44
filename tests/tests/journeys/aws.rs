//! An AWS account with no broker in between: the same journeys by Cognito and by STS, and what an account refuses.

use journeys::Site;
use sandbox::cloud::{CloudFaults, HangUp};
use sandbox::sandbox::{COGNITO_PROFILE_FILE, STS_PROFILE_FILE};

const WAYS: [&str; 2] = [COGNITO_PROFILE_FILE, STS_PROFILE_FILE];

fn as_it_is(profile: &str) -> String {
    profile.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_are_enrolled_by_an_identity_pool_and_by_a_role_with_no_broker_in_between() {
    for way in WAYS {
        let site = Site::open_by(
            "[[device]]\nserial = \"A\"\nsecurity = 2\n[[device]]\nserial = \"B\"\nsecurity = 1\nkeep_link = true",
            way,
            as_it_is,
        )
        .await;
        // The broker is no part of it.
        site.sandbox.cloud().faults().change(|now| now.broker_down = true);
        let run = site.commission(&[]).await.exits(0);
        for serial in ["A", "B"] {
            assert_eq!(run.ended(serial), ("done", ""), "{way}");
            assert_eq!(site.missing(serial), [""; 0], "{way}");
        }
        assert!(
            site.status().claims.iter().all(|claim| claim.state == "used"),
            "{way}"
        );
        assert_eq!(site.status().shortcomings(), [""; 0], "{way}");
        site.run(&["resume"]).await.exits(0).last("nothing-open");
        drop(site.run(&["doctor"]).await.exits(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_stays_on_its_claims_session_is_not_done_before_it_came_back_with_its_own_certificate()
{
    for index_off in [false, true] {
        let site = Site::open_by(
            "[[device]]\nserial = \"A\"\nstays_on_claim_ms = 9000",
            STS_PROFILE_FILE,
            as_it_is,
        )
        .await;
        let faults = site.sandbox.cloud().faults();
        faults.change(|now| now.aws_index_off = index_off);
        let run = site.commission(&[]).await.exits(0);
        // Whoever was satisfied by the claim's session would have ended while it stood.
        assert_eq!(site.status().shortcomings(), [""; 0], "{index_off}");
        assert_eq!(run.ended("A"), ("done", ""), "{index_off}");
        drop(site.run(&["watch", "A"]).await.exits(0));
    }
}

/// A fault of the account, and how a device ends under it.
struct Trouble {
    name: &'static str,
    way: &'static str,
    change: fn(&str) -> String,
    fault: fn(&mut CloudFaults),
    /// What the device has besides.
    device: &'static str,
    ends: Ends,
}

/// How it ends.
enum Ends {
    /// Enrolled, as if nothing had been.
    Done,
    /// Before any device is touched, with this code and these words.
    Untouched(&'static str, &'static str),
    /// With a device that the cloud refused. A claim of AWS's cannot be taken back, so that this is settled when it is
    /// over; the half-made certificate goes by itself.
    Refused,
}

const TROUBLES: [Trouble; 13] = [
    Trouble {
        name: "throttled",
        way: COGNITO_PROFILE_FILE,
        change: as_it_is,
        fault: |now| now.aws_throttle_first = 2,
        device: "",
        ends: Ends::Done,
    },
    Trouble {
        name: "keys over mid-way",
        way: STS_PROFILE_FILE,
        change: as_it_is,
        fault: |now| now.aws_keys_over_first = 1,
        device: "",
        ends: Ends::Done,
    },
    Trouble {
        name: "keys that live for seconds",
        way: COGNITO_PROFILE_FILE,
        change: as_it_is,
        fault: |now| now.aws_keys_life_ms = Some(2000),
        device: "",
        ends: Ends::Done,
    },
    Trouble {
        name: "clock ten minutes off",
        way: STS_PROFILE_FILE,
        change: as_it_is,
        fault: |now| now.clock_skew_s = 600,
        device: "",
        ends: Ends::Done,
    },
    Trouble {
        name: "no index",
        way: COGNITO_PROFILE_FILE,
        change: as_it_is,
        fault: |now| now.aws_index_off = true,
        device: "",
        ends: Ends::Done,
    },
    Trouble {
        name: "hung up on twice",
        way: STS_PROFILE_FILE,
        change: as_it_is,
        fault: |now| {
            now.mqtt_hang_up = Some(HangUp::Create);
            now.mqtt_hang_ups_left = 2;
        },
        device: "",
        ends: Ends::Done,
    },
    Trouble {
        name: "template off",
        way: COGNITO_PROFILE_FILE,
        change: as_it_is,
        fault: |now| now.template_disabled = true,
        device: "",
        ends: Ends::Untouched("template-disabled", "switched off"),
    },
    Trouble {
        name: "wrong region",
        way: STS_PROFILE_FILE,
        change: |profile| profile.replace("region = \"eu-central-1\"", "region = \"us-west-2\""),
        fault: |_| {},
        device: "",
        ends: Ends::Untouched("cloud-error", "check the region in the organisation profile"),
    },
    Trouble {
        name: "out of order",
        way: COGNITO_PROFILE_FILE,
        change: as_it_is,
        fault: |now| now.aws_down = true,
        device: "",
        ends: Ends::Untouched("cloud-unreachable", "temporarily unavailable"),
    },
    Trouble {
        name: "hook says no",
        way: COGNITO_PROFILE_FILE,
        change: as_it_is,
        fault: |now| {
            now.hook_refuses.insert("A".into());
        },
        device: "",
        ends: Ends::Refused,
    },
    Trouble {
        name: "policy missing",
        way: STS_PROFILE_FILE,
        change: as_it_is,
        fault: |now| now.policies_missing = true,
        device: "",
        ends: Ends::Refused,
    },
    Trouble {
        name: "hung up on for a forbidden topic",
        way: COGNITO_PROFILE_FILE,
        change: as_it_is,
        fault: |_| {},
        device: "oversteps = true\nmqtt = \"3.1.1\"\nkeep_link = true",
        ends: Ends::Refused,
    },
    Trouble {
        name: "refused a forbidden topic",
        way: STS_PROFILE_FILE,
        change: as_it_is,
        fault: |_| {},
        device: "oversteps = true\nmqtt = \"5\"\nkeep_link = true",
        ends: Ends::Refused,
    },
];

impl Trouble {
    async fn try_out(&self) {
        let name = self.name;
        let scenario = format!("[[device]]\nserial = \"A\"\n{}", self.device);
        let site = Site::open_by(&scenario, self.way, self.change).await;
        site.sandbox.cloud().faults().change(self.fault);
        let run = site.commission(&[]).await;
        match self.ends {
            Ends::Done => {
                let run = run.exits(0);
                assert_eq!(run.ended("A"), ("done", ""), "{name}");
                assert_eq!(site.missing("A"), [""; 0], "{name}");
                let left = site.sandbox.cloud().faults().now();
                let counted = (
                    left.aws_throttle_first,
                    left.aws_keys_over_first,
                    left.mqtt_hang_ups_left,
                );
                assert_eq!(counted, (0, 0, 0), "{name}: it never came to the trouble");
            }
            Ends::Untouched(code, words) => {
                let run = run.exits(6);
                let error = run.last("error");
                assert_eq!(error["code"], code, "{name}");
                assert!(error["what"].as_str().unwrap().contains(words), "{name}: {error}");
                let status = site.status();
                assert!(status.claims.is_empty() && status.orphans.is_empty(), "{name}");
            }
            Ends::Refused => {
                let run = run.exits(3);
                assert_eq!(run.ended("A"), ("unknown", "enrolment-refused"), "{name}");
                let status = site.status();
                assert!(status.things.is_empty(), "{name}");
                let goes = |orphan: &String| orphan.ends_with("never registered");
                assert!(status.orphans.iter().all(goes), "{name}: {:?}", status.orphans);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_trouble_of_an_account_is_got_over_or_told_by_its_code_and_leaves_nothing() {
    let tried: Vec<_> = TROUBLES
        .iter()
        .map(|trouble| (trouble.name, tokio::spawn(trouble.try_out())))
        .collect();
    let mut broken = Vec::new();
    for (name, trial) in tried {
        if trial.await.is_err() {
            broken.push(name);
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_that_the_template_would_not_replace_are_told_before_a_claim_is_spent() {
    let template = r#"{"Parameters": {"SerialNumber": {"Type": "String"}}, "Resources": {
        "thing": {"Type": "AWS::IoT::Thing", "Properties": {
            "ThingName": {"Ref": "SerialNumber"}, "AttributePayload": {"site": "north"}}},
        "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {
            "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"}}}}"#;
    let scenario = format!("[cloud]\ntemplate_body = '''{template}'''\n[[device]]\nserial = \"A\"");
    let site = Site::open_by(&scenario, COGNITO_PROFILE_FILE, as_it_is).await;
    let registry = site.sandbox.cloud().registry();
    registry.import_thing("A", [("site".into(), "south".into())].into());
    let run = site.commission(&[]).await.exits(1);
    assert_eq!(run.ended("A"), ("failed", "claim-refused"));
    assert!(run.stdout.contains("OverrideSettings"), "{}", run.stdout);
    assert!(site.status().claims.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_for_the_templates_parameters_are_checked_first_and_reach_the_registry() {
    let template = r#"{"Parameters": {"SerialNumber": {"Type": "String"}, "Zone": {"Type": "String"},
            "Floor": {"Type": "String", "Default": "0"}}, "Resources": {
        "thing": {"Type": "AWS::IoT::Thing", "Properties": {
            "ThingName": {"Ref": "SerialNumber"},
            "AttributePayload": {"zone": {"Ref": "Zone"}, "floor": {"Ref": "Floor"}}}},
        "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {
            "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"}},
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "fieldkey-device"}}}}"#;
    let scenario = format!("[cloud]\ntemplate_body = '''{template}'''\n[[device]]\nserial = \"A\"");
    let site = Site::open_by(&scenario, STS_PROFILE_FILE, as_it_is).await;
    let labels = site.paper(&site.labels(&[]));
    for (given, code) in [
        (&[][..], "parameter-missing"),
        (&["--parameter", "Zone=north hall"], "parameter-unfit"),
        (
            &["--parameter", "Zone=north", "--parameter", "Colour=red"],
            "parameter-unknown",
        ),
        (
            &["--parameter", "Zone=north", "--parameter", "Zone=south"],
            "usage",
        ),
    ] {
        let run = site
            .run(&[&["commission", "--labels", &labels], given].concat())
            .await
            .exits(2);
        assert_eq!(run.last("error")["code"], code);
    }
    assert!(site.status().claims.is_empty(), "nothing was started");

    let given = ["commission", "--labels", &labels, "--parameter", "Zone=north"];
    let run = site.run(&given).await.exits(0);
    assert_eq!(run.ended("A"), ("done", ""));
    let things = site.sandbox.cloud().registry().inspect().things;
    let attributes: Vec<_> = things.iter().flat_map(|thing| &thing.attributes).collect();
    assert!(
        attributes.contains(&(&"zone".to_owned(), &"north".to_owned())),
        "{attributes:?}"
    );
    assert!(
        attributes.contains(&(&"floor".to_owned(), &"0".to_owned())),
        "{attributes:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_keeps_the_values_that_were_given_for_it_when_the_program_is_killed_on_the_way() {
    let template = r#"{"Parameters": {"SerialNumber": {"Type": "String"}, "Zone": {"Type": "String"}}, "Resources": {
        "thing": {"Type": "AWS::IoT::Thing", "Properties": {
            "ThingName": {"Fn::Join": ["-", [{"Ref": "Zone"}, {"Ref": "SerialNumber"}]]}}},
        "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {
            "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"}},
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "fieldkey-device"}}}}"#;
    let scenario = format!(
        "[cloud]\ntemplate_body = '''{template}'''\n[[device]]\nserial = \"A\"\n[[device]]\nserial = \"B\""
    );
    let site = Site::open_by(&scenario, STS_PROFILE_FILE, as_it_is).await;
    let paper = |serial| site.paper(&site.labels(&[serial]));
    let given = ["commission", "--labels", &paper("A"), "--parameter", "Zone=north"];
    let mut running = site.start(&given);
    running.until_stage("joining").await;
    running.signal("KILL").await;
    drop(running.end().await);

    // Another device, another zone, before anybody looks after the first.
    let given = ["commission", "--labels", &paper("B"), "--parameter", "Zone=south"];
    assert_eq!(site.run(&given).await.exits(0).ended("B"), ("done", ""));
    let resumed = site.run(&["resume"]).await.exits(0);
    assert_eq!(resumed.ended("A"), ("done", ""));
    let mut names: Vec<String> = site
        .status()
        .things
        .iter()
        .map(|thing| thing.name.clone())
        .collect();
    names.sort();
    assert_eq!(names, ["north-A", "south-B"]);
    let watched = ["watch", "A", "--parameter", "Zone=north"];
    drop(site.run(&watched).await.exits(0));
    assert_eq!(site.status().shortcomings(), [""; 0]);
}
