//! Histories that broke a rule once, as short scripts; what each is named after is what must hold in it.

use commission::claim::Purpose;
use simulation::Call::{Deactivate, Issue, Release, Retire};
use simulation::Kind::{Apply, JoinStatus, Open, ResetNetwork, SendClaim};
use simulation::Place::{self, Call, Command, Question, Write};
use simulation::Trouble::{self, *};
use simulation::{Deed, DeviceSpec, Entry, Given, History, Tells, Turn, What};

const RED: usize = 0;
const BLUE: usize = 1;

fn sound() -> DeviceSpec {
    DeviceSpec::sound(0)
}

/// A device that the first organisation's cloud has with a credential.
fn enrolled() -> DeviceSpec {
    DeviceSpec {
        enrolled_in: Some(0),
        ..sound()
    }
}

fn commission(purpose: Purpose) -> What {
    What::Commission {
        device: RED,
        label: RED,
        purpose,
        serial: true,
        network: Given::Right,
    }
}

fn one(device: DeviceSpec, purpose: Purpose) -> History {
    History::of([device]).then(commission(purpose))
}

#[track_caller]
fn holds(history: &History) {
    let story = history.breaks_no_rule().err();
    assert!(story.is_none(), "{}", story.unwrap_or_default());
}

/// All of these in turn, at the first visit of their place.
#[track_caller]
fn hold_each(history: &History, place: Place, troubles: &[Trouble]) {
    for trouble in troubles {
        holds(&history.clone().but(place, 1, *trouble));
    }
}

const UNCLEAR: [Trouble; 9] = [
    AnswerLost,
    Unanswered,
    Garbled,
    Unheard,
    Late(61),
    Late(130),
    Slow(20),
    Cancel,
    Crash(true),
];

#[test]
fn a_calm_history_ends_well() {
    for purpose in [Purpose::New, Purpose::Service, Purpose::Transfer] {
        let device = if purpose == Purpose::New {
            sound()
        } else {
            enrolled()
        };
        let lived = one(device, purpose).breaks_no_rule().unwrap();
        assert_eq!(lived.tally.ends, [1, 0, 0, 0], "{}", lived.story);
    }
}

#[test]
fn an_old_credential_whose_switching_off_is_unclear_is_not_called_as_it_was() {
    hold_each(&one(enrolled(), Purpose::Transfer), Call(Deactivate), &UNCLEAR);
    hold_each(&one(enrolled(), Purpose::Service), Call(Deactivate), &UNCLEAR);
}

#[test]
fn a_transfer_that_sleeps_while_it_switches_off_says_what_is_off() {
    holds(&one(enrolled(), Purpose::Transfer).but(Write(Entry::Deactivating), 1, Sleep(400)));
}

#[test]
fn a_claim_whose_answer_is_unclear_is_not_forgotten() {
    hold_each(&one(sound(), Purpose::New), Call(Issue), &UNCLEAR);
    for end in [Cancel, Crash(true), Crash(false), OutOfReach] {
        for unclear in UNCLEAR {
            let history = one(sound(), Purpose::New).but(Call(Issue), 1, unclear);
            holds(&history.but(Command(Apply), 1, end));
        }
    }
}

#[test]
fn a_claim_that_stays_unclear_when_its_job_is_resumed_is_not_forgotten() {
    for (first, second) in [(Late(125), Refused), (Garbled, Unanswered), (Unanswered, Unheard)] {
        let history = one(sound(), Purpose::New).then(What::Resume);
        holds(&history.but(Call(Issue), 1, first).but(Call(Issue), 2, second));
    }
}

#[test]
fn a_claim_whose_taking_back_is_unclear_is_not_called_undone() {
    let history = one(sound(), Purpose::New).but(Command(SendClaim), 1, Cancel);
    hold_each(&history, Call(Retire), &UNCLEAR);
}

#[test]
fn a_late_answer_about_one_claim_is_not_taken_for_anothers() {
    let mut history = one(sound(), Purpose::New)
        .but(Question, 1, Hesitates(45))
        .but(Call(Retire), 1, Late(69))
        .but(Write(Entry::SendingClaim), 1, Cancel)
        .but(Call(Retire), 2, Unheard);
    history.scene.clouds[0].life = 110;
    history.scene.orders[0].what = What::Commission {
        device: RED,
        label: RED,
        purpose: Purpose::New,
        serial: true,
        network: Given::Not,
    };
    holds(&history);
}

