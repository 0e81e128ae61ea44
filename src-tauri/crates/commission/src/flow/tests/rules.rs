//! The rules that never bend, each as a story.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::device::Enrolling;
use super::sim::*;
use crate::claim::Purpose;
use crate::dialect::Report;
use crate::evidence::{Principal, PrincipalStatus, Thing};
use crate::fault::{CloudError, Fault};
use crate::flow::*;
use crate::policy::PlainDevices;
use crate::time::UnixTime;

/// The calls to the cloud in their order, without the looks.
fn calls(site: &Site) -> Vec<Call> {
    site.cloud
        .calls
        .iter()
        .map(|(_, call)| *call)
        .filter(|call| !matches!(call, Call::Observe | Call::Snapshot))
        .collect()
}

fn thing_with(principal: &str) -> Thing {
    Thing {
        name: "FK-0001".into(),
        version: 3,
        principals: vec![Principal {
            id: principal.into(),
            status: PrincipalStatus::Active,
        }],
        connected: Some(false),
        connected_at: Some(UnixTime(1_600_000_000)),
        connected_principal: None,
        inferred_principal: None,
    }
}

#[test]
fn a_claim_under_90_seconds_is_never_sent() {
    let (mut site, mut plan, device) = Site::one();
    plan.network = None;
    site.cloud.life = secs(120);
    site.start(plan, device);
    answer(&mut site, secs(60), Answer::Network(network("plant", PASSPHRASE)));
    done(&site.run());
    assert_eq!(site.cloud.issued.len(), 2);
    assert!(site.cloud.issued[0].retired, "the aged one is undone");
    assert_eq!(count(&mut site, Kind::SendClaim), 1);
    assert_eq!(site.post().device.links(), 1, "without a restart");
}

#[test]
fn claims_that_are_born_too_short_are_given_up() {
    let (mut site, plan, device) = Site::one();
    site.cloud.life = secs(89);
    site.start(plan, device);
    let (stage, fault) = (Stage::Crediting, Fault::ClaimExpired);
    let undone = true;
    assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
    assert_eq!(count(&mut site, Kind::SendClaim), 0);
}

#[test]
fn an_answer_about_an_earlier_claim_is_not_taken_for_the_new_one() {
    let (mut site, mut plan, device) = Site::one();
    plan.network = Some(network("plant", "wrong-pass"));
    site.cloud.life = secs(120);
    site.cloud.latency.insert(Call::Retire, secs(3));
    site.start(plan, device);
    answer(&mut site, secs(100), passphrase(PASSPHRASE));
    done(&site.run());
    assert_eq!(
        site.cloud.issued.len(),
        2,
        "the new one was not given up for the old one"
    );
}

#[test]
fn a_job_is_done_only_after_its_replaced_claims_are_undone() {
    let (mut site, mut plan, device) = Site::one();
    plan.network = None;
    site.cloud.life = secs(120);
    site.cloud.latency.insert(Call::Retire, secs(55));
    site.start(plan, device);
    answer(&mut site, secs(40), Answer::Network(network("plant", PASSPHRASE)));
    done(&site.run());
    assert!(site.cloud.issued[0].retired);
}

#[test]
fn a_second_active_credential_is_no_success() {
    let (mut site, plan, device) = Site::one();
    site.cloud.stray = true;
    site.start(plan, device);
    let (stage, fault) = (Stage::Verifying, Fault::ActiveCredentials(2));
    let undone = false;
    assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
    assert!(site.cloud.released.is_empty());
}

#[test]
fn another_device_behind_the_same_address_is_found_out() {
    let (mut site, plan, mut device) = Site::one();
    device.troubles.insert(6, Trouble::LostBefore);
    let serial = device.serial.clone();
    site.start(plan, device);
    site.run_while(|site| {
        site.batch.links_in_use() == 0 || site.posts.values().all(|post| post.device.ops() < 7)
    });
    site.post().device.key = crate::device::Fingerprint([77; 32]);
    let (stage, fault) = (Stage::Identifying, Fault::CloneSuspected(serial.as_str().into()));
    let undone = true;
    assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
}

