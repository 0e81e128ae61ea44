//! Tasks: one at a time reads its line file as the role that was passed on, and registers line by line beside
//! everything else that the account does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use engine::cloud::aws::policy::Account;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::Duration;

use super::line::{Place, Registering};
use super::{no_task, one_at_a_time};
use crate::ca::Authority;
use crate::cloud::aws::iam::Principal;
use crate::cloud::aws::objects::Objects;
use crate::cloud::aws::refusal::Refusal;
use crate::cloud::aws::s3;
use crate::cloud::clock::CloudClock;
use crate::cloud::faults::Faults;
use crate::cloud::http::stopped;
use crate::cloud::mqtt::Template;
use crate::cloud::random_name;
use crate::cloud::registry::Registry;
use crate::cloud::witness::Witness;

/// Lines of one report; the next ones stand in another.
const REPORT: usize = 100;
/// How long a link to a report is good.
const LINK_LIFE: Duration = Duration::from_secs(3600);
/// Tasks that are remembered.
const MOST: usize = 100;

/// What tasks need of the account.
pub(in crate::cloud::aws) struct Need {
    pub(in crate::cloud::aws) account: Account,
    /// Where the account is reached.
    pub(in crate::cloud::aws) url: String,
    pub(in crate::cloud::aws) registry: Registry,
    pub(in crate::cloud::aws) devices: Arc<Authority>,
    pub(in crate::cloud::aws) objects: Objects,
    pub(in crate::cloud::aws) faults: Faults,
    pub(in crate::cloud::aws) clock: CloudClock,
    pub(in crate::cloud::aws) witness: Option<Witness>,
    /// Ends the task that runs.
    pub(in crate::cloud::aws) stop: watch::Receiver<bool>,
}

/// The tasks of the account. Cheap to clone.
#[derive(Clone)]
pub(in crate::cloud::aws) struct Tasks(Arc<Inner>);

struct Inner {
    need: Need,
    /// Oldest first.
    all: Mutex<Vec<Task>>,
    /// Wakes the task that runs when it is to stop.
    stopping: Notify,
}

/// What a task was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Order {
    pub(super) template_body: String,
    #[serde(rename = "inputFileBucket")]
    pub(super) bucket: String,
    #[serde(rename = "inputFileKey")]
    pub(super) key: String,
    pub(super) role_arn: String,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Status {
    InProgress,
    Completed,
    Failed,
    Cancelled,
    Cancelling,
}

/// What is reported: lines that failed, or lines that did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    Errors,
    Results,
}

struct Task {
    id: String,
    order: Order,
    status: Status,
    message: Option<String>,
    /// Lines of the file; none before it was read.
    lines: usize,
    results: Vec<String>,
    errors: Vec<String>,
    created_at: i64,
    changed_at: i64,
}

