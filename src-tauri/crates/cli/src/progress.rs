//! Following the jobs: each happening in a line, each job a bar, and a summary at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use commission::flow::{JobId, Stage};
use engine::failure::{Failure, Remedy};
use engine::view::{Happening, JobState, JobView, QuestionView, View, What};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Output, harmless};
use crate::words;

/// What has been told of the jobs so far.
pub(crate) struct Progress {
    output: Output,
    /// A prompt says what is asked.
    prompted: bool,
    told: BTreeMap<JobId, usize>,
    /// Whether it was told that jobs rest.
    paused: bool,
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

#[derive(Serialize)]
struct RadioLine<'a> {
    paused: bool,
    failure: Option<&'a Failure>,
}

/// Stages that a bar runs through.
const STAGES: u64 = 9;

impl Progress {
    /// Nothing told yet.
    pub(crate) fn new(output: Output, prompted: bool) -> Self {
        Self {
            output,
            prompted,
            told: BTreeMap::new(),
            paused: false,
            bars: BTreeMap::new(),
        }
    }

    /// Tells what is new.
    pub(crate) fn show(&mut self, view: &View) {
        self.pause(view);
        let mut news = Vec::new();
        for job in &view.jobs {
            let told = self.told.entry(job.id).or_default();
            news.extend(
                job.happenings
                    .iter()
                    .skip(*told)
                    .map(|happening| (job, happening)),
            );
            *told = job.happenings.len();
        }
        // One view may bring news of several jobs, which is told in the order of time, not of the jobs.
        news.sort_by_key(|(_, happening)| happening.at_ms);
        for (job, happening) in news {
            self.tell(job, &called(job, &view.jobs), happening);
        }
        for job in &view.jobs {
            self.draw(job, &called(job, &view.jobs));
        }
    }

    fn pause(&mut self, view: &View) {
        if self.paused == view.paused {
            return;
        }
        self.paused = view.paused;
        let failure = view.radio_trouble.as_ref().filter(|_| view.paused);
        let paused = view.paused;
        self.output.line("radio", &RadioLine { paused, failure });
        self.output.say(match failure {
            Some(failure) => format!(
                "Paused: {} {} Work goes on by itself then; Ctrl-C stops it.",
                failure.what, failure.now
            ),
            None if paused => "Paused until Bluetooth is back.".to_owned(),
            None => "Bluetooth is back, work goes on.".to_owned(),
        });
    }

    fn tell(&mut self, job: &JobView, name: &str, happening: &Happening) {
        self.output.line(
            "happening",
            &HappeningLine {
                job: job.id,
                name: &job.name,
                serial: job.serial.as_deref(),
                happening,
            },
        );
        if self.prompted && matches!(happening.what, What::Asked { .. }) {
            return;
        }
        if let Some(words) = words::happening(name, &happening.what) {
            let seconds = Duration::from_millis(happening.at_ms).as_secs_f64();
            self.output.say(format!("{seconds:>7.2} s  {name:<14} {words}"));
        }
    }

