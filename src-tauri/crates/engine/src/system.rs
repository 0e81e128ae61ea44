//! This machine's clock, browser and randomness.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use commission::secret::Entropy;
use commission::time::{Moment, UnixTime};
use thiserror::Error;
use url::Url;

use crate::ports::{Browser, BrowserError, Clock};

/// Longest sleep in one piece. Timers stand still while a laptop sleeps, the clock does not, so a long wait looks at
/// the clock now and then.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// A monotonic clock that goes on while the machine sleeps: a claim dies on time also under a closed lid.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Duration,
}

impl SystemClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: uptime() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment::new(uptime().saturating_sub(self.start))
    }

    fn unix(&self) -> UnixTime {
        let now = SystemTime::now();
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        UnixTime(i64::try_from(seconds).unwrap_or(i64::MAX))
    }

    async fn sleep_until(&self, moment: Moment) {
        loop {
            let left = moment.left(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
        }
    }
}

/// Time since the machine started, sleep included.
#[cfg(unix)]
fn uptime() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    // Linux has a clock of its own for this; the monotonic one of macOS goes on during sleep.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::Monotonic;
    let time = clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Time since the first look; the performance counter of Windows goes on during sleep.
#[cfg(not(unix))]
fn uptime() -> Duration {
    static FIRST: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    FIRST.elapsed()
}

/// The browser that the system prefers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemBrowser;

impl Browser for SystemBrowser {
    fn open(&self, page: &Url) -> Result<(), BrowserError> {
        webbrowser::open(page.as_str()).map_err(|error| BrowserError(error.to_string()))
    }
}

/// The system's random numbers do not work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("this system gives no random numbers: {0}")]
pub struct EntropyError(String);

/// The system's random numbers, fit for keys.
#[derive(Debug)]
pub struct SystemEntropy(());

impl SystemEntropy {
    /// Takes a first number, so that a system without any is found before there is work.
    ///
    /// # Errors
    /// [`EntropyError`].
    pub fn new() -> Result<Self, EntropyError> {
        match getrandom::fill(&mut [0; 32]) {
            Ok(()) => Ok(Self(())),
            Err(error) => Err(EntropyError(error.to_string())),
        }
    }
}

impl Entropy for SystemEntropy {
    /// Ends the process where the system fails after it had worked: a predictable key would be worse.
    fn fill(&mut self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            tracing::error!(%error, "no random numbers");
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleeping_ends_at_the_moment_and_not_before() {
        let clock = SystemClock::start();
        let moment = clock.now() + Duration::from_millis(30);
        clock.sleep_until(moment).await;
        assert!(clock.now() >= moment);
        clock.sleep_until(Moment::default()).await;
    }

    #[test]
    fn the_calendar_is_in_this_century() {
        let now = SystemClock::start().unix();
        assert!((1_700_000_000..4_102_444_800).contains(&now.0), "{now}");
    }

    #[test]
    fn two_draws_differ() {
        let mut entropy = SystemEntropy::new().unwrap();
        let (mut a, mut b) = ([0; 32], [0; 32]);
        entropy.fill(&mut a);
        entropy.fill(&mut b);
        assert_ne!(a, b);
        assert_ne!(a, [0; 32]);
    }
}
