//! The task at AWS: started, followed, stopped, and what it says of the devices that failed.

use std::sync::Arc;

use ::http::{Method, Request};
use commission::fault::CloudError;
use commission::secret::Token;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use url::Url;

use super::super::client::{Call, Client};
use super::super::keys::{IdentitySource, KeySource};
use super::super::operation::Operation;
use super::super::places::{PlaceError, Places};
use super::super::policy::Work;
use super::super::wire::{Trouble, Wire, content, escaped};
use crate::cloud::http::{Answer, Exchange, REQUEST_TIME};
use crate::cloud::problem::words;
use crate::cloud::wire::token;
use crate::ports::Clock;
use crate::settings::AwsSettings;

/// Links that a page of reports brings at most.
const PAGE: u32 = 100;
/// Who has more pages than this is not followed further.
const MOST_PAGES: usize = 50;
/// Longest identifier of a task.
const LONGEST_ID: usize = 40;
const JSON: &str = "application/json";

/// What a task is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    template: String,
    bucket: String,
    key: String,
    role: String,
}

/// Why a task cannot be started with this; AWS would say so without naming the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// The bucket.
    #[error("a bucket's name has 3 to 256 letters, digits and signs of . _ -")]
    Bucket,
    /// The key.
    #[error("a key has 1 to 1024 letters, digits and signs of ! _ . * ' ( ) - /")]
    Key,
    /// The role.
    #[error("a role is written as in arn:aws:iam::123456789012:role/fieldkey-registration")]
    Role,
}

impl Order {
    /// # Errors
    /// [`OrderError`].
    pub fn new(template: String, bucket: &str, key: &str, role: &str) -> Result<Self, OrderError> {
        let fits = |text: &str, least: usize, most: usize, signs: &str| {
            (least..=most).contains(&text.len())
                && text
                    .chars()
                    .all(|sign| sign.is_ascii_alphanumeric() || signs.contains(sign))
        };
        if !fits(bucket, 3, 256, "._-") {
            return Err(OrderError::Bucket);
        }
        if !fits(key, 1, 1024, "!_.*'()-/") {
            return Err(OrderError::Key);
        }
        let parts: Vec<&str> = role.splitn(6, ':').collect();
        let named = match parts.as_slice() {
            ["arn", partition, "iam", "", account, name] => {
                partition.starts_with("aws")
                    && account.len() == 12
                    && account.bytes().all(|byte| byte.is_ascii_digit())
                    && name
                        .strip_prefix("role/")
                        // A star would let the keys pass on other roles, too.
                        .is_some_and(|name| fits(name, 1, 576, "/_+=,.@-"))
            }
            _ => false,
        };
        if !named {
            return Err(OrderError::Role);
        }
        Ok(Self {
            template,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            role: role.to_owned(),
        })
    }

    /// The role that AWS IoT is to take.
    pub fn role(&self) -> &str {
        &self.role
    }
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase", serialize = "camelCase"))]
pub struct Task {
    /// Its identifier.
    #[serde(rename(deserialize = "taskId", serialize = "task"))]
    pub id: String,
    /// Where it stands.
    pub status: Status,
    /// AWS's words for that.
    #[serde(default)]
    pub message: Option<String>,
    /// Devices that were registered.
    #[serde(default, rename = "successCount")]
    pub succeeded: u64,
    /// Devices that were not.
    #[serde(default, rename = "failureCount")]
    pub failed: u64,
    /// How much of it is done.
    #[serde(default, rename = "percentageProgress")]
    pub percent: u64,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "kebab-case"))]
pub enum Status {
    /// It runs.
    InProgress,
    /// It went through all lines.
    Completed,
    /// It could not go on.
    Failed,
    /// It was stopped.
    Cancelled,
    /// It is being stopped.
    Cancelling,
}

impl Status {
    /// Whether nothing more comes.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// A line of a report of errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// The line of the line file, from 1; none where the report does not tell.
    pub line: Option<u64>,
    /// AWS's code, where there is one.
    pub code: Option<String>,
    /// AWS's words, or the line of the report as it came.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    task_id: String,
}

