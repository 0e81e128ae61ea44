//! The words for stages, evidence and outcomes. What a fault means is said by the engine.

use commission::evidence::{Evidence, Fact, Source};
use commission::flow::{OutcomeRecord, Stage};
use commission::organisation::OrganisationId;
use engine::view::{JobState, What};

/// Whose a job is, and what to do about it.
pub(crate) fn belongs_to(organisation: &OrganisationId, profile: Option<&str>) -> String {
    match profile {
        Some(name) => {
            format!("it belongs to {name}; choose that profile: fieldkey --profile {name:?} resume")
        }
        None => format!(
            "it belongs to {organisation}, whose profile is not imported here; get the file from that office"
        ),
    }
}

/// A stage, as what is going on.
pub(crate) fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Found => "found",
        Stage::Linking => "linking",
        Stage::Proving => "proving possession",
        Stage::Identifying => "checking identity",
        Stage::Networking => "writing Wi-Fi settings",
        Stage::Crediting => "sending the claim",
        Stage::Joining => "joining Wi-Fi",
        Stage::Enrolling => "enrolling",
        Stage::Verifying => "verifying",
        Stage::Released => "releasing",
    }
}

/// A state, as a mark that is no colour alone.
pub(crate) fn mark(state: JobState) -> &'static str {
    match state {
        JobState::Waiting => "○",
        JobState::Working => "●",
        JobState::Attention => "▲",
        JobState::Done => "✓",
        JobState::Failed => "■",
        JobState::Unknown => "◇",
    }
}

/// Evidence, with who says so.
pub(crate) fn evidence(evidence: &Evidence) -> String {
    let by = match evidence.source {
        Source::Radio => "radio",
        Source::Device => "device",
        Source::Cloud => "cloud",
    };
    format!("{} ({by})", fact(&evidence.fact))
}

fn fact(fact: &Fact) -> String {
    match fact {
        Fact::Linked => "linked".into(),
        Fact::PossessionProven { scheme } => format!("possession proven, {scheme}"),
        Fact::PossessionRefused => "proof of possession refused".into(),
        Fact::IdentityProven { identity } => format!(
            "identity proven: {}, {} firmware {}",
            identity.serial, identity.model, identity.firmware
        ),
        Fact::NetworkSeen { rssi } => format!("network seen at {rssi} dBm"),
        Fact::SettingsWritten => "Wi-Fi settings written".into(),
        Fact::ClaimIssued { claim } => format!("claim issued: {}", short(&claim.0)),
        Fact::ClaimCommitted => "claim stored".into(),
        Fact::SettingsApplied => "Wi-Fi settings applied".into(),
        Fact::WifiJoined {
            address: Some(address),
        } => format!("joined Wi-Fi as {address}"),
        Fact::WifiJoined { address: None } => "joined Wi-Fi".into(),
        Fact::PassphraseRefused => "refused by the network, most likely for the passphrase".into(),
        Fact::CloudReached => "reached the cloud with the claim".into(),
        Fact::IdentityIssued { .. } => "permanent identity issued".into(),
        Fact::Registered { thing, .. } => format!("registered{}", named(thing.as_deref())),
        Fact::SeenOnline { thing, .. } => {
            format!("seen online under its own identity{}", named(thing.as_deref()))
        }
        Fact::EnrolmentRefused { code, message } => format!("enrolment refused: {code}, {message}"),
        Fact::OneActiveCredential { principal } => {
            format!("exactly one active credential: {}", short(principal))
        }
        Fact::Released => "released".into(),
    }
}

fn named(thing: Option<&str>) -> String {
    thing.map(|name| format!(" as {name}")).unwrap_or_default()
}

/// The beginning of a long identifier, enough to compare by eye.
pub(crate) fn short(identifier: &str) -> String {
    if identifier.chars().count() <= 12 {
        identifier.into()
    } else {
        identifier.chars().take(12).chain(['…']).collect()
    }
}

/// Something that happened, in a line; `None` for what the bars show anyway.
pub(crate) fn happening(name: &str, what: &What) -> Option<String> {
    match what {
        What::Stage { .. } => None,
        What::Evidence { evidence: facts } => Some(evidence(facts)),
        What::Capabilities { summary } => Some(summary.clone()),
        What::Asked { question, .. } => Some(asked(question)),
        // What an earlier run lost is looked for anew; nothing was tried in this one.
        What::Retrying { attempt: 0 | 1, .. } => Some("Looking for the device again.".into()),
        What::Retrying { failure, attempt } => Some(format!("{} Attempt {attempt} begins.", failure.what)),
        What::Finished { outcome, failure } => Some(match (outcome, failure) {
            (OutcomeRecord::Done { thing, .. }, _) => format!("done{}", named(thing.as_deref())),
            (OutcomeRecord::Unknown { .. }, Some(failure)) => format!(
                "unknown how it ended: {} {} Do now: {}",
                failure.what, failure.why, failure.now
            ),
            (_, Some(failure)) if failure.code == "not-advertising" => {
                format!("{} {} Do now: {}", unheard(name), failure.why, failure.now)
            }
            (_, Some(failure)) => format!("{} {} Do now: {}", failure.what, failure.why, failure.now),
            (_, None) => "ended".into(),
        }),
    }
}

/// A name that nobody hears may be a mistyped one, so it is said.
pub(crate) fn unheard(name: &str) -> String {
    format!("No device named {name} is heard.")
}

/// What is asked, without its choices.
pub(crate) fn asked(question: &engine::view::QuestionView) -> String {
    use engine::view::QuestionView;
    match question {
        QuestionView::Pop { failure, tries_left } => {
            let tries = if *tries_left == 1 { "try" } else { "tries" };
            format!("{} {} ({tries_left} {tries} left)", failure.what, failure.now)
        }
        QuestionView::Network { .. } => "Which network is the device to join?".into(),
        QuestionView::NetworkDoubt { failure } => format!("{} {}", failure.what, failure.why),
        QuestionView::Passphrase { failure, network } => {
            format!("{} (network {network}) {}", failure.what, failure.why)
        }
    }
}

#[cfg(test)]
mod tests {
    use commission::fault::Fault;
    use engine::failure::Failure;

    use super::*;

    #[test]
    fn an_unknown_end_is_called_so_and_sends_nobody_to_the_device() {
        for fault in [Fault::NotAdvertising, Fault::JoinTimeout] {
            let (stage, record) = (Stage::Joining, (&fault).into());
            let what = What::Finished {
                outcome: OutcomeRecord::Unknown { stage, fault: record },
                failure: Some(Failure::unknown(&fault)),
            };
            let line = happening("PROV_1", &what).unwrap();
            assert!(line.starts_with("unknown"), "{line}");
            assert!(line.contains("Do now: Run fieldkey resume"), "{line}");
            assert!(!line.contains("fieldkey scan"), "{line}");
        }
    }
}
