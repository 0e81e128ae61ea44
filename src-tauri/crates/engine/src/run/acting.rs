//! Doing what the flow asks for, each action in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use commission::finding::Wanted;
use commission::flow::{Action, CallId, Ended, Input, JobId};
use commission::gatt::{GattOp, LinkError, PeripheralId};
use tokio::sync::watch;

use super::{Driver, FIND_ANOTHER, Held, Wake};
use crate::identity;
use crate::ports::{Link, Radio};

impl Driver {
    pub(super) fn act(&mut self, job: JobId, call: CallId, action: Action) {
        match action {
            Action::Record(step) => {
                self.show_step(job, &step);
                let journal = Arc::clone(&self.parts.journal);
                let person = self.parts.person.clone();
                self.later(job, call, async move {
                    match journal.append(job, &person, &step).await {
                        Ok(()) => Ended::Recorded,
                        Err(error) => Ended::NotRecorded(error.to_string()),
                    }
                });
            }
            Action::Connect(peripheral) => self.connect(job, call, peripheral),
            Action::Disconnect => self.disconnect(job, call),
            Action::FindAnother { name, tried } => {
                if let Some(own) = self.taken.remove(&job) {
                    self.wrong_ones.insert(job, own);
                }
                let now = self.parts.clock.now();
                self.twins
                    .add(job, Wanted::Another(name, tried), FIND_ANOTHER, now);
                self.searches.insert(job, call);
            }
            Action::Gatt(op) => self.gatt(job, call, op),
            Action::CheckIdentity(proof) => {
                let (makers, now) = (self.parts.makers.clone(), self.parts.clock.unix());
                let ahead = self.parts.cloud.clock_ahead();
                self.later(job, call, async move {
                    let checked = tokio::task::spawn_blocking(move || {
                        identity::check_here(&proof, &makers, now, ahead)
                    })
                    .await;
                    Ended::IdentityChecked(checked.unwrap_or_else(|error| {
                        Err(commission::device::IdentityFault::Unchecked(error.to_string()))
                    }))
                });
            }
            cloud => self.ask_cloud(job, call, cloud),
        }
    }

    fn ask_cloud(&self, job: JobId, call: CallId, action: Action) {
        let cloud = Arc::clone(&self.parts.cloud);
        match action {
            Action::Snapshot { serial, parameters } => self.later(job, call, async move {
                Ended::Snapshot(cloud.snapshot(&serial, &parameters).await)
            }),
            Action::Issue(request) => {
                self.later(
                    job,
                    call,
                    async move { Ended::Issued(cloud.issue(&request).await) },
                );
            }
            Action::Observe { claim, after } => {
                self.later(job, call, async move {
                    Ended::Observed(cloud.observe(&claim, after).await)
                });
            }
            Action::Retire(cleanup) => {
                self.later(
                    job,
                    call,
                    async move { Ended::Retired(cloud.retire(&cleanup).await) },
                );
            }
            Action::Deactivate { thing, principal } => self.later(job, call, async move {
                Ended::Deactivated(cloud.deactivate(&thing, &principal).await)
            }),
            Action::Release { thing, claim } => self.later(job, call, async move {
                Ended::ReleasedToSupport(cloud.release(&thing, &claim).await)
            }),
            Action::Record(_)
            | Action::Connect(_)
            | Action::Disconnect
            | Action::FindAnother { .. }
            | Action::Gatt(_)
            | Action::CheckIdentity(_) => {}
        }
    }

    /// Runs something and hands what it gives to the flow.
    fn later(&self, job: JobId, call: CallId, work: impl Future<Output = Ended> + Send + 'static) {
        let wakes = self.wakes.clone();
        let run = self.runs.get(&job).copied().unwrap_or_default();
        tokio::spawn(async move {
            // An error means that the engine has stopped, and nobody wants the result.
            let _ = wakes.send(Wake::Input(job, run, Input::Ended(call, work.await)));
        });
    }

