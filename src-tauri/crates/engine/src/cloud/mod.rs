//! The cloud as a trusted user reaches it: over HTTPS, with the token of who signed in.
//!
//! [`http`] is the one HTTPS client of the program, which sign-in uses too. [`broker`] speaks the contract of
//! `broker.openapi.yaml`; `wire` holds its shapes, [`problem`] its refusals, [`pace`] how often it may be asked. [`Nobody`] stands
//! in where no cloud is needed. [`aws`] speaks to an AWS account with no broker in between.
//!
//! Not here: what to do with an answer. That is the flow's.

pub mod aws;
pub mod broker;
pub mod http;
mod nobody;
pub mod pace;
pub mod problem;
mod wire;

pub use aws::{AwsIot, PlaceError};
pub use broker::{AddressError, Broker, TokenSource};
pub use http::{Http, HttpError, HttpSetupError};
pub use nobody::Nobody;
