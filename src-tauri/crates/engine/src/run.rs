//! The loop that joins the flow to the world: requests and results in, actions out, one view up.
//!
//! One task owns the flow; every action runs in a task of its own and comes back as a `Wake`. Nothing here decides
//! what commissioning does next. What a result is worth when it comes too late is decided by generation: each link
//! has a number, and what belongs to an earlier link is dropped.

mod acquaintances;
mod acting;
mod blinking;
mod listening;
mod radio;
mod resuming;
mod showing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use commission::device::Sighting;
use commission::dialect;
use commission::fault::Fault;
use commission::finding::{Finder, Wanted};
use commission::flow::{Answer, Batch, CallId, Dialects, Ended, Input, Job, JobId, Namesake, Plan};
use commission::gatt::{GattTable, LinkError, PeripheralId};
use commission::nearby::{Nearby, Surroundings};
use commission::organisation::OrganisationId;
use commission::policy::{Limits, Policy};
use commission::secret::Entropy;
use commission::time::Moment;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::timeout;

use self::acquaintances::{Acquaintances, Looks, Met};
use self::blinking::Blinked;
use self::radio::Reception;
use self::resuming::{Recall, Recalled, Take};
use crate::ports::{Clock, Cloud, Journal, JournalError, Link, Radio};
use crate::request::{Order, Request, Target};
use crate::settings::{Maker, Work};
use crate::view::View;

/// How long an order's device is listened for; time in which the radio could not hear does not count.
const FIND: Duration = Duration::from_secs(30);
/// How long another device of the same name is listened for, in the same way: devices advertise at least every second or so.
const FIND_ANOTHER: Duration = Duration::from_secs(3);
/// The view is published at most this often, however much happens: about sixty times a second.
const PUBLISH_PACE: Duration = Duration::from_millis(16);
/// Pause after the radio went deaf: an adapter that is off comes back when a person switches it on.
const LISTEN_AGAIN: Duration = Duration::from_secs(2);
/// Longest wait at the end until the stack has taken the orders to give links back.
const GOODBYE: Duration = Duration::from_secs(6);

/// What the engine works with.
pub struct Parts {
    /// Bluetooth.
    pub radio: Arc<dyn Radio>,
    /// The organisation's cloud, as the signed-in person.
    pub cloud: Arc<dyn Cloud>,
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// The right to run jobs, held until the loop has ended; without it the engine only listens.
    pub work: Option<Arc<Work>>,
    /// Whose jobs it runs; those of others it never takes up.
    pub organisation: Option<OrganisationId>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Box<dyn Entropy + Send>,
    /// Whose certificates vouch for devices.
    pub makers: Vec<Maker>,
    /// The signed-in person's subject, for the journal.
    pub person: String,
    /// What the organisation allows.
    pub policy: Policy,
    /// How long things may take.
    pub limits: Limits,
}

/// The running engine; dropping it stops the loop without ceremony, [`Engine::shutdown`] does it in order.
pub struct Engine {
    requests: mpsc::UnboundedSender<Request>,
    views: watch::Receiver<Arc<View>>,
    ending: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Engine {
    /// Starts the loop on the current tokio runtime.
    pub fn start(parts: Parts) -> Self {
        let (requests, incoming) = mpsc::unbounded_channel();
        let (publish, views) = watch::channel(Arc::new(View::default()));
        let (ending, ended) = oneshot::channel();
        let task = tokio::spawn(Driver::new(parts, publish).run(incoming, ended));
        Self {
            requests,
            views,
            ending,
            task,
        }
    }

    /// Sends a request. It is dropped when the loop has ended, since nobody is left to do it.
    pub fn request(&self, request: Request) {
        if self.requests.send(request).is_err() {
            tracing::warn!("a request came after the engine had stopped");
        }
    }

    /// The views, newest first; a slow reader misses intermediate ones and loses nothing.
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.views.clone()
    }

