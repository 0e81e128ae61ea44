//! The one mapping from faults to what a person reads: what happened, why that is likely, what to do now.
//!
//! Keyed by the fault's stable code; the window translates by the same codes. No sentence holds a secret, since no
//! fault does.

use commission::fault::{CloudError, Fault, FaultRecord};
use commission::gatt::LinkError;
use serde::Serialize;

/// The one thing a person can do now, for a button or a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Remedy {
    /// Commission this device again.
    Retry,
    /// Type or scan the label again.
    EnterPop,
    /// Type the passphrase again.
    EnterPassphrase,
    /// Choose another network.
    ChooseNetwork,
    /// Sign in.
    SignIn,
    /// Switch Bluetooth on, or mend it.
    FixBluetooth,
    /// Do something at the device: power, button, place.
    AtDevice,
    /// Ask the office: rights, template, maker's list.
    AskOffice,
    /// Look again later, or resume.
    Resume,
}

/// A fault in a person's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Failure {
    /// The stable code.
    pub code: String,
    /// What happened.
    pub what: String,
    /// Why that is likely.
    pub why: String,
    /// What to do now.
    pub now: String,
    /// The same as one action.
    pub remedy: Remedy,
}

impl From<&Fault> for Failure {
    fn from(fault: &Fault) -> Self {
        let (what, why, now, remedy) = words(fault);
        Self {
            code: fault.code().into(),
            what,
            why,
            now,
            remedy,
        }
    }
}

impl From<&CloudError> for Failure {
    fn from(error: &CloudError) -> Self {
        let fault = match error.clone() {
            CloudError::SignedOut => Fault::SignedOut,
            CloudError::Unreachable(why) | CloudError::Nonsense(why) => Fault::CloudUnreachable(why),
            CloudError::Throttled { .. } => Fault::Cloud {
                code: "throttled".into(),
                message: "too many requests for now".into(),
            },
            CloudError::Refused { code, message } => Fault::Cloud { code, message },
        };
        Self::from(&fault)
    }
}

impl Failure {
    /// A fault of which only the record is left.
    pub fn recorded(record: &FaultRecord) -> Self {
        Self {
            code: record.code.clone(),
            what: format!("This had ended already: {}.", record.detail),
            why: String::new(),
            now: "Commission the device again, if that is still to be done.".into(),
            remedy: Remedy::Retry,
        }
    }

    /// A fault that left it unknown how a job ended. Whatever else might help against it, the cloud is asked first:
    /// the device may work already.
    pub fn unknown(fault: &Fault) -> Self {
        let failure = Self::from(fault);
        let first = match fault {
            // The cloud answers nobody else; what to do after that is said there too.
            Fault::SignedOut => return failure,
            Fault::Journal(_) => "Free some space, then run",
            Fault::CloudUnreachable(_) => "Check this computer's connection, then run",
            Fault::EnrolTimeout => "Wait a minute, then run",
            Fault::NotSeenOnline => "Check the device's power and network, then run",
            _ => "Run",
        };
        Self {
            now: format!("{first} fieldkey resume: the cloud is asked again."),
            remedy: Remedy::Resume,
            ..failure
        }
    }
}

type Words = (String, String, String, Remedy);

fn say(what: impl Into<String>, why: impl Into<String>, now: impl Into<String>, remedy: Remedy) -> Words {
    (what.into(), why.into(), now.into(), remedy)
}

/// What to do with a device that keeps settings. Firmware that has stored them comes back as one that is set up.
const KEPT: &str = "Switch the device off and on, and reset it as its maker says if it is not listed then.";

/// What somebody did not do, with the question that stood open.
fn because(what: &str, asked: Option<&Fault>) -> String {
    match asked {
        Some(fault) => format!("{what} when this stood open: {}", words(fault).0),
        None => format!("{what}."),
    }
}

