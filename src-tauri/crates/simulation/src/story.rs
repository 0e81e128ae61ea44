//! A history as it is told: one line a step, with time, who and what.

use std::fmt::Write as _;

/// The lines, kept only where somebody wants to read them.
#[derive(Debug, Default)]
pub struct Story {
    told: Option<String>,
}

impl Story {
    /// One that is kept.
    pub const fn kept() -> Self {
        Self {
            told: Some(String::new()),
        }
    }

    /// Tells a line; the words are made only where they are kept.
    pub fn tell(&mut self, at: u64, who: impl FnOnce() -> String, what: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told {
            let (seconds, millis) = (at / 1000, at % 1000);
            let (minutes, seconds) = (seconds / 60, seconds % 60);
            // Writing to a text does not fail.
            let _ = writeln!(
                told,
                "{minutes:3}:{seconds:02}.{millis:03}  {:<18} {}",
                who(),
                what()
            );
        }
    }

    /// All of it.
    pub fn text(&self) -> &str {
        self.told.as_deref().unwrap_or_default()
    }
}
