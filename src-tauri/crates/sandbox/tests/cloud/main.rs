//! The simulated cloud as its clients see it: over HTTPS and MQTT, on 127.0.0.1.

// Marked as tests so that clippy treats what they share as such too.
#[cfg(test)]
mod common;
#[cfg(test)]
mod oidc;
