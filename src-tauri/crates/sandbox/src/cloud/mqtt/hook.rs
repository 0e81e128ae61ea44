//! The pre-provisioning hook: called on every RegisterThing, binds a claim to the serial it was issued for, and lets
//! each claim through once. This is the reference for an organisation's own.

use std::collections::BTreeMap;

use super::Rejection;
use crate::cloud::faults::Faults;
use crate::cloud::registry::Registry;

/// Allows, or says why not. The parameter is called `SerialNumber` because the broker's claims carry it by this name.
pub(super) fn allow(
    registry: &Registry,
    faults: &Faults,
    claim_id: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<(), Rejection> {
    let Some((serial, used)) = registry.claim_for_hook(claim_id) else {
        return Err(Rejection::access_denied("The hook doesn't know this claim."));
    };
    if used {
        return Err(Rejection::access_denied(
            "The hook refused: the claim was used before.",
        ));
    }
    let named = parameters.get("SerialNumber");
    // A claim that AWS gave directly is bound by its first use: to a device that the organisation may have.
    let Some(serial) = serial.or_else(|| named.filter(|named| registry.may_be_ours(named)).cloned()) else {
        return Err(Rejection::access_denied(
            "The hook refused: this is no device of the organisation.",
        ));
    };
    if named != Some(&serial) {
        return Err(Rejection::access_denied(
            "The hook refused: the claim is for another serial number.",
        ));
    }
    if faults.now().hook_refuses.contains(&serial) {
        return Err(Rejection::access_denied("The hook refused this device."));
    }
    Ok(())
}
