//! The engine's sign-in and cloud client against the sandbox's cloud: real HTTPS on 127.0.0.1, nothing in between.

// Marked as tests so that clippy treats what they share as such too.
#[cfg(test)]
mod broker;
#[cfg(test)]
mod common;
#[cfg(test)]
mod signin;
