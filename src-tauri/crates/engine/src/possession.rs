//! A label as the answer to the question for a device's proof of possession, the same for every door: what a scanner
//! types there is the label's whole text, and each wrong proof brings the device closer to locking itself.

use commission::device::Serial;
use commission::flow::Answer;
use commission::label::{Label, LabelError};
use thiserror::Error;

/// Why a text is no answer; [`NoAnswer::advice`] says what to do. Holds nothing of the proof.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoAnswer {
    /// It is neither a label nor a proof of possession.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// It is the label of another device, by its name or by its serial number.
    #[error("the label is of {label}, not of {device}")]
    OfAnother {
        /// What the label says.
        label: String,
        /// What is known of the device that asks.
        device: String,
    },
    /// It says which device it is of, and no more.
    #[error("the label holds no proof of possession")]
    NoPop,
}

impl NoAnswer {
    /// What to do now.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Label(error) => error.advice(),
            Self::OfAnother { .. } => "Scan the label on this very device.",
            Self::NoPop => "Type the proof of possession that is printed on the device or its box.",
        }
    }
}

/// Reads a label, or a proof of possession that was typed, as the answer of the device of this advertised name and this
/// serial number, as far as they are known.
///
/// # Errors
/// [`NoAnswer`]: nothing of it is for the device.
pub fn answer(text: &str, name: Option<&str>, serial: Option<&str>) -> Result<Answer, NoAnswer> {
    let label = Label::parse(text)?;
    for (label, device) in [
        (label.name.as_deref(), name),
        (label.serial.as_ref().map(Serial::as_str), serial),
    ] {
        if let (Some(label), Some(device)) = (label, device)
            && label != device
        {
            return Err(NoAnswer::OfAnother {
                label: label.to_owned(),
                device: device.to_owned(),
            });
        }
    }
    Ok(Answer::Pop {
        pop: label.pop.ok_or(NoAnswer::NoPop)?,
        username: label.username,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use commission::secret::Pop;

    fn of(text: &str) -> Result<Answer, NoAnswer> {
        answer(text, Some("PROV_1"), Some("SN-1"))
    }

    fn pop(username: Option<&str>) -> Result<Answer, NoAnswer> {
        Ok(Answer::Pop {
            pop: Pop::new("abcd1234"),
            username: username.map(ToOwned::to_owned),
        })
    }

    #[test]
    fn only_the_proof_and_the_user_of_a_scanned_label_are_for_the_device() {
        assert_eq!(of("abcd1234"), pop(None));
        assert_eq!(of("NP:PROV_1|abcd1234|b"), pop(None));
        let label =
            r#"{"ver":"v1","name":"PROV_1","username":"installer","pop":"abcd1234","transport":"ble"}"#;
        assert_eq!(of(label), pop(Some("installer")));
        assert_eq!(of(r#"{"serial":"SN-1","pop":"abcd1234"}"#), pop(None));
    }

    #[test]
    fn the_label_of_another_device_is_no_answer() {
        let another = |label: &str, device: &str| {
            Err(NoAnswer::OfAnother {
                label: label.into(),
                device: device.into(),
            })
        };
        assert_eq!(of("NP:PROV_2|abcd1234|b"), another("PROV_2", "PROV_1"));
        assert_eq!(
            of(r#"{"name":"PROV_1","serial":"SN-2","pop":"abcd1234"}"#),
            another("SN-2", "SN-1")
        );
        // What is not known of the device speaks against no label.
        assert_eq!(answer("NP:PROV_2|abcd1234|b", None, None), pop(None));
    }

    #[test]
    fn a_label_without_a_proof_is_not_taken_for_one() {
        assert_eq!(of(r#"{"name":"PROV_1","serial":"SN-1"}"#), Err(NoAnswer::NoPop));
        assert_eq!(of("NP:PROV_1||b"), Err(NoAnswer::NoPop));
        assert_eq!(of(r#"{"name":"PROV_1""#), Err(LabelError::Truncated.into()));
    }
}
