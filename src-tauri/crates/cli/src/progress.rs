//! Following the jobs: each happening in a line, each job a bar, and a summary at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use commission::flow::{JobId, Stage};
use engine::failure::Remedy;
use engine::view::{Happening, JobState, JobView, View};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Output, harmless};
use crate::words;

/// What has been told of the jobs so far.
pub(crate) struct Progress {
    output: Output,
    told: BTreeMap<JobId, usize>,
    bars: BTreeMap<JobId, ProgressBar>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HappeningLine<'a> {
    job: JobId,
    name: &'a str,
    serial: Option<&'a str>,
    #[serde(flatten)]
    happening: &'a Happening,
}

/// Stages that a bar runs through.
const STAGES: u64 = 9;

impl Progress {
    /// Nothing told yet.
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            told: BTreeMap::new(),
            bars: BTreeMap::new(),
        }
    }

    /// Tells what is new.
    pub(crate) fn show(&mut self, view: &View) {
        for job in &view.jobs {
            self.tell(job);
            self.draw(job);
        }
    }

    fn tell(&mut self, job: &JobView) {
        let told = self.told.entry(job.id).or_default();
        for happening in job.happenings.iter().skip(*told) {
            self.output.line(
                "happening",
                &HappeningLine {
                    job: job.id,
                    name: &job.name,
                    serial: job.serial.as_deref(),
                    happening,
                },
            );
            if let Some(words) = words::happening(&happening.what) {
                let seconds = Duration::from_millis(happening.at_ms).as_secs_f64();
                self.output
                    .say(format!("{seconds:>7.2} s  {:<14} {words}", job.name));
            }
        }
        *told = job.happenings.len();
    }

    fn draw(&mut self, job: &JobView) {
        if self.output.is_json() {
            return;
        }
        let bars = self.output.bars();
        let bar = self.bars.entry(job.id).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(STAGES));
            if let Ok(style) = ProgressStyle::with_template("{prefix:<16} {bar:18} {elapsed:>4}  {msg}") {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar.set_prefix(harmless(&job.name));
            bar
        });
        let stage = job.stages.last().map(|last| last.stage);
        bar.set_position(stage.map_or(0, position));
        let what = match (job.state, stage, &job.claim) {
            (JobState::Waiting, ..) => "waiting for the device or a free link".into(),
            (JobState::Done, ..) => "done".into(),
            (JobState::Failed, ..) => "failed".into(),
            (JobState::Unknown, ..) => "unknown".into(),
            (_, Some(Stage::Crediting), Some(claim)) if claim.total > 0 => {
                format!("sending the claim, {} of {} bytes", claim.sent, claim.total)
            }
            (_, Some(stage), _) => words::stage(stage).to_owned(),
            (_, None, _) => String::new(),
        };
        bar.set_message(format!("{} {what}", words::mark(job.state)));
        if job.is_over() && !bar.is_finished() {
            bar.abandon();
        }
    }

    /// The end: each job in a line with the time of each stage, then the count.
    pub(crate) fn finish(&self, jobs: &[JobView]) -> Result<(), Exit> {
        for bar in self.bars.values() {
            bar.finish_and_clear();
        }
        let summary = Summary::new(jobs);
        self.output.line("summary", &summary);
        self.output.say(table(jobs));
        self.output.say(format!(
            "{} of {} done, {} failed, {} unknown",
            summary.done, summary.jobs, summary.failed, summary.unknown
        ));
        if summary.unknown > 0 {
            Err(Exit::Unknown)
        } else if summary.done < summary.jobs {
            Err(why_not_done(jobs))
        } else {
            Ok(())
        }
    }
}

/// A cause outside the devices is worth a code of its own where it is the only one.
fn why_not_done(jobs: &[JobView]) -> Exit {
    let mut failures = jobs.iter().filter_map(|job| job.failure.as_ref());
    if failures.all(|failure| failure.remedy == Remedy::FixBluetooth) {
        Exit::Bluetooth
    } else {
        Exit::DeviceFailed
    }
}

fn position(stage: Stage) -> u64 {
    match stage {
        Stage::Found => 0,
        Stage::Linking => 1,
        Stage::Proving => 2,
        Stage::Identifying => 3,
        Stage::Networking => 4,
        Stage::Crediting => 5,
        Stage::Joining => 6,
        Stage::Enrolling => 7,
        Stage::Verifying => 8,
        Stage::Released => STAGES,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    jobs: usize,
    done: usize,
    failed: usize,
    unknown: usize,
    results: Vec<ResultLine>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultLine {
    job: JobId,
    name: String,
    serial: Option<String>,
    state: JobState,
    thing: Option<String>,
    principal: Option<String>,
    /// The failure's code.
    code: Option<String>,
    /// Milliseconds in each stage, all visits added up.
    stages_ms: BTreeMap<Stage, u64>,
    total_ms: u64,
}

impl Summary {
    fn new(jobs: &[JobView]) -> Self {
        let count = |state| jobs.iter().filter(|job| job.state == state).count();
        Self {
            jobs: jobs.len(),
            done: count(JobState::Done),
            failed: count(JobState::Failed),
            unknown: count(JobState::Unknown),
            results: jobs.iter().map(result).collect(),
        }
    }
}

fn result(job: &JobView) -> ResultLine {
    let mut stages_ms: BTreeMap<Stage, u64> = BTreeMap::new();
    for visit in &job.stages {
        let ended = visit.ended_ms.unwrap_or(visit.began_ms);
        *stages_ms.entry(visit.stage).or_default() += ended.saturating_sub(visit.began_ms);
    }
    ResultLine {
        job: job.id,
        name: job.name.clone(),
        serial: job.serial.clone(),
        state: job.state,
        thing: job.thing.clone(),
        principal: job.principal.clone(),
        code: job.failure.as_ref().map(|failure| failure.code.clone()),
        total_ms: stages_ms.values().sum(),
        stages_ms,
    }
}

fn table(jobs: &[JobView]) -> String {
    const COLUMNS: [(Stage, &str); 8] = [
        (Stage::Linking, "link"),
        (Stage::Proving, "prove"),
        (Stage::Identifying, "ident"),
        (Stage::Networking, "net"),
        (Stage::Crediting, "credit"),
        (Stage::Joining, "join"),
        (Stage::Enrolling, "enrol"),
        (Stage::Verifying, "verify"),
    ];
    let mut lines = vec![format!("\n  {:<16} {:<16}", "device", "serial")];
    if let Some(head) = lines.last_mut() {
        for (_, name) in COLUMNS {
            head.push_str(&format!("{name:>8}"));
        }
        head.push_str("   total s");
    }
    for job in jobs {
        let result = result(job);
        let mut line = format!(
            "{} {:<16} {:<16}",
            words::mark(job.state),
            job.name,
            result.serial.as_deref().unwrap_or("-")
        );
        for (stage, _) in COLUMNS {
            let text = result.stages_ms.get(&stage).map_or("-".into(), |ms| seconds(*ms));
            line.push_str(&format!("{text:>8}"));
        }
        line.push_str(&format!("{:>10}", seconds(result.total_ms)));
        if let Some(code) = &result.code {
            line.push_str(&format!("  {code}"));
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn seconds(ms: u64) -> String {
    format!("{:.2}", Duration::from_millis(ms).as_secs_f64())
}
