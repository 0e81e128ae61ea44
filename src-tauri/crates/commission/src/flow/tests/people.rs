//! What a person is asked, and what they may do on the way, each as a story.

use alloc::vec;
use alloc::vec::Vec;

use super::sim::*;
use crate::dialect::{Join, Report};
use crate::evidence::{Fact, Source};
use crate::fault::Fault;
use crate::flow::*;
use crate::network::{Network, SeenNetwork, Ssid};
use crate::secret::{Passphrase, Pop};

#[test]
fn the_wrong_one_of_two_devices_with_one_name_is_given_back_and_the_other_tried_without_asking() {
    let (mut site, plan, mut device) = Site::one();
    let other = crate::gatt::PeripheralId("other".into());
    device.pop = "of the wrong one".into();
    device.twin = Some((other, POP.into()));
    site.start(plan, device);
    done(&site.run());
    assert_eq!(questions(&mut site), []);
    assert_eq!(site.post().device.links(), 2);
    let retried = site.post().events.iter().any(|event| {
        matches!(
            event,
            Event::Retrying {
                fault: Fault::WrongPop,
                attempt: 2
            }
        )
    });
    assert!(retried);
}

#[test]
fn a_wrong_pop_is_corrected_on_the_same_link() {
    let (mut site, mut plan, device) = Site::one();
    plan.pop = Some(Pop::new("wrong"));
    site.start(plan, device);
    answer(&mut site, secs(20), pop("wrong again"));
    answer(&mut site, secs(20), pop(POP));
    done(&site.run());
    let fault = Fault::WrongPop;
    let asked: Vec<Question> = [2, 1]
        .map(|tries_left| Question::Pop {
            fault: fault.clone(),
            tries_left,
        })
        .into();
    assert_eq!(questions(&mut site), asked);
    assert_eq!(site.post().device.links(), 1);
}

/// How often the device said this of itself, as the journal has it.
fn kept(site: &mut Site, fact: &Fact) -> usize {
    let recorded = site.post().recorded.iter();
    let kept = recorded.filter(|step| match step {
        Step::Evidence { evidence } => evidence.source == Source::Device && evidence.fact == *fact,
        _ => false,
    });
    kept.count()
}

#[test]
fn what_was_refused_stands_in_the_journal_also_where_it_was_put_right() {
    let (mut site, mut plan, device) = Site::one();
    plan.pop = Some(Pop::new("wrong"));
    plan.network = Some(network("plant", "wrong-pass"));
    site.start(plan, device);
    answer(
        &mut site,
        secs(20),
        Answer::Pop {
            pop: Pop::new(POP),
            username: None,
        },
    );
    answer(&mut site, secs(10), passphrase("wrong-too"));
    answer(&mut site, secs(10), passphrase(PASSPHRASE));
    done(&site.run());
    assert_eq!(kept(&mut site, &Fact::PossessionRefused), 1);
    assert_eq!(kept(&mut site, &Fact::PassphraseRefused), 2);
}

#[test]
fn the_user_that_a_label_names_opens_the_session_with_its_pop_and_stays_for_one_that_is_typed() {
    let (mut site, mut plan, mut device) = Site::one();
    plan.pop = None;
    device.user = Some("installer".into());
    site.start(plan, device);
    let label = Answer::Pop {
        pop: Pop::new("mistyped"),
        username: Some("installer".into()),
    };
    answer(&mut site, secs(1), label);
    answer(&mut site, secs(1), pop(POP));
    done(&site.run());
    assert_eq!(count(&mut site, Kind::Open), 2);
}

#[test]
fn wrong_pops_stop_before_the_device_locks_itself() {
    let (mut site, mut plan, device) = Site::one();
    plan.pop = None;
    site.start(plan, device);
    for _ in 0..5 {
        answer(&mut site, secs(1), pop("wrong"));
    }
    let (stage, fault) = (Stage::Proving, Fault::WrongPop);
    let undone = true;
    assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
    assert_eq!(count(&mut site, Kind::Open), 3);
    assert!(matches!(
        questions(&mut site)[0],
        Question::Pop {
            fault: Fault::PopNeeded,
            tries_left: 3
        }
    ));
}