#[test]
fn a_job_that_is_done_is_not_undone_from_an_old_list() {
    for again in [What::UndoStale, What::ResumeStale] {
        let history = one(sound(), Purpose::New).meanwhile(0, 10_000, What::ResumeStale);
        holds(&history.then(again));
    }
}

#[test]
fn a_job_that_a_later_one_settled_takes_nothing_from_the_device() {
    for purpose in [Purpose::New, Purpose::Service, Purpose::Transfer] {
        for later in [Purpose::New, Purpose::Service, Purpose::Transfer] {
            for killed in [
                Write(Entry::Claimed),
                Command(SendClaim),
                Command(Apply),
                Command(JoinStatus),
            ] {
                for take_up in [What::Resume, What::Undo] {
                    let device = if purpose == Purpose::New {
                        sound()
                    } else {
                        enrolled()
                    };
                    let history = one(device, purpose).then(commission(later)).then(take_up);
                    holds(&history.but(killed, 1, Crash(true)));
                }
            }
        }
    }
}

#[test]
fn a_job_of_one_organisation_is_not_settled_by_another() {
    for killed in [
        Call(Issue),
        Write(Entry::Claimed),
        Command(SendClaim),
        Command(Apply),
        Command(JoinStatus),
    ] {
        for take_up in [What::Resume, What::Undo] {
            let history = one(sound(), Purpose::New).then(What::SignIn(1, 0)).then(take_up);
            holds(&history.but(killed, 1, Crash(true)));
        }
    }
}

#[test]
fn a_claims_own_session_is_no_proof_of_its_credential() {
    for enrolled in [None, Some(0)] {
        let device = DeviceSpec {
            claim_session_named: true,
            enrolled_in: enrolled,
            ..sound()
        };
        let purpose = if enrolled.is_some() {
            Purpose::Service
        } else {
            Purpose::New
        };
        for tells in [Tells::Own, Tells::Nothing] {
            let mut history = one(device.clone(), purpose).but(Place::Deed(Deed::Online), 1, Stops);
            history.scene.clouds[0].tells = tells;
            holds(&history);
        }
    }
}

#[test]
fn an_identity_that_nobody_vouches_for_gets_no_claim_where_it_is_required() {
    let mut history = one(sound(), Purpose::New);
    history.scene.identity = commission::policy::IdentityPolicy::Required;
    history.scene.clouds[0].knows_keys = false;
    holds(&history);
}

#[test]
fn a_device_that_turns_into_another_gets_nothing_that_was_for_the_first() {
    for turn in [
        Turn::Serial(100),
        Turn::Serial(1),
        Turn::Key(9),
        Turn::Mute,
        Turn::Firmware,
    ] {
        for lost in [Command(SendClaim), Command(Apply), Command(JoinStatus)] {
            for trouble in [LostBefore, LostAfter] {
                let device = DeviceSpec {
                    turns: Some(turn),
                    ..sound()
                };
                let mut history = one(device, Purpose::New).but(lost, 1, trouble);
                history.scene.orders[0].what = What::Commission {
                    device: RED,
                    label: RED,
                    purpose: Purpose::New,
                    serial: false,
                    network: Given::Right,
                };
                holds(&history);
            }
        }
    }
}

#[test]
fn a_device_that_offers_less_than_its_label_says_gets_nothing_to_guess_by() {
    for turn in [Turn::Weak(1), Turn::Weak(0), Turn::Scheme(1), Turn::Scheme(0)] {
        let device = DeviceSpec {
            turns: Some(turn),
            ..sound()
        };
        holds(&one(device, Purpose::New).but(Command(SendClaim), 1, LostBefore));
    }
}

#[test]
fn no_job_locks_a_device_by_tries_whose_answers_were_lost() {
    let mut history = History::of([sound(), DeviceSpec::sound(1)]).then(What::Commission {
        device: RED,
        label: BLUE,
        purpose: Purpose::New,
        serial: false,
        network: Given::Right,
    });
    for visit in [2, 4, 8, 10] {
        history = history.but(Command(Open), visit, LostAfter);
    }
    holds(&history);
}

