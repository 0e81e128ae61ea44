//! The state machine that takes one device from found to released, and the batch that runs several.
//!
//! It decides and does nothing: the caller hands in what happened ([`Input`]) with the time, takes out what to do
//! ([`Action`]) and what became known ([`Event`]), and calls back at the stated moment. Every step with an effect
//! outside is asked to be written down ([`Action::Record`]) and is done only after [`Input::Recorded`].

mod io;

pub use io::*;
