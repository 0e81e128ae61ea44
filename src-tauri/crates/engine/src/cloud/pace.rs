//! How often a service may be asked: a token bucket on the monotonic clock.
//!
//! It hands out turns and never refuses one, so that callers who come at once leave one after another.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use commission::time::Moment;

use crate::ports::Clock;

/// A bucket of `burst` turns that fills by one each `every`.
#[derive(Debug)]
pub struct Pace {
    every: Duration,
    burst: u32,
    /// When the bucket would be full again, were nobody to take from it.
    full_at: Mutex<Moment>,
}

impl Pace {
    /// At most `burst` at once and one each `every` in the long run.
    pub fn new(every: Duration, burst: u32) -> Self {
        Self {
            every,
            burst: burst.max(1),
            full_at: Mutex::new(Moment::default()),
        }
    }

    /// Takes a turn, seen from `now`: the moment from which on it may be used.
    pub fn turn(&self, now: Moment) -> Moment {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        *full_at = (*full_at).max(now) + self.every;
        let room = self.every.saturating_mul(self.burst);
        now + full_at.left(now).saturating_sub(room)
    }

    /// Takes a turn and waits for it.
    pub async fn wait(&self, clock: &dyn Clock) {
        let now = clock.now();
        let turn = self.turn(now);
        if turn > now {
            clock.sleep_until(turn).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::new(Duration::from_millis(millis))
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_in_step() {
        let pace = Pace::new(Duration::from_millis(500), 2);
        let turns: Vec<Moment> = (0..5).map(|_| pace.turn(at(10_000))).collect();
        assert_eq!(
            turns,
            [at(10_000), at(10_000), at(10_500), at(11_000), at(11_500)]
        );
    }

    #[test]
    fn a_pause_fills_the_bucket_but_no_further_than_its_burst() {
        let pace = Pace::new(Duration::from_millis(200), 5);
        for _ in 0..5 {
            pace.turn(at(0));
        }
        assert_eq!(pace.turn(at(0)), at(200));
        let later = at(60_000);
        let turns: Vec<Moment> = (0..6).map(|_| pace.turn(later)).collect();
        assert_eq!(turns.iter().filter(|turn| **turn == later).count(), 5);
    }

    #[test]
    fn no_second_ever_sees_more_than_burst_and_rate() {
        let pace = Pace::new(Duration::from_millis(200), 5);
        let mut turns: Vec<Moment> = (0..40).map(|i| pace.turn(at(i * 13))).collect();
        turns.sort();
        for first in &turns {
            let within = turns
                .iter()
                .filter(|turn| **turn >= *first && turn.since(*first) < Duration::from_secs(1));
            assert!(within.count() <= 10);
        }
    }
}