#[test]
fn an_adapter_that_is_off_for_a_while_ends_no_job() {
    for place in [
        Place::Connect,
        Command(Open),
        Command(SendClaim),
        Command(Apply),
        Command(JoinStatus),
    ] {
        holds(&one(sound(), Purpose::New).but(place, 1, AdapterOff(90)));
    }
}

#[test]
fn a_reset_that_was_not_answered_is_not_taken_for_done() {
    let history = one(enrolled(), Purpose::Transfer).but(Command(SendClaim), 3, Sleep(1_800));
    hold_each(&history, Command(ResetNetwork), &[Silence, LostBefore, LostAfter]);
}

#[test]
fn a_release_that_is_unclear_is_not_called_a_failure_that_left_nothing() {
    hold_each(&one(sound(), Purpose::New), Call(Release), &UNCLEAR);
}

#[test]
fn a_colleague_who_takes_a_job_up_reaches_the_claim_that_was_asked_for() {
    let history = one(sound(), Purpose::New)
        .then(What::SignIn(0, 1))
        .then(What::Undo)
        .but(Call(Issue), 1, Crash(false));
    holds(&history);
}

#[test]
fn a_job_that_is_taken_up_is_not_done_by_what_was_seen_before_another_visit() {
    holds(
        &one(sound(), Purpose::Transfer)
            .meanwhile(0, 120_000, commission(Purpose::Service))
            .but(Command(JoinStatus), 2, Crash(false))
            .but(Place::Deed(Deed::Online), 2, SwitchedOff),
    );
}

#[test]
fn a_job_of_which_nothing_is_known_takes_nothing_from_a_device_that_works_since() {
    for purpose in [Purpose::New, Purpose::Service, Purpose::Transfer] {
        for place in [Place::Connect, Command(Open), Place::Check] {
            let mut history = one(sound(), purpose)
                .then(commission(Purpose::Transfer))
                .then(What::Resume)
                .but(place, 1, Crash(true));
            for order in &mut history.scene.orders {
                if let What::Commission { serial, .. } = &mut order.what {
                    *serial = false;
                }
            }
            holds(&history);
        }
    }
}

#[test]
fn a_job_whose_device_went_to_another_organisation_says_what_it_left() {
    let history = one(enrolled(), Purpose::Service)
        .then(What::SignIn(1, 1))
        .then(commission(Purpose::Transfer));
    for place in [Command(JoinStatus), Write(Entry::Evidence)] {
        for visit in 2..8 {
            for trouble in [Crash(true), Cancel] {
                holds(&history.clone().but(place, visit, trouble));
            }
        }
    }
}

#[test]
fn a_device_that_was_brought_online_since_is_left_alone_however_often_a_job_is_taken_up() {
    let history = one(sound(), Purpose::New)
        .then(commission(Purpose::Service))
        .then(commission(Purpose::Transfer));
    holds(
        &history
            .but(Write(Entry::Claimed), 2, Crash(true))
            .but(Write(Entry::Claimed), 3, Crash(true)),
    );
}

#[test]
fn no_job_locks_a_device_that_it_comes_back_to_from_another_of_its_name() {
    let devices = [0, 1, 2].map(|number| DeviceSpec {
        name: 0,
        ..DeviceSpec::sound(number)
    });
    let history = History::of(devices).then(What::Commission {
        device: BLUE,
        label: 2,
        purpose: Purpose::New,
        serial: false,
        network: Given::Right,
    });
    let mut history = history
        .but(Command(Open), 2, LostAfter)
        .but(Command(Open), 4, LostAfter);
    // Whose label it is is not there.
    history.scene.devices[2].name = 2;
    holds(&history);
}

#[test]
fn a_done_job_that_only_takes_a_claim_back_settles_no_later_visit() {
    let mut history = one(sound(), Purpose::New)
        .then(commission(Purpose::Service))
        .but(Question, 1, Hesitates(102))
        .but(Call(Retire), 1, Unanswered)
        .but(Call(Deactivate), 1, Late(67));
    history.scene.clouds[0].life = 110;
    history.scene.orders[0].what = What::Commission {
        device: RED,
        label: RED,
        purpose: Purpose::New,
        serial: true,
        network: Given::Not,
    };
    holds(&history);
}
