//! How long the rest of a batch takes, judged by the devices that are done.
//!
//! Not in scope: limits. What is said here is for a person's eyes, and ends no job.

use core::time::Duration;

use crate::time::Moment;

/// How far one device of a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It waits for its turn.
    Waiting,
    /// It is in work since this moment.
    Begun(Moment),
    /// It is done, and took so long.
    Done(Duration),
    /// It ended in another way, which says nothing of how long a device takes.
    Over,
}

/// About how long the rest takes with so many links at once, if each device takes as long as those that are done did
/// on average; none before the first one is, and none where nothing is left or all is overdue.
pub fn left(batch: &[Course], links: u8, now: Moment) -> Option<Duration> {
    let took = batch.iter().filter_map(|course| match course {
        Course::Done(took) => Some(*took),
        _ => None,
    });
    let (count, sum) = took.fold((0_u32, Duration::ZERO), |(count, sum), took| {
        (count.saturating_add(1), sum.saturating_add(took))
    });
    let mean = sum.checked_div(count)?;
    let rests = batch.iter().filter_map(|course| match course {
        Course::Waiting => Some(mean),
        Course::Begun(began) => Some(mean.saturating_sub(now.since(*began))),
        Course::Done(_) | Course::Over => None,
    });
    // The links share the work, and yet nobody can leave before the longest single device is through.
    let (sum, longest) = rests.fold((Duration::ZERO, Duration::ZERO), |(sum, longest), rest| {
        (sum.saturating_add(rest), longest.max(rest))
    });
    let shared = sum.checked_div(u32::from(links.max(1)))?;
    Some(shared.max(longest)).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::new(Duration::from_secs(1000));

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// In work for so many seconds.
    fn begun(ago: u64) -> Course {
        Course::Begun(Moment::new(seconds(1000 - ago)))
    }

    #[test]
    fn nothing_is_said_before_the_first_device_is_done() {
        assert_eq!(left(&[], 4, NOW), None);
        assert_eq!(left(&[begun(5), Course::Waiting, Course::Over], 4, NOW), None);
    }

    #[test]
    fn the_links_share_what_is_left_of_an_average_device_for_each() {
        let batch = [
            Course::Done(seconds(20)),
            Course::Done(seconds(40)),
            begun(10),
            begun(20),
            Course::Waiting,
            Course::Waiting,
            Course::Over,
        ];
        assert_eq!(left(&batch, 2, NOW), Some(seconds((20 + 10 + 30 + 30) / 2)));
    }

    #[test]
    fn idle_links_do_not_shorten_the_last_device() {
        let batch = [Course::Done(seconds(30)), begun(10)];
        assert_eq!(left(&batch, 4, NOW), Some(seconds(20)));
    }

    #[test]
    fn nothing_is_said_of_devices_that_are_overdue_or_of_none() {
        assert_eq!(left(&[Course::Done(seconds(30)), begun(90)], 4, NOW), None);
        assert_eq!(left(&[Course::Done(seconds(30))], 4, NOW), None);
    }

    #[test]
    fn a_profile_without_links_counts_as_one() {
        let batch = [Course::Done(seconds(30)), Course::Waiting, Course::Waiting];
        assert_eq!(left(&batch, 0, NOW), Some(seconds(60)));
    }

    #[test]
    fn times_beyond_any_clock_do_no_harm() {
        let batch = [
            Course::Done(Duration::MAX),
            Course::Done(Duration::MAX),
            Course::Waiting,
            Course::Waiting,
            Course::Begun(Moment::new(Duration::MAX)),
        ];
        assert!(left(&batch, 1, NOW).is_some());
    }
}
