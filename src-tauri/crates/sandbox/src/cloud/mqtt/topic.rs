//! Topics: which filter takes which topic, and which of them a certificate may use.

use super::payload::Format;
use crate::cloud::registry::Admission;

const CREATE: &str = "$aws/certificates/create/";
const CREATE_FROM_CSR: &str = "$aws/certificates/create-from-csr/";
const TEMPLATES: &str = "$aws/provisioning-templates/";

/// The three operations of the provisioning topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    CreateKeysAndCertificate,
    CreateCertificateFromCsr,
    RegisterThing,
}

impl Operation {
    /// The operation that a message to this topic asks for, at this template.
    pub(super) fn requested(topic: &str, template: &str) -> Option<(Self, Format)> {
        let (operation, format) = if let Some(format) = topic.strip_prefix(CREATE) {
            (Self::CreateKeysAndCertificate, format)
        } else if let Some(format) = topic.strip_prefix(CREATE_FROM_CSR) {
            (Self::CreateCertificateFromCsr, format)
        } else {
            (Self::RegisterThing, provision_level(topic, template)?)
        };
        Some((operation, Format::named(format)?))
    }
}

/// Whether this certificate may publish to the topic. A claim is confined to asking; a device to its own data.
pub(super) fn may_publish(who: &Admission, topic: &str, template: &str) -> bool {
    match who {
        Admission::Claim(_) => Operation::requested(topic, template).is_some(),
        Admission::Device {
            thing: Some(thing), ..
        } => topic
            .strip_prefix("dt/")
            .and_then(|rest| rest.strip_prefix(thing.as_str()))
            .is_some_and(below),
        Admission::Device { thing: None, .. } | Admission::Refused => false,
    }
}

/// Whether this certificate may subscribe to the filter.
pub(super) fn may_subscribe(who: &Admission, filter: &str, template: &str) -> bool {
    match who {
        Admission::Claim(_) => {
            filter.starts_with(CREATE)
                || filter.starts_with(CREATE_FROM_CSR)
                || provision_level(filter, template).is_some()
        }
        Admission::Device {
            thing: Some(thing), ..
        } => filter
            .strip_prefix("cmd/")
            .and_then(|rest| rest.strip_prefix(thing.as_str()))
            .is_some_and(below),
        Admission::Device { thing: None, .. } | Admission::Refused => false,
    }
}

/// Whether a filter takes a topic (MQTT 5.0, 4.7): `+` is one level, `#` is all that follow and the level above.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    // Wildcards at the start take no topic of the server's own (4.7.2).
    if topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
        return false;
    }
    let (mut filters, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

fn provision_level<'a>(topic: &'a str, template: &str) -> Option<&'a str> {
    topic
        .strip_prefix(TEMPLATES)?
        .strip_prefix(template)?
        .strip_prefix("/provision/")
}

fn below(rest: &str) -> bool {
    rest.starts_with('/') && rest.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_take_topics_as_the_standard_says() {
        for (filter, topic, taken) in [
            ("a/b", "a/b", true),
            ("a/b", "a/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a/b/c", false),
            ("a/+", "a", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("#", "a/b", true),
            ("#", "$aws/x", false),
            ("+/x", "$aws/x", false),
            ("$aws/#", "$aws/x", true),
        ] {
            assert_eq!(matches(filter, topic), taken, "{filter} {topic}");
        }
    }

    #[test]
    fn a_claim_may_only_ask_its_own_template() {
        let claim = Admission::Claim("c".into());
        for (topic, allowed) in [
            ("$aws/certificates/create/json", true),
            ("$aws/certificates/create/cbor", true),
            ("$aws/certificates/create/xml", false),
            ("$aws/certificates/create-from-csr/json", true),
            ("$aws/provisioning-templates/T/provision/json", true),
            ("$aws/provisioning-templates/T2/provision/json", false),
            ("$aws/provisioning-templates/Other/provision/json", false),
            ("$aws/certificates/create/json/accepted", false),
            ("dt/x/state", false),
        ] {
            assert_eq!(may_publish(&claim, topic, "T"), allowed, "{topic}");
        }
        for (filter, allowed) in [
            ("$aws/certificates/create/json/accepted", true),
            ("$aws/certificates/create/#", true),
            ("$aws/provisioning-templates/T/provision/cbor/rejected", true),
            ("$aws/provisioning-templates/+/provision/json/accepted", false),
            ("$aws/events/#", false),
            ("#", false),
        ] {
            assert_eq!(may_subscribe(&claim, filter, "T"), allowed, "{filter}");
        }
    }

    #[test]
    fn a_device_may_only_speak_of_itself() {
        let device = Admission::Device {
            principal: "p".into(),
            thing: Some("FK-1".into()),
        };
        assert!(may_publish(&device, "dt/FK-1/state", "T"));
        assert!(!may_publish(&device, "dt/FK-1", "T"));
        assert!(!may_publish(&device, "dt/FK-10/state", "T"));
        assert!(!may_publish(&device, "$aws/certificates/create/json", "T"));
        assert!(may_subscribe(&device, "cmd/FK-1/#", "T"));
        assert!(!may_subscribe(&device, "dt/+/state", "T"));
    }
}
