//! Simulated devices, radio and cloud on this machine, with the real protocols between them.

pub mod ca;
#[expect(
    dead_code,
    reason = "the broker and the MQTT server use the rest, and come next"
)]
pub mod cloud;
pub mod device;
pub mod radio;
pub mod scenario;
