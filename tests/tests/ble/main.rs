//! The engine's radio through stock btleplug and D-Bus, against the sandbox's BlueZ.
#![cfg(target_os = "linux")]

// Marked as tests so that clippy treats what they share as such too.
#[cfg(test)]
mod air;
#[cfg(test)]
mod links;
#[cfg(test)]
mod scans;
