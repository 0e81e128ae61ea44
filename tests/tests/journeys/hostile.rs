//! Devices that answer with anything but what they were asked for, at every endpoint: each ends by a code, with what to
//! do, and in what the cloud has.

use std::fmt::Write as _;

use journeys::Site;

const ENDPOINTS: [&str; 8] = [
    "proto-ver",
    "prov-session",
    "prov-config",
    "prov-scan",
    "prov-ctrl",
    "identity",
    "cloud-cred",
    "cloud-status",
];

const FAULTS: [&str; 6] = ["garble", "truncate", "empty", "lengthen", "fail", "drop"];

/// Each fault at each endpoint, from the first request to it on, for so many requests.
async fn strike_everywhere(security: u8, times: u32) -> Vec<(String, String, String)> {
    let mut scenario = String::from("[policy]\nallow-unencrypted = true\nallow-no-pop = true\n");
    let mut devices = Vec::new();
    for endpoint in ENDPOINTS {
        for fault in FAULTS {
            let serial = format!("{endpoint}-{fault}");
            let _ = write!(
                scenario,
                "[[device]]\nserial = \"{serial}\"\nname = \"{serial}\"\nsecurity = {security}\nkeep_link = true\n\
                 {fault} = [{{ endpoint = \"{endpoint}\", request = 0, times = {times} }}]\n"
            );
            devices.push(serial);
        }
    }
    let site = Site::open(&scenario).await;
    let run = site.commission(&[]).await;
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    let unknown = devices.iter().any(|serial| run.ended(serial).0 == "unknown");
    let settled = if unknown {
        Some(site.run(&["resume"]).await)
    } else {
        None
    };
    let mut ends = Vec::new();
    for serial in devices {
        let (state, code) = run.ended(&serial);
        let finished = run.events("finished");
        let end = finished
            .iter()
            .find(|line| line["name"] == serial.as_str())
            .unwrap();
        if state != "done" {
            for member in ["code", "what", "why", "now"] {
                let words = end["failure"][member].as_str().unwrap_or_default();
                assert!(!words.is_empty(), "{serial} ended without {member}: {end}");
            }
        }
        let last = settled.as_ref().filter(|_| state == "unknown");
        site.hold_against_the_cloud(last.unwrap_or(&run), &serial);
        let (state, code) = (state.to_owned(), code.to_owned());
        ends.push((serial, state, code));
    }
    ends
}

/// How a device ends that never answers as it should. Nothing hangs on `prov-ctrl`, and the cloud itself says what
/// `cloud-status` does not.
fn expected(endpoint: &str, fault: &str) -> (&'static str, &'static str) {
    match (endpoint, fault) {
        ("prov-ctrl" | "cloud-status", _) => ("done", ""),
        // Half a scan, or none, lists no network; the person is asked, and nobody is there.
        ("prov-scan", "truncate" | "fail") => ("failed", "unanswered"),
        (_, "fail" | "drop") => ("failed", "device-refused"),
        _ => ("failed", "protocol"),
    }
}

/// The code of a device's end. One that closes the link instead of answering is told in two ways, as the refusal of
/// the operation or the end of the link comes first from the stack.
fn told<'a>(fault: &str, code: &'a str) -> &'a str {
    match (fault, code) {
        ("drop", "link-lost") => "device-refused",
        _ => code,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_never_answers_as_it_should_is_told_by_its_code_and_leaves_nothing() {
    let mut ends = strike_everywhere(1, 10_000).await.into_iter();
    for endpoint in ENDPOINTS {
        for fault in FAULTS {
            let (serial, state, code) = ends.next().unwrap();
            assert_eq!(
                (state.as_str(), told(fault, &code)),
                expected(endpoint, fault),
                "{serial}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_answer_that_is_not_as_it_should_be_is_no_reason_to_give_a_device_up() {
    for (serial, state, code) in strike_everywhere(2, 1).await {
        assert_eq!(state, "done", "{serial} ended with {code}");
    }
}

/// The same without a session. Nothing but its form tells an answer in the clear from noise, so that a list of networks
/// that is none is an empty one; and such a device takes no claim, so that none comes to an end that is good.
fn expected_in_the_clear(endpoint: &str, fault: &str) -> (&'static str, &'static str) {
    match (endpoint, fault) {
        ("prov-ctrl" | "cloud-status", _) => ("failed", "claim-rejected"),
        ("prov-scan", "garble" | "lengthen") => ("failed", "unanswered"),
        _ => expected(endpoint, fault),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_in_the_clear_that_are_empty_cut_or_noise_are_told_by_their_codes_and_are_never_success() {
    let mut ends = strike_everywhere(0, 10_000).await.into_iter();
    for endpoint in ENDPOINTS {
        for fault in FAULTS {
            let (serial, state, code) = ends.next().unwrap();
            assert_eq!(
                (state.as_str(), told(fault, &code)),
                expected_in_the_clear(endpoint, fault),
                "{serial}"
            );
        }
    }
}
