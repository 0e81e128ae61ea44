//! The desk that a window shows, against the sandbox: real sign-in, cloud, MQTT, keyring and journal; the radio is
//! the sandbox's own front, since what btleplug does is shown by the other journeys.

#[cfg(test)]
mod days;
#[cfg(test)]
mod screen;
