//! The cloud as a trusted user reaches it: over HTTPS, with the token of who signed in.
//!
//! [`http`] is the one HTTPS client of the program, which sign-in uses too. [`broker`] speaks the contract of
//! `broker.openapi.yaml`; `wire` holds its shapes, [`problem`] its refusals, [`pace`] how often it may be asked.
//!
//! Not here: what to do with an answer. That is the flow's.

pub mod broker;
pub mod http;
pub mod pace;
pub mod problem;
mod wire;

pub use broker::{Broker, TokenSource};
pub use http::{Http, HttpError};
