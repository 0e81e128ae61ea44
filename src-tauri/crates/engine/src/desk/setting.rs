//! What a person sets, and keeping it.

use super::{Settings, Worker};
use crate::settings::Profiles;

impl Worker {
    pub(super) async fn set(&mut self, settings: Settings) {
        let radio_differs =
            (settings.links, &settings.adapter) != (self.kept.settings.links, &self.kept.settings.adapter);
        let site_differs = settings.site != self.kept.settings.site;
        self.kept.settings = settings;
        self.keep_settings();
        if site_differs {
            self.look_at_networks();
        }
        if radio_differs {
            self.reopen_engine().await;
        }
    }

    pub(super) fn keep_settings(&mut self) {
        if let Err(error) = self.kept.write(&self.parts.home) {
            self.warn(
                "settings",
                error,
                "Check that the disk has room; the settings hold until this program ends.",
            );
        }
    }

    pub(super) fn profiles(&self) -> Profiles {
        Profiles::new(&self.parts.home)
    }
}
