//! The simulated cloud as its clients see it: over HTTPS and MQTT, on 127.0.0.1.

// Marked as tests so that clippy treats what they share as such too.
#[cfg(test)]
mod app;
#[cfg(test)]
mod aws;
#[cfg(test)]
mod broker;
#[cfg(test)]
mod common;
#[cfg(test)]
mod device;
#[cfg(test)]
mod enrolment;
#[cfg(test)]
mod mqtt;
#[cfg(test)]
mod oidc;
