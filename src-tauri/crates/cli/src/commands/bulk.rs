//! `fieldkey aws bulk`: a maker's list to a line file, and the task that registers all devices in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use commission::fault::CloudError;
use engine::cloud::aws::bulk::{
    Entry, Failed, FileError, Form, Order, Problem, Status, Task, Tasks, from_makers_list, look_through,
    read, write,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::args::Bulk;
use crate::exit::{Ended, Exit};
use crate::setup::{Base, Setup};

/// Looks this often: AWS has few reads a second for a whole account, and a task runs for minutes.
const PACE: Duration = Duration::from_secs(3);
/// So often AWS may not answer in a row: five minutes, and longer than its own retries.
const PATIENCE: u32 = 100;
const MORE_REPORTS: &str = "there are more reports than are read here; the rest is in the account";

/// Does what is asked.
pub(crate) async fn run(base: &Base, wanted: &Bulk) -> Result<(), Ended> {
    match wanted {
        Bulk::Lines {
            from,
            template_body,
            output,
            force,
        } => lines(base, from, template_body.as_deref(), output, *force),
        Bulk::Check { file, template_body } => {
            let entries = line_file(base, file, &form(template_body)?)?;
            let words = format!("{}: {} in order", file.display(), devices(entries.len()));
            base.out.both(
                "bulk-checked",
                &json!({ "file": file, "devices": entries.len() }),
                words,
            );
            Ok(())
        }
        Bulk::Start {
            bucket,
            key,
            role_arn,
            template_body,
        } => {
            let template = read(template_body).map_err(file_ended)?;
            form_of(template_body, &template)?;
            let order = Order::new(template, bucket, key, role_arn)
                .map_err(|error| Ended::usage(error, "Correct it and try again; nothing was started."))?;
            start(&base.clone().with_profile()?, &order).await
        }
        Bulk::Follow {
            task,
            lines,
            template_body,
        } => {
            let serials = match (lines, template_body) {
                (Some(lines), Some(body)) => names(base, lines, &form(body)?),
                _ => BTreeMap::new(),
            };
            let setup = base.clone().with_profile()?;
            tokio::select! {
                done = follow(&setup, task, &serials) => done,
                () = base.interrupts.next() => {
                    base.out.say(format!("The task goes on at AWS; look again: fieldkey aws bulk follow {task}"));
                    Err(Ended::silent(Exit::Interrupted))
                }
            }
        }
        Bulk::Stop { task } => {
            let setup = base.clone().with_profile()?;
            tasks(&setup, None).await?.stop(task).await?;
            base.out.both(
                "bulk-stopped",
                &json!({ "task": task }),
                format!("The task {task} is being stopped; what it registered stays."),
            );
            Ok(())
        }
    }
}

fn lines(
    base: &Base,
    from: &Path,
    template_body: Option<&Path>,
    output: &Path,
    force: bool,
) -> Result<(), Ended> {
    if let (Ok(from), Ok(output)) = (from.canonicalize(), output.canonicalize())
        && from == output
    {
        return Err(Ended::usage(
            format!("{} is the maker's list itself", output.display()),
            "Name another file for the lines; nothing was written.",
        ));
    }
    let form = template_body.map(form).transpose()?;
    let text = read(from).map_err(file_ended)?;
    let entries = from_makers_list(&text, form.as_ref()).map_err(|problems| wrong(base, from, &problems))?;
    write(output, &entries, force).map_err(file_ended)?;
    let words = format!(
        "{}: {} written. Put it into S3 with the office's own tools, since Fieldkey has no rights there:\n  \
         aws s3 cp {} s3://BUCKET/KEY",
        output.display(),
        devices(entries.len()),
        quoted(output)
    );
    base.out.both(
        "bulk-lines",
        &json!({ "file": output, "devices": entries.len() }),
        words,
    );
    Ok(())
}

async fn start(setup: &Setup, order: &Order) -> Result<(), Ended> {
    let tasks = tasks(setup, Some(order.role())).await?;
    let task = match tasks.start(order).await {
        Ok(task) => task,
        Err(error @ (CloudError::Unreachable(_) | CloudError::Nonsense(_))) => {
            return Err(unheard(&error, tasks.running().await.as_deref()));
        }
        Err(error) => return Err(error.into()),
    };
    let words = format!("The task {task} runs; follow it: fieldkey aws bulk follow {task}");
    setup.out.both("bulk-started", &json!({ "task": task }), words);
    Ok(())
}

/// A start that nobody answered. AWS runs one task at a time, so that one that runs is this one, or in its way.
fn unheard(error: &CloudError, running: Result<&[String], &CloudError>) -> Ended {
    let (known, now) = match running {
        Ok([]) => (
            "no task runs".to_owned(),
            "Start it again; a task that ended at once would have registered its devices already.".to_owned(),
        ),
        Ok([task, ..]) => (
            format!("the task {task} runs, which is most likely this one"),
            format!("Follow it: fieldkey aws bulk follow {task}"),
        ),
        Err(_) => (
            "whether a task runs cannot be told".to_owned(),
            "Once AWS answers, look which tasks run (aws iot list-thing-registration-tasks) before you start it again."
                .to_owned(),
        ),
    };
    Ended::new(
        Exit::Cloud,
        "bulk-unheard",
        format!("it is unknown whether the task began ({error}); {known}"),
        now,
    )
}

async fn follow(setup: &Setup, id: &str, serials: &BTreeMap<u64, String>) -> Result<(), Ended> {
    let tasks = tasks(setup, None).await?;
    let bar = (!setup.out.is_json()).then(|| bar(setup));
    let mut last = None;
    let mut unanswered = 0;
    let task = loop {
        match tasks.look(id).await {
            Ok(task) => {
                unanswered = 0;
                if last.as_ref() != Some(&task) {
                    setup.out.line("bulk-task", &task);
                }
                if let Some(bar) = &bar {
                    bar.set_position(task.percent.min(100));
                    bar.set_message(counted(&task));
                }
                if task.status.is_over() {
                    break task;
                }
                last = Some(task);
            }
            Err(error) if error.is_passing() && unanswered + 1 < PATIENCE => {
                unanswered += 1;
                setup.out.warn("cloud", &format!("{error}; asking again"));
            }
            Err(error) if error.is_passing() => {
                return Err(Ended::new(
                    Exit::Cloud,
                    "cloud-unreachable",
                    format!("AWS was asked {PATIENCE} times in a row and did not answer ({error})"),
                    format!("The task goes on at AWS; look again: fieldkey aws bulk follow {id}"),
                ));
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(PACE).await;
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    setup.out.say(format!("{id}: {}", counted(&task)));
    if task.failed > 0 {
        // How the task ended is known either way.
        match tasks.failures(id).await {
            Ok(failures) => {
                for failed in &failures.all {
                    tell(setup, failed, serials);
                }
                for error in &failures.unread {
                    setup.out.warn(
                        "bulk-report",
                        &format!("a report of errors could not be read, so that more devices may have failed: {error}"),
                    );
                }
                if failures.more {
                    setup.out.warn("bulk-report", MORE_REPORTS);
                }
            }
            Err(error) => setup.out.warn(
                "bulk-report",
                &format!("which devices failed cannot be told: {error}"),
            ),
        }
    }
    ended(&task)
}

fn tell(setup: &Setup, failed: &Failed, serials: &BTreeMap<u64, String>) {
    let serial = failed.line.and_then(|line| serials.get(&line));
    let place = match (failed.line, serial) {
        (Some(line), Some(serial)) => format!("line {line}, {serial}"),
        (Some(line), None) => format!("line {line}"),
        (None, _) => "a line that is not named".to_owned(),
    };
    let code = failed
        .code
        .as_ref()
        .map(|code| format!(" ({code})"))
        .unwrap_or_default();
    let line = json!({ "line": failed.line, "serial": serial, "reason": failed.code, "why": failed.why });
    setup
        .out
        .both("bulk-failure", &line, format!("{place}: {}{code}", failed.why));
}

/// How a task that is over makes the command end.
fn ended(task: &Task) -> Result<(), Ended> {
    let because = task
        .message
        .as_ref()
        .map(|message| format!(": {message}"))
        .unwrap_or_default();
    match task.status {
        Status::Completed if task.failed == 0 => Ok(()),
        Status::Completed => Err(Ended::new(
            Exit::DeviceFailed,
            "bulk-devices-failed",
            format!("{} not registered", devices(task.failed)),
            "Correct their lines and register them with a line file of their own.",
        )),
        Status::Cancelled | Status::Cancelling => Err(Ended::new(
            Exit::DeviceFailed,
            "bulk-cancelled",
            format!("the task was stopped{because}"),
            "Register the devices that are missing with a line file of their own.",
        )),
        Status::Failed | Status::InProgress => Err(Ended::new(
            Exit::DeviceFailed,
            "bulk-failed",
            format!("the task could not go on{because}"),
            "Check bucket, key and role; fieldkey aws policy prints what the role needs.",
        )),
    }
}

fn counted(task: &Task) -> String {
    let how = match task.status {
        Status::InProgress => "running",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "stopped",
        Status::Cancelling => "being stopped",
    };
    format!("{how}, {} registered, {} failed", task.succeeded, task.failed)
}

fn bar(setup: &Setup) -> ProgressBar {
    let bar = setup.out.bars().add(ProgressBar::new(100));
    if let Ok(style) = ProgressStyle::with_template("{bar:18} {percent:>3} % {elapsed:>4}  {wide_msg}") {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar
}

async fn tasks(setup: &Setup, passed: Option<&str>) -> Result<Tasks, Ended> {
    let signed_in = setup.signed_in().await?;
    setup.bulk(&signed_in.sign_in, passed)?.ok_or_else(|| {
        Ended::usage(
            format!("The profile of {} names no AWS account.", setup.profile_name()),
            "Import a profile whose [cloud] has kind = \"aws-iot\".",
        )
    })
}

fn form(file: &Path) -> Result<Form, Ended> {
    form_of(file, &read(file).map_err(file_ended)?)
}

fn form_of(file: &Path, text: &str) -> Result<Form, Ended> {
    Form::of_template(text).map_err(|error| {
        Ended::usage(
            format!("{}: {error}", file.display()),
            "Correct the template; nothing was written or started.",
        )
    })
}

fn line_file(base: &Base, file: &Path, form: &Form) -> Result<Vec<Entry>, Ended> {
    let text = read(file).map_err(file_ended)?;
    look_through(&text, form).map_err(|problems| wrong(base, file, &problems))
}

/// The serial numbers of a line file, for the words on what failed. Without them it goes by lines alone.
fn names(base: &Base, file: &Path, form: &Form) -> BTreeMap<u64, String> {
    let unusable = |why: String| {
        let words = format!(
            "{} does not tell which line is which device ({why})",
            file.display()
        );
        base.out.warn("bulk-lines", &words);
        BTreeMap::new()
    };
    match read(file).map(|text| look_through(&text, form)) {
        Ok(Ok(entries)) => serials(entries),
        Ok(Err(problems)) => unusable(problems.first().map(ToString::to_string).unwrap_or_default()),
        Err(error) => unusable(error.to_string()),
    }
}

/// Tells all that is wrong in a file.
fn wrong(base: &Base, file: &Path, problems: &[Problem]) -> Ended {
    for problem in problems {
        let line = json!({ "file": file, "line": problem.line, "field": problem.field, "why": problem.why });
        base.out
            .both("bulk-problem", &line, format!("{}, {problem}", file.display()));
    }
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    Ended::usage(
        format!("{} has {count}", file.display()),
        "Correct the file and try again; nothing was written or started.",
    )
}

fn file_ended(error: FileError) -> Ended {
    let now = match &error {
        FileError::Unreadable { .. } => "Check the file's name and that you may read it.",
        FileError::TooLarge(_) => "Make several files of it.",
        FileError::Encoding { .. } => "Save the file in UTF-8.",
        FileError::Exists(_) => "Name another file, or replace it with --force.",
        FileError::Unwritable { .. } => "Check that the folder is there, has room and is yours to write.",
    };
    Ended::usage(error, now)
}

fn serials(entries: Vec<Entry>) -> BTreeMap<u64, String> {
    let serials = entries
        .into_iter()
        .filter_map(|entry| Some((entry.line, entry.serial?)));
    serials.collect()
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |sign: char| sign.is_ascii_alphanumeric() || "._-/".contains(sign);
    if path.chars().all(plain) && !path.starts_with('-') {
        path
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

fn devices(count: impl std::fmt::Display) -> String {
    let count = count.to_string();
    let word = if count == "1" { "device" } else { "devices" };
    format!("{count} {word}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_nobody_answered_is_told_with_what_runs_at_aws() {
        let lost = CloudError::Unreachable("reset".into());
        let runs = ["t-1".to_owned()];
        for (running, what, now) in [
            (Ok(&[][..]), "no task runs", "Start it again"),
            (Ok(&runs[..]), "the task t-1 runs", "bulk follow t-1"),
            (Err(&lost), "cannot be told", "before you start it again"),
        ] {
            let ended = unheard(&lost, running);
            assert_eq!(ended.code, "bulk-unheard");
            assert!(ended.what.contains(what) && ended.now.contains(now), "{ended:?}");
        }
    }

    #[test]
    fn a_path_with_odd_signs_is_quoted_for_a_shell() {
        assert_eq!(quoted(Path::new("out/lines.jsonl")), "out/lines.jsonl");
        assert_eq!(quoted(Path::new("my lines")), "'my lines'");
        assert_eq!(quoted(Path::new("it's")), r"'it'\''s'");
    }

    #[test]
    fn only_a_task_that_registered_every_device_ends_well() {
        let table = [
            (Status::Completed, 0, None),
            (Status::Completed, 1, Some("bulk-devices-failed")),
            (Status::Cancelled, 0, Some("bulk-cancelled")),
            (Status::Failed, 0, Some("bulk-failed")),
        ];
        for (status, failed, code) in table {
            let task = Task {
                id: "t-1".into(),
                status,
                message: None,
                succeeded: 3,
                failed,
                percent: 100,
            };
            let ended = ended(&task).err();
            assert_eq!(ended.as_ref().map(|ended| ended.code.as_str()), code);
            assert!(ended.is_none_or(|ended| ended.exit == Exit::DeviceFailed));
        }
    }
}
