//! Whole days at the built app: a person's clicks and keys, stock btleplug, the keyring, the sandbox's cloud.
#![cfg(target_os = "linux")]
#![expect(clippy::panic, reason = "what is not as it should be ends a test")]

use std::path::Path;

use desktop::Window;
use journeys::Site;
use sandbox::cloud::CloudFaults;

const WHY: &str = "needs a display and WebKit's driver: cargo xtask test --only desktop";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a display and WebKit's driver: cargo xtask test --only desktop"]
async fn two_devices_are_brought_online_and_the_page_is_accessible_in_both_themes() {
    let site = Site::bare("[[device]]\ncount = 2\nserial = \"D{n}\"\nkeep_link = true").await;
    let window = Window::first_day(&site).await;
    window.scan_labels(&site, &[""; 0]).await;
    window.commission("Commission 2 devices").await;
    window.go("Done").await;
    window
        .see("Safe to leave: every device has all four proofs.")
        .await;
    assert_eq!(site.status().shortcomings(), [""; 0]);

    let axe = std::fs::read_to_string(std::env::var_os("FIELDKEY_AXE").expect(WHY)).unwrap();
    for theme in ["Dark", "Light"] {
        window.go("Settings").await;
        window.pick("Colours", theme).await;
        for place in ["Nearby", "Done", "Journal", "Settings"] {
            window.go(place).await;
            assert_eq!(window.shortcomings(&axe).await, [""; 0], "{place}, {theme}");
        }
    }
    // A computer that runs this without a graphics card has no use for a second way to draw.
    let card = ["/dev/dri", "/dev/nvidia0"]
        .iter()
        .any(|path| Path::new(path).exists());
    assert!(
        card || window.resident().rasteriser == 0,
        "a software renderer is loaded"
    );
    window.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a display and WebKit's driver: cargo xtask test --only desktop"]
async fn closing_the_window_midway_asks_first_and_leaves_every_device_in_a_named_state() {
    let (site, window) = two_in_work().await;
    window.ask_to_close().await;
    window.see("Close Fieldkey?").await;
    window.press("Go on working").await;
    window.see_no_more("Close Fieldkey?").await;
    window.ask_to_close().await;
    window.press("Stop the work and close").await;
    window.gone().await;
    for serial in ["D0001", "D0002"] {
        assert_eq!(site.left(serial), [""; 0]);
    }

    let window = Window::open(&site, &[]).await;
    window.see("Anna Installer").await;
    window.go("Journal").await;
    window.until_count("Failed", 2).await;
    window.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a display and WebKit's driver: cargo xtask test --only desktop"]
async fn what_a_crash_left_is_resumed_after_the_next_start() {
    let (site, window) = two_in_work().await;
    let second = tokio::process::Command::new(std::env::var_os("FIELDKEY_APP").expect(WHY))
        .envs(site.surroundings())
        .status();
    assert!(
        second.await.unwrap().success(),
        "a second start shows the window that there is"
    );
    window.see("0 of 2").await;
    window.crash().await;

    site.sandbox.cloud().faults().set(CloudFaults::default());
    let window = Window::open(&site, &[]).await;
    window.see("2 devices were in progress").await;
    window.press("Resume 2 devices").await;
    window.see_no_more("2 devices were in progress").await;
    window.until_idle().await;
    window.close().await;
    // Enrolled with what they had been given, or that was taken back: nothing in between.
    for serial in ["D0001", "D0002"] {
        assert!(
            site.missing(serial).is_empty() || site.left(serial).is_empty(),
            "{serial}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a display and WebKit's driver: cargo xtask test --only desktop"]
async fn a_try_with_simulated_devices_signs_in_to_a_sandbox_of_its_own_that_ends_with_its_window() {
    let site = Site::bare("[[device]]\nserial = \"A\"").await;
    let window = Window::open(&site, &[]).await;
    window.press("Start the simulation").await;
    let second = window.another_with("--sign-in").await;
    let folder = site.files().join("data/simulated");
    let says = async |words: &[&str]| {
        let mut command = tokio::process::Command::new(journeys::fieldkey());
        command.args(words).env("FIELDKEY_HOME", folder.join("home"));
        command.output().await.unwrap().status.success()
    };
    let state = folder.join("sandbox").display().to_string();
    until("somebody to be signed in", async || says(&["whoami"]).await).await;

    tokio::task::spawn_blocking(move || desktop::close_window(second))
        .await
        .unwrap();
    desktop::gone(second).await;
    let status = ["sandbox", "status", "--state", &state];
    until("the sandbox to end", async || !says(&status).await).await;
    window.see("Import your organisation").await;
    window.close().await;
}

/// Waits for something outside the window.
async fn until(what: &str, is: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if is().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("waited in vain for {what}");
}

/// Two devices that have joined, and that the cloud keeps waiting for their identity.
async fn two_in_work() -> (Site, Window) {
    let site = Site::bare("[[device]]\ncount = 2\nserial = \"D{n}\"\nkeep_link = true").await;
    let faults = site.sandbox.cloud().faults();
    faults.change(|now| now.enrol_delay_ms = 20_000);
    let window = Window::first_day(&site).await;
    window.scan_labels(&site, &[""; 0]).await;
    window.commission("Commission 2 devices").await;
    window.see("0 of 2").await;
    site.until(|now| now.devices.iter().all(|device| device.wifi == "connected"))
        .await;
    (site, window)
}
