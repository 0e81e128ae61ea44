//! The cloud's own clock, which may be wrong on purpose.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::faults::Faults;

/// Wall time as this cloud believes it to be. Lives and deadlines are never counted on it.
#[derive(Debug, Clone)]
pub(crate) struct CloudClock {
    faults: Faults,
}

impl CloudClock {
    pub(crate) fn new(faults: Faults) -> Self {
        Self { faults }
    }

    /// Whole Unix seconds.
    pub(crate) fn now(&self) -> i64 {
        Timestamp::now()
            .as_second()
            .saturating_add(self.faults.now().clock_skew_s)
    }

    /// The `Date` header (RFC 9110, 6.6.1). Nothing if the skew leaves the calendar.
    pub(crate) fn http_date(&self) -> Option<String> {
        http_date(self.now())
    }
}

/// A time as headers have it, of Unix seconds. Nothing if it leaves the calendar.
pub(crate) fn http_date(at: i64) -> Option<String> {
    let at = Timestamp::from_second(at).ok()?;
    DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::faults::CloudFaults;

    #[test]
    fn the_skew_moves_the_clock_and_the_header() {
        let faults = Faults::new(CloudFaults::default());
        let clock = CloudClock::new(faults.clone());
        let before = clock.now();
        faults.change(|faults| faults.clock_skew_s = -86_400);
        assert!((86_390..86_401).contains(&(before - clock.now())));
        faults.change(|faults| faults.clock_skew_s = i64::MAX);
        assert_eq!(clock.http_date(), None);
    }
}
