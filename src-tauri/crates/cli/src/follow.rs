//! Following the engine until every job has ended: telling what happens, asking the person, and Ctrl-C.

use std::collections::BTreeSet;
use std::sync::Arc;

use commission::flow::{Answer, JobId};
use commission::network::{Network, Ssid};
use commission::secret::{Passphrase, Pop};
use engine::request::Request;
use engine::run::Engine;
use engine::view::{JobView, QuestionView, SeenNetworkView, View};
use serde::Deserialize;
use tokio::sync::mpsc;
use zeroize::Zeroize;

use crate::exit::{Ended, Exit};
use crate::person::Person;
use crate::progress::Progress;
use crate::setup::Setup;
use crate::words;

/// Follows until each of these jobs has ended, gives all links back, and says how each ended.
pub(crate) async fn to_the_end(setup: &Setup, engine: Engine, jobs: &[JobId]) -> Result<(), Ended> {
    let mut views = engine.views();
    let mut progress = Progress::new(setup.out.clone());
    let (answers, mut answered) = mpsc::unbounded_channel();
    let mut asked = BTreeSet::new();
    if setup.out.is_json() {
        tokio::spawn(answer_lines(setup.clone(), answers.clone()));
    }
    let mut interrupted = false;
    // One ear for the whole time: a new one for each turn of the loop misses what came between two turns.
    let stop = setup.interrupts.next();
    tokio::pin!(stop);
    let mut unheard = Unheard::default();
    let last = loop {
        let view = Arc::clone(&views.borrow_and_update());
        progress.show(&view);
        // One that is not shown yet has not ended.
        let is_over = |id: &JobId| view.jobs.iter().any(|job| job.id == *id && job.is_over());
        if jobs.iter().all(is_over) {
            break view;
        }
        ask(setup, &view, &mut asked, &answers);
        unheard.give_up(setup, &engine, &view);
        tokio::select! {
            changed = views.changed() => if changed.is_err() { break view },
            Some(reply) = answered.recv() => match reply.whose {
                Whose::Nobody => unheard.input_over = true,
                _ => answer(setup, &engine, &view, reply),
            },
            () = &mut stop, if !interrupted => {
                interrupted = true;
                setup.out.say(
                    "\nStopping: each device is brought to a named state and its link is given back. Ctrl-C again \
                     leaves at once; fieldkey resume settles what is left then.",
                );
                engine.request(Request::CancelAll);
            }
        }
    };
    engine.shutdown().await;
    let ended = progress.finish(&last.jobs);
    if interrupted {
        return Err(Ended::silent(Exit::Interrupted));
    }
    ended.map_err(Ended::silent)
}

/// A person's reply to a job's question.
struct Reply {
    whose: Whose,
    /// `None` at the end of their input.
    answer: Option<Answer>,
}

/// Which job a reply is for.
enum Whose {
    Job(JobId),
    /// The job of the device of this name that has an open question.
    Device(String),
    /// No job's: the lines of answers are at their end.
    Nobody,
}

/// Questions that nobody can answer any more, once the lines of answers are at their end.
#[derive(Default)]
struct Unheard {
    input_over: bool,
    given_up: BTreeSet<JobId>,
}

impl Unheard {
    /// Gives up the devices that ask all the same, instead of holding their links until the question's time is over.
    fn give_up(&mut self, setup: &Setup, engine: &Engine, view: &View) {
        if !self.input_over {
            return;
        }
        for job in view.jobs.iter().filter(|job| job.question.is_some()) {
            if self.given_up.insert(job.id) {
                unanswerable(setup, engine, job);
            }
        }
    }
}

fn unanswerable(setup: &Setup, engine: &Engine, job: &JobView) {
    setup.out.warn(
        "unanswered",
        &format!(
            "there is no more input to answer from, so {} is given up",
            job.name
        ),
    );
    engine.request(Request::Answer(job.id, Answer::Skip));
}

/// The job that an answer is for. Two devices may share a name, and one's proof of possession is no answer for the
/// other, which counts wrong ones.
fn whose<'v>(view: &'v View, whose: &Whose) -> Result<Option<&'v JobView>, String> {
    let name = match whose {
        Whose::Job(id) => return Ok(view.jobs.iter().find(|job| job.id == *id)),
        Whose::Device(name) => name,
        Whose::Nobody => return Ok(None),
    };
    let mut asking = view
        .jobs
        .iter()
        .filter(|job| job.question.is_some() && job.name == *name);
    match (asking.next(), asking.next()) {
        (Some(job), None) => Ok(Some(job)),
        (None, _) => Err(format!("{name} has no open question")),
        (Some(_), Some(_)) => Err(format!(
            "several devices called {name} have one; name the job instead"
        )),
    }
}

