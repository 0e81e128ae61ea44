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
/// Tasks that are remembered, with their reports.
const MOST: usize = 20;
/// Lines of a file; each leaves a line in a report.
const MOST_LINES: usize = 20_000;

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
    /// Wakes it when it is to stop.
    stopping: Arc<Notify>,
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
        let stopping = Arc::new(Notify::new());
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
            stopping: Arc::clone(&stopping),
        });
        drop(all);
        let (tasks, own) = (self.clone(), id.clone());
        tokio::spawn(async move {
            let stop = tasks.0.need.stop.clone();
            tokio::select! {
                () = tasks.run(&own, &order, &template, &reader, &stopping) => {}
                () = stopped(stop) => {}
            }
        });
        Ok(id)
    }

    async fn run(&self, id: &str, order: &Order, template: &Template, reader: &Principal, stopping: &Notify) {
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
                () = stopping.notified() => {}
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
        if text.lines().count() > MOST_LINES {
            return Err(format!("The file has more than {MOST_LINES} lines"));
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
                task.stopping.notify_one();
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

    /// How many reports there are of a task; none before it is over.
    pub(super) fn reports(&self, id: &str, report: Report) -> Result<usize, Refusal> {
        let all = self.all();
        let task = all.iter().find(|task| task.id == id);
        let task = task.ok_or_else(|| Refusal::invalid(format!("Task {id} not found.")))?;
        let lines = task.lines_of(report);
        Ok(if task.status.is_over() {
            lines.len().div_ceil(REPORT)
        } else {
            0
        })
    }

    /// A link to one of the reports of a task that is over, counted from 1. Each asking gives another, which lives for a
    /// while.
    pub(super) fn link(&self, id: &str, report: Report, number: usize) -> Result<String, Refusal> {
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
        let lines = task.lines_of(report);
        let lines = lines.chunks(REPORT).nth(number.saturating_sub(1));
        let lines = lines.ok_or_else(Refusal::internal)?;
        let name = match report {
            Report::Errors => "errors",
            Report::Results => "results",
        };
        let life = faults.now().aws_link_life_ms;
        let life = life.map_or(LINK_LIFE, Duration::from_millis);
        let secret = random_name().ok_or_else(Refusal::internal)?;
        if let Some(witness) = witness {
            witness.saw(&secret);
        }
        let path = format!("{}/{}/{id}/{name}-{number}.json", s3::PREFIX, s3::REPORTS);
        let (seconds, opener) = (life.as_secs(), s3::SECRET);
        let address = format!("{url}{path}?X-Amz-Expires={seconds}&{opener}={secret}");
        objects.link(secret, path, Bytes::from(lines.join("\n") + "\n"), life);
        Ok(address)
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
    fn lines_of(&self, report: Report) -> &[String] {
        match report {
            Report::Errors => &self.errors,
            Report::Results => &self.results,
        }
    }

    fn percent(&self) -> usize {
        let done = self.results.len() + self.errors.len();
        (done * 100)
            .checked_div(self.lines)
            .unwrap_or(if self.status == Status::Completed { 100 } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cloud::CloudConfig;
    use crate::cloud::aws::iam::Policy;
    use crate::cloud::aws::objects::Object;
    use engine::settings::Strategy;

    const BUCKET: &str = "fieldkey-registration";
    const THINGS: &str = r#"{"Parameters": {"SerialNumber": {"Type": "String"}}, "Resources": {
        "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "SerialNumber"}}}}}"#;

    struct Bench {
        tasks: Tasks,
        registry: Registry,
        objects: Objects,
        faults: Faults,
        stop: watch::Sender<bool>,
    }

    fn bench() -> Bench {
        let faults = Faults::default();
        let clock = CloudClock::new(faults.clone());
        let config = CloudConfig::default();
        let registry = Registry::new(&config, BTreeMap::new(), clock.clone(), faults.clone());
        let (stop, stopping) = watch::channel(false);
        let objects = Objects::default();
        let tasks = Tasks::new(Need {
            account: Account {
                partition: "aws".into(),
                region: "eu-central-1".into(),
                account: "123456789012".into(),
                template: "FieldkeyTemplate".into(),
                things: "*".into(),
                strategy: Strategy::TrustedUser,
            },
            url: "https://127.0.0.1:1".into(),
            registry: registry.clone(),
            devices: Arc::new(Authority::new("devices").unwrap()),
            objects: objects.clone(),
            faults: faults.clone(),
            clock,
            witness: None,
            stop: stopping,
        });
        Bench {
            tasks,
            registry,
            objects,
            faults,
            stop,
        }
    }

    impl Bench {
        fn put(&self, text: &str) {
            let object = Object {
                bytes: text.to_owned().into(),
                content_type: String::new(),
                at: 0,
            };
            self.objects.put("things.jsonl", object).unwrap();
        }

        /// Starts a task as a role that may read what is under this name.
        fn start(&self, may_read: &str) -> String {
            let policy = format!(
                r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "s3:GetObject",
                    "Resource": "arn:aws:s3:::{may_read}"}}]}}"#
            );
            let reader = Principal {
                arn: "arn:aws:sts::123456789012:assumed-role/r/task".into(),
                policy: Policy::read(&policy).unwrap(),
                session: None,
            };
            let order = Order {
                template_body: THINGS.into(),
                bucket: BUCKET.into(),
                key: "things.jsonl".into(),
                role_arn: "arn:aws:iam::123456789012:role/r".into(),
            };
            let template = Template::of_task(THINGS).unwrap();
            self.tasks.start(order, template, reader).unwrap()
        }

        /// What is told of a task once it is over.
        async fn over(&self, id: &str) -> Value {
            until(|| self.tasks.status(id).unwrap().is_over()).await;
            self.tasks.described(id).unwrap()
        }
    }

    /// Waits for it, and not longer than it can take.
    async fn until(is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_file_that_may_not_be_read_or_has_no_line_or_too_many_fails_before_any_is_registered() {
        let bench = bench();
        let line = "{\"SerialNumber\": \"FK-1\"}\n";
        for (text, may_read, why) in [
            (
                line.to_owned(),
                "another/*",
                "not authorized to perform: s3:GetObject",
            ),
            (String::new(), "fieldkey-registration/*", "empty"),
            (
                line.repeat(MOST_LINES + 1),
                "fieldkey-registration/*",
                "more than 20000 lines",
            ),
        ] {
            bench.put(&text);
            let id = bench.start(may_read);
            let told = bench.over(&id).await;
            assert_eq!(
                (&told["status"], &told["percentageProgress"]),
                (&json!("Failed"), &json!(0))
            );
            assert!(told["message"].as_str().unwrap().contains(why), "{told}");
        }
        assert!(bench.registry.inspect().things.is_empty());
    }

    #[tokio::test]
    async fn a_line_stands_in_a_report_with_its_number_and_its_first_byte() {
        let bench = bench();
        bench.put("{\"SerialNumber\": \"FK-1\"}\r\nno JSON\n\n{\"SerialNumber\": \"FK-2\"}");
        let id = bench.start("fieldkey-registration/*");
        let told = bench.over(&id).await;
        assert_eq!(
            (&told["successCount"], &told["failureCount"]),
            (&json!(2), &json!(2))
        );
        let places = |report| -> Vec<(u64, u64)> {
            assert_eq!(bench.tasks.reports(&id, report).unwrap(), 1);
            let link = bench.tasks.link(&id, report, 1).unwrap();
            let (path, secret) = link.split_once('?').unwrap();
            let secret = secret.split_once("X-Amz-Signature=").unwrap().1;
            let path = path.strip_prefix("https://127.0.0.1:1").unwrap();
            let report = bench.objects.linked(secret, path).unwrap();
            let lines = std::str::from_utf8(&report).unwrap().lines();
            lines
                .map(|line| serde_json::from_str::<Value>(line).unwrap())
                .map(|line| {
                    (
                        line["lineNumber"].as_u64().unwrap(),
                        line["offset"].as_u64().unwrap(),
                    )
                })
                .collect()
        };
        assert_eq!(places(Report::Results), [(1, 0), (4, 35)]);
        assert_eq!(places(Report::Errors), [(2, 26), (3, 34)]);
    }

    #[tokio::test]
    async fn a_task_ends_with_the_account() {
        let bench = bench();
        bench.faults.change(|now| now.aws_bulk_line_ms = 3_600_000);
        bench.put("{\"SerialNumber\": \"FK-1\"}");
        bench.start("fieldkey-registration/*");
        assert_eq!(Arc::strong_count(&bench.tasks.0), 2);
        bench.stop.send_replace(true);
        until(|| Arc::strong_count(&bench.tasks.0) == 1).await;
        assert!(bench.registry.inspect().things.is_empty());
    }
}
