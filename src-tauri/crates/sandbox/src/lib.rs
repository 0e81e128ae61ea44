//! Simulated devices, radio and cloud on this machine, with the real protocols between them.

pub mod radio;
