//! What a device does by itself while it is switched on: join, enrol, stay online.

use std::future::pending;
use std::sync::Arc;

use commission::dialect::Enrol;
use commission::dialect::espressif::device::{Connected, FailReason, JoinState};
use tokio::sync::watch;

use super::Inner;
use crate::device::enrol::{self, Order, Pending};
use crate::device::storage::Permanent;
use crate::device::wifi::{Joining, Lease, Reason};

/// Joins the network that it knows, then follows its Wi-Fi for as long as it is switched on.
pub(super) async fn live(inner: Arc<Inner>) {
    if let Some(known) = inner.core().kept.wifi.clone() {
        inner.station.join(known);
    }
    let mut joining = inner.station.state();
    let mut trial = None;
    loop {
        let now = joining.borrow_and_update().clone();
        inner.core().tell_join(&now);
        if let Joining::Connected(lease) = now {
            inner.joined();
            tokio::select! {
                changed = joining.changed() => if changed.is_err() { return },
                () = in_network(&inner, &lease, &mut trial) => {}
            }
        } else if joining.changed().await.is_err() {
            return;
        }
    }
}

/// A claim, and how far the device got with it.
type Trial = (Arc<Order>, Option<Pending>);

/// Uses each claim that it is given, and its permanent identity in between. Never ends by itself. A network that goes
/// away, as when other settings are applied on a visit, does not take away how far it got.
async fn in_network(inner: &Arc<Inner>, lease: &Lease, trial: &mut Option<Trial>) {
    let mut claim = inner.claim.subscribe();
    loop {
        let given = claim.borrow_and_update().clone();
        let permanent = inner.core().kept.identity().cloned();
        // The claim that it was made with is for a device that has nothing better.
        let own = inner.own_claim.clone().filter(|_| permanent.is_none());
        let order = given.or(own);
        let work = async {
            if !lease.internet {
                without_internet(inner, order.is_some() || permanent.is_some()).await;
            }
            match (order, permanent) {
                (Some(order), _) => exchange(inner, order, trial).await,
                (None, Some(permanent)) => stay_online(inner, &permanent).await,
                (None, None) => pending().await,
            }
        };
        tokio::select! {
            // A newer claim ends whatever an older one was used for.
            changed = claim.changed() => if changed.is_err() { return },
            () = work => {}
        }
    }
}

/// Ends when the claim is used up: with an identity that is kept, or after the claim was refused for good.
async fn exchange(inner: &Arc<Inner>, order: Arc<Order>, trial: &mut Option<Trial>) {
    if !trial
        .as_ref()
        .is_some_and(|(known, _)| Arc::ptr_eq(known, &order))
    {
        *trial = None;
    }
    let (order, got) = trial.get_or_insert((order, None));
    match enrol::enrol(order, &inner.habits, inner.pace, &inner.progress, got).await {
        // Kept before it is used: after a power cut it would be lost for ever.
        Some(permanent) => inner.enrolled(permanent),
        None => pending().await,
    }
}

async fn stay_online(inner: &Arc<Inner>, permanent: &Permanent) {
    let mut progress = inner.progress.subscribe();
    let closing = async {
        let online = progress
            .wait_for(|now| matches!(now, Enrol::Online { .. }))
            .await
            .is_ok();
        if online {
            inner.online();
        }
        pending::<()>().await;
    };
    tokio::select! {
        () = enrol::stay_online(permanent, &inner.habits, inner.pace, &inner.progress) => {}
        () = closing => {}
    }
}

async fn without_internet(inner: &Arc<Inner>, wants_cloud: bool) {
    if wants_cloud {
        let reason = "the network has no way to the cloud".to_owned();
        inner.progress.send_replace(Enrol::Unreachable { reason });
    }
    pending::<()>().await;
}

/// Hands every change of the enrolment to the endpoint that tells of it.
pub(super) async fn report(inner: Arc<Inner>, mut progress: watch::Receiver<Enrol>) {
    loop {
        let now = progress.borrow_and_update().clone();
        inner.core().esp.enrol(now);
        if progress.changed().await.is_err() {
            return;
        }
    }
}

/// The join in the words of `prov-config`; none before there is anything to say.
pub(super) fn told(joining: &Joining) -> Option<JoinState> {
    Some(match joining {
        Joining::Idle => return None,
        Joining::Connecting { attempts_left } => JoinState::Connecting {
            attempts_left: *attempts_left,
        },
        Joining::Connected(lease) => JoinState::Connected(Connected {
            ip: lease.address,
            auth: lease.point.auth,
            ssid: lease.point.ssid.as_bytes().to_vec(),
            bssid: lease.point.bssid.to_vec(),
            channel: i32::try_from(lease.point.channel).unwrap_or(0),
        }),
        Joining::Failed(Reason::Auth) => JoinState::Failed(FailReason::AuthError),
        Joining::Failed(Reason::NotFound) => JoinState::Failed(FailReason::NetworkNotFound),
    })
}