    /// Stops all jobs, also those that were asked for a moment ago, waits until each is in a named state and its link
    /// is given back, and ends the loop. The last view shows them all.
    pub async fn shutdown(self) {
        let Self {
            requests,
            ending,
            task,
            ..
        } = self;
        // An error means that the loop has ended already, which is what is waited for.
        let _ = ending.send(());
        drop(requests);
        if let Err(error) = task.await {
            tracing::error!(%error, "the engine's loop did not end well");
        }
    }
}

/// Why the loop woke up.
enum Wake {
    /// The flow gets this, if the job is still in the run of it that asked.
    Input(JobId, u64, Input),
    /// A connection stands; the number says for which attempt.
    Linked(JobId, u64, CallId, Box<dyn Link>),
    /// A result that only counts while this link is the job's link.
    OfLink(JobId, u64, Input),
    /// A device was heard.
    Heard(Sighting),
    /// The radio listens.
    Hearing(u64),
    /// The radio went deaf: it could not start, or its stream ended.
    Deaf(u64, Option<LinkError>),
    /// What the journal says of the jobs that are to be taken up.
    Recalled(Result<Recalled, JournalError>),
    /// What the journal has of devices.
    Met(BTreeMap<PeripheralId, Met>),
}

/// A job's link, with the number of the attempt that made it.
struct Held {
    generation: u64,
    link: Option<Arc<dyn Link>>,
    /// The attempt, which nobody needs any more once the job gives up.
    attempt: AbortHandle,
}

struct Driver {
    parts: Parts,
    batch: Batch,
    finder: Finder,
    /// Jobs that look for another device of the same name.
    twins: Finder,
    /// Under which name each of them asked for that.
    searches: BTreeMap<JobId, CallId>,
    /// The devices that those jobs hold meanwhile, and that only another such job may take over.
    wrong_ones: BTreeMap<JobId, PeripheralId>,
    orders: BTreeMap<JobId, Order>,
    /// By what each job that has begun looks for its device.
    looks: BTreeMap<JobId, Looks>,
    around: Surroundings,
    acquaintances: Acquaintances,
    /// Whether the journal has told whom it met: before, nobody is tried by name.
    met: bool,
    /// Devices that a job works on, so that no other order gets them.
    taken: BTreeMap<JobId, PeripheralId>,
    links: BTreeMap<JobId, Held>,
    /// Devices that are blinking.
    blinking: BTreeSet<PeripheralId>,
    blinks: JoinSet<Blinked>,
    /// Stops them.
    stop: watch::Sender<bool>,
    /// Orders to the stack to give links back, until it has them.
    goodbyes: JoinSet<()>,
    /// How many links are being given back.
    parting: watch::Sender<usize>,
    /// Numbers links, runs of jobs and times of listening.
    generation: u64,
    /// Of each job, its latest run: answers to an earlier one are about something else.
    runs: BTreeMap<JobId, u64>,
    /// Jobs that an earlier run left and that are to be taken up.
    recall: Recall,
    ending: bool,
    reception: Reception,
    wanted_listening: bool,
    ears: Option<(u64, JoinHandle<()>)>,
    /// After trouble: when to listen again.
    listen_at: Option<Moment>,
    wakes: mpsc::UnboundedSender<Wake>,
    woken: mpsc::UnboundedReceiver<Wake>,
    view: View,
    publish: watch::Sender<Arc<View>>,
    publish_at: Option<Moment>,
}