    fn draw(&mut self, job: &JobView, name: &str) {
        if self.output.is_json() {
            return;
        }
        let bars = self.output.bars();
        let bar = self.bars.entry(job.id).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(STAGES));
            if let Ok(style) = ProgressStyle::with_template("{prefix:<16} {bar:18} {elapsed:>4}  {wide_msg}")
            {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar.set_prefix(harmless(name));
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
        self.output.say(table(jobs, self.output.columns()));
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

/// What a person tells a job by: its device's name, and its serial or what the radio calls it where others share that.
fn called(job: &JobView, all: &[JobView]) -> String {
    let shared = all
        .iter()
        .any(|other| other.id != job.id && other.name == job.name);
    let own = job
        .serial
        .as_deref()
        .or_else(|| job.peripheral.as_ref().map(|id| id.0.as_str()));
    match own.filter(|_| shared) {
        Some(own) => format!("{} ({own})", job.name),
        None => job.name.clone(),
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
    /// What the question was about that was skipped or that nobody answered: the code of that failure.
    question: Option<String>,
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

/// That a device was given up at a question says less than what it had been refused for.
fn left_open(job: &JobView) -> Option<String> {
    let given_up = ["unanswered", "cancelled"];
    let code = &job.failure.as_ref()?.code;
    let last = job
        .happenings
        .iter()
        .rev()
        .find_map(|happening| match &happening.what {
            What::Asked { question, .. } => Some(question),
            _ => None,
        });
    let (QuestionView::Pop { failure, .. }
    | QuestionView::NetworkDoubt { failure }
    | QuestionView::Passphrase { failure, .. }) = last?
    else {
        return None;
    };
    given_up.contains(&code.as_str()).then(|| failure.code.clone())
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
        question: left_open(job),
        total_ms: stages_ms.values().sum(),
        stages_ms,
    }
}

/// The stages that take time, by the words of the summary.
const TIMED: [(Stage, &str); 8] = [
    (Stage::Linking, "link"),
    (Stage::Proving, "prove"),
    (Stage::Identifying, "ident"),
    (Stage::Networking, "net"),
    (Stage::Crediting, "cred"),
    (Stage::Joining, "join"),
    (Stage::Enrolling, "enrol"),
    (Stage::Verifying, "ver"),
];
/// Columns of a stage.
const NARROW: usize = 6;

/// A line for each device, or a few where the terminal is too narrow for that.
fn table(jobs: &[JobView], columns: Option<usize>) -> String {
    let results: Vec<ResultLine> = jobs.iter().map(result).collect();
    let longest = |of: &dyn Fn(&ResultLine) -> usize| results.iter().map(of).max().unwrap_or(0).max(6);
    let name = longest(&|row| row.name.chars().count());
    let serial = longest(&|row| row.serial.as_ref().map_or(1, |serial| serial.chars().count()));
    let whole = 2 + name + 1 + serial + TIMED.len() * NARROW + 8;
    if columns.is_some_and(|columns| columns < whole) {
        return blocks(&results);
    }
    let heads: String = TIMED.iter().map(|(_, head)| format!("{head:>NARROW$}")).collect();
    let mut lines = vec![format!(
        "\n  {:<name$} {:<serial$}{heads} total s",
        "device", "serial"
    )];
    for row in &results {
        let times: String = TIMED
            .iter()
            .map(|(stage, _)| format!("{:>NARROW$}", time(row.stages_ms.get(stage).copied())))
            .collect();
        let line = format!(
            "{} {:<name$} {:<serial$}{times}{:>8}",
            words::mark(row.state),
            row.name,
            row.serial.as_deref().unwrap_or("-"),
            time(row.total())
        );
        let code = row.why();
        if code.is_empty() {
            lines.push(line);
        } else if columns.is_none_or(|columns| whole + 2 + code.len() <= columns) {
            lines.push(format!("{line}  {code}"));
        } else {
            lines.extend([line, format!("  {code}")]);
        }
    }
    lines.join("\n")
}

fn blocks(results: &[ResultLine]) -> String {
    let mut lines = vec![String::new()];
    for row in results {
        lines.push(format!("{} {}", words::mark(row.state), row.name));
        let mut facts = vec![
            row.serial.as_ref().map(|serial| format!("serial {serial}")),
            Some(row.why()).filter(|why| !why.is_empty()),
            row.total().map(|total| format!("total {} s", time(Some(total)))),
        ];
        facts.extend(TIMED.iter().map(|(stage, head)| {
            let ms = row.stages_ms.get(stage)?;
            Some(format!("{head} {}", time(Some(*ms))))
        }));
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        lines.push(format!("    {}", facts.join(", ")));
    }
    lines.join("\n")
}

impl ResultLine {
    /// The code, and what had been asked where that is what it came from.
    fn why(&self) -> String {
        let code = self.code.clone().unwrap_or_default();
        match &self.question {
            Some(question) => format!("{code} after {question}"),
            None => code,
        }
    }

    /// Of all stages; none where the device was never reached, since the waiting is none of theirs.
    fn total(&self) -> Option<u64> {
        (!self.stages_ms.is_empty()).then_some(self.total_ms)
    }
}

/// Seconds in at most five characters for a minute and more.
fn time(ms: Option<u64>) -> String {
    match ms {
        None => "-".into(),
        Some(ms) if ms < 9_995 => format!("{:.2}", Duration::from_millis(ms).as_secs_f64()),
        Some(ms) => format!("{:.1}", Duration::from_millis(ms).as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use engine::view::StageView;
    use uuid::Uuid;

    use super::*;

    fn job(name: &str, serial: &str) -> JobView {
        let mut job = JobView::new(JobId(Uuid::from_u128(1)), name.into(), Some(serial.into()));
        for (number, (stage, _)) in (0_u64..).zip(TIMED) {
            job.stages.push(StageView {
                stage,
                began_ms: number * 12_345,
                ended_ms: Some((number + 1) * 12_345),
            });
        }
        job.state = JobState::Failed;
        job
    }

    #[test]
    fn jobs_whose_devices_share_a_name_are_told_apart() {
        let twin = |number, serial: Option<&str>| {
            let id = JobId(Uuid::from_u128(number));
            JobView::new(id, "TWIN".into(), serial.map(str::to_owned))
        };
        let all = [twin(1, Some("A")), twin(2, Some("B")), twin(3, None)];
        let names: Vec<String> = all.iter().map(|job| called(job, &all)).collect();
        assert_eq!(names, ["TWIN (A)", "TWIN (B)", "TWIN"]);
        assert_eq!(called(&all[0], &all[..1]), "TWIN");
    }

    #[test]
    fn the_summary_fits_eighty_columns_and_narrower_ones_as_blocks() {
        let jobs = [
            job("PROV_3CD3D8", "FK-A30001"),
            JobView::new(JobId(Uuid::nil()), "PROV_2".into(), None),
        ];
        let wide = table(&jobs, Some(80));
        assert!(wide.lines().all(|line| line.chars().count() <= 80), "{wide}");
        assert!(wide.contains("enrol") && wide.contains("98.8"), "{wide}");
        let narrow = table(&jobs, Some(60));
        assert!(
            narrow.contains("\n■ PROV_3CD3D8\n    serial FK-A30001, total 98.8 s"),
            "{narrow}"
        );
        assert!(!narrow.contains("0.00"), "{narrow}");
    }
}
