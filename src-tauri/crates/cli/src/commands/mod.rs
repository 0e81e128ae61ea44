//! One file a verb of the command line.

pub(crate) mod aws;
pub(crate) mod bulk;
pub(crate) mod commission;
pub(crate) mod device;
pub(crate) mod doctor;
pub(crate) mod journal;
pub(crate) mod man;
pub(crate) mod network;
pub(crate) mod profile;
pub(crate) mod resume;
pub(crate) mod sandbox;
pub(crate) mod scan;
pub(crate) mod sign_in;
pub(crate) mod watch;
