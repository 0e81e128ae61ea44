//! Simulated devices against the product's own dialect client, and against the simulated cloud.

// Marked as tests so that clippy treats what they share as such too.
#[cfg(test)]
mod bench;
#[cfg(test)]
mod joining;
#[cfg(test)]
mod phone;