impl Driver {
    fn new(parts: Parts, publish: watch::Sender<Arc<View>>) -> Self {
        let (wakes, woken) = mpsc::unbounded_channel();
        Self {
            batch: Batch::new(parts.policy.links),
            finder: Finder::default(),
            twins: Finder::default(),
            searches: BTreeMap::new(),
            wrong_ones: BTreeMap::new(),
            orders: BTreeMap::new(),
            looks: BTreeMap::new(),
            around: Surroundings::new(dialect::recognise),
            acquaintances: Acquaintances::default(),
            met: false,
            taken: BTreeMap::new(),
            links: BTreeMap::new(),
            blinking: BTreeSet::new(),
            blinks: JoinSet::new(),
            stop: watch::Sender::new(false),
            goodbyes: JoinSet::new(),
            parting: watch::Sender::new(0),
            generation: 0,
            runs: BTreeMap::new(),
            recall: Recall::default(),
            ending: false,
            reception: Reception::new(parts.radio.state(), parts.clock.now()),
            wanted_listening: false,
            ears: None,
            listen_at: None,
            wakes,
            woken,
            view: View::default(),
            publish,
            publish_at: None,
            parts,
        }
    }

    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<Request>, ended: oneshot::Receiver<()>) {
        let clock = Arc::clone(&self.parts.clock);
        let mut asked = true;
        self.look_at_journal();
        tokio::pin!(ended);
        while asked || !self.is_quiet() {
            let timeout = self.next_timeout();
            tokio::select! {
                request = requests.recv(), if asked => match request {
                    Some(request) => self.take(request),
                    None => asked = false,
                },
                end = &mut ended, if !self.ending => match end {
                    Ok(()) => self.end(),
                    // The engine was dropped.
                    Err(_) => break,
                },
                Some(wake) = self.woken.recv() => self.wake(wake),
                Some(_) = self.goodbyes.join_next() => {}
                Some(blinked) = self.blinks.join_next() => match blinked {
                    Ok(blinked) => self.blinked(blinked),
                    Err(error) => tracing::error!(%error, "a blink did not end well"),
                },
                // An error means that this radio says nothing of itself.
                Ok(()) = self.reception.state.changed() => {}
                () = async {
                    match timeout {
                        Some(moment) => clock.sleep_until(moment).await,
                        None => std::future::pending().await,
                    }
                } => {}
            }
            self.settle();
        }
        self.stop_ears();
        self.publish.send_replace(Arc::new(self.view.clone()));
        for job in self.links.keys().copied().collect::<Vec<_>>() {
            self.give_back(job);
        }
        // A link may have come for a job that has ended meanwhile.
        while let Ok(wake) = self.woken.try_recv() {
            if let Wake::Linked(_, _, _, link) = wake {
                self.say_goodbye(link.into());
            }
        }
        self.stop.send_replace(true);
        let (radio, goodbyes, blinks) = (
            Arc::clone(&self.parts.radio),
            &mut self.goodbyes,
            &mut self.blinks,
        );
        let goodbyes = async {
            while blinks.join_next().await.is_some() {}
            radio.settle().await;
            while goodbyes.join_next().await.is_some() {}
        };
        if timeout(GOODBYE, goodbyes).await.is_err() {
            tracing::warn!("not every link was given back in time");
        }
    }

    /// Nothing more is begun, and what runs is stopped.
    fn end(&mut self) {
        self.ending = true;
        self.stop.send_replace(true);
        self.take(Request::CancelAll);
    }

    /// Whether every job has ended, so that the loop may.
    fn is_quiet(&self) -> bool {
        self.ending && self.finder.is_empty() && self.batch.running().next().is_none()
    }

    fn next_timeout(&self) -> Option<Moment> {
        let now = self.parts.clock.now();
        [
            self.batch.poll_timeout(),
            self.finder.poll_timeout(),
            self.twins.poll_timeout(),
            self.around.poll_timeout(now),
            self.look_at(),
            self.publish_at,
            self.listen_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Reads whom the journal has met.
    fn look_at_journal(&self) {
        let (journal, wakes) = (Arc::clone(&self.parts.journal), self.wakes.clone());
        tokio::spawn(async move {
            let met = acquaintances::met(journal.as_ref()).await;
            let met = met.unwrap_or_else(|error| {
                tracing::warn!(%error, "the journal does not say whom it met");
                BTreeMap::new()
            });
            let _ = wakes.send(Wake::Met(met));
        });
    }

    fn take(&mut self, request: Request) {
        self.look();
        match request {
            Request::Listen => self.wanted_listening = true,
            Request::StopListening => self.wanted_listening = false,
            Request::Commission(job, order) => self.order(job, *order),
            Request::Resume(job) => self.take_up(job, Take::On),
            Request::Undo(job) => self.take_up(job, Take::Back),
            Request::Blink(blink) => self.blink(*blink),
            Request::Answer(job, question, answer) => {
                if let (Answer::Pop { pop, .. }, Some(looks)) = (&answer, self.looks.get_mut(&job)) {
                    looks.pop = Some(pop.clone());
                }
                self.feed(job, Input::Answer(question, answer));
            }
            Request::Cancel(job) => self.cancel(job),
            Request::CancelAll => {
                let open: Vec<JobId> = self
                    .view
                    .jobs
                    .iter()
                    .filter(|job| !job.is_over())
                    .map(|job| job.id)
                    .collect();
                for job in open {
                    self.cancel(job);
                }
            }
        }
    }

    fn order(&mut self, job: JobId, order: Order) {
        if self.is_in_work(job) {
            return;
        }
        let (wanted, name) = match &order.target {
            Target::Peripheral(id) => {
                let name = self.around.get(id).and_then(|device| device.name.clone());
                (
                    Wanted::Peripheral(id.clone()),
                    name.unwrap_or_else(|| id.0.clone()),
                )
            }
            Target::Name(name) => (Wanted::Name(name.clone()), name.clone()),
        };
        self.show_ordered(showing::ordered(job, name, &order));
        if self.ending {
            self.show_not_begun(job, &Fault::Cancelled(None), true);
            return;
        }
        if self.parts.work.is_none() {
            self.show_not_begun(job, &Fault::SignedOut, true);
            return;
        }
        self.finder.add(job, wanted, FIND, self.parts.clock.now());
        self.orders.insert(job, order);
        // What the radio says now is worth more than what it said last.
        self.listen_at = None;
    }

    /// Whether a job has not ended, so that it cannot be begun again.
    fn is_in_work(&self, job: JobId) -> bool {
        let in_work = self
            .view
            .jobs
            .iter()
            .any(|shown| shown.id == job && !shown.is_over());
        if in_work {
            tracing::warn!(job = %job.0, "the job is in work already");
        }
        in_work
    }

    fn cancel(&mut self, job: JobId) {
        if self.finder.remove(job) {
            self.orders.remove(&job);
            self.show_not_begun(job, &Fault::Cancelled(None), true);
        } else if self.recall.forget(job) {
            // What an earlier run left is as it was.
            self.show_not_begun(job, &Fault::Cancelled(None), false);
        } else {
            self.feed(job, Input::Cancel);
        }
    }

    fn feed(&mut self, job: JobId, input: Input) {
        let now = self.parts.clock.now();
        self.batch.handle(job, input, now, self.parts.entropy.as_mut());
    }

    /// Devices that a job has, or that blink.
    fn in_hand(&self) -> BTreeSet<PeripheralId> {
        let held = self.taken.values().chain(self.wrong_ones.values());
        held.chain(&self.blinking).cloned().collect()
    }

    fn wake(&mut self, wake: Wake) {
        self.look();
        match wake {
            Wake::Input(job, run, input) => {
                if self.runs.get(&job) == Some(&run) {
                    self.feed(job, input);
                }
            }
            Wake::Linked(job, generation, call, link) => self.linked(job, generation, call, link),
            Wake::OfLink(job, generation, input) => {
                if self
                    .links
                    .get(&job)
                    .is_some_and(|held| held.generation == generation)
                {
                    if let Input::Ended(_, Ended::NotLinked(error) | Ended::Gatt(Err(error))) = &input {
                        self.rest(error);
                    }
                    self.feed(job, input);
                }
            }
            Wake::Heard(sighting) => {
                self.around.hear(&sighting);
                self.show_nearby();
            }
            Wake::Hearing(generation) => {
                if self.listens_as(generation) {
                    self.works();
                    self.show_listening(true, None);
                }
            }
            Wake::Deaf(generation, trouble) => {
                if self.listens_as(generation) {
                    self.went_deaf(trouble);
                }
            }
            Wake::Recalled(recalled) => self.recalled(recalled),
            Wake::Met(met) => {
                self.acquaintances.remember(met);
                self.met = true;
            }
        }
    }

    /// Lets time pass, hands devices to orders, does what the flow wants, and shows what became known.
    fn settle(&mut self) {
        self.look();
        let now = self.parts.clock.now();
        self.around.handle_timeout(now);
        self.show_nearby();
        self.recall_when_due();
        if self.met {
            let taken = self.in_hand();
            let (orders, known) = (&self.orders, &self.acquaintances);
            let other = |job: &JobId, device: &PeripheralId| {
                let serial = orders.get(job).and_then(|order| order.serial.as_ref());
                known.is_other(device, serial)
            };
            for (job, device) in self.finder.settle(&self.around, &taken, other) {
                self.begin(job, &device);
            }
        }
        for job in self.finder.handle_timeout(now) {
            self.orders.remove(&job);
            self.show_not_begun(job, &Fault::NotAdvertising, true);
        }
        self.settle_twins(now);
        self.batch.handle_timeout(now, self.parts.entropy.as_mut());
        while let Some((job, call, action)) = self.batch.poll_action() {
            self.act(job, call, action);
        }
        while let Some((job, event)) = self.batch.poll_event() {
            self.show(job, &event);
        }
        self.tend_ears(now);
        self.publish_when_due(now);
    }

    /// Hands other devices of the same name to the jobs that look for one; two that hold each other's device swap.
    fn settle_twins(&mut self, now: Moment) {
        let held = self.taken.values().chain(&self.blinking);
        let taken: BTreeSet<PeripheralId> = held.cloned().collect();
        let (looks, known, attempts) = (&self.looks, &self.acquaintances, self.parts.limits.pop_attempts);
        let spared = |job: &JobId, device: &PeripheralId| {
            looks
                .get(job)
                .is_some_and(|looks| known.spares(device, looks, attempts))
        };
        for (job, device) in self.twins.settle(&self.around, &taken, spared) {
            self.wrong_ones.remove(&job);
            self.taken.insert(job, device.peripheral.clone());
            let found = Namesake {
                wrong_pops: self.acquaintances.wrong(&device.peripheral),
                peripheral: device.peripheral,
            };
            self.found_twin(job, Some(found));
        }
        for job in self.twins.handle_timeout(now) {
            if let Some(own) = self.wrong_ones.remove(&job) {
                self.taken.insert(job, own);
            }
            self.found_twin(job, None);
        }
    }

    fn found_twin(&mut self, job: JobId, found: Option<Namesake>) {
        if let Some(call) = self.searches.remove(&job) {
            self.feed(job, Input::Ended(call, Ended::Another(found)));
        }
    }

    fn begin(&mut self, job: JobId, device: &Nearby) {
        let Some(order) = self.orders.remove(&job) else {
            return;
        };
        self.taken.insert(job, device.peripheral.clone());
        // What it has refused already it would refuse again, and count: the person is asked instead.
        let refused = self
            .acquaintances
            .has_refused(&device.peripheral, order.pop.as_ref());
        let looks = Looks {
            serial: order.serial.clone(),
            pop: order.pop.filter(|_| !refused),
        };
        self.looks.insert(job, looks.clone());
        let plan = Plan {
            job,
            organisation: self.parts.organisation.clone(),
            peripheral: device.peripheral.clone(),
            name: device.name.clone().unwrap_or_else(|| device.peripheral.0.clone()),
            dialect: device.dialect,
            serial: looks.serial,
            pop: looks.pop,
            wrong_pops: self.acquaintances.wrong(&device.peripheral),
            least: self.acquaintances.least(&device.peripheral, order.strength),
            username: order.username,
            network: order.network,
            site: order.site,
            purpose: order.purpose,
            parameters: order.parameters,
            policy: self.parts.policy.clone(),
            limits: self.parts.limits.clone(),
        };
        self.add(Job::new(plan, self.dialects()));
    }

    /// What makes a dialect's client for a device that was linked.
    fn dialects(&self) -> Box<dyn Dialects> {
        let limits = self.parts.limits.clone();
        Box::new(move |kind, table: &GattTable| Ok(dialect::client(kind, table, &limits)))
    }

    fn add(&mut self, job: Job) {
        let id = job.id();
        self.generation += 1;
        self.runs.insert(id, self.generation);
        if !self.batch.add(job) {
            tracing::warn!(job = %id.0, "the job is in work already");
        }
    }
}

#[cfg(test)]
mod tests;
