//! What every day at the window begins with.

use journeys::{PASSPHRASE, Site};
use serde_json::json;

use crate::{Key, Window};

impl Window {
    /// Opens the app at a site that the person has never been to: the profile is pasted, the sign-in done in the
    /// browser.
    pub async fn first_day(site: &Site) -> Self {
        site.write_browser("anna");
        let window = Self::open(site, &[]).await;
        let profile = std::fs::read_to_string(site.profile()).expect("the profile");
        window.unfold("Or drop it here, or paste its text.").await;
        window.paste("Text of the profile", &profile).await;
        window.press("Import this text").await;
        window.press("Sign in with the browser").await;
        window.see("Anna Installer").await;
        window
    }

    /// Reads the labels of these devices with a hand scanner, of all where none is named, once they are heard.
    pub async fn scan_labels(&self, site: &Site, serials: &[impl AsRef<str>]) {
        let serials: Vec<&str> = serials.iter().map(AsRef::as_ref).collect();
        for label in site.labels(&serials) {
            let name = label["name"].as_str().expect("a name");
            self.see(name).await;
            let code = json!({
                "ver": "v1", "name": name, "pop": label["pop"], "transport": "ble",
                "username": label["username"],
            });
            self.scan(&code.to_string()).await;
            self.see_row(name, "Ready").await;
        }
    }

    /// Commissions what is selected by pressing this button, into the network Workshop.
    pub async fn commission(&self, button: &str) {
        self.press(button).await;
        self.fill("Passphrase", PASSPHRASE).await;
        self.key(Key::Enter).await;
    }

    /// Waits until this text can be seen so often, each time as a line of its own.
    pub async fn until_count(&self, text: &str, count: usize) {
        let lines = "document.body.innerText.split('\\n').map((line) => line.trim())";
        let script = format!("return {lines}.filter((line) => line === {text:?}).length === {count}");
        self.until_true(&format!("{text} {count} times"), &script).await;
    }
}
