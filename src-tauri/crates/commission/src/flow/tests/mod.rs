//! The flow driven by hand: a site in small with its own clock, the stories that it must tell right, and a model
//! that throws anything at it.

mod batch;
mod faults;
mod happy;
mod model;
mod remains;
mod restart;
mod rules;
mod sim;
