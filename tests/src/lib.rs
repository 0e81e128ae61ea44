//! What the journeys stand on: a sandbox in this process, and the real `fieldkey` program beside it.
//!
//! Not for: what a journey expects; that stands in the tests.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is part of tests: what is not as it should be ends them"
)]

mod program;
mod site;
#[cfg(target_os = "linux")]
mod terminal;

pub use program::{Run, Running, fieldkey};
pub use site::{PASSPHRASE, Site};
#[cfg(target_os = "linux")]
pub use terminal::Terminal;
