//! The loop that joins the flow to the world: requests and results in, actions out, one view up.
//!
//! One task owns the flow; every action runs in a task of its own and comes back as a [`Wake`]. Nothing here decides
//! what commissioning does next. What a result is worth when it comes too late is decided by generation: each link
//! has a number, and what belongs to an earlier link is dropped.

mod acting;
mod showing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use commission::device::Sighting;
use commission::dialect;
use commission::finding::{Finder, Wanted};
use commission::flow::{Batch, Dialects, Input, Job, JobId, Plan, Step};
use commission::gatt::{GattTable, LinkError, PeripheralId};
use commission::nearby::{Nearby, Surroundings};
use commission::policy::{Limits, Policy};
use commission::secret::Entropy;
use commission::time::Moment;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::journal;
use crate::ports::{Clock, Cloud, Journal, JournalEntry, Link, Radio};
use crate::request::{Order, Request, Target};
use crate::settings::Maker;
use crate::view::View;

/// How long an order waits for its device to be heard.
const FIND: Duration = Duration::from_secs(30);
/// The view is published at most this often, however much happens: about sixty times a second.
const PUBLISH_PACE: Duration = Duration::from_millis(16);

/// What the engine works with.
pub struct Parts {
    /// Bluetooth.
    pub radio: Arc<dyn Radio>,
    /// The organisation's cloud, as the signed-in person.
    pub cloud: Arc<dyn Cloud>,
    /// The journal.
    pub journal: Arc<dyn Journal>,
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
    task: JoinHandle<()>,
}