impl Status {
    fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl Tasks {
    pub(in crate::cloud::aws) fn new(need: Need) -> Self {
        Self(Arc::new(Inner {
            need,
            all: Mutex::default(),
            stopping: Notify::new(),
        }))
    }

    /// Starts a task that reads as `reader`, and gives its identifier.
    pub(super) fn start(
        &self,
        order: Order,
        template: Template,
        reader: Principal,
    ) -> Result<String, Refusal> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|_| Refusal::internal())?;
        let id = uuid::Builder::from_random_bytes(random).into_uuid().to_string();
        let at = self.0.need.clock.now();
        let mut all = self.all();
        if all.iter().any(|task| !task.status.is_over()) {
            return Err(one_at_a_time());
        }
        if all.len() >= MOST {
            all.remove(0);
        }
        all.push(Task {
            id: id.clone(),
            order: order.clone(),
            status: Status::InProgress,
            message: None,
            lines: 0,
            results: Vec::new(),
            errors: Vec::new(),
            created_at: at,
            changed_at: at,
        });
        drop(all);
        let (tasks, own) = (self.clone(), id.clone());
        tokio::spawn(async move {
            let stop = tasks.0.need.stop.clone();
            tokio::select! {
                () = tasks.run(&own, &order, &template, &reader) => {}
                () = stopped(stop) => {}
            }
        });
        Ok(id)
    }

    async fn run(&self, id: &str, order: &Order, template: &Template, reader: &Principal) {
        let text = match self.read(order, reader) {
            Ok(text) => text,
            Err(why) => return self.end(id, Status::Failed, Some(why)),
        };
        self.change(id, |task| task.lines = text.lines().count());
        let need = &self.0.need;
        let registering = Registering {
            account: &need.account,
            registry: &need.registry,
            devices: &need.devices,
            template,
        };
        let mut offset = 0;
        for (number, whole) in (1..).zip(text.split_inclusive('\n')) {
            tokio::select! {
                () = tokio::time::sleep(need.faults.bulk_line_delay()) => {}
                () = self.0.stopping.notified() => {}
            }
            // Others are served between two lines, however many there are.
            tokio::task::yield_now().await;
            if self.status(id) != Some(Status::InProgress) {
                return self.end(id, Status::Cancelled, None);
            }
            let done = registering.line(Place { number, offset }, whole.trim_end_matches(['\n', '\r']));
            offset += whole.len();
            self.change(id, |task| match done {
                Ok(result) => task.results.push(result),
                Err(error) => task.errors.push(error),
            });
        }
        self.change(id, |task| {
            // Asked to stop after its last line, it was still stopped.
            let stopped = task.status == Status::Cancelling;
            task.status = if stopped {
                Status::Cancelled
            } else {
                Status::Completed
            };
        });
    }

    /// The line file, as far as `reader` may read it.
    fn read(&self, order: &Order, reader: &Principal) -> Result<String, String> {
        let Need { account, objects, .. } = &self.0.need;
        let Order { bucket, key, .. } = order;
        let object = format!("arn:{}:s3:::{bucket}/{key}", account.partition);
        reader.may("s3:GetObject", &object)?;
        let found = Objects::has(bucket).then(|| objects.get(key)).flatten();
        // The role may not list the bucket, so that it is not told which of the two it is.
        let found =
            found.ok_or_else(|| format!("Access Denied: {object} is not there, or not to be read"))?;
        let text = String::from_utf8(found.bytes.to_vec()).map_err(|_| "The file is not UTF-8".to_owned())?;
        if text.is_empty() {
            return Err("The file is empty".into());
        }
        Ok(text)
    }

    /// Asks a task to end after the line that it is at.
    pub(super) fn stop(&self, id: &str) -> Result<(), Refusal> {
        let at = self.0.need.clock.now();
        let mut all = self.all();
        let task = all
            .iter_mut()
            .find(|task| task.id == id)
            .ok_or_else(|| no_task(id))?;
        match task.status {
            Status::InProgress => {
                task.status = Status::Cancelling;
                task.changed_at = at;
                self.0.stopping.notify_one();
                Ok(())
            }
            Status::Cancelling => Ok(()),
            over => Err(Refusal::invalid(format!("Task {id} is {over:?} already"))),
        }
    }

    /// Identifiers of those that stand so, the youngest first.
    pub(super) fn ids(&self, status: Option<Status>) -> Vec<String> {
        let all = self.all();
        let wanted = all
            .iter()
            .rev()
            .filter(|task| status.is_none_or(|status| status == task.status));
        wanted.map(|task| task.id.clone()).collect()
    }

    pub(super) fn described(&self, id: &str) -> Option<Value> {
        let all = self.all();
        let task = all.iter().find(|task| task.id == id)?;
        let mut told = serde_json::to_value(&task.order).ok()?;
        let more = json!({
            "taskId": task.id,
            "status": task.status,
            "successCount": task.results.len(),
            "failureCount": task.errors.len(),
            "percentageProgress": task.percent(),
            "creationDate": task.created_at,
            "lastModifiedDate": task.changed_at,
        });
        let (told_fields, more) = (told.as_object_mut()?, more.as_object()?.clone());
        told_fields.extend(more);
        if let Some(message) = &task.message {
            told_fields.insert("message".into(), message.as_str().into());
        }
        Some(told)
    }

    /// Links to the reports of a task that is over. Each asking gives others, which live for a while.
    pub(super) fn links(&self, id: &str, report: Report) -> Result<Vec<String>, Refusal> {
        let Need {
            url,
            objects,
            faults,
            witness,
            ..
        } = &self.0.need;
        let all = self.all();
        let task = all.iter().find(|task| task.id == id);
        let task = task.ok_or_else(|| Refusal::invalid(format!("Task {id} not found.")))?;
        if !task.status.is_over() {
            return Ok(Vec::new());
        }
        let (name, lines) = match report {
            Report::Errors => ("errors", &task.errors),
            Report::Results => ("results", &task.results),
        };
        let life = faults.now().aws_link_life_ms;
        let life = life.map_or(LINK_LIFE, Duration::from_millis);
        let link = |(number, lines): (usize, &[String])| {
            let secret = random_name().ok_or_else(Refusal::internal)?;
            if let Some(witness) = witness {
                witness.saw(&secret);
            }
            let address = format!(
                "{url}{}/{}/{id}/{name}-{number}.json?X-Amz-Expires={}&{}={secret}",
                s3::PREFIX,
                s3::REPORTS,
                life.as_secs(),
                s3::SECRET,
            );
            objects.link(secret, Bytes::from(lines.join("\n") + "\n"), life);
            Ok(address)
        };
        (1..).zip(lines.chunks(REPORT)).map(link).collect()
    }

    fn status(&self, id: &str) -> Option<Status> {
        let all = self.all();
        all.iter().find(|task| task.id == id).map(|task| task.status)
    }

    fn end(&self, id: &str, status: Status, message: Option<String>) {
        self.change(id, |task| {
            task.status = status;
            task.message = message;
        });
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Task)) {
        let at = self.0.need.clock.now();
        if let Some(task) = self.all().iter_mut().find(|task| task.id == id) {
            change(task);
            task.changed_at = at;
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Task>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    fn percent(&self) -> usize {
        let done = self.results.len() + self.errors.len();
        (done * 100)
            .checked_div(self.lines)
            .unwrap_or(if self.status == Status::Completed { 100 } else { 0 })
    }
}