#[test]
fn a_device_that_proved_its_identity_once_gets_no_claim_over_a_link_on_which_it_does_not() {
    let (mut site, mut plan, mut device) = Site::one();
    plan.policy.allow_unencrypted = true;
    device.troubles.insert(6, Trouble::LostBefore);
    site.start(plan, device);
    site.run_while(|site| {
        site.batch.links_in_use() == 0 || site.posts.values().all(|post| post.device.ops() < 7)
    });
    site.post().device.capabilities.encrypted = false;
    site.post().device.capabilities.identity = false;
    let (stage, fault) = (Stage::Identifying, Fault::IdentityMissing);
    let undone = true;
    assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
    assert_eq!(count(&mut site, Kind::SendClaim), 0);
}

#[test]
fn what_does_not_come_from_the_cloud_itself_proves_nothing() {
    use crate::evidence::{Evidence, Fact, Observation, Source};
    let (mut site, plan, mut device) = Site::one();
    let job = plan.job;
    device.enrolling = Enrolling::Never;
    site.start(plan, device);
    site.run_while(|site| site.cloud.calls.iter().all(|(_, call)| *call != Call::Observe));
    let (thing, principal) = (Some("FK-0001".into()), Some("p".into()));
    let evidence = Evidence {
        fact: Fact::Registered { thing, principal },
        source: Source::Device,
        at: None,
    };
    let observation = Observation {
        evidence: vec![evidence],
        next: 0,
        ..Observation::default()
    };
    site.show(job, observation);
    let outcome = site.run();
    assert!(
        matches!(outcome, Outcome::Failed { undone: true, .. }),
        "{outcome:?}"
    );
}

#[test]
fn the_cloud_is_asked_at_once_when_the_link_is_lost_at_the_apply_itself() {
    let (mut site, plan, device) = Site::one();
    site.start(plan, device);
    site.run_while(|site| count_of(site, Kind::SendClaim) == 0);
    let apply = site.post().device.ops() + 2;
    site.post().device.troubles.insert(apply, Trouble::LostAfter);
    site.post().device.advertises = false;
    site.run_while(|site| count_of(site, Kind::Apply) == 0);
    let asked = site.cloud.calls.last().map(|(_, call)| *call);
    assert_eq!(asked, Some(Call::Observe));
    done(&site.run());
}

#[test]
fn a_claim_under_30_seconds_is_replaced_while_the_device_enrols() {
    let (mut site, plan, mut device) = Site::one();
    device.enrolling = Enrolling::FromClaim(2);
    site.cloud.life = secs(100);
    site.start(plan, device);
    done(&site.run());
    assert_eq!(site.cloud.issued.len(), 2);
    assert_eq!(count(&mut site, Kind::Apply), 1, "the network stays as it is");
    assert_eq!(site.post().device.links(), 1);
}

#[test]
fn a_look_at_the_device_that_fails_on_the_way_to_a_fresh_claim_changes_nothing() {
    use crate::evidence::Observation;
    let (mut site, plan, mut device) = Site::one();
    let job = plan.job;
    device.enrolling = Enrolling::FromClaim(2);
    site.start(plan, device);
    site.run_while(|site| {
        count_of(site, Kind::EnrolStatus) == 0 || site.posts.values().any(|post| !post.op_under_way)
    });
    let failed = Report::Failed(Fault::Protocol("empty".into()));
    site.post().device.instead.push((Kind::EnrolStatus, failed));
    // The cloud's word on the claim comes while the device is looked at.
    site.coming.retain(|_, coming| {
        !matches!(
            coming,
            Coming::Observe(..) | Coming::Cloud(_, _, Action::Observe { .. })
        )
    });
    let claim_over = true;
    let observation = Observation {
        claim_over,
        ..Observation::default()
    };
    site.show(job, observation);
    done(&site.run());
    assert_eq!(site.post().device.instead, [], "the look did fail");
    assert_eq!(site.cloud.issued.len(), 2);
    assert_eq!(site.post().device.links(), 1);
}

#[test]
fn a_claim_is_asked_for_only_after_possession_and_identity_are_proven() {
    let (mut site, plan, device) = Site::one();
    site.start(plan, device);
    site.run_while(|site| site.cloud.calls.iter().all(|(_, call)| *call != Call::Issue));
    let kinds = site.post().device.kinds();
    assert!(kinds.contains(&Kind::Identify));
    done(&site.run());
}