fn answer(setup: &Setup, engine: &Engine, view: &View, reply: Reply) {
    let job = match whose(view, &reply.whose) {
        Ok(Some(job)) => job,
        Ok(None) => return,
        Err(why) => return setup.out.warn("answer", &why),
    };
    match reply.answer {
        Some(answer) => engine.request(Request::Answer(job.id, answer)),
        None if job.question.is_some() => unanswerable(setup, engine, job),
        None => {}
    }
}

/// Asks what is open and has not been asked yet. In JSON the question is a happening, and answers come as lines.
fn ask(
    setup: &Setup,
    view: &View,
    asked: &mut BTreeSet<(JobId, usize)>,
    answers: &mpsc::UnboundedSender<Reply>,
) {
    if setup.out.is_json() {
        return;
    }
    for job in &view.jobs {
        let Some(question) = &job.question else { continue };
        // The same question may come again after another wrong answer; it then stands later among the happenings.
        let number = job
            .happenings
            .iter()
            .filter(|happening| is_question(happening))
            .count();
        if asked.insert((job.id, number)) {
            let (person, name, id) = (setup.person.clone(), job.name.clone(), job.id);
            let (question, answers) = (question.clone(), answers.clone());
            tokio::spawn(async move {
                let answer = put(&person, &name, &question).await;
                // An error means that the jobs have ended, and nobody wants the answer.
                let _ = answers.send(Reply {
                    whose: Whose::Job(id),
                    answer,
                });
            });
        }
    }
}

fn is_question(happening: &engine::view::Happening) -> bool {
    matches!(happening.what, engine::view::What::Asked { .. })
}

async fn put(person: &Person, name: &str, question: &QuestionView) -> Option<Answer> {
    let intro = words::asked(question);
    match question {
        QuestionView::Pop { .. } => {
            let text = person
                .secret(&format!("{name}: {intro}\n  Proof of possession"))
                .await?;
            Some(if text.is_empty() {
                Answer::Skip
            } else {
                Answer::Pop(Pop::new(text.as_str()))
            })
        }
        QuestionView::Passphrase { .. } => {
            let text = person.secret(&format!("{name}: {intro}\n  Passphrase")).await?;
            Some(if text.is_empty() {
                Answer::Skip
            } else {
                Answer::Passphrase(Passphrase::new(text.as_str()))
            })
        }
        QuestionView::NetworkDoubt { .. } => {
            let text = person
                .line(&format!("{name}: {intro}\n  Go on all the same? (yes/no)"))
                .await?;
            Some(if matches!(text.as_str(), "y" | "yes") {
                Answer::GoOn
            } else {
                Answer::Skip
            })
        }
        QuestionView::Network { seen } => choose_network(person, name, &intro, seen).await,
    }
}

async fn choose_network(
    person: &Person,
    name: &str,
    intro: &str,
    seen: &[SeenNetworkView],
) -> Option<Answer> {
    let mut prompt = format!("{name}: {intro}");
    for (number, network) in seen.iter().enumerate() {
        let lock = if network.open { "open" } else { "protected" };
        prompt.push_str(&format!(
            "\n  {:>2}  {:<32} {:>4} dBm  {lock}",
            number + 1,
            network.ssid,
            network.rssi
        ));
    }
    loop {
        let text = person
            .line(&format!("{prompt}\n  Number or name (empty to skip this device)"))
            .await?;
        if text.is_empty() {
            return Some(Answer::Skip);
        }
        let listed = text
            .parse::<usize>()
            .ok()
            .and_then(|number| number.checked_sub(1))
            .and_then(|index| seen.get(index));
        let ssid = match listed {
            Some(network) => hex_bytes(&network.ssid_hex),
            None => Some(text.as_bytes().to_vec()),
        };
        let passphrase = if listed.is_some_and(|network| network.open) {
            None
        } else {
            let text = person.secret("  Passphrase (empty if it is open)").await?;
            Some(Passphrase::new(text.as_str()))
        };
        let network = ssid.map(Ssid::new).and_then(Result::ok).map(|ssid| {
            // A name that the device did not list can only be a hidden network's.
            Network::new(ssid, passphrase, listed.is_none())
        });
        match network {
            Some(Ok(network)) => return Some(Answer::Network(network)),
            Some(Err(error)) => prompt = format!("{name}: {error}"),
            None => prompt = format!("{name}: a network's name has 1 to 32 bytes"),
        }
    }
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    digits?
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect()
}

/// An answer as a JSON line on standard input: the device or the job, and exactly one answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AnswerLine {
    /// The device's advertised name.
    #[serde(default)]
    device: Option<String>,
    #[serde(default)]
    job: Option<JobId>,
    #[serde(default)]
    pop: Option<String>,
    #[serde(default)]
    passphrase: Option<String>,
    #[serde(default)]
    network: Option<String>,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    go_on: bool,
    #[serde(default)]
    skip: bool,
}

