//! What an organisation hands its installers, and where it is kept on this machine.
//!
//! In scope: the organisation profile as one TOML file, read with errors that name line, column and field, and the
//! directory where imported profiles are kept. Not in scope: secrets. A profile holds none, so that it can be mailed;
//! passphrases and tokens are in the OS keyring ([`crate::vault`]).

mod authority;
mod aws;
mod change;
mod check;
mod document;
mod home;
mod origin;
mod profile;
mod store;

pub use aws::{AwsCredentials, AwsEndpoints, AwsSettings, HostPort, Strategy};
pub use change::{Change, Changed};
pub use document::{ProfileError, ProfileProblem};
pub(crate) use home::make_private_dir;
pub use home::{HOME_VARIABLE, Home, HomeError, Work, WorkError};
pub use profile::{CloudSettings, Defaults, Maker, Profile, ProfileNetwork, ProfileSite, SignIn};
pub(crate) use store::write_private;
pub use store::{Candidate, Profiles, StoreError, signature_beside};