#[test]
fn a_claim_is_not_asked_for_early_where_the_policy_forbids_it() {
    let (mut site, mut plan, device) = Site::one();
    plan.policy.prefetch_claim = false;
    site.start(plan, device);
    site.run_while(|site| site.cloud.calls.iter().all(|(_, call)| *call != Call::Issue));
    assert!(site.post().device.kinds().contains(&Kind::SetNetwork));
    done(&site.run());
}

#[test]
fn a_drop_after_apply_is_unknown_until_the_cloud_settles_it() {
    let (mut site, plan, device) = Site::one();
    site.start(plan, device);
    site.run_while(|site| {
        !site
            .posts
            .values()
            .any(|post| post.device.kinds().contains(&Kind::Apply))
    });
    let next = site.post().device.ops();
    site.post().device.troubles.insert(next, Trouble::LostBefore);
    site.post().device.advertises = false;
    let before = site.now;
    done(&site.run());
    assert!(site.now - before < secs(10), "the cloud's word comes at once");
    let told = site.post().events.iter().any(|event| {
        matches!(event, Event::Evidence(evidence)
            if matches!(evidence.fact, crate::evidence::Fact::WifiJoined { address: None }))
    });
    assert!(told, "what the cloud saw shows that it joined");
}

#[test]
fn a_drop_after_apply_stays_unknown_when_the_cloud_is_away() {
    let (mut site, plan, mut device) = Site::one();
    device.enrolling = Enrolling::Never;
    site.start(plan, device);
    site.run_while(|site| {
        !site
            .posts
            .values()
            .any(|post| post.device.kinds().contains(&Kind::Apply))
    });
    let next = site.post().device.ops();
    site.post().device.troubles.insert(next, Trouble::LostBefore);
    site.post().device.advertises = false;
    site.cloud.down.insert(Call::Observe);
    let outcome = site.run();
    let (stage, fault) = (Stage::Joining, Fault::CloudUnreachable("no route".into()));
    assert_eq!(outcome, Outcome::Unknown { stage, fault });
}

#[test]
fn a_lost_answer_that_it_joined_is_normal() {
    let (mut site, plan, mut device) = Site::one();
    device.auto_stop = true;
    device.capabilities.enrol_status = false;
    site.start(plan, device);
    done(&site.run());

    let (mut site, plan, mut device) = Site::one();
    device.auto_stop = true;
    device.capabilities.enrol_status = false;
    site.start(plan, device);
    site.run_while(|site| count_of(site, Kind::JoinStatus) < 6);
    for index in 0..4 {
        let at = site.post().device.ops() + index;
        site.post().device.troubles.insert(at, Trouble::LostAfter);
    }
    site.post().device.advertises = false;
    done(&site.run());
}

#[test]
fn what_the_device_says_of_itself_is_no_proof() {
    let (mut site, plan, mut device) = Site::one();
    device.enrolling = Enrolling::Never;
    let online = Report::Enrol(crate::dialect::Enrol::Online {
        thing: Some("FK-0001".into()),
        principal: "p".into(),
    });
    device.instead.push((Kind::EnrolStatus, online));
    site.start(plan, device);
    let outcome = site.run();
    assert!(
        matches!(outcome, Outcome::Failed { undone: true, .. }),
        "{outcome:?}"
    );
}

#[test]
fn the_link_is_given_back_as_soon_as_it_is_not_needed() {
    let (mut site, plan, mut device) = Site::one();
    device.capabilities.enrol_status = false;
    site.start(plan, device);
    site.run_while(|site| count_of(site, Kind::Apply) == 0 || site.batch.links_in_use() > 0);
    assert!(site.post().outcome.is_none());
    assert!(
        site.cloud.things.is_empty(),
        "long before the device has enrolled"
    );
    done(&site.run());
}

#[test]
fn on_a_service_visit_the_new_credential_comes_before_the_old_one_goes() {
    let (mut site, mut plan, device) = Site::one();
    plan.purpose = Purpose::Service;
    site.cloud.things.insert("FK-0001".into(), thing_with("old"));
    site.start(plan, device);
    done(&site.run());
    assert_eq!(calls(&site), [Call::Issue, Call::Deactivate, Call::Release]);
}

