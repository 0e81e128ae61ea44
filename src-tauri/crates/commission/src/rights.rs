//! What a person may do with devices, from what the cloud says of them.
//!
//! Not in scope: asking the cloud, and what a role is called there.

/// The right to be given claims, as a broker names it (broker.openapi.yaml, `Preflight`).
const CLAIM: &str = "claim";
/// The right to move devices to another owner, as a broker names it.
const TRANSFER: &str = "transfer";

/// Whether something may be done with devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// It may.
    Yes,
    /// The person's role lacks the right.
    RoleLacksRight,
    /// The provisioning template is switched off: every enrolment would be refused.
    TemplateOff,
    /// Devices enrol by themselves there, so that it cannot be done from here.
    NotFromHere,
}

impl May {
    /// Whether a person with these rights may commission devices. A right that is missing goes before a template that
    /// is off, since it stays when the template is switched on.
    pub fn commission<T: AsRef<str>>(rights: &[T], template_enabled: bool) -> Self {
        if !has(rights, CLAIM) {
            Self::RoleLacksRight
        } else if template_enabled {
            Self::Yes
        } else {
            Self::TemplateOff
        }
    }

    /// Whether a person with these rights may move devices to another owner, which is commissioning and more.
    pub fn transfer<T: AsRef<str>>(rights: &[T], template_enabled: bool) -> Self {
        if has(rights, TRANSFER) {
            Self::commission(rights, template_enabled)
        } else {
            Self::RoleLacksRight
        }
    }
}

fn has<T: AsRef<str>>(rights: &[T], wanted: &str) -> bool {
    rights.iter().any(|right| right.as_ref() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commissioning_takes_the_right_to_a_claim_and_a_template_that_is_on() {
        assert_eq!(May::commission(&["claim"], true), May::Yes);
        assert_eq!(May::commission(&["claim"], false), May::TemplateOff);
        assert_eq!(May::commission(&["transfer"], true), May::RoleLacksRight);
        assert_eq!(May::commission::<&str>(&[], true), May::RoleLacksRight);
    }

    #[test]
    fn a_missing_right_is_named_before_a_template_that_is_off() {
        assert_eq!(May::commission(&["read"], false), May::RoleLacksRight);
        assert_eq!(May::transfer(&["claim"], false), May::RoleLacksRight);
    }

    #[test]
    fn moving_a_device_takes_its_own_right_besides_that_to_commission() {
        assert_eq!(May::transfer(&["claim", "transfer"], true), May::Yes);
        assert_eq!(May::transfer(&["claim"], true), May::RoleLacksRight);
        assert_eq!(May::transfer(&["transfer"], true), May::RoleLacksRight);
        assert_eq!(May::transfer(&["claim", "transfer"], false), May::TemplateOff);
    }
}