#[test]
fn a_link_lost_while_a_person_looks_for_the_label_comes_back_with_the_answer() {
    let (mut site, mut plan, device) = Site::one();
    plan.pop = None;
    let job = plan.job;
    site.start(plan, device);
    answer(&mut site, secs(30), pop(POP));
    site.run_while(|site| site.posts.values().all(|post| post.events.len() < 4));
    site.lose_link(job);
    done(&site.run());
}

#[test]
fn a_wrong_passphrase_is_corrected_on_the_same_link() {
    let (mut site, mut plan, device) = Site::one();
    plan.network = Some(network("plant", "wrong-pass"));
    site.start(plan, device);
    answer(&mut site, secs(10), passphrase("short"));
    answer(&mut site, secs(10), passphrase("wrong-too"));
    answer(&mut site, secs(10), passphrase(PASSPHRASE));
    done(&site.run());
    assert_eq!(questions(&mut site).len(), 3);
    assert_eq!(site.post().device.links(), 1);
    assert_eq!(
        count(&mut site, Kind::ResetNetwork),
        2,
        "one that is too short is not sent"
    );
    assert_eq!(
        site.cloud.issued.len(),
        1,
        "the claim that the device holds still lives"
    );
}

#[test]
fn a_wrong_passphrase_is_found_out_even_when_the_link_was_lost_after_apply() {
    for trouble in [Trouble::LostBefore, Trouble::LostAfter] {
        let (mut site, mut plan, device) = Site::one();
        plan.network = Some(network("plant", "wrong-pass"));
        site.start(plan, device);
        site.run_while(|site| count_of(site, Kind::Apply) == 0);
        let next = site.post().device.ops();
        site.post().device.troubles.insert(next, trouble);
        answer(&mut site, secs(10), passphrase(PASSPHRASE));
        done(&site.run());
        assert_eq!(site.post().device.links(), 2);
    }
}

#[test]
fn a_link_lost_while_a_person_types_comes_back_with_the_answer() {
    let (mut site, mut plan, device) = Site::one();
    plan.network = Some(network("plant", "wrong-pass"));
    let job = plan.job;
    site.start(plan, device);
    answer(&mut site, secs(30), passphrase(PASSPHRASE));
    site.run_while(|site| {
        let mut events = site.posts.values().flat_map(|post| &post.events);
        !events.any(|event| matches!(event, Event::Question(..)))
    });
    site.lose_link(job);
    done(&site.run());
}

#[test]
fn a_network_that_the_device_does_not_find_is_doubted() {
    let (mut site, plan, mut device) = Site::one();
    device
        .instead
        .push((Kind::JoinStatus, Report::Join(Join::NotFound)));
    site.start(plan, device);
    answer(&mut site, secs(5), Answer::GoOn);
    site.run_while(|site| site.posts.values().all(|post| post.outcome.is_none()));
    assert_eq!(
        questions(&mut site),
        [Question::NetworkDoubt(Fault::NetworkNotFound)]
    );
}

fn seen(ssid: &str, rssi: i16) -> SeenNetwork {
    SeenNetwork {
        ssid: Ssid::new(ssid).unwrap(),
        rssi,
        channel: 1,
        auth: crate::network::Auth::Wpa2Psk,
    }
}

#[test]
fn an_empty_scan_is_looked_at_twice_before_a_person_is_bothered() {
    let (mut site, plan, mut device) = Site::one();
    device.seen = [vec![], vec![seen("plant", -60)]].into();
    site.start(plan, device);
    done(&site.run());
    assert_eq!(count(&mut site, Kind::Scan), 2);
    assert_eq!(questions(&mut site), []);
}

