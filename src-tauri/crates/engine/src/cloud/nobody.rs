//! The cloud where none is needed: it answers that nobody is signed in.

use crate::ports::{Cloud, Preflight};
use std::collections::BTreeMap;

use async_trait::async_trait;
use commission::claim::{Claim, ClaimId, ClaimRequest, CleanupHandle};
use commission::device::Serial;
use commission::evidence::{Observation, Snapshot, Thing};
use commission::fault::CloudError;

/// Nobody is signed in, so every question ends in [`CloudError::SignedOut`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

#[async_trait]
impl Cloud for Nobody {
    async fn preflight(&self) -> Result<Preflight, CloudError> {
        Err(CloudError::SignedOut)
    }

    async fn snapshot(&self, _: &Serial, _: &BTreeMap<String, String>) -> Result<Snapshot, CloudError> {
        Err(CloudError::SignedOut)
    }

    async fn issue(&self, _: &ClaimRequest) -> Result<Claim, CloudError> {
        Err(CloudError::SignedOut)
    }

    async fn observe(&self, _: &ClaimId, _: u64) -> Result<Observation, CloudError> {
        Err(CloudError::SignedOut)
    }

    async fn retire(&self, _: &CleanupHandle) -> Result<(), CloudError> {
        Err(CloudError::SignedOut)
    }

    async fn deactivate(&self, _: &str, _: &str) -> Result<Thing, CloudError> {
        Err(CloudError::SignedOut)
    }

    async fn release(&self, _: &str, _: &ClaimId) -> Result<(), CloudError> {
        Err(CloudError::SignedOut)
    }
}
