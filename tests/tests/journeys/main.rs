//! Whole journeys: the real program over stock btleplug, real HTTPS and MQTT, a real keyring and a real journal,
//! against a sandbox in this process whose registry says what is true.
#![cfg(target_os = "linux")]

// Marked as tests so that clippy treats what they share as such too.
#[cfg(test)]
mod aws;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod bulk;
#[cfg(test)]
mod cuts;
#[cfg(test)]
mod happy;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod interrupted;
#[cfg(test)]
mod once_more;
#[cfg(test)]
mod prompts;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod second_thoughts;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod strategies;
#[cfg(test)]
mod twins;
#[cfg(test)]
mod visits;
