//! The words for stages, evidence and outcomes. What a fault means is said by the engine.

use commission::evidence::{Evidence, Fact, Source};
use commission::flow::{OutcomeRecord, Stage};
use engine::view::{JobState, What};

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
        Fact::IdentityProven { identity } => format!(
            "identity proven: {}, {} firmware {}",
            identity.serial, identity.model, identity.firmware
        ),
        Fact::NetworkSeen { rssi } => format!("network seen at {rssi} dBm"),
        Fact::SettingsWritten => "Wi-Fi settings written".into(),
        Fact::ClaimIssued { claim } => format!("claim issued: {}", claim.0),
        Fact::ClaimCommitted => "claim stored".into(),
        Fact::SettingsApplied => "Wi-Fi settings applied".into(),
        Fact::WifiJoined {
            address: Some(address),
        } => format!("joined Wi-Fi as {address}"),
        Fact::WifiJoined { address: None } => "joined Wi-Fi".into(),
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
pub(crate) fn happening(what: &What) -> Option<String> {
    match what {
        What::Stage { .. } => None,
        What::Evidence { evidence: facts } => Some(evidence(facts)),
        What::Capabilities { summary } => Some(summary.clone()),
        What::Asked { question } => Some(asked(question)),
        What::Retrying { failure, attempt } => Some(format!("{} Attempt {attempt} begins.", failure.what)),
        What::Finished { outcome, failure } => Some(match (outcome, failure) {
            (OutcomeRecord::Done { thing, .. }, _) => format!("done{}", named(thing.as_deref())),
            (_, Some(failure)) => format!("{} {} Do now: {}", failure.what, failure.why, failure.now),
            (_, None) => "ended".into(),
        }),
    }
}

/// What is asked, without its choices.
pub(crate) fn asked(question: &engine::view::QuestionView) -> String {
    use engine::view::QuestionView;
    match question {
        QuestionView::Pop { failure, tries_left } => {
            format!("{} {} ({tries_left} tries left)", failure.what, failure.now)
        }
        QuestionView::Network { .. } => "Which network is the device to join?".into(),
        QuestionView::NetworkDoubt { failure } => format!("{} {}", failure.what, failure.why),
        QuestionView::Passphrase { failure, network } => {
            format!("{} (network {network}) {}", failure.what, failure.now)
        }
    }
}
