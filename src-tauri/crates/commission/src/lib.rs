//! The deciding half of Fieldkey: what a device said, what may be said to it, and what follows.
//!
//! In scope: dialects (bytes in, writes and facts out, both halves), labels, claims, evidence, policy and the
//! state machine that takes one device, or a batch, from found to released.
//!
//! Not in scope: anything that touches the world. This crate is `no_std`, so the compiler itself refuses a file,
//! a socket, an environment variable, a clock or a thread; time arrives as an argument ([`time::Moment`]) and
//! randomness through [`secret::Entropy`].
#![no_std]

extern crate alloc;
#[cfg(test)]
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
pub mod nearby;
pub mod network;
pub mod policy;
pub mod secret;
pub mod text;
pub mod time;