#[test]
fn on_a_service_visit_the_old_credential_stays_on_where_the_new_one_was_switched_off_after_it_was_seen() {
    let (mut site, mut plan, mut device) = Site::one();
    plan.purpose = Purpose::Service;
    device.enrolling = Enrolling::Revoked;
    site.cloud.things.insert("FK-0001".into(), thing_with("old"));
    site.start(plan, device);
    let (stage, fault) = (Stage::Verifying, Fault::CredentialOff);
    let undone = false;
    assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
    assert_eq!(calls(&site), [Call::Issue]);
    let thing = &site.cloud.things["FK-0001"];
    assert!(thing.active().map(|one| &one.id).eq(["old"]));
}

#[test]
fn a_stop_is_heard_while_a_job_is_undone_for_another_reason() {
    for stopped in [true, false] {
        let (mut site, mut plan, mut device) = Site::one();
        plan.purpose = Purpose::Service;
        let job = plan.job;
        site.cloud.things.insert("FK-0001".into(), thing_with("old"));
        // The device says that it was refused, and enrols before its claim is undone.
        let refused = crate::dialect::Enrol::Refused {
            code: "AccessDenied".into(),
            message: "no".into(),
        };
        device.instead.push((Kind::EnrolStatus, Report::Enrol(refused)));
        site.cloud.latency.insert(Call::Retire, secs(5));
        site.start(plan, device);
        site.run_while(|site| !calls(site).contains(&Call::Retire));
        if stopped {
            site.input(job, Input::Cancel);
        }
        let outcome = site.run();
        if stopped {
            let (stage, fault) = (Stage::Enrolling, Fault::Cancelled(None));
            assert_eq!(outcome, Outcome::Unknown { stage, fault });
            assert_eq!(calls(&site), [Call::Issue, Call::Retire], "nothing more is begun");
        } else {
            done(&outcome);
        }
    }
}

#[test]
fn switching_off_is_not_tried_again_once_the_new_credential_is_off() {
    // The cloud's next word on the claim comes within a quarter of a second: while the first try is under way still, or
    // while it pauses before the second.
    for (latency, pauses) in [(secs(5), false), (ms(10), true)] {
        let (mut site, mut plan, device) = Site::one();
        plan.purpose = Purpose::Service;
        site.cloud.things.insert("FK-0001".into(), thing_with("old"));
        let early = CloudError::Refused {
            code: "not-verified".into(),
            message: "the new one is off".into(),
        };
        let trouble = CloudTrouble::Error(early);
        site.cloud.troubles.push((Call::Deactivate, trouble));
        site.cloud.latency.insert(Call::Deactivate, latency);
        site.start(plan, device);
        site.run_while(|site| !calls(site).contains(&Call::Deactivate));
        if pauses {
            site.run_while(|site| !site.cloud.troubles.is_empty());
        }
        let thing = site.cloud.things.get_mut("FK-0001").unwrap();
        for credential in thing.principals.iter_mut().filter(|one| one.id != "old") {
            credential.status = PrincipalStatus::Inactive;
        }
        site.cloud.tell_again();
        let (stage, fault) = (Stage::Verifying, Fault::CredentialOff);
        let undone = false;
        assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
        assert_eq!(calls(&site), [Call::Issue, Call::Deactivate], "{latency:?}");
    }
}

#[test]
fn on_a_transfer_the_old_credential_goes_before_the_new_one_comes() {
    let (mut site, mut plan, device) = Site::one();
    plan.purpose = Purpose::Transfer;
    site.cloud.things.insert("FK-0001".into(), thing_with("old"));
    site.start(plan, device);
    done(&site.run());
    assert_eq!(calls(&site), [Call::Deactivate, Call::Issue, Call::Release]);
}

#[test]
fn a_transfer_that_fails_after_the_old_credential_went_says_that_it_is_off() {
    let refused = |code: &str| CloudError::Refused {
        code: code.into(),
        message: "no".into(),
    };
    let (mut site, mut plan, device) = Site::one();
    plan.purpose = Purpose::Transfer;
    site.cloud.things.insert("FK-0001".into(), thing_with("old"));
    let trouble = CloudTrouble::Error(refused("template-disabled"));
    site.cloud.troubles.push((Call::Issue, trouble));
    site.start(plan, device);
    let (code, message) = ("template-disabled".into(), "no".into());
    let fault = Fault::EarlierOff(Fault::ClaimRefused { code, message }.into());
    // The device has no identity any more, so that there is something left to do.
    let (stage, undone) = (Stage::Crediting, false);
    assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
    assert_eq!(calls(&site), [Call::Deactivate, Call::Issue]);
    assert!(!Remains::of(&site.post().recorded).is_empty());
}

