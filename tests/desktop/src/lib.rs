//! The built app at a display, driven as a person would: it is clicked and typed into through WebDriver, and closed
//! through the display, while the devices and the cloud around it are a site of the journeys.
//!
//! Needs a display and WebKit's driver; `cargo xtask test --only desktop` brings both.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is part of tests: what is not as it should be ends them"
)]

mod day;
mod display;
mod memory;
mod window;

pub use display::{close_window, gone};
pub use memory::Memory;
pub use window::{Key, Window};