fn words(fault: &Fault) -> Words {
    use Remedy::{AskOffice, AtDevice, ChooseNetwork, EnterPassphrase, EnterPop, Resume, Retry, SignIn};
    match fault {
        Fault::NotAdvertising => say(
            "No such device is heard.",
            "Its name is mistyped, it is set up already, connected elsewhere, out of reach, or its set-up window is over.",
            "fieldkey scan lists those nearby; if it is set up already, fieldkey watch with its serial number shows how \
             it is; else switch it off and on, stand within five metres, and try again.",
            AtDevice,
        ),
        Fault::Link(error) => link_words(error),
        Fault::EndpointMissing(name) => say(
            format!("The device does not offer “{name}”."),
            "Its firmware is of another kind, or this computer remembers an older firmware of it.",
            "Remove the device in the system's Bluetooth settings, then try again; else check its firmware.",
            Retry,
        ),
        Fault::Protocol(detail) => say(
            "The device gave an answer that makes no sense.",
            format!("Its firmware does not keep to the protocol: {detail}"),
            "Switch it off and on and try again; if it stays so, report its model and firmware.",
            AtDevice,
        ),
        Fault::PopNeeded => say(
            "The device wants the code of its label.",
            "No label was scanned for it.",
            "Scan the label, or type the proof of possession that is printed on it.",
            EnterPop,
        ),
        Fault::WrongPop => say(
            "The device refused the code of the label.",
            "The label belongs to another device, or the code was mistyped.",
            "Scan the label on this very device, or type its proof of possession again.",
            EnterPop,
        ),
        Fault::LockedOut => say(
            "The device takes no more codes.",
            "Too many wrong proofs of possession were sent to it.",
            "Switch it off and on, then scan the right label.",
            AtDevice,
        ),
        Fault::Unencrypted => say(
            "The device offers no encryption, so nothing secret was sent.",
            "Its firmware uses Security 0, which your organisation does not allow.",
            "Use firmware with Security 2, or ask the office to allow this for test devices.",
            AskOffice,
        ),
        Fault::Unproven => say(
            "The device asks for no proof of possession, so nothing secret was sent.",
            "Its firmware was built without one; anybody near could stand between you and it.",
            "Use firmware with a proof of possession, or ask the office to allow this.",
            AskOffice,
        ),
        Fault::NonceReuse => say(
            "The device's encryption has a known weakness, so nothing secret was sent.",
            "Its firmware reuses nonces (Security 2 before patch 1).",
            "Update its firmware, or ask the office to allow this.",
            AskOffice,
        ),
        Fault::Downgraded { known, offered } => say(
            "The device offers less protection than is known of it, so nothing secret was sent.",
            format!(
                "It is known for {known} and offers {offered}: another device of its name, or somebody in between."
            ),
            "Blink the device and compare it with the label. If its maker changed the firmware, ask the office.",
            AskOffice,
        ),
        Fault::FalseDevice => say(
            "This is not the device of the label.",
            "It could not show that it knows its own proof of possession.",
            "Blink the device, compare it with the label, and do not give it any password.",
            EnterPop,
        ),
        Fault::UnsupportedScheme(scheme) => say(
            format!("The device wants security scheme {scheme}, which Fieldkey does not know."),
            "Its firmware is newer than this Fieldkey.",
            "Update Fieldkey.",
            AskOffice,
        ),
        Fault::IdentityMissing => say(
            "The device cannot prove who it is.",
            "Its firmware has no identity endpoint and your organisation wants one, or it proved itself before and does not \
             now.",
            "Update its firmware, or ask the office.",
            AskOffice,
        ),
        Fault::IdentityForged(detail) => say(
            "The device's proof of identity does not hold.",
            format!("It may be a forgery, or its key store is damaged: {detail}"),
            "Do not install it. Put it aside and report its label.",
            AskOffice,
        ),
        Fault::IdentityUnvouched => say(
            "Nobody vouches for this device's identity.",
            "It proved a key, and neither the cloud nor a maker that the profile names knows whose key that is.",
            "Do not install it yet. Ask the office to register the device's key, or to name its maker in the profile.",
            AskOffice,
        ),
        Fault::MakerUnknown => say(
            "No maker that your organisation names vouches for this device.",
            "The organisation profile does not name the device's maker, or the device is a forgery.",
            "Do not install it yet. Ask the office to name its maker in the profile; if it does already, report the \
             label.",
            AskOffice,
        ),
        Fault::IdentityUnchecked(detail) => say(
            "The device's proof of identity could not be checked.",
            format!("This computer was too busy, which says nothing of the device: {detail}"),
            "Try again.",
            Retry,
        ),
        Fault::LaptopDate => say(
            "This laptop's date is wrong.",
            "By it the device's certificate is out of date, which says nothing of the device.",
            "Set date and time of this laptop, and begin again.",
            Retry,
        ),
        Fault::UnknownDevice(serial) => say(
            format!("The maker's list does not have {serial}."),
            "It is too new for the imported list, or not made for your organisation.",
            "Ask the office to import the maker's list for this batch.",
            AskOffice,
        ),
        Fault::CloneSuspected(serial) => say(
            format!("The device says it is {serial}, but holds another key than the maker registered."),
            "It is a copy, or its main board was replaced.",
            "Do not install it. Put it aside and report it.",
            AskOffice,
        ),
        Fault::LabelMismatch { label, device } => say(
            format!("The label is of {label}, the device is {device}."),
            "Labels were swapped, or the wrong one was scanned.",
            "Scan the label on this very device.",
            EnterPop,
        ),
        Fault::OwnedByOther => say(
            "The device belongs to another owner.",
            "It was commissioned by another organisation and not released.",
            "Ask support to transfer it.",
            AskOffice,
        ),
        Fault::AlreadyCommissioned => say(
            "The device is commissioned already.",
            "The cloud shows an active identity for it.",
            "If this is a service visit, start it as one (--purpose service).",
            Retry,
        ),
        Fault::EnrolsItself => say(
            "The device enrols by itself, so it cannot be moved to another owner from here.",
            "Its old identity would stay valid at the owner before; only a claim from here can come after that is off.",
            "Have support move it in the cloud, then commission it as new.",
            AskOffice,
        ),
        Fault::FirmwareTooOld { found, needed } => say(
            format!("Firmware {found} is too old; {needed} is needed."),
            "Your organisation set a lowest version for this model.",
            "Update the device's firmware, then try again.",
            AtDevice,
        ),
        Fault::SerialNeeded => say(
            "The device's serial number is not known.",
            "Its label does not carry it and it cannot prove it.",
            "Give the serial number with the label (serial in the CSV, or --serial).",
            EnterPop,
        ),
        Fault::NetworkNotSeen(name) => say(
            format!("The device does not see the network “{name}”."),
            "It is out of the device's reach, on 5 GHz only, hidden, or spelled otherwise.",
            "Choose a network that the device sees, or mark this one as hidden.",
            ChooseNetwork,
        ),
        Fault::NetworkWeak { ssid, rssi } => say(
            format!("The device sees “{ssid}” with only {rssi} dBm."),
            "The access point is far away or shielded at the device's place.",
            "Move the device or the access point, choose another network, or go on all the same.",
            ChooseNetwork,
        ),
        Fault::NetworkEnterprise(ssid) => say(
            format!("The device sees “{ssid}” as an enterprise network, which it cannot join."),
            "Such a network (IEEE 802.1X) wants a name and a password for everybody, or a certificate.",
            "Choose another network, or ask whoever runs this one for one with a passphrase.",
            ChooseNetwork,
        ),
        Fault::NetworkOpen(ssid) => say(
            format!("“{ssid}” is open where the device is, and you have a passphrase for it."),
            "Somebody may run another network of that name, or its protection was switched off.",
            "Ask whoever runs the network; choose another one, or go on all the same.",
            ChooseNetwork,
        ),
        Fault::ScanTimeout => say(
            "The device answers, but its list of networks does not come.",
            "It may still hold the Wi-Fi settings of an earlier try, with which no list ends.",
            "Switch it off and on, then try again.",
            AtDevice,
        ),
        Fault::SettingsHeld => say(
            "The device holds the Wi-Fi settings of an earlier try and does not give them up.",
            "It joins a network with them, or has joined one, and its firmware cannot leave that.",
            KEPT,
            AtDevice,
        ),
        Fault::SettingsRefused(status) => say(
            "The device refused the Wi-Fi settings.",
            format!("It answered status {status}; often the passphrase is longer than its firmware takes."),
            "Check name and passphrase (at most 63 characters), then try again.",
            EnterPassphrase,
        ),
        Fault::PowerCycleNeeded => say(
            "The device cannot take other settings now.",
            "Its firmware (ESP-IDF 5.0 or older) must restart after a failed join.",
            "Switch it off and on and try again once it is listed; if it is not listed then, reset it as its maker \
             says.",
            AtDevice,
        ),
        Fault::CredentialsUnsupported => say(
            "The device cannot take a claim.",
            "It speaks plain Espressif provisioning without Fieldkey's endpoints.",
            "Use firmware with the endpoints of DEVICE.md, or ask the office to allow Wi-Fi only.",
            AskOffice,
        ),
        Fault::ClaimRefused { code, message } => say(
            "The cloud gave no temporary credential.",
            format!("It said {code}: {message}"),
            "If it is about rights or the template, ask the office; else try again.",
            AskOffice,
        ),
        Fault::ClaimExpired => say(
            "The temporary credential expired before the device had it.",
            "The link was slow or broke several times.",
            "Stand closer to the device and try again; a fresh one is fetched.",
            Retry,
        ),
        Fault::BufferTooSmall { need, has } => say(
            format!("The temporary credential has {need} bytes, the device takes {has}."),
            "Its firmware keeps too small a buffer.",
            "Update its firmware, or have the office use a smaller (EC) certificate.",
            AskOffice,
        ),
        Fault::ClaimRejected(detail) => say(
            "The device found the temporary credential unfit.",
            format!("It said: {detail}"),
            "Try again with a fresh one; if it stays so, report its model and firmware.",
            Retry,
        ),
        Fault::PassphraseRefused => say(
            "The network refused the device.",
            "Most likely the passphrase is wrong; a filter at the access point looks the same.",
            "Type the passphrase again.",
            EnterPassphrase,
        ),
        Fault::PassphraseNeeded(name) => say(
            format!("The network “{name}” is protected."),
            "The device sees it so, and no passphrase is known; nothing was sent.",
            "Type its passphrase.",
            EnterPassphrase,
        ),
        Fault::PassphraseInvalid => say(
            "That cannot be a passphrase, so nothing was sent.",
            "A Wi-Fi passphrase has 8 to 63 characters.",
            "Type the passphrase again.",
            EnterPassphrase,
        ),
        Fault::NetworkNotFound => say(
            "The device did not find the network.",
            "It is out of the device's reach or on 5 GHz only.",
            "Choose a network that the device sees.",
            ChooseNetwork,
        ),
        Fault::JoinTimeout => say(
            "The device got no network address in time.",
            "The network hands out no addresses (DHCP), is too weak, or wants a log-in page.",
            "Check the access point, then try again.",
            ChooseNetwork,
        ),
        Fault::EnrolmentRefused { code, message } => say(
            "The cloud refused the device.",
            format!("It said {code}: {message}"),
            "Ask the office about the allow-list and the template.",
            AskOffice,
        ),
        Fault::CloudUnreachableFromDevice(detail) => say(
            "The device is on Wi-Fi but could not reach the cloud.",
            format!("A firewall, no Internet at this network, or a wrong endpoint: {detail}"),
            "Check that this network reaches the Internet on port 8883, then try again.",
            ChooseNetwork,
        ),
        Fault::EnrolTimeout => say(
            "The device did not enrol in time.",
            "It joined Wi-Fi or was about to; then neither it nor the cloud said anything.",
            "Wait a minute and resume: the cloud is asked again.",
            Resume,
        ),
        Fault::NotSeenOnline => say(
            "The device is registered but was not seen online yet.",
            "It restarts, or its network broke after enrolment.",
            "Do not leave yet: check its power and network, then resume.",
            Resume,
        ),
        Fault::CredentialOff => say(
            "The device's new identity is switched off in the cloud; the earlier one was left on.",
            "Somebody switched it off after the device had been seen with it.",
            "Ask support why; then resume, or make another service visit.",
            Resume,
        ),
        Fault::ActiveCredentials(count) => say(
            format!("The device has {count} active identities instead of one."),
            "An earlier identity could not be switched off, or the new one was.",
            "Resume; if it stays so, ask support.",
            Resume,
        ),
        Fault::ReleaseRefused { code, message } => say(
            "The device works but was not released to support.",
            format!("The cloud said {code}: {message}"),
            "Resume; if it stays so, ask the office.",
            Resume,
        ),
        Fault::SignedOut => say(
            "Nobody is signed in.",
            "The sign-in has ended, was revoked, or never began.",
            "Sign in: fieldkey sign-in. Then fieldkey resume finishes what was left open, if anything was.",
            SignIn,
        ),
        Fault::OtherOrganisation(organisation) => say(
            "This device was begun for another organisation.",
            format!("It belongs to {organisation}; nobody else can say what has become of it."),
            "Choose that organisation's profile, then run fieldkey resume.",
            AskOffice,
        ),
        Fault::OrganisationUnknown => say(
            "Nothing says for which organisation this device was begun.",
            "An older Fieldkey began it, which did not write that down.",
            "If it belongs to this organisation, run fieldkey resume --adopt with its job.",
            Resume,
        ),
        Fault::Superseded => say(
            "A later visit has commissioned this device.",
            "This earlier job was left open then, and is settled by it.",
            "There is nothing more to do.",
            Retry,
        ),
        Fault::CloudUnreachable(detail) => say(
            "The cloud cannot be reached from this computer.",
            format!("No Internet here, or a proxy or certificate stands between: {detail}"),
            "Check this computer's connection, then try again.",
            Retry,
        ),
        Fault::Cloud { code, message } => say(
            "The cloud answered with an error.",
            format!("It said {code}: {message}"),
            "Do what it says, if it says what to do. Else try again; if it stays so, ask the office and give them the code.",
            Retry,
        ),
        Fault::Cancelled(asked) => say(
            "Stopped.",
            because("You stopped it", asked.as_deref()),
            "Commission the device again.",
            Retry,
        ),
        Fault::Unanswered(asked) => say(
            "Nobody answered the question.",
            because("The device was given up", asked.as_deref()),
            "Commission the device again and answer within three minutes.",
            Retry,
        ),
        Fault::SettingsKept(fault) => {
            let (what, why, now, _) = words(fault);
            say(
                what,
                format!("{why} The device keeps the Wi-Fi settings."),
                format!("{KEPT} Then: {now}"),
                AtDevice,
            )
        }
        Fault::EarlierOff(fault) => {
            let (what, why, now, remedy) = words(fault);
            say(
                what,
                format!(
                    "{why} Its earlier identity is off by now: it stays offline until it is commissioned."
                ),
                now,
                remedy,
            )
        }
        Fault::BlinkUnsupported => say(
            "This device cannot blink on demand.",
            "Its firmware has no light for it.",
            "Tell it by its label, or by its signal: it grows as you come closer.",
            AtDevice,
        ),
        Fault::Journal(detail) => say(
            "The journal cannot be written, so nothing more was done.",
            format!("The disk is full or not writable: {detail}"),
            "Free some space, then resume.",
            Resume,
        ),
    }
}

