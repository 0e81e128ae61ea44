//! Bulk registration: the five calls about tasks (AWS IoT API reference; developer guide, "Bulk registration").
//!
//! `task` is the work itself. Where AWS says nothing, it is taken to be as strict as elsewhere: a role that AWS IoT
//! cannot take is refused at once, a file that the role cannot read fails the task, and there are reports once a task is
//! over.

mod line;
mod task;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) use self::task::{Need, Tasks};

use self::task::{Order, Report, Status};
use super::AwsParts;
use super::condition::Context;
use super::iam::Principal;
use super::iot::Asked;
use super::operation::Operation;
use super::refusal::Refusal;
use super::roles::IOT;
use crate::cloud::mqtt::Template;

/// Longest name of a bucket, and shortest.
const BUCKET: std::ops::RangeInclusive<usize> = 3..=256;
/// Longest key.
const KEY: std::ops::RangeInclusive<usize> = 1..=1024;
/// What may stand in a key besides letters and digits.
const KEY_SIGNS: &str = "!_.*'()-/";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    template_body: String,
    input_file_bucket: String,
    input_file_key: String,
    role_arn: String,
}

impl AwsParts {
    /// Does what is asked about tasks. Not for: other operations.
    pub(super) fn about_tasks(
        &self,
        operation: Operation,
        asked: &Asked<'_>,
        caller: &Principal,
    ) -> Result<Value, Refusal> {
        let id = asked.name.as_str();
        match operation {
            Operation::StartThingRegistrationTask => self.start(asked.json()?, caller),
            Operation::ListThingRegistrationTasks => {
                let wanted = asked.query("status").map(status).transpose()?;
                let all = self.bulk.ids(wanted);
                asked.page("taskIds", "nextToken", all.into_iter().map(Value::from).collect())
            }
            Operation::DescribeThingRegistrationTask => self.bulk.described(id).ok_or_else(|| no_task(id)),
            Operation::StopThingRegistrationTask => {
                self.bulk.stop(id)?;
                Ok(json!({}))
            }
            Operation::ListThingRegistrationTaskReports => {
                let (report, name) = match asked.query("reportType") {
                    Some("ERRORS") => (Report::Errors, "ERRORS"),
                    Some("RESULTS") => (Report::Results, "RESULTS"),
                    other => {
                        let other = other.unwrap_or_default();
                        return Err(Refusal::invalid(format!("There is no report {other:?}")));
                    }
                };
                let numbers = (1..=self.bulk.reports(id, report)?).map(Value::from);
                let mut page = asked.page("resourceLinks", "nextToken", numbers.collect())?;
                // Links are made for what is on this page alone.
                for entry in page
                    .get_mut("resourceLinks")
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                {
                    let number = entry.as_u64().and_then(|number| usize::try_from(number).ok());
                    let number = number.ok_or_else(Refusal::internal)?;
                    *entry = self.bulk.link(id, report, number)?.into();
                }
                if let Some(page) = page.as_object_mut() {
                    page.insert("reportType".into(), name.into());
                }
                Ok(page)
            }
            _ => Err(Refusal::internal()),
        }
    }

    fn start(&self, wanted: Start, caller: &Principal) -> Result<Value, Refusal> {
        let Start {
            template_body,
            input_file_bucket: bucket,
            input_file_key: key,
            role_arn,
        } = wanted;
        let plain = |text: &str, signs: &str| {
            let fits = |sign: char| sign.is_ascii_alphanumeric() || signs.contains(sign);
            text.chars().all(fits)
        };
        if !BUCKET.contains(&bucket.len()) || !plain(&bucket, "._-") {
            return Err(Refusal::invalid("inputFileBucket is no bucket's name"));
        }
        if !KEY.contains(&key.len()) || !plain(&key, KEY_SIGNS) {
            return Err(Refusal::invalid("inputFileKey is no key"));
        }
        let template =
            Template::of_task(&template_body).map_err(|error| Refusal::invalid(error.to_string()))?;
        let to_iot = Context::default().with("iam:PassedToService", IOT);
        caller
            .may_in("iam:PassRole", &role_arn, &to_iot)
            .map_err(Refusal::denied)?;
        let taken = self.roles.by_arn(&role_arn).filter(|role| role.admits_iot());
        let role =
            taken.ok_or_else(|| Refusal::invalid(format!("AWS IoT cannot assume the role {role_arn}")))?;
        let reader = role.assumed(&self.account, "AWSIoTBulkRegistration", None);
        let order = Order {
            template_body,
            bucket,
            key,
            role_arn,
        };
        Ok(json!({ "taskId": self.bulk.start(order, template, reader)? }))
    }
}

fn status(name: &str) -> Result<Status, Refusal> {
    serde_json::from_value(name.into()).map_err(|_| Refusal::invalid(format!("A task is never {name:?}")))
}

fn no_task(id: &str) -> Refusal {
    Refusal::not_found(format!("Task {id} not found."))
}

/// A second task beside one that runs. The API has no exception for it but this.
fn one_at_a_time() -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        "InvalidRequestException",
        "Only one registration task can run at a time in an account",
    )
}