#[test]
fn an_old_credential_that_cannot_be_switched_off_is_no_success() {
    let refused = CloudError::Refused {
        code: "role-lacks-right".into(),
        message: "no".into(),
    };
    for (purpose, undone) in [(Purpose::Service, false), (Purpose::Transfer, true)] {
        let (mut site, mut plan, device) = Site::one();
        plan.purpose = purpose;
        site.cloud.things.insert("FK-0001".into(), thing_with("old"));
        let trouble = CloudTrouble::Error(refused.clone());
        site.cloud.troubles.push((Call::Deactivate, trouble));
        site.start(plan, device);
        let outcome = site.run();
        assert!(
            matches!(&outcome, Outcome::Failed { fault: Fault::Cloud { .. }, undone: got, .. } if *got == undone),
            "{outcome:?}"
        );
        assert!(site.cloud.released.is_empty());
    }
}

#[test]
fn a_release_that_is_not_due_yet_is_waited_for_and_a_refused_one_is_named() {
    let refused = |code: &str| {
        CloudTrouble::Error(CloudError::Refused {
            code: code.into(),
            message: "no".into(),
        })
    };
    let (mut site, plan, device) = Site::one();
    site.cloud.troubles.push((Call::Release, refused("not-verified")));
    site.start(plan, device);
    done(&site.run());

    let (mut site, plan, device) = Site::one();
    site.cloud
        .troubles
        .push((Call::Release, refused("role-lacks-right")));
    site.start(plan, device);
    let outcome = site.run();
    assert!(matches!(
        outcome,
        Outcome::Failed {
            stage: Stage::Released,
            fault: Fault::ReleaseRefused { .. },
            undone: false
        }
    ));
}

#[test]
fn a_not_yet_of_the_cloud_that_lasts_is_told_as_what_it_is() {
    let early = || {
        CloudTrouble::Error(CloudError::Refused {
            code: "not-verified".into(),
            message: "wait".into(),
        })
    };
    let (code, message) = (String::from("not-verified"), String::from("wait"));
    let not_off = Fault::Cloud {
        code: code.clone(),
        message: message.clone(),
    };
    let table = [
        (Call::Deactivate, Stage::Verifying, not_off),
        (
            Call::Release,
            Stage::Released,
            Fault::ReleaseRefused { code, message },
        ),
    ];
    for (call, stage, fault) in table {
        let (mut site, mut plan, device) = Site::one();
        plan.purpose = Purpose::Service;
        site.cloud.things.insert("FK-0001".into(), thing_with("old"));
        site.cloud.troubles = vec![(call, early()); 50];
        site.start(plan, device);
        let undone = false;
        assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
        assert!(calls(&site).iter().filter(|made| **made == call).count() > 1);
    }
}

#[test]
fn an_old_credential_that_stays_on_whatever_the_cloud_says_is_told_as_one_too_many() {
    for (purpose, stage, undone) in [
        (Purpose::Service, Stage::Verifying, false),
        (Purpose::Transfer, Stage::Crediting, true),
    ] {
        let (mut site, mut plan, device) = Site::one();
        plan.purpose = purpose;
        site.cloud.things.insert("FK-0001".into(), thing_with("old"));
        site.cloud.stubborn = true;
        site.start(plan, device);
        let fault = Fault::ActiveCredentials(2);
        assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
    }
}

#[test]
fn settings_that_never_arrived_are_applied_after_the_link_came_back() {
    let (mut site, plan, device) = Site::one();
    site.start(plan, device);
    site.run_while(|site| count_of(site, Kind::SendClaim) == 0);
    let apply = site.post().device.ops() + 2;
    site.post().device.troubles.insert(apply, Trouble::LostBefore);
    done(&site.run());
    assert_eq!(site.post().device.links(), 2);
    assert_eq!(
        count(&mut site, Kind::SendClaim),
        1,
        "the device still holds its claim"
    );
}