fn link_words(error: &LinkError) -> Words {
    use Remedy::{AtDevice, FixBluetooth, Retry};
    match error {
        LinkError::NotConnected => say(
            "The Bluetooth link to the device broke.",
            "It is at the edge of reach, lost power, or restarted.",
            "Stand within five metres and try again.",
            Retry,
        ),
        LinkError::Att(code) => say(
            "The device refused a request.",
            format!("It answered ATT error 0x{code:02x}; its session may have ended."),
            "Try again; if it stays so, switch the device off and on.",
            Retry,
        ),
        LinkError::NotPermitted | LinkError::InvalidLength | LinkError::NotSupported => say(
            "The device cannot do what its protocol asks for.",
            format!("Its firmware differs from what it announces: {error}."),
            "Check its firmware.",
            AtDevice,
        ),
        LinkError::NotPaired => say(
            "The device wants to be paired first.",
            "Its firmware was built with forced link encryption.",
            "Pair it in the system's Bluetooth settings, then try again.",
            FixBluetooth,
        ),
        LinkError::InProgress => say(
            "The device is busy.",
            "Another program talks to it, or an earlier request has not ended.",
            "Close other programs that use Bluetooth and try again.",
            Retry,
        ),
        LinkError::Timeout => say(
            "The device did not answer in time.",
            "It is far away, or busy with Wi-Fi.",
            "Stand within five metres and try again.",
            Retry,
        ),
        LinkError::OutOfReach => say(
            "The device is not in reach.",
            "It is too far away, switched off, or connected elsewhere.",
            "Stand within five metres, check its power, and try again.",
            AtDevice,
        ),
        LinkError::AdapterOff => say(
            "Bluetooth is off.",
            "It was switched off in the system settings or by a switch on the computer.",
            "Switch Bluetooth on.",
            FixBluetooth,
        ),
        LinkError::NoAdapter => say(
            "This computer has no Bluetooth adapter.",
            "There is none, it is unplugged, or it is blocked (rfkill).",
            "Plug one in; fieldkey doctor shows what is found.",
            FixBluetooth,
        ),
        LinkError::NoService => say(
            "The system's Bluetooth service does not run.",
            "It was stopped or is not installed.",
            "Start it (on Linux: systemctl start bluetooth), then try again.",
            FixBluetooth,
        ),
        LinkError::NoPermission => say(
            "Fieldkey may not use Bluetooth.",
            "The system's privacy settings or rules do not allow it.",
            "Allow Bluetooth for Fieldkey in the system settings.",
            FixBluetooth,
        ),
        LinkError::Missing => say(
            "The device does not offer what it did before.",
            "Its firmware changed, or this computer remembers an older one.",
            "Remove the device in the system's Bluetooth settings, then try again.",
            FixBluetooth,
        ),
        LinkError::Other(raw) => say(
            "Bluetooth failed.",
            format!("The system said: {raw}"),
            "Try again; if it stays so, switch Bluetooth off and on.",
            Retry,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_is_unknown_how_a_job_ended_the_cloud_is_to_be_asked_whatever_the_fault_advises() {
        for fault in [
            Fault::Link(LinkError::NotConnected),
            Fault::JoinTimeout,
            Fault::EnrolTimeout,
            Fault::CloudUnreachable("no route".into()),
            Fault::Cancelled(None),
            Fault::NotAdvertising,
        ] {
            let (usual, unknown) = (Failure::from(&fault), Failure::unknown(&fault));
            assert_eq!(
                (&unknown.code, &unknown.what, &unknown.why),
                (&usual.code, &usual.what, &usual.why)
            );
            assert!(unknown.now.contains("fieldkey resume"), "{}", unknown.now);
            assert_eq!(unknown.remedy, Remedy::Resume);
        }
        let signed_out = Failure::unknown(&Fault::SignedOut);
        assert_eq!(signed_out.remedy, Remedy::SignIn);
        assert!(signed_out.now.contains("fieldkey resume"), "{}", signed_out.now);
    }
}
