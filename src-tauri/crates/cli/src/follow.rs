//! Following the engine until every job has ended: telling what happens, asking the person, and Ctrl-C.

use std::collections::BTreeSet;
use std::sync::Arc;

use commission::flow::{Answer, JobId, QuestionId};
use commission::network::{Network, Ssid};
use commission::secret::{Passphrase, Pop};
use engine::possession;
use engine::request::Request;
use engine::run::Engine;
use engine::view::{JobView, QuestionView, SeenNetworkView, View};
use serde::Deserialize;
use tokio::sync::mpsc;
use zeroize::{Zeroize, Zeroizing};

use crate::exit::{Ended, Exit};
use crate::passphrases::{self, Passphrases};
use crate::person::{Person, Silence};
use crate::progress::Progress;
use crate::setup::Setup;
use crate::words;

/// Follows until each of these jobs has ended, gives all links back, and says how each ended.
pub(crate) async fn to_the_end(
    setup: &Setup,
    engine: Engine,
    jobs: &[JobId],
    mut passphrases: Passphrases,
) -> Result<(), Ended> {
    let mut views = engine.views();
    let mut progress = Progress::new(setup.out.clone(), setup.person.is_at_terminal());
    let (answers, mut answered) = mpsc::unbounded_channel();
    let mut prompts = Prompts::default();
    // Before anything else may ask or read: this is who acts on Ctrl-C as long as there are jobs.
    let mut stop = setup.interrupts.mind();
    if setup.out.is_json() {
        tokio::spawn(answer_lines(setup.clone(), answers.clone()));
    }
    let mut interrupted = false;
    let mut unheard = Unheard::default();
    let last = loop {
        let view = Arc::clone(&views.borrow_and_update());
        progress.show(&view);
        passphrases.keep_proven(setup, &view).await;
        // One that is not shown yet has not ended.
        let is_over = |id: &JobId| view.jobs.iter().any(|job| job.id == *id && job.is_over());
        if jobs.iter().all(is_over) {
            break view;
        }
        if !interrupted {
            prompts.ask(setup, &engine, &view, &mut passphrases, &answers);
        }
        unheard.give_up(setup, &engine, &view);
        tokio::select! {
            changed = views.changed() => if changed.is_err() { break view },
            Some(reply) = answered.recv() => match reply.whose {
                Whose::Nobody => unheard.input_over = true,
                _ => {
                    prompts.open = false;
                    answer(setup, &engine, &view, &mut passphrases, reply);
                }
            },
            () = stop.pressed(), if !interrupted => {
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
    /// Which of its questions; the open one where they did not say.
    question: Option<QuestionId>,
    /// `None` at the end of their input.
    said: Option<Said>,
}

/// What they replied.
enum Said {
    /// An answer as it stands.
    Answer(Answer),
    /// The text of a label, which is an answer only if it is the label of the device that asks.
    Label(Zeroizing<String>),
}

impl Said {
    /// As the answer of this job's device; else why it is none, and what to do.
    fn answer(self, job: &JobView) -> Result<Answer, String> {
        match self {
            Self::Answer(answer) => Ok(answer),
            Self::Label(text) => possession(&text, job),
        }
    }
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
        for job in &view.jobs {
            if let Some(question) = job.asked
                && self.given_up.insert(job.id)
            {
                unanswerable(setup, engine, job, question);
            }
        }
    }
}

fn unanswerable(setup: &Setup, engine: &Engine, job: &JobView, question: QuestionId) {
    setup.out.warn(
        "unanswered",
        &format!(
            "there is no more input to answer from, so {} is given up",
            job.name
        ),
    );
    engine.request(Request::Answer(job.id, question, Answer::Nobody));
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

fn answer(setup: &Setup, engine: &Engine, view: &View, passphrases: &mut Passphrases, reply: Reply) {
    let job = match whose(view, &reply.whose) {
        Ok(Some(job)) => job,
        Ok(None) => return,
        Err(why) => return setup.out.warn("answer", &why),
    };
    let Some(question) = reply.question.or(job.asked) else {
        return;
    };
    match reply.said {
        Some(_) if job.asked != Some(question) => {
            let words = format!("{} no longer asks that", job.name);
            setup.out.warn("answer", &words);
        }
        Some(said) => {
            let answer = match said.answer(job) {
                Ok(answer) => answer,
                Err(why) => return setup.out.warn("answer", &why),
            };
            passphrases.answered(job, &answer);
            engine.request(Request::Answer(job.id, question, answer));
        }
        None if job.asked == Some(question) => unanswerable(setup, engine, job, question),
        None => {}
    }
}

/// What a scanner or a person typed, as the answer of this job's device; else why it is none, and what to do.
fn possession(text: &str, job: &JobView) -> Result<Answer, String> {
    possession::answer(text, Some(&job.name), job.serial.as_deref())
        .map_err(|error| format!("{error}. {}", error.advice()))
}

/// The questions that were put to the person, one at a time. In JSON the question is a happening, and answers come as
/// lines.
#[derive(Default)]
struct Prompts {
    /// One stands.
    open: bool,
    /// Those that were put, by their jobs.
    asked: BTreeSet<(JobId, QuestionId)>,
}

impl Prompts {
    /// Puts the next question that has not been put yet, unless its answer is known by now.
    fn ask(
        &mut self,
        setup: &Setup,
        engine: &Engine,
        view: &View,
        passphrases: &mut Passphrases,
        answers: &mpsc::UnboundedSender<Reply>,
    ) {
        for job in &view.jobs {
            let (Some(question), Some(id)) = (&job.question, job.asked) else {
                continue;
            };
            if self.asked.contains(&(job.id, id)) {
                continue;
            }
            if let Some((network, passphrase)) = passphrases.known(job) {
                self.asked.insert((job.id, id));
                let words = format!(
                    "{}: the passphrase that was typed for {network} is tried",
                    job.name
                );
                setup.out.warn("passphrase-reused", &words);
                engine.request(Request::Answer(job.id, id, Answer::Passphrase(passphrase)));
            } else if !self.open && !setup.out.is_json() {
                self.asked.insert((job.id, id));
                self.open = true;
                tokio::spawn(put_to_person(
                    setup.clone(),
                    job.clone(),
                    question.clone(),
                    answers.clone(),
                ));
            }
        }
    }
}

async fn put_to_person(
    setup: Setup,
    job: JobView,
    question: QuestionView,
    answers: mpsc::UnboundedSender<Reply>,
) {
    let answer = match put(&setup.person, &job, &question).await {
        Ok(answer) => Some(answer),
        // Whoever follows the jobs has heard it too, and stops them all.
        Err(Silence::Interrupted) => return,
        Err(Silence::Over | Silence::NoText) => None,
    };
    if answer == Some(Answer::Skip) {
        setup.out.say(format!("{} is skipped.", job.name));
    }
    // An error means that the jobs have ended, and nobody wants the answer.
    let _ = answers.send(Reply {
        whose: Whose::Job(job.id),
        question: job.asked,
        said: answer.map(Said::Answer),
    });
}

async fn put(person: &Person, job: &JobView, question: &QuestionView) -> Result<Answer, Silence> {
    let (name, intro) = (&job.name, words::asked(question));
    match question {
        QuestionView::Pop { .. } => {
            let ask = "Label or proof of possession (empty to skip this device)";
            let mut prompt = format!("{name}: {intro}\n  {ask}");
            loop {
                let text = person.secret(&prompt).await?;
                if text.is_empty() {
                    return Ok(Answer::Skip);
                }
                match possession(&text, job) {
                    Ok(answer) => return Ok(answer),
                    Err(why) => prompt = format!("  {why}\n  {ask}"),
                }
            }
        }
        QuestionView::Passphrase { network, .. } => {
            let ask = format!("Passphrase of {network} (empty to skip this device)");
            let mut prompt = format!("{name}: {intro}\n  {ask}");
            loop {
                let text = person.secret(&prompt).await?;
                if text.is_empty() {
                    return Ok(Answer::Skip);
                }
                match passphrases::possible(&text) {
                    Ok(passphrase) => return Ok(Answer::Passphrase(passphrase)),
                    Err(error) => prompt = format!("  {error}\n  {ask}"),
                }
            }
        }
        QuestionView::NetworkDoubt { .. } => doubted(person, job, &intro).await,
        QuestionView::Network { seen } => choose_network(person, name, &intro, seen).await,
    }
}

async fn doubted(person: &Person, job: &JobView, intro: &str) -> Result<Answer, Silence> {
    let mut prompt = format!("{}: {intro}", job.name);
    loop {
        let text = person
            .line(&format!(
                "{prompt}\n  Go on all the same (yes), choose another network (other), or skip this device (no)?"
            ))
            .await?;
        match text.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(Answer::GoOn),
            "n" | "no" | "skip" => return Ok(Answer::Skip),
            "o" | "other" => return choose_network(person, &job.name, "Which one?", &job.networks).await,
            _ => prompt = format!("{}: please answer yes, other or no", job.name),
        }
    }
}

async fn choose_network(
    person: &Person,
    name: &str,
    intro: &str,
    seen: &[SeenNetworkView],
) -> Result<Answer, Silence> {
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
            return Ok(Answer::Skip);
        }
        let listed = text
            .parse::<usize>()
            .ok()
            .and_then(|number| number.checked_sub(1))
            .and_then(|index| seen.get(index))
            .or_else(|| seen.iter().find(|network| network.ssid == text.as_str()));
        let ssid = match listed {
            Some(network) => hex_bytes(&network.ssid_hex),
            None => Some(text.as_bytes().to_vec()),
        };
        let passphrase = match listed {
            Some(network) if network.open => None,
            Some(network) => {
                let prompt = format!("  Passphrase of {} (empty to skip this device)", network.ssid);
                let text = person.secret(&prompt).await?;
                if text.is_empty() {
                    return Ok(Answer::Skip);
                }
                Some(Passphrase::new(text.as_str()))
            }
            None => {
                let text = person.secret("  Passphrase (empty if it is open)").await?;
                Some(Passphrase::new(text.as_str()))
            }
        };
        let network = ssid.map(Ssid::new).and_then(Result::ok).map(|ssid| {
            // A name that the device did not list can only be a hidden network's.
            Network::new(ssid, passphrase, listed.is_none())
        });
        match network {
            Some(Ok(network)) => return Ok(Answer::Network(network)),
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
    /// Which of its questions, as its happening named it.
    #[serde(default)]
    asked: Option<QuestionId>,
    /// The text of the device's label.
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    pop: Option<String>,
    /// The Security 2 user that goes with the PoP, where it is not the usual one.
    #[serde(default)]
    username: Option<String>,
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
        self.label.zeroize();
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

    fn said(&self) -> Result<Said, String> {
        let passphrase = self.passphrase.as_deref().map(Passphrase::new);
        if self.username.is_some() && self.pop.is_none() {
            return Err("a username stands beside a pop; a label has its own".into());
        }
        if let Some(label) = &self.label {
            let alone = self.pop.is_none() && self.network.is_none() && passphrase.is_none();
            return if alone && !self.go_on && !self.skip {
                Ok(Said::Label(Zeroizing::new(label.clone())))
            } else {
                Err(ONE_ANSWER.into())
            };
        }
        let answer = match (&self.pop, &self.network, passphrase, self.go_on, self.skip) {
            (Some(pop), None, None, false, false) => Answer::Pop {
                pop: Pop::new(pop.as_str()),
                username: self.username.clone(),
            },
            (None, Some(name), passphrase, false, false) => Ssid::new(name.as_str())
                .and_then(|ssid| Network::new(ssid, passphrase, self.hidden))
                .map(Answer::Network)
                .map_err(|error| error.to_string())?,
            (None, None, Some(passphrase), false, false) => Answer::Passphrase(passphrase),
            (None, None, None, true, false) => Answer::GoOn,
            (None, None, None, false, true) => Answer::Skip,
            _ => return Err(ONE_ANSWER.into()),
        };
        Ok(Said::Answer(answer))
    }
}

/// Why a line with none or several is not taken.
const ONE_ANSWER: &str = "an answer has one of label, pop, network, passphrase, goOn and skip";

async fn answer_lines(setup: Setup, answers: mpsc::UnboundedSender<Reply>) {
    loop {
        let line = match setup.person.line("").await {
            Ok(line) => line,
            Err(Silence::Interrupted) => return,
            Err(Silence::Over) => break,
            Err(Silence::NoText) => Zeroizing::new(String::new()),
        };
        let Ok(line) = serde_json::from_str::<AnswerLine>(&line) else {
            setup.out.warn(
                "answer",
                "a line on standard input is no answer; JSON.md has their form",
            );
            continue;
        };
        match line.whose().and_then(|whose| Ok((whose, line.said()?))) {
            Ok((whose, said)) => {
                let reply = Reply {
                    whose,
                    question: line.asked,
                    said: Some(said),
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
        question: None,
        said: None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str) -> Result<Answer, String> {
        let job = JobView::new(JobId(uuid::Uuid::nil()), "A".into(), None);
        serde_json::from_str::<AnswerLine>(line)
            .map_err(|_| "no answer".to_owned())?
            .said()?
            .answer(&job)
    }

    #[test]
    fn an_answer_line_is_exactly_one_answer() {
        let pop = |username: Option<&str>| {
            Ok(Answer::Pop {
                pop: Pop::new("x"),
                username: username.map(ToOwned::to_owned),
            })
        };
        assert_eq!(answer(r#"{"device":"A","pop":"x"}"#), pop(None));
        assert_eq!(
            answer(r#"{"device":"A","pop":"x","username":"installer"}"#),
            pop(Some("installer"))
        );
        assert_eq!(answer(r#"{"device":"A","label":"NP:A|x|b"}"#), pop(None));
        assert_eq!(answer(r#"{"device":"A","skip":true}"#), Ok(Answer::Skip));
        for none in [
            r#"{"device":"A"}"#,
            r#"{"device":"A","pop":"x","skip":true}"#,
            r#"{"device":"A","pop":"x","label":"NP:A|x|b"}"#,
            r#"{"device":"A","label":"NP:A|x|b","skip":true}"#,
            r#"{"device":"A","label":"NP:A|x|b","username":"installer"}"#,
            r#"{"device":"A","label":"NP:B|x|b"}"#,
            r#"{"device":"A","skip":true,"username":"installer"}"#,
            r#"{"device":"A","network":"n","passphrase":"short"}"#,
            r#"{"device":"A","colour":"red"}"#,
        ] {
            assert!(answer(none).is_err(), "{none}");
        }
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