#[test]
fn a_claim_that_cannot_be_undone_is_said_to_be_left() {
    let (mut site, plan, mut device) = Site::one();
    let rejected = Fault::ClaimRejected("digest".into());
    device
        .instead
        .push((Kind::SendClaim, Report::Failed(rejected.clone())));
    site.cloud.down.insert(Call::Retire);
    site.start(plan, device);
    let (stage, fault) = (Stage::Crediting, rejected);
    let undone = false;
    assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
}

#[test]
fn a_plain_device_is_done_once_the_cloud_sees_it_back() {
    let (mut site, mut plan, mut device) = Site::one();
    plan.policy.plain_devices = PlainDevices::WifiOnly;
    device.capabilities.claims.clear();
    device.auto_stop = true;
    site.cloud.things.insert("FK-0001".into(), thing_with("own"));
    site.start(plan, device);
    site.run_while(|site| count_of(site, Kind::JoinStatus) < 8);
    let thing = site.cloud.things.get_mut("FK-0001").unwrap();
    thing.connected = Some(true);
    thing.connected_at = Some(UnixTime(1_700_001_000));
    thing.connected_principal = Some("own".into());
    let (thing, principal) = (Some("FK-0001".into()), "own".into());
    assert_eq!(site.run(), Outcome::Done { thing, principal });
    assert!(site.cloud.issued.is_empty());
}

#[test]
fn a_plain_device_that_does_not_come_back_is_unknown() {
    let (mut site, mut plan, mut device) = Site::one();
    plan.policy.plain_devices = PlainDevices::WifiOnly;
    device.capabilities.claims.clear();
    site.cloud.things.insert("FK-0001".into(), thing_with("own"));
    site.start(plan, device);
    let (stage, fault) = (Stage::Enrolling, Fault::NotSeenOnline);
    assert_eq!(site.run(), Outcome::Unknown { stage, fault });
}

#[test]
fn a_claim_under_30_seconds_is_replaced_on_the_same_link_while_the_person_corrects() {
    let (mut site, mut plan, device) = Site::one();
    plan.network = Some(network("plant", "wrong-pass"));
    site.cloud.life = secs(120);
    site.start(plan, device);
    answer(&mut site, secs(100), passphrase(PASSPHRASE));
    done(&site.run());
    assert_eq!(site.cloud.issued.len(), 2);
    assert!(site.cloud.issued[0].retired);
    assert_eq!(count(&mut site, Kind::SendClaim), 2);
    assert_eq!(site.post().device.links(), 1);
    let kinds = site.post().device.kinds();
    let last = |of| kinds.iter().rposition(|kind| *kind == of).unwrap();
    assert!(
        last(Kind::SendClaim) < last(Kind::Apply),
        "before the device is let go"
    );
}

#[test]
fn the_latency_of_a_claim_is_hidden_behind_the_scan() {
    let time = |issue| {
        let (mut site, plan, device) = Site::one();
        site.cloud.latency.insert(Call::Issue, issue);
        site.start(plan, device);
        let began = site.now;
        done(&site.run());
        site.now - began
    };
    assert_eq!(time(ms(1)), time(ms(60)));
}

#[test]
fn a_fresh_claim_whose_arrival_nobody_heard_of_is_watched_all_the_same() {
    let (mut site, plan, mut device) = Site::one();
    device.enrolling = Enrolling::FromClaim(2);
    site.cloud.life = secs(95);
    site.start(plan, device);
    site.run_while(|site| count_of(site, Kind::SendClaim) < 2);
    let last = site.post().device.ops() + 1;
    site.post().device.troubles.insert(last, Trouble::LostAfter);
    site.post().device.connect_takes = secs(8);
    let outcome = site.run();
    assert!(
        matches!(&outcome, Outcome::Done { principal, .. } if principal == "p-clm_2"),
        "{outcome:?}"
    );
    assert_eq!(
        site.cloud.issued.len(),
        2,
        "no third one for a device that has enrolled"
    );
}

#[test]
fn a_refusal_that_the_device_only_guessed_is_overruled_by_the_cloud() {
    let (mut site, plan, mut device) = Site::one();
    device
        .instead
        .push((Kind::JoinStatus, Report::Join(crate::dialect::Join::Refused)));
    site.start(plan, device);
    let began = site.now;
    done(&site.run());
    assert!(site.now - began < secs(20), "without waiting for the person");
    assert!(site.post().events.contains(&Event::QuestionOver));
}
