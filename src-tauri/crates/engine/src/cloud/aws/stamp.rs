//! Times as AWS writes them: seconds since 1970 as a number with or without a fraction, milliseconds from the fleet
//! index, or ISO 8601 text.

use commission::time::UnixTime;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Larger numbers are milliseconds: as seconds they would lie beyond the year 5000.
const MILLISECONDS: i64 = 100_000_000_000;

/// Whole seconds, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(pub(super) UnixTime);

impl Stamp {
    pub(super) fn read(value: &Value) -> Option<Self> {
        let number = match value {
            Value::Number(number) => match number.as_i64() {
                Some(whole) => whole,
                // Without a cast, which would make a time of anything.
                None => format!("{:.0}", number.as_f64()?.floor()).parse().ok()?,
            },
            Value::String(text) => return iso(text).map(Self),
            _ => return None,
        };
        let seconds = if number > MILLISECONDS {
            number / 1000
        } else {
            number
        };
        Some(Self(UnixTime(seconds)))
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        Self::read(&value).ok_or_else(|| serde::de::Error::custom("no time"))
    }
}

/// ISO 8601 with an offset or `Z`.
pub(super) fn iso(text: &str) -> Option<UnixTime> {
    let stamp: jiff::Timestamp = text.trim().parse().ok()?;
    Some(UnixTime(stamp.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_form_of_aws_comes_to_the_same_second() {
        let forms = [
            json!(1_767_225_900),
            json!(1_767_225_900.75),
            json!(1_767_225_900_250_i64),
            json!("2026-01-01T00:05:00Z"),
            json!("2026-01-01T01:05:00.5+01:00"),
        ];
        for form in forms {
            assert_eq!(Stamp::read(&form), Some(Stamp(UnixTime(1_767_225_900))), "{form}");
        }
    }

    #[test]
    fn what_is_no_time_is_not_taken_for_one() {
        for odd in [
            json!(null),
            json!(true),
            json!(""),
            json!("soon"),
            json!([1]),
            json!("2026-01-01"),
        ] {
            assert_eq!(Stamp::read(&odd), None, "{odd}");
        }
    }
}
