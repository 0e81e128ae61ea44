//! Simulated devices, radio and cloud on this machine, with the real protocols between them.

    dead_code,
    reason = "the broker and the MQTT server use the rest, and come next"
#[expect(
)]
pub mod ca;
pub mod cloud;
pub mod device;
pub mod radio;