/// What the reports of a task say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// The devices, by line.
    pub all: Vec<Failed>,
    /// Whether there are reports that were not read, for their number.
    pub more: bool,
    /// Why reports could not be read, one for each such report.
    pub unread: Vec<CloudError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    task_ids: Vec<String>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReportsAnswer {
    #[serde(default)]
    resource_links: Vec<Link>,
    #[serde(default)]
    next_token: Option<String>,
}

/// Where a report lies. Whoever has the address may read it, so that it is a secret.
#[derive(Deserialize)]
struct Link(#[serde(deserialize_with = "token")] Token);

/// Bulk registration in the account of a profile, as whoever is signed in.
pub struct Tasks {
    client: Client,
    iot: Url,
    exchange: Arc<dyn Exchange>,
}

impl Tasks {
    /// With keys that may pass on this role, where one is named, and no other.
    ///
    /// # Errors
    /// [`PlaceError`] where the profile's region makes no address.
    pub fn new(
        settings: AwsSettings,
        exchange: Arc<dyn Exchange>,
        identity: Arc<dyn IdentitySource>,
        clock: Arc<dyn Clock>,
        passed: Option<&str>,
    ) -> Result<Self, PlaceError> {
        let settings = Arc::new(settings);
        let places = Arc::new(Places::of(&settings)?);
        let wire = Arc::new(Wire::new(Arc::clone(&exchange), clock));
        let work = Work::Bulk {
            passed: passed.map(str::to_owned),
        };
        let keys = KeySource::new(
            Arc::clone(&wire),
            Arc::clone(&settings),
            Arc::clone(&places),
            identity,
            work,
        );
        Ok(Self {
            client: Client::new(wire, keys, settings.region.clone()),
            iot: places.iot.clone(),
            exchange,
        })
    }

    /// Starts a task and tells its identifier. Not to be repeated where it is unknown how it ended: AWS knows no
    /// repetition from a second task.
    ///
    /// # Errors
    /// [`CloudError`].
    pub async fn start(&self, order: &Order) -> Result<String, CloudError> {
        let operation = Operation::StartThingRegistrationTask;
        let body = json!({
            "templateBody": order.template,
            "inputFileBucket": order.bucket,
            "inputFileKey": order.key,
            "roleArn": order.role,
        })
        .to_string();
        let call = Call {
            operation,
            base: &self.iot,
            method: Method::POST,
            target: "/thing-registration-tasks".to_owned(),
        };
        let content_of = (Some(JSON), body.as_bytes());
        let answer = self.client.call_with(&call, content_of).await;
        let Started { task_id } = content(operation, &answer.map_err(CloudError::from)?)?;
        if task_id.is_empty() || task_id.len() > LONGEST_ID {
            return Err(CloudError::Nonsense(format!(
                "{} named no task",
                operation.name()
            )));
        }
        Ok(task_id)
    }

    /// How far it is.
    ///
    /// # Errors
    /// [`CloudError`].
    pub async fn look(&self, task: &str) -> Result<Task, CloudError> {
        let operation = Operation::DescribeThingRegistrationTask;
        let target = format!("/thing-registration-tasks/{}", escaped(task));
        let answer = self.ask(operation, Method::GET, target).await?;
        let mut told: Task = content(operation, &answer)?;
        if told.id != task {
            return Err(CloudError::Nonsense("it answers about another task".into()));
        }
        told.message = told
            .message
            .map(|message| words(&message))
            .filter(|message| !message.is_empty());
        Ok(told)
    }

    /// Stops it; what it registered stays.
    ///
    /// # Errors
    /// [`CloudError`].
    pub async fn stop(&self, task: &str) -> Result<(), CloudError> {
        let target = format!("/thing-registration-tasks/{}/cancel", escaped(task));
        self.ask(Operation::StopThingRegistrationTask, Method::PUT, target)
            .await?;
        Ok(())
    }

    /// The tasks that run. For whoever started one and heard nothing.
    ///
    /// # Errors
    /// [`CloudError`].
    pub async fn running(&self) -> Result<Vec<String>, CloudError> {
        let operation = Operation::ListThingRegistrationTasks;
        let first = "/thing-registration-tasks?status=InProgress".to_owned();
        let (mut found, mut target) = (Vec::new(), first.clone());
        for _ in 0..MOST_PAGES {
            let answer = self.ask(operation, Method::GET, target).await?;
            let Running { task_ids, next_token } = content(operation, &answer)?;
            found.extend(task_ids);
            match next_token.filter(|next| !next.is_empty()) {
                // A page may be empty and not the last.
                Some(next) => target = format!("{first}&nextToken={}", escaped(&next)),
                None => return Ok(found),
            }
        }
        Err(CloudError::Nonsense(format!(
            "the list of tasks does not end after {MOST_PAGES} pages"
        )))
    }

    /// The devices that it could not register, by line.
    ///
    /// # Errors
    /// [`CloudError`] where there is no list of reports; one that cannot be read does not hide the others.
    pub async fn failures(&self, task: &str) -> Result<Failures, CloudError> {
        let operation = Operation::ListThingRegistrationTaskReports;
        let first = format!(
            "/thing-registration-tasks/{}/reports?maxResults={PAGE}&reportType=ERRORS",
            escaped(task)
        );
        let (mut failures, mut unread) = (Vec::new(), Vec::new());
        let (mut target, mut more) = (first.clone(), true);
        for _ in 0..MOST_PAGES {
            let answer = self.ask(operation, Method::GET, target).await?;
            let page: ReportsAnswer = content(operation, &answer)?;
            for link in &page.resource_links {
                match self.report(link).await {
                    Ok(told) => failures.extend(told),
                    Err(error) => unread.push(error),
                }
            }
            match page.next_token.filter(|next| !next.is_empty()) {
                Some(next) => target = with_token(task, &next),
                None => {
                    more = false;
                    break;
                }
            }
        }
        // Lines that the report does not number come last.
        failures.sort_by_key(|failed| failed.line.unwrap_or(u64::MAX));
        Ok(Failures {
            all: failures,
            more,
            unread,
        })
    }

    /// One report. No error names its address, nor do keys go there: the address itself is the permission.
    async fn report(&self, Link(link): &Link) -> Result<Vec<Failed>, CloudError> {
        let nonsense = |why: &str| CloudError::Nonsense(format!("a report of errors {why}"));
        if !link.reveal().starts_with("https://") {
            return Err(nonsense("does not lie at an https address"));
        }
        let request = Request::get(link.reveal())
            .body(Vec::new())
            .map_err(|_| nonsense("has no address"))?;
        let sent = self.exchange.exchange(request, REQUEST_TIME).await;
        let answer = sent.map_err(|error| CloudError::Unreachable(error.to_string()))?;
        if !answer.status.is_success() {
            return Err(CloudError::Refused {
                code: format!("status {}", answer.status.as_u16()),
                message:
                    "a report of errors was not given out; its address holds for a while only, so ask again"
                        .into(),
            });
        }
        let text = std::str::from_utf8(&answer.body).map_err(|_| nonsense("is not UTF-8"))?;
        Ok(text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(failed)
            .collect())
    }

    async fn ask(&self, operation: Operation, method: Method, target: String) -> Result<Answer, Trouble> {
        let call = Call {
            operation,
            base: &self.iot,
            method,
            target,
        };
        self.client.call(&call).await
    }
}

/// Where the next page of reports is. Parameters stand in the order of their names, as the signature has them.
fn with_token(task: &str, next: &str) -> String {
    format!(
        "/thing-registration-tasks/{}/reports?maxResults={PAGE}&nextToken={}&reportType=ERRORS",
        escaped(task),
        escaped(next)
    )
}

/// A line of a report. AWS does not describe its form, so each known place is looked at, and what is not understood is
/// shown as it came.
fn failed(text: &str) -> Failed {
    let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let number = |name: &str| {
        let value = value.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    };
    let inner = ["errorResponse", "error", "response"]
        .into_iter()
        .find_map(|name| value.get(name));
    let word = |names: &[&str]| {
        let places = [Some(&value), inner];
        let found = places.into_iter().flatten().find_map(|place| {
            names
                .iter()
                .find_map(|name| place.get(*name).and_then(Value::as_str))
        });
        found.map(words).filter(|word| !word.is_empty())
    };
    let plain = || inner.and_then(Value::as_str).map(words);
    Failed {
        line: number("lineNumber").or_else(|| number("line")),
        code: word(&["errorCode", "code", "ErrorCode"]),
        why: word(&["errorMessage", "message", "ErrorMessage"])
            .or_else(plain)
            .unwrap_or_else(|| words(text)),
    }
}