#[test]
fn a_missing_and_a_weak_network_are_doubted_and_a_person_may_go_on() {
    for (list, fault) in [
        (vec![], Fault::NetworkNotSeen("plant".into())),
        (
            vec![seen("plant", -81)],
            Fault::NetworkWeak {
                ssid: "plant".into(),
                rssi: -81,
            },
        ),
    ] {
        let (mut site, plan, mut device) = Site::one();
        device.seen = [list].into();
        site.start(plan, device);
        answer(&mut site, secs(5), Answer::GoOn);
        done(&site.run());
        assert_eq!(questions(&mut site), [Question::NetworkDoubt(fault)]);
    }
}

#[test]
fn a_hidden_network_is_not_looked_for() {
    let (mut site, mut plan, mut device) = Site::one();
    let ssid = Ssid::new("plant").unwrap();
    let hidden = Network::new(ssid, Some(Passphrase::new(PASSPHRASE)), true).unwrap();
    plan.network = Some(hidden);
    device.seen = [vec![]].into();
    site.start(plan, device);
    done(&site.run());
    assert_eq!(count(&mut site, Kind::Scan), 0);
}

#[test]
fn the_person_chooses_out_of_what_the_device_sees() {
    let (mut site, mut plan, device) = Site::one();
    plan.network = None;
    site.start(plan, device);
    answer(&mut site, secs(5), Answer::GoOn);
    let job = job_id(1);
    site.run_while(|site| {
        let mut events = site.posts.values().flat_map(|post| &post.events);
        !events.any(|event| matches!(event, Event::Question(..)))
    });
    // An answer to another question is no answer.
    site.answer_now(job, passphrase("whatever"));
    site.answer_now(job, Answer::Network(network("plant", PASSPHRASE)));
    done(&site.run());
    assert!(matches!(&questions(&mut site)[0], Question::Network { seen } if seen.len() == 2));
}

#[test]
fn a_question_that_nobody_answers_ends_the_job() {
    let (mut site, mut plan, device) = Site::one();
    plan.network = None;
    site.start(plan, device);
    let began = site.now;
    let (stage, fault) = (Stage::Networking, Fault::Unanswered(None));
    let undone = true;
    assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
    assert!(site.now - began > secs(180));
    assert!(site.cloud.issued.iter().all(|issued| issued.retired));
}

#[test]
fn a_person_who_skips_a_device_leaves_nothing_behind() {
    let (mut site, mut plan, device) = Site::one();
    plan.network = Some(network("plant", "wrong-pass"));
    site.start(plan, device);
    answer(&mut site, secs(5), Answer::Skip);
    let asked = Fault::PassphraseRefused;
    let (stage, fault) = (Stage::Joining, Fault::Cancelled(Some(asked.into())));
    let undone = true;
    assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
    assert_eq!(site.post().device.wifi, Wifi::Ready, "it forgot what was refused");
}

#[test]
fn a_device_whose_question_nobody_can_answer_is_given_up_at_once_as_unanswered() {
    let (mut site, mut plan, device) = Site::one();
    plan.network = Some(network("plant", "wrong-pass"));
    let patience = plan.limits.question;
    site.start(plan, device);
    answer(&mut site, secs(5), Answer::Nobody);
    let begun = site.now;
    let asked = Fault::PassphraseRefused;
    let (stage, fault) = (Stage::Joining, Fault::Unanswered(Some(asked.into())));
    let undone = true;
    assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
    assert!(site.now.since(begun) < patience);
}

#[test]
fn what_cannot_be_a_passphrase_is_said_to_be_that_and_is_not_sent() {
    let (mut site, mut plan, device) = Site::one();
    plan.network = Some(network("plant", "wrong-pass"));
    site.start(plan, device);
    answer(&mut site, secs(5), passphrase("abc"));
    answer(&mut site, secs(5), passphrase(""));
    answer(&mut site, secs(5), passphrase(PASSPHRASE));
    done(&site.run());
    let asked: Vec<Question> = [
        Fault::PassphraseRefused,
        Fault::PassphraseInvalid,
        Fault::PassphraseInvalid,
    ]
    .map(|fault| Question::Passphrase {
        fault,
        network: "plant".into(),
    })
    .into();
    assert_eq!(questions(&mut site), asked);
    assert_eq!(count(&mut site, Kind::SetNetwork), 2);
}