impl Engine {
    /// Starts the loop on the current tokio runtime.
    pub fn start(parts: Parts) -> Self {
        let (requests, incoming) = mpsc::unbounded_channel();
        let (publish, views) = watch::channel(Arc::new(View::default()));
        let task = tokio::spawn(Driver::new(parts, publish).run(incoming));
        Self {
            requests,
            views,
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

    /// Stops all jobs, waits until each is in a named state and its link is given back, and ends the loop.
    pub async fn shutdown(self) {
        let Self {
            requests,
            mut views,
            task,
        } = self;
        if requests.send(Request::CancelAll).is_ok() {
            // An error means that the loop has ended already, which is what is waited for.
            let _ = views
                .wait_for(|view| view.jobs.iter().all(|job| job.is_over()))
                .await;
        }
        drop(requests);
        if let Err(error) = task.await {
            tracing::error!(%error, "the engine's loop did not end well");
        }
    }
}

/// Why the loop woke up.
enum Wake {
    /// The flow gets this.
    Input(JobId, Input),
    /// A connection stands; the number says for which attempt.
    Linked(JobId, u64, Box<dyn Link>),
    /// A result that only counts while this link is the job's link.
    OfLink(JobId, u64, Input),
    /// A device was heard.
    Heard(Sighting),
    /// The radio went deaf: it could not start, or its stream ended.
    Deaf(Option<LinkError>),
    /// What the journal says of a job to resume.
    Remembered(JobId, Result<Vec<JournalEntry>, String>),
}

/// A job's link, with the number of the attempt that made it.
struct Held {
    generation: u64,
    link: Option<Arc<dyn Link>>,
}

struct Driver {
    parts: Parts,
    batch: Batch,
    finder: Finder,
    orders: BTreeMap<JobId, Order>,
    around: Surroundings,
    /// Devices that a job works on, so that no other order gets them.
    taken: BTreeMap<JobId, PeripheralId>,
    links: BTreeMap<JobId, Held>,
    generation: u64,
    wanted_listening: bool,
    ears: Option<JoinHandle<()>>,
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
            orders: BTreeMap::new(),
            around: Surroundings::new(dialect::recognise),
            taken: BTreeMap::new(),
            links: BTreeMap::new(),
            generation: 0,
            wanted_listening: false,
            ears: None,
            wakes,
            woken,
            view: View::default(),
            publish,
            publish_at: None,
            parts,
        }
    }

    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        let clock = Arc::clone(&self.parts.clock);
        loop {
            let timeout = self.next_timeout();
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.take(request),
                    None => break,
                },
                Some(wake) = self.woken.recv() => self.wake(wake),
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
        for held in std::mem::take(&mut self.links).into_values() {
            if let Some(link) = held.link {
                link.disconnect().await;
            }
        }
    }

    fn next_timeout(&self) -> Option<Moment> {
        [
            self.batch.poll_timeout(),
            self.finder.poll_timeout(),
            self.around.poll_timeout(),
            self.publish_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Listen => self.wanted_listening = true,
            Request::StopListening => self.wanted_listening = false,
            Request::Commission(job, order) => self.order(job, *order),
            Request::Resume(job) => self.remember(job),
            Request::Answer(job, answer) => self.feed(job, Input::Answer(answer)),
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
        self.show_ordered(
            job,
            name,
            order.serial.as_ref().map(|serial| serial.as_str().to_owned()),
        );
        self.finder.add(job, wanted, self.parts.clock.now() + FIND);
        self.orders.insert(job, order);
    }

    fn cancel(&mut self, job: JobId) {
        if self.finder.remove(job) {
            self.orders.remove(&job);
            self.show_never_found(job, &commission::fault::Fault::Cancelled);
        } else {
            self.feed(job, Input::Cancel);
        }
    }

    fn feed(&mut self, job: JobId, input: Input) {
        let now = self.parts.clock.now();
        self.batch.handle(job, input, now, self.parts.entropy.as_mut());
    }

    fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Input(job, input) => self.feed(job, input),
            Wake::Linked(job, generation, link) => self.linked(job, generation, link),
            Wake::OfLink(job, generation, input) => {
                if self
                    .links
                    .get(&job)
                    .is_some_and(|held| held.generation == generation)
                {
                    self.feed(job, input);
                }
            }
            Wake::Heard(sighting) => {
                self.around.hear(&sighting);
                self.view.radio_trouble = None;
                self.show_nearby();
            }
            Wake::Deaf(trouble) => {
                self.ears = None;
                self.show_deaf(trouble.as_ref());
            }
            Wake::Remembered(job, entries) => self.resume(job, entries),
        }
    }

    /// Lets time pass, hands devices to orders, does what the flow wants, and shows what became known.
    fn settle(&mut self) {
        let now = self.parts.clock.now();
        self.around.handle_timeout(now);
        let taken: BTreeSet<PeripheralId> = self.taken.values().cloned().collect();
        for (job, device) in self.finder.settle(&self.around, &taken) {
            self.begin(job, &device);
        }
        for job in self.finder.handle_timeout(now) {
            self.orders.remove(&job);
            self.show_never_found(job, &commission::fault::Fault::NotAdvertising);
        }
        self.batch.handle_timeout(now, self.parts.entropy.as_mut());
        while let Some((job, action)) = self.batch.poll_action() {
            self.act(job, action);
        }
        while let Some((job, event)) = self.batch.poll_event() {
            self.show(job, &event);
        }
        self.tend_ears();
        self.publish_when_due(now);
    }

    fn begin(&mut self, job: JobId, device: &Nearby) {
        let Some(order) = self.orders.remove(&job) else {
            return;
        };
        self.taken.insert(job, device.peripheral.clone());
        let plan = Plan {
            job,
            peripheral: device.peripheral.clone(),
            name: device.name.clone().unwrap_or_else(|| device.peripheral.0.clone()),
            dialect: device.dialect,
            serial: order.serial,
            pop: order.pop,
            username: order.username,
            network: order.network,
            purpose: order.purpose,
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
        if !self.batch.add(job) {
            tracing::warn!(job = %id.0, "the job is in work already");
        }
    }

    fn remember(&self, job: JobId) {
        let (journal, wakes) = (Arc::clone(&self.parts.journal), self.wakes.clone());
        tokio::spawn(async move {
            let entries = journal.entries(job).await.map_err(|error| error.to_string());
            let _ = wakes.send(Wake::Remembered(job, entries));
        });
    }

    fn resume(&mut self, job: JobId, entries: Result<Vec<JournalEntry>, String>) {
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                self.show_ordered(job, job.0.to_string(), None);
                self.show_never_found(job, &commission::fault::Fault::Journal(error));
                return;
            }
        };
        let started = entries.iter().find_map(|entry| match &entry.step {
            Step::Started {
                peripheral,
                name,
                dialect,
                serial,
                purpose,
            } => Some((
                peripheral.clone(),
                name.clone(),
                *dialect,
                serial.clone(),
                *purpose,
            )),
            _ => None,
        });
        let Some((peripheral, name, dialect, serial, purpose)) = started else {
            tracing::warn!(job = %job.0, "the journal has no such job");
            return;
        };
        self.show_ordered(job, name.clone(), serial.as_ref().map(ToString::to_string));
        let plan = Plan {
            job,
            peripheral,
            name,
            dialect,
            serial,
            pop: None,
            username: None,
            network: None,
            purpose,
            policy: self.parts.policy.clone(),
            limits: self.parts.limits.clone(),
        };
        self.add(Job::resume(plan, journal::remains(&entries), self.dialects()));
    }

    /// The radio listens while a person or an order wants it to.
    fn tend_ears(&mut self) {
        let wanted = self.wanted_listening || !self.finder.is_empty();
        if wanted && self.ears.is_none() && self.view.radio_trouble.is_none() {
            self.view.listening = true;
            self.ears = Some(tokio::spawn(listen(
                Arc::clone(&self.parts.radio),
                self.wakes.clone(),
            )));
        } else if !wanted {
            self.stop_ears();
            self.view.listening = false;
            self.view.radio_trouble = None;
        }
    }

    fn stop_ears(&mut self) {
        if let Some(ears) = self.ears.take() {
            ears.abort();
        }
    }
}

async fn listen(radio: Arc<dyn Radio>, wakes: mpsc::UnboundedSender<Wake>) {
    let trouble = match radio.scan().await {
        Ok(mut sightings) => {
            while let Some(sighting) = sightings.recv().await {
                if wakes.send(Wake::Heard(sighting)).is_err() {
                    return;
                }
            }
            None
        }
        Err(error) => Some(error),
    };
    let _ = wakes.send(Wake::Deaf(trouble));
}
