//! Every screen in both themes, as a day brings them about.

use std::path::{Path, PathBuf};

use desktop::{Key, Window};
use journeys::{PASSPHRASE, Site};

/// Twelve devices: some are brought online, some are in work, some need a person, some have no label yet.
const SCENARIO: &str = r#"
[defaults]
keep_link = true

[[device]]
count = 3
name = "METER_{mac}"
serial = "MX2-0{n}"
rssi = -48

[[device]]
count = 3
name = "METER_{mac}"
serial = "MX2-1{n}"
rssi = -57

[[device]]
name = "VALVE_{mac}"
serial = "GV-2201"
owner = "other"
rssi = -63

[[device]]
name = "VALVE_{mac}"
serial = "GV-2202"
deaf_to = ["Workshop"]
rssi = -61

[[device]]
name = "GATE_{mac}"
serial = "GT-0417"
security = 1
rssi = -66

[[device]]
count = 3
name = "PROBE_{mac}"
serial = "PR-31{n}"
rssi = -74
"#;

/// Takes them.
pub(crate) async fn take(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let album = Album(folder.to_owned());
    let site = Site::bare(SCENARIO).await;
    let window = Window::open(&site, &[]).await;
    window.see("Import your organisation").await;
    album.add(&window, "start").await;
    window.close().await;

    let window = Window::first_day(&site).await;
    window.until_count("Needs its label", 12).await;
    window.press("Dismiss").await;
    window.scan_labels(&site, &serials(&site, "MX2-0")).await;
    album.add(&window, "nearby").await;
    window.press("Commission 3 devices").await;
    window.see("Passphrase").await;
    album.add(&window, "commission").await;
    window.fill("Passphrase", PASSPHRASE).await;
    window.key(Key::Enter).await;
    window.go("Done").await;
    window
        .see("Safe to leave: every device has all four proofs.")
        .await;
    window.choose("Done").await;
    album.add(&window, "done").await;

    // From here on the cloud takes its time, so that devices are seen in work.
    let faults = site.sandbox.cloud().faults();
    faults.change(|now| now.enrol_delay_ms = 120_000);
    window.go("Nearby").await;
    for prefix in ["MX2-1", "GV-", "GT-"] {
        for serial in serials(&site, prefix) {
            window.scan_labels(&site, &[serial]).await;
        }
    }
    window.press("Commission 6 devices").await;
    window.fill("Passphrase", PASSPHRASE).await;
    window.key(Key::Enter).await;
    window.go("In work").await;
    window.until_count("Enrolment", 3).await;
    window.choose("Working").await;
    album.add(&window, "work").await;
    window.go("Attention").await;
    window.choose("Needs you").await;
    album.add(&window, "attention").await;
    window.go("Journal").await;
    album.add(&window, "journal").await;
    window.go("Settings").await;
    window.press("Check now").await;
    album.add(&window, "settings").await;
    window.go("Nearby").await;
    window.type_text("?").await;
    album.add(&window, "keys").await;
    window.key(Key::Escape).await;
    window.ask_to_close().await;
    window.see("Close Fieldkey?").await;
    album.add(&window, "closing").await;
    window.crash().await;

    let window = Window::open(&site, &[]).await;
    window.see("in progress").await;
    album.add(&window, "unfinished").await;
    window.close().await;
}

/// Serials that begin like this.
fn serials(site: &Site, beginning: &str) -> Vec<String> {
    let labels = site.labels(&[]);
    let serials = labels.iter().filter_map(|label| label["serial"].as_str());
    serials
        .filter(|serial| serial.starts_with(beginning))
        .map(str::to_owned)
        .collect()
}

/// A folder of pictures.
struct Album(PathBuf);

impl Album {
    async fn add(&self, window: &Window, name: &str) {
        let toasts = "return document.querySelector('.toast') === null";
        window.until_true("what passes to have passed", toasts).await;
        for theme in ["dark", "light"] {
            window
                .ask(&format!("document.documentElement.dataset.theme = '{theme}'"))
                .await;
            window.picture(&self.0.join(format!("{name}-{theme}.png"))).await;
        }
    }
}
