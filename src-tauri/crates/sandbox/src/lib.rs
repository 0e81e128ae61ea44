//! Simulated devices, radio and cloud on this machine, with the real protocols between them.

pub mod ca;
pub mod cloud;
pub mod device;
pub mod person;
pub mod radio;
pub mod sandbox;
pub mod scenario;
