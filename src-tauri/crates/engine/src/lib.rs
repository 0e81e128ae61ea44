//! The doing half of Fieldkey: radio, sign-in, cloud, keyring, journal and the loop that joins them to the flow.
//!
//! It does I/O and decides nothing: what to do next comes from [`commission::flow`], what went wrong becomes words in
//! one place. Each foreign library is locked into one module: btleplug in `ble`, reqwest in `cloud::http`, keyring in
//! `vault`, SQLite in `journal`.

pub mod ble;
pub mod cloud;
pub mod desk;
pub mod doctor;
pub mod failure;
pub mod identity;
pub mod journal;
pub mod keys;
pub mod labels;
pub mod organisation;
pub mod passphrases;
pub mod ports;
pub mod possession;
pub mod request;
pub mod run;
pub mod settings;
pub mod signin;
pub mod system;
pub mod talk;
pub mod vault;
pub mod view;

#[cfg(test)]
mod fixtures;
