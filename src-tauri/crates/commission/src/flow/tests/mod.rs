//! The flow driven by hand: a site in small with its own clock, the stories that it must tell right, and a model
//! that throws anything at it.

mod batch;
mod client;
mod cloud;
mod device;
mod faults;
mod happy;
mod model;
mod outcomes;
mod people;
mod remains;
mod restart;
mod retrying;
mod rules;
mod self_enrolling;
mod sim;