    fn connect(&mut self, job: JobId, call: CallId, peripheral: PeripheralId) {
        self.generation += 1;
        let generation = self.generation;
        let (radio, wakes, limit) = (
            Arc::clone(&self.parts.radio),
            self.wakes.clone(),
            self.parts.limits.link,
        );
        let parting = self.parting.subscribe();
        let attempt = tokio::spawn(async move {
            let wake = match connect_once_free(radio.as_ref(), &peripheral, limit, parting).await {
                Ok(link) => Wake::Linked(job, generation, call, link),
                Err(error) => Wake::OfLink(job, generation, Input::Ended(call, Ended::NotLinked(error))),
            };
            let _ = wakes.send(wake);
        });
        self.links.insert(
            job,
            Held {
                generation,
                link: None,
                attempt: attempt.abort_handle(),
            },
        );
    }

    pub(super) fn linked(&mut self, job: JobId, generation: u64, call: CallId, link: Box<dyn Link>) {
        let link: Arc<dyn Link> = Arc::from(link);
        let Some(held) = self
            .links
            .get_mut(&job)
            .filter(|held| held.generation == generation)
        else {
            // The job gave up meanwhile; the device must not stay connected for nobody.
            self.say_goodbye(link);
            return;
        };
        let (lost, wakes, table) = (link.lost(), self.wakes.clone(), link.table().clone());
        held.link = Some(link);
        tokio::spawn(async move {
            lost.await;
            let _ = wakes.send(Wake::OfLink(job, generation, Input::LinkLost(call)));
        });
        self.works();
        self.feed(job, Input::Ended(call, Ended::Linked(table)));
    }

    fn disconnect(&mut self, job: JobId, call: CallId) {
        self.give_back(job);
        self.feed(job, Input::Ended(call, Ended::Unlinked));
    }

    /// Gives a job's link back, or breaks off the attempt: the radio makes one at a time, and others wait.
    pub(super) fn give_back(&mut self, job: JobId) {
        let Some(held) = self.links.remove(&job) else {
            return;
        };
        match held.link {
            Some(link) => self.say_goodbye(link),
            None => held.attempt.abort(),
        }
    }

    /// The order to the stack is waited for at the end of the program; that it is carried out only by who needs the
    /// link's place.
    pub(super) fn say_goodbye(&mut self, link: Arc<dyn Link>) {
        let parting = Parting::begin(&self.parting);
        self.goodbyes.spawn(async move {
            link.disconnect().await;
            tokio::spawn(async move {
                link.over().await;
                drop(parting);
            });
        });
    }

    fn gatt(&mut self, job: JobId, call: CallId, op: GattOp) {
        let Some(Held {
            generation,
            link: Some(link),
            ..
        }) = self.links.get(&job)
        else {
            let gone = Ended::Gatt(Err(LinkError::NotConnected));
            self.feed(job, Input::Ended(call, gone));
            return;
        };
        let (generation, link, wakes) = (*generation, Arc::clone(link), self.wakes.clone());
        tokio::spawn(async move {
            let result = link.perform(&op).await;
            let ended = Input::Ended(call, Ended::Gatt(result));
            let _ = wakes.send(Wake::OfLink(job, generation, ended));
        });
    }
}

/// Counts a link that is being given back, until it is dropped.
struct Parting(watch::Sender<usize>);

impl Parting {
    fn begin(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|links| *links += 1);
        Self(count.clone())
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        self.0.send_modify(|links| *links -= 1);
    }
}

/// Connects. A job's place is free as soon as its link is to be given back, and the stack takes its time for that: a
/// full adapter is busy only until then, which is no fault of the next device.
async fn connect_once_free(
    radio: &dyn Radio,
    peripheral: &PeripheralId,
    limit: Duration,
    mut parting: watch::Receiver<usize>,
) -> Result<Box<dyn Link>, LinkError> {
    loop {
        let some_part = *parting.borrow_and_update() > 0;
        match radio.connect(peripheral, limit).await {
            Err(LinkError::InProgress) if some_part => {
                // An error means that the loop has ended, and nobody wants the link.
                if parting.changed().await.is_err() {
                    return Err(LinkError::InProgress);
                }
            }
            result => return result,
        }
    }
}
