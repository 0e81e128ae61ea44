//! A simulated Bluetooth radio: devices that implement [`peripheral::Peripheral`] are seen, connected to and read
//! through the interfaces that real programs use.
//!
//! Not in scope: what a device says. That is its dialect's business, on the other side of [`peripheral`].

pub mod peripheral;
