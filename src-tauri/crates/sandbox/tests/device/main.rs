//! Simulated devices against the product's own dialect client, and against the simulated cloud.

// Marked as tests so that clippy treats what they share as such too.
#[cfg(test)]
mod air;
#[cfg(test)]
#[expect(dead_code, reason = "the cloud's own tests need more of it")]
#[path = "../cloud/app.rs"]
mod app;
#[cfg(test)]
mod bench;
#[cfg(test)]
#[path = "../cloud/common.rs"]
mod common;
#[cfg(test)]
mod enrolling;
#[cfg(test)]
mod joining;
#[cfg(test)]
mod phone;
#[cfg(test)]
mod whole;
