//! The broker: what `broker.openapi.yaml` of the engine says, served over HTTPS.

mod problem;

pub use self::problem::Code;
