//! The deciding half of Fieldkey: what a device said, what may be said to it, and what follows.
//!
//! In scope: dialects (bytes in, writes and facts out, both halves), labels, claims, evidence, policy and the
//! state machine that takes one device, or a batch, from found to released.
//!
//! Not in scope: anything that touches the world. This crate is `no_std`, so the compiler itself refuses a file,
//! a socket, an environment variable, a clock or a thread; time arrives as an argument ([`time::Moment`]) and
//! randomness through [`secret::Entropy`].
// Types described in TypeScript need the standard prelude; nothing that ships is built with that feature.
#![cfg_attr(not(feature = "ts"), no_std)]
#![cfg_attr(
    feature = "ts",
    allow(unused_qualifications, reason = "without the prelude they are needed")
)]

extern crate alloc;
#[cfg(all(test, not(feature = "ts")))]
extern crate std;

pub mod claim;
pub mod device;
pub mod dialect;
pub mod evidence;
pub mod fault;
pub mod finding;
pub mod flow;
pub mod gatt;
pub mod label;
pub mod ledger;
pub mod mending;
pub mod nearby;
pub mod network;
pub mod organisation;
pub mod pace;
pub mod policy;
pub mod presence;
pub mod proven;
pub mod rights;
pub mod secret;
pub mod text;
pub mod time;
