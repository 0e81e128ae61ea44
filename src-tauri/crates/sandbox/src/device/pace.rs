//! How fast simulated time runs.

use std::time::Duration;

/// A factor by which every delay of the simulated devices is shortened; the delays still pass in tokio's time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace(f64);

impl Default for Pace {
    /// Real time.
    fn default() -> Self {
        Self(1.0)
    }
}

impl Pace {
    /// `speed` times as fast as a real device; what is no number above zero counts as real time.
    pub fn new(speed: f64) -> Self {
        if speed.is_finite() && speed > 0.0 {
            Self(speed)
        } else {
            Self::default()
        }
    }

    /// The factor.
    pub fn speed(self) -> f64 {
        self.0
    }

    /// How long a span of device time takes here.
    pub fn span(self, device_time: Duration) -> Duration {
        Duration::try_from_secs_f64(device_time.as_secs_f64() / self.0).unwrap_or(Duration::MAX)
    }

    /// Waits for a span of device time.
    pub async fn sleep(self, device_time: Duration) {
        tokio::time::sleep(self.span(device_time)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_divided_by_the_speed() {
        assert_eq!(
            Pace::new(10.0).span(Duration::from_secs(1)),
            Duration::from_millis(100)
        );
    }

    #[test]
    fn a_speed_that_makes_no_sense_is_real_time() {
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Pace::new(speed), Pace::default());
        }
    }
}
