//! Scenario files: read, filled up from defaults, and refused by line and field.

use super::*;
use crate::device::wifi::Manner;
use commission::dialect::espressif::advert::EXAMPLE_SERVICE;

fn refused(text: &str) -> ScenarioError {
    match Scenario::parse(text) {
        Ok(_) => panic!("this was taken:\n{text}"),
        Err(error) => error,
    }
}

#[test]
fn the_built_in_scenarios_are_sound() {
    let demo = Scenario::built_in("demo").unwrap().unwrap();
    assert_eq!(demo.devices.len(), 5);
    assert_eq!(demo.networks[0].ssid.to_string(), "plant-iot");
    let fifty = Scenario::built_in("fifty").unwrap().unwrap();
    assert_eq!(fifty.devices.len(), 50);
    let serials: std::collections::BTreeSet<_> = fifty.devices.iter().map(|device| &device.serial).collect();
    assert_eq!(serials.len(), 50);
    assert!(Scenario::built_in("other").is_none());
}

#[test]
fn a_device_that_says_nothing_is_a_usual_one() {
    let scenario = Scenario::parse("[[device]]").unwrap();
    let device = &scenario.devices[0];
    assert_eq!(device.serial.as_str(), "FK-0001");
    assert!(device.name.starts_with("PROV_"), "{}", device.name);
    let Security::Two {
        username,
        pop,
        patched: true,
    } = &device.provisioning.security
    else {
        panic!("{:?}", device.provisioning.security)
    };
    assert_eq!((username.as_str(), pop.reveal().len()), ("wifiprov", 8));
    assert_eq!(device.provisioning.service, EXAMPLE_SERVICE);
    assert_eq!(scenario.cloud.users.len(), 3);
}

#[test]
fn one_seed_makes_the_same_devices_and_another_seed_others() {
    let devices = |seed| {
        Scenario::parse(&format!("seed = {seed}\n[[device]]\ncount = 3"))
            .unwrap()
            .devices
    };
    assert_eq!(devices(7), devices(7));
    assert_ne!(
        devices(7)[0].provisioning.security,
        devices(8)[0].provisioning.security
    );
}

#[test]
fn a_device_takes_what_it_does_not_say_from_the_defaults() {
    let scenario = Scenario::parse(
        "[[network]]\nssid = \"a\"\nmanner = \"no-address\"\n[defaults]\nmtu = 185\nsecurity = 1\npop = \"abcd1234\"\n\
         [[device]]\n[[device]]\nmtu = 23\nhears = { a = -90 }\nserial = \"X-{n}\"",
    )
    .unwrap();
    let [first, second] = &scenario.devices[..] else {
        panic!()
    };
    assert_eq!((first.provisioning.mtu, second.provisioning.mtu), (185, 23));
    assert_eq!(second.provisioning.security.pop(), Some(&Pop::new("abcd1234")));
    assert_eq!(second.serial.as_str(), "X-0002");
    assert_eq!(
        second.wifi.hears.get(&scenario.networks[0].ssid),
        Some(&Some(-90))
    );
    assert_eq!(scenario.networks[0].manner, Manner::NoAddress);
}

#[test]
fn a_clone_has_the_serial_of_another_and_no_row_with_the_maker() {
    let scenario =
        Scenario::parse("[[device]]\nserial = \"X\"\n[[device]]\nserial = \"X\"\nclone = true").unwrap();
    assert_eq!((scenario.devices[0].copy, scenario.devices[1].copy), (0, 1));
    assert!(scenario.devices[0].import.is_some() && scenario.devices[1].import.is_none());
}

