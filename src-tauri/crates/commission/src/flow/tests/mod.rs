//! The flow driven by hand: a site in small with its own clock, the stories that it must tell right, and a model
//! that throws anything at it.

mod faults;
mod happy;
mod sim;