#[test]
fn no_open_settings_are_written_for_a_network_that_the_device_sees_as_protected() {
    let open = || Network::new(Ssid::new("plant").unwrap(), None, false).unwrap();
    let (mut site, mut plan, device) = Site::one();
    plan.network = Some(open());
    site.start(plan.clone(), device);
    answer(&mut site, secs(5), passphrase("abc"));
    answer(&mut site, secs(5), passphrase(PASSPHRASE));
    done(&site.run());
    let needed = Fault::PassphraseNeeded("plant".into());
    let asked: Vec<Question> = [needed.clone(), Fault::PassphraseInvalid]
        .map(|fault| Question::Passphrase {
            fault,
            network: "plant".into(),
        })
        .into();
    assert_eq!(questions(&mut site), asked);
    assert_eq!(count(&mut site, Kind::SetNetwork), 1);

    let (mut site, _, device) = Site::one();
    site.start(plan, device);
    answer(&mut site, secs(5), Answer::Nobody);
    let (stage, fault) = (Stage::Networking, Fault::Unanswered(Some(needed.into())));
    let undone = true;
    assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
    assert_eq!(count(&mut site, Kind::SetNetwork), 0);
}

#[test]
fn a_network_that_is_not_protected_as_it_is_known_to_be_is_asked_about() {
    use crate::network::Auth;
    for (auth, fault) in [
        (Auth::Open, Fault::NetworkOpen("plant".into())),
        (Auth::Wpa2Enterprise, Fault::NetworkEnterprise("plant".into())),
    ] {
        let (mut site, plan, mut device) = Site::one();
        device.seen = [vec![SeenNetwork {
            auth,
            ..seen("plant", -60)
        }]]
        .into();
        site.start(plan, device);
        answer(&mut site, secs(1), Answer::GoOn);
        done(&site.run());
        assert_eq!(questions(&mut site), [Question::NetworkDoubt(fault)]);
    }
}

#[test]
fn a_scan_that_fails_once_and_a_list_that_lacks_the_network_once_are_both_looked_at_again() {
    let (mut site, plan, mut device) = Site::one();
    let trouble = Fault::Protocol("rows".into());
    device.instead.push((Kind::Scan, Report::Failed(trouble)));
    device.seen = [vec![], vec![seen("plant", -60)]].into();
    site.start(plan, device);
    done(&site.run());
    assert_eq!(count(&mut site, Kind::Scan), 3);
    assert_eq!(questions(&mut site), []);
}

#[test]
fn stopping_at_any_moment_ends_in_a_named_state() {
    let mut steps = 0;
    loop {
        let (mut site, plan, device) = Site::one();
        let job = plan.job;
        site.start(plan, device);
        for _ in 0..steps {
            site.step();
        }
        if site.post().outcome.is_some() {
            break;
        }
        site.input(job, Input::Cancel);
        site.input(job, Input::Cancel);
        let stopped = site.now;
        match site.run() {
            Outcome::Failed { fault, undone, .. } => {
                let stopped = Fault::Cancelled(None);
                let kept = Fault::SettingsKept(stopped.clone().into());
                // Settings on their way to the device may have got there, as far as anybody can know.
                let ready = site.post().device.wifi == Wifi::Ready;
                let right = fault == kept || ready && fault == stopped;
                assert!(right && undone, "after {steps} steps: {fault}");
            }
            Outcome::Unknown { fault, .. } => {
                assert_eq!(fault, Fault::Cancelled(None));
                assert!(
                    site.cloud.issued.iter().any(|issued| issued.used),
                    "after {steps} steps"
                );
            }
            Outcome::Done { .. } => {}
        }
        assert!(
            site.now - stopped < secs(3),
            "after {steps} steps: {:?}",
            site.now - stopped
        );
        steps += 1;
    }
    assert!(steps > 50);
}