impl Drop for AnswerLine {
    fn drop(&mut self) {
        self.pop.zeroize();
        self.passphrase.zeroize();
    }
}

impl AnswerLine {
    fn whose(&self) -> Result<Whose, String> {
        match (self.job, &self.device) {
            (Some(job), None) => Ok(Whose::Job(job)),
            (None, Some(name)) => Ok(Whose::Device(name.clone())),
            _ => Err("an answer names its device or its job".into()),
        }
    }

    fn answer(&self) -> Result<Answer, String> {
        let passphrase = self.passphrase.as_deref().map(Passphrase::new);
        match (&self.pop, &self.network, passphrase, self.go_on, self.skip) {
            (Some(pop), None, None, false, false) => Ok(Answer::Pop(Pop::new(pop.as_str()))),
            (None, Some(name), passphrase, false, false) => Ssid::new(name.as_str())
                .and_then(|ssid| Network::new(ssid, passphrase, self.hidden))
                .map(Answer::Network)
                .map_err(|error| error.to_string()),
            (None, None, Some(passphrase), false, false) => Ok(Answer::Passphrase(passphrase)),
            (None, None, None, true, false) => Ok(Answer::GoOn),
            (None, None, None, false, true) => Ok(Answer::Skip),
            _ => Err("an answer has one of pop, network, passphrase, goOn and skip".into()),
        }
    }
}

async fn answer_lines(setup: Setup, answers: mpsc::UnboundedSender<Reply>) {
    while let Some(line) = setup.person.line("").await {
        let Ok(line) = serde_json::from_str::<AnswerLine>(&line) else {
            setup.out.warn(
                "answer",
                "a line on standard input is no answer; JSON.md has their form",
            );
            continue;
        };
        match line.whose().and_then(|whose| Ok((whose, line.answer()?))) {
            Ok((whose, answer)) => {
                let reply = Reply {
                    whose,
                    answer: Some(answer),
                };
                if answers.send(reply).is_err() {
                    return;
                }
            }
            Err(why) => setup.out.warn("answer", &why),
        }
    }
    // An error means that the jobs have ended, and nobody wants to know.
    let _ = answers.send(Reply {
        whose: Whose::Nobody,
        answer: None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str) -> Result<Answer, String> {
        serde_json::from_str::<AnswerLine>(line)
            .map_err(|_| "no answer".to_owned())?
            .answer()
    }

    #[test]
    fn an_answer_line_is_exactly_one_answer() {
        assert_eq!(
            answer(r#"{"device":"A","pop":"x"}"#),
            Ok(Answer::Pop(Pop::new("x")))
        );
        assert_eq!(answer(r#"{"device":"A","skip":true}"#), Ok(Answer::Skip));
        assert!(answer(r#"{"device":"A"}"#).is_err());
        assert!(answer(r#"{"device":"A","pop":"x","skip":true}"#).is_err());
        assert!(answer(r#"{"device":"A","network":"n","passphrase":"short"}"#).is_err());
        assert!(answer(r#"{"device":"A","colour":"red"}"#).is_err());
    }

    #[test]
    fn an_answer_reaches_no_namesake() {
        let asking = |number: u128, asks: bool| {
            let mut job = JobView::new(JobId(uuid::Uuid::from_u128(number)), "PROV".into(), None);
            job.question = asks.then(|| QuestionView::Network { seen: Vec::new() });
            job
        };
        let line = |text: &str| serde_json::from_str::<AnswerLine>(text).unwrap().whose();
        let by_name = line(r#"{"device":"PROV","skip":true}"#).unwrap();
        let mut view = View {
            jobs: vec![asking(1, false), asking(2, true)],
            ..View::default()
        };
        assert_eq!(
            whose(&view, &by_name).unwrap().map(|job| job.id),
            Some(view.jobs[1].id)
        );
        view.jobs.push(asking(3, true));
        assert!(whose(&view, &by_name).unwrap_err().contains("several"));
        let by_job = line(r#"{"job":"00000000-0000-0000-0000-000000000003","skip":true}"#).unwrap();
        assert_eq!(
            whose(&view, &by_job).unwrap().map(|job| job.id),
            Some(view.jobs[2].id)
        );
        assert!(line(r#"{"skip":true}"#).is_err());
    }

    #[test]
    fn hex_of_a_name_is_read_back_whole() {
        assert_eq!(hex_bytes("636166e9"), Some(b"caf\xe9".to_vec()));
        assert_eq!(hex_bytes("6"), None);
        assert_eq!(hex_bytes("zz"), None);
    }
}