#[test]
fn faults_are_named_by_endpoint_and_request() {
    let scenario = Scenario::parse(
        "[[device]]\ndelay = [{ endpoint = \"prov-scan\", ms = 31000 }]\n\
         drop = [{ endpoint = \"prov-config\", request = 2, times = 2 }]",
    )
    .unwrap();
    let faults = &scenario.devices[0].faults;
    assert_eq!(faults.delay[0].at("prov-scan", 0), Duration::from_secs(31));
    assert_eq!(faults.delay[0].at("prov-scan", 1), Duration::ZERO);
    let dropped: Vec<_> = (0..6)
        .filter(|request| faults.drop[0].is_at("prov-config", *request))
        .collect();
    assert_eq!(dropped, [2, 3]);
}

#[test]
fn what_is_wrong_is_shown_with_line_and_field() {
    for (text, line, field, says) in [
        ("speed = ", 1, "", ""),
        ("", 1, "device", "at least one"),
        ("speed = 0\n[[device]]", 1, "speed", "above zero"),
        ("speeed = 2", 1, "speeed", "unknown field `speeed`"),
        ("[[device]]\nsecurty = 1", 2, "device[0].securty", "unknown field"),
        ("[[device]]\nsecurity = 3", 2, "device[0].security", "0, 1 and 2"),
        (
            "[[device]]\nsecurity = \"two\"",
            2,
            "device[0].security",
            "invalid type",
        ),
        (
            "[[device]]\nsecurity = 1\npatch = 0",
            3,
            "device[0].patch",
            "security 2",
        ),
        ("[[device]]\npatch = 2", 2, "device[0].patch", "0 or 1"),
        ("[[device]]\nno_pop = true", 2, "device[0].no_pop", "security = 1"),
        (
            "[[device]]\nsecurity = 1\npop = \"a\"\nno_pop = true",
            4,
            "device[0].no_pop",
            "not both",
        ),
        ("[[device]]\npop = \"\"", 2, "device[0].pop", "no_pop"),
        ("[[device]]\nusername = \"\"", 2, "device[0].username", "empty"),
        ("[[device]]\ncount = 0", 2, "device[0].count", "1 to 1000"),
        (
            "[[device]]\n[[device]]\ncount = 1000",
            3,
            "device[1].count",
            "1 to 1000",
        ),
        (
            "[[device]]\ncount = 2\nserial = \"X\"",
            3,
            "device[0].serial",
            "{n}",
        ),
        (
            "[[device]]\nserial = \"X\"\n[[device]]\nserial = \"X\"",
            4,
            "device[1].serial",
            "clone = true",
        ),
        ("[[device]]\nserial = \"X Y\"", 2, "device[0].serial", "letters"),
        (
            "[[device]]\nname = \"PROV_0123456789abcdef0123456789\"",
            2,
            "device[0].name",
            "29 bytes",
        ),
        ("[defaults]\nmtu = 22\n[[device]]", 2, "defaults.mtu", "23 to 517"),
        (
            "[[device]]\nvalue_limit = 257",
            2,
            "device[0].value_limit",
            "handshake",
        ),
        (
            "[[device]]\nvalue_limit = 300",
            2,
            "device[0].value_limit",
            "257, 481",
        ),
        ("[[device]]\nchunk = 300", 2, "device[0].chunk", "200 or 400"),
        (
            "[[device]]\nvalue_limit = 257\nsecurity = 1\nchunk = 400",
            4,
            "device[0].chunk",
            "cannot",
        ),
        ("[[device]]\nlockout = 0", 2, "device[0].lockout", "leave"),
        ("[[device]]\nrssi = 5", 2, "device[0].rssi", "-100"),
        (
            "[[device]]\ninterval_ms = 5",
            2,
            "device[0].interval_ms",
            "20 to 10240",
        ),
        (
            "[[device]]\nplain = true\nidentity = \"p256\"",
            3,
            "device[0].identity",
            "plain",
        ),
        (
            "[[device]]\nidentity = \"rsa\"",
            2,
            "device[0].identity",
            "this is none of its values, expected one of",
        ),
        ("[[device]]\nmqtt = \"4\"", 2, "device[0].mqtt", "3.1.1"),
        ("[[device]]\nstack = \"zephyr\"", 2, "device[0].stack", "nimble"),
        (
            "[[device]]\nhears = { a = -50 }",
            2,
            "device[0].hears",
            "no [[network]]",
        ),
        (
            "[[device]]\naddress = \"24:0A\"",
            2,
            "device[0].address",
            "no Bluetooth address",
        ),
        (
            "[[device]]\naddress = \"24:0A:C4:00:00:01\"\n[[device]]\naddress = \"24:0A:C4:00:00:01\"",
            1,
            "device",
            "two devices",
        ),
        (
            "[[device]]\ndrop = [{ endpoint = \"prov\", request = 1 }]",
            2,
            "device[0].drop",
            "no endpoint",
        ),
        (
            "[[device]]\ndrop = [{ endpoint = \"proto-ver\" }]",
            2,
            "device[0].drop[0]",
            "request",
        ),
        ("[[network]]\n[[device]]", 1, "network[0].ssid", "either"),
        (
            "[[network]]\nssid = \"\"\n[[device]]",
            2,
            "network[0].ssid",
            "1 to 32",
        ),
        (
            "[[network]]\nssid_hex = \"zz\"\n[[device]]",
            2,
            "network[0].ssid_hex",
            "not hex",
        ),
        (
            "[[network]]\nssid = \"a\"\npassphrase = \"short\"\n[[device]]",
            3,
            "network[0].passphrase",
            "8 to 63",
        ),
        (
            "[[network]]\nssid = \"a\"\nauth = \"wpa2\"\n[[device]]",
            3,
            "network[0].auth",
            "passphrase",
        ),
        (
            "[[network]]\nssid = \"a\"\nchannel = 0\n[[device]]",
            3,
            "network[0].channel",
            "1 to 196",
        ),
        (
            "[[network]]\nssid = \"a\"\nmanner = \"odd\"\n[[device]]",
            3,
            "network[0].manner",
            "refuses-oddly",
        ),
        (
            "[[device]]\n[[user]]\nuser = \"a\"\npassword = \"b\"",
            2,
            "user[0]",
            "roles",
        ),
        (
            "[[device]]\n[[user]]\nuser = \"\"\npassword = \"b\"\nroles = []",
            3,
            "user[0].user",
            "name of its own",
        ),
        (
            "[[device]]\n[cloud]\nclaim_life_ms = 0",
            3,
            "cloud.claim_life_ms",
            "longer than nothing",
        ),
        (
            "[[device]]\n[cloud]\ntemplate_body = \"{\"",
            3,
            "cloud.template_body",
            "not JSON",
        ),
        (
            "[[device]]\n[cloud.faults]\nbroken = true",
            3,
            "cloud.faults.broken",
            "unknown field",
        ),
    ] {
        let error = refused(text);
        assert_eq!(
            (error.line, error.field.as_str()),
            (line, field),
            "{text}\n{error}"
        );
        assert!(error.problem.contains(says), "{text}\n{error}");
    }
}

#[test]
fn a_message_reads_like_one() {
    assert_eq!(
        refused("[[device]]\nmtu = 5").to_string(),
        "line 2, device[0].mtu: an ATT MTU is from 23 to 517"
    );
}

#[test]
fn every_example_of_the_reference_is_a_scenario() {
    let text = include_str!("../../SCENARIO.md");
    let mut examples = 0;
    for block in text.split("```toml\n").skip(1) {
        let example = block.split("```").next().unwrap();
        Scenario::parse(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
        examples += 1;
    }
    assert_eq!(examples, 3);
}

#[test]
fn the_reference_names_every_field_of_a_device() {
    let text = include_str!("../../SCENARIO.md");
    let error = Scenario::parse("[[device]]\nno_such_field = 1")
        .unwrap_err()
        .problem;
    let fields = error.split('`').skip(3).step_by(2);
    for field in fields {
        let named = text.contains(&format!("`{field}`")) || text.contains(&format!("{field} = "));
        assert!(named, "SCENARIO.md does not name {field}");
    }
}
