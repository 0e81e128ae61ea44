//! Several jobs side by side over a limited number of links. A job has a place from connecting until its link is given
//! back or lost; the others wait in the order in which they asked. Nothing else is shared, so that one device's
//! trouble stays its own.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::secret::Entropy;
use crate::time::Moment;

use super::io::{Action, CallId, Event, Input, JobId};
use super::job::Job;

/// Jobs with the five verbs of [`Job`], each told which job it is about.
pub struct Batch {
    links: usize,
    jobs: Vec<Job>,
    /// Jobs that wait for a link, longest first.
    waiting: VecDeque<JobId>,
    /// Whether the radio can be used.
    radio: bool,
}

impl Batch {
    /// An empty batch with so many links at once; none counts as one.
    pub fn new(links: u8) -> Self {
        Self {
            links: usize::from(links.max(1)),
            jobs: Vec::new(),
            waiting: VecDeque::new(),
            radio: true,
        }
    }

    /// Takes a job in; false, and it is dropped, while one with the same id has not ended.
    pub fn add(&mut self, mut job: Job) -> bool {
        self.prune();
        let fresh = !self.jobs.iter().any(|other| other.id() == job.id());
        if fresh {
            job.join_batch(self.radio);
            self.jobs.push(job);
        }
        fresh
    }

    /// Jobs that have not ended.
    pub fn running(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| !job.is_finished())
    }

    /// Links in use: being made, made, or being given back.
    pub fn links_in_use(&self) -> usize {
        self.jobs
            .iter()
            .filter(|job| job.holds_link() || job.is_granted())
            .count()
    }

    /// Whether a job waits for others to give a link back.
    pub fn is_waiting(&self, job: JobId) -> bool {
        self.jobs
            .iter()
            .any(|other| other.id() == job && other.wants_link())
    }

    /// Takes what happened outside to one job; an id that is not here is ignored.
    pub fn handle(&mut self, job: JobId, input: Input, now: Moment, entropy: &mut dyn Entropy) {
        if let Some(job) = self.jobs.iter_mut().find(|other| other.id() == job) {
            job.handle(input, now, entropy);
        }
        self.share(now, entropy);
    }

    /// Stops all jobs, each of which ends as if it were stopped alone.
    pub fn cancel_all(&mut self, now: Moment, entropy: &mut dyn Entropy) {
        for job in &mut self.jobs {
            job.handle(Input::Cancel, now, entropy);
        }
        self.share(now, entropy);
    }

    /// The radio can, or cannot, be used from now on; see [`Job::set_radio`]. It holds for jobs that come later, too.
    pub fn set_radio(&mut self, usable: bool, now: Moment, entropy: &mut dyn Entropy) {
        self.radio = usable;
        for job in &mut self.jobs {
            job.set_radio(usable, now, entropy);
        }
        self.share(now, entropy);
    }

    /// So long a time was slept through; see [`Job::slept`].
    pub fn slept(&mut self, span: Duration) {
        for job in &mut self.jobs {
            job.slept(span);
        }
    }

    /// Lets time pass for those whose time has come.
    pub fn handle_timeout(&mut self, now: Moment, entropy: &mut dyn Entropy) {
        for job in &mut self.jobs {
            if job.poll_timeout().is_some_and(|at| now >= at) {
                job.handle_timeout(now, entropy);
            }
        }
        self.share(now, entropy);
    }

    /// The next thing to do, once.
    pub fn poll_action(&mut self) -> Option<(JobId, CallId, Action)> {
        self.jobs
            .iter_mut()
            .find_map(|job| job.poll_action().map(|(call, action)| (job.id(), call, action)))
    }

    /// The next thing that became known, once.
    pub fn poll_event(&mut self) -> Option<(JobId, Event)> {
        self.jobs
            .iter_mut()
            .find_map(|job| job.poll_event().map(|event| (job.id(), event)))
    }

    /// When [`Batch::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.jobs.iter().filter_map(Job::poll_timeout).min()
    }

    /// Gives free links to those who have waited longest.
    fn share(&mut self, now: Moment, entropy: &mut dyn Entropy) {
        for job in &self.jobs {
            let id = job.id();
            if job.wants_link() && !self.waiting.contains(&id) {
                self.waiting.push_back(id);
            }
        }
        while self.links_in_use() < self.links
            && let Some(id) = self.waiting.pop_front()
        {
            let next = self
                .jobs
                .iter_mut()
                .find(|job| job.id() == id && job.wants_link());
            if let Some(job) = next {
                job.grant_link(now, entropy);
            }
        }
    }

    /// Forgets jobs that have ended and have nothing left to say or to give back.
    fn prune(&mut self) {
        self.jobs
            .retain(|job| !(job.is_finished() && job.is_silent() && !job.holds_link()));
    }
}
